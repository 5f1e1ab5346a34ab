"""What a model says of itself, and what an evaluation found, as text for people."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from napari_pix2pix.core.engine.foreign_text import shown
from napari_pix2pix.core.evaluation.reliability import CALIBRATION
from napari_pix2pix.report.pieces import absent, lacking, right_detail

if TYPE_CHECKING:
    from napari_pix2pix.core.encodings.encoding import Encoding
    from napari_pix2pix.core.running.trained_model import TrainedModel

KINDS = {"intensity": "grey values", "classes": "classes", "instances": "objects, one label each"}
KINDS_OF_PAIRS = ("train", "validation", "calibration", "test")
NO_NETWORK = ("constant", "affine", "otsu_bright", "otsu_dark", "lookup")
FITTED = {"constant", "affine", "lookup"}
SHOWN = {
    "intensity": (
        *("mae", "rmse", "nrmse", "psnr", "pearson", "spearman", "ssim"),
        *("ssim_scale_free", "frc_cutoff", "spectral_correlation"),
    ),
    "classes": ("dice", "iou", "pixel_accuracy", "class_accuracy", "class_iou"),
    "instances": (
        *("object_f1_iou50", "object_ap_iou50", "object_precision_iou50", "object_recall_iou50", "object_f1_iou80"),
        *("dice", "merges", "splits", "adapted_rand_error", "variation_of_information"),
    ),
}
"""The figures for people, the one that counts first; `metrics.json` has all."""
BRIEF = {
    "intensity": ("mae", "psnr", "pearson"),
    "classes": ("dice", "iou", "pixel_accuracy"),
    "instances": ("object_f1_iou50", "dice"),
}
MOST_LABELS = 16
"""Of more domains, those of a card are the first."""
ELSEWHERE = "; on what is not known, so figures may be of images that trained it"
PLANES = {"neighbours": "each plane with its neighbours", "all": "all planes at once", "volume": "volumes"}


def model_text(model: "TrainedModel", elapsed_s: float | None = None) -> str:
    """The card of a model, a line for each thing one asks of it; its run folder says how long it took to train."""
    return table(model_lines(model, elapsed_s).items())


def model_lines(model: "TrainedModel", elapsed_s: float | None = None) -> dict[str, str]:
    """The card of a model: by its label what each line says."""
    config, told, view = model.config, model.provenance, model.source_view
    pairs = told.get("pairs", {}).get("train") or {}
    split, versions = told.get("split", {}), told.get("versions", {})
    target = model.target_encoding
    sources = f"{_channels(model.source_encoding.n_channels, view.names)}, {model.source_encoding.dtype}"
    if view.channels and len(view.channels) < view.of_channels:
        sources += f" (of {view.of_channels}: {', '.join(map(str, view.channels))})"
    targets = f"{_channels(target.n_channels, pairs.get('target_channels') or ())}, {target.dtype_decoded}"
    classes = f" {list(target.classes)}" if target.classes else ""
    described = model.describe()
    ways = {"makes": f"{' or '.join(model.directions)} of the other"} if len(model.directions) > 1 else {}
    nothing = config.data == "images"
    if nothing:
        side, classes_ = (
            f"{getattr(config, 'patch_size', 0)} x {getattr(config, 'patch_size', 0)} px",
            model.domains.names,
        )
        also = f", with their targets: {targets}, {KINDS[target.kind]}" if model.joint else ""
        ways = {"makes": f"images of {side} from nothing: {sources}{also}"}
        ways |= {"classes": ", ".join(classes_)} if classes_ else {}
    elif model.domains.sets:
        ways = {"makes": f"any of {', '.join(model.domains.names)}, of any image"}
    sizes = pairs.get("pixel_size_um", {})
    groups = len(set(pairs.get("groups") or ()))
    sides = {
        "from": sources + (f", {PLANES[view.z]}" if view.z in PLANES else ""),
        "to": f"{targets}: {KINDS[target.kind]}{classes}",
        **({"conditions": _conditions(model)} if model.conditions.sets else {}),
    }
    lines = {
        **({} if nothing else sides),
        **ways,
        "normalization": f"source {_range(model.source_encoding)}; target {_range(target)}",
        "networks": described.networks,
        "trained": _imported(told["imported"])
        if "imported" in told
        else f"{told.get('step', 0)} of {config.steps} steps, {config.batch_size} patches of "
        f"{config.patch_size} px each, learning rate {config.learning_rate:g}, {described.losses}, "
        f"seed {config.seed}",
        "time and device": _machine(told, elapsed_s),
        "pairs" if config.data == "pairs" else "images": "not known" if "imported" in told else _pairs(pairs),
        **_parent(told),
        "source hashes": _hashes(pairs.get("sources", ())),
        "groups": f"{groups}, kept apart" if groups else "none named",
        "split": ", ".join(f"{split[kind]} {kind}" for kind in KINDS_OF_PAIRS if kind in split) or "not known",
        "pixel size, µm": ", ".join(f"{axis} {sizes[axis]:.4g}" for axis in "ZYX" if axis in sizes) or "not known",
    }
    if trust := told.get("trust"):
        taught = f"judged after {trust.get('steps', 0)} steps, calibrated on {trust.get('groups', 0)} groups"
        lines["match"] = f"not judged: {trust['not_taught']}" if trust.get("not_taught") else taught
        if model.match is not None and model.match.examined:
            found = ", ".join(f"{kind} {value:.2f}" for kind, value in model.match.examined.items())
            found += " in the very pairs that taught it" if model.match.familiar else ""
            enough = ": NOT ENOUGH to judge, teach it on" if model.match.lesson else ""
            lines["planted damage"] = f"found (AUROC): {found}{enough}"
    if model.match is not None and model.match.calibration is not None:
        lines["mask of a risk"] = model.match.calibration.mask_line
    if not nothing:
        lines["tiles"], lines["predicts in"] = _tiles(model), told.get("predicts_in", "float32")
    if "bfloat16_changes_error_by" in told:
        lines["predicts in"] += f" (bfloat16 changes the validation error by {told['bfloat16_changes_error_by']:.2%})"
    for kind, figures in told.get("figures", {}).items():
        no_pairs = config.data != "pairs" and not (told.get("pairs") or {}).get(kind)
        lines["on held-out images" if no_pairs else f"on {kind} pairs"] = ", ".join(
            f"{name} {value:.4g}" for name, value in figures.items()
        )
    lines |= stain_lines(told.get("stains", ()))
    lines |= confusion_lines(told.get("confusion", {}))
    if one_image(told):
        lines["these figures"] = "are from within one image and say nothing about another"
    lines["refuses"] = "; ".join(refusals(model))
    if (
        (known := model.source_encoding.normalization)
        and known.each_image is None
        and not nothing
        and config.knows_range
    ):
        lines["warns of"] = "sources of which a tenth lies outside of their range"
    lines |= {name: said for name in ("authors", "licence") if (said := getattr(config, name))}
    lines["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items()) or "not known"
    lines["sha256"] = model.hash()
    return lines


def _conditions(model: "TrainedModel") -> str:
    """The classes that it tells, with how many pairs of each it was made of."""
    known = model.provenance.get("conditions") or dict.fromkeys(model.conditions.names, 0)
    each = [f"{name} ({counted(n, 'pair')})" if n else name for name, n in known.items()][:MOST_LABELS]
    return ", ".join([*each, *([f"and {len(known) - len(each)} more"] if len(known) > len(each) else [])])


def stain_lines(stains: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Of each of several channels of the target how many pairs that trained have it, and its own figures."""
    lines, kinds = {}, {kind for stain in stains for kind in stain.get("figures", {})}
    for stain in stains:
        own = stain.get("figures", {})
        figures = [
            f"on {kind} pairs {', '.join(f'{name} {value:.4g}' for name, value in own[kind].items())}"
            if kind in own
            else f"in none of the {kind} pairs"
            for kind in KINDS_OF_PAIRS
            if kind in kinds
        ]
        lines[f"stain {stain['name']}"] = "; ".join([counted(stain["pairs"], "pair"), *figures])
    return dict(list(lines.items())[:MOST_LABELS])


