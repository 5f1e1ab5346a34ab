"""What takes long: runs killed at random moments, and the whole demo."""

import itertools
import json
import random
import signal
import subprocess
import sys
import time

import pytest
import tifffile
import torch

from napari_pix2pix.core.engine.tensor_files import read_tensors
from small import SMALL_FLAGS, blobs

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "napari_pix2pix"]
KILLS = 5
SAVES_OFTEN = """
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.training import loop
loop.CHECKPOINT_EVERY_S, loop.SAVING_SHARE = 0, 1
raise SystemExit(main())
"""

RICHER = "--ema-decay 0.99 --schedule cosine --foreground-share 0.5 --intensity-jitter 0.1 --precision bfloat16"
NO_PAIRS = "--method cyclegan --generator.architecture unet --pool-size 3"
FROM_NOTHING = (
    "--method gan --patch-size 32 --batch-size 4 --latent 8 --base-channels 2 --target-kind instances --steps 110 "
    "--validate-every 50 --device cpu --ema-decay 0.9"
)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "more",
    [
        pytest.param("", id="default"),
        pytest.param(FROM_NOTHING, id="growing"),
        pytest.param(RICHER, id="average in bfloat16", marks=pytest.mark.campaign),
        pytest.param(NO_PAIRS, id="without pairs", marks=pytest.mark.campaign),
    ],
)
def test_killed_at_random_moments_equals_never_interrupted(tmp_path, more: str) -> None:
    """kill -9 a training again and again, resume it to its end: weights and history equal those of one go.

    Half of the time it saves, so that it is killed in the middle of that, too.
    """
    for name, image in zip(("source", "target"), blobs((160, 200)), strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    longer = " ".join(SMALL_FLAGS).replace("--steps 6 --validate-every 4", "--steps 600 --validate-every 140")
    if more == NO_PAIRS:  # whose steps take four times as long
        longer = longer.replace("--steps 600 --validate-every 140", "--steps 160 --validate-every 60")
    flags = more.split() if more == FROM_NOTHING else f"{longer} {more}".split()
    train = [sys.executable, "-c", SAVES_OFTEN, "train", "--json"]
    first = [*train, "source.tif", "target.tif", "--out"]
    subprocess.run([*first, "whole", *flags], cwd=tmp_path, check=True, capture_output=True)
    moments, kills, command = random.Random(0), 0, [*first, "killed", *flags]
    while True:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
            if kills < KILLS:
                told = (line for line in process.stdout if '"progress"' in line)
                if next(itertools.islice(told, moments.randrange(4), None), None):
                    time.sleep(moments.uniform(0, 0.3))
                    process.kill()
            _, error = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), error
        if process.returncode == 0:
            break
        kills += 1
        command = [*train, "--resume", "killed", "--device", "cpu"]
    assert kills >= 2
    one, other = (read_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in ("whole", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    for name in ("history.csv", "model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    assert not list((tmp_path / "killed").glob(".checkpoint*"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("launcher", [[], ["torch.distributed.run", "--nproc-per-node", "2", "-m"]])
def test_two_processes_train_what_one_trains(tmp_path, launcher: list[str]) -> None:
    """With the batch, its statistics and its dropout shared, the weights are those of one process but for rounding."""
    for name, image in zip(("source", "target"), blobs((160, 200)), strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    flags = " ".join(SMALL_FLAGS).replace("--batch-size 2", "--batch-size 4 --precision float32").split()
    train = ["napari_pix2pix", "train", "source.tif", "target.tif", *flags]
    for name, before, more in (("one", [], []), ("two", launcher, ["--devices", "2"])):
        words = [sys.executable, "-m", *before, *train, "--out", name, *more]
        done = subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("No room for calibration pairs") == 1  # the first process speaks for all
    one, two = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.timeout(900)
def test_the_demo_beats_its_baselines(tmp_path) -> None:
    """One command trains, predicts, scores and judges, and is better than what a grey value alone can tell."""
    started = time.monotonic()
    done = subprocess.run([*COMMAND, "demo", "--json"], cwd=tmp_path, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    figures = result["figures"]
    for metric in ("dice", "object_f1_iou50"):
        assert figures["pix2pix"][metric] > max(figures["grey threshold"][metric], figures["grey lookup"][metric])
    assert "says nothing about another image" in result["text"]
    assert 0.5 < result["expected_error"] / result["true_error"] < 2
    names = {path.name for path in (tmp_path / "napari-pix2pix-demo").iterdir()}
    assert names >= {"source.tif", "target.tif", "prediction.tif", "patch_scores.tif", "model.safetensors"}
    assert names >= {"history.csv", "metrics.json", "demo.png", "prediction.expected_error.tif"}
    again = subprocess.run([*COMMAND, "info", "napari-pix2pix-demo/model.safetensors"], cwd=tmp_path, check=False)
    assert again.returncode == 0
    print(f"demo: {time.monotonic() - started:.0f} s")
