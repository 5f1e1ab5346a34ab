"""Damaged or foreign files where the program's own should be: records, runs, evaluations."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

from adversary.cast import lay, source, tiff
from adversary.families.damaged import cut, flipped
from adversary.law import Attempt

ANY = frozenset({0, 1, 2})
RUN_FILES = ("config.json", "split.csv", "history.csv", "elapsed.json", "checkpoint.safetensors", "model.safetensors")
TEXTS = {
    "null": b"null",
    "list": b"[]",
    "empty": b"",
    "object": b"{}",
    "number": b"3",
    "zeros": bytes(300),
    "latin": b"\xff\xfe\xe9",
    "deep": b"[" * 50_000 + b"]" * 50_000,
    "nan": b"NaN",
    "deep object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "foreign": b'{"table": "predictions", "row": {"output": "../../x", "name": 3}}',
    "row": b'{"row": []}',
    "csv": b'=cmd,1\n"',
    "made with": b'{"made_with": null, "inputs": 7, "row": null, "failure": null, "table": []}',
}


def _record(name: str, content: bytes, remove: bool, overwrite: bool) -> Attempt:
    """A record of a prediction says something else; the result may be gone."""

    def make(folder: Path) -> list[str]:
        lay(folder, "grey.safetensors")
        (folder / "d").mkdir()
        for number in range(2):
            (folder / "d" / f"a{number}.tif").write_bytes(tiff(source(number)))
        records = folder / "O" / ".napari-pix2pix"
        records.mkdir(parents=True)
        (records / "a0.tif.json").write_bytes(content)
        if not remove:
            (folder / "O" / "a0.tif").write_bytes(tiff(source(5)))
        return ["predict", "grey.safetensors", "d", "--out", "O", *(["--overwrite"] if overwrite else [])]

    leads_out = frozenset({0}) if overwrite else ANY
    writes = ("O",) if overwrite or remove else ("O/a1.tif", "O/.napari-pix2pix", "O/predictions.csv", "O/failures.csv")
    return Attempt(f"record-{name}-{remove}-{overwrite}", make, leads_out, writes=writes)


def _run(name: str, file: str, change, command: str, codes: frozenset[int] = ANY) -> Attempt:
    """A file of a run says something else."""
    lines = {
        "resume": ["train", "--resume", "run"],
        "info": ["info", "run"],
        "predict": ["predict", "run", "s0.tif", "--out", "o.tif"],
        "overwrite": [
            *[
                "train",
                "s0.tif",
                "t0.tif",
                "--out",
                "run",
                "--overwrite",
                "--preset",
                "fast",
                "--steps",
                "1",
                "--trust-steps",
                "0",
                "--generator.levels",
                "2",
            ],
            *[
                "--generator.base-channels",
                "4",
                "--discriminator.base-channels",
                "4",
                "--patch-size",
                "32",
                "--batch-size",
                "1",
            ],
        ],
    }

    def make(folder: Path) -> list[str]:
        lay(folder, "run", "s0.tif", "t0.tif")
        config = folder / "run" / "config.json"  # its pairs are those that lie here
        config.write_text(config.read_text("utf8").replace(str(_cast()), str(folder)), "utf8")
        path = folder / "run" / file
        path.write_bytes(change(path.read_bytes()))
        return lines[command]

    writes = {"info": (), "predict": ("o.tif",)}.get(command, ("run",))
    return Attempt(f"run-{command}-{file}-{name}", make, codes, writes=writes)


def _cast() -> Path:
    from adversary import cast

    assert cast._folder is not None
    return cast._folder


def _evaluation(name: str, file: str, content: bytes) -> Attempt:
    """A file of an evaluation says something else."""

    def make(folder: Path) -> list[str]:
        lay(folder, "judged")
        (folder / "other").mkdir()
        for path in (folder / "judged").iterdir():
            (folder / "other" / path.name).write_bytes(content if path.name == file else path.read_bytes())
        return ["compare", "judged", "other", "--out", "c.json"]

    return Attempt(f"compare-{file}-{name}", make, frozenset({2}), writes=("c.json",))


def _key(chance: random.Random):
    """Another value somewhere in a JSON file."""
    from adversary.families.models import VALUES, changed, paths

    def change(content: bytes) -> bytes:
        said = json.loads(content)
        return json.dumps(
            changed(said, chance.choice(list(paths(said))), chance.choice(VALUES), chance.random() < 0.3)
        ).encode()

    return change


def attempts() -> Iterator[Attempt]:
    """Each kind of text in each place; then cuts, flips and keys at random."""
    for name, content in TEXTS.items():
        yield _record(name, content, remove=True, overwrite=False)
    yield _record("null", b"null", remove=False, overwrite=True)
    yield _record("deep", TEXTS["deep"], remove=False, overwrite=True)
    for file, command in (("config.json", "resume"), ("elapsed.json", "info"), ("elapsed.json", "resume")):
        for name in ("null", "list", "empty", "object", "deep"):
            codes = frozenset({2}) if file == "config.json" else frozenset({0, 2})
            yield _run(name, file, lambda _, held=TEXTS[name]: held, command, codes)
    for name in ("null", "list", "object", "deep"):
        yield _evaluation(name, "metrics.json", TEXTS[name])
    for file in ("checkpoint.safetensors", "model.safetensors", "history.csv", "split.csv"):
        yield _run("empty", file, lambda _: b"", "resume")
        yield _run("zeros", file, lambda _: bytes(300), "overwrite", frozenset({0}))
    for number in itertools.count():
        chance = random.Random(f"records {number}")
        how = chance.choice(("record", "text", "cut", "flipped", "key", "key", "key"))
        if how == "record":
            name = chance.choice(list(TEXTS))
            yield _record(f"{number}-{name}", TEXTS[name], chance.random() < 0.5, chance.random() < 0.5)
        elif how == "key":
            file = chance.choice(("config.json", "config.json", "elapsed.json"))
            yield _run(f"{number}-key", file, _key(chance), chance.choice(("resume", "resume", "info", "predict")))
        else:
            change = {
                "text": lambda _, c=chance: c.choice(list(TEXTS.values())),
                "cut": lambda held, c=chance: cut(held, c.random()),
                "flipped": lambda held, c=chance: flipped(held, c, c.choice((1, 5, 50))),
            }[how]
            command = chance.choice(("resume", "resume", "info", "predict", "overwrite"))
            codes = frozenset({0}) if command == "overwrite" else ANY
            yield _run(f"{number}-{how}", chance.choice(RUN_FILES), change, command, codes)
