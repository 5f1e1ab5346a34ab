"""Objects decoded again from what the network gave, while a slider moves."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from napari.layers import Labels, Layer
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget
from superqt import QLabeledSlider

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.widgets.flags import in_a_dock
from napari_pix2pix.widgets.session import Session

MAPS = "napari-pix2pix maps"
"""Key of a prediction's metadata under which its maps lie."""


class Maps(NamedTuple):
    """What the network gave for a layer of objects.

    Parameters
    ----------
    values
        The maps, with a channel axis.
    plan
        Of the maps.
    layer_plan
        Of the layer's data.
    encoding
        Of the objects.
    """

    values: NDArray[Any]
    plan: AxesPlan
    layer_plan: AxesPlan
    encoding: Encoding


class ObjectSliders(QWidget):
    """Two sliders that decode the objects of a prediction again, in a thread: the displayed frame first.

    Parameters
    ----------
    session, owner
        Whose threads do it, for which dock.
    viewer
        That displays the layer.
    """

    def __init__(self, session: Session, owner: object, viewer: Any) -> None:
        super().__init__()
        self._session, self._owner, self._viewer = session, owner, viewer
        self._layer: Labels | None = None
        self._maps: Maps | None = None
        self._round, self._busy, self._filling = 0, False, False
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.PlainText)  # it names a layer
        self.title.setWordWrap(True)
        self.seed = QLabeledSlider(Qt.Orientation.Horizontal)  # in percent: superqt's slider of floats takes no keys
        self.seed.setRange(0, 100)
        self.smallest = QLabeledSlider(Qt.Orientation.Horizontal)
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addRow(self.title)
        for name, slider, tooltip in (
            (
                "Seed, %",
                self.seed,
                "An object starts where the network's depth exceeds this share: higher divides objects that touch, "
                "lower joins their pieces (--seed-threshold)",
            ),
            ("Smallest", self.smallest, "Smaller objects are dropped, in pixels (--min-size)"),
        ):
            label = QLabel(name)
            for part in (label, slider):
                part.setToolTip(tooltip)
            layout.addRow(label, slider)
            slider.valueChanged.connect(self._change)
        self.offer([])

    def offer(self, layers: list[Layer]) -> None:
        """Serve the first of these layers that has maps; none: hide."""
        self._layer = next((layer for layer in layers if isinstance(layer, Labels) and MAPS in layer.metadata), None)
        self._maps = self._layer.metadata[MAPS] if self._layer is not None else None
        self._round += 1
        self._busy = False  # with this layer: what is being decoded of another is left to its end
        self.setVisible(self._maps is not None)
        if self._maps is None or self._layer is None:
            return
        self.title.setText(f"Objects in “{self._layer.name}”")
        self._filling = True
        self.smallest.setRange(0, max(200, 10 * self._maps.encoding.min_size))
        self.smallest.setValue(self._maps.encoding.min_size)
        self.seed.setValue(round(100 * self._maps.encoding.seed_threshold))
        self._filling = False

    def _change(self, _: int) -> None:
        if self._filling or self._maps is None:
            return
        self._round += 1
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        """Decode every frame, the displayed one first, unless the sliders move again."""
        maps, layer = self._maps, self._layer
        if maps is None or layer is None or layer not in self._viewer.layers:
            self._busy = False
            return
        self._busy = True
        thresholds = {"seed_threshold": self.seed.value() / 100, "min_size": self.smallest.value()}
        shown, layer.features = self._displayed(maps.layer_plan, layer), {}  # they were of the objects before
        frames = [shown, *(i for i in range(maps.plan.n_frames) if i != shown)]
        self._next(maps, maps.encoding.model_copy(update=thresholds), layer, frames, self._round)

    def _next(self, maps: Maps, encoding: Encoding, layer: Labels, frames: list[int], number: int) -> None:
        def show(labels: NDArray[Any]) -> None:
            current = layer is self._layer
            if current and number != self._round:
                return self._begin()
            maps.layer_plan.put(layer.data, frames[0], labels)
            layer.refresh()
            if frames[1:]:
                self._next(maps, encoding, layer, frames[1:], number)
            elif current:
                self._busy = False

        work: Callable[[], Any] = partial(_decode, maps, encoding, frames[0])
        self._session.in_thread(self._owner, work, show, self._fail)

    def _fail(self, error: Exception) -> None:
        self._busy = False
        show_error(f"The objects could not be decoded again: {in_a_dock(str(error))}")

    def _displayed(self, plan: AxesPlan, layer: Labels) -> int:
        """The number of the frame that the viewer displays."""
        place = dict(zip(plan.axes, layer.world_to_data(self._viewer.dims.point[-layer.ndim :]), strict=True))
        t, z = (min(max(0, round(float(place.get(axis, 0)))), plan.length(axis) - 1) for axis in "TZ")
        return t if plan.z == "volume" else t * plan.length("Z") + z


def _decode(maps: Maps, encoding: Encoding, frame: int) -> NDArray[Any]:
    return encoding.decode(maps.plan.take(maps.values, frame))
