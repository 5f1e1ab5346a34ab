"""What a model says of itself, and what an evaluation found, as text for people."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_pix2pix.core.model import TrainedModel

KINDS = {"intensity": "grey values", "classes": "classes", "instances": "objects, one label each"}
KINDS_OF_PAIRS = ("train", "validation", "calibration", "test")
PLANES = {"neighbours": "each plane with its neighbours", "all": "all planes at once", "volume": "volumes"}


def model_text(model: "TrainedModel") -> str:
    """The card of a model, a line for each thing one asks of it."""
    config, told, view = model.config, model.provenance, model.source_view
    pairs = told.get("pairs", {}).get("train") or {}
    split, versions = told.get("split", {}), told.get("versions", {})
    target = model.target_encoding
    sources = f"{_channels(model.source_encoding.n_channels, view.names)}, {model.source_encoding.dtype}"
    if view.channels and len(view.channels) < view.of_channels:
        sources += f" (of {view.of_channels}: {', '.join(map(str, view.channels))})"
    targets = f"{_channels(target.n_channels, pairs.get('target_channels') or ())}, {target.dtype_decoded}"
    classes = f" {list(target.classes)}" if target.classes else ""
    field = model.discriminator.fields[-1].size if model.discriminator else None
    sizes = pairs.get("pixel_size_um", {})
    lines = {
        "from": sources + (f", {PLANES[view.z]}" if view.z in PLANES else ""),
        "to": f"{targets}: {KINDS[target.kind]}{classes}",
        "networks": f"{config.generator.architecture}, grid {config.generator.grid} px, "
        f"{config.generator.base_channels} channels, reach {model.generator.reach[-1]} px; "
        + (f"PatchGAN, field {field} px" if field else "no discriminator, no patch scores"),
        "trained": f"{told.get('step', 0)} of {config.steps} steps, {config.batch_size} patches of "
        f"{config.patch_size} px each, learning rate {config.learning_rate:g}, L1 {config.l1_weight:g}, "
        f"GAN {config.gan_weight:g}, seed {config.seed}",
        "pairs": f"{len(pairs['sources'])} of {_place(pairs['sources'])}" if pairs.get("sources") else "not from files",
        "split": ", ".join(f"{split[kind]} {kind}" for kind in KINDS_OF_PAIRS if kind in split) or "not known",
        "pixel size, µm": ", ".join(f"{axis} {sizes[axis]:.4g}" for axis in "ZYX" if axis in sizes) or "not known",
    }
    lines["tiles"], lines["predicts in"] = _tiles(model), told.get("predicts_in", "float32")
    if "bfloat16_changes_error_by" in told:
        lines["predicts in"] += f" (bfloat16 changes the validation error by {told['bfloat16_changes_error_by']:.2%})"
    for kind, figures in told.get("figures", {}).items():
        lines[f"on {kind} pairs"] = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    lines["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items()) or "not known"
    lines["sha256"] = model.hash()
    return table(lines.items())


def figures_text(report: dict[str, Any], channels: Sequence[str] = ()) -> str:
    """The figures of an evaluation with their intervals; `channels` are the names of the target's."""
    lines = [(name, _figure(figure)) for name, figure in report["metrics"].items()]
    for i, figures in enumerate(report.get("channels", ())):
        lines.append((channels[i] if i < len(channels) and channels[i] else f"channel {i}", _figures(figures)))
    lines += [(name, _figures(baseline)) for name, baseline in report["baselines"].items()]
    text = table(lines)
    if report["baselines"]:
        text += (
            f"\n{' and '.join(report['baselines'])} need no network and are fitted on these very pairs, which favours "
            "them: a model worth its training is clearly better."
        )
    return text


def table(lines: Iterable[tuple[str, str]]) -> str:
    """A line for each label and its text."""
    return "\n".join(f"{label:>19}  {text}" for label, text in lines)


def _figures(figures: dict[str, dict[str, float | None]]) -> str:
    return ", ".join(f"{name} {_figure(figure)}" for name, figure in figures.items())


def _figure(figure: dict[str, float | None]) -> str:
    if figure["value"] is None:
        return "not known"
    between = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{figure['value']:.3f}{between}"


def _tiles(model: "TrainedModel") -> str:
    """How an image larger than one piece is predicted."""
    from napari_pix2pix.core.model import ONE_PIECE

    if not model.tileable:
        return "none: the norm looks at the image, which is predicted in one piece"
    planes = (1,) * (len(model.generator.grid) - 2)
    plan = model.tile_plan((*planes, 8 * ONE_PIECE, 8 * ONE_PIECE))
    return (
        f"above {ONE_PIECE} px of {ONE_PIECE} px, overlap {plan.overlap[-1]} px: exact, "
        f"reads {plan.cost:.2f} pixels for each it keeps"
    )


def _channels(count: int, names: Sequence[str]) -> str:
    named = f" ({', '.join(names)})" if any(names) else ""
    return f"{count} channel" + ("s" if count > 1 else "") + named


def _place(files: list[dict[str, Any]]) -> str:
    """The path of the only file, else the folder of the first."""
    path: str = files[0]["path"]
    return path if len(files) == 1 else path[: max(path.rfind("/"), path.rfind("\\"))]
