"""What a sentence says to do works: typed as it stands there, the command that was refused goes through."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from every_pair import PIXEL_UM, SMALL, TARGETS, Pair, command, stack, unreported, write

PLAIN = Pair("grey", "grey", judge=False)
TRAIN = [*SMALL, "--trust-steps", "0"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Folders of pairs, files that are wrong in one way each, and trained models."""
    folder = tmp_path_factory.mktemp("work")
    with unreported():
        prepare(folder)
    return folder


def prepare(folder: Path) -> None:
    """Write them."""
    PLAIN.write(folder, range(4))
    source, target = PLAIN.arrays(0)
    for name, values, axes in (
        ("s", source, "YX"),
        ("t", target, "YX"),
        ("s1", PLAIN.arrays(1)[0], "YX"),
        ("t1", PLAIN.arrays(1)[1], "YX"),
        ("both", np.concatenate([source, target], axis=1), "YX"),
        ("planes", np.stack([source, source + 1, source]), "ZYX"),
        ("unnamed", np.stack([source, source + 1, source]), "TYX"),
        ("two", np.stack([source, target]), "CYX"),
        ("mask", np.ones_like(source, np.uint8), "YX"),
    ):
        write(folder / f"{name}.tif", values, axes, ("BF", "DAPI") if name == "two" else ())
    write(folder / "other.tif", np.stack([source, target]), "CYX", ("GFP", "DAPI"))
    write(folder / "float labels.tif", stack(TARGETS["instances"], 0).astype(np.float32), "YX")
    write(folder / "coarse.tif", source, "YX", pixel_um=4 * PIXEL_UM)
    tifffile.imwrite(folder / "no size.tif", source)
    for seed in range(4):
        for side, values in zip(("bf", "dapi"), PLAIN.arrays(seed), strict=True):
            write(folder / "named" / f"{seed}_{side}.tif", values, "YX")
        labels = stack(TARGETS["instances"], seed)
        write(folder / "labels" / f"cell {seed}.tif", labels * (seed != 1), "YX")
        for name in ("source", "target"):
            path = folder / "one bad" / name / f"cell {seed}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            data = (folder / name / f"cell {seed}.tif").read_bytes()
            path.write_bytes(data[: 300 if (seed, name) == (2, "source") else None])
    (folder / "file").write_text("")
    command("train", folder / "source", folder / "target", "--out", folder / "run", *TRAIN)
    command("train", folder / "source", folder / "target", "--out", folder / "judged", *SMALL, "--trust-steps", "1")
    command(
        *("train", folder / "source", folder / "target", "--out", folder / "looks", *TRAIN),
        *("--generator.norm", "instance", "--generator.dropout", "0"),
    )
    command(
        "train", folder / "source", folder / "target", "--out", folder / "image", *TRAIN, "--norm-statistics", "image"
    )
    command("train", folder / "two.tif", folder / "t.tif", "--out", folder / "channels", *TRAIN)
    command("train", folder / "both.tif", "--side-by-side", "left", "--out", folder / "halves", *TRAIN)
    command("predict", folder / "run", folder / "source", "--out", folder / "predicted")
    command("score", folder / "run", folder / "s.tif", folder / "t.tif", "--out", folder / "scored.tif")
    command(
        "evaluate", folder / "run", folder / "source", folder / "target", "--out", folder / "figures", "--allow-seen"
    )
    shutil.copy(folder / "judged" / "model.safetensors", folder / "m.safetensors")


