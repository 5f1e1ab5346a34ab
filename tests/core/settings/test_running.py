"""How a model is run is one value; records know it by the names that they began with."""

import json
import pickle

import pytest

from napari_pix2pix.core.settings.config import validated
from napari_pix2pix.core.settings.running import PredictSettings, ScoreSettings

PREDICTED = {
    **{"axes": None, "wanted": [], "half": None, "tile_size": None, "overlap": None, "seed_threshold": None},
    **{"min_size": None, "keep_maps": False, "draws": None, "norm_statistics": None, "rescale": False},
    "precision": "auto",
}
SCORED = {
    **{"source_axes": None, "image_axes": None, "wanted": [], "halves": None, "tile_size": None, "kind": None},
    "table": False,
}
"""What records of before this value held of a command without flags."""


@pytest.mark.parametrize(
    ("how", "held"),
    [
        (PredictSettings(), PREDICTED),
        (
            PredictSettings(source_axes="CYX", source_channels=("1", "DAPI"), side_by_side="left", draws=2),
            PREDICTED | {"axes": "CYX", "wanted": ["1", "DAPI"], "half": "left", "draws": 2},
        ),
        (PredictSettings(trust=True, trust_limit=0.0), PREDICTED | {"trust": True, "trust_limit": 0.0}),
        (PredictSettings(trust=True, trust_risk=0.02), PREDICTED | {"trust": True, "trust_risk": 0.02}),
        (PredictSettings(keep_frames=True), PREDICTED | {"keep_frames": True}),
        (ScoreSettings(), SCORED),
        (ScoreSettings(source_channels=("2",), per_pixel=True), SCORED | {"wanted": ["2"], "each_pixel": True}),
    ],
)
def test_records_know_settings_by_the_names_of_before(how, held) -> None:
    """So that folders which an earlier version began are gone on with; a worker that gets the value has the same."""
    assert json.loads(json.dumps(how.record)) == held
    assert pickle.loads(pickle.dumps(how)) == how


@pytest.mark.parametrize(
    "wrong",
    [
        *({"tile_size": 2**40}, {"draws": 10**9}, {"trust_limit": float("inf")}, {"steps": 1}),
        *({"trust_risk": risk} for risk in (0, 1, -0.1, 2, float("nan"))),
    ],
)
def test_a_value_that_cannot_be_is_refused_where_it_is_made(wrong) -> None:
    """By its name, in one sentence."""
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: .*; got "):
        validated(PredictSettings, wrong)
