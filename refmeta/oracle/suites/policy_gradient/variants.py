"""The return of a policy, and the geometry of the policy, with some departures.  Derivation: derivations/exact-policy-gradient.md

Arrays have an axis of time in front, (T, N, S, ...): T is the horizon, or 1 where there is none.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.oracle.suites.policy_gradient.readings import (
    ReadPolicy,
    ReadProcess,
    axis_of,
    policy_at,
    pull,
    read,
    run_of,
    shares_of,
    table,
)
from refmeta.oracle.suites.policy_gradient.value_variants import CONCERNS as OF_VALUES
from refmeta.oracle.suites.policy_gradient.value_variants import PARTS as VALUES

__all__ = ["PARTS", "concerned", "variant"]

H = 1e-30
RETURNS, GEOMETRY = ("loss", "grad", "hvp", "natural_gradient"), ("fisher", "natural_gradient", "kl", "kl_grad", "kl_hvp")
SLOPES, DIVERGENCE = ("grad", "hvp", "natural_gradient"), ("kl", "kl_grad", "kl_hvp")
CONCERNS = {
    **dict.fromkeys(("horizon", "discount", "start", "P", "softmax over", "logits times", "layout of theta", "noise in the policy", "probabilities changed", "ends"), (*RETURNS, *GEOMETRY)),
    **dict.fromkeys(("reward", "power of gamma"), RETURNS), **dict.fromkeys(("return", "advantage", "visits", "pi"), SLOPES),
    "Hessian": ("hvp",), "visits of the geometry": GEOMETRY, "Fisher's matrix": ("fisher", "natural_gradient"), "fisher at": ("fisher",), "direction of Fisher's product": ("fisher",),
    **dict.fromkeys(("damping", "solution"), ("natural_gradient",)), **dict.fromkeys(("divergence", "moved to", "visits of"), DIVERGENCE),
}  # fmt: skip


def concerned(part: str, point: Point) -> bool:
    """Does every departure of the point change this part, in some cases?"""
    return all(part in (*CONCERNS.get(choice, ()), *OF_VALUES.get(choice, ())) for choice in point)


def variant(part: str, problem: Evaluation, point: Point) -> Array | None:
    """A part where a point departs from what is right; None if it is not concerned."""
    if not concerned(part, point):
        return None
    with np.errstate(all="ignore"):
        try:
            value = np.real(PARTS[part](problem, point, problem.theta))
            value = point["times"](value) if "times" in point and problem.task.mdp.horizon is not None else value
        except (ArithmeticError, np.linalg.LinAlgError):
            return None
    return np.array(value) if np.isfinite(value).all() else None


def _loss(problem: Evaluation, point: Point, theta: Array) -> Array:
    """−ρ·V."""
    process = read(problem, point)
    V = run_of(process, policy_at(problem, point, theta).pi).V
    first = V[0] if len(V) else 0 * process.rho
    return -np.sum(process.rho * first, axis=-1) * _power(process, point)


def _power(process: ReadProcess, point: Point) -> Any:
    """What all rewards are multiplied by."""
    return point["power of gamma"](process.gamma, process.horizon) if "power of gamma" in point else 1.0


def _gradient(problem: Evaluation, point: Point, theta: Array) -> Array:
    """−Σ d π (Q − V), pulled back; what "Hessian" holds is taken at the real part of θ."""
    held = point.get("Hessian", ())
    held = held if isinstance(held, tuple) else ()
    process, moving = read(problem, point), policy_at(problem, point, theta, still="normaliser" in held)
    still = policy_at(problem, point, np.real(theta)) if held else moving
    run, fixed = run_of(process, moving.pi), run_of(process, still.pi) if held else None
    d, Q, V = (getattr(fixed if fixed and name in held else run, name) for name in ("visits", "Q", "V"))
    run = run._replace(visits=d, Q=Q, V=V)
    d = point["visits"](run, process, still.pi) if "visits" in point else d
    policy = still if "probabilities" in held else moving
    pi = point["pi"](policy.pi) if "pi" in point else policy.pi
    weight = point["return"](run, process, pi) if "return" in point else Q
    weight = point["advantage"](weight, pi, run) if "advantage" in point else weight - V[..., None] if "V" in held else weight
    g = np.sum(d[..., None] * pi * weight, axis=0)
    score = (still if "scores" in held else moving).inner
    return -pull(problem, point, policy, g, score, centre="advantage" not in point and "V" not in held) * _power(process, point)


def _hvp(problem: Evaluation, point: Point, theta: Array) -> Array:
    """The slope of the gradient along v."""
    how = point.get("Hessian", ())
    if callable(how):
        without = {name: value for name, value in point.items() if name != "Hessian"}
        return np.asarray(how(lambda t: _gradient(problem, without, t), theta, problem.v, lambda: _fisher(problem, without, theta)))
    return np.imag(_gradient(problem, point, theta + 1j * H * problem.v)) / H


def _visits(problem: Evaluation, point: Point, theta: Array) -> Array:
    """Σ_t of the visits in Fisher's matrix and in the divergence, (N, S)."""
    geometry = {name: value for name, value in point.items() if name not in ("reward", "power of gamma")}
    process, policy = read(problem, geometry), policy_at(problem, point, theta)
    run = run_of(process, policy.pi)
    d = point["visits of the geometry"](run, process, policy.pi) if "visits of the geometry" in point else run.visits
    shares = shares_of(process.horizon or 1)  # of whole horizons 1
    return np.asarray(np.sum(d * shares[:, None, None], axis=0) if len(shares) == len(d) else np.sum(d, axis=0))


