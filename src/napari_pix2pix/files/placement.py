"""Where a stack lies and when its frames were taken, as its file says it: what a result takes over from its source."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

PREFIXES = {
    **{"exa": ("E", 18), "peta": ("P", 15), "tera": ("T", 12), "giga": ("G", 9), "mega": ("M", 6), "kilo": ("k", 3)},
    **{"hecto": ("h", 2), "deca": ("da", 1), "": ("", 0), "deci": ("d", -1), "centi": ("c", -2), "milli": ("m", -3)},
    **{"micro": ("µ", -6), "nano": ("n", -9), "pico": ("p", -12), "femto": ("f", -15), "atto": ("a", -18)},
}


def _units(name: str, symbol: str, power: int) -> dict[str, float]:
    """What a unit with each prefix, as a word and as a symbol, is in units of 10^`power`."""
    scaled = {prefix: (short, float(f"1e{exponent - power}")) for prefix, (short, exponent) in PREFIXES.items()}
    words = {prefix + name: factor for prefix, (_, factor) in scaled.items()}
    return words | {short + symbol: factor for short, factor in scaled.values()}


MICROMETRES = {
    **_units("meter", "m", -6),
    **{"um": 1.0, "μm": 1.0, "\\u00B5m": 1.0, "micron": 1.0, "microns": 1.0},  # the Greek letter; as ImageJ escapes it
    **{"Å": 1e-4, "angstrom": 1e-4, "inch": 25400.0, "in": 25400.0, "foot": 304800.0, "ft": 304800.0},
    **{"yard": 914400.0, "yd": 914400.0, "mile": 1609344e3, "mi": 1609344e3},
}
"""The units of length that files name."""
SECONDS = {
    **_units("second", "s", 0),
    **{"us": 1e-6, "μs": 1e-6, "sec": 1.0, "minute": 60.0, "min": 60.0, "hour": 3600.0, "h": 3600.0},
    **{"day": 86400.0, "d": 86400.0},
}
"""The units of time that files name."""

Measure = tuple[float, str]
"""A number and its unit: ``"µm"``, ``"s"``, or ``""`` where the file names none that is known."""


def measure(axis: str, number: float, unit: str | None) -> Measure:
    """The number in µm, along T in s; as it is where the unit is none that is known."""
    known = SECONDS if axis == "T" else MICROMETRES
    factor = known.get(unit or "")
    return (number, "") if factor is None else (number * factor, "s" if axis == "T" else "µm")


@dataclass(frozen=True)
class Placement:
    """Where a stack lies, and how far its frames and pixels are apart where that is no pixel size in µm.

    Parameters
    ----------
    origin
        By axis letter of `TZYX`: where its first frame or pixel lies.
    step
        Likewise: how far two neighbours are apart, of T, and of axes whose unit the file does not name.
    """

    origin: Mapping[str, Measure] = field(default_factory=dict)
    step: Mapping[str, Measure] = field(default_factory=dict)

    @classmethod
    def of(cls, steps: Mapping[str, Measure], origins: Mapping[str, Measure]) -> tuple[dict[str, float], "Placement"]:
        """The pixel sizes, µm, among what a file says, and the placement that is the rest. 0 means: not known."""
        known = {axis: said for axis, said in steps.items() if 0 < said[0] < math.inf}
        sizes = {axis: number for axis, (number, unit) in known.items() if unit == "µm" and axis in "ZYX"}
        rest = {axis: said for axis, said in known.items() if axis not in sizes}
        return sizes, cls({axis: said for axis, said in origins.items() if math.isfinite(said[0])}, rest)

    def seen_every(
        self, axes: str, steps: Sequence[float], starts: Sequence[float], pixel_size_um: Mapping[str, float]
    ) -> tuple[dict[str, float], "Placement"]:
        """Pixel sizes and placement of an image of which each pixel is `steps` pixels of this one, from `starts` on.

        Parameters
        ----------
        axes
            Of `steps` and `starts`, which are pixels.
        pixel_size_um
            Of this stack.
        """
        every, first = dict(zip(axes, steps, strict=True)), dict(zip(axes, starts, strict=True))
        sizes = {axis: size * every.get(axis, 1.0) for axis, size in pixel_size_um.items()}
        step = {axis: (number * every.get(axis, 1.0), unit) for axis, (number, unit) in self.step.items()}
        origin = dict(self.origin)
        for axis, start in first.items():
            size, unit = (pixel_size_um[axis], "µm") if axis in pixel_size_um else self.step.get(axis, (1.0, ""))
            before, said = self.origin.get(axis, (0.0, unit))
            if start and said == unit:
                origin[axis] = before + start * size, unit
        return sizes, replace(self, origin=origin, step=step)
