"""A student's file: run it, and read numbers, arrays and functions from it."""

import ast
import copy
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.check import printable

__all__ = ["Answers", "Unanswered", "as_answers", "holes", "place"]

MODULE = "student_file"  # as what the file is imported: a file that is called numpy.py does not hide NumPy


class Unanswered(Exception):
    """The file gives no answer that can be graded; the message says why, and in which line."""


def holes(text: str) -> list[ast.Constant]:
    """Every `...` that is still to be filled in, in order; one between the brackets of an index is not meant."""
    tree = ast.parse(text)
    inside = {id(node) for index in ast.walk(tree) if isinstance(index, ast.Subscript) for node in ast.walk(index.slice)}
    every = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value is ... and id(node) not in inside]
    return sorted(every, key=lambda node: (node.lineno, node.col_offset))


def as_answers(path: Path) -> "Answers":
    """Run a student's file; `Unanswered` if it has holes, or if it fails."""
    text = _text(path)
    try:
        code = compile(text, str(path), "exec")
        unfilled = holes(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise Unanswered(f"{place(path, text, line)}Python cannot read the file: {getattr(error, 'msg', error)}") from None
    if unfilled:
        line = unfilled[0].lineno
        count = f", and {len(unfilled) - 1} more after it" if len(unfilled) > 1 else ""
        raise Unanswered(f"{place(path, text, line)}here `...` is not filled in yet{count}")
    sys.modules[MODULE] = module = ModuleType(MODULE)  # a dataclass looks for its module there
    module.__file__ = str(path)
    answers = Answers(path, text, vars(module))
    sys.path.insert(0, str(path.resolve().parent))
    try:
        answers.attempt(lambda: exec(code, answers.names))
    finally:
        sys.path.pop(0)
    return answers


def _text(path: Path) -> str:
    """The text of the file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Unanswered(f"{path.name}: the file is not text in UTF-8") from None
    except OSError as error:
        raise Unanswered(f"{path.name}: the file cannot be read: {error.strerror}") from None


def place(path: Path, text: str, line: int | None) -> str:
    """The file, the line, and what stands there, as the start of a sentence."""
    lines = text.splitlines()
    if line is None or not 0 < line <= len(lines):
        return f"{path.name}: "
    return f"{path.name}, line {line}: `{lines[line - 1].strip()}`: "


@dataclass(frozen=True, eq=False)
class Answers:
    """The names that a student's file defines.  Its methods give them in the shape that is asked for, or say what is wrong."""

    path: Path
    text: str
    names: dict[str, Any]

    def attempt(self, run: Any) -> Any:
        """What `run` returns; `Unanswered` names the line of the student's file in which it fails."""
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return run()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.path)]
            where = place(self.path, self.text, frames[-1].lineno if frames else None)
            raise Unanswered(f"{where}{type(error).__name__}: {printable(str(error))}".rstrip(": ")) from None

    def value(self, name: str) -> Any:
        """The value of a name."""
        if name not in self.names:
            raise Unanswered(f"{self.path.name}: `{name}` is not defined any more; keep the names of the exercise")
        return self.names[name]

    def array(self, name: str, shape: Sequence[int] = ()) -> Array:
        """A value as an array of this shape."""
        return self._as_array(self.value(name), name, shape, self._line(name))

    def number(self, name: str) -> float:
        """A value as a number."""
        return float(self.array(name))

    def call(self, name: str, arguments: Sequence[Any], shape: Sequence[int] = ()) -> Array:
        """What a function of the file returns for copies of the arguments, as an array of this shape."""
        function = self.value(name)
        if not callable(function):
            raise Unanswered(f"{self._line(name)}`{name}` must be a function, got {type(function).__name__}")
        returned = self.attempt(lambda: function(*copy.deepcopy(list(arguments))))
        return self._as_array(returned, f"{name}(…)", shape, self._line(name))

    def _line(self, name: str) -> str:
        """The place at which a name is defined."""
        return place(self.path, self.text, next(self._lines(name), None))

    def _lines(self, name: str) -> Iterator[int]:
        """The lines that define a name, the last first."""
        for node in reversed(ast.parse(self.text).body):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if getattr(node, "name", "") == name or any(isinstance(t, ast.Name) and t.id == name for t in targets):
                yield node.lineno

    def _as_array(self, value: Any, what: str, shape: Sequence[int], where: str) -> Array:
        """A number, a fraction, a list or an array as floats of this shape."""
        if value is None:
            raise Unanswered(f"{where}`{what}` is None" + "; is there a `return`?" * what.endswith("(…)"))
        try:
            if np.asarray(value).dtype.kind not in "iufO":
                raise TypeError
            array = np.asarray(value, dtype=float)
        except OverflowError:
            raise Unanswered(f"{where}`{what}` holds a number that is too large: {_short(value)}; the largest is about 1.8e308") from None
        except Exception:  # an object of the file may raise anything when it is asked for its numbers
            raise Unanswered(f"{where}`{what}` must be {_kind(shape)}, got {type(value).__name__}: {_short(value)}{_quotes(value)}") from None
        if array.shape != tuple(shape):
            raise Unanswered(f"{where}`{what}` must be {_kind(shape)}, got shape {array.shape}{_product(array.shape, shape)}")
        if not np.all(np.isfinite(array)):
            raise Unanswered(f"{where}`{what}` is not finite: it holds NaN or an infinity")
        return array


def _kind(shape: Sequence[int]) -> str:
    """What an answer of this shape is called."""
    return f"an array of shape {tuple(shape)}" if shape else "one number"


def _quotes(value: Any) -> str:
    """What to do about numbers in quotes."""
    return "; write numbers without quotes" if isinstance(value, str) or "'" in _short(value) else ""


def _product(got: Sequence[int], shape: Sequence[int]) -> str:
    """What to do about a matrix where a vector is wanted."""
    return "; is there a * where @ is meant?" if len(shape) == 1 and tuple(got) == (*shape, *shape) else ""


def _short(value: Any, most: int = 60) -> str:
    """A value in one line."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of more digits than Python writes, or of a class whose __repr__ fails
        return "a value that cannot be printed"
    return text if len(text) <= most else text[:most] + " …"
