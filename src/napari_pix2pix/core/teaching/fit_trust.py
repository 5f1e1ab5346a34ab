"""Teaching a second discriminator to judge the match, as a generator of reports, and calibrating it."""

import math
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Adam

from napari_pix2pix.core.data.conditions import require_known
from napari_pix2pix.core.data.emptiness import settle_empty
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.data.split import (
    Split,
    evenly,
    met,
    seen_frames,
    split_pairs,
    unlike,
    windows_of,
    without_copies,
)
from napari_pix2pix.core.evaluation.admission import require_kind, require_suited
from napari_pix2pix.core.evaluation.codings import in_one_coding
from napari_pix2pix.core.geometry.axes import middle
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import reach
from napari_pix2pix.core.networks.layers import beside_stains
from napari_pix2pix.core.running.bands import read_ahead
from napari_pix2pix.core.running.patch_scores import whole_scores
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import EmptyChannels, EmptyFrames
from napari_pix2pix.core.settings.training import MOST_TRUST_STEPS
from napari_pix2pix.core.teaching.examination import examined
from napari_pix2pix.core.teaching.teacher import Teacher, taught_before, windows_for
from napari_pix2pix.core.trust.calibration import Calibration
from napari_pix2pix.core.trust.judge import (
    MatchJudge,
    as_scored,
    pixel_errors,
)
from napari_pix2pix.core.trust.novelty import MIDDLE, MOST_WINDOWS, Novelty
from napari_pix2pix.core.trust.risk import Left, RiskCurves, limits_about

LEARNING_RATE = 1e-3
CALIBRATION_SHARE = 1 / 3
"""Of pairs that the model has not seen; the others teach."""
CALIBRATED = 2**25
"""Pixels that calibrate at most."""
FEWEST_OF_A_STAGE = 300
"""Steps, after which it is worth to look whether it is good."""
WORTH = 0.01
"""What a longer teaching must gain in the order of pixels by their errors (Spearman) to go on with a good judge."""
TOLD_EVERY = 10
"""Steps whose losses are told once."""
MEASURED = 6
"""Windows, and steps, by which it is measured how long a teaching takes."""


@dataclass(frozen=True)
class TrustReport:
    """Where the teaching is.

    Parameters
    ----------
    step, steps
        Done, and to do in all, at most.
    losses
        ``match`` and ``error``, of the first step and then of every tenth.
    elapsed_s
        Since it began.
    remaining_s
        At the present speed, at most; None at the start.
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
    at_most: int = MOST_TRUST_STEPS,
    empty_frames: EmptyFrames | None = None,
    empty_channels: EmptyChannels | None = None,
    conditional: bool = True,
) -> Generator[TrustReport, None, None]:
    """Teach a second discriminator to judge the match of image and source; yields a report after each step.

    It learns, on pairs that teach, to tell targets and predictions of a source from the same with planted damage
    (`teaching.damage`): its first output says by how little a field was changed. Another network learns how far each
    pixel of the model's own, undamaged predictions is from the truth. What its scores mean is then read off calibration
    pairs. It learns in bfloat16 where the device computes with it. The same model, pairs, steps and number of threads
    give the same weights, bit for bit, on the same CPU. The generator stays as it is. A model that judges already is
    taught on: from what its judge has learned, with images that it was not shown; but one of before, without expected
    errors of pixels, begins anew.

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
        So many, whatever is learned. None: those of the model's config; or if these are 0 or `auto`, until it finds
        planted damage well and twice as many steps hardly order errors better: see `stages`.
    steps
        An older name of `trust_steps`.
    at_most
        So many, where no number is given.
    empty_frames, empty_channels
        What frames without any label in a label target mean, and channels of one value, as in `Config`; None: what they
        meant in the training.
    conditional
        Whether what judges the match sees the source beside the image; False only to learn what can be told without.

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
    count = trust_steps or steps or model.config.trust_steps
    ends = [count] if isinstance(count, int) and count else stages(at_most)
    if split is None:
        said = model.config
        meaning = empty_frames or said.empty_frames, empty_channels or said.empty_channels
        pairs, known_by = _suited(model, pairs, *meaning)
        pairs, sentence = pairs.held_together(known_by)
        if sentence:
            warnings.warn(sentence, stacklevel=2)
        split = divided(model, pairs, known_by)
        for remark in split.remarks:
            warnings.warn(remark, stacklevel=2)
        if not split.calibration:
            warnings.warn(
                "No pairs to calibrate on: scores have no ranks, expected errors no bound. Give pairs that neither "
                "trained nor chose the model.",
                stacklevel=2,
            )
    return _taught(model, pairs, split, Teacher.prepare(model, pairs, split.train, conditional), ends)


