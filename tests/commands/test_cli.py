"""The command line does what Python does, and tells what is wrong in one sentence."""

import csv
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands import train as train_command
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.files.stacks import open_stack
from small import SMALL_FLAGS, blobs

FLAGS = [*SMALL_FLAGS, "--target-kind", "instances"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a pair, folders of pairs, and a trained run."""
    folder = tmp_path_factory.mktemp("work")
    for i in range(4):
        source, target = blobs(seed=i)
        for side, image in (("sources", source), ("targets", target)):
            (folder / side).mkdir(exist_ok=True)
            tifffile.imwrite(folder / side / f"cell {i}.tif", image, resolution=(2, 2), metadata={"axes": "YX"})
    assert main(["train", f"{folder}/sources", f"{folder}/targets", "--out", f"{folder}/run", *FLAGS]) == 0
    return folder


def run(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_command_line_equals_python_bit_for_bit(work, tmp_path, capsys) -> None:
    """Train, predict, score and evaluate give the same bytes as the headless API."""
    files = [sorted((work / side).iterdir()) for side in ("sources", "targets")]
    arrays = [[tifffile.imread(path) for path in side] for side in files]
    pairs = core.PairedFrames(*arrays, "YX", names=[path.stem for path in files[0]])
    config = core.make_config(changes=json.loads((work / "run" / "config.json").read_text())["config"])
    *_, report = core.train(pairs, config, out=tmp_path / "run", device="cpu")
    trained = core.load_model(work / "run" / "model.safetensors", "cpu")
    assert all((value == trained.tensors()[name]).all() for name, value in report.model.tensors().items())

    model, source = work / "run" / "model.safetensors", files[0][0]
    assert run(capsys, "predict", model, source, "--out", tmp_path / "p.tif", "--device", "cpu")[0] == 0
    prediction = tifffile.imread(tmp_path / "p.tif")
    np.testing.assert_array_equal(prediction, trained.predict(arrays[0][0], "YX"))
    assert (
        run(capsys, "score", model, source, tmp_path / "p.tif", "--out", tmp_path / "s.tif", "--device", "cpu")[0] == 0
    )
    scored = trained.score(arrays[0][0], prediction, "YX")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "s.tif"), scored.scores)
    command = ["evaluate", model, work / "sources", work / "targets", "--out", tmp_path / "e", "--device", "cpu"]
    assert run(capsys, *command, "--allow-seen")[0] == 0
    said = json.loads((tmp_path / "e" / "metrics.json").read_text())
    [judge] = said.pop("made_of")["judges"]  # where files lie, only the command knows
    assert judge == {"model": str(model.resolve()), "pairs": None}
    hashes = [
        tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in pair) for pair in zip(*files, strict=True)
    ]
    named = core.PairedFrames(*arrays, "YX", names=[path.stem for path in files[0]], hashes=hashes)
    found = core.evaluate(trained, named, None, allow_seen=True)
    assert said == json.loads(json.dumps(found))
    assert (said["kind_of_pairs"], said["n"]) == ("train", 4)
    assert {"dice", "object_f1_iou50"} <= said["metrics"].keys()


def test_results_say_where_they_lie_and_come_from(work, tmp_path, capsys) -> None:
    """A prediction keeps the pixel size and is marked as predicted; scores carry their geometry."""
    model, source = work / "run" / "model.safetensors", tmp_path / "source.tif"
    tifffile.imwrite(source, blobs()[0], ome=True, metadata={"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "axes": "YX"})
    assert run(capsys, "predict", model, source, "--out", tmp_path / "p.tif")[0] == 0
    prediction = open_stack(tmp_path / "p.tif")
    assert prediction.pixel_size_um == {"X": 0.5, "Y": 0.25}
    assert prediction.channel_names == ("target (predicted)",)
    _, out, _ = run(capsys, "score", model, source, tmp_path / "p.tif", "--out", tmp_path / "s.tif", "--json")
    [placed] = [event for event in events(out) if event["event"] == "placed"]
    assert (placed["scale"], placed["translate"]) == ([2.0, 2.0], [2.5, 2.5])
    assert placed["receptive_field"] == {"size": 16, "stride": 2, "centre": 2.5}
    assert open_stack(tmp_path / "s.tif").pixel_size_um == {"X": 1.0, "Y": 0.5}


def test_a_folder_goes_to_a_folder_and_one_bad_file_does_not_stop_the_rest(work, tmp_path, capsys) -> None:
    """The others are done, the bad one is named, exit 1; the only one is bad: exit 2 and no file."""
    sources = tmp_path / "sources"
    sources.mkdir()
    for path in (work / "sources").iterdir():
        (sources / path.name).write_bytes(path.read_bytes())
    bad = sources / "cell 2.tif"
    bad.write_bytes(bad.read_bytes()[:300])
    model = work / "run" / "model.safetensors"
    code, out, _ = run(capsys, "predict", model, sources, "--out", tmp_path / "out", "--json")
    assert code == 1
    assert events(out)[-1]["failed"] == [str(bad)]
    assert "must be a readable TIFF" in next(event["text"] for event in events(out) if event["event"] == "failure")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tif")) == ["cell 0.tif", "cell 1.tif", "cell 3.tif"]
    code, _, err = run(capsys, "predict", model, bad, "--out", tmp_path / "alone")
    assert (code, list((tmp_path / "alone").glob("[!.]*"))) == (2, [])
    assert err.startswith("error: An image must be a readable TIFF, PNG, JPEG or OME-Zarr;")


def test_json_tells_progress_and_result(work, tmp_path, capsys) -> None:
    """With --json every line of standard output is an event; the last names the model."""
    source, target = work / "sources" / "cell 0.tif", work / "targets" / "cell 0.tif"
    code, out, _ = run(capsys, "train", source, target, "--out", tmp_path / "run", "--json", *FLAGS)
    found = events(out)
    assert code == 0
    assert (found[-1]["event"], found[-1]["model"]) == ("result", f"{tmp_path}/run/model.safetensors")
    assert f"validation  dice {found[-1]['figures']['dice']:.3f}" in found[-1]["text"]
    progress = [event for event in found if event["event"] == "progress"]
    assert (progress[-1]["done"], progress[-1]["total"]) == (6, 6)
    assert {"cross_entropy", "generator", "discriminator"} == progress[-1]["losses"].keys()
    assert "targets YX uint16 as instances; 1 train, 1 validation" in next(
        e["text"] for e in found if e["event"] == "note"
    )
    assert any("No room for calibration pairs" in e["text"] for e in found if e["event"] == "warning")
    [preview, *_] = [event for event in found if event["event"] == "preview"]
    assert open_stack(preview["path"]).axes == "YXS"


def test_a_run_resumes_from_its_folder_alone(work, tmp_path, capsys) -> None:
    """train --resume needs nothing but the run; a finished one is exit 0; other flags are refused."""
    assert run(capsys, "train", "--resume", work / "run")[0] == 0
    code, _, err = run(capsys, "train", "--resume", work / "run", "--steps", "9")
    assert code == 2
    assert "A resumed run must keep its pairs and settings" in err


def test_evaluate_judges_any_tools_output(work, tmp_path, capsys) -> None:
    """evaluate --prediction PATH TARGET needs no model."""
    labels = work / "targets"
    assert run(capsys, "evaluate", "--prediction", labels, labels, "--out", tmp_path)[0] == 0
    said = json.loads((tmp_path / "metrics.json").read_text())
    assert said["metrics"]["object_f1_iou50"]["value"] == 1


def test_bad_pairs_are_left_out_of_every_kind(work, tmp_path, capsys) -> None:
    """With --skip-bad those that differ in size or hold NaN neither train nor judge, and each is named."""
    for folder in ("sources", "targets", "test sources", "test targets"):
        (tmp_path / folder).mkdir()
    for i, name in enumerate(("cell 0", "cell 1", "cell 2", "cell 3")):
        kind = "test " * (i > 1)
        for side in ("sources", "targets"):
            image = tifffile.imread(work / side / f"{name}.tif")
            image = image + np.uint16(1) if side == "sources" else image
            tifffile.imwrite(tmp_path / f"{kind}{side}" / f"{name}.tif", image)
    tifffile.imwrite(tmp_path / "targets" / "cell 1.tif", np.zeros((20, 20), np.uint16))
    nan = tifffile.imread(work / "sources" / "cell 3.tif").astype(np.float32)
    nan[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "test sources" / "cell 3.tif", nan)
    sides = [tmp_path / "sources", tmp_path / "targets", "--out", tmp_path / "run", *SMALL_FLAGS]
    judges = ["--test-source", tmp_path / "test sources", "--test-target", tmp_path / "test targets"]
    code, _, err = run(capsys, "train", *sides, *judges)
    assert code == 2
    code, out, err = run(capsys, "train", *sides, *judges, "--skip-bad", "--json")
    assert code == 0, err
    warned = {event["file"]: event["text"] for event in events(out) if event["event"] == "warning" and "file" in event}
    assert sorted(warned) == ["cell 1", "cell 3"]
    assert "must show the same pixels" in warned["cell 1"]
    assert "NaN" in warned["cell 3"]


def test_one_bad_pair_to_evaluate_does_not_stop_the_rest(work, tmp_path, capsys) -> None:
    """The others are judged, the bad ones are named, exit 1; with --skip-bad exit 0; the only pair is bad: exit 2."""
    for side in ("sources", "targets"):
        (tmp_path / side).mkdir()
        for path in (work / side).iterdir():
            (tmp_path / side / path.name).write_bytes(path.read_bytes())
    (tmp_path / "sources" / "cell 1.tif").write_bytes(b"II*")
    tifffile.imwrite(tmp_path / "targets" / "cell 2.tif", np.zeros((20, 20), np.uint16))
    tifffile.imwrite(tmp_path / "targets" / "cell 3.tif", np.zeros((96, 128, 3), np.uint8))
    sides = [tmp_path / "sources", tmp_path / "targets"]
    words = ["evaluate", work / "run", *sides, "--out", tmp_path / "e", "--allow-seen"]
    code, out, _ = run(capsys, *words, "--json")
    failures = {event["file"]: event["text"] for event in events(out) if event["event"] == "failure"}
    assert (code, sorted(failures)) == (1, ["cell 1", "cell 2", "cell 3"])
    for name, sentence in (("1", "a readable TIFF"), ("2", "must show the same pixels"), ("3", "must have 1 channel;")):
        assert sentence in failures[f"cell {name}"]
    said = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert ([row["name"] for row in said["files"]], said["failed"]) == (["cell 0"], ["cell 1", "cell 2", "cell 3"])
    assert run(capsys, *words, "--overwrite", "--skip-bad")[0] == 0
    code, _, err = run(capsys, "evaluate", work / "run", *[side / "cell 2.tif" for side in sides], "--out", tmp_path)
    assert (code, "must show the same pixels" in err) == (2, True)
    (sides[0] / "cell 0.tif").write_bytes(b"II*")
    code, _, err = run(capsys, *words, "--overwrite")
    assert (code, "At least one pair must fit; none of 4 does" in err) == (2, True)


def test_figures_name_channels_and_explain_baselines(tmp_path, capsys) -> None:
    """Several stains: the figures of each beside those of all; what a baseline is, in a sentence."""
    source = blobs()[0]
    stains = np.stack([source, source // 2])
    tifffile.imwrite(tmp_path / "a.tif", source)
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "MAP2"]}}
    tifffile.imwrite(tmp_path / "b.ome.tif", stains, photometric="minisblack", metadata=metadata)
    pair = [tmp_path / "a.tif", tmp_path / "b.ome.tif"]
    assert run(capsys, "train", *pair, "--out", tmp_path / "run", *SMALL_FLAGS)[0] == 0
    text = run(capsys, "evaluate", tmp_path / "run", *pair, "--out", tmp_path / "e", "--allow-seen")[1]
    said = json.loads((tmp_path / "e" / "metrics.json").read_text())
    predicted = core.load_model(tmp_path / "run" / "model.safetensors", "cpu").predict(source, "YX").astype(float)
    for i, name in enumerate(("DAPI", "MAP2")):
        mae = abs(predicted[i] - stains[i]).mean()
        assert said["channels"][i]["mae"]["value"] == pytest.approx(mae)
        assert f"{name}  mae {mae:.3f}, psnr " in text
    assert "constant and affine need no network and are fitted on these very pairs, which favours them" in text
    card = run(capsys, "info", tmp_path / "run")[1]
    assert "2 channels (DAPI, MAP2), uint16: grey values" in card


def test_a_card_for_people(work, capsys) -> None:
    """From what to what, trained how and on what, judged on which pairs, made by which version: a line each."""
    card = run(capsys, "info", work / "run")[1]
    said = dict(line.strip().split("  ", 1) for line in card.splitlines())
    assert said["from"] == "1 channel, uint16"
    assert said["to"] == "1 channel, int32: objects, one label each"
    assert "reach 21 px; PatchGAN, field 16 px" in said["networks"]
    assert (
        " of 6 steps, 2 patches of 32 px each, learning rate 0.0002, cross-entropy 100, GAN 1, seed 0"
        in said["trained"]
    )
    assert said["pairs"] == "4 of sources"
    assert said["split"] == "2 train, 1 validation, 1 calibration"
    assert said["pixel size, µm"] == "not known"
    assert said["on validation pairs"].startswith("dice ")
    assert "napari-pix2pix " in said["versions"]
    assert said["sha256"] == core.load_model(work / "run" / "model.safetensors", "cpu").hash()


def test_info(work, capsys) -> None:
    """The machine's devices, or everything a model says of itself."""
    [machine] = events(run(capsys, "info", "--json")[1])
    assert "cpu" in machine["devices"]
    [card] = events(run(capsys, "info", work / "run", "--json")[1])
    assert card["config"]["steps"] == 6
    assert card["provenance"]["split"] == {"train": 2, "validation": 1, "calibration": 1}
    assert len(card["sha256"]) == 64


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["predict", "--help"], ["--version"]])
def test_help_does_not_import_torch(words: list[str]) -> None:
    """Help answers at once."""
    code = f"import sys; from napari_pix2pix.commands.app import main; main({words}); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "False"


