"""The sizes that are told of a graph's tensors before it runs are those that they have when it runs."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.core.networks.graph import require_harmless
from napari_pix2pix.core.networks.graph_sizes import inferred, sizes_of

if any(find_spec(name) is None for name in ("onnx", "onnxruntime")):
    pytest.skip("pip install '.[export]'", allow_module_level=True)
onnx, _, onnxruntime = needed("onnx", "onnx.parser", "onnxruntime")

UP = """
  p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
  k = Constant <value = float[1, 1, 2, 2] {1, 2, 3, 4}> ()
  u = ConvTranspose <strides = [2, 2]> (p, k)
  i2 = Constant <value_int = 2> ()
  i3 = Constant <value_int = 3> ()
  sx = Shape (x)
  su = Shape (u)
  hx = Gather (sx, i2)
  hu = Gather (su, i2)
  wx = Gather (sx, i3)
  wu = Gather (su, i3)
  dy = Sub (hx, hu)
  dx = Sub (wx, wu)
  zero = Constant <value_ints = [0]> ()
  one = Constant <value_ints = [1]> ()
"""
"""A pooled image at twice its size, and by how much the image is larger: 0 or 1."""
JOINED = {
    "padded, as PyTorch writes it": """
  half = Div (dx, i2)
  rest = Sub (dx, half)
  h1 = Unsqueeze (half, zero)
  r1 = Unsqueeze (rest, zero)
  y1 = Unsqueeze (dy, zero)
  last = Concat <axis = 0> (h1, r1, zero, y1)
  four = Constant <value_ints = [4]> ()
  none = ConstantOfShape <value = int64[1] {0}> (four)
  all = Concat <axis = 0> (last, none)
  pairs = Constant <value_ints = [-1, 2]> ()
  two = Reshape (all, pairs)
  from = Constant <value_ints = [-1]> ()
  to = Constant <value_ints = [-9223372036854775807]> ()
  turned = Slice (two, from, to, zero, from)
  across = Transpose <perm = [1, 0]> (turned)
  flat = Reshape (across, from)
  pads = Cast <to = 7> (flat)
  v = Pad <mode = "constant"> (u, pads)
  y = Add (x, v)
""",
    "cropped": """
  h = Unsqueeze (hu, zero)
  w = Unsqueeze (wu, zero)
  ends = Concat <axis = 0> (h, w)
  begins = Constant <value_ints = [0, 0]> ()
  axes = Constant <value_ints = [2, 3]> ()
  c = Slice (x, begins, ends, axes)
  y = Mul (c, u)
""",
    "resized to the size of the other": """
  four = Constant <value_ints = [4]> ()
  nc = Slice (su, zero, i2v, zero)
  hw = Slice (sx, i2v, four, zero)
  size = Concat <axis = 0> (nc, hw)
  r = Resize <mode = "linear"> (u, , , size)
  y = Add (x, r)
""",
    "padded to a multiple of eight first": """
  eight = Constant <value_int = 8> ()
  n = Neg (wx)
  m = Mod (n, eight)
  f = Cast <to = 1> (m)
  g = Floor (f)
  b = Cast <to = 7> (g)
  b1 = Unsqueeze (b, zero)
  seven = Constant <value_ints = [0, 0, 0, 0, 0, 0, 0]> ()
  pads = Concat <axis = 0> (seven, b1)
  y = Pad (x, pads)
""",
    "with group norm, as PyTorch writes it": """
  groups = Constant <value_ints = [0, 1, -1]> ()
  flat = Reshape (x, groups)
  gain = Constant <value_floats = [1.0]> ()
  bias = Constant <value_floats = [0.0]> ()
  normal = InstanceNormalization (flat, gain, bias)
  y = Reshape (normal, sx)
""",
}
"""Ways in which networks bring a tensor to the size of another."""


def graph(lines: str, opset: int = 17) -> bytes:
    """An ONNX file of these lines, from x to y."""
    text = f'<ir_version: 9, opset_import: ["" : {opset}]> g (float[n, 1, h, w] x) => (float[n, 1, a, b] y) {{{lines}}}'
    return onnx.parser.parse_model(text).SerializeToString()


@pytest.mark.parametrize("shape", [(1, 1, 16, 24), (1, 1, 17, 23), (1, 1, 31, 16)])
@pytest.mark.parametrize("way", JOINED)
def test_sizes_are_told_before_it_runs(way: str, shape: tuple[int, ...]) -> None:
    """Of every tensor, also where they are computed as the graph runs, from odd sides, too."""
    lines = UP.replace("zero =", "i2v = Constant <value_ints = [2]> ()\n  zero =") + JOINED[way]
    content = graph(lines)
    require_harmless(content, shape)
    model = onnx.load_model_from_string(content)
    for dim, n in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = n
    told = {name: sizes_of(kind) for _, made in inferred(model) for name, kind in made.items()}
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in told)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {"x": np.zeros(shape, np.float32)})
    assert told == {name: values.shape for name, values in zip(told, found, strict=True)}


BACKWARDS = """
  big = Constant <value_ints = [5000000]> ()
  from = Constant <value_ints = [{from_}]> ()
  to = Constant <value_ints = [{to}]> ()
  first = Constant <value_ints = [0]> ()
  minus = Constant <value_ints = [-1]> ()
  none = Slice (big, from, to, first, minus)
  one = Constant <value_ints = [1]> ()
  s = Concat <axis = 0> (one, none)
  b = ConstantOfShape (s)
  r = ReduceSum <keepdims = 0> (b)
  y = Add (x, r)
