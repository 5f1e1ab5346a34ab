"""Reports in a headless Chromium: nothing is fetched, nothing fails, every image is drawn."""

import os

import numpy as np
import pytest
import tifffile

import ensure_display
from browser import Browser, opened
from napari_pix2pix.commands.app import main
from small import SMALL_FLAGS, blobs

pytestmark = pytest.mark.slow


@pytest.fixture
def browser() -> str:
    found = ensure_display.browser()
    if found is None:
        line = f"no browser; as root: {ensure_display.apt_line([ensure_display.BROWSER])}"
        if os.environ.get("CI") == "true":
            pytest.fail(line, pytrace=False)
        pytest.skip(line)
    return found


def write_pairs(folder, kind: str) -> None:
    """Six pairs, two of them new, with names that nobody should trust."""
    for i in range(6):
        source, target = blobs(seed=i)
        if kind == "intensity":
            target = np.stack([source // 2, source // 3])
        elif kind == "classes":
            target = (target > 0).astype(np.uint8)
        for side, image in (("sources", source), ("targets", target)):
            path = folder / ("old" if i < 4 else "new") / side / f"cell {i} <img src=x onerror='throw 1'>.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            axes = {"axes": "CYX" if image.ndim == 3 else "YX"}
            tifffile.imwrite(path, image, photometric="minisblack", metadata=axes)


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
def test_a_report_is_drawn_without_a_network(browser, kind, tmp_path) -> None:
    """Of train and of evaluate: no error, no request, every image and figure drawn, text, zoom, light and dark."""
    write_pairs(tmp_path, kind)
    sides = ("sources", "targets")
    run, out = tmp_path / "run", tmp_path / "e"
    train = ["train", *(tmp_path / "old" / side for side in sides), "--out", run, *SMALL_FLAGS, "--target-kind", kind]
    also = ["--objects", "otsu"] if kind == "intensity" else []
    evaluate = ["evaluate", run, *(tmp_path / "new" / side for side in sides), "--out", out, *also]
    assert main([*map(str, train)]) == 0
    assert main([*map(str, evaluate)]) == 0
    for i, page in enumerate((run / "report.html", out / "report.html")):
        with opened(browser, tmp_path / f"profile {i}") as shown:
            shown.open(page)
            require_sound(shown)
            require_zoom(shown)


def require_sound(shown: Browser) -> None:
    """No error was told, nothing but the page was asked for, and all of it is to be seen."""
    text = shown.value("document.body.innerText")
    for said in ("Summary", "Figures", "Images", "Methods", "Isola", "onerror='throw 1'", "napari-pix2pix "):
        assert said in text
    images = shown.value("[...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width])")
    assert len(images) >= 5 and all(done and natural > 0 and width > 50 for done, natural, width in images)
    drawn = shown.value("[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().height)")
    assert drawn and min(drawn) > 50
    beyond = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.wide, .box'))"
    assert shown.value(f"{beyond}.filter(e => e.getBoundingClientRect().right > innerWidth + 1).length") == 0
    ink, paper = "getComputedStyle(document.body).color", "getComputedStyle(document.body).backgroundColor"
    seen = set()
    for scheme in ("light", "dark"):
        shown.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        seen.add((shown.value(ink), shown.value(paper)))
        strokes = "getComputedStyle(document.querySelector('svg text')).fill"
        assert shown.value(strokes) == shown.value(ink)
    assert len(seen) == 2
    errors = shown.events("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    assert errors == []
    asked = [event["request"]["url"] for event in shown.events("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [asked[0]]
    assert asked[0].startswith("file:")


def require_zoom(shown: Browser) -> None:
    """Plus magnifies all pictures of one image alike and no other; the last button shows the whole again."""
    scales = "[...document.querySelectorAll('.example')].map(e => [...new Set([...e.querySelectorAll('img')]"
    scales += ".map(i => new DOMMatrix(getComputedStyle(i).transform).a))])"
    press = "document.querySelector('.example button[data-zoom=\"{}\"]').click()"
    others = [[1]] * (len(shown.value(scales)) - 1)
    shown.value(press.format("2"))
    assert shown.value(scales) == [[2], *others]
    shown.value(press.format("0"))
    assert shown.value(scales) == [[1], *others]
