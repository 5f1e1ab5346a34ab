"""Which device computes, and in which precision."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from napari_pix2pix.core.settings.config import Precision
from napari_pix2pix.core.settings.running import TURN


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; ``auto`` takes CUDA, then MPS, then the CPU; of several GPUs a worker its own.

    Raises
    ------
    ValueError
        If this machine has no such device.
    """
    available = available_devices()
    if name == "auto":
        count = max(1, torch.cuda.device_count())
        return torch.device(available[int(os.environ.get(TURN, 0)) % count])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        raise ValueError(f"device must be auto or one of {', '.join(available)} on this machine; got {name!r}.")
    return torch.device(wanted)


def available_devices() -> list[str]:
    """The devices of this machine, the fastest first."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def describe_device(name: str) -> str:
    """What the device is, for people."""
    if name.startswith("cuda"):
        index = torch.device(name).index or 0
        free, total = torch.cuda.mem_get_info(index)
        return f"{torch.cuda.get_device_name(index)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if name == "mps":
        return "Apple GPU"
    count, available = torch.get_num_threads(), _free_memory()
    threads = f"{count} thread{'s' if count > 1 else ''}"
    return threads if available is None else f"{threads}, {available / 2**30:.1f} GiB free"


def _free_memory() -> int | None:
    """Bytes of the machine's memory that can be had, where the system says so (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(kib) * 1024 if kib else None


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """`precision`, with ``auto`` resolved to bfloat16 where the device computes with it, else float32.

    Raises
    ------
    ValueError
        If the device does not compute with it.
    """
    if precision == "float16" and device.type == "cpu":
        raise ValueError("precision must be bfloat16 or float32 on the CPU; got float16. Choose auto.")
    if precision != "auto":
        return precision
    native = _gpu_has_bfloat16(device) if device.type == "cuda" else _cpu_has_bfloat16()
    return "bfloat16" if native and device.type != "mps" else "float32"


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within the block, networks on `device` compute in `precision`.

    In float32 with all of its bits: TF32, by which convolutions on newer GPUs are faster, has 10 of 23.
    """
    if precision == "float32":
        return _cudnn("allow_tf32", False) if device.type == "cuda" else nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bfloat16" else torch.float16)


def of_one_shape(device: torch.device) -> AbstractContextManager[object]:
    """Within the block, what convolves fastest is tried out for each shape, which pays where shapes are the same."""
    return _cudnn("benchmark", True) if device.type == "cuda" else nullcontext()


def on_its_way(values: Tensor, device: torch.device) -> Tensor:
    """`values` where a GPU can fetch them by itself, so that nobody waits while they are copied; else as they are."""
    return values.pin_memory() if device.type == "cuda" else values


@contextmanager
def _cudnn(flag: str, value: bool) -> Iterator[None]:
    before = getattr(torch.backends.cudnn, flag)
    setattr(torch.backends.cudnn, flag, value)
    try:
        yield
    finally:
        setattr(torch.backends.cudnn, flag, before)


def _gpu_has_bfloat16(device: torch.device) -> bool:
    """By itself: older ones, as V100 and T4, emulate it, slower than float32."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("amx_tile"))
