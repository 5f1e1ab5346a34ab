"""How sentences name settings, so that each surface can show its own name for one: the core writes `patch_size`."""

import re
from collections.abc import Callable, Iterator

from pydantic import BaseModel

from napari_pix2pix.core.settings.config import METHODS, PairSettings

NAMED = re.compile(r"`([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?)`")
_WORDS = """
    allow_seen annotated_frames annotations at author config device draws finish folds from hub keep_frames key
    local local_workers minutes norm_statistics objects out overlap overwrite picture precision prediction
    preset region rescale resume sample scheduler score seed_threshold seeds side stain test_source test_target
    tile_size time to trust trust_limit trust_risk validation_source validation_source_more validation_target
    """
ASKED = frozenset(_WORDS.split())
"""What is asked for with a command, beside settings of a training and of pairs."""


def named(text: str, render: Callable[[str], str]) -> str:
    """`text` with each setting that it names in backticks called as `render` says; other words in backticks stay."""
    if "`" not in text:
        return text
    known = names()
    return NAMED.sub(lambda found: render(found[1]) if found[1] in known else found[0], text)


def names() -> frozenset[str]:
    """Every name by which sentences call a setting; parts of nested ones by both: ``generator.levels``."""
    models: tuple[type[BaseModel], ...] = (*METHODS.values(), PairSettings)
    return ASKED.union(*(_of(model) for model in models))


def as_flag(name: str) -> str:
    """The flag of the command line: ``generator.z_levels`` is ``--generator.z-levels``."""
    return f"--{name.replace('_', '-')}"


def _of(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}.{inner}" for inner in _of(field.annotation))
        else:
            yield name
