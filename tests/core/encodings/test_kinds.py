"""What images mean is guessed as a person would, from little of them."""

from pathlib import Path

import numpy as np
import pytest

from napari_pix2pix.core.encodings import kinds as kinds_module
from napari_pix2pix.core.encodings.kinds import guess_kind

DSB2018 = Path(__file__).parents[4] / "shared" / "data" / "dsb2018" / "train" / "label"


def touching_squares() -> np.ndarray:
    labels = np.zeros((60, 60), np.uint16)
    labels[5:25, 5:25], labels[5:25, 25:45], labels[40:60, 0:20] = 1, 700, 3
    return labels


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (touching_squares(), "instances"),
        (np.eye(30, dtype=bool), "classes"),
        (np.eye(30, dtype=np.uint8) * 255, "classes"),
        (np.arange(900, dtype=np.uint16).reshape(30, 30) % 4, "classes"),
        (np.random.default_rng(0).integers(0, 255, (30, 30), dtype=np.uint8), "intensity"),
        (np.zeros((30, 30), np.float32), "intensity"),
    ],
)
def test_guesses(target: np.ndarray, kind: str) -> None:
    """One region per label means instances, few values classes, everything else intensity."""
    assert guess_kind([target[None]]) == kind


@pytest.mark.parametrize("most", [200, 4095, 65535])
def test_grey_values_are_told_by_a_part_of_the_first_image(most: int, monkeypatch) -> None:
    """The regions of a large grey image are not counted to the end, and no further image is read; of labels all are."""
    image = np.random.default_rng(0).integers(0, most, (600, 700)).astype(np.uint16)
    counted, read = [], []
    count = kinds_module.connected_components
    monkeypatch.setattr(
        kinds_module,
        "connected_components",
        lambda labels, **named: counted.append(labels.size) or count(labels, **named),
    )
    assert guess_kind(read.append(i) or image[None] for i in range(5)) == "intensity"
    assert (read, counted) == ([0], [256 * 256])
    rows, columns = np.indices(image.shape) // 25
    objects = (rows * 28 + columns + 1).astype(np.uint16)
    assert guess_kind([objects[None], np.zeros_like(objects)[None]]) == "instances"
    assert max(counted) == objects.size