def bad_requests() -> list:
    """(what is wrong, command, a part of the sentence); {…} are the fixture's paths."""
    train = ["train", "{source}", "{target}", "--out", "{new}", *FLAGS]
    predict = ["predict", "{model}", "{source}", "--out", "{new}/p.tif"]

    def swap(words: list[str], old: str, new: str) -> list[str]:
        return [new if word == old else word for word in words]

    def change(flag: str, value: str) -> list[str]:
        at = train.index(flag)
        return [*train[: at + 1], value, *train[at + 2 :]]

    return [
        ("missing source", swap(train, "{source}", "{sources}/no.tif"), "There must be images at"),
        ("truncated source", swap(train, "{source}", "{cut}"), "must be a readable TIFF, PNG, JPEG or OME-Zarr"),
        ("no pairs", swap(swap(train, "{source}", "{sources}"), "{target}", "{others}"), "no name is in both"),
        ("sizes differ", swap(train, "{target}", "{narrow}"), "Source and target of cell 0 must show the same pixels"),
        ("NaN", swap(train, "{source}", "{holed}"), "the source of holed holds NaN or Inf"),
        ("constant", swap(train, "{source}", "{flat}"), "every source is constant"),
        ("small images", change("--patch-size", "128"), "at least as large as a patch, 128 x 128 px; cell 0 is 96"),
        ("wrong setting", change("--steps", "0"), "steps: input should be greater than or equal to 1"),
        ("settings that do not fit", change("--patch-size", "33"), "patch_size must be a multiple of 8"),
        ("unknown flag", [*train, "--setps", "5"], "--setps"),
        ("no out", ["train", "{source}", "{target}"], "must have a source, a target and --out RUN"),
        ("existing run", swap(train, "{new}", "{run}"), "must go to a new or empty folder"),
        ("out is a file", swap(train, "{new}", "{flat}"), "must go to a folder"),
        ("unwritable", swap(train, "{new}", "/proc/nowhere"), "must be writable"),
        ("unknown device", swap(train, "cpu", "cuda:9"), "device must be auto or one of"),
        ("no model", swap(predict, "{model}", "{source}"), "A model must be a safetensors file written by `train`"),
        ("missing model", swap(predict, "{model}", "{new}"), "A model must be a file written by `train`"),
        ("wrong channels", swap(predict, "{source}", "{rgb}"), "must have 1 channel; got 3"),
        ("existing output", swap(predict, "{new}/p.tif", "{narrow}"), "An output must not exist yet"),
        ("output is input", swap(predict, "{new}/p.tif", "{source}"), "An output must not replace an input"),
        ("wrong shard", [*predict, "--shard", "5/4"], "A shard must be its number and how many there are"),
        ("unwritable output", swap(predict, "{new}/p.tif", "/proc/nowhere/p.tif"), "folder must be writable"),
        ("no such command", ["tain"], "Unknown command"),
    ]


