"""Whether the docks disturb and are disturbed: one JSON line per figure, each with its goal.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui.py [--steps 100] [--rounds 2] [--starter]

The command line trains on the same files with the same settings in turn with the dock, in the same run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

home = tempfile.TemporaryDirectory()
os.environ |= {"XDG_CONFIG_HOME": f"{home.name}/config", "XDG_CACHE_HOME": f"{home.name}/cache", "HOME": home.name}
os.environ["NAPARI_CONFIG"] = f"{home.name}/napari.yaml"  # none of the user's own settings is read or written
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

import napari  # noqa: E402
import numpy as np  # noqa: E402
from qtpy.QtCore import QEventLoop, QObject, Qt, QTimer  # noqa: E402
from qtpy.QtWidgets import QApplication, QWidget  # noqa: E402

FIRST = 20
"""Steps before which the clock does not run: the process starts, caches fill."""
SETTINGS = ("--validation-share=0", "--calibration-share=0", "--validate-every=1000000", "--trust-steps=0")
NETWORK = """
import sys, time
from napari_pix2pix import core
from napari_pix2pix.files.stacks import open_stack
model, stack = core.load_model(sys.argv[1]), open_stack(sys.argv[2]).array[...]
times = []
for _ in range(6):
    before = time.perf_counter()
    model.predict(stack, "YX")
    times.append(time.perf_counter() - before)
print(sorted(times[1:])[2])
"""


def report(name: str, value: float | bool, unit: str, goal: str) -> None:
    """One line."""
    print(json.dumps({"name": name, "value": value, "unit": unit, "goal": goal}), flush=True)


def wait(condition: Callable[[], bool], seconds: float = 600) -> None:
    """Run the event loop, as napari does, until the condition holds."""
    loop, end, timer = QEventLoop(), time.monotonic() + seconds, QTimer()
    timer.timeout.connect(lambda: loop.quit() if condition() or time.monotonic() > end else None)
    timer.start(10)
    loop.exec()
    if not condition():
        raise TimeoutError("The dock has not come to its end.")


class Pulse(QObject):
    """How long the event loop leaves a timer of 10 ms waiting, in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps_ms: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(10)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps_ms.append(1000 * (now - self._last) - 10)
        self._last = now


def report_gaps(when: str, gaps_ms: list[float]) -> None:
    """Two lines."""
    report(f"event loop while {when}, 95th percentile", round(float(np.percentile(gaps_ms, 95)), 1), "ms", "<= 50")
    report(f"event loop while {when}, longest gap", round(max(gaps_ms), 1), "ms", "<= 250")


def wait_s(seconds: float) -> None:
    """Run the event loop for so long."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


class Clock:
    """Steps per second after the first steps."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def hear(self, event: dict) -> None:
        """A step is done."""
        if event["event"] == "progress" and event["done"] >= FIRST:
            self.seen.append((event["done"], time.perf_counter()))

    def finished(self, steps: int) -> bool:
        """Whether so many steps are done."""
        return bool(self.seen) and self.seen[-1][0] == steps

    @property
    def speed(self) -> float:
        """Steps per second."""
        (first, began), (last, ended) = self.seen[0], self.seen[-1]
        return (last - first) / (ended - began)


def heard_by(clock: Clock, dock: QWidget, event: dict) -> None:
    """The clock and the dock hear an event."""
    clock.hear(event)
    type(dock).hear(dock, event)


