"""`make bench-compare BASE=REV`: the library of a commit and this one, in turns; or files that `--json` wrote.

`python tests/benchmarks/compare.py --base A.json ... --this B.json ...` pairs the files in their order.  The benchmarks are those
of this tree; only the library differs.  A ratio is this library's time over the base's: below 1 this one is quicker.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from refmeta.tables import Column, table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def numbers(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str, str], float, list[float]]]:
    """(subject, size, key), the time, and its quartiles where it is a median."""
    for name, subject in document["subjects"].items():
        for row in subject["rows"]:
            for key in subject["own"]:
                if key in row:
                    yield (name, row["size"], key), row[key], row.get(f"{key} quartiles", [row[key]] * 2)


def ratios(base: Sequence[dict[str, Any]], this: Sequence[dict[str, Any]]) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    """Of each number: the median over the pairs of files, and the spread.

    The spread is that of the pairs; of one pair it is from the quartiles: the lower over the upper, and the upper over the lower.
    """
    sides = [[{place: (t, q) for place, t, q in numbers(document)} for document in side] for side in (base, this)]
    out = {}
    for place in sides[0][0]:
        pairs = [(a[place], b[place]) for a, b in zip(*sides, strict=True) if place in a and place in b]
        if not pairs:
            continue
        each = [new / old for (old, _), (new, _) in pairs]
        low, high = min(each), max(each)
        if len(pairs) == 1:
            (_, old), (_, new) = pairs[0]
            low, high = new[0] / old[1], new[1] / old[0]
        out[place] = statistics.median(each), low, high
    return out


def report(base: Sequence[dict[str, Any]], this: Sequence[dict[str, Any]]) -> str:
    """One row per number; those that one library lacks are counted."""
    every = {place for document in (*base, *this) for place, *_ in numbers(document)}
    found = ratios(base, this)
    rows = [(name, size, key, f"{mid:.2f}x", f"{low:.2f}–{high:.2f}") for (name, size, key), (mid, low, high) in found.items()]
    columns = [Column("subject"), Column("size"), Column("of"), Column("ratio", right=True), Column("spread", right=True)]
    sides = [side[0]["machine"]["refmeta"] for side in (this, base)]
    text = table(f"Time of refmeta {sides[0]} (this) over {sides[1]} (base), medians of {len(base)} pairs of runs\n", columns, rows)
    return text + (f"\n{len(every) - len(found)} numbers are those of one side only\n" if len(every) > len(found) else "\n")


def run(library: Path, file: Path, given: Sequence[str]) -> dict[str, Any]:
    """The benchmarks on a library, without peers; what an older one lacks is left out."""
    environment = {**os.environ, "PYTHONPATH": str(library), "BENCH_PEERS": "0", "BENCH_LACKS": "1"}
    imported = subprocess.run([sys.executable, "-c", "import refmeta; print(refmeta.__file__)"], cwd=library, env=environment, **TEXT).stdout
    if not Path(imported.strip()).is_relative_to(library):
        raise SystemExit(f"refmeta is imported from elsewhere than the tree to be timed: {imported.strip()}")
    subprocess.run([sys.executable, str(HERE), *given, "--json", str(file)], env=environment, **TEXT)
    return json.loads(file.read_text("utf-8"))


TEXT: dict[str, Any] = {"check": True, "stdout": subprocess.PIPE, "encoding": "utf-8"}


def in_turns(revision: str, rounds: int, given: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Base, this, base, this ...: the documents of each side; each run is named on standard error before it starts."""
    sides: dict[str, list[dict[str, Any]]] = {"base": [], "this": []}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "base"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), revision], cwd=ROOT, check=True)
        try:
            for i, (side, library) in product(range(rounds), (("base", tree), ("this", ROOT))):
                print(f"{side}, round {i + 1} of {rounds}", file=sys.stderr, flush=True)
                sides[side].append(run(library, Path(folder) / "run.json", given))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    return sides["base"], sides["this"]


def main() -> None:
    """Compare a revision with this tree, or files with files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", nargs="*", help="by default all")
    parser.add_argument("--revision", metavar="REV", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs (3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds per row (2)")
    parser.add_argument("--processor", action="store_true", help="time of the processor instead of the wall: on a machine that is shared")
    parser.add_argument("--smallest", action="store_true", help="the smallest sizes")
    parser.add_argument("--base", nargs="+", metavar="FILE", default=[], help="files of the base")
    parser.add_argument("--this", nargs="+", metavar="FILE", default=[], help="as many of this library")
    given = parser.parse_args()
    if given.processor:
        os.environ["BENCH_CLOCK"] = "processor"
    if bool(given.revision) == bool(given.base) or len(given.base) != len(given.this):
        parser.error("give either --revision REV, or --base and --this with as many files each")
    if given.revision:
        sides = in_turns(given.revision, given.rounds, [*given.subject, "--seconds", str(given.seconds), *["--smallest"] * given.smallest])
    else:
        sides = tuple([json.loads(Path(f).read_text("utf-8")) for f in files] for files in (given.base, given.this))
    print(report(*sides))


if __name__ == "__main__":
    main()
