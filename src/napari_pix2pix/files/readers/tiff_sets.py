"""OME-TIFFs of several files: each names all of them, and the first gives the whole stack."""

from collections.abc import Iterable
from pathlib import Path
from warnings import warn
from xml.etree import ElementTree

import tifffile

NAMED = (".ome.tif", ".ome.tiff")


def without_parts(paths: Iterable[Path]) -> list[Path]:
    """The files without those that are read with another one among them, which is said."""
    paths = list(paths)
    there = {path.absolute() for path in paths}
    parts = {path for path in paths if (first := first_of_set(path)) is not None and first.absolute() in there}
    if parts:
        warn(
            f"{len(parts)} of {len(paths)} files are parts of OME-TIFFs whose first file is there, too; they are read "
            "with it.",
            stacklevel=3,
        )
    return [path for path in paths if path not in parts]


def first_of_set(path: Path) -> Path | None:
    """The file beside it that gives the OME-TIFF of which it is a part; None where it is none, or the first itself.

    Only the header is read, of files that are named as OME-TIFFs; what is wrong with it is told where it is opened.
    """
    if not (path.name.lower().endswith(NAMED) and path.is_file()):
        return None
    try:
        with tifffile.TiffFile(path, is_ome=False) as file:
            said = file.pages.first.description
        if "FileName=" not in said and "MetadataFile=" not in said:
            return None
        root = ElementTree.fromstring(said)
    except Exception:  # whatever a decoder finds
        return None
    if (elsewhere := root.find("{*}BinaryOnly")) is not None:
        name = elsewhere.get("MetadataFile")
    else:
        image = root.find("{*}Image")
        places = image.iterfind("{*}Pixels/{*}TiffData") if image is not None else ()
        first = next((p for p in places if all(p.get(f"First{axis}", "0") == "0" for axis in "CZT")), None)
        uuid = None if first is None else first.find("{*}UUID")
        name = None if uuid is None else uuid.get("FileName")
    return None if name is None or Path(name).name == path.name else path.with_name(Path(name).name)
