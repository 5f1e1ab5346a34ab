"""Packages of the BioImage Model Zoo, and ONNX files that `export` wrote, as models of ours; no code in them runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_pix2pix.core.encodings.encoding import Encoding, fit_encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.core.geometry.tiles import round_up
from napari_pix2pix.core.methods.generators import new_generator
from napari_pix2pix.core.networks.graph import Graph, require_harmless
from napari_pix2pix.core.networks.resnet import BLOCKS
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import NormalizationConfig, in_one_sentence, make_config, validated
from napari_pix2pix.core.settings.onnx import GraphFacts, OnnxConfig, Processing
from napari_pix2pix.core.settings.pix2pix import Translation
from napari_pix2pix.core.settings.untrusted_json import parse_json
from napari_pix2pix.exchange.archive import Archive, opened, refused
from napari_pix2pix.exchange.description import described_by
from napari_pix2pix.exchange.onnx_file import FORMAT_VERSION, KEY
from napari_pix2pix.exchange.page import PROJECT
from napari_pix2pix.exchange.port import tensors_in
from napari_pix2pix.exchange.tile_grid import FAR_SHARE, MOST_PIXELS, grid_of_tiles
from napari_pix2pix.exchange.zoo import grey_values
from napari_pix2pix.files.stacks import sha256

NEAR = 1e-3
"""How far what a package gives may be from what it says that it gives, as a share of its range, but for `FAR_SHARE`."""


class Told(BaseModel):
    """What `onnx_file.described` tells of a model, as far as it is needed to have it back."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format_version: int
    source: Encoding
    target: Encoding
    source_view: SourceView
    channel_axis: str = Field(pattern="^[CS]?$")
    target_channels: list[str] = []
    pixel_size_um: dict[str, float] = {}
    planes: list[float] = []
    grid: list[int]
    minimum: list[int]
    reach: list[int]
    tileable: bool
    authors: str = ""
    licence: str = ""


