"""Evidence for the optimisers of the inner loop: each rule against its definition in plain scalars, and complex steps."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off, worst
from refmeta.judges import complex_step
from refmeta.meta import inner_optimisers as inner
from refmeta.meta import maml
from refmeta.meta.inner_optimisers import Slopes, UpdateRule
from refmeta.problems import ALPHAS, KINDS, MetaProblem, random_problem
from refmeta.tolerance import max_per_task

__all__ = ["CHECKS", "RULES", "RuleProblem", "RuleSteps", "objective_slopes", "random_rule_problem", "random_steps", "walked"]


class RuleSteps(NamedTuple):
    """A rule, θ (N, d), the gradients of K steps (K, N, d), α (N, d), and the slopes by θ', m' and v' after them (3, N, d)."""

    rule: Any
    theta: Array
    gradients: Array
    alpha: Array
    later: Array


class RuleProblem(NamedTuple):
    """A rule and a problem of MAML."""

    rule: Any
    case: MetaProblem


def _momentum(rng: Generator) -> float:
    """β of a momentum, β₁ of Adam."""
    return float(rng.uniform(0.3, 0.9))


def _mean_square(rng: Generator) -> tuple[float, float]:
    """β₂ and an ε that is as large as the root, so that its place is seen."""
    return float(rng.uniform(0.5, 0.95)), float(rng.uniform(0.05, 0.3))


def _leaf(rng: Generator) -> UpdateRule:
    """One of the rules that stand inside another."""
    return RULES[("HeavyBall", "Nesterov", "RMSProp", "Adam", "AdamEpsilonRoot")[rng.integers(5)]](rng)


RULES: dict[str, Callable[[Generator], Any]] = {
    "HeavyBall": lambda rng: inner.HeavyBall(_momentum(rng)),
    "Nesterov": lambda rng: inner.Nesterov(_momentum(rng)),
    "RMSProp": lambda rng: inner.RMSProp(*_mean_square(rng)),
    "Adam": lambda rng: inner.Adam(_momentum(rng), *_mean_square(rng)),
    "AdamEpsilonHat": lambda rng: inner.AdamEpsilonHat(_momentum(rng), *_mean_square(rng)),
    "AdamEpsilonRoot": lambda rng: inner.AdamEpsilonRoot(_momentum(rng), *_mean_square(rng)),
    "DecayedWeights": lambda rng: inner.DecayedWeights(float(rng.uniform(0.1, 0.5)), _leaf(rng)),
    "DecoupledDecay": lambda rng: inner.DecoupledDecay(float(rng.uniform(0.1, 0.5)), _leaf(rng)),
    "DecoupledDecayPaper": lambda rng: inner.DecoupledDecayPaper(float(rng.uniform(0.1, 0.5)), _leaf(rng)),
    "ClippedByNorm": lambda rng: inner.ClippedByNorm(float(rng.uniform(0.3, 3)), RULES["DecayedWeights"](rng)),
}


def random_steps(rng: Generator, rule: Any, tasks: int = 2, dim: int = 3, steps: int = 3) -> RuleSteps:
    """RuleSteps of the rule along random gradients."""
    gradients, later = rng.normal(size=(steps, tasks, dim)), rng.normal(size=(3, tasks, dim))
    return RuleSteps(rule, rng.normal(size=(tasks, dim)), gradients, rng.uniform(0.1, 0.5, size=(tasks, dim)), later)


def random_rule_problem(rng: Generator, kind: str = "", rule: str = "", steps: int | None = None) -> RuleProblem:
    """A problem of any kind with any rule; a step is at most 0.2 long per parameter where the rule divides by a root."""
    kind, name = kind or KINDS[rng.integers(len(KINDS))], rule or list(RULES)[rng.integers(len(RULES))]
    steps, shape = int(rng.integers(1, 4)) if steps is None else steps, ALPHAS[rng.integers(len(ALPHAS))]
    case = random_problem(rng, kind, tasks=2, steps=steps, alpha=shape)
    shorter = 0.5 * np.minimum(case.alpha, 0.4)
    return RuleProblem(RULES[name](rng), replace(case, alpha=float(shorter) if np.ndim(shorter) == 0 else shorter))


