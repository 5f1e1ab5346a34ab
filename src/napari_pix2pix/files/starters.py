"""Models that ship with the package, by name."""

from pathlib import Path

FOLDER = Path(__file__).parent / "starter_models"


def starters() -> dict[str, Path]:
    """The file of each, by its name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}


def model_at(given: Path) -> Path:
    """The path that is given; where there is nothing, that of the starter model of this name, if there is one."""
    return given if given.exists() else starters().get(str(given), given)
