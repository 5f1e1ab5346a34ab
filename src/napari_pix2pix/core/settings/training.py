"""What every training has for settings, as frozen models to and from JSON; a method adds its own in a module beside."""

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from napari_pix2pix.core.geometry.receptive_field import Convolution, ReceptiveField, fold, read_layers

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Norm = Literal["batch", "batch-renorm", "instance", "none"]
Objective = Literal["cross-entropy", "minimax", "least-squares", "hinge", "wgan-gp"]
EmptyFrames = Literal["ask", "empty", "unlabelled"]
EmptyChannels = Literal["ask", "empty", "unstained"]
Data = Literal["pairs", "unpaired", "domains", "images"]
"""What a method learns from: aligned pairs; sources and targets that are no pairs; images of named domains; images."""
M = TypeVar("M", bound=BaseModel)
MOST_STEPS = 10**9
"""More than a lifetime of a thousand steps a minute."""
MOST_TRUST_STEPS = 2400
"""Where it is not said how many."""
TRUST_PATCH, TRUST_PATCHES = 128, 8
"""The side of the images that teach to judge, px, and how many of them a step takes."""
TRUST_SHARE = 2 / 3
"""So many of their pixels for each that the training takes, and teaching is a third of its time, as measured."""
SHORT = reprlib.Repr()
"""Shows values that may be long, or hold much."""
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 60


class Settings(BaseModel):
    """Frozen settings that refuse unknown names; the docstring of a field is its help on every surface."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true for 1, which JSON tells apart."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise ValueError(f"{info.field_name} must not be true or false; got {value}. Give a number or a word.")
        return value


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


class GeneratorConfig(Settings):
    """The generator."""

    architecture: Literal["unet", "resnet-6", "resnet-9"] = "unet"
    """A U-Net, or two downsamplings and as many residual blocks; levels, skips and upsampling are the U-Net's."""
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
    upsampling: Literal["auto", "transposed", "nearest"] = "transposed"
    """How a U-Net doubles its features: by transposed convolutions as in the paper, which can draw a checkerboard into
    grey values; or by the nearest neighbour and a convolution of 3x3, which cannot. auto is nearest for grey values."""
    norm: Norm = "batch"
    """Normalization layers. All but `instance` give exact tiles."""

    def like(self, other: "GeneratorConfig") -> "GeneratorConfig":
        """The same, with what it leaves to `auto` as another generator has it."""
        return self.model_copy(update={"upsampling": other.upsampling}) if self.upsampling == "auto" else self

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
    layers: str = ""
    """In place of n_layers, for any field: kernel,stride,padding of each layer; 4,2,1 4,2,1 4,2,1 4,2,1 4,1,0 is
    DiscoGAN's field of 94 px. The command field tells what others see."""
    z_layers: Annotated[int, Field(ge=0, le=5)] = 0
    """How many of the strided layers, the last, halve the planes of a volume, too."""
    base_channels: Annotated[int, Field(ge=1, le=1024)] = 64
    """Channels of the first layer; each layer doubles them, up to eight times."""
    conditional: bool = True
    """Whether it sees the source beside the image."""
    norm: Norm = "batch"
    """Normalization layers."""

    def model_post_init(self, _: Any) -> None:
        """Check what concerns two settings."""
        strided = sum(stride > 1 for _, stride, _ in self.convolutions)
        if self.z_layers > strided:
            raise ValueError(
                f"discriminator.z_layers must be at most the number of strided layers, {strided}; got {self.z_layers}. "
                "Choose fewer."
            )

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """Of which it is made, along Y and X."""
        if self.layers:
            return read_layers(self.layers)
        return ((4, 2, 1),) * self.n_layers + ((4, 1, 1),) * 2 if self.n_layers else ((1, 1, 0),) * 3

    @property
    def field(self) -> ReceptiveField:
        """What one score sees along Y, and along X."""
        return fold(self.convolutions)


