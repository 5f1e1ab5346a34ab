"""Pairs of several conditions by the command: each is trained, predicted, scored and judged as what it is."""

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main, run_command
from napari_pix2pix.files.stacks import open_stack
from small import blobs

pytestmark = pytest.mark.filterwarnings("ignore:Every validation prediction", "ignore:No room for")
SMALL = [
    *("--generator.levels", "2", "--generator.base-channels", "4", "--discriminator.base-channels", "4"),
    *("--discriminator.n-layers", "1", "--patch-size", "16", "--batch-size", "2", "--trust-steps", "0"),
    *("--steps", "6", "--validate-every", "3", "--target-kind", "intensity", "--device", "cpu"),
]


def run(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command."""
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Eight pairs of the lines a and b, a table of these, and a run of them; two pairs more that did not train."""
    folder = tmp_path_factory.mktemp("conditions")
    for kind, numbers in (("train", range(8)), ("test", range(8, 10))):
        for side in ("source", "target"):
            (folder / kind / side).mkdir(parents=True)
        for i in numbers:
            image = blobs((48, 64), seed=i)[0]
            tifffile.imwrite(folder / kind / "source" / f"{'ab'[i % 2]}_{i}.tif", image)
            tifffile.imwrite(folder / kind / "target" / f"{'ab'[i % 2]}_{i}.tif", image // 2 + 900 * (i % 2))
    rows = "".join(f"{'ab'[i % 2]}_{i}.tif,{'ab'[i % 2]}\n" for i in range(10))
    (folder / "all.csv").write_text(f"name,line\n{rows}")
    (folder / "train.csv").write_text("name,line\n" + "".join(rows.splitlines(keepends=True)[:8]))
    words = ["train", *sides(folder, "train"), *SMALL, "--condition", folder / "train.csv", "--out", folder / "run"]
    assert main([str(word) for word in words]) == 0
    words = ["train", *sides(folder, "train"), *SMALL, "--out", folder / "plain"]
    assert main([str(word) for word in words]) == 0
    return folder


def sides(folder, kind: str) -> list:
    return [folder / kind / side for side in ("source", "target")]


def weights(run) -> dict:
    return core.load_model(run / "model.safetensors", "cpu").tensors()


def require_same(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys() and all((value == theirs[name]).all() for name, value in ours.items())


def test_a_run_tells_its_conditions(place, capsys) -> None:
    """With how many pairs each has, in card, report and JSON; the run keeps what each pair is of."""
    code, out, _ = run(capsys, "info", place / "run")
    assert code == 0 and "a (4 pairs), b (4 pairs)" in out
    code, out, _ = run(capsys, "info", place / "run", "--json")
    told = json.loads(out.splitlines()[-1])
    assert told["conditions"] == {"sets": {"line": ["a", "b"]}} and told["directions"] == ["target"]
    assert told["provenance"]["conditions"] == {"a": 4, "b": 4}
    page = (place / "run" / "report.html").read_text()
    assert "constant planes beside the source" in page and "By condition" in page and "a (4 pairs)" in page


def test_stopped_and_resumed_it_ends_with_the_same_weights(place, tmp_path, capsys) -> None:
    """Also if its table has gone meanwhile: the run knows."""
    shutil.copy(place / "train.csv", tmp_path / "t.csv")
    steps: list[int] = []

    def draw(events) -> int:
        for event in events:
            steps.extend([event["done"]] if event.get("unit") == "steps" else [])
        return 0

    words = ["train", *sides(place, "train"), *SMALL, "--condition", tmp_path / "t.csv", "--out", tmp_path / "run"]
    run_command([str(word) for word in words], draw, stop=lambda: bool(steps))
    assert steps == [1]
    (tmp_path / "t.csv").unlink()
    assert run(capsys, "train", "--resume", tmp_path / "run", "--device", "cpu")[0] == 0
    require_same(weights(tmp_path / "run"), weights(place / "run"))


def test_each_file_is_predicted_and_scored_as_what_it_is(place, tmp_path, capsys) -> None:
    """A condition for all, a table with one for each, or none; in tiles or whole; the files say of what they are."""
    model, (source, target) = core.load_model(place / "run" / "model.safetensors", "cpu"), sides(place, "test")
    images = {name: tifffile.imread(source / f"{name}.tif") for name in ("a_8", "b_9")}
    said = {"table": place / "all.csv", "a": "a", "none": None}
    for out, condition in said.items():
        flags = ["--condition", condition] if condition else []
        code, _, err = run(capsys, "predict", place / "run", source, *flags, "--out", tmp_path / out)
        assert code == 0 and ("Of a_8.tif and 1 more the condition is not said" in err) == (condition is None)
        assert run(capsys, "score", place / "run", source, target, *flags, "--out", tmp_path / f"{out} scored")[0] == 0
        for name, image in images.items():
            own = {"table": name[0], "a": "a", "none": None}[out]
            made = open_stack(tmp_path / out / f"{name}.tif")
            np.testing.assert_array_equal(made.array[...], model.predict(image, condition=own))
            tiled = model.predict(image, condition=own, tile_size=16)
            np.testing.assert_allclose(made.array[...].astype(float), tiled.astype(float), rtol=1e-3, atol=1)
            assert json.loads(made.description).get("condition") == own
            scored = model.score(image, tifffile.imread(target / f"{name}.tif"), condition=own)
            found = open_stack(tmp_path / f"{out} scored" / f"{name}.tif")
            np.testing.assert_array_equal(found.array[...], scored.scores)
            assert json.loads(found.description).get("condition") == own
    a, b, none = (model.predict(images["a_8"], condition=name) for name in ("a", "b", None))
    assert (a != b).any() and (a != none).any() and (b != none).any()


def test_what_is_done_is_kept_unless_its_condition_changes(place, tmp_path, capsys) -> None:
    """Of two files one row of the table changes: the other is done before; in shards and by workers the same."""
    source, table = place / "test" / "source", tmp_path / "t.csv"
    words = "predict", place / "run", source, "--condition", table, "--out", tmp_path / "p", "--json"
    table.write_text("name,line\na_8,a\nb_9,b\n")
    assert run(capsys, *words, "--shard", "1/2")[0] == run(capsys, *words, "--shard", "2/2")[0] == 0
    code, out, _ = run(capsys, *words)
    assert code == 0 and json.loads(out.splitlines()[-1])["done_before"] == 2
    before = {path.name: path.read_bytes() for path in (tmp_path / "p").glob("*.tif")}
    table.write_text("name,line\na_8,a\nb_9,\n")
    code, out, _ = run(capsys, *words)
    assert code == 2 and "overwrite" in out
    code, out, _ = run(capsys, *words, "--overwrite")
    assert (
        code == 0
        and json.loads(out.splitlines()[-1])["done_before"] == 1
        and "b_9.tif the condition is not said" in out
    )
    after = {path.name: path.read_bytes() for path in (tmp_path / "p").glob("*.tif")}
    assert after["a_8.tif"] == before["a_8.tif"] and after["b_9.tif"] != before["b_9.tif"]


def test_figures_are_told_by_condition(place, tmp_path, capsys) -> None:
    """Of a model that knows them, one that does not, and of any tool's predictions; as Python finds them."""
    test = sides(place, "test")
    flags = "--condition", "^(.)_"
    for name in ("run", "plain"):
        code, out, _ = run(capsys, "evaluate", place / name, *test, *flags, "--out", tmp_path / name)
        assert code == 0 and "(1 frame)" in out
        told = json.loads((tmp_path / name / "metrics.json").read_text())
        assert {called: part["n"] for called, part in told["conditions"].items()} == {"a": 1, "b": 1}
        with (tmp_path / name / "metrics.csv").open(newline="") as file:
            assert {row["name"]: row["condition"] for row in csv.DictReader(file)} == {"a_8": "a", "b_9": "b"}
        assert "By condition" in (tmp_path / name / "report.html").read_text()
        model = core.load_model(place / name / "model.safetensors", "cpu")
        arrays = ([tifffile.imread(path) for path in sorted(side.iterdir())] for side in test)
        found = core.evaluate(model, *arrays, "YX", names=["a_8", "b_9"], conditions=["a", "b"])
        assert found["conditions"] == told["conditions"]
    words = "evaluate", "--prediction", test[0], test[1], *flags, "--out", tmp_path / "any"
    assert run(capsys, *words)[0] == 0
    told = json.loads((tmp_path / "any" / "metrics.json").read_text())
    assert {called: part["n"] for called, part in told["conditions"].items()} == {"a": 1, "b": 1}


def test_a_model_is_taught_to_judge_what_it_makes_of_each(place, tmp_path, capsys) -> None:
    """As in Python of the same pairs; a prediction is judged with the condition that it was made with."""
    flags = ["--condition", place / "all.csv", "--trust-steps", "2", "--device", "cpu"]
    words = "fit-trust", place / "run", *sides(place, "train"), *flags, "--out", tmp_path / "m.safetensors"
    assert run(capsys, *words)[0] == 0
    source = place / "test" / "source"
    words = "predict", tmp_path / "m.safetensors", source, "--condition", place / "all.csv", "--trust", "--out"
    assert run(capsys, *words, tmp_path / "p")[0] == 0 and len(list((tmp_path / "p").glob("*.tif"))) == 6


def test_validation_and_test_pairs_have_theirs_from_the_same_table(place, tmp_path, capsys) -> None:
    """Which names all of them; of a model to start from a class or two suffice."""
    judges = ["--test-source", place / "test" / "source", "--test-target", place / "test" / "target"]
    words = ["train", *sides(place, "train"), *SMALL, *judges]
    assert run(capsys, *words, "--condition", place / "all.csv", "--out", tmp_path / "run")[0] == 0
    told = core.load_model(tmp_path / "run" / "model.safetensors", "cpu").provenance
    assert [row["line"] for row in told["pairs"]["test"]["conditions"]] == ["a", "b"] and told["figures"]["test"]
    more = tmp_path / "more"
    for side in ("source", "target"):
        (more / side).mkdir(parents=True)
        for i in (0, 2):
            shutil.copy(place / "train" / side / f"a_{i}.tif", more / side / f"a_{i}.tif")
    words = "train", *sides(tmp_path, "more"), "--from", place / "run", "--steps", "2", "--condition", "^(.)_"
    code, _, err = run(capsys, *words, "--with-old-pairs", "--out", tmp_path / "next")
    assert code == 0, err
    model = core.load_model(tmp_path / "next" / "model.safetensors", "cpu")
    assert model.conditions.names == ("a", "b") and model.provenance["conditions"] == {"a": 2, "b": 0}
    code, _, err = run(capsys, *words[:-1], "^a_(.)", "--out", tmp_path / "x")
    assert code == 2 and err.count("error:") == 1 and "knows, a, b" in err and not (tmp_path / "x").exists()
    code, _, err = run(capsys, *words[:4], place / "plain", *words[5:], "--out", tmp_path / "x")
    assert code == 2 and "of none" in err and not (tmp_path / "x").exists()


def test_what_cannot_be_is_one_sentence(place, tmp_path, capsys) -> None:
    """Files that are not there, one class, classes that the model does not know, models and methods that have none."""
    source, target = sides(place, "train")
    table = tmp_path / "t.csv"
    rows = (place / "train.csv").read_text()
    train = "train", source, target, *SMALL, "--condition", table
    for content, said in (
        (rows + "c_9,c\n", "names c_9, of which there is no file"),
        (rows.replace(",b", ",a"), "at least two classes of line; got a"),
        ("name\na_0\n", "must have the columns"),
        ("name,line\nz,a\n", "names none of 8"),
        (rows + "a_0,b\n", "names a_0 twice"),
    ):
        table.write_text(content)
        code, _, err = run(capsys, *train, "--out", tmp_path / "x")
        assert code == 2 and err.count("error:") == 1 and said in err and not (tmp_path / "x").exists(), err
        _, out, err = run(capsys, "check", source, target, "--condition", table)
        assert said in out + err
    code, _, err = run(capsys, *train[:-1], "^x(.)", "--out", tmp_path / "x")
    assert code == 2 and "fits none" in err
    code, _, err = run(capsys, *train[:-1], tmp_path / "no.csv", "--out", tmp_path / "x")
    assert code == 2 and "no file" in err
    for method in ("cyclegan", "stargan"):
        words = "train", source, *([target] if method == "cyclegan" else []), "--method", method, "--condition", "(.)_"
        code, _, err = run(capsys, *words, "--out", tmp_path / "x")
        assert code == 2 and "cannot have `condition`" in err.replace("--condition", "`condition`"), err
    one = place / "test" / "source" / "a_8.tif"
    for words, said in (
        (("predict", place / "run", one, "--condition", "c"), "knows, a, b; got c"),
        (("predict", place / "plain", one, "--condition", "a"), "learned without conditions"),
        (("predict", place / "plain", one, "--condition", place / "all.csv"), "learned without conditions"),
        (("predict", place / "run", one, "--condition", place / "train.csv"), "names none"),
        (("score", place / "run", one, one, "--condition", "c"), "knows, a, b; got c"),
    ):
        code, _, err = run(capsys, *words, "--out", tmp_path / "x.tif")
        assert code == 2 and err.count("error:") == 1 and said in err and not (tmp_path / "x.tif").exists(), err
    words = "fit-trust", place / "plain", source, target, "--condition", place / "train.csv"
    code, _, err = run(capsys, *words, "--out", tmp_path / "x.safetensors")
    assert code == 2 and "of none" in err
    words = "evaluate", place / "run", *sides(place, "test"), "--condition", "_(.)"
    code, _, err = run(capsys, *words, "--out", tmp_path / "e")
    assert code == 2 and "knows, a, b" in err and not (tmp_path / "e").exists()


def test_pairs_of_no_known_condition_train_as_such_and_are_told(place, tmp_path, capsys) -> None:
    """Whether their cell is empty or the table leaves them out."""
    rows = (place / "train.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([*rows[:-2], "a_6,"]) + "\n")
    words = "train", *sides(place, "train"), *SMALL, "--condition", tmp_path / "t.csv", "--out", tmp_path / "run"
    code, out, err = run(capsys, *words)
    assert code == 0 and "The condition of 2 of 8 pairs is not known" in out + err and "not known 2" in out + err
    assert core.load_model(tmp_path / "run" / "model.safetensors", "cpu").provenance["conditions"]["not known"] == 2
