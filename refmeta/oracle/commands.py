"""The oracle's commands: check, list, show, explain."""

import argparse
import contextlib
import difflib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refmeta.oracle.case import PARTS, QUANTITIES, SUITES, Case
from refmeta.oracle.cases import UsageError, VectorError, cases, read_file
from refmeta.oracle.check import run
from refmeta.oracle.judge import REDUCTIONS, Outcome, Settings
from refmeta.oracle.machine import ENDINGS, FORMATS
from refmeta.oracle.protocol import Process, TargetMissing
from refmeta.oracle.report import Report
from refmeta.oracle.verdict import findings
from refmeta.oracle.wrong import FALSE_ALARMS, WRONG
from refmeta.oracle.wrong.row import chapter_of

STATUS = (
    "exit status: 0 all right; 1 a mismatch, or rounding without --allow-rounding; 2 usage; 3 the target crashed or timed "
    "out after an answer; 4 a bad vector file; 5 nothing was computed; 130 interrupted"
)


def add(found: Any) -> None:
    """Add the commands to the parser's."""
    _add_check(found)
    listed = found.add_parser("list", help="the vectors; --matrix: which known-wrong formula each rejects")
    listed.add_argument("--suite", action="append", metavar="SUITE")
    listed.add_argument("--matrix", action="store_true")
    listed.set_defaults(run=_list)
    show = found.add_parser("show", help="one vector, readable, and as a snippet to paste")
    show.add_argument("id", metavar="CASE")
    show.set_defaults(run=_show)
    explain = found.add_parser(
        "explain", help="a known-wrong formula: what it computes, likely causes, where it was seen"
    )
    explain.add_argument("slug", metavar="SLUG")
    explain.set_defaults(run=_explain)


def _add_check(found: Any) -> None:
    """Add the command `check`."""
    check = found.add_parser("check", help="judge your implementation on certified vectors", epilog=STATUS)
    check.add_argument("target", nargs="?", metavar="MODULE:FUNCTION", help="a Python function, called with keywords")
    check.add_argument("--exec", metavar="COMMAND", help="a program that speaks JSON lines, instead of a function")
    check.add_argument("--suite", action="append", metavar="SUITE", help=f"one of {', '.join(SUITES)}; may be repeated")
    check.add_argument("--case", action="append", metavar="ID", help="only this case; may be repeated")
    check.add_argument("--quantity", choices=QUANTITIES, default="gradient", help="what the target returns (gradient)")
    check.add_argument("--reduce", choices=REDUCTIONS[1:], default="none", help="one result for all tasks")
    check.add_argument("--ascent", action="store_true", help="the target works with returns: its signs are opposite")
    check.add_argument(
        "--expect", choices=("exact", "first-order"), default="exact", help="what it computes on purpose"
    )
    check.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    check.add_argument("--validation", action="store_true", help="judge, too, whether bad input is refused")
    check.add_argument(
        "--skip-flag", action="append", default=[], metavar="FLAG", help="what the target does not support"
    )
    check.add_argument("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for one case (10)")
    check.add_argument("--vectors", metavar="FILE", help="a vector file of your own")
    check.add_argument("--repeat", type=_times, metavar="N", help="ask every case N times (once, the first twice)")
    check.add_argument("--allow-rounding", action="store_true", help="exit status 0 where only digits are lost")
    check.add_argument("--format", choices=FORMATS, default="text", help="of what is printed (text)")
    endings = ", ".join(ENDINGS)
    check.add_argument(
        "--output", action="append", default=[], metavar="FILE", help=f"write it there, too, as {endings}; may be repeated"
    )
    check.set_defaults(run=_check)


def _seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a positive number of seconds, got {text!r}")
    return value


def _times(text: str) -> int:
    """A number of times."""
    if not (text.isdecimal() and 1 <= int(text[:6]) <= 1000 and len(text) < 6):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1000, got {text!r}")
    return int(text)


def _suites(names: Iterable[str] | None) -> tuple[str, ...]:
    """The suites named, all without any; UsageError names one that does not exist."""
    for name in names or ():
        if name not in SUITES:
            raise UsageError(f"no suite is called {name!r}{_near(name, SUITES)}; the suites are {', '.join(SUITES)}")
    return tuple(names or SUITES)


