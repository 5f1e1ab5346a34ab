"""Many inputs, each with its output: where results go, and that one bad input does not stop the others."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from napari_pix2pix.events import REQUEST_ERRORS, Event, Events
from napari_pix2pix.files.stacks import PICTURES, TIFF, ZARR, stem


def plan_outputs(inputs: list[Path], out: Path, overwrite: bool) -> list[tuple[Path, Path]]:
    """Each input with the file to write; checked before any work."""
    if out.name.lower().endswith(PICTURES):
        raise ValueError(f"Results are written as TIFF or OME-Zarr; got {out}. End it in .tif or .zarr.")
    if out.name.lower().endswith((*TIFF, *ZARR)):
        if len(inputs) > 1:
            raise ValueError(f"Several images must go to a folder; got the file {out} for {len(inputs)}.")
        jobs = [(inputs[0], out)]
    else:
        jobs = [(path, out / f"{stem(path)}.tif") for path in inputs]
    seen: dict[Path, Path] = {}
    for path, result in jobs:
        if result.resolve() in {given.resolve() for given in inputs}:
            raise ValueError(f"An output must not replace an input; {result} would. Choose another --out.")
        if result in seen:
            raise ValueError(
                f"File names without extension must differ; {seen[result]} and {path} would both be {result}."
            )
        if result.exists() and not overwrite:
            raise FileExistsError(f"An output must not exist yet; {result} does. Choose another --out or --overwrite.")
        seen[result] = path
    _writable(jobs[0][1].parent)
    return jobs


def _writable(folder: Path) -> None:
    """Raise a sentence if nothing can be written in `folder`, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"The output's folder must be writable; {folder} cannot be made ({error.strerror})."
        ) from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"The output's folder must be writable; {folder} is not. Choose another --out.")


def do_each(jobs: list[tuple[Path, Path]], work: Callable[[Path, Path], Iterable[Event]], what: str) -> Events:
    """Do every job; a bad file among several is named and the others are done."""
    failures = []
    for done, (path, result) in enumerate(jobs):
        try:
            for event in work(path, result):
                yield {**event, "done": done + event["done"], "total": len(jobs)} if "done" in event else event
        except (*REQUEST_ERRORS, OSError, RuntimeError, MemoryError) as error:
            if len(jobs) == 1:
                raise
            failures.append(str(path))
            yield {"event": "failure", "file": str(path), "text": f"{path}: {error}"}
        yield {"event": "progress", "unit": "files", "done": done + 1, "total": len(jobs)}
    written = [str(result) for path, result in jobs if str(path) not in failures]
    where = written[0] if len(written) == 1 else f"{len(written)} files in {jobs[0][1].parent}"
    text = f"{what.capitalize()}: {where}" + (f"; {len(failures)} failed" if failures else "")
    yield {"event": "result", "written": written, "failed": failures, "text": text}
