"""Generators of the PyTorch port of pix2pix and CycleGAN (pytorch-CycleGAN-and-pix2pix) as models of ours."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, Literal

import torch
from torch import Tensor

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.normalization import Normalization
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.methods.generators import new_generator
from napari_pix2pix.core.networks.resnet import BLOCKS
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.core.settings.pix2pix import Translation
from napari_pix2pix.files.stacks import sha256

UNET, RESNET = "model.model.0.weight", "model.1.weight"
"""How their networks begin."""
Places = dict[str, str]
"""The place of each layer in theirs, by its place in ours."""
Layout = tuple[dict[str, Any], tuple[int, int], Places]
"""Settings of the generator, channels that it sees and makes, and where its layers are."""


def read_port(
    path: Path, dropout: float = 0.0, norm_statistics: Literal["training", "image"] = "training"
) -> TrainedModel:
    """The model in a file like ``latest_net_G.pth``: 8-bit images, 0 to 255 to [-1, 1] on both sides.

    Which network it is stands in the names and shapes of its tensors. Nothing in the file is run.

    Parameters
    ----------
    path
        Of the file.
    dropout
        Of the generator, which the file of a U-Net does not tell. It is on in predictions with draws, and with
        `norm_statistics` image.
    norm_statistics
        Of batch norm in predictions. Theirs are those of each image unless they are asked for ``--eval``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds something else, or a generator of another layout.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There must be a file to import; there is none at {path}. Check the path.")
    with path.open("rb") as file:
        try:
            found = tensors_in(file, path.stat().st_size)
        except ValueError as error:
            raise _another(path, str(error)) from error
    kernels = {name: tensor for name, tensor in found.items() if tensor.ndim == 4}
    layout = _unet(kernels) if UNET in kernels else _resnet(kernels) if RESNET in kernels else None
    if layout is None:
        raise _another(path, "it has no layer where theirs begin")
    like, sides, places = layout
    fixed = {"method": "fixed", "range": (0, 255)}
    config = make_config(
        changes={
            "generator": like | {"norm": _norm(found), "dropout": dropout, "upsampling": "transposed"},
            "source_normalization": fixed,
            "target_normalization": fixed,
            "gan_weight": 0.0,  # the discriminator is in another file
            "norm_statistics": norm_statistics,
            "steps": 1,
        }
    )
    assert isinstance(config, Translation)
    with torch.device("meta"):
        generator = new_generator(config, *sides, 2)
    generator.load_state_dict(_renamed(found, places, generator.state_dict(), path), assign=True)
    ranges = (Normalization(low=(0.0,) * n, high=(255.0,) * n, limit=1.0, dtype="uint8") for n in sides)
    source, target = (
        Encoding(kind="intensity", n_channels=n, dtype="uint8", normalization=known)
        for n, known in zip(sides, ranges, strict=True)
    )
    view = SourceView(of_channels=sides[0], colours=sides[0] == 3)
    axis = {1: "", 3: "S"}.get(sides[1], "C")
    provenance = {"imported": {"path": path.name, "sha256": sha256(path)}}
    return TrainedModel(config, {"generator": generator.eval()}, source, target, view, axis, provenance)


