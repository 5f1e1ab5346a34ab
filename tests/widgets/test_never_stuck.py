"""Whatever goes wrong: one sentence, a working button, the last good model kept, and nothing left behind."""

import errno
import os
import sys
import threading
from pathlib import Path

import psutil
import pytest

from napari_pix2pix.core.engine.atomic import FULL_DISK
from napari_pix2pix.files import stacks
from napari_pix2pix.widgets import layers
from napari_pix2pix.widgets.bridge import COMMAND
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.places import recent_models, remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened

pytestmark = pytest.mark.gui

FAULTY = """
import errno, os, sys, torch
from napari_pix2pix.core.methods.pix2pix import Pix2Pix
step, count = Pix2Pix.step, []

def fail(*arguments, **named):
    count.append(1)
    if len(count) == 12:
        raise FAULT
    return step(*arguments, **named)

Pix2Pix.step = fail
from napari_pix2pix.commands.app import main
sys.exit(main(["serve"]))
"""
FAULTS = {
    "memory": "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.\\nGPU 0 has 1.00 GiB.')",
    "disk": "OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))",
}
SENTENCES = {"memory": "Memory must suffice for the work; it does not (CUDA out of memory)", "disk": FULL_DISK}
CYCLES = 50
WARM = 10
"""Cycles after which nothing may grow any more."""
ROOM_MB = 40
"""For allocators, which give back late."""


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    return viewer


@pytest.mark.parametrize("fault", ["memory", pytest.param("disk", marks=pytest.mark.slow)])
def test_a_fault_in_a_training_is_one_sentence_and_keeps_the_best_model(fault, viewer, until, notes) -> None:
    """In the child, after its first validation; then the same button trains to the end."""
    dock = opened(viewer, TrainDock)
    dock.session.child.close()
    dock.session.child._command = (sys.executable, "-c", FAULTY.replace("FAULT", FAULTS[fault]))
    try:
        dock.set_value(small_config(steps=40))
        dock.run()
        until(lambda: dock.job is None)
        said = [note for note in notes if "calibration" not in note and "validation" not in note]
        assert len(said) == 1
        assert said[0].startswith(SENTENCES[fault])
        assert "\n" not in said[0]
        assert said[0] in dock.status.text()
        (model,) = recent_models()
        assert "4 steps" in read_card(model.path).text or "8 steps" in read_card(model.path).text
        dock.run()  # the count of the faulty child has gone by
        until(lambda: dock.job is None)
        assert dock.status.text().startswith("Trained.")
        assert len(recent_models()) == 2
    finally:
        dock.session.child.close()
        dock.session.child._command = COMMAND


def test_a_full_disk_before_the_command_is_one_sentence(viewer, until, notes, home, small_model, monkeypatch) -> None:
    """While a layer is written for the child; nothing of it stays."""
    remember_model(small_model)
    dock = opened(viewer, PredictDock)

    def full(*arguments, **named) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(layers, "write_stack", full)
        dock.run()
        until(lambda: dock.job is None)
    assert notes == [FULL_DISK]
    assert dock.status.text() == FULL_DISK
    assert layers.write_stack is stacks.write_stack
    until(lambda: not list((home / "cache" / "napari-pix2pix").iterdir()))
    dock.run()
    until(lambda: "tissue (predicted)" in viewer.layers)


def _kept(dock) -> dict[str, float]:
    """What must not grow: memory in MB, threads and open files, of napari and of the child; and processes."""
    process, child = psutil.Process(), psutil.Process(dock.session.child.pid)
    return {
        "napari MB": process.memory_info().rss / 2**20,
        "child MB": child.memory_info().rss / 2**20,
        "threads": threading.active_count(),
        "child threads": child.num_threads(),
        "files": process.num_fds(),
        "child files": child.num_fds(),
        "processes": len(process.children(recursive=True)),
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_times_begun_and_stopped_leaves_nothing(viewer, until, home: Path) -> None:
    """Memory flat, no thread, process or file left but the fifty runs."""
    dock, before = opened(viewer, TrainDock), {}
    tiny = {"generator": {"levels": 2, "base_channels": 4}, "patch_size": 16}
    dock.set_value(small_config(steps=1_000_000, validate_every=1_000_000, **tiny))
    for cycle in range(CYCLES):
        if cycle == WARM:
            before = _kept(dock)
        dock.run()
        until(lambda: "Step" in dock.status.text())
        dock.stop_button.click()
        until(lambda: dock.job is None)
        for layer in list(viewer.layers)[2:]:  # previews
            viewer.layers.remove(layer)
    until(lambda: threading.active_count() <= before["threads"])
    after = _kept(dock)
    print(before, after, sep="\n")
    for what, most in before.items():
        assert after[what] <= most + (ROOM_MB if what.endswith("MB") else 0), (what, before, after)
    assert len(recent_models()) == 20
    runs = sorted((home / "napari-pix2pix").iterdir())
    assert len(runs) == CYCLES
    hidden = {path.name for run in runs for path in run.rglob(".*")}
    assert hidden <= {".lock"}  # which stays by design, unlocked
    assert not (home / "cache" / "napari-pix2pix").exists() or not list((home / "cache" / "napari-pix2pix").iterdir())
