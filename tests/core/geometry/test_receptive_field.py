"""Fields are folded from layers, and layers read as they are written."""

from itertools import product

import pytest

from napari_pix2pix.core.geometry.receptive_field import ReceptiveField, fold, read_layers


def folded_pixel_by_pixel(layers: list[tuple[int, int, int]], length: int) -> list[tuple[int, int]]:
    """First and last pixel of each score of an axis, by asking every layer what it sees; padding counts as pixels."""
    seen, step = [(i, i) for i in range(length)], 1
    for kernel, stride, padding in layers:
        first = seen[0]
        before = [(first[0] - step * i, first[1] - step * i) for i in range(padding, 0, -1)]
        beyond = [(seen[-1][0] + step * i, seen[-1][1] + step * i) for i in range(1, padding + 1)]
        there = [*before, *seen, *beyond]
        seen = [(there[i][0], there[i + kernel - 1][1]) for i in range(0, len(there) - kernel + 1, stride)]
        step *= stride
    return seen


@pytest.mark.parametrize(
    "written", ["4,2,1 4,2,1 4,1,1", "5,3,2 3,1,1 4,2,2 2,1,0", "4,2,1 4,2,1 4,1,0", "7,2,0 1,1,0"]
)
def test_a_field_is_what_every_layer_sees(written: str) -> None:
    """Pixels, number and padding of the scores are those found layer by layer, whatever the side of the image."""
    layers = read_layers(written)
    field = fold(layers)
    for length in range(field.size, field.size + 3 * field.stride):
        seen = folded_pixel_by_pixel(list(layers), length)
        assert [(field.pixels(i).start, field.pixels(i).stop - 1) for i in range(field.count(length))] == seen
        assert list(field.inside(length)) == [i for i, (a, b) in enumerate(seen) if a >= 0 and b < length]


def test_the_shortest_axis_has_one_score() -> None:
    """One pixel less has none."""
    for size, stride, first in product((1, 4, 70), (1, 8), (0, -1, -23)):
        field = ReceptiveField(size, stride, first)
        if field.shortest > 0:
            assert (field.count(field.shortest), field.count(field.shortest - 1)) == (1, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be 1 to 12, .* got none"),
        (" ".join(["4,1,1"] * 13), "must be 1 to 12, .* got more"),
        ("4,1,1 " * 100_000, "got more"),
        ("4,2", "got '4,2'"),
        ("4,2,1,1", "a layer must be kernel,stride,padding"),
        ("4,0,1", "a stride of 1 to the kernel"),
        ("2,3,0", "a stride of 1 to the kernel"),
        ("17,2,1", "a kernel of 1 to 16 px"),
        ("4,2,3", "a padding of 0 to half of it"),
        ("٤,2,1", "a layer must"),
        ("4,2,1 " + "9" * 100_000, "got '99999999999999999999'"),
    ],
)
def test_layers_that_cannot_be_are_told(text: str, said: str) -> None:
    """One short sentence, however long the text."""
    with pytest.raises(ValueError, match=f"(?i){said}") as caught:
        read_layers(text)
    assert len(str(caught.value)) < 250
