"""Implicit MAML that stops early by mistake."""

import numpy as np

from tests.oracle.field.mistake import Mistake
from tests.oracle.right import products as E


def solve(g, support, lam):
    """(I + ∇²L/λ)⁻¹ g."""
    return np.linalg.solve(np.eye(len(g)) + E.hessian(support) / lam, g)


def descend(theta, support, lam, count, rate):
    """So many steps of gradient descent from θ."""
    phi = theta
    for _ in range(count):
        phi = phi - rate * (E.slope(phi, support) + lam * (phi - theta))
    return phi


def cg_tolerance(g, Hv, tol):
    """Conjugate gradients until the residual is short beside g."""
    x, r = np.zeros_like(g), g
    p, rs, first = r, r @ r, np.sqrt(g @ g)
    while np.sqrt(rs) > tol * first:
        Hp = Hv(p)
        a = rs / (p @ Hp)
        x, r = x + a * p, r - a * Hp
        p, rs = r + (r @ r) / rs * p, r @ r
    return x


def full(theta, support, query, lam, count, rate):
    """The slope by θ through steps of gradient descent."""
    phi = descend(theta, support, lam, count, rate)
    back, total = E.slope(phi, query), 0 * theta
    for _ in range(count):
        total = total + rate * lam * back
        back = back - rate * lam * E.product(back, phi, support, lam)
    return total + back


def product(support, lam):
    """v → (I + ∇²L/λ)v."""
    return lambda v: E.product(v, None, support, lam)


def after(solved, answer):
    """What is made of φ, which is found, and of the query's gradient there."""

    def one(theta, support, query, lam):
        return answer(E.slope(solved(theta, support, lam), query), support, lam)

    return one


def target(one):
    """One row for each task."""

    def gradient(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
        rows = []
        for i in range(len(X if A is None else A)):
            support, query = ([None if x is None else x[i] for x in side] for side in ((A, c, X, y), (query_A, query_c, query_X, query_y)))
            rows.append(one(theta, support, query, strength))
        return np.stack(rows)

    return gradient


MISTAKES = [
    Mistake("implicit", "cg-three", target(after(E.minimiser, lambda g, s, lam: E.conjugate(g, product(s, lam), 3))),
            'Conjugate gradients: three steps.', ('conjugate',)),
    Mistake("implicit", "cg-loose", target(after(E.minimiser, lambda g, s, lam: cg_tolerance(g, product(s, lam), 1e-2))),
            'Conjugate gradients stop at a tolerance of 1e-2 of the first residual.', ('conjugate', 'residual')),
    Mistake("implicit", "neumann-slow", target(after(E.minimiser, lambda g, s, lam: E.series(g, product(s, lam), 0.1, 5))),
            "Neumann's series: five terms, eta 0.1.", ('rate', '0.1', 'term')),
    Mistake("implicit", "neumann-half-sixteen", target(after(E.minimiser, lambda g, s, lam: E.series(g, product(s, lam), 0.5, 16))),
            "Neumann's series: sixteen terms, eta 0.5.", ('rate', '0.5', 'term')),
    Mistake("implicit", "hessian-forgotten", target(after(E.minimiser, lambda g, s, lam: g)),
            'The Hessian is left out: the query gradient itself (T1 - T2 with one step).', ('not', 'solved', 'first', 'order')),
    Mistake("implicit", "phi-after-ten-steps", target(after(lambda theta, s, lam: descend(theta, s, lam, 10, 0.1), solve)),
            'Phi after ten gradient steps of 0.1; the linear system is exact.', ('after', '10', 'steps')),
    Mistake("implicit", "phi-is-theta", target(after(lambda theta, s, lam: theta, solve)),
            'Phi is theta: the inner problem is not solved.', ('start',)),
    Mistake("implicit", "imaml-sixteen-and-five", target(after(lambda theta, s, lam: descend(theta, s, lam, 16, 0.5 / lam), lambda g, s, lam: E.conjugate(g, product(s, lam), 5))),
            "Phi after 16 steps of 1/(2 lambda), and five conjugate steps: iMAML's defaults.", ('conjugate', 'after', 'steps')),
    Mistake("implicit", "unrolled-twenty", target(lambda theta, s, q, lam: full(theta, s, q, lam, 20, 0.1)),
            'Unrolled: twenty steps of 0.1, differentiated in full.', ('through', 'steps')),
    Mistake("implicit", "last-five-of-fifty", target(lambda theta, s, q, lam: E.unrolled(theta, s, q, lam, 0.5, 50, 5)),
            'Unrolled from theta held: the last five of fifty steps of 1/(2 lambda).', ('steps', 'after', 'rate')),
    Mistake("implicit", "cg-single-step", target(after(E.minimiser, lambda g, s, lam: E.conjugate(g, product(s, lam), 1))),
            'Conjugate gradients: a single step.', ('conjugate',)),
    Mistake("implicit", "neumann-five-terms", target(after(E.minimiser, lambda g, s, lam: E.series(g, product(s, lam), 1.0, 5))),
            "Neumann's series with eta 1: five terms.", ('neumann',)),
]  # fmt: skip
