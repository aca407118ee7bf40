"""The suite `implicit-early`: its rows by hand, its choices against the library, and whom it calls right."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.choices import singles
from refmeta.oracle.diagnosis.choices import single_matches
from refmeta.oracle.judge import JudgeSettings, gap, judge, limit_of
from refmeta.oracle.suites.implicit_early import SUITE
from refmeta.oracle.suites.implicit_early.problem import Early, answer, problem
from refmeta.oracle.vectors import cases

VALID = [case for case in cases("implicit-early") if case.result == "valid"]
ROWS = {row.slug: row for row in SUITE.rows}
HAND = Early(
    np.array([0.0]), rm.Quadratic([[[1.0]]], [[3.0]]), rm.Quadratic([[[2.0]]], [[0.0]]), 2.0,
    eta=0.5, terms=2, cg_steps=1, steps=2, kept=1, delta=0.5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        # φ* = 1, g = 2, H = 3/2, ηH = 3/4: two terms are 5/4; φ_2 = 15/16, and one kept step is 15/16
        ("neumann-without-step-size", {"neumann": 5 / 2, "finite_difference": 5 / 2, "one_step": 2, "truncated": 15 / 8}),
        ("neumann-step-size-one", {"neumann": 1, "finite_difference": 1}),
        ("truncation-off-by-one", {"neumann": 21 / 16, "finite_difference": 21 / 16, "cg": 4 / 3, "truncated": 15 / 16 * 5 / 4}),
        ("truncation-one-fewer", {"neumann": 1, "finite_difference": 1, "cg": 0, "truncated": 0}),
        ("finite-difference-wrong-factor", {"finite_difference": 1 + 0.5 * (2 - (1 + 0.5 * 0.25))}),
        ("finite-difference-not-halved", {"finite_difference": 1 + 0.5 * (2 - 2)}),
        ("early-hessian-not-over-strength", {"neumann": 1, "finite_difference": 1, "cg": 1}),
        ("cg-from-the-right-side", {"cg": 4 / 3}),
        ("truncated-start-differentiated", {"truncated": 15 / 16 * (1 + 1 / 2)}),
        ("early-solved-to-the-end", {"neumann": 4 / 3, "finite_difference": 4 / 3, "one_step": 4 / 3, "cg": 4 / 3}),
        ("early-first-order", {"neumann": 2, "finite_difference": 2, "cg": 2}),
    ],
)
def test_rows_by_hand(slug, expected):
    got = ROWS[slug].result(HAND)
    assert set(got) == set(expected)
    for part, value in expected.items():
        assert got[part][0, 0] == pytest.approx(value, abs=1e-14), part


@pytest.mark.parametrize(("words", "g"), [("after the unrolled steps", 15 / 8), ("the minimiser without the proximal term", 6)])
def test_another_phi_by_hand(words, g):
    """One step is g/2, two terms are 5/8 of g, and one step of conjugate gradients is 2/3 of g."""
    point = {"phi": SUITE.choices["phi"][words]}
    for part, share in {"one_step": 1 / 2, "neumann": 5 / 8, "finite_difference": 5 / 8, "cg": 2 / 3}.items():
        assert SUITE.variant(part, HAND, point)[0, 0] == pytest.approx(share * g, abs=1e-14)
    assert SUITE.variant("truncated", HAND, point) is None


@pytest.mark.parametrize(
    ("choice", "words", "part", "expected"),
    [
        ("proximal term of the unrolled steps", "left out", "truncated", 21 / 16),  # φ_1 = 3/4, φ_2 = 21/16
        ("proximal term of the unrolled steps", "2 lambda (phi - theta)", "truncated", 9 / 16),
        ("proximal term of the unrolled steps", "phi - theta", "truncated", 9 / 8),
        ("proximal term of the unrolled steps", "lambda/2 (phi - theta)", "truncated", 9 / 8),
        ("proximal term of the unrolled steps", "lambda^2 (phi - theta)", "truncated", 9 / 16),
        ("signs of the terms", "in turn, plus first", "neumann", 3 / 4),  # the terms are 1 and 1/4
        ("signs of the terms", "in turn, plus last", "finite_difference", -3 / 4),
    ],
)
def test_other_steps_and_terms_by_hand(choice, words, part, expected):
    assert SUITE.variant(part, HAND, {choice: SUITE.choices[choice][words]})[0, 0] == pytest.approx(expected, abs=1e-14)


def test_one_step_length_for_all_tasks_is_one_system_of_all_tasks():
    """Conjugate gradients for the matrix with the tasks' matrices on its diagonal."""
    for case in VALID[:6]:
        p = case.problem
        got = SUITE.variant("cg", p, {"step lengths": SUITE.choices["step lengths"]["one for all tasks"]})
        g = answer("one_step", p) / p.eta
        N, d = g.shape
        columns = [p.support.at(np.broadcast_to(p.theta, (N, d))).hvp(np.broadcast_to(e, (N, d))) for e in np.eye(d)]
        H, whole = np.stack(columns, axis=-1), np.eye(N * d)
        for i in range(N):
            whole[i * d : (i + 1) * d, i * d : (i + 1) * d] += H[i] / p.strength
        x, r = np.zeros(N * d), g.ravel()
        step = r
        for _ in range(p.cg_steps):
            length = (r @ r) / (step @ whole @ step)
            x, new = x + length * step, r - length * whole @ step
            step, r = new + (new @ new) / (r @ r) * step, new
        np.testing.assert_allclose(got.ravel(), x, rtol=1e-11, atol=1e-12)


