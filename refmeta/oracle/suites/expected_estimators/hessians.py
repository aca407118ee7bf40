"""Expected Hessian products with some departures, by enumeration or by the product rule.  Derivation: derivations/sampled-meta-gradients.md"""

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.expected_estimators.kernels import log_policy, pulled, values, world
from refmeta.oracle.suites.expected_estimators.problem import Expectations
from refmeta.oracle.suites.expected_estimators.ways import OF_DRAWS, draws, subset

__all__ = ["FACTORS", "exact_product", "expected_product"]

h = 1e-30
FACTORS = {"visits held": "πQ", "values held": "πd", "visits and values held": "π", "policies held": "dQ", "values alone": "Q", "visits alone": "d"}
DEPENDENT = ("advantages", "baseline", "over trajectories", "sums", "batches", "trajectories used", "discount", "return")


def expected_product(name: str, problem: Expectations, i: int, theta: Array, u: Array, point: Point) -> Array:
    """E[∇²L̂ u] of a surrogate on a batch that was drawn at θ; a batch of M where its steps depend on each other."""
    kind, A = point.get("product", "exact"), problem.tasks[i].policy.actions
    if kind in FACTORS:
        return exact_product(problem, i, theta, u, FACTORS[kind])
    M = problem.episodes if set(DEPENDENT) & set(point) else 1
    drawn = draws(problem, i, M, name, None, subset(point, OF_DRAWS))
    logs = log_policy(theta + 1j * h * u, A)
    pi, flat = np.exp(logs), logs.ravel()
    p = drawn.weight * np.exp(drawn.visits @ flat.real) * drawn.scale
    if kind in ("fisher", "scores"):
        weight = drawn.visits if kind == "fisher" else -drawn.credit
        return np.asarray(pulled((p @ weight) * flat.imag / h, pi.real))
    bent = np.einsum("n,nij,j->i", p, drawn.bend, flat.imag / h) if drawn.bend.size else np.zeros(len(flat))
    outer, inner = pulled(bent, pi.real), pulled(p @ drawn.credit + 0j, pi).imag / h
    return np.asarray(-{"inner": inner, "outer": outer, "difference": inner - outer, "outer twice": inner + 2 * outer}.get(kind, inner + outer))


def exact_product(problem: Expectations, i: int, theta: Array, u: Array, moved: str) -> Array:
    """The derivative along u of −Σ γᵗ d_t ∇π Q_t where only some of d, ∇π and Q move."""
    task, w = problem.tasks[i], world(problem.tasks[i].mdp)
    A = task.policy.actions
    pi = {name: np.exp(log_policy(theta + 1j * h * u * (name in moved), A)) for name in "πdQ"}
    d, total = w.rho + 0j, np.zeros(pi["π"].shape, complex)
    for t, (_, Q) in enumerate(reversed(values(w, pi["Q"]))):
        total += w.gamma**t * d[:, None] * pi["π"] * (Q - np.sum(pi["π"] * Q, axis=-1, keepdims=True))
        d = (d[:, None] * pi["d"]).ravel() @ w.P
    return -total.ravel().imag / h
