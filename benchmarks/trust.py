"""Can patch scores be trusted? Planted damage on held-out predictions, and natural errors: a JSON line per finding.

    python benchmarks/trust.py [--data ../shared/data] [--sets facade_windows isbi2012 dsb2018]
                               [--train-steps 1600] [--trust-steps 2400] [--images 24] [--seed 0]
                               [--model RUN/model.safetensors] [--risks .01 .02] [--bounds] [--ranks]
                               [--scales [--ceiling 2400]]

Without any of the following: is planted damage found (`trust_damage.py`), and which monitor tells natural errors
(`trust_errors.py`)? With `--risks`: is the risk of a mask kept (`trust_risks.py`)? With `--bounds`: does the 90 % bound
hold, and how wide is it (`trust_bounds.py`)? With `--scales`: where in an image is it wrong (`trust_scales.py`)? With
`--ranks`: which image is worse (`trust_ranks.py`)? Each says there what it tells.

With `--model` (one set), that model is judged, taught first if it was not; only columns that it has are told. `--twin`
is a model that was taught without the source, `--unconditional` one whose discriminator never saw it.
"""

import argparse
import json
import os
from itertools import chain
from pathlib import Path

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

from trust_bounds import bound_rows
from trust_damage import damage_rows, scores_of
from trust_errors import error_rows, novelty_rows
from trust_pairs import SETS, taught, trained
from trust_ranks import rank_rows
from trust_risks import held_out, risk_rows
from trust_scales import cell_rows, scale_rows, table

from napari_pix2pix import core


def main() -> None:
    """Every row as it is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["facade_windows", "isbi2012", "dsb2018"])
    parser.add_argument("--train-steps", type=int, default=1600)
    parser.add_argument("--trust-steps", type=int, default=2400)
    parser.add_argument("--images", type=int, default=24)
    for flag in ("--model", "--twin", "--unconditional"):
        parser.add_argument(flag, type=Path)
    parser.add_argument("--no-controls", action="store_true", help="neither the twin nor the unconditional training")
    parser.add_argument("--risks", nargs="+", type=float, default=[], help="only these; see trust_risks.py")
    parser.add_argument("--bounds", action="store_true", help="only these; see trust_bounds.py")
    parser.add_argument("--scales", action="store_true", help="only these; see trust_scales.py")
    parser.add_argument("--ranks", action="store_true", help="only these; see trust_ranks.py")
    parser.add_argument("--ceiling", type=int, default=0, help="steps of teaching on what is judged, with --scales")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    for name in settings.sets:
        divided, axes = SETS[name]
        train, test = divided(settings.data / name)
        if settings.risks or settings.bounds:
            train, test = held_out(train, test)
        lesson = train, axes, settings.train_steps, settings.seed
        model = core.load_model(settings.model) if settings.model else trained(*lesson)
        first, seconds = (model, 0.0) if model.match else taught(model, train, axes, settings.trust_steps)
        print(json.dumps({"set": name, "trust_steps": settings.trust_steps, "seconds": round(seconds)}), flush=True)

        if settings.risks:
            for row in risk_rows(first, test, settings.risks, settings.seed):
                print(json.dumps({"set": name} | row), flush=True)
        if settings.bounds:
            for row in bound_rows(first, train, test, axes, settings.trust_steps, settings.seed):
                print(json.dumps({"set": name} | row), flush=True)
        if settings.scales:
            rows = list(scale_rows(first, test, axes, settings.ceiling))
            more = cell_rows(first, settings.data / name) if name == "ifc_brightfield_dna" else ()
            for row in chain(rows, more):
                print(json.dumps({"set": name} | row), flush=True)
            print(table(rows[:-1]), flush=True)
        if settings.ranks:
            rows = rank_rows(first, train, test, axes)
            print(json.dumps({"set": name, "images": len(test)}) + "\n" + table(rows), flush=True)
        if settings.risks or settings.bounds or settings.scales or settings.ranks:
            continue
        judges, other = {"match": scores_of(first.match.network)}, settings.unconditional
        if settings.twin or not settings.no_controls:
            twin = settings.twin and core.load_model(settings.twin)
            twin = twin or taught(model, train, axes, settings.trust_steps, blind=True)[0]
            judges["source-blind"] = scores_of(twin.match.network)
        if model.discriminator is not None:
            judges["plain"] = scores_of(model.discriminator)
        if other or not settings.no_controls:
            other = core.load_model(other) if other else trained(*lesson, discriminator={"conditional": False})
            judges["unconditional"] = scores_of(other.discriminator)
        found = damage_rows(first, judges, test, settings.images, settings.seed)
        for row in chain(error_rows(first, train, test), novelty_rows(first, test), found):
            print(json.dumps({"set": name} | row), flush=True)


if __name__ == "__main__":
    main()
