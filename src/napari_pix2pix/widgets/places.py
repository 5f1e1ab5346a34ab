"""Where the docks keep things: runs in the user's home, working copies in the cache, recent models in the settings."""

import json
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from qtpy.QtCore import QStandardPaths

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.widgets.defaults import defaults

NAME = "napari-pix2pix"
MOST_MODELS = 20
STALE_S = 7 * 24 * 3600


class RecentModel(NamedTuple):
    """A model to offer."""

    name: str
    path: Path


def runs_folder() -> Path:
    """Where runs go unless the user says otherwise."""
    return defaults().folder


def predictions_folder() -> Path:
    """Where predictions go that are files, unless the user says otherwise."""
    return runs_folder() / "predictions"


def evaluations_folder() -> Path:
    """Where evaluations go, unless the user says otherwise."""
    return runs_folder() / "evaluations"


def cache_folder() -> Path:
    """Where layers that are only predicted or scored are written."""
    return _folder(QStandardPaths.StandardLocation.GenericCacheLocation)


def new_working_folder() -> Path:
    """A new folder in the cache, for one command; what a crash left there long ago is removed."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.iterdir():
        with suppress(OSError):
            if old.stat().st_mtime < time.time() - STALE_S:
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="layers-", dir=cache))


def free_run(folder: Path, name: str) -> Path:
    """`folder`/`name`, or with -2, -3 … behind it where there is something already.

    Raises
    ------
    ValueError
        If `name` cannot name a folder.
    """
    kept = re.sub(r"[^\w .()+-]+", "-", name).strip(" .-")
    if not kept:
        raise ValueError(f"The name must hold a letter or a number; got {name!r}. It names the folder of the run.")
    number = re.search(r"-(\d+)$", kept)
    stem, count = (kept[: number.start()], int(number[1])) if number else (kept, 1)
    run = folder / kept
    while run.is_file() or (run.is_dir() and any(run.iterdir())):
        count += 1
        run = folder / f"{stem}-{count}"
    return run


def free_file(folder: Path, name: str) -> Path:
    """`folder`/`name`, or with -2, -3 … before its suffixes where there is something already."""
    kept = re.sub(r"[^\w .()+-]+", "-", name)
    stem, dot, suffixes = kept.partition(".")
    file, count = folder / kept, 1
    while file.exists():
        count += 1
        file = folder / f"{stem}-{count}{dot}{suffixes}"
    return file


def recent_models() -> list[RecentModel]:
    """Models that were trained or used and are still there, the last first."""
    try:
        rows = json.loads(settings_file("recent_models.json").read_text("utf8"))
        models = [RecentModel(str(name), Path(path)) for name, path in rows]
    except (OSError, ValueError, TypeError):
        return []
    return [model for model in models if model.path.is_file()]


def remember_model(path: Path) -> RecentModel:
    """Put the model first among the recent ones."""
    path = path.resolve()
    model = RecentModel(path.parent.name if path.name == "model.safetensors" else path.stem, path)
    models = [model, *(other for other in recent_models() if other.path != path)][:MOST_MODELS]
    with suppress(OSError), written_beside(settings_file("recent_models.json")) as beside:
        beside.write_text(json.dumps([(name, str(where)) for name, where in models], indent=1), "utf8")
    return model


def settings_file(name: str) -> Path:
    """Where something is remembered from session to session."""
    return _folder(QStandardPaths.StandardLocation.GenericConfigLocation) / name


def _folder(location: QStandardPaths.StandardLocation) -> Path:
    return Path(QStandardPaths.writableLocation(location)) / NAME