def test_every_row_is_told_from_what_is_right_by_a_vector():
    assert set(ROWS) == {slug for case in VALID for slug in case.discriminates}


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.id)
def test_no_departure_is_the_library(case):
    for part in SUITE.parts:
        got, right = SUITE.variant(part, case.problem, {}), answer(part, case.problem)
        np.testing.assert_allclose(got, right, rtol=0, atol=1e-11 * np.max(np.abs(right)))


@pytest.mark.parametrize(("choice", "words"), singles(SUITE.choices))
def test_every_departure_is_seen_by_a_vector(choice, words):
    found = []
    for case in VALID:
        for part in SUITE.parts:
            value = SUITE.variant(part, case.problem, {choice: SUITE.choices[choice][words]})
            if value is not None and value.shape == case.expected[part].value.shape:
                found.append(gap(value, case.expected[part].value, limit_of(case, part, JudgeSettings())))
            elif value is not None:
                found.append(np.inf)
    assert max(found) > 10


def test_terms_have_the_shape_of_a_part():
    for case in VALID:
        assert all(term().shape == case.expected["cg"].value.shape for term in SUITE.additions("cg", case.problem).values())


INVALID = [case for case in cases("implicit-early") if case.result == "invalid"]


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.id)
def test_what_is_invalid_is_refused_by_a_method_in_a_sentence(case):
    with pytest.raises(ValueError, match="at least 1|at most steps|positive|spectral radius|every number must be finite"):
        given = problem(case.arguments())
        for part in SUITE.parts:
            answer(part, given)


def plain_conjugate_gradients(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength, steps):
    """Conjugate gradients as in a textbook, on dense matrices, task by task."""
    curvature = lambda A, X: A if X is None else np.einsum("nij,nik->njk", X, X) / X.shape[1]
    slope = lambda A, c, X, y, phi: A @ (phi - c) if X is None else X.T @ (X @ phi - y) / len(y)
    rows, one = [], np.eye(len(theta))
    at = lambda i, *data: [None if each is None else each[i] for each in data]
    for i, H in enumerate(curvature(A, X)):
        support, query = at(i, A, c, X, y), at(i, query_A, query_c, query_X, query_y)
        phi = theta - np.linalg.solve(H + strength * one, slope(*support, theta))
        M, b = one + H / strength, slope(*query, phi)
        x, r, p = 0 * b, b, b
        for _ in range(steps):
            if r @ r < 1e-28 * (b @ b) or r @ r == 0:
                break
            length = (r @ r) / (p @ M @ p)
            x, new = x + length * p, r - length * M @ p
            p, r = new + (new @ new) / (r @ r) * p, new
        rows.append(x)
    return np.array(rows)


