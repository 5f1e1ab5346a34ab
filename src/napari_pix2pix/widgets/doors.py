"""From one dock to the next page of the work."""

from importlib import import_module
from typing import Any

from qtpy.QtWidgets import QDockWidget, QWidget

PAGES = {
    "Predict": "predict_dock.PredictDock",
    "Patch scores": "scores_dock.ScoresDock",
    "Generate": "generate_dock.GenerateDock",
}
"""By the name in the menu: what it is."""


def open_page(viewer: Any, name: str) -> QWidget:
    """The dock of this name, in front; opened if it is not there."""
    module, kind = PAGES[name].split(".")
    page: type[QWidget] = getattr(import_module(f"napari_pix2pix.widgets.{module}"), kind)
    for frame in viewer.window._qt_window.findChildren(QDockWidget):
        if isinstance(frame.widget(), page):
            frame.show()
            frame.raise_()
            return frame.widget()
    try:
        _, dock = viewer.window.add_plugin_dock_widget("napari-pix2pix", name)
    except (KeyError, ValueError):  # the plugin is not installed in this napari, but imported
        dock = page(viewer)
        viewer.window.add_dock_widget(dock, name=name)
    return dock
