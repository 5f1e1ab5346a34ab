"""A generator that is an ONNX graph, run by onnxruntime; of a stranger's nothing is believed before it is looked at."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.settings.onnx import GraphFacts, Processing

STANDARD = ("", "ai.onnx")
"""The domains of the standard's own operators."""
MAKERS = {
    *("ConstantOfShape", "EyeLike", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"),
    *("MaxUnpool", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "ScatterND"),
}
"""Operators that can make a large tensor of a small one."""
LARGEST = 2**28
"""Numbers in one tensor, where the graph sees the smallest image that it takes."""


class Graph(Generator):
    """Images (N, in_channels, [Z,] Y, X), float32, to images of as many pixels.

    Sides that the graph does not take are mirrored up to one that it does, and cut again. It runs on the processor,
    wherever its bytes are.

    Parameters
    ----------
    in_channels, out_channels
        Of what it sees and makes.
    facts
        What is known of it.
    """

    graph: Tensor

    def __init__(self, in_channels: int, out_channels: int, facts: GraphFacts) -> None:
        super().__init__()
        self.channels, self.facts = (in_channels, out_channels), facts
        self.grid, self.reach, self.whole = facts.grid, facts.reach or (0,) * len(facts.grid), not facts.reach
        self.register_buffer("graph", torch.zeros(facts.n_bytes, dtype=torch.uint8))

    @cached_property
    def session(self) -> Any:
        """What runs it, once it is found to be harmless."""
        content = self.graph.cpu().numpy().tobytes()
        require_harmless(content, (1, self.channels[0], *self.facts.minimum))
        runtime, errors = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # errors are raised
        try:
            return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except errors as error:
            raise _refused(f"cannot be run: {_short(error)}") from error

    def forward(self, source: Tensor) -> Tensor:
        """The image for each source."""
        images = source.detach().float().cpu().numpy()
        made = np.stack([self._run(image) for image in images])
        return torch.from_numpy(made).to(source.device)

    def _run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of one image (C, [Z,] Y, X)."""
        shape = image.shape[1:]
        taken = [
            least + max(0, -(-(n - least) // step)) * step
            for n, least, step in zip(shape, self.facts.minimum, self.facts.grid, strict=True)
        ]
        more = [(0, side - n) for n, side in zip(shape, taken, strict=True)]
        seen = processed(image, self.facts.before)
        seen = np.pad(seen, [(0, 0), *more], mode="symmetric") if any(after for _, after in more) else seen
        session, (_, errors) = self.session, _runtime()
        try:
            (found,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(seen[None])})
        except errors as error:
            raise _refused(f"cannot be run on {' x '.join(map(str, taken))} px: {_short(error)}") from error
        expected = (1, self.channels[1], *taken)
        if found.shape != expected:
            raise _refused(f"makes {found.shape} of such an image, not {expected}")
        return processed(found[0].astype(np.float32)[(slice(None), *(slice(n) for n in shape))], self.facts.after)


def processed(values: NDArray[Any], steps: Sequence[Processing]) -> NDArray[Any]:
    """Values (C, [Z,] Y, X) after these steps."""
    for step in steps:
        if step.kind == "line":
            gain, offset = (
                np.reshape(np.array(side, np.float64), (-1, *(1,) * (values.ndim - 1)))
                for side in (step.gain, step.offset)
            )
            values = (values * gain + offset).astype(np.float32)
        elif step.kind == "clip":
            values = np.clip(values, step.low, step.high)
        elif step.kind == "above":
            values = (values > (step.low or 0.0)).astype(np.float32)
        elif step.kind == "sigmoid":
            values = expit(values)
        else:
            powers = np.exp(values - values.max(axis=0))
            values = powers / powers.sum(axis=0)
    return values


def require_harmless(content: bytes, shape: Sequence[int]) -> None:
    """Raise a ValueError unless these bytes are a network that can do nothing but compute an image, and ends.

    Its weights are all within, its operators the standard's own, without loops or branches; and no tensor is larger
    than `LARGEST` where it sees an image of this `shape` (1, C, [Z,] Y, X).
    """
    onnx, shapes, message = needed("onnx", "onnx.shape_inference", "google.protobuf.message")
    try:
        model = onnx.load_model_from_string(content)
    except message.DecodeError as error:
        raise _refused("is none: it cannot be read") from error
    graph = model.graph
    if model.functions:
        raise _refused(f"brings functions of its own, such as {model.functions[0].name!r:.60}")
    for node in graph.node:
        if node.domain not in STANDARD:
            raise _refused(f"has an operator of its own, {node.domain}.{node.op_type}"[:200])
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise _refused(f"has loops or branches ({node.op_type})")
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise _refused("has weights in another file")
        if math.prod(tensor.dims) > 8 * max(1, tensor.ByteSize()):
            raise _refused(f"says of a tensor that it is larger than what is there of it: {list(tensor.dims)}")
    inside = {tensor.name for tensor in graph.initializer}
    inputs = [one for one in graph.input if one.name not in inside]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise _refused(f"takes {len(inputs)} and gives {len(graph.output)}")
    kind = inputs[0].type.tensor_type
    dims = kind.shape.dim
    if kind.elem_type != onnx.TensorProto.FLOAT or len(dims) != len(shape):
        raise _refused(f"takes no float32 of {len(shape)} dimensions")
    if any(dim.HasField("dim_value") and dim.dim_value != n for dim, n in zip(dims[1:], shape[1:], strict=True)):
        told = [dim.dim_value or "any" for dim in dims]
        raise _refused(f"takes images of {told}, not of any size from {list(shape)} on")

    # The shapes of all tensors, for the smallest image.
    for dim, n in zip(dims, shape, strict=True):
        dim.dim_value = n
    del graph.value_info[:]
    graph.output[0].type.tensor_type.ClearField("shape")
    try:
        inferred = shapes.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except (shapes.InferenceError, ValueError) as error:
        raise _refused(f"contradicts itself: {_short(error)}") from error
    known = {
        one.name: [dim.dim_value if dim.HasField("dim_value") else None for dim in one.type.tensor_type.shape.dim]
        for one in (*inferred.value_info, *inferred.output)
        if one.type.tensor_type.HasField("shape")
    }
    for node in graph.node:
        for name in filter(None, node.output):
            sides = known.get(name)
            if sides is None or None in sides:
                if node.op_type in MAKERS:
                    raise _refused(f"makes a tensor whose size is not known beforehand ({node.op_type})")
            elif math.prod(side for side in sides if side is not None) > LARGEST:
                raise _refused(f"makes a tensor of {sides} of an image of {list(shape)}, which no memory is to hold")


def _tensors(model: Any) -> Iterator[Any]:
    """All that are written in it."""
    graph = model.graph
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            sparse_ones = [*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
            for sparse in (*sparse_ones, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _runtime() -> tuple[Any, tuple[type[Exception], ...]]:
    """What runs graphs, and what it raises."""
    runtime, state = needed("onnxruntime", "onnxruntime.capi.onnxruntime_pybind11_state")
    errors = (value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception))
    return runtime, (*errors, RuntimeError)


def _short(error: Exception) -> str:
    """The beginning of what a library says, in one line."""
    return " ".join(str(error).split())[:200]


def _refused(why: str) -> ValueError:
    return ValueError(
        "An ONNX file to run must hold one network from one image to another of the same size, of the standard's own "
        f"operators, with its weights within; this one {why}. Export it anew, from a program that you trust."
    )
