"""Two processes, connected by gloo, that share a training: what is decided, is decided by one and for both.

Run as a script, this file is those two processes: Lightning Fabric starts the second. What each has found is a file.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_pix2pix import core
from napari_pix2pix.core.engine import processes
from napari_pix2pix.core.engine.tensor_files import read_tensors
from napari_pix2pix.core.methods.losses import weighted_mean
from napari_pix2pix.core.methods.pix2pix import Pix2Pix
from napari_pix2pix.core.networks.norms import BatchNorm2d
from napari_pix2pix.core.teaching.fit_trust import TrustReport
from napari_pix2pix.core.training import finishing, loop
from small import blobs, small_config

QUIET = {"validation_share": 0, "calibration_share": 0, "precision": "float32", "batch_size": 4}
RUNS = {
    "masks": {"target_kind": "classes", "class_weights": "rare", "label_loss": "cross-entropy"},
    "penalty": {"target_kind": "classes", "objective": "wgan-gp", "label_loss": "l1"},
    "half": {"target_kind": "classes", "objective": "wgan-gp", "gan_share": 0.5},
}
"""Trainings whose losses weigh pixels, whose steps draw numbers and differentiate twice, and whose
discriminator sees half of a batch."""
PATIENCE_S = 60


def weighted_batch() -> tuple[Tensor, Tensor]:
    """Errors of four patches, the weights of their pixels: nothing of the first two is known but a corner."""
    random = torch.Generator().manual_seed(0)
    error, weight = torch.rand(4, 3, 8, 8, generator=random), 5 * torch.rand(4, 1, 8, 8, generator=random)
    weight[:2, :, 2:] = 0
    return error.requires_grad_(), weight


def masked_pairs() -> core.PairedFrames:
    """Two images; of one only some columns are known, and they hold no object of the rare class."""
    sides = [blobs(seed=i) for i in range(2)]
    known = [np.zeros(sides[0][0].shape, bool), np.ones(sides[1][0].shape, bool)]
    known[0][:, 40:60] = True
    return core.PairedFrames([s for s, _ in sides], [(t > 0) * (1 + (t == 1)) for _, t in sides], "YX", valid=known)


def trained(pairs: core.PairedFrames, out: Path, devices: int = 1, **changes) -> core.TrainedModel:
    """The model of the last report."""
    config = small_config(**QUIET | changes)
    *_, last = core.train(pairs, config, out=out, device="cpu", devices=devices)
    return last.model


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """The folder in which two processes have left what they found."""
    folder = tmp_path_factory.mktemp("shared")
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, __file__, str(folder)]
    done = subprocess.run(words, env=os.environ | paths, check=False, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return folder


def found(shared: Path, name: str) -> list:
    """What both processes have said under this name."""
    until = time.monotonic() + PATIENCE_S
    paths = [shared / f"{number}.json" for number in range(2)]
    while not all(path.is_file() for path in paths) and time.monotonic() < until:
        time.sleep(0.05)
    return [json.loads(path.read_text())[name] for path in paths]


def test_pixels_weigh_in_all_processes_as_in_one(shared) -> None:
    """The mean of both losses, and of both gradients, is that of the whole batch, however uneven the weights are."""
    error, weight = weighted_batch()
    loss = weighted_mean(error, weight)
    (gradient,) = torch.autograd.grad(loss, error)
    losses, gradients = zip(*found(shared, "weighted"), strict=True)
    assert np.mean(losses) == pytest.approx(loss.item(), rel=1e-6)
    assert abs(losses[0] - losses[1]) > 0.1 * loss.item(), "evenly spread: this test could not tell"
    torch.testing.assert_close(torch.tensor(gradients).reshape(gradient.shape) / 2, gradient)


def test_a_norm_can_be_differentiated_twice_over_processes(shared) -> None:
    """As the penalty of wgan-gp asks: the gradient of a gradient is that of the batch in one process."""
    expected = of_norm(torch.arange(48.0).reshape(4, 3, 2, 2).sin())
    twice = torch.tensor(found(shared, "twice")).reshape(expected.shape)
    torch.testing.assert_close(twice, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("name", RUNS)
def test_a_shared_training_is_that_of_one_process(shared, tmp_path, name: str) -> None:
    """With masks and rare classes, which are uneven over the processes, too: the same weights but for rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = trained(masked_pairs(), tmp_path / "one", steps=2, **RUNS[name]).tensors()
    two = read_tensors(shared / name / "model.safetensors")[0]
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=2e-5)


