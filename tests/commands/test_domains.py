"""train --method stargan: a folder of domains in, one model that translates any image to any of them out."""

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.training import loop
from small import blobs

pytestmark = pytest.mark.filterwarnings("ignore:Patches should be", "ignore:No room for")
SMALL = [
    *("--method", "stargan", "--generator.architecture", "unet", "--generator.levels", "2"),
    *("--generator.base-channels", "4", "--discriminator.base-channels", "4", "--discriminator.n-layers", "1"),
    *("--patch-size", "32", "--batch-size", "2", "--critic-steps", "2", "--steps", "4", "--validate-every", "2"),
]


def run(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command."""
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(autouse=True)
def judged_on_few(monkeypatch) -> None:
    """Enough for every domain to have some."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 24)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four images each of three domains, one of them in colours; and a run of four steps."""
    place = tmp_path_factory.mktemp("domains")
    for k, name in enumerate(("fluo", "H&E", "grey")):
        (place / "all" / name).mkdir(parents=True)
        for i in range(4):
            image = (blobs((64, 64 + 8 * i), seed=10 * k + i)[0] // 16).astype(np.uint8)
            image = np.stack([255 - image, 255 - image // 2, 255 - image], -1) if k == 1 else image
            tifffile.imwrite(place / "all" / name / f"{name}_{i}.tif", image)
    with pytest.MonkeyPatch.context() as few:
        few.setattr(loop, "JUDGED_PATCHES", 24)
        assert main([str(word) for word in ("train", place / "all", *SMALL, "--out", place / "run")]) == 0
    return place


def test_a_run_tells_its_domains_and_how_it_was_chosen(folders, capsys) -> None:
    """Which domain a row of the split is of; the distance that chose the model, and its floor; the card."""
    with (folders / "run" / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["side"] for row in rows} == {"H&E", "fluo", "grey"} and len(
        {row["source_sha256"] for row in rows}
    ) == 12
    assert "validation_swd_floor" in (folders / "run" / "history.csv").read_text()
    page = (folders / "run" / "report.html").read_text()
    rows = [f'alt="{made} of {name}: ' for name in ("H&amp;E", "fluo", "grey") for made in ("image", "as fluo")]
    assert all(row in page for row in rows) and page.count("<img") == 12 and "none was held out" not in page
    assert "takes" in page and "of the translations for what they were to be" in page
    assert list((folders / "run" / "previews").iterdir())
    code, out, _ = run(capsys, "info", folders / "run", "--json")
    told = json.loads(out.splitlines()[-1])
    assert code == 0 and told["directions"] == ["H&E", "fluo", "grey"] and told["domains"]["sets"]["domain"]
    code, out, _ = run(capsys, "info", folders / "run")
    assert "any of H&E, fluo, grey" in out and "4 H&E, 4 fluo, 4 grey" in out and "on held-out images" in out


def test_any_image_becomes_any_domain_and_all_at_once(folders, tmp_path, capsys) -> None:
    """Grey ones and those in colours; in tiles or whole; a folder for each domain; the domain that is none is told."""
    source = folders / "all" / "grey"
    assert run(capsys, "predict", folders / "run", source, "--to", "H&E", "--out", tmp_path / "one")[0] == 0
    words = "predict", folders / "run", source, "--to", "all", "--tile-size", "16", "--out", tmp_path / "all"
    code, out, _ = run(capsys, *words, "--json")
    results = [json.loads(line) for line in out.splitlines() if json.loads(line)["event"] == "result"]
    assert code == 0 and len(results) == 1 and len(results[0]["written"]) == 12
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"H&E", "fluo", "grey"}
    whole, tiled = (tifffile.imread(tmp_path / name / "grey_0.tif") for name in ("one", "all/H&E"))
    assert whole.shape == (64, 64, 3) and whole.dtype == np.uint8
    np.testing.assert_allclose(whole.astype(float), tiled.astype(float), atol=1)
    code, out, _ = run(capsys, *words, "--json")
    assert code == 0 and '"done_before": 12' in out
    for to, out in (((), "x"), (("--to", "PAS"), "x"), (("--to", "all"), "x.tif"), (("--to", "grey", "--trust"), "x")):
        code, _, err = run(capsys, "predict", folders / "run", source / "grey_0.tif", *to, "--out", tmp_path / out)
        assert code == 2 and err.count("error:") == 1 and not (tmp_path / out).exists()
        assert "H&E, fluo, grey" in err or "folder" in err or "expected" in err or "How far to trust" in err


def test_scores_tell_what_each_field_looks_like(folders, tmp_path, capsys) -> None:
    """An image by itself; a channel for each domain, on the grid of fields or of pixels; shares in the table."""
    source = folders / "all" / "grey"
    assert run(capsys, "score", folders / "run", source, "--out", tmp_path / "s")[0] == 0
    scores, domains = (tifffile.imread(tmp_path / "s" / f"grey_0{part}.tif") for part in ("", ".domains"))
    assert domains.shape == (3, *scores.shape)
    np.testing.assert_allclose(domains.sum(0), 1, atol=1e-5)
    with tifffile.TiffFile(tmp_path / "s" / "grey_0.domains.tif") as file:
        assert all(f'Name="{name}"' in file.ome_metadata for name in ("H&amp;E", "fluo", "grey"))
    with (tmp_path / "s" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and sum(float(rows[0][f"share_{name}"]) for name in ("H&E", "fluo", "grey")) == pytest.approx(
        1
    )
    one = source / "grey_0.tif"
    assert run(capsys, "score", folders / "run", one, "--per-pixel", "--out", tmp_path / "p.tif")[0] == 0
    assert tifffile.imread(tmp_path / "p.domains.tif").shape == (3, 64, 64)
    code, _, err = run(capsys, "score", folders / "run", one, one, "--out", tmp_path / "x.tif")
    assert code == 2 and "scores images by themselves" in err and not (tmp_path / "x.tif").exists()


def test_a_table_of_a_spreadsheet_tells_images_in_subfolders_apart(folders, tmp_path, capsys) -> None:
    """Semicolons and a byte order mark; the same name in two subfolders needs these before it."""
    for name in ("a", "b"):
        (tmp_path / "all" / name).mkdir(parents=True)
        for i, path in enumerate(sorted((folders / "all" / "grey").iterdir())):
            shutil.copy(path, tmp_path / "all" / name / f"{i}.tif")
    rows = [("name", "stain"), *((f"{name}/{i}.tif", name) for name in ("a", "b") for i in range(4))]
    words = "train", tmp_path / "all", *SMALL, "--domains", tmp_path / "t.csv", "--out"
    (tmp_path / "t.csv").write_text("\n".join(map(";".join, rows)), "utf-8-sig")
    assert run(capsys, *words, tmp_path / "run")[0] == 0
    (tmp_path / "t.csv").write_text("name,stain\n0.tif,a\n")
    code, _, err = run(capsys, *words, tmp_path / "no")
    assert code == 2 and "2 are called 0.tif. Write their subfolders before their names" in err
    (tmp_path / "t.csv").unlink()
    assert "there is no file" in run(capsys, *words, tmp_path / "no")[2]


def test_a_table_or_names_tell_several_sets_of_labels(folders, tmp_path, capsys) -> None:
    """What is empty is not known; both at once can be asked for; resumed from the files."""
    flat = tmp_path / "flat"
    flat.mkdir()
    rows = [("name", "stain", "scanner")]
    for i, path in enumerate(sorted((folders / "all").glob("*/*.tif"))):
        shutil.copy(path, flat / path.name)
        rows.append((path.stem if i % 2 else path.name, path.parent.name, ["A", "B", ""][i % 3]))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    train = "train", flat, *SMALL
    assert run(capsys, *train, "--domains", tmp_path / "labels.csv", "--out", tmp_path / "run")[0] == 0
    words = "predict", tmp_path / "run", flat / "grey_0.tif", "--to", "stain=H&E,scanner=B", "--out", tmp_path / "x.tif"
    assert run(capsys, *words)[0] == 0 and tifffile.imread(tmp_path / "x.tif").shape == (64, 64, 3)
    assert run(capsys, "train", "--resume", tmp_path / "run")[0] == 0
    named = "--domains", r"(?P<stain>[^_]+)_(?P<place>\d)"
    assert run(capsys, *train, *named, "--out", tmp_path / "names")[0] == 0
    _, out, _ = run(capsys, "info", tmp_path / "names")
    assert "stain=grey" in out and "place=3" in out


def without(place, *patterns):
    """A copy of the domains without some files."""
    for pattern in patterns:
        for path in place.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


BAD = {
    "at least two domains, a subfolder for each": (lambda all_: without(all_, "H&E", "fluo"), ()),
    "There must be images at": (lambda all_: without(all_, "H&E/*"), ()),
    "Images of one kind must have the same channels": (
        lambda all_: tifffile.imwrite(
            all_ / "grey" / "two.tif", np.ones((2, 64, 64), np.uint8), metadata={"axes": "CYX"}
        ),
        (),
    ),
    "no pairs to be judged by": (None, ("--validation-source", "all", "--validation-target", "all")),
    "cannot have --valid": (None, ("--valid", "all")),
    "z must be frame or volume": (None, ("--z", "channels")),
    "is one of pix2pix": (None, ("--l1-weight", "3")),
    "must have a group in brackets": (None, ("--domains", "grey")),
    "does not fit": (None, ("--domains", "(grey)")),
    "names nobody.tif, of which there is no file": (
        lambda all_: (all_.parent / "t.csv").write_text("name,stain\nnobody.tif,x\n"),
        ("--domains", "t.csv"),
    ),
    "must name every image": (
        lambda all_: (all_.parent / "t.csv").write_text("name,stain\ngrey_0.tif,x\n"),
        ("--domains", "t.csv"),
    ),
    "the columns name and one for each": (
        lambda all_: (all_.parent / "t.csv").write_text("file;stain\n"),
        ("--domains", "t.csv"),
    ),
    "twice": (
        lambda all_: (all_.parent / "t.csv").write_text("name,stain\ngrey_0.tif,x\ngrey_0,y\n"),
        ("--domains", "t.csv"),
    ),
}


@pytest.mark.parametrize("told", BAD)
def test_what_is_no_set_of_domains_is_told(folders, tmp_path, capsys, monkeypatch, told) -> None:
    """In a sentence, before anything is written."""
    shutil.copytree(folders / "all", tmp_path / "all")
    spoil, more = BAD[told]
    if spoil:
        spoil(tmp_path / "all")
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "train", "all", *SMALL, "--out", "run", *more)
    assert code == 2 and told.lower() in err.lower() and "Traceback" not in err, err
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_domain_of_one_image_is_taken_and_said(folders, tmp_path, capsys) -> None:
    """It trains; what is judged is said to be from within it."""
    shutil.copytree(folders / "all", tmp_path / "all")
    without(tmp_path / "all", "grey/grey_[1-3].tif")
    code, out, err = run(capsys, "train", tmp_path / "all", *SMALL, "--out", tmp_path / "run")
    assert code == 0 and "One image is no domain: what is learned of grey" in out + err


def test_check_looks_at_each_domain(folders, tmp_path, capsys) -> None:
    """A line for each; images in two of them and a domain of one are remarked; one that is too small is no good."""
    shutil.copytree(folders / "all", tmp_path / "all")
    without(tmp_path / "all", "grey/grey_[1-3].tif")
    shutil.copy(tmp_path / "all" / "fluo" / "fluo_0.tif", tmp_path / "all" / "H&E" / "copy.tif")
    words = "check", tmp_path / "all", "--method", "stargan", "--patch-size"
    code, out, _ = run(capsys, *words, "32")
    assert code == 0 and "One image is no domain" in out and "1 of fluo are in H&E, too" in out
    assert "5 frames" in out and out.splitlines()[-1] == "usable"
    code, out, _ = run(capsys, *words, "128")
    assert code == 1 and "not usable" in out


def test_label_images_are_taken_as_grey_values_and_said(folders, tmp_path, capsys) -> None:
    """By check and by train, of this domain alone."""
    shutil.copytree(folders / "all", tmp_path / "all")
    (tmp_path / "all" / "masks").mkdir()
    for i in range(3):
        labels = blobs((64, 64), seed=i)[1].astype(np.uint8)
        tifffile.imwrite(tmp_path / "all" / "masks" / f"{i}.tif", labels)
    for words in (("check", tmp_path / "all", *SMALL), ("train", tmp_path / "all", *SMALL, "--out", tmp_path / "run")):
        code, out, err = run(capsys, *words)
        said = " ".join((out + err).split())
        assert code == 0 and said.count("look like labels") == 1
        assert "images of masks look like labels (instances) and are taken as grey values" in said


def test_what_takes_a_source_and_a_target_is_told(folders, tmp_path, capsys) -> None:
    """fit-trust and evaluate; and a training that starts from a model of other domains."""
    same, run_ = folders / "all" / "H&E", folders / "run"
    for words in (("fit-trust", "x.safetensors"), ("evaluate", "x")):
        code, _, err = run(capsys, words[0], run_, same, same, "--out", tmp_path / words[1])
        assert code == 2 and "this one makes any of several domains. Predict with it (--to)" in err
    shutil.copytree(folders / "all", tmp_path / "all")
    (tmp_path / "all" / "grey").rename(tmp_path / "all" / "other")
    code, _, err = run(capsys, "train", tmp_path / "all", "--from", run_, "--steps", "1", "--out", tmp_path / "y")
    assert code == 2 and "H&E, fluo, grey; got H&E, fluo, other" in err
    assert not list(tmp_path.glob("x*"))


def test_domains_are_of_domains_alone(folders, tmp_path, capsys) -> None:
    """Pairs, and sides that are no pairs, do not swallow them."""
    sides = folders / "all" / "fluo", folders / "all" / "grey"
    for method in ("pix2pix", "cyclegan"):
        words = "check", *sides, "--method", method, "--domains", "(x)"
        code, _, err = run(capsys, *words)
        assert code == 2 and "cannot have --domains, which is of several domains. Leave it out" in err
        assert "method stargan" in err


def test_a_target_beside_domains_is_told(folders, tmp_path, capsys) -> None:
    """As no other image belongs there."""
    code, _, err = run(capsys, "train", folders / "all", folders / "all", *SMALL, "--out", tmp_path / "run")
    assert code == 2 and "must be in one folder" in err