def confusion_lines(confusion: dict[str, dict[str, dict[str, int]]]) -> dict[str, str]:
    """Of each domain which domains its real held-out patches are told for, the most frequent first."""
    lines = {}
    for name, told in confusion.items():
        for label, counts in told.items():
            total = sum(counts.values())
            shares = (f"{other} {n / total:.0%}" for other, n in sorted(counts.items(), key=lambda one: -one[1]))
            called = label if len(confusion) == 1 else f"{name}={label}"
            many = f"{', '.join(shares)} (of {total} held-out patches)"
            lines[f"{called} looks like"] = many if total else "not known: nothing is held out"
    return dict(list(lines.items())[:MOST_LABELS])


def refusals(model: "TrainedModel") -> list[str]:
    """What the model will not do, or take, a phrase each."""
    view, source = model.source_view, model.source_encoding
    if model.config.data == "images":
        return ["to predict, to score and to be evaluated: it makes images from nothing"]
    named = f" ({', '.join(view.names)})" if view.names else ""
    found = [f"sources without its {_channels(source.n_channels, ())}{named}"]
    found += ["sources without planes (Z)"] if view.z != "frame" else []
    found += [f"sources with other labels than {list(source.classes)}"] if source.classes else []
    if not model.tileable:
        found.append("images too large for one piece, which its norm needs")
    if model.discriminator is None and model.match is None:
        found.append("to score, having no discriminator")
    found += [] if "imported" in model.provenance else ["to be evaluated on files that made it"]
    return found


