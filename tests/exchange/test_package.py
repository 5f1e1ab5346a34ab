"""Packages of strangers: what they say that they predict is predicted, and what they hide is told and never run."""

import hashlib
import io
import json
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.core.models.content import load_content
from napari_pix2pix.core.networks.graph import processed
from napari_pix2pix.core.settings.onnx import Processing
from napari_pix2pix.exchange import archive
from napari_pix2pix.report.card import model_text
from napari_pix2pix.widgets.card import read_card
from small import blobs

if any(find_spec(name) is None for name in ("bioimageio", "onnx", "onnxruntime", "yaml")):
    pytest.skip("pip install '.[export]'", allow_module_level=True)
onnx, _, onnxruntime, yaml = needed("onnx", "onnx.parser", "onnxruntime", "yaml")
HELPER, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
NOT_KNOWN = "What trained the model is not known, since it comes from elsewhere: if these images were among that"
KERNEL = np.array([[[[0, 1, 0], [1, -2, 1], [0, 1, 3]]]], np.float32)


def conv() -> list:
    return [HELPER.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]


def graph(nodes: list, *, sizes=("n", 1, "h", "w"), opsets=("",), weights=None, functions=()) -> bytes:
    """An ONNX file from x to y; w is a kernel of 3 x 3."""
    sides = [HELPER.make_tensor_value_info(name, FLOAT, list(sizes)) for name in "xy"]
    held = [onnx.numpy_helper.from_array(KERNEL, "w")] if weights is None else weights
    made = HELPER.make_graph(nodes, "g", sides[:1], sides[1:], held)
    model = HELPER.make_model(made, opset_imports=[HELPER.make_opsetid(name, 17) for name in opsets], ir_version=9)
    model.functions.extend(functions)
    return model.SerializeToString()


def npy(values: np.ndarray) -> bytes:
    np.save(file := io.BytesIO(), values)
    return file.getvalue()


PRE = [{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}]
POST = [{"id": "sigmoid"}, {"id": "scale_linear", "kwargs": {"gain": 50.0, "offset": 7.0}}]


def described(parts: dict[str, bytes], pre=PRE, post=POST, halo=16, **weights) -> dict:
    """What a package of these files says of itself."""

    def file(name: str) -> dict:
        return {"source": name, "sha256": hashlib.sha256(parts[name]).hexdigest()}

    def axes(size, **more) -> list:
        return [
            {"type": "batch"},
            {"type": "channel", "channel_names": ["glow"]},
            *({"type": "space", "id": axis, "size": size(axis), **more} for axis in "yx"),
        ]

    seen, made = axes(lambda _: {"min": 48, "step": 16}), axes(lambda a: {"tensor_id": "raw", "axis_id": a})
    for axis in made[2:] if halo else ():
        axis["halo"] = halo
    return {
        **{"type": "model", "format_version": "0.5.3", "name": "A strangers model", "description": "Of others"},
        **{
            "authors": [{"name": "A. Stranger"}],
            "license": "CC-BY-4.0",
            "cite": [{"text": "mine", "doi": "10.1000/1"}],
        },
        "documentation": file("README.md"),
        "inputs": [{"id": "raw", "axes": seen, "test_tensor": file("in.npy"), "preprocessing": pre}],
        "outputs": [{"id": "out", "axes": made, "test_tensor": file("out.npy"), "postprocessing": post}],
        "weights": weights or {"onnx": {**file("net.onnx"), "opset_version": 17}},
    }


def expected(image: np.ndarray) -> np.ndarray:
    """What the package says that it gives of an image (Y, X)."""
    seen = (image - image.mean()) / image.std()
    padded = np.pad(seen, 1)
    found = sum(
        KERNEL[0, 0, i, j] * padded[i : i + seen.shape[0], j : j + seen.shape[1]] for i in range(3) for j in range(3)
    )
    return 50 / (1 + np.exp(-found)) + 7


def package(path: Path, content: bytes | None = None, parts: dict | None = None, said=None, **how) -> Path:
    """A package whose network is `content`; `parts` are added, `said` changes what it says."""
    image = blobs((64, 80), 3)[0].astype(np.float32)
    files = {"README.md": b"# mine", "net.onnx": content or graph(conv()), "in.npy": npy(image[None, None])}
    files["out.npy"] = npy(expected(image)[None, None].astype(np.float32))
    told = described(files | (parts or {}), **how)
    if said:
        said(told)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, held in {**files, "rdf.yaml": yaml.safe_dump(told).encode(), **(parts or {})}.items():
            made.writestr(name, held)
    return path


