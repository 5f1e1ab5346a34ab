"""A frame through the generator, tile by tile."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

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
    generator: Generator, frame: NDArray[np.float32], plan: TilePlan, device: torch.device
) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
    """Each tile with its pixels (n_maps, [Z,] Y, X); `frame` (C, [Z,] Y, X) in [-1, 1]."""
    for tile in plan.tiles:
        with torch.inference_mode():
            source = torch.from_numpy(read_padded(frame, tile.read))[None].to(device)
            maps = generator(source)[0].float().cpu().numpy()
        yield tile, maps[(slice(None), *tile.inside)]


def predict_by_image_statistics(
    generator: Generator, frame: NDArray[np.float32], device: torch.device, seed: int
) -> NDArray[np.float32]:
    """Maps (n_maps, [Z,] Y, X) of the frame in one piece, with its own statistics and dropout, as the paper tests."""
    plan = plan_prediction(generator, frame.shape[1:])
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), image_statistics(generator):
        torch.manual_seed(seed)
        [(_, maps)] = predict_tiles(generator, frame, plan, device)
    return maps


def read_padded(frame: NDArray[np.float32], window: tuple[slice, ...]) -> NDArray[np.float32]:
    """`window` of `frame` (C, [Z,] Y, X); what lies beyond the frame's end mirrors what lies before it."""
    inside = frame[(slice(None), *window)]
    beyond = [(0, side.stop - min(side.stop, length)) for side, length in zip(window, frame.shape[1:], strict=True)]
    return np.ascontiguousarray(np.pad(inside, [(0, 0), *beyond], mode="symmetric") if np.any(beyond) else inside)
