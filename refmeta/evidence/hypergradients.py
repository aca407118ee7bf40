"""Evidence for hypergradients that stop early: eigenvectors, fractions, complex steps, and orders of errors."""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array, matvec
from refmeta.evidence.checks import Check, Error, off
from refmeta.judges import complex_step
from refmeta.meta import implicit
from refmeta.oracle.decimals import dot, solution
from refmeta.problems import KINDS, MetaProblem, largest_curvature, random_problem, random_quadratic
from refmeta.tasks.quadratic import Quadratic

__all__ = [
    "CHECKS", "EarlyCase", "UnrolledCase", "krylov_solution", "random_early", "random_krylov", "random_unrolled", "steps_from",
]  # fmt: skip


class EarlyCase(NamedTuple):
    """Support and query, θ, λ, η, and the number of terms or steps."""

    support: Quadratic
    query: Quadratic
    theta: Array
    strength: float
    eta: float
    terms: int

    @property
    def inverse(self) -> Array:
        """H⁻¹, (N, d, d)."""
        return np.linalg.inv(self.H)

    @property
    def H(self) -> Array:
        """I + A/λ, (N, d, d)."""
        return np.eye(self.support.dim) + self.support.A / self.strength

    @property
    def minimum(self) -> Array:
        """φ* = H⁻¹(θ + Ac/λ)."""
        return matvec(self.inverse, self.theta + matvec(self.support.A, self.support.c) / self.strength)

    @property
    def slope(self) -> Array:
        """A_q(φ* − c_q)."""
        return matvec(self.query.A, self.minimum - self.query.c)

    @property
    def hyper(self) -> dict[str, Any]:
        """λ and η."""
        return {"strength": self.strength, "eta": self.eta}

    def polynomial(self, values: Array, g: Array) -> Array:
        """p(H) g, from the p of the eigenvalues of H."""
        vectors = np.linalg.eigh(self.H)[1]
        return np.einsum("nij,nj,nkj,nk->ni", vectors, values, vectors, g)

    def series(self, g: Array) -> Array:
        """η Σ_{j<k} (I − ηH)ʲ g through eigenvectors, summed term by term."""
        left = 1 - self.eta * np.linalg.eigvalsh(self.H)
        return self.polynomial(self.eta * np.sum([left**j for j in range(self.terms)], axis=0), g)

    def left(self, power: int, g: Array) -> Array:
        """(I − ηH)ᵏ g."""
        return self.polynomial((1 - self.eta * np.linalg.eigvalsh(self.H)) ** power, g)


def random_early(rng: Generator) -> EarlyCase:
    """Quadratics with eigenvalues of both signs, λ above them, η anywhere in (0, 2/h), one to five terms."""
    case = EarlyCase(random_quadratic(rng), random_quadratic(rng), rng.normal(size=3), float(rng.uniform(1.5, 4)), 1.0, 1)
    most = float(np.max(np.linalg.eigvalsh(case.H)))
    return case._replace(eta=float(rng.uniform(0.3, 1.8)) / most, terms=int(rng.integers(1, 6)))


def _neumann(z: EarlyCase) -> Array:
    """The library's series."""
    return implicit.neumann_gradient(z.theta, z.support, z.query, terms=z.terms, **z.hyper)


def _neumann_error(case: EarlyCase) -> Error:
    """The series through eigenvectors."""
    return off(_neumann, case, case.series(case.slope), np.max(np.abs(case.slope)))


def _one_step_error(case: EarlyCase) -> Error:
    """ηA_q(φ* − c_q)."""
    return off(lambda z: implicit.one_step_gradient(z.theta, z.support, z.query, **z.hyper), case, case.eta * case.slope)


def _difference_error(case: EarlyCase) -> Error:
    """The same series, for a δ of one half, since a difference of gradients of a quadratic is exact."""
    difference = lambda z: implicit.finite_difference_gradient(z.theta, z.support, z.query, terms=z.terms, delta=0.5, **z.hyper)
    scale = np.max(np.abs(case.slope)) + np.max(np.abs(case.support.at(case.minimum).grad)) / case.strength
    return off(difference, case, case.series(case.slope), scale)


