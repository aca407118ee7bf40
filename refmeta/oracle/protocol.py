"""A target in another process: one JSON object per line, in any language.  Derivation: derivations/protocol.md

→ {"refmeta": 1, "type": "hello", "suites": […], "dtype": "float64"}
← {"type": "ready", "name": "…", "suites": […]}
→ {"type": "case", "id": "…", "suite": "…", "quantity": "gradient", "inputs": {…}}
← {"type": "result", "id": "…", "result": […]}, or "error" with a "message", or "skip" with a "reason"
  Optional: "warnings": […] in a result; "refusal": false in an error that does not refuse the inputs.
→ {"type": "bye"}

Only of a program that is judged on its own losses, before its cases and between them:
→ {"type": "describe", "id": "…"}
← {"type": "problem", "id": "…", "algorithm": "maml", "theta": […], "alpha": 0.1, "steps": 2, "tasks": 3}
  Optional: "hvp": true; "fixed": true.
→ {"type": "evaluate", "id": "…", "theta": […], "task": 0, "split": "support"}
← {"type": "value", "id": "…", "loss": 0.5, "grad": […]}
  Optional: "v": […] in the question of a program that said "hvp", with "hvp": […] in the answer; "grad".
"""

import json
import os
import shlex
from typing import Any

import numpy as np

from refmeta.oracle.check import Answer, Failed, printable
from refmeta.oracle.decimals import map_numbers
from refmeta.oracle.documents import DEPTH, depth
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.process import GRACE, LINE, Peer, excerpt
from refmeta.oracle.suite import Case

__all__ = ["NUMBER", "Process", "TargetMissing", "answer_in", "answered_numbers", "as_command", "as_message", "json_value"]

NUMBER, SAFE = 64, 15  # bytes of a line for each number of a result; digits of a whole number


