"""`python -m refmeta check MODULE:PROBLEM`, or `--exec COMMAND --suite own`: a meta-gradient of one's own on losses of one's own.

Derivation: derivations/using-the-oracle.md
"""

import contextlib
import inspect
import sys
from typing import Any

from refmeta.numerics.returned import EndedBySignal
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.own import judged
from refmeta.oracle.own_process import judged_program
from refmeta.oracle.protocol import Process, TargetMissing
from refmeta.oracle.report import Report
from refmeta.oracle.results import error_text
from refmeta.oracle.serve import Misnamed, import_member
from refmeta.oracle.suites.own.algorithms import NAME
from refmeta.oracle.suites.own.problem import Problem
from refmeta.oracle.vectors import UsageError

__all__ = ["Unjudged", "problem_in", "report_on", "report_on_program"]


class Unjudged(Exception):
    """A problem that cannot be judged, for a reason that lies in the user's code and not in what was typed."""


def problem_in(target: str) -> Problem | None:
    """The problem of that name, or the one that a function without parameters makes; None of anything else."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found: Any = import_member(target)
            return found if isinstance(found, Problem) else _made(found, target)
    except Misnamed as error:
        raise UsageError(str(error)) from None
    except ValueError as error:
        raise Unjudged(str(error)) from None


def _made(function: Any, target: str) -> Problem | None:
    """What a function without parameters makes, if that is a problem; nothing else is called."""
    if not inspect.isfunction(function) or inspect.signature(function).parameters:
        return None
    try:
        made = function()
    except EndedBySignal:
        raise
    except (Exception, SystemExit) as error:
        raise Unjudged(f"{target}() {_ended(error)}; it must make a refmeta.oracle.Problem") from error
    return made if isinstance(made, Problem) else None


def _ended(error: BaseException) -> str:
    """How a function of the user ended."""
    return "raised " * (not isinstance(error, SystemExit)) + error_text(error)


def report_on(name: str, problem: Problem, *, allow_rounding: bool) -> Report:
    """The report on a problem; what its functions print goes to the standard error."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            verdict, _ = judged(problem)
    except (TypeError, ValueError, FloatingPointError) as error:
        raise Unjudged(f"{name}: {error}") from None
    except EndedBySignal:
        raise
    except (ArithmeticError, SystemExit) as error:
        raise Unjudged(f"{name}: one of its functions {_ended(error)}") from None
    return Report(name, JudgeSettings(), (verdict,), allow_rounding)


def report_on_program(command: str, *, timeout: float, allow_rounding: bool) -> Report:
    """The report on a program that describes its problem; it is ended whatever happens."""
    try:
        target = Process(command, (NAME,), timeout=timeout)
        try:
            verdict = judged_program(target)
        finally:
            target.stop()
    except TargetMissing as error:
        raise UsageError(str(error)) from None
    return Report(target.name, JudgeSettings(), (verdict,), allow_rounding)
