"""`python -m refmeta experiment`: a question about meta-learning, and the tables, curves and sentences that answer it."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np

from refmeta.commands.arguments import add_workers, whole_number
from refmeta.commands.experiments import EXPERIMENTS
from refmeta.commands.experiments.figure import check_figure, write_figure
from refmeta.commands.experiments.record import Experiment, ExperimentPart, Result
from refmeta.commands.experiments.views import as_json, head_text, limits_text, part_text
from refmeta.oracle.vectors import UsageError
from refmeta.pieces import in_order, worker_pool
from refmeta.tables import Column, show_line, table, unknown_name

__all__ = ["add", "experiment"]


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("experiment", help="adaptation, sample efficiency, generalisation: measured, with the optimum")
    command.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(EXPERIMENTS)}")
    command.add_argument("part", nargs="*", metavar="PART", help="only these parts of it; --list names them")
    command.add_argument("--list", action="store_true", help="the experiments, their parts and their questions")
    command.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed of everything random (0)")
    command.add_argument("--format", choices=("text", "json"), default="text")
    command.add_argument("--figure", metavar="FILE", help="draw the curves, too: FILE.svg, .png or .pdf; needs matplotlib")
    add_workers(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    """`experiment`: the list, or one experiment."""
    if options.list:
        print(_listing())
        return 0
    if options.name is None:
        raise UsageError(f"the name of an experiment is required: {', '.join(EXPERIMENTS)}; --list says what each asks")
    with worker_pool(options.workers) as executor:
        settings = {"seed": options.seed, "form": options.format, "figure": options.figure}
        return experiment(options.name, options.part, **settings, executor=executor)


def _listing() -> str:
    """Every experiment with its parts and its question."""
    rows = [(each.name, "\n".join(each.parts), each.question) for each in EXPERIMENTS.values()]
    title = "python -m refmeta experiment NAME [PART ...]; each takes about a minute or less on a laptop\n"
    return table(title, (Column("experiment"), Column("parts"), Column("question", text=True)), rows)


def _chosen(name: str, parts: Sequence[str]) -> tuple[Experiment, list[str]]:
    """The experiment and the names of its parts that are asked for, by default all; UsageError names what does not exist."""
    if name not in EXPERIMENTS:
        raise UsageError(unknown_name("experiment", name, EXPERIMENTS, f"the experiments are {', '.join(EXPERIMENTS)}"))
    known = EXPERIMENTS[name].parts
    for part in parts:
        if part not in known:
            raise UsageError(unknown_name(f"part of {name}", part, known, f"the parts are {', '.join(known)}"))
    return EXPERIMENTS[name], list(parts or known)


def _parts(each: Experiment, names: Sequence[str], seed: int, executor: Executor | None) -> Iterator[tuple[str, ExperimentPart]]:
    """The parts in turn; on a terminal the one that is waited for is named."""
    parts = in_order(partial(_part, each.name, seed), names, executor)
    for i, name in enumerate(names, start=1):
        show_line(f"{each.name}: {name}, part {i} of {len(names)}")
        part = next(parts)
        show_line("")
        yield name, part


def _part(name: str, seed: int, part: str) -> ExperimentPart:
    """One part of an experiment, with a seed of its own."""
    return EXPERIMENTS[name].parts[part](np.random.default_rng([seed, *part.encode()]))


def experiment(
    name: str, parts: Sequence[str] = (), *, seed: int = 0, form: str = "text", figure: str | None = None,
    executor: Executor | None = None,
) -> int:  # fmt: skip
    """Run an experiment and print it; 0.  What cannot be drawn is refused before the work starts."""
    start = time.perf_counter()
    each, names = _chosen(name, parts)
    if figure is not None:
        check_figure(figure)
    if form == "text":
        print(head_text(each, seed), flush=True)
    result = Result(each, seed, {})
    for part_name, part in _parts(each, names, seed, executor):
        result.parts[part_name] = part
        if form == "text":
            print(part_text(part), flush=True)
    print(limits_text(each) + f"\n({time.perf_counter() - start:.1f} s)" if form == "text" else as_json(result))
    if figure is not None:
        write_figure(result, figure)
        print(f"wrote {figure}", file=sys.stderr)
    return 0
