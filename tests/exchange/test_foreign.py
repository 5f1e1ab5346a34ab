"""Packages as other programs write them predict what the zoo's own runner predicts, or one sentence says why not."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.exchange.package import read_package
from small import blobs

if any(find_spec(name) is None for name in ("bioimageio", "onnx", "onnxruntime", "yaml")):
    pytest.skip("pip install '.[export]'", allow_module_level=True)
onnx, yaml = needed("onnx", "yaml")
HELPER, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
SIDE, HALO = {"min": 48, "step": 16}, 16
Description = dict[str, Any]


def network(seen: int, made: int, *, opset: int = 17, last: bool = False, sides: tuple = ("h", "w")) -> bytes:
    """A convolution of 3 x 3; `last`: channels are the last axis."""
    kernel = np.random.default_rng(0).normal(0, 0.4, (made, seen, 3, 3)).astype(np.float32)
    conv = HELPER.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    nodes = [conv]
    if last:
        conv.input[0], conv.output[0] = "a", "b"
        to, back = ((["x"], ["a"], [0, 3, 1, 2]), (["b"], ["y"], [0, 2, 3, 1]))
        nodes = [HELPER.make_node("Transpose", *to[:2], perm=to[2]), conv]
        nodes.append(HELPER.make_node("Transpose", *back[:2], perm=back[2]))
    shapes = [["n", *sides, n] if last else ["n", n, *sides] for n in (seen, made)]
    ends = [HELPER.make_tensor_value_info(name, FLOAT, shape) for name, shape in zip("xy", shapes, strict=True)]
    graph = HELPER.make_graph(nodes, "g", ends[:1], ends[1:], [onnx.numpy_helper.from_array(kernel, "w")])
    how = {"opset_imports": [HELPER.make_opsetid("", opset)], "ir_version": 4 if opset < 10 else 9}
    return HELPER.make_model(graph, **how).SerializeToString()


def common(version: str, weights: Description | None = None) -> Description:
    return {
        **{"type": "model", "format_version": version, "name": "A foreign model", "description": "Of others"},
        **{"authors": [{"name": "A. Stranger"}], "license": "CC-BY-4.0", "documentation": "README.md"},
        "cite": [{"text": "mine", "doi": "10.1000/1"}],
        "weights": weights or {"onnx": {"source": "net.onnx", "opset_version": 17}},
    }


def of_05(
    pre=(), post=(), seen=1, made=1, dtype="float32", side=SIDE, halo=HALO, order="bcyx", more=0, **said
) -> Description:
    """A description of the specification 0.5: an axis is a mapping."""

    def axes(n: int, size: Callable[[str], Any], halo: int = 0) -> list[Description]:
        kinds = {
            "b": {"type": "batch"},
            "c": {"type": "channel", "channel_names": [f"c{i}" for i in range(n)]},
            **{a: {"type": "space", "id": a, "size": size(a), **({"halo": halo} if halo else {})} for a in "yx"},
        }
        return [kinds[letter] for letter in order]

    def follows(a: str) -> Description:
        return {"tensor_id": "raw", "axis_id": a} | ({"offset": more} if more else {})

    source = {"id": "raw", "axes": axes(seen, lambda _: side), "preprocessing": list(pre), "data": {"type": dtype}}
    target = {"id": "out", "axes": axes(made, follows, halo), "postprocessing": list(post)}
    files = ({"test_tensor": {"source": f"{name}.npy"}} for name in ("in", "out"))
    inputs, outputs = ([one | file] for one, file in zip((source, target), files, strict=True))
    return common("0.5.3", **said) | {"inputs": inputs, "outputs": outputs}


def of_04(pre=(), post=(), seen=1, made=1, dtype="float32", shape=None, halo=HALO, axes="bcyx", **said) -> Description:
    """A description of the specification 0.4: axes are letters, shapes lists along them."""

    def along(batch: float, channels: float, side: float) -> list[float]:
        return [{"b": batch, "c": channels}.get(a, side) for a in axes]

    same = float(seen == made)
    follows = {"reference_tensor": "raw", "scale": along(1, same, 1), "offset": along(0, (1 - same) * made / 2, 0)}
    steps = {"min": along(1, seen, SIDE["min"]), "step": along(0, 0, SIDE["step"])}
    source = {"name": "raw", "axes": axes, "data_type": dtype, "shape": shape or steps, "preprocessing": list(pre)}
    target = {"name": "out", "axes": axes, "data_type": "float32", "shape": shape or follows}
    target |= {"postprocessing": list(post), **({"halo": along(0, 0, halo)} if halo else {})}
    ends = {"inputs": [source], "outputs": [target], "test_inputs": ["in.npy"], "test_outputs": ["out.npy"]}
    return common("0.4.10", **said) | {"timestamp": "2022-01-01T00:00:00"} | ends


def step(name: str, **kwargs: Any) -> Description:
    return {"id": name} | ({"kwargs": kwargs} if kwargs else {})


def old_step(name: str, **kwargs: Any) -> Description:
    return {"name": name} | ({"kwargs": kwargs} if kwargs else {})


def image(channels: int, shape: tuple[int, int], seed: int, dtype: str = "float32") -> NDArray[Any]:
    """One of a batch, (1, C, Y, X)."""
    found = np.stack([blobs(shape, seed + i)[0].astype(float) * (1 + i / 3) for i in range(channels)])[None]
    return (found / found.max() * 250 if dtype == "uint8" else found).astype(dtype)


def written(path: Path, said: Description, content: bytes, seen: NDArray[Any], made: NDArray[Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, values in (("in.npy", seen), ("out.npy", made)):
            np.save(file := io.BytesIO(), values)
            package.writestr(name, file.getvalue())
        text = yaml.safe_dump(json.loads(json.dumps(said)))  # without aliases
        for name, held in (("README.md", "# mine"), ("net.onnx", content), ("rdf.yaml", text)):
            package.writestr(name, held)
    return path


def theirs(path: Path, *images: NDArray[Any]) -> list[NDArray[Any]]:
    """What the zoo's own runner makes of them, as its tests do."""
    core, spec, samples = needed("bioimageio.core", "bioimageio.spec", "bioimageio.core.digest_spec")
    with zipfile.ZipFile(path) as package:  # the zoo's packages leave a zip open
        package.extractall(folder := path.parent / "unpacked")
    made = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the zoo's packages, about their own parts
        model = spec.load_model_description(folder / "rdf.yaml", format_version="discover")
        for seen in images:  # each as the first: of all axes, it goes on with the statistics of those before
            run = core.create_prediction_pipeline(model, weight_format="onnx", devices=["cpu"])
            sample = samples.create_sample_for_model(model, inputs={"raw": seen}, sample_id="s")
            whole = {"skip_input_padding": True, "skip_output_cropping": True}
            (found,) = run.predict_sample_without_blocking(sample, **whole).members.values()
            made.append(np.asarray(found.data))
    return made


