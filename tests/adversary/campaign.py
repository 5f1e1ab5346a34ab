"""The families of attempts, how many of each make up a campaign, and a program that runs one.

``python -m adversary.campaign 5000`` prints how many attempts of each family break the law, and how;
``python -m adversary.campaign 5000 names:17`` makes a single one.
"""

import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path

from adversary import cast
from adversary.law import Attempt, Verdict, hold_to_the_law
from adversary.stage import Stage
from heeded import heed_signals

SHARES = {
    "damaged": 0.16, "pixels": 0.12, "names": 0.14, "special": 0.12, "flags": 0.12, "configs": 0.06,
    "models": 0.12, "records": 0.06, "outputs": 0.05, "requests": 0.02, "among": 0.02, "bombs": 0.01,
}  # fmt: skip
"""Which part of a campaign each family makes up."""


def attempts(family: str, total: int) -> Iterator[tuple[str, Attempt]]:
    """The attempts of a family in a campaign of `total`, by name; a larger campaign holds a smaller one's."""
    module = import_module(f"adversary.families.{family}")
    for number, attempt in enumerate(islice(module.attempts(), round(total * SHARES[family]))):
        yield f"{family}:{number}", attempt


def played(family: str, total: int, stage: Stage, folder: Path, only: str = "") -> Iterator[tuple[str, Verdict]]:
    """The verdicts on the attempts of a family, or on the one with this name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is made here is odd on purpose; the program runs in another process
        for name, attempt in attempts(family, total):
            if not only or name == only:
                place = folder / name.replace(":", "-")
                verdict = hold_to_the_law(attempt, stage, place)
                if verdict.broken and attempt.signal_when:  # on a busy machine a signal may come before or after all
                    verdict = hold_to_the_law(attempt, stage, place)
                yield name, verdict


def main(words: list[str]) -> int:
    """Run a campaign of so many attempts, of all families or those named; 1 if any broke the law."""
    heed_signals()
    total, wanted = int(words[0]), words[1:] or list(SHARES)
    broken_in_all = 0
    with tempfile.TemporaryDirectory() as temporary, Stage() as stage:
        cast.prepare(stage, Path(temporary) / "cast")
        for one in wanted:
            family, made, broken, cpu_s, how = one.partition(":")[0], 0, 0, 0.0, Counter[str]()
            for name, verdict in played(family, total, stage, Path(temporary), one if ":" in one else ""):
                made += 1
                cpu_s += verdict.outcome.cpu_s
                broken += bool(verdict.broken)
                how.update({text.split("'")[0] for text in verdict.broken})
                if verdict.broken or ":" in one:
                    print(name, verdict, flush=True)
            broken_in_all += broken
            print(f"{family}: {broken} of {made} broke the law; {cpu_s:.0f} s; {dict(how.most_common(8))}", flush=True)
    return int(broken_in_all > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
