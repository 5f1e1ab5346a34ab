"""Steps for a training that is given time: measured with the networks themselves, which are then as they were."""

import copy
import math
import time
import warnings
from collections.abc import Callable
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from napari_pix2pix.core.engine.processes import number
from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.core.settings.training import MOST_STEPS, MOST_TRUST_STEPS
from napari_pix2pix.core.teaching.fit_trust import teaching_takes
from napari_pix2pix.core.training.finishing import teaching

if TYPE_CHECKING:
    from napari_pix2pix.core.training.loop import _Loop

LONGEST_MIN = 60 * 24 * 366
WARM, MEASURED = 2, 8
"""Steps that are made before, and that are timed, at most."""
MEASURING = 0.05
"""Of the time that is given, about, is spent on the timed steps at most."""
JUDGING = 0.25
"""Of the time that is given, at most, learns to judge: a third of what the training takes."""
FEWEST_TRUST_STEPS = 50
PREVIEW_EVERY = 50
"""Steps per preview."""


def require_minutes(minutes: float) -> None:
    """Raise a ValueError unless a training can be given so much time."""
    if not 0 < minutes <= LONGEST_MIN:
        raise ValueError(f"minutes must be more than 0 and at most {LONGEST_MIN:,}, a year; got {minutes:g}.")


def settle(loop: "_Loop", minutes: float) -> Config:
    """The settings of the training with as many steps, and steps of learning to judge, as fit in the time.

    Nothing of what is done here is left: random numbers come from (seed, step), everything else is restored.
    """
    began, config, warned, threads = time.monotonic(), loop.config, set(loop.warned), torch.get_num_threads()
    tensors, state = loop.state()
    tensors, state = {name: tensor.clone() for name, tensor in tensors.items()}, copy.deepcopy(state)
    try:
        torch.set_num_threads(loop.threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd is told when it counts
            stages = loop.method.stages(config)
            step_s = fmean(_of_a_step(loop, at, 60 * minutes * MEASURING / len(stages)) for at in stages)
            judged_s = _taken(loop.judge_now)
            step_s += _taken(loop.look_now) / PREVIEW_EVERY + judged_s / config.validate_every
            trust_s = _of_teaching(loop) if config.trust_steps and config.data == "pairs" else None
    finally:
        torch.set_num_threads(threads)
        loop.restore(tensors, state)
        loop.warned = warned
    left = 60 * minutes - (time.monotonic() - began)
    changes = {}
    if trust_s is not None:
        before, each = trust_s
        fitting = max(FEWEST_TRUST_STEPS, int((JUDGING * left - before) / each))
        most = MOST_TRUST_STEPS if config.trust_steps == "auto" else config.trust_steps
        changes["trust_steps"] = min(most, fitting)
        left -= before + each * changes["trust_steps"]
    changes["steps"] = min(MOST_STEPS, max(len(stages), int((left - judged_s) / step_s)))
    told: dict[str, int] = loop.learner.fabric.broadcast(changes)  # one says, all do
    return config.model_copy(update=told)


def _of_a_step(loop: "_Loop", at: float, most_s: float) -> float:
    """Seconds, after this share of the training, of images that were read before, as those of most steps are."""
    loop.step = int(at * loop.config.steps)
    loop.last = loop.step + WARM + MEASURED
    began = time.monotonic()
    for _ in loop.batches():
        if loop.learner.fabric.broadcast(time.monotonic() - began > most_s):
            break
    made, since = 0, math.inf
    for batch in loop.batches():
        loop.make_step(batch)
        made += 1
        if made == WARM:
            loop.wait()
            since = time.monotonic()
        elif made > WARM and loop.learner.fabric.broadcast(time.monotonic() - since > most_s):  # one says, all do
            break
    loop.wait()
    return (time.monotonic() - since) / (made - WARM)


def _of_teaching(loop: "_Loop") -> tuple[float, float] | None:
    """Seconds before and after all steps of learning to judge, and of one step; None where nothing can be learned."""
    if number() > 0:
        return None
    try:
        return teaching_takes(loop.model, *teaching(loop))
    except ValueError:  # which is told when it is to be taught
        return None


def _taken(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
