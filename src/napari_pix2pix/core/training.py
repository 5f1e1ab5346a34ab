"""The training loop, as a generator of reports."""

import logging
import math
import time
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

import napari_pix2pix
from napari_pix2pix.core.config import Config, Precision
from napari_pix2pix.core.devices import is_out_of_memory, pick_device, resolve_precision
from napari_pix2pix.core.evaluation import HEADLINES, judge
from napari_pix2pix.core.methods.pix2pix import Average, Pix2Pix, networks, reach, set_up
from napari_pix2pix.core.metrics.comparison import higher_is_better
from napari_pix2pix.core.model import TrainedModel, load_model
from napari_pix2pix.core.networks.norms import recompute_statistics
from napari_pix2pix.core.pairs import PairedFrames, Region, settle_empty_frames
from napari_pix2pix.core.patch_scores import PatchScores
from napari_pix2pix.core.patches import STATISTICS, TRAINING, MixedPatches, PairedPatches, Patches
from napari_pix2pix.core.processes import mean, number, share
from napari_pix2pix.core.run_folder import RunFolder
from napari_pix2pix.core.signs import discriminator_too_strong, generator_collapsed
from napari_pix2pix.core.source_view import SourceView
from napari_pix2pix.core.split import Split, split_pairs, windows_of, without_seen
from napari_pix2pix.core.start import Start
from napari_pix2pix.core.tensor_files import under, write_tensors
from napari_pix2pix.core.trust import TrustReport, fit_trust

HISTORY_EVERY = 10
"""Steps per row of `history.csv`; losses are read from the device no more often."""
PREVIEW_EVERY = 50
"""Steps per preview."""
CHECKPOINT_EVERY_S = 10.0
STATISTICS_PATCHES = 64
SAME_ERROR = 1e-3
"""A change of the error on validation pairs, as a share of it, that is none: so much is bfloat16 allowed to make."""
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision on standard error
FABRIC_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


@dataclass(frozen=True)
class Preview:
    """One window of the pairs now: source, prediction and target (C, Y, X), in grey values or labels.

    With the present discriminator's scores of the prediction, where there is one and a field of it fits in.
    """

    source: NDArray[Any]
    prediction: NDArray[Any]
    target: NDArray[Any]
    labels: bool = False
    scored: PatchScores | None = None


@dataclass(frozen=True)
class Report:
    """Where a training is.

    Parameters
    ----------
    step, steps
        Done, and to do in all.
    losses
        Means over the last ten steps; empty before.
    metrics
        On validation pairs, at the steps that validate; else empty.
    preview
        At some steps.
    elapsed_s
        Since this process began to train.
    remaining_s
        At the present speed; None at the start.
    teaching
        Where the teaching of the judge of the match is, which follows the last step; else None.
    model
        The finished model, in the last report.
    """

    step: int
    steps: int
    losses: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    preview: Preview | None = None
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    teaching: TrustReport | None = None
    model: TrainedModel | None = None


