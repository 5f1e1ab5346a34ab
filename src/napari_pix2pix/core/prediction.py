"""A frame through the generator, tile by tile."""

import itertools
import math
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pix2pix.core.devices import is_out_of_memory
from napari_pix2pix.core.networks.dropout import Window, drawing
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.norms import image_statistics, looks_at_image
from napari_pix2pix.core.tiles import Tile, TilePlan, plan_tiles

DEAR = 1.5
"""Tiles that read more pixels than this for each that they keep are worth a word."""


def plan_prediction(
    generator: Generator, frame_shape: tuple[int, ...], tile_size: int | None = None, overlap: int | None = None
) -> TilePlan:
    """Tiles that give what the whole frame gives, if `overlap` is None or at least the generator's reach.

    `tile_size` is along Y and X; planes of a volume stay together.
    """
    sides = (None,) * (len(frame_shape) - 2) + (tile_size,) * 2
    return plan_tiles(frame_shape, grid=generator.grid, reach=generator.reach, tile_size=sides, overlap=overlap)


def cheaper(generator: Generator, plan: TilePlan) -> TilePlan | None:
    """Larger tiles for a plan whose overlap costs much: of the least side, times 2, 4 ..., that costs at most `DEAR`.

    None where the plan itself costs no more, or is one piece.
    """
    larger = plan
    while larger.cost > DEAR and len(larger.tiles) > 1:
        larger = plan_prediction(generator, plan.shape, 2 * max(larger.tile_size[-2:]), max(plan.overlap))
    return larger if larger != plan else None


@dataclass
class Budget:
    """How much goes through a network at once, in pixels; it shrinks where memory does not suffice.

    Parameters
    ----------
    batch
        Tiles are computed together up to so many pixels; a larger one by itself.
    tile
        Tiles of so many pixels, or more, are halved.
    """

    batch: int = 2**20
    tile: float = math.inf

    def shrink(self, tiles: Sequence[Tile], device: torch.device) -> None:
        """Allow half of `tiles`, or half of the only one: they were too much for the memory of `device`."""
        if self == Budget():
            size = " x ".join(map(str, tiles[0].shape))
            warnings.warn(
                f"Memory on {device} does not suffice for {len(tiles)} x {size} px at once; smaller batches, then "
                "smaller tiles are taken. A smaller --tile-size saves the attempt.",
                stacklevel=2,
            )
        pixels = len(tiles) * math.prod(tiles[0].shape)
        self.batch = pixels // 2
        if len(tiles) == 1:
            self.tile = pixels


def predict_tiles(
    generator: Generator,
    frame: NDArray[np.float32],
    plan: TilePlan,
    device: torch.device,
    *,
    draws: int | None = None,
    seed: int = 0,
    budget: Budget | None = None,
) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
    """Each tile with its pixels (n_maps, [Z,] Y, X); `frame` (C, [Z,] Y, X) in [-1, 1].

    With `draws`, their mean and, as n_maps maps more, their standard deviation; neither depends on the tiles.
    Neighbours of the same size are computed together as far as the `budget` allows.

    Raises
    ------
    MemoryError
        If memory does not suffice for the smallest tile, or for one that must not be smaller.
    """
    waiting, budget = deque(plan.tiles), budget or Budget()
    while waiting:
        if math.prod(waiting[0].shape) >= budget.tile:
            waiting.extendleft(reversed(_halves(generator, plan, waiting.popleft(), device)))
            continue
        alike = itertools.takewhile(lambda tile: tile.shape == waiting[0].shape, waiting)
        batch = list(itertools.islice(alike, max(1, budget.batch // math.prod(waiting[0].shape))))
        try:
            maps = _computed(generator, frame, batch, device, draws, seed)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            maps = None  # outside this block nothing holds on to what filled the memory
        if maps is None:
            budget.shrink(batch, device)
            continue
        for tile, found in zip(batch, maps, strict=True):
            yield waiting.popleft(), found[(slice(None), *tile.inside)]


def _halves(generator: Generator, plan: TilePlan, tile: Tile, device: torch.device) -> tuple[Tile, ...]:
    halves, size = plan.halves(tile), " x ".join(map(str, tile.shape))
    if looks_at_image(generator):
        raise MemoryError(
            f"A model whose norm looks at the image must run in one piece; memory on {device} does not suffice for "
            f"{size} px. Predict with --norm-statistics training, or train with batch norm if the norm is instance."
        )
    if not halves:
        raise MemoryError(f"Memory on {device} must suffice for a tile of {size} px; it does not. Free some of it.")
    return halves


def _computed(
    generator: Generator,
    frame: NDArray[np.float32],
    tiles: Sequence[Tile],
    device: torch.device,
    draws: int | None,
    seed: int,
) -> NDArray[np.float32]:
    """Maps (N, n_maps, [Z,] Y, X) of what N tiles of one size read."""
    with torch.inference_mode():
        sources = torch.from_numpy(np.stack([read_padded(frame, tile.read) for tile in tiles])).to(device)
        windows = [tile.read for tile in tiles]
        maps = _drawn(generator, sources, windows, draws, seed) if draws else generator(sources)
        return maps.float().cpu().numpy()


def _drawn(generator: Generator, sources: Tensor, windows: Sequence[Window], draws: int, seed: int) -> Tensor:
    """Mean and standard deviation (N, 2 n_maps, [Z,] Y, X) of the maps over dropout draws, one draw at a time.

    References
    ----------
    Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 1962.
    """
    mean, squares = torch.zeros(()), torch.zeros(())
    for draw in range(draws):
        with drawing(generator, seed, draw, windows):
            maps = generator(sources)
        step = maps - mean
        mean = mean + step / (draw + 1)
        squares = squares + step * (maps - mean)
    return torch.cat([mean, (squares / (draws - 1)).sqrt()], dim=1)


def predict_by_image_statistics(
    generator: Generator, frame: NDArray[np.float32], device: torch.device, seed: int, draws: int | None = None
) -> NDArray[np.float32]:
    """Maps (n_maps, [Z,] Y, X) of the frame in one piece, with its own statistics and dropout, as the paper tests.

    With `draws`, their mean and standard deviation, as in `predict_tiles`.
    """
    plan = plan_prediction(generator, frame.shape[1:])
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), image_statistics(generator):
        torch.manual_seed(seed)
        [(_, maps)] = predict_tiles(generator, frame, plan, device, draws=draws)
    return maps


def read_padded(frame: NDArray[np.float32], window: tuple[slice, ...]) -> NDArray[np.float32]:
    """`window` of `frame` (C, [Z,] Y, X); what lies beyond the frame's end mirrors what lies before it."""
    inside = frame[(slice(None), *window)]
    beyond = [(0, side.stop - min(side.stop, length)) for side, length in zip(window, frame.shape[1:], strict=True)]
    return np.pad(inside, [(0, 0), *beyond], mode="symmetric") if np.any(beyond) else inside
