"""Docks speak of controls, not of the command line."""

import pytest

from napari_pix2pix.widgets.flags import in_a_dock

SAID = {
    "Choose `patch_size` 128.": "Choose “patch size” 128.",
    "(`discriminator.n_layers` 1 or 2)": "(“discriminator: n layers” 1 or 2)",
    "Raise `l1_weight`, lower `gan_weight`.": "Raise “L1 weight”, lower “GAN weight”.",
    "Then give `target_kind` classes.": "Then give “Target is” classes.",
    "Give it to fit-trust, or leave it.": "Press “Teach it to judge”, or leave it.",
    "Leave `out` out.": "Leave “Folder” out.",
    "Or use the other pairs: `skip_bad`.": "Or use the other pairs: --skip-bad.",  # no dock has it
    "Take them as channels (`z` channels).": "Take them as channels (“planes (Z)” channels).",
    "/data/a--b/--out/c -- d, written by `train`": "/data/a--b/--out/c -- d, written by `train`",
}


@pytest.mark.parametrize("sentence", SAID)
def test_settings_become_names_of_controls(sentence: str) -> None:
    """And nothing else is touched."""
    assert in_a_dock(sentence) == SAID[sentence]
