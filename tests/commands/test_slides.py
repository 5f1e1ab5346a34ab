"""predict on slides: at the model's pixel size; a region is that of the whole, glass is filled, and trust is told."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.core import load_model
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.core.trust.novelty import Novelty
from napari_pix2pix.files import areas
from napari_pix2pix.files.areas import find_tissue, read_annotations
from napari_pix2pix.files.partners import open_joined
from napari_pix2pix.files.predicted import predict_file
from napari_pix2pix.files.stacks import open_stack
from slide_files import tissue_picture, write_pyramid, write_slide
from small import untrained, with_judge

pytest.importorskip("openslide", reason="the extra slides is not installed")
PICTURE, TISSUE = tissue_picture((600, 900))
TILES = ("--tile-size", "64", "--device", "cpu")


def known_at(model, pixel_size_um):
    """The model with this pixel size of its training."""
    return replace(model, provenance={"pairs": {"train": {"pixel_size_um": dict.fromkeys("YX", pixel_size_um)}}})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A slide, and models of intensities, classes and objects whose training had 1 µm."""
    place = tmp_path_factory.mktemp("slides")
    write_slide(place / "case.svs", PICTURE)
    source = PICTURE[:128, 100:300].transpose(2, 0, 1)
    grey = source[:1].astype(np.uint16) * 100
    targets = {
        "intensity": grey,
        "classes": (grey > 20_000).astype(np.uint8),
        "instances": (grey > 21_000).astype(np.uint16),
    }
    for kind, target in targets.items():
        model = with_judge(untrained(source, target, kind))
        seen = model.source_encoding.encode(PICTURE[200:400, 150:390].transpose(2, 0, 1))
        novelty = Novelty.of([seen[:, :, x : x + 60] for x in range(0, 240, 60)], model.match.network.fields[-1].size)
        model = replace(model, match=replace(model.match, novelty=novelty))
        known_at(model, 1.0).save(place / f"{kind}.safetensors")
    for kind, target in (("intensity", "pixels"), ("classes", "class_pixels")):
        known_at(with_judge(untrained(source, targets[kind], kind), per_pixel=True), 1.0).save(
            place / f"{target}.safetensors"
        )
    colours = replace(with_judge(untrained(source, source, "intensity")), channel_axis="S")
    known_at(colours, 1.0).save(place / "colours.safetensors")
    return place


def predicted(place, kind, name, *flags):
    out = place / f"{name}.ome.tif"
    assert (
        main(
            ["predict", str(place / f"{kind}.safetensors"), str(place / "case.svs"), "--out", str(out), *TILES, *flags]
        )
        == 0
    )
    return out


def test_a_slide_is_predicted_at_the_models_pixel_size(place):
    stack = open_stack(predicted(place, "intensity", "models"))
    assert stack.array.shape[-2:] == (300, 450) and stack.pixel_size_um == {"Y": 1.0, "X": 1.0}
    finer = open_stack(predicted(place, "intensity", "finer", "--pixel-size-um", "0.75"))
    assert finer.array.shape[-2:] == (400, 600) and finer.pixel_size_um == {"Y": 0.75, "X": 0.75}


@pytest.mark.parametrize("kind", ["intensity", "classes"])
@pytest.mark.parametrize("flags", [(), ("--tissue",), ("--overlap", "4"), ("--pixel-size-um", "0.7")])
def test_a_region_is_the_same_region_of_the_whole(place, kind, flags):
    name = f"{kind}{len(flags)}{''.join(flags)[:4]}"
    whole = open_stack(predicted(place, kind, f"whole{name}", *flags)).array[...]
    part = open_stack(predicted(place, kind, f"part{name}", *flags, "--region", "302,204,200,150")).array[...]
    assert part.shape == whole.shape
    scale = whole.shape[1] / 900
    rows, columns = (
        slice(int(np.floor(a * scale)), int(np.ceil((a + n) * scale))) for a, n in ((204, 150), (302, 200))
    )
    assert np.array_equal(part[rows, columns], whole[rows, columns]) and np.ptp(part[rows, columns])
    outside = np.ones(part.shape, bool)
    outside[rows, columns] = False
    assert not part[outside].any()


