"""`python -m refmeta check`: judge an implementation on certified vectors."""

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from refmeta.commands.arguments import as_suites, this_folder_on_path
from refmeta.commands.problem import Unjudged, problem_in, report_on, report_on_program
from refmeta.oracle.check import printable, questions, run
from refmeta.oracle.expected_failures import check_flags, excused, mended, read_expected_failures
from refmeta.oracle.judge import REDUCTIONS, JudgeSettings, Outcome, check_settings
from refmeta.oracle.machine import ENDINGS, FORMATS
from refmeta.oracle.protocol import Process, TargetMissing
from refmeta.oracle.report import Report
from refmeta.oracle.suite import Case, Suite
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.own.algorithms import NAME as OWN
from refmeta.oracle.suites.own.problem import Problem
from refmeta.oracle.vectors import UsageError, VectorError, cases, read_file
from refmeta.oracle.verdict import Finding, findings
from refmeta.tables import suggestion as _near

__all__ = ["add"]

QUANTITIES = tuple(dict.fromkeys(name for suite in SUITES.values() for name in suite.quantities))
STATUS = (
    "exit status: 0 all right; 1 a mismatch, or rounding without --allow-rounding; 2 usage; 3 the target crashed or timed "
    "out after an answer; 4 a bad vector file; 5 nothing was computed; 6 refmeta itself failed; 130 interrupted; 141 the "
    "reader of the output has gone"
)


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    check = commands.add_parser("check", help="judge your implementation on certified vectors", epilog=STATUS)
    check.add_argument("target", nargs="?", metavar="MODULE:FUNCTION", help="a Python function, called with keywords; without --suite a refmeta.oracle.Problem")
    check.add_argument("--exec", metavar="COMMAND", help="a program that speaks JSON lines, instead of a function")
    check.add_argument("--suite", action="append", metavar="SUITE", help=f"one of {', '.join(SUITES)}; may be repeated; {OWN}: a problem that COMMAND describes")
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
    check.add_argument(
        "--convention", default="", metavar="SLUG", help="a formula of `list` that it computes on purpose instead of the right one"
    )
    check.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    check.add_argument("--validation", action="store_true", help="judge, too, whether bad input is refused")
    check.add_argument(
        "--skip-flag", action="append", default=[], metavar="FLAG", help="what the target does not support"
    )
    check.add_argument("--by-batch", action="store_true", help="the target is an estimator of one batch: see `bias --help`")
    check.add_argument("--vectorised", action="store_true", help="with --by-batch: it takes n batches at once")
    check.add_argument("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for one case (10)")
    check.add_argument("--vectors", metavar="FILE", help="a vector file of your own")
    check.add_argument("--repeat", type=_times, metavar="N", help="ask every case N times (once, the first twice)")
    check.add_argument("--expected-failures", metavar="FILE", help="cases that may fail, one id per line; one that passes is status 1")
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


def _check(options: Any) -> int:
    """Ask the target, write the reports and give the exit status."""
    try:
        with this_folder_on_path():
            if (problem := _problem_of(options)) is not None:
                return _printed(options, report_on(options.target, problem, allow_rounding=options.allow_rounding))
    except Unjudged as error:
        print(f"python -m refmeta check: error: {error}", file=sys.stderr)
        return 2
    if OWN in (options.suite or ()):
        _check_own(options)
        return _printed(options, report_on_program(options.exec, timeout=options.timeout, allow_rounding=options.allow_rounding))
    suites = _check_usage(options)
    try:
        vectors = list(read_file(options.vectors)) if options.vectors else [c for suite in suites for c in cases(suite)]
    except VectorError as error:
        print(f"bad vector file: {error}", file=sys.stderr)
        return 4
    for name in dict.fromkeys(c.suite for c in vectors) if options.vectors else ():
        _check_fits(options, SUITES[name])
    listed = read_expected_failures(options.expected_failures, vectors) if options.expected_failures is not None else ()
    vectors = _select_cases([c for c in vectors if c.suite in suites], options)
    settings = JudgeSettings(
        options.quantity, options.reduce, options.ascent, options.expect, options.dtype, tuple(options.skip_flag), options.validation,
        options.convention,
    )  # fmt: skip
    name, verdicts = _judged(options, suites, vectors, settings, listed)
    passing = mended((o for f in verdicts for o in f.outcomes), listed, options.expected_failures)
    return _printed(options, Report(name, settings, tuple(verdicts), options.allow_rounding, passing))


