"""train --method cyclegan: two folders that are not paired in, a model that translates both ways out."""

import csv
import json

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.training import loop
from small import blobs

pytestmark = pytest.mark.filterwarnings(
    "ignore:The model hides", "ignore:Patches should be", "ignore:The identity loss", "ignore:Sources and targets sh"
)
SMALL = [
    *("--method", "cyclegan", "--generator.architecture", "unet", "--generator.levels", "2"),
    *("--generator.base-channels", "4", "--discriminator.base-channels", "4", "--discriminator.n-layers", "1"),
    *("--patch-size", "32", "--batch-size", "2", "--steps", "4", "--validate-every", "2", "--pool-size", "2"),
]


def run(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command."""
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four sources of one channel, five smaller targets of two, of other names."""
    place = tmp_path_factory.mktemp("unpaired")
    for name in ("a", "b"):
        (place / name).mkdir()
    for i in range(4):
        tifffile.imwrite(place / "a" / f"s{i}.tif", blobs(seed=i)[0])
    for i in range(5):
        image, label = blobs((64, 80), seed=9 + i)
        two = np.stack([4000 - image, np.where(label, 900, 0).astype(np.uint16)])
        tifffile.imwrite(place / "b" / f"t{i}.tif", two, metadata={"axes": "CYX"})
    return place


@pytest.fixture(scope="module")
def trained(folders):
    """A run of four steps."""
    with pytest.MonkeyPatch.context() as few:
        few.setattr(loop, "JUDGED_PATCHES", 8)
        main([str(word) for word in ("train", folders / "a", folders / "b", *SMALL, "--out", folders / "run")])
    return folders / "run"


def test_a_run_tells_its_sides_and_how_it_was_chosen(trained, folders, capsys) -> None:
    """Which side a row of the split is of; the distance that chose the model, its floor and the cycle; both ways."""
    with (trained / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["side"], row["kind"]) for row in rows} == {
        (side, kind) for side in ("source", "target") for kind in ("train", "validation")
    }
    assert len({row["source_sha256"] for row in rows}) == 9
    assert "validation_swd_floor" in (trained / "history.csv").read_text()
    assert list((trained / "previews").iterdir())
    page = (trained / "report.html").read_text()
    assert "(sliced Wasserstein distance, in thousandths)" in page and "There and back, an image differs from" in page
    assert "evaluate it on a few registered pairs" in page and "figures of the held-out images, over the steps" in page
    code, out, _ = run(capsys, "info", trained, "--json")
    told = json.loads(out.splitlines()[-1])
    assert code == 0 and told["directions"] == ["target", "source"]
    assert {"swd", "swd_floor", "cycle_error", "cycle_error_noisy"} == set(told["provenance"]["figures"]["validation"])
    code, out, _ = run(capsys, "info", trained)
    assert "4 sources of" in out and "5 targets of" in out and "on held-out images" in out


def test_it_goes_both_ways_in_tiles_or_whole_and_each_side_is_scored(trained, folders, capsys) -> None:
    """Channels and dtype are those of the other side; tiles leave no trace; a wrong side is told."""
    for to, source, shape in (("target", "a", (2, 96, 128)), ("source", "b", (64, 80))):
        made = folders / f"to_{to}"
        assert run(capsys, "predict", trained, folders / source, "--to", to, "--out", made)[0] == 0
        tiled = "predict", trained, folders / source, "--to", to, "--tile-size", "16", "--out", folders / f"tiled_{to}"
        assert run(capsys, *tiled)[0] == 0
        name = sorted(path.name for path in (folders / source).iterdir())[0]
        whole, tiles = (tifffile.imread(folders / f"{kind}_{to}" / name) for kind in ("to", "tiled"))
        assert whole.shape == shape and whole.dtype == np.uint16
        np.testing.assert_allclose(whole.astype(float), tiles.astype(float), atol=1)
        scores = folders / f"scores_{to}"
        assert run(capsys, "score", trained, folders / source, made, "--to", to, "--out", scores)[0] == 0
        assert tifffile.imread(scores / name).ndim == 2
    code, _, err = run(capsys, "predict", trained, folders / "a", "--to", "sauce", "--out", folders / "none")
    assert code == 2 and "target or source; got --to sauce" in err and not (folders / "none").exists()


