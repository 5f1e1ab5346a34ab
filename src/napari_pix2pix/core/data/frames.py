"""Stacks of one side as frames, and the kinds of data that are no pairs: unpaired, domains, images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.conditions import Conditions, labels_of_each, require_classes
from napari_pix2pix.core.data.copies import Contents
from napari_pix2pix.core.data.pairs import Channels, PairedFrames, StackAxes, plans_of
from napari_pix2pix.core.data.regions import Region, pieces
from napari_pix2pix.core.encodings.domains import MOST, Domains
from napari_pix2pix.core.geometry.axes import WHOLE, Window


class Frames:
    """Frames of one or several stacks, read when they are asked for; they may differ in size, not in channels.

    Parameters
    ----------
    stacks
        Arrays, memmaps, dask or zarr arrays, anything with `shape`, `dtype` and slicing; one, or a list.
    axes
        Of each stack, e.g. ``"TYX"``, or a list with one per stack; None: guessed from the shapes.
    names, groups
        One for each stack, as in `PairedFrames`.
    channels
        The channels to take, as numbers; None: all.
    z
        ``frame``: plane by plane; ``volume``: each time point is one frame.
    hashes
        Of the file of each stack, for `split.csv`; default: none.

    Raises
    ------
    ValueError
        If there is none, or they have different channels; the stack is named.
    """

    known_everywhere = True

    def __init__(
        self,
        stacks: Any,
        axes: StackAxes = None,
        *,
        names: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        channels: Channels = None,
        z: Literal["frame", "volume"] = "frame",
        hashes: Sequence[str] | None = None,
    ) -> None:
        self.stacks = list(stacks) if isinstance(stacks, list | tuple) else [stacks]
        if not self.stacks:
            raise ValueError("There must be at least one image; got none. Check the path.")
        self.names = list(names or (f"image {i}" for i in range(len(self.stacks))))
        self.groups = list(groups or self.names)
        self.plans = [replace(plan, z=z) for plan in plans_of(self.stacks, axes, channels)]
        first = self.plans[0].n_channels
        for name, plan in zip(self.names, self.plans, strict=True):
            if plan.n_channels != first:
                raise ValueError(
                    f"Images of one kind must have the same channels; got {first} in {self.names[0]} and "
                    f"{plan.n_channels} in {name}. Choose channels, or leave it out."
                )
        self.places = [(i, frame) for i, plan in enumerate(self.plans) for frame in range(plan.n_frames)]
        self.hashes = None if hashes is None else [(own, "") for own in hashes]

    def __len__(self) -> int:
        return len(self.places)

    def name(self, frame: int) -> str:
        """What messages call this frame."""
        stack, index = self.places[frame]
        return self.names[stack] + (f", frame {index}" if self.plans[stack].n_frames > 1 else "")

    def frame_shape(self, frame: int) -> tuple[int, ...]:
        """([Z,] Y, X) of this frame."""
        return self.plans[self.places[frame][0]].frame_shape

    def read(self, frame: int, window: Window = WHOLE) -> NDArray[Any]:
        """The frame (C, [Z,] Y, X), or a window of it, in grey values or labels."""
        stack, index = self.places[frame]
        return self.plans[stack].take(self.stacks[stack], index, window)

    def known(self, frame: int, window: Window = WHOLE) -> NDArray[np.bool_]:
        """All of it, bool ([Z,] Y, X)."""
        whole = self.frame_shape(frame)
        sides = window or (slice(None),) * len(whole)
        return np.ones(tuple(len(range(*side.indices(n))) for side, n in zip(sides, whole, strict=True)), bool)

    def require_patches(self, size: int, grid: int) -> None:
        """Raise a ValueError that names the first frame smaller than a patch of `size`, a multiple of `grid`."""
        for frame in range(len(self)):
            y, x = self.frame_shape(frame)[-2:]
            if min(y, x) < size:
                fitting = min(y, x) // grid * grid
                raise ValueError(
                    f"Images must be at least as large as a patch, {size} x {size} px; {self.name(frame)} is "
                    f"{y} x {x}. " + (f"Choose `patch_size` {fitting}." if fitting else "Leave it out.")
                )

    def require_finite(self) -> dict[int, bytes]:
        """Read everything once; by frame what it is known by, see `Contents`.

        Raises
        ------
        ValueError
            If something is NaN or Inf, or nothing varies.
        """
        contents = Contents()
        for region in pieces(self.regions()):
            values = self.read(region.frame, region.window)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError(
                    f"Images must be finite; {self.name(region.frame)} holds NaN or Inf. Replace these pixels or leave "
                    "it out."
                )
            contents.add(region.frame, values)
        if not contents.varies:
            raise ValueError(
                "At least one image must vary; every one is constant. Check that these are the right files."
            )
        return contents.known_by

    def regions(self) -> tuple[Region, ...]:
        """Every frame, whole."""
        return tuple(Region(i, tuple(slice(0, n) for n in self.frame_shape(i))) for i in range(len(self)))


class UnpairedFrames:
    """Sources and targets that do not show the same: numbers, sizes and channels may differ.

    Parameters
    ----------
    source, target
        As in `Frames`, or `Frames`.
    axes
        Of the stacks; a tuple where source and target differ.
    """

    kind: Literal["unpaired"] = "unpaired"

    def __init__(self, source: Any, target: Any, axes: str | tuple[StackAxes, StackAxes] | None = None) -> None:
        each = axes if isinstance(axes, tuple) else (axes, axes)
        source, target = (
            side if isinstance(side, Frames) else Frames(side, own)
            for side, own in zip((source, target), each, strict=True)
        )
        self.sides: dict[str, Frames] = {"source": source, "target": target}


class DomainFrames:
    """Images of several domains, of the same channels.

    Parameters
    ----------
    domains
        By its name the stacks of each, or their `Frames`.
    axes
        Of the stacks.
    labels
        By name of the set of labels what each domain is of, None where that is not known. Default: one set, domain, in
        which each has its own name.

    Raises
    ------
    ValueError
        If there is one domain only, or too many, or they differ by channels.
    """

    kind: Literal["domains"] = "domains"

    def __init__(
        self,
        domains: Mapping[str, Any],
        axes: StackAxes = None,
        *,
        labels: Mapping[str, Mapping[str, str | None]] | None = None,
    ) -> None:
        self.sides: dict[str, Frames] = {
            name: stacks if isinstance(stacks, Frames) else Frames(stacks, axes) for name, stacks in domains.items()
        }
        if len(self.sides) < 2:
            raise ValueError(
                f"There must be at least two domains; got {', '.join(self.sides) or 'none'}. Put the images of each "
                "domain into a folder of its own."
            )
        channels = {name: frames.plans[0].n_channels for name, frames in self.sides.items()}
        if len(set(channels.values())) > 1:
            told = " and ".join(f"{n} in {name}" for name, n in channels.items())
            raise ValueError(f"All domains must have the same channels; got {told}. Choose channels.")
        said = labels or {"domain": {name: name for name in self.sides}}
        self.labels: dict[str, dict[str, str | None]] = {
            name: {side: known.get(side) for side in self.sides} for name, known in said.items()
        }
        sets = {name: sorted({one for one in known.values() if one}) for name, known in self.labels.items()}
        if (most := max(map(len, sets.values()))) > MOST:
            raise ValueError(f"There must be at most {MOST} domains; got {most}. Put some of them together.")
        if few := [name for name, own in sets.items() if len(own) < 2]:
            raise ValueError(
                f"There must be at least two labels of each set; {few[0]} has {', '.join(sets[few[0]]) or 'none'}. "
                "Leave this set out."
            )
        self.domains = Domains(sets={name: tuple(own) for name, own in sets.items()})

    def vector(self, side: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The label vector of the images of a side, and which of its places are known, see `Domains.vector`."""
        values, known = self.domains.vector({name: said[side] for name, said in self.labels.items()})
        return np.array(values, np.float32), np.array(known, np.float32)