def by_command_line(words: list[str]) -> float:
    """Steps per second of a training on the command line."""
    clock = Clock()
    command = [sys.executable, "-m", "napari_pix2pix", *words, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            clock.hear(json.loads(line))
    return clock.speed


def alone(layers: Path) -> None:
    """How long napari by itself stands still for the same layers, added in the same turns."""
    with np.load(layers) as told:
        source, labels, scores = (told[name] for name in ("source", "labels", "scores"))
        placed = {"contrast_limits": told["limits"], "scale": told["scale"], "translate": told["translate"]}
    viewer = napari.Viewer(show=True)
    viewer.add_image(source)
    wait_s(2)
    pulse = Pulse()
    found = viewer.add_labels(labels)
    wait_s(0.05)
    overlay = viewer.add_image(scores, colormap="inferno", blending="translucent", **placed)
    wait_s(0.05)
    found.contour = 2
    wait_s(0.05)
    if hasattr(overlay, "colorbar"):
        overlay.colorbar.visible = True
    wait_s(1)
    pulse.deleteLater()
    report("napari alone draws the same, longest gap", round(max(pulse.gaps_ms[1:]), 1), "ms", "")
    viewer.close()


def starter() -> None:
    """From a fresh napari to nuclei with what may be wrong of them: three clicks, without any training."""
    viewer = napari.Viewer(show=True)
    QApplication.processEvents()
    before, used = time.perf_counter(), os.times()
    viewer.open_sample("napari-pix2pix", "nuclei")  # a click: File, Open Sample
    _, predict = viewer.window.add_plugin_dock_widget("napari-pix2pix", "Predict")  # a click: Plugins
    predict.run_button.click()  # a click
    wait(lambda: predict.job is None and predict.run_button.isEnabled() and len(viewer.layers) >= 4)
    QApplication.processEvents()
    after = os.times()
    report("from a fresh napari to nuclei and what may be wrong", round(time.perf_counter() - before, 1), "s", "< 15")
    report("of that this process computes", round(after.user - used.user, 1), "s", "")
    viewer.close()


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--large", type=int, default=2048, help="Side of the large image, in pixels.")
    parser.add_argument("--starter", action="store_true", help="Only: how long it takes to use the model that ships.")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone is not None:
        alone(given.alone)
        return
    if given.starter:
        starter()
        return
    viewer = napari.Viewer(show=True)
    viewer.open_sample("napari-pix2pix", "tissue")

    # Opening the docks, their imports included.
    docks = {}
    for name in ("Train", "Predict", "Patch scores"):
        before = time.perf_counter()
        _, docks[name] = viewer.window.add_plugin_dock_widget("napari-pix2pix", name, tabify=True)
        QApplication.processEvents()
        report(f"{name} opens", round(time.perf_counter() - before, 3), "s", "< 1")
    report("torch is imported", "torch" in sys.modules, "", "false")
    train, predict = docks["Train"], docks["Predict"]
    wait(lambda: train.device.count() > 1)  # the child is warm

    # Training: the command line and the dock in turn.
    train.set_value(
        train.value().model_copy(
            update={
                "steps": given.steps,
                "validation_share": 0.0,
                "calibration_share": 0.0,
                "trust_steps": 0,
                "validate_every": 1_000_000,
            }
        )
    )
    speeds: dict[str, list[float]] = {"command line": [], "dock": []}
    gaps_ms: list[float] = []
    for round_ in range(given.rounds):
        clock, pulse = Clock(), Pulse()
        train.hear = partial(heard_by, clock, train)
        train.run()  # it looks at the pair first
        wait(lambda clock=clock: train.job is None and clock.finished(given.steps))
        pulse.deleteLater()
        gaps_ms += pulse.gaps_ms[1:]
        speeds["dock"].append(clock.speed)
        data = Path(home.name) / "napari-pix2pix" / "nuclei" / "data"
        words = ["train", f"{data}/source.ome.tif", f"{data}/target.ome.tif", "--out", f"{home.name}/run{round_}"]
        words += ["--preset", "fast", f"--steps={given.steps}", *SETTINGS]
        speeds["command line"].append(by_command_line(words))
    report_gaps("training", gaps_ms)
    for name, values in speeds.items():
        report(f"training, {name}", round(float(np.mean(values)), 2), "steps/s", "")
    share = np.mean(speeds["dock"]) / np.mean(speeds["command line"])
    report("training, dock / command line", round(float(share), 3), "", ">= 0.9")

    # Predicting 512 x 512 again, from the click to the layer.
    times, pulse = [], Pulse()
    for _ in range(4):
        before, layers = time.perf_counter(), len(viewer.layers)
        predict.run()
        wait(lambda layers=layers: len(viewer.layers) > layers)
        times.append(time.perf_counter() - before)
        viewer.layers.remove(viewer.layers[-1])
    pulse.deleteLater()
    report_gaps("predicting", pulse.gaps_ms[1:])

    # Large results come into the window: a prediction, its patch scores, what of them is worst.
    tissue = viewer.layers["tissue"].data
    viewer.layers.clear()
    wait_s(1)  # drawn empty: napari alone crashes where something comes before that, see docs/decisions.md
    large = np.tile(tissue, (4, 4))[: given.large, : given.large]
    predict.source.value = docks["Patch scores"].source.value = viewer.add_image(large, name="large")
    loaded: list[float] = []
    for dock in (predict, docks["Patch scores"]):
        dock.run()
        wait(lambda dock=dock: "Loads" in dock.status.text() or (dock.job is None and dock.run_button.isEnabled()))
        pulse = Pulse()
        wait(lambda dock=dock: dock.job is None and dock.run_button.isEnabled())
        wait_s(1)
        pulse.deleteLater()
        loaded += pulse.gaps_ms[1:]
    report_gaps(f"results of {large.shape[0]} x {large.shape[1]} load", loaded)
    made, told = viewer.layers["large (predicted)"], docks["Patch scores"].panel.overlay
    scores = {"scores": told.data, "limits": told.contrast_limits, "scale": told.scale, "translate": told.translate}
    np.savez(f"{home.name}/layers.npz", source=large, labels=made.data, **scores)
    subprocess.run([sys.executable, __file__, "--alone", f"{home.name}/layers.npz"], check=True)
    model = Path(home.name) / "napari-pix2pix" / "nuclei" / "model.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", NETWORK, str(model), str(data / "source.ome.tif")], capture_output=True, text=True
    )
    network = float(done.stdout)
    again = float(np.median(times[1:]))
    report("predict 512 x 512, the first time", round(times[0], 2), "s", "")
    report("predict 512 x 512, again", round(again, 2), "s", "")
    report("predict 512 x 512, the network and decoding alone", round(network, 2), "s", "")
    report("predict 512 x 512, again, beside the network", round(again - network, 2), "s", "< 1")
    viewer.close()
    home.cleanup()


if __name__ == "__main__":
    main()
