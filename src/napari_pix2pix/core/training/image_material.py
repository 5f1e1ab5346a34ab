"""What a training of images from nothing learns from: images, alone or with their targets, of classes or none."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_pix2pix.core.data.frames import Images
from napari_pix2pix.core.data.other_patches import Drawn, ImagePatches, SidePatches, UnpairedPatches
from napari_pix2pix.core.data.patches import PairedPatches
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.data.split import Split, split_pairs, without_copies
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.methods.method import Method
from napari_pix2pix.core.settings.gan import GANConfig
from napari_pix2pix.core.training.material import Material, of_pairs
from napari_pix2pix.core.training.start import Start

SMALLEST_PATCH = 8
"""Side, px."""


def of_images(data: Images, start: Start, method: Method[Any]) -> Material:
    """Images and, if they have some, targets: those held out choose the best model, the others train.

    Raises
    ------
    ValueError
        If an image is smaller than a patch or not finite, no class is left to learn from, or a target is no such.
    """
    assert isinstance(start.config, GANConfig)
    _require_same_classes(data, start)
    plan = data.pairs.source_plans[0] if data.pairs else data.sides["image"].plans[0]
    if plan.z != "frame":
        raise ValueError(f"z must be frame for images that are made from nothing; got {plan.z}. Leave it out.")
    _require_large_enough(data, start.config.patch_size)
    config = start.config.model_copy(update={"calibration_share": 0.0})
    if data.pairs is not None:
        made = of_pairs(data.pairs, (None, None), None, replace(start, config=config), method)
        assert made.split is not None and made.pairs is not None
        if not made.pairs.known_everywhere:
            raise ValueError(
                "Targets must be known everywhere to be made with their images; some are not. Leave these images out, "
                "or set `empty_frames` empty."
            )
        remarks, split, places = made.remarks, made.split, made.pairs.places
    else:
        frames = data.sides["image"]
        split, places = without_copies(split_pairs(frames, config, 0), frames.require_finite()), frames.places
        encodings = start.encode_sides(data.sides, {"image": split}, by_itself=False)
        view, channel_axis = SourceView.of(frames.plans[0]), frames.plans[0].channel_axis
        made = Material(
            patches=UnpairedPatches({"image": SidePatches(frames, split.train, config, encodings[0])}, config),
            encodings=encodings,
            view=view,
            channel_axis=channel_axis,
            spatial_dims=len(frames.plans[0].spatial),
            rows=list(split.rows(frames)),
            remarks=(),
            look=None,
        )
        remarks = split.remarks

    def drawn(regions: Sequence[Region], trained: ImagePatches | None = None) -> ImagePatches | None:
        by_class: dict[tuple[float, ...], list[Region]] = {}
        for region in regions:
            by_class.setdefault(tuple(data.vector(places[region.frame][0]).tolist()), []).append(region)
        classes = [_patches(data, tuple(own), config, made) for own in by_class.values()]
        vectors = [data.vector(places[own[0].frame][0]) for own in by_class.values()]
        return ImagePatches(classes, vectors, config, config.latent, trained) if classes else None

    patches = drawn(split.train)
    assert patches is not None
    few = [lonely] if (lonely := _few(data, split, config)) else []
    return replace(
        made,
        patches=patches,
        remarks=tuple(dict.fromkeys([*few, *remarks])),
        look=None,
        judged=None,
        judged_regions=(),
        judging=(),
        held_out=drawn(split.validation, patches),
        domains=data.domains,
        joint=data.pairs is not None,
    )


def _patches(data: Images, regions: tuple[Region, ...], config: GANConfig, made: Material) -> Drawn:
    """Of images, or of images with targets."""
    if made.pairs is not None:
        return PairedPatches(made.pairs, regions, config, *made.encodings)
    return UnpairedPatches({"image": SidePatches(data.sides["image"], regions, config, made.encodings[0])}, config)


def _few(data: Images, split: Split, config: GANConfig) -> str:
    """What the user should know of so few images."""
    n = len({region.frame for region in split.train})
    counts: dict[str, int] = {}
    for labels in data.labels:
        for label in filter(None, labels.values()):
            counts[label] = counts.get(label, 0) + 1
    if lonely := [label for label, count in counts.items() if count == 1]:
        return (
            f"A class should have several images; {', '.join(lonely)} has one, and what is made of it will be copies. "
            "Add some."
        )
    if n < config.batch_size:
        return (
            f"There should be at least as many images as a batch has patches, {config.batch_size}; {n} train: what is "
            "made may be copies of their parts. Add images."
        )
    return ""


def _require_large_enough(data: Images, size: int) -> None:
    """Raise a ValueError that names the first image smaller than a patch, and a patch that fits."""
    frames = data.pairs or data.sides["image"]
    for i in range(len(frames.places)):
        y, x = frames.frame_shape(i)[-2:]
        if min(y, x) < size:
            fitting = 1 << (min(y, x).bit_length() - 1)
            do = f"Choose `patch_size` {fitting}" if fitting >= SMALLEST_PATCH else "Leave it out"
            raise ValueError(
                f"Images must be at least as large as a patch, {size} x {size} px; {frames.name(i)} is {y} x {x}. {do}."
            )


def _require_same_classes(data: Images, start: Start) -> None:
    if start.model is None:
        return
    if data.domains != start.model.domains or (data.pairs is not None) != start.model.joint:
        raise ValueError(
            "Images must be as those of the model to start from: of the same classes, and with or without targets. "
            "Give such, or train anew."
        )
