"""What is to be published, tried as strangers have it: away from the repository, from files alone.

``python tools/built.py FOLDER [PYTEST ARGUMENTS...]`` builds an sdist and, of that, a wheel; installs the wheel into
the Python that runs this; lets it run the demo; and runs the tests that the sdist holds. FOLDER must be new or empty.
"""

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHERE = "import napari_pix2pix; print(napari_pix2pix.__file__)"
NEEDED = ("README.md", "LICENSE", "tests/conftest.py", "docs/sharing.md", "constraints.txt", "tools/licences.py")


def run(*words: str | Path, cwd: Path) -> str:
    """What a command of this Python prints, whose end must be a good one."""
    print("+", *words, flush=True)
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main(folder: Path, asked: list[str]) -> None:
    """Build, install, run."""
    folder = folder.resolve()
    if folder.is_relative_to(ROOT) and not folder.is_relative_to(ROOT / ".tox"):
        raise SystemExit(f"The folder must lie outside of the repository; {folder} does not. Choose another.")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"The folder must be empty; {folder} is not. Choose another.")
    run("-m", "build", "--outdir", folder, ROOT, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(sdist) as packed:
        packed.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    if lacking := [name for name in NEEDED if not (unpacked / name).is_file()]:
        raise SystemExit(f"An sdist must hold {', '.join(NEEDED)}; this one lacks {', '.join(lacking)}.")
    run("-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", f"{wheel}[export]", cwd=folder)
    run("-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel, cwd=folder)
    installed = Path(run("-c", WHERE, cwd=folder).strip())
    if installed.is_relative_to(ROOT / "src") or installed.is_relative_to(unpacked):
        raise SystemExit(f"What is tried must be what is installed; it is {installed}.")
    run("-m", "napari_pix2pix", "demo", "--out", folder / "demo", cwd=folder)
    run("-m", "napari_pix2pix", "models", cwd=folder)
    tests = asked or ["-m", "not slow and not gui", "--no-xvfb", "-q"]
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests], cwd=unpacked, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