@pytest.mark.filterwarnings("ignore:100% of the source")
def test_tiles_and_progress_are_those_of_the_part(place, tmp_path):
    model = load_model(place / "intensity.safetensors", "cpu")

    def told(**part):
        how = PredictSettings(tile_size=64, precision="float32", **part)
        events = list(predict_file(model, place / "case.svs", tmp_path / "a.ome.tif", how))
        notes = [event["text"] for event in events if event["event"] == "note"]
        return notes[0], [event["done"] for event in events if event["event"] == "progress"]

    assert told()[0].startswith("40 tiles of 64 px for each frame, overlap ")
    one, done = told(region="260,260,100,100")
    assert one.startswith("1 tile of up to 64 px for the part, overlap ")
    assert done[-1] == 0.5 and set(done) == {0, 0.5}  # glass is no work; the rest is writing the file
    assert told(region="200,200,200,100")[0].startswith("6 tiles of up to 64 px for the part")
    few, done = told(tissue=True)
    assert few.endswith("exact.") and done[-1] == 0.5


def test_a_region_in_um_is_that_in_px(place):
    px = open_stack(predicted(place, "intensity", "px", "--region", "302,204,200,150")).array[...]
    for number, text in enumerate(("151,102,100,75um", "151,102,100,75 µm")):
        assert np.array_equal(open_stack(predicted(place, "intensity", f"um{number}", "--region", text)).array[...], px)


def test_tissue_is_predicted_as_in_the_whole_and_glass_is_filled(place, capsys):
    whole = open_stack(predicted(place, "intensity", "all")).array[...].astype(float)
    out = predicted(place, "intensity", "tissue", "--tissue")
    part = open_stack(out).array[...]
    inside = TISSUE[::2, ::2]
    found = part > 0
    assert found[inside].mean() > 0.98 and found[~inside].mean() < 0.1
    assert np.abs(part - whole)[found].max() <= 2  # grey values, of 25,000
    features = json.loads((place / "tissue.tissue.geojson").read_text())["features"]
    assert {feature["properties"]["classification"]["name"] for feature in features} == {"Tissue"} and len(
        features
    ) == 2
    again = predicted(place, "intensity", "again", "--annotations", str(place / "tissue.tissue.geojson"))
    assert np.array_equal(open_stack(again).array[...], part)


@pytest.mark.filterwarnings("ignore:100% of the source")
def test_nothing_is_beside_a_prediction_before_it_is_done(place, tmp_path):
    """A process that is killed leaves nothing that the same command would not replace."""
    how = PredictSettings(tissue=True, tile_size=64, draws=2)
    out, seen = tmp_path / "a.ome.tif", 0
    for event in predict_file(load_model(place / "intensity.safetensors", "cpu"), place / "case.svs", out, how):
        if event["event"] == "progress":
            seen += 1
            assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    names = {path.name for path in tmp_path.iterdir()}
    assert seen and names == {"a.ome.tif", "a.tissue.geojson", "a.spread.tif"}


@pytest.mark.filterwarnings("ignore:100% of the source")
def test_a_run_that_is_killed_while_it_judges_leaves_nothing_in_the_next_ones_way(place, tmp_path, capsys):
    """What is judged beyond a part hides, and the next run takes it away; of an unknown OUT it is said what to do."""
    how = PredictSettings(region="302,204,100,80", tile_size=64, trust=True)
    out = tmp_path / "a.ome.tif"
    for _ in predict_file(load_model(place / "intensity.safetensors", "cpu"), place / "case.svs", out, how):
        if out.exists():
            break
        assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    words = ["predict", str(place / "intensity.safetensors"), str(place / "case.svs"), "--out", str(out), *TILES]
    words += ["--region", "302,204,100,80", "--trust"]
    for path in tmp_path.iterdir():
        path.unlink()
    out.touch()
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "a.ome.tif does, without " in said and "as a run that was killed leaves it. Choose another --out or" in said
    assert main([*words, "--overwrite"]) == 0
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_colours_are_filled_with_white(place):
    part = open_stack(predicted(place, "colours", "colours", "--tissue")).array[...]
    assert (part[:20, :20] == 255).all() and part.dtype == np.uint8


