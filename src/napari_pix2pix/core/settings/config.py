"""Every setting of a training, as frozen models to and from JSON: the flags, the form and the run folder show these."""

import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_pix2pix.core.settings.untrusted_json import parse_json

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Norm = Literal["batch", "batch-renorm", "instance", "none"]
Objective = Literal["cross-entropy", "minimax", "least-squares", "hinge", "wgan-gp"]
EmptyFrames = Literal["ask", "empty", "unlabelled"]
M = TypeVar("M", bound=BaseModel)
MOST_STEPS = 10**9
"""More than a lifetime of a thousand steps a minute."""
SHORT = reprlib.Repr()
"""Shows values that may be long, or hold much."""
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 60


class Settings(BaseModel):
    """Frozen settings that refuse unknown names; the docstring of a field is its help on every surface."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class GeneratorConfig(Settings):
    """The generator."""

    architecture: Literal["unet", "resnet-6", "resnet-9"] = "unet"
    """A U-Net, or two downsamplings and as many residual blocks; levels and skips are the U-Net's."""
    levels: Annotated[int, Field(ge=1, le=8)] = 5
    """Downsamplings by two. A pixel of the source reaches 3·(2^levels - 1) px far."""
    z_levels: Annotated[int, Field(ge=0, le=8)] = 0
    """How many of the downsamplings, the innermost, halve the planes of a volume, too: stacks are thin in Z."""
    base_channels: Annotated[int, Field(ge=1, le=1024)] = 64
    """Channels of the first level; each level doubles them, up to eight times."""
    skips: bool = True
    """Skip connections; without them it is the paper's encoder-decoder."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of channels' values dropped in the three innermost decoder levels, or in each residual block: the noise z
    of the paper."""
    norm: Norm = "batch"
    """Normalization layers. All but `instance` give exact tiles."""

    @property
    def grid(self) -> int:
        """The total stride along Y and X, in pixels."""
        return 2**self.levels if self.architecture == "unet" else 4

    def model_post_init(self, _: Any) -> None:
        """Check what concerns two settings."""
        if self.z_levels > (self.levels if self.architecture == "unet" else 2):
            raise ValueError(
                f"generator.z_levels must be at most the number of downsamplings; got {self.z_levels}. Choose fewer."
            )


class DiscriminatorConfig(Settings):
    """The PatchGAN."""

    n_layers: Annotated[int, Field(ge=0, le=5)] = 3
    """Strided layers: 0 is the PixelGAN, then fields of 16, 34, 70, 142 and 286 px."""
    z_layers: Annotated[int, Field(ge=0, le=5)] = 0
    """How many of the strided layers, the last, halve the planes of a volume, too."""
    base_channels: Annotated[int, Field(ge=1, le=1024)] = 64
    """Channels of the first layer; each strided layer doubles them, up to eight times."""
    conditional: bool = True
    """Whether it sees the source beside the image."""
    norm: Norm = "batch"
    """Normalization layers."""

    def model_post_init(self, _: Any) -> None:
        """Check what concerns two settings."""
        if self.z_layers > self.n_layers:
            raise ValueError(
                f"discriminator.z_layers must be at most n_layers, {self.n_layers}; got {self.z_layers}. Choose fewer."
            )


class NormalizationConfig(Settings):
    """How grey values become [-1, 1]."""

    method: Literal["percentiles", "min-max", "mean-std", "fixed"] = "percentiles"
    """What the range is fitted by; mean-std takes three standard deviations on either side."""
    percentiles: tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]] = (0.1, 99.9)
    """For the method percentiles."""
    range: tuple[float, float] | None = None
    """For the method fixed: the grey values that become the ends."""
    statistics: Literal["training", "image"] = "training"
    """Of all training pairs, which keeps images comparable, or of each image by itself."""

    def model_post_init(self, _: Any) -> None:
        """Check what concerns two settings."""
        if (self.method == "fixed") != (self.range is not None):
            raise ValueError("range must be given for the method fixed, and for no other.")
        ends = self.range or self.percentiles
        if ends[0] >= ends[1]:
            raise ValueError(f"range and percentiles must ascend; got {ends}.")


