"""Nothing that a model file says is believed: each lie is one sentence, told before memory is taken, or harmless."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_pix2pix import core
from napari_pix2pix.core.engine.tensor_files import read_tensors, write_tensors
from napari_pix2pix.report.card import model_text
from napari_pix2pix.widgets.card import read_card

MODELS = Path(__file__).parents[2] / "fixtures" / "models_v1"
HUGE = 10**40

LIES: list[tuple[str, Any]] = [
    ("config", None),
    ("config", []),
    ("config", "paper"),
    ("config.steps", float("nan")),
    ("config.steps", HUGE),
    ("config.batch_size", -1),
    ("config.l1_weight", float("inf")),
    ("config.generator", None),
    ("config.generator.levels", 99),
    ("config.generator.base_channels", HUGE),
    ("config.discriminator.layers", [[4, 2, 1]] * 10_000),
    ("config.discriminator.layers", "4,2,1 " * 10_000),
    ("config.discriminator.layers", "8,8,0 " * 12),
    ("config.discriminator.layers", "4,2,9"),
    ("config.authors", {"name": "x"}),
    ("config.unheard_of", 1),
    ("source_encoding", None),
    ("source_encoding.n_channels", -1),
    ("source_encoding.n_channels", 0),
    ("source_encoding.n_channels", HUGE),
    ("source_encoding.n_channels", "many"),
    ("source_encoding.dtype", "object"),
    ("source_encoding.dtype", "(1000000,)f8"),
    ("source_encoding.normalization", None),
    ("source_encoding.normalization.low", []),
    ("source_encoding.normalization.low", [float("nan")]),
    ("source_encoding.normalization.high", [-1e9]),
    ("source_encoding.normalization.limit", 0),
    ("target_encoding.kind", "stains"),
    ("target_encoding.classes", [HUGE]),
    ("target_encoding.classes", []),
    ("source_view.channels", [-1]),
    ("source_view.names", [1]),
    ("source_view.z", "time"),
    ("channel_axis", "Q"),
    ("provenance", []),
    ("provenance", None),
    ("provenance.pairs", None),
    ("provenance.pairs.train", "all"),
    ("provenance.pairs.train.sources", [{}]),
    ("provenance.pairs.train.pixel_size_um", {"X": "small"}),
    ("provenance.regions", None),
    ("provenance.regions", [{"kind": "train"}]),
    ("provenance.figures", {"validation": {"mae": "low"}}),
    ("provenance.step", "last"),
    ("provenance.versions", {"torch": 2}),
    ("provenance.trust", "much"),
    ("provenance.split", {"train": -1}),
    ("trust", []),
    ("trust.calibrated", "yes"),
]


def changed(content: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with this value at this place."""
    copy = json.loads(json.dumps(content))
    *outer, last = place.split(".")
    inside = copy
    for name in outer:
        inside = inside[name]
    inside[last] = value
    return copy


@pytest.fixture(scope="module")
def told() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors, in the present names, and content of a model that is taught."""
    model = core.load_model(MODELS / "classes.safetensors", "cpu")
    return model.tensors(), model.content()


@pytest.mark.parametrize(("place", "lie"), LIES)
def test_a_lie_is_a_sentence(told, place: str, lie: Any, tmp_path) -> None:
    """Wrong types, counts, names and numbers, told by the place where they stand; the docks' card says the same."""
    path = tmp_path / "model.safetensors"
    write_tensors(path, told[0], changed(told[1], place, lie))
    for read in (lambda: core.load_model(path, "cpu"), lambda: read_card(path)):
        with pytest.raises(ValueError, match=r"^A model must ") as found:
            read()
        said = str(found.value)
        assert len(said) < 500
        assert "\n" not in said


@pytest.mark.parametrize("name", ["config", "source_encoding", "source_view", "channel_axis", "provenance"])
def test_what_is_missing_is_named(told, name: str, tmp_path) -> None:
    """Each part of the content must be there."""
    write_tensors(tmp_path / "m.safetensors", told[0], {key: part for key, part in told[1].items() if key != name})
    with pytest.raises(ValueError, match=f"{name}: field required"):
        core.load_model(tmp_path / "m.safetensors", "cpu")


