"""Sources and targets in files that are no pairs: other names, numbers, sizes and channels."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari_pix2pix.core.settings.config import PairSettings, validated
from napari_pix2pix.files.folders import list_images, named_as
from napari_pix2pix.files.moved import Moved
from napari_pix2pix.files.pairing import channel_numbers, found_again, identity_of, taken_names
from napari_pix2pix.files.said import OF_CLASSES, OF_DOMAINS, OF_PAIRS, require_no_plane_channels, require_unsaid
from napari_pix2pix.files.stacks import Stack, open_stack

if TYPE_CHECKING:
    from napari_pix2pix.core.data.frames import UnpairedFrames


@dataclass(frozen=True)
class UnpairedStacks:
    """Stacks of both sides, by ``source`` and ``target``, and how they are meant."""

    kind: ClassVar[str] = "unpaired"

    sides: dict[str, tuple[Stack, ...]]
    names: dict[str, tuple[str, ...]]
    settings: PairSettings
    hashed: dict[str, list[dict[str, Any]]] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, source: Path | str, target: Path | str | None, settings: PairSettings) -> "UnpairedStacks":
        """The images that either path means.

        Raises
        ------
        FileNotFoundError
            If a side has none.
        ValueError
            If there is no target, an image cannot be read, or something is said that only pairs have.
        """
        if target is None:
            raise ValueError("Sources and targets that are no pairs must be two files or folders; give a TARGET, too.")
        require_unsaid(settings, "Sources and targets that are no pairs", *OF_PAIRS, *OF_DOMAINS, *OF_CLASSES)
        require_no_plane_channels(settings, "where there are no pairs")
        paths = {"source": list_images(source), "target": list_images(target)}
        given, axes = {"source": source, "target": target}, (settings.source_axes, settings.target_axes)
        names = {side: tuple(map(named_as(given[side]), paths[side])) for side in paths}
        sides = {
            side: tuple(open_stack(path, own) for path in paths[side]) for side, own in zip(paths, axes, strict=True)
        }
        return cls(sides, names, settings)

    def frames(self, *, hashed: bool = True) -> "UnpairedFrames":
        """The same for the core, with the hashes of their files, for which these are read.

        Raises
        ------
        ValueError
            If images of a side have other channels than the others, one is missing, or, where they are hashed, both
            sides are the same.
        """
        from napari_pix2pix.core.data.frames import Frames, UnpairedFrames  # imports torch
        from napari_pix2pix.core.evaluation.check_sides import SAME

        if hashed:
            ours, theirs = ({said["sha256"] for said in self._identities[side]} for side in ("source", "target"))
            same_channels = self.settings.source_channels == self.settings.target_channels
            if ours == theirs and same_channels:
                raise ValueError(SAME)
        wanted = {"source": self.settings.source_channels, "target": self.settings.target_channels}
        made = [
            Frames(
                [stack.array for stack in stacks],
                [stack.axes for stack in stacks],
                names=self.names[side],
                channels=[channel_numbers(stack, wanted[side]) for stack in stacks] if wanted[side] else None,
                z="volume" if self.settings.z == "volume" else "frame",
                hashes=[said["sha256"] for said in self._identities[side]] if hashed else None,
            )
            for side, stacks in self.sides.items()
        ]
        return UnpairedFrames(made[0], made[1])

    @property
    def firsts(self) -> dict[str, Stack]:
        """Of each side its first image."""
        return {f"{side}s": stacks[0] for side, stacks in self.sides.items()}

    @property
    def groups(self) -> tuple[str, ...]:
        """None are named."""
        return ()

    @property
    def paths(self) -> list[Path]:
        """Every file that is read."""
        return [stack.path for stacks in self.sides.values() for stack in stacks]

    @cached_property
    def _identities(self) -> dict[str, list[dict[str, Any]]]:
        """Path, axes and hash of each."""
        if self.hashed is not None:
            return self.hashed
        known: dict[Path, str] = {}
        return {side: [identity_of(stack, known) for stack in stacks] for side, stacks in self.sides.items()}

    def provenance(self) -> dict[str, Any]:
        """Files, hashes and settings, for the run folder and the model; `reopen` reads them again."""
        return {
            "kind": self.kind,
            **{f"{side}s": said for side, said in self._identities.items()},
            "names": list(self.names["source"]),
            "target_names": list(self.names["target"]),
            "settings": self.settings.model_dump(mode="json", exclude_defaults=True),
            "target_channels": list(taken_names(self.sides["target"][0], self.settings.target_channels)),
            "pixel_size_um": self.sides["source"][0].pixel_size_um,
            "target_pixel_size_um": self.sides["target"][0].pixel_size_um,
        }

    @classmethod
    def reopen(cls, said: dict[str, Any], moved: Moved | None = None) -> "UnpairedStacks":
        """The images that `provenance` describes, where they were or `moved` to.

        Raises
        ------
        FileNotFoundError
            If one is no longer there.
        ValueError
            If one is no longer what it was.
        """
        look, names = moved or Moved(), {"source": tuple(said["names"]), "target": tuple(said["target_names"])}
        sides = {side: tuple(found_again(file, look) for file in said[f"{side}s"]) for side in names}
        if any(len(sides[side]) != len(names[side]) for side in names):
            raise ValueError("An earlier training must tell as many names as images of either side; it tells others.")
        hashed = {side: list(said[f"{side}s"]) for side in names}
        return cls(sides, names, validated(PairSettings, said["settings"]), hashed)
