"""The section on expected errors shows what was found, no more, and believes no name."""

from dataclasses import replace

import pytest

from napari_pix2pix import core
from napari_pix2pix.core.teaching.examples import examples
from napari_pix2pix.core.trust.calibration import FEWEST_GROUPS
from napari_pix2pix.report.page import Content, html
from napari_pix2pix.report.pieces import number
from napari_pix2pix.report.trust import FIGURES, MONITORS, TITLE, trust_section
from report.test_report import STRANGE, Page
from small import blobs, untrained, with_judge


def figure(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def told(**changes):
    """As `Monitoring.report` gives it."""
    found = {
        name: {"pooled": 0.1 * i + 0.123, "per_image": figure(0.4567, 0.31, 0.62)} for i, name in enumerate(FIGURES)
    }
    trust = {
        "fields": 1234,
        "monitors": dict.fromkeys(MONITORS, found),
        "risk_coverage": {"coverage": [0.5, 1.0], "expected_error": [3.0, 12.0], "best": [1.0, 12.0]},
        "bound": figure(0.913, 0.88, 0.94),
        "mask": "leaves 60% of the pixels where at most 2 % of them may be wrong",
        "remarks": [STRANGE],
    }
    return {"kind": "intensity", "trust": trust | changes}


def test_every_monitor_and_figure_is_shown() -> None:
    """Each with its name; in sentences what the trusted half errs, and for how much the bound holds."""
    section = trust_section(told())
    page = Page(section)
    for title, meaning in (*MONITORS.values(), *FIGURES.values()):
        assert title in page.text
        assert meaning in page.text
    for value in (0.123, 0.223, 0.4567):
        assert number(value) in page.text
    assert "errs by 3 on average, all of them by 12 (grey values): 75% less." in page.text
    assert "holds for 91.3% of the fields of an image on average (95 % interval 0.880 to 0.940)" in page.text
    assert "that keep a promise (predict --trust --trust-risk): leaves 60% of the pixels where" in page.text
    assert "1,234 fields" in page.text
    assert STRANGE.split()[0] in page.text
    assert not page.all("script")
    assert len(page.all("svg")) == 1


def test_what_is_not_known_is_said_or_left_out() -> None:
    """No judge: no section. No field: its remark alone. No bound: a sentence. An unknown monitor: its own name."""
    assert trust_section({"kind": "classes"}) is None
    empty = trust_section(told(fields=0, monitors={}, risk_coverage=None, bound=None, remarks=["Nothing is said."]))
    assert Page(empty).text == "Nothing is said."
    page = Page(trust_section(told(bound=None) | {"kind": "instances"}))
    assert "No bound is promised" in page.text
    assert "share of wrong pixels" in page.text
    new = {"latent_distance": {"some_figure": {"pooled": None, "per_image": figure(None)}}}
    assert "latent distance" in Page(trust_section(told(monitors=new))).text


@pytest.mark.parametrize("groups", [FEWEST_GROUPS, 3])
def test_a_report_of_a_model_that_expects_errors_has_it(groups) -> None:
    """And one of another has not; the link above leads to it."""
    sources, targets = zip(*(blobs(seed=i) for i in range(3)), strict=True)
    targets = [source // 2 for source in sources]
    model = with_judge(untrained(sources[0][None], targets[0][None]), groups)
    pairs = core.PairedFrames(list(sources), list(targets), "YX", names=["a", "b", "c"])
    report = core.evaluate(model, pairs, None)
    page = Page(html(Content("A title", "a command", report, model)))
    assert TITLE in page.text
    assert ("No bound is promised" in page.text) == (groups < FEWEST_GROUPS)
    link = next(a["href"] for a in page.all("a") if "trust" in str(a.get("href")))
    assert link.removeprefix("#") in [heading.get("id") for heading in page.all("h2")]
    bare = replace(model, match=None)
    assert TITLE not in Page(html(Content("A title", "a command", core.evaluate(bare, pairs, None), bare))).text


def test_scores_of_a_judge_that_has_not_learned_enough_say_so() -> None:
    """Beside the pictures that show them, with what to do; one that has learned enough is shown without a word."""
    sources = [blobs(seed=i)[0] for i in range(3)]
    targets = [source // 2 for source in sources]
    model = with_judge(untrained(sources[0][None], targets[0][None]))
    pairs = core.PairedFrames(sources, targets, "YX", names=["a", "b", "c"])
    report = core.evaluate(model, pairs, None)
    for found in (0.6, 0.97):
        judged = replace(model, match=replace(model.match, examined={"swapped": found}))
        text = Page(html(Content("A title", "a command", report, judged, examples(report, pairs, judged)))).text
        assert ("has not learned enough to judge" in text and "more --trust-steps" in text) == (found < 0.9)
