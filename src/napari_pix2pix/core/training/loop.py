"""The training loop, as a generator of reports."""

import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.patches import HELD_OUT, STATISTICS, TRAINING, Batch
from napari_pix2pix.core.data.split import Split
from napari_pix2pix.core.engine.devices import of_one_shape, pick_device
from napari_pix2pix.core.engine.processes import count, mean, number, share
from napari_pix2pix.core.engine.tensor_files import under, write_tensors
from napari_pix2pix.core.evaluation.headlines import CHOOSES, HEADLINES, Judgement, judge
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.evaluation.signs import COLLAPSED
from napari_pix2pix.core.evaluation.suiting import small_patches
from napari_pix2pix.core.networks.norms import recompute_statistics
from napari_pix2pix.core.running.bands import read_ahead
from napari_pix2pix.core.running.patch_scores import PatchScores
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.core.training.finishing import finished, is_to_judge, loaded, taught
from napari_pix2pix.core.training.made_now import made_of_nothing
from napari_pix2pix.core.training.material import Sided
from napari_pix2pix.core.training.prepare import Prepared, prepare, seed_of
from napari_pix2pix.core.training.reports import NotFinite, Preview, Report
from napari_pix2pix.core.training.run_folder import RunFolder
from napari_pix2pix.core.training.start import Start
from napari_pix2pix.core.training.time_given import PREVIEW_EVERY, require_minutes, settle

HISTORY_EVERY = 10
"""Steps per row of `history.csv`; losses are read from the device no more often."""
CHECKPOINT_EVERY_S = 10.0
SAVING_SHARE = 0.05
"""Of the time of a training, at most, is spent on its checkpoints."""
STATISTICS_PATCHES = JUDGED_PATCHES = 64
PER_LABEL = 8
"""Held-out patches for each label that images bear, at least."""


def train(
    pairs: PairedFrames | Sided,
    config: Config | None = None,
    *,
    out: Path | str,
    minutes: float | None = None,
    validation: PairedFrames | None = None,
    test: PairedFrames | None = None,
    initial: TrainedModel | None = None,
    old_pairs: PairedFrames | None = None,
    resume: bool = False,
    finish: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    provenance: dict[str, Any] | None = None,
) -> Generator[Report, None, None]:
    """Train on `pairs` into the run folder `out`; yields a report after each step.

    Stop asking (or close the generator) to stop: `out` then holds the best model so far and can be resumed.

    Parameters
    ----------
    pairs
        What to learn from. Unless given, validation and calibration pairs are taken out of them.
    config
        The settings; None: those of `initial`, or the preset `microscopy`. A resumed run keeps its own.
    out
        The run folder; `model.safetensors` in it is the result.
    minutes
        Time to train instead of steps: before the first one it is measured how many fit, of learning to judge at most
        a third of the others' time. They are then the settings of the run: resumed, or repeated with so many steps, it
        is the same bit for bit.
    validation
        Pairs that choose the best model.
    test
        Pairs that neither train nor choose: the finished model's figures on them are kept in it.
    initial
        A model to start from: its weights, and how it reads sources and targets. A resumed run needs it no more.
    old_pairs
        The pairs that `initial` was made from: every second patch is of those that trained it, so that it does not
        forget what it knew.
    resume
        Go on where the run in `out` stopped: bit for bit as if it had not, on the CPU with as many threads.
    finish
        With `resume`: make no more steps. The one that was made last is the last, and what follows the last step
        follows: the model is judged, if it is the best it is kept, and the best learns to judge its predictions.
    overwrite
        Replace an earlier run in `out`.
    device
        ``auto``, ``cpu``, ``cuda:0``, ``mps``.
    devices, num_nodes
        On how many devices of a machine, and on how many machines, to train at once: one process for each, which
        Lightning Fabric starts, or torchrun or SLURM has started. They share each batch, and each must ask for every
        report. The first process alone writes.
    provenance
        Where the pairs came from, kept in the run folder and in the model; JSON.

    Raises
    ------
    ValueError
        If the pairs cannot be trained on, or the settings or `initial` do not fit them; or there is nothing to finish.
    FileExistsError
        If `out` holds something and neither `resume` nor `overwrite` is set.
    FileNotFoundError
        If there is no run to resume.
    """
    run = RunFolder(Path(out))
    if finish and not resume:
        raise ValueError("A run to finish must be there already; give `resume`, too.")
    if minutes is not None:
        require_minutes(minutes)
        if resume:
            raise ValueError("A resumed run must keep its steps; leave `minutes` out.")
    if resume:
        start = Start.again(run)
    else:
        start = Start.with_model(initial, config) if initial else Start(config or Config())
        run.require_free(overwrite)
    judges = validation, test
    processes = devices, num_nodes
    given = prepare(pairs, judges, old_pairs, start, pick_device(device), processes, provenance or {})
    loop = _Loop(**vars(given), run=run, writes=number() == 0, last=given.config.steps)
    lock = run.lock() if loop.writes else None
    try:
        if resume:
            loop.began_s = run.elapsed_s()
            run.restore(loop.restore)
            if finish and not loop.step:
                raise ValueError(
                    f"A run to finish must have made a step; {run.path} has made none. Give `resume` alone."
                )
            loop.finishes = finish and loop.step < loop.last
        elif minutes is not None:
            loop.obey(settle(loop, minutes))
        if not resume and loop.writes:
            run.clear()
            run.write_plan(loop.plan())
            rows = list(loop.material.rows)
            if validation is not None:
                rows += Split((), loop.material.judged_regions).rows(validation)
            run.write_rows("split.csv", rows, list(rows[0]))
            loop.save()
        loop.learner.fabric.barrier()
    except BaseException:
        if lock is not None:
            if not resume:
                run.clear()  # nothing is done yet: the same request can be made again
            lock.release()
        raise
    small = small_patches(loop.config, loop.material.patches.shape)
    for remark in (*loop.material.remarks, *(one.text for one in small)):
        warnings.warn(remark, stacklevel=2)
    return loop.reports(lock)