YX = {"axes": ["y", "x"]}
FLOATS = step("ensure_dtype", dtype="float32")
TAKEN = {
    "0.5, as it is": of_05(),
    "0.5, mean and deviation": of_05([step("zero_mean_unit_variance", **YX, eps=0.1)]),
    "0.5, of all axes": of_05([step("zero_mean_unit_variance")]),
    "0.5, of a batch": of_05([step("zero_mean_unit_variance", axes=["batch", "y", "x"])]),
    "0.5, of each colour": of_05([step("zero_mean_unit_variance", **YX)], seen=3),
    "0.5, fixed, of each colour": of_05(
        [step("fixed_zero_mean_unit_variance", axis="channel", mean=[500, 400, 300], std=[200, 100, 50])], seen=3
    ),
    "0.5, percentiles of itself": of_05(
        [
            step("scale_range", **YX, min_percentile=1, max_percentile=99.8, reference_tensor="raw"),
            step("clip", min=0, max=1),
        ]
    ),
    "0.5, linear, softmax": of_05(
        [step("scale_linear", axis="channel", gain=[0.01, 0.02], offset=[-1, -2])],
        [step("softmax", axis="channel")],
        seen=2,
        made=3,
    ),
    "0.5, 8 bit, true or false": of_05(
        [step("ensure_dtype", dtype="uint8"), FLOATS, step("scale_linear", gain=1 / 255, offset=-0.4), FLOATS],
        [step("sigmoid"), step("binarize", threshold=0.5)],
        dtype="uint8",
    ),
    "0.4, as it is, to three": of_04(made=3),
    "0.4, without a halo": of_04(halo=0),
    "0.4, per sample": of_04([old_step("zero_mean_unit_variance", mode="per_sample", axes="cyx")], dtype="uint16"),
    "0.4, fixed": of_04([old_step("zero_mean_unit_variance", mode="fixed", axes="yx", mean=[500.0], std=[200.0])]),
    "0.4, percentiles": of_04(
        [old_step("scale_range", mode="per_sample", axes="yx", min_percentile=1, max_percentile=99.8)],
        [old_step("sigmoid"), old_step("binarize", threshold=0.5)],
    ),
    "0.4, linear, clipped": of_04([old_step("scale_linear", gain=0.01, offset=-1.0), old_step("clip", min=-1, max=3)]),
}


