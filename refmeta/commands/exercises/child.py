"""Grade a student's file in a process of its own: a file that never ends, or that ends the process, is told in a sentence."""

import faulthandler
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import refmeta
from refmeta.commands.exercises.answers import place
from refmeta.commands.exercises.catalogue import exercise
from refmeta.commands.exercises.grading import Grade, graded

__all__ = ["graded_apart", "main"]


def graded_apart(name: str, path: Path, *, seconds: float = 30.0) -> Grade:
    """The grade that another process gives; after so many seconds it is ended."""
    source = str(Path(refmeta.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))}
    with tempfile.TemporaryDirectory() as folder:
        grade, trace = Path(folder, "grade.json"), Path(folder, "trace.txt")
        words = [name, str(path), str(grade), str(trace), str(seconds)]
        command = [sys.executable, "-P", "-m", "refmeta.commands.exercises.child", *words]
        try:
            status = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, timeout=seconds + 30).returncode
        except subprocess.TimeoutExpired:
            return Grade(False, _endless(path, "", seconds))
        if grade.exists():
            return Grade(*json.loads(grade.read_text(encoding="utf-8")))
        lines = trace.read_text(encoding="utf-8", errors="replace") if trace.exists() else ""
        return Grade(False, _endless(path, lines, seconds) if lines else f"{path.name}: the file ended Python itself (status {status}).")


def main(name: str, path: str, grade: str, trace: str, seconds: str) -> None:
    """Write the grade of a file into another; or, after so many seconds, where Python then was."""
    asked = exercise(name)
    with open(trace, "w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(float(seconds), exit=True, file=file)
        result = graded(asked, Path(path))
        faulthandler.cancel_dump_traceback_later()
    Path(grade).write_text(json.dumps(result), encoding="utf-8")


def _endless(path: Path, trace: str, seconds: float) -> str:
    """The sentence about a file that does not end, with the line in which it was."""
    lines = re.findall(rf'File "{re.escape(str(path))}", line (\d+)', trace)
    where = place(path, path.read_text(encoding="utf-8-sig"), int(lines[0]) if lines else None)
    return f"{where}this does not end within {seconds:g} s. Is there a loop that never stops?"


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:  # the command itself says so
        sys.exit(130)
