"""Pictures of the docks in a real window, before, during and after their work.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py [FOLDER] [--steps 700]

The best are kept as docs/images/dock_*.png.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

home = tempfile.TemporaryDirectory()
os.environ |= {"XDG_CONFIG_HOME": f"{home.name}/config", "XDG_CACHE_HOME": f"{home.name}/cache", "HOME": home.name}
os.environ["NAPARI_CONFIG"] = f"{home.name}/napari.yaml"  # none of the user's own settings is read or written

import napari  # noqa: E402
import PIL.Image  # noqa: E402
from napari._qt.dialogs.qt_notification import NapariQtNotification  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402


def wait(condition: Callable[[], bool], seconds: float = 600) -> None:
    """Keep the window alive until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        time.sleep(0.01)
        if time.monotonic() > end:
            raise TimeoutError("The dock has not come to its end.")


def rest(seconds: float) -> None:
    """Keep the window alive for so long."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def main() -> None:
    """Train, predict and score on the sample, and take a picture of each state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--steps", type=int, default=700)
    given = parser.parse_args()

    def shoot(name: str) -> None:
        rest(0.5)
        picture = viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        PIL.Image.fromarray(picture).quantize(256).save(given.folder / f"{name}.png", optimize=True)
        for note in viewer.window._qt_window.findChildren(NapariQtNotification):
            note.close()

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    viewer.open_sample("napari-pix2pix", "tissue")

    # Train.
    window, train = viewer.window.add_plugin_dock_widget("napari-pix2pix", "Train")
    wait(lambda: train.device.count() > 1)
    shoot("train_before")
    train.steps.setValue(given.steps)
    train.run()
    wait(lambda: train.bar.value() > 600 or train.job is None)
    shoot("dock_train")
    wait(lambda: train.job is None)
    shoot("train_after")
    window.hide()
    viewer.layers.remove("nuclei preview")
    viewer.layers["nuclei"].visible = False
    viewer.reset_view()

    # Predict.
    window, predict = viewer.window.add_plugin_dock_widget("napari-pix2pix", "Predict")
    shoot("predict_before")
    predict.run()
    wait(lambda: "tissue (predicted)" in viewer.layers)
    shoot("dock_predict")
    window.hide()

    # Patch scores.
    window, score = viewer.window.add_plugin_dock_widget("napari-pix2pix", "Patch scores")
    shoot("patch_scores_before")
    score.run()
    wait(lambda: "tissue (predicted): patch scores" in viewer.layers)
    viewer.layers["tissue (predicted)"].contour = 1
    shoot("dock_patch_scores")
    viewer.close()
    home.cleanup()


if __name__ == "__main__":
    main()