def read_onnx(path: Path) -> TrainedModel:
    """The model in an ONNX file that `export` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it says nothing of itself, or holds what is not to be run.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There must be a file to import; there is none at {path}. Check the path.")
    if path.stat().st_size >= 2**31:
        raise ValueError(f"An ONNX file must be smaller than 2 GiB; {path} is not. Take another.")
    onnx, message = needed("onnx", "google.protobuf.message")
    content = path.read_bytes()
    try:
        metadata = {one.key: one.value for one in onnx.load_model_from_string(content).metadata_props}
    except message.DecodeError as error:
        raise ValueError(
            f"A file to import must be what its name says; {path} is no ONNX. Take another copy."
        ) from error
    if KEY not in metadata:
        raise ValueError(
            f"An ONNX file to import must say what its values mean, as `export` writes it; {path} does not. Import it "
            "as part of a package of the BioImage Model Zoo (.zip), which does."
        )
    told = _told(parse_json(metadata[KEY]), path)
    return _of_graph(content, told, _provenance(path, told), path)


def read_package(path: Path) -> TrainedModel:
    """The model in a package of the BioImage Model Zoo; what it says that it gives has been compared.

    Of packages that `export` wrote the generator itself, with its encodings; of others the ONNX graph, with what the
    package says is done before and after it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is none, is hostile or damaged, gives something else than it says, or holds no weights that can be run.
    """
    with opened(path) as files:
        described = described_by(files)
        weights, told = described.weights, (described.config.model_extra or {}).get(PROJECT)
        own = _told(told, path) if isinstance(told, Mapping) else None
        state = weights.pytorch_state_dict
        if own is not None and state is not None and not own.planes:
            content = files.read(str(state.source), state.sha256)
            model = _of_generator(content, dict(state.architecture.kwargs), own, _provenance(path, own), path)
        elif weights.onnx is not None:
            if weights.onnx.external_data is not None:
                raise refused(path, "its ONNX file keeps weights in another file")
            content = files.read(str(weights.onnx.source), weights.onnx.sha256)
            if own is not None:
                model = _of_graph(content, own, _provenance(path, own), path)
            else:
                model = _foreign(content, described, files)
        else:
            there = [name for name in type(weights).model_fields if getattr(weights, name) is not None]
            raise refused(path, f"it holds {' and '.join(there)}, of which none is run: give one with ONNX")
        image = _require_as_told(model, described, files)
        return model if own is not None else _with_tiles_tried(model, image, described, files)


def _told(said: Any, path: Path) -> Told:
    """What a model of ours says of itself."""
    try:
        told = Told.model_validate(said)
    except ValueError as error:
        why = in_one_sentence(error) if isinstance(error, ValidationError) else str(error)
        raise refused(path, f"what it says of its values is damaged: {why}"[:400].rstrip(".")) from error
    if told.format_version > FORMAT_VERSION:
        raise ValueError(f"{path} is of a newer format, {told.format_version}. Update napari-pix2pix.")
    return told


def _provenance(path: Path, told: Told | None = None) -> dict[str, Any]:
    train: dict[str, Any] = {}
    if told is not None:
        train = {"target_channels": told.target_channels, "pixel_size_um": told.pixel_size_um}
    imported = {"path": path.name, "sha256": sha256(path)}
    return {"imported": imported, **({"pairs": {"train": train}} if any(train.values()) else {})}


def _of_generator(
    content: bytes, kwargs: dict[str, Any], told: Told, provenance: dict[str, Any], path: Path
) -> TrainedModel:
    """A generator of ours, with these weights."""
    architecture = (
        "unet"
        if "levels" in kwargs
        else next((name for name, n in BLOCKS.items() if n == kwargs.get("blocks")), "none")
    )
    like = {name: kwargs[name] for name in ("levels", "base_channels", "norm", "skips", "z_levels") if name in kwargs}
    changes: dict[str, Any] = {
        "generator": {"architecture": architecture, "dropout": 0.0, **like},
        "source_kind": "classes" if told.source.classes else "intensity",
        "target_kind": told.target.kind,
        "gan_weight": 0.0,  # its discriminator is not in the package
        "steps": 1,
        "authors": told.authors,
        "licence": told.licence,
    }
    try:
        config = make_config(changes=changes)
    except ValueError as error:
        raise refused(path, f"its generator cannot be: {error}"[:300].rstrip(".")) from error
    assert isinstance(config, Translation)
    dims = 3 if told.source_view.z == "volume" else 2
    try:
        found = tensors_in(BytesIO(content), len(content))
    except ValueError as error:
        raise refused(path, f"its weights cannot be read: {error}") from error
    with torch.device("meta"):
        generator = new_generator(config, told.source.n_maps, told.target.n_maps, dims)
    wanted = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in generator.state_dict().items()}
    if wanted != {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in found.items()}:
        raise refused(path, "its weights are not those of the generator that it names")
    if not all(torch.isfinite(tensor).all() for tensor in found.values()):
        raise refused(path, "its weights hold NaN or Inf")
    generator.load_state_dict(dict(found), assign=True)
    sides = told.source, told.target, told.source_view, told.channel_axis
    return TrainedModel(config, {"generator": generator.eval()}, *sides, provenance)


def _facts(said: dict[str, Any], path: Path) -> GraphFacts:
    """What is known of a graph."""
    try:
        return validated(GraphFacts, said)
    except ValueError as error:
        raise refused(path, f"what it says of its sizes cannot be: {error}"[:300].rstrip(".")) from error


def _of_graph(content: bytes, told: Told, provenance: dict[str, Any], path: Path) -> TrainedModel:
    """A graph that takes and gives network values, as `export` writes it."""
    if told.source.kind != "intensity":
        raise ValueError(
            "A graph to import must see grey values; this one sees labels. Import the model's package (.zip), which "
            "holds its generator itself."
        )
    facts = _facts(
        {
            "n_bytes": len(content),
            "grid": tuple(told.grid),
            "minimum": tuple(told.minimum),
            "reach": tuple(told.reach) if told.tileable else (),
        },
        path,
    )
    config = OnnxConfig.of(facts, authors=told.authors, licence=told.licence)
    return _with_graph(content, config, told.source, told.target, told.source_view, told.channel_axis, provenance)


def _with_graph(
    content: bytes,
    config: OnnxConfig,
    source: Encoding,
    target: Encoding,
    view: SourceView,
    channel_axis: str,
    provenance: dict[str, Any],
) -> TrainedModel:
    require_harmless(content, (1, source.n_maps, *config.graph.minimum))
    network = Graph(source.n_maps, target.n_maps, config.graph)
    network.graph.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    return TrainedModel(config, {"generator": network.eval()}, source, target, view, channel_axis, provenance)


# Packages of others


def _foreign(content: bytes, described: Any, files: Archive) -> TrainedModel:
    """A graph, with what the package says is done before and after it."""
    (given,), (made,) = described.inputs, described.outputs
    letters, channels = _axes(given, files.path)
    if (same := _axes(made, files.path))[0] != letters:
        raise refused(files.path, f"it gives the axes {same[0]} for {letters}; must be the same")
    image, expected = (files.array(str(one.test_tensor.source), one.test_tensor.sha256) for one in (given, made))
    dims = len(letters)
    if image.ndim != dims + 2 or expected.ndim != dims + 2 or len(image) != 1 or not np.isfinite(expected).all():
        raise refused(
            files.path, f"its test images are of {image.shape} and {expected.shape}; must be one with channels"
        )
    sizes, halos = (
        [_size(axis, files.path) for axis in given.axes[2:]],
        [_halo(axis, files.path) for axis in made.axes[2:]],
    )
    source, before = _before(given, image[0], files.path)
    target = fit_encoding([expected[0].astype(np.float32)], "intensity", NormalizationConfig(method="min-max"))
    known = target.normalization
    assert known is not None
    low, high = np.array(known.low), np.array(known.high)
    unit = (high - low) / 2 / known.limit
    after = [*_steps(made.postprocessing, expected.shape[1], files.path), _line(1 / unit, -(low + high) / 2 / unit)]
    facts = _facts(
        {
            "n_bytes": len(content),
            "grid": tuple(step for _, step in sizes),
            "minimum": tuple(least for least, _ in sizes),
            "reach": tuple(halos) if all(halos[-2:]) else (),
            "before": before,
            "after": after,
        },
        files.path,
    )
    said = {"authors": ", ".join(author.name for author in described.authors), "licence": str(described.license or "")}
    names = [str(name) for name in channels]
    told = [str(name) for name in made.axes[1].channel_names]
    view = SourceView(
        of_channels=len(channels),
        colours=len(channels) == 3,
        z="volume" if dims == 3 else "frame",
        names=tuple(names) if not all(name.startswith("channel") for name in names) else (),
    )
    axis = "C" if expected.shape[1] > 1 else ""
    provenance = _provenance(files.path) | {"pairs": {"train": {"target_channels": told}}}
    return _with_graph(content, OnnxConfig.of(facts, **said), source, target, view, axis, provenance)


def _axes(tensor: Any, path: Path) -> tuple[str, list[Any]]:
    """The letters of the spatial axes, and the names of the channels, of what must be (batch, channel, [z,] y, x)."""
    kinds = [axis.type for axis in tensor.axes]
    letters = "".join(str(axis.id) for axis in tensor.axes if axis.type == "space")
    if kinds != ["batch", "channel", *["space"] * len(letters)] or letters not in ("yx", "zyx"):
        said = ", ".join(str(axis.id) for axis in tensor.axes)
        raise refused(
            path, f"its tensors have the axes {said}; must be batch, channel, y, x or batch, channel, z, y, x"
        )
    return letters, list(tensor.axes[1].channel_names)


def _size(axis: Any, path: Path) -> tuple[int, int]:
    """The smallest side along an axis, and the step from one to the next."""
    least, step = getattr(axis.size, "min", None), getattr(axis.size, "step", None)
    if not (isinstance(least, int) and isinstance(step, int)):
        told = axis.size if isinstance(axis.size, int) else "another axis tells it"
        raise refused(path, f"its size along {axis.id} is fixed ({told}); must take images of any size in steps")
    return least, step


def _halo(axis: Any, path: Path) -> int:
    """What of the result is not to be kept at either end of an axis of the same size."""
    size = axis.size
    if (
        not hasattr(size, "axis_id")
        or str(size.axis_id) != str(axis.id)
        or size.offset
        or getattr(axis, "scale", 1) != 1
    ):
        raise refused(path, f"what it gives is not as large as what it takes along {axis.id}")
    return int(getattr(axis, "halo", 0))


def _before(tensor: Any, image: NDArray[Any], path: Path) -> tuple[Encoding, list[Processing]]:
    """How source grey values are encoded, and what gives of that what the graph is to see.

    Encoded is the range of the package's own image, so that what judges the match, and warns, has one; or, where the
    package normalizes each image by itself, that.
    """
    steps = list(tensor.preprocessing)
    while steps and steps[0].id == "ensure_dtype":  # of the image, as it comes
        steps.pop(0)
    own = _each_image(steps[0], len(image), str(tensor.id), path) if steps else None
    normalization, first = NormalizationConfig(method="min-max"), None
    if own is not None:
        (normalization, first), steps = own, steps[1:]
    source = fit_encoding([image.astype(np.float32)], "intensity", normalization, limit=1.0)
    known = source.normalization
    assert known is not None
    if first is None:  # the grey values again
        low, high = np.array(known.low), np.array(known.high)
        first = _line((high - low) / 2, (low + high) / 2)
    return source, [first, *_steps(steps, len(image), path)]


def _each_image(step: Any, n_channels: int, itself: str, path: Path) -> tuple[NormalizationConfig, Processing] | None:
    """A normalization by each image's own statistics, and what gives of ours theirs."""
    if step.id not in ("zero_mean_unit_variance", "scale_range"):
        return None
    axes = None if step.kwargs.axes is None else {str(axis) for axis in step.kwargs.axes}
    together = axes is None or "channel" in axes
    if (together and n_channels > 1) or (axes is not None and not {"y", "x"} <= axes):
        over = "all axes" if axes is None else ", ".join(sorted(axes))
        raise refused(path, f"it normalizes by {step.id} over {over}; must be each channel of an image")
    if step.id == "zero_mean_unit_variance":
        return NormalizationConfig(method="mean-std", statistics="image"), _line([3.0], [0.0])
    if step.kwargs.reference_tensor not in (None, itself):
        raise refused(path, "it normalizes by another tensor")
    ends = step.kwargs.min_percentile, step.kwargs.max_percentile
    return NormalizationConfig(percentiles=ends, statistics="image"), _line([0.5], [0.5])