@pytest.fixture
def imported(tmp_path) -> Path:
    out = tmp_path / "model.safetensors"
    assert main(["import", str(package(tmp_path / "p.zip")), "--out", str(out)]) == 0
    return out


def test_it_predicts_what_the_package_says(imported: Path, tmp_path) -> None:
    """With what is done before and after the network; of other images, too, and in tiles by the halo that it tells."""
    model, image = core.load_model(imported, "cpu"), blobs((150, 130), 8)[0]
    assert model.generator.reach == (16, 16) and model.tileable and model.predict(image).dtype == np.float32
    whole, tiled = model.predict(image), model.predict(image, tile_size=32)
    np.testing.assert_allclose(whole, tiled, rtol=0, atol=1e-3)
    np.testing.assert_allclose(whole[:-1, :-1], expected(image.astype(float))[:-1, :-1], rtol=0, atol=0.01)
    small = model.predict(image[:20, :25])  # mirrored up to the smallest side
    assert small.shape == (20, 25) and np.isfinite(small).all()
    card = read_card(imported)  # in a dock
    assert card.imported and not card.exports and "imported" in card.text
    _, content = load_content(imported)
    assert content.config.method == "onnx" and content.config.authors == "A. Stranger"
    tifffile.imwrite(tmp_path / "image.tif", image)
    words = ["predict", str(imported), str(tmp_path / "image.tif"), "--out", str(tmp_path / "predicted.tif")]
    assert main(words) == 0
    np.testing.assert_allclose(tifffile.imread(tmp_path / "predicted.tif"), whole, rtol=0, atol=1e-4)


def test_it_is_evaluated_and_taught_to_judge_itself(imported: Path, tmp_path, capsys) -> None:
    """As any model; but it learns nothing more, and is not exported again."""
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
    for seed in range(4):
        image = blobs((272, 272), seed)[0]
        tifffile.imwrite(tmp_path / "source" / f"{seed}.tif", image)
        tifffile.imwrite(tmp_path / "target" / f"{seed}.tif", expected(image.astype(float)).astype(np.float32))
    pairs = [str(tmp_path / side) for side in ("source", "target")]
    assert main(["evaluate", str(imported), *pairs, "--out", str(tmp_path / "e")]) == 0
    out = capsys.readouterr().out
    assert "pearson  1" in out.replace("   ", " ") and out.count(NOT_KNOWN) == 1
    figures = json.loads((tmp_path / "e" / "metrics.json").read_text("utf8"))
    assert figures["seen"] is None and sum(NOT_KNOWN in remark for remark in figures["remarks"]) == 1
    page = (tmp_path / "e" / "report.html").read_text("utf8")
    assert NOT_KNOWN in page and "Whether they taught the model is not known" in page
    assert "neither trained" not in page and "files that made it" not in page
    assert (
        main(["info", str(imported)]) == 0 and "on what is not known, so figures may be of" in capsys.readouterr().out
    )
    judged = str(tmp_path / "judged.safetensors")
    assert main(["fit-trust", str(imported), *pairs, "--out", judged, "--trust-steps", "2"]) == 0
    assert "What trained the model is not known" in capsys.readouterr().err
    model = core.load_model(judged, "cpu")
    assert model.match is not None and (model.generator.graph == core.load_model(imported, "cpu").generator.graph).all()
    train = ["train", *pairs, "--from", str(imported), "--out", str(tmp_path / "run")]
    assert (
        main(train) == 2 and "whose networks can learn" in capsys.readouterr().err and not (tmp_path / "run").exists()
    )
    assert main(["export", str(imported), str(tmp_path / "again.onnx")]) == 2
    assert "imported as an ONNX graph" in capsys.readouterr().err
    assert main(["train", *pairs, "--method", "onnx", "--out", str(tmp_path / "run")]) == 2


