"""Sampled meta-gradients: the definition is the library, and an ε has the effect that is said."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.evidence.definitions import all_trajectories, formulation
from refmeta.judges import complex_step
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suites.expected_estimators import SUITE
from refmeta.oracle.suites.expected_estimators.problem import problem
from refmeta.oracle.vectors import cases

CASES = {case.id[-3:]: case for case in cases(SUITE.name) if case.result == "valid"}


def test_expectations_give_back_the_inputs_that_they_were_made_of():
    for case in CASES.values():
        inputs = case.problem.inputs
        assert set(inputs) == set(SUITE.inputs) and problem(SUITE.arguments(inputs)).inputs == inputs


def test_without_a_step_no_row_says_anything_of_the_sampled_objective():
    for row in SUITE.rows:
        assert "formulation_sampled" not in row.function(CASES["015"].problem)


@pytest.mark.parametrize("part", ["formulation_exact", "formulation_sampled"])
def test_the_objectives_of_the_definition_are_those_of_the_library(part):
    for case in (CASES["002"], CASES["004"]):
        p = case.problem
        for i, task in enumerate(p.tasks):
            more = {} if part == "formulation_exact" else {"episodes": p.episodes}
            library = getattr(rm.sampled, part)(p.theta, task, alpha=p.alpha, steps=p.steps, **more)
            value = formulation(part, task, p.theta, p.alpha, p.episodes, p.steps)
            np.testing.assert_allclose(value, [library.objective, *library.gradient], rtol=1e-12)
            np.testing.assert_allclose(value[1:], case.expected[part].value[i], rtol=1e-12)


def logs(task, path, t):
    """ln π of the steps of a trajectory."""
    return np.array([task.policy.log_prob(t, s, a) for s, a in path])


def test_an_epsilon_in_the_sampled_steps_has_the_effect_of_a_finite_one():
    """M = K = 1: the mean over trajectories of L(θ + α Σ γᵗĜ_t π/(π + ε) ∇ ln π), every one in turn."""
    case = CASES["001"]
    p = case.problem
    effect = SUITE.effects(case, "formulation_sampled")["log(π + ε)"]()

    def gradient(task, e):
        total = np.zeros(task.dim)
        for weight, path, to_go in all_trajectories(task, p.theta):

            def term(t, path=path, to_go=to_go):
                w = to_go / (1 + e * np.exp(-logs(task, path, t)))
                phi = t + p.alpha * sum(x * task.policy.score(t, s, a) for x, (s, a) in zip(w, path, strict=True))
                return np.exp(np.sum(logs(task, path, t) - logs(task, path, p.theta))) * task.at(phi).loss

            total += weight * complex_step(term, p.theta)
        return total

    for i, task in enumerate(p.tasks):
        np.testing.assert_allclose(gradient(task, 0.0), case.expected["formulation_sampled"].value[i], rtol=1e-12)
        np.testing.assert_allclose(effect[i], slope(lambda e, task=task: gradient(task, e), 1e-5), rtol=1e-6, atol=1e-9)


def test_an_epsilon_in_an_expected_hessian_has_the_effect_of_a_finite_one():
    """E of the Hessian product of −Σ γᵗĜ_t log(π + ε), every trajectory in turn."""
    case = CASES["001"]
    p = case.problem
    effect = SUITE.effects(case, "naive_hessian")["log(π + ε)"]()
    for i, task in enumerate(p.tasks):
        every = list(all_trajectories(task, p.theta))

        def loss(t, e, task=task, every=every):
            return -sum(w * np.sum(g * np.log(np.exp(logs(task, path, t)) + e)) for w, path, g in every)

        product = lambda e, f=loss: slope(lambda h: complex_step(lambda t: f(t, e), p.theta + h * p.v))
        np.testing.assert_allclose(product(0.0), case.expected["naive_hessian"].value[i], rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(effect[i], slope(product, 1e-5), rtol=1e-5, atol=1e-6)
