"""Files of settings that are no settings: deep, not finite, of wrong types, cut, not UTF-8; made by hypothesis, too."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adversary.cast import TRAIN, lay
from adversary.law import Attempt

WRONG = frozenset({2})
TEXTS = {
    "inf": '{"learning_rate": Infinity}',
    "nan": '{"l1_weight": NaN, "gan_weight": NaN}',
    "minus": '{"l2_weight": -Infinity}',
    "deep": "[" * 50_000 + "]" * 50_000,
    "deeper": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "null": "null",
    "list": "[]",
    "number": "3",
    "text": '"fast"',
    "empty": "",
    "space": "   \n",
    "cut": '{"steps": 3',
    "two": "{} {}",
    "bom": '\ufeff{"steps": "x"}',
    "huge": '{"learning_rate": 1e400}',
    "long": '{"steps": ' + "9" * 5000 + "}",
    "nested": '{"generator": 3}',
    "null part": '{"generator": null}',
    "unknown": '{"generator": {"evil": true}}',
    "surrogate": '{"authors": "\\ud800"}',
    "escape": '{"preset\\u001b[31m": 1}',
    "class": '{"__class__": "x"}',
    "range": '{"source_normalization": {"method": "fixed", "range": [NaN, Infinity]}}',
    "percentiles": '{"source_normalization": {"percentiles": [NaN, 99]}}',
    "bool": '{"steps": true}',
    "share": '{"validation_share": NaN}',
    "jitter": '{"jitter": NaN}',
    "clip": '{"clip_gradients": Infinity}',
    "penalty": '{"gradient_penalty": Infinity, "objective": "wgan-gp"}',
    "float": '{"steps": 2.5}',
    "string": '{"batch_size": "x"}',
    "channels": '{"generator": {"base_channels": 1000000}}',
    "levels": '{"generator": {"levels": 10000000000000000000000}}',
    "key": '{"' + "k" * 100_000 + '": 1}',
    "value": '{"objective": "' + "v" * 100_000 + '"}',
}
BYTES = {
    "latin": b'{"authors": "\xe9"}',
    "utf16": '{"steps": 2}'.encode("utf-16"),
    "zeros": bytes(1000),
    "png": b"\x89PNG\r\n\x1a\n",
}
FIELDS = (
    *(
        "steps",
        "batch_size",
        "patch_size",
        "l1_weight",
        "learning_rate",
        "beta1",
        "jitter",
        "flip",
        "rotate",
        "seed",
        "objective",
    ),
    *(
        "target_kind",
        "source_normalization",
        "generator",
        "discriminator",
        "norm_statistics",
        "precision",
        "authors",
        "licence",
    ),
)


def _attempt(name: str, content: bytes, command: str, codes: frozenset[int]) -> Attempt:
    def make(folder: Path) -> list[str]:
        lay(folder, "s0.tif", "t0.tif")
        (folder / "c.json").write_bytes(content)
        # What is in the file must count, so flags leave most to it.
        start = (
            ["train", "s0.tif", "t0.tif", "--out", "r", *TRAIN] if command == "train" else ["check", "s0.tif", "t0.tif"]
        )
        return [*start, "--config", "c.json"]

    return Attempt(f"{command}-{name}", make, codes, writes=("r",) if command == "train" else ())


def any_json(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON, and what Python takes for it."""
    kind = chance.randrange(9 if depth < 3 else 7)
    if kind == 7:
        return [any_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 8:
        return {chance.choice(FIELDS): any_json(chance, depth + 1) for _ in range(chance.randrange(4))}
    return (
        None,
        chance.random() < 0.5,
        chance.choice((0, -1, 2**63, 10**400, 7)),
        chance.choice((0.5, 1e308, -0.0, 5e-324)),
        chance.choice((float("nan"), float("inf"), -float("inf"))),
        chance.choice(("", "x", "\x1b[31m", "\n", "é", "'")),
        "batch",
    )[kind]


def attempts() -> Iterator[Attempt]:
    """Each text for both commands that take one; then any JSON in any field."""
    for command in ("train", "check"):
        for name, text in TEXTS.items():
            # A flag wins over the file, so a training that overrides the field may go on.
            won = command == "train" and name in (
                "bool",
                "float",
                "string",
                "nested",
                "null part",
                "channels",
                "levels",
            )
            fine = frozenset({0, 1, 2}) if won or name == "surrogate" else WRONG  # 1: check finds them unusable
            yield _attempt(name, text.encode(), command, fine)
    for name, content in BYTES.items():
        yield _attempt(name, content, "check", WRONG)
    for number in itertools.count():
        chance = random.Random(f"configs {number}")
        held = {chance.choice(FIELDS): any_json(chance) for _ in range(chance.choice((1, 1, 2, 5)))}
        command = chance.choice(("check", "check", "train"))
        yield _attempt(f"{number}", json.dumps(held).encode(), command, frozenset({0, 1, 2}))