@pytest.mark.parametrize(
    "provenance",
    [{}, {"trust": {"not_taught": "no room"}}, {"figures": {"test": {"mae": float("nan")}}}, {"weather": [None, {}]}],
)
def test_whatever_loads_has_a_card(told, provenance: dict[str, Any], tmp_path) -> None:
    """Little is known of where a model came from, or much that is not understood: both cards are written."""
    write_tensors(tmp_path / "m.safetensors", told[0], {**told[1], "provenance": provenance})
    assert "sha256" in model_text(core.load_model(tmp_path / "m.safetensors", "cpu"))
    assert "steps" in read_card(tmp_path / "m.safetensors").text


def raw(path: Path, header: bytes, tail: bytes = b"", length: int | None = None) -> None:
    """A file of the safetensors format, byte by byte."""
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + tail)


def test_a_header_is_believed_against_the_file_only(tmp_path) -> None:
    """Lengths beyond the file, depths beyond use, shapes without bytes, numbers beyond counting: a sentence each."""
    path = tmp_path / "model.safetensors"
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    headers = [
        (b"{}", b"", 2**63),
        (b"{}", b"", 0),
        (b"\xff\xfe", b"", None),
        (deep.encode(), b"", None),
        (json.dumps({"__metadata__": {"napari_pix2pix": deep}}).encode(), b"", None),
        (json.dumps({"__metadata__": {"napari_pix2pix": "9" * 5000}}).encode(), b"", None),
        (json.dumps({"a": tensor}).encode(), b"1234", None),
        (json.dumps({"a": tensor | {"shape": [2**62]}}).encode(), b"12345678", None),
        (json.dumps({"a": tensor | {"shape": [-2]}}).encode(), b"12345678", None),
        (json.dumps({"a": tensor | {"dtype": "F9"}}).encode(), b"12345678", None),
        (json.dumps({"a": None}).encode(), b"", None),
        (json.dumps({"__metadata__": {"napari_pix2pix": '{"format_version": true}'}}).encode(), b"", None),
        (json.dumps({"__metadata__": {"napari_pix2pix": '{"format_version": 2}'}}).encode(), b"", None),
    ]
    for header in headers:
        raw(path, *header)
        with pytest.raises(ValueError, match=r"^A model must ") as found:
            core.load_model(path, "cpu")
        assert len(str(found.value)) < 500


def test_one_bit_and_one_nan_are_found(told, tmp_path) -> None:
    """A byte that changed on the disk is told by the hash; weights that are not finite, in every format."""
    path = tmp_path / "model.safetensors"
    write_tensors(path, *told)
    whole = bytearray(path.read_bytes())
    whole[-100] ^= 16
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="is damaged"):
        core.load_model(path, "cpu")
    name = next(name for name in told[0] if name.startswith("networks.generator") and name.endswith("weight"))
    broken = told[0][name].clone()
    broken.view(-1)[0] = torch.inf
    write_tensors(path, {**told[0], name: broken}, told[1])
    with pytest.raises(ValueError, match="those of the generator hold NaN or Inf"):
        core.load_model(path, "cpu")


def test_shapes_are_compared_before_memory_is_taken(told, tmp_path, monkeypatch) -> None:
    """A config of wide networks in a small file is refused without a tensor being read."""
    path = tmp_path / "bomb.safetensors"
    write_tensors(path, told[0], changed(told[1], "config.generator.base_channels", 1000))
    monkeypatch.setattr("napari_pix2pix.core.models.file.tensors_of", lambda _: pytest.fail("read"))
    with pytest.raises(ValueError, match="weights of a model must fit its config; those of the generator do not"):
        core.load_model(path, "cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("curve", torch.zeros(3)),
        ("curve", torch.full((2, 4), torch.nan)),
        ("novelty.blocks", torch.zeros(0)),
        ("novelty.scale", torch.zeros(2, 1)),
        ("novelty.limit", torch.tensor([1.0, 2.0])),
        ("calibration.counts", torch.tensor([-1])),
        ("calibration.counts", torch.tensor(3)),
        ("calibration.factors", torch.zeros(3)),
        ("calibration.real", torch.tensor([torch.nan])),
    ],
)
def test_what_judges_is_looked_at_too(told, name: str, value: torch.Tensor, tmp_path) -> None:
    """The numbers beside the judge's weights must be of the shapes and signs that they are written in."""
    path = tmp_path / "m.safetensors"
    content = told[1]
    if not content["trust"]["calibrated"] and name.startswith("calibration"):
        content = changed(content, "trust.calibrated", True)
    write_tensors(path, {**told[0], f"trust.{name}": value}, content)
    with pytest.raises(ValueError, match=r"must hold"):
        core.load_model(path, "cpu")
    assert read_tensors(path)[1] == content
