"""The docs as a site, from the Markdown that the repository shows: ``python tools/site.py OUT``.

Pages of the root (README, which is the first page, CONTRIBUTING, CHANGELOG, SECURITY) are laid beside those of docs, so
their links to each other change. A link that leads nowhere, to a page or within one, is an error, as is any warning.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
OF_ROOT |= {"SECURITY.md": "security.md", "LICENSE": "licence.md"}
LINK = re.compile(r"(\]\()(\.\./|docs/)?([^)#:\s]*)")
FENCE = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def laid(text: str) -> str:
    """A page with its links as they are where all pages lie in one folder; code stays."""

    def moved(link: re.Match[str]) -> str:
        name = OF_ROOT.get(link[3], link[3])
        return f"{link[1]}{name}"

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)


def main(out: Path) -> int:
    """Lay the pages out and build; the exit code of mkdocs."""
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        for name, called in OF_ROOT.items():
            text = (ROOT / name).read_text("utf8")
            (pages / called).write_text(
                text if name.endswith(".md") else f"# Licence\n\n```text\n{text}\n```\n", "utf8"
            )
        for page in pages.glob("*.md"):
            page.write_text(laid(page.read_text("utf8")), "utf8")
        told = os.environ | {"SITE_PAGES": str(pages), "NO_MKDOCS_2_WARNING": "true"}  # an advertisement of the theme's
        words = [
            "build",
            "--strict",
            "--config-file",
            str(ROOT / "mkdocs.yml"),
            "--site-dir",
            str(out.resolve()),
        ]
        return subprocess.run([sys.executable, "-m", "mkdocs", *words], env=told, check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
