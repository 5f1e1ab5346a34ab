"""Pairs of several conditions: a one-hot vector in constant planes beside the source, in training and afterwards."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from napari_pix2pix import core
from napari_pix2pix.core.data.patches import MixedPatches, PairedPatches
from napari_pix2pix.core.data.split import Split
from napari_pix2pix.core.encodings.domains import Domains
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import Shapes
from small import blobs, small_config

pytestmark = pytest.mark.filterwarnings("ignore:Every validation", "ignore:No room for", "ignore:The condition of")
LABELS = ["a", "b", None, "a", "b", "a", "b", "a"]


def pairs(conditions=LABELS, **more) -> core.PairedFrames:
    """Eight, of which a target is brighter where it is of b."""
    sources = [blobs((48, 48), seed=i)[0] for i in range(len(LABELS))]
    targets = [source // 2 + 900 * (label == "b") for source, label in zip(sources, LABELS, strict=True)]
    return core.PairedFrames(sources, targets, "YX", conditions=conditions, **more)


def patches_of(frames: core.PairedFrames, dropout: float, conditions: Domains | None = None) -> PairedPatches:
    encodings = [
        fit_encoding([read(i) for i in range(len(frames))], "intensity", limit=1.0)
        for read in (frames.source, frames.target)
    ]
    known = frames.conditions if conditions is None else conditions
    return PairedPatches(frames, frames.regions(), small_config(), *encodings, known, dropout)


def trained(out, frames=None, **how) -> core.TrainedModel:
    *_, report = core.train(frames or pairs(), how.pop("config", None) or small_config(**how), out=out, device="cpu")
    return report.model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> core.TrainedModel:
    """Of a few steps."""
    return trained(tmp_path_factory.mktemp("conditions") / "run", steps=8)


def test_patches_are_those_of_the_same_pairs_without_conditions() -> None:
    """Bit for bit, whatever share forgets its class; the labels are those of the pair that a patch is of."""
    plain = patches_of(pairs(None), 0.0)
    for dropout in (0.0, 0.5):
        some = patches_of(pairs(), dropout)
        for step in range(5):
            ours, theirs = some.batch(step), plain.batch(step)
            assert set(ours) - set(theirs) == {"labels"}
            assert all((ours[name] == theirs[name]).all() for name in theirs)
            one = some.batch(step, numbers=range(1, 2))
            assert all((one[name][0] == ours[name][1]).all() for name in ours)
    labels = torch.cat([patches_of(pairs(), 0.0).batch(step)["labels"] for step in range(100)])
    for column, label in enumerate(("a", "b")):
        assert abs(float(labels[:, column].mean()) - LABELS.count(label) / len(LABELS)) < 0.1


@pytest.mark.parametrize("dropout", [0.1, 0.6])
def test_a_share_of_the_patches_forgets(dropout: float) -> None:
    """As large as it is said to be, in the long run."""
    some = patches_of(pairs(["a", "b"] * 4), dropout)
    forgotten = torch.cat([some.batch(step)["labels"].sum(1) == 0 for step in range(300)])
    assert abs(float(forgotten.float().mean()) - dropout) < 0.06


def test_without_conditions_networks_and_patches_are_as_ever() -> None:
    """No plane more, no random number more; with them a plane for each class, of several sets for each set, too."""
    config = small_config()
    for conditions, n in (({}, 0), ({"line": ("a", "b")}, 2), ({"line": ("a", "b"), "scanner": ("x", "y")}, 6)):
        torch.manual_seed(0)
        made = method_of(config).networks(config, Shapes(1, 1, conditions=Domains(sets=conditions)))
        first = {name: next(w for w in network.parameters() if w.ndim == 4) for name, network in made.items()}
        assert first["generator"].shape[1] == 1 + n and first["discriminator"].shape[1] == 2 + n
    torch.manual_seed(0)
    plain = method_of(config).networks(config, Shapes(1, 1))
    torch.manual_seed(0)
    none = method_of(config).networks(config, Shapes(1, 1, conditions=Domains()))
    for name, network in plain.items():
        assert all((a == b).all() for a, b in zip(network.parameters(), none[name].parameters(), strict=True))
    assert "labels" not in patches_of(pairs(None), 0.5).batch(0)


def test_tiles_draws_and_scores_are_exact_under_a_condition(model) -> None:
    """A constant plane does not know where it ends: whatever the tiles, the same; and each condition another."""
    source, target = (np.tile(image, (3, 3)) for image in blobs((48, 48), seed=20))
    found = {}
    for condition in ("a", "b", None):
        named = {"condition": condition, "precision": "float32"}
        whole = model.predict(source, **named)
        np.testing.assert_array_equal(whole, model.under(condition).predict(source, precision="float32"))
        for draws in (None, 2):  # the last bit of a float may turn a grey value into the next
            many = [model.predict(source, draws=draws, tile_size=size, **named).astype(int) for size in (None, 32)]
            np.testing.assert_allclose(*many, rtol=0, atol=1)
        scored = [model.score(source, target, condition=condition, tile_size=size).scores for size in (None, 32)]
        np.testing.assert_allclose(*scored, atol=1e-6)
        found[condition] = whole, scored[0]
    for one, other in (("a", "b"), ("a", None), ("b", None)):
        assert all((x != y).any() for x, y in zip(found[one], found[other], strict=True))
    for condition, whole in ((None, found[None][0]), ("a", found["a"][0])):
        np.testing.assert_array_equal(whole, model.under({"line": condition}).predict(source, precision="float32"))


def test_the_generator_and_the_discriminator_see_the_planes_they_are_said_to_see(model) -> None:
    """What is predicted and scored is what the networks give of source and planes put together by hand."""
    source, target = blobs((48, 48), seed=21)
    encoded, image = (
        torch.from_numpy(encoding.encode(values[None]))[None]
        for encoding, values in ((model.source_encoding, source), (model.target_encoding, target))
    )
    for condition, planes in (("a", (1.0, 0.0)), ("b", (0.0, 1.0)), (None, (0.0, 0.0))):
        seen = torch.cat([encoded, *(torch.full_like(encoded, value) for value in planes)], dim=1)
        with torch.inference_mode():
            maps, scores = model.networks["generator"](seen), model.networks["discriminator"](seen, image)
        expected = model.target_encoding.decode(maps[0].numpy())
        found = model.predict(source, condition=condition, precision="float32")
        assert np.abs(found.astype(float) - expected[0].astype(float)).max() <= 1
        np.testing.assert_allclose(model.score(source, target, condition=condition).scores, scores[0, 0], atol=1e-5)


def test_stopped_anywhere_and_resumed_it_ends_the_same(tmp_path) -> None:
    """Bit for bit; and from a file it predicts as it did."""
    whole = trained(tmp_path / "whole")
    for report in core.train(pairs(), small_config(), out=tmp_path / "run", device="cpu"):
        if report.step == 3:
            break
    *_, report = core.train(pairs(), out=tmp_path / "run", resume=True, device="cpu")
    ours, theirs = report.model.tensors(), whole.tensors()
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    read, source = core.load_model(tmp_path / "run" / "model.safetensors", "cpu"), blobs((48, 48), seed=9)[0]
    assert read.conditions.names == ("a", "b") and read.provenance["conditions"] == {"a": 4, "b": 3, "not known": 1}
    np.testing.assert_array_equal(read.predict(source, condition="b"), whole.predict(source, condition="b"))
    with pytest.raises(ValueError, match="must be one that the model knows, a, b; got c"):
        read.predict(source, condition="c")
    with pytest.raises(ValueError, match=r"the same for all frames; got list. Predict images of several"):
        read.predict(np.stack([source, source]), "TYX", condition=["a", "b"])
    np.testing.assert_array_equal(read.predict(source, condition="condition=b"), read.predict(source, condition="b"))


def test_what_goes_on_from_a_model_keeps_its_classes(model, tmp_path) -> None:
    """Pairs of some of them, or of none; of another there is one sentence, as where the model has none."""
    some = pairs(["a", None] * 4)
    *_, report = core.train(some, initial=model, out=tmp_path / "one", device="cpu")
    assert report.model.conditions == model.conditions
    for labels, said in (
        (["c"] * 8, r"of conditions that it knows, a, b; pair 0 is of c"),
        ([None] * 7 + ["c"], "pair 7 is of c"),
    ):
        with pytest.raises(ValueError, match=said):
            core.train(pairs(labels), initial=model, out=tmp_path / "no")
    plain = trained(tmp_path / "plain", pairs(None))
    with pytest.raises(ValueError, match="of none, as it knows none; pair 0 is of a"):
        core.train(pairs(), initial=plain, out=tmp_path / "no")
    with pytest.raises(ValueError, match="at least two classes of condition; got a"):
        core.train(pairs(["a"] * 8), small_config(), out=tmp_path / "no")
    with pytest.raises(ValueError, match=r"'A ' and 'a' of condition are probably the same. Write them alike"):
        core.train(pairs(["a", "b", "A ", "b"] * 2), small_config(), out=tmp_path / "no")
    with pytest.raises(ValueError, match="must be a condition for each pair, 8; got 2"):
        pairs(["a", "b"])
    assert not (tmp_path / "no").exists() or not list((tmp_path / "no").iterdir())


def test_old_pairs_and_new_ones_each_have_their_own() -> None:
    """Of old pairs that are of classes and new ones that are not, the batch holds the labels of either."""
    new, old = pairs(None), pairs(["b"] * 8)
    known = Domains(sets={"condition": ("a", "b")})
    mixed = MixedPatches(patches_of(new, 0.0, known), patches_of(old, 0.0, known))
    assert mixed.batch(0)["labels"].tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_figures_and_what_is_taught_are_of_each_pairs_own_condition(model) -> None:
    """The prediction that is judged is the one under the pair's class, also by another name of the set."""
    frames = pairs({"line": ["a", "b"] * 3 + [None, "a"]})
    found = core.evaluate(model, frames, None, allow_seen=True)
    assert {name: part["n"] for name, part in found["conditions"].items()} == {"a": 4, "b": 3, "not known": 1}
    for row in found["files"]:
        i = frames.names.index(row["name"])
        said = None if row["condition"] == "not known" else row["condition"]
        made = model.predict(frames.sources[i], condition=said).astype(float)
        assert row["mae"] == pytest.approx(np.abs(made - frames.targets[i]).mean())
    means = [np.mean([row["mae"] for row in found["files"] if row["condition"] == name]) for name in ("a", "b")]
    for name, mean in zip(("a", "b"), means, strict=True):
        assert found["conditions"][name]["metrics"]["mae"]["value"] == pytest.approx(mean)
    with pytest.raises(ValueError, match="pair 7 is of c"):
        core.evaluate(model, pairs([*LABELS[:7], "c"]), None, allow_seen=True)


