"""A model applied to files: predictions and patch scores as TIFF, with pixel size and where they came from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_pix2pix import __version__
from napari_pix2pix.core.axes import AxesPlan
from napari_pix2pix.core.model import TrainedModel
from napari_pix2pix.core.prediction import plan_prediction
from napari_pix2pix.files.stacks import open_stack, sha256, stack_writer, standard, write_stack


def predict_file(
    model: TrainedModel,
    source: Path,
    out: Path,
    axes: str | None = None,
    tile_size: int | None = None,
    overlap: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Write the prediction for the stack `source` to `out`; yields the share that is done after each frame."""
    stack = open_stack(source, axes)
    plan = model.prediction_plan(stack.array, stack.axes)
    asked, rounded = (tile_size, overlap), plan_prediction(model.generator, plan.frame_shape, tile_size, overlap)
    for name, value, used in zip(
        ("tile_size", "overlap"), asked, (max(rounded.tile_size), rounded.overlap), strict=True
    ):
        if value is not None and value < used:
            yield {"event": "note", "text": f"{name} {value} rounded up to {used}, the network's grid of 2^levels."}
    channels = model.provenance.get("pairs", {}).get("train", {}).get("target_channels") or ["target"] * plan.n_channels
    with stack_writer(
        out,
        plan,
        model.target_encoding.dtype_decoded,
        pixel_size_um=stack.pixel_size_um,
        channel_names=tuple(f"{name} (predicted)" for name in channels),
        description=_origin(model, source=source),
    ) as put:
        for frame, values in model.predict_frames(stack.array, stack.axes, tile_size=tile_size, overlap=overlap):
            put(values)
            yield {"event": "progress", "unit": "files", "done": (frame + 1) / (plan.n_frames + 1), "total": 1}


def score_file(
    model: TrainedModel,
    source: Path,
    image: Path,
    out: Path,
    source_axes: str | None = None,
    image_axes: str | None = None,
    tile_size: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Write the patch scores of the stack `image` given the stack `source` to `out`; yields their geometry."""
    given, judged = open_stack(source, source_axes), open_stack(image, image_axes)
    scored = model.score(given.array, judged.array, (given.axes, judged.axes), tile_size=tile_size)
    plan = AxesPlan(scored.axes, scored.scores.shape)
    field = scored.receptive_field
    geometry = {
        "kind": scored.kind,
        "scale": scored.scale,
        "translate": scored.translate,
        "receptive_field": {"size": field.size, "stride": field.stride, "centre": field.centre},
    }
    sizes = {axis: size * (field.stride if axis in "YX" else 1) for axis, size in given.pixel_size_um.items()}
    write_stack(
        out,
        plan,
        scored.scores.dtype,
        (plan.take(scored.scores, frame) for frame in range(standard(plan).n_frames)),
        pixel_size_um=sizes,
        channel_names=(f"patch score ({scored.kind})",),
        description=_origin(model, source=source, image=image, patch_scores=geometry),
    )
    yield {"event": "placed", "path": str(out), **geometry}


def _origin(model: TrainedModel, **more: Any) -> str:
    """Where a result came from, as JSON."""
    files = {name: {"name": p.name, "sha256": sha256(p)} for name, p in more.items() if isinstance(p, Path)}
    rest = {name: value for name, value in more.items() if not isinstance(value, Path)}
    origin = {"napari_pix2pix": __version__, "model_sha256": model.hash(), "predicted": "image" not in files}
    return json.dumps({**origin, **files, **rest}, sort_keys=True)
