"""The README's code blocks run, in order, as they stand."""

import re
import shlex
from pathlib import Path

import pytest

from napari_pix2pix.commands import story as demo
from napari_pix2pix.commands.app import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf8")
FEW = "3"
"""Steps of each training here; the README's own number is for users."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def beside_a_demo(tmp_path, monkeypatch):
    """A folder in which `napari-pix2pix demo` has just run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "STEPS", int(FEW))
    monkeypatch.setattr(demo, "TRUST_STEPS", int(FEW))
    install, *_ = blocks("bash")
    assert install.strip().endswith("&& napari-pix2pix demo")
    assert main(["demo"]) == 0
    return tmp_path


def test_readme_terminal_block_runs(beside_a_demo, capsys) -> None:
    """Every command of the terminal block succeeds and writes what it names."""
    _, terminal = blocks("bash")
    commands = re.sub(r"--steps \d+", f"--steps {FEW} --trust-steps {FEW}", terminal).replace("\\\n", " ").splitlines()
    assert len(commands) == 6
    for command in commands:
        name, *words = shlex.split(command)
        assert name == "napari-pix2pix"
        assert main(words) == 0, capsys.readouterr().err
    for written in ("runs/nuclei/model.safetensors", "nuclei/predicted.tif", "nuclei/scores.tif"):
        assert Path(written).is_file()


@pytest.mark.filterwarnings("ignore:No room for")
def test_readme_python_block_runs(beside_a_demo) -> None:
    """The Python block runs and its tiled prediction is the whole one."""
    [code] = blocks("python")
    names: dict = {}
    exec(re.sub(r'"steps": \d+', f'"steps": {FEW}, "trust_steps": {FEW}', code), names)
    assert (names["labels"] == names["model"].predict(names["unseen"], "YX")).all()


@pytest.mark.parametrize(
    "page",
    ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))],
)
def test_docs_links_lead_somewhere(page: str) -> None:
    """Every relative link and picture of a page exists."""
    text = (ROOT / page).read_text("utf8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"