class Images:
    """Images alone; or images and their targets, which are made together.

    Parameters
    ----------
    stack
        As in `Frames`, or `Frames`; or, of images with targets, `PairedFrames`.
    axes
        Of the stacks; a tuple where those of the targets differ.
    target
        Of the same frames; None: none.
    conditions
        The class of each stack, None where it is not known; or by name of the set of labels such a list. Default: those
        of the pairs, or none.

    Raises
    ------
    ValueError
        If conditions are not one for each stack, or of fewer than two classes.
    """

    kind: Literal["images"] = "images"

    def __init__(
        self,
        stack: Any,
        axes: Any = None,
        *,
        target: Any = None,
        conditions: Conditions = None,
    ) -> None:
        own = axes[0] if isinstance(axes, tuple) else axes
        self.pairs: PairedFrames | None = None
        if isinstance(stack, PairedFrames):
            self.pairs = stack
        elif target is not None:
            self.pairs = PairedFrames(stack, target, axes)
        if self.pairs is not None:
            n_stacks = len(self.pairs.names)
            self.sides: dict[str, Frames] = {}
        else:
            frames = stack if isinstance(stack, Frames) else Frames(stack, own)
            self.sides, n_stacks = {"image": frames}, len(frames.names)
        self.labels = labels_of_each(conditions, n_stacks, "image")
        if self.pairs is not None and not conditions:
            self.labels = self.pairs.labels
        self.domains = Domains.of(self.labels)
        require_classes(self.labels)

    def vector(self, stack: int) -> NDArray[np.float32]:
        """What networks see of the classes of a stack, see `Domains.planes`."""
        return np.array(self.domains.planes(self.labels[stack]), np.float32)
