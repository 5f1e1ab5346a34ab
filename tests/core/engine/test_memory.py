"""A lack of memory is told from a fault, whoever says it."""

import errno

import numpy as np
import pytest
import torch

from napari_pix2pix.commands.sentences import sentence_of
from napari_pix2pix.core.engine.memory import is_out_of_memory
from napari_pix2pix.files.readers.lazy import unreadable

LACKS = [
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((2**40,), np.dtype("u1")),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("std::bad_alloc"),
]


@pytest.mark.parametrize("error", LACKS, ids=lambda error: type(error).__name__)
def test_lacks_of_memory(tmp_path, error) -> None:
    """Of numpy, torch, codecs and the system: a sentence about memory, also when a good file is read."""
    assert is_out_of_memory(error)
    assert sentence_of(error).startswith("Memory must suffice")
    told = unreadable(tmp_path / "a.tif", error)
    assert isinstance(told, MemoryError)
    assert "a.tif" in sentence_of(told)
    assert "anew" not in sentence_of(told)
    wrapped = ValueError("a frame")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("bad strip"), OSError(5, "I/O error")])
def test_other_faults_are_none(tmp_path, error) -> None:
    """What only mentions memory, and damage, is not a lack of it."""
    assert not is_out_of_memory(error)
    assert isinstance(unreadable(tmp_path / "a.tif", error), ValueError)