def test_annotations_that_were_edited_make_another_prediction(place, tmp_path, capsys):
    """In a folder: it is refused, or overwrites; the same ones, wherever they lie now, are done before."""
    file = annotations(tmp_path / "drawn.geojson", (200, 240))
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.svs").symlink_to(place / "case.svs")
    words = ["predict", str(place / "intensity.safetensors"), str(tmp_path / "in"), "--out", str(tmp_path / "out")]

    def predict(file, *more):
        capsys.readouterr()
        return main([*words, *TILES, "--annotations", str(file), *more]), "".join(capsys.readouterr())

    def rows():
        return np.flatnonzero(open_stack(tmp_path / "out" / "a.tif").array[...].any(axis=1))

    assert predict(file)[0] == 0 and rows().tolist() == list(range(120, 170))
    moved = file.rename(tmp_path / "moved.geojson")
    assert "2 done before" in predict(moved)[1]
    annotations(moved, (200, 400))
    code, said = predict(moved)
    assert code == 2 and "An output must not exist yet" in said and rows()[0] == 120
    code, said = predict(moved, "--overwrite")
    assert code == 0 and "done before" not in said and rows().tolist() == list(range(200, 250))


def test_holes_in_tissue_are_closed_and_dust_is_none():
    picture = PICTURE.copy()
    picture[280:310, 250:290] = 243  # a vessel
    picture[5:8, 5:8] = (200, 0, 0)
    mask = np.zeros(picture.shape[:2], bool)
    for shape in find_tissue(replace_array(picture)):
        shape.add_to(mask, slice(0, 600), slice(0, 900))
    assert mask[290, 270] and not mask[6, 6]
    assert (mask == TISSUE).mean() > 0.97


def replace_array(picture):
    from pathlib import Path

    from napari_pix2pix.files.readers.lazy import LazyArray, Stack

    return Stack(
        Path("a.svs"), LazyArray(Path("a.svs"), picture.shape, picture.dtype, lambda _, index: picture[index]), "YXS"
    )


def annotations(path, *corners, names=()):
    """A GeoJSON with squares of 100 px from these corners (x, y) on."""
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, y], [x + 100, y], [x + 100, y + 100], [x, y + 100], [x, y]]],
            },
            "properties": {"objectType": "annotation", "name": name},
        }
        for (x, y), name in zip(corners, names or map(str, range(len(corners))), strict=True)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
