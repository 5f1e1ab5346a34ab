"""The images that teach the judge of the match, and what they teach."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Optimizer

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.patches import PairedPatches
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.engine.devices import computing_in, resolve_precision
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.geometry.tiles import round_up
from napari_pix2pix.core.networks.layers import beside_stains
from napari_pix2pix.core.running.prediction import channels_last
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.teaching.damage import TAUGHT, change, plant
from napari_pix2pix.core.trust.judge import (
    JudgeNetwork,
    as_scored,
    error_curve,
    match_network,
    pixel_errors,
)

TEACHING = 3
"""The stream of random numbers, beside those of `data.patches`."""
PIXELS = 2**23
"""Windows with about so many pixels, of a plane, are drawn of the pairs and predicted once; all that teaches is cut
from them."""
WINDOWS = 64, 512
"""But not fewer, nor more."""
VALUES = 2**26
"""Of all maps of these windows together, at most: volumes and many classes have fewer windows."""
FEWEST_WINDOWS = 4
"""Whatever they hold."""
SIDE = 128
"""Of these images, px, where patches are not smaller."""
BATCH = 8
CLEAN = 0.35
"""The share of images that are taught without damage."""
TWICE = 0.25
"""The share of damaged images that are damaged twice."""
PREDICTED = 0.6
"""The share of images that are predictions; the others are targets."""
TOLERANCE = 0.02
"""A field of which this share of the range was changed matches by exp(-1)."""
FEWEST_FIELDS = 100
"""Known as a whole, of the windows that teach; of fewer nothing is learned."""


def windows_for(shape: Sequence[int], n_maps: int) -> int:
    """How many windows of this shape ([Z,] Y, X) teach."""
    pixels = math.prod(shape)
    return min(int(np.clip(PIXELS // pixels, *WINDOWS)), max(FEWEST_WINDOWS, VALUES // (pixels * n_maps)))


@dataclass
class Teacher:
    """The images that teach, in network values, and what they teach.

    Targets and predictions are what `score` makes of a user's: decoded, and encoded as a whole.
    """

    model: TrainedModel
    network: JudgeNetwork
    sources: NDArray[np.float32]
    targets: NDArray[np.float32]
    maps: NDArray[np.float32]
    predictions: NDArray[np.float32]
    known: NDArray[np.float32]
    errors: NDArray[np.float32]
    side: int
    stains: NDArray[np.bool_] | None = None
    """Which channels of each target are there, (N, K); the others are the prediction's, and teach nothing."""

    @classmethod
    def prepare(
        cls,
        model: TrainedModel,
        pairs: PairedFrames,
        regions: Sequence[Region],
        conditional: bool,
        windows: int | None = None,
    ) -> "Teacher":
        """Draw windows of the regions and predict them; as many as teach, or at most so many to measure with."""
        if not regions:
            raise ValueError("Pairs must be left to teach with; all of them calibrate. Give more pairs.")
        config, encoding = model.config, model.target_encoding
        pairs.require_patches(config.patch_size, config.grid, settled=True)
        plain = config.model_copy(update={"jitter": 1.0, "flip": False, "rotate": False, "intensity_jitter": 0.0})
        patches = PairedPatches(pairs, tuple(regions), plain, model.source_encoding, encoding, model.conditions)
        count = windows_for(patches.shape, encoding.n_maps)
        count = count if windows is None else min(windows, count)
        drawn = patches.batch(0, TEACHING, range(count))
        sources = drawn["source"].numpy()
        planes = drawn["labels"].tolist() if "labels" in drawn else [()] * count
        each = (replace(model, planes=tuple(own)) for own in planes)
        maps = np.stack([own.maps_of_frame(source) for own, source in zip(each, sources, strict=True)])
        sides = drawn["target"].numpy(), maps
        targets, predictions = (np.stack([encoding.encode(encoding.decode(one)) for one in some]) for some in sides)
        stains = drawn["stains"].numpy() > 0 if "stains" in drawn else None
        if stains is not None:
            targets = np.where(stains.reshape(*stains.shape, *(1,) * (targets.ndim - 2)), targets, predictions)
        known = drawn["known"].amax(dim=1).numpy() if "known" in drawn else np.ones_like(maps[:, 0])
        side = min(config.patch_size, round_up(SIDE, config.grid))
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(np.random.SeedSequence([config.seed, TEACHING]).generate_state(1, np.uint64)[0]))
            encodings = model.source_encoding, encoding
            network = match_network(config.judge, *encodings, sources.ndim - 2, conditional)
        errors = [
            field_means(pixel_errors(prediction, target, encoding, own), network.fields)[
                field_means(seen, network.fields) > 0.999
            ]
            for prediction, target, seen, own in zip(predictions, targets, known, _each(stains, count), strict=True)
        ]
        fields = sum(own.size for own in errors)
        if fields < FEWEST_FIELDS and windows is None:
            raise ValueError(
                f"At least {FEWEST_FIELDS} fields of the pairs that teach must be known as a whole; got {fields}. Give "
                "more of the targets."
            )
        drawn_of = sources, targets, maps, predictions, known, np.sort(np.concatenate(errors))
        return cls(model, network.to(model.device), *drawn_of, side, stains)

    def batch(self, step: int) -> list[Tensor]:
        """What `image` gives, of all images of this step."""
        drawn = (self.image(step, k) for k in range(BATCH))
        sides = [torch.from_numpy(np.stack(side)) for side in zip(*drawn, strict=True)]
        return [*map(channels_last, sides[:4]), *sides[4:]]

    def losses(self, batch: list[Tensor]) -> dict[str, Tensor]:
        """Of the match, on images of a step; and of the expected error, on the predictions of the same sources."""
        source, image, prediction, maps, match, rank, judged = (side.to(self.model.device) for side in batch)
        with computing_in(resolve_precision("auto", self.model.device), self.model.device):
            found = {
                "match": (self.network.matching(source, image), match),
                "error": (self.network.expecting(source, prediction, maps if self.network.sees_maps else None), rank),
            }
        return {
            name: (binary_cross_entropy_with_logits(logits[:, 0], true, reduction="none") * judged).sum()
            / judged.sum().clamp(min=1)
            for name, (logits, true) in found.items()
        }

    def learn(self, optimizer: Optimizer, batch: list[Tensor]) -> dict[str, Tensor]:
        """A step on such images; its losses."""
        losses = self.losses(batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses["match"] + losses["error"])
        optimizer.step()
        return losses

    def image(self, step: int, k: int) -> tuple[NDArray[np.float32], ...]:
        """Image k of this step, from (seed, step, k) alone.

        (C, [Z,] Y, X): its source, the image, the prediction of the source and the maps that is of. For each field
        ([z,] y, x): how much the image is to match, in [0, 1]; the rank of the prediction's error; whether it is known.
        """
        random = np.random.default_rng([self.model.config.seed, TEACHING, step, k])
        encoding, number = self.model.target_encoding, len(self.sources)
        i, *others = random.choice(number, size=min(4, number), replace=False)
        images = self.predictions if random.random() < PREDICTED else self.targets
        corner = [int(random.integers(n - self.side + 1)) for n in images.shape[-2:]]
        y, x = (slice(start, start + self.side) for start in corner)
        turns = int(random.integers(4)) if self.model.config.rotate else 0
        mirrored = self.model.config.flip and random.random() < 0.5

        def turned(values: NDArray[Any]) -> NDArray[Any]:
            cut = np.rot90(values[..., y, x], turns, axes=(-2, -1))
            return np.ascontiguousarray(np.flip(cut, -1) if mirrored else cut)

        source, known, maps = (turned(values[i]) for values in (self.sources, self.known, self.maps))
        target, prediction, clean = (turned(values[i]) for values in (self.targets, self.predictions, images))
        own = None if self.stains is None else self.stains[i]
        image, seen = clean, slice(None) if own is None else own
        if random.random() >= CLEAN:
            donors = [turned(images[j]) for j in others or [i]]
            for _ in range(2 if random.random() < TWICE else 1):
                kind = TAUGHT[int(random.integers(len(TAUGHT)))]
                image = plant(kind, image, donors, random, self.network.fields[-1].size)
            image = as_scored(image, encoding)
        fields = self.network.fields
        changed, judged = (field_means(values, fields) for values in (change(image[seen], clean[seen]), known))
        rank = self.rank(field_means(pixel_errors(prediction, target, encoding, own), fields))
        image, prediction = beside_stains(image, own), beside_stains(prediction, own)
        return source, image, prediction, maps, matching(changed), rank, (judged > 0.999).astype(np.float32)

    def rank(self, errors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The share of training fields that err less than these, ties counting half."""
        below, not_above = np.searchsorted(self.errors, errors), np.searchsorted(self.errors, errors, side="right")
        return ((below + not_above) / (2 * max(1, self.errors.size))).astype(np.float32)

    def curve(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`error_curve` of what the network has learned, on the windows that taught it."""
        encoding, fields = self.model.target_encoding, self.network.fields
        found: list[tuple[NDArray[np.float32], ...]] = []
        own = self.sources, self.maps, self.predictions, self.targets, self.known
        for source, maps, prediction, target, known, stains in zip(
            *own, _each(self.stains, len(self.sources)), strict=True
        ):
            shown = beside_stains(prediction, stains)
            sides = [torch.from_numpy(side)[None].to(self.model.device) for side in (source, shown, maps)]
            with torch.inference_mode():
                logits = self.network.expecting(*(sides if self.network.sees_maps else sides[:2]))
            error = field_means(pixel_errors(prediction, target, encoding, stains), fields)
            inside = field_means(known, fields) > 0.999
            found.append((logits.sigmoid()[0, 0].cpu().numpy()[inside], error[inside]))
        ranks, errors = (np.concatenate(side) for side in zip(*found, strict=True))
        return error_curve(ranks, errors)


def _each(stains: NDArray[np.bool_] | None, count: int) -> Sequence[NDArray[np.bool_] | None]:
    """Of each window, None where all channels are there."""
    return [None] * count if stains is None else list(stains)


def matching(changed: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much a field is to match, 1 to 0, of which this share of the range was changed."""
    match: NDArray[np.float32] = np.exp(-changed / np.float32(TOLERANCE))
    return match
