"""judges.check: a right gradient is RIGHT to the digits that can be shown; each ordinary mistake is WRONG and named."""

import threading
import warnings

import numpy as np
import pytest
from hypothesis import given

import refmeta as rm
from refmeta.judges import check
from tests.strategies import seeds

W = np.random.default_rng(1).normal(size=(5, 6))
THETA = np.random.default_rng(2).normal(size=6)
LARGE = np.random.default_rng(3).normal(size=700)
COEFFICIENTS = np.random.default_rng(4).uniform(0.5, 1.5, size=700)


def f(x):
    """Σ tanh²(Wx)."""
    return np.sum(np.tanh(W @ x) ** 2)


def gradient(x):
    """2 Wᵀ(tanh(Wx) / cosh²(Wx))."""
    return 2 * W.T @ (np.tanh(W @ x) / np.cosh(W @ x) ** 2)


def wide(x):
    """Σ sin(cx), more parameters than are judged one by one."""
    return float(np.sum(np.sin(COEFFICIENTS * x)))


def wide_gradient(x):
    """c cos(cx)."""
    return COEFFICIENTS * np.cos(COEFFICIENTS * x)


CASES = {"entries": (f, gradient, THETA), "directions": (wide, wide_gradient, LARGE)}
both = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.mark.eq("richardson-difference")
@both
def test_a_right_gradient_belongs_to_its_function(case):
    function, right, theta = case
    for claim in (right, right(theta), right(theta).tolist()):
        found = check(function, claim, theta)
        assert (found.word, found.advice) == ("RIGHT", ()) and found.digits > 9
        assert str(found).startswith("RIGHT: your gradient belongs to your function, to ")


def test_a_complex_step_sharpens_what_can_be_shown_and_a_function_that_drops_it_is_judged_by_differences():
    sharp, plain = check(f, gradient, THETA), check(lambda x: float(f(x.real)), gradient, THETA)
    assert sharp.digits > 11 and sharp.digits > plain.digits > 9
    dropped = check(lambda x: f(x) + np.sum(np.abs(x)), lambda x: gradient(x) + np.sign(x), THETA)
    assert dropped.word == "RIGHT"  # the complex step of abs is 0, and does not agree with the difference


@both
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda g, x: g / 2, "it is 1/2 times the right one"),
        (lambda g, x: -g, "it is -1 times the right one: the sign"),
        (lambda g, x: 3.7 * g, "it is 37/10 times the right one"),
        (lambda g, x: g + 0.01 * x, "it is the right one plus 1/100 times theta: a weight decay"),
        (lambda g, x: g - 1e-4 * x, "it is the right one minus 0.0001 times theta"),
    ],
)
def test_a_factor_and_a_term_are_named(case, wrong, named):
    function, right, theta = case
    found = check(function, lambda x: wrong(right(x), x), theta)
    assert found.word == "WRONG" and len(found.advice) == 1 and found.advice[0].startswith(named)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda g: g.reshape(2, 3).T.ravel(), "its entries are in another order: a table (3, 2) for (2, 3)"),
        (lambda g: g.reshape(3, 2).ravel(order="F"), "its entries are in another order: a table (2, 3) for (3, 2)"),
        (lambda g: g[[1, 0, 2, 3, 4, 5]], "its entries are those of the right one in another order"),
        (lambda g: g * [1, 1, 0, 1, 1, 1], "one entry is 0 where the loss has a slope, the others are right"),
        (lambda g: g * [0, 1, 0, 1, 1, 1], "2 entries are 0 where the loss has a slope"),
    ],
)
def test_an_order_and_missing_entries_are_named(wrong, named):
    found = check(f, lambda x: wrong(gradient(x)), THETA)
    assert found.word == "WRONG" and [a for a in found.advice if a.startswith(named)], found


