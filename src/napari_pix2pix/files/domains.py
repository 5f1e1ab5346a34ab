"""Images of several domains in files: a domain per subfolder, or labels by a table or by names."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari_pix2pix.core.settings.config import PairSettings, validated
from napari_pix2pix.files.folders import list_images, named_as
from napari_pix2pix.files.labels import Labels, alone, by_name, by_table
from napari_pix2pix.files.moved import Moved
from napari_pix2pix.files.pairing import channel_numbers, found_again, identity_of
from napari_pix2pix.files.said import OF_CLASSES, OF_PAIRS, require_no_plane_channels, require_unsaid
from napari_pix2pix.files.stacks import Stack, is_image, open_stack

if TYPE_CHECKING:
    from napari_pix2pix.core.data.frames import DomainFrames

SET = alone("domains")


@dataclass(frozen=True)
class DomainStacks:
    """Stacks of images and, for each, by set what label it bears, None where that is not known."""

    kind: ClassVar[str] = "domains"

    stacks: tuple[Stack, ...]
    names: dict[str, tuple[str, ...]]
    labels: tuple[Labels, ...]
    settings: PairSettings
    hashed: list[dict[str, Any]] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, source: Path | str, target: Path | str | None, settings: PairSettings) -> "DomainStacks":
        """The images in a folder.

        Raises
        ------
        FileNotFoundError
            If there are none.
        ValueError
            If a target is given, an image cannot be read or bears no label, or the labels name an image that is not
            there.
        """
        if target is not None:
            raise ValueError(
                f"Images of several domains must be in one folder, a subfolder for each; got {target}, too. Leave it "
                "out."
            )
        require_unsaid(settings, "Images of several domains", *OF_PAIRS, *OF_CLASSES, "target_axes", "target_channels")
        require_no_plane_channels(settings, "for images of several domains")
        root, said = Path(source), settings.domains
        if said is None:
            if not root.is_dir():
                raise ValueError(
                    f"Images of several domains must be in a folder, a subfolder for each domain; got {root}. Put them "
                    "so, or tell their labels by `domains`."
                )
            folders = sorted(
                path
                for path in root.iterdir()
                if path.is_dir() and not is_image(path) and not path.name.startswith(".")
            )
            if len(folders) < 2:
                raise ValueError(
                    f"There must be at least two domains, a subfolder for each; {root} has "
                    f"{', '.join(path.name for path in folders) or 'none'}. Put the images of each into one, or tell "
                    "their labels by `domains`."
                )
            paths: dict[Path, Labels] = {}
            for folder in folders:
                paths |= {path: {SET: folder.name} for path in list_images(folder, tree=True)}
        else:
            listed = list_images(source, tree=True)
            if said.lower().endswith(".csv"):
                paths = by_table(Path(said), {named_as(source)(path): path for path in listed}, "domains")
            else:
                paths = by_name(said, listed, "domains")
        called = named_as(source)
        stacks = tuple(open_stack(path, settings.source_axes) for path in paths)
        return cls(stacks, {"image": tuple(map(called, paths))}, tuple(paths.values()), settings)

    def frames(self, *, hashed: bool = True) -> "DomainFrames":
        """The same for the core, with the hashes of their files, for which these are read.

        Raises
        ------
        ValueError
            If images have other channels than the others, or there is one domain only.
        """
        from napari_pix2pix.core.data.frames import DomainFrames, Frames  # imports torch

        wanted, channels = self.settings.source_channels, dict[int, Any]()
        if wanted:
            channels = {i: channel_numbers(stack, wanted) for i, stack in enumerate(self.stacks)}
        elif {stack.plan.n_channels for stack in self.stacks} == {1, 3}:  # grey among colours is each colour's
            channels = {i: (0, 0, 0) if stack.plan.n_channels == 1 else () for i, stack in enumerate(self.stacks)}
        sides: dict[str, list[int]] = {}
        for i, labels in enumerate(self.labels):
            sides.setdefault(_called(labels), []).append(i)
        made = {
            side: Frames(
                [self.stacks[i].array for i in own],
                [self.stacks[i].axes for i in own],
                names=[self.names["image"][i] for i in own],
                channels=[channels[i] for i in own] if channels else None,
                z="volume" if self.settings.z == "volume" else "frame",
                hashes=[self._identities[i]["sha256"] for i in own] if hashed else None,
            )
            for side, own in sides.items()
        }
        sets = {name for labels in self.labels for name in labels}
        known = {name: {side: self.labels[own[0]].get(name) for side, own in sides.items()} for name in sorted(sets)}
        return DomainFrames(made, labels=known)

    @property
    def sides(self) -> dict[str, tuple[Stack, ...]]:
        """All images."""
        return {"image": self.stacks}

    @property
    def counts(self) -> dict[str, int]:
        """Of each domain how many images it has."""
        return dict(Counter(map(_called, self.labels)))

    @property
    def firsts(self) -> dict[str, Stack]:
        """Of each domain its first image."""
        return {_called(labels): stack for labels, stack in reversed(list(zip(self.labels, self.stacks, strict=True)))}

    @property
    def groups(self) -> tuple[str, ...]:
        """None are named."""
        return ()

    @property
    def paths(self) -> list[Path]:
        """Every file that is read."""
        return [stack.path for stack in self.stacks]

    @cached_property
    def _identities(self) -> list[dict[str, Any]]:
        """Path, axes and hash of each."""
        if self.hashed is not None:
            return self.hashed
        known: dict[Path, str] = {}
        return [identity_of(stack, known) for stack in self.stacks]

    def provenance(self) -> dict[str, Any]:
        """Files, hashes and settings, for the run folder and the model; `reopen` reads them again."""
        return {
            "kind": self.kind,
            "sources": self._identities,
            "targets": [],
            "names": list(self.names["image"]),
            "labels": [dict(labels) for labels in self.labels],
            "settings": self.settings.model_dump(mode="json", exclude_defaults=True),
            "images": self.counts,
            "pixel_size_um": self.stacks[0].pixel_size_um,
        }

    @classmethod
    def reopen(cls, said: dict[str, Any], moved: Moved | None = None) -> "DomainStacks":
        """The images that `provenance` describes, where they were or `moved` to.

        Raises
        ------
        FileNotFoundError
            If one is no longer there.
        ValueError
            If one is no longer what it was.
        """
        stacks = tuple(found_again(file, moved or Moved()) for file in said["sources"])
        if not len(stacks) == len(said["names"]) == len(said["labels"]):
            raise ValueError("An earlier training must tell as many names and labels as images; it tells others.")
        settings = validated(PairSettings, said["settings"])
        return cls(stacks, {"image": tuple(said["names"])}, tuple(said["labels"]), settings, list(said["sources"]))


def _called(labels: Mapping[str, str | None]) -> str:
    """What images of the same labels are called."""
    if list(labels) == [SET]:
        return str(labels[SET])
    return ",".join(f"{name}={label}" for name, label in sorted(labels.items()) if label) or "not known"
