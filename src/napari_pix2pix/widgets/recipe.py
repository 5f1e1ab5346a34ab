"""A training as text to take along: a command, a script."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from napari_pix2pix.core.settings.config import METHODS, Config, Settings, make_config
from napari_pix2pix.widgets.flags import changed_flags

READ = {
    "pairs": ("pairing", "open_stacks"),
    "unpaired": ("unpaired", "UnpairedStacks.open"),
    "domains": ("domains", "DomainStacks.open"),
    "images": ("images", "ImageStacks.open"),
}
"""By what a method learns from: the module and the name of what reads it."""
FOR_CMD = set("&|<>^%()")
"""What cmd.exe reads as its own where it is not quoted."""


class Recipe(NamedTuple):
    """A training, but for its pairs.

    Parameters
    ----------
    run
        Its folder.
    preset, config
        Its settings.
    device
        What computes.
    minutes
        The time it is given instead of the steps in `config`.
    """

    run: Path
    preset: str
    config: Config
    device: str
    minutes: float | None = None

    @property
    def settings(self) -> Config:
        """The settings that are asked for."""
        if self.minutes is None:
            return self.config
        return self.config.model_copy(update={"steps": self._start.steps})

    @property
    def _start(self) -> Config:
        """What the preset says."""
        return make_config(self.preset, changes={"method": self.config.method})

    @property
    def flags(self) -> list[str]:
        """The settings."""
        method = [] if self._is_usual else [f"--method={self.config.method}"]
        return ["--preset", self.preset, *method, *changed_flags(self._start, self.settings)]

    @property
    def _is_usual(self) -> bool:
        """Whether the method need not be said."""
        return self.config.method == next(iter(METHODS))

    def command(self, pairs: Sequence[Any]) -> list[Any]:
        """The words of the command line; `pairs`: SOURCE TARGET and flags that say how they are read."""
        time = [] if self.minutes is None else [f"--minutes={self.minutes:g}"]
        return ["train", *pairs, "--out", self.run, *self.flags, *time, "--device", self.device]

    def script(self, pairs: Sequence[Any]) -> str:
        """The same in Python."""
        words = list(map(str, pairs))
        places = list(takewhile(lambda word: not word.startswith("--"), words))
        said, source, target = words[len(places) :], places[0], places[1] if len(places) > 1 else None
        settings = ", ".join(
            f"{flag.removeprefix('--').replace('-', '_')}={True if value.startswith('--') else value!r}"
            for flag, value in pairwise([*said, "--"])
            if flag.startswith("--")
        )
        changes = ({} if self._is_usual else {"method": self.config.method}) | changed(self._start, self.settings)
        place, opens = READ[self.config.data]
        time = "" if self.minutes is None else f", minutes={self.minutes:g}"
        return f"""\
from napari_pix2pix import core
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.{place} import {opens.partition(".")[0]}
from napari_pix2pix.files.training_stacks import TrainingStacks

stacks = TrainingStacks({opens}({source!r}, {target!r}, PairSettings({settings})))
config = core.make_config({self.preset!r}, changes={changes!r})
told = {{**stacks.provenance(), "initial": None}}
run = {str(self.run)!r}
for report in core.train(stacks.train.frames(), config, out=run{time}, device={self.device!r}, provenance=told):
    print(report.step, report.losses, report.metrics)
"""


def changed(preset: Settings, config: Settings) -> dict[str, Any]:
    """The settings in which `config` differs from `preset`, nested."""
    found: dict[str, Any] = {}
    for name, value in config:
        old = getattr(preset, name)
        if value != old:
            found[name] = changed(old, value) if isinstance(value, Settings) else value
    return found


def shell_line(words: Sequence[Any]) -> str:
    """The command for a shell of this system."""
    said = ["napari-pix2pix", *map(str, words)]
    return " ".join(map(_for_windows, said)) if os.name == "nt" else shlex.join(said)


def _for_windows(word: str) -> str:
    """Quoted for the program as `list2cmdline` does, and for cmd.exe, to which ``&`` would begin another command."""
    quoted = subprocess.list2cmdline([word])
    if quoted.startswith('"') or not FOR_CMD & set(word):
        return quoted
    last = quoted[len(quoted.rstrip("\\")) :]  # backslashes, doubled, or they would keep the quote from closing
    return f'"{quoted}{last}"'
