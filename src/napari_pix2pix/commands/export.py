"""The command export: a model in a form that other programs, or other people, read."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Model, Overwrite, load

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel
    from napari_pix2pix.exchange.page import Page

ENDINGS = ".onnx", ".zip"
Given = tuple[Path | None, str | None]
"""A sample, and its axes where it does not say."""


def export(
    model: Model,
    out: Annotated[Path, Parameter(help="OUT.onnx; OUT.zip: a package of the BioImage Model Zoo; or a folder.")],
    *,
    hub: Annotated[
        bool, Parameter(negative="", help="OUT is a folder: the model, and a card as the Hugging Face Hub reads it.")
    ] = False,
    to: Annotated[str, Parameter(help="Which side, or domain, it is to make.")] = "target",
    condition: Annotated[str | None, Parameter(help="Of which condition its sources are. Default: not known.")] = None,
    norm_statistics: Annotated[
        Literal["training"] | None, Parameter(help="Of batch norm, for a model that takes those of each image.")
    ] = None,
    author: Annotated[tuple[str, ...], Parameter(help="Who made it. Default: as the model says.")] = (),
    licence: Annotated[str, Parameter(help="By its SPDX identifier, like CC-BY-4.0. Default: as the model says.")] = "",
    sample: Annotated[
        Path | None, Parameter(help="An image, which shows the model and is given away. Default: noise.")
    ] = None,
    source_axes: Annotated[
        str | None, Parameter(help="Of the sample, one letter of TZCYXS per axis, where the file does not say.")
    ] = None,
    overwrite: Overwrite = False,
) -> Events:
    """Export a model for other programs. What is written gives what the model gives, or is not written.

    What of it is fixed: the direction or domain (--to), the condition, float32, no dropout. With --hub the model itself
    is given, as it is. Nothing is sent anywhere.
    """
    from napari_pix2pix.exchange.hub import COVER, MODEL, README
    from napari_pix2pix.files.outputs import (
        all_or_none,
        require_apart,
        require_folder,
        require_replaceable,
        require_writable,
    )

    if hub == (out.suffix in ENDINGS):
        raise ValueError(
            f"An export must go to a file that ends in {' or '.join(ENDINGS)}, or, with `hub`, to a folder; got {out}. "
            "Choose another `out`."
        )
    if hub and out.exists() and not out.is_dir():
        raise FileExistsError(f"A model and its card must go to a folder; {out} is a file. Choose another `out`.")
    if hub:
        require_folder(out)
    file = model / MODEL if model.is_dir() else model
    made = [out / name for name in (MODEL, COVER, README)] if hub else [out]
    require_apart([file, sample], made)
    if not overwrite and (there := next((path for path in made if path.exists()), None)):
        raise FileExistsError(f"An output must not exist yet; {there} does. Choose another `out` or `overwrite`.")
    for path in made:
        require_replaceable(path)
    loaded = load(model, "cpu").toward(to).under(condition)
    if norm_statistics:
        loaded = loaded.with_norm_statistics(norm_statistics)
    require_writable(made[0].parent)
    if out.suffix == ".onnx":
        yield _onnx(loaded, out)
        return
    if sample is None:
        text = "What shows the model, and tests a package, is noise: `sample` takes an image that may be given away."
        yield {"event": "note", "text": text}
    page = _page(loaded, out.stem, author, licence)
    with all_or_none(made):
        if hub:
            named = {"to": to if to != "target" else None, "condition": condition, "norm-statistics": norm_statistics}
            asked = "".join(f" --{name} {shlex.quote(said)}" for name, said in named.items() if said)
            yield _folder(loaded, file, page, (sample, source_axes), asked, out)
        else:
            yield _package(loaded, page, (sample, source_axes), out)


def _onnx(model: "TrainedModel", out: Path) -> dict[str, Any]:
    from napari_pix2pix.exchange.onnx_file import write_onnx
    from napari_pix2pix.exchange.portable import TOLERANCE, portable

    apart = write_onnx(portable(model), out)
    text = (
        f"ONNX: {out}\nAt three sizes, of one image and of two, it is at most {apart:.1g} of the range from what the "
    )
    text += f"model gives (allowed: {TOLERANCE:g})."
    return {"event": "result", "written": [str(out)], "apart": apart, "text": text}


def _package(model: "TrainedModel", page: "Page", sample: Given, out: Path) -> dict[str, Any]:
    from napari_pix2pix.exchange.portable import portable
    from napari_pix2pix.exchange.sample import sample_of
    from napari_pix2pix.exchange.zoo import FORMATS, write_package

    network = portable(model)
    write_package(network, sample_of(model, network.smallest_tile, *sample), page, out)
    text = f"Package: {out}\nIt passes the zoo's own tests with each of its weights: {', '.join(FORMATS)}."
    return {"event": "result", "written": [str(out)], "text": text}


def _folder(model: "TrainedModel", file: Path, page: "Page", sample: Given, asked: str, out: Path) -> dict[str, Any]:
    from napari_pix2pix.exchange.hub import write_folder
    from napari_pix2pix.exchange.sample import sample_of

    shown = sample_of(model, [2 * step for step in model.generator.grid], *sample)
    written = write_folder(file, shown, page, asked, out)
    text = f"Model and card: {out}\nLook at README.md before you upload it; the model names the files that trained it, "
    text += "with their paths (`info --json`)."
    return {"event": "result", "written": [str(path) for path in written], "text": text}


def _page(model: "TrainedModel", name: str, authors: tuple[str, ...], licence: str) -> "Page":
    """What is said of the model to others."""
    from napari_pix2pix.exchange.page import Page
    from napari_pix2pix.report.card import model_lines
    from napari_pix2pix.report.methods_paragraph import methods

    model.require_asked()
    config, (paragraph, references) = model.config, methods(model)
    authors = authors or tuple(part.strip() for part in config.authors.split(",") if part.strip())
    licence = licence or config.licence
    card = model_lines(model) | {"authors": ", ".join(authors), "licence": licence}
    return Page(name, authors, licence, card, paragraph, references)
