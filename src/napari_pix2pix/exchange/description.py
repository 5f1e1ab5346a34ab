"""What a package of the BioImage Model Zoo says of itself: a stranger's YAML, believed once it is checked."""

import warnings
from collections.abc import Iterable
from typing import Any

from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.exchange.archive import LARGEST_TEXT, Archive, refused

DESCRIPTIONS = "rdf.yaml", "bioimageio.yaml", "model.yaml"
"""What describes a package."""
DEEPEST = 50
"""Lists and mappings within each other in a description, of which a zoo's have a fifth."""
DATA_SET = "it normalizes by the statistics of a data set, which are not in it; must be those of each image, or fixed"


def described_by(files: Archive) -> Any:
    """What the package says of itself, as of the specification 0.5."""
    spec, yaml = needed("bioimageio.spec", "yaml")
    name = next((name for name in DESCRIPTIONS if name in files.files), None)
    if name is None:
        raise refused(files.path, "it holds no rdf.yaml")
    content = files.read(name, most=LARGEST_TEXT)
    try:
        text = content.decode("utf8")
        bomb = _bomb_in(yaml.parse(text, Loader=yaml.SafeLoader), yaml)
        said = None if bomb else yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise refused(files.path, f"its {name} cannot be read") from error
    if bomb:
        raise refused(files.path, f"its {name} {bomb}")
    if not isinstance(said, dict) or said.get("type") != "model":
        raise refused(files.path, f"its {name} describes no model")
    context = spec.ValidationContext(perform_io_checks=False, root=files.zip)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the zoo's packages, about old descriptions
        try:
            found = spec.build_description(said, context=context, format_version="0.5")
        except (RecursionError, MemoryError) as error:
            raise refused(files.path, f"its {name} cannot be read") from error
    if isinstance(found, spec.InvalidDescr):
        first = next(one for part in found.validation_summary.details for one in part.errors)
        told = " ".join(": ".join(filter(None, (".".join(map(str, first.loc)), first.msg))).split())
        raise refused(files.path, f"its {name} is not as the zoo's are ({told[:300]})")
    tensors = [*said["inputs"], *said["outputs"]]
    steps = [step for one in tensors for side in ("pre", "post") for step in one.get(f"{side}processing") or ()]
    if any((step.get("kwargs") or {}).get("mode") == "per_dataset" for step in steps):
        raise refused(files.path, DATA_SET)
    if len(found.inputs) != 1 or len(found.outputs) != 1:
        raise refused(
            files.path, f"it takes {len(found.inputs)} images and gives {len(found.outputs)}; must be one each"
        )
    return found


def _bomb_in(events: Iterable[Any], yaml: Any) -> str:
    """What of a YAML would fill a memory or take hours, as of so few lines; nothing of most.

    What aliases (*) repeat counts as if it were written out.
    """
    within: list[tuple[str | None, int]] = []  # the anchor of each list that is open, and what was written before it
    sizes: dict[str | None, int] = {}
    written = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                return f"repeats a part of itself within it, by the YAML alias *{event.anchor:.60}"
            written += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            written += (size := len(event.value) + 1)
            sizes[event.anchor] = size
        elif isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, written))
            written += 1
            sizes.pop(event.anchor, None)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            sizes[anchor] = written - before
        if len(within) > DEEPEST:
            return f"holds lists within lists, more than {DEEPEST} deep"
        if written > LARGEST_TEXT:
            return f"repeats parts of itself by YAML aliases (*), to more than {LARGEST_TEXT:,} characters"
    return ""
