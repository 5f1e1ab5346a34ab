"""What `tools/licences.py` takes for the GPL, and what it reads of what is installed."""

from email.message import Message

import pytest

import licences


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("MIT", False),
        ("BSD-3-Clause AND 0BSD AND Zlib", False),
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("LGPL-2.1-or-later", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("GNU Library General Public License", False),
        ("MIT AND GPL-2.0-only", True),
        ("MIT OR GPL-2.0-only", False),
        ("(GPL-2.0-only OR GPL-3.0-only)", True),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("Mozilla Public License 2.0 (MPL 2.0)", False),
    ],
)
def test_the_gpl_is_told_from_what_only_looks_like_it(text: str, refused: bool) -> None:
    """Of a choice, one that is free of it suffices; of a sum, all must be."""
    assert licences.is_gpl(text) == refused


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([("License-Expression", "MIT"), ("License", "GPL")], "MIT"),
        (
            [("Classifier", "License :: OSI Approved"), ("Classifier", "License :: OSI Approved :: BSD License")],
            "BSD License",
        ),
        ([("License", "\n  Apache-2.0\nand a long text, which mentions the GPL")], "Apache-2.0"),
        ([("License-File", "LICENSE")], "MIT License"),
        ([("Classifier", "Typing :: Typed")], licences.UNKNOWN),
    ],
)
def test_a_licence_is_read_where_packages_say_it(fields: list[tuple[str, str]], said: str) -> None:
    """An expression counts more than classifiers, these more than a text, of which only the first line is a name."""

    class Package:
        metadata = Message()

        def read_text(self, path: str) -> str | None:
            return {"licenses/LICENSE": "MIT License\n\nCopyright"}.get(path)

    for name, text in fields:
        Package.metadata[name] = text
    assert licences.licence(Package()) == said  # type: ignore[arg-type]


def test_what_is_needed_is_the_base_with_all_below_it_and_no_extra(capsys) -> None:
    """It holds what dependencies need in turn, by one name each, and neither napari nor what only tests need."""
    found = licences.needed()
    assert {"torch", "zarr", "numcodecs", "typing-extensions"} <= found.keys()
    assert not {"napari", "hypothesis", "dask-jobqueue", "napari-pix2pix"} & found.keys()
    assert licences.main() == 0
    assert len(capsys.readouterr().out.splitlines()) == len(found)
