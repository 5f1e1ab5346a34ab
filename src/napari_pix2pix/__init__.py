"""Train, run and trust paired image-to-image models on microscopy."""

from importlib.metadata import version

__version__ = version("napari-pix2pix")
