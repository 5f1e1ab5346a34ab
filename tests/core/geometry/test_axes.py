"""Any stack is a row of frames, and back."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pix2pix.core.geometry.axes import AxesPlan, guess_axes


@st.composite
def plans(draw: st.DrawFn) -> AxesPlan:
    extra = draw(st.sets(st.sampled_from("TZCS"), max_size=3))
    axes = "".join(draw(st.permutations(["Y", "X", *sorted(extra)])))
    return AxesPlan(axes, tuple(draw(st.integers(1, 4)) for _ in axes))


@given(plans())
def test_take_and_put_give_the_stack_back(plan: AxesPlan) -> None:
    """Taking every frame and putting it where it was reproduces the stack, whatever the order of its axes."""
    stack = np.arange(np.prod(plan.shape)).reshape(plan.shape)
    back = np.full_like(stack, -1)
    for frame in range(plan.n_frames):
        plan.put(back, frame, plan.take(stack, frame))
    np.testing.assert_array_equal(back, stack)


@pytest.mark.parametrize("axes", ["".join(p) for p in permutations("TCYX")])
def test_a_frame_is_channels_rows_columns(axes: str) -> None:
    """A frame holds the same pixels in the order C, Y, X, however the stack is laid out."""
    standard = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 5))  # T C Y X
    stack = standard.transpose(["TCYX".index(axis) for axis in axes])
    plan = AxesPlan.of(stack, axes)
    for t in range(2):
        np.testing.assert_array_equal(plan.take(stack, t), standard[t])
        np.testing.assert_array_equal(plan.take(stack, t, (slice(1, 3), slice(2, 5))), standard[t, :, 1:3, 2:5])


@pytest.mark.parametrize(
    ("axes", "shape", "n", "channel_axis", "expected"),
    [
        ("TYX", (3, 8, 9), 1, "", ("TYX", (3, 8, 9))),
        ("TYX", (3, 8, 9), 2, "C", ("TCYX", (3, 2, 8, 9))),
        ("YXS", (8, 9, 3), 1, "", ("YX", (8, 9))),
        ("YX", (8, 9), 3, "S", ("YXS", (8, 9, 3))),
        ("ZYXC", (3, 8, 9, 2), 4, "C", ("ZYXC", (3, 8, 9, 4))),
    ],
)
def test_a_result_keeps_all_axes_but_the_channels(axes, shape, n, channel_axis, expected) -> None:
    """A result has the stack's T, Z, Y, X in their order and the target's channels."""
    found = AxesPlan(axes, shape).like(n, channel_axis)
    assert (found.axes, found.shape) == expected


@pytest.mark.parametrize(
    ("shape", "axes"), [((5, 6), "YX"), ((7, 50, 60), "TYX"), ((50, 60, 3), "YXS"), ((2, 50, 60, 3), "TYXS")]
)
def test_guesses(shape: tuple[int, ...], axes: str) -> None:
    """Three or four samples at the end are colours; other axes before Y and X are frames."""
    assert guess_axes(shape) == axes


@pytest.mark.parametrize(
    ("axes", "shape", "sentence"),
    [
        ("YX", (3, 4, 5), "axes must name each axis of the stack; got 'YX' for shape \\(3, 4, 5\\)"),
        ("QYX", (3, 4, 5), "axes must be letters of TZCYXS, each once, with Y and X among them; got 'QYX'"),
        ("YYX", (3, 4, 5), "each once"),
        ("YX", (0, 5), "at least one pixel"),
    ],
)
def test_wrong_axes_are_told(axes: str, shape: tuple[int, ...], sentence: str) -> None:
    """Axes that do not fit are refused with what was found."""
    with pytest.raises(ValueError, match=sentence):
        AxesPlan(axes, shape)


def test_planes_become_channels() -> None:
    """Neighbouring planes, or all of them, are channels, the first plane's first; beyond the ends it is repeated."""
    stack = np.random.default_rng(0).integers(0, 99, (2, 4, 3, 5, 6))  # T Z C Y X
    neighbours = AxesPlan("TZCYX", stack.shape, z="neighbours")
    assert (neighbours.n_frames, neighbours.n_channels) == (8, 9)
    np.testing.assert_array_equal(neighbours.take(stack, 4 + 1), stack[1, 0:3].reshape(9, 5, 6))
    np.testing.assert_array_equal(neighbours.take(stack, 0), stack[0, [0, 0, 1]].reshape(9, 5, 6))
    assert neighbours.like(1, "").axes == "TZYX"
    every = AxesPlan("TZCYX", stack.shape, z="all")
    assert (every.n_frames, every.n_channels) == (2, 12)
    np.testing.assert_array_equal(every.take(stack, 1), stack[1].reshape(12, 5, 6))
    assert (every.like(3, "C").axes, every.like(3, "C").shape) == ("TCYX", (2, 3, 5, 6))


