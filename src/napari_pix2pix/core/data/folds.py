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


JUDGING = 5
"""One in so many groups judges a learning curve."""


def of_numbers(
    names: Sequence[str], groups: Sequence[str], numbers: Sequence[int], seed: int, seeds: int, judged: bool
) -> tuple[Run, ...]:
    """A run for each of these numbers of pairs and so many seeds, from `seed` on, for a learning curve.

    All hold out the same groups, a fifth of the pairs, unless they are `judged` by others. The pairs of each seed come
    in an order of its own, group by group; the first ones train, so that more pairs are the same ones and others.

    Raises
    ------
    ValueError
        If there are not so many pairs.
    """
    fewest = min(numbers)
    if fewest < 1:
        raise ValueError(f"Numbers of pairs must be at least 1; got {fewest}. Choose others with `at`.")
    held: tuple[str, ...] = ()
    if not judged:
        require_groups(groups)
        folds = folds_of(groups, min(JUDGING, len(set(groups))))
        held = tuple(name for name, fold in zip(names, folds, strict=True) if fold == 1)
    left = [(name, group) for name, group in zip(names, groups, strict=True) if name not in set(held)]
    if max(numbers) > len(left):
        kept = f", of which {len(held)} are held out to judge" if held else ""
        raise ValueError(
            f"There must be as many pairs as the largest number, {max(numbers)}; got {len(names)}{kept}. Choose `at` "
            f"up to {len(left)}" + (", or judge by others (`test_source`, `test_target`)." if held else ".")
        )
    order = sorted({group for _, group in left})
    runs = []
    for own in range(seed, seed + seeds):
        place = {order[k]: i for i, k in enumerate(np.random.default_rng(own).permutation(len(order)))}
        ordered = [name for name, group in sorted(left, key=lambda pair: place[pair[1]])]
        runs += [Run(seed=own, pairs=n, held_out=held, trains=tuple(ordered[:n])) for n in numbers]
    return tuple(runs)
