"""What a report is about, and what its figures are called."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.teaching.examples import Example
from napari_pix2pix.report.example_pictures import Panel

TITLES = {
    "mae": ("mean absolute error", "grey values; 0 is perfect"),
    "rmse": ("root mean squared error", "grey values; 0 is perfect"),
    "nrmse": ("normalised RMSE", "as a share of the range; 0 is perfect"),
    "psnr": ("peak signal-to-noise ratio", "dB; higher is better, blur is rewarded"),
    "pearson": ("Pearson correlation", "of pixels; 1 is perfect"),
    "spearman": ("Spearman correlation", "of the ranks of pixels; 1 is perfect"),
    "ssim": ("SSIM", "1 is perfect; misleads where images are mostly dark"),
    "ssim_scale_free": ("scale-free SSIM", "whatever the brightness and the background, as MicroSSIM; 1 is perfect"),
    "frc_cutoff": (
        "detail that is right",
        "cycles/px up to which the Fourier ring correlation with the target is 0.5; 0.5 is perfect",
    ),
    "spectral_correlation": ("spectral correlation", "of the power at all frequencies, wherever it lies; 1 is perfect"),
    "dice": ("Dice", "share of overlap; 1 is perfect"),
    "iou": ("IoU", "overlap over union; 1 is perfect"),
    "pixel_accuracy": ("pixel accuracy", "share of pixels that are right"),
    "class_accuracy": ("class accuracy", "mean over classes of the share that is found"),
    "class_iou": ("class IoU", "mean over all classes"),
    "object_f1_iou50": ("object F1 at IoU 0.5", "objects found that overlap by more than half; 1 is perfect"),
    "object_ap_iou50": (
        "object AP at IoU 0.5",
        "average precision, matches among all objects, found or true; 1 is perfect",
    ),
    "merges": ("merges", "true objects taken together, per image"),
    "splits": ("splits", "true objects taken apart, per image"),
    "adapted_rand_error": ("adapted Rand error", "0 is perfect"),
    "variation_of_information": ("variation of information", "0 is perfect"),
    "expected_error": ("expected error", "what the model itself expects of its prediction, mean over pixels"),
    "expected_calibration_error": ("expected calibration error", "how far that lies from the truth, pixel by pixel"),
}
"""By the name of a figure: its name for people, and what it means."""
FOREGROUND = "_foreground"


class Translated(NamedTuple):
    """An image of a domain, what to know of it, and pictures of it and its translations."""

    name: str
    note: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Content:
    """What a report is about.

    Parameters
    ----------
    title
        Of the page.
    command
        The exact command that wrote it.
    report
        What `evaluate` found; None: there were no pairs to judge by.
    model
        What was judged; None: any tool's predictions.
    examples
        Images to show; taken one at a time.
    card
        Of the model: a label and a text for each line.
    history
        Of the training, as in ``history.csv``.
    channels
        What the target's channels are called.
    skipped
        By name a sentence for each pair that was left out.
    remarks
        What else to know, a sentence each.
    translated
        Of a model of several domains, an image of each.
    """

    title: str
    command: str
    report: dict[str, Any] | None = None
    model: TrainedModel | None = None
    examples: Iterable[Example] = ()
    card: Sequence[tuple[str, str]] = ()
    history: Sequence[dict[str, Any]] = ()
    channels: Sequence[str] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    translated: Sequence[Translated] = ()

    def called(self, report: dict[str, Any]) -> list[str]:
        """What the target's channels are called; their numbers, where the files do not say."""
        names, count = self.channels, len(report.get("spectra", ())) or 1
        names = names or [stain["name"] for stain in report.get("stains", ())]
        if count == 3 and not any(names) and self.model is not None and self.model.channel_axis == "S":
            names = ("red", "green", "blue")
        return [names[i] if i < len(names) and names[i] else f"channel {i}" for i in range(count)]


def title_of(name: str) -> str:
    """What a figure is called, for people."""
    whole = name.removesuffix(FOREGROUND)
    title = TITLES.get(whole, (whole.replace("_", " "),))[0]
    return title if whole == name else f"{title}, foreground"
