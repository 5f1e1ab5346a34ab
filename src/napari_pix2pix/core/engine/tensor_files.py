"""Tensors and one JSON text in a safetensors file: models and checkpoints. Reading one never runs code."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.engine.tensor_headers import CONTENT, KEY, Header, header_text, read_header

T = TypeVar("T")


def write_tensors(path: Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write both, beside and renamed; `content` is sorted JSON, so that the same model is the same bytes.

    It stands in the metadata, or, where it is longer than `LONGEST`, compressed in a tensor of its own.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk; what was there before is kept.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text, packed = header_text(content, digest(held))
    if packed:
        held[CONTENT] = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
    with written_beside(path) as beside:
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
    header = read_header(path)
    return tensors_of(header), header.content


def tensors_of(header: Header) -> dict[str, Tensor]:
    """The tensors of the file that says this of itself, on the CPU.

    Raises
    ------
    ValueError
        If they are not those that were written.
    """
    try:
        with safe_open(header.path, "pt") as file:
            # Clones, or the file stays mapped while a tensor lives, and on Windows cannot be saved over.
            tensors = {name: file.get_tensor(name).clone() for name in header.tensors}
    except SafetensorError as error:
        raise ValueError(
            f"A model must be a safetensors file written by `train`; {header.path} is not. Check the path."
        ) from error
    if header.tensors_sha256 is not None and digest(tensors) != header.tensors_sha256:
        raise ValueError(
            f"The tensors of a model must be those that were written; {header.path} is damaged (their SHA-256 is "
            "another). Take another copy of it."
        )
    return tensors


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, dtypes, shapes and values."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
        if values.numel():
            found.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def under(prefix: str, tensors: Mapping[str, T]) -> dict[str, T]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
