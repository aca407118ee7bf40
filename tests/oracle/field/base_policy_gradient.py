"""The suite policy-gradient, written once more; every method can be written wrongly."""

from typing import Any

import numpy as np

from tests.oracle.field.small_autograd import V, einsum, exp, grad, inv, log_softmax, softmax, stop, total

__all__ = ["PolicyGradient"]


class PolicyGradient:
    """All tasks at once: theta is repeated, one row for each."""

    P: Any
    R: Any
    rho: Any

    def __init__(self, **inputs: Any) -> None:
        self.__dict__.update(inputs)
        self.theta, self.v = inputs["theta"], inputs["v"]
        self.gamma, self.horizon = inputs["gamma"], inputs["horizon"]
        self.N, self.S, self.A = self.P.shape[:3]
        given, d = inputs["features"], len(self.theta)
        self.Phi = np.eye(d).reshape(self.S, self.A, d) if given is None else given

    def rows(self, theta: Any) -> V:
        """A leaf with one row of parameters for each task."""
        return V(np.tile(theta, (self.N, 1)), leaf=True)

    def logits(self, theta: V) -> V:
        """(N, S, A)."""
        return einsum("sad,nd->nsa", self.Phi, theta)

    def pi(self, theta: V) -> V:
        """The policy."""
        return softmax(self.logits(theta))

    def reward(self) -> Any:
        """(N, S, A)."""
        return self.R if self.R.ndim == 3 else np.sum(self.P * self.R, axis=-1)

    def values(self, pi: V) -> V:
        """(N, S)."""
        r, K = (total(pi * self.reward(), (-1,)), self.gamma * einsum("nsa,nsat->nst", pi, self.P))
        if self.horizon is None:
            return einsum("nst,nt->ns", inv(np.eye(self.S) - K), r)
        value = 0 * r
        for _ in range(self.horizon):
            value = r + einsum("nst,nt->ns", K, value)
        return value

    def loss(self, theta: V) -> V:
        """−J."""
        return -total(self.rho * self.values(self.pi(theta)), (-1,))

    def slope(self, theta: V) -> V:
        """∇L as a node."""
        return grad(self.loss(theta), [theta])[0]

    def hvp(self) -> Any:
        """The Hessian of L times v."""
        theta = self.rows(self.theta)
        return grad(self.slope(theta) * self.v, [theta])[0].data

    def visits(self, theta: Any) -> Any:
        """d(s), discounted."""
        K = self.gamma * np.einsum("nsa,nsat->nst", self.pi(self.rows(theta)).data, self.P)
        if self.horizon is None:
            return np.linalg.solve(np.swapaxes(np.eye(self.S) - K, 1, 2), self.rho[..., None])[..., 0]
        d, now = 0 * self.rho, self.rho
        for _ in range(self.horizon):
            d, now = d + now, np.einsum("ns,nst->nt", now, K)
        return d

    def fisher_matrix(self) -> Any:
        """Σ d(s) E[score scoreᵀ]."""
        pi, d = self.pi(self.rows(self.theta)).data, self.visits(self.theta)
        centred = self.Phi - np.einsum("nsa,sad->nsd", pi, self.Phi)[:, :, None]
        return np.einsum("nsa,nsad,nsae->nde", d[..., None] * pi, centred, centred)

    def natural(self) -> Any:
        """The solution of least norm of F x = ∇J, F = BᵀB."""
        pi, d = self.pi(self.rows(self.theta)).data, self.visits(self.theta)
        centred = self.Phi - np.einsum("nsa,sad->nsd", pi, self.Phi)[:, :, None]
        B = (np.sqrt(d[..., None] * pi)[..., None] * centred).reshape(self.N, -1, len(self.theta))
        inverse = [np.linalg.pinv(b, rcond=1e-7) for b in B]
        g = -self.slope(self.rows(self.theta)).data
        return np.stack([b @ (b.T @ h) for b, h in zip(inverse, g, strict=True)])

    def divergence(self, new: V) -> V:
        """Σ_s d(s) KL(π at theta ‖ π at new)."""
        old = log_softmax(self.logits(stop(self.rows(self.theta))))
        return total(self.visits(self.theta)[..., None] * exp(old) * (old - log_softmax(self.logits(new))), (1, 2))

    def divergences(self) -> dict[str, Any]:
        """The divergence at theta + v, its gradient and its Hessian times v."""
        new = self.rows(self.theta + self.v)
        kl = self.divergence(new)
        g = grad(kl, [new])[0]
        return {"kl": kl.data, "kl_grad": g.data, "kl_hvp": grad(g * self.v, [new])[0].data}

    def answer(self) -> dict[str, Any]:
        """Every part."""
        theta = self.rows(self.theta)
        return {
            "loss": self.loss(theta).data, "grad": self.slope(theta).data, "hvp": self.hvp(),
            "fisher": self.fisher_matrix() @ self.v, "natural_gradient": self.natural(), **self.divergences(),
        }  # fmt: skip


def right(**inputs: Any) -> dict[str, Any]:
    """The right answer."""
    return PolicyGradient(**inputs).answer()
