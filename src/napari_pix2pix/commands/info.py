"""The command info: the machine, a model's card, or what an image or slide says of itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from napari_pix2pix import __version__
from napari_pix2pix.commands.events import Event, Events
from napari_pix2pix.commands.flags import OF_MODEL, load

if TYPE_CHECKING:
    from napari_pix2pix.files.stacks import Stack

Told = Annotated[
    Path | None, OF_MODEL, Parameter(help="A model.safetensors, a run folder, a model that ships, an image or slide.")
]


def info(model: Told = None) -> Events:
    """What this machine computes with, a model's card, or an image's size and levels."""
    if model is None:
        from napari_pix2pix.core.engine.devices import available_devices, describe_device

        devices = {name: describe_device(name) for name in available_devices()}
        text = "\n".join(f"{name:>8}  {what}" for name, what in devices.items())
        yield {"event": "result", "version": __version__, "devices": devices, "text": f"{__version__}\n{text}"}
        return
    from napari_pix2pix.files.stacks import is_image, is_slide, open_stack

    if is_image(model) or (is_slide(model) and model.is_file()):
        yield _of_image(open_stack(model))
        return
    loaded = load(model, "cpu")
    from napari_pix2pix.core.training.run_folder import RunFolder
    from napari_pix2pix.report.card import model_text, refusals

    try:
        elapsed = RunFolder(model if model.is_dir() else model.parent).elapsed_s() or None
    except ValueError as error:  # another program's, perhaps
        elapsed = None
        yield {"event": "warning", "text": f"How long the training took is not known. {error}"}
    content = {
        **loaded.content(),
        "directions": loaded.directions,
        "sha256": loaded.hash(),
        "refuses": refusals(loaded),
        "elapsed_s": elapsed,
    }
    yield {"event": "result", **content, "text": model_text(loaded, elapsed)}


def _of_image(stack: "Stack") -> Event:
    """Sizes, levels and magnification; nothing that may name a patient."""
    y, x = (stack.axes.index(axis) for axis in "YX")
    levels = list[dict[str, Any]]()
    for level in stack.levels or (stack.array,):
        steps = {axis: stack.array.shape[i] / level.shape[i] for axis, i in zip("YX", (y, x), strict=True)}
        sizes = {axis: size * steps[axis] for axis, size in stack.pixel_size_um.items() if axis in steps}
        levels.append({"shape": list(level.shape), "pixel_size_um": sizes, "downsample": steps["Y"]})
    lines = [f"{stack.path.name}: {' x '.join(map(str, stack.array.shape))} ({stack.axes}), {stack.array.dtype}"]
    if stack.objective:
        lines.append(f"scanned with an objective of {stack.objective:g}x")
    for number, said in enumerate(levels):
        size, shape = said["pixel_size_um"].get("X"), said["shape"]
        told = "pixel size not known" if size is None else f"{size:.4g} µm"
        lines.append(f"level {number}: {shape[x]} x {shape[y]} px, {told}, 1 : {said['downsample']:.4g}")
    return {
        "event": "result",
        "axes": stack.axes,
        "dtype": str(stack.array.dtype),
        "pixel_size_um": stack.pixel_size_um,
        "objective": stack.objective,
        "channel_names": list(stack.channel_names),
        "levels": levels,
        "text": "\n".join(lines),
    }
