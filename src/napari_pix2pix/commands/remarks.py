"""What the user should know about pairs and models before any work, in a sentence each."""

from typing import TYPE_CHECKING, Any

from napari_pix2pix.commands.events import Event, Events

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel
    from napari_pix2pix.core.settings.running import PredictSettings
    from napari_pix2pix.files.domains import DomainStacks
    from napari_pix2pix.files.images import ImageStacks
    from napari_pix2pix.files.pairing import PairedStacks
    from napari_pix2pix.files.unpaired import UnpairedStacks


def understood(stacks: "PairedStacks | UnpairedStacks | DomainStacks | ImageStacks", plan: dict[str, Any]) -> str:
    """How the pairs were read, in a sentence, so that a wrong guess is seen."""
    sides = [
        f"{name}s {', '.join(sorted({f'{stack.axes} {stack.array.dtype}' for stack in side}))}"
        for name, side in stacks.sides.items()
    ]
    if stacks.kind == "images":
        rows = [row["kind"] for row in plan["provenance"]["regions"]]
        held = f"{rows.count('train')} train, {rows.count('validation')} are held out."
        classes = (
            "; ".join(f"{name} {', '.join(labels)}" for name, labels in plan["domains"]["sets"].items())
            if plan.get("domains")
            else ""
        )
        what = (
            f" to make such with their targets ({plan['target_encoding']['kind']})"
            if plan.get("joint")
            else " to make such"
        )
        return f"Read {' and '.join(sides)}{what}{f' by class ({classes})' if classes else ''}; {held}"
    if stacks.kind == "domains":
        kind_of = [row["kind"] for row in plan["provenance"]["regions"]]
        known = "; ".join(f"{name} {', '.join(labels)}" for name, labels in plan["domains"]["sets"].items())
        return (
            f"Read {sides[0]} of several domains ({known}) as {plan['target_encoding']['kind']}; "
            f"{kind_of.count('train')} train, {kind_of.count('validation')} are held out."
        )
    if stacks.kind == "unpaired":
        rows = [(row["kind"], row["side"]) for row in plan["provenance"]["regions"]]
        said = [
            f"{rows.count((kind, side))} {side}s {verb}"
            for kind, verb in (("train", "train"), ("validation", "are held out"))
            for side in stacks.sides
        ]
        return f"Read {' and '.join(sides)} as {plan['target_encoding']['kind']}, no pairs; {', '.join(said)}."
    repeated = {stack.plan.n_channels for stack in stacks.sides["source"]} == {1, 3}
    grey = " (grey ones repeated in each colour)" if repeated and not stacks.settings.source_channels else ""
    split = plan["provenance"]["split"]
    kinds = ", ".join(f"{split[kind]} {kind}" for kind in ("train", "validation", "calibration"))
    told = plan["provenance"].get("conditions", {})
    classes = f" by condition ({', '.join(f'{name} {n}' for name, n in told.items())})" if told else ""
    return f"Read {' and '.join(sides)}{grey} as {plan['target_encoding']['kind']}{classes}; {kinds}."


def told_of_sides(stacks: "UnpairedStacks | DomainStacks | ImageStacks") -> Events:
    """What the user should know about images that are no pairs before any work."""
    for side, images in stacks.sides.items():
        predicted = [name for name, stack in zip(stacks.names[side], images, strict=True) if stack.is_prediction]
        if predicted:
            yield {"event": "warning", "text": f"The {side} {predicted[0]} is a prediction, not a real image."}
    (first, a), *others = ((name, stack.pixel_size_um) for name, stack in stacks.firsts.items())
    for name, b in others:
        if any(axis in a and abs(a[axis] / b.get(axis, a[axis]) - 1) > 0.1 for axis in "YX"):
            ours, theirs = (" x ".join(f"{size[axis]:.4g}" for axis in "YX" if axis in size) for size in (a, b))
            text = (
                f"{first[0].upper()}{first[1:]} and {name} should have the same pixel size; got {ours} and {theirs} "
                "µm: structures would change their size. Resample one of them."
            )
            yield {"event": "warning", "text": text}
            break


