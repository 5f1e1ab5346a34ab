"""The command compare: evaluations of the same files, held against each other."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Overwrite


def compare(
    evaluations: Annotated[list[Path], Parameter(help="Folders that evaluate wrote; the first is the reference.")],
    *,
    out: Annotated[Path | None, Parameter(help="A JSON file for what was found.")] = None,
    overwrite: Overwrite = False,
) -> Events:
    """What differs between evaluations of the same files, image by image, with intervals."""
    if out is not None and out.exists() and not overwrite:
        raise FileExistsError(f"An output must not exist yet; {out} does. Choose another `out` or `overwrite`.")
    if out is not None and out.is_dir():
        raise FileExistsError(f"A comparison must go to a file; {out} is a folder. Choose another `out`.")

    from napari_pix2pix import core
    from napari_pix2pix.core.engine.atomic import written_beside
    from napari_pix2pix.files.evaluations import METRICS, read_evaluations
    from napari_pix2pix.files.outputs import require_apart, require_writable
    from napari_pix2pix.report.card import comparison_text

    if out is not None:
        require_apart([folder if folder.name == METRICS else folder / METRICS for folder in evaluations], [out])
        require_writable(out.parent, made=False)
    found = core.compare(read_evaluations(evaluations))
    if out is not None:
        with written_beside(out) as beside:
            beside.write_text(json.dumps(found, indent=2, allow_nan=False), "utf8")
    yield {"event": "result", **found, "text": comparison_text(found)}
