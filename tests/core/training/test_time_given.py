"""A training is given minutes instead of steps: how many fit is measured before the first one, and then obeyed."""

import json

import pytest

from napari_pix2pix import core
from napari_pix2pix.core.training import loop, time_given
from small import blobs, small_config

STACKS = [blobs(seed=i) for i in range(5)]
PAIRS = core.PairedFrames([s for s, _ in STACKS], [t for _, t in STACKS], "YX")


def settled(run) -> tuple[int, int]:
    config = json.loads((run / "config.json").read_text())["config"]
    return config["steps"], config["trust_steps"]


@pytest.mark.parametrize(
    "changes", [{}, {"ema_decay": 0.9, "schedule": "cosine", "precision": "bfloat16"}], ids=["plain", "average"]
)
def test_repeated_with_the_steps_that_fitted_it_is_the_same(tmp_path, monkeypatch, changes) -> None:
    """What was measured leaves no trace: so it is resumed, too, and takes as many steps."""
    monkeypatch.setattr(time_given, "FEWEST_TRUST_STEPS", 2)
    monkeypatch.setattr(time_given, "MOST_STEPS", 12)
    config = small_config(trust_steps=100, **changes)
    for report in core.train(PAIRS, config, out=tmp_path / "timed", minutes=0.02, device="cpu"):
        if report.step == 1:
            break
    *_, last = core.train(PAIRS, out=tmp_path / "timed", resume=True, device="cpu")
    steps, trust_steps = settled(tmp_path / "timed")
    assert last.step == steps
    assert 1 <= trust_steps <= 100
    again = config.model_copy(update={"steps": steps, "trust_steps": trust_steps})
    for _ in core.train(PAIRS, again, out=tmp_path / "counted", device="cpu"):
        pass
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("timed", "counted")]
    assert models[0] == models[1]


def of_every_other_method() -> dict:
    """What each learns from, and settings."""
    images = [source for source, _ in STACKS]
    nets = {"generator": {"levels": 2, "base_channels": 4}, "discriminator": {"n_layers": 1, "base_channels": 4}}
    nets |= {"patch_size": 32, "batch_size": 2}
    grows = {"patch_size": 16, "batch_size": 4, "latent": 6, "base_channels": 2}
    return {
        "cyclegan": (core.UnpairedFrames(images, [4000 - image for image in images], "YX"), {**nets, "pool_size": 3}),
        "stargan": (core.DomainFrames({"dark": images, "dim": [i // 3 for i in images]}, "YX"), nets),
        "gan": (core.Images(images, ("YX", "YX")), grows),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["cyclegan", "stargan", "gan"])
def test_every_method_is_given_time(tmp_path, monkeypatch, method) -> None:
    """Also one whose networks grow: repeated with as many steps it is the same, bit for bit."""
    monkeypatch.setattr(time_given, "MOST_STEPS", 7)
    monkeypatch.setattr(time_given, "MEASURED", 2)
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)
    data, own = of_every_other_method()[method]
    config = core.make_config(changes={"method": method, "steps": 9, "validate_every": 4, **own})
    for report in core.train(data, config, out=tmp_path / "timed", minutes=0.1, device="cpu"):
        if report.step == 1:
            break
    *_, last = core.train(data, out=tmp_path / "timed", resume=True, device="cpu")
    told = json.loads((tmp_path / "timed" / "config.json").read_text())["config"]
    assert last.step == told["steps"] <= 7
    again = config.model_copy(update={"steps": told["steps"]})
    for _ in core.train(data, again, out=tmp_path / "counted", device="cpu"):
        pass
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("timed", "counted")]
    assert models[0] == models[1]


def test_more_time_is_more_steps_and_judging_takes_a_quarter_at_most(tmp_path, monkeypatch) -> None:
    """A step takes one second here, to judge four, a step of learning to judge one half."""
    monkeypatch.setattr(time_given, "_of_a_step", lambda *_: 1.0)
    monkeypatch.setattr(time_given, "_taken", lambda *_: 0.0)
    monkeypatch.setattr(time_given, "_of_teaching", lambda *_: (5.0, 0.5))
    found = []
    for minutes, trust_steps in ((2, 2400), (60, 2400), (60, 100), (60, 0)):
        run = tmp_path / f"{minutes} {trust_steps}"
        core.train(PAIRS, small_config(trust_steps=trust_steps), out=run, minutes=minutes, device="cpu").close()
        found.append(settled(run))
    (short, judged), (long, all_judged), few, none = found
    assert (short, judged) == (pytest.approx(90, abs=3), pytest.approx(50, abs=3))
    assert (long, all_judged) == (pytest.approx(2700, abs=30), pytest.approx(1790, abs=30))
    assert few == (pytest.approx(3545, abs=5), 100)
    assert none == (pytest.approx(3600, abs=5), 0)


@pytest.mark.parametrize("minutes", [0, -3, float("nan"), 1e9])
def test_no_time_is_refused(tmp_path, minutes) -> None:
    with pytest.raises(ValueError, match="minutes must be more than 0"):
        core.train(PAIRS, small_config(), out=tmp_path / "run", minutes=minutes)
    assert not (tmp_path / "run").exists()
