"""What a publication must tell of a model and its figures: a checklist, and all of it as LaTeX."""

from collections.abc import Mapping, Sequence
from typing import Any

from napari_pix2pix.core.evaluation.metrics.features import CORRELATIONS, DIFFERENCES, SPREADS
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.report.content import FOREGROUND, title_of

NOT_TOLD = "not known here: add it"
DEFINITIONS = {
    "mae": "mean of |prediction - target| over the known pixels, in grey values",
    "rmse": "root of the mean of (prediction - target)², in grey values",
    "nrmse": "RMSE / range of all targets",
    "psnr": "20 log10(range of all targets / RMSE), in dB",
    "pearson": "Pearson's correlation of the pixels",
    "spearman": "Pearson's correlation of the ranks of the pixels",
    "ssim": "structural similarity with windows of 7 × 7 px and the range of all targets (Wang et al., 2004)",
    "ssim_scale_free": "SSIM after the third percentile is taken off both images and the prediction is multiplied by "
    "the factor for which it is highest (after MicroSSIM, Ashesh et al., 2024; here one factor per image)",
    "frc_cutoff": "frequency up to which the Fourier ring correlation of prediction and target is 0.5 or more "
    "(Rosenthal and Henderson, 2003), in cycles/px",
    "spectral_correlation": "Pearson's correlation of the logarithms of radially averaged power",
    "dice": "2 |A ∩ B| / (|A| + |B|), of classes the mean over all but the lowest",
    "iou": "|A ∩ B| / |A ∪ B|, the mean over all classes but the lowest",
    "pixel_accuracy": "share of pixels whose class is right (Long et al., 2015)",
    "class_accuracy": "mean over classes of the share of their pixels that is found (Long et al., 2015)",
    "class_iou": "mean over all classes of the IoU (Long et al., 2015)",
    "object_f1_iou50": "2 TP / (2 TP + FP + FN) of objects whose IoU is above 0.5 (Caicedo et al., 2019); others alike",
    "object_ap_iou50": "TP / (TP + FP + FN) of the same",
    "merges": "predicted objects that hold more than half of each of two or more true ones, per image",
    "splits": "true objects that hold more than half of each of two or more predicted ones, per image",
    "adapted_rand_error": "1 - F score of the pairs of pixels that share an object (Arganda-Carreras et al., 2015)",
    "variation_of_information": "H(prediction | target) + H(target | prediction), in bits (Meilă, 2007)",
}
READOUTS = (
    "of objects of both sides (of at least 10 px; matched at IoU > 0.5): Pearson's correlation over matched objects; "
    "standardized difference, the difference of the means over the root of the mean variance; spread, the ratio of the "
    f"standard deviations. Usable: at most {DIFFERENCES[0]:g} (Cohen, 1988), at least {CORRELATIONS[0]:g} (Koo and Li, "
    f"2016), within {1 / SPREADS[0]:g} to {SPREADS[0]:g}, with both ends of the 95 % interval; not: beyond "
    f"{DIFFERENCES[1]:g}, {CORRELATIONS[1]:g}, or {1 / SPREADS[1]:g} to {SPREADS[1]:g}"
)
KINDS = ("train", "validation", "calibration", "test")
ESCAPED = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
    **{"×": r"$\times$", "β": r"$\beta$", "λ": r"$\lambda$", "π": r"$\pi$", "∩": r"$\cap$", "∪": r"$\cup$"},
    **{"±": r"$\pm$", "°": r"$^\circ$", "²": r"$^2$", "µ": r"$\mu$", "…": r"\ldots{}", "ă": r"\u{a}"},
}
"""What LaTeX takes for a command, or does not know in every encoding."""


def checklist(model: TrainedModel | None, report: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Label and text of each line; what is not known says so."""
    rows = _of_model(model) if model is not None else [("model", "predictions of another tool: " + NOT_TOLD)]
    if report is None:
        return [*rows, ("metrics", NOT_TOLD)]
    over, n = report["intervals"], report["n"]
    judged = f"{n} {report['kind_of_pairs']} images"
    judged += ", some of which the model had seen" if report.get("seen") else ""
    what = "tool" if model is None else "model"
    judged += f"; whether they taught the {what} is not known here" if report.get("seen") is None else ""
    rows.append(("judged on", judged))
    each = f"95 % percentile bootstrap over {over['n']} {over['over']}, 2000 resamples (Efron and Tibshirani, 1993)"
    rows.append(("intervals", each if over["n"] > 1 else "none: one image or group"))
    if report["baselines"]:
        rows.append(("beside", ", ".join(report["baselines"])))
    figures = [name for name in report["metrics"] if name in DEFINITIONS and not name.endswith(FOREGROUND)]
    rows += [(title_of(name), DEFINITIONS[name]) for name in figures]
    if any(one is not None for one in report.get("features", ())):
        rows.append(("read-outs", READOUTS))
    if report["remarks"]:
        rows.append(("limits", " ".join(report["remarks"])))
    return rows


def _of_model(model: TrainedModel) -> list[tuple[str, str]]:
    told, config = model.provenance, model.config
    split, pairs, versions = told.get("split", {}), told.get("pairs") or {}, told.get("versions", {})
    train = pairs.get("train") or {}
    files, groups = len(train.get("sources", ())), len(set(train.get("groups") or ()))
    data = (
        f"{files} files of images that were given for training; where they can be had: {NOT_TOLD}"
        if files
        else NOT_TOLD
    )
    divided = ", ".join(f"{split[kind]} {kind}" for kind in KINDS if kind in split)
    kept = f"groups kept apart ({groups})" if groups else "no groups were named"
    hardware = [str(told[name]) for name in ("device", "precision") if name in told]
    hardware += [f"{told['threads']} threads"] if "threads" in told else []
    size = train.get("pixel_size_um") or {}
    um = " × ".join(f"{size[axis]:.4g}" for axis in "ZYX" if axis in size)
    trained = [
        ("seed", f"{config.seed}; one training: other seeds may give other figures, see train --seeds"),
        ("training", f"{told.get('step', config.steps)} of {config.steps} steps, method {config.method}"),
    ]
    return [
        ("data", data),
        ("pixel size", f"{um} µm" if um else NOT_TOLD),
        ("split", f"{divided}; {kept}" if divided else NOT_TOLD),
        *([("training", f"elsewhere; of what and how: {NOT_TOLD}")] if "imported" in told else trained),
        ("hardware", ", ".join(hardware) or NOT_TOLD),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or NOT_TOLD),
        ("model", f"SHA-256 {model.hash()}; where it can be had: {NOT_TOLD}"),
        ("licence", config.licence or NOT_TOLD),
    ]


def latex(text: str, references: Sequence[str], rows: Sequence[tuple[str, str]]) -> str:
    """The paragraph, its references and the checklist, to be put into a document; no package is needed."""
    lines = [r"\paragraph{Methods}", escaped(text), ""] if text else []
    if references:
        lines += [
            r"\begin{itemize}",
            *(rf"\item {escaped(reference)}" for reference in references),
            r"\end{itemize}",
            "",
        ]
    lines += [r"\paragraph{Checklist}", r"\begin{description}"]
    lines += [rf"\item[{{{escaped(label)}}}] {escaped(said)}" for label, said in rows]
    return "\n".join([*lines, r"\end{description}"])


def escaped(text: str) -> str:
    """The text as LaTeX prints it."""
    return "".join(ESCAPED.get(character, character) for character in text)