def _steps(steps: Sequence[Any], n_channels: int, path: Path) -> list[Processing]:
    """What a package says is done, in our words."""
    found: list[Processing] = []
    for i, step in enumerate(steps):
        if step.id == "ensure_dtype":
            if not step.kwargs.dtype.startswith("float") and steps[i + 1 :]:
                raise refused(path, f"it casts to {step.kwargs.dtype} in between, which is not done here")
            continue
        if step.id in ("zero_mean_unit_variance", "scale_range"):
            raise refused(path, f"it normalizes by {step.id} after something else; must be done first, to the image")
        if step.id not in STEPS:
            raise refused(path, f"it asks for {step.id}, which is not known here")
        if str(getattr(step.kwargs, "axis", "channel")) != "channel":
            raise refused(path, f"it asks for {step.id} along {step.kwargs.axis}; must be along channel")
        made = STEPS[step.id](step.kwargs)
        if any(len(numbers) not in (1, n_channels) for numbers in (made.gain, made.offset)):
            raise refused(path, f"it asks for {step.id} of {len(made.gain)} channels; there are {n_channels}")
        found.append(made)
    return found


def _line(gain: Any, offset: Any) -> Processing:
    gains, offsets = (tuple(float(n) for n in np.atleast_1d(side)) for side in (gain, offset))
    return Processing(kind="line", gain=gains, offset=offsets)


