"""Every control of every dock says what it is for, and can be reached without a mouse."""

import pytest
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QProgressBar,
    QScrollBar,
)

from napari_pix2pix.widgets.places import remember_model
from small import blobs

pytestmark = pytest.mark.gui
DOCKS = [widget.display_name for widget in PluginManifest.from_distribution("napari-pix2pix").contributions.widgets]
CONTROLS = (QAbstractButton, QAbstractItemView, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QProgressBar)
INNER = (QComboBox, QAbstractSpinBox, QAbstractItemView, QAbstractSlider)
"""Whose own parts are no controls for themselves."""


def controls(dock):
    """All, the hidden ones, too."""
    for control in {control for kind in CONTROLS for control in dock.findChildren(kind)}:
        parent, inner = control.parent(), False
        while parent is not dock and parent is not None:
            inner = inner or isinstance(parent, INNER)
            parent = parent.parent()
        if not inner and not isinstance(control, QScrollBar):
            yield control


@pytest.mark.parametrize("name", DOCKS)
def test_every_control_has_a_tooltip_and_can_be_reached_by_keyboard(name, make_napari_viewer, small_model) -> None:
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    remember_model(small_model)
    _, dock = viewer.window.add_plugin_dock_widget("napari-pix2pix", name)
    found = list(controls(dock))
    assert len(found) > 5
    for control in found:
        shown = control
        while not shown.toolTip() and shown is not dock:  # Qt asks the parent, too
            shown = shown.parent()
        assert shown is not dock, f"{control} {control.objectName()} of {name} says nothing"
        assert shown.toolTip()
        if not isinstance(control, QProgressBar):
            assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, f"{control} {shown.toolTip()!r} needs a mouse"
