"""Losses with an ε in them, as tasks: the right loss plus ε times its slope in ε.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.softmax import log_softmax, softmax

__all__ = [
    "BY_HAND", "ByHand", "Change", "PointByHand", "Shifted", "ShiftedPoint", "Widened", "WidenedPoint", "added",
    "counted", "cross_entropy", "departures", "exponentials", "mixed", "of_all", "of_largest", "plain", "returned",
    "slope", "unshifted",
]  # fmt: skip

Loss = Callable[[Any, Array, float], Array]
STEP = 1e-4


def slope(f: Callable[[float], Any], at: float = STEP) -> Any:
    """The derivative at 0, to about 1e-8: a central difference."""
    return (f(at) - f(-at)) / (2 * at)


@dataclass(frozen=True, eq=False)
class Shifted:
    """L(θ) + ε ∂L_ε(θ)/∂ε, of a loss L_ε (N, d) → (N,) that is holomorphic in θ."""

    task: Any
    loss: Loss
    epsilon: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return tuple(self.task.shape)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return int(self.task.dim)

    def at(self, theta: Array) -> "ShiftedPoint":
        """The point theta (N, d) or (d,)."""
        return ShiftedPoint(np.broadcast_to(theta, (*self.shape, self.dim)), self)

    def slope(self, theta: Array) -> Array:
        """∂L_ε/∂ε at ε = 0."""
        return np.asarray(slope(lambda e: self.loss(self.task, theta, e)))

    def slope_grad(self, theta: Array) -> Array:
        """Its gradient, by complex steps along every axis at once."""
        axes = np.eye(self.dim) * 1e-30j
        return np.stack([np.imag(self.slope(theta + axis)) / 1e-30 for axis in axes], axis=-1)


@dataclass(frozen=True, eq=False)
class ShiftedPoint:
    """A shifted loss at θ."""

    theta: Array
    task: Shifted

    @property
    def loss(self) -> Array:
        """L + ε ∂L/∂ε."""
        return np.asarray(self._right.loss + self.task.epsilon * self.task.slope(self.theta))

    @property
    def grad(self) -> Array:
        """Its gradient."""
        return np.asarray(self._right.grad + self.task.epsilon * self.task.slope_grad(self.theta))

    def hvp(self, v: Array) -> Array:
        """Its Hessian product, the ε part by a central difference."""
        bent = slope(lambda h: self.task.slope_grad(self.theta + h * np.asarray(v)))
        return np.asarray(self._right.hvp(v) + self.task.epsilon * bent)

    @property
    def _right(self) -> Any:
        """The right loss at θ."""
        return self.task.task.at(self.theta)


@dataclass(frozen=True, eq=False)
class ByHand:
    """A cross-entropy whose gradient is written as p_ε − y: p_ε = p(1 − εw), and the Jacobian of that is its Hessian.

    w is 1/Σ exp(z), of z less a constant.
    """

    task: Any
    weight: Callable[[Array], Array]
    epsilon: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return tuple(self.task.shape)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return int(self.task.dim)

    def at(self, theta: Array) -> "PointByHand":
        """The point theta (N, d) or (d,)."""
        return PointByHand(np.broadcast_to(theta, (*self.shape, self.dim)), self)

    def logits(self, theta: Array) -> Array:
        """Xθ, (N, n, C)."""
        return np.asarray(self.task.X @ theta.reshape(*theta.shape[:-1], -1, self.task.X.shape[-1]).swapaxes(-1, -2))

    def pulled(self, y: Array) -> Array:
        """The mean of y xᵀ over the data points, (N, d)."""
        return np.asarray(y.swapaxes(-1, -2) @ self.task.X / y.shape[-2]).reshape(*self.shape, -1)


@dataclass(frozen=True, eq=False)
class PointByHand:
    """Such a cross-entropy at θ; its loss is right."""

    theta: Array
    task: ByHand

    @property
    def loss(self) -> Array:
        """L."""
        return np.asarray(self.task.task.at(self.theta).loss)

    @property
    def grad(self) -> Array:
        """∇L − ε Xᵀ(w p)/n."""
        z = self.task.logits(self.theta)
        return np.asarray(
            self.task.task.at(self.theta).grad - self.task.epsilon * self.task.pulled(self.task.weight(z) * softmax(z))
        )

    def hvp(self, v: Array) -> Array:
        """The derivative of the gradient along v: w and p move by −w(p·x) and p(x − p·x)."""
        z, x = self.task.logits(self.theta), self.task.logits(np.broadcast_to(v, self.theta.shape))
        p = softmax(z)
        moved = self.task.weight(z) * p * (x - 2 * np.sum(p * x, axis=-1, keepdims=True))
        return np.asarray(self.task.task.at(self.theta).hvp(v) - self.task.epsilon * self.task.pulled(moved))


def of_largest(z: Array) -> Array:
    """1/Σ exp(z − max z)."""
    return np.asarray(np.max(softmax(z), axis=-1, keepdims=True))


def of_all(z: Array) -> Array:
    """1/Σ exp(z)."""
    return np.asarray(np.exp(log_softmax(z)[..., :1] - z[..., :1]))


BY_HAND = {
    "p − y by hand, p = exp(z − max z)/(Σ exp(z − max z) + ε)": of_largest,
    "p − y by hand, p = exp(z)/(Σ exp(z) + ε)": of_all,
}


def exponentials(x: Array, epsilon: float) -> Array:
    """exp(x − max x)/(Σ exp(x − max x) + ε)."""
    pi = softmax(x)
    top = np.take_along_axis(pi, np.argmax(x.real, axis=-1)[..., None], axis=-1)
    return pi / (1 + epsilon * top)


def unshifted(x: Array, epsilon: float) -> Array:
    """exp(x)/(Σ exp(x) + ε)."""
    return softmax(x) / (1 + epsilon * np.exp(log_softmax(x)[..., :1] - x[..., :1]))


def added(x: Array, epsilon: float) -> Array:
    """π + ε."""
    return softmax(x) + epsilon


def mixed(x: Array, epsilon: float) -> Array:
    """(π + ε)/(1 + nε), n the number of entries of a row."""
    return (softmax(x) + epsilon) / (1 + x.shape[-1] * epsilon)


PROBABILITIES: dict[str, Callable[[Array, float], Array]] = {
    "exp(z − max z)/(Σ exp(z − max z) + ε) in the softmax": exponentials,
    "exp(z)/(Σ exp(z) + ε) in the softmax": unshifted,
    "p + ε": added,
    "(p + ε)/(1 + n·ε)": mixed,
}


def cross_entropy(probabilities: Callable[[Array, float], Array]) -> Loss:
    """−mean log p_ε(label)."""

    def loss(task: Any, theta: Array, epsilon: float) -> Array:
        W = theta.reshape(*theta.shape[:-1], -1, task.X.shape[-1])
        p = probabilities(task.X @ W.swapaxes(-1, -2), epsilon)
        return -np.mean(np.log(np.take_along_axis(p, task.labels[..., None], axis=-1)), axis=(-2, -1))

    return loss


def counted(task: Any, theta: Array, epsilon: float) -> Array:
    """Σ (xθ − y)²/(2(n + ε))."""
    return np.sum((matvec(task.X, theta) - task.y) ** 2, axis=-1) / (2 * (task.X.shape[-2] + epsilon))


def returned(probabilities: Callable[[Array, float], Array], discount: Callable[[float, float], float]) -> Loss:
    """−J of a policy, of either horizon, whose rows need not add to 1."""

    def loss(task: Any, theta: Array, epsilon: float) -> Array:
        mdp, pi = task.mdp, probabilities(task.policy.table(theta), epsilon)
        r, P = np.sum(pi * mdp.expected_reward, axis=-1), np.einsum("...sa,...sat->...st", pi, mdp.P)
        gamma, V = discount(mdp.gamma, epsilon), 0 * r
        if mdp.horizon is None:
            V = np.linalg.solve(np.eye(mdp.states) - gamma * P, r[..., None])[..., 0]
        for _ in range(mdp.horizon or 0):
            V = r + gamma * matvec(P, V)
        return -np.sum(mdp.rho * V, axis=-1)

    return loss


def plain(x: Array, epsilon: float) -> Array:
    """π."""
    return softmax(x)


RETURNS = {
    **{name: returned(p, lambda gamma, e: gamma) for name, p in PROBABILITIES.items()},
    "P/(Σ P + ε)": returned(plain, lambda gamma, e: gamma / (1 + e)),
    "1/(1 − γ + ε)": returned(plain, lambda gamma, e: gamma - e),
}
ENTROPIES = {
    "log(p + ε)" if p is added else name: cross_entropy(p) for name, p in PROBABILITIES.items() if p is not mixed
}
LOSSES: dict[str, dict[str, Loss]] = {
    "PolicyReturn": RETURNS,
    "SoftmaxRegression": ENTROPIES,
    "LinearRegression": {"1/(n + ε)": counted},
}


@dataclass(frozen=True, eq=False)
class Widened:
    """A linear-quadratic cost whose deviation is σ + ε, or whose variance is σ² + ε: log σ → log(exp(pθ) + ε)/p."""

    task: Any
    power: int
    epsilon: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return tuple(self.task.shape)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return int(self.task.dim)

    def at(self, theta: Array) -> "WidenedPoint":
        """The point theta."""
        return WidenedPoint(np.asarray(theta), self)


@dataclass(frozen=True, eq=False)
class WidenedPoint:
    """A widened cost at θ: u = f(θ) with f' = w and f'' = p w(1 − w), w = σᵖ/(σᵖ + ε); 1 and 0 in the gain."""

    theta: Array
    task: Widened

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
        bent = self.task.power * w * (1 - w) * self._inner.grad * v
        return np.asarray(w * self._inner.hvp(w * v) + bent)

    @property
    def _spread(self) -> Array:
        """σᵖ where the parameter is log σ, and infinity in the gain."""
        logs = np.arange(self.task.dim) >= self.task.dim - self.task.task.lq.actions
        return np.where(logs, np.exp(self.task.power * self.theta), np.inf)

    @property
    def _weight(self) -> Array:
        """f'."""
        return 1 / (1 + self.task.epsilon / self._spread)

    @property
    def _inner(self) -> Any:
        """The cost at u."""
        return self.task.task.at(self.theta + np.log1p(self.task.epsilon / self._spread) / self.task.power)


Change = Callable[[Any, float], Any]


def departures(task: Any) -> dict[str, Change]:
    """What each ε that may stand in the losses of a kind of task makes of the task."""

    def widened(power: int) -> Change:
        return lambda task, epsilon: Widened(task, power, epsilon)

    def shifted(loss: Loss) -> Change:
        return lambda task, epsilon: Shifted(task, loss, epsilon)

    def by_hand(weight: Callable[[Array], Array]) -> Change:
        return lambda task, epsilon: ByHand(task, weight, epsilon)

    kind = type(task).__name__
    if kind == "PolicyCost":
        return {"σ + ε": widened(1), "σ² + ε": widened(2)}
    hand = {name: by_hand(weight) for name, weight in BY_HAND.items()} if kind == "SoftmaxRegression" else {}
    return {name: shifted(loss) for name, loss in LOSSES.get(kind, {}).items()} | hand
