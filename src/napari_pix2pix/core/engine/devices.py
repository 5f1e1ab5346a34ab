"""Which device computes, and in which precision."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from napari_pix2pix.core.settings.config import Precision


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        If this machine has no such device.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
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
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bfloat16()
    return "bfloat16" if native and device.type != "mps" else "float32"


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within the block, networks on `device` compute in `precision`."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bfloat16" else torch.float16)


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("amx_tile"))