def one_image(told: dict[str, Any]) -> bool:
    """Whether all pairs that made a model are from one image or stack."""
    pairs = told.get("pairs") or {}
    judged = any(pairs.get(kind) for kind in ("validation", "test"))
    return not judged and len({row["name"] for row in told.get("regions", ())}) == 1


def _range(encoding: "Encoding") -> str:
    """How grey values or labels reach the network."""
    known = encoding.normalization
    if known is None:
        return "labels"
    if known.each_image is not None:
        return f"{known.each_image.method} of each image"
    ends = list(dict.fromkeys(f"{low:.6g} to {high:.6g}" for low, high in zip(known.low, known.high, strict=True)))
    return f"{', '.join(ends[:4])}{' and more' if len(ends) > 4 else ''} to ±{known.limit:g}"


def _machine(told: dict[str, Any], elapsed: float | None) -> str:
    time = (
        "time said by its run only"
        if elapsed is None
        else f"{elapsed:.0f} s"
        if elapsed < 600
        else f"{elapsed / 60:.0f} min"
    )
    device = ", ".join(str(told[name]) for name in ("device", "precision") if name in told)
    return ", ".join(
        part for part in (time, device, counted(told["threads"], "thread") if "threads" in told else "") if part
    )


def _hashes(files: Sequence[dict[str, Any]]) -> str:
    """The beginnings of a few."""
    if not files:
        return "not known"
    more = f" and {len(files) - 3} more, see --json" if len(files) > 3 else ""
    return ", ".join(file["sha256"][:12] for file in files[:3]) + more