def tensors_in(file: IO[bytes], size: int) -> Mapping[str, Tensor]:
    """Those in a file of torch of so many bytes, by the names that a network alone gives them; nothing in it is run.

    Raises
    ------
    ValueError
        If it holds something else: what.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as parts:
            if sum(part.file_size for part in parts.infolist()) > size:
                raise ValueError("it is compressed, which torch does not do")
    file.seek(0)
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, zipfile.BadZipFile, EOFError, KeyError, ValueError):
        raise ValueError("it is no file of tensors alone") from None  # it may have asked for any memory
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise ValueError("it holds something else than tensors by name")
    if not all(_dense(tensor) for tensor in found.values()):
        raise ValueError("it holds tensors of another kind than networks do")
    if any(tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size() for tensor in found.values()):
        raise ValueError("a tensor is larger than what is there of it")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def _dense(tensor: Tensor) -> bool:
    """Whether it holds each of its numbers: none that is sparse, quantized, nested, or without a memory."""
    there = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return there and not (tensor.is_quantized or tensor.is_nested or tensor.is_complex())


def _unet(kernels: Mapping[str, Tensor]) -> Layout:
    """Blocks within blocks: each holds its convolution, the next block, and the convolution back."""
    prefixes = ["model.model."]
    while f"{(inner := f'{prefixes[-1]}{1 if len(prefixes) == 1 else 3}.model.')}1.weight" in kernels:
        prefixes.append(inner)
    levels, places = len(prefixes), Places()
    for level, prefix in enumerate(prefixes):
        outermost, innermost = level == 0, level == levels - 1
        back = 3 if outermost or innermost else 5
        layers = {f"down.{level}.1": 0 if outermost else 1, f"up.{levels - 1 - level}.1": back}
        layers |= {} if outermost or innermost else {f"down.{level}.2": 2}
        layers |= {} if outermost else {f"up.{levels - 1 - level}.2": back + 1}
        places |= {ours: f"{prefix}{theirs}" for ours, theirs in layers.items()}
    first, last = kernels[UNET], kernels.get("model.model.3.weight", kernels[UNET])
    like = {"architecture": "unet", "levels": levels, "base_channels": first.shape[0]}
    return like, (first.shape[1], last.shape[1]), places


def _resnet(kernels: Mapping[str, Tensor]) -> Layout:
    """One row of layers, with the blocks in its middle; dropout moves a block's second half by one."""
    named = (re.fullmatch(r"model\.(\d+)\.conv_block\.(\d+)\.weight", name) for name in kernels)
    inner = {(int(match[1]), int(match[2])) for match in named if match}
    blocks = sorted({block for block, _ in inner})
    n, second = len(blocks), max((layer for _, layer in inner), default=5)
    places = Places({"down.0.0.1": "model.1", "down.0.1": "model.2", "up.2.1": f"model.{17 + n}"})
    for level in (1, 2):
        places |= {f"down.{level}.{part}": f"model.{1 + 3 * level + part}" for part in (0, 1)}
        places |= {f"up.{level - 1}.{part}": f"model.{7 + 3 * level + n + part}" for part in (0, 1)}
    for k, block in enumerate(blocks):
        layers = {"0.1": 1, "1": 2, "4.1": second, "5": second + 1}
        places |= {f"blocks.{k}.layers.{ours}": f"model.{block}.conv_block.{at}" for ours, at in layers.items()}
    first, last = kernels[RESNET], kernels.get(f"model.{17 + n}.weight", kernels[RESNET])
    like = {"architecture": f"resnet-{n}" if n in BLOCKS.values() else "resnet-9", "base_channels": first.shape[0]}
    return like, (first.shape[1], last.shape[0]), places


def _norm(found: Mapping[str, Tensor]) -> str:
    """Batch norm has weights of one dimension; instance norm none, but the convolutions before it have biases."""
    if any(name.endswith(".weight") and tensor.ndim == 1 for name, tensor in found.items()):
        return "batch"
    return "instance" if sum(name.endswith(".bias") for name in found) > 1 else "none"


def _renamed(
    found: Mapping[str, Tensor], places: Places, wanted: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """The tensors that a generator of ours wants.

    What theirs do without is zero: biases where no norm follows. What they have, and ours do without, changes nothing:
    biases before an instance norm, and the statistics that it kept in early versions of torch.
    """
    state, left = {}, dict(found)
    for name, like in wanted.items():
        layer, _, what = name.rpartition(".")
        tensor = left.pop(f"{places[layer]}.{what}", None)
        if tensor is None and what in ("bias", "num_batches_tracked"):
            tensor = torch.zeros(like.shape, dtype=like.dtype)
        if tensor is None or tensor.shape != like.shape:
            shape = "missing" if tensor is None else f"of the shape {tuple(tensor.shape)}, not {tuple(like.shape)}"
            raise _another(path, f"{places[layer]}.{what} is {shape}")
        if re.fullmatch(r"up\.[1-9]\d*\.1\.weight", name) and UNET in found:  # theirs sees the encoder's features first
            tensor = tensor.roll(len(tensor) // 2, 0)
        if not torch.isfinite(tensor).all():
            raise ValueError(f"The weights of a model must be finite; {path} holds NaN or Inf. Take another file.")
        state[name] = tensor.to(like.dtype)
    harmless = (".bias", ".running_mean", ".running_var", ".num_batches_tracked") if _norm(found) == "instance" else ()
    if strange := next((name for name in left if not name.endswith(harmless)), None):
        raise _another(path, f"{strange} has no place in one")
    return state


def _another(path: Path, why: str) -> ValueError:
    return ValueError(
        "A file to import must hold a generator of the PyTorch port, unet or resnet with 6 or 9 blocks, as it saves "
        f"latest_net_G.pth; {path} does not: {why}. Give that file."
    )
