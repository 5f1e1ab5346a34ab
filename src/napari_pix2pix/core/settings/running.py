"""How a model is run: what a user may choose for a prediction, and within which bounds."""

from typing import Annotated, Literal

from pydantic import Field

from napari_pix2pix.core.settings.config import Precision, Settings


class Running(Settings):
    """How a model is run; None: as the model, the frame and the machine say.

    The least tile size, overlap and number of draws are known to what plans the tiles and draws.
    """

    tile_size: Annotated[int, Field(le=2**20)] | None = None
    """Side of what each tile keeps, px."""
    overlap: Annotated[int, Field(le=2**16)] | None = None
    """Of tiles, px."""
    draws: Annotated[int, Field(le=10_000)] | None = None
    """Predictions with dropout left on, of which the mean is taken."""
    precision: Precision = "auto"
    """Of the network."""
    norm_statistics: Literal["training", "image"] | None = None
    """Of batch norm."""
    seed_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Instances: an object starts where the depth exceeds this share."""
    min_size: Annotated[int, Field(ge=0, le=2**31)] | None = None
    """Instances: smaller objects are dropped, px."""
    trust_limit: Annotated[float, Field(ge=0)] | None = None
    """The expected error above which a pixel is not trusted, in the target's units."""
