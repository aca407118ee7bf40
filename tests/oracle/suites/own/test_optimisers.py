"""MAML through an inner optimiser on losses of one's own: right, named, refused."""

import numpy as np
import pytest

import refmeta as rm
from refmeta import inner
from refmeta.oracle.own_case import case_of
from refmeta.oracle.suites.maml_optimisers.problem import library_optimiser
from refmeta.oracle.suites.own.optimisers import rule_of

RNG = np.random.default_rng(3)
HALF = RNG.normal(size=(2, 2, 3, 4))
A, C = HALF @ HALF.swapaxes(-1, -2) / 4, RNG.normal(size=(2, 2, 3))
SUPPORT, QUERY = (rm.Quadratic((a + a.swapaxes(-1, -2)) / 2, c) for a, c in zip(A, C, strict=True))
THETA, INSIDE = RNG.normal(size=3), {"alpha": 0.2, "steps": 3}
RULES = [
    inner.GradientDescent(), inner.HeavyBall(0.9), inner.Nesterov(0.8), inner.RMSProp(0.9, 0.01), inner.Adam(0.8, 0.9, 0.01),
    inner.AdamEpsilonHat(0.8, 0.9, 0.01), inner.AdamEpsilonRoot(0.8, 0.9, 0.01), inner.DecayedWeights(0.1, inner.HeavyBall(0.9)),
    inner.DecoupledDecay(0.1, inner.Adam(0.8, 0.9, 0.01)), inner.DecoupledDecayPaper(0.1, inner.Adam(0.8, 0.9, 0.01)),
    inner.ClippedByNorm(0.5, inner.DecayedWeights(0.1, inner.Adam(0.8, 0.9, 0.01))), inner.ClippedByNorm(0.5, inner.RMSProp(0.9, 0.01)),
]  # fmt: skip


def meta(rule, function=rm.maml.gradient):
    """The meta-gradient through a rule."""
    return lambda theta: function(theta, SUPPORT, QUERY, optimiser=rule, **INSIDE)


def problem(gradient, rule, **more):
    return rm.oracle.Problem(THETA, SUPPORT, QUERY, *INSIDE.values(), gradient, optimiser=rule, **more)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_words_and_numbers_of_a_rule_are_the_rule(rule):
    assert library_optimiser(rule_of(rule)) == rule


@pytest.mark.eq("maml-gradient-optimiser")
def test_the_rule_that_is_meant_is_right_and_another_one_is_named():
    adam = RULES[4]
    assert problem(meta(adam), adam).diagnose().word == "RIGHT"
    for got, slug in ((meta(RULES[6]), "epsilon-inside"), (meta(adam, rm.maml.first_order_gradient), "first-order"), (meta(None), "optimiser-ignored")):
        found = problem(got, adam).diagnose()
        assert found.word == "WRONG" and f"{slug} " in found.what[0], found
        assert found.next[-1].startswith("compare yours with refmeta.adapt(theta, support, alpha=alpha, steps=steps, optimiser=refmeta.inner.Adam(")
    assert rm.oracle.diagnose(meta(adam), THETA, SUPPORT, QUERY, optimiser=adam, **INSIDE).word == "RIGHT"


@pytest.mark.parametrize(
    ("rule", "got", "slug", "written"),
    [
        (4, RULES[6], "epsilon-inside", f"optimiser=refmeta.inner.{RULES[6]}"),
        (4, RULES[5], "epsilon-hat", f"optimiser=refmeta.inner.{RULES[5]}"),
        (6, RULES[4], "epsilon-outside", f"optimiser=refmeta.inner.{RULES[4]}"),
        (9, RULES[8], "decay-with-alpha", f"optimiser=refmeta.inner.{RULES[8]}"),
        (8, RULES[9], "decay-without-alpha", f"optimiser=refmeta.inner.{RULES[9]}"),
    ],
)
def test_a_convention_that_is_meant_is_said_in_the_problem(rule, got, slug, written):
    """And the problem in which it is said so is right."""
    found = problem(meta(got), RULES[rule]).diagnose()
    assert f"a convention: {slug} (" in found.what[0] and found.next[0] == f"if you mean {slug}: say so in the problem, {written}", found
    assert not any("--" in line for line in (*found.what, *found.next)) and problem(meta(got), got).diagnose().word == "RIGHT"


def test_momentum_as_a_mean_is_another_step_size():
    ball = RULES[1]
    smaller = lambda theta: rm.maml.gradient(theta, SUPPORT, QUERY, alpha=(1 - 0.9) * INSIDE["alpha"], steps=INSIDE["steps"], optimiser=ball)
    found = problem(smaller, ball).diagnose()
    assert found.next[0] == "if you mean momentum-as-mean: say so in the problem, alpha=(1 - 0.9) * alpha", found


def test_a_convention_for_which_the_library_has_no_rule_is_judged_on_a_suite():
    rule = inner.ClippedByNorm(0.5)
    case = case_of(problem(None, rule))
    (row,) = [row for row in case.about.rows if row.slug == "clip-with-epsilon"]
    found = problem(row.result(case.problem), rule).diagnose()
    assert "a convention: clip-with-epsilon (" in found.what[0] and found.next[0].startswith("if you mean clip-with-epsilon: a Problem has no word"), found
    assert found.next[0].endswith("with --convention clip-with-epsilon")


def test_losses_of_another_scale_are_given_in_the_problem():
    """The suite of MAML without an optimiser has conventions of its own."""
    double = rm.maml.gradient(THETA, *(rm.Quadratic(2 * task.A, task.c) for task in (SUPPORT, QUERY)), **INSIDE)
    found = rm.oracle.diagnose(double, THETA, SUPPORT, QUERY, **INSIDE)
    assert found.next[0] == "if you mean loss-scale-double: say so in the problem, a support and a query whose losses are twice as large, as yours are", found


def test_what_is_no_rule_is_refused():
    rule = RULES[4]
    with pytest.raises(ValueError, match="an optimiser is taken by the algorithm 'maml' alone, got 'reptile'"):
        problem(meta(rule), rule, algorithm="reptile").diagnose()
    for other in (inner.DecayedWeights(0.1, inner.DecoupledDecay(0.1)), inner.DecayedWeights(0.1, inner.ClippedByNorm(1.0))):
        with pytest.raises(ValueError, match="optimiser must be a rule of refmeta.inner, perhaps inside one decay, inside one clip"):
            problem(meta(rule), other).diagnose()
    with pytest.raises(TypeError, match="rule with step and adjoint"):
        problem(meta(rule), "adam").diagnose()
