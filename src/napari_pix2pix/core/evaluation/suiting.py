"""Which field and patch suit pairs, and how far their shifts are tolerated."""

from collections.abc import Sequence
from math import ceil, log
from typing import Any

from napari_pix2pix.core.evaluation.remarks import Figures, Remark, Remedy
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import field_sizes
from napari_pix2pix.core.settings.config import Config, DiscriminatorConfig, make_config

MOST_TOLERATED, HARMLESS_SHIFT = 16, 1
"""The largest ``shift_tolerance`` in px; no warning: a shift in px."""
FIELDS = {n: DiscriminatorConfig(n_layers=n).field.size for n in range(1, 6)}
"""The PatchGAN's field in px by `n_layers`."""
LENGTHS_PER_FIELD, PAPERS_PATCH, GRID = 6, 256, 32


def suggest(length: float | None, smallest: int) -> dict[str, int]:
    """`n_layers` and `field` of the discriminator and the `patch_size` for this correlation length and image side, px.

    A PatchGAN takes pixels farther apart than its field as independent (the paper's Markov argument, section 3.2), so
    the field should reach to where they are. A correlation that decays exponentially is down to 5 % at three lengths;
    three to either side make six, and of the fields that fit, the nearest by ratio is taken. Without a length: 70 px.
    The patch has the paper's 256 px, to which the generator's reach fits, or two fields where these are more, so that
    half of the scores in a row see no padding; a multiple of 32, as large as the smallest image allows.

    References
    ----------
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
    """
    room = max(smallest // GRID, 1) * GRID
    wanted = LENGTHS_PER_FIELD * max(length, 1.0) if length else FIELDS[DiscriminatorConfig().n_layers]
    n_layers = min((n for n in FIELDS if FIELDS[n] <= room), key=lambda n: abs(log(FIELDS[n] / wanted)))
    wide = ceil(max(PAPERS_PATCH, 2 * FIELDS[n_layers]) / GRID) * GRID
    return {"n_layers": n_layers, "field": FIELDS[n_layers], "patch_size": min(wide, room)}


def too_small(smallest: Sequence[int], patch_size: int, config: Config | None) -> Remark:
    """That a patch does not fit into the smallest image (Y, X), and which would."""
    text = (
        f"Images must be at least as large as a patch, {patch_size} x {patch_size} px; the smallest is "
        f"{smallest[0]} x {smallest[1]}. Leave small images out or choose smaller patches."
    )
    short = f"patches of {patch_size} px are larger than the smallest image, {smallest[0]}×{smallest[1]} px"
    smaller = [n for n in range(patch_size - 1, 7, -1) if n <= min(smallest) and suits(config, {"patch_size": n})]
    fitting = tuple(Remedy(f"Patches of {n} px", {"patch_size": n}) for n in smaller[:1])
    return Remark(text, short, "unusable", fitting)


def small_patches(config: Config, shape: Sequence[int]) -> list[Remark]:
    """That patches of this shape ([Z,] Y, X) are smaller than what one score of the training's discriminator sees."""
    *planes, _, side = shape
    fewer = f"fewer `discriminator.{'layers' if config.judge.layers else 'n_layers'}`"
    *fields, _, field = field_sizes(method_of(config), config, len(shape))
    found = []
    if side < field:
        text = (
            f"Patches should be no smaller than the discriminator's field, {field} px, or every score sees their "
            f"padding; they are {side} px. Choose a larger `patch_size` or {fewer}."
        )
        found.append(Remark(text, f"patches of {side} px are smaller than the field of a score, {field} px"))
    if planes and planes[0] < fields[0]:
        larger = "a larger `patch_depth` or " if planes[0] == config.patch_depth else ""
        text = (
            f"Volumes should have no fewer planes than the discriminator's field, {fields[0]}, or every score sees "
            f"their padding; patches have {planes[0]}. Choose {larger}{fewer}, or take planes one by one "
            "(`z` frame)."
        )
        found.append(Remark(text, f"patches of {planes[0]} planes are thinner than the field of a score, {fields[0]}"))
    return found


def shift_remarks(shift: Figures, config: Config | None) -> list[Remark]:
    """Shifts of more than 1 px, unless the settings tolerate them."""
    usual = shift["pixels"] or [0, 0]
    known = {name: pixels for name, pixels in shift["frames"].items() if pixels is not None}
    apart = {name: max(abs(a - b) for a, b in zip(known[name], usual, strict=True)) for name in known}
    odd = [name for name in known if apart[name] > 2 * HARMLESS_SHIFT]
    largest = ceil(max(map(abs, [*usual, *(n for name in odd for n in known[name])])))
    if getattr(config, "shift_tolerance", 0) >= largest:
        return []
    tolerance = {"shift_tolerance": largest}
    tolerable = largest <= MOST_TOLERATED and suits(config, tolerance)
    remedies = tuple([Remedy(f"Tolerate {largest} px", tolerance)] if tolerable else [])
    found = []
    if max(map(abs, usual)) > HARMLESS_SHIFT:
        text = (
            f"The target is shifted by {point(usual)} px (Y, X) against the source. Register them, unless it is meant."
        )
        found.append(Remark(text, f"target shifted by {point(usual)} px".replace("-", "−"), remedies=remedies))
    if odd:
        worst = max(odd, key=apart.__getitem__)
        text = (
            f"{len(odd)} of {len(known)} frames are shifted by other than {point(usual)} px (Y, X); the target of "
            f"{worst} by {point(known[worst])} px."
        )
        short = f"{len(odd)} of {len(known)} frames are shifted, {worst} by {point(known[worst])} px"
        found.append(Remark(text, short.replace("(-", "(−").replace(" -", " −"), remedies=() if found else remedies))
    return found


def hints(suggested: dict[str, int], config: Config) -> list[Remark]:
    """The field and the patch that suit these pairs, where the settings have others."""
    n_layers, patch_size = suggested["n_layers"], suggested["patch_size"]
    listed = {"layers": ""} if config.judge.layers else {}
    changes = {"patch_size": patch_size, "discriminator": {"n_layers": n_layers, **listed}}
    if (config.patch_size, config.judge.field.size) == (patch_size, suggested["field"]) or not suits(config, changes):
        return []
    short = f"patches of {patch_size} px and a field of {suggested['field']} px would suit these images"
    return [Remark(f"{short[0].upper()}{short[1:]}.", short, "hint", (Remedy("Use these", changes),))]


def suits(config: Config | None, changes: dict[str, Any]) -> bool:
    """Whether the settings allow these changes."""
    try:
        make_config(changes=changes, kept=config.model_dump() if config else None)
    except ValueError:
        return False
    return True


def point(pixels: Sequence[float]) -> str:
    """These pixels in brackets."""
    return f"({', '.join(f'{n:g}' for n in pixels)})"
