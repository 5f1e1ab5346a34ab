"""The command reader-set: whether people can tell predictions from real images."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Device, Whole

MOST_PAIRS, MOST_PIXELS = 999, 4096


def reader_set(
    evaluation: Annotated[Path | None, Parameter(help="A folder that evaluate wrote.")] = None,
    *,
    out: Annotated[Path | None, Parameter(help="A new folder for pictures and sheet; the key lies beside it.")] = None,
    n: Annotated[Whole, Parameter(help="Pairs of pictures.")] = 40,
    side: Annotated[Whole, Parameter(help="Of each picture at most, in pixels.")] = 256,
    seed: Annotated[Whole, Parameter(help="Of places and order.")] = 0,
    score: Annotated[tuple[Path, ...], Parameter(help="Sheets that readers have filled in, instead.")] = (),
    key: Annotated[Path | None, Parameter(help="Of these sheets, where it does not lie beside their folder.")] = None,
    device: Device = "auto",
) -> Events:
    """Real and predicted pictures without names for blinded readers; or how well readers told them apart (--score)."""
    if score:
        if evaluation is not None or out is not None:
            raise ValueError("With `score` there must be sheets only; leave out the EVALUATION and `out`.")
        yield _scored(score, key)
        return
    if evaluation is None or out is None or key is not None:
        raise ValueError("A reader set must have EVALUATION and `out`; or, to score sheets, `score` and maybe `key`.")
    if not 1 <= n <= MOST_PAIRS:
        raise ValueError(f"A reader set must have 1 to {MOST_PAIRS} pairs; got {n}. Give another number.")
    if not 1 <= side <= MOST_PIXELS:
        raise ValueError(f"`side` must be 1 to {MOST_PIXELS} px; got {side}. Give another number.")
    if seed < 0:
        raise ValueError(f"`seed` must be 0 or more; got {seed}. Give another number.")

    from napari_pix2pix.files.evaluations import read_evaluations
    from napari_pix2pix.files.outputs import require_folder, require_writable
    from napari_pix2pix.files.reader_sheets import key_of

    require_folder(out)
    for path in (out, key_of(out)):
        if path.exists() or path.is_symlink():
            raise FileExistsError(f"An output must not exist yet; {path} does. Choose another `out`.")
    require_writable(out.parent, made=False)
    (report,) = read_evaluations([evaluation]).values()
    from napari_pix2pix.files.judged import Judged
    from napari_pix2pix.report.reader_pictures import write_reader_set

    try:
        judged = Judged.reopened(report)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(
            f"An evaluation must tell which images it judged, and these must be as they were; of {evaluation}: {error}"
        ) from error
    made = write_reader_set(out, judged, n, side, seed, device)
    few = "" if made == n else f" (not {n}: there are no further places that differ and are known)"
    text = (
        f"{made} pairs{few}: give readers the folder {out}, each a copy of its sheet.csv to fill in, and keep "
        f"{key_of(out)}, the key, to yourself.\nThen: napari-pix2pix reader-set --score SHEET [SHEET ...]"
    )
    yield {"event": "result", "folder": str(out), "key": str(key_of(out)), "n": made, "text": text}


def _scored(sheets: tuple[Path, ...], key: Path | None) -> dict[str, Any]:
    from napari_pix2pix.core.evaluation.readers import told_apart
    from napari_pix2pix.files.reader_sheets import key_of, read_answers, read_key
    from napari_pix2pix.report.pieces import interval, number

    if len({sheet.resolve() for sheet in sheets}) < len(sheets):
        raise ValueError("Each reader must have one sheet; one is there twice. Leave it out.")
    told = read_key(key or key_of(sheets[0].absolute().parent))
    answers = {str(sheet): read_answers(sheet, told) for sheet in sheets}
    found = told_apart([row["real"] for row in told], [row["group"] for row in told], answers)

    def said(figure: dict[str, Any]) -> str:
        return number(figure["value"]) + ("" if figure["low"] is None else f" [{interval(figure)}]")

    lines = [f"{name}: AUC {said(figure)}" for name, figure in found["readers"].items()]
    if found["agreement"] is not None:
        lines.append(f"all: AUC {said(found['auc'])}")
        kappa = found["agreement"]["kappa"]
        lines.append(
            f"{found['agreement']['name']}: {'not known, all chose alike' if kappa is None else number(kappa)}"
        )
    of = f"{found['n']} pairs from {found['n_groups']} images or groups, each of which counts as one in the intervals"
    lines += [f"On {of}; 0.5 is guessed, 1 always told apart.", found["sentence"]]
    return {"event": "result", **found, "text": "\n".join(lines)}
