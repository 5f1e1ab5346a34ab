"""Grey values <-> [-1, 1]: fitted once on the training pairs, kept with the model, inverted on output."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Normalization(BaseModel):
    """A linear map of each channel: `low` goes to -`limit` and `high` to +`limit`. Nothing is clipped on the way in.

    Parameters
    ----------
    low, high
        Grey values, one per channel; low < high.
    limit
        Where `high` is mapped to: 1 for sources, 0.9 for targets, so that tanh can reach their ends.
    dtype
        The dtype of the grey values, restored by `invert`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: tuple[float, ...]
    high: tuple[float, ...]
    limit: float
    dtype: str

    @property
    def n_channels(self) -> int:
        """How many channels the frames must have."""
        return len(self.low)

    def _line(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = (np.array(values)[:, None, None] for values in (self.low, self.high))
        return (low + high) / 2, (high - low) / 2 / self.limit

    def apply(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """`frame` (C, Y, X) in grey values, as float32 with the fitted range in [-limit, limit]."""
        centre, unit = self._line()
        return ((frame - centre) / unit).astype(np.float32)

    def invert(self, frame: NDArray[np.float32]) -> NDArray[Any]:
        """`frame` (C, Y, X) in [-1, 1], as grey values of the dtype; integers are rounded and clipped to it."""
        centre, unit = self._line()
        values = frame * unit + centre
        if self.dtype == "bool":
            return values >= 0.5
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return values.astype(dtype)


def fit_normalization(
    frames: Iterable[NDArray[Any]], *, percentiles: tuple[float, float], limit: float
) -> Normalization:
    """The normalization that maps these percentiles (0 and 100: the extremes) of all `frames` (C, Y, X) to ±`limit`.

    The extremes are exact; other percentiles come from at most 65,536 evenly spaced pixels of each frame. A channel
    that is constant gets the range [value, value + 1].
    """
    samples: list[NDArray[np.float64]] = []
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    dtype = "float32"
    for frame in frames:
        dtype = str(frame.dtype)
        pixels = frame.reshape(len(frame), -1)
        ends = pixels.min(axis=1).astype(float), pixels.max(axis=1).astype(float)
        low = ends[0] if low is None else np.minimum(low, ends[0])
        high = ends[1] if high is None else np.maximum(high, ends[1])
        samples.append(pixels[:, :: max(1, pixels.shape[1] // 65536)].astype(float))
    if low is None or high is None:
        raise ValueError("A normalization must be fitted on at least one frame; got none.")
    if percentiles != (0, 100):
        inner = np.percentile(np.concatenate(samples, axis=1), percentiles, axis=1)
        spread = inner[1] > inner[0]  # a sparse channel: its percentiles can coincide, its extremes do not
        low, high = np.where(spread, inner[0], low), np.where(spread, inner[1], high)
    high = np.where(high > low, high, low + 1)
    return Normalization(low=tuple(low.tolist()), high=tuple(high.tolist()), limit=limit, dtype=dtype)
