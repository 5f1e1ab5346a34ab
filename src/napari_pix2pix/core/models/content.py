"""What a model file holds beside tensors: the one door through which it comes in, and what it is believed to be."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.engine.tensor_headers import Header, read_header
from napari_pix2pix.core.models.migrations import kept_config
from napari_pix2pix.core.settings.config import Config, validated

Count = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Told(BaseModel):
    """Facts of known types beside others that are kept as they are; nothing becomes another type."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class FileFacts(Told):
    """A file that trained."""

    path: str
    sha256: str


class PairFacts(Told):
    """The pairs of one kind, as `PairedStacks.provenance` tells."""

    sources: list[FileFacts] = []
    targets: list[FileFacts] = []
    masks: list[FileFacts] = []
    names: list[str] = []
    groups: list[str] = []
    conditions: list[dict[str, str | None]] = []
    target_channels: list[str] = []
    stains: list[list[Count | None]] = []
    pixel_size_um: dict[str, Length] = {}
    settings: dict[str, Any] = {}


class AllPairFacts(Told):
    """The pairs by kind."""

    train: PairFacts | None = None
    validation: PairFacts | None = None
    test: PairFacts | None = None
    old: PairFacts | None = None
    initial: FileFacts | None = None


class RegionFacts(Told):
    """A part of a frame, and what kind of pairs it is of: a row of `Split.rows`."""

    kind: str
    name: str
    group: str | None = None
    frame: Count
    y_start: Count
    y_stop: Count
    x_start: Count
    x_stop: Count


class StainFacts(Told):
    """One of several channels of the targets: how many pairs that trained have it, and figures by kind of pairs."""

    name: str
    pairs: Count
    figures: dict[str, dict[str, float]] = {}


class TrustFacts(Told):
    """How the second discriminator was taught, or why not."""

    steps: Count | None = None
    taught: Count | None = None
    calibrated: Count | None = None
    groups: Count | None = None
    not_taught: str | None = None


class Provenance(Told):
    """Where a model came from. All may be missing."""

    pairs: AllPairFacts = AllPairFacts()
    split: dict[str, Count] = {}
    regions: list[RegionFacts] = []
    seen: list[RegionFacts] = []
    began_imported: bool = False
    old_regions: list[RegionFacts] = []
    figures: dict[str, dict[str, float]] = {}
    stains: list[StainFacts] = []
    confusion: dict[str, dict[str, dict[str, Count]]] = {}
    conditions: dict[str, Count] = {}
    step: Count = 0
    seed: int = 0
    device: str = ""
    threads: Count = 1
    processes: Count = 1
    precision: str = ""
    predicts_in: Literal["float32", "bfloat16", "float16"] = "float32"
    bfloat16_changes_error_by: float = 0.0
    versions: dict[str, str] = {}
    trust: TrustFacts | None = None


class JudgeFacts(Told):
    """What `MatchJudge.content` tells."""

    conditional: bool = True
    calibrated: bool
    within_one: bool = False
    apart: bool = False
    per_pixel: bool = False
    sees_doubt: bool = False
    examined: dict[str, Share] = {}
    familiar: bool = False


class Content(BaseModel):
    """What a model holds beside tensors; what is not known is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    config: Annotated[Config, BeforeValidator(kept_config)]
    source_encoding: Encoding
    target_encoding: Encoding
    source_view: SourceView
    channel_axis: Literal["", "C", "S"]
    provenance: Provenance
    trust: JudgeFacts | None = None
    domains: Domains = NO_DOMAINS
    joint: bool = False
    conditions: Domains = NO_DOMAINS
    target_view: SourceView | None = None
    source_channel_axis: Literal["", "C", "S"] = ""

    @property
    def further(self) -> dict[str, Any]:
        """What is not known."""
        return dict(self.model_extra or {})

    @property
    def directions(self) -> tuple[str, ...]:
        """The sides that the model makes, the usual one first, as `TrainedModel.directions`."""
        if self.domains.sets:
            return self.domains.names
        return tuple(side for side in self.config.makes if side != "source" or self.target_view is not None)

    @property
    def spatial_dims(self) -> int:
        """Of frames: 3 where they are volumes."""
        return 3 if self.source_view.z == "volume" else 2


def content_of(raw: dict[str, Any]) -> Content:
    """What the content `raw` of a file says.

    Raises
    ------
    ValueError
        If something is missing or of the wrong type: where, what must be, what was found.
    """
    return validated(Content, raw)


def load_content(path: Path) -> tuple[Header, Content]:
    """What the model in the file `path` says, without its tensors.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model, is damaged, or is newer than this package.
    """
    header = read_header(path)
    try:
        return header, content_of(header.content)
    except ValueError as error:
        raise ValueError(f"A model must say what it is made of; {path} does not: {error}") from error
