"""`python -m refmeta.oracle.serve MODULE:FUNCTION [--by-batch [--vectorised]]`: a Python function behind the line protocol.

The function runs in a process of its own, so that it may hang, crash or print without harm to the judge.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from refmeta.numerics.returned import EndedBySignal
from refmeta.oracle.calls import CallError, error_text, failure_text, result_of
from refmeta.oracle.check import printable
from refmeta.oracle.protocol import json_value
from refmeta.oracle.suites import SUITES
from refmeta.tables import suggestion

__all__ = ["Misnamed", "answer", "import_member", "import_target", "main"]


class Misnamed(ValueError):
    """The module or function does not exist, or the target is not written as MODULE:FUNCTION."""


def import_member(target: str) -> Any:
    """The member of module:name; `Misnamed` if it does not exist, ValueError if its module fails."""
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise Misnamed(f"the target is {target!r}, expected MODULE:FUNCTION")
    try:
        member: Any = importlib.import_module(module)
        for part in name.split("."):
            member = _member(member, part)
    except EndedBySignal:
        raise
    except BaseException as error:
        absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        why = str(error) if isinstance(error, Misnamed) else "it " * isinstance(error, SystemExit) + error_text(error)
        kind = Misnamed if absent or isinstance(error, Misnamed) else ValueError
        raise kind(f"cannot import {target}: {why}") from error
    return member


def import_target(target: str) -> Callable[..., Any]:
    """The function of module:function; `Misnamed` if it does not exist, ValueError if its module fails."""
    member = import_member(target)
    if not callable(member):
        raise Misnamed(f"{target} is no function but {type(member).__name__}")
    return member


def _member(owner: Any, name: str) -> Any:
    """A member of a module or class; `Misnamed` names the nearest."""
    try:
        return getattr(owner, name)
    except AttributeError as error:
        members = [each for each in dir(owner) if not each.startswith("_")]
        raise Misnamed(f"{error_text(error)}{suggestion(name, members)}") from error


def answer(function: Callable[..., Any], question: dict[str, Any], dtype: str, options: Sequence[str] = ()) -> dict[str, Any]:
    """The reply to one case; with --by-batch the function is an estimator of one batch, of which the suite takes the mean."""
    try:
        suite = SUITES[question["suite"]]
        inputs = suite.arguments(question["inputs"], dtype)
        if "--by-batch" in options and suite.by_batch is not None:
            function = suite.by_batch(function, vectorised="--vectorised" in options)
        value, warnings = result_of(function, inputs)
        return {"type": "result", "id": question["id"], "result": json_value(value), "warnings": list(warnings)}
    except CallError as error:
        message, refusal = str(error), error.refusal
    except BaseException as error:
        message, refusal = failure_text(error), False
    return {"type": "error", "id": question["id"], "message": printable(message), "refusal": refusal}


def main() -> None:
    """Answer line by line; what the function prints goes to the standard error, and it has nothing to read."""
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    hello = json.loads(questions.readline())
    try:
        function = import_target(sys.argv[1])
    except ValueError as error:
        misnamed = isinstance(error, Misnamed)
        print(json.dumps({"type": "failed", "message": printable(str(error)), "misnamed": misnamed}), file=out)
        return
    print(json.dumps({"type": "ready", "name": sys.argv[1], "suites": hello["suites"]}), file=out)
    for line in questions:
        question = json.loads(line)
        if question["type"] == "bye":
            return
        print(json.dumps(answer(function, question, hello["dtype"], sys.argv[2:])), file=out)


if __name__ == "__main__":
    main()