@pytest.mark.filterwarnings("ignore:Which of these pairs")
def test_what_judges_the_match_sees_what_the_model_makes_of_each(model, tmp_path) -> None:
    """Expected errors of a model of labels depend on its maps, which are those of the condition."""
    labels = [blobs((48, 48), seed=i)[1] for i in range(len(LABELS))]
    frames = core.PairedFrames(pairs().sources, labels, "YX", conditions=["a", "b"] * 4)
    made = trained(tmp_path / "run", frames, target_kind="instances", empty_frames="empty")
    regions = frames.regions()
    *_, report = core.fit_trust(made, frames, Split(regions[:6], (), regions[6:]), trust_steps=2)
    assert report.model.match.calibration is not None
    source, image = frames.sources[0], labels[0]
    scored = [report.model.score(source, image, condition=name).expected_error for name in ("a", "b")]
    assert (scored[0] != scored[1]).any()
    with pytest.raises(ValueError, match="of none, as it knows none"):
        core.fit_trust(replace(made, conditions=Domains()), frames, trust_steps=2)


def test_classes_may_be_called_as_labs_call_them() -> None:
    """With commas and equal signs, in one set or in several; what they are called leads back to them."""
    for sets in (
        {"fixation": ("PFA, 4 %", "PFA, 4 %, cold", "none=fresh")},
        {"fixation": ("PFA, 4 %", "PFA, 4 %, cold"), "a": ("x", "fixation=x"), "scanner, new": ("1", "2")},
    ):
        known = Domains(sets=sets)
        for labels in product(*([None, *own] for own in sets.values())):
            own = dict(zip(sets, labels, strict=True))
            if any(labels):
                assert known.labels_of(known.called(own)) == {name: label for name, label in own.items() if label}
            assert known.in_own_words(own) == own
        with pytest.raises(ValueError, match="got `to` PFA"):
            known.labels_of("PFA")
    alone = Domains(sets={"line": ("a", "b")})
    assert alone.in_own_words({"anything": "a"}) == {"line": "a"} and alone.in_own_words({}) == {"line": None}
    for labels in ({"line": "c"}, {"line": "a", "scanner": "x"}, {"line": None, "scanner": "a"}):
        with pytest.raises(ValueError, match="must be one that the model knows, a, b; got"):
            alone.in_own_words(labels)


def test_who_is_not_asked_for_a_condition_is_told(model) -> None:
    """An evaluation of a model that knows some, of pairs that tell none, says so; as one does that knows none."""
    found = core.evaluate(model, pairs(None), None, allow_seen=True)
    assert any("was told none" in remark for remark in found["remarks"]) and "conditions" not in found
    with pytest.raises(ValueError, match="learned without conditions must be given none"):
        replace(model, conditions=Domains()).predict(blobs((48, 48))[0], condition="a")
