"""The second discriminator: whether an image belongs to its source, and how wrong a prediction is likely to be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.geometry.receptive_field import ReceptiveField, field_means
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.settings.config import DiscriminatorConfig
from napari_pix2pix.core.trust.calibration import Calibration
from napari_pix2pix.core.trust.error_network import DIM, FARTHEST, ErrorNetwork
from napari_pix2pix.core.trust.novelty import SIGMAS, Novelty
from napari_pix2pix.core.trust.risk import RiskCurves

WIDEST = 32
"""Base channels of what judges the match; more were not better in as much time."""
WIDEST_ERROR = 16
"""Of what expects errors."""
ENOUGH, GOOD = 0.9, 0.95
"""Of planted damage found (AUROC), below which nobody should look at what it says; and with which teaching may end."""
CONTROL = "put back"
"""The kind of damage that is none."""


class JudgeNetwork(nn.Module):
    """A PatchGAN without norm, so that scores are local, which judges the match; and what expects the error.

    Of sources and images (N, C, [Z,] Y, X) the first output (N, 2, [z,] y, x) is the logit of how well the field
    belongs to its source. It sees grey values as they are and their logarithm, or dim objects would be nothing beside
    bright ones. Where pairs lacked channels, planes after the image's tell which are there, and the error is that of
    these, see `layers.with_stains`.

    The second is about the error. Where it is taught `per_pixel`, `error` is an `ErrorNetwork` and the third side is
    what that expects of each pixel (N, 1, [Z,] Y, X); the output is the mean of what it tells over the field. Models of
    before have a second PatchGAN with the same field: of labels, the third side is the generator's own maps of the
    sources, and it sees how far the image lies from them, where a label was a close call. The first would compare, and
    be done. Its output is the logit of the rank, 0 to 1, that the field's error is expected to have among those of
    training fields.
    """

    outputs = 2

    def __init__(
        self,
        like: DiscriminatorConfig,
        source: Encoding,
        target: Encoding,
        conditional: bool,
        spatial_dims: int,
        per_pixel: bool,
        sees_doubt: bool,
    ) -> None:
        super().__init__()
        self.conditional, self.sees_maps, self.sees_logarithm = conditional, target.is_labels, not source.is_labels
        self.source_maps = source.n_maps

        def network(maps: int, widest: int) -> PatchGAN:
            changes = {"base_channels": min(widest, like.base_channels), "norm": "none", "conditional": conditional}
            seen = source.n_maps * (2 if self.sees_logarithm else 1)
            return PatchGAN(seen, maps, like.model_copy(update=changes), spatial_dims, stains=target.n_stains)

        self.match = network(target.n_maps, WIDEST)
        self.error: PatchGAN | ErrorNetwork
        if per_pixel:
            self.error = ErrorNetwork(source, target, spatial_dims, sees_doubt)
        else:
            self.error = network(target.n_maps * (2 if self.sees_maps else 1), WIDEST_ERROR)
        self.fields: tuple[ReceptiveField, ...] = self.match.fields

    @property
    def of_pixels(self) -> ErrorNetwork | None:
        """What expects the error of each pixel; None in models of before."""
        return self.error if isinstance(self.error, ErrorNetwork) else None

    @property
    def reach(self) -> int:
        """How far from a pixel, along Y and X, px, lies at most what its expected error is told by."""
        if not self.of_pixels:
            return self.reach_of_fields
        return self.reach_of_fields + max(self.of_pixels.reach[-2:]) + (FARTHEST + 1 if self.of_pixels.labels else 0)

    @property
    def reach_of_fields(self) -> int:
        """How far from a pixel, along Y and X, px, the fields around it reach at most."""
        return max(field.size // 2 + 1 + field.stride for field in self.fields[-2:])

    def forward(self, source: Tensor, image: Tensor, third: Tensor | None = None) -> Tensor:
        """Both outputs for each field of each image."""
        if third is not None and self.of_pixels:
            means = self.means(third)
        else:
            sides = image if third is None else torch.cat([image, (image - third).abs()], dim=1)
            means = self.error(self._seen(source), sides)
        return torch.cat([self.matching(source, image), means], dim=1)

    def means(self, errors: Tensor) -> Tensor:
        """The second output, (N, 1, [z,] y, x), of the expected errors of pixels."""
        assert self.of_pixels
        told = self.of_pixels.told(errors.cpu().numpy())
        return torch.from_numpy(field_means(told, self.fields)).to(errors.device)

    def matching(self, source: Tensor, image: Tensor) -> Tensor:
        """The first output, (N, 1, [z,] y, x)."""
        logits: Tensor = self.match(self._seen(source), image)
        return logits

    def _seen(self, source: Tensor) -> Tensor:
        if not self.sees_logarithm:
            return source
        share = ((source + 1) / 2).clamp(min=0)
        return torch.cat([source, 2 * torch.log1p(DIM * share) / math.log1p(DIM) - 1], dim=1)


@dataclass
class MatchJudge:
    """What judges the match, and what its outputs mean.

    Parameters
    ----------
    network
        In evaluation mode.
    curve
        Of a judge that ranks fields, float32 (2, k), both rows ascending: ranks, and the mean error, in the target's
        units, of the training fields that it expected to have this rank. None where it expects errors of pixels.
    novelty
        Of sources, against those that trained.
    calibration
        None where there were no pairs to calibrate on: scores then have no ranks, and errors no bound.
    examined
        Of each kind of damage that was planted in predictions of pairs that taught nothing, the AUROC of finding it;
        empty where it is not known.
    familiar
        Whether these pairs had taught it, for want of others.
    """

    network: JudgeNetwork
    curve: NDArray[np.float32] | None
    novelty: Novelty
    calibration: Calibration | None = None
    examined: Mapping[str, float] = field(default_factory=dict)
    familiar: bool = False

    @property
    def good(self) -> bool:
        """Whether it finds each kind of planted damage so well that its teaching may end."""
        found = [value for kind, value in self.examined.items() if kind != CONTROL]
        return bool(found) and min(found) >= GOOD

    @property
    def finds(self) -> float | None:
        """How well it finds planted damage, the mean AUROC over the kinds; None where it was not examined."""
        found = [value for kind, value in self.examined.items() if kind != CONTROL]
        return sum(found) / len(found) if found else None

    @property
    def lesson(self) -> str:
        """That it has not learned enough to judge; empty where it has, or nobody knows."""
        if self.finds is None or self.finds >= ENOUGH:
            return ""
        pairs = "the very pairs that taught it" if self.familiar else "pairs that taught it nothing"
        return (
            f"What judges the match has not learned enough to judge: damage planted in predictions of {pairs} it finds "
            f"with an AUROC of {self.finds:.2f}, where .5 is chance and {ENOUGH:g} enough. Give it to fit-trust for "
            "more `trust_steps`."
        )

    @property
    def promise(self) -> str:
        """What its figures mean, and what is not promised."""
        known = self.calibration
        said = known.promise if known else "No calibration pairs: scores have no ranks, errors no bound."
        return f"{self.lesson} {said}".strip()

    def expected_error(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """From the network's second output, or from what it expects of pixels, in the target's units."""
        errors = output if self.curve is None else np.interp(special.expit(output), *self.curve)
        return (self._scale * errors).astype(np.float32, copy=False)

    @property
    def usual_error(self) -> float:
        """The mean error of what taught it, in the target's units, times what the calibration found."""
        if self.curve is None:
            assert self.network.of_pixels
            return float(self.network.of_pixels.usual) * self._scale
        errors = self.curve[1]
        means = errors[1:-1] if len(errors) > 2 else errors  # between the ends, of as many fields each
        return float(means.mean()) * self._scale

    @property
    def _scale(self) -> float:
        return self.calibration.scale if self.calibration else 1.0

    # In the model file

    def content(self) -> dict[str, Any]:
        """Everything but the tensors, as JSON."""
        known = self.calibration
        return {
            "conditional": self.network.conditional,
            "calibrated": known is not None,
            "within_one": bool(known and known.within_one),
            **({"per_pixel": True} if (of_pixels := self.network.of_pixels) else {}),
            **({"sees_doubt": True} if of_pixels and of_pixels.sees_doubt else {}),
            **({"fair": True} if known and known.fair else {}),
            **({"apart": True} if known and known.risk and known.risk.apart else {}),
            **({"examined": dict(self.examined)} if self.examined else {}),
            **({"familiar": True} if self.examined and self.familiar else {}),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The weights, and the calibration."""
        named = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        named |= {} if self.curve is None else {"curve": torch.from_numpy(self.curve)}
        named |= {f"novelty.{name}": torch.from_numpy(getattr(self.novelty, name)) for name in ("scale", "blocks")}
        named["novelty.limit"] = torch.tensor(self.novelty.limit)
        if (known := self.calibration) is not None:
            named["calibration.real"] = torch.from_numpy(np.concatenate(known.real))
            named["calibration.counts"] = torch.tensor([own.size for own in known.real])
            named["calibration.factors"] = torch.tensor([known.scale, known.factor], dtype=torch.float64)
            if (risk := known.risk) is not None:
                curves = ("limits", "losses", "kept")
                named |= {f"calibration.risk.{name}": torch.from_numpy(getattr(risk, name)) for name in curves}
                named["calibration.risk.unit"] = torch.tensor([risk.unit, risk.most], dtype=torch.float64)
        return named

    @classmethod
    def restored(cls, network: JudgeNetwork, tensors: dict[str, Tensor], content: dict[str, Any]) -> "MatchJudge":
        """What `tensors` and `content` told of what `network`, with its weights, judges.

        Raises
        ------
        ValueError
            If something is missing.
        """
        calibration = None
        if content["calibrated"]:
            real, counts, factors = (
                _numbers(tensors, f"calibration.{name}", shape)
                for name, shape in (("real", (None,)), ("counts", (None,)), ("factors", (2,)))
            )
            if counts.dtype.kind != "i" or counts.min() < 0 or counts.sum() != real.size:
                raise ValueError("A model that judges the match must hold calibration.counts that add up; it does not.")
            groups = tuple(np.split(real, counts.cumsum()[:-1]))
            apart = bool(content.get("apart"))
            risk = _risk(tensors, counts.size, apart) if "calibration.risk.limits" in tensors else None
            scale, factor = map(float, factors)
            fair = bool(content.get("fair"))
            calibration = Calibration(groups, scale, factor, content["within_one"], risk, fair)
        features = network.source_maps * (1 + len(SIGMAS))
        curve = None if network.of_pixels else _numbers(tensors, "curve", (2, None))
        spread = _numbers(tensors, "novelty.scale", (2, features))
        blocks = _numbers(tensors, "novelty.blocks", (None, features))
        limit = float(_numbers(tensors, "novelty.limit", ()))
        novelty = Novelty(network.fields[-1].size, spread, blocks, limit)
        return cls(
            network.eval(), curve, novelty, calibration, content.get("examined", {}), content.get("familiar", False)
        )


def _risk(tensors: dict[str, Tensor], groups: int, apart: bool) -> RiskCurves:
    """What a mask leaves wrong, of so many groups."""
    limits = _numbers(tensors, "calibration.risk.limits", (None,))
    losses = _numbers(tensors, "calibration.risk.losses", (groups, limits.size))
    kept, unit = (
        _numbers(tensors, f"calibration.risk.{name}", n) for name, n in (("kept", limits.shape), ("unit", (2,)))
    )
    return RiskCurves(limits, losses, kept, float(unit[0]), float(unit[1]), apart)


def _numbers(tensors: dict[str, Tensor], name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Those under this name, if they are of this shape, one at least, and known."""
    found = tensors.get(name)
    fits = found is not None and len(found.shape) == len(shape) and found.numel() > 0
    if found is None or not fits or any(n not in (None, m) for n, m in zip(shape, found.shape, strict=True)):
        raise ValueError(
            f"A model that judges the match must hold {name}, of the shape that it is written in; this one does not. "
            "Take another copy of it, or give it to fit-trust again."
        )
    if found.isnan().any():
        raise ValueError(
            f"A model that judges the match must hold numbers; its {name} holds NaN. Give it to fit-trust again."
        )
    numbers: NDArray[Any] = found.numpy()
    return numbers


def match_network(
    like: DiscriminatorConfig,
    source_encoding: Encoding,
    target_encoding: Encoding,
    spatial_dims: int,
    conditional: bool = True,
    per_pixel: bool = False,
    sees_doubt: bool = True,
) -> JudgeNetwork:
    """A new network to judge the match, with the field of the discriminator `like`."""
    return JudgeNetwork(like, source_encoding, target_encoding, conditional, spatial_dims, per_pixel, sees_doubt)


def pixel_errors(
    image: NDArray[np.float32],
    target: NDArray[np.float32],
    target_encoding: Encoding,
    stains: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """How wrong each pixel ([Z,] Y, X) of `image` is against `target`, both in network values (K, [Z,] Y, X).

    Of intensities the mean over the channels, or those that are there, `stains` (K,), of the absolute difference, in
    grey values; of classes whether the label
    differs; of instances whether one has an object and the other has none.
    """
    if target_encoding.kind == "instances":
        return np.asarray((image[0] > 0) != (target[0] > 0), np.float32)
    decoded = [target_encoding.decode(maps).astype(np.float32) for maps in (image, target)]
    if target_encoding.kind == "classes":
        return np.asarray(decoded[0][0] != decoded[1][0], np.float32)
    difference: NDArray[np.float32] = np.abs(decoded[0] - decoded[1])
    own: NDArray[np.float32] = (difference if stains is None else difference[stains]).mean(axis=0)
    return own


def as_scored(maps: NDArray[np.float32], target_encoding: Encoding) -> NDArray[np.float32]:
    """An image in network values as `score` sees it: of labels, decoded and encoded again."""
    return target_encoding.encode(target_encoding.decode(maps)) if target_encoding.is_labels else maps