def _fixed(kwargs: Any) -> Processing:
    std = np.array(kwargs.std, float)
    return _line(1 / std, -np.array(kwargs.mean, float) / std)


def _clip(kwargs: Any) -> Processing:
    if kwargs.min_percentile is not None or kwargs.max_percentile is not None:
        raise ValueError("A package to import must clip at fixed values; this one clips at percentiles. Take another.")
    return Processing(kind="clip", low=kwargs.min, high=kwargs.max)


def _binarize(kwargs: Any) -> Processing:
    if isinstance(kwargs.threshold, list):
        raise ValueError("A package to import must binarize at one threshold; this one has several. Take another.")
    return Processing(kind="above", low=kwargs.threshold)


STEPS: dict[str, Callable[[Any], Processing]] = {
    "scale_linear": lambda kwargs: _line(kwargs.gain, kwargs.offset),
    "fixed_zero_mean_unit_variance": _fixed,
    "clip": _clip,
    "binarize": _binarize,
    "sigmoid": lambda _: Processing(kind="sigmoid"),
    "softmax": lambda _: Processing(kind="softmax"),
}


def _require_as_told(model: TrainedModel, described: Any, files: Archive) -> NDArray[Any]:
    """The package's test image (C, [Z,] Y, X), of which the model must make what the package says.

    Raises
    ------
    ValueError
        If it does not.
    """
    image, expected = (
        files.array(str(one.test_tensor.source), one.test_tensor.sha256)
        for one in (*described.inputs, *described.outputs)
    )
    dims = len(model.generator.grid)
    channels = model.source_encoding.n_channels
    if image.ndim != dims + 2 or image.shape[:2] != (1, channels):
        raise refused(files.path, f"its test image is of {image.shape}; must be one of {channels} channels")
    if (n_pixels := math.prod(image.shape[2:])) > MOST_PIXELS:
        raise refused(files.path, f"its test image is of {n_pixels:,} px; must be of {MOST_PIXELS:,} at most")
    if isinstance(model.generator, Graph):
        model.generator.require_harmless(image.shape[2:])
    maps = model.maps_of_frame(model.source_encoding.encode(image[0]))
    made = grey_values(maps, model.target_encoding)[None]
    if expected.dtype.kind in "iu":  # as casting does; predictions are not cut
        made = np.trunc(made)
    expected = expected.astype(np.float32)
    if made.shape != expected.shape:
        raise refused(files.path, f"it gives {made.shape} of its test image, and says {expected.shape}")
    span = max(float(np.ptp(expected)), 1e-6)
    apart = np.abs(made - expected) / span
    if not (far := float((~(apart <= NEAR)).mean())) <= FAR_SHARE:
        raise refused(
            files.path,
            f"of its own test image it gives something else than it says: {far:.1%} of the pixels are more than "
            f"{NEAR:.1%} of the range off",
        )
    return image[0]