def figures_text(report: dict[str, Any], channels: Sequence[str] = ()) -> str:
    """The figures of an evaluation with their intervals; `channels` are the names of the target's.

    Every line with a figure is marked where the pairs made the model.
    """
    metrics, brief = report["metrics"], BRIEF[report["kind"]]
    called = [name or f"channel {i}" for i, name in enumerate(channels)]
    called += [f"channel {i}" for i in range(len(called), len(report.get("channels", ())))]
    lines = []
    for name in (name for name in SHOWN[report["kind"]] if name in metrics):
        bright = metrics.get(f"{name}_foreground")
        also = f", on the foreground {_figure(bright)}" if bright and bright["value"] is not None else ""
        lines.append((name, _figure(metrics[name]) + also))
    having = [f"in {stain['n']} of {report['n']}: " for stain in report.get("stains", ()) if lacking(report)]
    for i, figures in enumerate(report.get("channels", ())):
        told = "not known: no image has it" if i in absent(report) else _figures(figures, brief)
        lines.append((called[i], (having[i] if having else "") + told))
    lines += [
        (name, f"{_figures(part['metrics'], brief)} ({counted(part['n'], 'frame')})")
        for name, part in report.get("conditions", {}).items()
    ]
    lines += [(f"class {label}", _figures(figures)) for label, figures in report.get("classes", {}).items()]
    lines += [(name, _figures(baseline, brief)) for name, baseline in report["baselines"].items()]
    if (ceiling := report["ceiling"])["n"]:
        lines.append(("ceiling", f"{_figures(ceiling['metrics'], brief)}: targets moved as they lie off"))
    lines += _errors(report["errors"], called, absent(report))
    for i, channel in enumerate(report.get("spectra", ())):
        if i not in absent(report) and "resolution_px" in channel:
            lines.append(("right" + (f" in {called[i]}" if len(called) > 1 else ""), right_detail(channel)))
    for i, objects in enumerate(report.get("objects", ())):
        lines.append((called[i] if len(report["objects"]) > 1 else "objects", _objects(objects)))
    features = [one for one in report.get("features", ()) if one is not None]
    for one, name in zip(features, called or [""], strict=False):
        lines.append((f"read-outs of {name}" if len(features) > 1 else "read-outs", one["sentence"]))
    if stain := report.get("stain"):
        lines.append((f"{stain['name']} stain", _figures(stain["metrics"])))
    if (trust := report.get("trust")) and trust["fields"]:
        lines += _trust(trust)
    intervals, mark = report["intervals"], "  SEEN" if report.get("seen") else ""
    each = f"95 % over {intervals['n']} {intervals['over']}" if intervals["n"] > 1 else "none for a single one"
    known = "" if report["known_share"] == 1 else f", known in {report['known_share']:.1%} of their pixels"
    first = ("on", f"{report['n']} frames{known}, {report['kind_of_pairs']} pairs; intervals: {each}")
    text = [table([first, *((label, line + mark) for label, line in lines)]), *report["remarks"]]
    text += trust["remarks"] if trust else []
    if needless := [name for name in report["baselines"] if name in NO_NETWORK]:
        text.append(f"{_no_network(needless)}: a model worth its training is clearly better.")
    return "\n".join(text)


def _no_network(names: Sequence[str]) -> str:
    """What baselines are that need no network."""
    need = "need" if len(names) > 1 else "needs"
    fitted = [name for name in names if name in FITTED]
    are, them = ("are", "them") if len(fitted) > 1 else ("is", "it")
    told = f"{are} fitted on these very pairs, which favours {them}"
    if len(fitted) == len(names):
        return f"{_all(names)} {need} no network and {told}"
    return f"{_all(names)} {need} no network" + (f"; {_all(fitted)} {told}" if fitted else "")


def comparison_text(found: dict[str, Any]) -> str:
    """What `compare` found, a table for each evaluation but the first."""
    over = found["intervals"]
    lines = [
        f"On {found['n']} frames that all have; differences from {found['first']}, 95 % over {over['n']} {over['over']}"
    ]
    lines += [f"Pairs of {name} made its model: its figures say little." for name in found["seen"]]
    if found["left_out"]:
        lines.append(f"Not in all, and left out: {_some(found['left_out'])}")
    for name, figures in found["differences"].items():
        wanted = [m for m in (*SHOWN[found["kind"]], "invented", "missing", CALIBRATION) if m in figures]
        lines.append(f"{name}:")
        lines.append(table((m, f"{_figure(figures[m], '+')}  {figures[m]['verdict']}") for m in wanted))
        if told := found.get("repeated", {}).get(name):
            lines += _by_run(told, wanted)
    return "\n".join(lines)


