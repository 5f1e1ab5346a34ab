"""What a training takes is told from its start to its end."""

from types import SimpleNamespace

import pytest

from napari_pix2pix.core.training import forecast
from small import small_config


@pytest.mark.parametrize(("steps", "every", "validations"), [(1000, 100, 10), (1000, 300, 4), (5, 100, 1)])
def test_start_validations_and_end_count(monkeypatch, steps, every, validations) -> None:
    """Of a training that needs 30 s to begin, 2 s for a step, 10 s for a validation, and 7 s with its test pairs."""
    clock = [0.0]
    monkeypatch.setattr(forecast.time, "monotonic", lambda: clock[0])
    asked = []

    def train(pairs, config, *, out, test, device):
        asked.append((pairs, test, device))
        clock[0] += 30
        for step in range(1, config.steps + 1):
            due = step % config.validate_every == 0 or step == config.steps
            clock[0] += 2 + 10 * due
            yield SimpleNamespace(step=step, model=None)
        clock[0] += 7
        yield SimpleNamespace(step=config.steps, model="trained")

    monkeypatch.setattr(forecast, "train", train)
    minutes = forecast.minutes_here("pairs", small_config(steps=steps, validate_every=every), "cpu", "test")
    assert minutes == pytest.approx((30 + 2 * steps + 10 * validations + 7) / 60)
    assert asked == [("pairs", "test", "cpu")]
