"""What implementations choose in the gradient of a return: its formula, its bonus, its metric.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.changed import bent, directed, holomorphic, weighted
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.loops import Loop, inner
from refmeta.oracle.suites.maml.losses import SUPPORT, Change, Side
from refmeta.oracle.suites.maml.penalties import PENALTIES_OF_POLICIES, times
from refmeta.oracle.suites.maml.policy_directions import Flow, Formula, Process, direction, fisher, flow
from refmeta.softmax import log_softmax, softmax

__all__ = ["CURVATURES", "FAMILIES_OF_POLICIES", "FORMULAS", "LOOPS_OF_POLICIES"]

ALL, FLOW = ("visits", "values", "weights"), ("visits", "values")


def _formula(**parts: Any) -> Change:
    """Another formula of the gradient; what is right else."""

    def of(task: Any, side: Side) -> Any:
        return directed(task, lambda theta, held: direction(task, Formula(**parts), theta, held))

    return Change(of, SUPPORT, stage=2)


def _value(p: Array, Q: Array) -> Array:
    """V."""
    return np.sum(p * Q, axis=-1, keepdims=True)


def _normalised(axes: tuple[int, ...], *, centre: bool = True, by_visits: bool = False, fewer: int = 0) -> Callable[..., Array]:
    """A over its deviation along axes of (time, state, action), weighted by visits or not, less its mean or not."""

    def advantage(p: Array, Q: Array, d: Array, mdp: Any) -> Array:
        A = Q - _value(p, Q)
        weight = d[..., None] * p if by_visits else np.ones(A.shape)
        total = np.sum(weight, axis=axes, keepdims=True)
        mean = np.sum(weight * A, axis=axes, keepdims=True) / total
        square = np.sum(weight * (A - mean) ** 2, axis=axes, keepdims=True) / (total - fewer)
        return (A - mean if centre else A) / (np.sqrt(square) + 1e-8)

    return advantage


NORMALISED: dict[str, dict[str, Any]] = {
    "over times, states and actions": {"axes": (-1, -2, -3)},
    "over states and actions at every time": {"axes": (-1, -2)},
    "over the actions of a state": {"axes": (-1,)},
    "over times, states and actions, weighted by visits": {"axes": (-1, -2, -3), "by_visits": True},
    "over times, states and actions, by n - 1": {"axes": (-1, -2, -3), "fewer": 1},
    "over states and actions at every time, by n - 1": {"axes": (-1, -2), "fewer": 1},
}


def _at_start(mdp: Any, p: Array, Q: Array) -> Array:
    """ρ·V_t."""
    return np.asarray(np.sum(mdp.rho[..., None, :] * np.sum(p * Q, axis=-1), axis=-1))


def _of_rewards(reward: Callable[[Any, Array, Flow], Array]) -> Change:
    """Other action values."""
    return _formula(values=reward)


def _transposed(mdp: Any, pi: Array, f: Flow) -> Array:
    """The visits with P_π in place of its transpose."""
    P, d = np.einsum("...sa,...sat->...st", pi, mdp.P), mdp.rho + 0 * pi[..., 0]
    if mdp.horizon is None:
        return np.asarray(np.linalg.solve(np.eye(mdp.states) - mdp.gamma * P, d[..., None])[..., 0][..., None, :])
    visits = [d]
    for _ in range(mdp.horizon - 1):
        visits.append(mdp.gamma * np.einsum("...st,...t->...s", P, visits[-1]))
    return np.stack(visits, axis=-2)


def _endless(mdp: Any, pi: Array, f: Flow) -> Array:
    """Q without a horizon."""
    return f.values if mdp.horizon is None or mdp.gamma == 1 else flow(mdp, pi, None).values + 0 * f.values


def _undiscounted(mdp: Any, pi: Array, f: Flow) -> Array:
    """d_t without γᵗ."""
    return f.visits / f.discounts[:, None]


FORMULAS: dict[str, Any] = {
    "inner gradient": {
        "as it is": None,
        "visits and action values held constant": _formula(held=FLOW),
        "all but the score held constant": _formula(held=ALL),
        "visits held constant": _formula(held=("visits",)),
        "action values held constant": _formula(held=("values",)),
        "probabilities in front of the score held constant": _formula(held=("weights",)),
        "visits and probabilities in front of the score held constant": _formula(held=("visits", "weights")),
        "action values and probabilities in front of the score held constant": _formula(held=("values", "weights")),
        **{f"advantages normalised {words}": _formula(advantage=_normalised(**how), centred=False) for words, how in NORMALISED.items()},
        **{f"advantages over their deviation {words}": _formula(advantage=_normalised(**how, centre=False)) for words, how in NORMALISED.items()},
        "advantages' sizes": _formula(advantage=lambda p, Q, d, mdp: (Q - _value(p, Q)) * np.sign((Q - _value(p, Q)).real)),
        "the positive advantages only": _formula(advantage=lambda p, Q, d, mdp: np.where((Q - _value(p, Q)).real > 0, Q - _value(p, Q), 0.0), centred=False),
        "advantages clipped to [-1, 1]": _formula(advantage=lambda p, Q, d, mdp: _clip(Q - _value(p, Q)), centred=False),
        "Q without a baseline or the score's mean": _formula(centred=False),
        "less the mean of V over the start in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - _at_start(mdp, p, Q)[..., None, None], centred=False),
        "less the mean return in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - _at_start(mdp, p, Q)[..., :1, None, None], centred=False),
        "less the mean of Q over the actions in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - np.mean(Q, axis=-1, keepdims=True), centred=False),
        "less the largest Q in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - np.max(Q.real, axis=-1, keepdims=True), centred=False),
        "less V without probabilities in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - np.sum(Q, axis=-1, keepdims=True), centred=False),
        "less the mean of V over the states": _formula(advantage=lambda p, Q, d, mdp: Q - np.mean(_value(p, Q), axis=-2, keepdims=True), centred=False),
        "visits not discounted": _formula(visits=_undiscounted),
        "visits with P for its transpose": _formula(visits=_transposed),
        "visits a distribution": _formula(visits=lambda mdp, pi, f: f.visits / np.sum(f.visits, axis=(-1, -2), keepdims=True)),
        "visits a distribution, held constant": _formula(visits=lambda mdp, pi, f: f.visits / np.sum(f.visits, axis=(-1, -2), keepdims=True), held=FLOW),
        "visits a distribution at every time": _formula(visits=lambda mdp, pi, f: f.visits / np.sum(f.visits, axis=-1, keepdims=True)),
        "visits times 1 - gamma": _formula(visits=lambda mdp, pi, f: f.visits * (1 - mdp.gamma)),
        "the start for the visits": _formula(visits=lambda mdp, pi, f: f.discounts[:, None] * mdp.rho[..., None, :] / np.sum(f.discounts) + 0 * f.visits),
        "the start for the visits of every time": _formula(visits=lambda mdp, pi, f: mdp.rho[..., None, :] + 0 * f.visits),
        "all states alike": _formula(visits=lambda mdp, pi, f: 1 / mdp.states + 0 * f.visits),
        "all states with weight 1": _formula(visits=lambda mdp, pi, f: 1.0 + 0 * f.visits),
        "the reward for Q": _of_rewards(lambda mdp, pi, f: mdp.expected_reward[..., None, :, :] + 0 * f.values),
        "Q without the reward": _of_rewards(lambda mdp, pi, f: f.values - mdp.expected_reward[..., None, :, :]),
        "Q without a horizon": _of_rewards(_endless),
        "Q of the first time at all times": _of_rewards(lambda mdp, pi, f: f.values[..., :1, :, :] + 0 * f.values),
        "Q discounted once more": _of_rewards(lambda mdp, pi, f: f.values * f.discounts[:, None, None]),
        "Q of the reverse time": _of_rewards(lambda mdp, pi, f: f.values[..., ::-1, :, :]),
        "Q without discount": _of_rewards(lambda mdp, pi, f: f.values if mdp.horizon is None else _free(mdp, pi, mdp.horizon)),
        "without probabilities in front of the score": _formula(advantage=lambda p, Q, d, mdp: (Q - _value(p, Q)) / p, centred=False),
    },
}  # fmt: skip


def _clip(x: Array) -> Array:
    """x in [−1, 1]."""
    return np.where(np.abs(x.real) < 1, x, np.sign(x.real))


def _free(mdp: Any, pi: Array, horizon: int) -> Array:
    """Q_t with γ = 1."""
    V, values = 0 * pi[..., 0], list[Array]()
    for _ in range(horizon):
        values.insert(0, mdp.expected_reward + np.einsum("...sat,...t->...sa", mdp.P, V))
        V = np.sum(pi * values[0], axis=-1)
    return np.stack(values, axis=-3)


def _entropy(weigh: Callable[[Any, Array], Array]) -> Callable[[float], Change]:
    """The loss minus c Σ_s w_s H(π(·|s)), the weights held constant."""

    def make(c: float) -> Change:
        def of(task: Any, side: Side) -> Any:
            policy, mdp = side.own.policy, side.own.mdp

            def both(theta: Array) -> tuple[Array, Array]:
                z = policy.table(theta)
                pi, log_pi = softmax(z), log_softmax(z)
                w = weigh(mdp, pi.real)[..., None]
                mean = np.sum(pi * log_pi, axis=-1, keepdims=True)
                return np.sum((w * mean)[..., 0], axis=-1), policy.pullback(w * pi * (log_pi - mean))

            return weighted((1.0, task), (c, holomorphic(both)))

        return Change(of, stage=3)

    return make


def _soft(c: float) -> Change:
    """The return of R − c log π."""

    def of(task: Any, side: Side) -> Any:
        return task if c == 0 else holomorphic(lambda theta: _soft_return(side.own, theta, c))

    return Change(of, stage=1)


def _soft_return(task: Any, theta: Array, c: float) -> tuple[Array, Array]:
    """−J and its gradient, with the reward R − c log π of every action taken."""
    mdp, policy = task.mdp, task.policy
    z = policy.table(theta)
    pi = softmax(z)
    bonus = -c * log_softmax(z)
    soft = Process(mdp.P, mdp.expected_reward + bonus, mdp.rho, mdp.gamma, mdp.horizon, mdp.states)
    f = flow(soft, pi, mdp.horizon)
    V = _value(pi[..., None, :, :], f.values)
    J = np.sum(mdp.rho * V[..., 0, :, 0], axis=-1)
    return -J, -policy.pullback(np.sum(f.visits[..., None] * pi[..., None, :, :] * (f.values - V), axis=-3))


def _explored(c: float) -> Change:
    """The return of (1 − c) π + c/A."""

    def of(task: Any, side: Side) -> Any:
        def both(theta: Array) -> tuple[Array, Array]:
            mdp, policy = side.own.mdp, side.own.policy
            soft = softmax(policy.table(theta))
            pi = (1 - c) * soft + c / soft.shape[-1]
            f = flow(mdp, pi, mdp.horizon)
            J = np.sum(mdp.rho * np.sum(pi * f.values[..., 0, :, :], axis=-1), axis=-1)
            mean = np.sum(soft[..., None, :, :] * f.values, axis=-1, keepdims=True)
            by_logit = np.sum((1 - c) * f.visits[..., None] * soft[..., None, :, :] * (f.values - mean), axis=-3)
            return -J, -policy.pullback(by_logit)

        return holomorphic(both)

    return Change(of, stage=1)


WEIGHTS_OF_STATES: dict[str, Callable[[Any, Array], Array]] = {
    "mean over the states": lambda mdp, pi: np.full(pi.shape[:-1], 1 / mdp.states),
    "sum over the states": lambda mdp, pi: np.ones(pi.shape[:-1]),
    "by the visits, which are held constant": lambda mdp, pi: np.sum(flow(mdp, pi, mdp.horizon).visits, axis=-2),
    "at the start": lambda mdp, pi: mdp.rho + 0 * pi[..., 0],
}


def _metric(weigh: Callable[[Array], Array], damping: float, held: bool = False, radius: float = 0.0) -> Loop:
    """(F + damping)⁻¹g for the gradient; with a radius of length √(2 radius/gᵀF⁻¹g), which is held constant."""

    def step(tasks: Any, k: int, path: list[Array]) -> Array:
        phi, g = path[-1], tasks.support.grad(path[-1])
        F = fisher(tasks.support.task, phi.real if held else phi, weigh)
        x = np.linalg.solve(F + damping * np.eye(F.shape[-1]), g[..., None])[..., 0]
        return x * np.sqrt(2 * radius / np.sum(x * g, axis=-1, keepdims=True).real) if radius else x

    return inner(step)


def _region(damping: float, radius: float) -> Loop:
    """The step of a trust region."""
    return _metric(lambda d: d, damping, held=True, radius=radius)


def _bent(matrix: Callable[[Any, Array], Array]) -> Change:
    """A matrix of the support's task at θ for the Hessian."""

    def of(task: Any, side: Side) -> Any:
        return bent(task, lambda theta, v: np.einsum("...ij,...j->...i", matrix(side.own, theta), v))

    return Change(of, SUPPORT, stage=4)


