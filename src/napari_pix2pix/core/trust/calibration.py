"""What scores and expected errors mean: held against real fields, and against errors, of pairs that taught nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.trust.risk import RiskCurves

LEVEL = 0.9
"""Of the bound: so many fields err less."""
FAIR = 0.75
"""Of the fields of an image at least so many err less than the bound, in `LEVEL` of the images."""
FEWEST_GROUPS = 20
"""With fewer nothing is promised."""
MOST_FIELDS = 1000
"""Of a group with more fields, so many are kept: the quantiles of its scores, evenly spaced."""

RISKS = (0.01, 0.02, 0.05, 0.1)
"""Of masks that a card tells of: shares of wrong pixels."""
RISKS_OF_USUAL = (0.25, 0.5, 0.75)
"""The same for intensities: shares of the usual error."""


@dataclass(frozen=True)
class Calibration:
    """Ranks and bounds from calibration pairs, counted by group: fields of one image are not exchangeable.

    Parameters
    ----------
    real
        For each group the scores of its real fields, ascending.
    scale
        What expected errors are multiplied by, so that they are right on average over the groups.
    factor
        What an expected error, once multiplied by `scale`, is multiplied by for its bound; infinite with so few groups
        that nothing bounds.
    within_one
        Whether all is from one image or group, whose frames are then the groups: it says nothing about another.
    risk
        What a mask leaves wrong; None of models that were calibrated before there were masks with a promise.
    fair
        Whether the bound also holds for three quarters of the fields in nine images of ten, see `fair_quantile`; those
        of before promised the average alone.
    """

    real: tuple[NDArray[np.float32], ...]
    scale: float
    factor: float
    within_one: bool = False
    risk: RiskCurves | None = None
    fair: bool = False

    @classmethod
    def of(
        cls,
        real: Sequence[NDArray[np.float32]],
        expected: Sequence[NDArray[np.float32]],
        errors: Sequence[NDArray[np.float32]],
        within_one: bool = False,
        risk: RiskCurves | None = None,
    ) -> "Calibration":
        """From each group's scores of real fields, and its expected and true errors of predicted fields.

        Raises
        ------
        ValueError
            If there is no group, or a group without fields.
        """
        if not real or any(not values.size for values in (*real, *expected)):
            raise ValueError("Each calibration group must have a field wholly inside its images; got one without.")
        kept = []
        for scores in real:
            ordered = np.sort(scores.ravel())
            places = np.linspace(0, ordered.size - 1, min(ordered.size, MOST_FIELDS)).round().astype(int)
            kept.append(ordered[places].astype(np.float32))
        means = [float(np.mean([values.mean() for values in some])) for some in (errors, expected)]
        scale = means[0] / means[1] if means[1] > 0 else 1.0
        ratios = [(e / np.maximum(scale * x, TINY)).ravel() for e, x in zip(errors, expected, strict=True)]
        return cls(tuple(kept), scale, fair_quantile(ratios), within_one, risk, fair=True)

    @property
    def groups(self) -> int:
        """How many there are."""
        return len(self.real)

    def rank(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """(k + 1) / (n + 1) for each score: n groups, k the sum of their shares of real fields that score no more.

        By chance a share r of real fields of new images like these ranks r or less, on average. A small rank says that
        few real fields score so low, not that the field is wrong.
        """
        k = np.zeros(scores.shape)
        for own in self.real:
            k += np.searchsorted(own, scores, side="right") / own.size
        return ((k + 1) / (self.groups + 1)).astype(np.float32)

    def bound(self, expected: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What 90 % of fields err less than, on average over new images like these; None where nothing is promised.

        Where it is `fair`, 75 % of the fields do in 90 % of the images, too.

        `expected` are the expected errors, times `scale`.
        """
        return (self.factor * np.maximum(expected, TINY)).astype(np.float32) if self.promises else None

    @property
    def promises(self) -> bool:
        """Whether there is a bound."""
        return not self.within_one and self.groups >= FEWEST_GROUPS

    @property
    def promise(self) -> str:
        """What `bound` means, or why there is none."""
        if self.within_one:
            return "No guarantee for errors: all calibration pairs are from one image or group."
        if self.groups < FEWEST_GROUPS:
            counted = f"{self.groups} calibration group{'s' * (self.groups != 1)}"
            return f"No guarantee for errors: {counted}, {FEWEST_GROUPS} are needed for a bound."
        fair = f", and in {LEVEL:.0%} of the images {FAIR:.0%} of them do" if self.fair else ""
        return (
            f"On average over new images like these, {LEVEL:.0%} of fields err less than the bound{fair} "
            f"({self.groups} calibration groups)."
        )

    # Masks with a promise

    def limit(self, risk: float) -> float | None:
        """The expected error, in the target's units, up to which pixels are left by a mask of this risk.

        Of what is left, on average over new images like these, labels have at most this share of wrong pixels, and
        intensities a mean error of at most this share of the usual one. None where that cannot be promised.

        Raises
        ------
        ValueError
            If the risk does not lie between 0 and 1.
        """
        if not 0 < risk < 1:
            raise ValueError(f"A risk must be above 0 and below 1; got {risk}. For 2 % give 0.02.")
        found = self._found(risk)
        return None if found is None else self.scale * found

    def _found(self, risk: float) -> float | None:
        """`limit`, before the scale."""
        return None if self.risk is None or not self.promises or self.risk.alike else self.risk.limit(risk)

    def mask_promise(self, risk: float) -> str:
        """What a mask of this risk promises, and what not; or why there is none."""
        if self.risk is not None and (limit := self._found(risk)) is not None:
            left = f"({self.groups} groups, of whose pixels it leaves {self.risk.left(limit)[0]:.0%})"
            return (
                f"{self._kept(risk, self.risk)} on average over new images like those that calibrated {left}. "
                "A single image may have more, and of images unlike those nothing is promised."
            )
        return f"No mask promises a risk of {risk:g}: {self._why_not(risk)}."

    @property
    def mask_line(self) -> str:
        """Which masks with a promise there are, for a card."""
        risks = RISKS if self.risk is None or self.risk.most == 1 else RISKS_OF_USUAL
        if self.risk is None or all(self._found(risk) is None for risk in risks):
            return f"none: {self._why_not(risks[1])}"
        found = {risk: limit for risk in risks if (limit := self._found(risk)) is not None}
        may = "at most {} of them may be wrong" if self.risk.most == 1 else "they may err by {} of the usual error"
        each = [(f"{self.risk.left(limit)[0]:.0%}", f"{100 * risk:.3g} %") for risk, limit in found.items()]
        (left, first), *others = each
        told = ", ".join([f"{left} of the pixels where {may.format(first)}", *map(" where ".join, others)])
        return (
            f"leaves {told}; on average over new images like those that calibrated ({self.groups} groups), not for a "
            "single one, nor for images unlike those"
        )

    @staticmethod
    def _kept(risk: float, known: RiskCurves) -> str:
        if known.most == 1:
            return f"Of the pixels that the mask leaves, at most {100 * risk:.3g} % are wrong,"
        return (
            f"The pixels that the mask leaves err by at most {risk * known.unit:.3g} grey values, {100 * risk:.3g} % "
            f"of the usual, where an image that errs more than {known.most:g} times as usual counts as that,"
        )

    def _why_not(self, risk: float) -> str:
        if self.within_one:
            return "all calibration pairs are from one image or group"
        if self.risk is None:
            return "this model was calibrated before there were such masks. Give it to fit-trust again"
        if self.risk.alike:
            return "all calibration groups err the same, as copies of one image do"
        known, fewest = self.risk, max(FEWEST_GROUPS, self.risk.fewest_groups(risk))
        least = float(known.risks[0])
        could = f"; the least that it can promise is {least:.3g}" if self.promises and least < 1 else ""
        if self.groups < fewest:
            return f"it needs at least {fewest} calibration groups, this model has {self.groups}{could}"
        return f"of the calibration pairs even the pixels that are expected to err least err more{could}"


