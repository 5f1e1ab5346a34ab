"""A model's file: written, and read with nothing in it believed before it is checked."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from napari_pix2pix.core.engine.tensor_files import tensors_of, under, write_tensors
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.models.content import Content, content_of, load_content
from napari_pix2pix.core.models.migrations import first_content, first_names, present_names
from napari_pix2pix.core.trust.judge import JudgeNetwork, MatchJudge, match_network

DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
"""Of the weights and norm statistics of networks, and of a graph's bytes, in the words of tensor files."""
HALF = {"F16": "F32"}
"""Weights may be kept in half precision, and are read as single: so a model takes half the room."""
JUDGE = "discriminator that judges the match"


class Parts(NamedTuple):
    """What a model's file holds, on the CPU, in evaluation mode.

    Parameters
    ----------
    content
        What it says.
    provenance
        Of that, as it was written.
    networks
        By name.
    match
        The judge of the match, where it has one.
    """

    content: Content
    provenance: dict[str, Any]
    networks: dict[str, nn.Module]
    match: MatchJudge | None


def save_model(path: Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write a model, beside and renamed.

    Raises
    ------
    ValueError
        If it could not be read again.
    OSError
        If it cannot be written, as on a full disk; what was there before is kept.
    """
    content_of(content)
    write_tensors(path, tensors, content)


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """These with the weights of networks in half precision, but not what is per channel, as norm statistics are."""
    return {
        name: tensor.half() if tensor.dtype == torch.float32 and tensor.ndim > 2 and "network" in name else tensor
        for name, tensor in tensors.items()
    }


def load_parts(path: Path) -> Parts:
    """The model in the file `path`; nothing is allocated before the shapes of its tensors are those of its config.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model, is damaged, is newer than this package, or its weights do not fit or are not finite.
    """
    header, content = load_content(path)
    with torch.device("meta"):
        made, judge = _networks_of(content)
    said = present_names(header.version, header.tensors)
    for name, network in made.items():
        _require_fitting(under(f"networks.{name}.", said), network, name)
    if judge is not None:
        _require_fitting(under("trust.network.", said), judge, JUDGE)

    tensors = present_names(header.version, tensors_of(header))
    for name, network in made.items():
        _fill(network, under(f"networks.{name}.", tensors), name)
    match = None
    if judge is not None and content.trust is not None:
        _fill(judge, under("trust.network.", tensors), JUDGE)
        match = MatchJudge.restored(judge, under("trust.", tensors), content.trust.model_dump())
    return Parts(content, header.content["provenance"], made, match)


def _networks_of(content: Content) -> tuple[dict[str, nn.Module], JudgeNetwork | None]:
    """New networks, and the judge of the match where there is one."""
    config, source, target = content.config, content.source_encoding, content.target_encoding
    made = method_of(config).networks(
        config, Shapes.of(source, target, content.spatial_dims, content.domains, content.joint, content.conditions)
    )
    judge = None
    if content.trust is not None:
        how = content.trust.conditional, content.trust.per_pixel, content.trust.sees_doubt
        judge = match_network(config.judge, source, target, content.spatial_dims, *how)
    return made, judge


def _require_fitting(found: Mapping[str, tuple[str, tuple[int, ...]]], network: nn.Module, name: str) -> None:
    found = {key: (HALF.get(dtype, dtype), shape) for key, (dtype, shape) in found.items()}
    expected = {key: (DTYPES[tensor.dtype], tuple(tensor.shape)) for key, tensor in network.state_dict().items()}
    if found != expected:
        raise ValueError(f"The weights of a model must fit its config; those of the {name} do not.")


def _fill(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Give a network that has no memory yet these weights; ready for use."""
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise ValueError(
            f"The weights of a model must be finite; those of the {name} hold NaN or Inf: it was not trained to its "
            "end, or is damaged. Take another copy of it, or train anew."
        )
    single = {key: tensor.float() if tensor.dtype == torch.float16 else tensor for key, tensor in weights.items()}
    network.load_state_dict(single, assign=True)
    network.eval()


def model_hash(tensors: Mapping[str, Tensor], content: dict[str, Any]) -> str:
    """SHA-256 of tensors and content, as format 1 had them: the same model, the same hash, in whatever format."""
    found = hashlib.sha256(json.dumps(first_content(content), sort_keys=True).encode())
    for name, tensor in sorted(first_names(tensors).items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
