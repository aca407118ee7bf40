"""Grade a student's file in a process of its own: a file that never ends, or that ends the process, is told in a sentence.

Its time is the processor's: a machine that does other things beside does not make a right answer wrong.
"""

import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import refmeta
from refmeta.commands.exercises.answers import place
from refmeta.commands.exercises.catalogue import exercise
from refmeta.commands.exercises.grading import Grade, graded

__all__ = ["graded_apart", "main"]

SECONDS, WAIT = 30, 300.0


def graded_apart(name: str, path: Path, *, seconds: int = SECONDS, wait: float = WAIT) -> Grade:
    """The grade that another process gives; after so many seconds of the processor, or of the clock, it is ended."""
    source = str(Path(refmeta.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))}
    with tempfile.TemporaryDirectory() as folder:
        grade, trace = Path(folder, "grade.json"), Path(folder, "trace.txt")
        words = [name, str(path), str(grade), str(trace), str(seconds), str(wait)]
        command = [sys.executable, "-P", "-m", "refmeta.commands.exercises.child", *words]
        try:
            status = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, timeout=wait + 30).returncode
        except subprocess.TimeoutExpired:
            return Grade(False, _endless(path, "", f"{wait:g} s"))
        if grade.exists():
            return _received(json.loads(grade.read_text(encoding="utf-8")))
        lines = trace.read_text(encoding="utf-8", errors="replace") if trace.exists() else ""
        if not lines:
            return Grade(False, f"{path.name}: the file ended Python itself (status {status}).")
        return Grade(False, _endless(path, lines, f"{wait:g} s" if lines.startswith("Timeout") else f"{seconds} s of the processor"))


def _received(grade: Any) -> Grade:
    """The grade; an error if the grader failed, which is no fault of the file."""
    if isinstance(grade, str):
        raise RuntimeError(f"the grader failed: {grade}")
    return Grade(*grade)


def main(name: str, path: str, grade: str, trace: str, seconds: str, wait: str) -> None:
    """Write the grade of a file into another; or, when the time is over, where Python then was."""
    asked = exercise(name)
    with open(trace, "w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(float(wait), exit=True, file=file)
        _limit_processor(int(seconds), file)
        try:
            result: Any = graded(asked, Path(path))
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        faulthandler.cancel_dump_traceback_later()
    Path(grade).write_text(json.dumps(result), encoding="utf-8")


def _limit_processor(seconds: int, file: IO[str]) -> None:
    """End this process after so many more seconds of the processor, and write where it was; no limit if it is 0."""
    try:
        import resource
    except ImportError:  # Windows: the clock alone
        return
    if not seconds:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(usage.ru_utime + usage.ru_stime) + seconds
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if most == resource.RLIM_INFINITY or limit < most:
        faulthandler.register(signal.SIGXCPU, file=file, chain=True)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, most))


def _endless(path: Path, trace: str, time: str) -> str:
    """The sentence about a file that does not end, with the line in which it was."""
    lines = re.findall(rf'File "{re.escape(str(path))}", line (\d+)', trace)
    where = place(path, path.read_text(encoding="utf-8-sig"), int(lines[0]) if lines else None)
    return f"{where}this does not end within {time}. Is there a loop that never stops?"


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:  # the command itself says so
        sys.exit(130)
