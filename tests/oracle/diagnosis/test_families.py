"""A choice with a number in it is named with its number, and nothing else is."""


import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.choices import factor_or_choice, single_matches
from refmeta.oracle.diagnosis.families import family_matches
from refmeta.oracle.suites import SUITES
from tests.oracle.diagnosis.planted import UNKNOWN, failures

FAMILIES = [
    ("maml-quadratic", "", "momentum {}", 0.37),
    ("maml-quadratic", "", "weight decay {}", 0.043),
    ("reptile", "", "weights {}^i, sum", 0.6),
    ("implicit", "", "{} added to lambda", 0.21),
    ("policy-gradient", "hvp", "{} v more", 0.083),
    ("soft-return", "grad", "{} for tau", 0.137),
    ("episodic-return", "grad", "gamma is {}", 0.83),
    ("episodic-return", "value", "an end is worth {}", -1.7),
    ("implicit-early", "cg", "damped by {}", 0.1),
    ("implicit-early", "neumann", "damped by {}", 0.37),
    ("implicit-early", "cg", "damped by {}", 5),
    ("soft-return", "grad", "the slope of later states times {}", 0.73),
    ("soft-return", "grad", "undiscounted, {} steps where there is no horizon", 137),
    ("soft-return", "hvp", "{} steps where there is none, and visits undiscounted", 50),
    ("policy-gradient", "hvp", "undiscounted, {} steps where there is no horizon", 40),
    ("policy-gradient", "grad", "{} steps where there is none, and visits undiscounted", 90),
]


def at(suite, part, words, number):
    """A change for `failures`: the part where a family has this number."""
    about = SUITES[suite]
    choice, make, *_ = about.families[words]
    point = {choice: make(number)} if isinstance(choice, str) else dict(zip(choice, make(number), strict=True))
    return lambda right, x: about.variant(part or about.array, about.problem(x), point)


@pytest.mark.parametrize(("suite", "part", "words", "number"), FAMILIES)
def test_a_number_inside_a_choice_is_named_with_it(suite, part, words, number):
    """No choice without a number, and no factor, explains it."""
    failing, settings = failures(suite, at(suite, part, words, number), part)
    assert not single_matches(failing, settings) and not factor_or_choice(failing, settings)
    (match,) = family_matches(failing, settings)
    choice = SUITES[suite].families[words][0]
    names = choice if isinstance(choice, str) else " and ".join(choice)
    assert match.what == f"computes another formula, {names}: {words.format(number)}"
    for o in failing:
        for name, got in o.got.items():
            np.testing.assert_allclose(match.value(o.case, name), got, rtol=1e-8, atol=1e-9)


def test_a_number_that_is_a_start_of_the_search_is_found_whatever_the_rounding():
    """A sum of 300 steps: the residual at the start is rounding, and cannot fall."""
    words, rng = "{} steps where there is none, and visits undiscounted", np.random.default_rng(0)
    exact = at("soft-return", "grad", words, 300)
    for _ in range(4):
        noisy = lambda right, x: exact(right, x) * (1 + 1e-14 * rng.uniform(-1, 1, right.shape))
        failing, settings = failures("soft-return", noisy, "grad")
        assert [m.what for m in family_matches(failing, settings)] == [f"computes another formula, horizon and visits: {words.format(300)}"]


def test_a_number_that_differs_by_case_is_in_no_family():
    """Every vector has a momentum of its own."""
    failing, settings = failures("maml-quadratic", lambda right, x: at("maml-quadratic", "", "momentum {}", abs(np.sin(x["theta"][0])))(right, x))
    assert not family_matches(failing, settings, now() + 1)


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-quadratic", "reptile", "implicit"])
def test_other_numbers_are_in_no_family(suite, change):
    failing, settings = failures(suite, change)
    assert not family_matches(failing, settings, now() + 1)


def test_three_wrong_entries_are_no_evidence():
    """Too many families give three numbers."""
    failing, settings = failures("reptile", at("reptile", "", "weights {}^i, sum", 0.6))
    short = [o for o in failing if o.got["update"].size < 4][:1]
    assert short and family_matches(failing, settings) and not family_matches(short, settings)


def test_after_its_time_nothing_is_tried():
    failing, settings = failures("reptile", at("reptile", "", "weights {}^i, sum", 0.6))
    assert not family_matches(failing, settings, until=now() - 1)


def summed_without_gamma(steps, whole):
    """A gradient of the return with entropy as a loop over time; without a horizon it ends after so many steps, and γᵗ is dropped."""

    def grad(theta, P, R, rho, gamma, horizon, temperature, features, v):
        S, A = P.shape[1:3]
        logits = theta.reshape(S, A) if features is None else features @ theta
        logs = logits - np.max(logits, axis=-1, keepdims=True)  # not shifted, a softmax loses digits where a logit is 800
        logs = logs - np.log(np.sum(np.exp(logs), axis=-1, keepdims=True))
        pi, r, n, rows = np.exp(logs), R if np.ndim(R) == 3 else np.sum(P * R, axis=-1), steps if horizon is None else horizon, []
        for i in range(len(P)):
            kernel, paid = np.einsum("sa,sat->st", pi, P[i]), np.sum(pi * (r[i] - temperature * logs), axis=-1)
            V = np.linalg.solve(np.eye(S) - gamma * kernel, paid) if whole and horizon is None else np.zeros(S)
            values = [V]
            for _ in range(n):
                values.append(V if whole and horizon is None else paid + gamma * kernel @ values[-1])
            d, total = np.broadcast_to(rho, (len(P), S))[i], np.zeros((S, A))
            for t in range(n):
                total += d[:, None] * pi * (r[i] + gamma * P[i] @ values[n - t - 1] - temperature * logs)
                d = d @ kernel
            total -= pi * np.sum(total, axis=-1, keepdims=True)
            rows.append(total.ravel() if features is None else np.einsum("sad,sa->d", features, total))
        return {"grad": -np.array(rows)}

    return grad


@pytest.mark.parametrize(("steps", "whole", "words"), [
    (137, True, "visits: undiscounted, 137 steps where there is no horizon"),
    (300, False, "horizon and visits: 300 steps where there is none, and visits undiscounted"),
    (170, False, "horizon and visits: 170 steps where there is none, and visits undiscounted"),
    (45, False, "horizon and visits: 45 steps where there is none, and visits undiscounted"),
])  # fmt: skip
def test_a_discount_dropped_in_a_sum_that_is_cut_is_named_with_its_length(steps, whole, words):
    with pytest.raises(AssertionError, match=f"grad: computes another formula, {words}, in 20 of 20"):
        rm.oracle.check(summed_without_gamma(steps, whole), "soft-return", seconds=60.0)
