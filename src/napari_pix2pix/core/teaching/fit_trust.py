"""Teaching a second discriminator to judge the match, as a generator of reports, and calibrating it."""

import math
import time
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Adam

from napari_pix2pix.core.data.pairs import PairedFrames, Region, settle_empty_frames
from napari_pix2pix.core.data.patches import PairedPatches
from napari_pix2pix.core.data.split import Split, evenly, seen_frames, split_pairs, unlike, windows_of
from napari_pix2pix.core.engine.devices import computing_in, resolve_precision
from napari_pix2pix.core.evaluation.admission import require_kind, require_suited
from napari_pix2pix.core.evaluation.codings import in_one_coding
from napari_pix2pix.core.geometry.axes import middle
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.geometry.tiles import round_up
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import reach
from napari_pix2pix.core.running.bands import read_ahead
from napari_pix2pix.core.running.patch_scores import whole_scores
from napari_pix2pix.core.running.prediction import channels_last
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import Config, EmptyFrames
from napari_pix2pix.core.teaching.damage import TAUGHT, change, plant
from napari_pix2pix.core.trust.calibration import Calibration
from napari_pix2pix.core.trust.judge import (
    JudgeNetwork,
    MatchJudge,
    as_scored,
    error_curve,
    match_network,
    pixel_errors,
)
from napari_pix2pix.core.trust.novelty import MIDDLE, MOST_WINDOWS, Novelty

TEACHING = 3
"""The stream of random numbers, beside those of `core.patches`."""
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
LEARNING_RATE = 1e-3
CLEAN = 0.35
"""The share of images that are taught without damage."""
TWICE = 0.25
"""The share of damaged images that are damaged twice."""
PREDICTED = 0.6
"""The share of images that are predictions; the others are targets."""
TOLERANCE = 0.02
"""A field of which this share of the range was changed matches by exp(-1)."""
CALIBRATION_SHARE = 1 / 3
"""Of pairs that the model has not seen; the others teach."""
CALIBRATED = 2**25
"""Pixels that calibrate at most."""
MEASURED = 6
"""Windows, and steps, by which it is measured how long a teaching takes."""
FEWEST_FIELDS = 100
"""Known as a whole, of the windows that teach; of fewer nothing is learned."""