def _bent_by(**parts: Any) -> Change:
    """The derivative of another formula of the gradient for the Hessian."""

    def of(task: Any, side: Side) -> Any:
        other = directed(task, lambda theta, held: direction(side.own, Formula(**parts), theta, held))
        return bent(task, lambda theta, v: other.at(theta).hvp(v))

    return Change(of, SUPPORT, stage=4)


VISITED: dict[str, Callable[[Array], Array]] = {
    "": lambda d: d,
    ", visits a distribution": lambda d: d / np.sum(d, axis=-1, keepdims=True),
    ", all states alike": lambda d: 0 * d + 1 / d.shape[-1],
}


CURVATURES: dict[str, Change | None] = {
    "the Hessian": None,
    **{f"the Fisher matrix{words}": _bent(lambda task, theta, weigh=weigh: fisher(task, theta, weigh)) for words, weigh in VISITED.items()},
    **{f"minus the Fisher matrix{words}": _bent(lambda task, theta, weigh=weigh: -fisher(task, theta, weigh)) for words, weigh in VISITED.items()},
    "visits and action values held constant": _bent_by(held=FLOW),
    "all but the score held constant": _bent_by(held=ALL),
    "visits held constant": _bent_by(held=("visits",)),
    "action values held constant": _bent_by(held=("values",)),
    "probabilities in front of the score held constant": _bent_by(held=("weights",)),
    "visits and probabilities in front of the score held constant": _bent_by(held=("visits", "weights")),
    "action values and probabilities in front of the score held constant": _bent_by(held=("values", "weights")),
}


