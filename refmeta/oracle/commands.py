"""The oracle's command check."""

import argparse
import sys
from pathlib import Path
from typing import Any

from refmeta.oracle import report
from refmeta.oracle.browse import suites_named as _suites
from refmeta.oracle.case import PARTS, QUANTITIES, SUITES, Case
from refmeta.oracle.cases import UsageError, VectorError, cases, read_file
from refmeta.oracle.check import REDUCTIONS, Outcome, Settings, run
from refmeta.oracle.protocol import Process, TargetMissing
from refmeta.tables import near as _near

STATUS = (
    "exit status: 0 all right; 1 a mismatch; 2 usage; 3 the target crashed or timed out; 4 a bad vector file; "
    "5 nothing was run; 130 interrupted"
)


def add(found: Any) -> None:
    """Add the commands to the parser's."""
    check = found.add_parser("check", help="judge your implementation on certified vectors", epilog=STATUS)
    check.add_argument("target", nargs="?", metavar="MODULE:FUNCTION", help="a Python function, called with keywords")
    check.add_argument("--exec", metavar="COMMAND", help="a program that speaks JSON lines, instead of a function")
    check.add_argument("--suite", action="append", metavar="SUITE", help=f"one of {', '.join(SUITES)}; may be repeated")
    check.add_argument("--case", action="append", metavar="ID", help="only this case; may be repeated")
    check.add_argument(
        "--quantity", choices=QUANTITIES, default="gradient", metavar="QUANTITY",
        help=f"what the target returns: {', '.join(QUANTITIES)} (gradient)",
    )  # fmt: skip
    check.add_argument("--reduce", choices=REDUCTIONS[1:], default="none", help="one result for all tasks")
    check.add_argument("--ascent", action="store_true", help="the target works with returns: its signs are opposite")
    check.add_argument(
        "--expect", choices=("exact", "first-order"), default="exact", help="what it computes on purpose"
    )
    check.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    check.add_argument(
        "--skip-flag", action="append", default=[], metavar="FLAG", help="what the target does not support"
    )
    check.add_argument("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for one case (10)")
    check.add_argument("--vectors", metavar="FILE", help="a vector file of your own")
    check.add_argument("--format", choices=("text", "json", "junit"), default="text")
    check.add_argument("--output", metavar="FILE", help="write the report there")
    check.set_defaults(run=_check)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a positive number of seconds, got {text!r}")
    return value


def _check(given: Any) -> int:
    suites = _usage(given)
    try:
        chosen = list(read_file(given.vectors)) if given.vectors else [c for suite in suites for c in cases(suite)]
    except VectorError as error:
        print(f"bad vector file: {error}", file=sys.stderr)
        return 4
    chosen = _selected([c for c in chosen if c.suite in suites], given)
    settings = Settings(given.quantity, given.reduce, given.ascent, given.expect, given.dtype, tuple(given.skip_flag))
    name, outcomes = _asked(given, suites, chosen, settings)
    said = {"text": report.text, "json": report.as_json, "junit": report.junit}[given.format](name, outcomes, settings)
    if given.output:
        Path(given.output).write_text(said + "\n", encoding="utf-8")
    print(report.verdict(outcomes) if given.output else said)
    return report.status(outcomes)


def _usage(given: Any) -> tuple[str, ...]:
    """The suites to be checked, if what was asked for goes together."""
    if bool(given.target) == bool(given.exec):
        raise UsageError("give one target: MODULE:FUNCTION, or --exec COMMAND")
    if given.target and not given.suite and not given.vectors:
        raise UsageError(f"give the suite that {given.target} implements: --suite with one of {', '.join(SUITES)}")
    if given.expect == "first-order" and given.quantity != "gradient":
        raise UsageError("--expect first-order goes with --quantity gradient")
    suites, plain = _suites(given.suite), given.quantity == "gradient" and given.reduce == "none"
    if "implicit" in (given.suite or ()) and given.quantity == "step_size_gradient":
        raise UsageError("the suite implicit has no step size: --quantity is gradient, objective or first_order")
    if {"reptile", *PARTS} & set(given.suite or ()) and not plain:
        raise UsageError("--quantity and --reduce are for the MAML suites: the others return what their table says")
    _writable(given.output)
    return suites


def _asked(given: Any, suites: tuple[str, ...], chosen: list[Case], settings: Settings) -> tuple[str, list[Outcome]]:
    """The target's name and what became of every case; the process is ended whatever happens."""
    command = given.exec or [sys.executable, "-m", "refmeta.oracle.serve", given.target]
    try:
        target = Process(command, suites, timeout=given.timeout)
        try:
            outcomes = run(target, chosen, settings)
            return target.name, outcomes
        finally:
            target.stop()
    except TargetMissing as error:
        raise UsageError(str(error)) from None


def _writable(path: str | None) -> None:
    """Refuse an output file that cannot be written before anything is run."""
    if path is not None:
        try:
            with open(path, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise UsageError(f"cannot write the report to {path!r}: {error}") from None


def _selected(chosen: list[Case], given: Any) -> list[Case]:
    flags = {flag for case in chosen for flag in case.flags}
    for flag in given.skip_flag:
        if flag not in flags:
            raise UsageError(
                f"no case has the flag {flag!r}{_near(flag, flags)}; the flags are {', '.join(sorted(flags))}"
            )
    ids = {case.id for case in chosen}
    for wanted in given.case or ():
        if wanted not in ids:
            raise UsageError(f"no case is called {wanted!r}{_near(wanted, ids)}")
    return [case for case in chosen if not given.case or case.id in given.case]
