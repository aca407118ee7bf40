"""Grade a student's file in a process of its own: a file that never ends, or that ends the process, is told in a sentence.

Its time is the processor's: a machine that does other things beside does not make a right answer wrong.
With the process ends all that the file has started: it leads a process group of its own.
"""

import contextlib
import faulthandler
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import refmeta
from refmeta.commands.exercises.answers import place
from refmeta.commands.exercises.catalogue import exercise
from refmeta.commands.exercises.grading import Grade, graded
from refmeta.oracle.process import end_group, ending

__all__ = ["graded_apart", "main", "run"]

SECONDS, WAIT = 30, 300.0
START = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("refmeta", sys.argv.pop(1))
sys.modules["refmeta"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["refmeta"])
from refmeta.commands.exercises.child import run
run(sys.argv[1:])
"""  # this refmeta, and no folder of it in the path: from a wheel it would stand before the standard library


def graded_apart(name: str, path: Path, *, seconds: int = SECONDS, wait: float = WAIT) -> Grade:
    """The grade that another process gives; after so many seconds of the processor, or of the clock, it is ended."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")  # now: the file may be gone when it is needed
    except OSError as error:
        return Grade(False, f"{path.name}: the file cannot be read: {error.strerror}.")
    with tempfile.TemporaryDirectory() as folder:
        grade, trace = Path(folder, "grade.json"), Path(folder, "trace.txt")
        status = _status([name, str(path), str(grade), str(trace), str(seconds), str(wait)], wait + 30)
        if grade.exists():  # whatever came after it
            return _received(json.loads(grade.read_text(encoding="utf-8")))
        if status is None:
            return Grade(False, _endless(path, text, "", f"{wait:g} s"))
        if not trace.exists():
            raise RuntimeError(f"the grader did not start: {ending(status)}")
        lines = trace.read_text(encoding="utf-8", errors="replace")
    if lines:
        return Grade(False, _endless(path, text, lines, f"{wait:g} s" if lines.startswith("Timeout") else f"{seconds} s of the processor"))
    return Grade(False, f"{path.name}: {_ended(status)}")


def _status(words: Sequence[str], wait: float) -> int | None:
    """The status with which the process of these words ended; None if it did not, and was ended."""
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, parts))}  # an empty part is the current folder
    command = [sys.executable, "-P", "-c", START, refmeta.__file__, *words]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(wait)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end_group(process)


def _received(grade: Any) -> Grade:
    """The grade; an error if the grader failed, which is no fault of the file."""
    if isinstance(grade, str):
        raise RuntimeError(f"the grader failed: {grade}")
    return Grade(*grade)


def _ended(status: int) -> str:
    """The sentence about a file that ended Python, or during which a signal ended it."""
    if status >= 0:
        return f"the file ended Python itself (status {status})."
    sentence = f"while the file ran, {ending(status)}"
    return sentence if sentence.endswith("?") else f"{sentence}."


def run(words: Sequence[str]) -> NoReturn:
    """Do `main` and end at once: no thread and no handler that the file has left is waited for."""
    status = 0
    try:
        main(*words)
    except KeyboardInterrupt:  # the command itself says so
        status = 130
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def main(name: str, path: str, grade: str, trace: str, seconds: str, wait: str) -> None:
    """Write the grade of a file into another; or, when the time is over, where Python then was."""
    asked, process = exercise(name), os.getpid()
    with open(trace, "w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(float(wait), exit=True, file=file)
        _limit_processor(int(seconds), file)
        try:
            result = json.dumps(graded(asked, Path(path)))
        except Exception as error:
            result = json.dumps(f"{type(error).__name__}: {error}")
        if os.getpid() != process:  # a copy that the file forked: it gives no grade
            os._exit(0)
        Path(f"{grade}.new").write_text(result, encoding="utf-8")
        os.replace(f"{grade}.new", grade)
        faulthandler.cancel_dump_traceback_later()


def _limit_processor(seconds: int, file: IO[str]) -> None:
    """End this process after so many more seconds of the processor, and write where it was; no limit if it is 0."""
    try:
        import resource
    except ImportError:  # Windows: the clock alone
        return
    if not seconds:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(usage.ru_utime + usage.ru_stime) + seconds  # whole seconds, and never fewer than promised
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if most == resource.RLIM_INFINITY or limit < most:
        faulthandler.register(signal.SIGXCPU, file=file, chain=True)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, most))


def _endless(path: Path, text: str, trace: str, time: str) -> str:
    """The sentence about a file that does not end, with the line in which it was."""
    written = str(path).encode("ascii", "backslashreplace").decode()  # as faulthandler writes it
    lines = re.findall(rf'File "{re.escape(written)}", line (\d+)', trace)
    return f"{place(path, text, int(lines[0]) if lines else None)}this does not end within {time}. Is there a loop that never stops?"
