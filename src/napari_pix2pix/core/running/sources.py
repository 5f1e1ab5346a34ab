"""How a trained model takes frames from a source, and what it warns of: grey values and textures that it never saw."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.geometry.axes import AxesPlan, middle
from napari_pix2pix.core.running.bands import Band, unknown
from napari_pix2pix.core.trust.novelty import MIDDLE, STRANGE

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel

OUTSIDE = 0.1
"""The share of an image's pixels beyond the training range from which on a warning is given."""


def require_translator(model: "TrainedModel") -> None:
    """Raise a ValueError if the model makes images from nothing: it takes no source."""
    if model.config.data == "images":
        raise ValueError(
            f"A model must make images of others for this; this one, of the method {model.config.method}, makes them "
            "from nothing. Use generate, and train a model of pix2pix on what it makes."
        )


def source_plan(model: "TrainedModel", stack: Any, axes: str | None = None, channels: Sequence[int] = ()) -> AxesPlan:
    """How frames of the source `stack` are taken for the model, see `TrainedModel.source_plan`."""
    require_translator(model)
    plan, view = replace(AxesPlan.of(stack, axes), z=model.source_view.z), model.source_view
    expected = model.source_encoding.n_channels
    if channels:
        plan = replace(plan, channels=tuple(channels))
    elif view.channels and plan.length("C") * plan.length("S") == view.of_channels:
        plan = replace(plan, channels=view.channels)  # a file like those of the training
    elif plan.n_channels == plan.n_planes and expected == 3 * plan.n_planes and view.colours:
        plan = replace(plan, channels=(0, 0, 0))
        warnings.warn("The source is grey where the model expects colours; its grey is each colour's.", stacklevel=3)
    if plan.n_channels != expected:
        few = ", add those in further files (`source_more`)," if plan.n_channels < expected else ""
        raise ValueError(
            f"A source for this model must have {counted(expected)}; got {plan.n_channels} "
            f"({plan.axes}, {plan.shape}). Choose channels (`source_channels`){few} or give the axes."
        )
    return plan


def novel(model: "TrainedModel", stack: Any, plan: AxesPlan, frame: int, area: Area | None = None) -> float:
    """The share of the middle of this frame that is like nothing that trained; 0 where it or nobody knows.

    Of a frame of which an `area` is wanted, of a part of that.
    """
    shape = plan.frame_shape
    window = middle_of(shape, MIDDLE) if area is None else area.in_it(shape, MIDDLE)
    if model.match is None or unknown(plan.take(stack, frame, window)).any():
        return 0.0
    seen = model.source_encoding.windows(partial(plan.take, stack, frame), shape)
    return model.match.novelty.strange(seen(window))


def is_novel(strange: float) -> bool:
    """Whether so large a share of a source is like nothing that trained that expected errors do not hold."""
    return strange > STRANGE


def warn_of_novelty(strange: float) -> bool:
    """Whether so large a share of a source is like nothing that trained that it is told."""
    if is_novel(strange):
        warnings.warn(
            f"{strange:.0%} of the source is, by grey values and texture, like nothing that trained the model: "
            "another stain, magnification or focus? Expect a poor prediction; expected errors and bounds do not "
            "hold here.",
            stacklevel=3,
        )
    return is_novel(strange)


def outside_range(model: "TrainedModel", band: Band, wanted: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """The shares of each channel's pixels below and above the training range, times the band's of the frame; (C, 2).

    Where some pixels (rows, columns) are `wanted` alone, times how many they are.
    """
    normalization = model.source_encoding.normalization
    if normalization is None or normalization.each_image is not None or not model.config.knows_range:
        return np.zeros((0, 2))
    source, weight = band.source, band.share
    if wanted is not None:
        weight = float(np.count_nonzero(wanted))
        if not weight:
            return np.zeros((len(source), 2))
        source = source if weight == wanted.size else source[..., wanted]
    shares = np.array([[below, above] for _, below, above in normalization.outside(source)])
    return shares * weight


def warn_of_range(model: "TrainedModel", outside: NDArray[np.float64], plan: AxesPlan) -> bool:
    """Whether much of a source lies outside, and is told; shares (C, 2) as of `outside_range`, of a whole frame."""
    grey = len(plan.channels) > 1 and len(set(plan.channels)) == 1  # which is each colour's
    said = beyond_range(model.source_encoding, outside, "the source lies {} the training range {}", grey)
    if said:
        warnings.warn(f"{said}; expect a poor prediction.", stacklevel=3)
    return bool(said)


def beyond_range(encoding: Encoding, outside: NDArray[np.float64], lies: str, one: bool = False) -> str:
    """How much of an image lies outside the range of an encoding, of the channel where it is most; "" if it is little.

    Parameters
    ----------
    outside
        Of each channel the shares below and above, (C, 2).
    lies
        What lies where, a place for below or above, and for the range.
    one
        Whether all channels are the same one.
    """
    if not (outside > OUTSIDE).any():
        return ""
    assert encoding.normalization is not None
    channel, side = np.unravel_index(int(outside.argmax()), outside.shape)
    others = int((outside > OUTSIDE).any(axis=1).sum()) - 1
    which = f"channel {channel} of " if len(outside) > 1 and not one else ""
    more = f" (so does much of {others} other channel{'s' * (others > 1)})" if others and not one else ""
    span = f"{encoding.normalization.low[channel]:.6g} to {encoding.normalization.high[channel]:.6g}"
    return f"{outside[channel, side]:.0%} of {which}{lies.format(('below', 'above')[side], span)}{more}"


def middle_of(shape: tuple[int, ...], side: int) -> tuple[slice, ...]:
    """The window ([Z,] Y, X), so large at most, of a frame of this shape that is looked at for all of it."""
    return (*(slice(0, n) for n in shape[:-2]), *(middle(slice(0, n), side) for n in shape[-2:]))


def counted(channels: int) -> str:
    """1 channel, 2 channels."""
    return f"{channels} channel" + ("s" if channels > 1 else "")