def told(stacks: "PairedStacks", left_out: str = "warning") -> Events:
    """What the user should know about these pairs before any work; `left_out` is the event for pairs left out."""
    for name, sentence in stacks.files.skipped.items():
        yield {"event": left_out, "file": name, "text": sentence}
    if stacks.stains and not stacks.stains.all_there:
        yield {"event": "note", "text": str(stacks.stains)}
    first, *others = stacks.source_names
    for name, names in zip(stacks.files.names[1:], others, strict=True):
        if names != first and len(names) == len(first):
            called = f"{', '.join(names)} in {name} but {', '.join(first)} in {stacks.files.names[0]}"
            text = f"The channels of the sources are called {called}; they are taken by number. Give `source_channels`."
            yield {"event": "warning", "text": text}
            break
    for name, stack in zip(stacks.files.names, stacks.files.targets, strict=True):
        if stack.is_prediction:
            yield {"event": "warning", "text": f"The target of {name} is a prediction, not the truth."}
    if generated := sum(stack.is_generated for stack in stacks.files.targets):
        text = (
            f"{generated} of {len(stacks.files.targets)} pairs are generated, no observations: they may train, but "
            "figures on them say nothing. Judge by real pairs of their own (`validation_source`, `test_source`)."
        )
        yield {"event": "warning", "text": text}
    for name, source, target in zip(stacks.files.names, stacks.files.sources, stacks.files.targets, strict=True):
        a, b = source.pixel_size_um, target.pixel_size_um
        if any(axis in a and axis in b and abs(a[axis] / b[axis] - 1) > 0.01 for axis in "YX"):
            ours, theirs = (" x ".join(f"{size[axis]:.4g}" for axis in "YX" if axis in size) for size in (a, b))
            text = (
                f"Source and target must have the same pixel size, but in {name} the source has {ours} µm and the "
                f"target {theirs} µm: resample one of them, or correct the file that says it wrongly."
            )
            yield {"event": "warning", "text": text}
            break


def told_of_halves(model: "TrainedModel", side: str | None) -> Events:
    """A warning where the model was trained on halves of images and whole ones are given."""
    trained = model.provenance.get("pairs", {}).get("train", {}).get("settings", {}).get("side_by_side")
    if trained and side is None:
        text = f"Whole images are taken, but the model was trained on halves; `side_by_side` {trained} halves them."
        yield {"event": "warning", "text": text}


def told_of_calibration(model: "TrainedModel") -> Events:
    """A warning where what judges has not learned enough, or was never held against pairs that taught nothing."""
    if model.match is not None and model.match.lesson:
        yield {"event": "warning", "text": model.match.lesson}
    if model.match is not None and model.match.calibration is None:
        text = (
            "The model was not calibrated: its scores have no ranks, and its expected errors may be too small on new "
            "images and have no bound. Give it to fit-trust with pairs that it has not seen."
        )
        yield {"event": "warning", "text": text}


def told_of_mask(model: "TrainedModel", how: "PredictSettings") -> Events:
    """What the mask of what not to trust promises, and what not; a warning where a risk cannot be kept."""
    from napari_pix2pix.files.trusted import risk_told, trust_limit

    known = model.match.calibration if model.match else None
    if how.trust_risk is not None:
        kept, text = risk_told(model, how.trust_risk)
        yield {"event": "note" if kept else "warning", "text": text}
    elif how.trust_limit is None and known is not None and known.risk is not None and known.promises:
        left, loss = known.risk.left(trust_limit(model) / known.scale)
        wrong = f"{loss:.1%} were wrong" if known.risk.most == 1 else f"the mean error was {loss:.0%} of the usual"
        text = (
            f"The mask promises nothing: of the pixels that calibrated it leaves {left:.0%}, of which {wrong}. Give "
            "`trust_risk` for one that keeps a risk on new images."
        )
        yield {"event": "note", "text": text}


def told_of_trust(row: dict[str, Any], limit: float) -> Event:
    """How far to trust one prediction, in a sentence, from its row."""
    at = ", ".join(f"{axis} {row[name]:g}" for axis in "tzyx" if (name := f"worst_{axis}") in row)
    text = (
        f"Expected error {row['expected_error']:.3g} on average; {row['untrusted']:.1%} of the pixels are not to be "
        f"trusted (above {limit:.3g}); the worst field, {row['worst_expected_error']:.3g}, lies around {at}."
    )
    if row.get("objects"):
        text += f" {row['objects_to_check']} of {row['objects']} objects are to be checked."
    return {"event": "note", "text": text}
