"""The sizes of an ONNX graph's tensors for one size of image, before any of them is made."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from napari_pix2pix.core.engine.further import needed

FEW, LARGE = 1024, 2**31
"""Of how many numbers a tensor is that is worked out, since sizes may follow from it, and below what they are reckoned
with."""
MOST_NODES = 10_000
"""Which are looked at one by one."""
MOVES = "Concat Constant ConstantOfShape Expand Gather Identity Reshape Slice Squeeze Transpose Unsqueeze Where"
RECKONS = "Abs Add And Cast Ceil Div Equal Floor Greater Less Max Min Mod Mul Neg Not Or Sub"
"""Operators by which sizes follow from sizes: the first leave numbers as they are, the others make new ones, below
`LARGE` exactly the same on every machine."""
TO_THE_END = 2**31 - 1, 2**63 - 1
"""Ends of a Slice that onnxruntime takes for the last one that there is, ONNX for a number."""
UNKNOWN = ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
"""What working out raises of numbers that do not fit together."""


class Contradiction(ValueError):
    """Sizes that do not fit together."""


def inferred(model: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each node with the types (`onnx.TypeProto`) of what it makes, by name; no types of what could not be told.

    Node by node, by ONNX's own inference. Of few numbers, like sizes that a graph computes of its image's to pad what
    it joins, the values are worked out, too, and go into the next node's inference.

    Parameters
    ----------
    model
        An `onnx.ModelProto` whose inputs are of known sizes, its nodes standing in the order in which they run.

    Raises
    ------
    Contradiction
        If sizes do not fit together.
    """
    (onnx,) = needed("onnx")
    make = onnx.helper
    kinds = {one.name: one.type for one in model.graph.input}
    kinds |= {one.name: make.make_tensor_type_proto(one.data_type, list(one.dims)) for one in model.graph.initializer}
    few = {
        one.name: one
        for one in model.graph.initializer
        if one.ByteSize() <= 16 * FEW >= 16 * math.prod(one.dims) and one.data_type != onnx.TensorProto.STRING
    }
    for node in model.graph.node:
        names, outputs = dict.fromkeys(filter(None, node.input)), [name for name in node.output if name]
        if odd := [name for name in names if name not in kinds] + [name for name in outputs if name in kinds]:
            raise Contradiction(f"{odd[0]!r:.60} is made after it is used, or twice")
        seen = [make.make_value_info(name, kinds[name]) for name in names if name not in few]
        graph = make.make_graph([node], "node", seen, [], [few[name] for name in names if name in few])
        alone = make.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        if node.op_type == "Slice":
            _require_one_meaning(node, few)
        made = _made(alone, outputs)
        yield node, made
        kinds |= made
        few |= _values(alone, kinds)


def sizes_of(kind: Any) -> tuple[int, ...] | None:
    """Of a tensor of this type (`onnx.TypeProto`); None where one is not known."""
    shape = kind.tensor_type.shape
    sides = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in shape.dim)
    return None if not kind.tensor_type.HasField("shape") or min(sides, default=0) < 0 else sides


def _require_one_meaning(node: Any, few: dict[str, Any]) -> None:
    """Raise a Contradiction if a Slice may count down to an end of which ONNX makes nothing, onnxruntime the rest."""
    (onnx,) = needed("onnx")
    _, _, ends, _, steps = [*node.input, *[""] * 5][:5]
    if not steps:  # always up
        return
    part = f"{''.join(node.output)!r:.60}"
    if ends not in few or steps not in few:
        raise Contradiction(f"from where to where {part} is cut is not known beforehand")
    try:
        ups, lasts = (onnx.numpy_helper.to_array(few[name]).ravel() for name in (steps, ends))
        forwards = np.isin(lasts[ups < 0], TO_THE_END).any()
    except UNKNOWN as error:
        raise Contradiction(f"from where to where {part} is cut cannot be read") from error
    if forwards:
        raise Contradiction(f"{part} is cut backwards to an end that lies forwards")


def _made(alone: Any, outputs: list[str]) -> dict[str, Any]:
    """The types of what a graph of one node makes, by name."""
    onnx, shapes = needed("onnx", "onnx.shape_inference")
    try:
        found = shapes.infer_shapes(alone, strict_mode=True).graph.value_info
    except (shapes.InferenceError, ValueError) as error:
        raise Contradiction(str(error)) from error
    return {name: onnx.TypeProto() for name in outputs} | {one.name: one.type for one in found}


def _values(alone: Any, kinds: dict[str, Any]) -> dict[str, Any]:
    """What a graph of one node makes, by name (`onnx.TensorProto`), where that is few numbers and known."""
    onnx, reference = needed("onnx", "onnx.reference")
    (node,), numbers = alone.graph.node, onnx.TensorProto
    name = node.output[0] if len(node.output) == 1 else ""
    sides = sizes_of(kinds[name]) if name else None
    if sides is None or math.prod(sides) > FEW:
        return {}
    if node.op_type in ("Shape", "Size"):
        if not node.input or node.input[0] not in kinds:
            raise Contradiction(f"{name!r:.60} is the size of nothing")
        if (told := sizes_of(kinds[node.input[0]])) is None:
            return {}
        ends = {one.name: one.i for one in node.attribute}
        part = told[ends.get("start", 0) : ends.get("end")]
        found = np.array(part if node.op_type == "Shape" else math.prod(told), np.int64)
        return {name: onnx.numpy_helper.from_array(found, name)} if found.shape == sides else {}
    exact = kinds[name].tensor_type.elem_type in (numbers.BOOL, numbers.INT64, numbers.FLOAT)
    if alone.graph.input or not exact or node.op_type not in f"{MOVES} {RECKONS}".split():
        return {}
    alone.graph.output.add(name=name)
    try:
        with np.errstate(all="ignore"):
            (found,) = reference.ReferenceEvaluator(alone).run(None, {})
            all_small = all(
                (np.abs(one.astype(np.float64)) < LARGE).all()
                for one in (found, *map(onnx.numpy_helper.to_array, alone.graph.initializer))
            )
    except UNKNOWN:  # onnxruntime will say it
        return {}
    known = found.shape == sides and (all_small or node.op_type in MOVES.split())
    return {name: onnx.numpy_helper.from_array(found, name)} if known else {}
