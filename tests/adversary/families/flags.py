"""Values of flags that no one means: not finite, negative, huge, empty, of another type, of no choice."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

from adversary.cast import TRAIN, lay
from adversary.law import Attempt

WRONG = frozenset({2})
EITHER = frozenset({0, 2})
NUMBERS = (
    "inf",
    "-inf",
    "nan",
    "-5",
    "-1",
    "0",
    "1e400",
    "99999999999999999999",
    "1.5",
    "",
    "seven",
    "0x10",
    "1_0",
    "٣",
    "--",
)

NEEDS = ("s0.tif", "t0.tif", "g0.tif", "model.safetensors", "grey.safetensors")
LINES = {
    "predict": ["predict", "model.safetensors", "s0.tif", "--out", "o.tif"],
    "trust": ["predict", "model.safetensors", "s0.tif", "--out", "o.tif", "--trust"],
    "score": ["score", "model.safetensors", "s0.tif", "t0.tif", "--out", "o.tif"],
    "train": ["train", "s0.tif", "t0.tif", "--out", "r", *TRAIN],
    "check": ["check", "s0.tif", "t0.tif"],
    "evaluate": ["evaluate", "model.safetensors", "s0.tif", "t0.tif", "--out", "E", "--allow-seen"],
    "fit-trust": ["fit-trust", "model.safetensors", "s0.tif", "t0.tif", "--out", "m.safetensors"],
}
WRITES = {"train": ("r",), "evaluate": ("E",), "fit-trust": ("m.safetensors",), "check": ()}
NUMERIC = {
    "predict": ("tile-size", "overlap", "draws", "seed-threshold", "min-size", "local-workers"),
    "trust": ("trust-limit", "trust-risk"),
    "score": ("tile-size",),
    "fit-trust": ("steps",),
    "train": (
        *(
            "steps",
            "batch-size",
            "patch-size",
            "patch-depth",
            "l1-weight",
            "l2-weight",
            "gan-weight",
            "gradient-penalty",
        ),
        *("shift-tolerance", "discriminator-weight", "learning-rate", "clip-gradients", "ema-decay", "beta1", "beta2"),
        *("jitter", "intensity-jitter", "foreground-share", "validate-every", "patience", "validation-share"),
        *(
            "calibration-share",
            "trust-steps",
            "seed",
            "generator.levels",
            "generator.base-channels",
            "generator.dropout",
        ),
        *("discriminator.n-layers", "discriminator.base-channels", "devices", "num-nodes", "ignore-label"),
    ),
}
NAMED = {
    "predict": ("device", "precision", "source-axes", "source-channels", "shard", "scheduler", "side-by-side"),
    "score": ("kind", "pair-by", "image-axes", "device"),
    "train": (
        *("preset", "objective", "target-kind", "generator.norm", "generator.architecture", "schedule", "z", "groups"),
        *("source-normalization.method", "source-normalization.percentiles", "class-weights", "empty-frames", "valid"),
    ),
    "check": ("pair-by", "groups", "source-axes", "source-channels", "target-axes", "annotated-frames", "z"),
    "evaluate": ("objects", "stain", "target-kind", "empty-frames", "beside"),
}
WORDS = (
    "",
    "?",
    "no-such",
    "\x1b[31m",
    "[",
    "(",
    "*",
    "a" * 2000,
    "TZCYXSTZCYXS",
    "cuda:99",
    "meta",
    "tcp://0.0.0.0:1",
    "0/0",
    "9/3",
    "1/99999999999999999999",
    "-1",
    "(a+)+$",
)

GRAVE = [
    ("predict", "seed-threshold", "nan", WRONG),
    ("predict", "seed-threshold", "inf", WRONG),
    ("predict", "min-size", "-5", WRONG),
    ("predict", "draws", "100000000000000000000", WRONG),
    ("predict", "draws", "1000000000000000", WRONG),
    ("trust", "trust-limit", "inf", WRONG),
    ("trust", "trust-limit", "nan", WRONG),
    ("trust", "trust-limit", "-1", WRONG),
    ("trust", "trust-risk", "0", WRONG),
    ("trust", "trust-risk", "1", WRONG),
    ("trust", "trust-risk", "nan", WRONG),
    ("train", "batch-size", "1000000", WRONG),
    ("train", "steps", "100000000000000000000", WRONG),
    ("train", "learning-rate", "inf", WRONG),
    ("train", "learning-rate", "nan", WRONG),
    ("train", "l1-weight", "inf", WRONG),
    ("train", "l1-weight", "nan", WRONG),
    ("train", "gan-weight", "inf", WRONG),
    ("train", "l2-weight", "nan", WRONG),
    ("train", "clip-gradients", "inf", WRONG),
    ("train", "generator.base-channels", "1000000", WRONG),
    ("train", "discriminator.base-channels", "1000000", WRONG),
    ("train", "patch-size", "1048576", WRONG),
    ("train", "seed", "100000000000000000000000", WRONG),
    ("train", "trust-steps", "100000000000000000000", WRONG),
    ("fit-trust", "steps", "100000000000000000000", WRONG),
    ("predict", "tile-size", "-32", WRONG),
    ("predict", "overlap", "-4", WRONG),
    ("predict", "local-workers", "1000000", WRONG),
    ("train", "devices", "-3", WRONG),
    ("train", "devices", "1000", WRONG),
    ("train", "num-nodes", "0", WRONG),
    ("score", "tile-size", "0", WRONG),
    ("train", "validate-every", "100000000000000000000", WRONG),
    ("train", "source-normalization.range", "nan", WRONG),
    ("check", "ignore-label", "100000000000000000000000", EITHER | {1}),
    ("train", "patch-depth", "1000000000", EITHER),
    ("train", "patience", "100000000000000000000", EITHER),
    ("predict", "tile-size", "99999999999999999999", EITHER),
    ("predict", "overlap", "99999999999999999999", EITHER),
    ("predict", "min-size", "99999999999999999999", EITHER),
]


def _attempt(line: str, flag: str, value: str, codes: frozenset[int]) -> Attempt:
    def make(folder: Path) -> list[str]:
        lay(folder, *NEEDS)
        words = LINES[line]
        if f"--{flag}" in words:  # given once
            at = words.index(f"--{flag}")
            words = words[:at] + words[at + 2 :]
        return [*words, f"--{flag}={value}"]

    writes = WRITES.get(line, ("o",))
    return Attempt(f"{line}-{flag}={value[:20]}", make, codes, writes=("o.tif", "o") if writes == ("o",) else writes)


def attempts() -> Iterator[Attempt]:
    """The grave ones, each numeric flag with what is no number, then any flag with anything."""
    for line, flag, value, codes in GRAVE:
        yield _attempt(line, flag, value, codes)
    for value in ("nan", "inf", "-inf", ""):
        for line, names in NUMERIC.items():
            for flag in names:
                if line != "train" or value == "nan":
                    yield _attempt(line, flag, value, WRONG)
    every = [(line, flag, NUMBERS) for line, names in NUMERIC.items() for flag in names]
    every += [(line, flag, WORDS) for line, names in NAMED.items() for flag in names]
    for number in itertools.count():
        chance = random.Random(f"flags {number}")
        line, flag, values = chance.choice(every)
        value = chance.choice(values)
        if flag in ("local-workers", "devices", "scheduler", "num-nodes") and value not in (
            "nan",
            "inf",
            "-5",
            "",
            "seven",
        ):
            value = "-5"  # others start processes
        steps = flag in ("steps", "trust-steps") and not value.replace("_", "").isdecimal()  # 1_0 is ten
        yield _attempt(line, flag, value, WRONG if value in ("nan", "inf", "-inf") or steps else frozenset({0, 1, 2}))
