"""Whether pairs can be trained on: what is wrong with them, how target and source lie, which field and patch suit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, e
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_pix2pix.core.config import Config, DiscriminatorConfig
from napari_pix2pix.core.encoding import Encoding, fit_encoding, guess_kind
from napari_pix2pix.core.networks.receptive_field import fold
from napari_pix2pix.core.pairs import PairedFrames, Region, StackAxes, Windows

Window = tuple[slice, slice]
MOST_MEASURED, WINDOW = 64, 1024
"""Shift and correlation are measured on this many frames at most, and on the middle of this many pixels of each."""
SATURATED = 0.01
"""More pixels than this share at the highest value are worth a warning."""
FARTHEST, APART, CONFIDENT, MOST_SHIFT = 32, 8, 2.5, 1.0
"""Of shifts: the largest looked for, how far a rival peak lies, the peak's height over it, what needs no warning."""
CORRELATED = 0.3
"""Below this correlation coefficient, the length over which source and target are correlated means nothing."""
LENGTHS_PER_FIELD, GRID, PAPERS_PATCH = 6, 32, 256
FIELDS = {n: fold([(4, 2, 1)] * n + [(4, 1, 1)] * 2).size for n in range(1, 6)}
"""The PatchGAN's field in pixels by `n_layers`."""
FEW_COLOURS = 16


