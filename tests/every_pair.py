"""What people have as sources and as targets, each a line of a table, as small files and arrays; commands on them.

A new kind of source or target is one more line; `pairwise` chooses which combinations are tried.
"""

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.commands.app import main

HEIGHT, WIDTH = 48, 56
LENGTHS = {"T": 2, "Z": 3}
PIXEL_UM, PLANE_UM = 0.5, 2.0


@dataclass(frozen=True)
class Kind:
    """A kind of source or of target.

    Parameters
    ----------
    axes
        Of a source; of a target those that come after T and Z, which it has as its source has them.
    channels
        How many colours or channels; 0: none, and no axis for them.
    labels
        `classes` or `instances`; empty: grey values.
    names
        Of the channels, in the file.
    pairs
        Flags that say how pairs are read.
    settings
        Flags of the training besides.
    frames
        Of T and Z, which axes the target has, too.
    z, take
        The same for `PairedFrames`: how planes are taken, and which channels.
    dtype
        Of grey values; floats from 0 to 1.
    lacks
        Channels of a target that files lack: of the first, the second and so on, then from the first again.
    """

    axes: str
    channels: int = 0
    labels: str = ""
    names: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    frames: str = ""
    z: str = "frame"
    take: tuple[int, ...] = ()
    dtype: str = "uint16"
    lacks: tuple[tuple[int, ...], ...] = ((),)

    def there(self, seed: int) -> tuple[int, ...]:
        """The channels that the file of this seed has."""
        return tuple(k for k in self.taken(seed) if k is not None)

    def taken(self, seed: int) -> tuple[int | None, ...]:
        """All channels, None for those that the file of this seed lacks."""
        return tuple(None if k in self.lacks[seed % len(self.lacks)] else k for k in range(self.channels))


SOURCES = {
    "grey": Kind("YX"),
    "RGB": Kind("YXS", 3),
    "two channels": Kind("CYX", 2, names=("BF", "DAPI")),
    "planes as channels": Kind("ZYX", pairs=("--z", "channels"), z="channels"),
    "planes as neighbours": Kind("ZYX", pairs=("--z", "channels"), z="channels", frames="Z"),
    "volume": Kind("ZYX", pairs=("--z", "volume"), z="volume", frames="Z"),
    "time series": Kind("TYX", frames="T"),
    "chosen channels": Kind(
        "CYX",
        3,
        names=("BF", "DAPI", "GFP"),
        pairs=("--source-channels", "GFP", "--source-channels", "BF"),
        take=(2, 0),
    ),
    "labels": Kind("YX", labels="classes", settings=("--source-kind", "classes")),
}
TARGETS = {
    "grey": Kind("YX"),
    "RGB": Kind("YXS", 3),
    "several channels": Kind("CYX", 2, names=("nuclei", "actin")),
    "classes": Kind("YX", labels="classes", settings=("--target-kind", "classes")),
    "instances": Kind("YX", labels="instances", settings=("--target-kind", "instances")),
}
RARE_SOURCES = {
    "floats": Kind("YX", dtype="float32"),
    "channels over time": Kind("TCYX", 2, names=("BF", "DAPI"), frames="T"),
    "RGB planes as channels": Kind("ZYXS", 3, pairs=("--z", "channels"), z="channels"),
    "planes of channels as neighbours over time": Kind(
        "TZCYX", 2, names=("BF", "DAPI"), pairs=("--z", "channels"), z="channels", frames="TZ"
    ),
    "volumes of channels over time": Kind("TZCYX", 2, pairs=("--z", "volume"), z="volume", frames="TZ"),
}
RARE_TARGETS = {
    "floats": Kind("YX", dtype="float32"),
    "stains of which some are missing": Kind("CYX", 3, names=("DAPI", "MAP2", "NFH"), lacks=((), (2,), (0,), (1, 2))),
}
SMALL = (
    *("--generator.levels", "2", "--generator.base-channels", "4", "--patch-size", "32", "--batch-size", "2"),
    *("--discriminator.n-layers", "1", "--discriminator.base-channels", "4", "--steps", "2", "--validate-every", "2"),
)


def stack(kind: Kind, seed: int, frames: str = "", axes: str = "") -> NDArray[Any]:
    """Round objects, the same for one seed, as this kind shows them."""
    axes = axes or frames + kind.axes
    sizes = {**LENGTHS, "Y": HEIGHT, "X": WIDTH, "C": kind.channels, "S": kind.channels}
    lead = [axis for axis in "TZ" if axis in axes]
    random = np.random.default_rng(seed)
    points = np.zeros([*(sizes[axis] for axis in lead), HEIGHT, WIDTH])
    for place in np.ndindex(points.shape[:-2]):
        points[(*place, random.integers(4, HEIGHT - 4, 12), random.integers(4, WIDTH - 4, 12))] = 1
    bright = ndimage.gaussian_filter(points, (*(0.5 if axis == "Z" else 0 for axis in lead), 2.5, 2.5))
    bright /= bright.max()
    if kind.labels == "classes":
        return np.digitize(bright, [0.2, 0.5]).astype(np.uint8)
    if kind.labels == "instances":
        flat = (bright > 0.3).reshape(-1, *bright.shape[-3 if "Z" in lead else -2 :])
        return np.stack([ndimage.label(part)[0] for part in flat]).reshape(bright.shape).astype(np.uint16)
    if not kind.channels:
        grey = bright + random.normal(0, 0.02, bright.shape)
        return (grey if kind.dtype == "float32" else 200 + 3000 * np.clip(grey, 0, 1)).astype(kind.dtype)
    powers = [bright ** (1 + channel / 2) + random.normal(0, 0.01, bright.shape) for channel in range(kind.channels)]
    if kind.axes.endswith("S"):
        return (255 * np.clip(np.stack(powers, -1), 0, 1)).astype(np.uint8)
    return (3000 * np.clip(np.stack(powers, -3), 0, 1)).astype(np.uint16)


