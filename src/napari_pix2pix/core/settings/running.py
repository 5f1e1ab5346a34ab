"""How a model is run, as one value from the flags down to the network; the docstring of a field is its help."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from napari_pix2pix.core.settings.config import Precision, Settings

TURN = "NAPARI_PIX2PIX_TURN"
"""In the environment of a worker of this machine its number, by which each takes a GPU of its own."""


class Running(Settings):
    """How a model is run, for predictions and for scores; None: as the model, the frame and the machine say.

    The least tile size, overlap and number of draws are known to what plans the tiles and draws.

    Class attributes
    ----------------
    recorded
        By what name records know a setting, where it is another.
    later
        What they do not hold unless it is chosen: folders that were begun before it could be are gone on with.
    """

    recorded: ClassVar[Mapping[str, str]] = {}
    later: ClassVar[frozenset[str]] = frozenset({"to", "condition"})

    to: str = "target"
    """Which side the model is to make, or the scored image claims to be: target, or source where the model was trained
    without pairs; SOURCE is then of the other side. Of several domains the name of one, as in H&E or
    stain=H&E,scanner=A; all: one file for each."""
    condition: str | None = None
    """Of which condition the sources are, where the model learned from pairs of several: its name, or a CSV file (name,
    class; an empty cell: not known) with that of each. Default: not known."""
    source_axes: str | None = None
    """One letter of TZCYXS per axis, where the file does not say."""
    source_channels: tuple[str, ...] = ()
    """Channels to take, by name or number; default: those of the training, by name."""
    side_by_side: Literal["left", "right"] | None = None
    """Each image holds source and target: which half is the source."""
    tile_size: Annotated[int, Field(le=2**20)] | None = None
    """Side of what each tile keeps, px. Default: one piece up to 2048."""

    @property
    def record(self) -> dict[str, Any]:
        """What tells one way from another in the records of results; JSON."""
        fields = type(self).model_fields
        unsaid = {name for name in self.later if getattr(self, name) == fields[name].default}
        return {self.recorded.get(name, name): value for name, value in self if name not in unsaid}


class PredictSettings(Running):
    """How a model predicts."""

    recorded: ClassVar[Mapping[str, str]] = {"source_axes": "axes", "source_channels": "wanted", "side_by_side": "half"}
    later: ClassVar[frozenset[str]] = frozenset(
        {
            *("to", "condition", "keep_frames", "trust", "trust_limit", "trust_risk"),
            *("pixel_size_um", "region", "annotations", "tissue"),
        }
    )

    overlap: Annotated[int, Field(le=2**16)] | None = None
    """Of tiles, px. Default: exact, no seams; less is faster, and blended."""
    norm_statistics: Literal["training", "image"] | None = None
    """Of batch norm, instead of what the model was trained for; those of the training allow tiles."""
    rescale: bool = False
    """Let the network see the training's pixel size, where a source's differs by more than 10 %."""
    pixel_size_um: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The pixel size to predict at, µm: the nearest finer level is taken, and resampled. Default: of a slide the
    training's, else the image's own."""
    region: str | None = None
    """X,Y,W,H: only this region is predicted, in px of the full resolution, or in µm with um behind it; the result is
    as large as the slide."""
    annotations: str | None = None
    """A GeoJSON file of QuPath: only in its annotations is predicted."""
    tissue: bool = False
    """Only tissue is predicted: it is found by its colours, and written to OUT.tissue.geojson."""
    draws: Annotated[int, Field(le=10_000)] | None = None
    """The mean over so many dropout draws; their standard deviation goes to OUT.spread.tif or .zarr."""
    seed_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Instances: an object starts where the depth exceeds this share. Default: 0.5."""
    min_size: Annotated[int, Field(ge=0, le=2**31)] | None = None
    """Instances: smaller objects are dropped, px. Default: the model's."""
    keep_maps: bool = False
    """Keep what the network gave (OUT.maps.tif), to decode objects again."""
    keep_frames: bool = False
    """If it is stopped, keep the frames that are done, as a shorter OME-Zarr."""
    trust: bool = False
    """How far to trust each pixel: OUT.expected_error.tif, and OUT.untrusted.tif, 1 where that is above the limit; each
    object, to keep or to check: OUT.objects.csv, OUT.outlines.geojson."""
    trust_limit: Annotated[float, Field(ge=0)] | None = None
    """With `trust`, the expected error above which a pixel is not trusted, in the target's units; of labels a share of
    wrong pixels. Default: twice the usual error."""
    trust_risk: Annotated[float, Field(gt=0, lt=1)] | None = None
    """With `trust`, a mask with a promise instead of a limit: of what it leaves, at most this share of the pixels is
    wrong, on average over new images like those that calibrated; intensities err by at most this share of the usual
    error. Of labels 0.02 needs 49 calibration groups, 0.05 needs 20; of intensities 0.5 needs 20."""
    precision: Precision = "auto"
    """auto: bfloat16 where the training found it as good; float32: tiles leave no trace."""

    @property
    def of_part(self) -> bool:
        """Whether only a part of each source is wanted."""
        return self.region is not None or self.annotations is not None or self.tissue


class ScoreSettings(Running):
    """How a model scores; `side_by_side` of an image that is its own source takes the other half to be scored."""

    recorded: ClassVar[Mapping[str, str]] = {
        "source_channels": "wanted",
        "side_by_side": "halves",
        "per_pixel": "each_pixel",
    }
    later: ClassVar[frozenset[str]] = frozenset({"to", "condition", "per_pixel"})

    image_axes: str | None = None
    """One letter of TZCYXS per axis, where the file does not say."""
    kind: Literal["match", "plain"] | None = None
    """match: does it belong to its source, with expected errors; plain: does it look real. Default: the first that the
    model has."""
    table: bool = False
    """A table of all scores, too (OUT.table.csv): position, score, rank, errors."""
    per_pixel: bool = False
    """Every image on the pixels of IMAGE, linear between the centres of the fields, instead of one for each field."""


class RegisterSettings(Settings):
    """How targets are laid over their sources."""

    source_axes: str | None = None
    """One letter of TZCYXS per axis, where the file does not say."""
    target_axes: str | None = None
    """One letter of TZCYXS per axis, where the file does not say."""
    source_channels: tuple[str, ...] = ()
    """Channels that tell how targets lie, by name or number from 0; default: all."""
    target_channels: tuple[str, ...] = ()
    """Channels that tell how targets lie, by name or number from 0; all are moved. Default: all."""
    target_kind: Literal["auto", "intensity", "classes", "instances"] = "auto"
    """Labels (classes, instances) are matched by their borders and moved without new values."""
    z: Literal["frame", "channels"] = "frame"
    """Planes one by one, volumes too; or those of the source as channels, where the target has none."""
    pair_by: tuple[str, str] | None = None
    """Patterns for the names of sources and targets: with `*_bf` `*_dapi`, pairs share what the star stands for."""
    valid: str | None = None
    """Masks of where targets are known (not 0): a file or a folder, paired by name. They are moved, too."""
    ignore_label: int | None = None
    """A value of the target that means: not known."""


class GenerateSettings(Settings):
    """How a model makes images from nothing."""

    condition: str | None = None
    """The class of all images, where the model knows some. Default: each of any."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The same seed, the same images, however many."""
    truncation: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How far images may be from the mean one, as a share: the lower, the more usual, and the more alike, they are."""
