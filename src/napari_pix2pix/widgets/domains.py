"""Images of several domains, as words of the command line: layers, or a folder with a subfolder for each. No Qt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Layer

from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.stacks import is_image, stem
from napari_pix2pix.widgets.layers import layer_axes, pixels
from napari_pix2pix.widgets.pairs import axes_flags, distinct, written

NO_FOLDER_NAME = set('/\\:*?"<>|')
"""What some system does not allow in the name of a folder, as which a domain is written."""


class LayerDomains(NamedTuple):
    """Layers of several domains.

    Parameters
    ----------
    images
        Each with the name of its domain.
    """

    images: tuple[tuple[Layer, str], ...]

    @property
    def names(self) -> list[str]:
        """Of the domains, in their order."""
        return list(dict.fromkeys(domain for _, domain in self.images))

    @property
    def name(self) -> str:
        """What a model of these may be called."""
        return "domains"

    @property
    def targets(self) -> set[object]:
        """What is learned to make."""
        return set(self.names)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers among them."""
        return tuple(layer for layer, _ in self.images)

    @property
    def key(self) -> object:
        """Equal for images that are read alike."""
        return self, tuple(layer_axes(layer) for layer in self.layers)

    @property
    def first(self) -> tuple[Layer, ...]:
        """A layer of each of the first two domains."""
        return tuple(next(layer for layer, domain in self.images if domain == name) for name in self.names[:2])

    def require(self) -> None:
        """Raise a ValueError unless there are two domains with names that folders can have."""
        if len(self.names) < 2:
            said = f"{self.names[0]!r} alone" if self.names else "none"
            raise ValueError(
                f"There must be images of two domains or more; got {said}. Open more, or write another name beside one."
            )
        for name in self.names:
            if not name.strip(" .") or name != name.strip(" .") or NO_FOLDER_NAME & set(name):
                raise ValueError(
                    f"A domain must be called as a folder can be, without {' '.join(sorted(NO_FOLDER_NAME))}, dots or "
                    f"spaces at its ends; got {name!r}. Write another name."
                )

    def n_bytes(self) -> int:
        """How much there is to read."""
        stacks = [pixels(layer) for layer in self.layers]
        return sum(int(np.prod(stack.shape)) * np.dtype(stack.dtype).itemsize for stack in stacks)

    def words(self, folder: Path, stopped: Callable[[], bool] = lambda: False) -> list[Any]:
        """FOLDER and flags; each domain becomes a subfolder of it, below `folder`.

        Raises
        ------
        ValueError
            If layers cannot be written, or axes differ.
        Stopped
            If `stopped` becomes true.
        """
        files = []
        for name in self.names:
            layers = [layer for layer, domain in self.images if domain == name]
            files += written(layers, distinct([layer.name for layer in layers]), folder / "images" / name, stopped)
        return [folder / "images", *axes_flags("source", files)]


class FileDomains(NamedTuple):
    """A folder with a subfolder of images for each domain.

    Parameters
    ----------
    folder
        Its path.
    axes
        Of the images; empty: as the files say.
    """

    folder: str
    axes: str = ""

    layers: tuple[Layer, ...] = ()

    @property
    def path(self) -> Path:
        """Of the folder."""
        return Path(self.folder).expanduser()

    @property
    def name(self) -> str:
        """What a model of these may be called."""
        return stem(self.path)

    @property
    def targets(self) -> set[object]:
        """What is learned to make."""
        return {self.folder}

    @property
    def key(self) -> object:
        """Equal for images that are read alike."""
        return self

    @property
    def first(self) -> tuple[Path, ...]:
        """An image of each of the first two domains."""
        folders = sorted(path for path in self.path.iterdir() if path.is_dir() and not is_image(path))
        return tuple(list_images(folder, tree=True)[0] for folder in folders[:2])

    def require(self) -> None:
        """Raise a ValueError unless there is a path."""
        if not self.folder:
            raise ValueError("There must be a folder with a subfolder of images for each domain; choose one.")

    def n_bytes(self) -> int:
        """How much there is to read, as files."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def words(self, folder: Path, stopped: Callable[[], bool] = lambda: False) -> list[Any]:
        """FOLDER and flags; nothing is written."""
        return [self.path, *(["--source-axes", self.axes] if self.axes else [])]