def test_a_loss_that_is_not_finite_in_one_ends_both(shared) -> None:
    """At the same step, with the same sentence, and what was good is kept."""
    told = found(shared, "not finite")
    assert told[0] == told[1]
    assert told[0].startswith("Losses must stay finite; at step 8: discriminator nan. ")
    kept = core.load_model(shared / "nan" / "model.safetensors", "cpu").tensors()
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


def test_patience_is_of_one_for_both(shared) -> None:
    """Each finds other figures; both end at the step at which the first has seen enough."""
    assert found(shared, "patience") == [3, 3]


def test_steps_that_fit_in_a_time_are_one_number(shared) -> None:
    """Even where one process has no time left at once and the other has all of it."""
    one, other = found(shared, "fitting")
    assert one == other


def test_who_does_not_teach_does_not_wait(shared) -> None:
    """The second is done while the first still teaches; the first's model judges."""
    taught, ended = found(shared, "taught")
    assert taught == "the other has ended" and ended is None


# What the two processes do


def of_norm(values: Tensor) -> Tensor:
    """The gradient of a norm's squared gradient, by its input."""
    norm = BatchNorm2d(3)
    input = values.clone().requires_grad_()
    weigh = torch.arange(values[0].numel()).reshape(values.shape[1:]).cos()
    (first,) = torch.autograd.grad((norm(input) ** 3 * weigh).sum(), input, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), input)
    return second


def main(folder: Path) -> None:
    """All of it, in each process."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    told, step, judged = {}, Pix2Pix.step, loop.judge

    # A training first: it connects the processes.
    reports = core.train(masked_pairs(), small_config(**QUIET, **RUNS["masks"], steps=2), out=folder / "masks", **TWO)
    me = processes.number()
    error, weight = (values[2 * me : 2 * me + 2] for values in weighted_batch())
    loss = weighted_mean(error, weight)
    (gradient,) = torch.autograd.grad(loss, error)
    told["weighted"] = [loss.item(), gradient.tolist()]
    told["twice"] = of_norm(torch.arange(48.0).reshape(4, 3, 2, 2).sin()[2 * me : 2 * me + 2]).tolist()
    list(reports)
    for name in ("penalty", "half"):
        trained(masked_pairs(), folder / name, 2, steps=2, **RUNS[name])

    # A loss that is not finite in the second process.
    def poisoned(method, learner, batch):
        losses = step(method, learner, batch)
        return losses | {"discriminator": losses["discriminator"] * (float("nan") if learner.done == 4 and me else 1)}

    Pix2Pix.step = poisoned
    try:
        trained(masked_pairs(), folder / "nan", 2, steps=40, target_kind="classes")
    except RuntimeError as error:
        told["not finite"] = str(error).replace(str(folder), "")
    Pix2Pix.step = step

    # Figures that get better in the second process, and worse in the first.
    count = iter(range(100))

    def figured(*given):
        return replace(judged(*given), figures={"dice": 0.5 + 0.01 * next(count) * (1 if me else -1)})

    loop.judge = figured
    pairs = masked_pairs()
    config = small_config(**QUIET, steps=12, validate_every=1, patience=2, target_kind="classes")
    *_, last = core.train(pairs, config, out=folder / "patience", validation=pairs, **TWO)
    told["patience"] = last.step
    loop.judge = judged

    # Time that only the second process has.
    clock = time.monotonic
    time.monotonic = (lambda: 1e6 * clock()) if me == 0 else clock
    reports = core.train(pairs, small_config(**QUIET, target_kind="classes"), out=folder / "time", minutes=2, **TWO)
    time.monotonic = clock
    told["fitting"] = next(reports).steps
    reports.close()

    # A teaching that waits for the other process to end.
    def waiting(model, *_, **__):
        until = time.monotonic() + PATIENCE_S
        while not (folder / "1.json").is_file() and time.monotonic() < until:
            time.sleep(0.02)
        told["taught"] = "the other has ended" if (folder / "1.json").is_file() else "the other has not ended"
        yield TrustReport(1, 1)
        yield TrustReport(1, 1, model=model)

    finishing.fit_trust = waiting
    told["taught"] = None
    trained(pairs, folder / "taught", 2, steps=1, trust_steps=1, target_kind="classes")
    (folder / f"{me}.json").write_text(json.dumps(told))


TWO = {"device": "cpu", "devices": 2}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
