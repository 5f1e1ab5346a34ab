"""A model as ONNX: the network for any size, with what encoding and decoding need in its metadata."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_pix2pix import __version__
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.exchange.portable import Portable

KEY = "napari_pix2pix"
"""Of the metadata, one JSON object."""
FORMAT_VERSION = 1
"""Of this object."""
IMAGE, MAPS = "image", "maps"


def write_onnx(portable: Portable, out: Path) -> float:
    """Write `out`; how far what onnxruntime makes of it is from what the model makes, as a share of the range.

    Raises
    ------
    ValueError
        If something is not installed, or it would be further off than `TOLERANCE`; nothing is written then.
    OSError
        If it cannot be written.
    """
    onnxruntime, *_ = needed("onnxruntime", "onnx", "onnxscript")
    with written_beside(out) as beside:
        _exported(portable).save(str(beside), external_data=False)
        session = onnxruntime.InferenceSession(str(beside), providers=["CPUExecutionProvider"])

        def run(images: NDArray[np.float32]) -> NDArray[Any]:
            maps: NDArray[Any] = session.run([MAPS], {IMAGE: images})[0]
            return maps

        return portable.require_equal(run, "The ONNX file")


def opset_version(path: Path) -> int:
    """The version of the operators of an ONNX file."""
    (onnx,) = needed("onnx")
    model = onnx.load(str(path), load_external_data=False)
    return next(int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx"))


def _exported(portable: Portable) -> Any:
    """What torch makes of the network, for any number of images of any size that the network takes."""
    from torch.export import Dim

    axes = portable.axes.lower()
    steps = (1, 1, *portable.grid)
    sizes = {i: Dim(axes[i]) * steps[i] if steps[i] > 1 else Dim(axes[i]) for i in range(len(axes)) if axes[i] != "c"}
    sides = (2 * step for step in portable.grid)  # a side of one step is taken for one that is always so
    example = torch.zeros(2, portable.channels, *sides)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells that torchvision is not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about its own parts
        made: Any = torch.onnx.export(
            portable.network,
            (example,),
            dynamo=True,
            dynamic_shapes={IMAGE: sizes},
            input_names=[IMAGE],
            output_names=[MAPS],
            verbose=False,
        )
    made.model.metadata_props[KEY] = json.dumps(described(portable), sort_keys=True)
    made.model.doc_string = sentence(portable)
    made.model.producer_name, made.model.producer_version = "napari-pix2pix", __version__
    return made


def described(portable: Portable) -> dict[str, Any]:
    """What encoding and decoding need, JSON.

    ``source`` and ``target`` are the encodings, `Encoding.model_dump`; sides are multiples of ``grid``, at least
    ``minimum``, and an image is cut into tiles, if it is ``tileable``, that overlap by ``reach`` px on each side.
    """
    model = portable.model
    train = (model.provenance.get("pairs") or {}).get("train") or {}
    return {
        "format_version": FORMAT_VERSION,
        "napari_pix2pix": __version__,
        "model_sha256": model.hash(),
        "axes": portable.axes,
        "source": model.source_encoding.model_dump(mode="json"),
        "target": model.target_encoding.model_dump(mode="json"),
        "source_view": model.source_view.model_dump(mode="json"),
        "channel_axis": model.channel_axis,
        "source_channels": list(model.source_view.names),
        "target_channels": list(train.get("target_channels") or ()),
        "pixel_size_um": train.get("pixel_size_um") or {},
        "planes": list(model.direction.planes),
        "makes": model.makes,
        "grid": list(portable.grid),
        "minimum": list(portable.minimum),
        "reach": list(model.generator.reach),
        "tileable": model.tileable,
        "authors": model.config.authors,
        "licence": model.config.licence,
    }


def sentence(portable: Portable) -> str:
    """What to feed the network and what comes out, for people."""
    source, target = portable.model.source_encoding, portable.model.target_encoding
    takes = "labels" if source.classes else "grey values normalized as `source` says, low to -limit and high to limit"
    gives = {
        "intensity": "grey values, -limit for `target` low and limit for high",
        "classes": "a map for each of the `target` classes, of which the highest counts",
        "instances": "foreground where the first map is above 0, and the depth within an object, the second",
    }[target.kind]
    return (
        f"Images ({', '.join(portable.axes)}), float32: {takes}; sides are multiples of {list(portable.grid)}. "
        f"Maps in [-1, 1]: {gives}."
    )
