"""The command field: what one score of a PatchGAN sees, and how many scores an image has."""

from typing import Annotated

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Whole
from napari_pix2pix.core.geometry.receptive_field import fold
from napari_pix2pix.core.settings.config import DiscriminatorConfig, validated


def field(
    *,
    n_layers: Annotated[Whole | None, Parameter(help="Strided layers of the paper's PatchGAN, 0 to 5; 3.")] = None,
    layers: Annotated[str | None, Parameter(help='Any others: kernel,stride,padding of each, "4,2,1 4,1,1".')] = None,
    image: Annotated[Whole | None, Parameter(help="The side of an image in pixels: how many scores it has.")] = None,
) -> Events:
    """What one score of a PatchGAN sees: its receptive field, and the grid of scores."""
    if n_layers is not None and layers is not None:
        raise ValueError("A PatchGAN must have n_layers or layers; got both. Leave one out.")
    if image is not None and image < 1:
        raise ValueError(f"An image must have a side of 1 px or more; got {image}. Give its side in pixels.")
    asked = {"n_layers": n_layers, "layers": layers}
    chain = validated(DiscriminatorConfig, {name: value for name, value in asked.items() if value is not None})
    found, rows = chain.field, ["layer  kernel  stride  padding   field  apart  centre"]
    for i, layer in enumerate(chain.convolutions, 1):
        upto = fold(chain.convolutions[:i])
        rows.append("{:5}  {:6}  {:6}  {:7}".format(i, *layer) + f"  {upto.size:6}  {upto.stride:5}  {upto.centre:6g}")
    rows.append(
        f"One score sees {found.size} x {found.size} px. Scores lie {found.stride} px apart; the first sits on pixel "
        f"{found.centre:g}, where pixel centres are whole numbers."
    )
    result = {"size": found.size, "stride": found.stride, "centre": found.centre, "first": found.first}
    if image is not None:
        count, inside = found.count(image), len(found.inside(image))
        result |= {"image": image, "scores": count, "inside": inside}
        rows.append(
            f"An image of {image} x {image} px has {count} x {count} scores; {inside} x {inside} see no padding."
            if count
            else f"An image of {image} x {image} px has no score: it takes {found.shortest} px at least."
        )
    yield {"event": "result", "layers": chain.convolutions, **result, "text": "\n".join(rows)}
