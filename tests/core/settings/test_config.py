"""Settings are checked at the door and come back from JSON as they were."""

import json

import pytest

from napari_pix2pix.core.settings.config import PRESETS, Config, make_config


@pytest.mark.parametrize("preset", PRESETS)
def test_json_gives_the_settings_back(preset: str) -> None:
    """Every preset survives JSON."""
    config = make_config(preset)
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_flags_override_the_file_and_the_file_the_preset(tmp_path) -> None:
    """The nearer to the user, the stronger; what neither names stays the preset's."""
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"steps": 5, "generator": {"levels": 3}}))
    config = make_config("fast", file, {"steps": 7})
    assert (config.steps, config.generator.levels, config.generator.base_channels) == (7, 3, 32)


def test_the_paper_preset_is_the_paper() -> None:
    """Isola et al. 2017, section 6: U-Net-256, 70 x 70, batch 1, L1 100, Adam 2e-4 (0.5, 0.999), 286 -> 256, mirror."""
    config = make_config("paper")
    assert (config.generator.levels, config.generator.base_channels, config.generator.dropout) == (8, 64, 0.5)
    assert (config.discriminator.n_layers, config.discriminator.conditional) == (3, True)
    assert (config.batch_size, config.patch_size, config.l1_weight, config.gan_weight) == (1, 256, 100, 1)
    assert (config.learning_rate, config.beta1, config.beta2, config.discriminator_weight) == (2e-4, 0.5, 0.999, 0.5)
    assert (round(config.patch_size * config.jitter), config.flip, config.rotate) == (286, True, False)
    assert (config.norm_statistics, config.label_loss) == ("image", "l1")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "steps: input should be greater than or equal to 1; got 0"),
        ({"generator": {"levels": 9}}, "generator.levels: input should be less than or equal to 8; got 9"),
        ({"trust_steps": "some"}, "trust_steps must be auto, or a whole number from 0 to 1000000000; got 'some'."),
        ({"trust_steps": -1}, "trust_steps must be auto, or a whole number from 0 to 1000000000; got -1."),
        ({"setps": 5}, "setps: extra inputs are not permitted"),
        ({"patch_size": 16, "generator": {"levels": 3}}, "patch_size must be at least 24 for one score"),
        ({"discriminator": {"layers": "4,2,1 4,2,0 4,2"}}, "A layer must be kernel,stride,padding.* got '4,2'"),
        ({"discriminator": {"layers": "8,8,0 " * 3}}, "patch_size must be at least 512 for one score .* got 256"),
        ({"discriminator": {"layers": "4,1,1 4,2,1", "z_layers": 2}}, "the number of strided layers, 1; got 2. Choose"),
        ({"patch_size": 64, "shift_tolerance": 9}, "patch_size must be at least 8 times the shift_tolerance, 72"),
        ({"generator": {"z_levels": 2}, "patch_depth": 6}, "patch_depth must be a multiple of 4 .* got 6. Choose 8."),
        ({"discriminator": {"z_layers": 3}, "patch_depth": 4}, "patch_depth must be a multiple of 8 .* got 4. Choose"),
        ({"generator": {"architecture": "resnet-6", "z_levels": 3}}, "z_levels must be at most .* got 3. Choose"),
        ({"patch_size": 30, "generator": {"architecture": "resnet-9"}}, "multiple of 4 .* The nearest: 28 and 32"),
        ({"patch_size": 300}, "patch_size must be a multiple of 32 .* got 300. The nearest: 288 and 320"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(changes, sentence) -> None:
    """A setting that cannot be is named with what was found."""
    with pytest.raises(ValueError, match=sentence) as caught:
        make_config(changes=changes)
    assert "\n" not in str(caught.value)


def test_judging_takes_a_third_of_the_training_at_most() -> None:
    """Two pixels for three of the training, whatever its length, batch and patches; a number is obeyed.

    Fewer where a step is shorter, as its discriminator sees less.
    """
    more = {"steps": 300, "batch_size": 1}, {"steps": 90, "patch_size": 64}, {"steps": 1}, {"gan_share": 0.25}
    for changes in ({}, {"steps": 500}, *more, {"gan_weight": 0}):
        config = make_config("fast", changes={"gan_share": 1} | changes)
        side = min(128, config.patch_size)
        cost = 0.47 if not config.gan_weight else 0.6025 if config.gan_share < 1 else 1
        learned = cost * config.steps * config.batch_size * config.patch_size**2
        judged = config.teaching_steps * 8 * side**2
        assert judged <= 2 / 3 * learned <= judged + 8 * side**2 + 1 or config.teaching_steps == 1
    assert make_config("fast").teaching_steps == 1285 and make_config("microscopy").teaching_steps == 2400
    assert make_config("paper").teaching_steps == 0 == make_config(changes={"method": "cyclegan"}).teaching_steps
    for said in (0, 7, 2400, 9999):
        assert make_config("fast", changes={"steps": 9, "trust_steps": said}).teaching_steps == said


def test_an_unknown_preset_is_told() -> None:
    """The presets are listed."""
    with pytest.raises(ValueError, match="preset must be one of microscopy, paper, fast; got 'slow'"):
        make_config("slow")
