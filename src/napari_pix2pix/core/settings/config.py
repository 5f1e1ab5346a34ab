"""Every setting, by method: the flags, the form and the run folder show these."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from napari_pix2pix.core.settings.cyclegan import CycleGANConfig
from napari_pix2pix.core.settings.gan import GANConfig
from napari_pix2pix.core.settings.onnx import OnnxConfig
from napari_pix2pix.core.settings.pix2pix import Pix2PixConfig
from napari_pix2pix.core.settings.stargan import StarGANConfig
from napari_pix2pix.core.settings.training import (
    Config,
    Data,
    DiscriminatorConfig,
    EmptyChannels,
    EmptyFrames,
    GeneratorConfig,
    Norm,
    NormalizationConfig,
    Objective,
    Precision,
    Settings,
    in_one_sentence,
    validated,
)
from napari_pix2pix.core.settings.untrusted_json import parse_json

__all__ = [
    "CANNOT_LEARN",
    "IMPORTED",
    "METHODS",
    "PRESETS",
    "Config",
    "DiscriminatorConfig",
    "EmptyChannels",
    "EmptyFrames",
    "GeneratorConfig",
    "Norm",
    "NormalizationConfig",
    "Objective",
    "PairSettings",
    "Precision",
    "SameNames",
    "Settings",
    "in_one_sentence",
    "make_config",
    "method_for",
    "read_json_object",
    "validated",
]

SameNames = Literal["ask", "same", "different"]
METHODS: dict[str, type[Config]] = {
    "pix2pix": Pix2PixConfig,
    "cyclegan": CycleGANConfig,
    "stargan": StarGANConfig,
    "gan": GANConfig,
}
"""The settings of each method, by its name; `core.methods` has the methods themselves."""
IMPORTED: dict[str, type[Config]] = {"onnx": OnnxConfig}
"""Those of models that were trained elsewhere, which nobody chooses."""
CANNOT_LEARN = (
    "A training must start from a model whose networks can learn; this one is an ONNX graph that was imported. Start "
    "from another model; what judges its match can be taught (fit-trust)."
)
PRESETS = Pix2PixConfig.presets


def method_for(data: Data) -> str:
    """The first method that learns from such data."""
    return next(name for name, settings in METHODS.items() if settings.data == data)


class PairSettings(Settings):
    """How to read pairs of files; the docstring of a field is its help on the command line."""

    source_axes: str | None = None
    """One letter of TZCYXS per axis, where the file does not say."""
    target_axes: str | None = None
    """One letter of TZCYXS per axis, where the file does not say."""
    source_channels: tuple[str, ...] = ()
    """Channels to take, by name or number from 0; default: all."""
    source_more: tuple[str, ...] = ()
    """Further files or folders, paired by name with SOURCE, whose channels are appended to its own. In a pattern like
    `d/*_phase.tif` the name is what the star stands for."""
    target_channels: tuple[str, ...] = ()
    """Channels to take, by name or number from 0; default: all. A file that names others lacks this stain."""
    target_more: tuple[str, ...] = ()
    """The same for TARGET. A stain may be missing: a file in some of these folders, TARGET among them, is enough."""
    same_names: SameNames = "ask"
    """Whether names of stains that differ by case or spaces only mean the same stain."""
    z: Literal["frame", "channels", "volume"] = "frame"
    """Planes one by one; as channels: each with its neighbours, or all where the target has no Z; or as volumes, for
    networks in three dimensions."""
    side_by_side: Literal["left", "right"] | None = None
    """Each image holds both: which half is the source. TARGET is then left out."""
    pair_by: tuple[str, str] | None = None
    """Patterns for the names of sources and targets: with `*_bf` `*_dapi`, pairs share what the star stands for."""
    groups: str | None = None
    """What must stay together in a split: a CSV file (name, group) or a regular expression on the names."""
    valid: str | None = None
    """Masks of where the target is known (not 0): a file or a folder, paired by name."""
    ignore_label: int | None = None
    """A value of the target that means: not known."""
    foreground: bool = False
    """Targets are masks: take every value but 0 as 1, where some files hold 1 and others 255."""
    pixel_size_um: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The pixel size to read both sides at, µm: the nearest finer level of a slide, resampled. Default: of slides the
    coarser of their two, else the images' own."""
    tissue: bool = False
    """Learn from tissue alone: it is found by its colours in each source, a slide on white."""
    domains: str | None = None
    """For images of several domains, where these are no subfolders: a CSV file (name, and a column for each set of
    labels; an empty cell: not known) or a regular expression on the names, with a named group for each set."""
    condition: str | None = None
    """For pairs that differ by a known circumstance, such as cell line, scanner or staining batch, and for images that
    are made from nothing: the class of each, by a CSV file (name, class; an empty cell: not known) or a regular
    expression on the names with a group for it."""
    annotated_frames: tuple[int, ...] = ()
    """The frames that are annotated, counted from 0 over all pairs that train; default: all. Validation and test pairs
    of their own are taken as annotated."""
    skip_bad: bool = False
    """Leave out pairs that cannot be read, differ in size or hold NaN, and name them, instead of stopping."""


def make_config(
    preset: str | None = None,
    file: Path | None = None,
    changes: dict[str, Any] | None = None,
    kept: dict[str, Any] | None = None,
) -> Config:
    """The settings of `preset`, or those `kept`, overridden by those in the JSON `file`, overridden by `changes`.

    The method is the one that the last of these names; None is its first preset.

    Raises
    ------
    ValueError
        If a name is unknown or a value out of range: one sentence.
    FileNotFoundError
        If there is no such file.
    """
    said = _merge(read_json_object(file) if file is not None else {}, changes or {})
    method = said.get("method", (kept or {}).get("method", next(iter(METHODS))))
    if method in IMPORTED:
        raise ValueError(CANNOT_LEARN)
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    presets = METHODS[method].presets
    if preset is not None and preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; got {preset!r}.")
    _require_own(method, said)
    values = dict(presets[preset or next(iter(presets))]) if kept is None else kept
    return validated(Config, {**_merge(values, said), "method": method})


def _require_own(method: str, said: dict[str, Any]) -> None:
    """Raise a ValueError if a setting is another method's."""
    for name in said.keys() - METHODS[method].model_fields.keys():
        if others := [other for other, theirs in METHODS.items() if name in theirs.model_fields]:
            raise ValueError(
                f"Settings must belong to the method, {method}; {name} is one of {' and '.join(others)}. Leave it out, "
                f"or choose the method {others[0]}."
            )


def read_json_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`."""
    if Path(file).exists() and not Path(file).is_file():
        raise ValueError(f"{file} must be a JSON file; it is a folder, a pipe or a device. Give another.")
    try:
        content = parse_json(Path(file).read_text("utf8"))
    except ValueError as error:
        raise ValueError(f"{file} must be a JSON file; {error}. Mend it or leave it out.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a JSON object of settings; got {type(content).__name__}.")
    return content


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