@pytest.mark.parametrize(
    ("pre", "post", "before", "after"),
    [
        ([], [], lambda x: x, lambda y: y),
        (
            [{"id": "scale_linear", "kwargs": {"gain": 0.001, "offset": -1.0}}],
            [{"id": "clip", "kwargs": {"min": -1.0, "max": 2.0}}],
            lambda x: x * 0.001 - 1,
            lambda y: np.clip(y, -1, 2),
        ),
        (
            [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 800.0, "std": 300.0}}],
            [{"id": "binarize", "kwargs": {"threshold": 0.5}}],
            lambda x: (x - 800) / 300,
            lambda y: (y > 0.5) * 1.0,
        ),
        (
            [{"id": "scale_range", "kwargs": {"min_percentile": 2.0, "max_percentile": 98.0, "axes": ["y", "x"]}}],
            [],
            lambda x: (x - np.percentile(x, 2)) / (np.percentile(x, 98) - np.percentile(x, 2)),
            lambda y: y,
        ),
    ],
)
def test_what_is_done_before_and_after_is_done(pre, post, before, after, tmp_path) -> None:
    """Each step that is known, as the zoo's programs do it; the package's own output would tell otherwise."""
    image = blobs((64, 80), 3)[0].astype(np.float64)
    session = onnxruntime.InferenceSession(graph(conv()))
    found = after(session.run(None, {"x": before(image)[None, None].astype(np.float32)})[0]).astype(np.float32)
    path = package(tmp_path / "p.zip", parts={"out.npy": npy(found)}, pre=pre, post=post)
    assert main(["import", str(path), "--out", str(tmp_path / "m.safetensors")]) == 0
    made = core.load_model(tmp_path / "m.safetensors", "cpu").predict(image.astype(np.float32))
    np.testing.assert_allclose(made, found[0, 0], rtol=0, atol=2e-4 * max(1, np.ptp(found)))


def test_a_sigmoid_of_large_values_ends_at_0_and_1() -> None:
    """Without an overflow on the way there."""
    values = np.array([[-200, 0, 200]], np.float32)
    assert processed(values, [Processing(kind="sigmoid")]).tolist() == [[pytest.approx(0, abs=1e-80), 0.5, 1]]


def test_without_a_halo_it_sees_whole_images(tmp_path, capsys) -> None:
    """Tiles are then refused, since nobody says how far it reaches."""
    path, out = package(tmp_path / "p.zip", halo=0), tmp_path / "m.safetensors"
    assert main(["import", str(path), "--out", str(out)]) == 0 and "in one piece" in capsys.readouterr().out
    with pytest.raises(ValueError, match="names no halo"):
        core.load_model(out, "cpu").predict(blobs()[0], tile_size=32)


PADDED = """
  p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
  k = Constant <value = float[1, 1, 2, 2] {1, 2, 3, 4}> ()
  u = ConvTranspose <strides = [2, 2]> (p, k)
  whole = Shape (x)
  half = Shape (u)
  after = Sub (whole, half)
  before = Constant <value_ints = [0, 0, 0, 0]> ()
  pads = Concat <axis = 0> (before, after)
  v = Pad (u, pads)
  y = Add (x, v)
"""
NORMED = """
  groups = Constant <value_ints = [0, 1, -1]> ()
  flat = Reshape (x, groups)
  gain = Constant <value_floats = [1.0]> ()
  bias = Constant <value_floats = [0.0]> ()
  normal = InstanceNormalization (flat, gain, bias)
  whole = Shape (x)
  y = Reshape (normal, whole)
"""


FAINT = PADDED.replace("{1, 2, 3, 4}", "{0.001, 0.002, 0.003, 0.004}")
"""Of which tiles are near enough wherever they begin, and the same on a grid of two alone."""