def train(
    pairs: PairedFrames,
    config: Config | None = None,
    *,
    out: Path | str,
    validation: PairedFrames | None = None,
    test: PairedFrames | None = None,
    initial: TrainedModel | None = None,
    old_pairs: PairedFrames | None = None,
    resume: bool = False,
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
        If the pairs cannot be trained on, or the settings or `initial` do not fit them.
    FileExistsError
        If `out` holds something and neither `resume` nor `overwrite` is set.
    FileNotFoundError
        If there is no run to resume.
    """
    run = RunFolder(Path(out))
    if resume:
        start = Start.again(run)
    else:
        start = Start.with_model(initial, config) if initial else Start(config or Config())
        run.require_free(overwrite)
    judges = validation, test
    processes = devices, num_nodes
    loop = _Loop.prepare(pairs, judges, old_pairs, start, pick_device(device), processes, provenance or {}, run)
    lock = run.lock() if loop.writes else None
    try:
        if resume:
            loop.restore(*run.checkpoint())
        elif loop.writes:
            run.clear()
            run.write_plan(loop.plan())
            rows = list(loop.split.rows(pairs))
            if validation is not None:
                rows += Split((), loop.judged_regions).rows(validation)
            run.write_rows("split.csv", rows, list(rows[0]))
            loop.save()
        loop.method.fabric.barrier()
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    for remark in (*loop.split.remarks, *_small_patches(loop.model)):
        warnings.warn(remark, stacklevel=2)
    return loop.reports(lock)


@dataclass
class _Loop:
    """Everything a training holds between two steps."""

    config: Config
    patches: PairedPatches | MixedPatches
    judged: PairedFrames
    judged_regions: tuple[Region, ...]
    test: PairedFrames | None
    split: Split
    model: TrainedModel
    method: Pix2Pix
    run: RunFolder
    threads: int
    average: Average | None = None
    step: int = 0
    last: int = 0
    best: float | None = None
    worse: int = 0
    warned: set[str] = field(default_factory=set)
    sums: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def prepare(
        cls,
        pairs: PairedFrames,
        judges: tuple[PairedFrames | None, PairedFrames | None],
        old_pairs: PairedFrames | None,
        start: Start,
        device: torch.device,
        processes: tuple[int, int],
        provenance: dict[str, Any],
        run: RunFolder,
    ) -> "_Loop":
        """Check the pairs, resolve the settings against them, make the networks."""
        config, spatial_dims = start.config, len(pairs.source_plans[0].spatial)
        devices, num_nodes = processes
        _require_shareable(config, devices, num_nodes)
        validation, test = (judge_pairs and _as_judges(pairs, judge_pairs, config) for judge_pairs in judges)
        pairs.require_patches(config.patch_size, config.generator.grid)
        pairs.require_finite(varying=True)
        pairs = settle_empty_frames(pairs, config.empty_frames, config.target_kind)

        if config.objective == "wgan-gp" and config.discriminator.norm in ("batch", "batch-renorm"):
            warnings.warn(
                "wgan-gp penalizes the gradient of each pair, which batch norm in the discriminator mixes with the "
                "others'; better choose --discriminator.norm instance or none.",
                stacklevel=3,
            )

        # Who trains, who judges.
        gap = reach(config, spatial_dims)
        if validation is not None:
            split = split_pairs(pairs, config.model_copy(update={"validation_share": 0.0}), gap)
        else:
            split = split_pairs(pairs, config, gap)
        split = without_seen(split, pairs, start.seen)
        judged, judged_regions = (validation, validation.regions()) if validation else (pairs, split.validation)
        if config.patience and not judged_regions:
            warnings.warn(
                "Without validation pairs nothing can be seen to improve: --patience does nothing.", stacklevel=3
            )

        source_encoding, target_encoding = start.encode(pairs, split)

        # Networks and their optimizers.
        torch.manual_seed(_seed(config.seed, 0))
        generator, discriminator = networks(config, source_encoding.n_maps, target_encoding.n_maps, spatial_dims)
        start.load(generator, discriminator)
        told: dict[str, Any] = {"device": device.type, "threads": torch.get_num_threads()}
        told |= {"processes": devices * num_nodes} | start.machine
        precision = told.setdefault("precision", resolve_precision(config.precision, device))
        if told["device"] != device.type:
            warnings.warn(
                f"This run was started on {told['device']} and goes on on {device.type}: not bit for bit.", stacklevel=3
            )
        if told["processes"] != devices * num_nodes:
            warnings.warn(
                f"This run was started with {told['processes']} processes and goes on with {devices * num_nodes}: not "
                "bit for bit.",
                stacklevel=3,
            )
        fabric = Fabric(
            accelerator=device.type,
            devices=[device.index or 0] if device.type == "cuda" and devices == 1 else devices,
            num_nodes=num_nodes,
            strategy="ddp" if devices * num_nodes > 1 else "auto",
            precision=FABRIC_PRECISION[precision],
        )
        fabric.launch()
        method = set_up(config, fabric, generator, discriminator, target_encoding.weights)
        average = Average(generator, config.ema_decay) if config.ema_decay else None
        view = SourceView.of(pairs.source_plans[0], pairs.source_names)
        channel_axis = max(plan.channel_axis for plan in pairs.target_plans)  # "S" where any target is RGB
        shown = average.module if average else generator
        model = TrainedModel(config, shown, discriminator, source_encoding, target_encoding, view, channel_axis)
        model.provenance = {
            "pairs": provenance,
            "split": {
                "train": len(split.train),
                "validation": len(judged_regions),
                "calibration": len(split.calibration),
            },
            "regions": list(split.rows(pairs)),
            "seed": config.seed,
            **told,
            "versions": {"napari-pix2pix": napari_pix2pix.__version__, "torch": torch.__version__},
        }
        if start.old_regions:
            model.provenance |= {"old_regions": start.old_regions, "seen": start.seen}
        encodings = source_encoding, target_encoding
        new = PairedPatches(pairs, split.train, config, *encodings)
        patches: PairedPatches | MixedPatches = new
        if old_pairs is not None:
            if not (old := windows_of(old_pairs, start.old_regions, "train")):
                raise ValueError("Old pairs must be those that trained the model to start from; none of them did.")
            _require_same_channels(pairs, old_pairs, "Old pairs")
            old_pairs.require_patches(config.patch_size, config.generator.grid)
            patches = MixedPatches(new, PairedPatches(old_pairs, old, config, *encodings))
        run_with = patches, judged, judged_regions, test, split, model, method, run
        return cls(config, *run_with, threads=told["threads"], average=average, last=config.steps)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return number() == 0

    def plan(self) -> dict[str, Any]:
        """The resolved plan, for `config.json`."""
        return self.model.content()

    # The loop

    def reports(self, lock: FileLock | None) -> Generator[Report, None, None]:
        """Step to the end and report each step; when closed before, save what a later run needs to go on."""
        config, first, started = self.config, self.step, time.monotonic()
        began = started - self.run.elapsed_s()
        losses: dict[str, float] = {}
        threads_before = torch.get_num_threads()
        try:
            torch.set_num_threads(self.threads)
            saved = started
            for patches in self._batches():
                # One step.
                torch.manual_seed(_seed(config.seed, self.step))  # dropout
                self.method.generator.train()
                self.method.set_learning_rate(self.step)
                self._add(self.method.step(patches.source, patches.target, patches.known))
                if self.average is not None:
                    self.average.update_parameters(self.method.generator)
                self.step += 1

                # What to tell, and to keep.
                if self._due(HISTORY_EVERY) or self._due(config.validate_every):
                    losses = self._mean_losses()
                metrics = self._validate() if self._due(config.validate_every) else {}
                if config.patience and self.worse == config.patience:
                    self.last = self.step
                preview = self._preview() if self._due(PREVIEW_EVERY) or self.step == first + 1 else None
                now = time.monotonic()
                if now - saved > CHECKPOINT_EVERY_S or self.step == self.last:
                    self.save()
                    self.run.write_elapsed(now - began)
                    saved = now
                remaining = (now - started) / (self.step - first) * (self.last - self.step)
                yield Report(self.step, self.last, losses, metrics, preview, now - started, remaining)
                if self.step == self.last:
                    break
            model = self._finished()
            if config.trust_steps and model.match is None:
                for taught in self._teach(model):
                    yield Report(self.step, self.last, losses, teaching=taught, remaining_s=taught.remaining_s)
                model = self._loaded()
            yield Report(self.step, self.last, losses, model=model)
        except GeneratorExit:
            self.save()
            self.run.write_elapsed(time.monotonic() - began)
            if self.best is None and self.step < self.last:
                self._settle()
                self._keep({})
            raise
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(
                f"A step must fit into the memory of {self.model.device}; it does not. Lower --batch-size or "
                "--patch-size, or close other programs; what was saved is kept."
            ) from error
        finally:
            torch.set_num_threads(threads_before)
            if lock is not None:
                lock.release()

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.last

    def _batches(self) -> Iterator[Patches]:
        """The batch of each step that is left, prepared while the device works on the one before."""
        with ThreadPoolExecutor(1, "patches") as loader:
            ours = share(self.config.batch_size)
            upcoming = loader.submit(self.patches.batch, self.step, TRAINING, ours)
            for step in range(self.step + 1, self.last + 1):
                batch = upcoming.result()
                upcoming = loader.submit(self.patches.batch, step, TRAINING, ours)
                yield batch.to(self.model.device)

    def _add(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            self.sums[name] = self.sums[name] + loss.float() if name in self.sums else loss.float()

    def _mean_losses(self) -> dict[str, float]:
        """Means since the last call, as a new row of the history."""
        self.sums = {name: mean(total) for name, total in self.sums.items()}
        self._require_finite()
        steps = self.step - (self.history[-1]["step"] if self.history else 0)
        means = {name: float(total) / steps for name, total in self.sums.items()}
        self.sums = {}
        self.history.append({"step": self.step, **means})
        self._warn_once(discriminator_too_strong(self.history, self.config.objective))
        return means

    def _require_finite(self) -> None:
        """Stop before anything that is not finite is kept; the run folder holds a model, if need be the last saved."""
        values = {name: float(total) for name, total in self.sums.items()}
        values["weights"] = float(sum(weight.detach().float().sum() for weight in self.method.generator.parameters()))
        broken = ", ".join(f"{name} {value}" for name, value in values.items() if not math.isfinite(value))
        if not broken:
            return
        step = self.step
        if self.best is None:
            self.restore(*self.run.checkpoint())
            self._settle()
            self._keep({})
        raise RuntimeError(
            f"Losses must stay finite; at step {step}: {broken}. {self.run.model} is the model from before. Lower "
            "--learning-rate or set --clip-gradients 1."
        )

    def _warn_once(self, sentence: str | None) -> None:
        if sentence and sentence not in self.warned:
            self.warned.add(sentence)
            warnings.warn(sentence, stacklevel=4)

    def _validate(self) -> dict[str, float]:
        """Figures on the validation pairs; the best model is saved. Without such pairs, the present one is."""
        self._settle()
        if not self.judged_regions:
            self._keep({})
            return {}
        judged = judge(self.model, self.judged, self.judged_regions)
        figures, decides = judged.figures, HEADLINES[self.model.target_encoding.kind]
        chosen = figures[decides]
        self._warn_once(generator_collapsed(judged.predictions, judged.targets))
        if (
            self.best is None
            or not math.isfinite(self.best)
            or (chosen > self.best if higher_is_better(decides) else chosen < self.best)
        ):
            self.best, self.worse = chosen, 0
            self._keep({"validation": figures})
        else:
            self.worse += 1
        self.history[-1] |= {f"validation_{name}": value for name, value in figures.items()}
        return figures

    def _settle(self) -> None:
        """Ready the generator for prediction, with the statistics of its present weights.

        Also where each image's own are used: a frame too large for one piece is predicted with those of the training.
        """
        self.model.generator.eval()
        count = math.ceil(STATISTICS_PATCHES / self.config.batch_size)
        batches = (self.patches.batch(i, STATISTICS).source.to(self.model.device) for i in range(count))
        recompute_statistics(self.model.generator, batches)

    def _finished(self) -> TrainedModel:
        """The best model, with its figures on the test pairs, and what it predicts in."""
        model = self._loaded()
        if not self.writes:
            return model
        if self.judged_regions and resolve_precision("auto", model.device) == "bfloat16":
            change = self._change_of_error(model, "bfloat16")
            predicts_in = "bfloat16" if change < SAME_ERROR else "float32"
            model.provenance |= {"predicts_in": predicts_in, "bfloat16_changes_error_by": change}
            model.save(self.run.model)
        if self.test is not None:
            model.provenance["figures"]["test"] = judge(model, self.test, self.test.regions()).figures
            model.save(self.run.model)
        return model

    def _loaded(self) -> TrainedModel:
        self.method.fabric.barrier()  # the first process has written it
        return load_model(self.run.model, str(self.model.device))

    def _teach(self, model: TrainedModel) -> Iterator[TrustReport]:
        """Teach the best model to judge the match, in the first process; if stopped, a resumed run begins it anew."""
        if self.writes:
            pairs = self.patches.pairs
            for report in fit_trust(model, pairs, split=self.split):
                if report.model is not None:
                    report.model.save(self.run.model)
                else:
                    yield report

    def _change_of_error(self, model: TrainedModel, precision: Precision) -> float:
        """By which share the error on the validation pairs changes when the model predicts in `precision`."""
        decides = HEADLINES[model.target_encoding.kind]
        judged = judge(model, self.judged, self.judged_regions, precision).figures, model.provenance["figures"]
        found, exact = (
            1 - figures[decides] if higher_is_better(decides) else figures[decides]
            for figures in (judged[0], judged[1]["validation"])
        )
        return abs(found - exact) / exact if exact else float(found != exact)

    def _keep(self, figures: dict[str, dict[str, float]]) -> None:
        self.model.provenance |= {"step": self.step, "figures": figures}
        if self.writes:
            self.model.save(self.run.model)

    def _preview(self) -> Preview:
        """The middle of the first validation window, or of the first one that trains."""
        pairs, region = (
            (self.judged, self.judged_regions[0]) if self.judged_regions else (self.patches.pairs, self.split.train[0])
        )
        window = tuple(_middle(side, 2 * self.config.patch_size) for side in region.window)
        source = pairs.source(region.frame, window)
        self.model.generator.eval()
        labels, prediction = self.model.target_encoding.is_labels, self.model.predict_frame(source)
        return Preview(source, prediction, pairs.target(region.frame, window), labels, self._scored(source, prediction))

    def _scored(self, source: NDArray[Any], prediction: NDArray[Any]) -> PatchScores | None:
        """What the discriminator says of this prediction now; it goes on training as it was."""
        discriminator = self.model.discriminator
        if discriminator is None or self.config.gan_weight == 0:
            return None
        discriminator.eval()
        try:
            return self.model.score_frame(source, prediction, "plain")
        except ValueError:  # the window is smaller than one field
            return None
        finally:
            discriminator.train()

    # What is on disk

    def save(self) -> None:
        """The history, then the checkpoint."""
        if not self.writes:
            return
        self._require_finite()
        names = sorted({name for row in self.history for name in row} - {"step"})
        self.run.write_rows("history.csv", self.history, ["step", *names])
        sums = {f"sums.{name}": total for name, total in self.sums.items()}
        state = {name: getattr(self, name) for name in ("step", "last", "best", "worse", "history")}
        state["model"] = self.model.content()
        tensors, state["scaler"] = self.method.state()
        if self.average is not None:
            tensors |= {f"trained.{name}": tensor for name, tensor in self.method.generator.state_dict().items()}
        write_tensors(self.run.path / "checkpoint.safetensors", {**self.model.tensors(), **tensors, **sums}, state)

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Be where the checkpoint was."""
        self.step, self.last, self.history = state["step"], state.get("last", self.last), state["history"]
        self.best, self.worse = state["best"], state.get("worse", 0)
        self.model.provenance = state["model"]["provenance"]
        self.sums = {name: value.to(self.model.device) for name, value in under("sums.", tensors).items()}
        for prefix, network in (("generator.", self.model.generator), ("discriminator.", self.model.discriminator)):
            if network is not None:
                network.load_state_dict(under(prefix, tensors))
        if self.average is not None:
            self.method.generator.load_state_dict(under("trained.", tensors))
            self.average.n_averaged.fill_(self.step)
        self.method.restore(tensors, state.get("scaler", {}))


def _as_judges(pairs: PairedFrames, judges: PairedFrames, config: Config) -> PairedFrames:
    """Pairs that choose or judge, checked as those that train are."""
    _require_same_channels(pairs, judges, "Validation and test pairs")
    judges.require_finite()
    return settle_empty_frames(judges, config.empty_frames, config.target_kind)


def _require_same_channels(pairs: PairedFrames, others: PairedFrames, what: str) -> None:
    for side in ("source_plans", "target_plans"):
        ours, theirs = (getattr(some, side)[0] for some in (pairs, others))
        if (ours.n_channels, ours.spatial, ours.z) != (theirs.n_channels, theirs.spatial, theirs.z):
            raise ValueError(
                f"{what} must have the channels of the others; got {theirs.n_channels} "
                f"({theirs.axes}) where they have {ours.n_channels} ({ours.axes}). Choose others; channels in further "
                "files are added with --validation-source-more and the like."
            )
    named = {names for names in (*pairs.source_names, *others.source_names) if names}
    if len(named) > 1 and len(set(pairs.source_names)) == 1:
        listed = " and ".join(", ".join(names) for names in sorted(named))
        raise ValueError(
            f"{what} must have the source channels of the others in their order; got {listed}. Name them with "
            "--source-channels."
        )


def _require_shareable(config: Config, devices: int, num_nodes: int) -> None:
    """Raise a ValueError if such a training cannot be shared by so many processes."""
    if min(devices, num_nodes) < 1:
        raise ValueError(f"devices and num_nodes must be at least 1; got {devices} and {num_nodes}.")
    processes = devices * num_nodes
    if config.batch_size % processes:
        raise ValueError(
            f"A batch must be shared alike by all processes; {config.batch_size} patches are not by {processes}. "
            "Choose another --batch-size."
        )
    if processes > 1 and "batch-renorm" in (config.generator.norm, config.discriminator.norm):
        raise ValueError(
            "Norms must see the batch of all processes; batch-renorm sees that of one. Choose the norm batch, or train "
            "in one process."
        )


def _small_patches(model: TrainedModel) -> list[str]:
    """What to know where a patch is smaller than what one score sees."""
    field = model.discriminator.fields[-1].size if model.discriminator else 0
    if field <= model.config.patch_size:
        return []
    return [
        f"Patches should be no smaller than the discriminator's field, {field} px, or every score sees their padding; "
        f"they are {model.config.patch_size} px. Choose a larger --patch-size or fewer --discriminator.n-layers."
    ]


def _middle(side: slice, length: int) -> slice:
    """At most `length` pixels in the middle of `side`."""
    spare = max(0, side.stop - side.start - length)
    return slice(side.start + spare // 2, side.stop - (spare + 1) // 2)


def _seed(seed: int, step: int) -> int:
    """A seed for torch that depends on both."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
