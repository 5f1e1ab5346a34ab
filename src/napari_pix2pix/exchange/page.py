"""What is said of a model to people who find it somewhere: its documentation, in Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_pix2pix.core.engine.foreign_text import shown
from napari_pix2pix.exchange.portable import Portable

PROJECT = "napari-pix2pix"


@dataclass(frozen=True)
class Page:
    """What is said of a model.

    Parameters
    ----------
    name
        Of the model.
    authors
        Who made it.
    licence
        Under which others may use it, by its SPDX identifier.
    card
        Its card, what each line says by its label.
    methods
        How it was made, a paragraph.
    references
        That this cites.
    """

    name: str
    authors: tuple[str, ...]
    licence: str
    card: Mapping[str, str]
    methods: str
    references: Sequence[str]

    def __post_init__(self) -> None:
        """Check what strangers must know."""
        for what, said in (("author", self.authors), ("licence", self.licence)):
            if not said:
                raise ValueError(
                    f"A model for others must say its {what}; this one does not. Give `{what}`, or, before the next "
                    f"training, `{'authors' if what == 'author' else what}`."
                )

    @property
    def summary(self) -> str:
        """A sentence."""
        return f"An image-to-image model, from {self.card['from']} to {self.card['to']}."

    def text(self, use: str, picture: str) -> str:
        """The documentation; `picture` is the name of a file that shows a source and its prediction."""
        rows = (f"| {_cell(label)} | {_cell(said)} |" for label, said in self.card.items())
        references = [f"- {reference}" for reference in self.references]
        parts = [
            f"# {self.name}",
            f"{self.summary} Made with {PROJECT} by {', '.join(self.authors)}; {self.licence}.",
            f"![A source, and what the model predicts of it]({picture})",
            "## Use",
            use,
            "## Validation",
            "The card's figures come from the kinds of pairs that it names: those of test pairs may be quoted, those "
            "of validation pairs chose the model. Before you trust it on your own images, find the truth of a few, and "
            "compare: by any program that measures the error or the overlap, or by "
            f"`{PROJECT} evaluate --prediction PREDICTED TARGET --out DIR`.",
            "## Card",
            "\n".join(["| | |", "|---|---|", *rows]),
            "## How it was made",
            self.methods,
            "\n".join(references),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def decoding(portable: Portable) -> str:
    """What to do with images and maps, for those who run the weights themselves, or a package with its processing."""
    model, sides = portable.model, " x ".join(map(str, portable.minimum))
    target = model.target_encoding
    gives = {
        "intensity": f"Its prediction is in the target's grey values ({target.dtype}; round them for whole numbers).",
        "classes": f"Its prediction has a map for each class, {list(target.classes)}: the highest counts.",
        "instances": "Its prediction has two maps: foreground, where the first is above 0, and the depth within an "
        "object, from -0.9 at its border to 0.9. Objects grow by a watershed from where the depth, smoothed by a "
        f"Gaussian of 1 px, exceeds {(2 * target.seed_threshold - 1) * 0.9:.3g}; those below {target.min_size} px are "
        "dropped.",
    }[target.kind]
    tiles = (
        f"Larger images can be cut into tiles that begin on multiples of {portable.grid[-1]} px and see "
        f"{portable.halo} px more on each side than is kept of them: the result is that of the whole image."
        if portable.halo
        else "It looks at the whole image: tiles would show seams."
    )
    return (
        f"{gives} Sides ({portable.axes[2:]}) are multiples of {' x '.join(map(str, portable.grid))} px, at least "
        f"{sides}. {tiles}"
    )


def _cell(text: str) -> str:
    """Within a table."""
    return shown(text, kept="").replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