def _with_tiles_tried(model: TrainedModel, image: NDArray[Any], described: Any, files: Archive) -> TrainedModel:
    """The model, with tiles that begin where they give what the whole image (C, [Z,] Y, X) gives; else with none.

    Nor with any where the test image, mirrored up to where they begin, is no longer what the package says.
    """
    network, config = model.generator, model.config
    assert isinstance(network, Graph) and isinstance(config, OnnxConfig)
    facts = config.graph
    if not facts.reach:
        return model
    grid = grid_of_tiles(network, model.source_encoding.encode(image))
    if grid == facts.grid:
        return model
    whole = _with_facts(model, facts.model_copy(update={"reach": ()}))
    if not grid:
        return whole
    sides = zip(facts.minimum, facts.grid, grid, strict=True)
    up = ((least, round_up(least, new), step) for least, step, new in sides)
    minimum = tuple(least if (n - least) % step else n for least, n, step in up)
    try:
        tiled = _with_facts(model, facts.model_copy(update={"grid": grid, "minimum": minimum}))
        _require_as_told(tiled, described, files)
    except ValueError:  # of sides that it must mirror up to, it gives something else
        return whole
    return tiled


def _with_facts(model: TrainedModel, facts: GraphFacts) -> TrainedModel:
    """A graph's model, of which this is known."""
    network, config = model.generator, model.config
    assert isinstance(network, Graph) and isinstance(config, OnnxConfig)
    return _with_graph(
        network.graph.numpy().tobytes(),
        OnnxConfig.of(facts, authors=config.authors, licence=config.licence),
        model.source_encoding,
        model.target_encoding,
        model.source_view,
        model.channel_axis,
        model.provenance,
    )
