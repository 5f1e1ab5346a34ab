"""Checkpoints cost little of a training, however long one takes."""

from types import SimpleNamespace

import pytest

from napari_pix2pix import core
from napari_pix2pix.core.training import loop
from small import blobs, small_config


@pytest.mark.filterwarnings("ignore:No room for", "ignore:Every validation prediction")
@pytest.mark.parametrize(("save_s", "steps"), [(0.1, [7, 13, 19, 25, 29]), (2.0, [7, 28, 29])])
def test_checkpoints_take_a_twentieth_of_the_time(tmp_path, monkeypatch, save_s: float, steps: list[int]) -> None:
    """Between two of them lie ten seconds, or twenty times as long as the last one took; a step takes two here."""
    clock, saved = SimpleNamespace(s=0.0), []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.s))

    def save(training) -> None:
        saved.append(training.step)
        clock.s += save_s

    monkeypatch.setattr(loop._Loop, "save", save)
    config = small_config(steps=29, batch_size=1, validate_every=100)
    for _ in core.train(core.PairedFrames(*blobs(), "YX"), config, out=tmp_path, device="cpu"):
        clock.s += 2.0
    assert saved == [0, *steps]
