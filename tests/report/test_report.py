"""A report is complete in itself, shows what it says, and believes nothing that strangers wrote."""

import base64
import hashlib
import itertools
from html.parser import HTMLParser

import imagecodecs
import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.core.teaching.examples import choose, examples, ranked
from napari_pix2pix.report import example_pictures as pictures
from napari_pix2pix.report.card import figures_text
from napari_pix2pix.report.content import Content
from napari_pix2pix.report.markup import Html, table, tag
from napari_pix2pix.report.methods_paragraph import REFERENCES, methods
from napari_pix2pix.report.page import html
from napari_pix2pix.report.pieces import number
from napari_pix2pix.report.tables import ALONE
from small import Noisy, blobs, small_config, untrained, with_judge

STRANGE = "<script>alert('1')</script> & \"<img src=x onerror=alert(2)>"
EMPTY = ("meta", "img", "br")


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and the text outside of style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []  # every element is closed

    def handle_starttag(self, name: str, attributes) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in EMPTY:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, text: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(text)
        elif self.open[-1:] != ["style"]:
            self.texts.append(text)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def trained(folder, kind: str, **changes):
    """A model of one step, and pairs for it: five images, one of them with a name that no one should trust."""
    sources, labels = zip(*(blobs(seed=i) for i in range(5)), strict=True)
    targets = labels if kind == "instances" else [source // 2 for source in sources]
    if kind == "classes":
        targets = [(label > 0).astype(np.uint8) for label in labels]
    names = ["a", "b", STRANGE, "d", "e"]
    pairs = core.PairedFrames(list(sources), list(targets), "YX", names=names)
    config = small_config(target_kind=kind, steps=1, **changes)
    *_, report = core.train(pairs, config, out=folder, device="cpu")
    return report.model, pairs


@pytest.fixture(scope="module", params=["intensity", "classes", "instances"])
def evaluated(request, tmp_path_factory):
    model, pairs = trained(tmp_path_factory.mktemp("run"), request.param)
    return model, pairs, core.evaluate(model, pairs, None)


@pytest.fixture(scope="module")
def page(evaluated):
    return page_of(*evaluated)


def page_of(model, pairs, report, **named) -> Page:
    return Page(html(Content("A title", "a command", report, model, examples(report, pairs, model), **named)))


def test_a_page_asks_no_network_for_anything(evaluated, page) -> None:
    """All addresses are inside the page, and a policy forbids any other, and any script but ours."""
    for name, attributes in page.elements:
        for key in ("src", "href", "xlink:href", "action", "data", "poster"):
            if address := attributes.get(key):
                assert address.startswith(("data:image/png;base64,", "#")), f"{name} {key}"
    everything = html(Content("A title", "a command", evaluated[2], evaluated[0]))
    assert not any(word in everything for word in ("http:", "https:", "@import"))
    [policy] = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    [script] = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None and "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


def test_names_of_strangers_are_text(evaluated) -> None:
    """A name that is markup is shown as it is, in every place, and makes no element."""
    model, pairs, report = evaluated
    skipped = {STRANGE: f"{STRANGE} is left out."}
    card, channels = [(STRANGE, STRANGE)], [STRANGE]
    page = page_of(model, pairs, report, card=card, channels=channels, skipped=skipped, remarks=[STRANGE])
    assert len(page.all("script")) == len(page.scripts) == 1
    assert all((image["src"] or "").startswith("data:") for image in page.all("img"))
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert page.text.count(STRANGE) >= 5
    assert str(tag("b", STRANGE, title=STRANGE)).count("<") == 2
    assert str(table(["x"], [[STRANGE, STRANGE]], STRANGE)).count("<img") == 0
    assert tag("b", Html("<i>")) == "<b><i></b>"


def test_every_image_is_there(page) -> None:
    """Each example has source, target image, prediction, error and scores, of one size, which decode."""
    images = page.all("img")
    kinds = [str(image["alt"]).split(" of ")[0] for image in images]
    assert kinds == ["source", "target image", "prediction", "error", "patch scores"] * 5
    for image in images:
        pixels = imagecodecs.png_decode(base64.b64decode(str(image["src"]).split(",")[1]))
        assert pixels.shape[:2] == (int(image["height"] or 0), int(image["width"] or 0)) == (96, 128)
        assert pixels.dtype == np.uint8
    assert len({image["src"] for image in images}) > 15


def test_a_page_can_be_read_aloud(page) -> None:
    """A language, a heading for each section, texts for images and figures, captions and headers for tables."""
    assert page.all("html") == [{"lang": "en"}]
    assert all(image.get("alt") for image in page.all("img"))
    drawn = [a for name, a in page.elements if a.get("role") == "img"]
    assert len(drawn) == len(page.all("svg")) and all(figure.get("aria-label") for figure in drawn)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
    assert all(button.get("aria-label") for button in page.all("button"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(link["href"])[1:] for link in page.all("a")]
    assert links and set(links) <= set(ids)


def test_a_page_says_what_was_judged_and_how_well(evaluated, page) -> None:
    """Kind of pairs, figure with interval, baseline, kinds of error, command, config, versions, methods."""
    model, _, report = evaluated
    text = page.text
    name, rows = ranked(report)
    figure = report["metrics"][name]
    for said in (
        "Judged: 5 images, test pairs: they neither trained the model nor chose it",
        f"is {number(figure['value'])} (95 % interval {number(figure['low'])} to {number(figure['high'])})",
        "The best baseline, ",
        f"The worst image is {rows[0]['name']} ",
        "displaced",
        "invented",
        "missing",
        "a command",
        '"base_channels": 8',
        model.provenance["versions"]["torch"],
        "Isola P, Zhu J-Y, Zhou T, Efros AA.",
    ):
        assert said in text
    assert ALONE not in text


def test_seen_figures_are_red_and_one_image_is_called_what_it_is(evaluated, page) -> None:
    """Every table of figures is marked where the model has seen the pairs; one image says nothing about another."""
    model, pairs, report = evaluated
    assert not any("seen" in str(a.get("class")).split() for _, a in page.elements)
    rows = [row | {"seen": "train"} for row in report["files"]]
    seen = page_of(model, pairs, report | {"seen": True, "kind_of_pairs": "train", "files": rows})
    marked = [str(a.get("class")) for _, a in seen.elements if "figures" in str(a.get("class"))]
    assert marked and all("seen" in class_ for class_ in marked)
    assert "the figures in red do not say how it does on new ones" in seen.text
    one = core.PairedFrames(pairs.sources[:1], pairs.targets[:1], "YX", names=["a"])
    text = page_of(model, one, core.evaluate(model, one, None)).text
    assert ALONE in text and "One image has no interval" in text


def test_predictions_of_any_tool_are_shown_without_a_source() -> None:
    """Without a model there is neither source nor score, card nor methods; the images are there."""
    labels = np.stack([blobs(seed=i)[1] for i in range(3)])
    pairs = core.PairedFrames(np.roll(labels, 3, axis=1), labels, "TYX", names=["x"])
    report = core.evaluate_prediction(pairs, None)
    page = page_of(None, pairs, report)
    kinds = [str(image["alt"]).split(" of ")[0] for image in page.all("img")]
    assert kinds == ["target image", "prediction", "error"] * 3
    assert "not known here" in page.text and "Facts from the model's config" not in page.text


def test_several_channels_have_a_row_each(tmp_path) -> None:
    """Their names stand beside the pictures, spectra and tables."""
    source = blobs()[0]
    stains = np.stack([source, source // 2])
    pairs = core.PairedFrames(source, stains, ("YX", "CYX"))
    config = small_config(steps=1, validation_share=0, calibration_share=0)
    *_, trained = core.train(pairs, config, out=tmp_path, device="cpu")
    report = core.evaluate(trained.model, pairs, None, objects="otsu")
    page = page_of(trained.model, pairs, report, channels=("DAPI", "MAP2"))
    kinds = [str(image["alt"]).split(" of ")[0] for image in page.all("img")]
    middle = [[f"{kind} · {name}" for kind in ("target image", "prediction", "error")] for name in ("DAPI", "MAP2")]
    assert kinds == [*itertools.chain(*(["source", *row, "patch scores"] for row in middle))]
    for said in ("soft · DAPI", "soft · MAP2", "upper limit of agreement", "Each channel by itself"):
        assert said in page.text


def test_a_missing_stain_is_shown_as_such() -> None:
    """Hatched instead of a target and an error, beside its prediction; whatever it holds, the page is the same."""
    sources = [blobs(seed=i)[0] for i in range(3)]
    targets = [np.stack([source // 2, source // 3]) for source in sources]
    model = with_judge(untrained(sources[0][None], targets[0]))
    found = []
    for of in (core.PairedFrames, Noisy):
        pairs = of(sources, targets, ("YX", "CYX"), target_names=["DAPI", "MAP2"]).unstained({(0, 1), (1, 1)})
        found.append(page_of(model, pairs, core.evaluate(model, pairs, None, objects="otsu")))
    page = found[0]
    shown = [str(image["alt"]).split(" of pair ")[0] for image in page.all("img")]
    assert sorted(shown).count("target image · MAP2: not stained") == shown.count("error · MAP2: not stained") == 2
    assert shown.count("target image · MAP2") == shown.count("error · MAP2") == 1
    assert shown.count("prediction · MAP2") == shown.count("target image · DAPI") == 3
    for said in ("pairs that have it 3 1", "MAP2 in 1 of 3", "hatched: not known", "DAPI, MAP2"):
        assert said in page.text
    texts = [one.text.partition(" UTC ")[2] for one in found]  # not when they were written
    drawn = [
        (text, one.all("img"), [path["d"] for path in one.all("path")]) for text, one in zip(texts, found, strict=True)
    ]
    assert drawn[0] == drawn[1]
    pairs = core.PairedFrames(sources, targets, ("YX", "CYX")).unstained({(i, 1) for i in range(3)})
    report = core.evaluate(model, pairs, None, objects="otsu")
    text = page_of(model, pairs, report).text
    assert "soft · channel 1 not known: no image has this stain" in text and "pairs that have it 3 0" in text
    assert "channel 1  in 0 of 3: not known: no image has it" in figures_text(report)


def test_examples_are_the_worst_median_and_best_predicted_once_more(evaluated) -> None:
    """In the order of the figures, with the pixels that `predict` gives; one is in memory at a time."""
    model, pairs, report = evaluated
    name, rows = ranked(report)
    found = list(examples(report, pairs, model))
    assert [example.figures for example in found] == rows
    assert [example.place for example in found] == ["worst", "worst", "median", "best", "best"]
    for example in found:
        i = pairs.names.index(example.figures["name"])
        np.testing.assert_array_equal(example.prediction[0], model.predict(pairs.sources[i], "YX"))
        np.testing.assert_array_equal(example.target[0], pairs.targets[i])
        scored = model.score(pairs.sources[i], example.prediction[0], "YX")
        assert example.scores is not None
        np.testing.assert_array_equal(example.scores.scores, scored.scores)
    assert next(iter(examples(report, pairs, model, most=1))).figures[name] == rows[0][name]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 100])
def test_the_extremes_and_the_middle_are_chosen(n: int) -> None:
    """Never more than asked for, each once, in order, the worst and the best always among them."""
    for most in (1, 2, 3, 7):
        chosen = choose(n, most)
        assert list(chosen) == sorted(chosen) and len(chosen) == min(n, most)
        assert chosen[0] == "worst"
        assert most == 1 or n == 1 or chosen[n - 1] == "best"
        assert most < 3 or n < 3 or "median" in chosen.values()


def test_a_large_image_is_cropped_to_its_worst_field_and_says_so(evaluated, monkeypatch) -> None:
    """The planted error is inside, nothing is resized, and the caption tells where the part lies."""
    model, pairs, report = evaluated
    monkeypatch.setattr(pictures, "SIDE", 40)
    example = next(iter(examples(report, pairs, model)))
    kind = model.target_encoding.kind
    cut = pictures.cut(example, kind)
    assert cut.example.target.shape[1:] == (40, 40)
    [note] = cut.notes
    assert "40 × 40 px" in note and "96 × 128 px" in note
    error = pictures.error_of(example.prediction, example.target, example.known, kind).mean(axis=0)
    y, x = pictures.worst_window(error, 40)
    sums = [error[a : a + 40, b : b + 40].sum() for a in range(57) for b in range(89)]
    assert error[y, x].sum() == pytest.approx(max(sums))
    np.testing.assert_array_equal(cut.example.target, example.target[:, y, x])


def test_a_score_lies_on_the_centre_of_its_field(evaluated) -> None:
    """The pixel at each centre shows that very score; a pixel beyond the grid shows none."""
    model, pairs, report = evaluated
    example = next(iter(examples(report, pairs, model)))
    scored = example.scores
    cut = pictures.cut(example, model.target_encoding.kind)
    assert scored is not None and cut.scores is not None and cut.faded is not None
    for i, j in ((0, 0), (3, 5), tuple(n - 1 for n in scored.scores.shape)):
        y, x = (
            int(place + index * step) for index, step, place in zip((i, j), scored.scale, scored.translate, strict=True)
        )
        assert cut.scores[y, x] == scored.scores[i, j]
        assert cut.faded[y, x] == (not scored.valid[i, j])
    assert np.isnan(cut.scores[0, 0])


def test_label_errors_are_told_apart() -> None:
    """A missing, an invented, a matching and a half-covered object each have a colour of their own."""
    target, prediction = np.zeros((2, 20, 40), int)
    target[2:8, 2:8], target[2:8, 12:18], target[12:18, 2:8] = 1, 2, 3
    prediction[2:8, 2:8], prediction[12:18, 22:28], prediction[12:14, 2:8] = 7, 8, 9
    cut = pictures.cut(core_example(prediction, target), "instances")
    drawn = pictures.label_errors(cut, "instances", ())
    for place, colour in {
        (4, 4): pictures.RIGHT,
        (4, 14): pictures.MISSING,
        (14, 24): pictures.INVENTED,
        (12, 4): pictures.CONFUSED,
        (16, 4): pictures.MISSING,
        (0, 0): (0, 0, 0),
    }.items():
        assert tuple(drawn[place]) == colour
    alike = pictures.named_alike(prediction, target)
    assert (alike[4, 4], alike[12, 4], alike[14, 24]) == (1, 3, 8)


def core_example(prediction, target):
    """An example without a source."""
    from napari_pix2pix.core.teaching.examples import Example

    return Example("worst", {"name": "x"}, None, target[None], prediction[None], np.ones(target.shape, bool))


def test_methods_cite_what_they_name_and_state_the_config(tmp_path) -> None:
    """Every name in brackets has its reference, and no other; an L1-only model has no discriminator to speak of."""
    model, pairs = trained(tmp_path / "a", "intensity")
    text, cited = methods(model, core.evaluate(model, pairs, None))
    known = REFERENCES | model.describe().references
    assert {full for short, full in known.items() if short in text} == set(cited)
    assert "Isola et al., 2017" in text and "Kingma and Ba, 2015" in text
    for fact in ("3 downsamplings", "fields of 16 × 16 px", "100 times the L1", "trained for 1 steps", "32 × 32 px"):
        assert fact in text
    alone, _ = trained(tmp_path / "b", "classes", gan_weight=0)
    text, _ = methods(alone)
    assert "discriminator" not in text and "adversarial loss" not in text
    assert "100 times the cross-entropy of the label maps" in text and "L1" not in text


def test_numbers_are_for_people() -> None:
    """Counts are whole, shares have three decimals, small ones keep two digits, the unknown is a dash."""
    said = [number(value) for value in (None, 0.0, 4.0, 0.5, 0.00123, 123.456, 54321.9, -0.25, 1e-17)]
    assert said == ["–", "0", "4", "0.500", "0.0012", "123.5", "54322", "-0.250", "0"]
