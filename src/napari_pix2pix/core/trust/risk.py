"""What a mask of trusted pixels leaves wrong, and which limit keeps that below a risk: conformal risk control."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KNOTS = 128
"""Limits that are tried."""
SPAN = 64.0
"""The largest limit and the smallest are so many times the usual error, and as small a part of it."""
RUINED = 10.0
"""Of intensities: an image that errs more than so many times as usual counts as this, or nothing could be promised."""


@dataclass(frozen=True)
class RiskCurves:
    """How wrong is what is left of the images of each calibration group, by the limit of the expected error.

    A pixel is left where its expected error is at most the limit. The loss of an image is, of labels, the share of
    wrong pixels among those left; of intensities their mean error over `unit`, at most `RUINED`. With the limit it may
    rise and fall, so it is made to rise: it is the largest of this limit and of all stricter ones. So what is promised
    of it holds for the share itself. An image of which nothing is left loses nothing.

    Parameters
    ----------
    limits
        Ascending, float32 (k,), of expected errors before the calibration's `scale`.
    losses
        float32 (n, k): of each group the mean loss of its images, which never falls along k.
    kept
        float32 (k,): the share of an image's pixels that is left, mean over groups.
    unit
        Of losses, in the target's units: 1 for labels, of intensities the usual error of what taught.
    most
        That a loss can be: 1 for labels, `RUINED` for intensities.
    apart
        Whether expected errors were each pixel's own, as `PatchScores.masked_pixels` gives them. False of models that
        were calibrated by `expected_pixels`, which are the same for all that are hardly ever wrong.
    """

    limits: NDArray[np.float32]
    losses: NDArray[np.float32]
    kept: NDArray[np.float32]
    unit: float = 1.0
    most: float = 1.0
    apart: bool = True

    @classmethod
    def of(cls, limits: NDArray[np.float32], groups: Sequence[Sequence["Left"]], usual: float | None) -> "RiskCurves":
        """From what is left of the images of each group; `usual`, the usual error, of intensities alone."""
        unit, most = (1.0, 1.0) if usual is None else (usual, RUINED)
        losses = [np.mean([np.minimum(one.error / unit, most) for one in images], axis=0) for images in groups]
        kept = np.mean([np.mean([one.kept for one in images], axis=0) for images in groups], axis=0)
        return cls(limits, np.asarray(losses, np.float32), kept.astype(np.float32), unit, most)

    @property
    def groups(self) -> int:
        """How many there are."""
        return len(self.losses)

    @property
    def alike(self) -> bool:
        """Whether all groups err the same, as copies of one image do."""
        return bool(self.groups > 1 and self.losses.any() and (self.losses == self.losses[0]).all())

    @property
    def risks(self) -> NDArray[np.float64]:
        """What each limit can promise, (k,): the mean loss of the n groups and of a new one that loses the most."""
        total: NDArray[np.float64] = self.losses.sum(axis=0, dtype=np.float64)
        return (total + self.most) / (self.groups + 1)

    def limit(self, risk: float) -> float | None:
        """The largest limit whose loss, on average over new groups like these, is at most `risk`; None without any.

        References
        ----------
        Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk Control", ICLR 2024 (theorem 1; losses made
        monotone as in its section on losses that are not).
        """
        fits = np.flatnonzero(self.risks <= risk + 1e-9)
        return float(self.limits[fits[-1]]) if fits.size else None

    def fewest_groups(self, risk: float) -> int:
        """With fewer, no limit can promise this risk, even if nothing was wrong."""
        return max(0, math.ceil(self.most / risk - 1 - 1e-9))

    def left(self, limit: float) -> tuple[float, float]:
        """Of the calibration images the share of pixels that is left up to `limit`, and the mean loss; over groups."""
        place = int(np.searchsorted(self.limits, np.float32(limit), side="right")) - 1
        return (0.0, 0.0) if place < 0 else (float(self.kept[place]), float(self.losses[:, place].mean()))


@dataclass(frozen=True)
class Left:
    """Of one image, by limit, (k,) each: the share of its pixels that is left, and the mean error of these.

    The mean is the largest of this limit and all stricter ones.
    """

    kept: NDArray[np.float64]
    error: NDArray[np.float64]

    @classmethod
    def of(cls, limits: NDArray[np.float32], expected: NDArray[np.float32], errors: NDArray[np.float32]) -> "Left":
        """From expected and true errors of an image's pixels, float32 of one shape with one pixel at least."""
        place = np.searchsorted(limits, expected.ravel())
        count, total = (
            np.bincount(place, weights, limits.size + 1)[:-1].cumsum() for weights in (None, errors.ravel())
        )
        return cls(count / expected.size, np.maximum.accumulate(total / np.maximum(count, 1)))


def limits_about(usual: float) -> NDArray[np.float32]:
    """The limits that are tried where this is the usual error, in the target's units; fixed before any calibration."""
    return (max(usual, 1e-9) * np.geomspace(1 / SPAN, SPAN, KNOTS)).astype(np.float32)
