"""What implementations choose in the gradient of a return: its formula, its bonus, its metric.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.changed import directed
from refmeta.oracle.suites.maml.losses import SUPPORT, Change, Side
from refmeta.oracle.suites.maml.policy_bonuses import value
from refmeta.oracle.suites.maml.policy_directions import ALL, FLOW, Flow, GradientFormula, direction, flow

__all__ = ["FORMULAS"]


def _formula(**parts: Any) -> Change:
    """Another formula of the gradient; what is right else."""

    def of(task: Any, side: Side) -> Any:
        return directed(task, lambda theta, held: direction(task, GradientFormula(**parts), theta, held))

    return Change(of, SUPPORT, stage=2)


def _normalised(axes: tuple[int, ...], *, centre: bool = True, by_visits: bool = False, fewer: int = 0) -> Callable[..., Array]:
    """A over its deviation along axes of (time, state, action), weighted by visits or not, less its mean or not."""

    def advantage(p: Array, Q: Array, d: Array, mdp: Any) -> Array:
        A = Q - value(p, Q)
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
        "advantages' sizes": _formula(advantage=lambda p, Q, d, mdp: (Q - value(p, Q)) * np.sign((Q - value(p, Q)).real)),
        "the positive advantages only": _formula(advantage=lambda p, Q, d, mdp: np.where((Q - value(p, Q)).real > 0, Q - value(p, Q), 0.0), centred=False),
        "advantages clipped to [-1, 1]": _formula(advantage=lambda p, Q, d, mdp: _clip(Q - value(p, Q)), centred=False),
        "Q without a baseline or the score's mean": _formula(centred=False),
        "less the mean of V over the start in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - _at_start(mdp, p, Q)[..., None, None], centred=False),
        "less the mean return in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - _at_start(mdp, p, Q)[..., :1, None, None], centred=False),
        "less the mean of Q over the actions in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - np.mean(Q, axis=-1, keepdims=True), centred=False),
        "less the largest Q in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - np.max(Q.real, axis=-1, keepdims=True), centred=False),
        "less V without probabilities in place of V": _formula(advantage=lambda p, Q, d, mdp: Q - np.sum(Q, axis=-1, keepdims=True), centred=False),
        "less the mean of V over the states": _formula(advantage=lambda p, Q, d, mdp: Q - np.mean(value(p, Q), axis=-2, keepdims=True), centred=False),
        "visits not discounted": _formula(visits=_undiscounted),
        "visits with P for its transpose": _formula(visits=_transposed),
        "visits with P for its transpose, where there is no horizon": _formula(visits=lambda mdp, pi, f: f.visits if mdp.horizon else _transposed(mdp, pi, f)),
        "visits a distribution, where there is no horizon": _formula(
            visits=lambda mdp, pi, f: f.visits if mdp.horizon else f.visits / np.sum(f.visits, axis=(-1, -2), keepdims=True)
        ),
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
        "without probabilities in front of the score": _formula(advantage=lambda p, Q, d, mdp: (Q - value(p, Q)) / p, centred=False),
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