REFUSED = [
    ("train FOLDERS --out run SMALL", "or --overwrite", "train FOLDERS --out run SMALL --overwrite"),
    ("train FOLDERS --out run SMALL", "or --resume", "train --resume run"),
    ("train FOLDERS --out run SMALL", "Choose another --out", "train FOLDERS SMALL"),
    ("train FOLDERS --out file SMALL", "Choose another --out", "train FOLDERS SMALL"),
    ("predict run s.tif --out scored.tif", "or --overwrite", "predict run s.tif --out scored.tif --overwrite"),
    ("predict run s.tif --out s.tif", "Choose another --out", "predict run s.tif --out OUT/p.tif"),
    ("score run PAIR --out scored.tif", "or --overwrite", "score run PAIR --out scored.tif --overwrite"),
    (
        "evaluate run FOLDERS --out figures --allow-seen",
        "or --overwrite",
        "evaluate run FOLDERS --out figures --allow-seen --overwrite",
    ),
    ("evaluate run FOLDERS --out file", "Choose another --out", "evaluate run FOLDERS --out OUT/e --allow-seen"),
    (
        "fit-trust run FOLDERS --out m.safetensors --steps 1",
        "or --overwrite",
        "fit-trust run FOLDERS --out m.safetensors --steps 1 --overwrite",
    ),
    (
        "fit-trust run FOLDERS --out OUT/m --steps 1",
        "a .safetensors file",
        "fit-trust run FOLDERS --out OUT/m.safetensors --steps 1",
    ),
    ("train PAIR SMALL --patch-size 64", "Choose --patch-size 48", "train PAIR SMALL --patch-size 48"),
    ("train PAIR SMALL --patch-size 34", "The nearest: 32 and 36", "train PAIR SMALL --patch-size 36"),
    ("train PAIR SMALL --generator.z-levels 1", "or leave them out", "train PAIR SMALL"),
    (
        "train planes.tif planes.tif SMALL --generator.z-levels 1 --patch-depth 2",
        "Choose --z volume",
        "train planes.tif planes.tif SMALL --generator.z-levels 1 --patch-depth 2 --z volume",
    ),
    (
        "train PAIR SMALL --patch-depth 3 --generator.z-levels 1",
        "Choose 4",
        "train planes.tif planes.tif --z volume SMALL --patch-depth 4 --generator.z-levels 1",
    ),
    ("train FOLDERS SMALL --devices 3", "Choose another --batch-size", "train FOLDERS SMALL --batch-size 3"),
    (
        "train source labels SMALL",
        "--empty-frames empty or unlabelled",
        "train source labels SMALL --empty-frames empty",
    ),
    (
        "train source labels SMALL",
        "--empty-frames empty or unlabelled",
        "train source labels SMALL --empty-frames unlabelled",
    ),
    ("train named target SMALL", "say how they are named with --pair-by", "train named SMALL --pair-by *_bf *_dapi"),
    (
        "train one~bad/source one~bad/target SMALL",
        "use the other pairs: --skip-bad",
        "train one~bad/source one~bad/target SMALL --skip-bad",
    ),
    (
        "train planes.tif t.tif SMALL",
        "take them as channels (--z channels)",
        "train planes.tif t.tif SMALL --z channels",
    ),
    (
        "train unnamed.tif t.tif SMALL --z channels",
        "Give the axes (--source-axes",
        "train unnamed.tif t.tif SMALL --z channels --source-axes ZYX",
    ),
    ("train both.tif SMALL", "(--side-by-side)", "train both.tif SMALL --side-by-side left"),
    (
        "train both.tif t.tif SMALL --side-by-side left",
        "leave out the target",
        "train both.tif SMALL --side-by-side left",
    ),
    (
        "train PAIR SMALL --valid mask.tif --annotated-frames 0",
        "give --valid or --annotated-frames",
        "train PAIR SMALL --valid mask.tif",
    ),
    (
        "train PAIR SMALL --validation-target target",
        "give --validation-source and --validation-target",
        "train PAIR SMALL --validation-source s1.tif --validation-target t1.tif",
    ),
    (
        "train PAIR SMALL --with-old-pairs",
        "give one with --from",
        "train s1.tif t1.tif --from channels --out OUT/run --source-more t1.tif --with-old-pairs --steps 1",
    ),
    (
        "train two.tif t.tif --from run --out OUT/run --steps 1",
        "Choose channels",
        "train two.tif t.tif --from run --out OUT/run --steps 1 --source-channels BF",
    ),
    ("train --resume run --steps 4", "--from run", "train FOLDERS --from run --out OUT/run --steps 4"),
    (
        "predict run two.tif --out OUT/p.tif",
        "Choose channels (--source-channels)",
        "predict run two.tif --out OUT/p.tif --source-channels BF",
    ),
    (
        "predict channels s.tif --out OUT/p.tif",
        "further files (--source-more)",
        "predict channels s.tif --out OUT/p.tif --source-more t.tif",
    ),
    (
        "predict run s.tif --out OUT/p.tif --trust",
        "Teach it with fit-trust",
        "predict judged s.tif --out OUT/p.tif --trust",
    ),
    ("predict run s.tif --out OUT/p.tif --trust", "leave --trust out", "predict run s.tif --out OUT/p.tif"),
    (
        "predict judged s.tif --out OUT/p.tif --trust --rescale",
        "leave one of them out",
        "predict judged s.tif --out OUT/p.tif --trust",
    ),
    (
        "predict judged s.tif --out OUT/p.tif --trust-limit 9",
        "give --trust",
        "predict judged s.tif --out OUT/p.tif --trust-limit 9 --trust",
    ),
    (
        "predict run s.tif --out OUT/p.tif --keep-frames",
        "End --out in .zarr",
        "predict run s.tif --out OUT/p.zarr --keep-frames",
    ),
    ("predict looks s.tif --out OUT/p.tif --draws 2", "Leave draws out", "predict looks s.tif --out OUT/p.tif"),
    ("predict run s.tif --out OUT/p.tif --draws 1", "at least 2", "predict run s.tif --out OUT/p.tif --draws 2"),
    ("predict looks s.tif --out OUT/p.tif --tile-size 32", "Leave it out", "predict looks s.tif --out OUT/p.tif"),
    (
        "predict image s.tif --out OUT/p.tif --tile-size 32",
        "predict with --norm-statistics training",
        "predict image s.tif --out OUT/p.tif --tile-size 32 --norm-statistics training",
    ),
    (
        "predict run no~size.tif --out OUT/p.tif --rescale",
        "leave --rescale out",
        "predict run no~size.tif --out OUT/p.tif",
    ),
    (
        "predict run s.tif --out OUT/p.tif --scheduler tcp://a:1 --local-workers 2",
        "Leave one out",
        "predict run s.tif --out OUT/p.tif",
    ),
    ("predict run source --out OUT/p.tif", "folder", "predict run source --out OUT/p"),
    (
        "score run both.tif --out OUT/s.tif",
        "(--side-by-side)",
        "score run both.tif --out OUT/s.tif --side-by-side left",
    ),
    ("score run named --out OUT/s", "(--pair-by)", "score run named --out OUT/s --pair-by *_bf *_dapi"),
    (
        "score run PAIR --out OUT/s.tif --kind match",
        "choose the kind plain",
        "score run PAIR --out OUT/s.tif --kind plain",
    ),
    ("evaluate run FOLDERS --out OUT/e", "with --allow-seen", "evaluate run FOLDERS --out OUT/e --allow-seen"),
    (
        "evaluate --prediction predicted FOLDERS --out OUT/e",
        "the TARGET",
        "evaluate --prediction predicted target --out OUT/e",
    ),
    (
        "evaluate run FOLDERS --out OUT/e --allow-seen --stain hed",
        "Leave out --stain",
        "evaluate run FOLDERS --out OUT/e --allow-seen",
    ),
    ("evaluate run source --out OUT/e", "must have a target", "evaluate run FOLDERS --out OUT/e --allow-seen"),
]
"""A command that is refused, what its sentence says, and the command that does so; `~` is a space in a name."""
MEANT = {
    "PAIR": ["s.tif", "t.tif"],
    "FOLDERS": ["source", "target"],
    "SMALL": [*TRAIN, "--out", "OUT/run"],
}
"""What words of these commands stand for; small settings but for those that are given."""