def test_there_is_no_expected_error_without_pairs(trained, folders, capsys) -> None:
    """fit-trust would teach it; the way back never has one."""
    code, _, err = run(capsys, "predict", trained, folders / "a", "--trust", "--out", folders / "none")
    assert code == 2 and "fit-trust" in err
    code, _, err = run(
        capsys, "predict", trained, folders / "b", "--to", "source", "--trust", "--out", folders / "none"
    )
    assert code == 2 and "--to source" in err and not (folders / "none").exists()


def test_a_model_of_pairs_has_no_way_back(folders, tmp_path, capsys) -> None:
    """And says what it has."""
    from small import untrained

    source = blobs()[0]
    untrained(source[None], source[None], gan_weight=0).save(tmp_path / "model.safetensors")
    words = "predict", tmp_path / "model.safetensors", folders / "a", "--to", "source", "--out", tmp_path / "out"
    code, _, err = run(capsys, *words)
    assert code == 2 and "it makes, target; got --to source. Leave it out." in err


def test_it_is_resumed_from_its_files_and_tells_when_one_changed(folders, tmp_path, capsys, monkeypatch) -> None:
    """As a run of pairs."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for path in (folders / name).iterdir():
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    assert run(capsys, "train", tmp_path / "a", tmp_path / "b", *SMALL, "--out", tmp_path / "run")[0] == 0
    assert run(capsys, "train", "--resume", tmp_path / "run")[0] == 0
    (tmp_path / "b" / "t0.tif").unlink()
    code, _, err = run(capsys, "train", "--resume", tmp_path / "run")
    assert code == 2 and "t0.tif" in err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--valid", "a"), "cannot have --valid"),
        (("--side-by-side", "left"), "cannot have --side-by-side"),
        (("--z", "channels"), "z must be frame or volume"),
        (("--l1-weight", "3"), "is one of pix2pix"),
        (("--preset", "nothing"), "preset must be one of microscopy, paper, fast"),
        (("--devices", "2"), "one process"),
    ],
)
def test_what_only_pairs_have_is_refused(folders, tmp_path, capsys, more, told) -> None:
    """In a sentence, before anything is written."""
    words = "train", folders / "a", folders / "b", *SMALL, "--out", tmp_path / "run", *more
    code, _, err = run(capsys, *words)
    assert code == 2 and told in err and not (tmp_path / "run" / "model.safetensors").exists()


def test_validation_pairs_choose_the_model_by_the_usual_figures(folders, tmp_path, capsys, monkeypatch) -> None:
    """Where a few registered pairs are there; they must have the channels of the sides."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)
    pair = blobs(seed=30)[0]
    tifffile.imwrite(tmp_path / "x.tif", pair)
    tifffile.imwrite(tmp_path / "y.tif", np.stack([4000 - pair, pair]), metadata={"axes": "CYX"})
    words = "train", folders / "a", folders / "b", *SMALL, "--validation-source", tmp_path / "x.tif"
    code, _, err = run(capsys, *words, "--validation-target", tmp_path / "x.tif", "--out", tmp_path / "no")
    assert code == 2 and "the target channels of the images that train, 2; got 1" in err
    code, _, err = run(capsys, *words, "--validation-target", tmp_path / "y.tif", "--out", tmp_path / "run")
    assert code == 0, err
    figures = core.load_model(tmp_path / "run" / "model.safetensors", "cpu").provenance["figures"]["validation"]
    assert "mae" in figures and "swd" not in figures


@pytest.fixture
def checked(tmp_path, capsys):
    """What check says of such sides: exit code, and its text or the error."""

    def check(source, target, *more):
        for side, images in (("a", source), ("b", target)):
            (tmp_path / side).mkdir()
            for name, image in images.items():
                tifffile.imwrite(tmp_path / side / name, image)
        code, out, err = run(capsys, "check", tmp_path / "a", tmp_path / "b", *SMALL, *more)
        return code, out + err

    return check


