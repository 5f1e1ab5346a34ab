"""A judge of the match is taught the same way twice, kept in the model, and used where it is there."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_pix2pix import core
from napari_pix2pix.core.data.split import Split
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.engine.tensor_files import read_tensors, write_tensors
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.running.patch_scores import reader
from napari_pix2pix.core.running.score import maps_of
from napari_pix2pix.core.teaching import fit_trust as teaching
from napari_pix2pix.core.teaching.damage import change
from napari_pix2pix.core.teaching.examination import KINDS, examined
from napari_pix2pix.core.teaching.fit_trust import divided, fit_trust, stages
from napari_pix2pix.core.teaching.teacher import Teacher
from napari_pix2pix.core.trust.error_network import FARTHEST, ErrorNetwork, border_distance, doubt
from napari_pix2pix.core.trust.judge import ENOUGH, as_scored, pixel_errors
from napari_pix2pix.core.trust.risk import KNOTS
from napari_pix2pix.report.card import model_lines
from small import blobs, small_config, untrained, with_judge

STACKS = [blobs(seed=i) for i in range(6)]
PAIRS = core.PairedFrames(
    [s for s, _ in STACKS], [t for _, t in STACKS], "YX", hashes=[(f"s{i}", f"t{i}") for i in range(6)]
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Trained for a moment, not taught to judge the match."""
    out = tmp_path_factory.mktemp("run")
    *_, last = core.train(PAIRS, small_config(steps=20), out=out, device="cpu")
    return last.model


@pytest.fixture(scope="module")
def taught(model):
    """The same, taught."""
    *_, last = fit_trust(model, PAIRS, split=Split(PAIRS.regions()[2:], (), PAIRS.regions()[:2]), steps=12)
    return last.model


def test_the_same_teaching_twice(model, taught) -> None:
    """Bit for bit, whatever random numbers were drawn before; it leaves torch's as they were, and the generator."""
    torch.manual_seed(99)
    before = torch.get_rng_state()
    reports = list(fit_trust(model, PAIRS, split=Split(PAIRS.regions()[2:], (), PAIRS.regions()[:2]), steps=12))
    assert torch.equal(before, torch.get_rng_state())
    assert [report.step for report in reports] == [*range(1, 13), 12]
    assert reports[-1].model.hash() == taught.hash()
    assert model.match is None
    old, new = model.tensors(), taught.tensors()
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_what_is_taught_by_arithmetic(model) -> None:
    """An image's labels are its change, field by field, and the prediction's errors pixel by pixel, where it is known.

    What expects them sees the source, the prediction, the generator's maps, how near the next border is, and doubt.
    """
    teacher, clean, damaged = Teacher.prepare(model, PAIRS, PAIRS.regions(), True), 0, 0
    wrong = (teacher.predictions[:, 0] > 0) != (teacher.targets[:, 0] > 0)
    assert float(teacher.network.of_pixels.usual) == pytest.approx(wrong.mean(), rel=1e-5)
    for k in range(40):
        source, image, seen, match, judged, errors, known = teacher.image(3, k)
        prediction, maps, near, doubted = seen[1:3], seen[3:5], seen[5:7], seen[7:]
        assert source.shape[1:] == image.shape[1:] == seen.shape[1:] == errors.shape == known.shape
        assert match.shape == judged.shape and errors.shape == (teacher.side,) * 2
        assert (judged == 1).all() and (known == 1).all()
        clean += bool((match == 1).all())
        damaged += bool((match < 0.5).any())
        assert set(np.unique([image[0], prediction[0]])) <= {np.float32(-0.9), np.float32(0.9)}  # labels, not soft maps
        assert (maps[0] > 0)[prediction[0] > 0].all()  # what was decoded lies as its maps
        assert (seen[:1] == source).all() and (near > 0).all() and near.max() <= 1
        np.testing.assert_array_equal(doubted, np.abs(prediction - maps)[:1])
        assert set(np.unique(errors)) <= {0, 1}
    assert clean > 8
    assert damaged > 8
    np.testing.assert_array_equal(teacher.image(3, 39)[2], seen)