def stages(most: int) -> list[int]:
    """After how many of at most so many steps it is examined: a quarter, a half and all, unless these are too few."""
    return [most >> halved for halved in (2, 1, 0) if not halved or most >> halved >= FEWEST_OF_A_STAGE]


def _taught(
    model: TrainedModel, pairs: PairedFrames, split: Split, teacher: Teacher, ends: Sequence[int]
) -> Generator[TrustReport, None, None]:
    network, started, threads = teacher.network, time.monotonic(), torch.get_num_threads()
    before = model.provenance.get("trust", {}).get("steps", 0) if taught_before(model, network.conditional) else 0
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    judge = MatchJudge(network, None, _novelty(model, pairs, split.train, network.fields[-1].size))
    judge.familiar, begin, order, most, told = not split.calibration, 0, -1.0, ends[-1], dict[str, float]()
    for end in ends:
        network.train()
        try:
            torch.set_num_threads(max(1, threads - 1))  # another thread makes images
            for step, batch in read_ahead(teacher.batch, range(before + begin, before + end)):
                done = step - before
                for group in optimizer.param_groups:
                    group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * (done - begin) / (end - begin))) / 2
                losses = teacher.learn(optimizer, batch)
                elapsed = time.monotonic() - started
                if not told or step % TOLD_EVERY == 0:  # else the device would be waited for in each step
                    told = {name: float(loss) for name, loss in losses.items()}
                yield TrustReport(done + 1, most, told, elapsed, elapsed / (done + 1) * (most - done - 1))
        finally:
            torch.set_num_threads(threads)
        network.eval()
        teacher.settle()
        judge.examined, orders = examined(model, judge, pairs, split.calibration or split.train)
        if judge.good and not orders - order >= WORTH:
            break
        begin, order = end, orders
    if end < most:
        yield TrustReport(end, end, elapsed_s=time.monotonic() - started)
    judge.calibration = calibrated(model, judge, pairs, split.calibration)
    groups = judge.calibration.groups if judge.calibration else 0
    said = {"steps": before + end, "taught": len(split.train), "calibrated": len(split.calibration), "groups": groups}
    seen = unlike(split.rows(pairs), (*model.provenance.get("regions", ()), *model.provenance.get("seen", ())))
    provenance = {**model.provenance, "trust": said}
    provenance |= {"seen": [*model.provenance.get("seen", ()), *seen]} if seen else {}
    taught = replace(model, match=judge, provenance=provenance)
    yield TrustReport(end, end, elapsed_s=time.monotonic() - started, model=taught)


def teaching_takes(model: TrainedModel, pairs: PairedFrames, split: Split) -> tuple[float, float]:
    """Seconds that such a teaching takes beside its steps, and for one of them, as measured on a few windows.

    Raises
    ------
    ValueError
        If nothing is left to teach with.
    """
    began = time.monotonic()
    teacher = Teacher.prepare(model, pairs, split.train, True, MEASURED)
    of_windows = (time.monotonic() - began) / len(teacher.sources)
    pixels = math.prod(teacher.sources.shape[2:])
    calibrates = min(CALIBRATED, sum(math.prod(region.shape) for region in split.calibration)) / pixels
    optimizer = Adam(teacher.network.parameters(), lr=LEARNING_RATE, fused=True)
    for step, batch in read_ahead(teacher.batch, range(1 + MEASURED)):
        float(teacher.learn(optimizer, batch)["match"])
        if step == 0:
            began = time.monotonic()
    each = (time.monotonic() - began) / MEASURED
    windows = windows_for(teacher.sources.shape[2:], model.target_encoding.n_maps, split.train)
    return of_windows * (windows + calibrates), each


