"""The exact command that runs, so that a report can say how to repeat it."""

import shlex

_words: list[str] = []
"""Of the command that runs."""


def remember(words: list[str]) -> None:
    """Let these be the words of the command that runs."""
    _words[:] = words


def command_line() -> str:
    """The exact command that runs, for a shell."""
    return shlex.join(["napari-pix2pix", *_words])