@dataclass(frozen=True)
class TrustReport:
    """Where the teaching is.

    Parameters
    ----------
    step, steps
        Done, and to do in all.
    losses
        Of this step: ``match`` and ``error``.
    elapsed_s
        Since it began.
    remaining_s
        At the present speed; None at the start.
    model
        With the judge of the match, in the last report.
    """

    step: int
    steps: int
    losses: dict[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    model: TrainedModel | None = None


def fit_trust(
    model: TrainedModel,
    pairs: PairedFrames,
    split: Split | None = None,
    *,
    trust_steps: int | None = None,
    steps: int | None = None,
    empty_frames: EmptyFrames | None = None,
    conditional: bool = True,
) -> Generator[TrustReport, None, None]:
    """Teach a second discriminator to judge the match of image and source; yields a report after each step.

    It learns, on pairs that teach, to tell targets and predictions of a source from the same with planted damage
    (`core.damage`): its first output says by how little a field was changed. Its second output learns how far the
    model's own, undamaged predictions are from the truth. What its scores mean is then read off calibration pairs. It
    learns in bfloat16 where the device computes with it. The same model, pairs, steps and number of threads give the
    same weights, bit for bit, on the same CPU. The generator stays as it is.

    Parameters
    ----------
    model
        On the device to teach on. It is not changed; the last report has the new one.
    pairs
        Sources and targets as the model's.
    split
        Which regions teach (``train``) and which calibrate. None: what trained or chose the model teaches; what
        calibrated it calibrates again; of what it has not seen, whole groups calibrate, a third of them.
    trust_steps
        None: those of the model's config, or if these are 0, those of the default.
    steps
        An older name of `trust_steps`.
    empty_frames
        What frames without any label in a label target mean, as in `Config`; None: what they meant in the training.
    conditional
        Whether it sees the source beside the image; False only to learn what can be told without.

    Raises
    ------
    ValueError
        If nothing is left to teach with, the pairs do not suit the model, or steps are given by both names.

    References
    ----------
    Mismatched pairs as negatives: Reed et al., "Generative Adversarial Text to Image Synthesis", ICML 2016.
    """
    if steps is not None and trust_steps is not None:
        raise ValueError(f"trust_steps must be given once; got {trust_steps}, and steps {steps}. Leave steps out.")
    steps = trust_steps or steps or model.config.trust_steps or Config.model_fields["trust_steps"].default
    if split is None:
        pairs = _suited(model, pairs, empty_frames or model.config.empty_frames)
        split = divided(model, pairs)
        if not split.calibration:
            warnings.warn(
                "No pairs to calibrate on: scores have no ranks, expected errors no bound. Give pairs that neither "
                "trained nor chose the model.",
                stacklevel=2,
            )
    teacher = _Teacher.prepare(model, pairs, split.train, conditional)
    return _taught(model, pairs, split, teacher, steps)


def _taught(
    model: TrainedModel, pairs: PairedFrames, split: Split, teacher: "_Teacher", steps: int
) -> Generator[TrustReport, None, None]:
    network, started, threads = teacher.network, time.monotonic(), torch.get_num_threads()
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    try:
        torch.set_num_threads(max(1, threads - 1))  # another thread makes images
        for step, batch in read_ahead(teacher.batch, range(steps)):
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2
            losses = teacher.losses(batch)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(losses["match"] + losses["error"])
            optimizer.step()
            elapsed = time.monotonic() - started
            told = {name: float(loss.detach()) for name, loss in losses.items()}
            yield TrustReport(step + 1, steps, told, elapsed, elapsed / (step + 1) * (steps - step - 1))
    finally:
        torch.set_num_threads(threads)
    judge = MatchJudge(network.eval(), *teacher.curve(), _novelty(model, pairs, split.train, network.fields[-1].size))
    judge.calibration = calibrated(model, judge, pairs, split.calibration)
    groups = judge.calibration.groups if judge.calibration else 0
    said = {"steps": steps, "taught": len(split.train), "calibrated": len(split.calibration), "groups": groups}
    seen = unlike(split.rows(pairs), (*model.provenance.get("regions", ()), *model.provenance.get("seen", ())))
    provenance = {**model.provenance, "trust": said}
    provenance |= {"seen": [*model.provenance.get("seen", ()), *seen]} if seen else {}
    yield TrustReport(
        steps, steps, elapsed_s=time.monotonic() - started, model=replace(model, match=judge, provenance=provenance)
    )


def teaching_takes(model: TrainedModel, pairs: PairedFrames, split: Split) -> tuple[float, float]:
    """Seconds that such a teaching takes beside its steps, and for one of them, as measured on a few windows.

    Raises
    ------
    ValueError
        If nothing is left to teach with.
    """
    began = time.monotonic()
    teacher = _Teacher.prepare(model, pairs, split.train, True, MEASURED)
    of_windows = (time.monotonic() - began) / len(teacher.sources)
    pixels = math.prod(teacher.sources.shape[2:])
    calibrates = min(CALIBRATED, sum(math.prod(region.shape) for region in split.calibration)) / pixels
    optimizer = Adam(teacher.network.parameters(), lr=LEARNING_RATE, fused=True)
    for step, batch in read_ahead(teacher.batch, range(1 + MEASURED)):
        losses = teacher.losses(batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses["match"] + losses["error"])
        optimizer.step()
        float(losses["match"])
        if step == 0:
            began = time.monotonic()
    each = (time.monotonic() - began) / MEASURED
    return of_windows * (windows_for(teacher.sources.shape[2:], model.target_encoding.n_maps) + calibrates), each


def windows_for(shape: Sequence[int], n_maps: int) -> int:
    """How many windows of this shape ([Z,] Y, X) teach."""
    pixels = math.prod(shape)
    return min(int(np.clip(PIXELS // pixels, *WINDOWS)), max(FEWEST_WINDOWS, VALUES // (pixels * n_maps)))


def _novelty(model: TrainedModel, pairs: PairedFrames, regions: Sequence[Region], side: int) -> Novelty:
    """What is known of the sources of these regions."""
    looked_at = regions[:: -(-len(regions) // MOST_WINDOWS)]
    middles = [(*r.window[:-2], *(middle(along, MIDDLE) for along in r.window[-2:])) for r in looked_at]
    sources = (pairs.source(r.frame, window) for r, window in zip(looked_at, middles, strict=True))
    encoded = (model.source_encoding.encode(source) for source in sources)
    return Novelty.of(encoded, side, [pairs.groups[pairs.places[region.frame][0]] for region in looked_at])


def _suited(model: TrainedModel, pairs: PairedFrames, empty_frames: EmptyFrames) -> PairedFrames:
    """The pairs, checked; a training has done so before."""
    require_suited(model, pairs)
    expected, found = model.source_encoding.n_channels, pairs.source_plans[0].n_channels
    if found != expected:
        raise ValueError(
            f"Sources to teach with must have the channels of the model, {expected}; got {found}. Choose them with "
            "`source_channels`."
        )
    pairs.require_finite()
    pairs, remark = in_one_coding(pairs, model.target_encoding)
    if remark:
        warnings.warn(remark, stacklevel=3)
    if model.target_encoding.is_labels:
        require_kind(model, pairs)
    return settle_empty_frames(pairs, empty_frames, model.target_encoding.kind)


def divided(model: TrainedModel, pairs: PairedFrames) -> Split:
    """Which of these pairs teach, and which calibrate, see `fit_trust`."""
    rows = model.provenance.get("regions", ())
    if not pairs.hashes or (rows and not any(row.get("source_sha256") for row in rows)):
        warnings.warn(
            "Which of these pairs made the model is not known, since they are not from files: all of them teach. Give "
            "`split` to say which calibrate.",
            stacklevel=3,
        )
        return Split(pairs.regions())
    seen = seen_frames(pairs, model.provenance)
    teach, calibrate = (
        [region for region in windows_of(pairs, rows, kind) if region.frame in seen]
        for kind in ("train", "calibration")
    )
    # What is known to have made the model, but not with which window, teaches.
    told = {region.frame for region in (*teach, *calibrate)}
    teach += [region for region in pairs.regions() if region.frame in seen and region.frame not in told]
    new = pairs.without(set(seen))
    if any(region.frame not in seen for region in pairs.regions()):
        shares = {"validation_share": 0.0, "calibration_share": CALIBRATION_SHARE}
        split = split_pairs(new, model.config.model_copy(update=shares), _reach(model))
        teach += split.train
        calibrate += split.calibration
    return Split(tuple(teach), (), tuple(calibrate))


def _reach(model: TrainedModel) -> int:
    return reach(method_of(model.config), model.config, 3 if model.source_view.z == "volume" else 2)


@dataclass
class _Teacher:
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

    @classmethod
    def prepare(
        cls,
        model: TrainedModel,
        pairs: PairedFrames,
        regions: Sequence[Region],
        conditional: bool,
        windows: int | None = None,
    ) -> "_Teacher":
        """Draw windows of the regions and predict them; as many as teach, or at most so many to measure with."""
        if not regions:
            raise ValueError("Pairs must be left to teach with; all of them calibrate. Give more pairs.")
        config, encoding = model.config, model.target_encoding
        pairs.require_patches(config.patch_size, config.grid, settled=True)
        plain = config.model_copy(update={"jitter": 1.0, "flip": False, "rotate": False, "intensity_jitter": 0.0})
        patches = PairedPatches(pairs, tuple(regions), plain, model.source_encoding, encoding)
        count = windows_for(patches.shape, encoding.n_maps)
        count = count if windows is None else min(windows, count)
        drawn = patches.batch(0, TEACHING, range(count))
        sources = drawn["source"].numpy()
        maps = np.stack([model.generate(source) for source in sources])
        sides = drawn["target"].numpy(), maps
        targets, predictions = (np.stack([encoding.encode(encoding.decode(one)) for one in some]) for some in sides)
        known = drawn["known"][:, 0].numpy() if "known" in drawn else np.ones_like(maps[:, 0])
        side = min(config.patch_size, round_up(SIDE, config.grid))
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(np.random.SeedSequence([config.seed, TEACHING]).generate_state(1, np.uint64)[0]))
            encodings = model.source_encoding, encoding
            network = match_network(config.judge, *encodings, sources.ndim - 2, conditional)
        errors = [
            field_means(pixel_errors(prediction, target, encoding), network.fields)[
                field_means(seen, network.fields) > 0.999
            ]
            for prediction, target, seen in zip(predictions, targets, known, strict=True)
        ]
        fields = sum(own.size for own in errors)
        if fields < FEWEST_FIELDS and windows is None:
            raise ValueError(
                f"At least {FEWEST_FIELDS} fields of the pairs that teach must be known as a whole; got {fields}. Give "
                "more of the targets."
            )
        drawn_of = sources, targets, maps, predictions, known, np.sort(np.concatenate(errors))
        return cls(model, network.to(model.device), *drawn_of, side)

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
        image = clean
        if random.random() >= CLEAN:
            donors = [turned(images[j]) for j in others or [i]]
            for _ in range(2 if random.random() < TWICE else 1):
                kind = TAUGHT[int(random.integers(len(TAUGHT)))]
                image = plant(kind, image, donors, random, self.network.fields[-1].size)
            image = as_scored(image, encoding)
        fields = self.network.fields
        changed, judged = (field_means(values, fields) for values in (change(image, clean), known))
        rank = self.rank(field_means(pixel_errors(prediction, target, encoding), fields))
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
        for source, maps, prediction, target, known in zip(*own, strict=True):
            sides = [torch.from_numpy(side)[None].to(self.model.device) for side in (source, prediction, maps)]
            with torch.inference_mode():
                logits = self.network.expecting(*(sides if self.network.sees_maps else sides[:2]))
            error = field_means(pixel_errors(prediction, target, encoding), fields)
            inside = field_means(known, fields) > 0.999
            found.append((logits.sigmoid()[0, 0].cpu().numpy()[inside], error[inside]))
        ranks, errors = (np.concatenate(side) for side in zip(*found, strict=True))
        return error_curve(ranks, errors)


def matching(changed: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much a field is to match, 1 to 0, of which this share of the range was changed."""
    match: NDArray[np.float32] = np.exp(-changed / np.float32(TOLERANCE))
    return match


def calibrated(
    model: TrainedModel, judge: MatchJudge, pairs: PairedFrames, regions: Sequence[Region]
) -> Calibration | None:
    """From real and predicted fields wholly inside these regions; None if there are none."""
    encoding, regions = model.target_encoding, evenly(pairs, tuple(regions), CALIBRATED)
    stacks = [pairs.places[region.frame][0] for region in regions]
    names = [pairs.groups[stack] for stack in stacks]
    within_one = len(set(pairs.groups)) == 1
    names = [pairs.name(region.frame) for region in regions] if within_one else names
    found: dict[str, list[tuple[NDArray[np.float32], ...]]] = {}
    fields = judge.network.fields
    for region, name in zip(regions, names, strict=True):
        if min(region.shape[-2:]) < fields[-1].size:
            continue
        source = model.source_encoding.encode(pairs.source(region.frame, region.window))
        target = encoding.encode(pairs.target(region.frame, region.window))
        known = field_means(pairs.known(region.frame, region.window), fields)
        inside = whole_scores(fields, region.shape) & (known > 0.999)
        if not inside.any():
            continue
        prediction = as_scored(model.generate(source), encoding)
        real, predicted = model.judged(judge, source, (target, prediction))
        error = field_means(pixel_errors(prediction, target, encoding), fields)
        expected = judge.expected_error(predicted[1])
        found.setdefault(name, []).append((real[0][inside], expected[inside], error[inside]))
    if not found:
        return None
    groups = [[np.concatenate(side) for side in zip(*own, strict=True)] for own in found.values()]
    scores, expectations, truths = ([own[i] for own in groups] for i in range(3))
    return Calibration.of(scores, expectations, truths, within_one)