def _chain(rule: Any) -> list[Any]:
    """The rule, the rule inside it, and so on."""
    return [rule, *_chain(rule.optimiser)] if hasattr(rule, "optimiser") else [rule]


def _decayed_sum(beta: float, terms: list[float]) -> float:
    """Σ_j βᵏ⁻ʲ x_j over x_1 … x_k."""
    return math.fsum(beta ** (len(terms) - 1 - j) * x for j, x in enumerate(terms))


def _direction(rule: Any, g: list[float]) -> float:
    """The direction of the last step, from all gradients of one parameter, g_1 … g_t."""
    if rule is None or isinstance(rule, inner.GradientDescent):
        return g[-1]
    if isinstance(rule, inner.HeavyBall):
        return _decayed_sum(rule.momentum, g)
    if isinstance(rule, inner.Nesterov):
        return g[-1] + rule.momentum * _decayed_sum(rule.momentum, g)
    if isinstance(rule, inner.RMSProp):
        v = (1 - rule.decay) * _decayed_sum(rule.decay, [x * x for x in g])
        return g[-1] / (math.sqrt(v) + rule.epsilon)
    m = (1 - rule.beta1) * _decayed_sum(rule.beta1, g) / (1 - rule.beta1 ** len(g))
    fix = 1 - rule.beta2 ** len(g)
    v = (1 - rule.beta2) * _decayed_sum(rule.beta2, [x * x for x in g])
    if isinstance(rule, inner.AdamEpsilonRoot):
        return m / math.sqrt(v / fix + rule.epsilon)
    hat = isinstance(rule, inner.AdamEpsilonHat)
    return m * math.sqrt(fix) / (math.sqrt(v) + rule.epsilon) if hat else m / (math.sqrt(v / fix) + rule.epsilon)


def walked(rule: Any, theta: Array, gradient: Callable[[int, Array], Array], alpha: Any, steps: int) -> Array:
    """θ⁽ᴷ⁾ of one task in plain scalars: every moment is its sum over all gradients so far; `alpha[k]` is α of step k."""
    x, seen = [float(t) for t in theta], []
    for k in range(steps):
        g, leave = [float(e) for e in gradient(k, np.array(x))], [0.0] * len(x)
        for part in _chain(rule):
            if isinstance(part, inner.ClippedByNorm):
                g = [e * min(1, part.max_norm / math.hypot(*g)) for e in g]
            elif isinstance(part, inner.DecayedWeights):
                g = [e + part.weight * t for e, t in zip(g, x, strict=True)]
            elif isinstance(part, inner.DecoupledDecay):
                leave = [e + a * part.weight * t for e, a, t in zip(leave, alpha[k], x, strict=True)]
            elif isinstance(part, inner.DecoupledDecayPaper):
                leave = [e + part.weight * t for e, t in zip(leave, x, strict=True)]
        seen.append(g)
        u = [_direction(_chain(rule)[-1], list(column)) for column in zip(*seen, strict=True)]
        x = [t - a * e - less for t, a, e, less in zip(x, alpha[k], u, leave, strict=True)]
    return np.array(x)


def _after(case: RuleSteps, steps: int) -> tuple[Array, inner.Moments]:
    """θ and the state after the first steps."""
    x, state = case.theta, inner.zero_moments(case.theta)
    for g in case.gradients[:steps]:
        x, state = case.rule.step(x, g, state, alpha=case.alpha)
    return x, state


