"""Change a small part of an image, and those scores react whose field, where the layer shows it, contains that part."""

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Image

from napari_pix2pix.core.settings.running import ScoreSettings
from napari_pix2pix.files.scored import score_file
from napari_pix2pix.widgets.layers import file_of, layer_axes
from napari_pix2pix.widgets.score_maps import ScoreMaps
from small import untrained, with_judge
from widgets.test_placing import PLACES

RANDOM = np.random.default_rng(0)
SIZE, STRIDE = 16, 2


def model_for(channels, z="frame", planes=1):
    """One whose judge of the match sees 16 pixels, every 2, and is not taught."""
    shape = (channels, planes, 40, 40) if z == "volume" else (channels, 40, 40)
    target, source = (RANDOM.random((n, *shape[1:])).astype(np.float32) for n in (channels, 1))
    return with_judge(untrained(source, target, "intensity", z), louder=8)  # a pixel at the edge of a field is felt


def scored(model, source, image, folder):
    """The maps of this layer, by the command line's own function, from files as the dock writes them."""
    folder.mkdir()
    files = [file_of(layer, folder / f"{name}.ome.tif") for layer, name in ((source, "source"), (image, "image"))]
    axes = files[0].axes, files[1].axes
    out = folder / "s.ome.tif"
    events = list(
        score_file(model, files[0].path, files[1].path, out, ScoreSettings(source_axes=axes[0], image_axes=axes[1]))
    )
    return ScoreMaps.read(image, out, next(event for event in events if event["event"] == "placed"))


def reacts(model, source, values, change, folder, **place):
    """The maps of an image, its layer, and which scores another value in the pixels `change` moves."""
    image = Image(values, name="image", **place)
    changed = [level.copy() for level in values] if isinstance(values, list) else values.copy()
    (changed[0] if isinstance(values, list) else changed)[change] += 0.7
    before = scored(model, source, image, folder / "before")
    after = scored(model, source, Image(changed, name="image", **place), folder / "after")
    return before, image, np.abs(after.parts["scores"] - before.parts["scores"]) > 1e-6


def require_law(maps, image, moved, pixel, size=(SIZE, SIZE)):
    """Scores moved if, and only if, `pixel` lies in the field around the place where the overlay shows them."""
    overlay = maps.layer("scores")
    reach = np.zeros(len(pixel))
    reach[-len(size) :] = np.array(size) / 2
    assert 0 < moved.sum() < moved.size
    for place in np.ndindex(moved.shape):
        at = np.asarray(image.world_to_data(overlay.data_to_world(place)))  # where it is shown, on the image
        assert moved[place] == bool((np.abs(at - pixel) <= np.maximum(reach - 0.4, 0.4)).all()), (place, at)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_on_a_layer_of_any_transform(place, tmp_path) -> None:
    source, values = Image(RANDOM.random((44, 52)).astype(np.float32)), RANDOM.random((44, 52)).astype(np.float32)
    maps, image, moved = reacts(model_for(1), source, values, (21, 30), tmp_path, **place)
    require_law(maps, image, moved, (21, 30))


@pytest.mark.parametrize("kind", ["rgb", "multiscale"])
def test_on_colours_and_pyramids(kind, tmp_path) -> None:
    """Their fields are those of the full resolution."""
    source = Image(RANDOM.random((44, 52)).astype(np.float32))
    values = RANDOM.random((44, 52, 3) if kind == "rgb" else (44, 52)).astype(np.float32)
    given = values if kind == "rgb" else [values, values[::2, ::2], values[::4, ::4]]
    model, how = model_for(3 if kind == "rgb" else 1), {"rgb": True} if kind == "rgb" else {"multiscale": True}
    model = replace(model, channel_axis="S") if kind == "rgb" else model
    maps, image, moved = reacts(model, source, given, (17, 35), tmp_path, scale=(2, 3), rotate=20, **how)
    require_law(maps, image, moved, (17, 35))


@pytest.mark.parametrize("labels", [("t", "z", "y", "x"), ("z", "t", "y", "x"), ("t", "z", "x", "y")])
def test_on_stacks_only_the_frame_that_changed(labels, tmp_path) -> None:
    shape, pixel = (2, 3, 36, 40), (1, 2, 13, 22)
    source = Image(RANDOM.random(shape).astype(np.float32), axis_labels=labels)
    values = RANDOM.random(shape).astype(np.float32)
    how = {"axis_labels": labels, "scale": (5, 4, 2, 3), "translate": (1, 2, 3, 4)}
    maps, image, moved = reacts(model_for(1), source, values, pixel, tmp_path, **how)
    assert maps.axes == "".join(labels).upper() == layer_axes(image)
    require_law(maps, image, moved, pixel)


def test_in_volumes_the_planes_of_the_field(tmp_path) -> None:
    shape, pixel = (12, 36, 40), (6, 13, 22)
    source, values = (RANDOM.random(shape).astype(np.float32) for _ in range(2))
    labels = ("z", "y", "x")
    model = model_for(1, "volume", 4)
    layer = Image(source, axis_labels=labels)
    maps, image, moved = reacts(model, layer, values, pixel, tmp_path, axis_labels=labels, scale=(4, 1, 2))
    require_law(maps, image, moved, pixel, maps.sizes)
