"""What several processes that train one model share. Lightning Fabric starts and connects them."""

from typing import Any

import torch
import torch.distributed as group
from torch import Tensor

_parted = False


def count() -> int:
    """How many processes train this model."""
    return group.get_world_size() if group.is_available() and group.is_initialized() and not _parted else 1


def number() -> int:
    """The number of this one, from 0 on."""
    return group.get_rank() if count() > 1 else 0


def share(batch_size: int) -> range:
    """Which patches of a batch are this process's."""
    each = batch_size // count()
    return range(number() * each, (number() + 1) * each)


def rows(drawn: Tensor) -> Tensor:
    """Those of this process of what is drawn for the patches of the whole batch."""
    return drawn[number() * (len(drawn) // count()) :][: len(drawn) // count()]


def meet() -> None:
    """Share what follows with the others that Fabric has connected."""
    global _parted
    _parted = False


def part() -> None:
    """From here on each process is alone and waits for nobody; they stay connected, for another training."""
    global _parted
    _parted = True


class Sum(torch.autograd.Function):
    """The sum of a tensor over all processes, and so of its gradient."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        """The sum."""
        total = values.detach().clone()
        group.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        """The sum of the gradients, which can itself be differentiated."""
        total: Tensor = Sum.apply(gradients[0].contiguous())  # type: ignore[no-untyped-call]
        return total


def mean(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes, which each must ask for; its gradient is theirs, too."""
    if count() == 1:
        return values
    total: Tensor = Sum.apply(values)  # type: ignore[no-untyped-call]
    return total / count()