def _stale(held: tuple[str, ...], at: int | None) -> Loop:
    """The gradient with parts of its formula from the first point of the path, or from the point before."""

    def step(tasks: Any, k: int, path: list[Array]) -> Array:
        return direction(tasks.support.task, Formula(held=held), path[-1], path[0] if at is None else path[at:][0])

    return inner(step)


LOOPS_OF_POLICIES: dict[str, Loop | None] = {
    "visits and action values of theta": _stale(FLOW, None),
    "visits and action values of the point before": _stale(FLOW, -2),
    "visits of theta": _stale(("visits",), None),
    "action values of theta": _stale(("values",), None),
    "all but the score of theta": _stale(ALL, None),
}
DAMPED = {
    f"the natural gradient{words}{', its matrix held constant' * held}, damped by {{}}": (weigh, held)
    for words, weigh in VISITED.items() for held in (False, True)
}  # fmt: skip
FAMILIES_OF_POLICIES: dict[str, tuple[Any, ...]] = {
    **sided_families({
        **{f"{{}} times the entropy, {words}": ("bonus", _entropy(weigh), (0.01, 1.0)) for words, weigh in WEIGHTS_OF_STATES.items()},
        "{} times minus log pi in every reward": ("bonus", _soft, (0.01, 0.5)),
        "{} of a uniform policy mixed in": ("policy", _explored, (0.05, 0.3)),
    }),
    **{f"plus {words}": ("added to the outer loss", times(each), (0.01, 1.0)) for words, each in PENALTIES_OF_POLICIES.items()},
    **{words: ("inner loop", partial(_metric, weigh, held=held), (1e-3, 0.1, 1.0)) for words, (weigh, held) in DAMPED.items()},
    **{
        f"the natural gradient, damped by {damping:g}, in a trust region of {{}}": (
            "inner loop", partial(_region, damping), (1e-3, 0.1)
        )
        for damping in (0.1, 0.01, 0.001)
    },
}
