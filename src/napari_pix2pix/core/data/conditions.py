"""By which known circumstance images differ, such as cell line or scanner: the class of each, and what it must be."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from napari_pix2pix.core.encodings.domains import Domains, Labels

Conditions = Sequence[str | None] | Mapping[str, Sequence[str | None]] | None
"""The class of each stack, None where it is not known; or by name of the set of classes such a list; or none at all."""
NOT_KNOWN = "not known"
"""What the class of others is called."""


class Labelled(Protocol):
    """Stacks of which some are of a class."""

    names: list[str]
    labels: list[Labels]


def labels_of_each(conditions: Conditions, count: int, what: str) -> list[Labels]:
    """The labels of each of so many stacks; raise a ValueError if there is not one for each."""
    said = conditions if isinstance(conditions, Mapping) else {"condition": conditions} if conditions else {}
    for name, own in said.items():
        if len(own) != count:
            raise ValueError(f"There must be a {name} for each {what}, {count}; got {len(own)}.")
    return [{name: own[i] for name, own in said.items()} for i in range(count)]


def folded(name: str) -> str:
    """The name without what may be a slip: case and spaces."""
    return "".join(name.split()).casefold()


def require_classes(labels: Sequence[Labels]) -> None:
    """Raise a ValueError if in a set all that bear a label bear the same, which nothing tells from none.

    Or if labels differ by a slip only.
    """
    known = Domains.of(labels).sets
    for name in labels[0] if labels else ():
        if len(own := known.get(name, ())) < 2:
            raise ValueError(
                f"There must be at least two classes of {name}; got {', '.join(own) or 'none'}. Leave it out."
            )
        first: dict[str, str] = {}
        for label in own:
            if (other := first.setdefault(folded(label), label)) != label:
                raise ValueError(
                    f"Classes must differ by more than case or spaces; {other!r} and {label!r} of {name} are probably "
                    "the same. Write them alike, or name one of them otherwise."
                )


def require_known(pairs: Labelled, conditions: Domains) -> None:
    """Raise a ValueError that names the first of these pairs that is of a class that a model does not know."""
    for name, labels in zip(pairs.names, pairs.labels, strict=True):
        try:
            conditions.in_own_words(labels)
        except ValueError as error:
            known = ", ".join(conditions.names)
            what = f"of conditions that it knows, {known}" if known else "of none, as it knows none"
            bears = ", ".join(label for label in labels.values() if label)
            raise ValueError(
                f"Pairs for a model must be {what}; {name} is of {bears}. Correct it, or leave it empty: not known."
            ) from error


def of_each(pairs: Labelled, conditions: Domains) -> dict[str, int]:
    """How many of these pairs are of each class, and of none that is known."""
    found = dict.fromkeys(conditions.names, 0)
    for labels in pairs.labels:
        own = conditions.in_own_words(labels)
        bears = [name for name in conditions.names if own.items() >= conditions.labels_of(name).items()]
        for name in bears or [NOT_KNOWN]:
            found[name] = found.get(name, 0) + 1
    return found
