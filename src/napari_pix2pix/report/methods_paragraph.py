"""A paragraph on a model for the methods of a paper: facts from its config and provenance, nothing else."""

from collections.abc import Sequence
from typing import Any

from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import NormalizationConfig

REFERENCES = {
    "Kingma and Ba, 2015": "Kingma DP, Ba J. Adam: A Method for Stochastic Optimization. ICLR 2015. arXiv:1412.6980.",
    "Efron and Tibshirani, 1993": "Efron B, Tibshirani RJ. An Introduction to the Bootstrap. Chapman & Hall, 1993.",
}
SCHEDULES = {
    "constant": "a constant learning rate of {0:g}",
    "linear-decay": "a learning rate of {0:g} that decayed linearly to zero over the second half of the steps",
    "cosine": "a learning rate that went from {0:g} to zero along a cosine",
}
KINDS = {
    "intensity": "Target grey values were {target} to [-0.9, 0.9] and predictions mapped back the same way.",
    "classes": "Each of the {classes} target classes was one output channel; predictions take the highest.",
    "instances": "Target objects were encoded as two channels, foreground and the relative depth inside each object; "
    "predicted objects were found from both by a seeded watershed.",
}

DIVIDED = {
    "train": "trained the networks",
    "validation": "chose the weights that were kept",
    "calibration": "were set aside for calibration",
}


def methods(model: TrainedModel, report: dict[str, Any] | None = None) -> tuple[str, list[str]]:
    """The paragraph, and the references that it cites; what `evaluate` reported, if given, ends it."""
    described, versions = model.describe(), model.provenance.get("versions", {})
    made_with = f"napari-pix2pix {versions['napari-pix2pix']}" if "napari-pix2pix" in versions else "napari-pix2pix"
    made_with += f" (PyTorch {versions['torch']})" if "torch" in versions else ""
    network = (sentence.format(made_with) for sentence in described.architecture)
    told = [*network, *_training(model, described.objective), *_pairs(model), *(_figures(report) if report else [])]
    text = " ".join(told)
    return text, [full for short, full in {**described.references, **REFERENCES}.items() if short in text]


def _training(model: TrainedModel, objective: Sequence[str]) -> list[str]:
    config, told = model.config, model.provenance
    if "imported" in told:
        return [
            f"The model was trained elsewhere (imported file: SHA-256 {str(told['imported'].get('sha256'))[:12]}…)."
        ]
    target = KINDS[model.target_encoding.kind].format(
        target=_scaled(config.target_normalization), classes=len(model.target_encoding.classes)
    )
    source = (
        "Source classes were one input channel each."
        if config.source_kind == "classes"
        else f"Source grey values were {_scaled(config.source_normalization)} to [-1, 1]."
    )
    step, size = told.get("step", config.steps), f"{config.patch_size} × {config.patch_size}"
    size = f"{config.patch_depth} × {size}" if model.source_view.z == "volume" else size
    changes = [
        *(["random mirroring"] if config.flip else []),
        *(["random turns by multiples of 90°"] if config.rotate else []),
        *([f"random crops of patches magnified {config.jitter:.3g} times"] if config.jitter > 1 else []),
        *([f"random contrast and brightness (±{config.intensity_jitter:g})"] if config.intensity_jitter else []),
    ]
    sentences = [
        source,
        target,
        *objective,
        ({1: "It was", 2: "Both networks were"}.get(len(model.networks), "All networks were"))
        + f" trained for {config.steps} steps on batches of {config.batch_size} random patches of {size} px with Adam "
        f"(Kingma and Ba, 2015; β1 = {config.beta1:g}, β2 = {config.beta2:g}) and "
        f"{SCHEDULES[config.schedule].format(config.learning_rate)}, seed {config.seed}"
        + (f", on {told['device']} in {told['precision']}" if "device" in told and "precision" in told else "")
        + ".",
    ]
    if changes:
        sentences.append(f"Patches were augmented by {_listed(changes)}.")
    if config.foreground_share:
        sentences.append(f"{config.foreground_share:.0%} of the patches were centred on foreground of the target.")
    if config.clip_gradients:
        sentences.append(f"Gradients were clipped to a norm of {config.clip_gradients:g}.")
    if config.ema_decay:
        sentences.append(f"The weights are a moving average over the steps (decay {config.ema_decay:g}).")
    chosen = model.config.data == "pairs" or (told.get("pairs") or {}).get("validation")
    if chosen and told.get("split", {}).get("validation"):
        sentences.append(f"The weights of step {step}, the best on the validation pairs, were kept.")
    if config.norm_statistics == "image":
        sentences.append("As in the paper, predictions use each image's own batch statistics and keep dropout on.")
    return sentences


