"""A run that was stopped can be ended where it is: it makes no more steps, and what follows the last step follows."""

import pytest

from napari_pix2pix import core
from napari_pix2pix.core.engine.tensor_files import read_tensors
from small import blobs, small_config

STACKS = [blobs(seed=i) for i in range(5)]
PAIRS = core.PairedFrames([s for s, _ in STACKS], [t for _, t in STACKS], "YX")


def stopped(out, at: int, **changes) -> None:
    for report in core.train(PAIRS, small_config(**changes), out=out, device="cpu"):
        if report.step == at:
            break


def test_ended_where_it_is_equals_a_training_of_so_many_steps(tmp_path) -> None:
    """Weights, figures and history are those of a run that was asked for no more steps; it is over then."""
    stopped(tmp_path / "long", 5, steps=16)
    reports = list(core.train(PAIRS, out=tmp_path / "long", resume=True, finish=True, device="cpu"))
    *_, whole = core.train(PAIRS, small_config(steps=5), out=tmp_path / "short", device="cpu")
    assert [(report.step, report.steps) for report in reports] == [(5, 5), (5, 5)]
    assert reports[0].metrics
    model = reports[-1].model
    assert model.provenance["figures"] == whole.model.provenance["figures"]
    assert model.provenance["step"] == whole.model.provenance["step"]
    long, short = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in ("long", "short"))
    assert all((long[name] == short[name]).all() for name in short)
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("long", "short")]
    assert histories[0] == histories[1]
    [again] = core.train(PAIRS, out=tmp_path / "long", resume=True, device="cpu")
    assert again.step == again.steps == 5


def test_what_was_ended_early_learns_to_judge(tmp_path) -> None:
    """As after a last step; and if that is stopped, it goes on with it when it is resumed."""
    stopped(tmp_path, 2, steps=16, trust_steps=2)
    for report in core.train(PAIRS, out=tmp_path, resume=True, finish=True, device="cpu"):
        if report.teaching is not None:
            break
    *_, last = core.train(PAIRS, out=tmp_path, resume=True, device="cpu")
    assert last.step == 2
    assert last.model.match is not None


def test_what_cannot_be_ended_is_told(tmp_path) -> None:
    """There must be a run, and it must have made a step; it can still be resumed."""
    with pytest.raises(ValueError, match="give `resume`, too"):
        core.train(PAIRS, small_config(), out=tmp_path, finish=True)
    core.train(PAIRS, small_config(), out=tmp_path / "run", device="cpu").close()
    with pytest.raises(ValueError, match="must have made a step"):
        core.train(PAIRS, out=tmp_path / "run", resume=True, finish=True, device="cpu")
    assert list(core.train(PAIRS, out=tmp_path / "run", resume=True, device="cpu"))[-1].model is not None
