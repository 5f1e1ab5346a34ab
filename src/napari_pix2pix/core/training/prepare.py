"""What a training needs before its first step: pairs and settings checked against each other, networks, who judges."""

import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

import napari_pix2pix
from napari_pix2pix.core.data.pairs import PairedFrames, Region, settle_empty_frames
from napari_pix2pix.core.data.patches import MixedPatches, PairedPatches
from napari_pix2pix.core.data.split import Split, evenly, split_pairs, windows_of, without_seen
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.engine.devices import resolve_precision
from napari_pix2pix.core.methods.pix2pix import Average, Pix2Pix, networks, reach, set_up
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.core.training.start import Start

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision on standard error
FABRIC_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


MOST_JUDGED = 2**24
"""Pixels of validation pairs that choose the best model; they take seconds on a processor."""


@dataclass
class Prepared:
    """Who learns from what, and who judges it.

    Parameters
    ----------
    config
        The settings.
    patches
        What the networks learn from.
    judged, judged_regions
        The pairs among which the validation pairs are, and where.
    judging
        What of them chooses the best model: all, or as much as is judged in reasonable time.
    test
        Pairs that judge the finished model.
    split
        Who trains, validates and calibrates.
    model
        What the training makes: with the networks as they are now.
    method
        What steps.
    threads
        Of the processor, on which the run was begun.
    average
        Of the generator's weights, if the model is to have that.
    """

    config: Config
    patches: PairedPatches | MixedPatches
    judged: PairedFrames
    judged_regions: tuple[Region, ...]
    judging: tuple[Region, ...]
    test: PairedFrames | None
    split: Split
    model: TrainedModel
    method: Pix2Pix
    threads: int
    average: Average | None


def prepare(
    pairs: PairedFrames,
    judges: tuple[PairedFrames | None, PairedFrames | None],
    old_pairs: PairedFrames | None,
    start: Start,
    device: torch.device,
    processes: tuple[int, int],
    provenance: dict[str, Any],
) -> Prepared:
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
        warnings.warn("Without validation pairs nothing can be seen to improve: --patience does nothing.", stacklevel=3)

    judging = evenly(judged, judged_regions, MOST_JUDGED)
    if judging != judged_regions:
        all_of, some = (sum(math.prod(r.shape) for r in regions) / 1e6 for regions in (judged_regions, judging))
        warnings.warn(
            f"Validation pairs hold {all_of:,.0f} megapixels; {some:.0f} of them, evenly spread, choose the best "
            "model.",
            stacklevel=3,
        )

    source_encoding, target_encoding = start.encode(pairs, split)

    # Networks and their optimizers.
    torch.manual_seed(seed_of(config.seed, 0))
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
    made: dict[str, nn.Module] = {"generator": shown} | (
        {} if discriminator is None else {"discriminator": discriminator}
    )
    model = TrainedModel(config, made, source_encoding, target_encoding, view, channel_axis)
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
    return Prepared(
        config, patches, judged, judged_regions, judging, test, split, model, method, told["threads"], average
    )


def _as_judges(pairs: PairedFrames, judges: PairedFrames, config: Config) -> PairedFrames:
    """Pairs that choose or judge, checked as those that train are."""
    _require_same_channels(pairs, judges, "Validation and test pairs")
    judges.require_finite()
    return settle_empty_frames(judges, config.empty_frames, config.target_kind, like=pairs)


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


def small_patches(model: TrainedModel) -> list[str]:
    """What to know where a patch is smaller than what one score sees."""
    field = model.discriminator.fields[-1].size if model.discriminator else 0
    if field <= model.config.patch_size:
        return []
    return [
        f"Patches should be no smaller than the discriminator's field, {field} px, or every score sees their padding; "
        f"they are {model.config.patch_size} px. Choose a larger --patch-size or fewer --discriminator.n-layers."
    ]


def seed_of(seed: int, step: int) -> int:
    """A seed for torch that depends on both."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
