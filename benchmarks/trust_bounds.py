"""Does the 90 % bound hold, and how wide is it? The part `bounds` of `trust.py`.

Of held-out images (as of `trust_risks.py`), one window each, divided at random 200 times, half calibrate and half are
new. Three bounds of the mean error of a field, each made to hold by the same conformal quantile over images:
``expected error``, some times what is expected; ``constant``, the same everywhere; ``level``, the quantile of the error
as a network tells it that was taught all levels, and of which calibration chooses the level: the idea of Ye et al.,
QUTCC (arXiv 2507.14760), which bounds pixels from above and below, for the error of fields. That network sees and is
taught what the expected error's sees and is taught, for as many steps, with the pinball loss. Each also ``fair``, for
three quarters of the fields in nine images of ten, too.

Told are the share of a new image's fields that err less than the bound (goal .90), that of the tenth-worst image (.75),
and the mean bound over the usual error; none, where too few images calibrate for any bound.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, softplus
from torch.optim import Adam
from trust_pairs import FRAME_AXES, Axes, Image, Pairs, cut, frames_of
from trust_risks import divisions

from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.geometry.tiles import round_up
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.settings.config import GeneratorConfig
from napari_pix2pix.core.teaching.fit_trust import LEARNING_RATE
from napari_pix2pix.core.teaching.teacher import PREDICTIONS, Teacher
from napari_pix2pix.core.trust.calibration import LEVEL, TINY, fair_quantile, group_quantile
from napari_pix2pix.core.trust.error_network import LEVELS, border_distance, label_of, seen
from napari_pix2pix.core.trust.judge import as_scored, pixel_errors

TRIED = 1 - np.geomspace(0.5, 0.005, 7)
"""Levels at which the network is asked; in between it is interpolated."""


class Quantiles(nn.Module):
    """Of what an `ErrorNetwork` sees (N, C, Y, X) and a level each (N,), a map whose mean over a field is the quantile.

    In `usual` errors; the network is the U-Net of the expected error, and the level is a plane beside what it sees.
    """

    def __init__(self, like: Any) -> None:
        super().__init__()
        channels, self.sees_doubt = like.last.in_channels, like.sees_doubt
        form = GeneratorConfig(levels=LEVELS, base_channels=channels, norm="none", dropout=0.0)
        self.unet, self.last = UNet(like.seen_maps + 1, channels, form, 2), nn.Conv2d(channels, 1, 1)

    def forward(self, seen: Tensor, level: Tensor) -> Tensor:
        """The map (N, 1, Y, X)."""
        plane = (2 * level - 1).reshape(-1, 1, 1, 1).expand(-1, 1, *seen.shape[2:])
        y, x = (round_up(n, grid) - n for n, grid in zip(seen.shape[2:], self.unet.grid, strict=True))
        found = self.last(self.unet(pad(torch.cat([seen, plane], dim=1), [0, x, 0, y])))
        return softplus(found[..., : seen.shape[2], : seen.shape[3]])


def quantiles(model: Any, pairs: Pairs, axes: Axes, steps: int, seed: int) -> Quantiles:
    """Taught all levels with the pinball loss on means over whole fields, as the expected error is taught."""
    frames = frames_of(pairs, axes)
    teacher = Teacher.prepare(model, frames, frames.regions(), conditional=True)
    like, [field, _] = teacher.network.of_pixels, teacher.network.fields
    assert like is not None
    torch.manual_seed(seed)
    network = Quantiles(like)
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE)
    for step in range(steps):
        _, _, beheld, _, _, errors, known = (side[: PREDICTIONS[like.labels]] for side in teacher.batch(step))
        level = torch.rand(len(beheld))
        told, true = (
            avg_pool2d(values, field.size, field.stride)
            for values in (network(beheld, level), (errors * known)[:, None] / like.usual)
        )
        apart, level = true - told, level.reshape(-1, 1, 1, 1)
        loss = torch.maximum(level * apart, (level - 1) * apart).mean()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 + np.cos(np.pi * step / steps)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def bound_rows(model: Any, train: Pairs, pairs: Pairs, axes: Axes, steps: int, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each kind of bound; see above."""
    encoding, fields, usual = model.target_encoding, model.match.network.fields, model.match.usual_error
    network = quantiles(model, train, axes, steps, seed)
    errors, expected, told = [], [], []
    for source, target in list(cut(pairs))[: len(pairs)]:
        frame = model.source_encoding.encode(source)
        maps = model.maps_of_frame(frame)
        image = as_scored(maps, encoding)
        [scored] = model.score_frames(source, encoding.decode(image), FRAME_AXES, look=False)
        inside = scored.valid
        errors.append(field_means(pixel_errors(image, encoding.encode(target), encoding), fields)[inside])
        expected.append(scored.expected_error[inside])
        sides = (maps, border_distance(label_of(image, encoding))) if encoding.is_labels else (None, None)
        beheld = torch.from_numpy(seen(frame, image, encoding, *sides, network.sees_doubt))[None]
        with torch.inference_mode():
            asked = [network(beheld, torch.tensor([level], dtype=torch.float32))[0, 0].numpy() for level in TRIED]
        own = np.stack([usual * field_means(one, fields)[inside] for one in asked])
        told.append(np.maximum.accumulate(own))
    kinds = {
        "expected error": ([e / np.maximum(x, TINY) for e, x in zip(errors, expected, strict=True)], scaled, expected),
        "constant": (errors, lambda amount, one: np.full(len(one), amount), expected),
        "level": ([reached(e, one) for e, one in zip(errors, told, strict=True)], at, told),
    }
    for (name, (scores, bound, known)), fair in product(kinds.items(), (False, True)):
        shares, tenths, widths = [], [], []
        for ours, new in divisions(len(errors), seed):
            these = [scores[i] for i in ours]
            amount = fair_quantile(these) if fair else group_quantile(these, LEVEL)
            held = [float((scores[i] <= amount).mean()) for i in new]
            shares.append(np.mean(held))
            tenths.append(np.quantile(held, 0.1))
            widths.append(np.mean([bound(amount, known[i]).mean() for i in new]) / usual)
        means = {k: np.mean(v) for k, v in (("coverage", shares), ("tenth-worst image", tenths), ("width", widths))}
        told_of = {k: round(float(mean), 3) if np.isfinite(mean) else None for k, mean in means.items()}
        yield {"bound": name + ", fair" * fair} | told_of | {"images": len(errors)}


def scaled(times: float, expected: Image) -> Image:
    """So many times what is expected."""
    return times * np.maximum(expected, TINY)


def reached(errors: Image, told: Image) -> Image:
    """The place among the levels (k,) at which what is `told` (k, n) reaches the errors (n,); see `at`."""
    first = (told < errors).sum(axis=0)  # levels below the error
    low, high = (
        np.take_along_axis(told, i[None], 0)[0] for i in (np.maximum(first - 1, 0), np.minimum(first, len(told) - 1))
    )
    between = first - 1 + (errors - low) / np.maximum(high - low, TINY)
    below, above = errors / np.maximum(told[0], TINY) - 1, len(told) - 2 + errors / np.maximum(told[-1], TINY)
    return np.where(first == 0, below, np.where(first == len(told), above, between))


def at(place: float, told: Image) -> Image:
    """What is told there: interpolated, and beyond the ends scaled."""
    last = len(told) - 1
    if place < 0:
        return (1 + place) * told[0]
    if place >= last:
        return (1 + place - last) * told[-1]
    i = int(place)
    return told[i] + (place - i) * (told[i + 1] - told[i])