def test_trust_of_a_part_tells_its_worst_regions_and_a_mean_for_each_annotation(place, kind):
    file = annotations(place / "two.geojson", (200, 240), (300, 240), names=("tumour", "stroma"))
    out = predicted(place, kind, f"trust{kind}", "--annotations", str(file), "--trust")
    errors = open_stack(out.with_name(f"trust{kind}.expected_error.tif")).array[...]
    inside = np.zeros((300, 450), bool)
    inside[120:170, 100:200] = True
    assert np.array_equal(np.isfinite(errors), inside)
    rows = list(csv.DictReader((place / f"trust{kind}.annotations.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["tumour", "stroma"] and [int(row["size"]) for row in rows] == [2500, 2500]
    assert float(rows[0]["expected_error"]) == pytest.approx(errors[120:170, 100:150].mean(), rel=1e-4)
    features = json.loads((place / f"trust{kind}.worst.geojson").read_text())["features"]
    told = [feature["properties"]["measurements"]["Expected error"] for feature in features]
    assert told and told == sorted(told, reverse=True)
    corner = np.array(features[0]["geometry"]["coordinates"][0])
    centre = corner[:4].mean(axis=0)
    assert 200 <= centre[0] <= 400 and 240 <= centre[1] <= 340  # in pixels of the slide


@pytest.mark.parametrize("kind", ["intensity", "classes", "pixels", "class_pixels"])
def test_what_is_told_of_a_part_is_told_there_of_the_whole(place, kind):
    whole = predicted(place, kind, f"judged{kind}", "--trust")
    part = predicted(place, kind, f"judgedpart{kind}", "--trust", "--region", "302,204,160,120")
    inside = slice(102, 162), slice(151, 231)
    for name in ("expected_error", "untrusted"):
        all_of_it, some = (open_stack(out.with_name(out.name.replace("ome", name))).array[...] for out in (whole, part))
        np.testing.assert_allclose(some[inside], all_of_it[inside], rtol=1e-4, atol=1e-6)
    assert np.ptp(some[inside]) or name == "untrusted"
    assert not [path for path in place.iterdir() if path.is_dir()]


def test_names_of_annotations_are_no_formulas_and_command_no_terminal(place):
    file = annotations(place / "names.geojson", (200, 240), (300, 240), names=("=HYPERLINK(1)", "a\x1b[31mb"))
    predicted(place, "intensity", "named", "--annotations", str(file), "--trust")
    rows = list(csv.DictReader((place / "named.annotations.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["'=HYPERLINK(1)", "a\\x1b[31mb"]


def test_areas_are_read_beside_what_has_no_place(tmp_path):
    two = json.loads(annotations(tmp_path / "a.geojson", (0, 0), (200, 0)).read_text())["features"]
    both = {"type": "GeometryCollection", "geometries": [two[0]["geometry"], {"type": "Point", "coordinates": [1, 2]}]}
    features = [{"type": "Feature", "geometry": None, "properties": None}, {"geometry": both, "properties": {}}, two[1]]
    (tmp_path / "b.geojson").write_bytes(
        b"\xef\xbb\xbf" + json.dumps({"features": features, "type": "FeatureCollection"}).encode()
    )
    shapes = read_annotations(tmp_path / "b.geojson", replace_array(PICTURE))
    assert [shape.bounds for shape in shapes] == [(0, 0, 100, 100), (200, 0, 300, 100)]
    deep = '{"type": "GeometryCollection", "geometries": [' * 900
    (tmp_path / "c.geojson").write_text('{"geometry": ' + deep + "]}" * 900 + ', "type": "Feature"}')
    with pytest.raises(ValueError, match=r"must (be a GeoJSON file|hold an area)"):
        read_annotations(tmp_path / "c.geojson", replace_array(PICTURE))


RING = [[0, 0], [9, 0], [9, 9], [0, 0]]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"type": "FeatureCollection", "features": []}, "must hold an area"),
        ([{"geometry": {"type": "LineString", "coordinates": [[0, 0], [9, 9]]}}], "lines and points are no areas"),
        ([{"geometry": {"type": "MultiPoint", "coordinates": [[0, 0], [9, 9]]}}], "lines and points are no areas"),
        (3, "a geometry must be an object of a type of GeoJSON, Polygon say; got 3"),
        ({"type": "Topology"}, "a geometry must be an object of a type of GeoJSON"),
        ({"type": "FeatureCollection", "features": {}}, "a FeatureCollection must have a list of features; got {}"),
        ([RING], "a feature must be an object with a geometry; got [[0, 0]"),
        ({"type": "Feature"}, "a feature must be an object with a geometry"),
        ({"type": "GeometryCollection"}, "a GeometryCollection must have a list of geometries; got null"),
        ({"type": "Polygon", "coordinates": RING}, "a Polygon must be a list of rings of corners [x, y]; got 0 for a"),
        ({"type": "Polygon", "coordinates": [[RING]]}, "a Polygon must be a list of rings of corners [x, y]; got [[0"),
        ({"type": "MultiPolygon", "coordinates": [RING]}, "a MultiPolygon must be a list of polygons, each a list of"),
        ({"type": "Polygon"}, "a Polygon must be a list of rings of corners [x, y]; got null"),
        ({"type": "Polygon", "coordinates": []}, "a polygon must have three corners"),
        ({"type": "Polygon", "coordinates": [RING[:2]]}, "a polygon must have three corners"),
        ({"type": "Polygon", "coordinates": [[["0", "0"], ["9", "0"], ["9", "9"]]]}, 'numbers [x, y]; got ["0", "0"]'),
        (
            {"type": "Polygon", "coordinates": [[[0, None], *RING]]},
            "a corner must be two numbers [x, y]; got [0, null]",
        ),
        ({"type": "Polygon", "coordinates": [[[0, float("nan")], *RING]]}, "a corner must be two numbers"),
    ],
)
def test_annotations_of_a_wrong_form_are_named(tmp_path, content, sentence):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"Annotations must .*a\.geojson .*\.$") as told:
        read_annotations(path, replace_array(PICTURE))
    assert sentence in str(told.value)


def test_pixels_that_are_not_known_are_glass_and_channels_of_several_files_no_colours(tmp_path):
    some = PICTURE.astype(np.float32)
    some[5:9, 5:9, 1] = np.nan
    mask = np.zeros((600, 900), bool)
    for shape in find_tissue(replace_array(some)):
        shape.add_to(mask, slice(0, 600), slice(0, 900))
    assert (mask == TISSUE).mean() > 0.97 and not mask[:20, :20].any()
    for number in range(3):
        tifffile.imwrite(tmp_path / f"{number}.tif", PICTURE[..., number])
    joined = open_joined(tmp_path / "0.tif", [tmp_path / "1.tif", tmp_path / "2.tif"])
    with pytest.raises(ValueError, match=r"a slide must be RGB; .* has 3 channels from several files"):
        find_tissue(joined)


def test_a_thumbnail_reads_some_rows_at_once(monkeypatch):
    stack, read = replace_array(PICTURE), []

    def counted(_, index):
        read.append(PICTURE[index].nbytes)
        return PICTURE[index]

    stack = replace(stack, array=replace(stack.array, read=counted))
    shapes = find_tissue(stack)
    monkeypatch.setattr(areas, "AT_ONCE", 50_000)
    read.clear()
    assert find_tissue(stack) == shapes
    assert max(read) <= 600_000 and sum(read[9:]) <= 1.1 * PICTURE.nbytes


def test_a_pyramidal_tiff_has_levels_and_regions_without_openslide(place, monkeypatch, tmp_path):
    import sys

    svs = open_stack(predicted(place, "intensity", "svs", "--pixel-size-um", "1", "--region", "302,204,200,150")).array[
        ...
    ]
    monkeypatch.setitem(sys.modules, "openslide", None)
    path, out = write_pyramid(tmp_path / "a.ome.tif", PICTURE), tmp_path / "out.ome.tif"
    flags = ("--pixel-size-um", "1", "--region", "302,204,200,150")
    assert main(["predict", str(place / "intensity.safetensors"), str(path), "--out", str(out), *TILES, *flags]) == 0
    assert np.array_equal(open_stack(out).array[...], svs)


def test_another_stain_is_told_though_the_middle_is_glass(place, capsys):
    blue = np.where(TISSUE[..., None], 255 - PICTURE, 243).astype(np.uint8)
    blue[250:350, 400:500] = 243
    write_slide(place / "blue.svs", blue)
    model, out = str(place / "classes.safetensors"), str(place / "blue.ome.tif")
    assert main(["predict", model, str(place / "blue.svs"), "--out", out, *TILES, "--tissue"]) == 0
    assert "like nothing that trained the model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--region", "1,2,3"), "A region must be X,Y,W,H"),
        (("--region", "a,b,c,d"), "A region must be X,Y,W,H"),
        (("--region", "800,500,200,200"), "A region must lie on the slide, 900 x 600 px; 800,500,200,200 reaches"),
        (("--region", "-5,0,20,20"), "A region must lie on the slide"),
        (("--region", "0,0,0,20"), "A region must lie on the slide"),
        (("--annotations", "{none}"), "Annotations must be a GeoJSON file; there is none"),
        (("--annotations", "{text}"), "Annotations must be a GeoJSON file, as QuPath exports it"),
        (("--annotations", "{point}"), "Annotations must hold an area"),
        (("--annotations", "{other}"), "Are they of another slide?"),
        (("--pixel-size-um", "0.1"), "pixels of 0.5 µm at its finest, and was asked for 0.1 µm"),
        (("--region", "0,0,64,64", "--tissue"), "have no pixel in common"),
        (("--region", "0,0,64,64", "--rescale"), "--rescale and a part of a slide cannot be had together"),
    ],
)
def test_bad_regions_are_named(place, tmp_path, capsys, flags, sentence):
    files = {"none": tmp_path / "none.geojson", "text": tmp_path / "text.geojson", "point": tmp_path / "point.geojson"}
    files["text"].write_text('{"type": "FeatureCollection"}')
    files["point"].write_text('{"type": "Feature", "geometry": {"type": "Point", "coordinates": [3, 4]}}')
    files["other"] = annotations(tmp_path / "other.geojson", (5000, 4000))
    given = [flag.format(**files) if flag.startswith("{") else flag for flag in flags]
    flags = [f"{a}={b}" for a, b in zip(given[::2], given[1::2], strict=False)] if len(given) % 2 == 0 else given
    flags = [*given] if "--tissue" in given or "--rescale" in given else flags
    out = tmp_path / "out.ome.tif"
    assert (
        main(
            [
                "predict",
                str(place / "intensity.safetensors"),
                str(place / "case.svs"),
                "--out",
                str(out),
                *TILES,
                *flags,
            ]
        )
        == 2
    )
    assert sentence in capsys.readouterr().err and not list(tmp_path.glob("out*"))


