"""Images from nothing as files: in the grey values, pixel size and data type of those that trained, said to be such."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_pix2pix import __version__
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.running.from_nothing import generate, require_maker
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.running import GenerateSettings
from napari_pix2pix.files.stacks import write_stack

TABLE = "generated.csv"
MOST = 1_000_000


def plan_generated(model: TrainedModel, n: int, out: Path) -> list[tuple[Path, Path | None]]:
    """The file of each image, and of its target.

    Of images alone they are in `out`; with targets in the folders ``source`` and ``target`` in it, which train takes as
    they are.

    Raises
    ------
    ValueError
        If the model makes none, or there is nothing, or too much, to make.
    """
    require_maker(model)
    if not 1 <= n <= MOST:
        raise ValueError(f"n must be 1 to {MOST:,}; got {n}. Choose how many images to make.")
    digits = max(4, len(str(n - 1)))
    names = [f"generated_{k:0{digits}}.tif" for k in range(n)]
    if not model.joint:
        return [(out / name, None) for name in names]
    return [(out / "source" / name, out / "target" / name) for name in names]


def require_none_stays(files: list[tuple[Path, Path | None]], out: Path) -> None:
    """Raise a FileExistsError if `out` holds generated images that would stay among these, by another name or place."""
    written = {path for pair in files for path in pair}
    for folder in (out, out / "source", out / "target"):
        if stays := sorted(set(folder.glob("generated_*.tif")) - written):
            raise FileExistsError(
                f"{out} must hold no other generated images than those that are made; {len(stays)} would stay, from "
                f"{stays[0].name} in {folder}. Delete them, or choose another `out`."
            )


def write_generated(
    model: TrainedModel, files: list[tuple[Path, Path | None]], out: Path, how: GenerateSettings
) -> Iterator[tuple[int, Path]]:
    """Make and write them, one at a time; yields the number and the path of each image. A table tells how, at last.

    Parameters
    ----------
    model, files, out
        As of `plan_generated`.
    how
        From which numbers, and of which class.
    """
    size = ((model.provenance.get("pairs") or {}).get("train") or {}).get("pixel_size_um") or {}
    size, sha256, rows = {axis: size[axis] for axis in "YX" if axis in size}, model.hash(), []
    channels = ((model.provenance.get("pairs") or {}).get("train") or {}).get("target_channels") or ()
    for number, made in enumerate(generate(model, range(len(files)), how)):
        image, target = files[number]
        told = {
            "generated": True,
            "napari_pix2pix": __version__,
            "model_sha256": sha256,
            "number": number,
            **how.model_dump(),
        }
        told["condition"] = made.condition or None
        says = json.dumps(told, sort_keys=True)
        axis = "S" if model.source_view.colours else "C"
        _write(image, made.image, axis, model.source_view.names, says, size, model.source_encoding.is_labels)
        if target is not None and made.target is not None:
            labels = model.target_encoding.is_labels
            _write(target, made.target, model.channel_axis or "C", tuple(channels), says, size, labels)
        rows.append({"name": image.name, "number": number, "seed": how.seed, "condition": made.condition})
        yield number, image
    with written_beside(out / TABLE) as beside, beside.open("w", newline="", encoding="utf8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def _write(
    path: Path,
    image: NDArray[Any],
    axis: str,
    names: tuple[str, ...],
    says: str,
    size: dict[str, float],
    labels: bool,
) -> None:
    """One image (C, Y, X), said to be generated: so are its channels named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plan = (
        AxesPlan("YX", image.shape[1:]) if len(image) == 1 else AxesPlan("YX", image.shape[1:]).like(len(image), axis)
    )
    called = tuple(f"{name} (generated)" for name in names) if names and len(names) == len(image) else ()
    write_stack(
        path, plan, image.dtype, [image], pixel_size_um=size, channel_names=called, description=says, labels=labels
    )
