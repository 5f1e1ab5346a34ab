"""What a training learns from, as words of the command line: pairs of layers, or of files and folders. No Qt."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Labels, Layer

from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.stacks import open_stack, stem
from napari_pix2pix.widgets.layers import LayerFile, file_of, known_file, layer_axes, pixels


class LayerPair(NamedTuple):
    """A source, its target image, and what marks where that is known; None: it is known everywhere."""

    source: Layer
    target: Layer
    known: Layer | None = None
    stains: tuple[Layer | None, ...] = ()
    """Of a target of several layers each, None where the sample was not stained for it; `target` is the first."""

    @property
    def text(self) -> str:
        """In a line."""
        names = ", ".join(layer.name if layer else "–" for layer in self.stains) or self.target.name
        return f"{self.source.name} → {names}" + (f", known: {self.known.name}" if self.known else "")

    @property
    def images(self) -> tuple[Layer, ...]:
        """The source and all that is learned to predict from it."""
        return (self.source, *(filter(None, self.stains) if self.stains else (self.target,)))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All of them."""
        return (*self.images, *([self.known] if self.known else []))


class LayerPairs(NamedTuple):
    """Pairs of layers.

    Parameters
    ----------
    pairs
        In the order in which they were chosen.
    paired
        Whether source and target of each belong together, as with most methods; else they are so many images of either
        side.
    alone
        Whether sources have no targets, as where images are made from nothing; those of the pairs are not looked at.
    stains
        What the layers of a target are called, one for each of the `stains` of every pair; empty where it is one layer.
    """

    pairs: tuple[LayerPair, ...]
    paired: bool = True
    alone: bool = False
    stains: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a model of these may be called."""
        if self.stains:
            return ", ".join(self.stains)
        return str((self.pairs[-1].source if self.alone else self.pairs[-1].target).name)

    @property
    def targets(self) -> set[object]:
        """What is learned to predict."""
        return {pair.source if self.alone else pair.target for pair in self.pairs}

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers among them."""
        used = (pair[:1] if self.alone else pair.layers for pair in self.pairs)
        return tuple(dict.fromkeys(layer for layers in used for layer in layers))

    @property
    def key(self) -> object:
        """Equal for pairs that are read alike."""
        return self, tuple(layer_axes(layer) for pair in self.pairs for layer in pair.images)

    def of_side(self, side: str) -> list[Layer]:
        """The layers of this side, one for each pair; without pairs each once."""
        layers: list[Layer] = [getattr(pair, side) for pair in self.pairs]
        return layers if self.paired else list(dict.fromkeys(layers))

    def require(self) -> None:
        """Raise a ValueError unless every source has one target image, another layer; if unpaired, no layer is both."""
        if self.alone:
            return
        self._require_stains()
        seen: dict[Layer, Layer] = {}
        for pair in self.pairs:
            if pair.source in pair.images[1:]:
                raise ValueError("The target image must be another layer than the source; choose another one.")
            if self.paired and pair.source in seen:
                both = " and ".join(dict.fromkeys(repr(layer.name) for layer in (seen[pair.source], pair.target)))
                raise ValueError(
                    f"A source must be in one pair; {pair.source.name!r} is in two, with {both}. Remove one of them."
                )
            seen[pair.source] = pair.target
        if not self.paired and (twice := [layer for layer in self.of_side("target") if layer in seen]):
            raise ValueError(
                f"A layer must be a source or a target image; {twice[0].name!r} is both. Remove one of its rows."
            )

    def _require_stains(self) -> None:
        if len(set(self.stains)) < len(self.stains):
            raise ValueError(f"Stains must be called differently; got {', '.join(self.stains)}. Rename one of them.")
        if any(not name.strip() for name in self.stains):
            raise ValueError("Each stain must have a name; one has none. Write it beside its layer.")
        for k, stain in enumerate(self.stains):
            there = [layer for pair in self.pairs if (layer := pair.stains[k]) is not None]
            if not there:
                raise ValueError(f"A stain must be in some pair; {stain} is in none. Choose a layer for it.")
            if labels := [layer for layer in there if isinstance(layer, Labels)]:
                raise ValueError(
                    f"Stains must be images of grey values; {labels[0].name!r} holds labels. Choose another for "
                    f"{stain}."
                )
        for pair in self.pairs:
            if twice := [layer for layer in pair.images[1:] if pair.images[1:].count(layer) > 1]:
                raise ValueError(f"Each stain must be another layer; {twice[0].name!r} is two. Choose another one.")

    def n_bytes(self) -> int:
        """How much there is to read."""
        stacks = [pixels(layer) for layer in dict.fromkeys(layer for pair in self.pairs for layer in pair.images)]
        return sum(int(np.prod(stack.shape)) * np.dtype(stack.dtype).itemsize for stack in stacks)

    def words(self, folder: Path, stopped: Callable[[], bool] = lambda: False) -> list[Any]:
        """SOURCE TARGET and flags; layers without a file of their own are written to `folder`.

        Raises
        ------
        ValueError
            If layers cannot be written, or axes differ.
        Stopped
            If `stopped` becomes true.
        """
        paths: list[Any] = []
        axes: list[str] = []
        names = distinct([layer.name for layer in self.of_side("source")])
        if self.stains:
            return [*self._stained_words(folder, names, stopped), *self._known_words(folder, names)]
        for side in ("source",) if self.alone else ("source", "target"):
            layers = self.of_side(side)
            if len(layers) == 1:
                file = file_of(layers[0], folder / f"{side}.ome.tif", stopped)
                paths.append(file.path)
                axes += [f"--{side}-axes", file.axes]
                continue
            called = names if self.paired else distinct([layer.name for layer in layers])
            paths.append(folder / side)
            axes += axes_flags(side, written(layers, called, folder / side, stopped))
        return [*paths, *axes, *self._known_words(folder, names)]

    def _stained_words(self, folder: Path, names: list[str], stopped: Callable[[], bool]) -> list[Any]:
        """The folder of sources, and one for each stain, called as it is."""
        sources = written(self.of_side("source"), names, folder / "source", stopped)
        targets, folders = list[LayerFile](), [folder / "target" / name for name in distinct(list(self.stains))]
        for k, below in enumerate(folders):
            there = [(pair.stains[k], name) for pair, name in zip(self.pairs, names, strict=True)]
            layers = [layer for layer, _ in there if layer is not None]
            called = [name for layer, name in there if layer is not None]
            targets += written(layers, called, below, stopped, below.name)
        more = [word for below in folders[1:] for word in ("--target-more", below)]
        axes = [*axes_flags("source", sources), *axes_flags("target", targets)]
        return [folder / "source", folders[0], *more, *axes]

    def _known_words(self, folder: Path, names: list[str]) -> list[Any]:
        if not self.paired or all(pair.known is None for pair in self.pairs):
            return []
        if len(self.pairs) == 1:
            pair = self.pairs[0]
            return ["--valid", known_file(pair.known, pair.target, folder / "known.ome.tif")]
        for pair, name in zip(self.pairs, names, strict=True):
            known_file(pair.known, pair.target, folder / "known" / f"{name}.ome.tif")
        return ["--valid", folder / "known"]


