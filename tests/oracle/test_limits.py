"""Limits of parameters and gradients are what they say; so is what a suite says that its vectors cannot see.

A limit just inside a bound is seen, one just outside is not.
"""

import re

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.meta import maml, reptile
from refmeta.oracle.clamps import ClampedSoftmax
from refmeta.oracle.limits import with_clipped_gradient, within
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.episodic_return import wrong as of_episodes
from refmeta.oracle.suites.expected_estimators import wrong_limits as of_expectations
from refmeta.oracle.suites.implicit import wrong as of_implicit
from refmeta.oracle.suites.maml import wrong_limits as of_maml
from refmeta.oracle.suites.maml_sampled import wrong_limits as of_batches
from refmeta.oracle.suites.meta_lstm import wrong as of_lstm
from refmeta.oracle.suites.meta_lstm.definition import Formulas
from refmeta.oracle.suites.model import wrong_limits as of_model
from refmeta.oracle.suites.model.problem import maml_parts
from refmeta.oracle.suites.pearl import wrong_limits as of_pearl
from refmeta.oracle.suites.pearl.definition import Pearl
from refmeta.oracle.suites.policy_gradient import wrong as of_policies
from refmeta.oracle.suites.soft_return import wrong as of_soft_returns
from refmeta.oracle.suites.surrogates import wrong_limits as of_surrogates
from refmeta.oracle.vectors import cases
from refmeta.problems import KINDS, random_problem
from refmeta.tolerance import error_in_tolerances

MAML = [name for name in SUITES if SUITES[name].chapter == "maml"]
CLAMPED = {
    **dict.fromkeys(MAML, of_maml._with_softmax),
    "policy-gradient": of_policies._with_softmax, "soft-return": of_soft_returns._with_softmax, "episodic-return": of_episodes._with_softmax, "expected-estimators": of_expectations._with_softmax,
    "model": of_model._with_softmax, "surrogates": of_surrogates._with_softmax,
    "pearl": lambda p, use: of_pearl.all_parts(p, Pearl(softmax=use)),
    "maml-sampled": of_batches._with_softmax, "meta-lstm": lambda p, use: of_lstm.all_parts(p, Formulas(softmax=use)),
}  # fmt: skip
BOUNDED = {"maml-lq": of_maml._with_log_sigma, "maml-sampled": of_batches._with_log_sigma, "surrogates": of_surrogates._with_log_sigma, "pearl": of_pearl._factors_within}


def clipped(suite, p, most):
    """The suite's result with gradients, or steps, of at most this norm."""
    if suite == "reptile":
        step = np.mean(p.adapted - p.theta, axis=0)
        return reptile.update(p.theta, [p.theta + step * min(1.0, most / np.linalg.norm(step))], epsilon=p.epsilon)
    if suite == "meta-lstm":
        return of_lstm._with_clipped_gradient(p, most)
    if suite == "maml-sampled":
        return of_batches._with_clipped_gradient(p, most)
    if suite == "model":
        return maml_parts(p, with_clipped_gradient(p.support, most), p.truth)
    if suite == "expected-estimators":
        task = of_expectations._batch(p)
        support = with_clipped_gradient(task, most)
        return {"formulation_exact": maml.gradient(p.theta, support, task, alpha=p.alpha, steps=p.steps)}
    return maml.gradient(p.theta, with_clipped_gradient(p.support, most), p.query, **p.hyper)


def shortened(suite, p, most):
    """The suite's result after at most so many steps."""
    few = min(p.steps, int(most))
    if suite == "maml-sampled":
        return of_batches._with_few_steps(p, few)
    alpha = p.alpha[:few] if np.ndim(getattr(p, "alpha", 0)) == 2 else getattr(p, "alpha", 0)
    if hasattr(p, "hyper"):
        return maml.gradient(p.theta, *p.split, **p.hyper | {"alpha": alpha, "steps": few})
    fewer = replace_fields(p, steps=few) if suite == "expected-estimators" else p._replace(steps=few)
    fewer = fewer._replace(alpha=alpha) if suite == "model" else fewer
    parts = {"meta-lstm": ("objective", "exact_c0"), "model": ("objective", "gradient"), "expected-estimators": ("formulation_exact",)}
    return {part: SUITES[suite].answer(part, fewer) for part in parts[suite]}


def bounded(suite, p, **inputs):
    """All parts of the suite where some inputs are others."""
    other = replace_fields(p, **inputs)
    return {part: SUITES[suite].answer(part, other) for part in SUITES[suite].parts}


def ended_early(p, share):
    """Conjugate gradients that end, besides after their steps, where the residual is at most this share of g."""
    g, rows = SUITES["implicit-early"].answer("one_step", p) / p.eta, []
    columns = [p.support.at(0 * g + p.theta).hvp(0 * g + e) / p.strength for e in np.eye(g.shape[-1])]
    for H, b in zip(np.eye(g.shape[-1]) + np.stack(columns, axis=-1), g, strict=True):
        x, r, step = 0 * b, b, b
        for _ in range(p.cg_steps):
            if np.linalg.norm(r) <= max(share, 1e-14) * np.linalg.norm(b):
                break
            length = (r @ r) / (step @ H @ step)
            x, new = x + length * step, r - length * H @ step
            step, r = new + (new @ new) / (r @ r) * step, new
        rows.append(x)
    return {"cg": np.array(rows)}


