"""A program that is asked and answers line by line, with a deadline for both directions.

A thread writes the questions and another reads the lines, so that neither a program that stops reading nor one that
stops writing can hold the judge.  Whatever the program prints, only a few lines of limited length are kept.

Derivation: derivations/using-the-oracle.md
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time

from refmeta.oracle.check import Failed

__all__ = ["CHUNK", "GRACE", "LINE", "Peer", "end_group", "ending", "excerpt"]

CHUNK, LINE, PULSE, GRACE, EXCERPT = 2**16, 2**20, 0.05, 0.5, 60
LATE = "it hangs, does not flush what it prints, or needs longer, perhaps to compile: then raise --timeout"
CAUSES = {"SIGKILL": ": out of memory?", "SIGSEGV": ": a fault in compiled code?"}


class Peer:
    """A running program, in a process group of its own."""

    def __init__(self, command: list[str] | str) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        self._questions: queue.Queue[bytes | None] = queue.Queue()
        self._lines: queue.Queue[bytes] = queue.Queue(maxsize=2)
        self._longest, self._written = LINE, threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._write, daemon=True).start()

    @property
    def runs(self) -> bool:
        """Has the program not ended yet?"""
        return self._process.poll() is None

    def ask(self, question: str, *, seconds: float, longest: int = LINE) -> str:
        """Send one line and return the answer, one line of at most `longest` bytes; `Failed` if there is none."""
        deadline = time.monotonic() + seconds
        if not self._lines.empty():
            raise Failed("error", f"printed a line before it was asked: {_excerpt_of_line(self._lines.get())}")
        self._longest = longest
        self._written.clear()
        self.tell(question)
        line = self._line(deadline, f"no answer within {seconds:g} s")
        if line is None:
            raise Failed("crash", self.end(seconds=GRACE))
        if len(line) > longest:
            raise Failed("error", f"printed a line of more than {longest} bytes: {_excerpt_of_line(line)}")
        return line.decode("utf-8", errors="replace")

    def tell(self, line: str) -> None:
        """Send one line, without waiting for an answer."""
        self._questions.put(line.encode() + b"\n")

    def _line(self, deadline: float, late: str) -> bytes | None:
        """The next line; None at the end, even if a child of the program keeps the pipe open."""
        while True:
            at_end = not (self._reader.is_alive() and self.runs)
            with contextlib.suppress(queue.Empty):
                return self._lines.get(timeout=max(0.0, min(PULSE, deadline - time.monotonic())))
            if at_end:
                return None
            if time.monotonic() >= deadline:
                why = LATE if self._written.is_set() else "it did not read the whole question"
                raise Failed("timeout", f"{late}: {why}")

    def end(self, *, seconds: float = 0) -> str:
        """End the program and all that it started, by force after so many seconds; return how it ended, in words."""
        self._questions.put(None)
        try:
            return ending(self._process.wait(seconds))
        except subprocess.TimeoutExpired:
            return "the process closed its output but did not end"
        finally:
            self._kill()

    def _kill(self) -> None:
        """End the process group, and let the thread that reads come to its end."""
        end_group(self._process)
        deadline = time.monotonic() + 1
        while self._reader.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self._lines.get(timeout=PULSE)

    def _write(self) -> None:
        """Write every question, and close the input after the last."""
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError), stream:
            while (question := self._questions.get()) is not None:
                while question:
                    question = question[stream.write(question) :]
                self._written.set()

    def _read(self) -> None:
        """Every line up to the end; a line that is too long is cut off, and nothing is read after it."""
        stream, line = self._process.stdout, b""
        assert stream is not None
        with contextlib.suppress(OSError), stream:
            while len(line) <= self._longest and (chunk := stream.read(CHUNK)):
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    self._lines.put(line + end)
                    line = b""
                line += rest
            if line:
                self._lines.put(line)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a group of its own, and all that is in this group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def ending(status: int) -> str:
    """How a process ended, from its exit status: minus the signal if one ended it."""
    if status >= 0:
        return f"the process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"the process was ended by {name}{CAUSES.get(name, '')}"


def _excerpt_of_line(line: bytes) -> str:
    """The beginning of a line, printable."""
    return repr(excerpt(line[: 4 * EXCERPT].decode("utf-8", errors="replace").strip()))


def excerpt(text: str) -> str:
    """What a program printed, shortened to fit a line of a report."""
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"
