"""A frame through the generator, tile by tile."""

import itertools
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pix2pix.core.engine.devices import computing_in
from napari_pix2pix.core.engine.memory import give_back, is_out_of_memory
from napari_pix2pix.core.geometry.tiles import Tile, TilePlan, plan_tiles
from napari_pix2pix.core.methods.method import with_planes
from napari_pix2pix.core.networks.dropout import Window, drawing
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.norms import image_statistics, looks_at_image
from napari_pix2pix.core.settings.config import Precision

DEAR = 1.5
"""Tiles that read more pixels than this for each that they keep are worth a word."""
ONE_PIECE = 2048
"""A frame up to this side runs in one piece unless a tile size is asked for; larger ones in tiles of this size."""


class Frame(Protocol):
    """An array (C, [Z,] Y, X), float32 in [-1, 1], or what can be sliced like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, [Z,] Y, X)."""

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class WindowedFrame:
    """A `Frame` of which `read` gives any window ([z,] y, x)."""

    read: Callable[[Window], NDArray[np.float32]]
    shape: tuple[int, ...]

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.float32]:
        """All channels of a window, as far as it lies inside."""
        return self.read(tuple(slice(w.start, min(w.stop, n)) for w, n in zip(index[1:], self.shape[1:], strict=True)))


def side_of_tiles(frame_shape: tuple[int, ...], tile_size: int | None = None) -> int | None:
    """What each tile of a frame ([Z,] Y, X) keeps along Y and X; None: the frame runs in one piece."""
    return ONE_PIECE if tile_size is None and max(frame_shape[-2:]) > ONE_PIECE else tile_size


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
        larger = plan_prediction(generator, plan.shape, 2 * max(larger.tile_size[-2:]), min(plan.overlap[-2:]))
    return larger if larger != plan else None


@dataclass(frozen=True)
class Forward:
    """What makes maps of windows of a frame: the generator, and how it is run.

    Parameters
    ----------
    generator, device
        And where it is.
    draws
        None: one prediction, dropout off. Else mean and, as n_maps maps more, standard deviation over so many.
    seed
        Of their noise.
    precision
        It computes in.
    planes
        What the generator sees beside the frame, as in `Direction`.
    draw
        The draw of this number alone, instead.
    """

    generator: Generator
    device: torch.device
    draws: int | None = None
    seed: int = 0
    precision: Precision = "float32"
    planes: tuple[float, ...] = ()
    draw: int | None = None

    def __call__(self, frame: Frame, windows: Sequence[Window]) -> NDArray[np.float32]:
        """Maps (N, n_maps, [Z,] Y, X) of N windows of one size."""
        with torch.inference_mode(), computing_in(self.precision, self.device):
            last = self.device.type == "cpu" or self.precision != "float32"
            sources = _read(frame, windows, last).to(self.device)
            if self.planes:
                sources = with_planes(sources, torch.tensor([self.planes], device=self.device))
            return self._maps(sources, windows).float().cpu().numpy()

    def _maps(self, sources: Tensor, windows: Sequence[Window]) -> Tensor:
        if self.draws:
            return self._drawn(sources, windows, self.draws)
        with _letting_go(self.generator, sources):
            if self.draw is None:
                maps: Tensor = self.generator(sources)
                return maps
            return self._of_draw(sources, windows, self.draw)

    def _of_draw(self, sources: Tensor, windows: Sequence[Window], draw: int) -> Tensor:
        with drawing(self.generator, self.seed, draw, windows):
            maps: Tensor = self.generator(sources)
            return maps

    def _drawn(self, sources: Tensor, windows: Sequence[Window], draws: int) -> Tensor:
        """Mean and standard deviation (N, 2 n_maps, [Z,] Y, X) of the maps over dropout draws, one draw at a time.

        References
        ----------
        Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 1962.
        """
        mean, squares = torch.zeros(()), torch.zeros(())
        for draw in range(draws):
            maps = self._of_draw(sources, windows, draw)
            step = maps - mean
            mean = mean + step / (draw + 1)
            squares = squares + step * (maps - mean)
        return torch.cat([mean, (squares / (draws - 1)).sqrt()], dim=1)


