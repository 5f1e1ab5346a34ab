"""What every result is made by: the channels and pixel size of its source, against the training's, and its origin."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_pix2pix import __version__
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.files.pairing import channel_numbers, taken_names
from napari_pix2pix.files.stacks import Stack, is_slide, sha256, stack_at

ALIKE = 0.1
"""Pixel sizes that differ by more than this share want another scale."""


def channels_taken(model: TrainedModel, source: Stack, source_channels: tuple[str, ...]) -> Sequence[int]:
    """The channels of the source to take, by number: those chosen, else the training's by their names."""
    return channel_numbers(source, source_channels) or model.source_view.numbers(taken_names(source, ()))


def trained_pixel_size(model: TrainedModel) -> dict[str, float]:
    """Of the training's sources, µm, for each axis of a frame of which it is known."""
    said = ((model.provenance.get("pairs") or {}).get("train") or {}).get("pixel_size_um") or {}
    return {axis: said[axis] for axis in _frame_axes(model) if axis in said}


def _frame_axes(model: TrainedModel) -> str:
    return "ZYX" if model.source_view.z == "volume" else "YX"


def as_seen(model: TrainedModel, stack: Stack, pixel_size_um: float | None) -> Stack:
    """The stack at this pixel size; a slide, unless that is said, at the training's, where it has it.

    Raises
    ------
    ValueError
        As `at_pixel_size`, if the size is said.
    """
    if pixel_size_um is not None:
        return stack_at(stack, pixel_size_um)
    trained = trained_pixel_size(model)
    if not (is_slide(stack.path) or stack.levels) or not {"Y", "X"} <= trained.keys():
        return stack
    if not {"Y", "X"} <= stack.pixel_size_um.keys():
        warnings.warn(
            f"{stack.path.name} does not say how large its pixels are; it is taken at its full resolution, while the "
            f"model was trained at {trained['X']:.4g} µm.",
            stacklevel=2,
        )
        return stack
    wanted = max(trained["Y"], trained["X"])
    finer = wanted >= max(stack.pixel_size_um[axis] for axis in "YX")
    return stack_at(stack, wanted) if finer and is_slide(stack.path) else stack


def scale_to_training(model: TrainedModel, source: Stack) -> tuple[float, ...] | None:
    """Pixels of the training for each of the source's, ([z,] y, x); None where they are alike.

    Raises
    ------
    ValueError
        If either size is not known.
    """
    ours, theirs, axes = source.pixel_size_um, trained_pixel_size(model), _frame_axes(model)
    for size, whose in ((ours, "source's"), (theirs, "training's")):
        if unknown := [axis for axis in axes if axis not in size]:
            raise ValueError(
                "To be rescaled, a source must have a known pixel size, and so must the model's training; along "
                f"{' and '.join(unknown)} the {whose} is not known. Write it into the file, or leave `rescale` out."
            )
    scale = tuple(ours[axis] / theirs[axis] for axis in axes)
    return scale if any(abs(factor - 1) > ALIKE for factor in scale) else None


def warn_of_pixel_size(model: TrainedModel, source: Stack) -> None:
    """Warn where the source is of another scale than the training."""
    trained = trained_pixel_size(model)
    if any(abs(source.pixel_size_um.get(axis, size) / size - 1) > ALIKE for axis, size in trained.items()):
        ours, theirs = (
            " x ".join(f"{size[axis]:.4g}" for axis in trained if axis in size)
            for size in (source.pixel_size_um, trained)
        )
        warnings.warn(
            f"The pixel size of a source is {ours} µm, that of the training was {theirs} µm; expect a poor result. "
            "Predict with `rescale`, or correct the file if it says it wrongly.",
            stacklevel=2,
        )


def origin_of(model: TrainedModel, known: tuple[str | None, Mapping[Path, str] | None], **more: Any) -> dict[str, Any]:
    """Where a result came from; the hashes of the model and of files are `known`, or made."""
    model_sha256, hashes = known
    files = {name: _file(stack, hashes or {}) for name, stack in more.items() if isinstance(stack, Stack)}
    rest = {name: value for name, value in more.items() if not isinstance(value, Stack)}
    origin = {
        "napari_pix2pix": __version__,
        "model_sha256": model_sha256 or model.hash(),
        "predicted": "image" not in files,
        **({"to": model.makes} if model.makes != "target" else {}),
    }
    return {**origin, **files, **rest}


def _file(stack: Stack, hashes: Mapping[Path, str]) -> dict[str, Any]:
    """Its name, hash and axes; those of the further files of its channels as `more`."""
    found = hashes.get(stack.path) or sha256(stack.path)
    said: dict[str, Any] = {"name": stack.path.name, "sha256": found, "axes": stack.axes}
    said |= {"half": stack.half} if stack.half else {}
    return said | ({"more": [_file(part, hashes) for part in stack.parts[1:]]} if stack.parts else {})