def _number_or_auto(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """One sentence for both of the types of `trust_steps`."""
    try:
        return handler(value)
    except ValidationError as error:
        raise ValueError(
            f"trust_steps must be auto, or a whole number from 0 to {MOST_STEPS}; got {SHORT.repr(value)}."
        ) from error


class Config(Settings):
    """A training: what every method has, and by `method` which one it is. Making one makes that method's.

    Class attributes
    ----------------
    data
        What the method learns from.
    called
        The method's name for people; empty: as it is called.
    makes
        The sides that models of the method can make where their file says how, the usual one first.
    presets
        By name the settings to start from; the first is the default.
    as_trained
        Settings that a training which starts from a model of this method cannot change.
    as_slow
        Settings on which the time of a step depends most.
    """

    data: ClassVar[Data]
    called: ClassVar[str] = ""
    makes: ClassVar[tuple[str, ...]] = ("target",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"microscopy": {}}
    as_trained: ClassVar[tuple[str, ...]] = (
        *("method", "source_kind", "target_kind", "source_normalization", "target_normalization"),
        "class_weights",
    )
    as_slow: ClassVar[tuple[str, ...]] = ("method", "batch_size", "patch_size", "patch_depth", "precision", "compile")

    method: str = "pix2pix"
    """How networks learn from images."""
    target_kind: Literal["auto", "intensity", "classes", "instances"] = "auto"
    """What the target is: grey values, classes, or objects with one id each."""
    source_kind: Literal["intensity", "classes"] = "intensity"
    """What the source is: grey values, or class labels, which become one channel each."""
    class_weights: Literal["equal", "rare"] = "equal"
    """For a target of classes: `rare` weighs each by one over its share of the pixels, at most ten times the mean."""
    empty_frames: EmptyFrames = "ask"
    """What frames without any label in a label target mean: nothing there, or nobody has labelled them."""
    empty_channels: EmptyChannels = "ask"
    """What a channel of grey values means that is one value all over a pair but not over others: nothing there, or this
    sample was not stained for it."""
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
    trust_steps: Annotated[
        Annotated[int, Field(ge=0, le=MOST_STEPS)] | Literal["auto"], WrapValidator(_number_or_auto)
    ] = "auto"
    """Steps to teach, after the training, a second discriminator that judges whether an image belongs to its source and
    expects errors; `auto`: until it is good, for at most a third of the training's time; 0: none, and patch scores are
    those of the training's own discriminator."""
    precision: Precision = "auto"
    """Of the training step; `auto` takes bfloat16 where the device computes with it."""
    compile: bool = False
    """Compile the networks for the steps of the training, by torch's inductor, which takes a C++ compiler, and a minute
    or more at the first step; the model is the same but for rounding. Steps of small networks on a processor need not
    be faster by it."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Every random number comes from it."""
    authors: str = ""
    """Who made the model, for its card."""
    licence: str = ""
    """Under which terms others may use the model, for its card."""

    def __new__(cls, *_: Any, **values: Any) -> "Config":
        """The settings of the method that is named, if this is not one's own class."""
        return super().__new__(_class_of(values) if cls is Config else cls)

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_method(cls, values: Any, handler: ModelWrapValidatorHandler["Config"]) -> "Config":
        if cls is Config and isinstance(values, dict):
            return _class_of(values).model_validate(values)
        return handler(values)

    @property
    def grid(self) -> int:
        """What the sides of a patch are a multiple of, in pixels."""
        return 1

    @property
    def z_grid(self) -> int:
        """What the planes of a patch are a multiple of: the largest total stride of the networks along Z."""
        return 1

    @property
    def judge(self) -> DiscriminatorConfig:
        """What the network that judges the match is like."""
        return DiscriminatorConfig()

    @property
    def step_cost(self) -> float:
        """The time of a step, as a share of one whose networks all see the whole batch."""
        return 1.0

    @property
    def teaching_steps(self) -> int:
        """Steps that teach the model to judge, at most, once it is trained: that takes pairs."""
        if self.data != "pairs":
            return 0
        if self.trust_steps != "auto":
            return self.trust_steps
        learned = self.step_cost * self.steps * self.batch_size * self.patch_size**2
        judged = TRUST_PATCHES * min(self.patch_size, TRUST_PATCH) ** 2
        return min(MOST_TRUST_STEPS, max(1, int(TRUST_SHARE * learned / judged)))

    @property
    def knows_range(self) -> bool:
        """Whether the source's range is that of the training, so that what lies outside is worth a word."""
        return True

    @property
    def patches(self) -> int:
        """That a step draws."""
        return self.batch_size

    @property
    def scores(self) -> bool:
        """Whether the training makes a discriminator, whose patch scores can be asked for."""
        return True

    def model_post_init(self, _: Any) -> None:
        """Check what concerns two settings."""
        if self.target_normalization.statistics == "image":
            raise ValueError(
                "target_normalization.statistics must be training: a new image's target is not known, so its own "
                "statistics could not be inverted; got image."
            )
        if self.patch_depth % self.z_grid:
            raise ValueError(
                f"patch_depth must be a multiple of {self.z_grid} for networks that halve the planes "
                f"{self.z_grid.bit_length() - 1} times; got {self.patch_depth}. "
                f"Choose {-(-self.patch_depth // self.z_grid) * self.z_grid}."
            )


def _class_of(values: Mapping[str, Any]) -> type[Config]:
    from napari_pix2pix.core.settings.config import IMPORTED, METHODS

    method = values.get("method", Config.model_fields["method"].default)
    known = METHODS | IMPORTED
    if not isinstance(method, str) or method not in known:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    return known[method]


def validated(model: type[M], values: dict[str, Any]) -> M:
    """`model` made of `values`; what pydantic finds wrong becomes one sentence."""
    try:
        return model(**values)
    except ValidationError as error:
        raise ValueError(in_one_sentence(error)) from error


LONGEST_NAME = 80
"""Of a setting in a message; a stranger's may be longer."""


def in_one_sentence(error: ValidationError) -> str:
    """The first thing that pydantic found wrong: where, what must be, what was found."""
    first = error.errors()[0]
    if first["type"] == "value_error":
        inner = first["ctx"]["error"]
        return in_one_sentence(inner) if isinstance(inner, ValidationError) else str(inner)
    name = ".".join(str(part) for part in first["loc"])[:LONGEST_NAME]
    return f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}; got {SHORT.repr(first['input'])}."
