"""Losses with an ε in them, as tasks: the right loss plus ε times its slope in ε.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.softmax import log_softmax, softmax

__all__ = [
    "BY_HAND", "Change", "ChangedTask", "PointByHand", "ShiftedPoint", "WidenedPoint", "cross_entropy", "departure", "departures",
    "epsilon_added", "epsilon_in_mean", "epsilon_in_softmax", "epsilon_in_unshifted_softmax", "epsilon_mixed_in", "inverse_shifted_sum",
    "inverse_sum", "logits", "policy_loss", "pullback", "right_softmax", "slope",
]  # fmt: skip

Loss = Callable[[Any, Array, float], Array]
STEP = 1e-4


def slope(f: Callable[[float], Any], at: float = STEP) -> Any:
    """The derivative at 0, to about 1e-8: a central difference."""
    return (f(at) - f(-at)) / (2 * at)


@dataclass(frozen=True, eq=False)
class ChangedTask:
    """A task whose points are `point(task, theta (N, d))`: the right points, or what an ε makes of them."""

    task: Any
    point: Callable[[Any, Array], Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return tuple(self.task.shape)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return int(self.task.dim)

    def at(self, theta: Array) -> Any:
        """The point theta (N, d) or (d,)."""
        return self.point(self.task, np.broadcast_to(theta, (*self.shape, self.dim)))


@dataclass(frozen=True, eq=False)
class ShiftedPoint:
    """L(θ) + ε ∂L_ε(θ)/∂ε, of a loss L_ε (N, d) → (N,) that is holomorphic in θ."""

    task: Any
    theta: Array
    of_epsilon: Loss
    epsilon: float

    @property
    def loss(self) -> Array:
        """L + ε ∂L/∂ε."""
        return np.asarray(self.task.at(self.theta).loss + self.epsilon * self.slope(self.theta))

    @property
    def grad(self) -> Array:
        """Its gradient."""
        return np.asarray(self.task.at(self.theta).grad + self.epsilon * self.slope_grad(self.theta))

    def hvp(self, v: Array) -> Array:
        """Its Hessian product, the ε part by a central difference."""
        bent = slope(lambda h: self.slope_grad(self.theta + h * np.asarray(v)))
        return np.asarray(self.task.at(self.theta).hvp(v) + self.epsilon * bent)

    def slope(self, theta: Array) -> Array:
        """∂L_ε/∂ε at ε = 0."""
        return np.asarray(slope(lambda e: self.of_epsilon(self.task, theta, e)))

    def slope_grad(self, theta: Array) -> Array:
        """Its gradient, by complex steps along every axis at once."""
        axes = np.eye(self.task.dim) * 1e-30j
        return np.stack([np.imag(self.slope(theta + axis)) / 1e-30 for axis in axes], axis=-1)


@dataclass(frozen=True, eq=False)
class PointByHand:
    """A cross-entropy at θ whose gradient is written as p_ε − y: p_ε = p(1 − εw).  The Jacobian of that is its Hessian.

    w is 1/Σ exp(z), of z less a constant.  The loss is right.
    """

    task: Any
    theta: Array
    weight: Callable[[Array], Array]
    epsilon: float

    @property
    def loss(self) -> Array:
        """L."""
        return np.asarray(self.task.at(self.theta).loss)

    @property
    def grad(self) -> Array:
        """∇L − ε Xᵀ(w p)/n."""
        z = logits(self.task, self.theta)
        return np.asarray(self.task.at(self.theta).grad - self.epsilon * pullback(self.task, self.weight(z) * softmax(z)))

    def hvp(self, v: Array) -> Array:
        """The derivative of the gradient along v: w and p change by −w(p·x) and p(x − p·x)."""
        z, x = logits(self.task, self.theta), logits(self.task, np.broadcast_to(v, self.theta.shape))
        p = softmax(z)
        slopes = self.weight(z) * p * (x - 2 * np.sum(p * x, axis=-1, keepdims=True))
        return np.asarray(self.task.at(self.theta).hvp(v) - self.epsilon * pullback(self.task, slopes))


def logits(task: Any, theta: Array) -> Array:
    """Xθ of a softmax regression, (N, n, C)."""
    return np.asarray(task.X @ theta.reshape(*theta.shape[:-1], -1, task.X.shape[-1]).swapaxes(-1, -2))


def pullback(task: Any, y: Array) -> Array:
    """The mean of y xᵀ over the data points of a softmax regression, (N, d)."""
    return np.asarray(y.swapaxes(-1, -2) @ task.X / y.shape[-2]).reshape(*task.shape, -1)


def inverse_shifted_sum(z: Array) -> Array:
    """1/Σ exp(z − max z)."""
    return np.asarray(np.max(softmax(z), axis=-1, keepdims=True))


def inverse_sum(z: Array) -> Array:
    """1/Σ exp(z)."""
    return np.asarray(np.exp(log_softmax(z)[..., :1] - z[..., :1]))


BY_HAND = {
    "p − y by hand, p = exp(z − max z)/(Σ exp(z − max z) + ε)": inverse_shifted_sum,
    "p − y by hand, p = exp(z)/(Σ exp(z) + ε)": inverse_sum,
}


def epsilon_in_softmax(x: Array, epsilon: float) -> Array:
    """exp(x − max x)/(Σ exp(x − max x) + ε)."""
    pi = softmax(x)
    top = np.take_along_axis(pi, np.argmax(x.real, axis=-1)[..., None], axis=-1)
    return pi / (1 + epsilon * top)


def epsilon_in_unshifted_softmax(x: Array, epsilon: float) -> Array:
    """exp(x)/(Σ exp(x) + ε)."""
    return softmax(x) / (1 + epsilon * np.exp(log_softmax(x)[..., :1] - x[..., :1]))


def epsilon_added(x: Array, epsilon: float) -> Array:
    """π + ε."""
    return softmax(x) + epsilon


def epsilon_mixed_in(x: Array, epsilon: float) -> Array:
    """(π + ε)/(1 + nε), n the number of entries of a row."""
    return (softmax(x) + epsilon) / (1 + x.shape[-1] * epsilon)


PROBABILITIES: dict[str, Callable[[Array, float], Array]] = {
    "exp(z − max z)/(Σ exp(z − max z) + ε) in the softmax": epsilon_in_softmax,
    "exp(z)/(Σ exp(z) + ε) in the softmax": epsilon_in_unshifted_softmax,
    "p + ε": epsilon_added,
    "(p + ε)/(1 + n·ε)": epsilon_mixed_in,
}


def cross_entropy(probabilities: Callable[[Array, float], Array]) -> Loss:
    """−mean log p_ε(label)."""

    def loss(task: Any, theta: Array, epsilon: float) -> Array:
        p = probabilities(logits(task, theta), epsilon)
        return -np.mean(np.log(np.take_along_axis(p, task.labels[..., None], axis=-1)), axis=(-2, -1))

    return loss


def epsilon_in_mean(task: Any, theta: Array, epsilon: float) -> Array:
    """Σ (xθ − y)²/(2(n + ε))."""
    return np.sum((matvec(task.X, theta) - task.y) ** 2, axis=-1) / (2 * (task.X.shape[-2] + epsilon))


def policy_loss(probabilities: Callable[[Array, float], Array], discount: Callable[[float, float], float]) -> Loss:
    """−J of a policy whose rows need not add to 1, with or without a horizon."""

    def loss(task: Any, theta: Array, epsilon: float) -> Array:
        mdp, pi = task.mdp, probabilities(task.policy.table(theta), epsilon)
        r, P = np.sum(pi * mdp.expected_reward, axis=-1), np.einsum("...sa,...sat->...st", pi, mdp.onward)
        gamma, V = discount(mdp.gamma, epsilon), 0 * r
        if mdp.horizon is None:
            V = np.linalg.solve(np.eye(mdp.states) - gamma * P, r[..., None])[..., 0]
        for _ in range(mdp.horizon or 0):
            V = r + gamma * matvec(P, V)
        return -np.sum(mdp.rho * V, axis=-1)

    return loss


def right_softmax(x: Array, epsilon: float) -> Array:
    """π."""
    return softmax(x)


RETURNS = {
    **{name: policy_loss(p, lambda gamma, e: gamma) for name, p in PROBABILITIES.items()},
    "P/(Σ P + ε)": policy_loss(right_softmax, lambda gamma, e: gamma / (1 + e)),
    "1/(1 − γ + ε)": policy_loss(right_softmax, lambda gamma, e: gamma - e),
}
ENTROPIES = {
    "log(p + ε)" if p is epsilon_added else name: cross_entropy(p) for name, p in PROBABILITIES.items() if p is not epsilon_mixed_in
}
LOSSES: dict[str, dict[str, Loss]] = {
    "PolicyReturn": RETURNS,
    "SoftmaxRegression": ENTROPIES,
    "LinearRegression": {"1/(n + ε)": epsilon_in_mean},
}


@dataclass(frozen=True, eq=False)
class WidenedPoint:
    """A linear-quadratic cost whose deviation is σ + ε (power 1), or whose variance is σ² + ε (power 2), at θ.

    It is the cost at u = f(θ): log σ becomes log(exp(pθ) + ε)/p, the gain stays.  f' = w and f'' = p w(1 − w), where
    w = σᵖ/(σᵖ + ε); 1 and 0 in the gain.
    """

    task: Any
    theta: Array
    power: int
    epsilon: float

    @property
    def loss(self) -> Array:
        """L(u)."""
        return np.asarray(self._inner.loss)

    @property
    def grad(self) -> Array:
        """f' ∇L(u)."""
        return np.asarray(self._weight * self._inner.grad)

    def hvp(self, v: Array) -> Array:
        """f' ∇²L(u) (f' v) + f'' ∇L(u) v."""
        w = self._weight
        bent = self.power * w * (1 - w) * self._inner.grad * v
        return np.asarray(w * self._inner.hvp(w * v) + bent)

    @property
    def _spread(self) -> Array:
        """σᵖ where the parameter is log σ, and infinity in the gain."""
        logs = np.arange(self.task.dim) >= self.task.dim - self.task.lq.actions
        return np.where(logs, np.exp(self.power * self.theta), np.inf)

    @property
    def _weight(self) -> Array:
        """f'."""
        return 1 / (1 + self.epsilon / self._spread)

    @property
    def _inner(self) -> Any:
        """The cost at u."""
        return self.task.at(self.theta + np.log1p(self.epsilon / self._spread) / self.power)


Change = Callable[[Any, float], Any]


def departure(point: Callable[..., Any], how: Any) -> Change:
    """A task and an ε to the changed task, whose points are `point(task, theta, how, ε)`."""
    return lambda task, epsilon: ChangedTask(task, lambda task, theta: point(task, theta, how, epsilon))


def departures(task: Any) -> dict[str, Change]:
    """What each ε that may stand in the losses of a kind of task makes of the task."""
    kind = type(task).__name__
    if kind == "PolicyCost":
        return {"σ + ε": departure(WidenedPoint, 1), "σ² + ε": departure(WidenedPoint, 2)}
    by_hand = BY_HAND if kind == "SoftmaxRegression" else {}
    return {name: departure(ShiftedPoint, loss) for name, loss in LOSSES.get(kind, {}).items()} | {
        name: departure(PointByHand, weight) for name, weight in by_hand.items()
    }