def written(
    layers: list[Layer], names: list[str], folder: Path, stopped: Callable[[], bool], called: str | None = None
) -> list[LayerFile]:
    """Files of these layers below `folder`, under these names; what is in each may be `called`, see `file_of`."""
    paths = [folder / f"{name}.ome.tif" for name in names]
    files = [file_of(layer, path, stopped, called=called) for layer, path in zip(layers, paths, strict=True)]
    return [_placed(file, path) for file, path in zip(files, paths, strict=True)]


def axes_flags(side: str, files: list[LayerFile]) -> list[str]:
    """Flags of this side, if the files themselves say other axes."""
    if all(open_stack(file.path).axes == file.axes for file in files):
        return []
    if len(said := {file.axes for file in files}) > 1:
        raise ValueError(f"All {side}s must have the same axes; they have {' and '.join(sorted(said))}.")
    return [f"--{side}-axes", files[0].axes]


class FilePairs(NamedTuple):
    """Pairs of files, or of the files in folders by name.

    Parameters
    ----------
    source, target
        Paths.
    known
        A mask, or a folder of them; empty: known everywhere.
    axes
        Of sources and targets; empty: as the files say.
    paired, alone
        As of `LayerPairs`.
    more
        Paths of further stains of the targets.
    """

    source: str
    target: str
    known: str = ""
    axes: tuple[str, str] = ("", "")
    paired: bool = True
    alone: bool = False
    more: tuple[str, ...] = ()

    layers: tuple[Layer, ...] = ()

    @property
    def sides(self) -> tuple[str, ...]:
        """The paths of sources and, if there are some, targets."""
        return (self.source,) if self.alone else (self.source, self.target, *self.more)

    @property
    def name(self) -> str:
        """What a model of these may be called."""
        return stem(Path(self.source if self.alone else self.target))

    @property
    def targets(self) -> set[object]:
        """What is learned to predict."""
        return {str(self.source if self.alone else self.target)}

    @property
    def key(self) -> object:
        """Equal for pairs that are read alike."""
        return self

    def require(self) -> None:
        """Raise a ValueError unless both paths are given."""
        if self.alone and not self.source:
            raise ValueError("There must be images to learn from; choose a file or a folder.")
        if not all(self.sides):
            raise ValueError("There must be a source and a target image; choose a file or a folder for each.")

    def n_bytes(self) -> int:
        """How much there is to read, as files."""
        found = [path for side in self.sides for path in list_images(_path(side))]
        files = [file for path in found for file in (path.rglob("*") if path.is_dir() else [path])]
        return sum(file.stat().st_size for file in files if file.exists())  # a broken link has none

    def words(self, folder: Path, stopped: Callable[[], bool] = lambda: False) -> list[Any]:
        """SOURCE TARGET and flags; nothing is written."""
        words: list[Any] = [_path(side) for side in self.sides[:2]]
        words += [word for path in self.more for word in ("--target-more", _path(path))]
        for flag, said in zip(("--source-axes", "--target-axes"), self.axes[: len(self.sides)], strict=False):
            words += [flag, said] if said else []
        return words + (["--valid", _path(self.known)] if self.known else [])


def _path(text: str) -> Path:
    return Path(text).expanduser()


def distinct(names: list[str]) -> list[str]:
    """File names for layers of these names."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^\w .()+-]+", "-", name).strip(" .-") or "pair"
        free = (candidate for n in range(1, len(names) + 1) if (candidate := f"{plain}-{n}" if n > 1 else plain))
        found.append(next(candidate for candidate in free if candidate not in found))
    return found


def _placed(file: LayerFile, path: Path) -> LayerFile:
    """The file below the name of `path`: a link to a layer's own file, which is copied where there are no links."""
    if file.path == path:
        return file
    link = path.with_name(stem(path) + file.path.name[len(stem(file.path)) :])
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(file.path.resolve())
    except OSError:  # Windows allows links to few
        (shutil.copytree if file.path.is_dir() else shutil.copy2)(file.path, link)
    return LayerFile(link, file.axes)
