"""How long a step takes here: remembered from trainings, so that the next one can say how long it will take."""

import json
from contextlib import suppress
from typing import Any

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.widgets.places import settings_file

UNITS = {"steps": "steps", "trust steps": "teaching_steps"}
"""What is timed, and which setting says how often it is done."""
MOST_KEPT = 200


def remember_step_time(config: Config, device: str, unit: str, seconds: float) -> None:
    """Keep how long a step of such a training takes on this device."""
    times = _times()
    key = _key(config, device, unit)
    times.pop(key, None)
    times[key] = seconds  # last, so that the oldest go first
    kept = dict(list(times.items())[-MOST_KEPT:])
    with suppress(OSError), written_beside(settings_file("step_times.json")) as beside:
        beside.write_text(json.dumps(kept, indent=1), "utf8")


def expected_s(config: Config, device: str) -> float | None:
    """How long such a training takes on this device; None where none like it has run here."""
    learns, judges = expected_phases(config, device)
    return None if learns is None else learns + (judges or 0.0)


def expected_phases(config: Config, device: str) -> tuple[float | None, float | None]:
    """How long such a training takes on this device, and then its learning to judge; None where that is not known."""
    times = _times()
    found = {unit: times.get(_key(config, device, unit)) for unit in UNITS}
    counts = {unit: getattr(config, name) for unit, name in UNITS.items()}
    learns, judges = (
        0.0 if not counts[unit] else None if found[unit] is None else counts[unit] * found[unit] for unit in UNITS
    )
    return learns, judges


def in_phases(learns: float | None, judges: float | None) -> str:
    """``learns 4 min, then learns to judge 3 min``; what is not known is said or left out."""
    if learns is None:
        return about(None)
    said = f"learns {rounded(learns)}"
    return said if judges == 0 else f"{said}, then learns to judge{f' {rounded(judges)}' if judges else ''}"


def about(seconds: float | None) -> str:
    """``about 4 min``; what is not known is said."""
    if seconds is None:
        return "time not known yet"
    return f"about {rounded(seconds)}"


def rounded(seconds: float) -> str:
    """``4 min``."""
    if seconds < 90:
        return f"{max(round(seconds / 10) * 10, 10)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _key(config: Config, device: str, unit: str) -> str:
    told = config.model_dump(mode="json", include=set(config.as_slow))
    return json.dumps([device, unit, told], sort_keys=True)


def _times() -> dict[str, Any]:
    try:
        found = json.loads(settings_file("step_times.json").read_text("utf8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