@dataclass
class Findings:
    """What computing the first tiles has shown, for all that follow.

    Parameters
    ----------
    batch
        Tiles are computed together up to so many pixels; a larger one by itself.
    tile
        Tiles of so many pixels, or more, are too large for the memory and halved.
    seam_told, before
        Whether the user knows how far neighbouring tiles are apart; the first tile, while not.
    shape
        Of the last tiles: the memory that others of another size were computed in is of no use to those that follow.
    """

    batch: int = 2**20
    tile: float = math.inf
    seam_told: bool = False
    before: "tuple[Tile, NDArray[np.float32]] | None" = None
    shape: tuple[int, ...] = ()

    def shrink(self, tiles: Sequence[Tile], device: torch.device) -> None:
        """Allow half of `tiles`, or half of the only one: they were too much for the memory of `device`."""
        if self.batch == Findings.batch and self.tile == Findings.tile:
            warnings.warn(
                f"Memory on {device} does not suffice for {len(tiles)} x {_size(tiles[0])} at once; smaller batches, "
                "then smaller tiles are taken. A smaller `tile_size` saves the attempt.",
                stacklevel=2,
            )
        pixels = len(tiles) * math.prod(tiles[0].shape)
        self.batch = pixels // 2
        if len(tiles) == 1:
            self.tile = pixels


