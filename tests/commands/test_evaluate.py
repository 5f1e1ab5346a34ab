"""What people see of an evaluation: figures beside baselines, what is wrong in a sentence, what is seen marked."""

import csv
import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from small import SMALL_FLAGS, blobs, untrained


def run(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def metrics(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Folders of pairs of grey values that train and others that do not; a trained run and an L1-only one."""
    folder = tmp_path_factory.mktemp("work")
    for kind, seeds in (("train", range(4)), ("test", range(4, 8))):
        for i in seeds:
            source = blobs(seed=i)[0]
            for side, image in (("source", source), ("target", source // 2 + 100), ("label", blobs(seed=i)[1])):
                (folder / kind / side).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(folder / kind / side / f"cell {i}.tif", image)
    pairs = ["train", f"{folder}/train/source", f"{folder}/train/target"]
    assert main([*pairs, "--out", f"{folder}/run", *SMALL_FLAGS]) == 0
    assert main([*pairs, "--out", f"{folder}/run/l1_only", *SMALL_FLAGS, "--gan-weight", "0"]) == 0
    return folder


def test_an_evaluation_is_beside_its_baselines(work, tmp_path, capsys) -> None:
    """Constant, affine, the L1-only model of the run and any other; worst first; a table with a row for each frame."""
    pairs = [work / "test" / "source", work / "test" / "target"]
    code, text, _ = run(capsys, "evaluate", work / "run", *pairs, "--beside", work / "run", "--out", tmp_path / "e")
    said = metrics(tmp_path / "e")
    assert (code, said["seen"], said["kind_of_pairs"]) == (0, False, "test")
    assert list(said["baselines"]) == ["constant", "affine", "l1_only", "run"]
    assert said["baselines"]["run"]["mae"] == said["metrics"]["mae"]
    assert said["baselines"]["affine"]["mae"]["value"] < 1  # the target is an affine map of the source
    assert said["baselines"]["constant"]["pearson"]["value"] is None
    assert "constant and affine need no network and are fitted on these very pairs" in text
    assert said["intervals"] == {"over": "images", "n": 4}
    errors = [row["mae"] for row in said["files"]]
    assert errors == sorted(errors, reverse=True)
    with (tmp_path / "e" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [row["name"] for row in said["files"]]
    assert [float(row["mae"]) for row in rows] == errors


def test_what_made_a_model_is_refused_or_marked(work, tmp_path, capsys) -> None:
    """Exit 2; with --allow-seen every line of figures is marked, and the kind of pairs is what they were."""
    words = ["evaluate", work / "run", work / "train" / "source", work / "train" / "target", "--out", tmp_path / "e"]
    code, _, err = run(capsys, *words)
    assert (code, "must not have made it" in err, "--allow-seen" in err) == (2, True, True)
    assert not (tmp_path / "e").exists()
    code, text, _ = run(capsys, *words, "--allow-seen")
    said = metrics(tmp_path / "e")
    assert (code, said["seen"], said["kind_of_pairs"]) == (0, True, "train")
    lines = text.splitlines()
    assert all(line.endswith("SEEN") for line in lines[1 : lines.index(said["remarks"][0])])
    with (work / "run" / "split.csv").open(newline="") as file:
        kinds = {row["name"]: row["kind"] for row in csv.DictReader(file)}
    assert {row["name"]: row["seen"] for row in said["files"]} == kinds
    assert set(kinds.values()) == {"train", "validation", "calibration"}


def test_validation_files_of_their_own_are_seen(work, tmp_path, capsys) -> None:
    """They chose the model, though no part of them trained it."""
    sides = [work / "train" / "source", work / "train" / "target"]
    judges = [work / "test" / "source" / "cell 4.tif", work / "test" / "target" / "cell 4.tif"]
    flags = ["--validation-source", judges[0], "--validation-target", judges[1]]
    assert run(capsys, "train", *sides, *flags, "--out", tmp_path / "run", *SMALL_FLAGS)[0] == 0
    code, _, err = run(capsys, "evaluate", tmp_path / "run", *judges, "--out", tmp_path / "e")
    assert (code, "cell 4 chose the model" in err) == (2, True)


def test_a_part_that_was_kept_apart_may_judge(tmp_path, capsys) -> None:
    """Inside one image: the part that neither trained nor chose is no seen pair, as long as only it is known."""
    source = blobs((96, 384))[0]
    for name, image in (("a", source), ("b", source // 2)):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    mask = np.zeros(source.shape, np.uint8)
    pair = [tmp_path / "a.tif", tmp_path / "b.tif"]
    assert run(capsys, "train", *pair, "--out", tmp_path / "run", *SMALL_FLAGS, "--calibration-share", "0")[0] == 0
    with (tmp_path / "run" / "split.csv").open(newline="") as file:
        first, second = ((int(row["x_start"]), int(row["x_stop"])) for row in csv.DictReader(file))
    assert second[0] - first[1] == 21  # the generator's reach lies between them
    words = ["evaluate", tmp_path / "run", *pair, "--valid", tmp_path / "mask.tif", "--out", tmp_path / "e"]
    for stop, code in ((second[0], 0), (second[0] + 1, 2)):
        mask[:, first[1] : stop] = 1
        tifffile.imwrite(tmp_path / "mask.tif", mask)
        assert run(capsys, *words)[0] == code
    said = metrics(tmp_path / "e")
    assert said["seen"] is False
    assert "figures from within it say nothing about another" in said["remarks"][0]


def test_groups_are_not_shared_and_give_intervals(work, tmp_path, capsys) -> None:
    """A slide that trained is refused whatever its file; intervals are over slides."""
    groups = tmp_path / "groups.csv"
    groups.write_text("name,group\n" + "".join(f"cell {i},slide {i // 2}\n" for i in range(8)))
    sides = [work / "train" / "source", work / "train" / "target"]
    words = ["train", *sides, "--groups", groups, "--out", tmp_path / "run", *SMALL_FLAGS]
    assert run(capsys, *words)[0] == 0
    pairs = [work / "test" / "source", work / "test" / "target"]
    assert run(capsys, "evaluate", tmp_path / "run", *pairs, "--groups", groups, "--out", tmp_path / "e")[0] == 0
    assert metrics(tmp_path / "e")["intervals"] == {"over": "groups", "n": 2}
    groups.write_text("name,group\n" + "".join(f"cell {i},slide {i // 5}\n" for i in range(8)))
    words = ["train", *sides, "--groups", groups, "--out", tmp_path / "one", *SMALL_FLAGS, "--validation-share", "0"]
    assert run(capsys, *words)[0] == 0
    code, _, err = run(capsys, "evaluate", tmp_path / "one", *pairs, "--groups", groups, "--out", tmp_path / "f")
    assert (code, "cell 4 trained the model" in err) == (2, True)


def test_bad_input_is_told_in_a_sentence(work, tmp_path, capsys) -> None:
    """The rest is evaluated and exit 1; nothing to evaluate is exit 2, and nothing is half-written."""
    source, target = work / "test" / "source", work / "test" / "target"
    some = tmp_path / "some"
    some.mkdir()
    for i in (4, 5):
        (some / f"cell {i}.tif").write_bytes((target / f"cell {i}.tif").read_bytes())
    tifffile.imwrite(some / "cell 6.tif", np.zeros((50, 60), np.uint16))
    code, _, err = run(capsys, "evaluate", work / "run", source, some, "--out", tmp_path / "e")
    assert (code, metrics(tmp_path / "e")["n"], metrics(tmp_path / "e")["failed"]) == (1, 2, ["cell 7", "cell 6"])
    assert "failed: cell 7 is left out: it has no target of the same name." in err
    assert "cell 6 is left out: Source and target of cell 6 must show the same pixels" in err

    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "z.tif").write_bytes((target / "cell 4.tif").read_bytes())
    (tmp_path / "file").write_text("")
    for words, sentence in (
        ([source, tmp_path / "others"], "no name is in both"),
        ([source, work / "test" / "label"], "must be grey values; these look like labels (instances)"),
        ([source, tmp_path / "empty"], "There must be images at"),
        ([source, target, "--stain", "hed"], "must be looked for in RGB images"),
        ([source, target, "--objects", tmp_path / "empty"], "There must be images at"),
    ):
        code, _, err = run(capsys, "evaluate", work / "run", *words, "--out", tmp_path / "x")
        assert (code, sentence in err) == (2, True), err
        assert not (tmp_path / "x").exists()
    for out, sentence in ((tmp_path / "e", "must not exist yet"), (tmp_path / "file", "must go to a folder")):
        code, _, err = run(capsys, "evaluate", work / "run", source, target, "--out", out)
        assert (code, sentence in err) == (2, True)


def test_labels_must_be_labels(work, tmp_path, capsys) -> None:
    """Grey values against a model of objects, and a class that a model of classes does not know."""
    source, label = work / "train" / "source", work / "train" / "label"
    words = ["train", source, label, "--out", tmp_path / "objects", *SMALL_FLAGS, "--target-kind", "instances"]
    assert run(capsys, *words)[0] == 0
    pairs = [work / "test" / "source", work / "test" / "target"]
    code, _, err = run(capsys, "evaluate", tmp_path / "objects", *pairs, "--out", tmp_path / "e")
    assert (code, "must be labels (instances); these look like grey values" in err) == (2, True)
    for folder, factor in (("two", 1), ("strange", 7)):
        (tmp_path / folder).mkdir()
        for path in label.iterdir():
            classes = (tifffile.imread(path) > 0).astype(np.uint8) * factor
            classes[:, 0] = 0 if factor == 1 else 9  # two codes alone would be taken as the model's two
            tifffile.imwrite(tmp_path / folder / path.name, classes)
    assert run(capsys, "train", source, tmp_path / "two", "--out", tmp_path / "classes", *SMALL_FLAGS)[0] == 0
    words = ["evaluate", tmp_path / "classes", source, tmp_path / "strange", "--out", tmp_path / "e"]
    code, _, err = run(capsys, *words, "--allow-seen")
    assert (code, "must hold its classes [0, 1] only; cell 0 holds [7, 9]" in err) == (2, True)
    words = ["evaluate", tmp_path / "classes", source, tmp_path / "two", "--out", tmp_path / "e", "--allow-seen"]
    assert run(capsys, *words)[0] == 0
    said = metrics(tmp_path / "e")
    assert np.sum(said["confusion"]["counts"]) == 4 * 96 * 128
    assert list(said["classes"]) == ["0", "1"]
    assert list(said["baselines"]) == ["constant", "otsu_bright", "otsu_dark"]


def test_any_tools_predictions_are_compared_image_by_image(work, tmp_path, capsys) -> None:
    """A better one is told as better, the same as not told apart; other files are refused."""
    target = work / "test" / "target"
    for name, noise in (("near", 10), ("far", 40)):
        (tmp_path / name).mkdir()
        for i, path in enumerate(sorted(target.iterdir())):
            image = tifffile.imread(path).astype(float)
            noisy = image + np.random.default_rng(i).normal(0, noise, image.shape)
            tifffile.imwrite(tmp_path / name / path.name, noisy.astype(np.uint16))
        assert run(capsys, "evaluate", "--prediction", tmp_path / name, target, "--out", tmp_path / f"e {name}")[0] == 0
    said = metrics(tmp_path / "e near")
    assert said["seen"] is None
    assert list(said["baselines"]) == ["constant"]
    folders = [tmp_path / "e far", tmp_path / "e near"]
    code, text, _ = run(capsys, "compare", *folders, "--out", tmp_path / "c.json")
    found = json.loads((tmp_path / "c.json").read_text())
    (differences,) = found["differences"].values()
    a, b = ({row["name"]: row["mae"] for row in metrics(folder)["files"]} for folder in folders)
    assert differences["mae"]["value"] == pytest.approx(np.mean([b[name] - a[name] for name in a]))
    assert (differences["mae"]["verdict"], differences["psnr"]["verdict"]) == ("better", "better")
    assert (code, found["n"], "better" in text) == (0, 4, True)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "metrics.json").write_text((folders[0] / "metrics.json").read_text())
    code, text, _ = run(capsys, "compare", folders[0], copy, "--json")
    same = json.loads(text)["differences"][str(copy)]
    assert (same["mae"]["value"], same["mae"]["verdict"]) == (0, "not told apart")

    other = metrics(copy)
    other["files"] = [row | {"name": f"other {row['name']}"} for row in other["files"]]
    (copy / "metrics.json").write_text(json.dumps(other))
    for words, sentence in (
        ([folders[0], copy], "no file is in all of"),
        ([folders[0], folders[0]], "e far is given twice. Leave one out."),
        ([folders[0], folders[0] / "metrics.json"], "/e far. Leave one out."),
        ([folders[0], tmp_path], "has none, but 3 below it"),
        ([folders[0]], "at least two evaluations"),
        ([folders[0], tmp_path / "near"], "must hold metrics.json"),
        ([*folders, "--out", tmp_path / "c.json"], "must not exist yet"),
    ):
        code, _, err = run(capsys, "compare", *words)
        assert (code, sentence in err) == (2, True)


def test_objects_are_counted_and_measured(work, tmp_path, capsys) -> None:
    """Half as bright as they should be: as many, slope one half, and no measurement; label images serve, too."""
    label, truth, half = work / "test" / "label", tmp_path / "truth", tmp_path / "half"
    for folder, factor in ((truth, 1.0), (half, 0.5)):
        folder.mkdir()
        for i, path in enumerate(sorted(label.iterdir())):
            objects = tifffile.imread(path)
            bright = 1000 + 40 * objects.astype(float) + np.random.default_rng(i).normal(0, 5, objects.shape)
            tifffile.imwrite(folder / path.name, (np.where(objects > 0, bright, 100) * factor).astype(np.uint16))
    words = ["evaluate", "--prediction", half, truth, "--target-kind", "intensity", "--out", tmp_path / "e"]
    code, text, _ = run(capsys, *words, "--objects", label)
    (found,) = metrics(tmp_path / "e")["objects"]
    assert (code, found["intensity"]["slope"]["value"]) == (0, pytest.approx(0.5, abs=0.01))
    low, high = (limit["value"] for limit in found["intensity"]["limits"])
    assert low < found["intensity"]["bias"]["value"] < high < 0
    numbers = sum(len(np.unique(tifffile.imread(path))) - 1 for path in label.iterdir())
    assert found["intensity"]["n"] == numbers
    assert found["counts"]["number"] == found["counts"]["number_target"]
    assert "cannot be used as measurements: dim and bright ones are drawn together (slope 0.50" in text
    assert run(capsys, *words, "--objects", "otsu", "--overwrite")[0] == 0
    (found,) = metrics(tmp_path / "e")["objects"]
    assert found["counts"]["number_target"]["value"] > 5
    same = ["evaluate", "--prediction", truth, truth, "--target-kind", "intensity", "--out", tmp_path / "s"]
    assert run(capsys, *same, "--objects", "otsu")[0] == 0
    (found,) = metrics(tmp_path / "s")["objects"]
    assert found["counts"]["number"] == found["counts"]["number_target"]
    assert found["sentence"].startswith("Predicted intensities can be used as measurements")
    assert found["positive"]["prediction"] == found["positive"]["target"]
    code, _, err = run(capsys, *same[:-1], tmp_path / "d", "--draws", "4")
    assert code == 2 and "Draws must be of a model; a prediction is one. Leave --draws out." in err
    pairs = [work / "test" / "source", work / "test" / "target"]
    words = ["evaluate", work / "run", *pairs, "--draws", "4", "--out", tmp_path / "d"]
    assert run(capsys, *words)[0] == 2
    code, text, _ = run(capsys, *words, "--objects", label)
    (found,) = metrics(tmp_path / "d")["objects"]
    assert code == 0 and found["information"]["n_draws"] == 4 and found["information"]["difference"]["low"] is not None
    assert "Of an object 4 draws tell" in text and "bits: draws more" in (tmp_path / "d" / "report.html").read_text()


def test_a_model_finds_the_objects_of_both_sides(work, tmp_path, capsys) -> None:
    """Given as a file or as the folder of its run; one that finds no objects is refused, and nothing is written."""
    image, label = blobs()
    untrained(image[None], label[None], "instances", gan_weight=0.0).save(tmp_path / "m" / "model.safetensors")
    untrained(image[None], image[None], gan_weight=0.0).save(tmp_path / "grey.safetensors")
    target = work / "test" / "target"
    words = ["evaluate", "--prediction", target, target, "--out", tmp_path / "e", "--objects"]
    for objects in (tmp_path / "m", tmp_path / "m" / "model.safetensors"):
        code, text, err = run(capsys, *words, objects, "--overwrite")
        assert code == 0, err
        (found,) = metrics(tmp_path / "e")["objects"]
        assert found["counts"]["object_f1_iou50"]["value"] == 1 and "read-outs  Of 11 read-outs of objects: " in text
    page = (tmp_path / "e" / "report.html").read_text()
    assert "objects found at IoU 0.5, F1" in page and ">Read-outs</h2>" in page
    words[5] = tmp_path / "x"
    code, _, err = run(capsys, *words, tmp_path / "grey.safetensors")
    assert code == 2 and "A model that counts objects must find labels in grey values; this one does not." in err
    code, _, err = run(capsys, *words, tmp_path / "none.safetensors")
    assert code == 2 and "none.safetensors" in err
    assert not (tmp_path / "x").exists()


def test_brown_stain_is_measured(tmp_path, capsys) -> None:
    """The mask of DAB in the truth and in a prediction that misses half of it: Dice two thirds."""
    brown, white = np.array([120, 70, 30]), np.array([250, 250, 250])
    stained = np.zeros((64, 64), bool)
    stained[10:30, 10:50] = True
    half = stained.copy()
    half[:, 30:] = False
    for name, mask in (("a", half), ("b", stained)):
        image = np.where(mask[..., None], brown, white).astype(np.uint8)
        tifffile.imwrite(tmp_path / f"{name}.tif", image, photometric="rgb")
    words = ["evaluate", "--prediction", tmp_path / "a.tif", tmp_path / "b.tif", "--out", tmp_path / "e"]
    code, text, _ = run(capsys, *words, "--stain", "hed")
    said = metrics(tmp_path / "e")["stain"]["metrics"]
    assert (code, said["dice"]["value"]) == (0, pytest.approx(2 / 3, abs=0.01))
    assert said["share_target"]["value"] == pytest.approx(stained.mean(), abs=0.01)
    assert "DAB stain  dice 0.66" in text


def test_kinds_of_error_are_apart() -> None:
    """A displaced prediction is displaced, a blurred one soft, and one with an object too many invents it."""
    random = np.random.default_rng(0)
    target = ndimage.gaussian_filter(random.normal(size=(3, 128, 128)), (0, 2, 2))
    target = ((target - target.min()) / np.ptp(target) * 1000).astype(np.uint16)
    errors = {}
    for name, prediction in (
        ("moved", np.roll(target, (2, -3), axis=(1, 2))),
        ("soft", ndimage.gaussian_filter(target, (0, 3, 3))),
        ("same", target),
    ):
        said = core.evaluate_prediction(prediction, target, "TYX", kind="intensity", pixel_size_um={"Y": 0.5, "X": 0.5})
        errors[name] = said["errors"]
        if name == "moved":
            assert said["ceiling"]["metrics"]["mae"]["value"] == pytest.approx(said["metrics"]["mae"]["value"], rel=0.2)
    assert errors["moved"]["displaced"]["pixels"] == pytest.approx([-2, 3], abs=0.2)
    assert errors["moved"]["displaced"]["length_um"] == pytest.approx(np.hypot(2, 3) / 2, abs=0.1)
    assert errors["moved"]["soft"][0]["half"] is None
    assert errors["soft"]["displaced"]["length"] == pytest.approx(0, abs=0.2)
    assert errors["soft"]["soft"][0]["half"] == pytest.approx(np.sqrt(np.log(2)) / (6 * np.pi), rel=0.3)
    assert errors["same"]["invented"]["objects"] == errors["same"]["missing"]["objects"] == 0

    dark = np.full((1, 64, 64), 100, np.uint16)
    dark[0, 5:15, 5:15] = 900
    extra = dark.copy()
    extra[0, 40:50, 40:50] = 900
    size = {"Y": 10.0, "X": 10.0}
    said = core.evaluate_prediction(extra, dark, "TYX", kind="intensity", pixel_size_um=size)["errors"]
    assert (said["invented"]["objects"], said["invented"]["of"], said["missing"]["objects"]) == (1, 2, 0)
    assert said["invented"]["per_mm2"] == pytest.approx(1 / 0.64**2)
