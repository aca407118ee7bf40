"""What a user's function returns, as arrays, or a sentence that names the remedy."""

from fractions import Fraction

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.calls import CallError, as_array, result_of
from refmeta.oracle.serve import answer


class Size(tuple):
    """A shape that shows itself in another way than a tuple, as PyTorch's."""

    def __repr__(self):
        return f"Size({list(self)})"


class Tensor:
    """A tensor of a framework that differentiates: an array only once it is detached and in main memory."""

    def __init__(self, value, grad=True, device="gpu"):
        self.value, self.grad, self.device = np.asarray(value), grad, device
        self.shape = Size(self.value.shape)

    def detach(self):
        return Tensor(self.value, False, self.device)

    def cpu(self):
        return Tensor(self.value, self.grad, "cpu")

    def __array__(self, dtype=None, copy=None):
        if self.grad or self.device != "cpu":
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return self.value

    def __len__(self):
        return len(self.value)


ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


@pytest.mark.parametrize(
    "value",
    [
        ROWS, ROWS.tolist(), list(ROWS), tuple(ROWS), tuple(map(tuple, ROWS)), ROWS.astype(np.float32), ROWS.astype(int),
        Tensor(ROWS), [Tensor(row) for row in ROWS], tuple(Tensor(row) for row in ROWS),
    ],
)  # fmt: skip
def test_rows_of_numbers_are_an_array(value):
    array = as_array(value)
    np.testing.assert_array_equal(array, ROWS)
    assert array.dtype == np.float64


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "returned None: is a return statement missing"),
        ((ROWS,), r"returned a tuple of 1 with the shapes \(3, 2\); return its entry alone"),
        ((1.0, ROWS), r"returned a tuple of 2 with the shapes \(\), \(3, 2\); return the result that is asked for alone"),
        ((Tensor(ROWS), Tensor(ROWS)), r"returned a tuple of 2 with the shapes \(3, 2\), \(3, 2\); return the result"),
        ([ROWS, ROWS[0]], r"returned a list of 2 with the shapes \(3, 2\), \(2,\); return one array, whose rows"),
        ([[1.0], [1.0, 2.0]], r"returned a list of 2 with the shapes \(1,\), \(2,\); return one array"),
        ([[[1.0], [1.0, 2.0]]], "returned list, which is no array: "),
        (np.array([[1.0] * 2, [1.0] * 3], object), r"dtype object with rows of different lengths \(2, 3\); return one"),
        ([Fraction(1, 2)], "returned dtype object with entries of type Fraction; return one array of float64"),
        ({"gradient": 1.0, "loss": 2.0}, "returned a dict with the keys gradient, loss; return the array alone"),
        ("gradient", "returned dtype <U8, expected real numbers"),
        (1j * ROWS, "returned dtype complex128, expected real numbers"),
        (ROWS > 2, "returned dtype bool, expected real numbers"),
        (object(), "returned dtype object with entries of type object"),
        (np.ma.masked_invalid([1.0, np.nan]), r"returned a masked array whose mask would be ignored; fill it first"),
        ([np.ma.masked_less(row, 2.0) for row in ROWS], "returned a masked array whose mask"),
        (np.ma.masked, "returned a masked array whose mask"),
    ],
)  # fmt: skip
def test_what_is_no_array_gets_a_sentence_with_the_remedy(value, sentence):
    with pytest.raises(TypeError, match=sentence):
        as_array(value)


def test_a_number_too_large_for_double_precision_is_infinite():
    assert as_array(np.longdouble(10) ** 400) == np.inf


def wrong_suite(A, c, *, alpha=0.1):
    return A


def exits(**inputs):
    raise SystemExit(3)


def leaves(**inputs):
    raise SystemExit("no such device")


class Silent(Exception):
    """An exception whose text cannot be had."""

    def __str__(self):
        raise RuntimeError("no text")


class Odd(BaseException):
    """An exception that is no Exception."""


class Code:
    """An exit status whose text cannot be had."""

    def __repr__(self):
        raise Odd


def raises(error):
    def function(**inputs):
        raise error

    return function


async def waits(**inputs):
    return inputs["theta"]


def refuses(**inputs):
    raise TypeError("theta must be finite")


INPUTS_OF_REPTILE = {"theta": np.zeros(2), "adapted": np.ones((3, 2)), "epsilon": 0.5}


@pytest.mark.parametrize(
    ("function", "sentence", "refusal"),
    [
        (exits, r"the target called sys.exit\(3\)$", False),
        (leaves, r"the target called sys.exit\('no such device'\)", False),
        (refuses, "raised TypeError: theta must be finite", True),
        (raises(Silent()), r"raised Silent: \(its str\(\) raised RuntimeError\)$", True),
        (raises(SystemExit(Code())), r"called sys.exit\(\(its repr\(\) raised Odd\)\)$", False),
        (raises(MemoryError()), "raised MemoryError without a message$", True),
        (raises(Odd("odd")), "raised Odd: odd$", False),
        (raises(GeneratorExit()), "raised GeneratorExit without a message$", False),
        (waits, r"returned a coroutine since the function is async; return its result, as asyncio.run", False),
        (lambda **x: None, "returned None", False),
        (wrong_suite, "does not accept theta, adapted, epsilon and it requires A, c, which this suite does not have$", False),
        (lambda theta, adapted: 0, "cannot be called with the inputs of this suite: it does not accept epsilon$", False),
        (lambda theta, A, c, query_A, query_c, alpha, steps: 0, "its parameters are those of maml-quadratic$", False),
        (lambda **x: wrong_suite(**x), "raised TypeError: wrong_suite", True),
    ],
)  # fmt: skip
def test_a_call_without_a_result_is_reported(function, sentence, refusal):
    with pytest.raises(CallError, match=sentence) as caught:
        result_of(function, INPUTS_OF_REPTILE)
    assert caught.value.refusal == refusal
    question = {"id": "reptile-001", "suite": "reptile", "inputs": {k: np.asarray(v).tolist() for k, v in INPUTS_OF_REPTILE.items()}}
    reply = answer(function, question, "float64")
    assert (reply["type"], reply["message"], reply["refusal"]) == ("error", str(caught.value), refusal)


def test_an_input_changed_in_place_is_a_warning_and_nan_is_no_change():
    def in_place(theta, adapted, epsilon):
        adapted -= theta
        theta += epsilon * np.mean(adapted, axis=0)
        return theta

    inputs = INPUTS_OF_REPTILE | {"theta": np.array([np.nan, 0.0]), "adapted": np.ones((3, 2))}
    assert result_of(lambda **x: x["theta"], inputs)[1] == ()
    warnings = ("the input theta was changed in place: work on a copy of it",)
    assert result_of(in_place, inputs)[1] == (*warnings, warnings[0].replace("theta", "adapted"))


def test_masked_arrays_without_a_masked_entry_are_arrays():
    np.testing.assert_array_equal(as_array([np.ma.array(row) for row in ROWS]), ROWS)


def test_an_interrupt_is_the_user_s_in_this_process_and_the_target_s_in_its_own():
    interrupted = raises(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        rm.oracle.check(interrupted, "reptile")
    reply = answer(interrupted, {"id": "reptile-001", "suite": "reptile", "inputs": {}}, "float64")
    assert (reply["message"], reply["refusal"]) == ("raised KeyboardInterrupt without a message", False)


def test_an_exit_in_this_process_does_not_end_the_check():
    with pytest.raises(AssertionError, match=r"error: the target called sys.exit\(3\)"):
        rm.oracle.check(exits, "reptile")
