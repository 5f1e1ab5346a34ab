"""What is read from a file is in memory, the file is let go, and its header stays small."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_pix2pix.core.engine.tensor_files import KEY, read_tensors, write_tensors


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


def test_a_row_for_each_of_many_frames_leaves_the_header_small(tmp_path) -> None:
    """Such rows come back as they were, from a header that does not grow with them; few rows stand in it to be read."""
    hashes = {"source_sha256": "a" * 64, "target_sha256": "b" * 64}
    rows = [
        {"kind": "train", "name": "stack", "group": "stack", "frame": i, "y_start": 0, "y_stop": 64, **hashes}
        for i in range(30_000)
    ]
    path = tmp_path / "model.safetensors"
    for content in ({"provenance": {"regions": rows}}, {"provenance": {"regions": rows[:10]}}):
        write_tensors(path, {"weight": torch.arange(10.0)}, content)
        with path.open("rb") as file:
            header = file.read(int.from_bytes(file.read(8), "little"))
        assert len(header) < 4096
        assert ("source_sha256" in header.decode()) == (len(content["provenance"]["regions"]) == 10)
        tensors, found = read_tensors(path)
        assert found == content
        assert tensors.keys() == {"weight"}


def test_damaged_content_is_said_in_a_sentence(tmp_path) -> None:
    """Content that cannot be unpacked is named, with the file."""
    path = tmp_path / "model.safetensors"
    text = json.dumps({"format_version": 1, "content": "content"})
    save_file({"content": torch.zeros(5, dtype=torch.uint8)}, path, {KEY: text})
    with pytest.raises(ValueError, match=f"{path.name} does not"):
        read_tensors(path)