def json_value(value: Any) -> Any:
    """Arrays as nested lists, numbers that are not finite as "nan", "inf" and "-inf"."""
    if isinstance(value, dict):
        return {key: json_value(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return json_value(value.tolist())
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


class TargetMissing(Exception):
    """The target cannot be started or imported at all; `misnamed` if nothing has its name."""

    def __init__(self, message: str, *, misnamed: bool = True) -> None:
        super().__init__(message)
        self.misnamed = misnamed


def as_command(command: str, *, posix: bool = os.name == "posix") -> list[str] | str:
    """The words of a command line; on Windows the line itself, which Windows splits by its own rules."""
    return shlex.split(command) if posix else command


class Process:
    """The target behind a command line; started when it is asked, and again after a crash or a time-out.

    If a greeting fails, no other is tried, and every later case fails in the same way.
    """

    def __init__(self, command: str | list[str], suites: tuple[str, ...], *, timeout: float = 10.0) -> None:
        try:
            self.command = as_command(command) if isinstance(command, str) else command
        except ValueError as error:
            raise TargetMissing(f"cannot read the command {command!r}: {error}") from None
        self.suites, self.timeout = suites, timeout
        self.name = self.command if isinstance(self.command, str) else self.command[0] if self.command else ""
        self.does: set[str] = set(suites)
        self._peer: Peer | None = None
        self._hopeless: Failed | None = None

    def __call__(self, case: Case, settings: JudgeSettings) -> Answer:
        """What the target returns for a case; `Failed` if it does not."""
        inputs = json_value(case.arguments(settings.dtype))
        question = {"type": "case", "id": case.id, "suite": case.suite, "quantity": settings.quantity, "inputs": inputs}
        entries = sum(expected.value.size for expected in case.expected.values())
        return answer_in(self.ask(question, case.suite, ("result", "error", "skip"), settings, longest=LINE + NUMBER * entries))

    def ask(self, question: dict[str, Any], suite: str, types: tuple[str, ...], settings: JudgeSettings, *, longest: int) -> dict[str, Any]:
        """The answer to a question on a suite that the target does: of one of these types, with the id of the question."""
        if self._hopeless is not None:
            raise self._hopeless
        self.start(settings)
        if suite not in self.does:
            does = ", ".join(map(excerpt, sorted(self.does))) or "none"
            raise Failed("skip", f"the target does not do {suite}; the suites that it announced: {does}")
        answer = self._ask(question, self.timeout, longest)
        if answer.get("id") != question["id"] or answer.get("type") not in types:
            self.stop(seconds=0)
            wanted = f"expected a {', '.join(types[:-1])} or {types[-1]} for the id {question['id']}, once"
            raise Failed("error", f"answered {excerpt(json.dumps(answer))}, {wanted}")
        return answer

    def start(self, settings: JudgeSettings) -> None:
        """Start the process if it does not run, and learn its name and suites."""
        if self._peer is not None and self._peer.runs:
            return
        self.stop()
        try:
            self._peer = Peer(self.command)
        except (OSError, ValueError, IndexError) as error:
            raise TargetMissing(f"cannot start {self.name!r}: {error}") from None
        hello = {"refmeta": 1, "type": "hello", "suites": list(self.suites), "dtype": settings.dtype}
        try:
            self._introduce(self._ask(hello, 6 * self.timeout))
        except Failed as failure:
            self.stop(seconds=0)
            self._hopeless = Failed(failure.verdict, f"at the greeting: {failure}")
            raise self._hopeless from None

    def _introduce(self, ready: dict[str, Any]) -> None:
        """The name and the suites of the answer to the greeting."""
        if ready.get("type") == "failed":
            raise TargetMissing(str(ready.get("message")), misnamed=ready.get("misnamed") is True)
        suites = ready.get("suites", list(self.suites))
        if ready.get("type") != "ready":
            raise Failed("error", f'answered {excerpt(json.dumps(ready))}, expected {{"type": "ready", ...}}')
        if not isinstance(suites, list) or not all(isinstance(suite, str) for suite in suites):
            raise Failed("error", f"said that its suites are {excerpt(json.dumps(suites))}, expected a list of names")
        self.name, self.does = printable(str(ready.get("name", self.name))), set(suites)

    def _ask(self, message: dict[str, Any], seconds: float, longest: int = LINE) -> dict[str, Any]:
        """Send a message and return the answer; without one, or if it is not JSON, the process is ended."""
        assert self._peer is not None
        try:
            return as_message(self._peer.ask(json.dumps(message), seconds=seconds, longest=longest))
        except Failed:
            self.stop(seconds=0)
            raise

    def stop(self, *, seconds: float = GRACE) -> None:
        """Say goodbye, and end the process, by force after so many seconds."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.tell('{"type": "bye"}')
            peer.end(seconds=seconds)


def as_message(line: str) -> dict[str, Any]:
    """The object of a line; long whole numbers become floats, infinite beyond the largest."""
    if (nested := depth(line)) > DEPTH:
        raise Failed("error", f"printed a line that is nested {nested} deep, expected at most {DEPTH}")
    try:
        answer = json.loads(line, parse_int=lambda digits: float(digits) if len(digits) > SAFE else int(digits))
    except ValueError:
        raise Failed("error", f"printed a line that is no JSON: {excerpt(line.strip())!r}") from None
    return answer if isinstance(answer, dict) else {"type": str(answer)}


def answer_in(message: dict[str, Any]) -> Answer:
    """The result of an answer and its warnings; `Failed` for an error, a skip, and a result without numbers."""
    if message["type"] != "result":
        text, is_error = str(message.get("message", message.get("reason", ""))), message["type"] == "error"
        raise Failed(message["type"], text, refusal=is_error and message.get("refusal", True) is True)
    if "result" not in message:
        raise Failed("error", "answered a result without the key 'result'")
    result, warnings = message["result"], message.get("warnings", [])
    if not isinstance(warnings, list):
        raise Failed("error", f"answered the warnings {excerpt(json.dumps(warnings))}, expected a list of sentences")
    try:
        value = {k: answered_numbers(v) for k, v in result.items()} if isinstance(result, dict) else answered_numbers(result)
    except (TypeError, ValueError) as error:
        raise Failed("error", f"answered something else than numbers: {error}") from None
    return Answer(value, tuple(printable(str(warning)) for warning in warnings[:10]))


def answered_numbers(value: Any) -> Any:
    """The numbers of an answer, "nan", "inf" and "-inf" as floats, at any depth; ValueError for another text."""
    return map_numbers(_number, value)


def _number(x: Any) -> Any:
    """A number, or one of those that JSON has not."""
    if isinstance(x, str) and x not in ("nan", "inf", "-inf"):
        raise ValueError(f'a number must not be a string, got {x[:40]!r}; only "nan", "inf" and "-inf" are')
    return float(x) if isinstance(x, str) else x