def _novelty(model: TrainedModel, pairs: PairedFrames, regions: Sequence[Region], side: int) -> Novelty:
    """What is known of the sources of these regions."""
    looked_at = regions[:: -(-len(regions) // MOST_WINDOWS)]
    middles = [(*r.window[:-2], *(middle(along, MIDDLE) for along in r.window[-2:])) for r in looked_at]
    sources = (pairs.source(r.frame, window) for r, window in zip(looked_at, middles, strict=True))
    encoded = (model.source_encoding.encode(source) for source in sources)
    return Novelty.of(encoded, side, [pairs.groups[pairs.places[region.frame][0]] for region in looked_at])


def _suited(
    model: TrainedModel, pairs: PairedFrames, frames: EmptyFrames, channels: EmptyChannels
) -> tuple[PairedFrames, dict[int, bytes]]:
    """The pairs, checked, and what their sources are known by, see `Contents`; a training has done so before."""
    require_suited(model, pairs)
    require_known(pairs, model.conditions)
    expected, found = model.source_encoding.n_channels, pairs.source_plans[0].n_channels
    if found != expected:
        raise ValueError(
            f"Sources to teach with must have the channels of the model, {expected}; got {found}. Choose them with "
            "`source_channels`."
        )
    known_by = pairs.require_finite()
    pairs, remark = in_one_coding(pairs, model.target_encoding)
    if remark:
        warnings.warn(remark, stacklevel=3)
    if model.target_encoding.is_labels:
        require_kind(model, pairs)
    encoding = model.target_encoding
    return settle_empty(pairs, frames, channels, encoding.kind, varying=range(encoding.n_channels)), known_by


def divided(model: TrainedModel, pairs: PairedFrames, known_by: Mapping[int, bytes] | None = None) -> Split:
    """Which of these pairs teach, and which calibrate, see `fit_trust`; copies of what made the model teach."""
    rows = model.provenance.get("regions", ())
    if not pairs.hashes or (rows and not any(row.get("source_sha256") for row in rows)):
        warnings.warn(
            "Which of these pairs made the model is not known, since they are not from files: all of them teach. Give "
            "`split` to say which calibrate.",
            stacklevel=3,
        )
        return Split(pairs.regions())
    seen, known_by = seen_frames(pairs, model.provenance), known_by or {}
    made_of = {known_by[frame] for frame in seen if frame in known_by}
    seen |= {frame: "train" for frame, content in known_by.items() if content in made_of and frame not in seen}
    files = dict(zip(pairs.names, pairs.hashes, strict=True))
    rows = [*rows, *model.provenance.get("seen", ())]  # the latter taught its judge, or calibrated it
    rows = [row for row in rows if row.get("source_sha256") in (None, *files.get(row["name"], ()))]
    made = met(row for row in rows if row["kind"] != "calibration")
    rows = [row for row in rows if row["kind"] == "train" or not made(row)]
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
    return without_copies(Split(tuple(teach), (), tuple(calibrate)), known_by)


def _reach(model: TrainedModel) -> int:
    return reach(method_of(model.config), model.config, 3 if model.source_view.z == "volume" else 2)


def calibrated(
    model: TrainedModel, judge: MatchJudge, pairs: PairedFrames, regions: Sequence[Region]
) -> Calibration | None:
    """From real and predicted fields wholly inside these regions, and all known pixels; None if there are none."""
    encoding, regions = model.target_encoding, evenly(pairs, tuple(regions), CALIBRATED)
    stacks = [pairs.places[region.frame][0] for region in regions]
    names = [pairs.groups[stack] for stack in stacks]
    within_one = len(set(pairs.groups)) == 1
    names = [pairs.name(region.frame) for region in regions] if within_one else names
    found: dict[str, list[tuple[NDArray[np.float32], ...]]] = {}
    left: dict[str, list[Left]] = {}
    fields, limits = judge.network.fields, limits_about(judge.usual_error)
    for region, name in zip(regions, names, strict=True):
        if min(region.shape[-2:]) < fields[-1].size:
            continue
        source = model.source_encoding.encode(pairs.source(region.frame, region.window))
        target = encoding.encode(pairs.target(region.frame, region.window))
        known = pairs.known(region.frame, region.window)
        inside = whole_scores(fields, region.shape) & (field_means(known, fields) > 0.999)
        if not inside.any():
            continue
        own = model.under(pairs.bears(region.frame))
        prediction = as_scored(own.maps_of_frame(source), encoding)
        stains = None if pairs.all_stained else pairs.stains(region.frame)
        sides = [target, prediction]
        if stains is not None:  # to a judge that is not told what is there, nothing is missing
            target[~stains] = prediction[~stains]
            sides = [beside_stains(side, stains) for side in sides] if encoding.partial else sides
        real, predicted = own.judged(judge, source, sides)
        wrong = pixel_errors(prediction, target, encoding, stains)
        error, expected = field_means(wrong, fields), np.asarray(predicted.expected_error)
        found.setdefault(name, []).append((real.scores[inside], expected[inside], error[inside]))
        each = predicted.masked_pixels(tuple(slice(0, n) for n in region.shape))
        seen = np.broadcast_to(known > 0.999, wrong.shape)
        left.setdefault(name, []).append(Left.of(limits, each[seen], wrong[seen]))
    if not found:
        return None
    groups = [[np.concatenate(side) for side in zip(*own, strict=True)] for own in found.values()]
    scores, expectations, truths = ([own[i] for own in groups] for i in range(3))
    risk = RiskCurves.of(limits, list(left.values()), None if encoding.is_labels else judge.usual_error)
    return Calibration.of(scores, expectations, truths, within_one, risk)
