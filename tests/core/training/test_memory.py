"""A batch that no machine holds is refused at the door, with what to lower."""

import pytest

from napari_pix2pix import core
from small import blobs, small_config


def test_a_batch_beyond_memory_is_refused_before_it_is_made(tmp_path) -> None:
    """One sentence that names the setting, by the memory there is or by the bounds of the settings."""
    pairs = core.PairedFrames(*(image[None] for image in blobs()), axes="TYX")
    with pytest.raises(MemoryError, match=r"must fit into memory; .* Lower `batch_size` or `patch_size`"):
        next(
            core.train(
                pairs,
                small_config(batch_size=65_536, patch_size=96, discriminator={"n_layers": 0, "base_channels": 1024}),
                out=tmp_path / "run",
                device="cpu",
            )
        )
    with pytest.raises(ValueError, match="batch_size: input should be less than or equal to 65536; got 1000000"):
        small_config(batch_size=1_000_000)
