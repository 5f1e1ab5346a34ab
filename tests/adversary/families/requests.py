"""What a mistaken or hostile dock sends to `serve`: it answers each, and lives."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

from adversary.cast import lay
from adversary.families.configs import any_json
from adversary.law import Attempt

LAST = b'{"id": "after", "command": ["--version"]}\n'
LINES = {
    "list id": b'{"id": [1], "command": ["info"]}',
    "object id": b'{"id": {"a": 1}, "command": ["--version"]}',
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "serve": b'{"id": 1, "command": ["serve"]}',
    "serve in words": b'{"id": 1, "command": ["--json", "serve"]}',
    "no id": b'{"command": ["--version"]}',
    "empty command": b'{"id": 1, "command": []}',
    "null": b"null",
    "number": b"3",
    "nan": b'{"id": NaN, "command": ["--version"]}',
    "not utf-8": b'{"id": "\xff\xfe", "command": ["info"]}',
    "empty": b"",
    "words": b'{"id": 1, "command": [1, null, {"a": 2}]}',
    "stop list": b'{"stop": [1]}',
    "stop object": b'{"stop": {}}',
    "both": b'{"id": 1, "command": ["--version"], "stop": 1}',
    "long": b'{"id": 1, "command": ["' + b"a" * 1_000_000 + b'"]}',
    "surrogate": b'{"id": "\\ud800", "command": ["info", "\\ud800"]}',
    "nul": b'{"id": 1, "command": ["info", "a\\u0000b"]}',
    "huge id": b'{"id": ' + b"9" * 5000 + b', "command": ["--version"]}',
    "text command": b'{"id": 1, "command": "info"}',
    "no such": b'{"id": 1, "command": ["rm", "-rf", "/"]}',
    "help": b'{"id": 1, "command": ["--help"]}',
    "escape": b"\x1b[31m\x00\x07",
    "infinity id": b'{"id": Infinity, "command": ["info"]}',
}


def _attempt(name: str, lines: list[bytes]) -> Attempt:
    """Whatever comes before, the last request is answered; `says` is looked for by the law's own part below."""

    def make(folder: Path) -> list[str]:
        lay(folder, "s0.tif")
        return ["serve"]

    return Attempt(name, make, frozenset({0}), given=b"".join(line + b"\n" for line in lines) + LAST)


def attempts() -> Iterator[Attempt]:
    """Each of the lines; then any JSON."""
    for name, line in LINES.items():
        yield _attempt(name, [line])
    for number in itertools.count():
        chance = random.Random(f"requests {number}")
        lines = []
        for _ in range(chance.randrange(1, 6)):
            said = any_json(chance)
            if chance.random() < 0.6:
                keys = chance.sample(("id", "command", "stop", "pause", "continue"), chance.choice((1, 2, 3)))
                said = {key: any_json(chance) for key in keys if key != "pause"}
            lines.append(json.dumps(said).encode())
        yield _attempt(f"any-{number}", lines)
