"""The settings of models that another program trained, whose generator is an ONNX graph."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from napari_pix2pix.core.settings.training import Config, Data, Settings

Side = Annotated[int, Field(ge=1, le=65_536)]
Numbers = Annotated[tuple[float, ...], Field(min_length=1, max_length=4096)]


class Processing(Settings):
    """What is done with values before or after a graph."""

    kind: Literal["line", "clip", "above", "sigmoid", "softmax"]
    """Times `gain` plus `offset`, for each channel or all; cut to `low` and `high`; 1 above `low`, else 0; the logistic
    function; the softmax over channels."""
    gain: Numbers = (1.0,)
    """Of a line."""
    offset: Numbers = (0.0,)
    """Of a line."""
    low: float | None = None
    """The least value; what lies above becomes 1."""
    high: float | None = None
    """The largest value."""


class GraphFacts(Settings):
    """What is known of a graph, by whoever exported it; sides are along ([z,] y, x), in pixels."""

    n_bytes: Annotated[int, Field(ge=1, lt=2**31)] = 1
    """Of the file."""
    grid: Annotated[tuple[Side, ...], Field(min_length=2, max_length=3)] = (1, 1)
    """What sides of an image are multiples of, counted from `minimum`; where tiles begin."""
    minimum: Annotated[tuple[Side, ...], Field(min_length=2, max_length=3)] = (1, 1)
    """The smallest sides."""
    reach: Annotated[tuple[Annotated[int, Field(ge=0, le=65_536)], ...], Field(max_length=3)] = ()
    """How far a pixel can influence the result; empty: not known, so that images are seen in one piece."""
    before: tuple[Processing, ...] = ()
    """What is done with what it sees, in this order."""
    after: tuple[Processing, ...] = ()
    """What is done with what it gives."""

    def model_post_init(self, _: object) -> None:
        """Check what concerns two settings."""
        if len({len(sides) for sides in (self.grid, self.minimum, self.reach or self.grid)}) > 1:
            raise ValueError(
                "A graph must have grid, minimum and reach along the same axes; got "
                f"{self.grid}, {self.minimum} and {self.reach}."
            )


class OnnxConfig(Config):
    """A model that was trained elsewhere: nothing of the training is known, and it goes on nowhere."""

    data: ClassVar[Data] = "pairs"
    called: ClassVar[str] = "ONNX"

    method: Literal["onnx"] = "onnx"
    """A graph, as it is."""
    graph: GraphFacts = GraphFacts()
    """What is known of it."""

    @classmethod
    def of(cls, graph: GraphFacts, authors: str = "", licence: str = "") -> Self:
        """For this graph, with patches that it takes, of which `fit_trust` draws some."""
        side = max(-(-256 // step) * step for step in graph.grid[-2:])
        planes = graph.grid[0] if len(graph.grid) == 3 else 1
        return cls(
            graph=graph,
            steps=1,
            patch_size=side,
            patch_depth=-(-16 // planes) * planes,
            authors=authors,
            licence=licence,
        )

    @property
    def grid(self) -> int:
        """Along Y and X; of both the larger."""
        return max(self.graph.grid[-2:])

    @property
    def z_grid(self) -> int:
        """Along Z."""
        return self.graph.grid[0] if len(self.graph.grid) == 3 else 1

    @property
    def knows_range(self) -> bool:
        """Not where it is that of a package's only image."""
        return not self.graph.before

    @property
    def scores(self) -> bool:
        """It has no discriminator."""
        return False
