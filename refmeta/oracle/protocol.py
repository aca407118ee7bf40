"""A target in another process: one JSON object a line, in any language.  Derivation: derivations/using-the-oracle.md

→ {"refmeta": 1, "type": "hello", "suites": […], "dtype": "float64"}
← {"type": "ready", "name": "…", "suites": […]}
→ {"type": "case", "id": "…", "suite": "…", "quantity": "gradient", "inputs": {…}}
← {"type": "result", "id": "…", "result": […]}, or "error" with a "message", or "skip" with a "reason"
→ {"type": "bye"}
"""

import contextlib
import json
import os
import queue
import shlex
import signal
import subprocess
import threading
from typing import Any

import numpy as np

from refmeta.oracle.case import Case, floats
from refmeta.oracle.check import Failed, Settings


def encoded(value: Any) -> Any:
    """Arrays as nested lists, numbers that are not finite as "nan", "inf" and "-inf"."""
    if isinstance(value, dict):
        return {key: encoded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [encoded(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return encoded(value.tolist())
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


class TargetMissing(Exception):
    """The target cannot be started or imported at all."""


class Process:
    """The target behind a command line; started when it is asked, and again after a crash or a time-out."""

    def __init__(self, command: str | list[str], suites: tuple[str, ...], *, timeout: float = 10.0) -> None:
        try:
            self.command = shlex.split(command) if isinstance(command, str) else command
        except ValueError as error:
            raise TargetMissing(f"cannot read the command {command!r}: {error}") from None
        self.suites, self.timeout, self.name = suites, timeout, self.command[0] if self.command else ""
        self.does: set[str] = set(suites)
        self._process: subprocess.Popen[str] | None = None
        self._silent = False
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __call__(self, case: Case, settings: Settings) -> Any:
        """What the target returns for a case; `Failed` if it does not."""
        if self._silent:
            raise Failed("timeout", "it did not answer the greeting before")
        self.start(settings)
        if case.suite not in self.does:
            raise Failed("skip", f"the target does not do {case.suite}")
        inputs = encoded(case.arguments(settings.dtype))
        question = {"type": "case", "id": case.id, "suite": case.suite, "quantity": settings.quantity, "inputs": inputs}
        answer = self._ask(question)
        if answer.get("id") != case.id or answer.get("type") not in ("result", "error", "skip"):
            self.stop()
            raise Failed(
                "error", f"answered {str(answer)[:200]}, expected a result, error or skip for the id {case.id}"
            )
        if answer["type"] != "result":
            said = str(answer.get("message", answer.get("reason", "")))
            raise Failed(
                *(("error", said) if answer["type"] == "error" else ("skip", said)), refusal=answer["type"] == "error"
            )
        if "result" not in answer:
            raise Failed("error", "answered a result without the key 'result'")
        result = answer["result"]
        try:
            return {k: floats(v) for k, v in result.items()} if isinstance(result, dict) else floats(result)
        except (TypeError, ValueError, RecursionError) as error:
            raise Failed("error", f"answered something else than numbers: {error}") from None

    def start(self, settings: Settings) -> None:
        """Start the process if it does not run, and learn its name and suites."""
        if self._process is not None and self._process.poll() is None:
            return
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                bufsize=1,
                start_new_session=True,
            )
        except OSError as error:
            raise TargetMissing(f"cannot start {' '.join(self.command)!r}: {error}") from None
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=_read, args=(self._process, self._lines), daemon=True)
        self._reader.start()
        hello = {"refmeta": 1, "type": "hello", "suites": list(self.suites), "dtype": settings.dtype}
        ready = self._ask(hello, patience=6, doing="to the greeting ")
        if ready.get("type") == "failed":
            raise TargetMissing(str(ready.get("message")))
        if ready.get("type") != "ready":
            raise Failed("error", f"answered {str(ready)[:200]} to the greeting, expected {{'type': 'ready', ...}}")
        suites = ready.get("suites", list(self.suites))
        if not isinstance(suites, list) or not all(isinstance(suite, str) for suite in suites):
            raise Failed("error", f"said that its suites are {str(suites)[:200]}, expected a list of names")
        self.name, self.does = str(ready.get("name", self.name)), set(suites)

    def _ask(self, message: dict[str, Any], patience: float = 1, doing: str = "") -> dict[str, Any]:
        """One line there, one line back."""
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = self._lines.get(timeout=self.timeout * patience)
        except queue.Empty:
            self.stop()
            self._silent = bool(doing)
            raise Failed("timeout", f"no answer {doing}within {self.timeout * patience:g} s") from None
        except OSError:
            line = None
        if line is None:
            status = self.stop()
            raise Failed("crash", f"the process ended with status {status}")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            self.stop()
            raise Failed("error", f"printed a line that is no JSON: {line.strip()[:200]!r}") from None
        return answer if isinstance(answer, dict) else {"type": str(answer)}

    def stop(self) -> int:
        """End the process, politely first; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin is not None
        try:
            process.stdin.write('{"type": "bye"}\n')
            process.stdin.close()
            status = process.wait(timeout=0.5)
        except (OSError, subprocess.TimeoutExpired):
            _kill(process)
            status = process.wait()
        _kill(process)
        self._reader.join(timeout=1)
        with contextlib.suppress(OSError):
            process.stdin.close()
        return status


def _kill(process: "subprocess.Popen[str]") -> None:
    """End the process and whatever it started: they are a group of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _read(process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    """Every line of the process, and None at its end."""
    assert process.stdout is not None
    with process.stdout:
        try:
            for line in process.stdout:
                lines.put(line)
        except (OSError, ValueError):
            pass
    lines.put(None)
