"""The command info: the machine, or a model's card."""

from napari_pix2pix import __version__
from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Model, load


def info(model: Model | None = None) -> Events:
    """What this machine computes with, or a model's card."""
    if model is None:
        from napari_pix2pix.core.engine.devices import available_devices, describe_device

        devices = {name: describe_device(name) for name in available_devices()}
        text = "\n".join(f"{name:>8}  {what}" for name, what in devices.items())
        yield {"event": "result", "version": __version__, "devices": devices, "text": f"{__version__}\n{text}"}
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
