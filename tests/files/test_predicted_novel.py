"""How unlike the training a source is, is asked of the source as the model sees it, whatever the target's axes."""

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.core.trust import novelty
from napari_pix2pix.files import results
from napari_pix2pix.files.predicted import predict_file
from napari_pix2pix.files.stacks import open_stack, sha256
from small import blobs, untrained, with_judge

IMAGES = [blobs((48, 64), seed=seed)[0] for seed in range(6)]
SIDES = [
    ("RGB to grey", "YXS", 3, 1, "frame"),
    ("grey to RGB", "YX", 1, 3, "frame"),
    ("two channels to one", "CYX", 2, 1, "frame"),
    ("planes as channels to two", "ZYX", 3, 2, "all"),
    ("planes with their neighbours to one", "ZYX", 9, 1, "neighbours"),
    ("a time series to two", "TYX", 1, 2, "frame"),
]
"""What, the axes of the source, its channels as the model sees them, those of the target, how planes are taken."""


@pytest.mark.parametrize(("axes", "n_source", "n_target", "z"), [side[1:] for side in SIDES], ids=[s[0] for s in SIDES])
def test_the_row_says_how_novel_the_source_is(tmp_path, axes, n_source, n_target, z) -> None:
    """As `novel` says it of each frame of the source; and the prediction is that of the array."""
    n_seen = 3 if z == "neighbours" else n_source
    many = np.stack(IMAGES[:3] if z != "frame" or "T" in axes else IMAGES[:n_seen])
    stack = {"YXS": np.moveaxis(many, 0, -1), "YX": many[0]}.get(axes, many)
    target = np.stack(IMAGES[3 : 3 + n_target])
    model = with_judge(untrained(many[:n_seen] if "T" not in axes else many[:1], target, z=z))
    path, out = tmp_path / "source.tif", tmp_path / "out.tif"
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": axes})
    *_, last = predict_file(model, path, out, PredictSettings())
    plan = model.source_plan(stack, axes)
    assert last["row"]["novel"] == np.mean([model.novel(stack, plan, frame) for frame in range(plan.n_frames)])
    np.testing.assert_array_equal(np.asarray(open_stack(out).array), model.predict(stack, axes))


def test_it_is_asked_once_a_frame(tmp_path, monkeypatch) -> None:
    """Of a prediction, its row and its trust together, and the tree of training blocks is grown once."""
    stack = np.stack(IMAGES[:3])
    model = with_judge(untrained(stack[:1], stack[:1]))
    tifffile.imwrite(tmp_path / "source.tif", stack, ome=True, metadata={"axes": "TYX"})
    asked, grown = [], []
    novel, tree = model.novel, novelty.spatial.KDTree
    monkeypatch.setattr(model, "novel", lambda stack, plan, frame, _: asked.append(frame) or novel(stack, plan, frame))
    monkeypatch.setattr(novelty.spatial, "KDTree", lambda blocks: grown.append(len(blocks)) or tree(blocks))
    list(predict_file(model, tmp_path / "source.tif", tmp_path / "out.tif", PredictSettings(trust=True)))
    assert asked == [0, 1, 2]
    assert len(grown) == 1


def test_known_hashes_are_not_made_again(tmp_path, monkeypatch) -> None:
    """The result says them as it would have made them."""
    model = untrained(IMAGES[0][None], IMAGES[1][None])
    path = tmp_path / "source.tif"
    tifffile.imwrite(path, IMAGES[2])
    known = {path: sha256(path)}
    list(predict_file(model, path, tmp_path / "a.tif", PredictSettings()))
    monkeypatch.setattr(results, "sha256", None)
    list(predict_file(model, path, tmp_path / "b.tif", PredictSettings(), hashes=known))
    assert open_stack(tmp_path / "a.tif").description == open_stack(tmp_path / "b.tif").description