def _neumann_rest_error(case: EarlyCase) -> Error:
    """∇F − v_k against (I − ηH)ᵏ H⁻¹g."""
    rest = lambda z: implicit.gradient(z.theta, z.support, z.query, strength=z.strength) - _neumann(z)
    return off(rest, case, case.left(case.terms, matvec(case.inverse, case.slope)), np.max(np.abs(case.slope)))


def random_krylov(rng: Generator) -> EarlyCase:
    """The same with one to three steps of conjugate gradients."""
    return random_early(rng)._replace(terms=int(rng.integers(1, 4)))


def krylov_solution(H: Array, g: Array, steps: int) -> list[Fraction]:
    """The x of span{g, Hg, …} at which ½xᵀHx − gᵀx is least, in fractions."""
    matrix, b = [[Fraction(x) for x in row] for row in H.tolist()], [Fraction(x) for x in g.tolist()]
    basis = [b]
    for _ in range(steps - 1):
        basis.append([dot(row, basis[-1]) for row in matrix])
    images = [[dot(row, v) for row in matrix] for v in basis]
    weights = solution([[dot(u, w) for w in images] for u in basis], [dot(u, b) for u in basis])
    return [sum((w * v[i] for w, v in zip(weights, basis, strict=True)), Fraction(0)) for i in range(len(b))]


def _cg(z: EarlyCase) -> Array:
    """The library's conjugate gradients."""
    return implicit.cg_gradient(z.theta, z.support, z.query, strength=z.strength, steps=z.terms)


def _cg_error(case: EarlyCase) -> Error:
    """The least of a quadratic on a Krylov space, in fractions."""
    rows = [krylov_solution(H, g, case.terms) for H, g in zip(case.H, case.slope, strict=True)]
    return off(_cg, case, np.array(rows, float), np.max(np.abs(case.slope)))


def _energy(H: Array, x: Array) -> Array:
    """xᵀHx of every task, (N, 1)."""
    return np.asarray(np.einsum("ni,nij,nj->n", x, H, x))[:, None]


def _cg_rest_error(case: EarlyCase) -> Error | float:
    """‖x* − x_k‖²_H = ‖x*‖²_H − ‖x_k‖²_H against fractions; infinite where it is above the bound of the theorem."""
    exact = matvec(case.inverse, case.slope)
    best = np.array([krylov_solution(H, g, case.terms) for H, g in zip(case.H, case.slope, strict=True)], float)
    whole, values = _energy(case.H, exact), np.linalg.eigvalsh(case.H)
    root = np.sqrt(values[:, -1:] / values[:, :1])
    bound = 4 * ((root - 1) / (root + 1)) ** (2 * case.terms) * whole

    def rest(z: EarlyCase) -> Array:
        return _energy(z.H, implicit.gradient(z.theta, z.support, z.query, strength=z.strength)) - _energy(z.H, _cg(z))

    if np.any(rest(case) > bound + 1e-12 * whole):
        return np.inf
    return off(rest, case, _energy(case.H, exact - best), np.max(whole))


class UnrolledCase(NamedTuple):
    """A problem of any kind, λ, η, T and T'."""

    problem: MetaProblem
    strength: float
    eta: float
    steps: int
    kept: int


def random_unrolled(rng: Generator) -> UnrolledCase:
    """Any kind of task; η may lie on either side of 1/h."""
    problem, steps = random_problem(rng, KINDS[rng.integers(len(KINDS))], tasks=2), int(rng.integers(1, 5))
    strength = float(rng.uniform(1, 3)) * max(largest_curvature(problem.support, problem.theta), 0.1)
    return UnrolledCase(problem, strength, float(rng.uniform(0.2, 1.0)), steps, int(rng.integers(1, steps + 1)))