LIMITS = {
    "clamps of logits beyond": (1, lambda suite, p, b: CLAMPED[suite](p, ClampedSoftmax(logit=b))),
    "clamps of probabilities below": (-1, lambda suite, p, b: CLAMPED[suite](p, ClampedSoftmax(least=b))),
    "clips of inner gradients above": (1, clipped),
    "clips of steps above": (1, clipped),
    "clips of gradients above": (1, clipped),
    "limits of K from": (1, shortened),
    "limits of conjugate gradients from": (1, lambda suite, p, b: of_implicit._by_few_steps(p, int(b))),
    "limits of terms from": (1, lambda suite, p, b: bounded(suite, p, terms=min(p.terms, int(b)))),
    "limits of unrolled steps from": (1, lambda suite, p, b: bounded(suite, p, steps=min(p.steps, int(b)), kept=min(p.kept, int(b)))),
    "ends of conjugate gradients at residuals below": (-1, lambda suite, p, b: ended_early(p, b)),
    "clamps of log sigma below": (-1, lambda suite, p, b: BOUNDED[suite](p, b, np.inf)),
    "clamps of log sigma above": (1, lambda suite, p, b: BOUNDED[suite](p, -np.inf, b)),
    "clamps of log variances below": (-1, lambda suite, p, b: BOUNDED[suite](p, b, np.inf)),
    "clamps of log variances above": (1, lambda suite, p, b: BOUNDED[suite](p, -np.inf, b)),
    "clips of rewards above": (1, lambda suite, p, b: bounded(suite, p, rewards=np.clip(p.rewards, -b, b))),
    "clips of ratios above": (1, lambda suite, p, b: bounded(suite, p, ratios=np.minimum(p.ratios, b))),
    "floors of variances below": (-1, lambda suite, p, b: of_model._with_variances_above(p, b)),
}


def is_seen(suite, limit, bound):
    """Does a limit miss a part of a vector by ten tolerances?  The first that it misses is enough; the last vectors are the extreme ones."""
    about = SUITES[suite]
    for case in reversed([case for case in cases(suite) if case.result == "valid"]):
        try:
            got = LIMITS[limit][1](suite, case.problem, bound)
        except AttributeError:
            continue
        for part, value in (got if isinstance(got, dict) else {about.array: got}).items():
            right = case.expected[part]
            rows = (lambda x: x) if about.parts[part].by_task else (lambda x: x[None])
            errors = error_in_tolerances(rows(value), rows(right.value), right.kappa, right.scale, about.residual)
            if np.max(errors) >= 10:
                return True
    return False


IN_WORDS = {"best values of policies that go round for ever, at no cost"}  # without a bound: tests/oracle/suites/test_episodic_return.py


def claims():
    """Each claim as the name of a limit and the bound."""
    every = [(name, claim, re.fullmatch(rf"({'|'.join(LIMITS)}) (\S+)", claim)) for name in SUITES for claim in SUITES[name].unseen if claim not in IN_WORDS]
    return [pytest.param(name, found[1], float(found[2]), id=f"{name}: {claim}") for name, claim, found in every]


@pytest.mark.parametrize(("suite", "limit", "bound"), claims())
def test_a_limit_is_seen_up_to_the_bound_and_not_beyond_it(suite, limit, bound):
    """A probability is raised to the claimed power of ten or to a tenth of it; the other bounds are exact to a hundredth."""
    if limit.startswith("limits"):
        inside, outside = bound - 1, bound
    elif "probabilities" in limit:
        inside, outside = bound, bound / 10
    else:
        step = LIMITS[limit][0] * 0.01 * abs(bound)
        inside, outside = bound - step, bound + step
    assert is_seen(suite, limit, inside) and not is_seen(suite, limit, outside)


def test_every_suite_says_what_its_vectors_cannot_see():
    assert all(suite.unseen for suite in SUITES.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_clipped_gradient_and_its_transposed_jacobian(kind):
    """Half of the norm: the slopes of the shortened gradient along v, against u, are those of `hvp(u)` along v."""
    case, rng = random_problem(np.random.default_rng(6), kind), np.random.default_rng(7)
    theta, task = case.theta, case.support
    most = np.min(np.linalg.norm(task.at(theta).grad, axis=-1)) / 2
    clipped, (u, v) = with_clipped_gradient(task, most), rng.normal(size=(2, theta.size))
    np.testing.assert_allclose(np.linalg.norm(clipped.at(theta).grad, axis=-1), most, rtol=1e-12)
    h = 1e-5
    along = (clipped.at(theta + h * v).grad - clipped.at(theta - h * v).grad) @ u / (2 * h)
    np.testing.assert_allclose(clipped.at(theta).hvp(u) @ v, along, rtol=1e-6, atol=1e-8)
    loose = with_clipped_gradient(task, 1e9).at(theta)
    np.testing.assert_array_equal(loose.grad, task.at(theta).grad)
    np.testing.assert_allclose(loose.hvp(u), task.at(theta).hvp(u), rtol=1e-14)


def test_a_parameter_beyond_its_bound_stays_there_and_has_no_slope():
    """½(θ − c)ᵀA(θ − c) at (3, 1) in [0, 2]: as at (2, 1), c = 0, A = [[2, 1], [1, 3]]: 15/2, (0, 5), and A's last entry."""
    task = within(rm.Quadratic([[[2.0, 1.0], [1.0, 3.0]]], [[0.0, 0.0]]), np.zeros(2), np.full(2, 2.0))
    point = task.at(np.array([3.0, 1.0]))
    assert (point.loss.tolist(), point.grad.tolist(), point.hvp(np.ones(2)).tolist()) == ([7.5], [[0.0, 5.0]], [[0.0, 3.0]])
