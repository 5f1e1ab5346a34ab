"""The command check: whether pairs can be trained on."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pix2pix.commands.events import DONE, FAILED, Event, Events
from napari_pix2pix.commands.flags import ConfigFlags, Device, Pairs
from napari_pix2pix.commands.remarks import told, told_of_sides
from napari_pix2pix.core.engine.foreign_text import shown as shown_text
from napari_pix2pix.core.settings.config import PRESETS, Config, PairSettings, make_config


def check(
    source: Annotated[Path, Parameter(help="A stack or a folder.")],
    target: Annotated[Path | None, Parameter(help="A stack or a folder; paired by file name.")] = None,
    *,
    preset: Annotated[
        str | None,
        Parameter(help=f"Settings that the images must suit: {', '.join(PRESETS)}. Default: says which suit."),
    ] = None,
    config: Annotated[Path | None, Parameter(help="A JSON file of settings that the images must suit.")] = None,
    local: Annotated[
        bool, Parameter(negative="", help="Measure shifts place by place, too: a few seconds for each of some frames.")
    ] = False,
    picture: Annotated[
        Path | None, Parameter(help="A .png of local shifts as arrows, for the frames that lie off the farthest.")
    ] = None,
    validation_source: Annotated[
        Path | None, Parameter(help="Images that are to choose the best model: whether one shows what a pair shows.")
    ] = None,
    test_source: Annotated[
        Path | None, Parameter(help="Images that are to judge the model: whether one shows what a pair shows.")
    ] = None,
    time: Annotated[
        bool, Parameter(negative="", help="Make a few steps to tell how long a training takes on this machine.")
    ] = False,
    device: Device = "auto",
    settings: Annotated[ConfigFlags | None, Parameter(name="*")] = None,
    pairs: Pairs = None,
) -> Events:
    """Whether these pairs can be trained on, and which field and patch size suit them; exit 1 if they cannot.

    With --method cyclegan: whether sources and targets that are no pairs can; with --method stargan: a folder of images
    of several domains.
    """
    chosen, local = None, local or picture is not None
    if picture is not None:
        _require_free(picture)
    if preset or config or settings:
        changes = settings.model_dump(exclude_unset=True) if settings else {}
        chosen = make_config(preset or "microscopy", config, changes)
        if chosen.data != "pairs" and local:
            raise ValueError(f"Local shifts must be those of pairs; {chosen.method} takes none. Leave `local` out.")
        if chosen.data != "pairs" and (validation_source or test_source):
            raise ValueError(
                f"Whether images show what is learned from is looked for in pairs; {chosen.method} takes none. Leave "
                "`validation_source` and `test_source` out."
            )
        if chosen.data != "pairs" and time:
            raise ValueError(f"Times must be those of pairs; {chosen.method} takes none. Leave `time` out.")
        if chosen.data != "pairs":
            yield _of_sides(source, target, pairs or PairSettings(), chosen)
            return

    from napari_pix2pix import core
    from napari_pix2pix.files.pairing import open_stacks
    from napari_pix2pix.files.training_stacks import require_conditions_there
    from napari_pix2pix.report.card import table

    stacks = open_stacks(source, target, pairs or PairSettings()).without_bad()
    files = stacks.files
    frames = stacks.frames(hashed=False)
    judging = {
        kind: _images(path, stacks.settings)
        for kind, path in (("validation", validation_source), ("test", test_source))
        if path is not None
    }
    report = core.check(frames, config=chosen, local=local, judging=judging)
    texts = [event["text"] for event in told(stacks) if event["event"] == "warning"]
    if stacks.settings.condition:
        try:
            require_conditions_there(stacks.settings.condition, [stacks])
        except ValueError as error:
            texts.append(f"{error} Only images that judge a training may be elsewhere.")
    usual, fitting = Config().patch_size, report["suggested"]["patch_size"]
    needed = []  # without which train refuses these pairs
    if chosen is None and report["usable"] and min(report["smallest"]) < usual:
        needed.append(f"`patch_size` {fitting}")
        size = " x ".join(map(str, report["smallest"]))
        texts.append(
            f"The smallest image is {size} px, and train takes patches of {usual} px unless it is told: give it "
            f"`patch_size` {fitting}."
        )
    if chosen is None and any("empty_frames" in remedy["changes"] for remedy in _remedies(report)):
        needed.append("`empty_frames` empty or unlabelled")
    for text in texts:
        report["warnings"].append(text)
        report["remarks"].append({"text": text, "short": "", "level": "warning", "remedies": []})
    sizes = [(a.pixel_size_um, b.pixel_size_um) for a, b in zip(files.sources, files.targets, strict=True)]
    report["pixel_size_um"] = dict(zip(("source", "target"), sizes[0], strict=True))
    shown = [" x ".join(f"{size[axis]:.4g}" for axis in "ZYX" if axis in size) or "not said" for size in sizes[0]]
    report["facts"]["pixel size, µm"] = " and ".join(dict.fromkeys(shown))
    usable = f"usable with {' and '.join(needed)}" if needed else "usable"
    usable += "" if report["in_place"] else ", but first see to how targets lie on their sources"
    if time and report["usable"]:
        fits = {"patch_size": min(usual, fitting), "empty_frames": "empty"}  # as what is needed says
        report["time"] = timed = _time(frames, chosen or make_config(changes=fits), device)
        report["facts"]["time"] = f"{timed['minutes']:.2g} minutes for {timed['steps']:,} steps on this machine" + (
            ", at most a third as much again to learn to judge" if timed["judges"] else ""
        )
    verdict = f"not usable: {' '.join(report['unusable'])}" if report["unusable"] else usable
    text = "\n".join(
        [table(report["facts"].items()), *(f"warning: {sentence}" for sentence in report["warnings"]), verdict]
    )
    if picture is not None and report.get("local", {}).get("frames"):
        from napari_pix2pix.report.shift_map import draw_shifts

        draw_shifts(picture, report["local"], frames)
        report["picture"] = str(picture)
        text += f"\nPicture: {shown_text(str(picture), kept='')}"
    yield {"event": "result", **report, "code": DONE if report["usable"] else FAILED, "text": text}


def _time(pairs: Any, config: Config, device: str) -> dict[str, Any]:
    """What a training takes."""
    from napari_pix2pix.core.training.forecast import minutes_here

    minutes = minutes_here(pairs, config, device)
    return {"steps": config.steps, "minutes": minutes, "judges": bool(config.trust_steps)}


def _images(path: Path, read_as: PairSettings) -> Any:
    """The images there as frames, read as sources are."""
    from napari_pix2pix.files.images import ImageStacks

    said = PairSettings(source_axes=read_as.source_axes, source_channels=read_as.source_channels)
    return ImageStacks.open(path, None, said).frames(hashed=False).sides["image"]


def _require_free(picture: Path) -> None:
    """Raise an error unless this picture can be written and replaces nothing."""
    from napari_pix2pix.files.outputs import require_writable

    if picture.suffix.lower() != ".png":
        raise ValueError(f"A picture of local shifts must end in .png; got {picture}. Choose another name.")
    if picture.exists():
        raise FileExistsError(f"An output must not exist yet; {picture} does. Choose another `picture`.")
    require_writable(picture.absolute().parent)


def _of_sides(source: Path, target: Path | None, pairs: PairSettings, chosen: Config) -> Event:
    """The same of images that are no pairs."""
    from napari_pix2pix import core
    from napari_pix2pix.files.training_stacks import OTHERS
    from napari_pix2pix.report.card import table

    stacks = OTHERS[chosen.data].open(source, target, pairs)
    report = core.check(stacks.frames(hashed=False), config=chosen)
    for event in told_of_sides(stacks):
        report["warnings"].append(event["text"])
        report["remarks"].append({"text": event["text"], "short": "", "level": "warning", "remedies": []})
    verdict = f"not usable: {' '.join(report['unusable'])}" if report["unusable"] else "usable"
    warned = (f"warning: {sentence}" for sentence in report["warnings"])
    text = "\n".join([table(report["facts"].items()), *warned, verdict])
    return {"event": "result", **report, "code": DONE if report["usable"] else FAILED, "text": text}


def _remedies(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [remedy for remark in report["remarks"] for remedy in remark["remedies"]]
