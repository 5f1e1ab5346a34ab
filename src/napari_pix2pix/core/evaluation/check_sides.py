"""Whether images that are no pairs can be learned from: sources and targets, or several domains."""

from dataclasses import asdict

from napari_pix2pix.core.data.frames import DomainFrames, Images, UnpairedFrames
from napari_pix2pix.core.data.patches import patch_shape
from napari_pix2pix.core.data.regions import Windows, pieces
from napari_pix2pix.core.encodings.kinds import Kind, guess_kind
from napari_pix2pix.core.evaluation.disguises import FEW_COLOURS, n_colours
from napari_pix2pix.core.evaluation.remarks import Figures, Remark
from napari_pix2pix.core.evaluation.sides import Side
from napari_pix2pix.core.evaluation.suiting import small_patches, too_small
from napari_pix2pix.core.evaluation.unlike import LOOKED_AT, doubles, labelled, lonely, twins, unlike
from napari_pix2pix.core.settings.config import Config

SAME = "Sources and targets must be of two kinds; these are the same images on both sides. Give other targets."


def check_sides(data: UnpairedFrames | DomainFrames | Images, config: Config) -> Figures:
    """What makes images that are no pairs unusable with these settings, and what to look at before.

    Every frame is read, in pieces of at most 16 megapixels; what they hold is compared on some frames of each side.

    Returns
    -------
    dict
        As of `check`, as far as it is of what is no pairs; ``n_sources`` and ``n_targets`` instead of ``n_pairs``. Of
        domains their figures are in ``domains``, by name.
    """
    kinds: dict[str, Kind] = dict.fromkeys(data.sides, "intensity")
    if isinstance(data, UnpairedFrames):
        kinds["source"] = config.source_kind
    remarks, sides, shapes = [], {}, []
    for name, frames in data.sides.items():
        regions = pieces(frames.regions())
        some = Windows(frames.read, regions[:: max(1, len(regions) // LOOKED_AT)])
        if name == "target" and isinstance(data, UnpairedFrames):
            kinds[name] = config.target_kind if config.target_kind != "auto" else guess_kind(some)
        is_labels = kinds[name] != "intensity" or n_colours(some) <= FEW_COLOURS
        called = f"image of {name}" if isinstance(data, DomainFrames) else name
        sides[name] = side = Side(called, frames.plans, is_labels)
        for piece in regions:
            side.add(frames.read(piece.frame, piece.window), piece.frame, frames.name(piece.frame))
        remarks += side.unusable() or side.warnings()
        smallest = min((frames.frame_shape(i)[-2:] for i in range(len(frames))), key=min)
        if min(smallest) < config.patch_size:
            remarks.append(too_small(smallest, config.patch_size, config))
            continue
        try:
            shapes.append(patch_shape(frames.regions(), config))
        except ValueError as error:
            remarks.append(Remark(str(error), level="unusable"))
    remarks += small_patches(config, min(shapes)) if shapes else []
    if isinstance(data, DomainFrames):
        remarks += lonely(data) + labelled(data) + doubles(data)
    elif isinstance(data, UnpairedFrames) and not any(remark.level == "unusable" for remark in remarks):
        same, (source, target) = twins(data), data.sides.values()
        if same == len(source) == len(target):
            remarks.append(Remark(SAME, "the same images on both sides", "unusable"))
        elif same:
            text = f"Sources and targets should be of two kinds; {same} images are on both. Leave them out of one."
            remarks.append(Remark(text, f"{same} images are on both sides"))
        remarks += unlike(data, kinds) if same < len(source) else []
    sentences = {level: [one.text for one in remarks if one.level == level] for level in ("unusable", "warning")}
    found = {name: sides[name].figures() | {"kind": kinds[name], "n_frames": len(data.sides[name])} for name in sides}
    counts = {f"n_{name}s": len(frames) for name, frames in data.sides.items()}
    patches = {
        name: sum(
            (y // config.patch_size) * (x // config.patch_size)
            for *_, y, x in (frames.frame_shape(i) for i in range(len(frames)))
        )
        for name, frames in data.sides.items()
    }
    return {
        "usable": not sentences["unusable"],
        "unusable": sentences["unusable"],
        "warnings": sentences["warning"],
        "remarks": [asdict(one) for one in remarks],
        **({"domains": found} if isinstance(data, DomainFrames) else counts | found),
        "patch_size": config.patch_size,
        "n_patches": patches,
        "facts": {name: _fact(data, name, found[name], patches[name], config.patch_size) for name in sides},
    }


def _fact(data: UnpairedFrames | DomainFrames | Images, name: str, figures: Figures, patches: int, size: int) -> str:
    """What a side is, in a line."""
    ends = "" if figures["range"] is None else ", {:g} to {:g}".format(*figures["range"])
    many, channels = len(data.sides[name]), figures["channels"]
    said = f"{many} frame{'s' if many > 1 else ''}, {' and '.join(figures['axes'])}, {channels} channel"
    said += f"{'s' if channels > 1 else ''}, {' and '.join(figures['dtypes'])}{ends}; {figures['kind']}"
    return f"{said}; {patches} patches of {size} px side by side"
