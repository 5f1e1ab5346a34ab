"""What outlives its dock, such as a timer or a thread, does nothing any more."""

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_pix2pix.files.starters import starters
from napari_pix2pix.widgets.evaluate_dock import EvaluateDock
from napari_pix2pix.widgets.predict_dock import PredictDock
from widgets.conftest import opened

pytestmark = pytest.mark.gui


def test_what_is_asked_for_a_dock_that_is_gone_never_begins(make_napari_viewer, until, monkeypatch) -> None:
    """Though the child is there, for another dock."""
    viewer = make_napari_viewer()
    gone, _ = opened(viewer, PredictDock), opened(viewer, EvaluateDock)
    gone.parent().destroyOnClose()
    begun, ended = [], []
    run = gone.session.child.run
    monkeypatch.setattr(gone.session.child, "run", lambda words: begun.append([*words]) or run(words))
    job = gone.session.start(gone.token, lambda stopped: ["check"])
    job.ended.connect(ended.append)
    until(lambda: ended == [False])
    assert job.stopped
    assert ["check"] not in begun


def test_a_dock_that_is_closed_as_it_opens_is_gone(make_napari_viewer, qtbot) -> None:
    """Nothing comes after it, neither its place beside the others nor an error."""
    viewer = make_napari_viewer()
    first = opened(viewer, PredictDock)
    for _ in range(3):
        dock = opened(viewer, EvaluateDock)
        frame = dock.parent()
        dock._join_others()
        frame.destroyOnClose()
        frame.deleteLater()
        qtbot.wait(20)
        assert dock.parent() is None
    assert first.session._owners == {first.token}


def test_a_file_that_is_no_model_is_told_in_one_sentence(make_napari_viewer, notes, tmp_path, monkeypatch) -> None:
    (tmp_path / "other.safetensors").write_bytes(b"no model")
    chosen = (str(tmp_path / "other.safetensors"), "")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *arguments, **named: chosen)
    dock = opened(make_napari_viewer(), PredictDock)
    dock.model.button.click()
    assert len(notes) == 1
    assert "other.safetensors" in notes[0]
    assert dock.model.combo.count() == len(starters())
