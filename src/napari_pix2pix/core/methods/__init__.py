"""The methods, by name; `core.settings.config` has their settings. Only this room names one."""

from typing import Any

from napari_pix2pix.core.methods.cyclegan import CycleGAN
from napari_pix2pix.core.methods.gan import GAN
from napari_pix2pix.core.methods.method import Method
from napari_pix2pix.core.methods.onnx import Onnx
from napari_pix2pix.core.methods.pix2pix import Pix2Pix
from napari_pix2pix.core.methods.stargan import StarGAN
from napari_pix2pix.core.settings.config import Config

METHODS: dict[str, Method[Any]] = {"pix2pix": Pix2Pix(), "cyclegan": CycleGAN(), "stargan": StarGAN(), "gan": GAN()}
IMPORTED: dict[str, Method[Any]] = {"onnx": Onnx()}
"""Of models that were trained elsewhere."""


def method_of(config: Config) -> Method[Any]:
    """The method of these settings."""
    return METHODS[config.method] if config.method in METHODS else IMPORTED[config.method]
