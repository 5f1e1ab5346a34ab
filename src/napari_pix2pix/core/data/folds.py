"""What repeated trainings hold out: whole groups, so that a pair is judged by models that never saw its like."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from napari_pix2pix.core.settings.training import Settings


class Run(Settings):
    """One of several trainings on the same pairs."""

    seed: Annotated[int, Field(ge=0, lt=2**64)]
    """Of its training."""
    fold: Annotated[int, Field(ge=1)] | None = None
    """What it holds out, counted from 1; None: nothing."""
    pairs: Annotated[int, Field(ge=1)] | None = None
    """On how many pairs it trains, where that is what differs."""
    held_out: tuple[str, ...] = ()
    """The pairs that it neither trains on nor chooses by, by name: its test pairs."""
    trains: tuple[str, ...] | None = None
    """The pairs that it has; None: all that are not held out."""

    @property
    def name(self) -> str:
        """Of its folder."""
        how = f"pairs{self.pairs}_" if self.pairs is not None else ""
        return f"{how}seed{self.seed}" + (f"_fold{self.fold}" if self.fold is not None else "")

    def divided(self, names: Sequence[str]) -> tuple[list[int], list[int]]:
        """The numbers of the pairs with these names that it trains on, and of those that it holds out.

        Raises
        ------
        ValueError
            If one of its own is not among them.
        """
        if strange := sorted({*self.held_out, *(self.trains or ())} - set(names)):
            raise ValueError(
                f"Runs in one folder must be of the same pairs; {strange[0]} of {self.name} is not among these. Give "
                "the pairs that the folder was begun with, or choose another `out`."
            )
        held = [i for i, name in enumerate(names) if name in set(self.held_out)]
        own = set(names) - set(self.held_out) if self.trains is None else set(self.trains)
        return [i for i, name in enumerate(names) if name in own], held


def folds_of(groups: Sequence[str], count: int) -> list[int]:
    """The fold, from 1, that holds out each pair: groups stay whole, and folds hold about as many pairs.

    The largest group goes first, each to the fold that has fewest pairs, as scikit-learn's `GroupKFold` does; groups of
    one size in an order drawn once for all, the same whatever the seed of a training: so runs can be compared.

    Raises
    ------
    ValueError
        If all pairs are of one group, or there are more folds than groups.
    """
    sizes = Counter(groups)
    require_groups(groups)
    if count < 2:
        raise ValueError(f"There must be at least 2 folds; got {count}. Leave `folds` out, or choose more.")
    if count > len(sizes):
        raise ValueError(
            f"There must be a group for each fold; got {count} folds and {len(sizes)} groups. Choose `folds` "
            f"{len(sizes)} or fewer."
        )
    names = sorted(sizes)
    drawn = [names[i] for i in np.random.default_rng(0).permutation(len(names))]
    filled, fold = [0] * count, {}
    for name in sorted(drawn, key=lambda name: -sizes[name]):
        fold[name] = filled.index(min(filled))
        filled[fold[name]] += sizes[name]
    return [fold[name] + 1 for name in groups]


def require_groups(groups: Sequence[str]) -> None:
    """Raise a ValueError if nothing can be held out: all pairs are of one group."""
    if len(set(groups)) < 2:
        raise ValueError(
            f"What is held out must be a whole group; all pairs are of one, {groups[0]}. Give pairs of more samples, "
            "or repeat by `seeds` alone and judge the runs on other images."
        )


def repeated(names: Sequence[str], groups: Sequence[str], seed: int, seeds: int, folds: int | None) -> tuple[Run, ...]:
    """A run for each of so many seeds, from `seed` on, and each fold of the pairs; without folds, for each seed.

    Raises
    ------
    ValueError
        If the pairs cannot be divided so.
    """
    numbers = folds_of(groups, folds) if folds is not None else []
    return tuple(
        Run(seed=seed + i, fold=fold, held_out=tuple(n for n, own in zip(names, numbers, strict=True) if own == fold))
        if fold is not None
        else Run(seed=seed + i)
        for i in range(seeds)
        for fold in (range(1, folds + 1) if folds is not None else [None])
    )
