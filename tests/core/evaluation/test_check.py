"""What is planted is found: shifts, lengths, damage; and what cannot be measured is called so."""

import json
import re
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import skimage
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.data.alignment import covariance_by_distance, decay_length
from napari_pix2pix.core.encodings.kinds import labels_in_disguise
from napari_pix2pix.core.evaluation.check import FIELDS, check, suggest
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.settings.config import Config, PairSettings, make_config
from napari_pix2pix.files.pairing import open_stacks
from small import blobs, small_config

DATA = Path(__file__).parents[4] / "shared" / "data"
SHIFTS = [(0, 0), (1, 0), (3, -2), (-5, 4), (8, 8), (-8, 7)]


def texture(seed: int, shape: tuple[int, int] = (150, 170), width: float = 2.0) -> np.ndarray:
    """Gaussian noise whose autocorrelation is exp(-r² / 4 width²)."""
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), width, mode="wrap")


def moved(image: np.ndarray, shift: tuple[int, int], edge: int = 10) -> np.ndarray:
    """The middle of what `image` shows, `shift` px further down and right."""
    y, x = (slice(edge - s, n - edge - s) for s, n in zip(shift, image.shape, strict=True))
    return image[y, x]


@pytest.mark.parametrize("shift", SHIFTS)
def test_planted_shifts_of_intensities_are_found(shift) -> None:
    """Exactly, although the target's contrast is inverted, curved and noisy."""
    source = texture(1)
    target = np.exp(-3 * source / source.std() / 3) + np.random.default_rng(2).normal(0, 0.1, source.shape)
    found = check(moved(source, (0, 0)), moved(target, shift), "YX")["shift"]
    assert found["pixels"] == found["frames"]["pair 0"] == found["median"] == list(shift)
    assert found["confidence"] > 3


@pytest.mark.parametrize("shift", SHIFTS)
def test_planted_shifts_of_labels_are_found(shift) -> None:
    """Within 1 px, from an image to the labels of its objects; more than 1 px is warned of, and nothing less."""
    bright = np.clip(texture(3, (200, 220), 4), 0, None)
    labels = ndimage.label(bright > 0.3 * bright.max())[0]
    source = 300 + bright / bright.max() * 3000 + np.random.default_rng(4).normal(0, 100, bright.shape)
    report = check(moved(source, (0, 0)), moved(labels, shift), "YX")
    assert report["target"]["kind"] == "instances"
    assert np.abs(np.subtract(report["shift"]["pixels"], shift)).max() <= 1
    said = [text for text in report["warnings"] if "against the source" in text]
    y, x = report["shift"]["pixels"]
    assert bool(said) == (max(abs(y), abs(x)) > 1)
    assert all(f"The target is shifted by ({y}, {x}) px" in text for text in said)


@pytest.mark.parametrize("seed", range(8))
def test_the_shift_of_unrelated_images_is_not_measurable(seed) -> None:
    """No number is better than a random one: other textures, other objects, alone and pooled."""
    pairs = [(texture(10 * seed + i), texture(10 * seed + i + 5)) for i in range(3)]
    pairs += [(blobs((150, 170), seed=seed + i)[0], blobs((150, 170), seed=seed + i + 50)[1]) for i in range(1)]
    for source, target in pairs:
        found = check(source, target, "YX")["shift"]
        assert (found["pixels"], found["median"]) == (None, None)
    found = check([s for s, _ in pairs[:3]], [t for _, t in pairs[:3]], "YX")["shift"]
    assert found["pixels"] is None


def test_one_shifted_pair_among_many_is_named() -> None:
    """The others' shift stays what it is."""
    sources = [texture(i) for i in range(4)]
    shifts = [(0, 0), (0, 0), (5, -3), (0, 0)]
    targets = [moved(-image, shift) for image, shift in zip(sources, shifts, strict=True)]
    report = check([moved(image, (0, 0)) for image in sources], targets, "YX", names=list("abcd"))
    assert report["shift"]["pixels"] == [0, 0]
    assert report["shift"]["frames"] == dict(zip("abcd", map(list, shifts), strict=True))
    assert any("1 of 4 frames" in text and "target of c by (5, -3) px" in text for text in report["warnings"])