def check(
    source: Any,
    target: Any = None,
    axes: str | tuple[StackAxes, StackAxes] | None = None,
    *,
    names: Sequence[str] | None = None,
    config: Config | None = None,
) -> dict[str, Any]:
    """What makes these pairs unusable, what to look at before training, and what suits them; nothing is changed.

    Every frame is read once or twice, one at a time; shift and correlation are measured on at most 64 evenly spaced
    frames, on the middle 1024 x 1024 px of each.

    Parameters
    ----------
    source, target, axes, names
        As in `PairedFrames`; or `source` is one, and the others are left out.
    config
        Its `target_kind` is believed and its `patch_size` must fit; None: both are found from the pairs.

    Returns
    -------
    dict
        ``usable``; ``unusable`` and ``warnings`` (sentences); ``facts`` (label → text, for people); and the figures:
        ``n_pairs``, ``n_frames``, ``n_measured``, ``smallest`` and ``largest`` (Y, X), ``source`` and ``target``
        (axes, dtypes, channels, share of saturated pixels …), ``shift`` (see `find_shift`; ``frames`` by name),
        ``correlation`` (see `suggest`; ``coefficient``, lengths in px), ``suggested``, ``n_patches`` (windows of the
        patch size side by side).

    Raises
    ------
    ValueError
        If the stacks do not pair up.
    """
    pairs = source if isinstance(source, PairedFrames) else PairedFrames(source, target, axes, names=names)
    regions = pairs.regions()
    measured = [regions[i] for i in np.unique(np.linspace(0, len(regions) - 1, MOST_MEASURED).round().astype(int))]
    sides = {"source": _Side("source"), "target": _Side("target")}
    for region in regions:
        for side, read in (("source", pairs.source), ("target", pairs.target)):
            sides[side].add(read(region.frame), pairs.name(region.frame))
    unusable = [sentence for side in sides.values() for sentence in side.unusable()]
    warnings = [sentence for side in sides.values() for sentence in side.warnings()]
    shapes = [region.shape for region in regions]
    smallest = min(shapes, key=min)

    # What the target is
    kind = config.target_kind if config else "auto"
    windows = Windows(pairs.target, measured)
    encoding: Encoding | None = None
    if not unusable:
        found = guess_kind(windows) if kind == "auto" else kind
        if found == "intensity" and kind == "auto":
            warnings += _labels_in_disguise(windows)
        try:
            encoding = fit_encoding(windows if found == "intensity" else Windows(pairs.target, regions), found)
        except ValueError as error:
            unusable.append(str(error))
    about_target: dict[str, Any] = {"kind": encoding.kind if encoding else None}
    if encoding is not None and encoding.is_labels:
        side = sides["target"]
        about_target |= {"n_empty": side.n_empty, "largest_label": int(side.highest)}
        if encoding.kind == "classes":
            about_target["classes"] = list(encoding.classes)
        else:
            about_target["n_objects"] = sum(int(np.unique(t[t != 0]).size) for t in Windows(pairs.target, regions))
        if side.n_empty:
            share = f"{side.n_empty / len(regions):.0%}".replace("%", " %")
            warnings.append(f"{share} of the frames have no labels: empty, or not labelled?")

    # How the target lies against the source
    lie = _Lie(min(FARTHEST, min(smallest) // 4), min(min(smallest), WINDOW) // 2)
    for region in measured if encoding is not None else []:
        middle = _middle(region.shape)
        assert encoding is not None
        lie.add(
            pairs.source(region.frame, middle).astype(np.float64),
            encoding.encode(pairs.target(region.frame, middle)).astype(np.float64),
            pairs.name(region.frame),
        )
    shift, correlation = lie.shift(), lie.correlation()
    warnings += _shift_warnings(shift)

    # What suits them
    suggested = suggest(correlation["length"], min(smallest))
    patch_size = config.patch_size if config else suggested["patch_size"] or GRID
    n_patches = sum((y // patch_size) * (x // patch_size) for y, x in shapes)
    if min(smallest) < patch_size:
        unusable.append(
            f"Images must be at least as large as a patch, {patch_size} x {patch_size} px; the smallest is "
            f"{smallest[0]} x {smallest[1]}. Leave small ones out" + (" or choose a smaller one." if config else ".")
        )
    if len(regions) == 1:
        warnings.append("One image is no data set: figures within it say nothing about another.")

    report: dict[str, Any] = {
        "usable": not unusable,
        "unusable": unusable,
        "warnings": warnings,
        "n_pairs": len(pairs.sources),
        "n_frames": len(regions),
        "n_measured": len(measured),
        "smallest": list(smallest),
        "largest": list(max(shapes, key=max)),
        "source": sides["source"].figures(pairs.source_plans),
        "target": sides["target"].figures(pairs.target_plans) | about_target,
        "shift": shift,
        "correlation": correlation,
        "suggested": suggested,
        "patch_size": patch_size,
        "n_patches": n_patches,
    }
    return report | {"facts": _facts(report)}


def suggest(length: float | None, smallest: int) -> dict[str, int | None]:
    """The discriminator's `n_layers` and `field`, and the `patch_size`, for this correlation length and image side.

    A PatchGAN takes pixels farther apart than its field as independent (the paper's Markov argument, section 3.2), so
    its field should end where the correlation does. Where that decays exponentially, it falls to 5 % at three lengths;
    three to either side of the centre make **six lengths**, and the nearest field (by ratio) is taken.
    The patch is the paper's 256 px, which also suits the reach of the generator, or two fields where that is more, so
    that about half of the scores along each axis see no padding: rounded up to a multiple of 32, and as large as
    the smallest image allows. Without a length: the paper's 70 px.

    References
    ----------
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
    """
    fitting = {n: size for n, size in FIELDS.items() if size <= smallest}
    if smallest < GRID or not fitting:
        return {"n_layers": None, "field": None, "patch_size": None}
    wanted = FIELDS[DiscriminatorConfig().n_layers] if length is None else max(length, 0.5) * LENGTHS_PER_FIELD
    n_layers = min(fitting, key=lambda n: abs(np.log(fitting[n] / wanted)))
    wide = ceil(max(PAPERS_PATCH, 2 * fitting[n_layers]) / GRID) * GRID
    patch_size = min(wide, smallest // GRID * GRID)
    # The patch is a multiple of 32 and may fall just below the field: then take the field below.
    n_layers = max(n for n in fitting if n <= n_layers and fitting[n] <= patch_size)
    return {"n_layers": n_layers, "field": fitting[n_layers], "patch_size": patch_size}


def phase_correlation(source: NDArray[Any], target: NDArray[Any], reach: int) -> NDArray[np.float64] | None:
    """How well the edges of `target` (C, Y, X) lie on those of `source` when it is moved back by up to `reach` px.

    Of shape (2 reach + 1, 2 reach + 1), in standard deviations of all shifts; None if one of them has no edges.
    Edges (the length of the smoothed gradient, over all channels) are what images of different contrast share; only
    the phases of their spectra count, so that a few strong structures do not outvote the rest.

    References
    ----------
    Kuglin and Hines, "The phase correlation image alignment method", 1975.
    """
    spectra = []
    for image in (source, target):
        edges = np.zeros(image.shape[1:])
        for channel in image:
            if spread := channel.std():
                edges += ndimage.gaussian_gradient_magnitude(channel / spread, 1.5) ** 2
        edges = np.sqrt(edges)
        taper = np.multiply.outer(*(np.hanning(n + 2)[1:-1] for n in edges.shape))
        spectra.append(fft.rfft2(taper * (edges - (taper * edges).sum() / taper.sum())))
    cross = spectra[0].conj() * spectra[1]
    size = np.abs(cross)
    if not size.max():
        return None
    rows, columns = fft.fftfreq(source.shape[1])[:, None], fft.rfftfreq(source.shape[2])
    smooth = np.exp(-2 * np.pi**2 * (rows**2 + columns**2))  # a Gaussian of 1 px
    surface = fft.irfft2(smooth * cross / np.maximum(size, 1e-9 * size.max()), s=source.shape[1:])
    surface = (surface - surface.mean()) / surface.std()
    lags = np.arange(-reach, reach + 1)
    near: NDArray[np.float64] = surface[np.ix_(lags, lags)]
    return near


def find_shift(surface: NDArray[np.float64]) -> tuple[list[int] | None, float]:
    """The (Y, X) at the highest peak of a `phase_correlation`, and its confidence; None where that is below 2.5.

    The confidence is the peak's height over that of the best rival more than 8 px away, both above the median. On
    unrelated images it lies near 1 (up to 1.5 for independent ones; of 800 mismatched DSB2018, ISBI and DRIVE pairs 3 %
    exceed 2, most of them neighbouring slices that are not unrelated).
    """
    peak = np.unravel_index(surface.argmax(), surface.shape)
    reach = len(surface) // 2
    rows, columns = np.ogrid[: len(surface), : len(surface)]
    rivals = surface[(rows - peak[0]) ** 2 + (columns - peak[1]) ** 2 > APART**2]
    if reach < 2 * APART - 4 or rivals.max() <= np.median(surface):
        return None, 0.0
    confidence = float((surface.max() - np.median(surface)) / (rivals.max() - np.median(surface)))
    return ([int(i) - reach for i in peak] if confidence >= CONFIDENT else None), confidence


def covariance_by_distance(a: NDArray[Any], b: NDArray[Any], farthest: int) -> NDArray[np.float64]:
    """The covariance of two images (Y, X) at distances of 0, 1 … `farthest` px, averaged over all directions."""
    shape = [fft.next_fast_len(n + farthest, real=True) for n in a.shape]
    one, other, window = (fft.rfft2(image, s=shape) for image in (a - a.mean(), b - b.mean(), np.ones(a.shape)))
    products = fft.irfft2(one.conj() * other, s=shape)
    overlap = fft.irfft2(np.abs(window) ** 2, s=shape)
    rows, columns = (fft.fftfreq(n, 1 / n) for n in shape)
    distance = np.rint(np.hypot(rows[:, None], columns)).astype(int)
    near = distance <= farthest
    means: NDArray[np.float64] = np.bincount(distance[near], products[near] / overlap[near])
    return means / np.bincount(distance[near])


def decay_length(covariance: NDArray[np.float64]) -> float | None:
    """The distance in px at which `covariance_by_distance` falls below 1/e of its value at 0; None if that is 0.

    The farthest distance, if it does not fall so far.
    """
    if covariance[0] <= 0:
        return None
    share = covariance / covariance[0]
    below = np.flatnonzero(share < 1 / e)
    if not below.size:
        return float(len(share) - 1)
    i = below[0]
    return float(i - 1 + (share[i - 1] - 1 / e) / (share[i - 1] - share[i]))


@dataclass
class _Lie:
    """How targets lie against their sources, summed up frame by frame."""

    reach: int
    farthest: int
    surfaces: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    covariances: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, source: NDArray[np.float64], maps: NDArray[np.float64], name: str) -> None:
        """One frame: grey values of the source, encoded maps of the target."""
        surface = phase_correlation(source, maps, self.reach)
        if surface is not None:
            self.surfaces[name] = surface
        grey, farthest = source.mean(axis=0), self.farthest
        crossed = [covariance_by_distance(grey, channel, farthest) for channel in maps]
        self.covariances.append(
            np.stack(
                [
                    covariance_by_distance(grey, grey, farthest) * len(maps),
                    np.sum([covariance_by_distance(channel, channel, farthest) for channel in maps], axis=0),
                    np.sum([np.sign(values[0]) * values for values in crossed], axis=0),
                ]
            )
        )
