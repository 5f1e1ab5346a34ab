from .data.frames import DomainFrames, Images, UnpairedFrames
from .data.local_shifts import LocalShifts, local_shifts
from .data.pairs import PairedFrames
from .evaluation.check import check
from .evaluation.evaluate import evaluate, evaluate_prediction
from .evaluation.learning_curve import fit_learning_curve
from .evaluation.metrics.comparison import compare
from .running.patch_scores import PatchScores
from .running.trained_model import TrainedModel, load_model
from .settings.config import Config, make_config
from .teaching.fit_trust import fit_trust
from .training.judged_runs import evaluate_runs
from .training.loop import train
from .training.repetition import repeat
from .training.reports import Report

__all__ = [
    "Config",
    "DomainFrames",
    "Images",
    "LocalShifts",
    "PairedFrames",
    "PatchScores",
    "Report",
    "TrainedModel",
    "UnpairedFrames",
    "check",
    "compare",
    "evaluate",
    "evaluate_prediction",
    "evaluate_runs",
    "fit_learning_curve",
    "fit_trust",
    "load_model",
    "local_shifts",
    "make_config",
    "repeat",
    "train",
]