@pytest.mark.parametrize("width", [2, 4, 8])
def test_the_correlation_length_is_that_of_the_texture(width) -> None:
    """exp(-r² / 4 width²) falls to 1/e at 2 width, for the target as for a related source, not for an unrelated one."""
    target, other = (texture(seed, (500, 520), width) for seed in (1, 2))
    related = check(3 * target, target, "YX")["correlation"]
    assert related["length"] == pytest.approx(2 * width, rel=0.1)
    assert related["length_both"] == pytest.approx(related["length_target"])
    assert related["coefficient"] == pytest.approx(1)
    unrelated = check(other, target, "YX")["correlation"]
    assert unrelated["length_both"] is None
    assert unrelated["length"] == related["length_target"]


def test_covariance_at_distance_zero_is_the_variance() -> None:
    """And a constant image has no correlation length."""
    image = texture(3)
    found = covariance_by_distance(image, 2 * image, 20)
    assert found[0] == pytest.approx(2 * image.var())
    assert found.shape == (21,)
    assert decay_length(np.zeros(5)) is None
    assert decay_length(np.ones(5)) == 4


@given(st.one_of(st.none(), st.floats(0.1, 500)), st.integers(32, 5000))
def test_suggestions_fit_the_images_and_the_network(length, smallest) -> None:
    """Field <= patch <= image, the patch a multiple of 32; a longer correlation, no smaller field."""
    found = suggest(length, smallest)
    assert found["field"] == FIELDS[found["n_layers"]] <= found["patch_size"] <= smallest
    assert found["patch_size"] % 32 == 0
    assert length is None or suggest(2 * length, smallest)["field"] >= found["field"]


def test_fields_are_those_of_the_discriminator() -> None:
    """16, 34, 70, 142 and 286 px, by folding, as the network itself says."""
    assert list(FIELDS.values()) == [16, 34, 70, 142, 286]
    for n_layers in (1, 3):
        config = small_config(discriminator={"n_layers": n_layers, "base_channels": 2}).discriminator
        assert PatchGAN(1, 1, config).fields[-1].size == FIELDS[n_layers]


