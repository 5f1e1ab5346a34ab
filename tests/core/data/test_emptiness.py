"""A channel of one value is asked about, and taken for what is said of it."""

import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.core.data import regions as regions_module
from napari_pix2pix.core.data.census import Census
from napari_pix2pix.core.data.emptiness import settle_empty
from napari_pix2pix.core.data.pairs import PairedFrames
from small import small_config

ASKED = "NFH of pair 1 is, and varies in others. Choose `empty_channels` empty or unstained"


def stained(dark: tuple[int, ...] = (1,), offset: int = 7) -> PairedFrames:
    """Three time series of two stains; in those `dark` the second is one value."""
    random = np.random.default_rng(0)
    sources = [random.integers(0, 999, (2, 40, 44)).astype(np.uint16) for _ in range(3)]
    targets = [np.stack([source, source // 2], 1) for source in sources]
    for i in dark:
        targets[i][:, 1] = offset
    return PairedFrames(sources, targets, ("TYX", "TCYX"), target_names=("DAPI", "NFH"))


@pytest.mark.parametrize("rows", [40, 8])
def test_a_channel_of_one_value_is_asked_about(monkeypatch, rows: int) -> None:
    """It is found in the one pass of the census, however large its frames, and by itself; and is what is said."""
    monkeypatch.setattr(regions_module, "PIECE", rows * 44)
    pairs = stained()
    found = Census.of(pairs).constant
    assert found == ((1, 1),)
    for constant in (found, None):
        with pytest.raises(ValueError, match=ASKED):
            settle_empty(pairs, "ask", "ask", constant=constant)
        assert settle_empty(pairs, "ask", "empty", constant=constant) is pairs
        assert settle_empty(pairs, "ask", "unstained", constant=constant).stained.tolist() == [
            [True, True],
            [True, False],
            [True, True],
        ]


@pytest.mark.parametrize("dark", [(), (0, 1, 2)])
def test_what_never_or_always_varies_is_not_asked_about(dark) -> None:
    """A channel that is one value in all pairs tells nothing of stains."""
    pairs = stained(dark)
    assert Census.of(pairs).constant == ()
    assert settle_empty(pairs, "ask", "ask") is pairs


def test_one_value_in_a_frame_is_nothing_to_ask() -> None:
    """What varies in another frame of its pair was stained."""
    pairs = stained(())
    pairs.targets[1][0, 1] = 0
    assert settle_empty(pairs, "ask", "ask") is pairs


def test_colours_are_no_stains() -> None:
    """A white image is white."""
    images = [np.full((40, 44, 3), 255, np.uint8), np.random.default_rng(0).integers(0, 255, (40, 44, 3), np.uint8)]
    pairs = PairedFrames([image[..., 0] for image in images], images, ("YX", "YXS"))
    assert settle_empty(pairs, "ask", "ask") is pairs


def test_a_check_asks_and_tells_which_pairs_have_which_stain() -> None:
    """With settings that do not say what it means such pairs are unusable; the answers offered are the remedy."""
    pairs = stained()
    asked = core.check(pairs)
    assert asked["usable"] and not asked["stains"]
    (remark,) = (one for one in asked["remarks"] if "Choose `empty_channels`" in one["text"])
    refused = core.check(pairs, config=small_config(empty_channels="ask"))
    assert not refused["usable"] and ASKED in refused["unusable"][0]
    answers = [core.check(pairs, config=small_config(**remedy["changes"])) for remedy in remark["remedies"]]
    assert all(answer["usable"] for answer in answers)
    assert [answer["stains"] for answer in answers] == [
        [],
        [{"name": "DAPI", "pairs": 3, "without": []}, {"name": "NFH", "pairs": 2, "without": ["pair 1"]}],
    ]
    assert answers[1]["facts"]["stain NFH"] == "2 of 3 pairs, not pair 1"


def test_what_is_not_there_is_not_measured() -> None:
    """A check finds the same range, shift and correlation whatever lies where a stain is missing."""
    found = []
    for offset in (0, 60_000):
        pairs = stained(offset=offset).unstained({(1, 1)})
        report = core.check(pairs, config=small_config())
        found.append([report[name] for name in ("target", "shift", "correlation", "remarks")])
    assert found[0] == found[1]
    assert found[0][0]["n_constant"] == 0 and found[0][0]["range"][1] < 1000


@pytest.mark.filterwarnings("ignore:Pairs that judge must not be those that train")
@pytest.mark.filterwarnings("ignore:No room")
def test_pairs_that_judge_are_asked_about_what_varies_where_it_is_learned(tmp_path) -> None:
    """Also where there is but one of them; a model knows which of its channels vary."""
    train, judge = stained(()), stained((0,))
    one = PairedFrames(
        judge.sources[:1], judge.targets[:1], ("TYX", "TCYX"), names=["new"], target_names=("DAPI", "NFH")
    )
    assert settle_empty(one, "ask", "ask") is one
    with pytest.raises(ValueError, match="NFH of new is, and varies in others"):
        next(iter(core.train(train, small_config(), out=tmp_path / "a", validation=one, device="cpu")))
    *_, report = core.train(train, small_config(steps=1), out=tmp_path / "b", device="cpu")
    with pytest.raises(ValueError, match="NFH of new is, and varies in others"):
        core.evaluate(report.model, one, None)
    found = core.evaluate(report.model, one, None, empty_channels="unstained")
    assert [stain["n"] for stain in found["stains"]] == [2, 0]


def test_a_training_asks_and_keeps_to_the_answer(tmp_path) -> None:
    """Without an answer it does not begin; as not stained the pair lacks it, as empty it does not."""
    with pytest.raises(ValueError, match=ASKED):
        next(iter(core.train(stained(), small_config(), out=tmp_path / "ask", device="cpu")))