def _problem_of(options: Any) -> Problem | None:
    """The problem of one's own that is named in place of a function; None where a suite is named, or it is none."""
    if not options.target or options.exec or options.suite or options.vectors:
        return None
    _check_module(options.target)
    for path in options.output:
        _check_writable(path)
    if (problem := problem_in(options.target)) is not None:
        _check_no_suite_options(options)
    return problem


def _check_no_suite_options(options: Any) -> None:
    """Refuse, for a problem of one's own, what says how a suite is to be asked."""
    usual = {"quantity": "gradient", "reduce": "none", "expect": "exact", "dtype": "float64"}
    names = ("case", *usual, "ascent", "convention", "skip_flag", "validation", "by_batch", "vectorised", "repeat", "expected_failures")
    for name in names:
        if getattr(options, name) not in (None, False, "", [], usual.get(name)):
            more = "; the line Next of its report says what to write in it for a convention" * (name == "convention")
            raise UsageError(f"--{name.replace('_', '-')} is for the cases of a suite: a Problem says itself what its gradient is{more}")


def _check_own(options: Any) -> None:
    """Check that a problem of one's own is judged alone, and that a program describes it."""
    if options.target or not options.exec:
        raise UsageError(f"--suite {OWN} goes with --exec COMMAND; in Python name a refmeta.oracle.Problem, as MODULE:PROBLEM, without --suite")
    if len(options.suite) > 1 or options.vectors:
        raise UsageError(f"--suite {OWN} is judged alone, without another --suite or --vectors")
    _check_no_suite_options(options)
    for path in options.output:
        _check_writable(path)


def _printed(options: Any, report: Report) -> int:
    """Print the report, write its files, and give the exit status."""
    try:
        print(FORMATS[options.format](report), flush=True)
    finally:
        failures = [why for path in options.output if (why := _write_report(path, report, options.format))]
    if failures:
        raise UsageError("; ".join(failures))
    return report.status


def _write_report(path: str, report: Report, form: str) -> str:
    """Write the report to a file; a sentence if that fails."""
    try:
        text = FORMATS[ENDINGS.get(Path(path).suffix, form)](report)
        Path(path).write_text(text + "\n", encoding="utf-8", errors="replace")
    except OSError as error:
        return f"cannot write the report to {path!r}: {error}"
    return ""


def _check_usage(options: Any) -> tuple[str, ...]:
    """The suites to check; UsageError where options contradict each other."""
    if bool(options.target) == bool(options.exec):
        raise UsageError("give one target: MODULE:FUNCTION, or --exec COMMAND")
    if options.target:
        _check_module(options.target)
    if options.target and not options.suite and not options.vectors:
        raise UsageError(f"give the suite that {options.target} implements: --suite with one of {', '.join(SUITES)}")
    if options.expect == "first-order" and options.quantity != "gradient":
        raise UsageError("--expect first-order goes with --quantity gradient")
    if options.by_batch and (options.exec or options.validation) or options.vectorised and not options.by_batch:
        raise UsageError("--by-batch goes with MODULE:FUNCTION and without --validation, --vectorised with --by-batch")
    suites = as_suites(options.suite)
    for name in options.suite or ():
        _check_fits(options, SUITES[name])
    suites = tuple(name for name in suites if options.quantity in (SUITES[name].quantities or (options.quantity,)))
    if options.convention and not options.suite:
        suites = tuple(name for name in suites if options.convention in {row.slug for row in SUITES[name].rows})
    for path in options.output:
        _check_writable(path)
    return suites