def test_a_slide_without_tissue_or_colours_is_named(place, tmp_path, capsys):
    write_slide(tmp_path / "glass.svs", np.full((300, 400, 3), 243, np.uint8))
    tifffile.imwrite(tmp_path / "grey.tif", PICTURE[..., 0])
    for name, sentence in (("glass.svs", "shows none. Give a region"), ("grey.tif", "a slide must be RGB")):
        model, source = str(place / "intensity.safetensors"), str(tmp_path / name)
        assert main(["predict", model, source, "--out", str(tmp_path / "o.tif"), *TILES, "--tissue"]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.svs", "a.tif"])
def test_a_slide_without_a_pixel_size_is_taken_as_it_is_and_said(place, tmp_path, capsys, name):
    if name == "a.svs":
        write_slide(tmp_path / name, PICTURE, None)
    else:
        with tifffile.TiffWriter(tmp_path / name) as file:
            file.write(PICTURE, subifds=1, tile=(64, 64), metadata=None)
            file.write(PICTURE[::2, ::2], subfiletype=1, tile=(64, 64), metadata=None)
    how = ["predict", str(place / "intensity.safetensors"), str(tmp_path / name), *TILES, "--out"]
    assert main([*how, str(tmp_path / "out.tif"), "--region", "302,204,64,64"]) == 0
    assert "it is taken at its full resolution, while the model was trained at 1 µm" in capsys.readouterr().err
    assert main([*how, str(tmp_path / "b.tif"), "--region", "0,0,10,10um"]) == 2
    assert "For a region in µm a slide must say how large its pixels are" in capsys.readouterr().err


def test_glass_costs_next_to_nothing_on_disk(place):
    part = predicted(place, "intensity", "small", "--region", "302,204,64,64")
    assert part.stat().st_size < 0.15 * predicted(place, "intensity", "large").stat().st_size


def test_a_prediction_of_a_slide_is_scored_at_its_own_pixel_size(place, tmp_path):
    image, out = predicted(place, "intensity", "scored", "--pixel-size-um", "1.5"), tmp_path / "s.tif"
    words = [str(place / "intensity.safetensors"), str(place / "case.svs"), str(image), "--out", str(out)]
    assert main(["score", *words, "--device", "cpu", "--per-pixel"]) == 0
    scores = open_stack(out)
    assert scores.array.shape == (200, 300) and scores.pixel_size_um == {"Y": 1.5, "X": 1.5}