def write(path: Path, values: NDArray[Any], axes: str, names: Sequence[str] = (), pixel_um: float = PIXEL_UM) -> Path:
    """The stack as an OME-TIFF, by another hand than ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = {"X": pixel_um, "Y": pixel_um} | ({"Z": PLANE_UM} if "Z" in axes else {})
    metadata: dict[str, Any] = {"axes": axes} | {f"PhysicalSize{axis}": size for axis, size in sizes.items()}
    metadata |= {"Channel": {"Name": list(names)}} if names else {}
    tifffile.imwrite(path, values, ome=True, metadata=metadata, photometric="rgb" if "S" in axes else "minisblack")
    return path


@dataclass(frozen=True)
class Pair:
    """A kind of source and a kind of target, and whether the model is taught to judge."""

    source: str
    target: str
    judge: bool

    def __str__(self) -> str:
        return f"{self.source} to {self.target}{', judged' if self.judge else ''}"

    @property
    def kinds(self) -> tuple[Kind, Kind]:
        """Of both sides."""
        return (SOURCES | RARE_SOURCES)[self.source], (TARGETS | RARE_TARGETS)[self.target]

    @property
    def axes(self) -> tuple[str, str]:
        """Of the stacks of both sides."""
        source, target = self.kinds
        return source.axes, source.frames + target.axes

    @property
    def flags(self) -> list[str]:
        """Of a training."""
        source, target = self.kinds
        return [*source.pairs, *source.settings, *target.settings, *SMALL, "--trust-steps", str(int(self.judge))]

    def arrays(self, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """A source and its target."""
        source, target = self.kinds
        return stack(source, seed), stack(target, seed, source.frames)

    def write(self, folder: Path, seeds: Iterable[int], pixel_um: float = PIXEL_UM) -> tuple[Path, Path]:
        """Folders of sources and targets."""
        for seed in seeds:
            for side, values, axes, kind in zip(
                ("source", "target"), self.arrays(seed), self.axes, self.kinds, strict=True
            ):
                names = kind.names
                if any(kind.lacks):
                    values = values.take(kind.there(seed), axes.index("C"))
                    names = tuple(names[k] for k in kind.there(seed))
                write(folder / side / f"cell {seed}.tif", values, axes, names, pixel_um)
        return folder / "source", folder / "target"

    def frames(self, seeds: Iterable[int], **named: Any) -> core.PairedFrames:
        """The same pairs from arrays."""
        seeds, (source, target) = list(seeds), self.kinds
        sides = zip(*(self.arrays(seed) for seed in seeds), strict=True)
        how: dict[str, Any] = {"z": source.z, "names": [f"cell {seed}" for seed in seeds], "target_names": target.names}
        if source.take:
            how["channels"] = source.take, None
        if any(target.lacks):
            how["channels"] = source.take or None, list(map(target.taken, seeds))
        if source.names:
            taken = tuple(source.names[i] for i in source.take) or source.names
            how["source_names"] = [taken] * len(seeds)
        return core.PairedFrames(*map(list, sides), self.axes, **how, **named)


def command(*words: Any, code: int = 0) -> list[dict[str, Any]]:
    """The events of a command, as scripts read them; it must end with this exit code."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        found = main([*map(str, words), "--device", "cpu", "--json"])
    events = [json.loads(line) for line in said.getvalue().splitlines()]
    told = [event["text"] for event in events if event["event"] in ("error", "failure", "warning")]
    assert found == code, f"exit {found}: {told}"
    assert not (broken := [text for text in told if "could not" in text]), broken
    return events


@contextlib.contextmanager
def unreported() -> Iterator[None]:
    """Trainings draw no report, which takes longer than they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_pix2pix.report.draw.draw_training", lambda run, *_: run / "report.html")
        yield


def pairwise(factors: Sequence[Sequence[Any]], allowed: Any = lambda row: True) -> list[tuple[Any, ...]]:
    """Rows, one value of each factor, so that any two values of two factors meet in one that is allowed, if they can.

    Greedy and always the same: each row is the one that lets most new values meet; of several the first that has all
    but its last value in common with one before, which may share what these take.
    """
    rows = [row for row in product(*factors) if allowed(row)]
    met = {row: {(i, j, row[i], row[j]) for i, j in combinations(range(len(row)), 2)} for row in rows}
    left, chosen = set().union(*met.values()), {}
    while left:
        best = max(rows, key=lambda row: (len(met[row] & left), row[:-1] in chosen.values()))
        left -= met[best]
        chosen[best] = best[:-1]
    return list(chosen)