def test_a_table_keeps_its_shape_and_the_transposed_one_is_refused():
    table = THETA.reshape(2, 3)
    assert check(lambda t: f(t.ravel()), lambda t: gradient(t.ravel()).reshape(2, 3), table).word == "RIGHT"
    found = check(lambda t: f(t.ravel()), lambda t: gradient(t.ravel()).reshape(3, 2).T, table)
    assert found.word == "WRONG" and found.advice[0].startswith("its entries are in another order")
    assert len(found.worst.at) == 2
    with pytest.raises(ValueError, match=r"gradient\(theta\) returned shape \(3, 2\), expected \(2, 3\); it is the transposed shape"):
        check(lambda t: f(t.ravel()), lambda t: gradient(t.ravel()).reshape(2, 3).T, table)


@given(rng=seeds)
def test_the_worst_entry_is_the_one_that_is_wrong(rng):
    x, at = rng.normal(size=6), int(rng.integers(6))
    wrong = gradient(x)
    wrong[at] += 0.01
    found = check(f, wrong, x)
    assert found.word == "WRONG" and found.worst.at == (at,) and found.worst.yours == wrong[at]
    assert abs(found.worst.numeric - gradient(x)[at]) <= found.worst.error + 1e-14
    assert found.advice == ()


@both
@pytest.mark.parametrize("size", [1e-2, 1e-5])
def test_an_entry_that_is_wrong_by_little_is_wrong(case, size):
    function, right, theta = case
    found = check(function, right(theta) * (1 + size * (np.arange(theta.size) == 1)), theta)
    assert found.word == "WRONG"


def test_single_precision_is_rounding_in_the_gradient_and_limits_the_digits_in_the_function():
    for function, right, theta in CASES.values():
        found = check(function, lambda x, right=right: right(x).astype(np.float32), theta)
        assert found.word == "ROUNDING" and 6 < found.digits < 9
        assert found.advice == ("it is in single precision: convert theta and the data to float64",)
    two = check(lambda x: np.sum(np.sin(x)), np.cos(THETA[:2]).astype(np.float32), THETA[:2])
    assert (two.word, two.advice) == ("ROUNDING", ("it is in single precision: convert theta and the data to float64",))
    found = check(lambda x: np.float32(f(x)), gradient, THETA)
    assert found.word == "RIGHT" and 2 < found.digits < 7
    assert "your function is in single precision" in found.advice[0]
    assert check(lambda x: np.float32(f(x)), lambda x: gradient(x) / 2, THETA).word == "WRONG"


def test_what_cannot_be_told():
    rng = np.random.default_rng(0)
    found = check(lambda x: f(x) + 1e-9 * rng.normal(), gradient, THETA)
    assert found.word == "CANNOT TELL" and "f is random: at the same theta" in found.sentence
    found = check(lambda x: float(np.sum(np.maximum(x, 0))), lambda x: (x > 0) * 1.0, np.array([1.0, 0.0, -2.0]))
    assert found.word == "CANNOT TELL" and "does not look smooth at theta in 1 of 3 entries" in str(found)
    assert "ReLU" in found.advice[0]


FLAT = {
    "cubic": (lambda x: np.sum(x**3), lambda x: 3 * x**2),
    "quartic": (lambda x: np.sum(x**4), lambda x: 4 * x**3),
    "cubic sine": (lambda x: np.sum(np.sin(x**3)), lambda x: 3 * x**2 * np.cos(x**3)),
    "cubic tangent": (lambda x: np.sum(np.tan(x) ** 3), lambda x: 3 * np.tan(x) ** 2 / np.cos(x) ** 2),
    "ninth power": (lambda x: np.sum(x**9), lambda x: 9 * x**8),
    "cosine": (lambda x: np.sum(np.cos(x)), lambda x: -np.sin(x)),
    "constant": (lambda x: 7.0 + 0 * np.sum(x), lambda x: 0 * x),
}