class Config(Settings):
    """A training. The defaults are the preset `microscopy`.

    References
    ----------
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
    """

    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    target_kind: Literal["auto", "intensity", "classes", "instances"] = "auto"
    """What the target is: grey values, classes, or objects with one id each."""
    source_kind: Literal["intensity", "classes"] = "intensity"
    """What the source is: grey values, or class labels, which become one channel each."""
    class_weights: Literal["equal", "rare"] = "equal"
    """For a target of classes: `rare` weighs each by one over its share of the pixels, at most ten times the mean."""
    empty_frames: EmptyFrames = "ask"
    """What frames without any label in a label target mean: nothing there, or nobody has labelled them."""
    source_normalization: NormalizationConfig = NormalizationConfig()
    """Of the source's grey values."""
    target_normalization: NormalizationConfig = NormalizationConfig(method="min-max")
    """Of the target's grey values, inverted on output."""
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 20_000
    """Updates of the generator."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 4
    """Patches per step."""
    patch_size: Annotated[int, Field(ge=8, le=65_536)] = 256
    """Side of a training patch, in pixels: a multiple of 2^levels, of 4 for the ResNets."""
    patch_depth: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Planes of a patch, where frames are volumes; no more than there are. A multiple of the networks' strides in Z."""
    l1_weight: Annotated[float, Field(ge=0)] = 100.0
    """Weight of the L1 loss (the paper's lambda)."""
    gan_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the adversarial loss; 0 trains with L1 only, which often wins on labels."""
    objective: Objective = "cross-entropy"
    """What the adversarial loss is; cross-entropy is the paper's, with the non-saturating loss for the generator."""
    gradient_penalty: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the gradient penalty of wgan-gp."""
    l2_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean squared error."""
    shift_tolerance: Annotated[int, Field(ge=0, le=16)] = 0
    """For pairs that are not quite registered: each patch of the target is moved, by at most so many pixels along Y and
    X, to where it fits the generator's image best. At most an eighth of the patch."""
    discriminator_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the discriminator's loss; the paper halves it."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Of Adam, for both networks."""
    schedule: Literal["constant", "linear-decay", "cosine"] = "constant"
    """How the learning rate goes: as it is; to zero over the second half of the steps; to zero along a cosine."""
    clip_gradients: Annotated[float, Field(ge=0)] = 0.0
    """The largest norm of a network's gradient; 0 does not clip."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The model holds a moving average of the generator's weights, each step keeping this share of it; 0: the weights
    themselves."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Of Adam."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Of Adam."""
    jitter: Annotated[float, Field(ge=1, le=2)] = 1.0
    """Patches are magnified by this before a random crop; the paper's 256 -> 286 is 1.117."""
    flip: bool = True
    """Mirror patches at random, left-right."""
    rotate: bool = True
    """Turn patches by 0, 90, 180 or 270 degrees at random."""
    intensity_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Each channel's contrast varies at random by up to this share, its brightness by up to this share of half the
    range; of the source only, and not of labels."""
    foreground_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """For sparse images: this share of the patches is centred on foreground of the target: objects, any class but the
    lowest, or what is brighter than Otsu's threshold."""
    validate_every: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 500
    """Steps between validations; the best model is kept."""
    patience: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0
    """Validations without a better model after which the training ends; 0: never before `steps`."""
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the pairs set aside to choose the best model."""
    calibration_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the pairs set aside to calibrate scores."""
    norm_statistics: Literal["training", "image"] = "training"
    """At prediction, what batch norm uses: the training's statistics (exact tiles), or each image's, as in the paper,
    with dropout left on."""
    trust_steps: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 2400
    """Steps to teach, after the training, a second discriminator that judges whether an image belongs to its source and
    expects errors; 0: none, and patch scores are those of the training's own discriminator."""
    precision: Precision = "auto"
    """Of the training step; `auto` takes bfloat16 where the device computes with it."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Every random number comes from it."""
    authors: str = ""
    """Who made the model, for its card."""
    licence: str = ""
    """Under which terms others may use the model, for its card."""

    @property
    def z_grid(self) -> int:
        """What the planes of a patch are a multiple of: the larger of both networks' total strides along Z."""
        return 1 << max(self.generator.z_levels, self.discriminator.z_layers)

    def model_post_init(self, _: Any) -> None:
        """Check what concerns two settings."""
        if self.discriminator.n_layers and self.patch_size < 3 * 2**self.discriminator.n_layers:
            raise ValueError(
                f"patch_size must be at least {3 * 2**self.discriminator.n_layers} for a discriminator with "
                f"{self.discriminator.n_layers} strided layers; got {self.patch_size}. Choose larger patches."
            )
        if self.patch_size < 8 * self.shift_tolerance:
            raise ValueError(
                f"patch_size must be at least 8 times the shift_tolerance, {8 * self.shift_tolerance}; got "
                f"{self.patch_size}. Choose larger patches or a smaller tolerance."
            )
        if self.target_normalization.statistics == "image":
            raise ValueError(
                "target_normalization.statistics must be training: a new image's target is not known, so its own "
                "statistics could not be inverted; got image."
            )
        grid = self.generator.grid
        if self.patch_size % grid:
            below = self.patch_size // grid * grid
            near = " and ".join(str(n) for n in (below, below + grid) if n)
            named = f"with {self.generator.levels} levels" if self.generator.architecture == "unet" else "of this kind"
            raise ValueError(
                f"patch_size must be a multiple of {grid} for a generator {named}; "
                f"got {self.patch_size}. The nearest: {near}."
            )
        if self.patch_depth % self.z_grid:
            raise ValueError(
                f"patch_depth must be a multiple of {self.z_grid} for networks that halve the planes "
                f"{self.z_grid.bit_length() - 1} times; got {self.patch_depth}. "
                f"Choose {-(-self.patch_depth // self.z_grid) * self.z_grid}."
            )


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
    """Channels to take, by name or number from 0; default: all."""
    target_more: tuple[str, ...] = ()
    """The same for TARGET."""
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
    annotated_frames: tuple[int, ...] = ()
    """The frames that are annotated, counted from 0 over all pairs that train; default: all. Validation and test pairs
    of their own are taken as annotated."""
    skip_bad: bool = False
    """Leave out pairs that cannot be read, differ in size or hold NaN, and name them, instead of stopping."""


