"""A process of its own: what prints, ends Python or never ends is told in a sentence."""

import pytest

from refmeta.commands.exercises.child import graded_apart, main
from tests.commands.exercises.filled import filled


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("while True: __import__('time').sleep(0.01)", "1a.py, line 17: `while True: __import__('time').sleep(0.01)`: this does not end within 2 s. Is there a loop that never stops?"),
        ("import os; os._exit(0)", "1a.py: the file ended Python itself (status 0)."),
    ],
)
def test_a_file_that_does_not_come_to_its_end(line, sentence, tmp_path):
    path = tmp_path / "1a.py"
    path.write_text(filled("1a", ["1", "2", "3"]) + line + "\n", encoding="utf-8")
    line_number = path.read_text(encoding="utf-8").splitlines().index(line) + 1
    assert graded_apart("1a", path, seconds=2.0) == (False, sentence.replace("line 17", f"line {line_number}"))


def test_the_grade_comes_from_the_other_process(tmp_path):
    path = tmp_path / "a file.py"
    path.write_text(filled("1a", ["1/4", "-3/2", "5/4"]) + "print('hello')\n", encoding="utf-8")
    right, sentence = graded_apart("1a", path)
    assert right and sentence.startswith("Right. ")


def test_the_grade_is_written_to_a_file(tmp_path):
    path, grade = tmp_path / "1a.py", tmp_path / "grade.json"
    path.write_text(filled("1a", ["1", "0", "2"]), encoding="utf-8")
    main("1a", str(path), str(grade), str(tmp_path / "trace.txt"), "30")
    assert grade.read_text(encoding="utf-8").startswith('[false, "Not yet. `gradient`: ')