def _by_run(told: dict[str, Any], wanted: Sequence[str]) -> list[str]:
    """What differs over runs of the same seed and fold, and in which settings."""
    apart = ", ".join(f"{setting} {a} -> {b}" for setting, (a, b) in told["settings"].items())
    lines = [f"settings: {apart or 'the same'}"]
    if not told["same_folds"]:
        return [*lines, "Its folds are others: its runs have no partners, only its images have."]
    known = {m: told["differences"][m] for m in wanted if m in told["differences"]}
    n = next(iter(known.values()))["n"] if known else 0
    lines.append(f"over {n} pairs of runs, 95 % by t (Nadeau and Bengio 2003):")
    return [*lines, table((m, f"{_figure(figure, '+')}  {figure['verdict']}") for m, figure in known.items())]


def _errors(errors: dict[str, Any], called: Sequence[str], unknown: Collection[int]) -> list[tuple[str, str]]:
    """What kinds of error there are, a line for each; channels that are `unknown` have none."""
    lines = []
    if errors["soft"]:
        halves = []
        for i, channel in enumerate(errors["soft"]):
            where = "nowhere" if i not in unknown else "not known"
            if channel["half"] is not None:
                where = f"from {channel['half']:.3f} cycles/px on"
                where += f" ({channel['half_per_um']:.3g} cycles/µm)" if channel["half_per_um"] else ""
            halves.append(where + (f" in {called[i]}" if len(errors["soft"]) > 1 else ""))
        lines.append(("soft", f"less than half of the power {', '.join(halves)}"))
    if (displaced := errors["displaced"])["n"]:
        y, x = displaced["pixels"]
        length = f"{displaced['length']:.2f} px" + (
            f" ({displaced['length_um']:.3g} µm)" if displaced["length_um"] else ""
        )
        lines.append(
            (
                "displaced",
                f"{length}, Y {y:+.2f} X {x:+.2f} px, the median of {counted(displaced['n'], 'frame')} that tell",
            )
        )
    for kind in ("invented", "missing"):
        told = errors[kind]
        dense = "" if told["per_mm2"] is None else f", {told['per_mm2']:.3g} per mm²"
        share = "" if told["share"] is None else f" ({told['share']:.1%})"
        lines.append((kind, f"{told['objects']} of {told['of']} objects{share}{dense}"))
    return lines


def _trust(trust: dict[str, Any]) -> list[tuple[str, str]]:
    """Whether the expected error can be trusted, and what needs no network beside it."""
    lines = []
    for label, monitor in (
        *(("expected error", "expected_error"), ("match score", "match")),
        *(("edges of the prediction alone", "edges"), ("edges of the source alone", "gradient")),
    ):
        found = {name: figure["pooled"] for name, figure in trust["monitors"][monitor].items()}
        said = {
            "Spearman with the true error": found["spearman"],
            "beyond edges": found["beyond_edges"],
            "gap closed": found["gap_closed"],
            "AUROC of the worst 10 %": found["auroc_worst"],
            "Spearman over images": found.get("spearman_images"),
            "expected calibration error": found.get(CALIBRATION),
        }
        told = {name: value for name, value in said.items() if value is not None}
        figures = (f"{name} {value:.{3 if abs(value) < 0.1 else 2}f}" for name, value in told.items())
        lines.append((label, ", ".join(figures)))
    if trust["bound"] is not None:
        lines.append(("error bound", f"holds for {_figure(trust['bound'])} of the fields of an image (promised: 0.9)"))
    return lines


def _objects(objects: dict[str, Any]) -> str:
    counts = {name: figure["value"] for name, figure in objects["counts"].items()}
    if counts["number"] is None:
        return "not known: no image has this stain"
    number = f"{counts['number']:.1f} a frame (target {counts['number_target']:.1f})"
    area = (
        ""
        if counts["area_target"] is None
        else f", area {counts['area'] or 0:.0f} px (target {counts['area_target']:.0f})"
    )
    positive = objects["positive"]
    shares = [f"{positive[side]['value']:.0%}" for side in ("prediction", "target")] if positive else []
    told = f", positive {shares[0]} (target {shares[1]})" if shares else ""
    return f"{number}{area}{told}. {objects['sentence']}"


