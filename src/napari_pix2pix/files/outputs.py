"""Where results go: to one file, or to a folder that mirrors that of the sources."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from napari_pix2pix.files.stacks import PICTURES, TIFF, ZARR, stem

TABLES = {"table": ".csv", "objects": ".csv", "outlines": ".geojson"}
"""Endings of what is no image."""


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
    """

    name: str
    inputs: tuple[Path, ...]
    results: tuple[Path, ...]


def is_one_file(out: Path) -> bool:
    """Whether results go to this one file; else `out` is a folder."""
    return out.name.lower().endswith((*TIFF, *ZARR))


def beside(what: str) -> Callable[[Path], Path]:
    """Names the file beside a result that holds this of it: ``a.tif`` has ``a.expected_error.tif``, ``a.table.csv``.

    Images are of the result's own format.
    """

    def named(out: Path) -> Path:
        image = ".zarr" if out.name.lower().endswith(ZARR) else ".tif"
        return out.with_name(f"{stem(out)}.{what}{TABLES.get(what, image)}")

    return named


def plan_outputs(
    inputs: Iterable[tuple[PurePath, Sequence[Path]]], out: Path, beside: Sequence[Callable[[Path], Path]] = ()
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

    Raises
    ------
    ValueError
        If results would go to a picture, or replace an input or each other.
    """
    planned = sorted((place.as_posix(), tuple(files)) for place, files in inputs)
    if out.name.lower().endswith(PICTURES):
        raise ValueError(f"Results are written as TIFF or OME-Zarr; got {out}. End it in .tif or .zarr.")
    if is_one_file(out) and len(planned) > 1:
        raise ValueError(f"Several images must go to a folder; got the file {out} for {len(planned)}.")
    given = {path.resolve() for _, files in planned for path in files}
    jobs, seen = [], dict[Path, Path]()
    for name, files in planned:
        result = out if is_one_file(out) else (out / name).with_name(f"{stem(files[0])}.tif")
        job = Job(name, files, (result, *(named(result) for named in beside)))
        for path in job.results:
            if path.resolve() in given:
                raise ValueError(f"An output must not replace an input; {path} would. Choose another --out.")
            if (other := seen.setdefault(path, files[0])) != files[0]:
                raise ValueError(
                    f"File names without extension must differ; {other} and {files[0]} would both be {path}."
                )
        jobs.append(job)
    return jobs


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


def require_writable(folder: Path) -> None:
    """Raise a PermissionError if nothing can be written in `folder`, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"The output's folder must be writable; {folder} cannot be made ({error.strerror})."
        ) from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"The output's folder must be writable; {folder} is not. Choose another --out.")
