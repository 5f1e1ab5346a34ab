"""Which files a path means, and which of them belong together."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pix2pix.files.stacks import SUFFIXES, Stack, open_stack, sha256, stem


def list_images(path: Path | str) -> list[Path]:
    """The image files that `path` means: itself, those in the folder, or those that the glob pattern matches.

    Raises
    ------
    FileNotFoundError
        If there is no such file or no image in the folder.
    """
    path = Path(path)
    if path.is_dir():
        found = [p for p in path.iterdir() if p.name.lower().endswith(SUFFIXES) and not p.name.startswith(".")]
    elif any(sign in path.name for sign in "*?[") and not path.exists():
        found = [p for p in path.parent.glob(path.name) if p.is_file()]
    else:
        found = [path] if path.is_file() else []
    if not found:
        raise FileNotFoundError(
            f"There must be images at {path} (TIFF, PNG or JPEG; a file, a folder or a pattern); found none. "
            "Check the path."
        )
    return sorted(found)


if TYPE_CHECKING:
    from napari_pix2pix.core.pairs import PairedFrames


@dataclass(frozen=True)
class PairedFiles:
    """Sources and targets as stacks, in the same order."""

    names: tuple[str, ...]
    sources: tuple[Stack, ...]
    targets: tuple[Stack, ...]

    def frames(self) -> "PairedFrames":
        """The same pairs for the core."""
        from napari_pix2pix.core.pairs import PairedFrames  # imports torch

        (sources, source_axes), (targets, target_axes) = (
            ([stack.array for stack in side], [stack.axes for stack in side]) for side in (self.sources, self.targets)
        )
        return PairedFrames(sources, targets, (source_axes, target_axes), names=self.names)

    def provenance(self) -> dict[str, Any]:
        """Paths, axes and hashes, for the run folder and the model."""
        return {
            side: [{"path": str(s.path.resolve()), "axes": s.axes, "sha256": sha256(s.path)} for s in stacks]
            for side, stacks in (("sources", self.sources), ("targets", self.targets))
        } | {
            "names": list(self.names),
            "target_channels": list(self.targets[0].channel_names),
            "pixel_size_um": self.sources[0].pixel_size_um,
        }


def open_pairs(
    source: Path | str, target: Path | str, source_axes: str | None = None, target_axes: str | None = None
) -> PairedFiles:
    """The pairs of `pair_paths` as stacks.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If they do not pair up, or a file cannot be read.
    """
    sources, targets = zip(*pair_paths(source, target), strict=True)
    return PairedFiles(
        tuple(stem(path) for path in sources),
        tuple(open_stack(path, source_axes) for path in sources),
        tuple(open_stack(path, target_axes) for path in targets),
    )


def pair_paths(source: Path | str, target: Path | str) -> list[tuple[Path, Path]]:
    """The pairs in two files, or in two folders by file name without extension; no file is opened.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If a source has no target or a target no source.
    """
    sources, targets = list_images(source), list_images(target)
    if len(sources) > 1 or len(targets) > 1:
        by_name = [_by_stem(files) for files in (sources, targets)]
        alone = sorted(by_name[0].keys() ^ by_name[1].keys())
        if not by_name[0].keys() & by_name[1].keys():
            raise ValueError(
                f"Sources and targets must have the same file names without extension; no name is in both {source} "
                f"and {target}. Rename the files."
            )
        if alone:
            side = "target" if alone[0] in by_name[0] else "source"
            more = f" (and {len(alone) - 1} more without a partner)" if len(alone) > 1 else ""
            raise ValueError(f"Each source must have a target of the same name; {alone[0]} has no {side}{more}.")
        names = sorted(by_name[0])
        sources, targets = ([files[name] for name in names] for files in by_name)
    return list(zip(sources, targets, strict=True))


def reopen_pairs(provenance: dict[str, Any]) -> PairedFiles:
    """The pairs that `PairedFiles.provenance` describes.

    Raises
    ------
    FileNotFoundError
        If one is no longer there.
    ValueError
        If one is no longer what it was.
    """
    sides = []
    for side in ("sources", "targets"):
        stacks = [open_stack(given["path"], given["axes"]) for given in provenance[side]]
        for stack, given in zip(stacks, provenance[side], strict=True):
            if sha256(stack.path) != given["sha256"]:
                raise ValueError(f"A resumed run must find its pairs unchanged; {stack.path} has changed. Restore it.")
        sides.append(tuple(stacks))
    return PairedFiles(tuple(provenance["names"]), *sides)


def _by_stem(files: list[Path]) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for path in files:
        other = by_name.setdefault(stem(path), path)
        if other != path:
            raise ValueError(f"File names without extension must differ; {other.name} and {path.name} do not.")
    return by_name