def words(line: str, out: Path) -> list[str]:
    """The words of a command that writes to the folder `out`."""
    given = line.split()
    small = MEANT["SMALL"]
    meant = MEANT | {
        "SMALL": [w for pair in zip(small[::2], small[1::2], strict=True) if pair[0] not in given for w in pair]
    }
    return [part.replace("~", " ").replace("OUT", str(out)) for word in given for part in meant.get(word, [word])]


@pytest.mark.parametrize(
    ("refused", "says", "repaired"), REFUSED, ids=[f"{row[0].split()[0]} - {row[1]}" for row in REFUSED]
)
def test_what_the_sentence_says_works(work, tmp_path, monkeypatch, refused, says, repaired) -> None:
    """The command is refused with these words, and does its work once it is changed as they say."""
    monkeypatch.chdir(work)
    [sentence] = [event["text"] for event in command(*words(refused, tmp_path), code=2) if event["event"] == "error"]
    assert says in sentence
    with unreported():
        command(*words(repaired, tmp_path))


WARNED = [
    (
        "predict run coarse.tif --out OUT/p.tif",
        "Predict with --rescale",
        "predict run coarse.tif --out OUT/q.tif --rescale",
    ),
    (
        "predict run s.tif --out OUT/p.tif --tile-size 16 --overlap 4",
        "Leave --overlap out",
        "predict run s.tif --out OUT/q.tif --tile-size 16",
    ),
    (
        "predict channels other.tif --out OUT/p.tif",
        "Choose them (--source-channels)",
        "predict channels other.tif --out OUT/q.tif --source-channels GFP --source-channels DAPI",
    ),
    (
        "predict halves both.tif --out OUT/p.tif",
        "--side-by-side left halves them",
        "predict halves both.tif --out OUT/q.tif --side-by-side left",
    ),
    (
        "train PAIR SMALL --discriminator.n-layers 2",
        "fewer --discriminator.n-layers",
        "train PAIR SMALL --overwrite --discriminator.n-layers 1",
    ),
    (
        "train PAIR SMALL --objective wgan-gp",
        "choose --discriminator.norm instance or none",
        "train PAIR SMALL --overwrite --objective wgan-gp --discriminator.norm none",
    ),
    (
        "train s.tif float~labels.tif SMALL",
        "give --target-kind instances",
        "train s.tif float~labels.tif SMALL --overwrite --target-kind instances",
    ),
    ("train s.tif two.tif SMALL --patience 1", "--patience does nothing", "train s.tif two.tif SMALL --overwrite"),
]
"""A command that warns, what it says, and the command that does so."""


