"""A channel that a pair was not stained for is nowhere learned from, whatever its stack holds."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from napari_pix2pix import core
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.patches import PairedPatches
from napari_pix2pix.core.methods import METHODS
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.networks.layers import with_stains
from small import blobs, small_config

SOME = [[0, None], [None, 1], [0, 1], [0, None], [None, 1], [0, 1]]


def pairs(stains: Sequence | None = SOME, noise: int | None = None, n: int = 6) -> PairedFrames:
    """Of which each shows the source brighter and inverted; with `noise` what is missing holds that, else the truth."""
    sources = [blobs((64, 64), seed)[0] for seed in range(n)]
    targets = [np.stack([source // 2, 4095 - source]).astype(np.uint16) for source in sources]
    if noise is not None:
        random = np.random.default_rng(noise)
        for target, own in zip(targets, stains or (), strict=True):
            for k in (k for k in range(2) if own[k] is None):
                target[k] = random.integers(0, 60_000, target[k].shape)
    return PairedFrames(sources, targets, ("YX", "CYX"), channels=(None, stains), target_names=["half", "inverse"])


def weights(model: core.TrainedModel) -> list[torch.Tensor]:
    networks = {**model.networks, **({"judge": model.match.network} if model.match else {})}
    return [tensor for network in networks.values() for tensor in network.state_dict().values()]


def trained(some: PairedFrames, folder, **changes) -> core.TrainedModel:
    *_, last = core.train(some, small_config(**{"calibration_share": 0.2} | changes), out=folder)
    return last.model


@pytest.mark.filterwarnings("ignore")
def test_what_is_missing_changes_no_bit(tmp_path) -> None:
    """Noise instead of the truth in channels that are missing: the same model, its judge and its calibration too."""
    ours, theirs = (trained(pairs(noise=noise), tmp_path / str(noise), trust_steps=3) for noise in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(weights(ours), weights(theirs), strict=True))
    assert ours.target_encoding == theirs.target_encoding and ours.target_encoding.partial
    assert ours.provenance["figures"] == theirs.provenance["figures"]
    assert ours.match is not None and ours.match.tensors().keys() == theirs.match.tensors().keys()
    assert all(torch.equal(a, theirs.match.tensors()[name]) for name, a in ours.match.tensors().items())
    prediction = core.load_model(tmp_path / "1" / "model.safetensors").predict(blobs((64, 64))[0])
    assert prediction.shape == (2, 64, 64)
    assert ours.score(blobs((64, 64))[0], prediction, ("YX", "CYX")).scores.shape[-1] > 0


@pytest.mark.filterwarnings("ignore")
def test_an_image_is_scored_by_what_is_there(tmp_path) -> None:
    """Whatever stands where a stain is missing, the scores are the same; a model that saw all stains asks for all."""
    model, source = trained(pairs(), tmp_path / "some", trust_steps=3), blobs((64, 64))[0]
    target = np.stack([source // 2, 4095 - source]).astype(np.uint16)
    for kind in ("match", "plain"):
        ours, theirs, whole = (
            model.score(source, image, ("YX", "CYX"), image_channels=there, kind=kind).scores
            for image, there in ((target[:1], (0, None)), (target, (0, None)), (target, ()))
        )
        assert np.array_equal(ours, theirs) and not np.array_equal(ours, whole)
    with pytest.raises(ValueError, match="must have all stains"):
        trained(pairs(None), tmp_path / "all").score(source, target, ("YX", "CYX"), image_channels=(0, None))


@pytest.mark.filterwarnings("ignore")
def test_everything_known_is_as_if_nothing_could_be_missing(tmp_path) -> None:
    """Channels named pair by pair, and none missing: bit for bit the training without."""
    named, plain = pairs([[0, 1]] * 6), pairs(None)
    ours, theirs = (trained(some, tmp_path / str(i)) for i, some in enumerate((named, plain)))
    assert not ours.target_encoding.partial
    assert all(torch.equal(a, b) for a, b in zip(weights(ours), weights(theirs), strict=True))


@pytest.mark.filterwarnings("ignore")
def test_a_stopped_training_goes_on_exactly(tmp_path) -> None:
    """Three steps and three more are six."""
    whole = trained(pairs(), tmp_path / "whole")
    reports = core.train(pairs(), small_config(calibration_share=0.2), out=tmp_path / "run")
    for report in reports:
        if report.step == 3:
            break
    reports.close()
    *_, last = core.train(pairs(), small_config(calibration_share=0.2), out=tmp_path / "run", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(last.model), strict=True))


@pytest.mark.parametrize("changes", [{}, {"objective": "wgan-gp"}, {"shift_tolerance": 2}, {"l2_weight": 10.0}])
def test_a_step_learns_from_what_is_there(changes) -> None:
    """Whatever the batch holds in a channel that is missing, both networks end with the same weights."""
    config = small_config(**{"precision": "float32"} | changes)
    found = []
    random = torch.Generator().manual_seed(0)
    source, target = (torch.rand(2, n, 32, 32, generator=random) * 2 - 1 for n in (1, 2))
    stains = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    known = stains[..., None, None].expand_as(target).clone()
    for elsewhere in (0.0, 1.0, -7.0):
        torch.manual_seed(0)
        fabric = Fabric(accelerator="cpu", devices=1)
        fabric.launch()
        learner = Learner.of(config, fabric, METHODS["pix2pix"].networks(config, Shapes(1, 2, stains=2)))
        held = torch.where(known > 0, target, torch.tensor(elsewhere))
        METHODS["pix2pix"].step(learner, {"source": source, "target": held, "known": known, "stains": stains})
        found.append([p.detach().clone() for net in learner.networks.values() for p in net.parameters()])
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_the_discriminator_is_told_what_is_there() -> None:
    """Zeros and planes beside them, of the image alike whether it is real; all are there where nothing is said."""
    config = small_config()
    network = METHODS["pix2pix"].networks(config, Shapes(1, 2, stains=2))["discriminator"].eval()
    source, image = torch.rand(1, 1, 32, 32), torch.rand(1, 2, 32, 32)
    told = network(source, with_stains(image, torch.tensor([[1.0, 1.0]])))
    assert torch.equal(network(source, image), told)
    assert not torch.equal(network(source, with_stains(image, torch.tensor([[1.0, 0.0]]))), told)


def test_patches_tell_what_is_there_beside_what_is_known() -> None:
    """`known` has a plane for each channel, `stains` a number; foreground is looked for in what is there."""
    some, config = pairs(), small_config(foreground_share=1.0, batch_size=8, target_kind="intensity")
    encodings = trained_encodings(some)
    batch = PairedPatches(some, some.regions(), config, *encodings).batch(0)
    assert batch["known"].shape == batch["target"].shape and batch["stains"].shape == (8, 2)
    assert torch.equal(batch["known"][:, :, 0, 0], batch["stains"]) and (batch["stains"] == 0).any()


def trained_encodings(some: PairedFrames):
    from napari_pix2pix.core.encodings.encoding import fit_encoding, fit_stains

    sources = [some.source(i) for i in range(len(some))]
    each = [[some.target(i)[k : k + 1] for i in range(len(some)) if some.stains(i)[k]] for k in range(2)]
    return fit_encoding(sources, "intensity", limit=1.0), fit_stains(each, small_config().target_normalization)