@pytest.mark.parametrize(
    ("lines", "shape", "grid"),
    [(PADDED, (64, 80), 2), (FAINT, (64, 80), 2), (NORMED, (64, 80), 1), (PADDED, (65, 81), 1)],
)
def test_tiles_begin_where_they_give_what_the_whole_gives(
    lines: str, shape: tuple[int, int], grid: int, tmp_path
) -> None:
    """A network that pads to the size of its skips takes any side, and still halves from a tile's first pixel on.

    With a norm that looks at the image no tile does, whatever halo it tells. Where its own test image, mirrored up to
    where tiles begin, is not what the package says, images are seen whole, and nothing is mirrored.
    """
    text = f'<ir_version: 9, opset_import: ["": 16]> g (float[n, 1, h, w] x) => (float[n, 1, a, b] y) {{{lines}}}'
    content = onnx.parser.parse_model(text).SerializeToString()
    session, image = onnxruntime.InferenceSession(content), blobs(shape, 3)[0].astype(np.float32)
    made = session.run(None, {"x": image[None, None]})[0]

    def any_side(told: dict) -> None:
        for axis in told["inputs"][0]["axes"][2:]:
            axis["size"] = {"min": 33, "step": 1}

    parts = {"in.npy": npy(image[None, None]), "out.npy": npy(made)}
    path, out = (
        package(tmp_path / "p.zip", content, parts, any_side, pre=[], post=[]),
        tmp_path / "m.safetensors",
    )
    assert main(["import", str(path), "--out", str(out)]) == 0
    model, other = core.load_model(out, "cpu"), blobs((131, 97), 8)[0].astype(np.float32)
    np.testing.assert_allclose(model.predict(image), made[0, 0], rtol=1e-4, atol=1e-2)
    whole, last = model.predict(other), -1 if grid > 1 else None  # beyond which ours mirrors, to begin tiles
    there = session.run(None, {"x": other[None, None]})[0][0, 0]
    np.testing.assert_allclose(whole[:last, :last], there[:last, :last], rtol=1e-4, atol=1e-2)
    assert model.generator.grid == (grid, grid) and model.tileable == (grid > 1)
    if model.tileable:
        assert "as near as its file's halo lets, reads" in model_text(model)
        np.testing.assert_allclose(model.predict(other, tile_size=33), whole, rtol=1e-5, atol=1e-2)


def refused(path: Path, capsys) -> str:
    """The sentence that a package is refused with; nothing is written, in its folder or above."""
    before = sorted(path.parent.parent.rglob("*"))
    assert main(["import", str(path), "--out", str(path.parent / "m.safetensors")]) == 2
    assert sorted(path.parent.parent.rglob("*")) == before
    told = capsys.readouterr().err
    assert len(told.strip().splitlines()) == 1
    return told


def made_of(*nodes, **how) -> bytes:
    return graph([HELPER.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes], **how)


def big(shape: list[int], kind=onnx.TensorProto.INT64) -> list:
    return [HELPER.make_tensor("s", kind, [len(shape)], shape)]


def external() -> bytes:
    tensor = onnx.numpy_helper.from_array(KERNEL, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret.bin")
    return graph(conv(), weights=[tensor])


def lying() -> bytes:
    tensor = onnx.numpy_helper.from_array(KERNEL, "w")
    tensor.dims[:] = [2**20, 2**20, 3, 3]
    return graph(conv(), weights=[tensor])


def looped() -> bytes:
    body = HELPER.make_graph([], "b", [], [])
    return graph([HELPER.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)])


def doubled() -> bytes:
    """Of a size that depends on the image, twice and twice again."""
    concat = [("Concat", [f"d{i}", f"d{i}"], [f"d{i + 1}"], {"axis": 1}) for i in range(30)]
    return made_of(
        ("NonZero", ["x"], ["i"]),
        ("Cast", ["i"], ["d0"], {"to": FLOAT}),
        *concat,
        ("ReduceMean", ["d30"], ["r"], {"keepdims": 0}),
        ("Add", ["x", "r"], ["y"]),
    )


def held_at_once() -> bytes:
    """Many tensors, none of which is too large by itself."""
    add = [("Add", ["t", f"k{i}"], [f"b{i}"]) for i in range(64)]
    numbers = [onnx.numpy_helper.from_array(np.float32(i), f"k{i}") for i in range(64)]
    return made_of(
        ("Tile", ["x", "n"], ["t"]),
        *add,
        ("Sum", [f"b{i}" for i in range(64)], ["s"]),
        ("ReduceMean", ["s"], ["r"], {"keepdims": 0}),
        ("Add", ["x", "r"], ["y"]),
        weights=[onnx.numpy_helper.from_array(np.array([1, 1, 169, 170]), "n"), *numbers],
    )