def predict_tiles(
    forward: Forward, frame: Frame, plan: TilePlan, findings: Findings | None = None
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    """Windows ([z,] y, x) of the frame and what to add to them (n_maps, [Z,] Y, X); all together are its maps.

    Of a plan with an area those of the tiles that it wants; elsewhere nothing is added.

    They do not depend on the tiles of an exact plan. A warning says how far tiles are apart that are not exact.

    Raises
    ------
    MemoryError
        If memory does not suffice for the smallest tile, or for one that must not be smaller.
    """
    findings = findings or Findings()
    for tile, maps in _computed(forward, frame, plan, findings):
        if not (plan.exact or findings.seam_told):
            if findings.before is not None:
                _tell_seam(plan, findings.before, (tile, maps))
            findings.seam_told = findings.before is not None
            findings.before = None if findings.seam_told else (tile, maps)
        window = plan.window(tile)
        values = maps[(slice(None), *tile.inside(window))]
        yield window, values if plan.exact else values * math.prod(np.ix_(*plan.weights(tile)))


def _computed(
    forward: Forward, frame: Frame, plan: TilePlan, findings: Findings
) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
    """Each tile, or its halves, with the maps (n_maps, [Z,] Y, X) of what it reads.

    Neighbours of the same size are computed together as far as memory allows.
    """
    waiting = deque(plan.wanted)
    while waiting:
        if math.prod(waiting[0].shape) >= findings.tile:
            waiting.extendleft(reversed(_halves(forward, plan, waiting.popleft())))
            continue
        alike = itertools.takewhile(lambda tile: tile.shape == waiting[0].shape, waiting)
        batch = list(itertools.islice(alike, max(1, findings.batch // math.prod(waiting[0].shape))))
        if not any(map(plan.is_wanted, batch)):  # else all: tiles are computed with the same others as always
            for _ in batch:
                waiting.popleft()
            continue
        if findings.shape != batch[0].shape:
            give_back()
            findings.shape = batch[0].shape
        try:
            maps = forward(frame, [tile.read for tile in batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            maps = None  # what filled the memory is let go of at the end of this block
        if maps is None:
            findings.shrink(batch, forward.device)
            continue
        for values in maps:
            yield waiting.popleft(), values


def _halves(forward: Forward, plan: TilePlan, tile: Tile) -> tuple[Tile, ...]:
    if forward.generator.whole:
        raise MemoryError(
            "A model whose network's reach is not known must run in one piece; memory does not suffice for "
            f"{_size(tile)}. Cut the image, or import the model from a file that names a halo."
        )
    if looks_at_image(forward.generator):
        raise MemoryError(
            f"A model whose norm looks at the image must run in one piece; memory on {forward.device} does not suffice "
            f"for {_size(tile)}. Predict with `norm_statistics` training, or train with batch norm if the norm is "
            "instance."
        )
    halves = plan.halves(tile)
    if not halves:
        raise MemoryError(
            f"Memory on {forward.device} must suffice for a tile of {_size(tile)}; it does not. Free some of it."
        )
    return halves


def _tell_seam(plan: TilePlan, *neighbours: tuple[Tile, NDArray[np.float32]]) -> None:
    """Warn of the largest difference between two neighbours at their border, where both count alike."""
    (tile, _), (other, _) = neighbours
    axis = next(i for i, (a, b) in enumerate(zip(tile.keep, other.keep, strict=True)) if a != b)
    border, overlap = other.keep[axis].start, plan.overlap[axis]
    told = f"Tiles overlap by {overlap} px, less than the {plan.reach[axis]} px that exact ones need"
    if overlap:
        line = (*tile.keep[:axis], slice(border - 1, border + 1), *tile.keep[axis + 1 :])
        ours, theirs = (maps[(slice(None), *one.inside(line))] for one, maps in neighbours)
        told += f"; where the first two meet they differ by up to {np.abs(ours - theirs).max() / 2:.1%} of the range"
    warnings.warn(f"{told}. Leave `overlap` out where seams matter.", stacklevel=3)


def _size(tile: Tile) -> str:
    return " x ".join(map(str, tile.shape)) + " px"


def channels_last(sources: Tensor) -> Tensor:
    """The same tensor (N, C, [Z,] Y, X) in the order in which convolutions are fast: 1.5 times on the CPU.

    Torch's own `memory_format` leaves a single channel as it is, and then all that follows.
    """
    last = sources.movedim(1, -1)
    return torch.empty(last.shape, dtype=last.dtype).copy_(last).movedim(-1, 1)


def _read(frame: Frame, windows: Sequence[Window], last: bool) -> Tensor:
    """What the network sees of each window, (N, C, [Z,] Y, X), the channels last in memory if so said."""
    if not last:
        return torch.from_numpy(np.stack([read_padded(frame, window) for window in windows]))
    sources: Tensor | None = None
    for i, window in enumerate(windows):
        seen = np.moveaxis(read_padded(frame, window), 0, -1)
        if sources is None:
            sources = torch.empty((len(windows), *seen.shape))
        sources[i] = torch.from_numpy(seen)
    assert sources is not None
    return sources.movedim(-1, 1)


@contextmanager
def _letting_go(generator: Generator, sources: Tensor) -> Iterator[None]:
    """Give the memory of `sources` back once the generator's first layer, if it names one, has seen them."""
    if generator.sees_source is None or sources.device.type not in ("cpu", "cuda"):  # elsewhere torch cannot
        yield
        return

    def let_go(*_: object) -> None:
        sources.untyped_storage().resize_(0)

    hook = generator.sees_source.register_forward_hook(let_go)
    try:
        yield
    finally:
        hook.remove()


def predict_by_image_statistics(forward: Forward, frame: Frame) -> NDArray[np.float32]:
    """Maps (n_maps, [Z,] Y, X) of the frame in one piece, with its own statistics and dropout, as the paper tests."""
    plan = plan_prediction(forward.generator, frame.shape[1:])
    devices = [forward.device] if forward.device.type == "cuda" else []
    with torch.random.fork_rng(devices), image_statistics(forward.generator):
        torch.manual_seed(forward.seed)
        [(_, maps)] = predict_tiles(replace(forward, seed=0), frame, plan)  # the noise of draws has always been of 0
    return maps


def read_padded(frame: Frame, window: tuple[slice, ...]) -> NDArray[np.float32]:
    """`window` of `frame` (C, [Z,] Y, X); what lies beyond the frame's end mirrors what lies before it."""
    inside = frame[(slice(None), *window)]
    beyond = [(0, side.stop - min(side.stop, length)) for side, length in zip(window, frame.shape[1:], strict=True)]
    return np.pad(inside, [(0, 0), *beyond], mode="symmetric") if np.any(beyond) else inside
