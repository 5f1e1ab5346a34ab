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
from napari_pix2pix.core.networks.graph_sizes import MOST_NODES, Contradiction, inferred, sizes_of
from napari_pix2pix.core.settings.onnx import GraphFacts, Processing

STANDARD = ("", "ai.onnx")
"""The domains of the standard's own operators."""
WIDE = {"DOUBLE": 8, "INT64": 8, "UINT64": 8, "COMPLEX64": 8, "COMPLEX128": 16}
"""Bytes of one number in a memory, of those that take more than 4."""
MOST_SIDES, MOST_LIBRARIES, SPARE = 16, 64, 4096
"""Sides of a tensor, libraries of operators, and bytes that may stand beside what is needed, since each node is looked
at with copies of them."""
ANY_IMAGE, EACH_PIXEL, MOST = 2**28, 2**15, 2**33
"""Bytes of all tensors together that a graph may make: of any image, in addition for each of its pixels, and at most of
an image that a stranger chose."""


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
        self.fitting: set[tuple[int, ...]] = set()
        self.register_buffer("graph", torch.zeros(facts.n_bytes, dtype=torch.uint8))

    @cached_property
    def session(self) -> Any:
        """What runs it, once it is found to be harmless."""
        self.require_harmless(self.facts.minimum)
        content = self.graph.cpu().numpy().tobytes()
        runtime, errors = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # errors are raised
        try:
            return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except errors as error:
            raise _refused(f"cannot be run: {_short(error)}") from error

    def require_harmless(self, sides: Sequence[int], most: int | None = MOST) -> None:
        """Raise a ValueError unless it is `require_harmless` of images of these sides ([z,] y, x), as they are seen."""
        content = self.graph.cpu().numpy().tobytes()
        require_harmless(content, (1, self.channels[0], *self.taken(sides)), most)

    def forward(self, source: Tensor) -> Tensor:
        """The image for each source."""
        images = source.detach().float().cpu().numpy()
        made = np.stack([self._run(image) for image in images])
        return torch.from_numpy(made).to(source.device)

    def taken(self, sides: Sequence[int]) -> tuple[int, ...]:
        """The next sides that it takes."""
        return tuple(
            least + max(0, -(-(n - least) // step)) * step
            for n, least, step in zip(sides, self.facts.minimum, self.facts.grid, strict=True)
        )

    def _run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of one image (C, [Z,] Y, X)."""
        shape = image.shape[1:]
        taken = self.taken(shape)
        more = [(0, side - n) for n, side in zip(shape, taken, strict=True)]
        seen = processed(image, self.facts.before)
        seen = np.pad(seen, [(0, 0), *more], mode="symmetric") if any(after for _, after in more) else seen
        session, (_, errors) = self.session, _runtime()
        if taken not in self.fitting:
            self.require_harmless(shape, most=None)  # whoever predicts chose the size
            self.fitting.add(taken)
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


def require_harmless(content: bytes, shape: Sequence[int], most: int | None = MOST) -> None:
    """Raise a ValueError unless these bytes are a network that can do nothing but compute an image, and ends.

    Its weights are all within, its operators the standard's own, without loops or branches. Where it sees an image of
    this `shape` (1, C, [Z,] Y, X) the sizes of all tensors are known beforehand, and together they are no more than is
    usual for so many pixels, nor than `most` bytes.
    """
    onnx, message = needed("onnx", "google.protobuf.message")
    try:
        model = onnx.load_model_from_string(content)
    except message.DecodeError as error:
        raise _refused("is none: it cannot be read") from error
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise _refused(f"has {len(graph.node):,} operators, more than {MOST_NODES:,}")
    if (n_ends := sum(len(node.input) + len(node.output) for node in graph.node)) > 10 * MOST_NODES:
        raise _refused(f"has operators of {n_ends:,} inputs and outputs, more than {10 * MOST_NODES:,}")
    if len(model.opset_import) > MOST_LIBRARIES or any(one.ByteSize() > SPARE for one in model.opset_import):
        raise _refused(f"names {len(model.opset_import):,} libraries of operators, or one at great length")
    if model.functions:
        raise _refused(f"brings functions of its own, such as {model.functions[0].name!r:.60}")
    for node in graph.node:
        if node.domain not in STANDARD:
            raise _refused(f"has an operator of its own, {node.domain}.{node.op_type}"[:200])
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise _refused(f"has loops or branches ({node.op_type})")
        if node.op_type == "Attention" or (node.op_type == "Einsum" and len(node.input) > 2):
            raise _refused(
                f"has an operator that makes tensors within, of sizes that it does not tell ({node.op_type})"
            )
    if graph.sparse_initializer:
        raise _refused("has sparse weights, which a few bytes make as large as they say")
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise _refused("has weights in another file")
        if len(tensor.dims) > MOST_SIDES or min(tensor.dims, default=0) < 0:
            raise _refused(f"has a tensor of {len(tensor.dims):,} sides, or of less than none")
        if tensor.ByteSize() > 16 * math.prod(tensor.dims) + SPARE:
            raise _refused(f"holds {tensor.ByteSize():,} bytes of a tensor of {list(tensor.dims)}")
        if math.prod(tensor.dims) > 8 * max(1, tensor.ByteSize()):
            raise _refused(f"says of a tensor that it is larger than what is there of it: {list(tensor.dims)}")
    inside = {tensor.name for tensor in graph.initializer}
    inputs = [one for one in graph.input if one.name not in inside]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise _refused(f"takes {len(inputs)} and gives {len(graph.output)}")
    kind = inputs[0].type.tensor_type
    dims = kind.shape.dim
    if inputs[0].type.ByteSize() > SPARE:
        raise _refused(f"tells of its image {inputs[0].type.ByteSize():,} bytes")
    if kind.elem_type != onnx.TensorProto.FLOAT or len(dims) != len(shape):
        raise _refused(f"takes no float32 of {len(shape)} dimensions")
    if any(dim.HasField("dim_value") and dim.dim_value != n for dim, n in zip(dims[1:], shape[1:], strict=True)):
        told = [dim.dim_value or "any" for dim in dims]
        raise _refused(f"takes images of {told}, not of any size from {list(shape)} on")

    # The sizes of all tensors, for this image.
    for dim, n in zip(dims, shape, strict=True):
        dim.dim_value = n
    sides = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer} | {inputs[0].name: tuple(shape)}
    total = widest = 0
    try:
        for node, made in inferred(model):
            for name, kind in made.items():
                if (size := sizes_of(kind)) is None:
                    raise _refused(f"makes a tensor whose size is not known beforehand ({node.op_type})")
                if kind.tensor_type.elem_type == onnx.TensorProto.STRING:
                    raise _refused(f"makes text, of a length that is not known beforehand ({node.op_type})")
                sides[name] = size
                total += math.prod(size) * WIDE.get(onnx.TensorProto.DataType.Name(kind.tensor_type.elem_type), 4)
            if node.op_type == "ConvTranspose":  # what each pixel adds to its surroundings is held at once
                if not all([*node.input, "", ""][:2]):
                    raise Contradiction("a transposed convolution is of nothing")
                pixels, kernel = (sides[name] for name in node.input[:2])
                widest = max(widest, 4 * math.prod(pixels[2:]) * math.prod(kernel[1:]))
    except Contradiction as error:
        raise _refused(f"contradicts itself: {_short(error)}") from error
    if (total := total + widest) > min(ANY_IMAGE + EACH_PIXEL * math.prod(shape[2:]), most or math.inf):
        raise _refused(f"makes {total:,} bytes of an image of {list(shape)}, which no memory is to hold")


def _tensors(model: Any) -> Iterator[Any]:
    """All that are written in it."""
    yield from model.graph.initializer
    for node in model.graph.node:
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
