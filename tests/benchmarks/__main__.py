"""`make bench`: one table per subject; each row in a process of its own, on one thread, so that no library's pools disturb the next.

`python tests/benchmarks [SUBJECT ...] [--seconds S] [--json FILE]`; refmeta is that of PYTHONPATH.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import gradients
import judging
import samples
from measure import Subject, machine, printed, size_text

from refmeta.tables import show_line

SUBJECTS = {s.name: s for module in (gradients, samples, judging) for s in module.SUBJECTS}
MISSING = (AttributeError, ImportError, KeyError, StopIteration, TypeError)  # what an older library raises where it lacks a name


def row_of(subject: Subject, index: int, smallest: bool, seconds: float) -> dict[str, object]:
    """The numbers of one size; with BENCH_LACKS=1 what this library lacks is a sentence instead."""
    size = (subject.smallest if smallest else subject.sizes)[index]
    try:
        return {"size": size_text(size), **subject.row(size, seconds)}
    except MISSING as error:
        if os.environ.get("BENCH_LACKS") != "1":
            raise
        return {"size": size_text(size), "error": f"not in this library: {error!r}"}


def apart(subject: Subject, index: int, seconds: float) -> dict[str, object]:
    """A row from a new process."""
    command = [sys.executable, str(Path(__file__).parent), subject.name, "--seconds", str(seconds), "--row", str(index)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True, timeout=900 + 10 * seconds)
    return json.loads(ran.stdout.splitlines()[-1])


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=__doc__)
    parser.add_argument("subject", nargs="*", help=f"by default all of {', '.join(SUBJECTS)}")
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds per row (6)")
    parser.add_argument("--json", metavar="FILE", help="write every number to a file")
    parser.add_argument("--processor", action="store_true", help="time of the processor instead of the wall: on a machine that is shared")
    parser.add_argument("--smallest", action="store_true", help="the smallest sizes, in this process: does everything run?")
    parser.add_argument("--row", type=int, metavar="I", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.processor:
        os.environ["BENCH_CLOCK"] = "processor"
    if unknown := [name for name in given.subject if name not in SUBJECTS]:
        parser.error(f"no subject is called {unknown[0]!r}; the subjects are {', '.join(SUBJECTS)}")
    return given


def main() -> None:
    """Print the tables."""
    given, out = options(), {}
    for name in given.subject or SUBJECTS:
        subject = SUBJECTS[name]
        if given.row is not None:
            return print(json.dumps(row_of(subject, given.row, given.smallest, given.seconds)))
        rows = []
        for i in range(len(subject.smallest if given.smallest else subject.sizes)):
            show_line(f"{name}: row {i + 1}")
            rows.append(row_of(subject, i, True, given.seconds) if given.smallest else apart(subject, i, given.seconds))
        show_line("")
        out[name] = {"title": subject.title, "unit": subject.unit, "own": list(subject.own), "rows": rows}
        print(printed(subject, rows), flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": machine(), "subjects": out}, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        raise SystemExit("run it by `make bench`, which asks every library for one thread")
    main()