@pytest.mark.parametrize(("command", "sentence"), [pytest.param(c, s, id=name) for name, c, s in bad_requests()])
def test_wrong_requests_are_told_in_one_sentence(work, tmp_path, capsys, command, sentence) -> None:
    """Exit 2, one line on standard error that says what is wrong, and nothing written."""
    source, target = work / "sources" / "cell 0.tif", work / "targets" / "cell 0.tif"
    made = {
        "cut": source.read_bytes()[:400],
        "narrow": blobs()[1][:, :-1],
        "holed": np.where(np.eye(96, 128), np.nan, blobs()[0].astype(np.float32)),
        "flat": np.ones((96, 128), np.uint16),
        "rgb": np.zeros((40, 40, 3), np.uint8),
    }
    for name, content in made.items():
        path = tmp_path / f"{name}.tif"
        path.write_bytes(content) if isinstance(content, bytes) else tifffile.imwrite(path, content)
    (tmp_path / "others").mkdir()
    for name in "ab":
        (tmp_path / "others" / f"{name}.tif").write_bytes(target.read_bytes())
    before = sorted(tmp_path.rglob("*"))
    paths = {name: tmp_path / f"{name}.tif" for name in made} | {
        "source": source, "target": target, "sources": work / "sources", "others": tmp_path / "others",
        "run": work / "run", "model": work / "run" / "model.safetensors", "new": tmp_path / "new",
    }  # fmt: skip
    code, out, err = run(capsys, *[word.format(**paths) for word in command])
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert [path for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [p for p in before if p.is_file()]


@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"]])
def test_help_names_what_every_command_takes(capsys, words) -> None:
    """--json and --debug are found where one looks for them."""
    text = run(capsys, *words)[1]
    assert "--json" in text
    assert "--debug" in text


def test_debug_shows_where(capsys, tmp_path) -> None:
    """--debug shows the traceback before the sentence."""
    _, _, err = run(capsys, "info", tmp_path / "no", "--debug")
    assert "Traceback" in err
    assert err.rstrip().splitlines()[-1].startswith("error: A model must be a file")


def test_tile_sizes_off_the_grid_are_rounded_and_said(work, tmp_path, capsys) -> None:
    """A tile size of any value gives the prediction of the whole, and the value used is told."""
    model, source = work / "run" / "model.safetensors", work / "sources" / "cell 0.tif"
    for name, flags in (("whole", []), ("tiled", ["--tile-size", "33"])):
        code, out, _ = run(capsys, "predict", model, source, "--out", tmp_path / f"{name}.tif", "--json", *flags)
        assert code == 0
    rounded, chosen, dear = (event["text"] for event in events(out) if event["event"] == "note")
    assert "--tile-size 33 rounded up to 40" in rounded
    assert chosen.startswith("12 tiles of 40 px for each frame, overlap 24 px: exact")
    # 96 x 128 px in tiles of 40 that see 24 px more: 64 + 80 + 40 rows and 64 + 88 + 72 + 32 columns are read.
    assert "read 3.8 pixels for each they keep; --tile-size 128, the frame in one piece, reads 1.0" in dear
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "whole.tif"), tifffile.imread(tmp_path / "tiled.tif"))


def test_what_a_model_predicts_in_is_told_and_recorded(work, tmp_path, capsys) -> None:
    """Its card says in what, and in which tiles; a file says where it was not float32."""
    model, source = work / "run" / "model.safetensors", work / "sources" / "cell 0.tif"
    card = run(capsys, "info", model)[1]
    assert "of 2048 px where an image is larger, overlap 24 px: exact, reads 1.0" in card
    assert "predicts in  float32" in card or "predicts in  bfloat16" in card
    for precision, recorded in (("float32", None), ("bfloat16", "bfloat16")):
        out = tmp_path / f"{precision}.tif"
        assert run(capsys, "predict", model, source, "--out", out, "--precision", precision, "--device", "cpu")[0] == 0
        assert json.loads(open_stack(out).description).get("precision") == recorded