def _path_error(case: RuleSteps) -> Error:
    """θ⁽ᴷ⁾ against plain scalars, task by task."""

    def expected(n: int) -> Array:
        K = len(case.gradients)
        return walked(case.rule, case.theta[n], lambda k, x: case.gradients[k, n], [case.alpha[n]] * K, K)

    return off(lambda z: _after(z, len(z.gradients))[0], case, [expected(n) for n in range(len(case.theta))], max_per_task(case.theta))


def objective_slopes(case: RuleSteps) -> tuple[Callable[[RuleSteps], Array], Array]:
    """The adjoint of the last step as a function, (N, 5d), and its complex steps.

    They are the slopes of ⟨a, θ'⟩ + ⟨b, m'⟩ + ⟨c, v'⟩ by θ, m, v, the gradient and the step size.
    """

    def adjoint(z: RuleSteps) -> Array:
        _, state = _after(z, len(z.gradients) - 1)
        slopes = z.rule.adjoint(z.theta, z.gradients[-1], state, Slopes(*z.later), alpha=z.alpha)
        return np.concatenate([np.broadcast_to(part, z.theta.shape) for part in slopes], axis=-1)

    _, state = _after(case, len(case.gradients) - 1)

    def after(z: Array) -> Any:
        theta, moments = case.rule.step(z[0], z[3], inner.Moments(z[1], z[2], state.steps), alpha=z[4])
        return np.sum(case.later * np.stack([theta, moments.first, moments.second]))

    full = [np.broadcast_to(part, case.theta.shape) for part in state[:2]]
    expected = complex_step(after, np.stack([case.theta, *full, case.gradients[-1], case.alpha]))
    return adjoint, np.concatenate(list(expected), axis=-1)


def _rule_error(cases: tuple[RuleSteps, ...]) -> Error:
    """The largest error of the paths and of the adjoints."""
    pairs = [(case, *objective_slopes(case)) for case in cases]
    return worst(error for case, adjoint, expected in pairs for error in (_path_error(case), off(adjoint, case, expected)))


def _gradient_error(pair: RuleProblem) -> Error:
    """The gradient against the complex step of the objective, through K steps of the rule."""
    rule, case = pair
    expected = complex_step(lambda t: maml.objective(t, *case.split, **case.hyper, optimiser=rule), case.theta)
    scale = max_per_task(maml.first_order_gradient(case.theta, *case.split, **case.hyper, optimiser=rule))
    gradient = lambda z: maml.gradient(z.case.theta, *z.case.split, **z.case.hyper, optimiser=z.rule)
    return off(gradient, pair, expected, scale)


def _of(*names: str) -> Callable[[Generator], tuple[RuleSteps, ...]]:
    """Random steps of each of these rules."""
    return lambda rng: tuple(random_steps(rng, RULES[name](rng)) for name in names)


SUMS = "sums over all gradients; complex step"
CHECKS = (
    Check("inner-momentum", "θ − αm', m' = βm + g", SUMS, _of("HeavyBall"), _rule_error),
    Check("inner-nesterov", "θ − α(g + βm')", SUMS, _of("Nesterov"), _rule_error),
    Check("inner-rmsprop", "θ − αg/(√v' + ε)", SUMS, _of("RMSProp"), _rule_error),
    Check("inner-adam", "θ − α·m̂/(√v̂ + ε), three places of ε", SUMS,
          _of("Adam", "AdamEpsilonHat", "AdamEpsilonRoot"), _rule_error),
    Check("inner-weight-decay", "g + wθ; θ' − αwθ; θ' − wθ", SUMS,
          _of("DecayedWeights", "DecoupledDecay", "DecoupledDecayPaper"), _rule_error),
    Check("inner-clip", "g·min(1, c/‖g‖)", SUMS, _of("ClippedByNorm"), _rule_error),
    Check("maml-gradient-optimiser", "λ̄ + ∇²L(θ⁽ᵏ⁾)χ, backwards", "complex step of F",
          random_rule_problem, _gradient_error),
)  # fmt: skip
