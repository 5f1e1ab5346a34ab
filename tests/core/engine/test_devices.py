"""What care for a GPU can be held without one."""

from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from torch.utils._python_dispatch import TorchDispatchMode

from napari_pix2pix import core
from napari_pix2pix.commands.cluster import dask_setup
from napari_pix2pix.core.data.patches import Batch
from napari_pix2pix.core.data.split import Split
from napari_pix2pix.core.engine.devices import computing_in, of_one_shape, on_its_way, pick_device, resolve_precision
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.settings.running import TURN
from napari_pix2pix.core.teaching.fit_trust import LEARNING_RATE
from napari_pix2pix.core.teaching.teacher import Teacher
from small import blobs, small_config, untrained

GPU, CPU = torch.device("cuda"), torch.device("cpu")
LOOKS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim"}
"""What a GPU must have come to before the processor goes on."""


class Looks(TorchDispatchMode):
    """Counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in LOOKS or by_mask:
            self.found.append(name)
        return func(*args, **kwargs or {})


def batch(n: int = 2, side: int = 32) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    source, target = torch.rand(2, n, 1, side, side, generator=random) * 2 - 1
    return {"source": source, "target": target, "known": (source > -0.9).float()}


@pytest.mark.parametrize(
    "changes",
    [
        {"label_loss": "cross-entropy", "clip_gradients": 1.0, "ema_decay": 0.9},
        {"label_loss": "l1", "objective": "wgan-gp", "shift_tolerance": 2},
        {"method": "cyclegan", "pool_size": 1, "discriminator": {"n_layers": 1, "conditional": False}},
    ],
    ids=["cross-entropy", "penalty and shifts", "cyclegan"],
)
def test_the_processor_looks_at_nothing_in_a_step(changes, monkeypatch) -> None:
    """It would wait for the device: no number and no mask is read, nothing is copied back."""
    config = small_config(precision="float32", **changes)
    torch.manual_seed(0)
    method = method_of(config)
    learner = Learner.of(config, Fabric(accelerator="cpu", devices=1), method.networks(config, Shapes(1, 1)))
    for name in ("cpu", "numpy", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_, name=name: pytest.fail(f"{name} waits for the device"))
    learner.train()
    method.step(learner, batch())
    learner.set_learning_rate(1)
    with Looks() as looks:
        method.step(learner, batch())
    assert looks.found == []


def test_the_processor_looks_at_nothing_in_a_step_of_teaching() -> None:
    """Nor when the judge of the match learns; this test does see who looks."""
    sides = [blobs((160, 160), seed=i) for i in range(2)]
    pairs = core.PairedFrames([s for s, _ in sides], [t for _, t in sides], "YX")
    model = untrained(sides[0][0][None], sides[0][1][None], "instances")
    teacher = Teacher.prepare(model, pairs, Split(pairs.regions()).train, True, 2)
    optimizer = torch.optim.Adam(teacher.network.parameters(), lr=LEARNING_RATE, fused=True)
    images = teacher.batch(0)
    with Looks() as looks:
        losses = teacher.learn(optimizer, images)
    assert looks.found == []
    with looks:
        float(losses["match"])
    assert looks.found == ["_local_scalar_dense"]


def test_float32_is_float32_and_shapes_that_repeat_are_tried_out() -> None:
    """Within the block, for a GPU alone; then as before, also where it ends in an error."""
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark
    for device, found in ((GPU, (False, True)), (CPU, before)):
        with computing_in("float32", device), of_one_shape(device):
            assert (cudnn.allow_tf32, cudnn.benchmark) == found
    with pytest.raises(ZeroDivisionError), computing_in("float32", GPU):
        1 / 0  # noqa: B018
    assert (cudnn.allow_tf32, cudnn.benchmark) == before


def test_what_a_gpu_is_to_fetch_is_pinned(monkeypatch) -> None:
    """And only that: on a processor nothing is copied."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: pinned.append(values) or values)
    made = Batch(batch())
    assert [id(values) for values in made.on_its_way(GPU).values()] == [id(values) for values in pinned]
    assert len(pinned) == 3 and on_its_way(pinned[0], CPU) is pinned[0] and len(pinned) == 3


@pytest.mark.parametrize(("major", "expected"), [(7, "float32"), (8, "bfloat16")])
def test_bfloat16_is_taken_where_it_is_native(monkeypatch, major: int, expected: str) -> None:
    """V100 and T4 (7.x) emulate it, and torch says that they support it."""
    monkeypatch.setattr(torch.cuda, "device", lambda _: torch.no_grad())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=major))
    assert resolve_precision("auto", GPU) == expected
    assert resolve_precision("bfloat16", GPU) == "bfloat16"


def test_each_worker_of_a_machine_takes_a_gpu_of_its_own(monkeypatch) -> None:
    """In turn, unless one is named; without a GPU all take the processor."""
    monkeypatch.setenv(TURN, "0")
    for count, expected in ((2, ["cuda:0", "cuda:1", "cuda:0"]), (0, [str(pick_device("cpu"))] * 3)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        taken = []
        for number in range(3):
            monkeypatch.setattr("signal.signal", lambda *_: None)
            dask_setup(SimpleNamespace(name=number))
            taken.append(str(pick_device()))
        assert taken == expected or (count == 0 and torch.backends.mps.is_available())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(pick_device("cuda:1")) == "cuda:1"