PRESETS: dict[str, dict[str, Any]] = {
    "microscopy": {},
    "paper": {
        "generator": {"levels": 8, "base_channels": 64},
        "batch_size": 1,
        "patch_size": 256,
        "steps": 80_000,  # 200 epochs of the 400 facades
        "jitter": 286 / 256,
        "rotate": False,
        "norm_statistics": "image",
        "trust_steps": 0,  # the paper has none
    },
    "fast": {
        "generator": {"levels": 4, "base_channels": 32},
        "discriminator": {"base_channels": 32},
        "batch_size": 4,
        "patch_size": 128,
        "foreground_share": 0.5,
        "l2_weight": 100.0,
        "schedule": "linear-decay",
        "steps": 6_400,
        "validate_every": 800,
    },
}


def make_config(
    preset: str = "microscopy",
    file: Path | None = None,
    changes: dict[str, Any] | None = None,
    kept: dict[str, Any] | None = None,
) -> Config:
    """The settings of `preset`, or those `kept`, overridden by those in the JSON `file`, overridden by `changes`.

    Raises
    ------
    ValueError
        If a name is unknown or a value out of range: one sentence.
    FileNotFoundError
        If there is no such file.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {preset!r}.")
    values = PRESETS[preset] if kept is None else kept
    if file is not None:
        values = _merge(values, read_json_object(file))
    return validated(Config, _merge(values, changes or {}))


def read_json_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`."""
    try:
        content = parse_json(Path(file).read_text("utf8"))
    except ValueError as error:
        raise ValueError(f"{file} must be a JSON file; {error}. Mend it or leave it out.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a JSON object of settings; got {type(content).__name__}.")
    return content


def validated(model: type[M], values: dict[str, Any]) -> M:
    """`model` made of `values`; what pydantic finds wrong becomes one sentence."""
    try:
        return model(**values)
    except ValidationError as error:
        raise ValueError(in_one_sentence(error)) from error


def in_one_sentence(error: ValidationError) -> str:
    """The first thing that pydantic found wrong: where, what must be, what was found."""
    first = error.errors()[0]
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    name = ".".join(str(part) for part in first["loc"])
    return f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}; got {SHORT.repr(first['input'])}."


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
