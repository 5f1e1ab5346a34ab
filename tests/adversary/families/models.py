"""Model files of a stranger: metadata of wrong types, shapes that do not fit, bombs, NaN, flipped bits, depth."""

import itertools
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adversary.cast import lay, model_bytes
from adversary.families.configs import any_json
from adversary.families.damaged import cut, flipped
from adversary.law import Attempt

KEY = "napari_pix2pix"
WRONG = frozenset({2})
EITHER = frozenset({0, 2})
LINES = {
    "info": ["info", "m.safetensors"],
    "predict": ["predict", "m.safetensors", "s0.tif", "--out", "o.tif"],
    "trust": ["predict", "m.safetensors", "s0.tif", "--out", "o.tif", "--trust"],
    "score": ["score", "m.safetensors", "s0.tif", "t0.tif", "--out", "o.tif"],
    "evaluate": ["evaluate", "m.safetensors", "s1.tif", "t1.tif", "--out", "E", "--allow-seen"],
    "from": [
        "train",
        "s0.tif",
        "t0.tif",
        "--out",
        "r",
        "--from",
        "m.safetensors",
        "--steps",
        "1",
        "--trust-steps",
        "0",
    ],
    "fit-trust": ["fit-trust", "m.safetensors", "s0.tif", "t0.tif", "--out", "n.safetensors", "--steps", "1"],
}
VALUES: tuple[Any, ...] = (
    None,
    -1,
    10**40,
    1e308,
    "",
    "x",
    [],
    {},
    [None],
    True,
    float("nan"),
    "\x1b[2J",
    [[[]]],
    2**63,
)


