"""Runs that were stopped before their end, to be continued."""

from pathlib import Path
from typing import Any, NamedTuple

from napari_pix2pix.core.engine.tensor_headers import read_header
from napari_pix2pix.core.models.migrations import kept_config
from napari_pix2pix.core.settings.config import Config, read_json_object, validated


class UnfinishedRun(NamedTuple):
    """A run that can go on.

    Parameters
    ----------
    path
        Its folder.
    step, steps
        Done, and to do in all.
    """

    path: Path
    step: int
    steps: int

    @property
    def text(self) -> str:
        """In a line."""
        return f"{self.path.name}: step {self.step:,} of {self.steps:,}"

    def config(self) -> Config:
        """Its settings."""
        return _config_of(read_json_object(self.path / "config.json"))


def unfinished_run(path: Path) -> UnfinishedRun | None:
    """The run in this folder, unless it has come to its end, or its pairs are not in files.

    A training that has made all its steps but was stopped while it learned to judge has not come to its end.
    """
    try:
        state = _said(path / "checkpoint.safetensors")
        step, told = int(state["step"]), state["model"]
        steps = int(state.get("last", told["config"]["steps"]))
        from_files = bool(told["provenance"]["pairs"].get("train"))
        model = _said(path / "model.safetensors") if step >= steps else {}
        taught = "trust" in model or "trust" in model.get("provenance", {})
        done = step >= steps and (taught or not _config_of(told).teaching_steps)
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return UnfinishedRun(path, step, steps) if from_files and not done else None


def run_to_judge(model: Path) -> Path | None:
    """The folder of the run that made this model, if that can still teach it to judge its predictions."""
    run = model.parent
    try:
        state, told = _said(run / "checkpoint.safetensors"), _said(model)
        taught = "trust" in told or "trust" in told["provenance"]
        can = int(state["step"]) > 0 and bool(_config_of(told).teaching_steps)
        same = told["provenance"]["pairs"] == state["model"]["provenance"]["pairs"]
        from_files = bool(told["provenance"]["pairs"].get("train"))
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return run if model.name == "model.safetensors" and can and same and from_files and not taught else None


def unfinished_runs(folder: Path) -> list[UnfinishedRun]:
    """Those in this folder, the last first."""
    if not folder.is_dir():
        return []
    checkpoints = [path for path in folder.glob("*/checkpoint.safetensors") if path.is_file()]
    checkpoints.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [run for path in checkpoints if (run := unfinished_run(path.parent)) is not None]


def model_config(path: Path) -> Config:
    """The settings of the model in this file.

    Raises
    ------
    ValueError
        If it is no model of ours.
    """
    try:
        return _config_of(_said(path))
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"A model must be a file written by Train; {path} is not.") from error


def _said(path: Path) -> dict[str, Any]:
    return read_header(path).content


def _config_of(content: dict[str, Any]) -> Config:
    return validated(Config, kept_config(content["config"]))