def stack(n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    sources, labels = zip(*(blobs(seed=i) for i in range(n)), strict=True)
    return np.stack(sources), np.stack(labels)


def test_good_pairs_are_usable_and_everything_is_json() -> None:
    """The same answer from arrays and from PairedFrames, twice; figures as they are."""
    sources, labels = stack()
    report = check(sources, labels, "TYX")
    assert report == core.check(core.PairedFrames(sources, labels, "TYX")) == json.loads(json.dumps(report))
    assert (report["usable"], report["unusable"], report["warnings"]) == (True, [], [])
    assert (report["n_pairs"], report["n_frames"], report["smallest"]) == (1, 3, [96, 128])
    assert report["target"]["n_labels"] == sum(np.unique(frame).size - 1 for frame in labels)
    assert report["suggested"]["patch_size"] == report["patch_size"] == 96
    assert report["n_patches"] == 3
    assert check(sources, labels, "TYX", config=small_config())["n_patches"] == 3 * 3 * 4


def test_axes_may_differ() -> None:
    """Thirteen planes as channels of one side, two channels of the other."""
    image = texture(1)
    report = check(np.stack([image] * 13), np.stack([-image, image], axis=2), ("CYX", "YXC"))
    assert (report["source"]["channels"], report["target"]["channels"]) == (13, 2)
    assert report["shift"]["pixels"] == [0, 0]


@pytest.mark.parametrize(
    ("side", "spoil", "sentence"),
    [
        (
            "source",
            lambda a: np.where(np.eye(96, 128) > 0, np.nan, a.astype(float)),
            "source of pair 0, frame 0 (and 2",
        ),
        ("target", lambda a: np.where(np.eye(96, 128) > 0, np.inf, a.astype(float)), "holds NaN or Inf"),
        ("source", np.ones_like, "Every source is constant"),
        ("target", np.zeros_like, "Every target is constant"),
        ("both", lambda a: a[:, :20], "at least as large as a patch, 32 x 32 px; the smallest is 20 x 128"),
    ],
)
def test_what_cannot_be_trained_on_is_unusable(side, spoil, sentence) -> None:
    """One sentence says what and where; the shift is not measured on it."""
    sources, labels = stack()
    report = check(
        spoil(sources) if side != "target" else sources, spoil(labels) if side != "source" else labels, "TYX"
    )
    assert not report["usable"]
    assert any(sentence in text for text in report["unusable"])
    json.dumps(report, allow_nan=False)


def test_settings_that_the_pairs_do_not_suit_make_them_unusable() -> None:
    """A patch larger than an image; classes that are far too many."""
    sources, labels = stack()
    config = small_config(patch_size=128)
    assert "as large as a patch, 128 x 128 px" in check(sources, labels, "TYX", config=config)["unusable"][0]
    found = check(sources, sources, "TYX", config=small_config(target_kind="classes"))
    assert "at most 16 labels" in found["unusable"][0]


def disguised() -> list:
    """(what, sources, targets, a part of the warning)."""
    sources, labels = stack()
    binary = (labels > 0).astype(np.uint8)
    own = np.stack([labels % 256, labels * 37 % 256, labels * 11 % 256], axis=-1).astype(np.uint8)
    colours = np.stack([binary * 255, binary * 90, binary * 0], axis=-1)
    bright = np.where(sources > 1500, 1500, sources)
    empty = np.where(np.arange(3)[:, None, None] == 1, 0, labels)
    flat = np.where(np.arange(3)[:, None, None] == 1, 7, sources)
    return [
        ("saturated", bright, labels, "The sources are saturated:"),
        ("some empty", sources, empty, "33% of the frames (1 of 3) have none, the first is pair 0, frame 1."),
        ("some constant", flat, labels, "1 of 3 sources are constant; one is that of pair 0, frame 1."),
        ("labels as float", sources, labels.astype(np.float32), "look like instances stored as float32"),
        ("classes as float", sources, binary.astype(float), "look like classes stored as float64"),
        ("labels as colours", sources, colours, "The targets hold 2 colours only: labels?"),
        ("a colour each", sources, own, "look like instances, each in a colour of its own"),
        ("grey as colours", sources, labels.astype(np.uint8)[..., None].repeat(3, -1), "each in a colour of its own"),
        ("labels as source", binary, binary * 2, "The sources hold 2 grey values only: labels?"),
        ("classes first", binary, sources, "targets like grey values: swapped?"),
        ("objects first", labels, sources, "targets like grey values: swapped?"),
        ("one image", sources[:1], labels[:1], "One image is no data set"),
    ]


@pytest.mark.parametrize(
    ("sources", "targets", "sentence"), [pytest.param(*case, id=name) for name, *case in disguised()]
)
def test_what_deserves_a_look_is_warned_of(sources, targets, sentence) -> None:
    """Once, in one sentence, and the pairs stay usable."""
    axes = ("TYX", "TYXS" if targets.ndim == 4 else "TYX")
    report = check(sources, targets, axes)
    assert report["usable"]
    assert [sentence in text for text in report["warnings"]] == [True]


def test_photographs_are_no_labels() -> None:
    """Not even small ones, in which hardly two pixels have the same colour, nor dark ones of few colours."""
    photograph = skimage.data.immunohistochemistry()
    for image in (photograph, photograph[:40, :40], photograph // 16, photograph[..., :1].repeat(3, -1) // 8):
        assert labels_in_disguise([np.moveaxis(image, -1, 0)]) is None


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("colours", [False, True])
def test_labels_stored_as_jpeg_are_told(quality, colours) -> None:
    """Values that ring around a few are labels; photographs, blobs and gradients are not."""
    sources, labels = (side.repeat(4, axis=1).repeat(4, axis=2) for side in stack(4))
    classes = (labels > 0) * 90 + (labels > 8) * 120
    grey = classes.astype(np.uint8)
    images = [np.stack([image, 255 - image, image // 2], axis=-1) if colours else image for image in grey]
    ringing = np.stack([imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(image, quality)) for image in images])
    axes = "TYXS" if colours else "TYX"
    sentence = "look like labels as JPEG or smoothing leaves them: nearly all pixels have one of 3 values per channel"
    found = check(sources, ringing, ("TYX", axes))["warnings"]
    assert sum(sentence in text for text in found) == 1
    photograph = skimage.data.immunohistochemistry()
    for image in (photograph if colours else photograph[..., 1], *([] if colours else [sources[0], texture(1)])):
        found = check(image[..., 0] if colours else image, image, ("YX", axes[1:]))["warnings"]
        assert not any("JPEG" in text for text in found)
    odd = np.where(labels > 8, 255, np.minimum(labels, 2))
    assert not any("JPEG" in text for text in check(sources, odd, "TYX")["warnings"])


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
def test_real_pairs_are_seen_as_they_are() -> None:
    """Facades: JPEG labels, right, and no shift. Phase contrast against stains of thick tissue: no shift to be told."""
    report = check(open_stacks(DATA / "facade_windows", None, PairSettings(side_by_side="left")).frames())
    assert [text for text in report["warnings"] if "JPEG" in text]
    report = check(open_stacks(DATA / "facade_windows", None, PairSettings(side_by_side="right")).frames())
    assert not [text for text in report["warnings"] if "JPEG" in text]
    sides = DATA / "isl" / "phase.ome.tif", DATA / "isl" / "fluorescence.ome.tif"
    assert check(open_stacks(*sides, PairSettings(z="channels")).frames())["shift"]["pixels"] is None
    stains = {name: DATA / "deepliif" / f"Bladder1_{name}.png" for name in ("ihc", "dapi")}
    assert check(open_stacks(*stains.values(), PairSettings()).frames())["shift"]["pixels"] == [3, -11]


@pytest.mark.filterwarnings("ignore:No room for", "ignore:Volumes should")
def test_check_refuses_what_training_refuses(tmp_path) -> None:
    """In the same words, with the same settings; and nothing else."""
    sources, labels = stack()
    holed = np.where(np.eye(96, 128) > 0, np.nan, sources.astype(float))
    empty = np.where(np.arange(3)[:, None, None] == 1, 0, labels)
    first = {"valid": [0]}
    cases = [
        (sources, empty, {}, {}, "have none, the first is pair 0, frame 1"),
        (sources, empty, {}, {"empty_frames": "empty"}, None),
        (sources, empty, {}, {"empty_frames": "unlabelled"}, None),
        (sources, empty, {}, {"target_kind": "intensity"}, None),
        (sources, empty, {"valid": [0, 2]}, {}, None),
        # a plane without labels is no empty volume
        (sources, empty, {"z": "volume"}, {"patch_depth": 2, "target_kind": "instances"}, None),
        (np.where(np.arange(3)[:, None, None] == 2, holed, sources), labels, first, {}, None),
        (holed, labels, {}, {}, "holds NaN or Inf"),
        (
            *stack(6),
            {"valid": [5]},
            {"calibration_share": 0, "validation_share": 0.2},
            "all that is known fell to validation",
        ),
        (sources, labels, {}, {"patch_size": 128}, "as large as a patch, 128 x 128 px"),
        (sources, labels, {}, {"source_kind": "classes"}, "at most 16 labels"),
        (sources, sources, {}, {"target_kind": "classes"}, "at most 16 labels"),
    ]
    for i, (source, target, how, settings, sentence) in enumerate(cases):
        axes = "ZYX" if "z" in how else "TYX"
        pairs, config = core.PairedFrames(source, target, axes, **how), small_config(**settings)
        report = check(pairs, config=config)
        assert report["usable"] == (sentence is None), (i, report["unusable"])
        if sentence is None:
            core.train(pairs, config, out=tmp_path / str(i), device="cpu").close()
        else:
            assert sentence in " ".join(report["unusable"])
            with pytest.raises(ValueError, match=re.escape(sentence)):
                core.train(pairs, config, out=tmp_path / str(i), device="cpu")


def test_sparse_ids_are_objects_like_others() -> None:
    """Ids up to 2**32 change no figure but the largest id."""
    sources, labels = stack()
    sparse = np.where(labels > 0, 2**32 - labels.astype(np.int64), 0)
    dense, report = (check(sources, targets, "TYX") for targets in (labels, sparse))
    assert report["target"]["n_labels"] == dense["target"]["n_labels"]
    assert report["shift"] == dense["shift"]
    assert "largest id 4294967295" in report["facts"]["target kind"]


class OneFrameAtATime:
    """A stack that hands out no more than one frame, and counts them."""

    def __init__(self, image: np.ndarray, n: int) -> None:
        self.image, self.shape, self.dtype, self.asked = image, (n, *image.shape), image.dtype, 0

    def __getitem__(self, index):
        assert isinstance(index[0], int)
        self.asked += 1
        return self.image[index[1:]]


def test_long_stacks_are_read_frame_by_frame() -> None:
    """Every frame is looked at, 64 are measured, and the report says so."""
    source, labels = blobs((48, 64))
    sources, targets = OneFrameAtATime(source, 200), OneFrameAtATime(labels, 200)
    report = check(sources, targets, "TYX")
    assert (report["n_frames"], report["n_measured"], len(report["shift"]["frames"])) == (200, 64, 64)
    assert 200 <= sources.asked <= 200 + 2 * 64


def test_the_command_tells_the_same_and_answers_by_its_exit_code(tmp_path, capsys) -> None:
    """0 usable (with a warning: pixel sizes differ), 1 unusable, 2 a wrong request."""
    sources, labels = stack()
    for name, image, size in (("source", sources, 2), ("target", labels, 4), ("flat", np.ones_like(labels), 2)):
        metadata = {"axes": "TYX", "unit": "um"}
        tifffile.imwrite(tmp_path / f"{name}.tif", image, imagej=True, resolution=(size, size), metadata=metadata)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["check", *(str(tmp_path / word) if "tif" in word else word for word in words)])
        return code, *capsys.readouterr()

    code, out, err = run("source.tif", "target.tif")
    lines = out.splitlines()
    assert (code, err, lines[-1]) == (0, "", "usable with --patch-size 96")
    assert "in source the source has 0.5 x 0.5 µm and the target 0.25 x 0.25 µm: resample one" in "\n".join(lines)
    code, out, _ = run("source.tif", "target.tif", "--json")
    [event] = [json.loads(line) for line in out.splitlines()]
    python = check(sources, labels, "TYX", names=["source"])
    files_know_more = ("warnings", "remarks", "facts")
    assert {name: event[name] for name in python if name not in files_know_more} == {
        name: python[name] for name in python if name not in files_know_more
    }
    assert [remark["text"] for remark in event["remarks"]] == event["warnings"]
    code, out, _ = run("source.tif", "flat.tif")
    assert code == 1
    assert out.splitlines()[-1].startswith("not usable: Every target is constant.")
    assert run("source.tif", "target.tif", "--patch-size", "128")[0] == 1
    assert run("source.tif", "none.tif")[0] == 2
    assert run("source.tif", "target.tif", "--patch-size", "33")[0] == 2


def remedied(report: dict, config: Config | None = None) -> list[Config]:
    """What each remedy of the remarks makes of the settings."""
    kept = (config or Config()).model_dump()
    remedies = [remedy for remark in report["remarks"] for remedy in remark["remedies"]]
    return [make_config(kept=kept, changes=remedy["changes"]) for remedy in remedies]


def test_the_remedy_of_a_shift_silences_it() -> None:
    """A tolerance as large as the shift; until it is set, the remark is there."""
    source, config = texture(1), small_config(patch_size=64)
    pair = moved(source, (0, 0)), moved(source, (3, -2))
    report = check(*pair, "YX", config=config)
    [shifted] = [remark for remark in report["remarks"] if "shifted" in remark["short"]]
    assert shifted["short"] == "target shifted by (3, −2) px"
    [tolerant] = [made for made in remedied(report, config) if made.shift_tolerance]
    assert tolerant.shift_tolerance == 3
    again = check(*pair, "YX", config=tolerant)["remarks"]
    assert not [remark for remark in again if "shifted" in remark["short"]]


def test_frames_without_labels_are_asked_about_and_either_answer_will_do() -> None:
    sources, labels = stack()
    labels[0] = 0
    config = small_config()
    report = check(sources, labels, "TYX", config=config)
    assert not report["usable"]
    [asked] = [remark for remark in report["remarks"] if remark["level"] == "unusable"]
    assert asked["short"] == f"{1 / len(labels):.0%} of the frames have no labels: empty or not labelled?".replace(
        "%", " %", 1
    )
    answers = remedied({"remarks": [asked]}, config)
    assert [answer.empty_frames for answer in answers] == ["empty", "unlabelled"]
    assert all(check(sources, labels, "TYX", config=answer)["usable"] for answer in answers)


def test_patches_that_are_too_large_have_a_remedy_that_fits() -> None:
    source = texture(1)[:100, :90]
    report = check(source, source + texture(2)[:100, :90], "YX", config=Config())
    [made] = [made for made in remedied(report) if made.patch_size < 256]
    assert made.patch_size == 64  # a multiple of 2^5
    assert check(source, source + texture(2)[:100, :90], "YX", config=made)["usable"]


def test_what_suits_the_pairs_is_a_hint_until_it_is_used() -> None:
    source = np.stack([texture(1, width=4), texture(2, width=4)])
    config = small_config()
    report = check(source, -source, "TYX", config=config)
    [hint] = [remark for remark in report["remarks"] if remark["level"] == "hint" and remark["remedies"]]
    [made] = remedied({"remarks": [hint]}, config)
    assert (made.patch_size, made.discriminator.n_layers) == tuple(
        report["suggested"][name] for name in ("patch_size", "n_layers")
    )
    again = check(source, -source, "TYX", config=made)["remarks"]
    assert not [remark for remark in again if remark["level"] == "hint" and remark["remedies"]]
    alone = check(source[0], -source[0], "YX")["suggested"]["patch_size"]
    assert alone <= max(32, source.shape[-1] // 4)  # one image is divided
    assert "No room for calibration pairs: scores have no ranks." in [remark["text"] for remark in again]