def _near(word: str, words: Iterable[str]) -> str:
    """A suggestion, if a word is like one of the words."""
    close = difflib.get_close_matches(word, list(words), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check(given: Any) -> int:
    """Ask the target, write the reports and give the exit status."""
    suites = _usage(given)
    try:
        chosen = list(read_file(given.vectors)) if given.vectors else [c for suite in suites for c in cases(suite)]
    except VectorError as error:
        print(f"bad vector file: {error}", file=sys.stderr)
        return 4
    chosen = _selected([c for c in chosen if c.suite in suites], given)
    settings = Settings(
        given.quantity, given.reduce, given.ascent, given.expect, given.dtype, tuple(given.skip_flag), given.validation
    )
    name, outcomes = _asked(given, suites, chosen, settings)
    report = Report(name, settings, tuple(findings(outcomes, settings)), given.allow_rounding)
    for path in given.output:
        kind = ENDINGS.get(Path(path).suffix, given.format)
        Path(path).write_text(FORMATS[kind](report) + "\n", encoding="utf-8")
    print(FORMATS[given.format](report))
    return report.status


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
    for path in given.output:
        _writable(path)
    return suites


def _asked(given: Any, suites: tuple[str, ...], chosen: list[Case], settings: Settings) -> tuple[str, list[Outcome]]:
    """The target's name and what became of every case; the process is ended whatever happens."""
    command = given.exec or [sys.executable, "-m", "refmeta.oracle.serve", given.target]
    try:
        target = Process(command, suites, timeout=given.timeout)
        try:
            with _progress(len(chosen)) as told:
                outcomes = run(target, chosen, settings, repeat=given.repeat, progress=told)
            return target.name, outcomes
        finally:
            target.stop()
    except TargetMissing as error:
        if _is_misnamed(str(error), given.target or ""):
            raise UsageError(str(error)) from None
        return given.target, [Outcome(c, "error" if settings.validation or c.result != "invalid" else "unasked", str(error)) for c in chosen]


def _is_misnamed(message: str, target: str) -> bool:
    """Does the target not exist, rather than fail while it is imported?"""
    module = target.partition(":")[0]
    parents = itertools.accumulate(module.split("."), "{}.{}".format)
    missing = [f"No module named '{name}'" for name in parents] + [f"AttributeError: module '{module}'"]
    return not message.startswith("cannot import") or any(each in message for each in missing)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[Case], None]]:
    """Tell each case on one line of the standard error, if that is a terminal, and wipe the line at the end."""
    numbers, terminal = itertools.count(1), sys.stderr.isatty()

    def told(case: Case) -> None:
        if terminal:
            number = next(numbers)
            hint = " (the first answer may take longer: imports, compilation)" * (number == 1)
            print(f"\r\x1b[K{number} of {total}: {case.id}{hint}", end="", file=sys.stderr, flush=True)

    try:
        yield told
    finally:
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _writable(path: str) -> None:
    """Refuse an output file that cannot be written before anything is run."""
    try:
        with open(path, "a", encoding="utf-8"):
            pass
    except OSError as error:
        raise UsageError(f"cannot write the report to {path!r}: {error}") from None


def _selected(chosen: list[Case], given: Any) -> list[Case]:
    """The cases that --case names, with flags and names that exist."""
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


def _list(given: Any) -> int:
    for suite in _suites(given.suite):
        if given.matrix:
            _matrix(suite)
            continue
        print(f"{suite}: {len(cases(suite))} cases")
        for case in cases(suite):
            print(
                f"  {case.id:26}{case.result:16}{case.comment}" + (f"  [{', '.join(case.flags)}]" if case.flags else "")
            )
    return 0


def _matrix(suite: str) -> None:
    """Known-wrong formulas down, cases across, the margin's power of ten in each cell."""
    valid = [case for case in cases(suite) if case.result == "valid"]
    slugs = list(dict.fromkeys(slug for case in valid for slug in case.discriminates))
    wide = max((len(slug) for slug in slugs), default=0)
    print(f"{suite}: margin in tolerances, as a power of ten; blank below 10")
    print(" " * wide + "  " + " ".join(case.id[-3:] for case in valid) + "   cases with 10^3 or more")
    for slug in slugs:
        margins = [case.discriminates.get(slug) for case in valid]
        cells = " ".join(f"{int(np.log10(m)):3d}" if m else "   " for m in margins)
        print(f"{slug:{wide}}  {cells}   {sum(m is not None and m >= 1e3 for m in margins)}")
    print()


def _find(name: str) -> Case:
    every = {case.id: case for suite in SUITES for case in cases(suite)}
    if name not in every:
        raise UsageError(f"no case is called {name!r}{_near(name, every)}; `python -m refmeta list` lists them")
    return every[name]


def _show(given: Any) -> int:
    case = _find(given.id)
    print(f"# {case.id}: {case.comment}\n# {case.result}" + (f"; flags: {', '.join(case.flags)}" if case.flags else ""))
    print("import numpy as np\n\ninputs = dict(")
    for name, value in case.arguments().items():
        said = f"np.array({_pasted(case.input[name])})" if isinstance(value, np.ndarray) else _pasted(case.input[name])
        print(f"    {name}={said},")
    print(")\nexpected = dict(")
    for name, expected in case.expected.items():
        print(f"    {name}=np.array({json.dumps(expected.value.tolist())}),")
    print(")")
    for slug, margin in case.discriminates.items():
        print(f"# {slug} is off by {margin:.2g} tolerances")
    return 0


def _pasted(value: Any) -> str:
    """A number, None or a nested list as Python reads it, with np.nan and np.inf."""
    if isinstance(value, list):
        return "[" + ", ".join(_pasted(entry) for entry in value) + "]"
    return {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}.get(str(value), repr(value))


def _explain(given: Any) -> int:
    if given.slug in FALSE_ALARMS:
        print(f"{given.slug}\n  a false alarm: {FALSE_ALARMS[given.slug]}")
        return 0
    rows = [*(row.slug for chapter in WRONG for row in WRONG[chapter]), *FALSE_ALARMS]
    if given.slug not in rows:
        raise UsageError(
            f"no known-wrong formula is called {given.slug!r}{_near(given.slug, rows)}; they are {', '.join(rows)}"
        )
    for chapter in WRONG:
        for row in WRONG[chapter]:
            if row.slug == given.slug:
                file = chapter_of(chapter, row)
                print(
                    f"{row.slug}\n  computes   {row.formula}   (in the place of: {row.quantity})\n  likely     {row.cause}"
                )
                print(f"  in code    {row.hint}\n  seen in    {row.seen}\n  chapter    derivations/{file}.md\n")
    return 0