def cells(*seeds, side=96, share=1) -> dict[str, np.ndarray]:
    """Images of bright squares; their number, and with it the foreground, goes by `share`."""
    found = {}
    for seed in seeds:
        random = np.random.default_rng(seed)
        image = random.normal(100, 5, (side, side))
        for y, x in random.integers(0, side - 12, (round(12 * share), 2)):
            image[y : y + 12, x : x + 12] += 800
        found[f"{seed}.tif"] = image.astype(np.uint16)
    return found


def test_check_without_pairs_says_what_both_sides_are(checked) -> None:
    """Other names, numbers and sizes are no fault."""
    code, said = checked(cells(0, 1), cells(5, 6, 7, side=80))
    assert code == 0 and "2 frames, YX, 1 channel, uint16" in said and "3 frames" in said and said.endswith("usable\n")
    assert "warning" not in said


def test_check_warns_where_foreground_would_be_made_up(checked) -> None:
    """Otsu's shares of both sides, in one sentence."""
    code, said = checked(cells(0, 1, share=0.2), cells(5, 6, share=2))
    assert code == 0 and "Sources and targets should hold as much foreground; by Otsu's threshold it is" in said
    assert "the difference will be made up" in said


def test_check_knows_pairs_from_what_has_their_names_only(checked, tmp_path, capsys) -> None:
    """Of the same names and correlated: pix2pix will do better, and that is right: train takes them."""
    sources = cells(0, 1, 2)
    code, said = checked(sources, {name: 2000 - image for name, image in sources.items()})
    assert (
        code == 0
        and "These look like pairs: 3 sources" in said
        and "pix2pix will do better. Give --method pix2" in said
    )
    assert run(capsys, "check", tmp_path / "a", tmp_path / "b", "--method", "pix2pix", "--patch-size", "32")[0] == 0


def test_the_same_names_make_no_pairs(checked) -> None:
    """Where the images do not lie over each other."""
    code, said = checked(cells(0, 1, 2), dict(zip(cells(0, 1, 2), cells(5, 6, 7).values(), strict=True)))
    assert code == 0 and "pairs" not in said


def test_identical_sides_cannot_be_learned_from(checked, tmp_path, capsys) -> None:
    """By check, and at train's door; some images on both sides are a warning."""
    code, said = checked(cells(0, 1), cells(0, 1))
    assert code == 1 and "not usable: Sources and targets must be of two kinds; these are the same images" in said
    words = "train", tmp_path / "a", tmp_path / "b", *SMALL, "--out", tmp_path / "run"
    code, _, err = run(capsys, *words)
    assert code == 2 and "must be of two kinds" in err and not (tmp_path / "run").exists()
    tifffile.imwrite(tmp_path / "b" / "other.tif", cells(7)["7.tif"])
    code, out, _ = run(capsys, "check", tmp_path / "a", tmp_path / "b", *SMALL)
    assert code == 0 and "2 images are on both" in out


def test_one_image_is_allowed_and_said(checked, tmp_path, capsys, monkeypatch) -> None:
    """By check and by train."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)
    code, said = checked(cells(0), cells(5, 6))
    assert code == 0 and "One source is no data set" in said
    words = "train", tmp_path / "a", tmp_path / "b", *SMALL, "--out", tmp_path / "run"
    code, _, err = run(capsys, *words)
    assert code == 0 and "One source is no data set" in err


def test_check_refuses_what_cannot_be(checked, tmp_path, capsys) -> None:
    """An empty side, a mask, images smaller than a patch, NaN."""
    code, said = checked({}, cells(0))
    assert code == 2 and "There must be images at" in said
    tifffile.imwrite(tmp_path / "a" / "0.tif", np.full((96, 96), np.nan, np.float32))
    code, out, _ = run(capsys, "check", tmp_path / "a", tmp_path / "b", *SMALL)
    assert code == 1 and "holds NaN or Inf" in out
    code, _, err = run(capsys, "check", tmp_path / "a", tmp_path / "b", *SMALL, "--valid", tmp_path / "b")
    assert code == 2 and "cannot have --valid, which is of pairs" in err
    tifffile.imwrite(tmp_path / "a" / "0.tif", cells(1, side=24)["1.tif"])
    code, out, _ = run(capsys, "check", tmp_path / "a", tmp_path / "b", *SMALL)
    assert code == 1 and "at least as large as a patch, 32 x 32 px" in out