def _fisher(problem: Evaluation, point: Point, theta: Array) -> Array:
    """Σ d π score scoreᵀ v."""
    theta = point["fisher at"](theta, problem.v) if "fisher at" in point else theta
    how = point.get("direction of Fisher's product")
    if how is None:
        return _product(problem, point, theta, problem.v)
    return np.asarray(how(problem.v, theta, lambda v: _product(problem, point, theta, v)))


def _product(problem: Evaluation, point: Point, theta: Array, v: Array) -> Array:
    """The product of Fisher's matrix, or of what is used instead, with one v, or one for each task."""
    policy, d, x = policy_at(problem, point, theta), _visits(problem, point, theta)[..., None], table(problem, point, v)
    mean = np.sum(policy.inner * x, axis=axis_of(point), keepdims=True)
    y = policy.slope * (x - mean)
    if "Fisher's matrix" in point:
        run = run_of(read(problem, point), policy.pi)
        weighted = np.sum(run.visits[..., None] * (run.Q - run.V[..., None]), axis=0)
        g, centred = point["Fisher's matrix"](d, policy.pi, x, y, lambda: weighted / np.sum(run.visits, axis=0)[..., None])
        return pull(problem, point, policy, g, centre=centred)
    return pull(problem, point, policy, d * policy.pi * y)


def _least_norm(F: Array, g: Array) -> Array:
    """The solution x of F x = g with the least norm."""
    return np.asarray((np.linalg.pinv(F, rcond=1e-12) @ g[..., None])[..., 0])


def _natural_gradient(problem: Evaluation, point: Point, theta: Array) -> Array:
    """x of F x = ∇J."""
    g, axes = -_gradient(problem, point, theta), np.eye(len(theta))
    if "solution" in point or "damping" in point or "Fisher's matrix" in point:
        F = np.stack([_product(problem, point, theta, e) for e in axes], axis=-1) 
        F = point["damping"](F) if "damping" in point else F
        return np.asarray(point["solution"](F, g, _least_norm) if "solution" in point else _least_norm(F, g))
    policy, d = policy_at(problem, point, theta), _visits(problem, point, theta)
    x = table(problem, point, axes)[:, None]
    scores = policy.slope * (x - np.sum(policy.inner * x, axis=axis_of(point), keepdims=True))
    X = np.moveaxis(np.sqrt(d[..., None] * policy.pi) * scores, 0, -1).reshape(len(g), -1, len(theta))
    _, s, Vt = np.linalg.svd(X, full_matrices=False)
    inverse = np.where(s > 1e-7 * np.max(s, axis=-1, keepdims=True), 1 / s**2, 0)
    return np.einsum("nkd,nk,nke,ne->nd", Vt, inverse, Vt, g)


def _divergence(problem: Evaluation, point: Point, theta: Array) -> tuple[Array, ReadPolicy, ReadPolicy, Array]:
    """Visits, the policy of θ, that of what it is moved to, and where that is, to which a direction is added."""
    there = point["moved to"](theta, problem.v) if "moved to" in point else theta + problem.v
    d = _visits(problem, point, point["visits of"](theta, there) if "visits of" in point else theta)
    return d[..., None], policy_at(problem, point, theta), policy_at(problem, point, there), there


def _kl(problem: Evaluation, point: Point, theta: Array) -> Array:
    """Σ_s d Σ_a π₀ ln(π₀/π)."""
    d, old, new, there = _divergence(problem, point, theta)
    if "divergence" in point:
        x = table(problem, point, there - theta)
        value: Array = point["divergence"][0](d, old, new, x)
        return value
    return np.sum(d * old.pi * (old.logs - new.logs), axis=(-2, -1))


def _kl_gradient(problem: Evaluation, point: Point, theta: Array, more: Array | float = 0.0) -> Array:
    """Its slope at θ + v, in ln π first."""
    d, old, _, there = _divergence(problem, point, theta)
    new = policy_at(problem, point, there + more)
    if "divergence" in point:
        g, policy = point["divergence"][1](d, old, new, table(problem, point, there + more - theta))
        return pull(problem, point, policy, g)
    return pull(problem, point, new, -d * old.pi + 0 * new.pi)


def _kl_hvp(problem: Evaluation, point: Point, theta: Array) -> Array:
    """The slope of its gradient along v."""
    return np.imag(_kl_gradient(problem, point, theta, 1j * H * problem.v)) / H


PARTS: dict[str, Callable[[Evaluation, Point, Array], Array]] = {
    "loss": _loss, "grad": _gradient, "hvp": _hvp, "fisher": _fisher, "natural_gradient": _natural_gradient, "kl": _kl, "kl_grad": _kl_gradient,
    "kl_hvp": _kl_hvp, **VALUES,
}  # fmt: skip
