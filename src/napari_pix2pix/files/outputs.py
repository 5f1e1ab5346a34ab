"""Where results go: to one file, or to a folder that mirrors that of the sources."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from napari_pix2pix.files.readers.lazy import PERHAPS_SLIDES
from napari_pix2pix.files.stacks import PICTURES, SLIDES, TIFF, ZARR, is_zarr, stem

TABLES = {
    **{"table": ".csv", "objects": ".csv", "outlines": ".geojson"},
    **{"tissue": ".geojson", "worst": ".geojson", "annotations": ".csv"},
}
"""Endings of what is no image."""
LONGEST = 255
"""Bytes of a file's name that all common file systems take."""
OF_FILES = (
    *(".csv", ".tsv", ".txt", ".json", ".geojson", ".html", ".pdf", ".zip", ".gz", ".npy", ".npz", ".h5"),
    *(".safetensors", ".onnx", ".pth"),
)
"""Endings by which files are known that no result is written as: who gives one does not mean a folder. Those of images
may be a folder's: scripts judge each image into one of its name."""
OURS = b"napari_pix2pix"
"""Stands in the description of every OME-Zarr that is a result."""


@dataclass(frozen=True)
class Job:
    """One result to make.

    Parameters
    ----------
    name
        Of the input: where it lies below the folder that was given, like ``plate/a.png``.
    inputs
        The files it is made of, first the one that names it.
    results
        The files to write, first the result itself.
    hashes
        Of the inputs, where they are known.
    condition
        What its image is of, by the name that the model knows; None: not known.
    """

    name: str
    inputs: tuple[Path, ...]
    results: tuple[Path, ...]
    hashes: tuple[str, ...] = ()
    condition: str | None = None

    def made_with(self, common: dict[str, Any]) -> dict[str, Any]:
        """What tells one way of making it from another; `common` is what all of a command have."""
        return common | ({} if self.condition is None else {"condition": self.condition})


def folder_names(labels: Iterable[str]) -> dict[str, str]:
    """For each label the name of a folder: what no file system takes, or leads elsewhere, becomes an underscore.

    Labels that would be called alike have a number behind.
    """
    found: dict[str, str] = {}
    for label in labels:
        name = plain = re.sub(r"[^\w &+,=.-]|^[. ]|[. ]$", "_", label)
        number = 1
        while name.lower() in {other.lower() for other in found.values()}:
            number += 1
            name = f"{plain}_{number}"
        found[label] = name
    return found


def is_one_file(out: Path) -> bool:
    """Whether results go to this one file; else `out` is a folder."""
    return out.name.lower().endswith((*TIFF, *ZARR))


def require_folder(out: Path, or_file: str = "") -> None:
    """Raise a ValueError if results are to go to a new folder that is named like a file.

    A folder that is there keeps its name. `or_file` says what `out` may be besides: then no slide's name, either.
    """
    name, endings = out.name.lower(), (*OF_FILES, *SLIDES, *PERHAPS_SLIDES) if or_file else OF_FILES
    if name.endswith(endings) and not out.is_dir():
        ending = next(own for own in endings if name.endswith(own))
        raise ValueError(
            f"Results must go to a folder{or_file}; got {out}, the name of a file. Choose another `out`, without "
            f"{ending}."
        )


def beside(what: str) -> Callable[[Path], Path]:
    """Names the file beside a result that holds this of it: ``a.tif`` has ``a.expected_error.tif``, ``a.table.csv``.

    Images are of the result's own format.
    """

    def named(out: Path) -> Path:
        image = ".zarr" if out.name.lower().endswith(ZARR) else ".tif"
        return out.with_name(f"{stem(out)}.{what}{TABLES.get(what, image)}")

    return named


def plan_outputs(
    inputs: Iterable[tuple[PurePath, Sequence[Path]]],
    out: Path,
    beside: Sequence[Callable[[Path], Path]] = (),
    read: Sequence[Path] = (),
) -> list[Job]:
    """A job for each input, by name; no result replaces an input or another result.

    Parameters
    ----------
    inputs
        Where each lies below the folder that was given, and the files it is made of.
    out
        A TIFF or OME-Zarr for one input, else a folder, in which results lie as their inputs do.
    beside
        Each names a file that is written together with a result.
    read
        What is read, too, like the model.

    Raises
    ------
    ValueError
        If results would go to a picture, replace an input or each other, or have names that are too long.
    """
    planned = sorted((place.as_posix(), tuple(files)) for place, files in inputs)
    if out.name.lower().endswith(PICTURES):
        raise ValueError(f"Results are written as TIFF or OME-Zarr; got {out}. End it in .tif or .zarr.")
    require_folder(out, ", or of one image a .tif or .zarr")
    if is_one_file(out) and len(planned) > 1:
        raise ValueError(
            f"Several images must go to a folder; got the file {out} for {len(planned)}. "
            f"Give `out` without {out.suffix}."
        )
    jobs, seen = [], dict[Path, Path]()
    for name, files in planned:
        result = out if is_one_file(out) else (out / name).with_name(f"{stem(files[0])}.tif")
        job = Job(name, files, (result, *(named(result) for named in beside)))
        for path in job.results:
            if (length := len(os.fsencode(path.name))) > LONGEST:
                raise ValueError(
                    f"A file's name must have at most {LONGEST} bytes; that of a result of {files[0]} would have "
                    f"{length}. Rename the input, or choose another `out`."
                )
            if (other := seen.setdefault(path, files[0])) != files[0]:
                raise ValueError(
                    f"File names without extension must differ; {other} and {files[0]} would both be {path}."
                )
        jobs.append(job)
    require_apart([*read, *(path for _, files in planned for path in files)], seen)
    return jobs


