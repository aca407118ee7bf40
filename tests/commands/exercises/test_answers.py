"""A student's file: whatever it holds, the sentence names the file and the line."""

import sys
from fractions import Fraction

import numpy as np
import pytest

from refmeta.commands.exercises.answers import Unanswered, as_answers, holes


def answers(folder, text):
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return as_answers(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\ny = (..., ...)\n", "mine.py, line 2: `y = (..., ...)`: here `...` is not filled in yet, and 1 more after it"),
        ("def f(x):\n    return ...\n", "mine.py, line 2: `return ...`: here `...` is not filled in yet"),
        ("x = 1\ny = x / 0\n", "mine.py, line 2: `y = x / 0`: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", "mine.py, line 2: `sys.exit(3)`: SystemExit: 3"),
        ("x = (1,\ny = 2\n", "mine.py, line 1: `x = (1,`: Python cannot read the file: '(' was never closed"),
        ("x = 1\n  y = 2\n", "mine.py, line 2: `y = 2`: Python cannot read the file: unexpected indent"),
        ("x = 1\0\n", "Python cannot read the file: source code "),
        ("raise Exception", "mine.py, line 1: `raise Exception`: Exception"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(text, sentence, tmp_path):
    with pytest.raises(Unanswered) as told:
        answers(tmp_path, text)
    assert sentence in str(told.value)


def test_a_file_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "mine.py"
    path.write_bytes(b"x = '\xff\xfe'")
    with pytest.raises(Unanswered, match="not text in UTF-8"):
        as_answers(path)


def test_an_index_with_dots_is_no_hole():
    assert [hole.lineno for hole in holes("y = x[..., None]\nz = ...\nw = [..., x[0, ...]]\n")] == [2, 3]


@pytest.mark.parametrize("value", ["[1, 2.5]", "(Fraction(1), Fraction(5, 2))", "np.array([1, 2.5])", "[np.float32(1), 2.5]", "range(1, 3)"])
def test_numbers_may_come_in_any_kind(value, tmp_path):
    got = answers(tmp_path, f"import numpy as np\nfrom fractions import Fraction\nx = {value}\n").array("x", (2,))
    assert got.dtype == float and got[0] == 1


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("None", "mine.py, line 2: `x = None`: `x` is None"),
        ("[1, None]", "`x` is not finite"),
        ("[1, 2, 3]", "`x` must be an array of shape (2,), got shape (3,)"),
        ("[[1, 2]]", "got shape (1, 2)"),
        ("[[1], 2]", "`x` must be an array of shape (2,), got list: [[1], 2]"),
        ("'1/2'", "got str: '1/2'; write numbers without quotes"),
        ("['1', '2']", "got list: ['1', '2']; write numbers without quotes"),
        ("[True, 1.0][:1] * 0 + [True, False]", "got list: [True, False]"),
        ("[[1, 0], [0, 1]]", "got shape (2, 2); is there a * where @ is meant?"),
        ("[1, float('nan')]", "`x` is not finite: it holds NaN or an infinity"),
        ("[1, float('inf')]", "`x` is not finite"),
        ("[1, 2j]", "got list: [1, 2j]"),
        ("[1, 10**400]", "`x` holds a number that is too large: [1, 1000"),
        ("[1, Fraction(10**5000)]", "`x` holds a number that is too large: a value that cannot be printed; the largest is about 1.8e308"),
        ("type('Odd', (), {'__array__': lambda self, *_, **__: {}['no']})()", "`x` must be an array of shape (2,), got Odd: <student_file.Odd object"),
        ("type('Odd', (), {'__repr__': lambda self: {}['no']})()", "`x` must be an array of shape (2,), got Odd: a value that cannot be printed"),
        ("print", "got builtin_function_or_method"),
        ("{'a': 1}", "got dict"),
    ],
)
def test_what_is_no_array_of_the_shape_is_told(value, sentence, tmp_path):
    file = answers(tmp_path, f"from fractions import Fraction\nx = {value}\n")
    with pytest.raises(Unanswered) as told:
        file.array("x", (2,))
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("def f(x):\n    return x / [0][1]\n", "mine.py, line 2: `return x / [0][1]`: IndexError: list index out of range"),
        ("def f(x):\n    x * 2\n", "mine.py, line 1: `def f(x):`: `f(…)` is None; is there a `return`?"),
        ("def f():\n    return 1\n", "TypeError: f() takes 0 positional arguments but 1 was given"),
        ("f = 3\n", "mine.py, line 1: `f = 3`: `f` must be a function, got int"),
        ("g = 3\n", "`f` is not defined any more"),
        ("def f(x):\n    return f(x)\n", "RecursionError"),
    ],
)
def test_a_function_that_fails_is_told_with_the_line(body, sentence, tmp_path):
    file = answers(tmp_path, body)
    with pytest.raises(Unanswered) as told:
        file.call("f", [1.0])
    assert sentence in str(told.value)


def test_a_function_gets_copies(tmp_path):
    file = answers(tmp_path, "def f(x):\n    x[0] = 7\n    return x[0]\n")
    x = np.zeros(2)
    assert file.call("f", [x]) == 7 and x[0] == 0


def test_a_file_is_a_module_that_hides_no_other(tmp_path):
    """A dataclass whose annotations are text looks for its module in `sys.modules`."""
    path = tmp_path / "numpy.py"
    path.write_text("from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Pair:\n    x: float\nx = Pair(7).x\n")
    file = as_answers(path)
    assert file.number("x") == 7 and file.value("__file__") == str(path) and sys.modules["numpy"] is np


def test_a_file_that_is_gone_is_told(tmp_path):
    with pytest.raises(Unanswered, match="^gone.py: the file cannot be read: No such file"):
        as_answers(tmp_path / "gone.py")


def test_an_interrupt_is_passed_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        answers(tmp_path, "raise KeyboardInterrupt\n")


def test_a_fraction_alone_is_a_number(tmp_path):
    file = answers(tmp_path, "from fractions import Fraction\nx = Fraction(1, 7)\n")
    assert file.number("x") == float(Fraction(1, 7))
