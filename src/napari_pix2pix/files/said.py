"""What is said of images in files, held against what a method learns from."""

from napari_pix2pix.core.settings.config import PairSettings, method_for
from napari_pix2pix.core.settings.training import Data

OF_PAIRS = (
    *("source_more", "target_more", "side_by_side", "pair_by", "groups", "valid", "ignore_label", "foreground"),
    *("annotated_frames", "skip_bad", "same_names", "pixel_size_um", "tissue"),
)
"""What is said of pairs alone."""
OF_DOMAINS = ("domains",)
"""What is said of images of several domains alone."""
OF_CLASSES = ("condition",)
"""What is said of pairs, and of images that are made from nothing."""
WHOSE: tuple[tuple[Data, str, tuple[str, ...]], ...] = (
    ("pairs", "pairs", OF_PAIRS),
    ("domains", "several domains", OF_DOMAINS),
    ("pairs", "pairs and of images that are made from nothing", OF_CLASSES),
)


def require_unsaid(settings: PairSettings, what: str, *names: str) -> None:
    """Raise a ValueError if one of these is said of `what`, which cannot have it."""
    for name in names:
        if getattr(settings, name) != PairSettings.model_fields[name].default:
            data, of = next((kind, of) for kind, of, names in WHOSE if name in names)
            raise ValueError(
                f"{what} cannot have `{name}`, which is of {of}. Leave it out, or choose the method {method_for(data)}."
            )


def require_no_plane_channels(settings: PairSettings, what: str) -> None:
    """Raise a ValueError if planes are to be channels, which takes pairs."""
    if settings.z == "channels":
        raise ValueError(f"z must be frame or volume {what}; got channels. Choose one of these.")
