"""A process of its own: what prints, ends Python or never ends is told in a sentence."""

import json

import pytest

from refmeta.commands.exercises import child
from refmeta.commands.exercises.child import graded_apart, main
from tests.commands.exercises.filled import filled

RIGHT = ["2", "-1/3", "-5/3"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("while True: pass", "1a.py, line 0: `while True: pass`: this does not end within 1 s of the processor. Is there a loop that never stops?"),
        ("__import__('time').sleep(99)", "1a.py, line 0: `__import__('time').sleep(99)`: this does not end within 2 s. Is there a loop that never stops?"),
        ("import os; os._exit(0)", "1a.py: the file ended Python itself (status 0)."),
    ],
)
def test_a_file_that_does_not_come_to_its_end(line, sentence, tmp_path):
    path = tmp_path / "1a.py"
    path.write_text(filled("1a", ["1", "2", "3"]) + line + "\n", encoding="utf-8")
    line_number = path.read_text(encoding="utf-8").splitlines().index(line) + 1
    wait = 2.0 if "sleep" in line else 600.0
    assert graded_apart("1a", path, seconds=1, wait=wait) == (False, sentence.replace("line 0", f"line {line_number}"))


def test_the_time_is_that_of_the_processor(tmp_path):
    """A right file that waits longer than its seconds of the processor, as on a loaded machine, is right."""
    path = tmp_path / "1a.py"
    path.write_text(filled("1a", RIGHT) + "__import__('time').sleep(1.5)\n", encoding="utf-8")
    assert graded_apart("1a", path, seconds=1).right


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
