"""Files that were elsewhere when their hashes were taken, found again."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path

from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.stacks import is_zarr, sha256

NEAR = 3
"""How many folders up from a run the files may lie that moved with it."""


@dataclass(frozen=True)
class Moved:
    """Where to look for files that are not where they were.

    Parameters
    ----------
    roots
        Files or folders; in a folder by the path that the file had, then by its name, then by hash alone.
    run
        The run that they may have moved with: they lie beside it as they did.
    only
        Whether files must lie in the roots, wherever they were.
    """

    roots: tuple[Path, ...] = ()
    run: Path | None = None
    only: bool = False

    def place_of(self, path: Path, digest: str) -> Path:
        """Where the file that was at `path` and has this hash is now.

        Raises
        ------
        FileNotFoundError
            If it is nowhere.
        ValueError
            If what is at `path` has changed.
        """
        if not self.only and path.exists() and sha256(path) == digest:
            return path
        around = [] if self.only or self.run is None else [*self.run.resolve().parents][:NEAR]
        for root in (*self.roots, *around):
            for place in (root, *(root.joinpath(*path.parts[i:]) for i in range(1, len(path.parts)))):
                if (place.is_file() or is_zarr(place)) and sha256(place) == digest:
                    return place
        for root in self.roots:
            named = sorted(root.rglob(escape(path.name))) if root.is_dir() else []
            if found := next((place for place in named if sha256(place) == digest), None):
                return found
        if digest in self._by_hash:
            return self._by_hash[digest]
        if path.exists() and not self.only:
            raise ValueError(f"The pairs of an earlier training must be unchanged; {path} has changed. Restore it.")
        looked = f" or below {' and '.join(map(str, self.roots))}" if self.roots else ""
        raise FileNotFoundError(
            f"The pairs of an earlier training must be there, unchanged; there is none at {path}{looked}. If they have "
            "moved, say where to: `data_root` FOLDER."
        )

    @cached_property
    def _by_hash(self) -> dict[str, Path]:
        """All images below the roots."""
        found: Sequence[Path] = [path for root in self.roots if root.is_dir() for path in _images(root)]
        return {sha256(path): path for path in found}


def _images(root: Path) -> list[Path]:
    try:
        return [path for path in list_images(root, tree=True) if path.exists()]
    except FileNotFoundError:
        return []