@pytest.mark.parametrize("case", FLAT.values(), ids=FLAT)
def test_a_gradient_of_zero_at_a_flat_point_is_never_wrong_and_another_one_is(case):
    """The truncation of a complex step, 10⁻²⁰⁰ of a third derivative, is all that it returns there."""
    function, right = case
    found = check(function, right, np.zeros(3))
    assert found.word == "RIGHT" or (found.word == "CANNOT TELL" and "the slope of your function at theta is 0 within" in found.sentence)
    wrong = check(function, lambda x: right(x) + [0.0, 1e-3, 0.0], np.zeros(3))
    assert wrong.word == "WRONG" and wrong.worst.at == (1,) and wrong.advice == ()


def test_a_complex_step_that_may_underflow_sharpens_nothing():
    """10⁶ hides six digits from a difference, and none from a complex step."""
    found = [check(lambda x, s=s: s * (1e6 + np.sum(np.sin(x))), s * np.cos(THETA), THETA) for s in (1e-80, 1e-95)]
    assert [each.word for each in found] == ["RIGHT", "RIGHT"] and found[0].digits > found[1].digits + 1


@given(rng=seeds)
def test_a_gradient_whose_terms_cancel_near_a_minimum_is_not_wrong(rng):
    """Of least squares: two right gradients differ by the rounding of the terms, which is more than 10⁻¹² of what is left."""
    a, b = rng.normal(size=(12, 5)), rng.normal(size=12)
    x = np.linalg.lstsq(a, b, rcond=None)[0] + rng.choice([0, 1e-15, 1e-12, 1e-9, 1e-6]) * rng.normal(size=5)
    function, right = lambda z: 0.5 * np.sum((a @ z - b) ** 2), lambda z: a.T @ (a @ z - b)
    assert check(function, right, x).word in ("RIGHT", "CANNOT TELL")
    assert check(function, lambda z: right(z) + 0.01 * z, x).word == "WRONG"


def test_a_kink_hides_no_mistake_elsewhere():
    x = np.array([0.0, 0.7, -0.4])
    function = lambda x: abs(x[0]) + x[1] ** 2 + x[2] ** 2
    said = "your function does not look smooth at theta in 1 of 3 entries: no difference converges"
    found = check(function, lambda x: np.array([0, 5 * x[1], 7.0]), x)
    assert found.word == "WRONG" and found.worst.at == (2,) and found.advice == (said,)
    doubled = check(function, lambda x: np.array([3.0, 4 * x[1], 4 * x[2]]), x)
    assert doubled.word == "WRONG" and doubled.advice[0].startswith("it is 2 times the right one") and doubled.advice[-1] == said
    moved = x + [1.0, 0.0, 0.0]
    decayed = check(lambda x: function(x - [1.0, 0.0, 0.0]), lambda x: np.array([3.0, 2 * x[1], 2 * x[2]]) + 0.01 * x, moved)
    assert decayed.word == "WRONG" and any("plus 1/100 times theta" in line for line in decayed.advice) and decayed.advice[-1] == said
    for precision in (np.float64, np.float32):
        right = check(function, lambda x, to=precision: np.array([3.0, 2 * x[1], 2 * x[2]]).astype(to), x)
        assert (right.word, right.sentence) == ("CANNOT TELL", said)


@pytest.mark.parametrize("dropped", [False, True])
def test_a_dropped_imaginary_part_is_not_told_and_warnings_of_others_are_left_alone(dropped):
    """A thread that warns while f is asked for complex numbers is not stopped by it."""
    caught = []

    def other():
        try:
            warnings.warn("of another thread", UserWarning, stacklevel=1)
        except UserWarning as error:
            caught.append(error)

    def function(x):
        if np.iscomplexobj(x):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        return f(x.astype(np.float64) if dropped else x)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert check(function, gradient, THETA).word == "RIGHT"
    assert caught == [] and {str(each.message) for each in told} == {"of another thread"}