TINY = 1e-9
"""Expected errors are taken for at least this."""


def fair_quantile(values: Sequence[NDArray[np.floating]]) -> float:
    """The least number that at least `LEVEL` of a new group's values do not exceed, see `group_quantile`, and ...

    ... that at least `FAIR` of the values of a new group do not exceed with a chance of at least `LEVEL`: by split
    conformal prediction, of one value a group, its own quantile.
    """
    own = [np.quantile(group, FAIR, method="inverted_cdf", keepdims=True) for group in values]
    return max(group_quantile(values, LEVEL), group_quantile(own, LEVEL))


def group_quantile(values: Sequence[NDArray[np.floating]], level: float) -> float:
    """The least number that at least a share `level` of a new group's values do not exceed, on average over new groups.

    Each of the n groups weighs 1 / (n + 1), whatever its size, and 1 / (n + 1) lies at infinity for the new one. The
    share is exceeded by at most about 1 / n.

    References
    ----------
    Lee, Barber and Willett, "Distribution-free inference with hierarchical data", 2023 (arXiv 2306.06342); for one
    value a group it is split conformal prediction.
    """
    pooled = np.concatenate([np.ravel(own) for own in values])
    weights = np.concatenate([np.full(own.size, 1 / own.size) for own in values])
    order = pooled.argsort(kind="stable")
    reached = weights[order].cumsum() >= level * (len(values) + 1) - 1e-9
    return float(pooled[order][reached.argmax()]) if reached.any() else math.inf
