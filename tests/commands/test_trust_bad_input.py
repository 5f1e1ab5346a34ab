"""What cannot be scored, calibrated or trusted: a plain sentence each, and no file."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from commands.test_predict_trust import judged, run
from small import blobs

SOURCE, LABELS = blobs((90, 120), seed=3)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Whole, without a discriminator, not calibrated, not taught."""
    folder = tmp_path_factory.mktemp("models")
    whole = judged("instances")
    without = whole.config.model_copy(update={"gan_weight": 0.0})
    made = {
        "whole": whole,
        "none": replace(whole, config=without, networks={"generator": whole.generator}, match=None),
        "bare": judged("instances", calibrated=False),
        "untaught": replace(whole, match=None),
    }
    for name, model in made.items():
        model.save(folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in made}


def write(path, image, axes="YX"):
    tifffile.imwrite(path, image, ome=True, metadata={"axes": axes})
    return path


CASES = {
    "no discriminator": (
        "none",
        SOURCE,
        LABELS,
        [],
        "must have a discriminator; this one was trained without. Give it to fit-trust",
    ),
    "not taught": ("untaught", SOURCE, LABELS, ["--kind", "match"], "Give it to fit-trust, or choose the kind plain"),
    "sizes differ": ("whole", SOURCE, LABELS[:-1], [], "Source and image must show the same pixels; got (90, 120)"),
    "frames differ": ("whole", SOURCE, np.stack([LABELS] * 2), [], "Source and image must show the same pixels"),
    "channels of the image": ("whole", SOURCE, np.stack([LABELS] * 3), [], "channels of the model's targets, 1; got 3"),
    "channels of the source": ("whole", np.stack([SOURCE] * 2), LABELS, [], "must have 1 channel; got 2"),
    "grey values": (
        "whole",
        SOURCE,
        np.arange(LABELS.size, dtype=np.uint16).reshape(LABELS.shape),
        [],
        "like grey values",
    ),
    "small": ("whole", SOURCE[:15], LABELS[:15], [], "at least one field large, 16 x 16 px; got 15 x 120"),
    "not finite": ("whole", np.where(LABELS == 2, np.nan, SOURCE), LABELS, [], "must be finite; frame 0 holds NaN"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_cannot_be_scored_is_said_in_a_sentence(models, tmp_path, capsys, case) -> None:
    """Exit 2, and nothing is written."""
    model, source, image, more, told = case
    axes = {2: "YX", 3: "CYX"}
    files = [
        write(
            tmp_path / f"{name}.tif",
            values,
            "TYX" if told.endswith("pixels") and values.ndim == 3 else axes[values.ndim],
        )
        for name, values in (("source", source.astype(np.float32)), ("image", image))
    ]
    words = ["score", models[model], *files, "--out", tmp_path / "out.tif", "--device", "cpu", *more]
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err
    assert err.count("error: ") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tif", "source.tif"]


def test_without_calibration_there_are_scores_but_no_ranks(models, tmp_path, capsys) -> None:
    files = [write(tmp_path / "source.tif", SOURCE), write(tmp_path / "image.tif", LABELS)]
    code, _, err = run(capsys, "score", models["bare"], *files, "--out", tmp_path / "s.tif", "--device", "cpu")
    assert (code, "its scores have no ranks" in err) == (0, True)
    written = {path.name for path in tmp_path.glob("s.*")}
    assert written == {"s.tif", "s.valid.tif", "s.expected_error.tif"}
    words = ["score", models["bare"], *files, "--out", tmp_path / "plain.tif", "--device", "cpu", "--kind", "plain"]
    assert "ranks" not in run(capsys, *words)[2]


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (1, "all calibration pairs are from one image or group"),
        (3, "1 calibration group, 20 are needed for a bound"),
    ],
)
def test_too_few_pairs_to_calibrate_are_said(models, tmp_path, capsys, new, told) -> None:
    """And the model is taught nevertheless: what there is of ranks says by how little it is held up."""
    for seed in range(new):
        for side, image in zip(("source", "target"), blobs((90, 120), seed=seed), strict=True):
            (tmp_path / side).mkdir(exist_ok=True)
            write(tmp_path / side / f"{seed}.tif", image)
    words = [
        "fit-trust",
        models["whole"],
        tmp_path / "source",
        tmp_path / "target",
        "--out",
        tmp_path / "m.safetensors",
    ]
    code, out, err = run(capsys, *words, "--steps", "1", "--device", "cpu")
    assert code == 0, err
    assert told in out + err


def test_pairs_too_small_to_teach_with_are_said(models, tmp_path, capsys) -> None:
    files = [write(tmp_path / "source.tif", SOURCE[:20]), write(tmp_path / "target.tif", LABELS[:20])]
    words = ["fit-trust", models["whole"], *files, "--out", tmp_path / "m.safetensors", "--steps", "1"]
    code, _, err = run(capsys, *words, "--device", "cpu")
    assert (code, "Traceback" not in err) == (2, True)
    assert "must be at least as large as a patch, 32 x 32 px; source is 20 x 120. Leave it out" in err
    assert not (tmp_path / "m.safetensors").exists()