@pytest.mark.parametrize("form", TAKEN)
def test_it_predicts_what_the_zoos_own_runner_predicts(form: str, tmp_path) -> None:
    """Of the package's image and of another, of another size."""
    said, old = TAKEN[form], form.startswith("0.4")
    source = said["inputs"][0]
    dtype = source["data_type"] if old else source["data"]["type"]
    seen = 3 if "colour" in form else 2 if "softmax" in form else 1
    made = 3 if "three" in form or "softmax" in form else 1
    content, other = network(seen, made), image(seen, (96, 64), 9, dtype)
    guess = np.random.default_rng(1).normal(0, 1e6, (1, made, 64, 80)).astype(np.float32)
    path = written(tmp_path / "p.zip", said, content, (own := image(seen, (64, 80), 3, dtype)), guess)
    true, expected = (found.astype(np.float32) for found in theirs(path, own, other))
    written(path, said, content, own, true if "true or false" not in form else true.astype(bool))
    model = read_package(path)
    found = model.predict_frame(other[0], "float32")
    assert model.tileable == ("without a halo" not in form)
    np.testing.assert_allclose(found.reshape(expected[0].shape), expected[0], rtol=0, atol=5e-5 * np.ptp(expected))


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 21, 23])
def test_old_and_new_operators_run(opset: int, tmp_path) -> None:
    """Whatever version of ONNX a program writes."""
    path, own = tmp_path / "p.zip", image(1, (64, 80), 3)
    written(path, of_05(), network(1, 1, opset=opset), own, np.full_like(own, 1e6))
    written(path, of_05(), network(1, 1, opset=opset), own, theirs(path, own)[0])
    assert read_package(path).tileable


def weights(name: str, **said: str) -> Description:
    return {"weights": {name: {"source": "net.onnx"} | said}}


TWICE = of_05()
TWICE["inputs"].append(TWICE["inputs"][0] | {"id": "two"})
OLD_RANGE = old_step("scale_range", mode="per_dataset", axes="yx", min_percentile=1, max_percentile=99.8)
REFUSED: dict[str, Description] = {
    "statistics of a data set": of_04([OLD_RANGE]),
    "over channel, x, y; must be each channel": of_05(
        [step("zero_mean_unit_variance", axes=["channel", "y", "x"])], seen=3
    ),
    "over all axes; must be each channel": of_05([step("scale_range")], seen=3),
    "by zero_mean_unit_variance after something else": of_05([step("clip", min=1), step("zero_mean_unit_variance")]),
    "by scale_range after something else": of_05(post=[step("scale_range")]),
    "asks for scale_mean_variance": of_05(post=[step("scale_mean_variance", reference_tensor="raw")]),
    "clips at percentiles": of_05([step("clip", min_percentile=1, max_percentile=99)]),
    "this one has several": of_05(post=[step("binarize", axis="channel", threshold=[0.1])]),
    "asks for softmax along y": of_05(post=[step("softmax", axis="y")]),
    "casts to uint8 in between": of_05([step("clip", min=1), step("ensure_dtype", dtype="uint8"), FLOATS]),
    "along y is fixed (64)": of_05(side=64, halo=0),
    "along y is fixed (64); must take images of any size": of_04(shape=[1, 1, 64, 80], halo=0),
    "is not as large as what it takes along y": of_05(more=-2),
    "have the axes batch, y, x, channel": of_05(order="byxc", seen=3, halo=0),
    "the axes batch, y, x, channel": of_04(axes="byxc", seen=3, halo=0),
    "it takes 2 images": TWICE,
    "torchscript, of which none is run": of_05(**weights("torchscript", pytorch_version="2.5")),
    "keras_hdf5, of which none is run": of_04(**weights("keras_hdf5")),
    "tensorflow_js, of which none is run": of_04(**weights("tensorflow_js")),
    "tensorflow_saved_model_bundle, of which": of_05(
        **weights("tensorflow_saved_model_bundle", tensorflow_version="2.4")
    ),
    "any', 1, 64, 80], not of any size": of_05(),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_it_asks_for_and_is_not_done_is_told(sentence: str, tmp_path) -> None:
    """In one sentence, that says what was found."""
    said = REFUSED[sentence]
    content = network(1, 1, sides=(64, 80) if "any'" in sentence else ("h", "w"))
    n = 3 if "channel" in sentence and "several" not in sentence else 1
    own = image(n, (64, 80), 3)
    if "batch, y, x" in sentence:
        content, own = network(3, 1, last=True), np.moveaxis(own, 1, -1)
    made = np.full((1, 64, 80, 1) if "batch, y, x" in sentence else (1, 1, 64, 80), 1e6, np.float32)
    path = written(tmp_path / "p.zip", said, content, own, made)
    with pytest.raises(ValueError) as told:
        read_package(path)
    assert sentence in str(told.value) and "\n" not in str(told.value)
    assert str(told.value).endswith(("Take another.", "nothing was written.", "from a program that you trust."))
