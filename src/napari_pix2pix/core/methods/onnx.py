"""A model that another program trained: an ONNX graph that predicts, and learns nothing more."""

from torch import Tensor, nn

from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Batch, Description, Method, Networks, Shapes
from napari_pix2pix.core.networks.graph import Graph
from napari_pix2pix.core.settings.onnx import OnnxConfig


class Onnx(Method[OnnxConfig]):
    """One network, as it is."""

    learns = False

    def networks(self, config: OnnxConfig, shapes: Shapes) -> dict[str, nn.Module]:
        """``generator``."""
        if len(config.graph.grid) != shapes.spatial_dims:
            raise ValueError(
                f"A graph must have a grid along {shapes.spatial_dims} axes; got {config.graph.grid}. Import it anew."
            )
        return {"generator": Graph(shapes.source, shapes.target, config.graph)}

    def step(self, learner: Learner[OnnxConfig], batch: Batch) -> dict[str, Tensor]:
        """None."""
        raise NotImplementedError

    def describe(self, config: OnnxConfig, networks: Networks, spatial_dims: int) -> Description:
        """What it is; of its making nothing is known."""
        grid, reach = max(config.graph.grid[-2:]), max(config.graph.reach, default=0)
        told = f"reach {reach} px" if config.graph.reach else "reach not told"
        size = f"{config.graph.n_bytes / 1e6:.3g} MB"
        return Description(
            networks=f"ONNX graph of {size}, grid {grid} px, {told}; no discriminator, no patch scores",
            losses="",
            architecture=[f"Images were translated with an ONNX graph of {size} that another program made, by {{}}."],
            objective=[],
        )
