"""A model as a package of the BioImage Model Zoo: three formats of weights, and what tools must know to run them."""

import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.normalization import Normalization
from napari_pix2pix.core.engine.atomic import directory_beside, written_beside
from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.exchange import architecture
from napari_pix2pix.exchange.onnx_file import described, opset_version, write_onnx
from napari_pix2pix.exchange.page import PROJECT, Page, decoding
from napari_pix2pix.exchange.portable import TOLERANCE, Portable, running
from napari_pix2pix.exchange.sample import Sample

FORMATS = "pytorch_state_dict", "onnx", "torchscript"
INPUT, OUTPUT = "image", "prediction"
"""The ids of the tensors."""
DESCRIBED = {
    "intensity": "grey values of the target, not rounded",
    "classes": "a map for each class, of which the highest counts",
    "instances": "foreground above 0, and the depth within an object",
}
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def write_package(portable: Portable, sample: Sample, page: Page, out: Path) -> None:
    """Write `out`, once it has passed the zoo's own tests with each format of weights.

    The package takes source grey values or labels as float32, and gives float32: target grey values, not rounded, or
    the maps of labels.

    Raises
    ------
    ValueError
        If something is not installed, the zoo does not take what is said, each image is normalized by itself, or a
        format of weights gives something else than the model; nothing is written then.
    OSError
        If it cannot be written.
    """
    core, spec, *_ = needed("bioimageio.core", "bioimageio.spec", "onnxruntime", "onnx", "onnxscript")
    with directory_beside(out) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch and of the zoo's packages, about their own parts
        content = _written(portable, sample, page, folder, spec.ModelDescr.implemented_format_version)
        described = spec.build_description(content, context=spec.ValidationContext(root=folder))
        if isinstance(described, spec.InvalidDescr):
            raise _not_taken(described.validation_summary)
        package = spec.save_bioimageio_package(described, output_path=folder / "package.zip")
        for weights in FORMATS:
            summary = core.test_description(package, weight_format=weights, devices=["cpu"])
            if summary.status != "passed":
                raise _not_taken(summary)
        with written_beside(out) as beside:
            shutil.copyfile(package, beside)


def _not_taken(summary: Any) -> ValueError:
    errors = [f"{'.'.join(map(str, error.loc))}: {error.msg}" for part in summary.details for error in part.errors]
    said = " ".join("; ".join(errors).split())[:600]
    return ValueError(
        f"A package must be what the zoo takes; of this one it says: {said}. Nothing was written. Correct what is "
        "named, or export as .onnx."
    )


def _written(portable: Portable, sample: Sample, page: Page, folder: Path, version: str) -> dict[str, Any]:
    """The description of a package, whose files are in the folder."""
    model = portable.model
    source, target = model.source_encoding, model.target_encoding
    if source.normalization is not None and source.normalization.each_image is not None:
        raise ValueError(
            "A package must have one normalization for all images; this model has one for each image, by its own "
            "statistics. Export it as .onnx, or train with source_normalization.statistics training."
        )

    # Weights, each held against the model.
    torch.save(portable.network.state_dict(), folder / "weights.pt")
    shutil.copyfile(architecture.__file__, folder / "architecture.py")
    write_onnx(portable, folder / "weights.onnx")
    traced = torch.jit.trace(portable.network, torch.from_numpy(portable.example(1, 2)))
    portable.require_equal(running(traced), "The TorchScript file")
    traced.save(str(folder / "weights.torchscript"))
    torch_version, child = torch.__version__.partition("+")[0], {"parent": "pytorch_state_dict"}
    made_of = {"source": "architecture.py", "callable": type(portable.network).__name__, "kwargs": portable.kwargs}
    weights = {
        "pytorch_state_dict": {
            "source": "weights.pt",
            "architecture": made_of,
            "pytorch_version": torch_version,
        },
        "onnx": {"source": "weights.onnx", "opset_version": opset_version(folder / "weights.onnx")} | child,
        "torchscript": {"source": "weights.torchscript", "pytorch_version": torch_version} | child,
    }

    # What goes in and comes out, to be tried and to be looked at.
    seen = source.encode(sample.source) if source.normalization else sample.source
    maps = portable.expected(seen[None])[0]
    values = grey_values(maps, target)
    for name, tensor in (("input", sample.source), ("output", values)):
        np.save(folder / f"test_{name}.npy", tensor[None])
        tifffile.imwrite(folder / f"sample_{name}.tif", np.squeeze(tensor))
    sample.write_cover(folder / "cover.png")
    (folder / "README.md").write_text(page.text(decoding(portable), "cover.png"), "utf8")
    return {
        "type": "model",
        "format_version": version,
        "name": _name(page.name),
        "description": page.summary[:1024],
        "authors": [{"name": name} for name in page.authors],
        "license": page.licence,
        "cite": [
            {"text": text, "doi": f"10.48550/arXiv.{found[1]}"}
            for text in page.references
            if (found := ARXIV.search(text))
        ],
        "tags": [PROJECT, "image-to-image", "pix2pix", target.kind],
        "documentation": {"source": "README.md"},
        "covers": [{"source": "cover.png"}],
        "inputs": [_input(portable)],
        "outputs": [_output(portable)],
        "weights": weights,
        "config": {
            "bioimageio": {"reproducibility_tolerance": [_tolerance(target, values)]},
            PROJECT: described(portable),
        },
    }


