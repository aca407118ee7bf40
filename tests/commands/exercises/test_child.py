"""A process of its own: what prints, ends Python or never ends is told in a sentence."""

import json
import os
import select
import signal
import subprocess

import pytest

import refmeta
from refmeta.commands.exercises import child
from refmeta.commands.exercises.child import graded_apart, main
from tests.commands.exercises.filled import filled

RIGHT = ["2", "-1/3", "-5/3"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("while True: pass", "Übung.py, line 0: `while True: pass`: this does not end within 1 s of the processor. Is there a loop that never stops?"),
        ("__import__('time').sleep(99)", "Übung.py, line 0: `__import__('time').sleep(99)`: this does not end within 2 s. Is there a loop that never stops?"),
        ("import os; os._exit(0)", "Übung.py: the file ended Python itself (status 0)."),
        ("import os; os.kill(os.getpid(), 9)", "Übung.py: while the file ran, the process was ended by SIGKILL: out of memory?"),
        ("import os; os.kill(os.getpid(), 15)", "Übung.py: while the file ran, the process was ended by SIGTERM."),
    ],
)
def test_a_file_that_does_not_come_to_its_end(line, sentence, tmp_path):
    """And that is gone when it does not."""
    path = tmp_path / "Übung.py"
    path.write_text(f"{filled('1a', ['1', '2', '3'])}__import__('os').remove(__file__)\n{line}\n", encoding="utf-8")
    line_number = path.read_text(encoding="utf-8").splitlines().index(line) + 1
    wait = 2.0 if "sleep" in line else 600.0
    assert graded_apart("1a", path, seconds=1, wait=wait) == (False, sentence.replace("line 0", f"line {line_number}"))


def test_the_time_is_that_of_the_processor(tmp_path):
    """A right file that waits longer than its seconds of the processor, as on a loaded machine, is right."""
    path = tmp_path / "1a.py"
    path.write_text(filled("1a", RIGHT) + "__import__('time').sleep(3.5)\n", encoding="utf-8")
    assert graded_apart("1a", path, seconds=3).right


def output(run):
    """What `run` returns, and what all processes together print up to the end of the last; fails if one of them does not end."""
    reading, writing = os.pipe()
    before = os.dup(1)
    os.dup2(writing, 1)
    os.close(writing)
    try:
        returned = run()
    finally:
        os.dup2(before, 1)
        os.close(before)
    text = b""
    with open(reading, "rb", buffering=0) as file:
        while select.select([file], [], [], 10)[0]:
            if not (piece := file.read(1000)):
                return returned, text.decode()
            text += piece
    raise AssertionError(f"a process still runs; printed was {text!r}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_what_the_file_starts_ends_with_it(tmp_path, monkeypatch):
    """A program, and a copy of the process that comes to the end of the grader, too."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    path = tmp_path / "1a.py"
    lines = ["import os, subprocess", "subprocess.Popen(['sleep', '60'])", "if os.fork():", "    print('first', os.wait()[1])"]
    path.write_text("\n".join([filled("1a", RIGHT), *lines]), encoding="utf-8")
    grade, text = output(lambda: graded_apart("1a", path, wait=8))
    assert grade.right and text == "first 0\n", grade.sentence


def test_what_the_file_leaves_is_not_waited_for(tmp_path):
    path = tmp_path / "1a.py"
    lines = ["import atexit, threading", f"atexit.register(open, {str(tmp_path / 'late')!r}, 'w')", "threading.Timer(5, print).start()"]
    path.write_text("\n".join([filled("1a", RIGHT), *lines]), encoding="utf-8")
    assert graded_apart("1a", path).right and not (tmp_path / "late").exists()


def test_a_grade_counts_whatever_comes_after_it(tmp_path, monkeypatch):
    path = tmp_path / "1a.py"
    path.write_text(filled("1a", RIGHT), encoding="utf-8")
    for status in (None, -9, 1):
        monkeypatch.setattr(child, "_status", lambda words, wait, status=status: main(*words[:4], "0", "300") or status)
        assert graded_apart("1a", path).right


def test_a_grader_that_does_not_start_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    path = tmp_path / "1a.py"
    path.write_text(filled("1a", RIGHT), encoding="utf-8")
    monkeypatch.setattr(child, "_status", lambda words, wait: 1)
    with pytest.raises(RuntimeError, match="the grader did not start: the process ended with status 1"):
        graded_apart("1a", path)


def test_a_file_that_is_gone_is_told(tmp_path):
    assert graded_apart("1a", tmp_path / "gone.py") == (False, "gone.py: the file cannot be read: No such file or directory.")


def test_an_interrupt_ends_the_process(tmp_path, monkeypatch):
    path, wait, processes = tmp_path / "1a.py", subprocess.Popen.wait, []
    path.write_text(filled("1a", RIGHT), encoding="utf-8")

    def interrupted(process, timeout=None):
        processes.append(process)
        if len(processes) == 1:
            raise KeyboardInterrupt
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        graded_apart("1a", path)
    assert processes[0].returncode == -signal.SIGKILL


def test_the_path_of_python_is_the_users(tmp_path, monkeypatch):
    """No folder stands before the user's own but the file's, and neither the current folder nor that of refmeta is added."""
    own, path = str(tmp_path / "own"), tmp_path / "1a.py"
    monkeypatch.setenv("PYTHONPATH", os.pathsep + own + os.pathsep)
    lines = ["import os, refmeta, sys", f"assert sys.path[1] == os.environ['PYTHONPATH'] == {own!r}", "assert os.getcwd() not in sys.path", f"assert refmeta.__file__ == {refmeta.__file__!r}"]
    path.write_text("\n".join([filled("1a", RIGHT), *lines]), encoding="utf-8")
    right, sentence = graded_apart("1a", path)
    assert right, sentence


def test_a_failure_of_the_grader_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    path, grade = tmp_path / "1a.py", tmp_path / "grade.json"
    path.write_text(filled("1a", RIGHT), encoding="utf-8")
    monkeypatch.setattr(child, "graded", lambda asked, path: {}["gone"])
    main("1a", str(path), str(grade), str(tmp_path / "trace.txt"), "0", "300")
    with pytest.raises(RuntimeError, match="the grader failed: KeyError: 'gone'"):
        child._received(json.loads(grade.read_text(encoding="utf-8")))


def test_the_grade_comes_from_the_other_process(tmp_path):
    path = tmp_path / "a file.py"
    path.write_text(filled("1a", RIGHT) + "print('hello')\n", encoding="utf-8")
    right, sentence = graded_apart("1a", path)
    assert right and sentence.startswith("Right. ")


def test_the_grade_is_written_to_a_file(tmp_path):
    path, grade = tmp_path / "1a.py", tmp_path / "grade.json"
    path.write_text(filled("1a", ["1", "0", "2"]), encoding="utf-8")
    main("1a", str(path), str(grade), str(tmp_path / "trace.txt"), "0", "300")
    assert grade.read_text(encoding="utf-8").startswith('[false, "Not yet. `gradient`: ')
