"""What every generator is."""

from torch import nn


class Generator(nn.Module):
    """Sources (N, in_channels, [Z,] Y, X) to images (N, out_channels, [Z,] Y, X) in [-1, 1], float32.

    Attributes
    ----------
    grid
        What the source's sides must be multiples of, ([z,] y, x): the total stride.
    reach
        How far a pixel of the source can influence the image, ([z,] y, x) in pixels.
    whole
        Whether it must see an image in one piece: its reach is not known.
    """

    whole: bool = False
    grid: tuple[int, ...]
    reach: tuple[int, ...]

    @property
    def sees_source(self) -> nn.Module | None:
        """The layer that alone sees the source; None where several may."""
        return None