def _all(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def table(lines: Iterable[tuple[str, str]]) -> str:
    """A line for each label and its text."""
    rows = list(lines)
    width = max([19, *(len(label) for label, _ in rows)])
    return "\n".join(f"{shown(label, kept=''):>{width}}  {shown(text, kept='')}" for label, text in rows)


def _figures(figures: dict[str, dict[str, Any]], wanted: Sequence[str] = ()) -> str:
    names = [name for name in wanted or figures if name in figures]
    return ", ".join(f"{name} {_figure(figures[name])}" for name in names)


def _figure(figure: dict[str, Any], sign: str = "") -> str:
    if figure["value"] is None:
        return "not known"
    between = "" if figure["low"] is None else f" [{figure['low']:{sign}.3f}, {figure['high']:{sign}.3f}]"
    return f"{figure['value']:{sign}.3f}{between}"


def _imported(file: dict[str, Any]) -> str:
    """Where a model came from that was trained elsewhere."""
    said = f"elsewhere; imported from {file.get('path')}, SHA-256 {str(file.get('sha256'))[:12]}"
    return shown(said, kept="") + ELSEWHERE


def _tiles(model: "TrainedModel") -> str:
    """How an image larger than one piece is predicted."""
    from napari_pix2pix.core.running.prediction import ONE_PIECE

    if not model.tileable:
        if model.generator.whole:
            return "none: its file tells no halo that suffices, so an image is predicted in one piece"
        return "none: the norm looks at the image, which is predicted in one piece"
    planes = (1,) * (len(model.generator.grid) - 2)
    plan = model.tile_plan((*planes, 8 * ONE_PIECE, 8 * ONE_PIECE))
    how = "exact" if model.config.knows_range else "as near as its file's halo lets"  # of others the reach is not known
    return (
        f"of {ONE_PIECE} px where an image is larger, overlap {plan.overlap[-1]} px: {how}, "
        f"reads {plan.cost:.2f} pixels for each it keeps"
    )


def _channels(count: int, names: Sequence[str]) -> str:
    named = f" ({', '.join(names)})" if any(names) else ""
    return f"{count} channel" + ("s" if count > 1 else "") + named


def _pairs(told: dict[str, Any]) -> str:
    """How many files of which places trained."""
    if not told.get("sources"):
        return "not from files"
    if told.get("kind") == "domains":
        return ", ".join(f"{count} {name}" for name, count in told.get("images", {}).items())
    if told.get("kind") == "unpaired":
        return ", ".join(f"{len(told[side])} {side} of {_place(told[side])}" for side in ("sources", "targets"))
    return f"{len(told['sources'])} of {_place(told['sources'])}"


def _parent(told: dict[str, Any]) -> dict[str, str]:
    """The model that a training started from."""
    said = "a model that was imported" if told.get("began_imported") else ""
    if initial := (told.get("pairs") or {}).get("initial"):
        said = f"{_last(initial['path'], 2)} ({initial['sha256'][:12]})" + (f", {said}" if said else "")
    return {"started from": said + ELSEWHERE * bool(told.get("began_imported"))} if said else {}


def _place(files: list[dict[str, Any]]) -> str:
    """The name of the only file, else of the folder of the first; where that lies is nobody's business."""
    path: str = files[0]["path"]
    return _last(path if len(files) == 1 else path[: max(path.rfind("/"), path.rfind("\\"))])


def _last(path: str, n: int = 1) -> str:
    """The last parts of a path, whatever system it is of."""
    return "/".join(re.split(r"[/\\]", path)[-n:])


def counted(n: int, what: str) -> str:
    """1 thread, 2 threads."""
    return f"{n} {what}" + "s" * (n != 1)
