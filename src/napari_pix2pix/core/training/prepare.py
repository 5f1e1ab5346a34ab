"""What a training needs before its first step: pairs and settings checked against each other, networks, who judges."""

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

import napari_pix2pix
from napari_pix2pix.core.data.conditions import of_each
from napari_pix2pix.core.data.frames import Images
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.engine.compiling import require_compiler
from napari_pix2pix.core.engine.devices import resolve_precision
from napari_pix2pix.core.engine.processes import meet
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.learner import Average, Learner
from napari_pix2pix.core.methods.method import Method, Shapes
from napari_pix2pix.core.networks.norms import BatchRenorm
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.core.training.image_material import of_images
from napari_pix2pix.core.training.material import Material, Sided, of_pairs, of_sides
from napari_pix2pix.core.training.memory import require_memory
from napari_pix2pix.core.training.start import Start

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision on standard error
FABRIC_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


IN_WORDS = {
    "pairs": "pairs",
    "unpaired": "sources and targets that are no pairs",
    "domains": "images of several domains",
    "images": "images alone",
}


@dataclass
class Prepared:
    """Who learns from what, and who judges it.

    Parameters
    ----------
    config
        The settings.
    material
        What the networks learn from, and who judges them.
    model
        What the training makes: with the networks as they are now.
    method, learner
        How it learns, and with what.
    shapes
        What its networks know of the pairs.
    threads
        Of the processor, on which the run was begun.
    """

    config: Config
    material: Material
    model: TrainedModel
    method: Method[Any]
    learner: Learner[Any]
    shapes: Shapes
    threads: int


def prepare(
    data: PairedFrames | Sided,
    judges: tuple[PairedFrames | None, PairedFrames | None],
    old_pairs: PairedFrames | None,
    start: Start,
    device: torch.device,
    processes: tuple[int, int],
    provenance: dict[str, Any],
) -> Prepared:
    """Check the pairs, resolve the settings against them, make the networks."""
    config, method = start.config, method_of(start.config)
    devices, num_nodes = processes
    _require_shareable(config, devices, num_nodes)
    if devices * num_nodes > 1 and not method.shareable:
        raise ValueError(
            f"A training of {config.method} must run in one process; got {devices * num_nodes}. Leave devices and "
            "num_nodes out."
        )
    if config.compile:
        require_compiler(device)
    if data.kind != config.data:
        raise ValueError(
            f"Data must be what the method learns from; {config.method} learns from {IN_WORDS[config.data]}, got "
            f"{IN_WORDS[data.kind]}. Choose another method or other data."
        )
    if isinstance(data, PairedFrames):
        material = of_pairs(data, judges, old_pairs, start, method)
    else:
        material = of_images(data, start, method) if isinstance(data, Images) else of_sides(data, judges, start, method)
        config = config.model_copy(update={"target_kind": material.encodings[1].kind})
    if config.patience and not material.judged_regions and material.held_out is None:
        warnings.warn("Without validation pairs nothing can be seen to improve: `patience` does nothing.", stacklevel=3)
    source_encoding, target_encoding = material.encodings
    config = method.settled(config, target_encoding.kind)
    held = [row for row in material.rows if row["kind"] == "validation"]

    # Networks and their optimizers.
    torch.manual_seed(seed_of(config.seed, 0))
    told_apart = material.domains, material.joint, material.conditions
    shapes = Shapes.of(source_encoding, target_encoding, material.spatial_dims, *told_apart)
    for sentence in method.advice(config, shapes):
        warnings.warn(sentence, stacklevel=3)
    networks = method.networks(config, shapes)
    require_memory(config, networks.values(), material.spatial_dims, device)
    _require_common_norms(networks, devices * num_nodes)
    start.load(networks)
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
    meet()
    made = method.makers(config, shapes) if config.ema_decay else ()
    averages = {name: Average(networks[name], config.ema_decay) for name in made}
    learner = Learner.of(config, fabric, networks, averages, target_encoding.weights, material.domains)
    shown = networks | {name: average.module for name, average in averages.items()}
    model = TrainedModel(config, shown, source_encoding, target_encoding, material.view, material.channel_axis)
    model.back = material.back if "source" in method.directions(config, shapes) else None
    model.domains, model.joint, model.conditions = told_apart
    model.provenance = {
        "pairs": provenance,
        "split": {kind: sum(row["kind"] == kind for row in material.rows) for kind in ("train", "calibration")}
        | {"validation": len(material.judged_regions or held)},
        "regions": material.rows,
        "seed": config.seed,
        **told,
        "versions": {"napari-pix2pix": napari_pix2pix.__version__, "torch": torch.__version__},
    }
    if stains := material.stains():
        model.provenance["stains"] = stains
    if material.conditions.sets and isinstance(data, PairedFrames):
        model.provenance["conditions"] = of_each(data, material.conditions)
    if start.imported:
        model.provenance["began_imported"] = True
    if start.old_regions:
        model.provenance |= {"old_regions": start.old_regions, "seen": start.seen}
    return Prepared(config, material, model, method, learner, shapes, told["threads"])


def _require_shareable(config: Config, devices: int, num_nodes: int) -> None:
    """Raise a ValueError if such a training cannot be shared by so many processes."""
    if min(devices, num_nodes) < 1:
        raise ValueError(f"devices and num_nodes must be at least 1; got {devices} and {num_nodes}.")
    processes = devices * num_nodes
    if config.compile and processes > 1:
        raise ValueError(
            f"A training whose networks are compiled must run in one process; got {processes}. Set `compile` false, or "
            "leave devices and num_nodes out."
        )
    if config.batch_size % processes:
        raise ValueError(
            f"A batch must be shared alike by all processes; {config.batch_size} patches are not by {processes}. "
            "Choose another `batch_size`."
        )


def _require_common_norms(networks: dict[str, nn.Module], processes: int) -> None:
    """Raise a ValueError if so many processes would each have norm statistics of their own."""
    parts = (part for network in networks.values() for part in network.modules())
    if processes > 1 and any(isinstance(part, BatchRenorm) for part in parts):
        raise ValueError(
            "Norms must see the batch of all processes; batch-renorm sees that of one. Choose the norm batch, or train "
            "in one process."
        )


def seed_of(seed: int, step: int) -> int:
    """A seed for torch that depends on both."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