def _check_fits(options: Any, suite: Suite) -> None:
    """Check that a suite has what --quantity, --reduce and --expect ask for."""
    usual = options.quantity == "gradient" and options.reduce == "none"
    if not suite.quantities and not usual:
        raise UsageError("--quantity and --reduce are for the MAML suites: the others return what their table says")
    if not suite.quantities and options.expect == "first-order":
        raise UsageError("--expect first-order is for the MAML suites and implicit: the others have no first order")
    if options.by_batch and suite.by_batch is None:
        able = ", ".join(name for name, each in SUITES.items() if each.by_batch)
        raise UsageError(f"the suite {suite.name} takes no estimator of one batch: --by-batch is for {able}")
    if options.convention:
        try:
            check_settings(JudgeSettings(options.quantity if suite.quantities else "gradient", convention=options.convention), suite)
        except ValueError as error:
            raise UsageError(str(error)) from None
    if suite.quantities and options.quantity not in suite.quantities:
        listed = " or ".join([", ".join(suite.quantities[:-1]), suite.quantities[-1]])
        raise UsageError(f"the suite {suite.name} has no {options.quantity}: --quantity is {listed}")


def _check_module(target: str) -> None:
    """Refuse the path of a file where the name of a module is required."""
    module, _, function = target.rpartition(":")
    if "/" in module or "\\" in module or module.endswith(".py"):
        name = PureWindowsPath(module).name.removesuffix(".py")
        raise UsageError(f"MODULE is a module's name, as in import, not a path: {name}:{function}")


def _judged(
    options: Any, suites: tuple[str, ...], vectors: list[Case], settings: JudgeSettings, listed: Sequence[str]
) -> tuple[str, list[Finding]]:
    """The target's name and the verdict on every suite, without the failures that are listed; the process is ended whatever happens."""
    command = options.exec or [sys.executable, "-m", "refmeta.oracle.serve", options.target]
    command = command + ["--by-batch"] * options.by_batch + ["--vectorised"] * options.vectorised if options.by_batch else command
    try:
        target = Process(command, suites, timeout=options.timeout)
        try:
            with _progress(len(vectors)) as progress:
                outcomes = excused(run(target, vectors, settings, repeat=options.repeat, progress=progress), listed)
            return target.name, findings(outcomes, settings, questions(target, settings))
        finally:
            target.stop()
    except TargetMissing as error:
        if error.misnamed:
            raise UsageError(str(error)) from None
        left_out, message = "error" if settings.validation else "unasked", printable(str(error))
        outcomes = [Outcome(c, left_out if c.result == "invalid" else "error", message) for c in vectors]
        return options.target or options.exec, findings(outcomes, settings)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[Case], None]]:
    """Show each case on one line of the standard error, if that is a terminal, and wipe the line at the end."""
    numbers, terminal = itertools.count(1), sys.stderr.isatty()

    def show(case: Case) -> None:
        if terminal:
            number = next(numbers)
            hint = " (the first answer may take longer: imports, compilation)" * (number == 1)
            print(f"\r\x1b[K{number} of {total}: {case.id}{hint}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _check_writable(path: str) -> None:
    """Refuse an output file that cannot be written, before anything runs; leave no file behind."""
    if path == "-":
        raise UsageError("--output names a file; the report is printed in any case (a file of this name is ./-)")
    try:
        real = Path(os.path.realpath(path))
        is_new = not real.exists()
        if not (is_new or real.is_file() or real.is_char_device()):
            raise OSError("it is neither a regular file nor a character device")
        with open(real, "a", encoding="utf-8"):
            pass
        if is_new:
            real.unlink()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write the report to {path!r}: {error}") from None


def _select_cases(vectors: list[Case], options: Any) -> list[Case]:
    """The cases that --case names, with flags and names that exist."""
    check_flags(options.skip_flag, vectors)
    ids = {case.id for case in vectors}
    for wanted in options.case or ():
        if wanted not in ids:
            raise UsageError(f"no case is called {wanted!r}{_near(wanted, ids)}")
    vectors = [case for case in vectors if not (options.by_batch and case.result == "invalid")]
    return [case for case in vectors if not options.case or case.id in options.case]
