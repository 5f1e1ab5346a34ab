"""train --method gan and generate: images, alone or with their targets, from nothing."""

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.training import loop
from napari_pix2pix.files.stacks import open_stack
from small import blobs

pytestmark = pytest.mark.filterwarnings("ignore:Images made differ")
SMALL = [
    *("--method", "gan", "--patch-size", "16", "--batch-size", "2", "--latent", "4", "--base-channels", "2"),
    *("--steps", "5", "--validate-every", "5"),
]


def without(flag: str) -> list[str]:
    """The flags without this one and its value."""
    at = SMALL.index(flag)
    return SMALL[:at] + SMALL[at + 2 :]


def run(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command."""
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(autouse=True)
def judged_on_few(monkeypatch) -> None:
    """Fast."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Six images with masks, of two wells; and a run of pairs by class."""
    folder = tmp_path_factory.mktemp("gan")
    for side in ("source", "target"):
        (folder / side).mkdir()
    for i in range(6):
        image = blobs((24, 24 + 4 * i), seed=i)[0]
        metadata = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "axes": "YX"}
        name = f"{'ab'[i % 2]}_{i}.ome.tif"
        tifffile.imwrite(folder / "source" / name, image, ome=True, metadata=metadata)
        tifffile.imwrite(folder / "target" / name, (image > image.mean()).astype(np.uint8) * 255)
    with pytest.MonkeyPatch.context() as few:
        few.setattr(loop, "JUDGED_PATCHES", 8)
        words = ["train", folder / "source", folder / "target", *SMALL, "--condition", "^(.)_", "--out", folder / "run"]
        assert main([str(word) for word in words]) == 0
    return folder


