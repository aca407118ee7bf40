"""`make field`: every wrong implementation is checked as a user would, and what is said is held against fresh problems."""

import argparse
import importlib
import pkgutil
import sys
import warnings

import tests.oracle.field as folder
from refmeta.tables import Column, table
from tests.oracle.field.harness import judged, summary

HEADS = (Column("mistake", text=True), Column("verdict"), Column("cause"), Column("where"), Column("seconds", right=True))


def mistakes():
    """Those of every module of the folder that has a list of them."""
    names = [m.name for m in pkgutil.walk_packages(folder.__path__, f"{folder.__name__}.") if not m.name.endswith("__main__")]
    return {name: getattr(importlib.import_module(name), "MISTAKES", []) for name in sorted(names)}


def main():
    """Print a table and a summary of each module's mistakes and of all; fail if one is called RIGHT or a sentence misleads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth mistake of a module")
    parser.add_argument("--module", default="", help="only modules whose names hold this")
    options, results = parser.parse_args(), []
    warnings.simplefilter("ignore")
    for name, listed in mistakes().items():
        if not listed or options.module not in name:
            continue
        some = [judged(mistake) for mistake in listed[:: options.every]]
        rows = [(r.mistake.name, r.word, r.cause or "-", r.where or "-", f"{r.seconds:.2f}") for r in some]
        print(table(name.removeprefix(f"{folder.__name__}."), HEADS, rows), *summary(some), "", sep="\n", flush=True)
        results += some
    print("All", *summary(results), sep="\n")
    return int(any(r.word == "RIGHT" or {r.cause, r.where} - {"", "right"} for r in results))


if __name__ == "__main__":
    sys.exit(main())
