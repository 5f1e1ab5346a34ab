from .check import check
from .config import Config, make_config
from .evaluation import evaluate, evaluate_prediction
from .metrics.comparison import compare
from .model import TrainedModel, load_model
from .pairs import PairedFrames
from .patch_scores import PatchScores
from .training import Report, train
from .trust import fit_trust

__all__ = [
    "Config",
    "PairedFrames",
    "PatchScores",
    "Report",
    "TrainedModel",
    "check",
    "compare",
    "evaluate",
    "evaluate_prediction",
    "fit_trust",
    "load_model",
    "make_config",
    "train",
]
