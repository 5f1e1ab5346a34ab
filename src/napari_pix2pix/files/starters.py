"""Models that ship with the package, by name."""

from pathlib import Path

FOLDER = Path(__file__).parent / "starter_models"


def starters() -> dict[str, Path]:
    """The file of each, by its name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}


def model_at(given: Path) -> Path:
    """The path that is given; where there is nothing, that of the starter model of this name, if there is one."""
    return given if given.exists() else starters().get(str(given), given)


def called(path: Path) -> str:
    """What people call a file: of a model that ships, its name; else its path."""
    return next((name for name, shipped in starters().items() if path == shipped), str(path))


def model_in(given: Path) -> Path | None:
    """The file of the model that a path, which may also be of images, means; None where it means none."""
    found = model_at(given)
    inside = found / "model.safetensors" if found.is_dir() else found
    return inside if inside.suffix == ".safetensors" and inside.is_file() else None