"""
"""Of what counts down to these ends ONNX says that it is nothing, and onnxruntime makes it one."""
HARMFUL = {
    "which no memory is to hold": """
  s = Shape (x)
  t = Mul (s, s)
  q = Mul (t, t)
  b = ConstantOfShape (q)
  r = ReduceSum <keepdims = 0> (b)
  y = Add (x, r)
""",
    "not known beforehand (ConstantOfShape)": """
  large = Constant <value_ints = [4611686018427387905]> ()
  one = Constant <value_ints = [1]> ()
  a = Div (large, one)
  far = Constant <value_ints = [-4611686018427387904]> ()
  n = Add (a, far)
  b = ConstantOfShape (n)
  r = ReduceSum <keepdims = 0> (b)
  y = Add (x, r)
""",
    "not known beforehand (Expand)": """
  m = ReduceMax <keepdims = 0> (x)
  i = Cast <to = 7> (m)
  minus = Constant <value_ints = [-1]> ()
  s = Reshape (i, minus)
  e = Expand (m, s)
  r = ReduceSum <keepdims = 0> (e)
  y = Add (x, r)
""",
    "contradicts itself: 'none' is cut backwards": BACKWARDS.format(from_=-5, to=2**63 - 1),
    "'none' is cut backwards to an end that lies forwards": BACKWARDS.format(from_=-1, to=2**31 - 1),
    "contradicts itself: from where to where 'c'": """
  m = ReduceMax <keepdims = 0> (x)
  i = Cast <to = 7> (m)
  minus = Constant <value_ints = [-1]> ()
  s = Reshape (i, minus)
  n = Constant <value_ints = [0]> ()
  c = Slice (x, n, n, n, s)
  y = Add (x, c)
""",
    "contradicts itself: 'later' is made after it is used": """
  y = Add (x, later)
  later = Neg (x)
""",
    "contradicts itself: 'x' is made after it is used, or twice": """
  x = Neg (x)
  y = Neg (x)
""",
    "contradicts itself: 'q' is the size of nothing": "  q = Size ()\n  y = Mul (x, x)\n",
    "contradicts itself: 'r' is the size of nothing": "  r = Size (, )\n  y = Mul (x, x)\n",
    "has operators of 100,003 inputs and outputs": f"  s = Sum ({', '.join(['x'] * 100_000)})\n  y = Neg (x)\n",
    "has 10,001 operators": "".join(f"  a{i} = Neg (x)\n" for i in range(10_000)) + "  y = Neg (x)\n",
}


@pytest.mark.parametrize("sentence", HARMFUL)
def test_what_is_not_known_is_not_believed(sentence: str) -> None:
    """Sizes that grow with those before, that come of what the image holds, or of numbers too large to reckon with."""
    with pytest.raises(ValueError) as told:
        require_harmless(graph(HARMFUL[sentence]), (1, 1, 48, 48))
    assert sentence in str(told.value) and "\n" not in str(told.value)


def told_more(model: Any) -> None:
    model.graph.initializer.add(name="w", data_type=1, dims=[1], raw_data=bytes(10**6))


def described_at_length(model: Any) -> None:
    model.graph.initializer.add(name="w", data_type=1, dims=[1], raw_data=bytes(4), doc_string="a" * 10**6)


def text(model: Any) -> None:
    model.graph.initializer.add(name="w", data_type=8, dims=[1], string_data=[bytes(10**6)])


def less_than_none(model: Any) -> None:
    model.graph.initializer.add(name="w", data_type=1, dims=[-1, 4], raw_data=bytes(10**6))


def many_sides(model: Any) -> None:
    model.graph.initializer.add(name="w", data_type=1, dims=[1] * 10**5, raw_data=bytes(4))


def many_libraries(model: Any) -> None:
    for i in range(100):
        model.opset_import.add(domain=f"d{i}", version=1)


def image_at_length(model: Any) -> None:
    model.graph.input[0].type.denotation = "a" * 10**6


LONG = {
    told_more: "holds 1,000,",
    described_at_length: "holds 1,000,",
    text: "holds 1,000,",
    less_than_none: "less than none",
    many_sides: "100,000 sides",
    many_libraries: "101 libraries",
    image_at_length: "tells of its image 1,000,",
}
"""Small for what their sizes say, and copied for each node that is looked at."""


@pytest.mark.parametrize("how", LONG)
def test_what_is_larger_than_it_says_is_not_looked_at_for_each_node(
    how: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before the first."""
    model = onnx.load_model_from_string(graph("  y = Neg (x)"))
    how(model)
    monkeypatch.setattr("napari_pix2pix.core.networks.graph.inferred", lambda _: pytest.fail("a node was looked at"))
    with pytest.raises(ValueError) as told:
        require_harmless(model.SerializeToString(), (1, 1, 48, 48))
    assert LONG[how] in str(told.value) and "\n" not in str(told.value)