def parts(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """A file's header, what our key says, and its tensors."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    return header, json.loads(header["__metadata__"][KEY]), content[8 + size :]


def joined(header: dict[str, Any], said: Any, tensors: bytes) -> bytes:
    """The file that `parts` took apart, with other contents; `said` may be a text."""
    text = said if isinstance(said, str) else json.dumps(said)
    head = json.dumps(header | {"__metadata__": {KEY: text}}).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + tensors


def paths(said: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in a JSON value."""
    inner = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from paths(value, (*path, key))


def changed(said: Any, path: tuple[Any, ...], value: Any, remove: bool = False) -> Any:
    """`said` with another value there, or none."""
    said = json.loads(json.dumps(said))
    place = said
    for key in path[:-1]:
        place = place[key]
    if remove:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return said


def _attempt(name: str, content: Any, command: str, codes: frozenset[int]) -> Attempt:
    def make(folder: Path) -> list[str]:
        lay(folder, "s0.tif", "t0.tif", "s1.tif", "t1.tif")
        (folder / "m.safetensors").write_bytes(content())
        return LINES[command]

    writes = {"from": ("r",), "fit-trust": ("n.safetensors",), "evaluate": ("E",), "info": ()}
    return Attempt(f"{command}-{name}", make, codes, writes=writes.get(command, ("o.tif", "o")))


def _said(keys: tuple[Any, ...], value: Any, remove: bool = False):
    """Where the metadata says this, wherever that lies, it says something else."""

    def content() -> bytes:
        header, said, tensors = parts(model_bytes())
        path = min((one for one in paths(said) if one[-len(keys) :] == keys), key=len)
        return joined(header, changed(said, path, value, remove), tensors)

    return content


def _whole(text: str):
    def content() -> bytes:
        header, _, tensors = parts(model_bytes())
        return joined(header, text, tensors)

    return content


def _of_numbers(number: float, share: float):
    """Weights that are not finite, or all the same."""

    def content() -> bytes:
        header, said, tensors = parts(model_bytes())
        first = next(one for name, one in header.items() if name != "__metadata__" and one["dtype"] == "F32")
        start, end = first["data_offsets"]
        held = bytearray(tensors)
        count = max(1, int((end - start) // 4 * share))
        held[start : start + 4 * count] = struct.pack("<f", number) * count
        return joined(header, said, bytes(held))

    return content


def _bit(seed: int):
    """A high bit of one weight is another."""

    def content() -> bytes:
        held = bytearray(model_bytes())
        size = struct.unpack("<Q", held[:8])[0]
        chance = random.Random(seed)
        held[8 + size + 4 * chance.randrange((len(held) - 8 - size) // 4) + 3] ^= 1 << chance.randrange(8)
        return bytes(held)

    return content


def _tensor(seed: int):
    """The header says something else of a tensor."""

    def content() -> bytes:
        header, said, tensors = parts(model_bytes())
        chance = random.Random(seed)
        name = chance.choice([name for name in header if name != "__metadata__"])
        how, one = chance.choice(("gone", "renamed", "shape", "dtype", "flat", "offsets")), dict(header[name])
        if how == "gone":
            del header[name]
        elif how == "renamed":
            header["../" + name] = header.pop(name)
        elif how == "shape":
            header[name] = one | {"shape": [2**40, *one["shape"]]}
        elif how == "dtype":
            header[name] = one | {"dtype": chance.choice(("I32", "F99", "BOOL"))}
        elif how == "flat":
            header[name] = one | {"shape": [(one["data_offsets"][1] - one["data_offsets"][0]) // 4]}
        else:
            header[name] = one | {"data_offsets": [0, 2**62]}
        return joined(header, said, tensors)

    return content


def _header(size: int):
    return lambda: struct.pack("<Q", size) + model_bytes()[8:]


def attempts() -> Iterator[Attempt]:
    """The known ones, then each place of the metadata with each value, then noise."""
    grave = {
        "config null": _said(("config",), None),
        "config list": _said(("config",), []),
        "config gone": _said(("config",), 0, True),
        "provenance list": _said(("provenance",), []),
        "provenance null": _said(("provenance",), None),
        "regions null": _said(("provenance", "regions"), None),
        "pairs null": _said(("provenance", "pairs"), None),
        "figures text": _said(("provenance", "figures"), "x"),
        "deep": _whole("[" * 10_000 + "]" * 10_000),
        "deeper": _whole('{"a":' * 100_000 + "1" + "}" * 100_000),
        "null": _whole("null"),
        "text": _whole('"x"'),
        "cut": _whole('{"a"'),
        "empty": _whole(""),
        "version": _said(("format_version",), 99),
        "version text": _said(("format_version",), "\x1b[31m"),
        "version gone": _said(("format_version",), 0, True),
        "400 channels": _said(("config", "generator", "base_channels"), 400),
        "4000 of the other": _said(("config", "discriminator", "base_channels"), 4000),
        "10^9 channels": _said(("config", "generator", "base_channels"), 10**9),
        "8 levels": _said(("config", "generator", "levels"), 8),
        "resnet": _said(("config", "generator", "architecture"), "resnet-9"),
        "nan weights": _of_numbers(float("nan"), 1),
        "one nan": _of_numbers(float("nan"), 0.01),
        "inf weights": _of_numbers(float("inf"), 0.1),
        "bit": _bit(1),
        "bit 2": _bit(2),
        "header size": _header(2**63),
        "header 0": _header(0),
        "header short": _header(100),
    }
    for name, content in grave.items():
        for command in ("info", "predict"):
            yield _attempt(name, content, command, WRONG)
    _, said, _ = parts(model_bytes())
    places = [path for path in paths(said) if len(path) < 5]
    for key in said:
        for value in (10**40, -1, None, []):
            yield _attempt(f"{key}={value!r:.8}", _said((key,), value), "info", EITHER)
    for number in itertools.count():
        chance = random.Random(f"models {number}")
        command = chance.choice(
            ("info", "info", "predict", "predict", "trust", "score", "evaluate", "from", "fit-trust")
        )
        how = chance.random()
        codes = frozenset({0, 1, 2})
        if how < 0.6:
            path, value = chance.choice(places), chance.choice((*VALUES, any_json(chance)))
            content, name = _said(path, value, chance.random() < 0.15), f"{'.'.join(map(str, path))}={value!r:.10}"
        elif how < 0.7:
            content, name = (lambda c=chance: flipped(model_bytes(), c, c.choice((1, 3, 20)))), "flipped"
        elif how < 0.75:
            content, name, codes = (lambda c=chance: cut(model_bytes(), c.random())), "cut", WRONG
        elif how < 0.85:
            content, name, codes = _bit(number), "bit", WRONG
        else:
            content, name = _tensor(number), "tensor"
        yield _attempt(f"{number}-{name!a}", content, command, codes)