@pytest.mark.parametrize("kind", ["instances", "intensity"])
def test_the_expected_error_is_the_mean_error(kind) -> None:
    """The loss is a proper scoring rule: the least on average where what is expected is the mean of the errors."""
    source = fit_encoding([np.array([[[0, 9]]])], "intensity")
    target = fit_encoding([np.array([[[0, 3]]])], kind)
    network = ErrorNetwork(source, target, 2)
    random = np.random.default_rng(0)
    errors = random.uniform(0, 1, 4000) < 0.2 if kind == "instances" else random.exponential(30.0, 4000)
    network.usual.fill_(7.0)
    logits = torch.linspace(-5, 5, 2001)[:, None]
    found = network.surprise(*torch.broadcast_tensors(logits, torch.from_numpy(errors).float())).mean(dim=1)
    best = logits[found.argmin(), 0]
    expected = best.sigmoid() if kind == "instances" else 7 * best.exp()
    assert float(expected) == pytest.approx(errors.mean(), rel=0.01)


def test_borders_are_seen_up_to_a_distance() -> None:
    """By hand: 0 on both sides of a border, then the distance in the plane; at most the farthest."""
    labels = np.zeros((2, 5, 200), int)
    labels[0, :, 7:] = 3
    found = border_distance(labels)
    assert found[0, 2].tolist() == [min(abs(x - 6.5) - 0.5, FARTHEST) for x in range(200)]
    assert (found[1] == FARTHEST).all()


@pytest.mark.parametrize("kind", ["instances", "classes", "intensity"])
@pytest.mark.parametrize("z", ["frame", "volume"])
def test_pixels_do_not_depend_on_tiles(kind, z) -> None:
    """In 2-D and 3-D, of labels and of several channels; the mean over a field's pixels is what the field has."""
    random, shape = np.random.default_rng(0), (70, 150) if z == "frame" else (3, 70, 150)
    source = random.integers(0, 999, (1, *shape)).astype(np.uint16)
    smooth = np.stack([gaussian_filter(random.normal(size=shape), 5) for _ in range(2)])
    target = (smooth * 1e4).astype(np.int16) if kind == "intensity" else (smooth[:1] > 0).astype(np.uint8)
    model = with_judge(untrained(source, target, kind, z), per_pixel=True, louder=1.2)
    axes = ("CZYX" if z == "volume" else "CYX",) * 2
    whole, tiled = (model.score(source, target, axes, tile_size=side) for side in (None, 16))
    every = tuple(slice(0, n) for n in shape)
    [one], [other] = (list(model.score_frames(source, target, axes, tile_size=side)) for side in (None, 16))
    pixels = one.expected_pixels(every)
    assert pixels.shape == shape and pixels.std() > 0.01 * pixels.mean() > 0
    np.testing.assert_allclose(other.expected_pixels(every), pixels, rtol=1e-3)
    np.testing.assert_allclose(tiled.expected_error, whole.expected_error, rtol=1e-3)
    np.testing.assert_allclose(field_means(pixels, one.fields), whole.expected_error, rtol=1e-4)
    window = (*every[:-2], slice(20, 41), slice(33, 90))
    np.testing.assert_allclose(other.expected_pixels(window), pixels[window], rtol=1e-3)
    np.testing.assert_allclose(other.masked_pixels(window), one.masked_pixels(every)[window], rtol=1e-3)


@pytest.mark.parametrize("kind", ["instances", "classes"])
def test_a_judge_of_before_sees_no_doubt(kind, tmp_path) -> None:
    """It is read with as many planes as it has, and tells what it told; one of now sees how far labels lie off maps."""
    random = np.random.default_rng(0)
    source = random.integers(0, 999, (1, 70, 80)).astype(np.uint16)
    target = (gaussian_filter(random.normal(size=(1, 70, 80)), 5) > 0).astype(np.uint8)
    model, found = untrained(source, target, kind), {}
    for sees in (True, False):
        judged = with_judge(model, per_pixel=True, sees_doubt=sees)
        judged.save(tmp_path / "m.safetensors")
        again = core.load_model(tmp_path / "m.safetensors")
        assert ("sees_doubt" in again.match.content()) == sees
        found[sees] = again.match.network.of_pixels.seen_maps
        for one in (judged, again):
            [scored] = one.score_frames(source, target, "CYX", look=False)
            found.setdefault(("pixels", sees), scored.expected_pixels((slice(0, 70), slice(0, 80))))
            np.testing.assert_array_equal(scored.expected_pixels((slice(0, 70), slice(0, 80))), found[("pixels", sees)])
    assert found[True] == found[False] + 1
    pairs = core.PairedFrames(source, target, "CYX")
    taught_on = Teacher.prepare(judged, pairs, pairs.regions(), True, 2)
    assert taught_on.network.of_pixels.seen_maps == len(taught_on.image(0, 0)[2]) == found[False]
    labels, maps = random.uniform(-0.9, 0.9, (2, 2, 5, 6)).astype(np.float32)
    apart = np.abs(labels - maps)
    by_hand = apart[0] if kind == "instances" else np.maximum(*apart)
    np.testing.assert_array_equal(doubt(labels, maps, model.target_encoding)[0], by_hand)


