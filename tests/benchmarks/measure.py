"""What every benchmark shares: medians of functions that take turns, tables, and the document for `--json`."""

import importlib.util
import os
import platform
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.tables import Column, paragraphs, table

ROUNDS = 3  # at least
PEERS = {"JAX": "jax", "torch": "torch", "higher": "higher", "learn2learn": "torch", "gymnasium": "gymnasium"}


class Shown(NamedTuple):
    """A column: the key of a number in a row, the heading, and the format; "ratio" is refmeta's time over the key's."""

    key: str
    head: str
    form: str = ".2f"


class Subject(NamedTuple):
    """A table: `row(size, seconds)` gives the numbers of a size; `own` are the keys that two commits are compared by."""

    name: str
    title: str
    unit: str
    corner: str
    columns: Sequence[Shown]
    sizes: Sequence[Any]
    smallest: Sequence[Any]
    row: Callable[[Any, float], dict[str, Any]]
    own: Sequence[str] = ("refmeta",)
    note: str = ""


def installed(peer: str) -> bool:
    """A library to be timed beside; none with BENCH_PEERS=0, as where two commits are compared."""
    return os.environ.get("BENCH_PEERS") != "0" and importlib.util.find_spec(PEERS[peer]) is not None


def timed(functions: dict[str, Callable[[], Any] | None], seconds: float, *, processes: bool = False) -> dict[str, Any]:
    """Medians in milliseconds, the functions taking turns after one call each; their quartiles; refmeta's over each.

    A ratio is the median of the ratios of the turns, so that a machine that slows down for a while slows both.  The clock is
    that of the wall; with BENCH_CLOCK=processor that of this process, unless other `processes` work too.
    """
    clock = time.process_time if os.environ.get("BENCH_CLOCK") == "processor" and not processes else time.perf_counter
    run = {name: f for name, f in functions.items() if f is not None}
    for f in run.values():
        f()
    turns, stop = list[list[float]](), time.perf_counter() + seconds
    while len(turns) < ROUNDS or time.perf_counter() < stop:
        turns.append([elapsed(f, clock) * 1e3 for f in run.values()])
    times = dict(zip(run, np.transpose(turns), strict=True))
    out: dict[str, Any] = {name: float(np.median(t)) for name, t in times.items()}
    out |= {f"{name} quartiles": np.quantile(t, [0.25, 0.75]).tolist() for name, t in times.items()}
    if "refmeta" in times:
        out |= {f"refmeta/{name}": float(np.median(times["refmeta"] / t)) for name, t in times.items()}
    return out | {"turns": len(turns)}


def elapsed(f: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call."""
    start = clock()
    f()
    return clock() - start


def megabytes(f: Callable[[], Any]) -> float:
    """The largest memory that a call asks Python and NumPy for."""
    tracemalloc.start()
    f()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def size_text(size: Any) -> str:
    """The first column."""
    return size if isinstance(size, str) else ", ".join(f"{x:,}" if isinstance(x, int) else str(x) for x in size)


def cell(row: dict[str, Any], column: Shown) -> str:
    """A number as it is printed; a dash where there is none."""
    value = row.get(f"refmeta/{column.key}" if column.form == "ratio" else column.key)
    if value is None or isinstance(value, str):
        return value or "–"
    return f"{value:.2f}x" if column.form in ("ratio", "times") else format(value, column.form)


def printed(subject: Subject, rows: Sequence[dict[str, Any]]) -> str:
    """The table, without empty columns; below it a note, the peers that are not installed, and the rows without numbers."""
    good = [row for row in rows if "error" not in row]
    shown = [c for c in subject.columns if any(c.key in row for row in good)]
    columns = [Column(subject.corner), *(Column(c.head, right=True) for c in shown)]
    text = table(f"{subject.title}\n({subject.unit})\n", columns, [[row["size"], *(cell(row, c) for c in shown)] for row in good])
    if absent := {c.key: None for c in subject.columns if c.key in PEERS and not installed(c.key)}:
        text += f"\nnot installed: {', '.join(absent)}"
    note = [paragraphs(subject.note)] if subject.note and any(c.key in PEERS for c in shown) else []
    return "\n".join([text, *note, *(paragraphs(f"{row['size']}: {row['error']}") for row in rows if "error" in row)]) + "\n"


def machine() -> dict[str, Any]:
    """What the numbers hang on."""
    import scipy

    import refmeta

    versions = {"refmeta": refmeta.__version__, "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    return {**versions, "processor": platform.machine(), "cores": os.cpu_count(), "clock": os.environ.get("BENCH_CLOCK", "wall")}
