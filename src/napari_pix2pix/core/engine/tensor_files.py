"""Tensors and one JSON text in a safetensors file: models and checkpoints. Reading one never runs code."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_pix2pix.core.engine.atomic import written_beside

KEY = "napari_pix2pix"
"""The one metadata key: the order of several is random in the file."""
FORMAT_VERSION = 1
CONTENT = "content"
"""The tensor that holds a long JSON text, compressed; the metadata is then an object that names it."""
LONGEST = 2**20
"""Characters of JSON in the metadata; safetensors reads headers up to 100 MB, and a row for each of 300,000 frames is
more."""


def write_tensors(path: Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write both, beside and renamed; `content` is sorted JSON, so that the same model is the same bytes.

    It stands in the metadata, or, where it is longer than `LONGEST`, compressed in a tensor of its own.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk; what was there before is kept.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **content}, sort_keys=True)
    with written_beside(path) as beside:
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        if len(text) > LONGEST:
            held[CONTENT] = torch.from_numpy(np.frombuffer(zlib.compress(text.encode(), 1), np.uint8).copy())
            text = json.dumps({"format_version": FORMAT_VERSION, "content": CONTENT})
        try:
            save_file(held, beside, {KEY: text})
        except SafetensorError as error:
            raise OSError(
                f"A disk must have room for what is saved; {path} could not be written ({error}). Make room and go on "
                "with the run; what was saved before is kept."
            ) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_tensors` wrote, on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no file of ours, is damaged, or is newer than this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"A model must be a file written by `train`; there is none at {path}. Check the path.")
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
            # Clones, or the file stays mapped while a tensor lives, and on Windows cannot be saved over.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no dict
    except SafetensorError as error:
        raise ValueError(f"A model must be a safetensors file written by `train`; {path} is not ({error}).") from error
    if text is None:
        raise ValueError(f"A model must be written by `train`; {path} holds tensors of another program.")
    try:
        content = json.loads(text)
        if CONTENT in tensors:
            content = json.loads(zlib.decompress(tensors.pop(CONTENT).numpy()))
    except (ValueError, zlib.error) as error:
        raise ValueError(f"A model must describe itself in JSON; {path} does not ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"A model must describe itself in a JSON object; {path} holds {type(content).__name__}.")
    version = content.pop("format_version", None)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(
            f"{path} is of format {version}, this package reads up to {FORMAT_VERSION}. Update napari-pix2pix."
        )
    return tensors, content


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