def _pairs(model: TrainedModel) -> list[str]:
    told = model.provenance
    split, pairs = told.get("split", {}), (told.get("pairs") or {}).get("train") or {}
    kinds = [f"{split[kind]} {verb}" for kind, verb in DIVIDED.items() if split.get(kind)]
    sentences = []
    if initial := (told.get("pairs") or {}).get("initial"):
        sentences.append(f"Training started from the weights of an earlier model (SHA-256 {initial['sha256'][:12]}…).")
    if kinds:
        files, groups = len(pairs.get("sources", ())), len(set(pairs.get("groups") or ()))
        of = f"Of {files} image pairs" if files > 1 else "Of the parts of one image pair" if files else "Of the images"
        of += f" in {groups} groups, each kept together" if groups else ""
        sentences.append(f"{of}, {_listed(kinds)}.")
    stains = told.get("stains", ())
    if len({stain["pairs"] for stain in stains}) > 1:
        listed = _listed([f"{stain['pairs']} were stained for {stain['name']}" for stain in stains])
        sentences.append(f"Of those that trained, {listed}; what a pair lacks counted in no loss and no figure.")
    if model.conditions.sets:
        counts = (told.get("conditions") or dict.fromkeys(model.conditions.names, 0)).items()
        classes = [f"{name} ({n} pair{'s' * (n > 1)})" if n else name for name, n in counts]
        dropout = getattr(model.config, "condition_dropout", 0.0)
        also = f" and in {dropout:.0%} of the patches" if dropout else ""
        sentences.append(
            f"The networks saw the condition of each pair, {_listed(classes)}, as a one-hot vector in constant planes "
            f"beside the source, zeros where it was not known{also}."
        )
    if size := pairs.get("pixel_size_um"):
        sentences.append(f"Pixels measured {' × '.join(f'{size[axis]:.4g}' for axis in 'ZYX' if axis in size)} µm.")
    return sentences


def _figures(report: dict[str, Any]) -> list[str]:
    n, kind = report["n"], report["kind_of_pairs"]
    what = {"test": "neither trained nor chose the model", "validation": "chose the weights that were kept"}.get(kind)
    if report.get("seen"):
        what = "the model had seen in training, at least in part"
    elif report.get("seen") is None and kind == "test":
        what = "may have trained the model: that is not known"
    which = f"{n} {kind} image{'s' * (n > 1)}{f' (which {what})' if what else ''}"
    if n == 1:
        return [f"Figures are of {which}."]
    return [
        f"Figures are means over {which} with 95 % percentile bootstrap intervals over them (Efron and Tibshirani, "
        "1993; 2000 resamples)."
    ]


def _scaled(normalization: NormalizationConfig) -> str:
    low, high = normalization.percentiles if normalization.range is None else normalization.range
    range_ = {
        "percentiles": f"their percentiles {low:g} and {high:g}",
        "min-max": "their extremes",
        "mean-std": "three standard deviations on either side of their mean",
        "fixed": f"the values {low:g} and {high:g}",
    }[normalization.method]
    over = "of each image" if normalization.statistics == "image" else "over the training images"
    return f"scaled linearly from {range_}{'' if normalization.method == 'fixed' else ' ' + over}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
