"""What can be continued, and how long things take: read from files, without torch or a window."""

from pathlib import Path

import pytest

from napari_pix2pix import core
from napari_pix2pix.core.methods import METHODS
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.pairing import open_stacks
from napari_pix2pix.files.training_stacks import TrainingStacks
from napari_pix2pix.widgets.runs import unfinished_runs
from napari_pix2pix.widgets.step_times import about, expected_s, remember_step_time
from small import small_config


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_runs_that_were_stopped_are_offered_until_they_are_done(pair, tmp_path: Path) -> None:
    """With how far they are; not those whose pairs only the memory of a Python session held."""
    stacks, config = TrainingStacks(open_stacks(*pair, PairSettings())), small_config(steps=4)
    run = tmp_path / "nuclei"
    reports = core.train(stacks.train.frames(), config, out=run, device="cpu", provenance=stacks.provenance())
    next(reports), next(reports)
    reports.close()
    [offered] = unfinished_runs(tmp_path)
    assert (offered.path, offered.step, offered.steps) == (run, 2, 4)
    assert offered.config() == METHODS["pix2pix"].settled(config, "instances")  # what auto was settled to
    list(core.train(stacks.train.frames(), out=run, device="cpu", resume=True, provenance=stacks.provenance()))
    assert unfinished_runs(tmp_path) == []

    reports = core.train(stacks.train.frames(), config, out=tmp_path / "python", device="cpu")
    next(reports)
    reports.close()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "checkpoint.safetensors").write_bytes(b"\0" * 20)
    assert unfinished_runs(tmp_path) == []
    assert unfinished_runs(tmp_path / "nowhere") == []


def test_a_training_that_ran_here_says_how_long_the_next_takes() -> None:
    """For the same networks, patches and device, whatever else differs; teaching to judge is counted once known."""
    config = small_config(steps=600, trust_steps=100)
    assert expected_s(config, "cpu") is None
    remember_step_time(config, "cpu", "steps", 0.5)
    assert expected_s(config, "cpu") == 300
    remember_step_time(config, "cpu", "trust steps", 0.1)
    assert expected_s(config, "cpu") == pytest.approx(310)
    assert expected_s(small_config(steps=60, l1_weight=3.0), "cpu") == 30
    assert expected_s(config, "cuda:0") is None
    assert expected_s(small_config(patch_size=64), "cpu") is None


def test_times_are_told_as_people_say_them() -> None:
    told = {None: "time not known yet", 12: "about 10 s", 240: "about 4 min", 9000: "about 2.5 h"}
    assert {seconds: about(seconds) for seconds in told} == told
