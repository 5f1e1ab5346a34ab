"""The best, the median and the worst images of an evaluation, predicted once more so that none had to be kept."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.evaluation.codings import comparable, in_one_coding
from napari_pix2pix.core.evaluation.headlines import HEADLINES
from napari_pix2pix.core.running.patch_scores import PatchScores
from napari_pix2pix.core.running.trained_model import TrainedModel

MOST = 7
"""Examples: enough to see the worst, few enough to look at."""
Place = Literal["worst", "median", "best"]


@dataclass(frozen=True)
class Example:
    """An image of an evaluation.

    Parameters
    ----------
    place
        Where it stands among all.
    figures
        Its row of ``files``.
    source
        Grey values (C, [Z,] Y, X); None where only predictions were judged.
    target, prediction
        Grey values or labels (C, [Z,] Y, X).
    known
        Where the target is known, bool ([Z,] Y, X).
    scores
        The discriminator's scores of the prediction; None where there are none.
    why_no_scores
        Then the sentence that says why.
    stained
        Which channels of the target are there, bool (C,); None: all. The others show nothing.
    """

    place: Place
    figures: dict[str, Any]
    source: NDArray[Any] | None
    target: NDArray[Any]
    prediction: NDArray[Any]
    known: NDArray[np.bool_]
    scores: PatchScores | None = None
    why_no_scores: str = ""
    stained: NDArray[np.bool_] | None = None

    def has(self, channel: int) -> bool:
        """Whether the target has this channel."""
        return self.stained is None or bool(self.stained[channel])


def ranked(report: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The figure that ranks images, and the rows of ``files`` that have it, from the worst to the best."""
    name = HEADLINES[report["kind"]]
    return name, [row for row in report["files"] if row[name] is not None]


def choose(n: int, most: int = MOST) -> dict[int, Place]:
    """At most `most` of `n` images, by their places from the worst (0) to the best (n - 1), in this order.

    In turn: the worst, the best, the median, the next worst, the next best, …
    """
    chosen: dict[int, Place] = {}
    for turn in range(n):
        places: tuple[tuple[int, Place], ...] = (
            (turn, "worst"),
            (n - 1 - turn, "best"),
            (n // 2 + (-1) ** turn * ((turn + 1) // 2), "median"),
        )
        for index, place in places:
            if len(chosen) < min(n, most) and 0 <= index < n:
                chosen.setdefault(index, place)
    return dict(sorted(chosen.items()))


def examples(
    report: dict[str, Any],
    pairs: PairedFrames,
    model: TrainedModel | None = None,
    most: int = MOST,
) -> Iterator[Example]:
    """The worst, median and best images of `report`, what `evaluate` found for `pairs`; one after another.

    Parameters
    ----------
    report
        Its ``files`` tell which images.
    pairs
        Sources and targets; without a model, predictions and targets.
    model
        What predicts; None: the sources of `pairs` are the predictions.
    most
        How many.
    """
    _, rows = ranked(report)
    chosen = ((rows[index], place) for index, place in choose(len(rows), most).items())
    yield from shown(chosen, report, pairs, model)


def shown(
    chosen: Iterable[tuple[dict[str, Any], Place]],
    report: dict[str, Any],
    pairs: PairedFrames,
    model: TrainedModel | None = None,
    *,
    scored: bool = True,
) -> Iterator[Example]:
    """These images, by their rows of ``files`` in `report`; parameters as of `examples`, scores only if `scored`."""
    if report["kind"] != "intensity":
        pairs, _ = in_one_coding(pairs, model.target_encoding) if model else comparable(pairs, report["kind"])
    by_name = {pairs.name(region.frame): region for region in pairs.regions()}
    for row, place in chosen:
        region = by_name[row["name"]]
        frame, window = region.frame, region.window
        source, prediction, scores, why = None, pairs.source(frame, window), None, ""
        if model is not None:
            source, own = _source(model, pairs, region), model.under(pairs.bears(frame))
            prediction = own.predict_frame(source)
            try:
                scores = own.score_frame(source, prediction) if scored else None
            except ValueError as error:  # no discriminator, an image smaller than one field, or NaN
                why = str(error)
        target, known = pairs.target(frame, window), pairs.known(frame, window)
        stained = np.array([stain["name"] in row["stains"] for stain in report["stains"]]) if "stains" in row else None
        yield Example(place, row, source, target, prediction, known, scores, why, stained)


def _source(model: TrainedModel, pairs: PairedFrames, region: Region) -> NDArray[Any]:
    """The source (C, [Z,] Y, X) as the model takes it."""
    stack, frame = pairs.places[region.frame]
    plan = pairs.source_plans[stack]
    channels = plan.taken or model.source_view.numbers(pairs.source_names[stack])
    taken = model.source_plan(pairs.sources[stack], plan.axes, channels)
    return taken.take(pairs.sources[stack], frame, region.window)
