"""Pictures of the docks in a real window, before, during and after their work.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py [FOLDER] [--steps 700] [--trust-steps 300]

The best are kept as docs/images/dock_*.png, for the README and the tutorial.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

home = tempfile.TemporaryDirectory()
os.environ |= {"XDG_CONFIG_HOME": f"{home.name}/config", "XDG_CACHE_HOME": f"{home.name}/cache", "HOME": home.name}
os.environ["NAPARI_CONFIG"] = f"{home.name}/napari.yaml"  # none of the user's own settings is read or written

import napari  # noqa: E402
import PIL.Image  # noqa: E402
from napari._qt.dialogs.qt_notification import NapariQtNotification  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

DOCKS = ("Train", "Predict", "Improve", "Patch scores", "Evaluate")


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


class Studio:
    """A viewer whose window is photographed, one dock at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 800)
        self._shown: Any = None

    def open(self, name: str) -> Any:
        """The dock of this name, alone."""
        if self._shown is not None:
            self._shown.hide()
        self._shown, dock = self.viewer.window.add_plugin_dock_widget("napari-pix2pix", name)
        self._shown.show()
        rest(0.5)
        return dock

    def shoot(self, name: str, notes: bool = False) -> None:
        """A picture of the window; with the notes that it shows, or without."""
        if not notes:
            self._close_notes()
        rest(0.5)
        picture = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        small = PIL.Image.fromarray(picture).resize((1024, round(1024 * len(picture) / len(picture[0]))))
        small.quantize(256).save(self.folder / f"{name}.png", optimize=True)
        self._close_notes()

    def _close_notes(self) -> None:
        for note in self.viewer.window._qt_window.findChildren(NapariQtNotification):
            note.close()

    def run(self, dock: Any) -> None:
        """Press the button, and wait until nothing runs any more."""
        dock.run()
        wait(lambda: dock.job is None and dock.run_button.isEnabled())


def main() -> None:
    """Train, predict, score and evaluate on the sample, and take a picture of each dock in each state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--trust-steps", type=int, default=300)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(given.folder)
    viewer, shoot = studio.viewer, studio.shoot

    # Empty.
    for name in DOCKS:
        studio.open(name)
        shoot(f"{name.split()[-1].lower()}_empty")

    # Train: before, wrong, training, trained.
    viewer.open_sample("napari-pix2pix", "tissue")
    train = studio.open("Train")
    wait(lambda: train.device.count() > 1 and bool(train.findings.buttons or train.findings.texts[1:]), 60)
    shoot("dock_train_before")
    settings = train.value().model_copy(update={"steps": given.steps, "trust_steps": given.trust_steps})
    train.patch_size.setValue(100)
    train.run()
    rest(0.5)
    shoot("train_error", notes=True)
    train.set_value(settings)
    train.run()
    wait(lambda: train.bar.value() > 600 or train.job is None)
    shoot("dock_train")
    wait(lambda: train.job is None)
    rest(1)
    shoot("train_after")
    for layer in list(viewer.layers)[2:]:
        viewer.layers.remove(layer)
    viewer.layers["nuclei"].visible = False
    viewer.reset_view()

    # Predict: before, of files, done.
    predict = studio.open("Predict")
    shoot("predict_before")
    predict.of.setCurrentIndex(1)
    shoot("predict_files")
    predict.of.setCurrentIndex(0)
    predict.trust.setChecked(True)
    studio.run(predict)
    shoot("dock_predict")
    for layer in list(viewer.layers)[3:]:
        layer.visible = False

    # Patch scores.
    score = studio.open("Patch scores")
    shoot("scores_before")
    studio.run(score)
    viewer.layers["tissue (predicted)"].contour = 1
    shoot("dock_patch_scores")
    for layer in list(viewer.layers)[3:]:
        layer.visible = False

    # Improve: a region to correct.
    improve = studio.open("Improve")
    improve.correct_button.click()
    shoot("improve_before")
    viewer.layers.remove(improve.truth.value)
    viewer.layers["tissue (predicted)"].visible = True

    # Evaluate: before, done, narrow, in a light theme.
    evaluate = studio.open("Evaluate")
    shoot("evaluate_before")
    studio.run(evaluate)
    shoot("dock_evaluate")
    evaluate.judged.setCurrentIndex(1)
    viewer.window.resize(1366, 768)
    shoot("evaluate_narrow")
    viewer.theme = "light"
    for name in DOCKS:
        studio.open(name)
        shoot(f"{name.split()[-1].lower()}_light_narrow")
    viewer.close()
    home.cleanup()


if __name__ == "__main__":
    main()
