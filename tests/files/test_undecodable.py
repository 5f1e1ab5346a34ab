"""What cannot be decoded is said in one sentence of the file, whatever the library that tried says."""

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_pix2pix.files.stacks import open_stack

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
PNG, JPEG = imagecodecs.png_encode(IMAGE), imagecodecs.jpeg8_encode(IMAGE)


def damaged(data: bytes, start: int, n: int = 30) -> bytes:
    return data[:start] + bytes(own ^ 0x5A for own in data[start : start + n]) + data[start + n :]


FILES = {
    "text.png": (b"hello world" * 50, "its content is that of no image"),
    "text.jpg": (b"hello world" * 50, "its content is that of no image"),
    "cut.png": (PNG[: len(PNG) // 2], "its content is damaged"),
    "damaged.png": (damaged(PNG, len(PNG) // 2), "its content is damaged"),
    "first.jpeg": (damaged(JPEG, 2), "its content is that of no image"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "it is cut short"),
    "text.tif": (b"hello world" * 50, "not a TIFF file"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_told_in_one_sentence(tmp_path, name) -> None:
    """That names no decoder."""
    content, why = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a readable TIFF, PNG") as said:
        open_stack(path).array[...]
    text = str(said.value)
    assert f"{path} is not ({why}" in text and "DECODE" not in text and "\n" not in text and len(text) < 350


def test_a_folder_is_told_in_one_sentence(tmp_path) -> None:
    """One that zarr did not write, and one whose metadata lack something."""
    (tmp_path / "a.zarr").mkdir()
    zarr.create_array(tmp_path / "b.zarr", shape=(8, 8), dtype="u1")
    (tmp_path / "b.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array"}')
    for name, why in (("a.zarr", "it holds no metadata of zarr"), ("b.zarr", "it does not tell 'data_type'")):
        with pytest.raises(ValueError, match=rf"{name} is not \({why}\)\. Write it anew"):
            open_stack(tmp_path / name)


def test_other_formats_by_the_name_of_a_picture_are_read(tmp_path) -> None:
    """As before: what is in a file counts."""
    (tmp_path / "a.png").write_bytes(JPEG)
    (tmp_path / "b.jpg").write_bytes(PNG)
    tifffile.imwrite(tmp_path / "c.tif", IMAGE)
    (tmp_path / "c.png").write_bytes((tmp_path / "c.tif").read_bytes())
    for name in ("b.jpg", "c.png"):
        np.testing.assert_array_equal(open_stack(tmp_path / name).array[...], IMAGE)
    np.testing.assert_array_equal(open_stack(tmp_path / "a.png").array[...], imagecodecs.jpeg_decode(JPEG))
