"""The patch scores of an image in a file, given the source in another."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.geometry.per_pixel import per_pixel
from napari_pix2pix.core.running.patch_scores import PatchScores, ReadWindow
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.running import ScoreSettings
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.partners import at_one_size, halved, open_joined
from napari_pix2pix.files.results import channels_taken, origin_of, warn_of_pixel_size
from napari_pix2pix.files.stacks import (
    Stack,
    is_slide,
    open_stack,
    place_of,
    stack_writer,
)
from napari_pix2pix.files.trusted import bands
from napari_pix2pix.files.trusted import trust_limit as limit_of


def parts_of_scores(model: TrainedModel, kind: str | None, table: bool) -> list[str]:
    """What `score_file` writes beside the scores, as `beside` names it."""
    parts = ["valid"]
    if model.match is not None and kind != "plain":
        known = model.match.calibration
        parts.append("expected_error")
        parts += ["rank"] if known else []
        parts += ["error_bound"] if known and known.promises else []
    parts += ["domains"] if model.domains.sets else []
    return parts + (["table"] if table else [])


def score_file(
    model: TrainedModel,
    source: Path,
    image: Path,
    out: Path,
    how: ScoreSettings,
    *,
    more: Sequence[Path] = (),
    model_sha256: str | None = None,
    hashes: Mapping[Path, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Write the patch scores of the stack `image` given the stack `source` to `out`; yields progress and geometry.

    Beside them, as `beside` names the files: which fields are ``valid``, wholly inside the image (1, else 0);
    where the model was taught to judge the match, ``expected_error``, ``rank`` and ``error_bound``, as in
    `PatchScores`; and a ``table`` of all scores (CSV), if asked for. With `per_pixel` all images are on the pixels of
    `image`; a pixel is ``valid`` between fields that are.

    At the end comes a ``row`` with the mean and the lowest score, of fields wholly inside the image if there are any,
    and the mean ``expected_error``, see `PatchScores.mean_error`; of several frames, ``placed`` has that of each.
    `more`, `model_sha256` and `hashes` as in `predict_file`.
    """
    model = model.toward(how.to).under(how.condition)
    domains = model.domains.names
    given = open_joined(source, more, how.source_axes, how.side_by_side)
    judged = open_stack(image, how.image_axes, halved(how.side_by_side)[1] if image == source else None)
    if is_slide(given.path) and image != source and {"Y", "X"} <= judged.pixel_size_um.keys():
        given, judged = at_one_size(given, judged, max(judged.pixel_size_um[axis] for axis in "YX"))
    warn_of_pixel_size(model, given)
    channels = channels_taken(model, given, how.source_channels)
    axes = given.axes, judged.axes
    named: dict[str, Any] = {"channels": channels, "image_channels": _stains(model, judged), "kind": how.kind}
    plan = model.score_plan(given.array, judged.array, axes, **named)
    frames = model.score_frames(given.array, judged.array, axes, tile_size=how.tile_size, **named)
    first = next(frames)
    shape = model.source_plan(given.array, given.axes, channels).frame_shape
    written = plan.like(1, "", shape) if how.per_pixel else plan
    field, n = first.receptive_field, len(shape)
    scale, translate = ((1.0,) * n, (0.0,) * n) if how.per_pixel else (first.scale, first.translate)
    geometry: dict[str, Any] = {
        "kind": first.kind,
        "scale": scale,
        "translate": translate,
        "receptive_field": {"size": field.size, "stride": field.stride, "centre": field.centre},
        "sizes": [along.size for along in first.fields],
    }
    geometry |= {"promise": first.promise} if first.promise else {}
    geometry |= {"trust_limit": limit_of(model)} if first.expected_error is not None else {}
    made: dict[str, Any] = {"channels": list(channels), "patch_scores": geometry}
    made |= {"condition": how.condition} if how.condition is not None else {}
    origin = origin_of(model, (model_sha256, hashes), source=given, image=judged, **made)
    sizes, placement = given.placement.seen_every(first.axes, scale, translate, given.pixel_size_um)
    said: dict[str, Any] = {
        "pixel_size_um": sizes,
        "placement": placement,
        "description": json.dumps(origin, sort_keys=True),
    }
    total, count, lowest, errors = 0.0, 0, math.inf, list[float]()
    with ExitStack() as files:
        put = {}
        for part, values in first.parts.items():
            path = out if part == "scores" else beside(part)(out)
            called = f"patch score ({first.kind})" if part == "scores" else part.replace("_", " ")
            dtype = np.uint8 if values.dtype == bool else values.dtype
            put[part] = files.enter_context(stack_writer(path, written, dtype, channel_names=(called,), **said))
        put_rows = files.enter_context(_table_writer(beside("table")(out), plan, first)) if how.table else None
        put_domains, likely = None, np.zeros(len(domains))
        if domains:
            place, maps = beside("domains")(out), written.like(len(domains), "C")
            put_domains = files.enter_context(stack_writer(place, maps, "float32", **said, channel_names=domains))
        for frame, scored in enumerate(chain([first], frames)):
            for part, values in scored.parts.items():
                own = scored.expected_pixels if part == "expected_error" else None
                for some in _each_pixel(values, scored, shape, own) if how.per_pixel else [values]:
                    put[part](some[None].astype(np.uint8) if values.dtype == bool else some[None])
            if put_domains and scored.domains is not None:
                for some in _each_pixel(scored.domains, scored, shape) if how.per_pixel else [scored.domains]:
                    put_domains(some)
            if put_rows:
                put_rows(frame, scored)
            inside = scored.valid if scored.valid.any() else np.ones_like(scored.valid)
            total += float(scored.scores[inside].sum(dtype=np.float64))
            errors += [] if scored.expected_error is None else [scored.mean_error]
            if scored.domains is not None:
                likely += scored.domains[:, inside].sum(axis=1, dtype=np.float64)
            count, lowest = count + int(inside.sum()), min(lowest, float(scored.scores[inside].min()))
            yield {"event": "progress", "unit": "files", "done": (frame + 1) / (plan.n_frames + 1), "total": 1}
    each = {"expected_errors": errors} if len(errors) > 1 else {}
    yield {"event": "placed", "path": str(out), **geometry, **each}
    row = {"mean": total / count, "lowest": lowest}
    row |= {f"share_{name}": float(share) / count for name, share in zip(domains, likely, strict=True)}
    row |= {"expected_error": float(np.mean(errors))} if errors else {}
    yield {"event": "row", "row": row}


