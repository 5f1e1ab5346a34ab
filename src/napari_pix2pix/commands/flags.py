"""The flags that several commands take, and what they mean."""

import re
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token
from pydantic import create_model
from pydantic.fields import FieldInfo

from napari_pix2pix.core.settings.config import METHODS, PairSettings, Settings


def _of_all_methods() -> dict[str, Any]:
    """The settings of all methods, by name: type and description; where methods differ in a type, of either."""
    found: dict[str, FieldInfo] = {}
    for settings in METHODS.values():
        for name, setting in settings.model_fields.items():
            known = found.setdefault(name, copy(setting))
            known.annotation = known.annotation | setting.annotation  # type: ignore[assignment, operator]
    found["method"].annotation = Literal[tuple(METHODS)]  # type: ignore[assignment]
    return {name: (setting.annotation, setting) for name, setting in found.items()}


_Flags: Any = create_model("_Flags", __base__=Settings, **_of_all_methods())


class ConfigFlags(_Flags):
    """The settings given as flags; checked, and against each other, only once method and preset are known."""


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """The number that a flag was given; 1.5 is none, which the parser would round."""
    token = tokens[0]
    if not WHOLE.fullmatch(token.value):
        raise ValueError(f"it must be a whole number; got {token.value!r}. Give one in digits.")
    return int(token.value)


def model_meant(_: Any, tokens: Sequence[Token]) -> Path:
    """Where the model is that a word means."""
    from napari_pix2pix.files.starters import model_at

    return model_at(Path(tokens[0].value))


class OnlyPairs(PairSettings):
    """The same for commands that take pairs alone, whose help does not name what they refuse."""

    domains: Annotated[str | None, Parameter(show=False)] = None


WHOLE = re.compile(r"[+-]?[0-9]+")
Whole = Annotated[int, Parameter(converter=_whole)]
MOST_WORKERS = 512
"""Processes on a machine."""
OF_MODEL = Parameter(converter=model_meant)
Model = Annotated[
    Path, OF_MODEL, Parameter(help="A model.safetensors, a run folder, or the name of a model that ships: see models.")
]
Pairs = Annotated[PairSettings | None, Parameter(name="*", group="Pairs")]
PairsAlone = Annotated[OnlyPairs | None, Parameter(name="*", group="Pairs")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda:0, mps.")]
SourceMore = Annotated[tuple[str, ...], Parameter(help=PairSettings.model_fields["source_more"].description)]
Overwrite = Annotated[bool, Parameter(negative="", help="Replace an existing output.")]
Shard = Annotated[
    str | None, Parameter(help="3/40: every 40th of the files from the third on, for jobs that share a folder.")
]
Scheduler = Annotated[
    str | None, Parameter(help="Address of a dask scheduler, like tcp://node7:8786, whose workers do the files.")
]
LocalWorkers = Annotated[Whole | None, Parameter(help="Do the files in so many processes on this machine.")]
UNNEGATED = Parameter(name="*", negative_bool=())
"""Settings whose fields are flags; there is no --no-FLAG."""


NUMBERED = ("--source-channels", "--target-channels", "--annotated-frames")
"""Flags whose values may be numbers, which are no paths."""
PATHS = ("--score",)
"""Flags behind which all words are values."""


def spread(words: Sequence[str], *, names: bool = False) -> list[str]:
    """The words with a flag for each of several values that stand behind one.

    These are numbers, and what is no path but a channel of an image among the words; with `names`, any.
    """
    spread_out: list[str] = []
    flag, n_values = "", 0
    for word in words:
        if word.startswith("-"):
            several = word in NUMBERED or word in PATHS or (names and word.endswith(("-more", "--beside")))
            flag = word if several else ""
            n_values = -1
        elif flag and n_values and (word.isdecimal() or _is_another(flag, word, words, names)):
            spread_out.append(flag)
        elif n_values:
            flag = ""
        spread_out.append(word)
        n_values += 1
    return spread_out


def _is_another(flag: str, word: str, words: Sequence[str], names: bool) -> bool:
    """Whether the word is one more value of the flag, and no argument of the command."""
    if names or not flag.endswith("-channels"):
        return names or flag in PATHS
    return not Path(word).exists() and word in _channels_in(tuple(words))


@cache
def _channels_in(words: tuple[str, ...]) -> frozenset[str]:
    """The channels of all images among the words."""
    from napari_pix2pix.files.folders import list_images
    from napari_pix2pix.files.stacks import open_stack

    found: set[str] = set()
    for word in words:
        if not word.startswith("-"):
            with suppress(ValueError, OSError):  # no image, or told by whoever reads it
                for path in list_images(word):
                    found.update(open_stack(path).channel_names)
    return frozenset(found)


def load(path: Path, device: str) -> Any:
    """The model; the last one stays in memory for the next command of `serve`."""
    from napari_pix2pix.commands.jobs import load_once

    return load_once(path, device)


def chosen_workers(scheduler: str | None, local_workers: int | None) -> str | int | None:
    """Who does the files: a scheduler's address, a number of processes here, or this process."""
    if scheduler is not None and local_workers is not None:
        raise ValueError("Workers must be those of `scheduler` or `local_workers`; got both. Leave one out.")
    if local_workers is not None and not 1 <= local_workers <= MOST_WORKERS:
        raise ValueError(
            f"`local_workers` must be 1 to {MOST_WORKERS}; got {local_workers}. Choose no more than there are cores."
        )
    return local_workers if scheduler is None else scheduler