@pytest.mark.parametrize(("warned", "says", "repaired"), WARNED, ids=[row[1] for row in WARNED])
def test_what_a_warning_says_works(work, tmp_path, monkeypatch, warned, says, repaired) -> None:
    """The command warns with these words, and no longer once it is changed as they say."""
    monkeypatch.chdir(work)
    with unreported():
        told = [[event.get("text", "") for event in command(*words(line, tmp_path))] for line in (warned, repaired)]
    assert [any(says in text for text in texts) for texts in told] == [True, False], told


def test_a_model_that_is_not_calibrated_is_by_fit_trust(work, tmp_path, monkeypatch) -> None:
    """Given pairs that it has not seen, as the warning says; then `predict --trust` warns no more."""
    monkeypatch.chdir(work)
    with unreported():
        command(*words("train FOLDERS SMALL --trust-steps 1 --calibration-share 0", tmp_path))
    says, told = "Give it to fit-trust with pairs that it has not seen", []
    for model in ("OUT/run", "OUT/m.safetensors"):
        events = command(*words(f"predict {model} s.tif --out OUT/p.tif --trust --overwrite", tmp_path))
        told.append(any(says in event.get("text", "") for event in events))
        if model == "OUT/run":
            taught = "fit-trust OUT/run named --pair-by *_bf *_dapi --out OUT/m.safetensors --trust-steps 1"
            command(*words(taught, tmp_path))
    assert told == [True, False]
