"""The labels of images of several domains, and how they become numbers: the mask vector."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from napari_pix2pix.core.settings.training import validated

Name = Annotated[str, Field(min_length=1, max_length=80)]
Labels = Mapping[str, str | None]
"""By the name of a set the label that an image bears, None where that is not known."""
MOST = 64
"""Labels of a set."""


class Domains(BaseModel):
    """Sets of labels, such as stain and scanner, each with the labels that images of the training bear.

    Parameters
    ----------
    sets
        By its name the labels of each.

    References
    ----------
    Choi et al., "StarGAN: unified generative adversarial networks for multi-domain image-to-image translation", CVPR
    2018, section 3.2: the mask vector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sets: dict[Name, Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST)]] = {}

    @classmethod
    def of(cls, labels: Iterable[Labels]) -> "Domains":
        """The sets and labels that images of such `labels` bear.

        Raises
        ------
        ValueError
            If a set has too many.
        """
        found: dict[str, set[str]] = {}
        for name, label in (pair for own in labels for pair in own.items()):
            found.setdefault(name, set()).update({label} if label else ())
        sets = {name: tuple(sorted(own)) for name, own in found.items() if own}
        if most := next((name for name, own in sets.items() if len(own) > MOST), None):
            raise ValueError(
                f"There must be at most {MOST} classes of {most}; got {len(sets[most])}. Put some of them together."
            )
        return validated(cls, {"sets": sets})

    @property
    def n(self) -> int:
        """Labels of all sets."""
        return sum(map(len, self.sets.values()))

    @property
    def blocks(self) -> dict[str, slice]:
        """Where each set lies in a vector of all labels."""
        found, first = {}, 0
        for name, labels in self.sets.items():
            found[name] = slice(first, first + len(labels))
            first += len(labels)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """What each label is called: as it is where there is one set, else ``set=label``."""
        alone = len(self.sets) == 1
        return tuple(label if alone else f"{name}={label}" for name, own in self.sets.items() for label in own)

    def in_own_words(self, labels: Labels) -> dict[str, str | None]:
        """These labels by the names of these sets: the only set of either is the same, whatever it is called.

        Raises
        ------
        ValueError
            If one is not known.
        """
        bears = {name: label for name, label in labels.items() if label is not None}
        if len(self.sets) == len(labels) == len(bears) == 1:
            bears = dict(zip(self.sets, bears.values(), strict=True))
        for name, label in bears.items():
            if label not in self.sets.get(name, ()):
                called = label if len(self.sets) == 1 else f"{name}={label}"
                raise ValueError(
                    f"A condition must be one that the model knows, {', '.join(self.names)}; got {called}."
                )
        return {name: bears.get(name) for name in self.sets}

    def called(self, labels: Labels) -> str:
        """The name, as of `labels_of`, of these labels; empty where none is known."""
        alone = len(self.sets) == 1
        return ",".join(
            label if alone else f"{name}={label}" for name in self.sets if (label := labels.get(name)) is not None
        )

    def labels_of(self, name: str) -> dict[str, str]:
        """By set the labels that a name means, such as ``H&E`` or ``stain=H&E,scanner=A``.

        Raises
        ------
        ValueError
            If one is not known, or a set is named twice.
        """
        pairs = [(one, label) for one, own in self.sets.items() for label in own]
        known = {f"{one}={label}": (one, label) for one, label in pairs} | dict(zip(self.names, pairs, strict=True))
        parts = _parted(name, known) or name.split(",")
        found = dict(known[part] for part in parts if part in known)
        if len(found) < len(parts):
            wrong, named = next((part for part in parts if part not in known), name), ", ".join(self.names)
            raise ValueError(f"A model must be asked for what it makes, {named}; got `to` {wrong}. Give one of these.")
        return found

    def vector(self, labels: Mapping[str, str | None]) -> tuple[list[float], list[float]]:
        """A one-hot block for each set, zero where its label is not known; and which places are known, 1 or 0."""
        blocks = [float(labels.get(name) == one) for name, own in self.sets.items() for one in own]
        known = [float(labels.get(name) is not None) for name, own in self.sets.items() for _ in own]
        return blocks, known

    @property
    def n_planes(self) -> int:
        """What a generator sees of labels: a plane for each and, where there are several sets, one more for each."""
        return self.n + (len(self.sets) if len(self.sets) > 1 else 0)

    def planes(self, labels: Mapping[str, str | None]) -> tuple[float, ...]:
        """The values of these planes: the labels, and which sets are known."""
        known = [float(labels.get(name) is not None) for name in self.sets] if len(self.sets) > 1 else []
        return (*self.vector(labels)[0], *known)


def _parted(name: str, known: Iterable[str]) -> list[str]:
    """The names that stand one after the other in this one, commas between, which they may hold, too; else none."""
    for one in known:
        if name == one:
            return [one]
        if name.startswith(f"{one},") and (rest := _parted(name.removeprefix(f"{one},"), known)):
            return [one, *rest]
    return []


NO_DOMAINS = Domains()