@pytest.mark.parametrize(
    ("kind", "match", "call"),
    [
        (TypeError, "f must be a function of an array, got float", lambda: check(1.0, THETA, THETA)),
        (TypeError, "gradient has None", lambda: check(f, None, THETA)),
        (TypeError, r"gradient\(theta\) returned None", lambda: check(f, lambda x: None, THETA)),
        (ValueError, r"gradient has shape \(5,\), expected \(6,\)", lambda: check(f, THETA[:5], THETA)),
        (FloatingPointError, r"gradient has nan at index \[0\]", lambda: check(f, THETA * np.nan, THETA)),
        (FloatingPointError, r"f\(theta\) returned nan", lambda: check(lambda x: np.nan, THETA, THETA)),
        (ValueError, r"f\(theta\) returned shape \(6,\), expected \(\): one number", lambda: check(gradient, THETA, THETA)),
        (ValueError, "theta has shape .*expected at least one number", lambda: check(f, [], [])),
        (TypeError, "theta must be real", lambda: check(f, THETA, THETA * 1j)),
    ],
)
def test_what_is_refused(kind, match, call):
    with pytest.raises(kind, match=match):
        call()


def test_a_function_that_changes_theta_is_refused_and_theta_stays():
    def spoiled(x):
        x += 1
        return f(x)

    kept = THETA.copy()
    with pytest.raises(ValueError, match="f changes theta in place: copy it inside f"):
        check(spoiled, gradient, THETA)
    with pytest.raises(ValueError, match="gradient changes theta in place"):
        check(f, spoiled, THETA)
    np.testing.assert_array_equal(THETA, kept)


def test_it_judges_a_meta_gradient():
    task = rm.Quadratic([[[2.0, 1.0], [1.0, 3.0]]], [[0.0, 0.0]])
    loss = lambda t: float(rm.maml.objective(t, task, alpha=0.25, steps=2)[0])  # noqa: E731
    assert check(loss, lambda t: rm.maml.gradient(t, task, alpha=0.25, steps=2)[0], [4.0, 8.0]).word == "RIGHT"
    assert check(loss, lambda t: rm.maml.first_order_gradient(t, task, alpha=0.25, steps=2)[0], [4.0, 8.0]).word == "WRONG"


def test_a_small_entry_that_is_wrong_by_half_is_not_rounding():
    """Beside an entry that is ten thousand million times as large; a gradient by differences is rounded in most entries."""
    f = lambda t: 1e10 * t[0] ** 2 + t[1] ** 2
    assert check(f, lambda t: np.array([2e10 * t[0], 3 * t[1]]), np.ones(2)).word == "WRONG"
    smooth, x = (lambda t: np.sum(np.sin(t) * np.arange(1, 7)) + t[0] ** 3), np.array([0.3, 1.0, np.pi / 2, -0.5, 2.0, 0.1])
    numeric = lambda t: np.array([(smooth(t + e) - smooth(t - e)) / 2e-5 for e in 1e-5 * np.eye(6)])
    assert check(smooth, numeric, x).word == "ROUNDING"


@pytest.mark.parametrize(("form", "words"), [("%.6g", {"RIGHT"}), ("%.8g", {"RIGHT"}), ("%.4g", {"CANNOT TELL"})])
def test_a_loss_that_was_printed_with_few_digits_is_rounded_to_them(form, words):
    """As by `cout` of C++: between two steps it does not change at all, which is no slope of 0."""
    rng = np.random.default_rng(4)
    gradient = lambda t: np.array([2 * t[0] + 0.75 * np.sin(t[1]), 0.75 * np.cos(t[1]) * t[0]])
    printed = lambda t: float(form % (t[0] ** 2 + 0.75 * np.sin(t[1]) * t[0]))
    points = rng.normal(size=(12, 2))
    assert {check(printed, gradient, x).word for x in points} == words
    assert "RIGHT" not in {check(printed, lambda t: 1.5 * gradient(t), x).word for x in points}
