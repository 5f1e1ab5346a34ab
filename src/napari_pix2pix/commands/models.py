"""The command models: those that ship with the package."""

from typing import Annotated

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.info import info

TOLD = "from", "to", "on test pairs", "licence"
"""Of the card of each."""


def models(name: Annotated[str | None, Parameter(help="Of one of them.")] = None) -> Events:
    """The models that ship with the package, or the card of one; other commands take their names for a MODEL."""
    from napari_pix2pix.core import load_model
    from napari_pix2pix.files.starters import starters
    from napari_pix2pix.report.card import model_lines

    found = starters()
    if name is not None and name not in found:
        raise ValueError(
            f"A name must be that of a model that ships: {', '.join(found)}; got {name!r}. Give one of these."
        )
    if name is not None:
        yield from info(found[name])
        return
    cards = {one: model_lines(load_model(path, "cpu")) for one, path in found.items()}
    rows = [
        {"name": one, "path": str(found[one]), **{key: card.get(key) for key in TOLD}} for one, card in cards.items()
    ]
    text = "\n".join(f"{one:>8}  {'; '.join(card[key] for key in TOLD if key in card)}" for one, card in cards.items())
    yield {"event": "result", "models": rows, "text": text}
