"""`make bench`: one table per subject; each row in a process of its own, on one thread, so that no library's pools disturb the next.

`python tests/benchmarks [SUBJECT ...] [--seconds S] [--json FILE]`; refmeta is that of PYTHONPATH.  Standard error names each row
before it starts.  A row that fails, or twice does not end within two and a half minutes, is named below its table; the others go on.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import gradients
import judging
import samples
from measure import Subject, machine, printed, size_text

from refmeta.tables import show_line

LIMIT = 150.0  # seconds for a row to load, to compile and to compare, besides those of its timing
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


def apart(subject: Subject, index: int, seconds: float, limit: float = LIMIT, tries: int = 2) -> dict[str, object]:
    """A row from a new process; a sentence instead of its numbers where the process fails, or twice does not end.

    JAX on one thread sometimes waits for itself in a batched system of 200 states, and does not the next time.
    """
    command = [sys.executable, str(Path(__file__).parent), subject.name, "--seconds", str(seconds), "--row", str(index)]
    size = size_text(subject.sizes[index])
    try:
        ran = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True, timeout=limit + 10 * seconds)
    except subprocess.TimeoutExpired as error:
        if tries > 1:
            tell(f"{subject.name}: {size} did not end within {error.timeout:.0f} seconds and is tried once more")
            return apart(subject, index, seconds, limit, tries - 1)
        return {"size": size, "failed": True, "error": f"failed: not done within {error.timeout:.0f} seconds"}
    except subprocess.CalledProcessError as error:
        return {"size": size, "failed": True, "error": f"failed: its process ended with code {error.returncode}, see standard error"}
    return json.loads(ran.stdout.splitlines()[-1])


def tell(text: str) -> None:
    """How far the work is: one line of the terminal that is written anew, or lines of a file or a pipe."""
    if sys.stderr.isatty():
        show_line(text)
    elif text:
        print(text, file=sys.stderr, flush=True)


def rows_of(subject: Subject, smallest: bool, seconds: float) -> list[dict[str, object]]:
    """Every row of a subject, each told before it starts."""
    rows, sizes, start = [], subject.smallest if smallest else subject.sizes, time.perf_counter()
    for i, size in enumerate(sizes):
        tell(f"{subject.name}: row {i + 1} of {len(sizes)}, {size_text(size)}; {time.perf_counter() - start:.0f} s so far")
        rows.append(row_of(subject, i, True, seconds) if smallest else apart(subject, i, seconds))
    tell("")
    return rows


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
    given, out = options(), dict[str, dict[str, object]]()
    failed = list[str]()
    for name in given.subject or SUBJECTS:
        subject = SUBJECTS[name]
        if given.row is not None:
            return print(json.dumps(row_of(subject, given.row, given.smallest, given.seconds)))
        rows = rows_of(subject, given.smallest, given.seconds)
        failed += [f"{name} ({row['size']})" for row in rows if "failed" in row]
        out[name] = {"title": subject.title, "unit": subject.unit, "own": list(subject.own), "rows": rows}
        print(printed(subject, rows), flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": machine(), "subjects": out}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if failed:
        raise SystemExit(f"these rows have no numbers: {', '.join(failed)}")


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        raise SystemExit("run it by `make bench`, which asks every library for one thread")
    main()