def test_what_is_not_known_is_not_taught(model) -> None:
    """A field that reaches a pixel that is not known counts for neither output, nor among the errors of all."""
    masks = [np.ones(s.shape, np.uint8) for s, _ in STACKS]
    for mask in masks:
        mask[40:60] = 0
    pairs = core.PairedFrames(PAIRS.sources, PAIRS.targets, "YX", valid=masks)
    teacher = Teacher.prepare(model, pairs, pairs.regions(), True)
    for at in (4, 6):  # fields, pixels
        assert 0 < np.mean([teacher.image(0, k)[at] for k in range(30)]) < 1


def test_what_is_not_known_changes_no_expected_error(model) -> None:
    """Whatever stands in the target where it is not known: the same weights, the same usual error, bit for bit."""
    masks, found = [np.ones(s.shape, np.uint8) for s, _ in STACKS], []
    for mask in masks:
        mask[40:60] = 0
    for other in (0, 7):
        targets = [
            np.where(mask, target, other).astype(target.dtype) for mask, (_, target) in zip(masks, STACKS, strict=True)
        ]
        pairs = core.PairedFrames(PAIRS.sources, targets, "YX", valid=masks, hashes=PAIRS.hashes)
        *_, last = fit_trust(model, pairs, split=Split(pairs.regions()[2:], (), pairs.regions()[:2]), steps=3)
        found.append(last.model.match.network.error.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_scores_of_a_taught_model(model, taught, tmp_path) -> None:
    """It judges the match unless told otherwise and says so, in pieces as in one, and the same after a file."""
    path = tmp_path / "model.safetensors"
    taught.save(path)
    again = core.load_model(path)
    assert again.hash() == taught.hash()
    risk = again.match.calibration.risk
    assert (risk.groups, risk.most, risk.losses.shape) == (2, 1.0, (2, KNOTS))
    assert again.match.calibration.fair
    assert (np.diff(risk.losses) >= 0).all() and 0 < risk.kept[-1] <= 1
    assert "needs at least 49 calibration groups, this model has 2." in again.match.calibration.mask_promise(0.02)
    source, target = STACKS[0]
    found = again.score(source, target, "YX")
    assert found.kind == "match"
    assert found.scores.shape == found.valid.shape == found.expected_error.shape == found.rank.shape
    assert (found.expected_error > 0).all()
    assert set(np.unique(found.rank)) <= {np.float32(r) for r in np.unique(found.rank) if 1 / 3 <= r <= 1}
    assert found.error_bound is None
    assert "No guarantee for errors: 2 calibration groups" in found.promise
    tiled = again.score(source, target, "YX", tile_size=32)  # the generator's maps are exact in tiles, too
    np.testing.assert_allclose(tiled.scores, found.scores, atol=1e-4)
    np.testing.assert_allclose(tiled.expected_error, found.expected_error, rtol=1e-3)
    plain = again.score(source, target, "YX", kind="plain")
    assert (plain.kind, plain.expected_error, plain.promise) == ("plain", None, "")
    np.testing.assert_array_equal(plain.scores, model.score(source, target, "YX").scores)
    with pytest.raises(ValueError, match="must have been taught to; this one was not"):
        model.score(source, target, "YX", kind="match")


def test_any_window_of_the_maps_is_that_of_the_whole(model) -> None:
    """Wherever a tile of scores lies, the judge sees the maps that it would see in one piece."""
    one = replace(model, provenance={})  # in float32
    source = one.source_encoding.encode(STACKS[0][0][None])
    whole, read = one.maps_of_frame(source), maps_of(one, reader(source), source.shape[1:])
    for window in ((slice(0, 96), slice(0, 128)), (slice(6, 37), slice(50, 67)), (slice(70, 96), slice(97, 128))):
        np.testing.assert_allclose(read(window), whole[(slice(None), *window)], atol=1e-5)


def test_a_broken_judge_is_refused(taught, tmp_path) -> None:
    """Weights of another size, and a calibration that is missing: a sentence each; nothing but numbers is read."""
    path = tmp_path / "model.safetensors"
    tensors = taught.tensors()
    for name, tensor, sentence in (
        ("trust.network.layers.0.weight", torch.zeros(3, 3), "those of the discriminator that judges the match do not"),
        ("trust.calibration.counts", None, "must hold calibration.counts"),
        ("trust.calibration.risk.losses", torch.zeros(3, 3), "must hold calibration.risk.losses"),
    ):
        broken = {key: value for key, value in tensors.items() if key != name}
        write_tensors(path, broken if tensor is None else broken | {name: tensor}, taught.content())
        with pytest.raises(ValueError, match=sentence):
            core.load_model(path)


def test_who_calibrates(model) -> None:
    """Of pairs seen in training those that calibrated do so again; of new ones whole groups do; nobody does both."""
    split = divided(model, PAIRS)
    rows = {row["name"]: row["kind"] for row in model.provenance["regions"]}
    names = [{PAIRS.name(region.frame) for region in part} for part in (split.train, split.calibration)]
    assert names[1] == {name for name, kind in rows.items() if kind == "calibration"}
    assert names[0] >= {name for name, kind in rows.items() if kind == "train"}
    new = [blobs(seed=i) for i in range(10, 19)]
    groups = [f"g{i // 3}" for i in range(9)]
    hashes = [(f"n{i}", f"m{i}") for i in range(9)]
    pairs = core.PairedFrames([s for s, _ in new], [t for _, t in new], "YX", groups=groups, hashes=hashes)
    split = divided(model, pairs)
    kinds = [{groups[region.frame] for region in part} for part in (split.train, split.calibration)]
    assert not kinds[0] & kinds[1]
    assert [len(part) for part in kinds] == [2, 1]
    assert len(split.train) + len(split.calibration) == 9


def test_pairs_that_taught_are_known_to_have_made_the_model(model) -> None:
    """After fit-trust on new files, these are refused by evaluate."""
    new = [blobs(seed=i) for i in range(20, 24)]
    hashes = [(f"new{i}", f"t{i}") for i in range(4)]
    pairs = core.PairedFrames([s for s, _ in new], [t for _, t in new], "YX", hashes=hashes)
    *_, last = fit_trust(model, pairs, steps=2)
    with pytest.raises(ValueError, match="must not have made it"):
        core.evaluate(last.model, pairs, None)


def test_without_calibration_pairs_there_are_no_ranks(model) -> None:
    """What trained the model does not calibrate it: a warning; scores and expected errors stay."""
    trained = [i for i, row in enumerate(model.provenance["regions"]) if row["kind"] == "train"]
    rows = [model.provenance["regions"][i]["name"] for i in trained]
    numbers = [PAIRS.names.index(name) for name in rows]
    stacks = [[side[i] for i in numbers] for side in (PAIRS.sources, PAIRS.targets)]
    pairs = core.PairedFrames(*stacks, "YX", names=rows, hashes=[PAIRS.hashes[i] for i in numbers])
    with pytest.warns(UserWarning, match="No pairs to calibrate on"):
        *_, last = fit_trust(model, pairs, steps=1)
    found = last.model.score(*STACKS[0], "YX")
    assert found.rank is None
    assert found.expected_error is not None
    assert "No calibration pairs" in found.promise


def test_pairs_that_may_have_made_the_model_do_not_calibrate(model) -> None:
    """Of arrays nobody knows: all of them teach, and that is said."""
    with pytest.warns(UserWarning) as told:
        *_, last = fit_trust(model, core.PairedFrames(PAIRS.sources, PAIRS.targets, "YX"), steps=1)
    assert any("Which of these pairs made the model is not known" in str(one.message) for one in told)
    assert last.model.match.calibration is None


def test_a_training_whose_known_parts_hold_no_field_ends_well(tmp_path) -> None:
    """Nothing can teach a judge there: the model is saved, a warning says why, and the run is done."""
    known = [np.zeros(target.shape, bool) for _, target in STACKS]
    for mask in known:
        mask[8:20, 8:20] = True
    pairs = core.PairedFrames(*(list(side) for side in zip(*STACKS, strict=True)), "YX", valid=known)
    with pytest.warns(UserWarning, match="was not taught to judge its predictions. At least 100 fields"):
        *_, last = core.train(
            pairs, small_config(steps=2, trust_steps=2, empty_frames="empty"), out=tmp_path, device="cpu"
        )
    assert last.model.match is None
    *_, again = core.train(pairs, small_config(), out=tmp_path, device="cpu", resume=True)
    assert again.model.hash() == last.model.hash()


def test_an_improved_model_is_judged_by_what_it_knew_before(model, tmp_path) -> None:
    """Its old pairs teach, and calibrate where they did not train anew."""
    rows = model.provenance["regions"]
    old = {kind: [row for row in rows if row["kind"] == kind] for kind in ("train", "calibration")}
    again = PAIRS.names.index(old["calibration"][0]["name"])
    for hashes, calibrated in (((("new", "target"),), len(old["calibration"])), ((PAIRS.hashes[again],), 0)):
        pairs = core.PairedFrames([STACKS[again][0]], [STACKS[again][1]], "YX", hashes=list(hashes))
        config = model.config.model_copy(update={"steps": 2, "trust_steps": 2, "calibration_share": 0.0})
        out = tmp_path / hashes[0][0]
        *_, last = core.train(pairs, config, out=out, initial=model, old_pairs=PAIRS, device="cpu")
        assert last.model.provenance["trust"]["taught"] == len(old["train"])
        assert last.model.provenance["trust"]["calibrated"] == calibrated


def test_training_teaches_at_its_end_and_a_stop_changes_nothing(tmp_path) -> None:
    """Stopped while it is being taught and resumed: the model of one go, bit for bit."""
    config = small_config(trust_steps=5)
    reports = list(core.train(PAIRS, config, out=tmp_path / "whole", device="cpu"))
    assert [report.teaching.step for report in reports if report.teaching] == [1, 2, 3, 4, 5]
    assert reports[-1].model.match is not None
    assert reports[-1].model.provenance["trust"]["steps"] == 5
    for report in core.train(PAIRS, config, out=tmp_path / "parts", device="cpu"):
        if report.teaching and report.teaching.step == 3:
            break
    assert core.load_model(tmp_path / "parts" / "model.safetensors").match is None
    for _ in core.train(PAIRS, out=tmp_path / "parts", resume=True, device="cpu"):
        pass
    assert (tmp_path / "parts" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
    [last] = core.train(PAIRS, out=tmp_path / "parts", resume=True, device="cpu")
    assert last.model.hash() == reports[-1].model.hash()


def test_errors_are_in_the_units_of_the_target() -> None:
    """By hand: grey values, the mean over the channels; wrong labels; foreground where there is none."""
    random = np.random.default_rng(0)
    grey = [random.integers(0, 4000, (2, 5, 6)).astype(np.uint16) for _ in range(2)]
    classes = [random.integers(0, 3, (1, 5, 6)).astype(np.uint8) for _ in range(2)]
    for kind, images, true in (
        ("intensity", grey, np.abs(grey[0].astype(float) - grey[1]).mean(axis=0)),
        ("classes", classes, classes[0][0] != classes[1][0]),
        ("instances", classes, (classes[0][0] > 0) != (classes[1][0] > 0)),
    ):
        encoding = fit_encoding(images, kind)
        found = pixel_errors(*(encoding.encode(image) for image in images), encoding)
        np.testing.assert_allclose(found, true, atol=1e-3)


@pytest.mark.filterwarnings("ignore:Volumes should")
def test_volumes(tmp_path) -> None:
    """In three dimensions: taught, scored, and a field of the first output is a field of the second."""
    source, target = (np.stack(side) for side in zip(*STACKS, strict=True))
    pairs = core.PairedFrames([source, source[::-1]], [target, target[::-1]], "ZYX", z="volume")
    config = small_config(trust_steps=2, steps=2, patch_depth=3, validation_share=0)
    *_, last = core.train(pairs, config, out=tmp_path, device="cpu")
    found = last.model.score(source, target, "ZYX")
    assert found.kind == "match"
    assert found.scores.shape == found.expected_error.shape == found.rank.shape == (6, 46, 62)


def test_pairs_that_do_not_suit_are_refused(model) -> None:
    """Other channels, NaN, frames without labels that nobody explained: a sentence each, before any work."""
    sources, targets = ([image.copy() for image in side] for side in zip(*STACKS, strict=True))
    for pairs, sentence in (
        (core.PairedFrames([np.stack([s, s]) for s in sources], targets, ("CYX", "YX")), "must have"),
        (core.PairedFrames([np.where(s > 0, np.nan, s) for s in sources], targets, "YX"), "must be finite"),
        (core.PairedFrames(sources, [0 * targets[0], *targets[1:]], "YX"), "without any label must be said"),
    ):
        with pytest.raises(ValueError, match=sentence):
            fit_trust(model, pairs)


def test_a_model_from_before_has_no_judge(model, tmp_path) -> None:
    """A file without a word of trust, with a config without `trust_steps`, loads and gives plain scores."""
    path = tmp_path / "old.safetensors"
    content = model.content()
    del content["config"]["trust_steps"]
    write_tensors(path, model.tensors(), content)
    assert "trust" not in read_tensors(path)[1]
    old = core.load_model(path)
    assert old.match is None
    assert old.score(*STACKS[0], "YX").kind == "plain"
    assert replace(old, match=None).hash() == old.hash()


def test_the_number_of_steps_has_one_name(model) -> None:
    """`trust_steps`, and `steps` as before, mean the same; both at once are refused."""
    split = Split(PAIRS.regions()[2:], (), PAIRS.regions()[:2])
    for named in ({"trust_steps": 3}, {"steps": 3}):
        reports = fit_trust(model, PAIRS, split=split, **named)
        assert next(reports).steps == 3
        reports.close()
    with pytest.raises(ValueError, match="trust_steps must be given once; got 3, and steps 4"):
        fit_trust(model, PAIRS, split=split, trust_steps=3, steps=4)


def test_a_judge_that_has_not_learned_says_so(model, taught, tmp_path) -> None:
    """Damage is planted where nobody was taught; below .9 score, file and card say so, above they do not."""
    assert set(taught.match.examined) <= set(KINDS) and "put back" in taught.match.examined
    assert taught.match.finds < ENOUGH and "has not learned enough" in taught.match.lesson
    source, image = STACKS[0]
    assert taught.match.lesson in taught.score(source, image, "YX", kind="match").promise
    taught.save(tmp_path / "model.safetensors")
    again = core.load_model(tmp_path / "model.safetensors", "cpu")
    assert again.match.examined == taught.match.examined and "NOT ENOUGH" in model_lines(again)["planted damage"]
    good = replace(taught.match, examined=dict.fromkeys(KINDS, 0.95) | {"put back": 0.5})
    assert not good.lesson and not replace(good, examined={}).lesson


def test_what_an_examination_plants_is_found_by_who_knows(model, taught) -> None:
    """A judge that compares an image with the clean one finds all damage, and nothing in what was put back."""

    class Knows:
        def under(self, _):
            return self

        def judged(self, judge, source, images):
            clean = as_scored(model.maps_of_frame(source), model.target_encoding)
            fields = taught.match.network.fields
            scores = [-field_means(change(image, clean), fields) for image in images]
            [target] = [t for s, t in STACKS if (model.source_encoding.encode(s[None]) == source).all()]
            wrong = pixel_errors(clean, model.target_encoding.encode(target[None]), model.target_encoding)
            return [SimpleNamespace(scores=one, expected_pixels=lambda _: wrong) for one in scores]

        def __getattr__(self, name):
            return getattr(model, name)

    found, ordered = examined(Knows(), taught.match, PAIRS, PAIRS.regions())
    assert ordered == pytest.approx(1)
    assert all(value > ENOUGH for kind, value in found.items() if kind != "put back")
    assert found["put back"] == 0.5
    assert len(found) == len(KINDS) and examined(model, taught.match, PAIRS, ())[0] == {}


def test_a_taught_model_is_taught_on(model, taught, tmp_path) -> None:
    """From what its judge has learned, with images that it was not shown, also from a file; and it says how many."""
    split = Split(PAIRS.regions()[2:], (), PAIRS.regions()[:2])
    before, found = taught.match.network.state_dict(), Teacher.prepare(taught, PAIRS, split.train, True).network
    assert all(torch.equal(value, before[name]) for name, value in found.state_dict().items() if name != "error.usual")
    drawn: list[int] = []
    taught.save(tmp_path / "model.safetensors")
    again = core.load_model(tmp_path / "model.safetensors", "cpu")
    with pytest.MonkeyPatch.context() as patched:
        batch = Teacher.batch
        patched.setattr(Teacher, "batch", lambda self, step: drawn.append(step) or batch(self, step))
        models = [list(fit_trust(one, PAIRS, split=split, trust_steps=3))[-1].model for one in (taught, again)]
    assert drawn == [12, 13, 14] * 2
    assert models[0].hash() == models[1].hash() and models[0].provenance["trust"]["steps"] == 15
    anew = list(fit_trust(model, PAIRS, split=split, trust_steps=3))[-1].model.match.network.state_dict()
    after = models[0].match.network.state_dict()
    apart = [
        sum(float((one[k] - before[k]).abs().sum()) for k in before if k != "error.usual") for one in (after, anew)
    ]
    assert 0 < apart[0] < apart[1]


def test_what_calibrated_a_judge_does_so_again(model) -> None:
    """New files, of which a third calibrated, given again: the same teach, the same calibrate, and nobody does both."""
    new = [blobs(seed=i) for i in range(30, 36)]
    pairs = core.PairedFrames(
        [s for s, _ in new], [t for _, t in new], "YX", hashes=[(f"new{i}", f"t{i}") for i in range(6)]
    )
    *_, last = fit_trust(model, pairs, steps=1)
    first, again = divided(model, pairs), divided(last.model, pairs)
    assert first.calibration and again.train == first.train and again.calibration == first.calibration


def test_teaching_ends_when_it_is_good(model, monkeypatch) -> None:
    """And when twice as much hardly orders errors better: after a half, or all. A number of steps is obeyed."""
    monkeypatch.setattr(teaching, "FEWEST_OF_A_STAGE", 2)
    split = Split(PAIRS.regions()[2:], (), PAIRS.regions()[:2])
    good, bad, asked = dict.fromkeys(KINDS, 0.96), {"swapped": 0.99, "moved": 0.94}, []
    for told, end in (
        ([(good, 0.5), (good, 0.505)], 4),
        ([(good, 0.5), (good, 0.6), (good, 0.7)], 8),
        ([(good, 0.5), (bad, 0.5), (bad, 0.5)], 8),
        ([(good, np.nan)], 2),
    ):
        results = iter(told)
        monkeypatch.setattr(teaching, "examined", lambda *_, results=results: next(results))
        *reports, last = fit_trust(model, PAIRS, split=split, at_most=8)
        assert [(report.step, report.steps) for report in reports if report.losses] == [(i + 1, 8) for i in range(end)]
        assert reports[-1].step == reports[-1].steps == last.model.provenance["trust"]["steps"] == end
        assert list(results) == [] and last.model.match.good == (told[-1][0] is good)
    monkeypatch.setattr(teaching, "examined", lambda *_: asked.append(1) or (good, 0.5))
    *_, last = fit_trust(model, PAIRS, split=split, trust_steps=8, at_most=8)
    assert last.model.provenance["trust"]["steps"] == 8 and len(asked) == 1
    monkeypatch.undo()
    assert [stages(n) for n in (2133, 700, 599, 1)] == [[533, 1066, 2133], [350, 700], [599], [1]]


def test_of_pairs_that_all_taught_the_examination_says_so(model, tmp_path) -> None:
    """Where none calibrate it is examined on what taught it; a bad result is told as what it is."""
    split = Split(PAIRS.regions())
    *_, last = fit_trust(model, PAIRS, split=split, trust_steps=1)
    assert last.model.match.familiar and "the very pairs that taught it" in last.model.match.lesson
    last.model.save(tmp_path / "model.safetensors")
    again = core.load_model(tmp_path / "model.safetensors", "cpu")
    assert again.match.familiar and again.match.lesson == last.model.match.lesson
    assert "in the very pairs that taught it" in model_lines(again)["planted damage"]
