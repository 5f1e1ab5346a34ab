"""What was found of the fields of a layer: arrays on their grid, where each field lies, and the worst ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from napari_pix2pix.core.geometry.per_pixel import per_pixel
from napari_pix2pix.core.geometry.receptive_field import ReceptiveField, field_means
from napari_pix2pix.files.colours import doubt_limits
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.layers import layer_axes, pixels, read_as, turned
from napari_pix2pix.widgets.placing import MADE_HERE, kept_axes, placement, scores_placement
from napari_pix2pix.widgets.trust_layers import bad_colours, with_bar

MOST_REGIONS, MOST_FRAMES = 20, 50
"""In the list of the worst."""
RARE = 0.05
"""A rank below it is rare among real fields."""
WORST_SHARE = 0.05
"""Of the fields, that a threshold is offered for where the usual one marks none."""
TITLES = {"expected_error": "expected error", "true_error": "true error", "rank": "rank", "scores": "patch scores"}
"""What can be shown, and what it is called; of errors high is bad, of the others low."""
ERRORS = ("expected_error", "true_error")
Place = tuple[int, ...]
"""A field, by its place on the grid."""


class Summary(NamedTuple):
    """What takes a while to find in a large stack.

    Parameters
    ----------
    limits
        The range of values to show.
    regions
        The worst fields that see nothing in common, the worst first.
    frames
        Of each frame of a stack its worst field and its mean, the worst mean first.
    """

    limits: tuple[float, float]
    regions: list[Place]
    frames: list[tuple[Place, float]]


@dataclass(frozen=True)
class ScoreMaps:
    """The fields of a layer.

    Parameters
    ----------
    image
        The layer that was judged.
    parts
        ``scores``, ``valid`` and what else there is, by name, as `PatchScores.parts`: on the grid of the fields, with
        the layer's axes but channels.
    axes
        These axes, a letter each.
    scale, translate, sizes
        Of the fields along the last letters of ZYX, in pixels: between neighbours, the centre of the first, how large.
    kind
        ``match`` or ``plain``.
    trust_limit
        The expected error above which nothing is to be trusted, unless the user says otherwise.
    promise
        What the bound means, or why there is none.
    expected_errors
        Of each frame of a stack the mean expected error of its pixels, in the order of the frames in the file.
    """

    image: Layer
    parts: dict[str, NDArray[Any]]
    axes: str
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    sizes: tuple[int, ...]
    kind: str
    trust_limit: float | None = None
    promise: str = ""
    expected_errors: tuple[float, ...] = ()

    @classmethod
    def read(cls, image: Layer, path: Path, told: dict[str, Any]) -> "ScoreMaps":
        """From the files that `score` has written at `path` and beside it; `told` is its event ``placed``."""
        axes = layer_axes(image).replace("S", "").replace("C", "")
        files = {"scores": path} | {
            part: file
            for part in ("valid", "expected_error", "rank", "error_bound")
            if (file := beside(part)(path)).exists()
        }
        parts = {part: read_as(open_stack(file), axes) for part, file in files.items()}
        parts["valid"] = parts["valid"].astype(bool)
        scale, translate, sizes = (tuple(told[name]) for name in ("scale", "translate", "sizes"))
        said = told["kind"], told.get("trust_limit"), told.get("promise", ""), tuple(told.get("expected_errors", ()))
        return cls(image, parts, axes, scale, translate, sizes, *said)

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """Of each part that can be shown. Found once, where a window does not wait for it."""
        return {
            part: Summary(self._limits(part), self._regions(part), self._frames(part))
            for part in TITLES
            if part in self.parts
        }

    # Where they lie

    @cached_property
    def keep(self) -> list[int]:
        """Which axes of the layer they have."""
        return kept_axes(self.image, self.axes)

    def layer(self, part: str) -> Image:
        """An overlay of this part, with its colour bar: what is bad glows, what is good is transparent."""
        overlay = Image(
            self.parts[part],
            name=self.title(part),
            metadata={MADE_HERE: {"is": "patch scores", "source": self.image.name}},
            colormap=self.colours(part, self.threshold(part)),
            contrast_limits=self.summaries[part].limits,
            interpolation2d="nearest",
            blending="translucent",
            **scores_placement(self.image, self.scale, self.translate, self.keep),
        )
        return with_bar(overlay)

    def domain_layer(self, path: Path, names: Sequence[str]) -> Labels:
        """Which domain each field looks most like, of the file beside the scores at `path`; named under the mouse."""
        likely = read_as(open_stack(beside("domains")(path)), f"C{self.axes}")
        told = [f"{name}, {float(share):.0%} of the fields" for name, share in zip(names, _shares(likely), strict=True)]
        return Labels(
            likely.argmax(axis=0).astype(np.uint8) + 1,
            name=f"looks like: {self.image.name}",
            features={"domain": ["", *told]},
            metadata={MADE_HERE: {"is": "patch scores", "source": self.image.name}},
            opacity=0.4,
            **scores_placement(self.image, self.scale, self.translate, self.keep),
        )

    def title(self, part: str) -> str:
        """What a layer of this part is called: what it shows first, since names are cut at their end."""
        return f"{TITLES[part]}: {self.image.name}"

    def _limits(self, part: str) -> tuple[float, float]:
        """Of expected errors those of the model, the same over every image."""
        if part == "rank":
            return 0.0, 1.0
        if part in ERRORS and self.trust_limit is not None:
            return doubt_limits(self.trust_limit)
        low, high = (float(x) for x in np.percentile(self.parts[part], (1, 99)))
        return low, high if high > low else low + 1

    def threshold(self, part: str) -> float:
        """From where on it is bad, unless the user says otherwise."""
        low, high = self.summaries[part].limits
        if part in ERRORS:
            return high if self.trust_limit is None else self.trust_limit
        return RARE if part == "rank" else low

    def colours(self, part: str, threshold: float) -> Colormap:
        """What is better than the threshold is faint."""
        low, high = self.summaries[part].limits
        share, low_is_bad = (threshold - low) / (high - low), part not in ERRORS
        return bad_colours(low_is_bad, min(1.0, max(0.0, 1 - share if low_is_bad else share)))

    def bad(self, part: str, threshold: float) -> NDArray[np.bool_]:
        """Which fields are."""
        values = self.parts[part]
        return np.asarray(values > threshold if part in ERRORS else values < threshold)

    def harder(self, part: str) -> float:
        """A threshold that the worst twentieth of the fields exceed, for where the usual one marks nothing."""
        values = self.parts[part]
        sign = 1 if part in ERRORS else -1
        return sign * float(np.quantile(sign * values, 1 - WORST_SHARE, method="lower"))

    def true_errors(self, target: Layer, kind: str) -> NDArray[np.float32]:
        """The mean error of each field against the truth, in the units of expected errors, on the fields' grid.

        Parameters
        ----------
        target
            The truth, on the same pixels.
        kind
            Of the target: ``intensity``, ``classes`` or ``instances``.

        Raises
        ------
        ValueError
            If the layers do not have the same pixels.
        """
        ours, theirs = pixels(self.image), pixels(target)
        if ours.shape != theirs.shape:
            raise ValueError(
                f"The true error must be found from a target image of the same pixels; {target.name!r} has "
                f"{theirs.shape}, {self.image.name!r} {ours.shape}. Choose another target image."
            )
        if kind == "intensity":
            wrong = np.abs(np.asarray(ours, np.float32) - np.asarray(theirs, np.float32))
        else:
            wrong = (ours != theirs) if kind == "classes" else ((ours > 0) != (theirs > 0))
        letters = layer_axes(self.image)
        wrong = wrong.mean(axis=tuple(i for i, axis in enumerate(letters) if axis in "CS"), dtype=np.float32)
        n = len(self.scale)
        spatial = [self.axes.index(axis) for axis in "ZYX"[-n:]]
        fields = tuple(
            ReceptiveField(size, round(step), round(centre - (size - 1) / 2))
            for size, step, centre in zip(self.sizes, self.scale, self.translate, strict=True)
        )
        means = field_means(np.moveaxis(wrong, spatial, range(-n, 0)), fields)
        return np.moveaxis(means, range(-n, 0), spatial)

    def with_truth(self, target: Layer, kind: str) -> "ScoreMaps":
        """The same beside the true errors, see `true_errors`."""
        return replace(self, parts=self.parts | {"true_error": self.true_errors(target, kind)})

    def agreement(self) -> str:
        """How expected and true errors go together, in a sentence; empty where one of them is not known."""
        if not {"expected_error", "true_error"} <= self.parts.keys():
            return ""
        inside = self.parts["valid"] if self.parts["valid"].any() else np.ones_like(self.parts["valid"])
        expected, true = (self.parts[name][inside] for name in ("expected_error", "true_error"))
        if min(np.ptp(expected), np.ptp(true)) == 0:
            return "Expected and true error cannot be correlated: one of them is the same everywhere."
        ranks = (rankdata(values) for values in (expected, true))
        rho = float(np.corrcoef(*ranks)[0, 1])
        return (
            f"Expected and true error of {inside.sum():,} fields go together with ρ\u00a0=\u00a0{rho:.2f} (Spearman; "
            f"1: in the same order), mean {expected.mean():.3g} told, {true.mean():.3g} true."
        )

    def at(self, place: Sequence[float]) -> Place | None:
        """The field whose centre is nearest to a place on the grid; None beyond the outermost fields' cells."""
        found = tuple(int(np.floor(x + 0.5)) for x in place)
        inside = all(0 <= i < n for i, n in zip(found, self.parts["scores"].shape, strict=True))
        return found if inside else None

    def centre(self, place: Place) -> NDArray[np.float64]:
        """The centre of this field, as a place in the layer's data without channels."""
        scale, translate = self._along(self.scale, 1.0), self._along(self.translate, 0.0)
        return np.array([s * i + t for s, i, t in zip(scale, place, translate, strict=True)])

    def box(self, place: Place) -> NDArray[np.float64]:
        """The corners (4, n) of this field along Y and X, at the outer edges of its pixels."""
        return self.centre(place) + self.around

    @cached_property
    def around(self) -> NDArray[np.float64]:
        """The corners (4, n) of any field from its centre."""
        corners, sizes = np.zeros((4, len(self.axes))), self._along(self.sizes, 1)
        for axis, sides in (("Y", (-1, -1, 1, 1)), ("X", (-1, 1, 1, -1))):
            i = self.axes.index(axis)
            corners[:, i] = np.array(sides) * sizes[i] / 2
        return corners

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of the layer's data without channels."""
        lengths = dict(zip(layer_axes(self.image), pixels(self.image).shape, strict=True))
        return tuple(lengths[axis] for axis in self.axes)

    def world(self, point: ArrayLike) -> NDArray[np.float64]:
        """A place in the layer's data without channels, as `centre` and `box` give them, in the world."""
        whole = np.zeros(self.image.ndim)
        whole[self.keep] = point
        return np.asarray(self.image.data_to_world(whole))[self.keep]

    def _along(self, values: Sequence[Any], otherwise: Any) -> list[Any]:
        """For each axis what `values` have along the last letters of ZYX."""
        known = dict(zip("ZYX"[-len(values) :], values, strict=True))
        return [known.get(axis, otherwise) for axis in self.axes]

    # What is bad

    def _regions(self, part: str) -> list[Place]:
        """Only of fields wholly inside, if there are."""
        values = self.parts[part] if part in ERRORS else -self.parts[part]
        left = np.where(self.parts["valid"] if self.parts["valid"].any() else True, values, -np.inf)
        apart = [-(-size // round(step)) for size, step in zip(self._along(self.sizes, 1), self._strides, strict=True)]
        found: list[Place] = []
        while len(found) < MOST_REGIONS:
            place = np.unravel_index(int(left.argmax()), left.shape)
            if left[place] == -np.inf:
                break
            found.append(tuple(int(i) for i in place))
            left[tuple(slice(max(0, i - n + 1), i + n) for i, n in zip(found[-1], apart, strict=True))] = -np.inf
        return found

    def _frames(self, part: str) -> list[tuple[Place, float]]:
        """None of what is no stack. The mean of fields wholly inside, if there are; of expected errors, of pixels."""
        n = len(self.scale)
        ours = [i for i, axis in enumerate(self.axes) if axis not in "ZYX"[-n:]]
        if all(self.parts[part].shape[i] == 1 for i in ours):
            return []
        values = np.moveaxis(self.parts[part], ours, range(len(ours)))
        valid = np.moveaxis(self.parts["valid"], ours, range(len(ours)))
        sign, found, letters = 1 if part in ERRORS else -1, [], "".join(self.axes[i] for i in ours)
        of_pixels: NDArray[Any] | None = None
        if part == "expected_error" and self.expected_errors:
            order = "".join(sorted(letters, key="TZ".index))  # as in files
            lengths = [values.shape[letters.index(axis)] for axis in order]
            of_pixels = turned(np.reshape(self.expected_errors, lengths), order, letters)
        for frame in np.ndindex(values.shape[: len(ours)]):
            inside = valid[frame] if valid[frame].any() else np.ones_like(valid[frame])
            mean = float(values[frame][inside].mean() if of_pixels is None else of_pixels[frame])
            worst = np.unravel_index(int(np.where(inside, sign * values[frame], -np.inf).argmax()), inside.shape)
            place = iter(worst)
            at = dict(zip(ours, frame, strict=True))
            found.append((tuple(int(at[i] if i in at else next(place)) for i in range(len(self.axes))), mean))
        return sorted(found, key=lambda one: -sign * one[1])[:MOST_FRAMES]

    @property
    def _strides(self) -> list[float]:
        return self._along(self.scale, 1.0)

    def mask(self, part: str, threshold: float) -> Labels:
        """What not to trust, on the layer's own pixels: 1 where the field around a pixel is bad, else 0."""
        mask = np.zeros(self.shape, np.uint8)
        n = len(self.scale)
        ours = [i for i, axis in enumerate(self.axes) if axis not in "ZYX"[-n:]]
        spatial = [i for i in range(len(self.axes)) if i not in ours]
        scale, translate = ([self._along(x, 0.0)[i] for i in spatial] for x in (self.scale, self.translate))
        window = tuple(slice(0, self.shape[i]) for i in spatial)
        for frame in np.ndindex(*(self.shape[i] for i in ours)):
            at = dict(zip(ours, frame, strict=True))
            index = tuple(at.get(i, slice(None)) for i in range(len(self.axes)))
            found = per_pixel(self.parts[part][index].astype(np.float32, copy=False), scale, translate, window)
            mask[index] = found > threshold if part in ERRORS else found < threshold
        return Labels(
            mask,
            name=f"not to trust: {self.image.name}",
            metadata={MADE_HERE: {"is": "not to trust", "source": self.image.name}},
            **placement(self.image, self.keep),
        )

    def facts(self, place: Place) -> str:
        """What is known of this field, in a line."""
        return " · ".join(self._facts(place))

    def _facts(self, place: Place) -> Iterator[str]:
        for name, title in (
            *(("expected_error", "expected error"), ("true_error", "true error")),
            *(("error_bound", "bound"), ("rank", "rank")),
        ):
            if name in self.parts:
                yield f"{title} {self.parts[name][place]:.3g}"
        yield f"{self.kind} score {self.parts['scores'][place]:.3g}"
        if not self.parts["valid"][place]:
            yield "sees beyond the image"


def _shares(likely: NDArray[Any]) -> NDArray[Any]:
    """Of each domain (the first axis) the share of the places where it is the likeliest."""
    found: NDArray[Any] = np.bincount(likely.argmax(axis=0).ravel(), minlength=len(likely)) / likely[0].size
    return found
