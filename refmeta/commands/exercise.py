"""`python -m refmeta exercise`: the exercises of the course, which grade themselves."""

import shutil
from pathlib import Path
from typing import Any

from refmeta.commands.exercises.catalogue import LESSONS, NAMES, exercise_file, question, title
from refmeta.commands.exercises.child import graded_apart
from refmeta.oracle.vectors import UsageError
from refmeta.tables import paragraphs, unknown_name

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "exercise", help="the exercises of the course: what to do, and a grade for your file",
        epilog="exit status: 0 right, or nothing was graded; 1 not right yet; 2 usage",
    )  # fmt: skip
    command.add_argument("name", nargs="?", metavar="NAME", help="as 4a: lesson 4, first exercise; without FILE: what to do")
    command.add_argument("file", nargs="?", metavar="FILE", help="your file, filled in; it is run and graded")
    command.add_argument("--copy", action="store_true", help="write the file to fill in into the current folder; no file is overwritten")
    command.add_argument("--list", action="store_true", help="all exercises by lesson")
    command.set_defaults(run=_exercise)


def _exercise(options: Any) -> int:
    """`exercise`: the list, the question, a copy, or the grade of a file."""
    if options.list or options.name is None:
        _check_alone(options)
        _check_there(NAMES[0])
        print(_listing())
        return 0
    if options.name not in NAMES:
        raise UsageError(unknown_name("exercise", options.name, NAMES, "`python -m refmeta exercise --list` lists all exercises"))
    _check_there(options.name)
    if options.copy:
        return _copy(options)
    if options.file is None:
        print(f"{question(options.name)}\n\n{_next_step(options.name)}")
        return 0
    return _grade(options.name, Path(options.file))


def _check_alone(options: Any) -> None:
    """Refuse --list beside other words, and a command without any."""
    if options.list and (options.name or options.copy):
        raise UsageError("--list stands alone")
    if not options.list:
        raise UsageError("give the name of an exercise, as 4a, or --list")


def _check_there(name: str) -> None:
    """Check that the file of the exercise is installed."""
    if not exercise_file(name).is_file():
        raise UsageError(f"the file of exercise {name} is not installed; it is derivations/exercises/{name}.py of the project")


def _listing() -> str:
    """The titles of all exercises by lesson."""
    lines = []
    for number, lesson in enumerate(LESSONS, start=1):
        names = [name for name in NAMES if name[0] == str(number)]
        lines += [f"Lesson {number}: {lesson}", *(paragraphs(title(name), f"  {name}  ", " " * 6) for name in names), ""]
    return "\n".join([*lines, "`python -m refmeta exercise 1a` says what to do in 1a."])


def _next_step(name: str) -> str:
    """How to begin."""
    return f"To begin, type `python -m refmeta exercise {name} --copy`: it writes {name}.py into this folder."


def _copy(options: Any) -> int:
    """Write the file to fill in into the current folder."""
    target = Path(f"{options.name}.py")
    if options.file is not None:
        raise UsageError("--copy takes no FILE: it writes into the current folder")
    try:
        with target.open("xb") as new, exercise_file(options.name).open("rb") as source:
            shutil.copyfileobj(source, new)
    except FileExistsError:
        raise UsageError(f"{str(target)!r} exists, and nothing is overwritten; rename it, or go to another folder") from None
    except OSError as error:
        raise UsageError(f"cannot write {str(target)!r}: {error}") from None
    print(f"{target} is written. Fill in each `...`, then type `python -m refmeta exercise {options.name} {target}`.")
    return 0


def _grade(name: str, path: Path) -> int:
    """Run a file, and print its grade."""
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; `python -m refmeta exercise {name} --copy` writes the one to fill in")
    grade = graded_apart(name, path)
    print(paragraphs(grade.sentence))
    return 0 if grade.right else 1
