"""Grey values <-> [-1, 1]: fitted once on the training pairs, kept with the model, inverted on output."""

import warnings
import zlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_pix2pix.core.settings.config import NormalizationConfig

DtypeName = Annotated[str, Field(pattern=r"^[<>=|]?(bool|u?int(8|16|32|64)|float(16|32|64)|b1|[iu][1248]|f[248])$")]
"""Of images, by numpy's names."""
MOST_CHANNELS = 4096
"""Of an image, planes that are taken as channels among them."""
SPREAD = 3.0
"""Standard deviations on either side of the mean that `mean-std` maps to ±limit: 99.7 % of a normal distribution."""
PORTION = 2048
"""Rows of an image that its own statistics take at once, so that they are the same however much of it is in memory."""
MOST_SAMPLED = 2**22
"""Pixels of each channel, of all frames together, that percentiles come from; of fewer, from all of them."""


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
    each_image
        Set where every image is normalized by its own statistics; `low` and `high` are then those of the training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: Annotated[tuple[float, ...], Field(min_length=1, max_length=MOST_CHANNELS)]
    high: Annotated[tuple[float, ...], Field(min_length=1, max_length=MOST_CHANNELS)]
    limit: Annotated[float, Field(gt=0, le=1)]
    dtype: DtypeName
    each_image: NormalizationConfig | None = None

    def model_post_init(self, _: Any) -> None:
        """Check what concerns two fields."""
        if len(self.low) != len(self.high) or any(a >= b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError(f"low must lie below high, channel by channel; got {self.low[:4]} and {self.high[:4]}.")

    @property
    def n_channels(self) -> int:
        """How many channels the frames must have."""
        return len(self.low)

    def _ends(self, frame: NDArray[Any]) -> list[NDArray[np.float64]]:
        """`low` and `high`, one for each channel of `frame`."""
        return [np.array(values).reshape(-1, *(1,) * (frame.ndim - 1)) for values in (self.low, self.high)]

    def _line(self, frame: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = self._ends(frame)
        return (low + high) / 2, (high - low) / 2 / self.limit

    def apply(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """`frame` (C, [Z,] Y, X) in grey values, as float32 with the fitted range in [-limit, limit]."""
        if self.each_image is not None:
            return self.of_image(portions(frame)).apply(frame)
        encoded = np.empty(frame.shape, np.float32)
        for values, own, centre, unit in zip(encoded, frame, *self._line(frame), strict=True):  # in double precision
            values[...] = (own - centre) / unit
        return encoded

    def of_image(self, portions: Iterable[NDArray[Any]]) -> "Normalization":
        """That of one image by its own statistics; of its rows (C, [Z,] rows, X), `PORTION` at a time."""
        assert self.each_image is not None
        own = self.each_image.model_copy(update={"statistics": "training"})
        return fit_normalization(portions, own, limit=self.limit)

    def invert(self, frame: NDArray[np.float32]) -> NDArray[Any]:
        """`frame` (C, [Z,] Y, X) in [-1, 1], as grey values of the dtype; integers are rounded and clipped to it."""
        centre, unit = self._line(frame)
        values = frame * unit + centre
        if self.dtype == "bool":
            return values >= 0.5
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return values.astype(dtype)

    def invert_spread(self, spread: NDArray[np.float32]) -> NDArray[np.float32]:
        """A standard deviation (C, [Z,] Y, X) of what `invert` takes, in grey values, float32."""
        return (spread * self._line(spread)[1]).astype(np.float32)

    def outside(self, frame: NDArray[Any]) -> Iterator[tuple[int, float, float]]:
        """For each channel of `frame` its number and the shares of its pixels below and above the fitted range."""
        for channel, (values, low, high) in enumerate(zip(frame, self.low, self.high, strict=True)):
            below, above = np.count_nonzero(values < low), np.count_nonzero(values > high)
            yield channel, below / values.size, above / values.size


def portions(frame: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """`frame` (C, [Z,] Y, X), `PORTION` rows at a time."""
    for row in range(0, frame.shape[-2], PORTION):
        yield frame[..., row : row + PORTION, :]


def fit_normalization(
    frames: Iterable[NDArray[Any]], config: NormalizationConfig | None = None, *, limit: float = 1.0
) -> Normalization:
    """The normalization of all `frames` (C, …), one range per channel.

    Extremes, means and deviations are exact; percentiles come from all pixels, or from at most `MOST_SAMPLED` of them
    in all, the same whatever the order of the frames.
    Pixels that are NaN or Inf count for nothing. A channel that is constant gets the range [value, value + 1].

    Raises
    ------
    ValueError
        If there is no frame.
    """
    config = config or NormalizationConfig()
    sample = _Sample()
    ends: list[NDArray[np.float64]] = []
    moments: list[NDArray[np.float64]] = []
    dtypes: set[np.dtype[Any]] = set()
    for frame in frames:
        dtypes.add(frame.dtype)
        pixels = frame.reshape(len(frame), -1)
        if frame.dtype.kind == "f":
            pixels = np.where(np.isfinite(pixels), pixels, np.nan)
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a channel of NaN alone
            ends.append(np.stack([np.nanmin(pixels, axis=1), np.nanmax(pixels, axis=1)]).astype(float))
        if config.method == "percentiles":
            sample.add(pixels)
        elif config.method == "mean-std":
            known = np.isfinite(pixels)
            values = np.where(known, pixels, 0).astype(float)
            moments.append(np.stack([known.sum(axis=1), values.sum(axis=1), (values**2).sum(axis=1)]))
    if not ends:
        raise ValueError("A normalization must be fitted on at least one frame; got none.")
    low, high = (
        np.nan_to_num(np.nanmin([end[0] for end in ends], axis=0)),
        np.nan_to_num(np.nanmax([end[1] for end in ends], axis=0)),
    )
    if config.method == "fixed":
        assert config.range is not None
        low, high = (np.full_like(low, end) for end in config.range)
    elif config.method == "mean-std":
        count, total, squares = np.sum(moments, axis=0)
        mean = total / np.maximum(count, 1)
        deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
        low, high = mean - SPREAD * deviation, mean + SPREAD * deviation
    elif config.method == "percentiles":
        inner = sample.percentiles(config.percentiles)
        spread = inner[1] > inner[0]  # a sparse channel: its percentiles can coincide, its extremes do not
        low, high = np.where(spread, inner[0], low), np.where(spread, inner[1], high)
    high = np.where(high > low, high, low + 1)
    dtype = common_dtype(dtypes, low.min(), high.max())
    each_image = config if config.statistics == "image" else None
    return Normalization(
        low=tuple(low.tolist()), high=tuple(high.tolist()), limit=limit, dtype=dtype, each_image=each_image
    )


class _Sample:
    """Pixels of all frames alike: every one, or a half, a fourth … of each frame, so few that they can be kept.

    They are drawn by what the frame holds: not by its number, nor from some rows or columns more than from others.
    """

    def __init__(self) -> None:
        self._halvings = self._held = 0
        self._parts: list[NDArray[Any]] = []
        self._frames: list[tuple[int, int]] = []
        """Of each part, the pixels of its frame and the seed that draws among them."""

    def add(self, pixels: NDArray[Any]) -> None:
        """Those of a frame, (C, n)."""
        before, known = self._halvings, len(self._parts)
        self._frames.append((pixels.shape[1], zlib.crc32(np.ascontiguousarray(pixels).tobytes())))
        self._parts.append(pixels)
        self._held += self._kept(pixels.shape[1])
        while self._held > max(MOST_SAMPLED, len(self._frames)):
            self._halvings += 1
            self._held = sum(self._kept(n) for n, _ in self._frames)
        for i in range(0 if self._halvings > before else known, known + 1):
            n, seed = self._frames[i]
            if self._halvings and (not before or i == known):  # a further halving keeps the first of what is drawn now
                drawn = np.random.default_rng(seed).integers(n, size=self._kept(n))
                self._parts[i] = self._parts[i][:, drawn]
            else:
                self._parts[i] = self._parts[i][:, : self._kept(n)].copy()

    def _kept(self, n: int) -> int:
        return -(-n >> self._halvings)

    def percentiles(self, percentiles: tuple[float, float]) -> NDArray[np.float64]:
        """(2, C)."""
        channels = (np.concatenate(own).astype(float) for own in zip(*self._parts, strict=True))
        return np.stack([np.nanpercentile(channel, percentiles) for channel in channels], axis=1)


def common_dtype(dtypes: Iterable[np.dtype[Any]], lowest: float, highest: float) -> str:
    """The dtype that holds images of all `dtypes`; integers of 64 bits, which few files keep, become smaller ones."""
    dtype = np.result_type(*dtypes)
    if dtype.kind in "iu" and dtype.itemsize == 8:
        dtype = np.result_type(np.min_scalar_type(int(np.floor(lowest))), np.min_scalar_type(int(np.ceil(highest))))
    return str(dtype)