def squared() -> bytes:
    """Each pixel with each: little of the smallest image, and far more of the package's own."""
    grown = [("Add", [f"m{i}", "p"], [f"m{i + 1}"]) for i in range(7)]
    shapes = {"p": [-1, 1], "q": [1, -1]}
    held = [onnx.numpy_helper.from_array(np.array(shape), f"{name}s") for name, shape in shapes.items()]
    return made_of(
        ("Reshape", ["x", "ps"], ["p"]),
        ("Reshape", ["x", "qs"], ["q"]),
        ("MatMul", ["p", "q"], ["m0"]),
        *grown,
        ("ReduceMean", ["m7"], ["r"], {"keepdims": 0}),
        ("Add", ["x", "r"], ["y"]),
        weights=held,
    )


def sparse() -> bytes:
    model = onnx.load_model_from_string(graph(conv()))
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "s")
    one = HELPER.make_sparse_tensor(values, onnx.numpy_helper.from_array(np.zeros(1, np.int64), "i"), [2**40])
    model.graph.sparse_initializer.append(one)
    return model.SerializeToString()


def spread() -> bytes:
    """Few numbers out, but what each pixel adds to all others is held at once."""
    noise = np.random.default_rng(0).normal(size=(1, 1, 501, 501)).astype(np.float32)  # no bomb, by its packing
    kernel = onnx.numpy_helper.from_array(noise, "w")
    return made_of(("ConvTranspose", ["x", "w"], ["y"], {"pads": [250] * 4}), weights=[kernel])


def written_out() -> bytes:
    """A text that is doubled, and doubled again: its tensor is of one element."""
    nodes = [("StringConcat", [f"s{i}", f"s{i}"], [f"s{i + 1}"]) for i in range(40)]
    text = HELPER.make_tensor("s0", onnx.TensorProto.STRING, [1], [b"a"])
    last = ("Equal", ["s40", "s40"], ["e"]), ("Cast", ["e"], ["f"], {"to": FLOAT}), ("Mul", ["x", "f"], ["y"])
    model = onnx.load_model_from_string(made_of(*nodes, *last, weights=[text]))
    model.opset_import[0].version = 20
    return model.SerializeToString()


def pairwise() -> bytes:
    """Of three matrices of all pixels by all pixels to one number: the first two make a cube."""
    nodes = ("Reshape", ["x", "s"], ["v"]), ("Transpose", ["v"], ["t"]), ("MatMul", ["t", "v"], ["q"])
    cube = "Einsum", ["q", "q", "q"], ["r"], {"equation": "ab,ac,bc->"}
    return made_of(*nodes, cube, ("Add", ["x", "r"], ["y"]), weights=big([1, -1]))


GRAPHS = {
    "of an image of [1, 1, 48, 48], which no memory": spread,
    "makes text, of a length": written_out,
    "tensors within, of sizes that it does not tell (Einsum)": pairwise,
    "an operator of its own, evil.Run": lambda: made_of(("Run", ["x"], ["y"], {"domain": "evil"}), opsets=("", "evil")),
    "weights in another file": external,
    "larger than what is there": lying,
    "loops or branches": looped,
    "functions of its own": lambda: graph(
        conv(), functions=[HELPER.make_function("", "f", ["a"], ["b"], [], [HELPER.make_opsetid("", 17)])]
    ),
    "which no memory is to hold": lambda: made_of(
        ("ConstantOfShape", ["s"], ["b"]),
        ("ReduceSum", ["b"], ["r"], {"keepdims": 0}),
        ("Add", ["x", "r"], ["y"]),
        weights=big([10**12]),
    ),
    "not known beforehand": lambda: made_of(
        ("ReduceSum", ["x"], ["r"], {"keepdims": 0}),
        ("Cast", ["r"], ["i"], {"to": onnx.TensorProto.INT64}),
        ("Reshape", ["i", "s"], ["l"]),
        ("ConstantOfShape", ["l"], ["b"]),
        ("ReduceSum", ["b"], ["q"], {"keepdims": 0}),
        ("Add", ["x", "q"], ["y"]),
        weights=big([1]),
    ),
    "not known beforehand (NonZero)": doubled,
    "bytes of an image of [1, 1, 48, 48], which no": held_at_once,
    "bytes of an image of [1, 1, 64, 80], which no": squared,
    "sparse weights": sparse,
    "takes images of": lambda: graph(conv(), sizes=(1, 1, 64, 64)),
    "cannot be read": lambda: b"\x08\x09nonsense",
    "contradicts itself": lambda: made_of(("Concat", ["x"], ["y"], {"axis": 9})),
    "cannot be run on": lambda: graph(
        conv(), weights=[onnx.numpy_helper.from_array(np.zeros((1, 7, 3, 3), np.float32), "w")]
    ),
}


