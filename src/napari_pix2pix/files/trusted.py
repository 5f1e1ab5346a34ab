"""Beside a prediction how far to trust it: the expected error of each pixel, which ones not to trust, and a row."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.running.bands import unknown
from napari_pix2pix.core.running.patch_scores import PatchScores, require_large_enough
from napari_pix2pix.core.running.sources import is_novel
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.files.areas import Wanted
from napari_pix2pix.files.judged_areas import JudgedAreas, fields_in, write_worst
from napari_pix2pix.files.judged_objects import JudgedObjects, objects_writer
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.readers.unpacked import rows_unpacked_once
from napari_pix2pix.files.stacks import Block, Stack, open_stack, place_of, stack_writer

TIMES_USUAL = 2.0
"""An expected error of more than so many times the usual one is not to be trusted, unless another limit is given."""
ROWS, COLUMNS = 512, 8192
"""Of an image that are written at once."""
MAPS = ("expected_error", "untrusted")
OBJECTS = ("objects", "outlines")


def parts_of_trust(model: TrainedModel, how: PredictSettings | None = None) -> tuple[str, ...]:
    """What goes beside a prediction, as `beside` names it; of a part of a slide more, see `JudgedAreas`."""
    parts = MAPS + (OBJECTS if model.target_encoding.kind == "instances" else ())
    parts += ("worst",) if how is not None and how.of_part else ()
    return parts + (("annotations",) if how is not None and how.annotations is not None else ())


def trust_limit(model: TrainedModel, given: float | None = None) -> float:
    """The expected error above which a pixel is not to be trusted, in the target's units; of labels a share, 0 to 1.

    Raises
    ------
    ValueError
        If it is negative, or the model was not taught to expect errors.
    """
    if given is not None and not given >= 0:
        raise ValueError(
            f"A trust limit must be an expected error, 0 or more; got {given}. Leave it out for the usual."
        )
    if model.match is None:
        paired = model.config.data == "pairs"
        why = "was not" if paired else "learned without pairs, which no error is known of"
        how = "" if paired else " and a few registered pairs"
        raise ValueError(
            "To say how far to trust a prediction, a model must have been taught to expect errors; this one "
            f"{why}. Teach it with fit-trust{how}, or leave `trust` out."
        )
    return TIMES_USUAL * model.match.usual_error if given is None else given


def mask_limit(model: TrainedModel, given: float | None = None, risk: float | None = None) -> float:
    """Where the mask is drawn: by `Calibration.limit` if the model can promise this risk, else at `trust_limit`."""
    known = model.match.calibration if model.match else None
    kept = None if risk is None or known is None else known.limit(risk)
    if kept is None:
        return trust_limit(model, given)
    return min(kept, 1.0) if model.target_encoding.is_labels else kept  # nothing is more likely wrong than surely


def risk_told(model: TrainedModel, risk: float) -> tuple[bool, str]:
    """Whether a mask of this risk promises something; and what, and what not, or why it does not, in a sentence or two.

    Of a model that was taught to expect errors.
    """
    known = model.match.calibration if model.match else None
    if known is None:
        kept, told = False, f"No mask promises a risk of {risk:g}: this model was not calibrated."
    else:
        kept, told = known.limit(risk) is not None, known.mask_promise(risk)
    usual = f"{told} The mask is one without a promise, at an expected error of {trust_limit(model):.3g}."
    return kept, told if kept else usual


def require_trustable(model: TrainedModel, frame_shape: tuple[int, ...]) -> None:
    """Raise a ValueError if frames of this shape ([Z,] Y, X) are smaller than one field."""
    assert model.match is not None
    require_large_enough(model.match.network.fields, frame_shape)


def require_known(rows: NDArray[Any], frame: int) -> None:
    """Raise a ValueError if these rows of the source hold NaN or Inf."""
    if unknown(rows).any():
        raise ValueError(
            f"To say how far to trust a prediction, its source must be finite; frame {frame} holds NaN or Inf. Replace "
            "these pixels, or leave `trust` out."
        )


def write_trust(
    model: TrainedModel,
    source: Stack,
    channels: Sequence[int],
    out: Path,
    plan: AxesPlan,
    limit: float | None = None,
    tile_size: int | None = None,
    risk: float | None = None,
    wanted: Wanted | None = None,
    judged: Path | None = None,
    novel: Sequence[float] = (),
) -> Iterator[dict[str, Any]]:
    """Judge the prediction in the file `out`, and write `parts_of_trust` beside it; yields progress, then a ``row``.

    Both maps lie on the prediction's pixels: ``expected_error`` in the target's units, float32, see
    `PatchScores.expected_pixels`; ``untrusted`` is 1 where that, or with a `risk` that is promised
    `PatchScores.masked_pixels`, is above the limit, else 0. The row has the mean ``expected_error``, see
    `PatchScores.mean_error`, and the largest with its place in pixels, of fields wholly inside the image if there are
    any, and the share of pixels that are ``untrusted``. Of instances, a table and ``outlines`` have each object by the
    expected error of the fields around its pixels, see `JudgedObjects`: its rim is always in doubt. The row has how
    many objects there are and are to be checked.

    Parameters
    ----------
    model, source, channels, tile_size
        With which it was predicted.
    out, plan
        The prediction, and its axes and shape.
    limit
        As in `trust_limit`; colours and objects go by it.
    risk
        As in `mask_limit`: the mask goes by that. Descriptions have what it promises, or why it does not.
    wanted
        The part of a slide that was predicted: nothing else is judged. Elsewhere ``expected_error`` is NaN, means are
        over that part, its worst regions go to ``worst``, and means over annotations to ``annotations``.
    judged
        The same with what the judge sees around that part; else what is in `out`.
    novel
        Of each frame the share of the source that is like nothing that trained: where a warning says that expected
        errors do not hold, see `is_novel`, all objects are to be checked.
    """
    image, maps = open_stack(out), plan.like(1, "")
    seen = open_stack(judged) if judged else image
    usual, limit, promised = trust_limit(model, limit), mask_limit(model, limit, risk), False
    promise: dict[str, Any] = {}
    if risk is not None:
        promised, said_of_it = risk_told(model, risk)
        promise = {"trust_risk": risk, "mask_limit": limit, "promised": promised, "promise": said_of_it}
    area = wanted.area if wanted else None
    how: dict[str, Any] = {"channels": channels, "tile_size": tile_size, "kind": "match", "look": False, "area": area}
    origin = json.loads(image.description) | {"trust_limit": usual} | promise
    if model.target_encoding.is_labels and model.match and model.match.network.of_pixels is not None:
        origin["probability"] = True
    said: dict[str, Any] = {"pixel_size_um": image.pixel_size_um, "placement": source.placement}
    worst, means, untrusted = _Worst(maps, area), list[float](), 0
    areas = JudgedAreas(wanted) if wanted else None
    with ExitStack() as files:
        given = files.enter_context(rows_unpacked_once(source, out.parent, source.plan.n_channels))
        frames = model.score_frames(given.array, seen.array, (given.axes, seen.axes), errors_in=out.parent, **how)
        put = {}
        for part, dtype in zip(MAPS, ("float32", "uint8"), strict=True):
            said["description"] = json.dumps({**origin, "trust": part}, sort_keys=True)
            named: dict[str, Any] = {"channel_names": (part.replace("_", " "),), "labels": part == "untrusted"}
            put[part] = files.enter_context(stack_writer(beside(part)(out), maps, dtype, **named, **said))
        objects: JudgedObjects | None = None
        if model.target_encoding.kind == "instances":
            table, shapes = (beside(part)(out) for part in OBJECTS)
            objects = files.enter_context(objects_writer(table, shapes, maps, usual))
        labels = replace(image.plan, z=maps.z)
        for frame, scored in enumerate(frames):
            for rows, columns in windows(*maps.frame_shape[-2:]):
                window = *(slice(0, n) for n in maps.frame_shape[:-2]), rows, columns
                if areas:
                    expected, doubtful = _in_area(areas, scored, window, promised, limit)
                else:
                    expected = scored.expected_pixels(window)
                    doubtful = (scored.masked_pixels(window) if promised else expected) > limit
                untrusted += int(doubtful.sum())
                put["expected_error"](Block(expected[None], rows.start, columns.start))
                put["untrusted"](Block(doubtful[None].astype(np.uint8), rows.start, columns.start))
                if objects:
                    corner = rows.start, columns.start
                    objects.add(labels.take(image.array, frame, window)[0], scored.around(window), corner)
            if objects:
                holds = not novel or not is_novel(novel[frame])
                objects.finish(frame, lambda asked: labels.take(image.array, frame, asked)[0], holds)  # noqa: B023 - used at once
            worst.add(frame, scored)
            if areas:
                write_worst(beside("worst")(out), scored, areas.wanted)
            else:
                means.append(scored.mean_error)
            yield {"event": "progress", "unit": "files", "done": (frame + 1) / (maps.n_frames + 1), "total": 1}
    written = {part: str(beside(part)(out)) for part in parts_of_trust(model)}
    if areas:
        written["worst"] = str(beside("worst")(out))
        if areas.wanted.annotations:
            areas.write_table(beside("annotations")(out))
            written["annotations"] = str(beside("annotations")(out))
    yield {"event": "trust", "limit": usual, **promise, **written}
    share = untrusted / np.prod(maps.shape)
    row = areas.row if areas else {"expected_error": float(np.mean(means)), "untrusted": float(share)}
    row |= worst.row
    yield {"event": "row", "row": row | (objects.row if objects else {})}


def bands(height: int) -> Iterator[slice]:
    """The rows of an image of this height, some at a time."""
    for row in range(0, height, ROWS):
        yield slice(row, min(row + ROWS, height))


def windows(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of an image of this size, some at a time, row by row."""
    for rows in bands(height):
        for column in range(0, width, COLUMNS):
            yield rows, slice(column, min(column + COLUMNS, width))


