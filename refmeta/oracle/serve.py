"""`python -m refmeta.oracle.serve MODULE:FUNCTION`: a Python function behind the line protocol.

The function runs in a process of its own, so that it may hang, crash or print without harm to the judge.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.oracle.calls import CallError, result_of
from refmeta.oracle.case import typed
from refmeta.oracle.check import plain
from refmeta.oracle.protocol import encoded


def imported(target: str) -> Callable[..., Any]:
    """The function named module:function; ValueError says what is missing."""
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise ValueError(f"the target is {target!r}, expected MODULE:FUNCTION")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except SystemExit as error:
        raise ValueError(f"cannot import {target}: it called sys.exit({error.code!r})") from error
    except Exception as error:
        raise ValueError(f"cannot import {target}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"{target} is no function but {type(found).__name__}")
    return found


def answer(function: Callable[..., Any], question: dict[str, Any], dtype: str) -> dict[str, Any]:
    """The reply to one case."""
    try:
        inputs = {name: typed(name, value, np.dtype(dtype)) for name, value in question["inputs"].items()}
        value, warnings = result_of(function, inputs)
        return {"type": "result", "id": question["id"], "result": encoded(value), "warnings": list(warnings)}
    except CallError as error:
        return {"type": "error", "id": question["id"], "message": plain(str(error)), "refusal": error.refusal}


def main() -> None:
    """Answer line by line; what the function prints goes to the standard error, and it has nothing to read."""
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    hello = json.loads(questions.readline())
    try:
        function = imported(sys.argv[1])
    except ValueError as error:
        print(json.dumps({"type": "failed", "message": str(error)}), file=out)
        return
    print(json.dumps({"type": "ready", "name": sys.argv[1], "suites": hello["suites"]}), file=out)
    for line in questions:
        question = json.loads(line)
        if question["type"] == "bye":
            return
        print(json.dumps(answer(function, question, hello["dtype"])), file=out)


if __name__ == "__main__":
    main()
