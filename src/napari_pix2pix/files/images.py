"""Images in files, alone or with their targets, of which others are to be made from nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari_pix2pix.core.settings.config import PairSettings, validated
from napari_pix2pix.files.folders import list_images, named_as
from napari_pix2pix.files.labels import Labels, conditions_of
from napari_pix2pix.files.moved import Moved
from napari_pix2pix.files.pairing import PairedStacks, channel_numbers, found_again, identity_of, open_stacks, reopen
from napari_pix2pix.files.said import OF_DOMAINS, OF_PAIRS, require_unsaid
from napari_pix2pix.files.stacks import Stack, open_stack

if TYPE_CHECKING:
    from napari_pix2pix.core.data.frames import Images

NOT_KNOWN = ("valid", "ignore_label", "annotated_frames")
"""Settings by which targets are known in part only."""


@dataclass(frozen=True)
class ImageStacks:
    """Stacks of images, or pairs of such and their targets; for each, by set, the class that it is of."""

    kind: ClassVar[str] = "images"

    stacks: tuple[Stack, ...]
    names: dict[str, tuple[str, ...]]
    settings: PairSettings
    labels: tuple[Labels, ...] = ()
    pairs: PairedStacks | None = None
    hashed: list[dict[str, Any]] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, source: Path | str, target: Path | str | None, settings: PairSettings) -> "ImageStacks":
        """The images in a file or folder, and their targets, if there are some.

        Raises
        ------
        FileNotFoundError
            If there are none.
        ValueError
            If one cannot be read, has no target or no class, or something is said that images from nothing have not.
        """
        require_unsaid(settings, "Images that others are made of", *OF_DOMAINS)
        if settings.z != "frame":
            raise ValueError(f"z must be frame for images that are made from nothing; got {settings.z}. Leave it out.")
        own = settings.model_copy(update={"condition": None})
        if target is not None or settings.side_by_side:
            require_unsaid(settings, "Images that others are made of with their targets", *NOT_KNOWN)
            pairs = open_stacks(source, target, own).without_bad()
            if pairs.stains and not pairs.stains.all_there:
                raise ValueError(
                    "Images that others are made of with their targets must have every stain; some lack one "
                    f"({str(pairs.stains).rstrip('.')}). Leave these pairs out, or take fewer stains."
                )
            stacks, names = pairs.files.sources, dict.fromkeys(("source", "target"), pairs.files.names)
            sides = dict(zip(names["source"], (stack.path for stack in stacks), strict=True))
            return cls(stacks, names, settings, _classes(settings, sides), pairs)
        require_unsaid(settings, "Images without targets", *OF_PAIRS, "target_axes", "target_channels")
        paths = list_images(source, tree=True)
        called = tuple(map(named_as(source), paths))
        stacks = tuple(open_stack(path, settings.source_axes) for path in paths)
        return cls(stacks, {"image": called}, settings, _classes(settings, dict(zip(called, paths, strict=True))))

    def frames(self, *, hashed: bool = True) -> "Images":
        """The same for the core, with the hashes of their files, for which these are read.

        Raises
        ------
        ValueError
            If images have other channels than the others, or there is one class only.
        """
        from napari_pix2pix.core.data.frames import Frames, Images  # imports torch

        sets = sorted({name for labels in self.labels for name in labels})
        conditions = {name: [labels.get(name) for labels in self.labels] for name in sets}
        if self.pairs is not None:
            return Images(self.pairs.frames(hashed=hashed), conditions=conditions)
        wanted = self.settings.source_channels
        channels: list[Any] | None = [channel_numbers(stack, wanted) for stack in self.stacks] if wanted else None
        if channels is None and {stack.plan.n_channels for stack in self.stacks} == {1, 3}:
            channels = [(0, 0, 0) if stack.plan.n_channels == 1 else () for stack in self.stacks]
        made = Frames(
            [stack.array for stack in self.stacks],
            [stack.axes for stack in self.stacks],
            names=self.names["image"],
            channels=channels,
            z="volume" if self.settings.z == "volume" else "frame",
            hashes=[said["sha256"] for said in self._identities] if hashed else None,
        )
        return Images(made, conditions=conditions)

    @property
    def sides(self) -> dict[str, tuple[Stack, ...]]:
        """The stacks of images and, if there are some, targets."""
        return {"image": self.stacks} if self.pairs is None else self.pairs.sides

    @property
    def firsts(self) -> dict[str, Stack]:
        """The first image."""
        return {"images": self.stacks[0]}

    @property
    def groups(self) -> tuple[str, ...]:
        """As named for the pairs; images alone have none."""
        return self.pairs.groups if self.pairs else ()

    @property
    def paths(self) -> list[Path]:
        """Every file that is read."""
        return [stack.path for stack in self.stacks] if self.pairs is None else self.pairs.paths

    @cached_property
    def _identities(self) -> list[dict[str, Any]]:
        """Path, axes and hash of each."""
        if self.hashed is not None:
            return self.hashed
        known: dict[Path, str] = {}
        return [identity_of(stack, known) for stack in self.stacks]

    def provenance(self) -> dict[str, Any]:
        """Files, hashes and settings, for the run folder and the model; `reopen` reads them again."""
        if self.pairs is not None:
            told = self.pairs.provenance()
        else:
            told = {
                "sources": self._identities,
                "targets": [],
                "names": list(self.names["image"]),
                "pixel_size_um": self.stacks[0].pixel_size_um,
            }
        settings = self.settings.model_dump(mode="json", exclude_defaults=True)
        return told | {"kind": self.kind, "labels": [dict(one) for one in self.labels], "settings": settings}

    @classmethod
    def reopen(cls, said: dict[str, Any], moved: Moved | None = None) -> "ImageStacks":
        """The images that `provenance` describes, where they were or `moved` to.

        Raises
        ------
        FileNotFoundError
            If one is no longer there.
        ValueError
            If one is no longer what it was.
        """
        settings, labels = validated(PairSettings, said["settings"]), tuple(said["labels"])
        if labels and len(labels) != len(said["names"]):
            raise ValueError("An earlier training must tell as many classes as images; it tells others.")
        if said["targets"]:
            plain = {name: value for name, value in said["settings"].items() if name != "condition"}
            pairs = reopen({**said, "settings": plain}, moved)
            names = dict.fromkeys(("source", "target"), pairs.files.names)
            return cls(pairs.files.sources, names, settings, labels, pairs)
        stacks = tuple(found_again(file, moved or Moved()) for file in said["sources"])
        if len(stacks) != len(said["names"]):
            raise ValueError("An earlier training must tell as many names as images; it tells others.")
        return cls(stacks, {"image": tuple(said["names"])}, settings, labels, None, list(said["sources"]))


def _classes(settings: PairSettings, paths: Mapping[str, Path]) -> tuple[Labels, ...]:
    """Of each image, in their order; empty where there are none."""
    return () if settings.condition is None else conditions_of(settings.condition, paths)
