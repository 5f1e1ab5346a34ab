"""A training is asked for in time; its estimate and its bar cover learning and learning to judge."""

import pytest

from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.widgets.step_times import expected_phases, in_phases, remember_step_time
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(make_napari_viewer):
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    return opened(viewer, TrainDock)


def words(dock) -> list[str]:
    return [str(word) for word in dock.request().prepare(lambda: False)]


def test_the_first_try_is_a_look_of_three_minutes(dock) -> None:
    """So much is asked for, and no steps; whoever changes the steps wants steps."""
    assert dock.how_long.currentText() == "a first look (3 min)"
    assert "--minutes=3" in words(dock)
    assert not any(word.startswith("--steps") for word in words(dock))
    assert not dock.steps.isVisibleTo(dock)
    assert dock.time.text() == "learns 2 min, then learns to judge 40 s"
    remember_step_time(dock.value(), dock.device.resolved(), "steps", 0.5)
    dock._show_time()
    assert dock.time.text() == "learns 2 min, then learns to judge 40 s (about 270 steps)"
    dock.steps.setValue(77)
    assert dock.how_long.currentText() == "steps"
    assert dock.steps.isVisibleTo(dock)
    assert "--steps=77" in words(dock)
    assert not any(word.startswith("--minutes") for word in words(dock))
    dock.preset.setCurrentText("microscopy")
    assert dock.how_long.currentText() == "an hour"
    dock.preset.setCurrentText("paper")
    assert dock.how_long.currentText() == "steps"
    dock.set_value(small_config(steps=5))
    assert dock.value() == small_config(steps=5)
    assert dock.minutes() is None


def test_the_bar_covers_both_and_never_stands_full_between(dock) -> None:
    """By the time that each takes; words say what is done where nothing counts."""
    config = small_config(steps=100, trust_steps=50)
    remember_step_time(config, "cpu", "steps", 3.0)
    remember_step_time(config, "cpu", "trust steps", 2.0)
    assert in_phases(*expected_phases(config, "cpu")) == "learns 5 min, then learns to judge 2 min"
    dock.watch(dock.folder.value() / "nuclei", config, "cpu", None)
    dock.stop_button.setEnabled(True)

    def heard(unit: str, done: int, total: int) -> tuple[float, str]:
        event = {"event": "progress", "unit": unit, "done": done, "total": total, "remaining_s": 60.0}
        dock.show_progress(event)
        return round(dock.share(event), 3), dock.status.text()

    assert heard("steps", 50, 100) == (0.375, "Step 50 of 100 · 1 min 0 s left, then learns to judge 2 min")
    assert heard("steps", 100, 100) == (0.75, "Prepares to judge …")
    judging = "Learns to judge predictions: step 25 of 50 · 1 min 0 s left"
    assert heard("trust steps", 25, 50) == (0.875, judging)
    assert heard("trust steps", 50, 50) == (1.0, "Judges the model, draws the report …")
    assert in_phases(None, None) == "time not known yet"
    assert in_phases(120.0, None) == "learns 2 min, then learns to judge"
    assert in_phases(120.0, 0.0) == "learns 2 min"


def test_what_fitted_in_the_time_is_shown(dock) -> None:
    """A note while it is measured, and its steps after."""
    dock.watch(dock.folder.value() / "nuclei", make_config("fast"), "cpu", None, 3.0)
    dock.stop_button.setEnabled(True)
    dock.hear({"event": "note", "text": "Measures how many steps fit in the time …"})
    assert dock.status.text() == "Measures how many steps fit in the time …"
    dock.hear({"event": "note", "text": "In 3 minutes fit 200 steps.", "steps": 200, "trust_steps": 0})
    assert dock.phases() == (180.0, 0.0)
    assert dock.share({"unit": "steps", "done": 100, "total": 200}) == 0.5
