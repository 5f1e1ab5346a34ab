"""What the pixels of a file that is written mean."""

from dataclasses import dataclass

from napari_pix2pix.files.placement import Measure, Placement


@dataclass(frozen=True)
class Meaning:
    """What a file says beside its pixels, see `write_stack`; `labels` are not averaged in a pyramid."""

    pixel_size_um: dict[str, float]
    placement: Placement
    channel_names: tuple[str, ...]
    description: str
    labels: bool

    @property
    def steps(self) -> dict[str, Measure]:
        """How far apart frames and pixels are, by axis."""
        return dict(self.placement.step) | {axis: (size, "µm") for axis, size in self.pixel_size_um.items()}
