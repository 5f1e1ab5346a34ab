"""Images from nothing, by a model that makes them: image k of a seed is the same however many are made, and where."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from napari_pix2pix.core.settings.running import GenerateSettings

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel

OTHERS = 256
"""Images whose mean is the most usual one."""


@dataclass(frozen=True)
class Made:
    """An image from nothing.

    Parameters
    ----------
    image
        (C, Y, X), in the grey values of those that trained.
    target
        Made with it, (K, Y, X), in grey values or labels; None where the model makes none.
    condition
        Its class, empty where there are none.
    """

    image: NDArray[Any]
    target: NDArray[Any] | None
    condition: str


def require_maker(model: "TrainedModel") -> None:
    """Raise a ValueError if the model makes images of others."""
    if model.config.data != "images":
        raise ValueError(
            f"A model must make images from nothing to generate; this one, of the method {model.config.method}, makes "
            "them of others. Use predict, or train one with `method` gan."
        )


def generate(model: "TrainedModel", numbers: Iterable[int], how: GenerateSettings) -> Iterator[Made]:
    """The images of these numbers, one at a time; errors, before the first, as of `TrainedModel.generate`."""
    require_maker(model)
    if how.condition is not None:
        _require_known(model, how.condition)
    return _made(model, numbers, how)


def _made(model: "TrainedModel", numbers: Iterable[int], how: GenerateSettings) -> Iterator[Made]:
    generator: Any = model.generator
    config: Any = model.config
    size, n_numbers, n_maps = config.patch_size, config.latent, model.source_encoding.n_maps
    for number in numbers:
        random = np.random.default_rng([how.seed, number])
        latent = random.standard_normal(n_numbers, np.float32)
        own = how.condition
        if own is None and model.domains.sets:
            own = model.domains.names[int(random.integers(model.domains.n))]
        planes = model.domains.planes(model.domains.labels_of(own)) if own else ()
        seen = torch.from_numpy(np.concatenate([latent, np.array(planes, np.float32)]))[None].to(model.device)
        with torch.inference_mode(), _alone():
            made = generator.finished(_usual(generator, seen, n_numbers, how.truncation))
            maps = interpolate(made, (size, size), mode="nearest")[0].float().cpu().numpy()
        target = model.target_encoding.decode(maps[n_maps:]) if model.joint else None
        yield Made(model.source_encoding.decode(maps[:n_maps]), target, own or "")


def _usual(generator: Any, seen: Tensor, latent: int, share: float) -> Tensor:
    """The coarsest features of what is seen (1, n), brought so near to those of the mean image.

    References
    ----------
    Karras, Laine and Aila, "A style-based generator architecture for generative adversarial networks", CVPR 2019,
    appendix B: the truncation trick.
    """
    own: Tensor = generator.begun(seen)
    if share == 1:
        return own
    numbers = torch.from_numpy(np.random.default_rng(0).standard_normal((OTHERS, latent), np.float32)).to(seen.device)
    others = torch.cat([numbers, seen[:, latent:].expand(OTHERS, -1)], dim=1)
    middle: Tensor = generator.begun(others).mean(dim=0, keepdim=True)
    return torch.lerp(middle, own, share)


@contextmanager
def _alone() -> Iterator[None]:
    """One thread, so that sums do not depend on how many there are; the network sees one image at a time, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _require_known(model: "TrainedModel", condition: str) -> None:
    if not model.domains.sets:
        raise ValueError("A model without classes must not be asked for one; leave `condition` out.")
    try:
        model.domains.labels_of(condition)
    except ValueError as error:
        known = ", ".join(model.domains.names)
        raise ValueError(f"condition must be one that the model knows, {known}; got {condition}.") from error


def mosaic(images: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Images (C, Y, X) side by side in rows, as nearly square as may be."""
    columns = int(np.ceil(len(images) ** 0.5))
    blank = np.zeros_like(images[0])
    rows = [[*images[i : i + columns]] for i in range(0, len(images), columns)]
    rows[-1] += [blank] * (columns - len(rows[-1]))
    return np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)