def test_planes_must_be_there_to_become_channels() -> None:
    """A flat image is not silently taken for three planes."""
    with pytest.raises(ValueError, match="planes to take as channels must have the axis Z; got YX"):
        AxesPlan("YX", (5, 6), z="neighbours")


def test_channels_can_be_chosen() -> None:
    """The channels asked for come in the order asked for, of each plane; one that is not there is told."""
    stack = np.random.default_rng(0).integers(0, 99, (4, 3, 5, 6))  # Z C Y X
    plan = AxesPlan("ZCYX", stack.shape, channels=(2, 0), z="all")
    np.testing.assert_array_equal(plan.take(stack, 0), stack[:, [2, 0]].reshape(8, 5, 6))
    with pytest.raises(ValueError, match="channels must be numbers from 0 to 2; got 3"):
        AxesPlan("ZCYX", stack.shape, channels=(3,))


class Recorder:
    """An array that remembers which of its elements were read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.read = array, array.shape, np.zeros(array.shape, int)

    def __getitem__(self, index) -> np.ndarray:
        self.read[index] += 1
        return self.array[index]


@given(plans(), st.data())
def test_only_what_is_taken_is_read(plan: AxesPlan, data: st.DataObject) -> None:
    """Of a frame its own plane, its window and its channels are read, once, and they are those asked for."""
    total = plan.length("C") * plan.length("S")
    channels = tuple(data.draw(st.lists(st.integers(0, total - 1), min_size=1, max_size=5)))
    plan = AxesPlan(plan.axes, plan.shape, channels)
    stack = Recorder(np.arange(np.prod(plan.shape)).reshape(plan.shape))
    frame = data.draw(st.integers(0, plan.n_frames - 1))
    window = tuple(
        slice(start := data.draw(st.integers(0, n - 1)), data.draw(st.integers(start + 1, n))) for n in plan.frame_shape
    )
    found = plan.take(stack, frame, window)
    np.testing.assert_array_equal(
        found, AxesPlan(plan.axes, plan.shape).take(stack.array, frame)[(list(channels), *window)]
    )
    read = stack.array[stack.read > 0]
    assert stack.read.max() == 1
    assert set(found.ravel()) <= set(read)
    if "S" not in plan.axes:
        assert set(found.ravel()) == set(read)


@pytest.mark.parametrize(("frame", "planes"), [(0, {0, 1}), (1, {0, 1, 2}), (3, {2, 3})])
def test_neighbours_are_read_once(frame: int, planes: set[int]) -> None:
    """A plane with its neighbours reads each of these planes once, also at the ends, where one stands for two."""
    stack = Recorder(np.arange(4 * 2 * 3 * 3).reshape(4, 2, 3, 3))
    plan = AxesPlan("ZCYX", stack.shape, (1,), z="neighbours")
    found = plan.take(stack, frame)
    expected = [stack.array[min(max(z, 0), 3), 1] for z in (frame - 1, frame, frame + 1)]
    np.testing.assert_array_equal(found, expected)
    assert stack.read.max() == 1
    assert {int(z) for z in np.nonzero(stack.read)[0]} == planes
    assert not stack.read[:, 0].any()