def steps_from(z: UnrolledCase, phi: Array, theta: Array, steps: int) -> Array:
    """φ ← φ − (η/λ)(∇L(φ) + λ(φ − θ)), so many times."""
    for _ in range(steps):
        phi = phi - z.eta / z.strength * (z.problem.support.at(phi).grad + z.strength * (phi - theta))
    return phi


def _truncated(z: UnrolledCase) -> Array:
    """The library's truncated unrolling."""
    hyper: dict[str, Any] = {"strength": z.strength, "eta": z.eta}
    return implicit.truncated_gradient(z.problem.theta, *z.problem.split, steps=z.steps, kept=z.kept, **hyper)


def _truncated_error(case: UnrolledCase) -> Error:
    """The complex step of L_query of the last T' steps, from where the first T − T' end."""
    theta, query = case.problem.theta, case.problem.query
    held = steps_from(case, theta, theta, case.steps - case.kept)
    expected = complex_step(lambda t: query.at(steps_from(case, held, t, case.kept)).loss, theta)
    return off(_truncated, case, expected, np.max(np.abs(query.at(steps_from(case, held, theta, case.kept)).grad)))


def _truncated_quadratic_error(case: EarlyCase) -> Error:
    """The series of T' terms of ∇L_query at φ_T = φ* + (I − ηH)^T (θ − φ*), T a power, with T = T' + 2."""
    steps = case.terms + 2
    g = case.slope + matvec(case.query.A, case.left(steps, case.theta - case.minimum))
    got = lambda z: implicit.truncated_gradient(z.theta, z.support, z.query, steps=steps, kept=z.terms, **z.hyper)
    return off(got, case, case.series(g), np.max(np.abs(g)) + np.max(np.abs(case.slope)))


def _random_curved(rng: Generator) -> MetaProblem:
    """Softmax regressions: a loss with a fourth derivative."""
    return random_problem(rng, "softmax-regression", tasks=2)


def _difference_order(case: MetaProblem) -> float:
    """The order in δ of the difference to Neumann's series of three terms."""
    hyper: dict[str, Any] = {"strength": 2 * largest_curvature(case.support, case.theta), "eta": 0.6, "terms": 3}
    series = implicit.neumann_gradient(case.theta, *case.split, **hyper)
    delta = 0.02 / float(np.max(np.abs(series)))
    gaps = [
        np.linalg.norm(implicit.finite_difference_gradient(case.theta, *case.split, delta=step, **hyper) - series)
        for step in (delta, delta / 2)
    ]
    return float(np.log2(gaps[0] / gaps[1]))


CHECKS = (
    Check("neumann-hypergradient", "η Σ_{j<k} (I − ηH)ʲ ∇L_query(φ*)", "eigenvectors on quadratics", random_early, _neumann_error),
    Check("thm:neumann-error", "∇F − v_k = (I − ηH)ᵏ H⁻¹∇L_query", "eigenvectors on quadratics", random_early, _neumann_rest_error),
    Check("one-step-hypergradient", "η∇L_query(φ*)", "closed form on quadratics", random_early, _one_step_error),
    Check("cg-hypergradient", "x_k of span{g, Hg, …}", "least of a quadratic, in fractions", random_krylov, _cg_error),
    Check("thm:cg-error", "‖x* − x_k‖_H ≤ 2((√κ−1)/(√κ+1))ᵏ‖x*‖_H", "the best of the span, in fractions", random_krylov, _cg_rest_error),
    Check("truncated-unroll", "the last T' of T steps", "complex step of L_query(φ_T)", random_unrolled, _truncated_error),
    Check("thm:truncated-error", "η Σ_{j<T'} (I − ηH)ʲ ∇L_query(φ_T)", "eigenvectors on quadratics", random_early,
          _truncated_quadratic_error),
    Check("finite-difference-hypergradient", "Hv = v + [∇L(φ+δv) − ∇L(φ−δv)]/2δλ", "Neumann's series on quadratics", random_early,
          _difference_error),
    Check("thm:finite-difference-order", "O(δ²) off Neumann's series", "observed order, softmax regression", _random_curved,
          _difference_order, (2.0, 0.1)),
)  # fmt: skip
