"""Curves hold what a training said, whether it was heard or read from its folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pix2pix.widgets.curves import MOST_TICKS, Curves, log_ticks
from napari_pix2pix.widgets.dock import Request
from napari_pix2pix.widgets.session import Job
from napari_pix2pix.widgets.training_dock import TrainingDock
from widgets.conftest import opened

HISTORY = """step,discriminator,l1,validation_dice
10,0.7,0.9,
20,0.6,0.5,0.25
30,0.5,0.4,
"""


@pytest.mark.gui
def test_what_was_written_is_what_was_heard(qtbot, tmp_path: Path) -> None:
    """Losses that are told several times are one point; a new training begins anew."""
    (tmp_path / "history.csv").write_text(HISTORY, "utf8")
    heard, read = Curves(), Curves()
    for curves in (heard, read):
        qtbot.addWidget(curves)
    for step, losses, figures in (
        (10, {"discriminator": 0.7, "l1": 0.9}, {}),
        (14, {"discriminator": 0.7, "l1": 0.9}, {}),
        (20, {"discriminator": 0.6, "l1": 0.5}, {"dice": 0.25}),
        (30, {"discriminator": 0.5, "l1": 0.4}, {}),
    ):
        heard.add(step, losses, figures)
    read.read(tmp_path / "history.csv")
    assert (
        read.series
        == heard.series
        == {
            "losses": {"discriminator": ([10, 20, 30], [0.7, 0.6, 0.5]), "l1": ([10, 20, 30], [0.9, 0.5, 0.4])},
            "validation": {"dice": ([20], [0.25])},
        }
    )
    assert "dice 0.25" in read._legends["validation"].text()
    read.read(tmp_path / "none.csv")
    assert read.series == {"losses": {}, "validation": {}}
    assert read.isHidden()


@pytest.mark.gui
def test_the_plots_are_there_before_the_first_step(make_napari_viewer, until, monkeypatch) -> None:
    """As soon as a training begins, not with its first curve, and hidden until then."""
    dock = opened(make_napari_viewer(), TrainingDock)
    assert not dock.curves._plots
    monkeypatch.setattr(dock.session, "start", lambda owner, prepare, name="": Job(dock.session, owner))
    dock.begin(Request(lambda stopped: [], ()))
    until(lambda: len(dock.curves._plots) == 2)
    assert dock.curves.isHidden()
    dock.job.ended.emit(True)  # and its bar goes


@given(st.floats(1e-6, 1e6), st.floats(1, 1e8))
def test_ticks_are_few_and_within(lowest: float, times: float) -> None:
    ticks = log_ticks(lowest, lowest * times)
    assert 2 <= len(ticks) <= MOST_TICKS
    assert ticks == sorted(ticks)
