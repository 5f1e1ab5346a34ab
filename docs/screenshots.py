"""Pictures of the docks in a real window, before, during and after their work.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py [FOLDER] [--steps 700] [--trust-steps 300]
        [--looks FOLDER]

With --looks each window is photographed in two sizes and two themes, too, to be looked at and not kept.
The best are kept in docs/images, for the README and the tutorial: dock_*.png; overlay.png, what is expected to be wrong
beside what is; gallery_*.png, of each sample the source, what is to be found in it, and the prediction.
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
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
import PIL.ImageDraw  # noqa: E402
import PIL.ImageFont  # noqa: E402
from napari._qt.dialogs.qt_notification import NapariQtNotification  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

DOCKS = ("Train", "Predict", "Improve", "Patch scores", "Evaluate", "Generate")
LOOKS = [(size, theme) for size in ((1600, 1000), (1366, 768)) for theme in ("dark", "light")]
KEPT_SIZE, KEPT_THEME = (1280, 800), "dark"
PANEL = 500, 430
"""Of a picture of the canvas alone, beside others: the width it has, and the most height."""


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

    def __init__(self, folder: Path, looks: Path | None = None) -> None:
        self.folder, self.looks = folder, looks
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*KEPT_SIZE)
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
        for size, theme in LOOKS if self.looks else ():
            self._dress(size, theme)
            picture = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
            PIL.Image.fromarray(picture).save(f"{self.looks}/{name} {size[0]} {theme}.png")
        if self.looks:
            self._dress(KEPT_SIZE, KEPT_THEME)
        self._close_notes()

    def _dress(self, size: tuple[int, int], theme: str) -> None:
        self.viewer.theme = theme
        self.viewer.window.resize(*size)
        rest(0.5)

    def canvas(self) -> PIL.Image.Image:
        """What is on the canvas now, by itself; the preview of a training goes."""
        for layer in [layer for layer in self.viewer.layers if layer.name.endswith(" preview")]:
            self.viewer.layers.remove(layer)
        self._shown.hide()
        rest(0.5)
        self.viewer.reset_view()
        rest(0.5)
        picture = self.viewer.screenshot(canvas_only=True, flash=False)[..., :3]
        self._shown.show()
        rest(0.5)
        self.viewer.reset_view()
        return PIL.Image.fromarray(picture)

    def only(self, *layers: Any) -> None:
        """Show these layers, and no others."""
        for _ in range(2):  # what an overlay has hidden comes back when it goes
            for layer in self.viewer.layers:
                layer.visible = layer in layers

    def row(self, name: str, panels: dict[str, PIL.Image.Image]) -> None:
        """Pictures side by side, what they show below them."""
        width, most = PANEL
        for panel in panels.values():
            panel.thumbnail((width - 6, most))
        height = max(panel.height for panel in panels.values())
        whole = PIL.Image.new("RGB", (width * len(panels), height + 34), "white")
        draw, font = PIL.ImageDraw.Draw(whole), PIL.ImageFont.load_default(19)
        for i, (words, panel) in enumerate(panels.items()):
            whole.paste(panel, (width * i + (width - panel.width) // 2, 0))
            draw.text((width * i + width // 2, height + 6), words, fill="black", font=font, anchor="ma")
        whole.quantize(256).save(self.folder / f"{name}.png", optimize=True)

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
    parser.add_argument("--looks", type=Path, help="Where every look of every window is kept.")
    given = parser.parse_args()
    for folder in filter(None, (given.folder, given.looks)):
        folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(given.folder, given.looks)
    viewer, shoot = studio.viewer, studio.shoot

    # Empty.
    for name in DOCKS:
        studio.open(name)
        shoot(f"{name.split()[-1].lower()}_empty")

    predict_with_what_ships(studio)

    # Train: before, wrong, training, trained.
    viewer.open_sample("napari-pix2pix", "tissue")
    train = studio.open("Train")
    wait(lambda: train.device.count() > 1 and bool(train.findings.buttons or train.findings.texts[1:]), 60)
    shoot("dock_train_before")
    train.method.setCurrentIndex(1)
    wait(lambda: bool(train.findings.texts[1:]), 60)
    shoot("dock_train_no_pairs")
    viewer.open_sample("napari-pix2pix", "coins")
    train.method.setCurrentIndex(2)
    wait(lambda: train.findings.texts[:1] != [] and "coins" in train.findings.texts[0], 60)
    shoot("dock_train_domains")
    for layer in list(viewer.layers)[2:]:
        viewer.layers.remove(layer)
    train.method.setCurrentIndex(0)
    rest(1)
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
    studio.run(predict)
    shoot("predict_after")
    show_found(studio, "tissue", "nuclei")
    for layer in list(viewer.layers)[3:]:
        layer.visible = False

    # Patch scores.
    score = studio.open("Patch scores")
    shoot("scores_before")
    studio.run(score)
    shoot("dock_patch_scores")
    panels, told = {}, {"expected_error": "where it is expected to be wrong", "true_error": "where it is wrong"}
    worst = float(np.quantile(score.panel.maps.parts["expected_error"], 0.9))
    for part, words in told.items():
        score.panel.part.setCurrentIndex(score.panel.part.findData(part))
        score.panel.threshold.setValue(worst)  # one for both
        panels[words] = studio.canvas()
    studio.row("overlay", panels)
    score.panel.part.setCurrentIndex(0)
    for layer in list(viewer.layers)[3:]:
        layer.visible = False

    # Improve: a region to correct.
    improve = studio.open("Improve")
    improve.correct_button.click()
    shoot("improve_before")
    viewer.layers.remove(improve.truth.value)
    viewer.layers["tissue (predicted)"].visible = True

    # Evaluate: before, done, of a model.
    evaluate = studio.open("Evaluate")
    shoot("evaluate_before")
    studio.run(evaluate)
    shoot("dock_evaluate")
    evaluate.judged.setCurrentIndex(1)
    shoot("evaluate_model")
    viewer.close()

    # What another sample looks like.
    gallery(Studio(given.folder), "coins", "coin labels", given.steps, given.trust_steps)
    home.cleanup()


def predict_with_what_ships(studio: Studio) -> None:
    """A picture of Predict once the model that ships has predicted its sample."""
    studio.viewer.open_sample("napari-pix2pix", "nuclei")
    predict = studio.open("Predict")
    wait(lambda: predict.device.count() > 1 and predict.run_button.isEnabled(), 120)
    studio.run(predict)
    studio.shoot("dock_predict")
    studio.viewer.layers.clear()


def gallery(studio: Studio, source: str, target: str, steps: int, trust_steps: int) -> None:
    """Train and predict on the sample of this source, and take a picture of what comes of it."""
    studio.viewer.open_sample("napari-pix2pix", source)
    train = studio.open("Train")
    wait(lambda: train.device.count() > 1)
    train.set_value(train.value().model_copy(update={"steps": steps, "trust_steps": trust_steps}))
    studio.run(train)
    predict = studio.open("Predict")
    studio.run(predict)
    show_found(studio, source, target)
    studio.viewer.close()


def show_found(studio: Studio, source: str, target: str) -> None:
    """A picture of the source, of its target image, and of its prediction with its overlay."""
    layers = studio.viewer.layers
    made = [layer for layer in layers if layer.name in (f"{source} (predicted)", f"expected error: {source}")]
    shown = {
        source: [layers[source]],
        target: [layers[source], layers[target]],
        "predicted, and what may be wrong": [layers[source], *made],
    }
    before = [layer for layer in layers if layer.visible]
    panels = {}
    for words, seen in shown.items():
        studio.only(*seen)
        panels[words] = studio.canvas()
    studio.row(f"gallery_{source}", panels)
    studio.only(*before)


if __name__ == "__main__":
    main()
