"""The images that teach the judge of the match, and what they teach."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.engine.devices import computing_in, of_one_shape, on_its_way, resolve_precision
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.geometry.tiles import round_up
from napari_pix2pix.core.networks.layers import beside_stains
from napari_pix2pix.core.running.prediction import channels_last
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.training import TRUST_PATCH, TRUST_PATCHES
from napari_pix2pix.core.teaching.damage import TAUGHT, change, plant
from napari_pix2pix.core.trust.error_network import ErrorNetwork, border_distance, label_of, seen
from napari_pix2pix.core.trust.judge import JudgeNetwork, as_scored, match_network, pixel_errors

TEACHING = 3
"""The stream of random numbers, beside those of `data.patches`."""
PIXELS = 2**23
"""Windows with about so many pixels, of a plane, are drawn of the pairs and predicted once; all that teaches is cut
from them."""
WINDOWS = 64, 512
"""But not fewer, nor more."""
AGAIN = 16
"""Nor so many that a pixel is in more than so many, on average: of few pairs more windows teach no more."""
VALUES = 2**26
"""Of all maps of these windows together, at most: volumes and many classes have fewer windows."""
FEWEST_WINDOWS = 4
"""Whatever they hold."""
PREDICTIONS = {True: 2, False: 4}
"""Of a step, so many predictions of labels, or of intensities, teach to expect errors: as many as take equal time."""
SETTLED = 4
"""Of the windows that taught, one in so many tells how often labels are wrong that hardly ever are."""
CLEAN = 0.35
"""The share of images that are taught without damage."""
TWICE = 0.25
"""The share of damaged images that are damaged twice."""
PREDICTED = 0.6
"""The share of images that are predictions; the others are targets."""
TOLERANCE = 0.02
"""A field of which this share of the range was changed matches by exp(-1)."""
FEWEST_FIELDS = 100
"""Known as a whole, of the windows that teach where there are as many as memory allows; of fewer nothing is learned."""


def windows_for(shape: Sequence[int], n_maps: int, regions: Sequence[Region] | None) -> int:
    """How many windows of this shape ([Z,] Y, X) of the regions teach; None: of as many pixels as one likes."""
    pixels = math.prod(shape)
    most = PIXELS if regions is None else min(PIXELS, AGAIN * sum(math.prod(region.shape) for region in regions))
    return min(int(np.clip(most // pixels, *WINDOWS)), max(FEWEST_WINDOWS, VALUES // (pixels * n_maps)))


def taught_before(model: TrainedModel, conditional: bool) -> JudgeNetwork | None:
    """The network from which its teaching goes on; None where it begins: models of before had another."""
    network = model.match.network if model.match else None
    goes_on = network is not None and network.of_pixels is not None and network.conditional == conditional
    return network if goes_on else None


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
    distances: NDArray[np.float16] | None
    """Of labels, `border_distance` of each prediction."""
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
        count = windows_for(patches.shape, encoding.n_maps, regions)
        count = count if windows is None else min(windows, count)
        drawn = patches.batch(0, TEACHING, range(count))
        sources = drawn["source"].numpy()
        planes = drawn["labels"].tolist() if "labels" in drawn else [()] * count
        each = (replace(model, planes=tuple(own)) for own in planes)
        with ThreadPoolExecutor(1, "encoder") as encoder:  # of the windows that are predicted already
            predicted, encoded = [], []
            for own, source, target in zip(each, sources, drawn["target"].numpy(), strict=True):
                predicted.append(own.maps_of_frame(source))
                encoded.append(encoder.submit(_as_scored, encoding, target, predicted[-1]))
            maps = np.stack(predicted)
            targets, predictions = (np.stack(side) for side in zip(*(one.result() for one in encoded), strict=True))
        stains = drawn["stains"].numpy() > 0 if "stains" in drawn else None
        if stains is not None:
            targets = np.where(stains.reshape(*stains.shape, *(1,) * (targets.ndim - 2)), targets, predictions)
        known = drawn["known"].amax(dim=1).numpy() if "known" in drawn else np.ones_like(maps[:, 0])
        side = min(config.patch_size, round_up(TRUST_PATCH, config.grid))
        devices = [model.device] if model.device.type == "cuda" else []
        before = taught_before(model, conditional)
        sees_doubt = before is None or before.of_pixels is None or before.of_pixels.sees_doubt
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(np.random.SeedSequence([config.seed, TEACHING]).generate_state(1, np.uint64)[0]))
            encodings = model.source_encoding, encoding
            dims = sources.ndim - 2
            network = match_network(config.judge, *encodings, dims, conditional, per_pixel=True, sees_doubt=sees_doubt)
        if before is not None:
            network.load_state_dict(before.state_dict())
        fields = sum(int((field_means(part, network.fields) > 0.999).sum()) for part in known)
        fewest = math.ceil(FEWEST_FIELDS * count / windows_for(patches.shape, encoding.n_maps, None))
        if fields < fewest and windows is None:
            raise ValueError(
                f"At least {fewest} fields of the pairs that teach must be known as a whole; got {fields}. Give "
                "more of the targets."
            )
        assert network.of_pixels is not None
        network.of_pixels.usual.fill_(_usual_error(encoding, predictions, targets, known, stains))
        distances = None
        if encoding.is_labels:
            distances = np.stack([border_distance(label_of(own, encoding)).astype(np.float16) for own in predictions])
        drawn_of = sources, targets, maps, predictions, known, distances
        return cls(model, network.to(model.device), *drawn_of, side, stains)

    def batch(self, step: int) -> list[Tensor]:
        """What `image` gives, of all images of this step."""
        drawn = (self.image(step, k) for k in range(TRUST_PATCHES))
        sides = [torch.from_numpy(np.stack(side)) for side in zip(*drawn, strict=True)]
        return [on_its_way(side, self.model.device) for side in (*map(channels_last, sides[:3]), *sides[3:])]

    def losses(self, batch: list[Tensor]) -> dict[str, Tensor]:
        """Of the match, on images of a step; and of the expected error, on the predictions of the same sources."""
        there = (side.to(self.model.device, non_blocking=True) for side in batch)
        source, image, beheld, match, judged, errors, known = there
        beheld, errors, known = (side[: PREDICTIONS[self._expects.labels]] for side in (beheld, errors, known))
        with computing_in(resolve_precision("auto", self.model.device), self.model.device):
            matching, logits = self.network.matching(source, image), self._expects.logits(beheld)
        lost = {
            "match": (binary_cross_entropy_with_logits(matching[:, 0], match, reduction="none"), judged),
            "error": (self._expects.surprise(logits[:, 0], errors), known),
        }
        return {name: (loss * counts).sum() / counts.sum().clamp(min=1) for name, (loss, counts) in lost.items()}

    def settle(self) -> None:
        """Find how many labels are wrong of those that are hardly ever, among the windows that taught, or some."""
        encoding, network = self.model.target_encoding, self._expects
        if self.distances is None:
            return
        wrong, count = 0.0, 0
        for i in range(0, len(self.sources), SETTLED):
            labels, distance = self.predictions[i], self.distances[i].astype(np.float32)
            sides = self.sources[i], labels, encoding, self.maps[i], distance, network.sees_doubt
            with torch.inference_mode():
                logits = network.logits(torch.from_numpy(seen(*sides))[None].to(self.model.device))
            rare = network.hardly_ever(logits.sigmoid()[0, 0].cpu().numpy()) & (self.known[i] > 0)
            wrong += float(pixel_errors(self.predictions[i], self.targets[i], encoding)[rare].sum())
            count += int(rare.sum())
        network.rare.fill_(wrong / max(1, count))

    @property
    def _expects(self) -> ErrorNetwork:
        assert self.network.of_pixels is not None
        return self.network.of_pixels

    def learn(self, optimizer: Optimizer, batch: list[Tensor]) -> dict[str, Tensor]:
        """A step on such images; its losses."""
        with of_one_shape(self.model.device):
            losses = self.losses(batch)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(losses["match"] + losses["error"])
        optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def image(self, step: int, k: int) -> tuple[NDArray[np.float32], ...]:
        """Image k of this step, from (seed, step, k) alone.

        (C, [Z,] Y, X): its source, the image, and what an `ErrorNetwork` sees of the prediction of the source. For each
        field ([z,] y, x): how much the image is to match, in [0, 1]; whether it is known. For each pixel ([Z,] Y, X):
        the prediction's error; whether it is known.
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

        source, known = (turned(values[i]) for values in (self.sources, self.known))
        target, prediction, clean = (turned(values[i]) for values in (self.targets, self.predictions, images))
        own = None if self.stains is None else self.stains[i]
        image, there = clean, slice(None) if own is None else own
        if random.random() >= CLEAN:
            donors = [turned(images[j]) for j in others or [i]]
            for _ in range(2 if random.random() < TWICE else 1):
                kind = TAUGHT[int(random.integers(len(TAUGHT)))]
                image = plant(kind, image, donors, random, self.network.fields[-1].size)
            image = as_scored(image, encoding)
        fields = self.network.fields
        changed, judged = (field_means(values, fields) for values in (change(image[there], clean[there]), known))
        errors = pixel_errors(prediction, target, encoding, own)
        image, prediction = beside_stains(image, own), beside_stains(prediction, own)
        maps = distance = None
        if self.distances is not None:
            maps, distance = turned(self.maps[i]), turned(self.distances[i]).astype(np.float32)
        beheld = seen(source, prediction, encoding, maps, distance, self._expects.sees_doubt)
        return source, image, beheld, matching(changed), (judged > 0.999).astype(np.float32), errors, known


def _as_scored(encoding: Encoding, *images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [encoding.encode(encoding.decode(one)) for one in images]


def _usual_error(
    encoding: Encoding,
    predictions: NDArray[np.float32],
    targets: NDArray[np.float32],
    known: NDArray[np.float32],
    stains: NDArray[np.bool_] | None,
) -> float:
    """The mean error of the pixels that are known."""
    total, stained = 0.0, _each(stains, len(known))
    for prediction, target, part, own in zip(predictions, targets, known, stained, strict=True):
        total += float((pixel_errors(prediction, target, encoding, own) * part).sum())
    return total / max(1.0, float(known.sum(dtype=np.float64)))


def _each(stains: NDArray[np.bool_] | None, count: int) -> Sequence[NDArray[np.bool_] | None]:
    """Of each window, None where all channels are there."""
    return [None] * count if stains is None else list(stains)


def matching(changed: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much a field is to match, 1 to 0, of which this share of the range was changed."""
    match: NDArray[np.float32] = np.exp(-changed / np.float32(TOLERANCE))
    return match