@dataclass
class _Loop(Prepared):
    """Everything a training holds between two steps."""

    run: RunFolder
    writes: bool
    """Whether this process is the one that writes: the first."""
    began_s: float = 0.0  # after how much work by other processes this one goes on
    step: int = 0
    last: int = 0
    best: float | None = None
    decides: str = ""
    """The figure that `best` is, of pairs; a run goes on by the one that it began with."""
    worse: int = 0
    finishes: bool = False  # with the step it is at, before its time
    warned: set[str] = field(default_factory=set)
    sums: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def plan(self) -> dict[str, Any]:
        """The resolved plan, for `config.json`."""
        return self.model.content()

    # The loop

    def reports(self, lock: FileLock | None) -> Generator[Report, None, None]:
        """Step to the end and report each step; when closed before, save what a later run needs to go on."""
        config, first, started = self.config, self.step, time.monotonic()
        began = started - self.began_s
        losses: dict[str, float] = {}
        threads_before = torch.get_num_threads()
        try:
            torch.set_num_threads(self.threads)
            if self.finishes:
                yield self._end_here()
            saved, pause_s, counted, since = started, CHECKPOINT_EVERY_S, first, started
            for batch in self.batches():
                self.make_step(batch)

                # What to tell, and to keep.
                if self._due(HISTORY_EVERY) or self._due(config.validate_every):
                    losses = self._mean_losses()
                metrics = self._validate() if self._due(config.validate_every) else {}
                if config.patience and self.worse == config.patience:
                    self.last = self.step
                preview = self.look_now() if self._due(PREVIEW_EVERY) or self.step == first + 1 else None
                now = time.monotonic()
                safe = count() == 1 or self._due(HISTORY_EVERY)  # all have just found their losses finite
                if (now - saved > pause_s and safe) or self.step == self.last:
                    self.save()
                    self.run.write_elapsed(now - began)
                    saved = time.monotonic()
                    pause_s = max(CHECKPOINT_EVERY_S, (saved - now) / SAVING_SHARE)
                if config.compile and self.step == first + 1:  # which has compiled, too
                    counted, since = self.step, now
                made, left = self.step - counted, self.last - self.step
                remaining = (now - since) / made * left if made else None
                yield Report(self.step, self.last, losses, metrics, preview, now - started, remaining)
                if self.step == self.last:
                    break
            model = finished(self, self.run)
            if self.writes and is_to_judge(self.config, model):
                for report in taught(self, self.run, model):
                    yield Report(self.step, self.last, losses, teaching=report, remaining_s=report.remaining_s)
                model = loaded(self, self.run)
            yield Report(self.step, self.last, losses, model=model)
        except GeneratorExit:
            self.save()
            self.run.write_elapsed(time.monotonic() - began)
            if self.best is None and self.step < self.last:
                self._settle()
                self._keep(None)
            raise
        finally:
            torch.set_num_threads(threads_before)
            if lock is not None:
                lock.release()

    def _end_here(self) -> Report:
        """Take the present step for the last, and do what is due at that."""
        self.last, losses, metrics = self.step, {}, {}
        if not self.history or self.history[-1]["step"] < self.step:
            losses = self._mean_losses()
        if self.step % self.config.validate_every:
            metrics = self._validate()
        self.save()
        return Report(self.step, self.last, losses, metrics, self.look_now())

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.last

    def make_step(self, batch: Batch) -> None:
        """One step."""
        torch.manual_seed(seed_of(self.config.seed, self.step))  # dropout
        self.learner.train()
        self.learner.set_learning_rate(self.step)
        with of_one_shape(self.model.device):
            self._add(self.method.step(self.learner, batch))
        self.learner.follow()
        self.step += 1

    def obey(self, config: Config) -> None:
        """Train with these settings, of which none but the number of steps differ."""
        self.config = self.learner.config = config
        self.model, self.last = replace(self.model, config=config), config.steps

    def batches(self) -> Iterator[Batch]:
        """The batch of each step that is left, prepared while the device works on the one before."""
        ours, device = share(self.config.patches), self.model.device

        def read(step: int) -> Batch:
            return self.material.patches.batch(step, TRAINING, ours).on_its_way(device)

        for _, batch in read_ahead(read, range(self.step, self.last)):
            yield batch.to(device)

    def _add(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            self.sums[name] = self.sums[name] + loss.float() if name in self.sums else loss.float()

    def _mean_losses(self) -> dict[str, float]:
        """Means since the last call, as a new row of the history."""
        totals = self._require_finite(mean)
        steps = self.step - (self.history[-1]["step"] if self.history else 0)
        means = {name: totals[name] / steps for name in self.sums}
        self.sums = {}
        self.history.append({"step": self.step, **means})
        self._warn_once(self.method.sign(self.config, self.history))
        return means

    def wait(self) -> None:
        """Until the device has made the steps that it was asked for."""
        for total in self.sums.values():
            float(total)

    def _require_finite(self, of_all: Callable[[Tensor], Tensor] = lambda own: own) -> dict[str, float]:
        """The sums of the losses, and of the weights; if `of_all`, their means over all processes.

        Stops before anything that is not finite is kept; the run folder holds a model, if need be the last saved.
        """
        parameters = (weight for name in self._makers for weight in self.learner[name].parameters())
        weights = sum(
            (weight.detach().float().sum() for weight in parameters), torch.zeros((), device=self.model.device)
        )
        told = of_all(torch.stack([*self.sums.values(), weights])).tolist()  # one look at the device
        values = dict(zip((*self.sums, "weights"), told, strict=True))
        broken = ", ".join(f"{name} {value}" for name, value in values.items() if not math.isfinite(value))
        if not broken:
            return values
        step = self.step
        if self.best is None:
            self.restore(*self.run.checkpoint())
            self._settle()
            self._keep(None)
        raise NotFinite(
            f"Losses must stay finite; at step {step}: {broken}. {self.run.model} is the model from before. Lower "
            "`learning_rate` or set `clip_gradients` 1."
        )

    def _warn_once(self, sentence: str | None) -> None:
        if sentence and sentence not in self.warned:
            self.warned.add(sentence)
            warnings.warn(sentence, stacklevel=4)

    def _validate(self) -> dict[str, float]:
        """Figures on the validation pairs, or on what was held out; the best model is saved.

        Without either, the present one is.
        """
        self._settle()
        judged, decides = self.learner.fabric.broadcast(self._judged())  # one says which is best, and when it ends
        figures = judged.figures
        if decides not in figures:  # too little is held out to tell
            self._keep(judged if figures else None)
            return figures
        chosen, best = figures[decides], self.best
        higher = decides != self.method.headline and higher_is_better(decides)
        if best is None or not math.isfinite(best) or (chosen > best if higher else chosen < best):
            self.best, self.decides, self.worse = chosen, decides, 0
            self._keep(judged)
        else:
            self.worse += 1
        self.history[-1] |= {f"validation_{name}": value for name, value in figures.items()}
        self._warn_once(self.method.sign(self.config, self.history))
        return figures

    def _judged(self) -> tuple[Judgement, str]:
        """Figures of the present model, and the name of that which chooses the best; none without anything to judge."""
        if self.material.judged is not None and self.material.judged_regions:
            judged = judge(self.model, self.material.judged, self.material.judging)
            self._warn_once(COLLAPSED if judged.constant else None)
            return judged, self.decides or CHOOSES[self.model.target_encoding.kind]
        if (batch := self._held_out()) is None:
            return Judgement({}, False), ""
        with torch.inference_mode():
            figures = self.method.judge(self.config, self.model.networks, batch, self.shapes)
        return Judgement(figures, False), self.method.headline

    def _held_out(self) -> Batch | None:
        """The patches that judge where no pairs do, the same each time."""
        if self.material.held_out is None or not self.method.headline:
            return None
        count = max(JUDGED_PATCHES, PER_LABEL * self.shapes.domains.n)
        return self.material.held_out.batch(0, HELD_OUT, range(count)).to(self.model.device)

    def judge_now(self) -> None:
        """What a validation does, without keeping anything."""
        self._settle()
        self._judged()

    def _settle(self) -> None:
        """Ready what makes images for prediction, with the statistics of its present weights.

        Also where each image's own are used: a frame too large for one piece is predicted with those of the training.
        """
        count, device = math.ceil(STATISTICS_PATCHES / self.config.batch_size), self.model.device
        directions = self.method.directions(self.config, self.shapes).values()
        for name in self._makers:
            self.model.networks[name].eval()
            asked = [direction for direction in directions if direction.network == name]
            batches = (self.material.patches.batch(i, STATISTICS).to(device) for i in range(count))
            inputs = (direction.inputs(batch) for batch in batches for direction in asked)
            recompute_statistics(self.model.networks[name], inputs)

    @property
    def _makers(self) -> tuple[str, ...]:
        return self.method.makers(self.config, self.shapes)

    def _keep(self, judged: Judgement | None) -> None:
        """Save the present model, with what was judged, if anything was."""
        figures = {"validation": judged.figures} if judged else {}
        self.model.provenance |= {"step": self.step, "figures": figures}
        if judged and (stains := judged.told(self.model.provenance.get("stains", ()), "validation")):
            self.model.provenance["stains"] = stains
        if figures and (batch := self._held_out()) is not None:
            with torch.inference_mode():
                told = self.method.confusion(self.config, self.model.networks, batch, self.shapes)
            self.model.provenance |= {"confusion": told} if told else {}
        if self.writes:
            self.model.save(self.run.model)

    def look_now(self) -> Preview:
        """The middle of the first validation window, or of the first one that trains."""
        for name in self._makers:
            self.model.networks[name].eval()
        if self.material.look is None:
            return made_of_nothing(self.model, self.material.patches)
        model = self.model.toward(self.model.directions[-1]) if self.model.domains.sets else self.model
        model = model.under(self.material.shown)
        source, target = self.material.look(2 * self.config.patch_size)
        there = self._seen(model, source, target)
        if self.model.back is None:
            return there
        way_back = self.model.toward("source")
        back = self._seen(way_back, target, source)
        back = replace(back, again=self.model.predict_frame(back.prediction))
        return replace(there, again=way_back.predict_frame(there.prediction), back=back)

    def _seen(self, model: TrainedModel, source: NDArray[Any], target: NDArray[Any]) -> Preview:
        prediction = model.predict_frame(source)
        scored = self._scored(model, source, prediction)
        return Preview(source, prediction, target, model.target_encoding.is_labels, scored)

    def _scored(self, model: TrainedModel, source: NDArray[Any], prediction: NDArray[Any]) -> PatchScores | None:
        """What the discriminator says of this prediction now; it goes on training as it was."""
        critics = [self.model.networks[name] for name in self.method.critics(self.config).values()]
        if not critics:
            return None
        for critic in critics:
            critic.eval()
        try:
            return model.score_frame(source, prediction, "plain")
        except ValueError:  # the window is smaller than one field
            return None
        finally:
            for critic in critics:
                critic.train()

    # What is on disk

    def save(self) -> None:
        """The history, then the checkpoint."""
        if not self.writes:
            return
        self._require_finite()
        names = sorted({name for row in self.history for name in row} - {"step"})
        self.run.write_rows("history.csv", self.history, ["step", *names])
        write_tensors(self.run.path / "checkpoint.safetensors", *self.state())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `restore` goes on from: tensors, and what is beside them."""
        sums = {f"sums.{name}": total for name, total in self.sums.items()}
        state = {name: getattr(self, name) for name in ("step", "last", "best", "decides", "worse", "history")}
        state["model"] = self.model.content()
        tensors, state["scaler"] = self.learner.state()
        return {**self.model.tensors(), **tensors, **sums}, state

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Be where the checkpoint was."""
        self.step, self.last, self.history = state["step"], state.get("last", self.last), state["history"]
        self.best, self.worse = state["best"], state.get("worse", 0)
        by_earlier_versions = "" if self.best is None else HEADLINES[self.model.target_encoding.kind]
        self.decides = state.get("decides", by_earlier_versions)
        self.model.provenance = state["model"]["provenance"]
        self.sums = {name: value.to(self.model.device) for name, value in under("sums.", tensors).items()}
        for name, network in self.model.networks.items():
            network.load_state_dict(under(f"networks.{name}.", tensors))
        self.learner.restore(tensors, state.get("scaler", {}), self.step)
