"""A run can be stopped, resumed and repeated, and ends the same."""

import csv
import json

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from napari_pix2pix import core
from napari_pix2pix.core.data.patches import PairedPatches
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.engine import tensor_files
from napari_pix2pix.core.engine.tensor_files import read_tensors, write_tensors
from napari_pix2pix.core.methods.pix2pix import Pix2Pix
from small import blobs, small_config

PAIRS = core.PairedFrames(*blobs(), "YX")


def weights(run) -> dict[str, torch.Tensor]:
    return read_tensors(run / "checkpoint.safetensors")[0]


def read_rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.filterwarnings("ignore:No room for")
def test_same_seed_same_weights(tmp_path) -> None:
    """Two runs with one seed end with the same weights and history bit for bit; another seed ends elsewhere."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        for _ in core.train(PAIRS, small_config(seed=seed), out=tmp_path / name, device="cpu"):
            pass
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in "ab"]
    assert histories[0] == histories[1]
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


@pytest.mark.filterwarnings("ignore:No room for")
@pytest.mark.parametrize("stop_at", [1, 4, 13])
@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "float32"},
        {"precision": "bfloat16"},
        {"ema_decay": 0.9, "schedule": "cosine", "foreground_share": 0.5, "intensity_jitter": 0.1, "patience": 3},
    ],
    ids=["float32", "bfloat16", "average"],
)
def test_stopped_and_resumed_equals_never_interrupted(tmp_path, stop_at: int, changes) -> None:
    """Stop after any step and resume: weights, optimizer, history and model are those of one go, bit for bit."""
    config = small_config(steps=16, **changes)
    for _ in core.train(PAIRS, config, out=tmp_path / "whole", device="cpu"):
        pass
    for report in core.train(PAIRS, config, out=tmp_path / "parts", device="cpu"):
        if report.step == stop_at:
            break
    assert (tmp_path / "parts" / "model.safetensors").exists()
    for _ in core.train(PAIRS, out=tmp_path / "parts", resume=True, device="cpu"):
        pass
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    for name in ("history.csv", "model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


@pytest.mark.filterwarnings("ignore:No room for")
def test_a_run_begun_before_there_was_a_loss_of_labels_goes_on_with_l1(tmp_path) -> None:
    """Its plan does not name one: stopped, resumed and then judged, it is the run that asked for L1, bit for bit."""
    for _ in core.train(PAIRS, small_config(label_loss="l1"), out=tmp_path / "whole", device="cpu"):
        pass
    for report in core.train(PAIRS, small_config(label_loss="l1"), out=tmp_path / "parts", device="cpu"):
        if report.step == 3:
            break
    plan = json.loads((tmp_path / "parts" / "config.json").read_text())
    assert plan["config"].pop("label_loss") == "l1"
    (tmp_path / "parts" / "config.json").write_text(json.dumps(plan))
    *_, last = core.train(PAIRS, out=tmp_path / "parts", resume=True, device="cpu")
    assert last.model.config.label_loss == "l1" and set(last.losses) >= {"l1"}
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.filterwarnings("ignore:No room for")
def test_what_auto_was_is_kept_in_the_run_and_its_model(tmp_path) -> None:
    """Labels have cross-entropy by default; the same asked for by name is the same training, to the last byte."""
    for name, asked in (("a", "auto"), ("b", "cross-entropy"), ("c", "l1")):
        for _ in core.train(PAIRS, small_config(label_loss=asked), out=tmp_path / name, device="cpu"):
            pass
    assert json.loads((tmp_path / "a" / "config.json").read_text())["config"]["label_loss"] == "cross-entropy"
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.filterwarnings("ignore:No room for")
def test_a_finished_run_resumes_to_its_end(tmp_path) -> None:
    """Resuming what is done gives its model and changes nothing."""
    for _ in core.train(PAIRS, small_config(), out=tmp_path, device="cpu"):
        pass
    before = (tmp_path / "model.safetensors").read_bytes()
    [report] = core.train(PAIRS, out=tmp_path, resume=True, device="cpu")
    assert report.step == 6
    assert report.model is not None
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_reports_tell_losses_validation_and_previews(tmp_path) -> None:
    """Losses come every ten steps, figures when validating, a preview at the first step; all of it finite."""
    stack = [blobs(seed=i) for i in range(10)]
    pairs = core.PairedFrames([s for s, _ in stack], [t for _, t in stack], "YX")
    reports = list(core.train(pairs, small_config(steps=12, validate_every=6), out=tmp_path, device="cpu"))
    assert [r.step for r in reports] == [*range(1, 13), 12]
    assert reports[0].preview.source.dtype == np.uint16
    assert reports[0].preview.prediction.shape == reports[0].preview.target.shape
    assert np.isfinite(reports[0].preview.scored.scores).all()
    assert set(reports[10].losses) == {"cross_entropy", "generator", "discriminator"}
    assert set(reports[5].metrics) == {"dice", "object_f1_iou50"}
    rows = read_rows(tmp_path / "history.csv")
    assert [row["step"] for row in rows] == ["6", "10", "12"]
    rows = read_rows(tmp_path / "split.csv")
    assert [row["kind"] for row in rows] == ["train"] * 8 + ["validation", "calibration"]
    plan = json.loads((tmp_path / "config.json").read_text())
    assert plan["target_encoding"]["kind"] == "instances"


def test_training_lowers_the_l1_loss(tmp_path) -> None:
    """A hundred steps on one image more than halve the L1 loss of the first ten."""
    source, _ = blobs()
    config = small_config(steps=100, validation_share=0, calibration_share=0, learning_rate=2e-3)
    reports = list(core.train(core.PairedFrames(source, source, "YX"), config, out=tmp_path, device="cpu"))
    assert reports[-1].losses["l1"] < reports[9].losses["l1"] / 2


def test_l1_only_has_no_discriminator(tmp_path) -> None:
    """With gan_weight 0 only L1 trains, or what stands for it, and scoring says why it cannot."""
    config = small_config(gan_weight=0, label_loss="l1", validation_share=0, calibration_share=0)
    *_, report = core.train(PAIRS, config, out=tmp_path, device="cpu")
    assert set(report.losses) == {"l1"}
    with pytest.raises(ValueError, match="must have a discriminator"):
        report.model.score(*blobs(), "YX")


def read_column(run, name: str) -> dict[int, float]:
    """By step, where it is known."""
    return {int(row["step"]): float(row[name]) for row in read_rows(run / "history.csv") if row[name]}


def test_the_best_model_on_validation_is_kept(tmp_path) -> None:
    """The model in the run folder has the best figure of the history, which is not the last."""
    images = [blobs(seed=i)[0] for i in range(4)]
    pairs = core.PairedFrames(images[:3], images[:3], "YX")
    judges = core.PairedFrames(images[3], images[3], "YX")
    changes = {"generator": {"levels": 3, "base_channels": 8, "upsampling": "transposed"}, "target_kind": "intensity"}
    config = small_config(steps=40, calibration_share=0, learning_rate=3e-2, **changes)
    *_, report = core.train(pairs, config, out=tmp_path, validation=judges, device="cpu")
    figures = {name: read_column(tmp_path, f"validation_{name}") for name in ("pearson", "mae")}
    best = max(figures["pearson"], key=figures["pearson"].__getitem__)
    assert best < 40, "the last is the best: this test could not tell"
    assert report.model.provenance["step"] == best
    validated = figures["mae"]
    assert report.model.provenance["figures"]["validation"]["mae"] == validated[best]
    mae = core.evaluate(report.model, images[3], images[3], "YX")["metrics"]["mae"]["value"]
    assert mae == pytest.approx(validated[best], rel=1e-3)  # so much may predicting in bfloat16 change it


def test_a_run_goes_on_by_the_figure_that_it_began_with(tmp_path) -> None:
    """That of a version that chose by MAE, too: it would take no correlation for better than a mean error."""
    images = [blobs(seed=i)[0] for i in range(3)]
    pairs, judges = core.PairedFrames(images[:2], images[:2], "YX"), core.PairedFrames(images[2], images[2], "YX")
    config = small_config(steps=8, validate_every=2, target_kind="intensity", calibration_share=0)
    for report in core.train(pairs, config, out=tmp_path, validation=judges, device="cpu"):
        if report.step == 4:
            break
    path = tmp_path / "checkpoint.safetensors"
    tensors, state = read_tensors(path)
    assert state.pop("decides") == "pearson"
    write_tensors(path, tensors, state | {"best": 0.0})  # no mean error is less
    *_, last = core.train(pairs, out=tmp_path, validation=judges, resume=True, device="cpu")
    assert last.step == 8 and last.model.provenance["step"] <= 4
    assert read_tensors(path)[1]["decides"] == "mae"


def test_what_is_in_the_way_is_told(tmp_path) -> None:
    """A folder with files, a missing run, a locked run: one sentence each, and nothing is touched."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="must go to a new or empty folder"):
        core.train(PAIRS, small_config(), out=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"must hold config\.json"):
        core.train(PAIRS, out=tmp_path, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    config = small_config(validation_share=0, calibration_share=0)
    first = core.train(PAIRS, config, out=tmp_path / "run", device="cpu")
    next(first)
    with pytest.raises(ValueError, match="one process at a time"):
        core.train(PAIRS, out=tmp_path / "run", resume=True, device="cpu")
    first.close()


def test_pairs_refused_leave_nothing(tmp_path) -> None:
    """Pairs that cannot be trained on leave no file of a run."""
    with pytest.raises(ValueError, match="every source is constant"):
        core.train(core.PairedFrames(np.ones((64, 64)), np.eye(64)), small_config(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_model(tmp_path) -> None:
    """A learning rate that explodes ends in one sentence; the model from before is there, and finite."""
    config = small_config(steps=300, learning_rate=1e30, validation_share=0, calibration_share=0, precision="float32")
    with pytest.raises(
        RuntimeError, match=r"Losses must stay finite; at step .*model\.safetensors is the model from before"
    ):
        for _ in core.train(PAIRS, config, out=tmp_path, device="cpu"):
            pass
    kept = core.load_model(tmp_path / "model.safetensors", "cpu").tensors()
    assert all(torch.isfinite(tensor).all() for tensor in (*kept.values(), *weights(tmp_path).values()))


QUIET = {"validation_share": 0, "calibration_share": 0}


def test_the_models_weights_may_be_an_average(tmp_path) -> None:
    """With ema_decay d the model holds a_1 = w_1, a_t = d a_(t-1) + (1 - d) w_t of the weights w_t of the same run."""
    runs = {f"raw{steps}": {"steps": steps} for steps in (1, 2, 3)} | {"average": {"steps": 3, "ema_decay": 0.75}}
    for name, changes in runs.items():
        for _ in core.train(
            PAIRS, small_config(**QUIET, precision="float32", **changes), out=tmp_path / name, device="cpu"
        ):
            pass
    name = "networks.generator.up.0.1.weight"
    first, second, third = (weights(tmp_path / f"raw{steps}")[name] for steps in (1, 2, 3))
    found = weights(tmp_path / "average")
    expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
    torch.testing.assert_close(found[name], expected)
    assert torch.equal(found[name.replace("networks", "trained")], third)
    assert not torch.equal(found[name], third)


def test_weights_that_are_not_finite_are_never_kept(tmp_path, monkeypatch) -> None:
    """However finite the losses and figures still look."""

    def poisoned(method, learner, batch):
        losses = step(method, learner, batch)
        next(iter(learner["generator"].parameters())).data.fill_(float("nan"))
        return losses

    step = Pix2Pix.step
    run = core.train(PAIRS, small_config(**QUIET), out=tmp_path, device="cpu")
    next(run)
    monkeypatch.setattr(Pix2Pix, "step", poisoned)
    with pytest.raises(RuntimeError, match="weights nan"):
        list(run)
    kept = core.load_model(tmp_path / "model.safetensors", "cpu").tensors()
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


def test_training_ends_when_nothing_improves(tmp_path) -> None:
    """After `patience` validations without a better model it ends, and is finished: to resume it does nothing more."""
    images = [blobs(seed=i)[0] for i in range(3)]
    pairs, judges = core.PairedFrames(images[:2], images[:2], "YX"), core.PairedFrames(images[2], images[2], "YX")
    config = small_config(steps=200, patience=2, target_kind="intensity", calibration_share=0, learning_rate=3e-2)
    *_, last = core.train(pairs, config, out=tmp_path, validation=judges, device="cpu")
    figures = list(read_column(tmp_path, "validation_pearson").values())
    assert last.step == last.steps < 200
    assert int(np.argmax(figures)) == len(figures) - 3
    reports = list(core.train(pairs, out=tmp_path, validation=judges, resume=True, device="cpu"))
    assert [report.step for report in reports] == [last.step]
    for report in core.train(pairs, config, out=tmp_path / "parts", validation=judges, device="cpu"):
        if report.step == last.step - 3:  # between the validations that end it
            break
    *_, again = core.train(pairs, out=tmp_path / "parts", validation=judges, resume=True, device="cpu")
    assert again.step == last.step
    assert (tmp_path / "parts" / "history.csv").read_bytes() == (tmp_path / "history.csv").read_bytes()


def test_a_resumed_run_computes_with_as_many_threads(tmp_path) -> None:
    """Another number of threads would sum in another order; the process gets its own number back."""
    before = torch.get_num_threads()
    first = core.train(PAIRS, small_config(**QUIET), out=tmp_path, device="cpu")
    next(first)
    first.close()
    torch.set_num_threads(before + 1)
    try:
        again = core.train(PAIRS, out=tmp_path, resume=True, device="cpu")
        next(again)
        assert torch.get_num_threads() == before
        again.close()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_training_starts_from_a_model(tmp_path) -> None:
    """It starts with the model's weights, reads grey values as the model does, and asks for the same networks."""
    *_, report = core.train(PAIRS, small_config(**QUIET), out=tmp_path / "old", device="cpu")
    old, brighter = report.model, core.PairedFrames(blobs(seed=1)[0] * 2, blobs(seed=1)[1], "YX")
    config = small_config(**QUIET, learning_rate=1e-9, target_kind="instances")
    *_, report = core.train(brighter, config, out=tmp_path / "new", initial=old, device="cpu")
    new = report.model
    assert new.source_encoding == old.source_encoding
    for name, weight in old.tensors().items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(new.tensors()[name], weight, atol=1e-6, rtol=0)
    other = small_config(generator={"levels": 2, "base_channels": 8})
    with pytest.raises(ValueError, match=r"generator\.levels is 3 in the model, got 2"):
        core.train(PAIRS, other, out=tmp_path / "other", initial=old, device="cpu")
    rgb = core.PairedFrames(np.stack([blobs(seed=i)[0] for i in range(3)], -1), blobs()[1], ("YXS", "YX"))
    with pytest.raises(ValueError, match=r"channels and planes of the model to start from, 1 source .* got 3"):
        core.train(rgb, small_config(), out=tmp_path / "rgb", initial=old, device="cpu")
    with pytest.raises(ValueError, match="target_kind is auto in the model, got intensity"):
        core.train(PAIRS, small_config(target_kind="intensity"), out=tmp_path / "kind", initial=old, device="cpu")
    far = core.PairedFrames(blobs()[0] + 20_000, blobs()[1], "YX")
    with pytest.warns(UserWarning, match="100% of the new sources lie above the range that the model was trained on"):
        core.train(far, small_config(**QUIET), out=tmp_path / "far", initial=old, device="cpu").close()
    assert not (tmp_path / "other").exists()


@pytest.mark.filterwarnings("ignore:.*they train again and judge nothing", "ignore:No room for")
def test_what_trained_a_model_never_judges_the_next(tmp_path) -> None:
    """A split of a training that starts from a model leaves what trained that model, or one before it, in train."""
    stacks = [np.stack(side) for side in zip(*(blobs(seed=i) for i in range(8)), strict=True)]
    pairs = core.PairedFrames(list(stacks[0]), list(stacks[1]), "YX", hashes=[(f"s{i}", f"t{i}") for i in range(8)])
    before, initial = set(), None
    for seed in range(3):
        config = small_config(steps=1, seed=seed)
        run = core.train(pairs, config, out=tmp_path / str(seed), initial=initial, device="cpu")
        *_, report = run
        rows = report.model.provenance["regions"]
        judges = {row["source_sha256"] for row in rows if row["kind"] != "train"}
        assert judges or seed
        assert not judges & before
        before |= {row["source_sha256"] for row in rows if row["kind"] == "train"}
        initial = report.model


def test_validation_pairs_whose_channels_are_swapped_are_refused(tmp_path) -> None:
    """Names tell it, where there are some."""
    two = np.stack([blobs(seed=i)[0] for i in range(2)])
    make = [
        core.PairedFrames(two, blobs()[1], ("CYX", "YX"), source_names=[names]) for names in (("a", "b"), ("b", "a"))
    ]
    with pytest.raises(ValueError, match="in their order; got a, b and b, a"):
        core.train(make[0], small_config(), out=tmp_path / "run", validation=make[1], device="cpu")


def test_old_pairs_are_those_that_trained(tmp_path) -> None:
    """Of the old pairs only what trained the model is mixed in, never what chose or may judge it; resume knows it."""
    stacks = [np.stack(side) for side in zip(*(blobs(seed=i) for i in range(8)), strict=True)]
    old_pairs, names = core.PairedFrames(*stacks, "TYX"), {"pair 0"}
    *_, report = core.train(old_pairs, small_config(steps=2), out=tmp_path / "old", device="cpu")
    old = report.model
    trained = {row["frame"] for row in old.provenance["regions"] if row["kind"] == "train"}
    assert {row["name"] for row in old.provenance["regions"]} == names
    assert 0 < len(trained) < 8
    seen = []

    class Counted(core.PairedFrames):
        def source(self, frame, window=()):
            seen.append(frame)
            return super().source(frame, window)

    counted = Counted(*stacks, "TYX")
    config = small_config(**QUIET, steps=30, batch_size=1)
    for _ in core.train(PAIRS, config, out=tmp_path / "new", initial=old, old_pairs=counted, device="cpu"):
        pass
    assert set(seen) == trained
    seen.clear()
    again = core.train(PAIRS, out=tmp_path / "new", old_pairs=counted, resume=True, device="cpu")
    assert [report.step for report in again] == [30]


def test_nobody_learns_from_what_is_not_known(tmp_path) -> None:
    """Whatever a target holds where it is not known, the weights after training are the same."""
    source, labels = blobs()
    valid = np.zeros(source.shape, np.uint8)
    valid[:, 30:90] = 1
    config = small_config(validation_share=0, calibration_share=0, target_kind="intensity")
    for name, elsewhere in (("a", 0), ("b", 999)):
        pairs = core.PairedFrames(source, np.where(valid, labels, elsewhere), "YX", valid=valid)
        for _ in core.train(pairs, config, out=tmp_path / name, device="cpu"):
            pass
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_patches_smaller_than_the_field_are_warned_of(tmp_path) -> None:
    """With both numbers; without a discriminator there is no field."""
    source, labels = blobs()
    pairs, few = core.PairedFrames(source, labels, "YX"), {"validation_share": 0, "calibration_share": 0}
    large = {"discriminator": {"n_layers": 3, "base_channels": 4}, **few}
    with pytest.warns(UserWarning, match="the discriminator's field, 70 px, .* they are 32 px"):
        core.train(pairs, small_config(**large), out=tmp_path / "a", device="cpu").close()
    core.train(pairs, small_config(**large, gan_weight=0), out=tmp_path / "b", device="cpu").close()
    core.train(pairs, small_config(**few), out=tmp_path / "c", device="cpu").close()


def test_frames_without_labels_must_be_explained(tmp_path) -> None:
    """Are they empty or not labelled? Nothing is assumed: training asks, and does as it is told."""
    stacks = [np.stack(side) for side in zip(*(blobs(seed=i) for i in range(6)), strict=True)]
    stacks[1][2:4] = 0
    pairs = core.PairedFrames(*stacks, "TYX")
    quiet = {"validation_share": 0, "calibration_share": 0, "steps": 1}
    with pytest.raises(ValueError, match="of the frames \\(2 of 6\\) have none, the first is pair 0, frame 2"):
        core.train(pairs, small_config(**quiet), out=tmp_path / "ask", device="cpu")
    for said, frames in (("empty", 6), ("unlabelled", 4)):
        run = tmp_path / said
        for _ in core.train(pairs, small_config(**quiet, empty_frames=said), out=run, device="cpu"):
            pass
        assert len(read_rows(run / "split.csv")) == frames


@pytest.mark.filterwarnings("ignore:No room for")
def test_a_full_disk_keeps_what_was_saved(tmp_path, monkeypatch) -> None:
    """The checkpoint before is whole, and the run goes on from it."""

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    reports = core.train(PAIRS, small_config(), out=tmp_path / "run", device="cpu")
    next(reports)
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(tensor_files, "save_file", full)
        with pytest.raises(OSError, match="A disk must have room"):
            list(reports)
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before
    assert not list((tmp_path / "run").glob(".*-*"))
    assert list(core.train(PAIRS, out=tmp_path / "run", device="cpu", resume=True))[-1].model is not None


@pytest.mark.filterwarnings("ignore:No room for")
def test_planes_to_stains_and_classes_to_image(tmp_path) -> None:
    """A Z stack becomes two stains at once; class labels become an image; both predict what they were trained for."""
    volume = np.stack([blobs(seed=i)[0] for i in range(4)])
    stains = volume[:2]
    pairs = core.PairedFrames(volume, stains, ("ZYX", "CYX"), z="channels")
    *_, report = core.train(pairs, small_config(target_kind="intensity"), out=tmp_path / "stains", device="cpu")
    prediction = report.model.predict(volume, "ZYX")
    assert (prediction.shape, prediction.dtype) == (stains.shape, stains.dtype)
    classes = np.digitize(volume[0], [800, 1500]).astype(np.uint8)
    config = small_config(target_kind="intensity", source_kind="classes")
    *_, report = core.train(core.PairedFrames(classes, volume[0], "YX"), config, out=tmp_path / "image", device="cpu")
    assert report.model.generator.down[0][1].in_channels == 3
    assert report.model.predict(classes, "YX").dtype == np.uint16


@pytest.mark.filterwarnings("ignore:No room for")
def test_a_model_knows_how_to_read_a_new_source(tmp_path) -> None:
    """Channels chosen in training are taken again from a file like those; a grey source is repeated, and said."""
    rgb = np.stack([blobs(seed=i)[0] for i in range(3)], axis=-1)
    labels = blobs()[1]
    pairs = core.PairedFrames(rgb, labels, ("YXS", "YX"), channels=([0, 2], None))
    *_, report = core.train(pairs, small_config(), out=tmp_path / "two", device="cpu")
    np.testing.assert_array_equal(report.model.predict(rgb, "YXS"), report.model.predict(rgb[..., [0, 2]], "YXC"))
    *_, report = core.train(
        core.PairedFrames(rgb, labels, ("YXS", "YX")), small_config(), out=tmp_path / "rgb", device="cpu"
    )
    with pytest.warns(UserWarning, match="its grey is each colour's"):
        prediction = report.model.predict(rgb[..., 0], "YX")
    np.testing.assert_array_equal(prediction, report.model.predict(rgb[..., [0, 0, 0]], "YXS"))


@pytest.mark.filterwarnings("ignore:No room for")
def test_a_source_far_from_the_training_range_is_warned_of(tmp_path) -> None:
    """The warning gives the share and the range."""
    *_, report = core.train(PAIRS, small_config(), out=tmp_path, device="cpu")
    with pytest.warns(UserWarning, match="100% of the source lies above the training range"):
        report.model.predict(np.full((40, 40), 60_000, np.uint16), "YX")


def test_validation_without_anything_known_chooses_nothing(tmp_path) -> None:
    """A held-out part of which nothing is known is left out, and said; a train part like that is refused."""
    source, labels = blobs((64, 300))
    for known, kept in ((slice(0, 100), True), (slice(240, 300), False)):
        valid = np.zeros(source.shape, bool)
        valid[:, known] = True
        pairs = core.PairedFrames(source, labels, "YX", valid=valid)
        if kept:
            with pytest.warns(UserWarning, match="No room for"):
                reports = core.train(pairs, small_config(), out=tmp_path / "run", device="cpu")
            *_, report = reports
            assert report.model.provenance["split"]["validation"] == 0
        else:
            with pytest.raises(ValueError, match="Something of the targets that train must be known"):
                core.train(pairs, small_config(), out=tmp_path / "none", device="cpu")


def test_every_class_has_a_channel(tmp_path) -> None:
    """A class that only the held-out part shows stops nothing; 64-bit labels are predicted in fewer bits."""
    source, _ = blobs((64, 300))
    classes = np.zeros(source.shape, np.int64)
    classes[:40, :100], classes[40:, 250:] = 1, 300
    config = small_config(target_kind="classes", calibration_share=0)
    *_, report = core.train(core.PairedFrames(source, classes, "YX"), config, out=tmp_path, device="cpu")
    assert report.model.target_encoding.classes == (0, 1, 300)
    assert report.model.predict(source, "YX").dtype == np.uint16


def test_validation_pairs_of_other_channels_are_told(tmp_path) -> None:
    """At the door, not at the first validation."""
    rgb = core.PairedFrames(np.zeros((96, 128, 3), np.uint8), blobs()[1])
    with pytest.raises(ValueError, match="must have the channels of the others; got 3"):
        core.train(PAIRS, small_config(), out=tmp_path / "run", validation=rgb, device="cpu")


def test_frames_too_large_to_keep_are_encoded_by_window(monkeypatch) -> None:
    """Patches are the same whether whole frames are kept or only windows are read."""
    source, labels = blobs()
    pairs = core.PairedFrames(source, labels, "YX")
    encodings = fit_encoding([source[None]], "intensity"), fit_encoding([(labels > 0)[None]], "classes")
    pairs = core.PairedFrames(source, labels > 0, "YX")
    kept = PairedPatches(pairs, pairs.regions(), small_config(), *encodings)
    expected = [kept.batch(step) for step in range(3)]
    monkeypatch.setattr("napari_pix2pix.core.data.patches.CACHE_BYTES", 1000)
    for step, batch in enumerate(expected):
        found = PairedPatches(pairs, pairs.regions(), small_config(), *encodings).batch(step)
        assert torch.equal(found["source"], batch["source"])
        assert torch.equal(found["target"], batch["target"])


def test_classes_are_weighed_by_what_trains(tmp_path) -> None:
    """Validation and calibration frames have no say in what an error on a rare class weighs."""
    source = np.random.default_rng(0).normal(100, 10, (8, 32, 64)).astype(np.float32)
    target = np.zeros((8, 32, 64), np.uint8)
    for frame in range(8):
        target[frame, :, : 4 * (frame + 1)] = 1
    changes = {"target_kind": "classes", "class_weights": "rare", "steps": 1}
    *_, last = core.train(core.PairedFrames(source, target, "TYX"), small_config(**changes), out=tmp_path, device="cpu")
    regions = last.model.provenance["regions"]
    trained = [row["frame"] for row in regions if row["kind"] == "train"]
    assert 0 < len(trained) < 8
    share = target[trained].mean()
    np.testing.assert_allclose(last.model.target_encoding.weights, (0.5 / (1 - share), 0.5 / share))


@pytest.mark.parametrize(
    ("changes", "devices", "sentence"),
    [
        ({"batch_size": 3}, 2, "3 patches are not by 2"),
        ({"generator": {"levels": 3, "base_channels": 8, "norm": "batch-renorm"}}, 2, "batch-renorm sees that of one"),
        ({}, 0, "at least 1; got 0 and 1"),
    ],
)
def test_what_processes_cannot_share_is_told(tmp_path, changes, devices, sentence) -> None:
    """Before any process is started, and without leaving a run."""
    with pytest.raises(ValueError, match=sentence):
        core.train(PAIRS, small_config(**changes), out=tmp_path / "run", device="cpu", devices=devices)
    assert not (tmp_path / "run").exists()


def test_what_is_left_to_auto_is_as_in_the_model_that_is_trained_further(tmp_path) -> None:
    """A model with transposed convolutions, as all were, is trained on by a preset that would choose others now."""
    source, _ = blobs()
    pairs = core.PairedFrames([source], [source // 2], "YX")
    before = small_config(**QUIET, target_kind="intensity", generator={"levels": 2, "upsampling": "transposed"})
    *_, report = core.train(pairs, before, out=tmp_path / "before", device="cpu")
    auto = small_config(**QUIET, target_kind="intensity", generator={"levels": 2, "upsampling": "auto"})
    *_, report = core.train(pairs, auto, out=tmp_path / "after", initial=report.model, device="cpu")
    assert report.model.config.generator.upsampling == "transposed"