def test_who_stops_after_five_steps_on_purpose_is_right_here_and_who_does_so_by_mistake_is_told_there():
    def early(eta, terms, cg_steps, steps, kept, delta, **data):
        return {"cg": plain_conjugate_gradients(**data, steps=cg_steps)}

    assert all(o.verdict in ("pass", "unasked") for o in rm.oracle.check(early, "implicit-early"))
    with pytest.raises(AssertionError, match=r"EXACT match with known-wrong formula steps-at-most-five .* five steps of conjugate gradients"):
        rm.oracle.check(lambda **data: plain_conjugate_gradients(**data, steps=5), "implicit", seconds=3.0)
    with pytest.raises(AssertionError, match="linear system: 2 steps of conjugate gradients"):
        rm.oracle.check(lambda **data: plain_conjugate_gradients(**data, steps=2), "implicit", seconds=3.0)


def test_who_takes_five_steps_whatever_is_asked_for_is_told_so():
    def five(eta, terms, cg_steps, steps, kept, delta, **data):
        return {"cg": plain_conjugate_gradients(**data, steps=5)}

    with pytest.raises(AssertionError, match=r"cg: computes another formula, in (\d+) of \1 failing vectors: steps of conjugate gradients: five in every case"):
        rm.oracle.check(five, "implicit-early", seconds=10.0)


def library_without_a_factor(eta, terms, cg_steps, steps, kept, delta, **data):
    """Neumann's series as it is often written."""
    given = problem(data | {"eta": eta, "terms": terms, "cg_steps": cg_steps, "steps": steps, "kept": kept, "delta": delta})
    return {"neumann": answer("neumann", given) / eta}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("cg", "steps of conjugate gradients: five in every case"), ("neumann", "terms of the series: three in every case"),
        ("finite_difference", "terms of the series: ten in every case"), ("truncated", "differentiated steps: two in every case"),
    ],
)  # fmt: skip
def test_who_takes_the_same_number_in_every_case_is_told_of_what(part, words):
    name, each = words.split(": ")
    failing = []
    for case in VALID:
        value = SUITE.variant(part, case.problem, {name: SUITE.choices[name][each]})
        if judge(case, {part: value}, JudgeSettings()).verdict == "mismatch":
            failing.append(judge(case, {part: value}, JudgeSettings()))
    (line,) = [m.line for m in single_matches(failing, JudgeSettings()) if words in m.line]
    assert line == f"computes another formula, in {len(failing)} of {len(failing)} failing vectors: {words}"
    others = [other for other in SUITE.parts if SUITE.variant(other, VALID[0].problem, {name: SUITE.choices[name][each]}) is not None]
    assert part in others and set(others) <= {"neumann", "finite_difference"} or others == [part]


def test_a_mistake_is_named():
    with pytest.raises(AssertionError, match="known-wrong formula neumann-without-step-size"):
        rm.oracle.check(library_without_a_factor, "implicit-early", seconds=3.0)


@pytest.mark.parametrize(("eta", "terms"), [(0.03, 4), (0.2, 7)])
def test_who_sums_a_few_terms_by_mistake_is_told_how_many_with_which_step(eta, terms):
    def few(**data):
        given = problem(data | {"eta": eta, "terms": terms, "cg_steps": 1, "steps": 1, "kept": 1, "delta": 1.0})
        return SUITE.variant("neumann", given, {})  # the library refuses such an eta where the strength is 2^-10

    words = f"{terms} steps of rate {eta} for the linear system, {terms} terms of Neumann's series, in 19 of 19 failing vectors"
    with pytest.raises(AssertionError, match=words):
        rm.oracle.check(few, "implicit", seconds=20.0)
