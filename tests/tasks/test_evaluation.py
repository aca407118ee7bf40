"""Evaluations: task after task as for all tasks at once, and both as `numpy.linalg.solve` has them."""

import numpy as np
import pytest

from refmeta import FiniteMDP, PolicyReturn, TabularSoftmax
from refmeta.problems import random_process
from refmeta.softmax import softmax
from refmeta.tasks import evaluation as room
from refmeta.tasks.evaluation import evaluation, evaluation_jvp
from refmeta.tasks.factors import SMALL

STATES = SMALL + 3  # so few that LARGE is set below them: LU factors, task after task


def problem(batch, dtype=float, ends=False, gamma=0.9):
    """A process with these batch axes, a policy, rewards (..., S) and weights (..., S, A)."""
    rng = np.random.default_rng(len(batch))
    P = rng.dirichlet(np.ones(STATES), (*batch, STATES, 2))
    terminal = None
    if ends:
        P[..., 3, :, :] = np.arange(STATES) == 3
        terminal = np.arange(STATES) == 3
    mdp = FiniteMDP(P, np.zeros((*batch, STATES, 2)), rng.dirichlet(np.ones(STATES)), gamma, terminal=terminal)
    logits, w, step = rng.normal(size=(3, *batch, STATES, 2)) * (1 + 1e-3j if dtype is complex else 1)
    pi = softmax(logits)
    return mdp, pi, pi[..., 0] - 0.3 * step[..., 1], w


def by_both_roads(monkeypatch, f):
    """The result task after task, and that of all tasks at once."""
    monkeypatch.setattr(room, "LARGE", SMALL)
    by_task = f()
    monkeypatch.setattr(room, "LARGE", STATES)
    return by_task, f()


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_both_roads_have_the_same_evaluation(monkeypatch, batch, dtype, ends):
    mdp, pi, r, w = problem(batch, dtype, ends)
    one, other = by_both_roads(monkeypatch, lambda: evaluation(mdp, pi, r))
    M = np.eye(STATES) - 0.9 * np.einsum("...sa,...sat->...st", pi, mdp.onward)
    V = np.linalg.solve(M, r[..., None])[..., 0]
    assert other.expected is None
    for got in (one, other._replace(expected=mdp.expect(other.value))):
        np.testing.assert_allclose(got.value, V, rtol=0, atol=1e-13)
        np.testing.assert_allclose(got.expected, np.einsum("...sat,...t->...sa", mdp.onward, V), rtol=0, atol=1e-13)
        expected = np.einsum("...sat,...t->...sa", mdp.onward, np.linalg.solve(M, w[..., :1])[..., 0])
        visits = np.linalg.solve(M.swapaxes(-1, -2), np.einsum("...sat,...sa->...t", mdp.onward, w)[..., None])[..., 0]
        for PV, d in by_both_roads(monkeypatch, lambda got=got: evaluation_jvp(mdp, got.factors, w[..., 0], w)):
            assert PV.shape == w.shape and d.shape == r.shape
            np.testing.assert_allclose(PV, expected, rtol=0, atol=1e-13)
            np.testing.assert_allclose(d, visits, rtol=0, atol=1e-13)


def test_a_complex_direction_at_a_real_policy(monkeypatch):
    mdp, pi, r, w = problem((3,))
    v = w + 1e-20j * w[..., ::-1]
    factors = by_both_roads(monkeypatch, lambda: evaluation(mdp, pi, r))[0].factors
    for got, parts in zip(
        by_both_roads(monkeypatch, lambda: evaluation_jvp(mdp, factors, v[..., 0], v)),
        by_both_roads(monkeypatch, lambda: evaluation_jvp(mdp, factors, w[..., 1], w[..., ::-1].copy())), strict=True,
    ):  # fmt: skip
        for x, imaginary in zip(got, parts, strict=True):
            np.testing.assert_allclose(x.imag, 1e-20 * imaginary, rtol=0, atol=1e-33)


def test_a_singular_matrix_is_named_task_after_task(monkeypatch):
    """γ = 1: state 2 of task [1, 0] is kept for ever."""
    monkeypatch.setattr(room, "LARGE", SMALL)
    mdp, pi, r, _ = problem((2, 2), ends=True, gamma=1.0)
    mdp.onward.flags.writeable = True
    mdp.onward[1, 0, 2] = np.arange(STATES) == 2
    pi = np.round(pi * 4) / 4
    with pytest.raises(FloatingPointError, match=r"of task \[1, 0\] is singular: a pivot is zero"):
        evaluation(mdp, pi, r)


def test_a_loss_alone_does_not_read_p_again(monkeypatch):
    """P is read for P_π alone; PV and the visits belong to the gradient."""
    mdp = random_process(np.random.default_rng(0), 3, 4, 2, 0.9)
    point = PolicyReturn(mdp, TabularSoftmax(4, 2)).at(np.zeros(8))
    monkeypatch.setattr(FiniteMDP, "expect", lambda mdp, V: pytest.fail("PV was asked for"))
    monkeypatch.setattr(FiniteMDP, "push", lambda mdp, w: pytest.fail("visits were asked for"))
    assert point.loss.shape == (3,)


@pytest.mark.parametrize("shared", [False, True])
def test_the_gradient_and_the_hessian_product_on_both_roads(monkeypatch, shared):
    """Also where the tasks share one P, and where the directions have more axes than the tasks: then all tasks are taken at once."""
    rng = np.random.default_rng(0)
    mdp = random_process(rng, 3, STATES, 2, 0.9)
    task = PolicyReturn(FiniteMDP(mdp.P[:1], mdp.R, mdp.rho, 0.9) if shared else mdp, TabularSoftmax(STATES, 2))
    theta, v = rng.normal(size=(2, task.dim)), rng.normal(size=(4, 1, task.dim))
    for at, along in ((theta[0], v[0, 0]), (theta[0], v), (theta[:, None], v[0])):
        one, other = by_both_roads(monkeypatch, lambda at=at, along=along: [(p := task.at(at)).grad, p.hvp(along)])
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-14 * np.max(np.abs(b)))