def _in_area(
    areas: JudgedAreas, scored: PatchScores, window: tuple[slice, ...], promised: bool, limit: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Of these rows and columns the expected error, NaN where nothing is wanted, and what is not to be trusted."""
    rows, columns = window
    expected = np.full((rows.stop - rows.start, columns.stop - columns.start), np.nan, np.float32)
    doubtful = np.zeros(expected.shape, bool)
    for column in range(columns.start, columns.stop, ROWS):
        part = rows, slice(column, min(column + ROWS, columns.stop))
        inside = areas.wanted.area.mask(part)
        if inside.any():
            found = scored.expected_pixels(part)
            beyond = ((scored.masked_pixels(part) if promised else found) > limit) & inside
            areas.add(part, inside, found, beyond)
            at = slice(column - columns.start, part[1].stop - columns.start)
            expected[:, at] = np.where(inside, found, np.float32(np.nan))
            doubtful[:, at] = beyond
    return expected, doubtful


class _Worst:
    """The field with the largest expected error, and where in the stack it is."""

    def __init__(self, plan: AxesPlan, area: Area | None = None) -> None:
        self._plan, self._area = plan, area
        self.row: dict[str, float] = {"worst_expected_error": -1.0}

    def add(self, frame: int, scored: PatchScores) -> None:
        """Look at a frame."""
        assert scored.expected_error is not None
        seen = np.where(scored.valid, scored.expected_error, -1) if scored.valid.any() else scored.expected_error
        if self._area is not None:
            seen = np.where(fields_in(scored, self._area), scored.expected_error, -1)
        place = np.unravel_index(int(seen.argmax()), seen.shape)
        if seen[place] <= self.row["worst_expected_error"]:
            return
        at = (
            float(first + step * int(i)) for i, step, first in zip(place, scored.scale, scored.translate, strict=True)
        )
        where = place_of(self._plan, frame) | dict(zip(scored.axes.lower(), at, strict=True))
        self.row = {"worst_expected_error": float(seen[place])} | {f"worst_{axis}": x for axis, x in where.items()}
