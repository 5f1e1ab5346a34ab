"""JSON that somebody else may have written: as long and as deep as ours can be, and no more."""

import json
from typing import Any

LONGEST = 2**28
"""Characters: a row for each of 700,000 frames."""
DEEPEST = 100
"""Lists and objects in each other."""


def parse_json(text: str) -> Any:
    """What the JSON `text` holds.

    Raises
    ------
    ValueError
        If it is no JSON, or is longer or deeper than `LONGEST` and `DEEPEST`: what is wrong, in a phrase.
    """
    if len(text) > LONGEST:
        raise ValueError(f"it is {len(text):,} characters long, at most {LONGEST:,} are read")
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST}") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return value
    raise ValueError(f"it is nested deeper than {DEEPEST}")


def _inside(outer: dict[str, Any] | list[Any]) -> Any:
    return outer.values() if isinstance(outer, dict) else outer
