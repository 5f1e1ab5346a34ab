"""The licences of all that the package needs, by name and version; exit 1 if one of them is the GPL.

``python tools/licences.py [EXTRA...]`` reads what is installed: the base dependencies and theirs, and those of the
extras that are named. The LGPL, whose libraries may be used by anything, and the GPL with an exception for what is
linked, like that of GCC's libraries, pass.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

ROOT = "napari-pix2pix"
UNKNOWN = "not said"
GPL = re.compile(r"\bA?GPL|General Public License", re.IGNORECASE)
MILD = re.compile(r"\bLGPL|Lesser|Library General|WITH\s+\S*exception", re.IGNORECASE)


def needed(name: str = ROOT, extras: Sequence[str] = ()) -> dict[str, Distribution]:
    """What `name`, with these extras, needs where it is installed, and what that needs; by name, without itself."""
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        this, extra = waiting.pop()
        if (this, extra) in asked:
            continue
        asked.add((this, extra))
        package = distribution(this)
        found[this] = package
        for text in package.requires or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                canonical = re.sub(r"[-_.]+", "-", wanted.name).lower()
                waiting += [(canonical, some) for some in ("", *wanted.extras)]
    found.pop(name)
    return found


def licence(package: Distribution) -> str:
    """What a package says of its licence: an SPDX expression, else its classifiers, else the first line of a text."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [text for text in about.get_all("Classifier") or () if text.startswith("License ::")]
    named = [text.rpartition(" :: ")[2] for text in classifiers if text != "License :: OSI Approved"]
    files = (package.read_text(f"licenses/{name}") for name in about.get_all("License-File") or ())
    text = about.get("License") or next(filter(None, files), "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " AND ".join(named) or (lines[0] if lines else UNKNOWN)


def is_gpl(text: str) -> bool:
    """Whether every choice that the licence leaves is, at least in part, the GPL."""
    choices = re.split(r"\s+OR\s+", text.strip("() "))
    return all(
        any(GPL.search(part) and not MILD.search(part) for part in re.split(r"\s+AND\s+", choice)) for choice in choices
    )


def table(packages: dict[str, Distribution]) -> Iterator[str]:
    """A line for each package."""
    for name, package in sorted(packages.items()):
        yield f"{name:<28} {package.version:<20} {licence(package)}"


def main(extras: Sequence[str] = ()) -> int:
    """Print the table; 1 if one of the licences is the GPL or is not said, 0 else."""
    try:
        packages = needed(extras=extras)
    except PackageNotFoundError as error:
        print(
            f"error: all that {ROOT} needs must be installed; {error.name} is not. Run pip install . first.",
            file=sys.stderr,
        )
        return 2
    print(*table(packages), sep="\n")
    refused = [name for name, package in sorted(packages.items()) if is_gpl(licence(package))]
    unknown = [name for name, package in sorted(packages.items()) if licence(package) == UNKNOWN]
    for names, what in ((refused, "must not need the GPL"), (unknown, "must know its dependencies' licences")):
        if names:
            print(f"error: the base {what}; look at {', '.join(names)}.", file=sys.stderr)
    return int(bool(refused or unknown))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
