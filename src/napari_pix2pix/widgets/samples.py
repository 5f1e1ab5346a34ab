"""Sample data: pairs to try the docks on."""

from typing import Any

from napari.utils.notifications import show_info

from napari_pix2pix.files.samples import bright_nuclei, coins_pair, demo_pair

LayerData = tuple[Any, dict[str, Any], str]


def tissue() -> list[LayerData]:
    """A tissue section and labels of its nuclei, derived from its colour; ships with scikit-image."""
    source, nuclei = demo_pair()
    return [(source, {"name": "tissue"}, "image"), (nuclei, {"name": "nuclei"}, "labels")]


def nuclei() -> list[LayerData]:
    """Nuclei of a tissue section, bright on dark as in fluorescence; made of an image that ships with scikit-image."""
    return [(bright_nuclei(), {"name": "bright nuclei"}, "image")]


def coins() -> list[LayerData]:
    """Coins and one label for each; ships with scikit-image."""
    source, labels = coins_pair()
    return [(source, {"name": "coins"}, "image"), (labels, {"name": "coin labels"}, "labels")]


def cells() -> list[LayerData]:
    """A 3-D fluorescence stack: membranes and nuclei; downloaded once, 29 MB.

    Raises
    ------
    ConnectionError
        If it is not there yet and cannot be downloaded.
    """
    from skimage import data

    show_info("cells3d: downloading 29 MB, unless it is there already …")
    try:
        stack = data.cells3d()  # Z, C, Y, X
    except Exception as error:  # whatever is between here and the server
        raise ConnectionError(
            "cells3d must be downloaded once, and the download failed; connect to the internet, "
            "or take one of the other samples."
        ) from error
    place = {"scale": (0.29, 0.26, 0.26), "units": ("µm",) * 3, "axis_labels": ("z", "y", "x")}
    return [
        (stack[:, 0], {"name": "membrane", "colormap": "magenta", **place}, "image"),
        (stack[:, 1], {"name": "cell nuclei", "colormap": "green", "blending": "additive", **place}, "image"),
    ]
