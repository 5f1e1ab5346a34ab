"""A frame through the generator, tile by tile."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pix2pix.core.networks.dropout import Window, drawing
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.norms import image_statistics
from napari_pix2pix.core.tiles import Tile, TilePlan, plan_tiles


def plan_prediction(
    generator: Generator, frame_shape: tuple[int, ...], tile_size: int | None = None, overlap: int | None = None
) -> TilePlan:
    """Tiles that give what the whole frame gives, if `overlap` is None or at least the generator's reach.

    `tile_size` is along Y and X; planes of a volume stay together.
    """
    sides = (None,) * (len(frame_shape) - 2) + (tile_size,) * 2
    return plan_tiles(frame_shape, grid=generator.grid, reach=generator.reach, tile_size=sides, overlap=overlap)


def predict_tiles(
    generator: Generator,
    frame: NDArray[np.float32],
    plan: TilePlan,
    device: torch.device,
    *,
    draws: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
    """Each tile with its pixels (n_maps, [Z,] Y, X); `frame` (C, [Z,] Y, X) in [-1, 1].

    With `draws`, their mean and, as n_maps maps more, their standard deviation; neither depends on the tiles.
    """
    for tile in plan.tiles:
        with torch.inference_mode():
            source = torch.from_numpy(read_padded(frame, tile.read))[None].to(device)
            found = _drawn(generator, source, [tile.read], draws, seed) if draws else generator(source)
            maps = found[0].float().cpu().numpy()
        yield tile, maps[(slice(None), *tile.inside)]


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
    return np.ascontiguousarray(np.pad(inside, [(0, 0), *beyond], mode="symmetric") if np.any(beyond) else inside)
