"""Networks that are compiled for their steps learn what they learn without, and leave no trace of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_pix2pix import core
from napari_pix2pix.core.engine import compiling
from napari_pix2pix.core.engine.tensor_files import read_tensors
from small import blobs, small_config

PAIRS = core.PairedFrames(*blobs(), "YX")
TRACED = {"dynamic": False, "backend": "aot_eager"}
"""As what is compiled, but for the C++: forward and backward pass are traced, and run as they were traced."""
pytestmark = pytest.mark.filterwarnings(
    "ignore:No room for",
    "ignore:Every validation prediction",
    "ignore:The .grad attribute",  # torch looks for it while it traces, and is silent but where warnings are errors
)


def trained(out: Path, steps: int = 6, **changes) -> dict[str, torch.Tensor]:
    """What the checkpoint holds after so many of 6 steps in two processes at most, one after another."""
    config = small_config(precision="float32", **changes)
    for _ in range(2):
        for report in core.train(PAIRS, config, out=out, resume=(out / "config.json").exists(), device="cpu"):
            if report.step == steps:
                break
        steps = 6
        torch._dynamo.reset()
    return read_tensors(out / "checkpoint.safetensors")[0]


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.slow
def test_compiled_it_learns_the_same_under_the_same_names(tmp_path, monkeypatch) -> None:
    """Dropout drops the same; a resumed run is the same bit for bit, and nothing else is in its folder."""
    monkeypatch.setattr(compiling, "HOW", TRACED)
    plain = trained(tmp_path / "plain")
    compiled = trained(tmp_path / "compiled", compile=True)
    same(compiled, plain, 1e-4)
    same(trained(tmp_path / "resumed", 3, compile=True), compiled, 0)
    names = [sorted(path.name for path in (tmp_path / run).iterdir()) for run in ("plain", "compiled")]
    assert names[0] == names[1]
    assert '"compile": true' in (tmp_path / "compiled" / "config.json").read_text()
    models = [core.load_model(tmp_path / run / "model.safetensors", "cpu") for run in ("plain", "compiled")]
    images = [model.predict(PAIRS.sources[0], axes="YX") for model in models]
    assert (images[0] == images[1]).mean() > 0.99


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of what its compiler imports
def test_compiled_to_machine_code_it_learns_the_same(tmp_path) -> None:
    """By the C++ compiler, which takes a minute or two."""
    same(trained(tmp_path / "compiled", compile=True), trained(tmp_path / "plain"), 1e-3)


def test_without_a_compiler_a_sentence_says_what_to_do(tmp_path, monkeypatch) -> None:
    """Before anything is written."""

    def fails(*_, **__):
        raise RuntimeError("C++ compiler is not found.\nTraceback")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(ValueError, match=r"must have a C\+\+ compiler .* is not found. Install .* `compile` false"):
        core.train(PAIRS, small_config(compile=True), out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_compiled_is_refused() -> None:
    """Networks that grow, and several processes."""
    with pytest.raises(ValueError, match="compile must be false where networks grow"):
        core.make_config(changes={"method": "gan", "compile": True})
    config = small_config(compile=True)
    with pytest.raises(ValueError, match=r"must run in one process; got 2. Set `compile` false"):
        core.train(PAIRS, config, out=Path("nowhere"), device="cpu", devices=2)
