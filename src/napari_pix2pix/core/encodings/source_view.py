"""How a model takes frames from a source: which channels, by name or number, and how planes."""

import warnings
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_pix2pix.core.geometry.axes import AxesPlan, ZMode


class SourceView(BaseModel):
    """How frames are taken from a source.

    Parameters
    ----------
    channels
        The numbers of the channels taken in training; empty: all.
    of_channels
        Out of how many.
    colours
        Whether they were the colours of an RGB image.
    z
        How planes are taken.
    names
        What the channels taken were called; empty where the files did not say, or not all the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()
    of_channels: Annotated[int, Field(ge=1, lt=2**31)] = 1
    colours: bool = False
    z: ZMode = "frame"
    names: tuple[str, ...] = ()

    @property
    def pairs_z(self) -> Literal["frame", "channels", "volume"]:
        """How pairs for this model take their planes, as in `PairedFrames`."""
        return "frame" if self.z == "frame" else "volume" if self.z == "volume" else "channels"

    @classmethod
    def of(cls, plan: AxesPlan, names: Sequence[tuple[str, ...]] = ((),)) -> "SourceView":
        """The view that `plan` takes; `names` are those of the channels taken, for each training source."""
        repeated = len(set(plan.taken)) < len(plan.taken)  # a grey image among colour images
        total = plan.length("C") * plan.length("S")
        return cls(
            channels=() if repeated else plan.taken,
            of_channels=total,
            colours=repeated or plan.channel_axis == "S",
            z=plan.z,
            names=names[0] if len(set(names)) == 1 and all(names[0]) else (),
        )

    def numbers(self, names: Sequence[str]) -> tuple[int, ...]:
        """The numbers of the model's channels in a source whose channels have these names.

        Empty where names do not tell: channels are then taken by number, with a warning where names contradict.
        """
        if self.names and all(names.count(name) == 1 for name in self.names):
            return tuple(names.index(name) for name in self.names)
        taken = [names[i] for i in self.channels] if self.channels and len(names) == self.of_channels else list(names)
        if len(taken) == len(self.names) and any(
            name and name != own for name, own in zip(taken, self.names, strict=True)
        ):
            warnings.warn(
                f"The model was trained on channels called {', '.join(self.names)}; they are taken by number from this "
                f"source, where they are called {', '.join(taken)}. Choose them (`source_channels`) if that is wrong.",
                stacklevel=3,
            )
        return ()