def require_apart(inputs: Iterable[Path | str | None], outputs: Iterable[Path], but: Sequence[Path] = ()) -> None:
    """Raise a ValueError if an output would replace or hold an input, or lie within one, by whatever name.

    Parameters
    ----------
    inputs
        Files, folders and patterns that are read; None is none.
    outputs
        Files that are written, and folders that are replaced as a whole or belong to the result.
    but
        Folders in which inputs may lie all the same.
    """
    resolved = cache(Path.resolve)

    def places(path: Path) -> set[Path]:
        """Where it is, and where it leads if it is a link."""
        here = resolved(path.parent) / path.name if path.name not in ("", "..") else path.resolve()
        return {here, Path(os.path.realpath(here))} if here.is_symlink() else {here}  # links may lead in a circle

    def identity(path: Path) -> tuple[int, int] | None:
        """The same for hard links."""
        return ((found := path.stat()).st_dev, found.st_ino) if path.is_file() else None

    outputs = list(outputs)
    written = {place: path for path in outputs for place in places(path)}
    files = {found: path for path in outputs if (found := identity(path))}
    allowed = {place for path in but for place in places(path)}
    for path in (Path(given) for given in inputs if given is not None):
        here = places(path)
        if any(allowed & {place, *place.parents} for place in here):
            continue
        same = identity(path)
        out = next((written[place] for place in here if place in written), files.get(same) if same else None)
        if out is not None:
            raise ValueError(f"An output must not replace an input; {out} would. Choose another `out`.")
        out = next((written[folder] for place in here for folder in place.parents if folder in written), None)
        if out is not None:
            raise ValueError(f"An output must not hold an input; {out} holds {path}. Choose another `out`.")
        out = next((written[place] for place in written if here & {*place.parents}), None) if is_zarr(path) else None
        if out is not None:
            raise ValueError(f"An output must not lie within an input; {out} lies within {path}. Choose another `out`.")


def require_replaceable(path: Path) -> None:
    """Raise a FileExistsError if `path` is a folder that is not, and no more than, an OME-Zarr result of this program.

    A file may be replaced by who names it; of a folder nobody knows what is in it.
    """
    if not path.is_dir():
        return
    content = path / "zarr.json"
    strange = sorted(inside.name for inside in path.iterdir() if inside != content and not inside.name.isdecimal())
    if not content.is_file() or OURS not in content.read_bytes():
        raise FileExistsError(
            f"Only what this program wrote may be overwritten; {path} is a folder of something else. Choose another "
            "`out`, or move it away."
        )
    if strange:
        raise FileExistsError(
            f"Only what this program wrote may be overwritten; {path / strange[0]} is something else. Choose another "
            "`out`, or move it away."
        )


@contextmanager
def all_or_none(paths: Sequence[Path], kept_if_stopped: bool = False) -> Iterator[None]:
    """If the block fails, those of these files that it has made are removed: the same request can be made again.

    With `kept_if_stopped` not if it is only stopped.
    """
    new = [path for path in paths if not path.exists()]
    try:
        yield
    except BaseException as error:
        for path in [] if kept_if_stopped and isinstance(error, GeneratorExit | KeyboardInterrupt) else new:
            remove(path)
        raise


def remove(path: Path) -> None:
    """Remove this file, or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def shard_of(jobs: list[Job], shard: str | None) -> list[Job]:
    """For ``"3/40"`` every 40th job from the third on; for None all.

    Raises
    ------
    ValueError
        If it is no such share.
    """
    if shard is None:
        return jobs
    number, slash, count = shard.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"A shard must be its number and how many there are, from 1/40 to 40/40; got {shard!r}.")
    return jobs[int(number) - 1 :: int(count)]


def require_writable(folder: Path, made: bool = True) -> None:
    """Raise a PermissionError if nothing can be written in `folder`, which is made if need be and `made`."""
    try:
        if made:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"The output's folder must be writable; {folder} cannot be made ({error.strerror})."
        ) from error
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise PermissionError(f"The output's folder must be writable; {folder} is not. Choose another `out`.")
