"""The command compare: evaluations of the same files, held against each other."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Device, Overwrite
from napari_pix2pix.commands.recipe import command_line


def compare(
    evaluations: Annotated[list[Path], Parameter(help="Folders that evaluate wrote; the first is the reference.")],
    *,
    out: Annotated[Path | None, Parameter(help="A JSON file for what was found.")] = None,
    report: Annotated[
        Path | None, Parameter(help="An HTML file: the differences, and images side by side, predicted once more.")
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """What differs between evaluations of the same files, image by image, with intervals.

    Of evaluations of folders of runs also what differs run by run, and in which settings.
    """
    written = {name: path for name, path in (("out", out), ("report", report)) if path is not None}
    for name, path in written.items():
        if path.exists() and not overwrite:
            raise FileExistsError(f"An output must not exist yet; {path} does. Choose another `{name}` or `overwrite`.")
        if path.is_dir():
            raise FileExistsError(f"A comparison must go to a file; {path} is a folder. Choose another `{name}`.")

    from napari_pix2pix import core
    from napari_pix2pix.core.engine.atomic import written_beside
    from napari_pix2pix.files.evaluations import MARKS, METRICS, read_evaluations
    from napari_pix2pix.files.outputs import require_apart, require_writable
    from napari_pix2pix.report.card import comparison_text
    from napari_pix2pix.report.compared import draw_comparison

    inputs = [folder / name for folder in evaluations for name in (*MARKS, "") if folder.name != METRICS or not name]
    require_apart(inputs, written.values())
    for path in written.values():
        require_writable(path.parent, made=False)
    reports = read_evaluations(evaluations)
    found = core.compare(reports)
    if out is not None:
        with written_beside(out) as beside:
            beside.write_text(json.dumps(found, indent=2, allow_nan=False), "utf8")
    text = comparison_text(found)
    if report is not None:
        draw_comparison(report, found, reports, device, command_line())
        text += f"\nReport: {report}"
    yield {"event": "result", **found, "text": text}
