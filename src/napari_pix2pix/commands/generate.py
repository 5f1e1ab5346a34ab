"""The command generate: a model that makes images from nothing in, images out."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import UNNEGATED, Device, Overwrite, Whole, load
from napari_pix2pix.core.settings.running import GenerateSettings


def generate(
    model: Annotated[Path, Parameter(help="A model.safetensors, or a run folder, of the method gan.")],
    *,
    n: Annotated[Whole, Parameter(help="How many images.")],
    out: Annotated[Path, Parameter(help="A folder, which is made.")],
    settings: Annotated[GenerateSettings | None, UNNEGATED] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Make images from nothing, or images with their targets, by a model trained with --method gan.

    Images alone go to OUT; with targets, to OUT/source and OUT/target, which train takes as they are. OUT/generated.csv
    tells what each was made by. Names and descriptions say that they are generated: they are no observations.
    """
    from napari_pix2pix.core.running.from_nothing import generate as make
    from napari_pix2pix.files.generated import TABLE, plan_generated, require_none_stays, write_generated
    from napari_pix2pix.files.outputs import all_or_none, require_apart, require_folder, require_writable

    loaded = load(model, device)
    files = plan_generated(loaded, n, out)
    how = settings or GenerateSettings()
    make(loaded, (), how)  # refuses what cannot be
    paths = [path for pair in files for path in pair if path is not None]
    require_apart([model], [*paths, out / TABLE])
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"Generated images must go to a folder; {out} is a file. Choose another `out`.")
    require_folder(out)
    if not overwrite and (there := next((path for path in [*paths, out / TABLE] if path.exists()), None)):
        raise FileExistsError(f"{there} exists. Choose another `out`, or give `overwrite`.")
    require_none_stays(files, out)
    require_writable(out)
    with all_or_none([*paths, out / TABLE]):
        for number, _ in write_generated(loaded, files, out, how):
            yield {"event": "progress", "unit": "images", "done": number + 1, "total": n, "remaining_s": None}
    of = f" of {how.condition}" if how.condition else ""
    kind = "images with their targets" if loaded.joint else "images"
    yield {
        "event": "result",
        "written": [str(path) for path in paths],
        "table": str(out / TABLE),
        "text": f"{n} {kind}{of} in {out}: generated, no observations.",
    }