def test_what_is_made_can_be_trained_on_and_says_what_it_is(place, tmp_path, capsys) -> None:
    """In the images' own dtype, labels and pixel size; twice the same; `check` tells that they are no observations."""
    for out in ("one", "two"):
        code, said, _ = run(capsys, "generate", place / "run", "--n", 3, "--seed", 5, "--out", tmp_path / out)
        assert code == 0 and "3 images with their targets" in said and "no observations" in said
    made = sorted((tmp_path / "one").rglob("*.tif"))
    assert len(made) == 6
    for path in made:
        np.testing.assert_array_equal(
            tifffile.imread(path), tifffile.imread(tmp_path / "two" / path.relative_to(tmp_path / "one"))
        )
    image, label = (open_stack(tmp_path / "one" / side / "generated_0001.tif") for side in ("source", "target"))
    assert image.array.dtype == np.uint16 and image.array.shape == (16, 16)
    assert image.pixel_size_um == {"Y": 0.5, "X": 0.5} == label.pixel_size_um
    assert image.is_generated and label.is_generated and not image.is_prediction
    assert set(np.unique(label.array)) <= {0, 255}
    told = json.loads(image.description)
    assert told["generated"] and told["number"] == 1 and told["seed"] == 5 and told["condition"] in "ab"
    rows = list(csv.DictReader((tmp_path / "one" / "generated.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [f"generated_{i:04}.tif" for i in range(3)]
    sides = tmp_path / "one" / "source", tmp_path / "one" / "target"
    _, said, _ = run(capsys, "check", *sides)
    assert "3 of 3 pairs are generated, no observations" in said
    words = (
        "--patch-size",
        16,
        "--generator.levels",
        1,
        "--discriminator.n-layers",
        1,
        "--steps",
        1,
        "--trust-steps",
        0,
    )
    small = ("--generator.base-channels", 2, "--discriminator.base-channels", 2, "--batch-size", 1)
    code, _, said = run(capsys, "train", *sides, *words, *small, "--out", tmp_path / "next")
    assert code == 0 and "generated, no observations" in said


def test_a_run_tells_what_it_makes(place, capsys) -> None:
    """The card names classes and targets and what the model refuses; the report is drawn; previews are, too."""
    code, said, _ = run(capsys, "info", place / "run")
    assert code == 0
    for words in ("16 x 16 px from nothing", "a, b", "with their targets", "to predict, to score", "swd"):
        assert words in said
    page = (place / "run" / "report.html").read_text()
    assert "no observations" in page and "if the two are the same, the model copies" in page and "its target" in page
    assert list((place / "run" / "previews").glob("*.png"))


def test_resumed_it_reads_its_images_again(place, tmp_path, capsys) -> None:
    """Pairs and images alone; one that has changed is named."""
    shutil.copytree(place / "source", tmp_path / "images")
    words = ("train", tmp_path / "images", *SMALL, "--out", tmp_path / "run")
    code, _, said = run(capsys, *words)
    assert code == 0 and "to make such" in said
    assert run(capsys, "train", "--resume", tmp_path / "run")[0] == 0
    assert run(capsys, "train", "--resume", place / "run")[0] == 0
    changed = next((tmp_path / "images").iterdir())
    tifffile.imwrite(changed, np.zeros((24, 24), np.uint16))
    code, _, said = run(capsys, "train", "--resume", tmp_path / "run")
    assert code == 2 and changed.name in said


@pytest.mark.parametrize("command", ["predict", "score", "evaluate", "fit-trust"])
def test_such_a_model_takes_no_source(place, tmp_path, capsys, command) -> None:
    """One sentence, which says what to do; nothing is written."""
    sides = [place / "source" / "a_0.ome.tif", place / "target" / "a_0.ome.tif"][: 1 if command == "predict" else 2]
    out = tmp_path / ("out.safetensors" if command == "fit-trust" else "out")
    code, said, error = run(capsys, command, place / "run", *sides, "--out", out)
    assert code == 2 and not said and error.count("error: ") == 1
    assert "makes them from nothing. Use generate" in error
    assert not out.exists()


def test_another_methods_model_generates_nothing(place, tmp_path, capsys) -> None:
    """It makes images of others, and is told to be asked so."""
    small = (
        "--patch-size",
        16,
        "--generator.levels",
        1,
        "--discriminator.n-layers",
        1,
        "--steps",
        1,
        "--trust-steps",
        0,
    )
    few = ("--generator.base-channels", 2, "--discriminator.base-channels", 2, "--batch-size", 1)
    assert run(capsys, "train", place / "source", place / "target", *small, *few, "--out", tmp_path / "run")[0] == 0
    code, _, said = run(capsys, "generate", tmp_path / "run", "--n", 1, "--out", tmp_path / "made")
    assert code == 2 and "of the method pix2pix, makes them of others. Use predict" in said
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--condition", "c"], "one that the model knows, a, b; got c"),
        (["--n", "0"], "n must be 1 to"),
        (["--truncation", "2"], "truncation"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_what_cannot_be_made(place, tmp_path, capsys, flags, words) -> None:
    """One sentence; no folder is made."""
    n = [] if "--n" in flags else ["--n", "1"]
    code, _, said = run(capsys, "generate", place / "run", *n, *flags, "--out", tmp_path / "made")
    assert code == 2 and words in said
    assert not (tmp_path / "made").exists()


def test_what_is_there_is_not_replaced(place, tmp_path, capsys) -> None:
    """Unless asked; a file is no folder, and the model is no output."""
    words = ("generate", place / "run", "--n", 1, "--out", tmp_path / "made")
    assert run(capsys, *words)[0] == 0
    code, _, said = run(capsys, *words)
    assert code == 2 and "exists" in said and "--overwrite" in said
    assert run(capsys, *words, "--overwrite")[0] == 0
    assert run(capsys, *words[:2], "--n", 3, *words[4:], "--overwrite")[0] == 0
    code, _, said = run(capsys, *words, "--overwrite")
    assert code == 2 and "2 would stay, from generated_0001.tif" in said and "Delete them" in said
    for side in ("source", "target"):
        for stays in (1, 2):
            (tmp_path / "made" / side / f"generated_000{stays}.tif").unlink()
    assert run(capsys, *words, "--overwrite")[0] == 0
    (tmp_path / "file").touch()
    code, _, said = run(capsys, "generate", place / "run", "--n", 1, "--out", tmp_path / "file")
    assert code == 2 and "is a file" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda flags: [*flags, "--z", "volume"], "z must be frame"),
        (lambda flags: [*flags, "--valid", "masks"], "cannot have --valid"),
        (lambda flags: [*flags, "--domains", "(.)"], "several domains. Leave it out"),
        (lambda flags: [*flags, "--condition", "(x)"], "--condition must fit the names of all images"),
        (lambda flags: [*flags, "--condition", "nowhere.csv"], "there is no file nowhere.csv"),
        (lambda flags: [*without("--patch-size"), "--patch-size", "32"], "is 24 x 24. Choose --patch-size 16"),
        (lambda flags: [*without("--patch-size"), "--patch-size", "24"], "a power of two for gan"),
        (lambda flags: [*flags, "--validation-source", "s", "--validation-target", "t"], "no pairs to be judged by"),
        (lambda flags: [*flags, "--l1-weight", "3"], "l1_weight"),
    ],
)
def test_what_cannot_be_learned_from(place, tmp_path, capsys, change, words) -> None:
    """One sentence with what to do; nothing is left."""
    flags = change(list(SMALL))
    code, _, said = run(capsys, "train", place / "source", place / "target", *flags, "--out", tmp_path / "run")
    assert code == 2 and words.replace("l1_weight", "") in said and said.count("error: ") == 1
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_what_the_sentence_on_minimax_says_works(place, tmp_path, capsys) -> None:
    """Typed as it is said."""
    words = ("train", place / "source", *SMALL, "--objective", "minimax", "--out", tmp_path / "run")
    code, _, said = run(capsys, *words)
    assert code == 2 and "or --preset vanilla" in said
    assert run(capsys, *words, "--preset", "vanilla")[0] == 0


def test_few_images_and_a_class_of_one_are_told(place, tmp_path, capsys) -> None:
    """A table of classes as spreadsheets write it; an empty cell is not known; a class of one will be copies."""
    names = sorted(path.name for path in (place / "source").iterdir())
    rows = [f"{name};{kind}" for name, kind in zip(names, ("x", "y", "y", "", "y", "y"), strict=True)]
    (tmp_path / "classes.csv").write_text("\n".join(["name;class", *rows]))
    words = ("train", place / "source", *SMALL, "--condition", tmp_path / "classes.csv", "--out", tmp_path / "run")
    code, _, said = run(capsys, *words, "--validation-share", 0)
    assert code == 0 and "A class should have several images; x has one" in said
    code, _, said = run(capsys, "generate", tmp_path / "run", "--n", 2, "--condition", "y", "--out", tmp_path / "made")
    assert code == 0
    few = ("train", place / "source", *without("--batch-size"), "--batch-size", 8, "--out", tmp_path / "few")
    code, _, said = run(capsys, *few)
    assert code == 0 and "at least as many images as a batch has patches, 8" in said


def test_check_looks_at_images_alone_and_with_targets(place, capsys) -> None:
    """And names what cannot be."""
    code, said, _ = run(capsys, "check", place / "source", "--method", "gan", "--patch-size", 16)
    assert code == 0 and "6 frames" in said and "usable" in said
    code, said, _ = run(capsys, "check", place / "source", place / "target", "--method", "gan", "--patch-size", 16)
    assert code == 0 and "usable" in said
    code, said, _ = run(capsys, "check", place / "source", "--method", "gan", "--patch-size", 64)
    assert code == 1 and "not usable: Images must be at least as large as a patch" in said


def test_time_is_measured_where_networks_grow(place, tmp_path, capsys) -> None:
    """Each phase counts, the last levels take longest; it is recorded as steps."""
    code, _, said = run(
        capsys, "train", place / "source", *without("--steps"), "--minutes", 0.02, "--out", tmp_path / "run"
    )
    assert code == 0 and "To repeat it exactly" in said
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["steps"] >= 5, "a step for each phase"
