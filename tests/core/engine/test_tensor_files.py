"""What is read from a file is in memory: the file is let go, and can be saved over."""

import sys
from pathlib import Path

import pytest
import torch

from napari_pix2pix.core.engine.tensor_files import read_tensors, write_tensors


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_that_was_read_is_not_mapped(tmp_path) -> None:
    """While its tensors live, no mapping of the file does, so that every system lets it be replaced."""
    path = tmp_path / "model.safetensors"
    write_tensors(path, {"weight": torch.arange(10_000.0)}, {"said": 1})
    tensors, content = read_tensors(path)
    assert str(path) not in Path("/proc/self/maps").read_text()
    assert not any(link.resolve() == path for link in Path("/proc/self/fd").iterdir())
    write_tensors(path, {"weight": tensors["weight"] + 1}, content)
    assert torch.equal(read_tensors(path)[0]["weight"], torch.arange(10_000.0) + 1)
    assert torch.equal(tensors["weight"], torch.arange(10_000.0))
