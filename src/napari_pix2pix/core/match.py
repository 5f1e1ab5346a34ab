"""The second discriminator: whether an image belongs to its source, and how wrong it is likely to be."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pix2pix.core.calibration import Calibration
from napari_pix2pix.core.config import DiscriminatorConfig
from napari_pix2pix.core.encoding import Encoding
from napari_pix2pix.core.networks.patchgan import PatchGAN

WIDEST = 32
"""Base channels; more were not better in as much time."""
HIGHEST = 5.0
"""The logarithm of an expected error, in `unit`s, is at most this."""


@dataclass
class MatchJudge:
    """A PatchGAN with two outputs, and what they mean.

    Parameters
    ----------
    network
        In evaluation mode. Its outputs: a logit, high where the field belongs to its source, and the logarithm of its
        expected error, in `unit`s.
    unit
        The mean error of the predictions that taught it, in the target's units.
    calibration
        None where there were no pairs to calibrate on: scores then have no ranks, and errors no bound.
    """

    network: PatchGAN
    unit: float
    calibration: Calibration | None = None

    def expected_error(self, logarithm: NDArray[np.float32]) -> NDArray[np.float32]:
        """From the network's second output, in the target's units."""
        scale = self.calibration.scale if self.calibration else 1.0
        return (scale * self.unit * np.exp(np.minimum(logarithm, HIGHEST))).astype(np.float32)

    # In the model file

    def content(self) -> dict[str, Any]:
        """Everything but the tensors, as JSON."""
        known = self.calibration
        return {
            "unit": self.unit,
            "conditional": self.network.conditional,
            "calibrated": known is not None,
            "within_one": bool(known and known.within_one),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The weights, and the calibration."""
        named = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if (known := self.calibration) is not None:
            named["calibration.real"] = torch.from_numpy(np.concatenate(known.real))
            named["calibration.counts"] = torch.tensor([own.size for own in known.real])
            named["calibration.factors"] = torch.tensor([known.scale, known.factor], dtype=torch.float64)
        return named

    @classmethod
    def restored(cls, network: PatchGAN, tensors: dict[str, Tensor], content: dict[str, Any]) -> "MatchJudge":
        """What `tensors` and `content` told.

        Raises
        ------
        RuntimeError
            If the weights do not fit the network.
        ValueError
            If something is missing.
        """
        weights = {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
        network.load_state_dict(weights)
        try:
            calibration = None
            if content["calibrated"]:
                real, counts = (tensors[f"calibration.{name}"].numpy() for name in ("real", "counts"))
                scale, factor = tensors["calibration.factors"].tolist()
                calibration = Calibration(
                    tuple(np.split(real, counts.cumsum()[:-1])), scale, factor, content["within_one"]
                )
            return cls(network.eval(), float(content["unit"]), calibration)
        except KeyError as error:
            raise ValueError(f"A model that judges the match must hold {error.args[0]}; this one does not.") from error


def match_network(
    like: DiscriminatorConfig,
    source_encoding: Encoding,
    target_encoding: Encoding,
    spatial_dims: int,
    conditional: bool = True,
) -> PatchGAN:
    """A new network to judge the match, with the field of the discriminator `like`; without norm, scores are local."""
    config = like.model_copy(
        update={"base_channels": min(WIDEST, like.base_channels), "norm": "none", "conditional": conditional}
    )
    return PatchGAN(source_encoding.n_maps, target_encoding.n_maps, config, spatial_dims, outputs=2)


def pixel_errors(
    image: NDArray[np.float32], target: NDArray[np.float32], target_encoding: Encoding
) -> NDArray[np.float32]:
    """How wrong each pixel ([Z,] Y, X) of `image` is against `target`, both in network values (K, [Z,] Y, X).

    Of intensities the mean over the channels of the absolute difference, in grey values; of classes whether the label
    differs; of instances whether one has an object and the other has none.
    """
    if target_encoding.kind == "instances":
        return np.asarray((image[0] > 0) != (target[0] > 0), np.float32)
    decoded = [target_encoding.decode(maps).astype(np.float32) for maps in (image, target)]
    if target_encoding.kind == "classes":
        return np.asarray(decoded[0][0] != decoded[1][0], np.float32)
    difference: NDArray[np.float32] = np.abs(decoded[0] - decoded[1]).mean(axis=0)
    return difference


def as_scored(maps: NDArray[np.float32], target_encoding: Encoding) -> NDArray[np.float32]:
    """An image in network values as `score` sees it: of labels, decoded and encoded again."""
    return target_encoding.encode(target_encoding.decode(maps)) if target_encoding.is_labels else maps