def test_too_little_overlap_is_told_and_recorded(work, tmp_path, capsys) -> None:
    """A seam to expect is a warning, and the file says by how much its tiles were blended."""
    model, source = work / "run" / "model.safetensors", work / "sources" / "cell 0.tif"
    words = ["--device", "cpu", "--tile-size", "40", "--overlap", "8", "--json"]
    code, out, _ = run(capsys, "predict", model, source, "--out", tmp_path / "p.tif", *words)
    [warned] = (event["text"] for event in events(out) if event["event"] == "warning")
    assert code == 0
    assert "Tiles overlap by 8 px, less than the 21 px" in warned
    assert "of the range" in warned
    with tifffile.TiffFile(tmp_path / "p.tif") as file:
        said = json.loads(tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Description"])
    assert said["blended_overlap"] == [8, 8]


def test_one_bad_image_to_score_does_not_stop_the_rest(work, tmp_path, capsys) -> None:
    """In score, too, the others are done, the bad one is named, exit 1."""
    images = tmp_path / "images"
    images.mkdir()
    for path in (work / "targets").iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    tifffile.imwrite(images / "cell 1.tif", np.zeros((20, 20), np.uint16))
    model = work / "run" / "model.safetensors"
    code, out, _ = run(capsys, "score", model, work / "sources", images, "--out", tmp_path / "out", "--json")
    assert (code, len(events(out)[-1]["written"]), events(out)[-1]["failed"]) == (1, 3, [str(images / "cell 1.tif")])


def test_tiles_of_a_model_that_looks_at_the_image_are_those_of_the_training(work, tmp_path, capsys) -> None:
    """--norm-statistics training allows tiles and is recorded, with the hash of the model's file."""
    source, model = work / "sources" / "cell 0.tif", core.load_model(work / "run" / "model.safetensors", "cpu")
    expected = model.predict(tifffile.imread(source), "YX", tile_size=40)
    path = tmp_path / "model.safetensors"
    model.with_norm_statistics("image").save(path)
    words = ["predict", path, source, "--out", tmp_path / "p.tif", "--device", "cpu", "--tile-size", "40"]
    code, _, err = run(capsys, *words)
    assert (code, "predict with --norm-statistics training" in err) == (2, True)
    assert run(capsys, *words, "--norm-statistics", "training")[0] == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "p.tif"), expected)
    with tifffile.TiffFile(tmp_path / "p.tif") as file:
        said = json.loads(tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Description"])
    assert said["norm_statistics"] == "training"
    assert said["model_sha256"] == core.load_model(path, "cpu").hash()


@pytest.mark.parametrize("name", ["p.tif", "p.ome.zarr"])
def test_draws_are_those_of_python_with_their_spread_beside(work, tmp_path, capsys, name: str) -> None:
    """OUT is the mean and says of how many draws; OUT.spread holds how far they lie apart."""
    model, source = work / "run" / "model.safetensors", work / "sources" / "cell 0.tif"
    words = ["predict", model, source, "--out", tmp_path / name, "--device", "cpu", "--draws", "3"]
    assert run(capsys, *words)[0] == 0
    [(_, prediction, spread)] = core.load_model(model, "cpu").predict_draws(tifffile.imread(source), "YX", draws=3)
    beside = tmp_path / name.replace("p.", "p.spread.").replace(".ome", "")
    np.testing.assert_array_equal(open_stack(tmp_path / name).array[...], prediction[0])
    np.testing.assert_array_equal(open_stack(beside).array[...], spread[0])
    assert spread.max() > 0
    if name == "p.tif":
        with tifffile.TiffFile(beside) as file:
            assert '"mean_of_draws": 3' in tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Description"]
        (tmp_path / name).unlink()
        assert run(capsys, *words)[0] == 2  # the spread is there


def test_kept_maps_decode_again(work, tmp_path, capsys) -> None:
    """The maps kept beside a prediction hold everything to make it again, or another one."""
    model, source = work / "run" / "model.safetensors", work / "sources" / "cell 0.tif"
    assert run(capsys, "predict", model, source, "--out", tmp_path / "p.tif", "--keep-maps")[0] == 0
    maps = open_stack(tmp_path / "p.maps.tif")
    with tifffile.TiffFile(maps.path) as file:
        said = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Description"]
    encoding = Encoding.model_validate(json.loads(said)["encoding"])
    np.testing.assert_array_equal(encoding.decode(maps.array[...])[0], tifffile.imread(tmp_path / "p.tif"))
    more = ["--min-size", "40", "--seed-threshold", "0.3"]
    assert run(capsys, "predict", model, source, "--out", tmp_path / "q.tif", *more)[0] == 0
    other = encoding.model_copy(update={"min_size": 40, "seed_threshold": 0.3})
    np.testing.assert_array_equal(other.decode(maps.array[...])[0], tifffile.imread(tmp_path / "q.tif"))


def test_train_reads_pairs_as_it_is_told(tmp_path, capsys) -> None:
    """Side by side, masked, grouped, some channels, planes as channels: trained, resumed and evaluated so."""
    source, labels = blobs()
    (tmp_path / "both").mkdir()
    for i in range(3):
        rgb = np.repeat(np.concatenate([source // 16, labels * 10], axis=1)[..., None], 3, axis=2).astype(np.uint8)
        tifffile.imwrite(tmp_path / "both" / f"{i}.tif", rgb, photometric="rgb")
    words = ["train", tmp_path / "both", "--side-by-side", "left", "--out", tmp_path / "halves", *SMALL_FLAGS]
    assert run(capsys, *words, "--groups", "^.", "--target-channels", "0", "--target-kind", "intensity")[0] == 0
    card = json.loads(run(capsys, "info", tmp_path / "halves" / "model.safetensors", "--json")[1])
    assert (card["source_encoding"]["n_channels"], card["target_encoding"]["n_channels"]) == (3, 1)
    assert run(capsys, "train", "--resume", tmp_path / "halves")[0] == 0

    volume = np.stack([source, source // 2, source // 3])
    tifffile.imwrite(tmp_path / "volume.tif", volume, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "stain.tif", source)
    tifffile.imwrite(tmp_path / "mask.tif", (labels > 0).astype(np.uint8))
    pair = [tmp_path / "volume.tif", tmp_path / "stain.tif", "--z", "channels"]
    words = ["train", *pair, "--out", tmp_path / "planes", "--valid", tmp_path / "mask.tif", *SMALL_FLAGS]
    assert run(capsys, *words)[0] == 0
    model = tmp_path / "planes" / "model.safetensors"
    assert run(capsys, "predict", model, tmp_path / "volume.tif", "--out", tmp_path / "p.tif")[0] == 0
    prediction = open_stack(tmp_path / "p.tif")
    assert (prediction.axes, prediction.array.shape) == ("YX", source.shape)
    assert prediction.is_prediction
    words = ["evaluate", model, *pair, "--valid", tmp_path / "mask.tif", "--out", tmp_path / "e", "--allow-seen"]
    assert run(capsys, *words)[0] == 0
    mae = json.loads((tmp_path / "e" / "metrics.json").read_text())["metrics"]["mae"]["value"]
    difference = abs(prediction.array[...].astype(float) - source)[labels > 0].mean()
    assert mae == pytest.approx(difference)
    with (tmp_path / "planes" / "split.csv").open(newline="") as file:
        row, *_ = csv.DictReader(file)
    assert row["target_sha256"] == hashlib.sha256((tmp_path / "stain.tif").read_bytes()).hexdigest()
    words = ["train", tmp_path / "volume.tif", tmp_path / "p.tif", "--z", "channels", "--out", tmp_path / "again"]
    assert "The target of volume is a prediction, not the truth" in run(capsys, *words, *SMALL_FLAGS)[2]


def test_channels_of_a_source_may_come_from_two_files(tmp_path, capsys) -> None:
    """Joined from two folders or one file with two channels: the same model, prediction, scores and figures."""
    for i in range(3):
        bright, labels = blobs(seed=i)
        images = {"a": bright, "b": 4000 - bright[::-1], "ab": np.stack([bright, 4000 - bright[::-1]]), "t": labels}
        for side, image in images.items():
            (tmp_path / side).mkdir(exist_ok=True)
            name = f"{i}_phase" if side == "b" else f"{i}"
            axes = "CYX" if image.ndim == 3 else "YX"
            tifffile.imwrite(tmp_path / side / f"{name}.tif", image, photometric="minisblack", metadata={"axes": axes})
    more = ["--source-more", f"{tmp_path}/b/*_phase.tif"]
    results = {}
    for name, sides in (("joined", ["a", "t", *more]), ("one", ["ab", "t"])):
        words = [tmp_path / word if len(word) < 3 else word for word in sides]
        assert run(capsys, "train", *words, "--out", tmp_path / name, *FLAGS)[0] == 0
        model = tmp_path / name / "model.safetensors"
        also = words[2:]
        results[name] = [core.load_model(model, "cpu").tensors()]
        assert run(capsys, "predict", model, words[0], "--out", tmp_path / f"{name} p", *also)[0] == 0
        assert run(capsys, "score", model, *words[:2], "--out", tmp_path / f"{name} s", *also)[0] == 0
        judged = ["evaluate", model, *words[:2], "--out", tmp_path / f"{name} e", *also, "--allow-seen"]
        assert run(capsys, *judged)[0] == 0
        for kind in "ps":
            results[name] += [tifffile.imread(path) for path in sorted((tmp_path / f"{name} {kind}").glob("*.tif"))]
        said = json.loads((tmp_path / f"{name} e" / "metrics.json").read_text())
        results[name].append([said["metrics"], said["baselines"]])
    (weights, *images, figures), (other, *others, same) = results.values()
    assert all((value == other[name]).all() for name, value in weights.items())
    assert figures == same
    for one, two in zip(images, others, strict=True):
        np.testing.assert_array_equal(one, two)

    model = tmp_path / "joined" / "model.safetensors"
    code, _, err = run(capsys, "predict", model, tmp_path / "a" / "0.tif", "--out", tmp_path / "p.tif")
    assert (code, "must have 2 channels; got 1" in err, "--source-more" in err) == (2, True, True)
    words = [model, tmp_path / "a" / "0.tif", "--out", tmp_path / "p.tif", "--source-more", tmp_path / "b/0_phase.tif"]
    assert run(capsys, "predict", *words)[0] == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "p.tif"), images[0])
    origin = json.loads(open_stack(tmp_path / "p.tif").description)["source"]
    assert [said["name"] for said in (origin, *origin["more"])] == ["0.tif", "0_phase.tif"]

    judges = ["--validation-source", tmp_path / "a/2.tif", "--validation-target", tmp_path / "t/2.tif"]
    pair = [tmp_path / "a/0.tif", tmp_path / "t/0.tif", "--source-more", tmp_path / "b/0_phase.tif"]
    code, _, err = run(capsys, "train", *pair, *judges, "--out", tmp_path / "judged", *FLAGS)
    assert (code, "--validation-source-more" in err) == (2, True)
    judges += ["--validation-source-more", tmp_path / "b/2_phase.tif"]
    assert run(capsys, "train", *pair, *judges, "--out", tmp_path / "judged", *FLAGS)[0] == 0
    assert run(capsys, "train", "--resume", tmp_path / "judged")[0] == 0


def test_channels_are_found_by_name(tmp_path, capsys) -> None:
    """In another order, among others, or by number with a warning where the names contradict; models without names."""
    bright, labels = blobs()
    channels = {"phase": bright, "DAPI": bright // 2, "other": bright[::-1]}

    def write(name: str, *named: str, called: dict | None = None) -> Path:
        image, names = np.stack([channels[one] for one in named]), [(called or {}).get(one, one) for one in named]
        metadata = {"axes": "CYX", **({"Channel": {"Name": names}} if called != {} else {})}
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", image, photometric="minisblack", metadata=metadata)
        return tmp_path / f"{name}.ome.tif"

    target = tmp_path / "target.tif"
    tifffile.imwrite(target, labels)
    source, without = write("source", "phase", "DAPI", "other"), write("plain", "phase", "DAPI", "other", called={})
    wanted = ["--source-channels", "DAPI", "--source-channels", "phase"]
    for name, given, flags in (
        ("named", source, wanted),
        ("unnamed", without, ["--source-channels=1", "--source-channels=0"]),
    ):
        assert run(capsys, "train", given, target, *flags, "--out", tmp_path / name, *FLAGS)[0] == 0

    def predicted(model: str, path: Path, *flags: str) -> tuple[np.ndarray, str]:
        words = [tmp_path / model / "model.safetensors", path, "--out", tmp_path / "p.tif", "--overwrite", *flags]
        code, _, err = run(capsys, "predict", *words)
        assert code == 0, err
        return tifffile.imread(tmp_path / "p.tif"), err

    expected, err = predicted("named", source)
    assert "called" not in err
    assert core.load_model(tmp_path / "named" / "model.safetensors").source_view.names == ("DAPI", "phase")
    swapped, two = write("swapped", "DAPI", "other", "phase"), write("two", "phase", "DAPI")
    odd = write("odd", "phase", "DAPI", "other", called={"DAPI": "Hoechst"})
    for path in (swapped, two, without):
        found, err = predicted("named", path)
        np.testing.assert_array_equal(found, expected)
        assert "called" not in err
    found, err = predicted("named", odd)
    np.testing.assert_array_equal(found, expected)
    assert "trained on channels called DAPI, phase; they are taken by number from this source, where they are" in err
    assert "called Hoechst, phase. Choose them (--source-channels)" in err
    found, err = predicted("named", swapped, "--source-channels", "0", "--source-channels", "2")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(predicted("unnamed", source)[0], expected)
    scores = []
    for path in (source, swapped):
        words = [tmp_path / "named", path, target, "--out", tmp_path / f"s {path.name}"]
        assert run(capsys, "score", *words)[0] == 0
        scores.append(tifffile.imread(words[-1]))
        assert run(capsys, "evaluate", *words[:3], "--out", tmp_path / f"e {path.name}", "--allow-seen")[0] == 0
        scores.append(json.loads((tmp_path / f"e {path.name}" / "metrics.json").read_text())["metrics"])
    np.testing.assert_array_equal(scores[0], scores[2])
    assert scores[1] == scores[3]


def test_sources_whose_channels_lie_differently_are_warned_of(tmp_path, capsys) -> None:
    """Unless the channels are chosen by name."""
    for i, names in enumerate((["phase", "DAPI"], ["DAPI", "phase"])):
        image, labels = blobs(seed=i)
        channels = np.stack([image, image // 2])
        for side, content, metadata in (
            ("a", channels, {"axes": "CYX", "Channel": {"Name": names}}),
            ("b", labels, {}),
        ):
            (tmp_path / side).mkdir(exist_ok=True)
            name = tmp_path / side / f"{i}.ome.tif"
            tifffile.imwrite(name, content, photometric="minisblack", metadata=metadata or None, ome=side == "a")
    words = ["check", tmp_path / "a", tmp_path / "b", "--patch-size", "64"]
    sentence = "are called DAPI, phase in 1 but phase, DAPI in 0; they are taken by number. Give --source-channels"
    assert sentence in run(capsys, *words)[1]
    chosen = run(capsys, *words, "--source-channels", "DAPI", "--source-channels", "phase")
    assert (chosen[0], "are called" in chosen[1]) == (0, False)


def test_halves_are_predicted_and_scored_as_they_were_trained(tmp_path, capsys) -> None:
    """predict and score take the half of the source, evaluate both; whole images are warned of, once."""
    for i in range(3):
        both = [image.astype(np.uint16) for image in blobs(seed=i)]
        for folder, image in (("both", np.concatenate(both, axis=1)), ("a", both[0]), ("b", both[1])):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"{i}.tif", image)
    halves = [tmp_path / "both", "--side-by-side", "left"]
    assert run(capsys, "train", *halves, "--out", tmp_path / "run", *FLAGS)[0] == 0
    found = {}
    for name, (source, *flags), target in (("halves", halves, []), ("whole", [tmp_path / "a"], [tmp_path / "b"])):
        for command, given in (("predict", []), ("score", target), ("evaluate", [*target, "--allow-seen"])):
            words = [command, tmp_path / "run", source, *given, *flags, "--out", tmp_path / f"{name} {command}"]
            code, _, err = run(capsys, *words)
            assert code == 0
            assert ("Whole images are taken" in err) == (name == "whole")
            assert ("--side-by-side left halves" in err) == (name == "whole")
        paths = [path for path in sorted(tmp_path.glob(f"{name} */*")) if path.suffix == ".tif"]
        found[name] = [tifffile.imread(path) for path in paths]
        said = json.loads((tmp_path / f"{name} evaluate" / "metrics.json").read_text())
        found[name].append([said["metrics"], said["baselines"]])
    *images, figures = found["halves"]
    *others, same = found["whole"]
    assert (len(images), figures) == (9, same)  # predictions, scores, and which of these are valid
    for one, other in zip(images, others, strict=True):
        np.testing.assert_array_equal(one, other)
    assert json.loads(open_stack(tmp_path / "halves predict" / "0.tif").description)["source"]["half"] == "left"
    words = ["score", tmp_path / "run", tmp_path / "a", "--out", tmp_path / "s"]
    assert "must have an IMAGE to score, unless it holds both (--side-by-side)" in run(capsys, *words)[2]


def test_score_pairs_by_patterns(work, tmp_path, capsys) -> None:
    """Sources and images of one folder, told apart by their names."""
    for i in range(2):
        for side, ending in (("sources", "bf"), ("targets", "mask")):
            (tmp_path / f"{i}_{ending}.tif").write_bytes((work / side / f"cell {i}.tif").read_bytes())
    words = ["score", work / "run", tmp_path, "--pair-by", "*_bf", "*_mask", "--out", tmp_path / "scores"]
    assert run(capsys, *words)[0] == 0
    pair = [work / side / "cell 1.tif" for side in ("sources", "targets")]
    assert run(capsys, "score", work / "run", *pair, "--out", tmp_path / "s.tif")[0] == 0
    found = tifffile.imread(tmp_path / "scores" / "1_mask.tif")
    np.testing.assert_array_equal(found, tifffile.imread(tmp_path / "s.tif"))


def test_labels_that_may_be_missing_are_asked_about(tmp_path, capsys) -> None:
    """Empty frames of a label target need a word; with it, training goes on."""
    stacks = [np.stack(side) for side in zip(*(blobs(seed=i) for i in range(4)), strict=True)]
    stacks[1][1] = 0
    for name, stack in zip("ab", stacks, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack", metadata={"axes": "TYX"})
    words = ["train", tmp_path / "a.tif", tmp_path / "b.tif", "--out", tmp_path / "run", *FLAGS]
    code, _, err = run(capsys, *words)
    assert code == 2
    question = "Frames without any label must be said to be empty or not labelled; 25% of the frames (1 of 4) have none"
    sentence = f"{question}, the first is a, frame 1. Choose --empty-frames empty or unlabelled"
    assert sentence in err
    assert run(capsys, *words, "--empty-frames", "unlabelled")[0] == 0

    pair = words[1:3]
    code, out, _ = run(capsys, "check", *pair)
    assert (code, f"warning: {sentence}" in out) == (0, True)
    code, out, _ = run(capsys, "check", *pair, "--patch-size", "64")
    assert (code, sentence in out.splitlines()[-1]) == (1, True)
    assert run(capsys, "check", *pair, "--patch-size", "64", "--empty-frames", "empty")[0] == 0

    judges = ["--validation-source", tmp_path / "a.tif", "--validation-target", tmp_path / "b.tif"]
    labelled = [tmp_path / "full a.tif", tmp_path / "full b.tif"]
    for path, stack in zip(labelled, stacks, strict=True):
        tifffile.imwrite(path, stack[2:], photometric="minisblack", metadata={"axes": "TYX"})
    code, _, err = run(capsys, "train", *labelled, *judges, "--out", tmp_path / "judged", *FLAGS)
    assert (code, sentence in err) == (2, True)
    for first in (["--allow-seen", tmp_path / "run", tmp_path / "a.tif"], ["--prediction", tmp_path / "b.tif"]):
        words = ["evaluate", *first, tmp_path / "b.tif", "--out", tmp_path / "e", "--overwrite"]
        code, _, err = run(capsys, *words)
        assert (code, question in err) == (2, True)
        for meaning, n in (("empty", 4), ("unlabelled", 3)):
            assert run(capsys, *words, "--empty-frames", meaning)[0] == 0
            said = json.loads((tmp_path / "e" / "metrics.json").read_text())
            assert sorted(row["name"][-1] for row in said["files"]) == [f"{i}" for i in range(4) if n == 4 or i != 1]


def test_volumes_in_volumes_out(tmp_path, capsys) -> None:
    """With --z volume a stack is one frame of three dimensions, through check, train, predict and score."""
    source, target = (np.stack(side) for side in zip(*(blobs(seed=i) for i in range(5)), strict=True))
    for name, stack in (("a", source), ("b", target)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    pair = [tmp_path / "a.tif", tmp_path / "b.tif", "--z", "volume"]
    assert run(capsys, "check", *pair, "--patch-size", "64")[0] == 0
    words = ["train", *pair, "--out", tmp_path / "run", *FLAGS, "--patch-depth", "3"]
    assert run(capsys, *words)[0] == 0
    model = tmp_path / "run" / "model.safetensors"
    assert run(capsys, "predict", model, pair[0], "--out", tmp_path / "p.tif", "--keep-maps")[0] == 0
    trained, prediction = core.load_model(model, "cpu"), open_stack(tmp_path / "p.tif")
    assert prediction.axes == "ZYX"
    np.testing.assert_array_equal(prediction.array[...], trained.predict(source, "ZYX"))
    assert run(capsys, "score", model, pair[0], pair[1], "--out", tmp_path / "s.tif")[0] == 0
    scored = trained.score(source, target, "ZYX")
    np.testing.assert_array_equal(open_stack(tmp_path / "s.tif").array[...], scored.scores)


def test_zarr_in_and_out(work, tmp_path, capsys) -> None:
    """A prediction goes to OME-Zarr, and a prediction of it comes back the same as from the TIFF."""
    model, source = work / "run" / "model.safetensors", work / "sources" / "cell 0.tif"
    assert run(capsys, "predict", model, source, "--out", tmp_path / "p.zarr")[0] == 0
    assert run(capsys, "predict", model, source, "--out", tmp_path / "p.tif")[0] == 0
    written = open_stack(tmp_path / "p.zarr")
    np.testing.assert_array_equal(written.array[...], tifffile.imread(tmp_path / "p.tif"))
    assert written.is_prediction
    assert run(capsys, "score", model, source, tmp_path / "p.zarr", "--out", tmp_path / "s.zarr")[0] == 0
    code, _, err = run(capsys, "predict", model, source, "--out", tmp_path / "p.zarr")
    assert (code, "must not exist yet" in err) == (2, True)


def test_pixel_sizes_that_differ_are_warned_of(work, tmp_path, capsys) -> None:
    """train and check say so when source and target were not taken at the same magnification."""
    for name, image, size in (("a", blobs()[0], 0.5), ("b", blobs()[1], 0.25)):
        tifffile.imwrite(tmp_path / f"{name}.tif", image, ome=True, metadata={"axes": "YX", "PhysicalSizeX": size})
    pair = [tmp_path / "a.tif", tmp_path / "b.tif"]
    sentence = (
        "Source and target must have the same pixel size, but in a the source has 0.5 µm and the target 0.25 µm: "
        "resample one of them, or correct the file that says it wrongly."
    )
    assert sentence in run(capsys, "check", *pair, "--patch-size", "64")[1]
    assert sentence in run(capsys, "train", *pair, "--out", tmp_path / "run", *FLAGS)[2]
    assert sentence in run(capsys, "evaluate", tmp_path / "run", *pair, "--out", tmp_path / "e")[2]
    same = run(capsys, "check", pair[0], pair[0], "--target-kind", "intensity", "--patch-size", "64")[1]
    assert "pixel size" not in same.replace("pixel size, µm", "")


def test_validation_pairs_must_be_others(work, tmp_path, capsys) -> None:
    """Files that train do not choose the model, too."""
    sides = [work / "sources", work / "targets"]
    words = ["train", *sides, "--validation-source", sides[0], "--validation-target", sides[1], "--out", tmp_path / "r"]
    code, _, err = run(capsys, *words, *FLAGS)
    assert code == 2
    assert "must be other files than those that train" in err
    assert not (tmp_path / "r").exists()


def test_a_volume_model_is_evaluated_without_repeating_a_flag(tmp_path, capsys) -> None:
    """How planes are taken is the model's to know."""
    source, target = (np.stack(side) for side in zip(*(blobs(seed=i) for i in range(4)), strict=True))
    for name, stack in (("a", source), ("b", target)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    pair = [tmp_path / "a.tif", tmp_path / "b.tif"]
    assert run(capsys, "train", *pair, "--z", "volume", "--out", tmp_path / "run", *FLAGS, "--patch-depth", "3")[0] == 0
    code, _, err = run(capsys, "evaluate", tmp_path / "run", *pair, "--allow-seen", "--out", tmp_path / "e")
    assert (code, err) == (0, "")
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["n"] == 1


def test_results_do_not_go_to_a_picture_nor_over_kept_maps(work, tmp_path, capsys) -> None:
    """A PNG cannot hold a prediction with its axes; maps kept before are not replaced unasked."""
    model, source = work / "run" / "model.safetensors", work / "sources" / "cell 0.tif"
    code, _, err = run(capsys, "predict", model, source, "--out", tmp_path / "p.png")
    assert (code, "written as TIFF or OME-Zarr" in err) == (2, True)
    (tmp_path / "p.maps.tif").write_text("mine")
    code, _, err = run(capsys, "predict", model, source, "--out", tmp_path / "p.tif", "--keep-maps")
    assert (code, "p.maps.tif does" in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["p.maps.tif"]


def test_serve_survives_what_is_no_request() -> None:
    """Each bad line is told; the next request is answered; closed input ends the process."""
    bad = ["nonsense", '{"command": null}', '{"pause": []}', "[]", '{"stop": 1, "pause": 2}', "5", '{"stop": true}']
    bad += ['{"id": [1], "command": ["info"]}', '{"id": {}, "command": ["info"]}', '{"id": 1, "command": [["info"]]}']
    bad += ["[" * 100_000 + "]" * 100_000, '{"id": 1, "command": ["info", "a\\u0000b"]}']
    bad += ['{"id": 1, "command": ["demo", "--view"]}', '{"id": 1, "command": ["serve"]}']
    lines = [*bad, '{"id": 9, "command": ["info"]}']
    command = [sys.executable, "-m", "napari_pix2pix", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("\n".join(lines) + "\n")
        process.stdin.flush()
        found = []
        while not found or (found[-1].get("event"), found[-1].get("id")) != ("done", 9):
            found.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(timeout=20) == 0
    assert [event["event"] for event in found].count("error") == len(bad)
    assert (found[-1]["id"], found[-1]["code"]) == (9, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child")
@pytest.mark.parametrize("moment", ["preparing", "stepping"])
def test_ctrl_c_ends_in_order(work, tmp_path, moment: str) -> None:
    """While a training steps, what is done is kept; before, nothing half-written is left; one sentence either way."""
    flags = [flag if flag != "6" else "100000" for flag in FLAGS]
    words = ["train", f"{work}/sources", f"{work}/targets", "--out", f"{tmp_path}/run", "--json", *flags]
    command = [sys.executable, "-m", "napari_pix2pix", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while ('"progress"' if moment == "stepping" else '"note"') not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    last = json.loads(out.splitlines()[-1]) if out else {"event": "error"}
    assert process.returncode == 1
    assert "Traceback" not in err
    assert last["event"] in (("stopped",) if moment == "stepping" else ("error", "stopped"))
    if moment == "stepping":
        assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.filterwarnings("ignore:No room for")
def test_a_model_is_trained_further(work, tmp_path, capsys) -> None:
    """With --from it goes on from a model, mixes in what trained it, and tells its figures before and after."""
    for side, image in zip(("new", "truth"), blobs(seed=9), strict=True):
        tifffile.imwrite(tmp_path / f"{side}.tif", image)
    new = ["train", tmp_path / "new.tif", tmp_path / "truth.tif", "--from", work / "run", "--device", "cpu"]
    for side, image in zip(("unseen", "unseen truth"), blobs(seed=10), strict=True):
        tifffile.imwrite(tmp_path / f"{side}.tif", image)
    test = ["--test-source", tmp_path / "unseen.tif", "--test-target", tmp_path / "unseen truth.tif"]
    code, out, error = run(capsys, *new, "--out", tmp_path / "a", "--with-old-pairs", "--json")
    assert (code, error) == (0, "")
    result = events(out)[-1]
    compared = result["compared"]
    assert compared["before"].keys() == compared["after"].keys() == {"dice", "object_f1_iou50"}
    for name, before in compared["before"].items():
        after = compared["after"][name]
        assert compared["verdicts"][name] == ("better" if after > before else "worse" if after < before else "the same")
    assert "On the validation pairs of the model before: dice" in result["text"]
    assert json.loads((tmp_path / "a" / "config.json").read_text())["config"]["batch_size"] == 2  # the model's own
    code, out, _ = run(capsys, *new, "--out", tmp_path / "b", *test, "--steps", "2")
    assert code == 0
    assert "test  dice" in out
    figures = core.load_model(tmp_path / "b" / "model.safetensors", "cpu").provenance["figures"]
    said = core.evaluate(core.load_model(tmp_path / "b" / "model.safetensors", "cpu"), *blobs(seed=10), "YX")
    assert figures["test"]["dice"] == pytest.approx(said["metrics"]["dice"]["value"])
    [trained, *_] = [
        r["name"]
        for r in core.load_model(work / "run" / "model.safetensors", "cpu").provenance["regions"]
        if r["kind"] == "train"
    ]
    seen = [work / side / f"{trained}.tif" for side in ("sources", "targets")]
    code, _, error = run(capsys, *new, "--out", tmp_path / "c", "--test-source", seen[0], "--test-target", seen[1])
    assert (code, "must be other files than those that trained the model to start from" in error) == (2, True)
    code, _, error = run(capsys, *new, "--out", tmp_path / "c", "--preset", "fast")
    assert (code, "must keep its networks" in error) == (2, True)
    code, out, _ = run(capsys, "train", "--resume", tmp_path / "a")
    assert (code, "On the validation pairs of the model before: dice" in out) == (0, True)
    code, _, error = run(capsys, "train", "--resume", tmp_path / "a", "--with-old-pairs")
    assert (code, "must keep its pairs and settings" in error) == (2, True)
    changed = work / "sources" / "cell 1.tif"
    before = changed.read_bytes()
    tifffile.imwrite(changed, blobs(seed=5)[0])
    code, _, error = run(capsys, *new, "--out", tmp_path / "c", "--with-old-pairs")
    assert (code, "must be unchanged" in error) == (2, True)
    code, out, _ = run(capsys, *new, "--out", tmp_path / "c", "--steps", "2")
    assert (code, "Not compared with the model before: The pairs of an earlier training" in out) == (0, True)
    changed.write_bytes(before)
    both = ["train", work / "sources", work / "targets", "--from", work / "run", "--device", "cpu", "--steps", "2"]
    code, out, _ = run(capsys, *both, "--out", tmp_path / "d", "--seed", "1")
    assert (code, "some of its validation pairs trained the new one" in out) == (0, True)
    code, out, _ = run(capsys, *both, "--out", tmp_path / "e")
    assert (code, "On the validation pairs of the model before" in out) == (0, True)


def test_pairs_that_judge_pass_the_doors_of_those_that_train(work, tmp_path, capsys) -> None:
    """Masks of both in one folder, groups of their own, channels in files of their own: else one sentence."""
    for i in range(3):
        source, target = blobs(seed=20 + i)
        for side, image in (("s", source), ("t", target), ("m", np.ones_like(target)), ("more", source)):
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / side / f"slide1_{i}.tif", image)
    train = ["train", tmp_path / "s" / "slide1_0.tif", tmp_path / "t" / "slide1_0.tif", *FLAGS]
    judge = ["--validation-source", tmp_path / "s/slide1_1.tif", "--validation-target", tmp_path / "t/slide1_1.tif"]
    code, _, error = run(capsys, *train, *judge, "--out", tmp_path / "a", "--valid", tmp_path / "m" / "slide1_0.tif")
    assert (code, "--valid must be a folder of masks for all pairs" in error) == (2, True)
    code, _, error = run(capsys, *train, *judge, "--out", tmp_path / "a", "--groups", "(slide.)")
    assert (code, "must be of other groups than those that train; slide1 is in both" in error) == (2, True)
    code, _, error = run(capsys, *train, "--out", tmp_path / "a", "--with-old-pairs")
    assert (code, "Old pairs must be those of a model trained from files" in error) == (2, True)
    more = ["--source-more", tmp_path / "more" / "slide1_0.tif"]
    test = ["--test-source", tmp_path / "s/slide1_2.tif", "--test-target", tmp_path / "t/slide1_2.tif"]
    code, _, error = run(capsys, *train, *more, *test, "--out", tmp_path / "a")
    assert (code, "must have the channels of the others; got 1" in error) == (2, True)
    assert not (tmp_path / "a").exists()
    test += ["--test-source-more", tmp_path / "more/slide1_2.tif"]
    code, out, _ = run(capsys, *train, *more, *test, "--out", tmp_path / "a", "--valid", tmp_path / "m")
    assert (code, "test  dice" in out) == (0, True)
    said = json.loads((tmp_path / "a" / "config.json").read_text())["provenance"]["pairs"]["test"]
    assert said["sources"][0]["more"][0]["path"].endswith("slide1_2.tif")


def test_a_figure_is_better_or_worse_as_it_is_meant() -> None:
    """Errors are better when they fall."""
    said = [
        train_command._verdict(*told) for told in (("dice", 0.5, 0.6), ("dice", 0.6, 0.5), ("mae", 5, 4), ("mae", 4, 5))
    ]
    assert said == ["better", "worse", "better", "worse"]
    assert train_command._verdict("mae", 4.0, 4.0) == "the same"
    assert train_command._verdict("dice", 0.93501, 0.93502) == "the same"  # what is shown is