def _name(name: str) -> str:
    """The name in characters that the zoo takes, five at least."""
    plain = re.sub(r"[^A-Za-z0-9_+() -]", "-", name)[:64]
    return plain if len(plain) >= 5 else f"{plain} ({PROJECT})"


def _input(portable: Portable) -> dict[str, Any]:
    """The tensor that goes in, and how grey values become what the network sees."""
    encoding, names = portable.model.source_encoding, portable.model.source_view.names
    sizes = zip(portable.smallest_tile, portable.grid, strict=True)
    known = encoding.normalization
    return {
        "id": INPUT,
        "description": "grey values as files have them" if known else "labels",
        "axes": _axes(portable, _named(encoding.n_channels, names), [{"min": n, "step": step} for n, step in sizes]),
        "preprocessing": [] if known is None else _linear(1 / _line(known)[1], -_line(known)[0] / _line(known)[1]),
        **_files("input"),
    }


def _output(portable: Portable) -> dict[str, Any]:
    """The tensor that comes out; the border of a tile is not to be kept."""
    encoding = portable.model.target_encoding
    train = (portable.model.provenance.get("pairs") or {}).get("train") or {}
    names = {
        "intensity": train.get("target_channels") or (),
        "classes": [f"class {label}" for label in encoding.classes],
        "instances": ["foreground", "depth"],
    }[encoding.kind]
    known, steps = encoding.normalization, list[dict[str, Any]]()
    if known is not None:
        steps += _linear(_line(known)[1], _line(known)[0])
        steps += [{"id": "clip", "kwargs": {"min": low, "max": high}} for low, high in _limits(encoding)]
    axes = _axes(
        portable, _named(encoding.n_maps, names), [{"tensor_id": INPUT, "axis_id": a} for a in _letters(portable)]
    )
    for axis in axes[-2:] if portable.halo else ():
        axis["halo"] = portable.halo
    return {
        "id": OUTPUT,
        "description": DESCRIBED[encoding.kind],
        "axes": axes,
        "postprocessing": steps,
        **_files("output"),
    }


def _axes(portable: Portable, channels: list[str], sizes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    train = (portable.model.provenance.get("pairs") or {}).get("train") or {}
    pixels = train.get("pixel_size_um") or {}
    spatial: list[dict[str, Any]] = []
    for letter, size in zip(_letters(portable), sizes, strict=True):
        unit = {"unit": "micrometer", "scale": pixels[letter.upper()]} if letter.upper() in pixels else {}
        spatial.append({"type": "space", "id": letter, "size": size, **unit})
    return [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *spatial]


def _letters(portable: Portable) -> str:
    return portable.axes[2:].lower()


def _named(n: int, names: Sequence[str]) -> list[str]:
    """A name for each channel."""
    return list(names) if len(names) == n and all(names) else [f"channel {i}" for i in range(n)]


def _files(which: str) -> dict[str, Any]:
    return {
        "test_tensor": {"source": f"test_{which}.npy"},
        "sample_tensor": {"source": f"sample_{which}.tif"},
        "data": {"type": "float32"},
    }


def _line(known: Normalization) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The grey value of each channel that the network sees as 0, and how far from it is 1."""
    low, high = np.array(known.low), np.array(known.high)
    return (low + high) / 2, (high - low) / 2 / known.limit


def _linear(gain: NDArray[np.float64], offset: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Values times gain plus offset, of each channel; nothing where that changes nothing, which the zoo refuses."""
    if (gain == 1).all() and (offset == 0).all():
        return []
    if len(gain) == 1:
        return [{"id": "scale_linear", "kwargs": {"gain": float(gain[0]), "offset": float(offset[0])}}]
    return [{"id": "scale_linear", "kwargs": {"axis": "channel", "gain": gain.tolist(), "offset": offset.tolist()}}]


def _limits(encoding: Encoding) -> list[tuple[float, float]]:
    """The ends of whole numbers, which predictions do not leave; none of floats."""
    dtype = np.dtype(encoding.dtype)
    return [(float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))] if dtype.kind in "iu" else []


def grey_values(maps: NDArray[np.float32], encoding: Encoding) -> NDArray[np.float32]:
    """What the package is to give of maps (n_maps, [Z,] Y, X)."""
    known = encoding.normalization
    if known is None:
        return maps
    middle, unit = (np.reshape(part, (-1, *(1,) * (maps.ndim - 1))) for part in _line(known))
    values = maps * unit + middle
    for low, high in _limits(encoding):
        values = np.clip(values, low, high)
    return values.astype(np.float32)


def _tolerance(encoding: Encoding, values: NDArray[np.float32]) -> dict[str, Any]:
    """How far off the package's output may be elsewhere: `TOLERANCE` of the range, of its narrowest channel."""
    known = encoding.normalization
    span = 2.0 if known is None else float(2 * _line(known)[1].min())
    absolute = min(TOLERANCE * span, max(0.0, 0.01 * float(values.max())))  # the zoo allows no more than that
    return {"absolute_tolerance": absolute, "relative_tolerance": TOLERANCE, "mismatched_elements_per_million": 0}
