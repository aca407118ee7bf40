"""`exercise`: the list, the question, a copy that overwrites nothing, a grade."""

import pytest

from refmeta.commands.exercises.catalogue import LESSONS, NAMES, exercise_file, question, title
from tests.commands.conftest import printed, refused
from tests.commands.exercises.filled import filled


def test_the_list_has_every_exercise_below_its_lesson(capsys, columns):
    out, status = printed(capsys, "exercise", "--list")
    assert status == 0 and all(lesson in out for lesson in LESSONS) and all(f"  {name}  {title(name)}" in out for name in NAMES)
    assert max(map(len, out.splitlines())) <= columns


def test_a_copy_is_written_once_and_graded(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    out, status = printed(capsys, "exercise", "1a")
    assert status == 0 and question("1a") in out and "exercise 1a --copy" in out
    out, status = printed(capsys, "exercise", "1a", "--copy")
    mine = tmp_path / "1a.py"
    assert status == 0 and "type `python -m refmeta exercise 1a 1a.py`" in out
    assert mine.read_bytes() == exercise_file("1a").read_bytes()
    assert "nothing is overwritten" in " ".join(refused(capsys, "exercise", "1a", "--copy").split())
    out, status = printed(capsys, "exercise", "1a", "1a.py")
    assert status == 1 and "here `...` is not filled in yet" in " ".join(out.split())
    mine.write_text(filled("1a", ["2", "-1/3", "-5/3"]), encoding="utf-8")
    out, status = printed(capsys, "exercise", "1a", "1a.py")
    assert status == 0 and out.startswith("Right. ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["9a"], "no exercise is called '9a'"),
        (["1d"], "`python -m refmeta exercise --list` lists all exercises"),
        ([], "give the name of an exercise, as 4a, or --list"),
        (["--copy"], "give the name of an exercise"),
        (["1a", "--list"], "--list stands alone"),
        (["1a", "nowhere.py"], "there is no file 'nowhere.py'; `python -m refmeta exercise 1a --copy` writes the one to fill in"),
        (["1a", "x.py", "--copy"], "--copy takes no FILE"),
    ],
)
def test_what_is_refused(arguments, sentence, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert sentence in " ".join(refused(capsys, "exercise", *arguments).split())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2b.py").mkdir()
    assert "2b.py" in refused(capsys, "exercise", "2b", "--copy")


def test_a_missing_file_of_the_project_is_told(capsys, monkeypatch, tmp_path):
    from refmeta.commands import exercise

    monkeypatch.setattr(exercise, "exercise_file", lambda name: tmp_path / "gone.py")
    assert "is not installed" in refused(capsys, "exercise", "1a")