@pytest.mark.parametrize("sentence", GRAPHS)
def test_a_graph_that_could_do_harm_is_refused(sentence: str, tmp_path, capsys) -> None:
    """In a package; and in a model's file, which others could write."""
    (tmp_path / "in").mkdir()
    content = GRAPHS[sentence]()
    assert sentence in refused(package(tmp_path / "in" / "p.zip", content), capsys)


def test_a_graph_in_a_model_file_is_looked_at_before_it_runs(imported: Path, tmp_path) -> None:
    """The file of ours may be a stranger's, too."""
    model, content = core.load_model(imported, "cpu"), external()
    model.generator.graph = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    facts = model.config.graph.model_copy(update={"n_bytes": len(content)})
    model.config = model.config.model_copy(update={"graph": facts})
    model.save(tmp_path / "evil.safetensors")
    with pytest.raises(ValueError, match="weights in another file"):
        core.load_model(tmp_path / "evil.safetensors", "cpu").predict(blobs()[0])


def set_at(*keys, value):
    def change(told: dict) -> None:
        for key in keys[:-1]:
            told = told[key]
        told[keys[-1]] = value

    return change


CODE = b"import pathlib; pathlib.Path('ran').touch()\n"
STATE = {
    "pytorch_state_dict": {
        "source": "net.onnx",
        "architecture": {
            "source": "code.py",
            "callable": "UNet",
            "kwargs": {},
            "sha256": hashlib.sha256(CODE).hexdigest(),
        },
        "pytorch_version": "2.5.0",
    }
}
PACKAGES = {
    "leads out of it": {"parts": {"../../out.txt": b"me"}},
    "leads out of it, '/etc": {"parts": {"/etc/x": b"me"}},
    "its SHA-256 is another": {"said": set_at("weights", "onnx", "sha256", value="0" * 64)},
    "as no model does": {"content": b"\0" * 2**22},
    "that is not in it": {"said": set_at("weights", "onnx", "source", value="gone.onnx")},
    "nothing is fetched": {"said": set_at("weights", "onnx", "source", value="https://example.com/net.onnx")},
    "pytorch_state_dict, of which none is run": {**STATE, "parts": {"code.py": CODE}},
    "something else than it says": {
        "parts": {"out.npy": npy(np.arange(64 * 80, dtype=np.float32).reshape(1, 1, 64, 80))}
    },
    "holds no array of numbers": {"parts": {"in.npy": npy(np.zeros(3))[:-24].replace(b"(3,)", b"(9999999999,)")}},
    "which is not known here": {"post": [{"id": "scale_mean_variance", "kwargs": {"reference_tensor": "raw"}}]},
    "its size along y is fixed (64)": {"said": set_at("inputs", 0, "axes", 2, "size", value=64)},
    "describes no model": {"said": set_at("type", value="dataset")},
    "is not as the zoo's are": {"said": set_at("name", value=3)},
    "cannot be read": {"parts": {"rdf.yaml": b"a: 'b"}},
    "lists within lists, more than 50 deep": {"parts": {"rdf.yaml": b"a: " + b"[" * 200_000}},
    "more than 262,144": {"parts": {"rdf.yaml": b"type: model\n" + b"".join(b"k%d: 1\n" % i for i in range(40_000))}},
    "says of its sizes cannot be": {
        "said": set_at("inputs", 0, "axes", 2, "size", value={"min": 10**12, "step": 1}),
    },
    "asks for custom, which": {
        "parts": {"code.py": CODE},
        "post": [{"id": "custom", "callable": "UNet", "source": "code.py", "kwargs": {}}],
    },
    "repeats parts of itself": {
        "parts": {
            "rdf.yaml": b"a0: &a0 [a]\n"
            + b"".join(b"a%d: &a%d [%b]\n" % (i, i, b"*a%d," % (i - 1) * 9) for i in range(1, 30))
        }
    },
    "within it, by the YAML alias *a": {"parts": {"rdf.yaml": b"type: model\na: &a [1]\nb: &a [2, [*a]]\n"}},
}