def _stains(model: TrainedModel, image: Stack) -> list[int | None]:
    """The numbers of the model's stains among the channels of `image` by their names; empty where these do not tell."""
    known = ((model.provenance.get("pairs") or {}).get("train") or {}).get("target_channels") or ()
    names = image.channel_names
    if not model.target_encoding.partial or not known or set(known) == set(names) or not set(names) <= set(known):
        return []
    return [names.index(name) if name in names else None for name in known]


def _each_pixel(
    values: NDArray[Any], scored: PatchScores, shape: tuple[int, ...], own: ReadWindow | None = None
) -> Iterator[NDArray[Any]]:
    """`values` of the fields, or what pixels have of their `own`, at the pixels of an image, some rows at a time."""
    for rows in bands(shape[-2]):
        window = (*(slice(0, n) for n in shape[:-2]), rows, slice(0, shape[-1]))
        fields = values.astype(np.float32, copy=False)
        found = own(window) if own else per_pixel(fields, scored.scale, scored.translate, window)
        yield found == 1 if values.dtype == bool else found


@contextmanager
def _table_writer(path: Path, plan: AxesPlan, first: PatchScores) -> Iterator[Callable[[int, PatchScores], None]]:
    """Gives a function that adds a frame: a row for each score, its place in the stack and on the image in pixels."""
    with written_beside(path) as beside, beside.open("w", newline="", encoding="utf8") as file:
        writer = csv.writer(file)
        writer.writerow([*place_of(plan, 0), *first.axes.lower(), "score", *[*first.parts][1:]])

        def put(frame: int, scored: PatchScores) -> None:
            start, known = place_of(plan, frame).values(), scored.parts.values()
            for place in np.ndindex(scored.scores.shape):
                at = (a + step * i for i, step, a in zip(place, scored.scale, scored.translate, strict=True))
                writer.writerow([*start, *(f"{x:g}" for x in at), *(f"{float(values[place]):.6g}" for values in known)])

        yield put
