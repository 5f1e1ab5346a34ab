"""How targets lie on their sources place by place: what `check` tells beside the one shift of the whole."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from napari_pix2pix.core.data.local_shifts import LocalShifts, local_shifts
from napari_pix2pix.core.data.pairs import PairedFrames, require_finite
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.data.shifts import MIDDLE
from napari_pix2pix.core.evaluation.remarks import Figures, Remark
from napari_pix2pix.core.geometry.axes import middle

MOST_MAPPED = 16
"""Local shifts are measured in so many frames at most."""
HARMLESS = 1.5
"""No warning: nine in ten blocks lie off by less, px."""

MANY = 0.5
"""A warning: this share of the blocks matches nothing."""


def check_local(pairs: PairedFrames, regions: Sequence[Region], labels: bool) -> tuple[Figures, list[Remark]]:
    """A map of local shifts of each of some frames, what all tell together, and what to look at.

    Parameters
    ----------
    pairs
        Plane by plane.
    regions
        Of at most 16 of these, evenly spaced, the middle 1024 x 1024 px are looked at.
    labels
        Whether targets are labels.

    Returns
    -------
    dict
        ``median``, ``p90`` and ``largest`` shift in px of the motions that were found, over all blocks that match, None
        where none does; ``mendable``, the frames that lie off by more than 1.5 px and would fit better if they were
        moved; ``unmatched``,
        the share of blocks that hold something and match nothing; ``explained_by``, how many frames by ``shift``,
        ``rigid``, ``affine``, ``none``; ``turned``, frame → what seems to be done to its target; ``nothing_in_common``
        and ``not_measured`` frames, these with the reason; ``frames``, of each its ``median``, ``p90``, ``largest``,
        ``unmatched``, ``confidence``, ``explained_by``, the name of its ``pair``, its number there (``frame``) and
        ``blocks``: rows of y, x, shift along y and x, confidence, whether it matches.
    list of Remark
        What to look at.
    """
    chosen = np.unique(np.linspace(0, len(regions) - 1, MOST_MAPPED).round().astype(int))
    maps, failed = dict[str, LocalShifts](), dict[str, str]()
    corners, at = dict[str, tuple[int, ...]](), dict[str, tuple[int, int]]()
    for region in (regions[i] for i in chosen):
        name, window = pairs.name(region.frame), tuple(middle(side, MIDDLE) for side in region.window)
        source, target = pairs.source(region.frame, window), pairs.target(region.frame, window)
        try:
            for side, values in (("source", source), ("target", target)):
                require_finite(values, side, name)
            own = target[pairs.stains(region.frame)]
            maps[name] = local_shifts(source, own, labels=labels, known=pairs.known(region.frame, window))
            corners[name], at[name] = tuple(side.start for side in window), pairs.places[region.frame]
        except ValueError as error:
            failed[name] = str(error)
    common = {name: found for name, found in maps.items() if found.in_common}
    sizes = {name: np.hypot(*found.nodes[:, found.matched]) for name, found in common.items()}
    every = np.concatenate([*sizes.values(), np.zeros(0)])
    full = sum(int((~found.empty).sum()) for found in maps.values())
    lost = sum(int((~found.matched & ~found.empty).sum()) for found in maps.values())
    explained = {name: found.explained_by() or "none" for name, found in common.items()}
    figures: Figures = {
        "median": float(np.median(every)) if every.size else None,
        "p90": float(np.quantile(every, 0.9)) if every.size else None,
        "largest": float(every.max()) if every.size else None,
        "mendable": [name for name, own in sizes.items() if common[name].mendable and np.quantile(own, 0.9) > HARMLESS],
        "unmatched": lost / full if full else None,
        "explained_by": dict(Counter(explained.values())),
        "turned": {name: found.turned for name, found in maps.items() if found.turned},
        "nothing_in_common": [name for name in maps if name not in common],
        "not_measured": failed,
        "frames": {
            name: _of_one(found, corners[name])
            | {"explained_by": explained.get(name), "pair": pairs.names[at[name][0]], "frame": at[name][1]}
            for name, found in maps.items()
        },
    }
    return figures, _remarks(figures, len(maps))


def in_place(local: Figures) -> bool:
    """Whether all that was measured lies as well as it can be laid."""
    return bool(local["frames"]) and not any(local[name] for name in ("mendable", "nothing_in_common", "not_measured"))


def facts_of(local: Figures) -> dict[str, str]:
    """The lines of a table, label by label."""
    n_frames = len(local["frames"])
    if local["median"] is None:
        return {"local shifts": "nothing matches"}
    motions = [f"{motion.replace('none', 'local')} {n}" for motion, n in local["explained_by"].items()]
    return {
        "local shifts": "median {median:.2g}, 90 % below {p90:.2g}, largest {largest:.2g} px".format(**local),
        "blocks that match nothing": f"{local['unmatched']:.0%}".replace("%", " %"),
        "motion": f"{', '.join(motions)} of {n_frames} frame{'s' * (n_frames > 1)}",
    }


def _of_one(found: LocalShifts, corner: Sequence[int]) -> Figures:
    y, x = np.meshgrid(found.rows + corner[-2], found.columns + corner[-1], indexing="ij")
    columns = (y, x, *found.nodes, found.confidence)
    rows = np.stack([np.round(column, 2).ravel() for column in columns], axis=1).tolist()
    blocks = [[*row, bool(matches)] for row, matches in zip(rows, found.matched.ravel(), strict=True)]
    median, p90, largest = found.before if found.matched.any() else (None, None, None)
    return {
        "median": median,
        "p90": p90,
        "largest": largest,
        "unmatched": found.unmatched,
        "confidence": found.mean_confidence,
        "blocks": blocks,
    }


def _remarks(local: Figures, n_frames: int) -> list[Remark]:
    found = [Remark(f"Local shifts of {name} are not measured: {text}") for name, text in local["not_measured"].items()]
    if turned := local["turned"]:
        name, how = next(iter(turned.items()))
        text = (
            f"The target of {name} seems to be {how} ({len(turned)} of {n_frames} frames): turn it back before "
            "training, or leave it out."
        )
        found.append(Remark(text, f"{len(turned)} of {n_frames} targets are turned or mirrored"))
    apart = [name for name in local["nothing_in_common"] if name not in turned]
    if apart:
        text = (
            f"Source and target of {apart[0]} have nothing in common that can be matched ({len(apart)} of {n_frames} "
            "frames): check that they belong together."
        )
        found.append(Remark(text, f"{len(apart)} of {n_frames} frames have nothing in common"))
    if mendable := local["mendable"]:
        text = (
            f"Targets lie off their sources by {local['median']:.2g} px in the median of all blocks, one in ten by "
            f"more than {local['p90']:.2g} px ({len(mendable)} of {n_frames} frames). Move them with the command "
            "register."
        )
        found.append(Remark(text, f"targets lie off by {local['median']:.2g} px, one in ten by {local['p90']:.2g}"))
    if local["median"] is not None and local["unmatched"] > MANY:
        share = f"{local['unmatched']:.0%}".replace("%", " %")
        text = (
            f"{share} of the blocks match nothing, and cannot be laid over their sources. If these are consecutive "
            "sections they are no pairs of pixels: no registration makes them so."
        )
        found.append(Remark(text, f"{share} of the blocks match nothing"))
    return found