def test_a_description_that_repeats_a_part_by_an_alias_is_read(tmp_path) -> None:
    """As programs write lists that they hold twice; merged mappings, too."""

    def repeated(told: dict) -> None:
        told["packaged_by"] = told["authors"]
        told["authors"].append({"name": "A. Nother", "affiliation": "There"})
        told["inputs"][0]["axes"][3]["size"] = told["inputs"][0]["axes"][2]["size"]

    path = package(tmp_path / "p.zip", said=repeated)
    with zipfile.ZipFile(path) as made:
        assert b": *id" in made.read("rdf.yaml")
    assert main(["import", str(path), "--out", str(tmp_path / "m.safetensors")]) == 0


def test_lists_within_lists_by_aliases_are_told(tmp_path, capsys) -> None:
    """Each within the next, of which none is deep as it is written."""
    (path := tmp_path / "in" / "p.zip").parent.mkdir()
    text = "\n".join(["    a0: &a0 [1]", *(f"    a{i}: &a{i} [*a{i - 1}]" for i in range(1, 600))])
    package(path)
    with zipfile.ZipFile(path) as made:
        told = made.read("rdf.yaml").decode()
    package(path, parts={"rdf.yaml": f"{told}config:\n  other:\n{text}\n".encode()})
    assert "p.zip is not: its rdf.yaml" in refused(path, capsys)


@pytest.mark.parametrize("sentence", PACKAGES)
def test_a_package_that_could_do_harm_is_refused(sentence: str, tmp_path, monkeypatch, capsys) -> None:
    """Paths, bombs, other files than told, code, what it would fetch, what it says wrongly: one sentence, no file."""
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(package(tmp_path / "in" / "p.zip", **PACKAGES[sentence]), capsys)
    assert not Path("ran").exists()


def test_two_files_of_one_name_are_refused(tmp_path, capsys) -> None:
    """Programs read one or the other: what was looked at would not be what runs."""
    (path := tmp_path / "in" / "p.zip").parent.mkdir()
    with zipfile.ZipFile(package(path), "a") as made, pytest.warns(UserWarning, match="Duplicate"):
        made.writestr("net.onnx", b"another")
    assert "two files of one name, 'net.onnx'" in refused(path, capsys)


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["rdf.yaml", "in.npy", "net.onnx"])
def test_a_damaged_file_in_a_package_is_told(how: int, name: str, tmp_path, capsys) -> None:
    """However it is packed."""
    (path := tmp_path / "in" / "p.zip").parent.mkdir()
    with zipfile.ZipFile(package(tmp_path / "whole.zip")) as whole, zipfile.ZipFile(path, "w", how) as made:
        for one in whole.namelist():
            made.writestr(one, whole.read(one))
    content, file = bytearray(path.read_bytes()), zipfile.ZipFile(path).getinfo(name)
    start = file.header_offset + 30 + len(name) + (9 if how == zipfile.ZIP_LZMA else 0)
    for i in range(start, start + min(50, file.compress_size - 9)):
        content[i] ^= 0xFF
    path.write_bytes(content)
    assert f"'{name}' cannot be unpacked" in refused(path, capsys)


def test_what_is_no_package_is_told(tmp_path, monkeypatch, capsys) -> None:
    """No zip, no description, too many files, another kind of file, flags of another kind."""
    (path := tmp_path / "in" / "p.zip").parent.mkdir()
    path.write_bytes(b"no zip")
    assert "it is no zip" in refused(path, capsys)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a", b"a")
    assert "holds no rdf.yaml" in refused(path, capsys)
    monkeypatch.setattr(archive, "MOST_FILES", 0)
    assert "it holds 1 files" in refused(path, capsys)
    monkeypatch.undo()
    (other := path.with_suffix(".onnx")).write_bytes(graph(conv()))
    assert "must say what its values mean" in refused(other, capsys)
    other.write_bytes(b"\x08\x09nonsense")
    assert "is no ONNX" in refused(other, capsys)
    assert main(["import", str(path), "--out", str(tmp_path / "m.safetensors"), "--dropout", "0.5"]) == 2
    assert "alone; p.zip says its own" in capsys.readouterr().err
