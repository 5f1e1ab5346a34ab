"""However napari ends, the child ends: napari in a process of its own, a training in its child."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import qtpy

pytestmark = pytest.mark.gui

NAPARI = """
import sys
import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from small import blobs, small_config
from napari_pix2pix.widgets.train_dock import TrainDock

viewer = napari.Viewer(show=SHOWN)
source, labels = blobs()
viewer.add_image(source, name="tissue")
viewer.add_labels(labels, name="nuclei")
dock = TrainDock(viewer)
viewer.window.add_dock_widget(dock)
dock.set_value(small_config(steps=1_000_000, validate_every=1_000_000))
dock.run()

def look():
    if "Step" in dock.status.text():
        timer.stop()
        print("CHILD", dock.session.child.pid, flush=True)
        ENDS

timer = QTimer()
timer.timeout.connect(look)
timer.start(20)
napari.run(force=True) if ENDS_IN_LOOP else None
while not ENDS_IN_LOOP:
    QApplication.processEvents()
"""
WAYS = {
    "quit": "QApplication.quit()",
    "window": "viewer.window._qt_window.close()",
    "script": "raise SystemExit",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("way", ["quit", *(pytest.param(way, marks=pytest.mark.slow) for way in list(WAYS)[1:])])
def test_napari_ends_and_leaves_no_orphan(way: str, home: Path, tmp_path: Path) -> None:
    """The best model is kept, and the child has ended when napari has, or soon after, however busy the machine is."""
    in_loop = str(way in ("quit", "window"))
    code = NAPARI.replace("ENDS_IN_LOOP", in_loop).replace("ENDS", WAYS[way]).replace("SHOWN", str(way == "window"))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]),
        "QT_API": qtpy.API,  # the binding under test
        "NAPARI_CONFIG": str(tmp_path / "napari.yaml"),
        "NAPARI_ASYNC": "0",
    }
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as napari:
        assert napari.stdout is not None
        said = next((line for line in napari.stdout if line.startswith("CHILD")), "")  # notifications come there, too
        child = psutil.Process(int(said.split()[1]))
        try:
            napari.wait(60)
        finally:
            napari.kill()
        psutil.wait_procs([child], timeout=10)  # it promises 4 s
    assert not child.is_running()
    assert (home / "napari-pix2pix" / "nuclei" / "model.safetensors").is_file()
