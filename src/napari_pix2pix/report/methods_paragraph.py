"""A paragraph on a model for the methods of a paper: facts from its config and provenance, nothing else."""

from typing import Any

from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import NormalizationConfig

REFERENCES = {
    "Isola et al., 2017": "Isola P, Zhu J-Y, Zhou T, Efros AA. Image-to-Image Translation with Conditional Adversarial "
    "Networks. Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition (CVPR), 2017, 1125-1134. "
    "arXiv:1611.07004.",
    "Ronneberger et al., 2015": "Ronneberger O, Fischer P, Brox T. U-Net: Convolutional Networks for Biomedical Image "
    "Segmentation. MICCAI 2015, LNCS 9351, 234-241. arXiv:1505.04597.",
    "Johnson et al., 2016": "Johnson J, Alahi A, Fei-Fei L. Perceptual Losses for Real-Time Style Transfer and "
    "Super-Resolution. ECCV 2016, LNCS 9906, 694-711. arXiv:1603.08155.",
    "Kingma and Ba, 2015": "Kingma DP, Ba J. Adam: A Method for Stochastic Optimization. ICLR 2015. arXiv:1412.6980.",
    "Ioffe, 2017": "Ioffe S. Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models. "
    "NeurIPS 2017. arXiv:1702.03275.",
    "Ulyanov et al., 2016": "Ulyanov D, Vedaldi A, Lempitsky V. Instance Normalization: The Missing Ingredient for "
    "Fast Stylization. 2016. arXiv:1607.08022.",
    "Mao et al., 2017": "Mao X, Li Q, Xie H, Lau RYK, Wang Z, Smolley SP. Least Squares Generative Adversarial "
    "Networks. ICCV 2017, 2794-2802. arXiv:1611.04076.",
    "Gulrajani et al., 2017": "Gulrajani I, Ahmed F, Arjovsky M, Dumoulin V, Courville A. Improved Training of "
    "Wasserstein GANs. NeurIPS 2017. arXiv:1704.00028.",
    "Efron and Tibshirani, 1993": "Efron B, Tibshirani RJ. An Introduction to the Bootstrap. Chapman & Hall, 1993.",
}
NORMS = {
    "batch": "batch normalization",
    "batch-renorm": "batch renormalization (Ioffe, 2017)",
    "instance": "instance normalization (Ulyanov et al., 2016)",
    "none": "no normalization layers",
}
OBJECTIVES = {
    "cross-entropy": "the cross-entropy of the discriminator with the non-saturating loss for the generator",
    "minimax": "the cross-entropy of the discriminator in its minimax form",
    "least-squares": "least squares (Mao et al., 2017)",
    "hinge": "the hinge loss",
    "wgan-gp": "the Wasserstein distance with gradient penalty (Gulrajani et al., 2017)",
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
    text = " ".join([*_network(model), *_training(model), *_pairs(model), *(_figures(report) if report else [])])
    return text, [full for short, full in REFERENCES.items() if short in text]


def _network(model: TrainedModel) -> list[str]:
    config, versions = model.config, model.provenance.get("versions", {})
    made_with = f"napari-pix2pix {versions['napari-pix2pix']}" if "napari-pix2pix" in versions else "napari-pix2pix"
    made_with += f" (PyTorch {versions['torch']})" if "torch" in versions else ""
    generator, dims = config.generator, "three" if model.source_view.z == "volume" else "two"
    if generator.architecture == "unet":
        kind = f"a U-Net (Ronneberger et al., 2015) with {generator.levels} downsamplings"
        kind += "" if generator.skips else " and no skip connections"
    else:
        kind = f"a residual network of {generator.architecture.removeprefix('resnet-')} blocks (Johnson et al., 2016)"
    weights = sum(weight.numel() for weight in model.generator.parameters())
    sentences = [
        "Images were translated with "
        + ("a conditional adversarial network" if model.discriminator else "the generator")
        + f" of pix2pix (Isola et al., 2017) as implemented in {made_with}. The generator was {kind} in {dims} "
        f"dimensions ({generator.base_channels} channels in the first level, {weights / 1e6:.3g} million weights, "
        f"{NORMS[generator.norm]}, dropout {generator.dropout:g})."
    ]
    if model.discriminator:
        field = model.discriminator.fields[-1].size
        seen = "of the image given its source" if config.discriminator.conditional else "of the image alone"
        sentences.append(
            f"The discriminator was a PatchGAN that judges fields of {field} × {field} px {seen} "
            f"({config.discriminator.base_channels} channels in the first layer, {NORMS[config.discriminator.norm]})."
        )
    return sentences


def _training(model: TrainedModel) -> list[str]:
    config, told = model.config, model.provenance
    target = KINDS[model.target_encoding.kind].format(
        target=_scaled(config.target_normalization), classes=len(model.target_encoding.classes)
    )
    source = (
        "Source classes were one input channel each."
        if config.source_kind == "classes"
        else f"Source grey values were {_scaled(config.source_normalization)} to [-1, 1]."
    )
    loss = f"{config.l1_weight:g} times the L1 distance"
    loss += f" plus {config.l2_weight:g} times the mean squared error" if config.l2_weight else ""
    if model.discriminator:
        loss += f" plus {config.gan_weight:g} times the adversarial loss, {OBJECTIVES[config.objective]}"
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
        f"The generator minimised {loss}.",
        ("Both networks were" if model.discriminator else "It was")
        + f" trained for {config.steps} steps on batches of {config.batch_size} random patches of {size} px with Adam "
        f"(Kingma and Ba, 2015; β1 = {config.beta1:g}, β2 = {config.beta2:g}) and "
        f"{SCHEDULES[config.schedule].format(config.learning_rate)}, seed {config.seed}"
        + (f", on {told['device']} in {told['precision']}" if "device" in told and "precision" in told else "")
        + ".",
    ]
    if changes:
        sentences.append(f"Patches were augmented by {_listed(changes)}.")
    if config.shift_tolerance:
        sentences.append(
            f"Target patches were moved by up to {config.shift_tolerance} px to where they fitted the prediction best."
        )
    if config.foreground_share:
        sentences.append(f"{config.foreground_share:.0%} of the patches were centred on foreground of the target.")
    if config.class_weights == "rare":
        sentences.append("Each class was weighted by one over its share of the training pixels, up to ten times.")
    if config.clip_gradients:
        sentences.append(f"Gradients were clipped to a norm of {config.clip_gradients:g}.")
    if config.ema_decay:
        sentences.append(f"The weights are a moving average over the steps (decay {config.ema_decay:g}).")
    if told.get("split", {}).get("validation"):
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
    if size := pairs.get("pixel_size_um"):
        sentences.append(f"Pixels measured {' × '.join(f'{size[axis]:.4g}' for axis in 'ZYX' if axis in size)} µm.")
    return sentences


def _figures(report: dict[str, Any]) -> list[str]:
    n, kind = report["n"], report["kind_of_pairs"]
    what = {"test": "neither trained nor chose the model", "validation": "chose the weights that were kept"}.get(kind)
    if report.get("seen"):
        what = "the model had seen in training, at least in part"
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
