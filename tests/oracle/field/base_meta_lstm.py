"""The suite meta-lstm, written once more; every method can be written wrongly."""

from typing import Any

import numpy as np

from tests.oracle.field.small_autograd import (
    V,
    concat,
    einsum,
    exp,
    grad,
    log,
    log_softmax,
    reshape,
    sigmoid,
    stop,
    tanh,
    total,
    where,
)  # fmt: skip

__all__ = ["MetaLSTM"]

LEAVES = ("W", "b", "W_I", "b_I", "W_F", "b_F", "c0")


class MetaLSTM:
    """All tasks at once: the weights are repeated, one copy for each."""

    X: Any
    labels: Any
    query_X: Any
    query_labels: Any
    classes: int
    ridge: float
    steps: int
    W: V
    b: V
    W_I: V
    b_I: V
    W_F: V
    b_F: V
    c0: V
    independent = False

    def __init__(self, **inputs: Any) -> None:
        self.__dict__.update(inputs)
        self.every, self.N, self.H, self.d = (inputs, len(self.X), len(inputs["W_I"]) - 2, len(inputs["c0"]))

    def matrix(self, theta: V) -> V:
        """θ as (N, C, f)."""
        return reshape(theta, (self.N, self.classes, -1))

    def logits(self, theta: V, X: Any) -> V:
        """(N, n, C)."""
        return einsum("ncf,nqf->nqc", self.matrix(theta), X)

    def loss(self, theta: V, X: Any, labels: Any) -> V:
        """Mean cross-entropy and ridge, (N,)."""
        logs, n = log_softmax(self.logits(theta, X)), labels.shape[1]
        chosen = total(logs[np.arange(self.N)[:, None], np.arange(n), labels], (-1,))
        return self.ridge * total(theta**2, (-1,)) / 2 - chosen / n

    def slope(self, theta: V) -> V:
        """∇L of the support."""
        p, n = exp(log_softmax(self.logits(theta, self.X))), self.labels.shape[1]
        g = einsum("nqc,nqf->ncf", p - np.eye(self.classes)[self.labels], self.X) / n
        return reshape(g, (self.N, self.d)) + self.ridge * theta

    def support(self, theta: V) -> V:
        """L of the support."""
        return self.loss(theta, self.X, self.labels)

    def query(self, theta: V) -> V:
        """L of the query."""
        return self.loss(theta, self.query_X, self.query_labels)

    def pre(self, x: V) -> V:
        """(ln|x|/10, sign) or (−1, e¹⁰x), on a new last axis."""
        big, sign = np.abs(x.data) >= np.exp(-10), np.where(x.data > 0, 1.0, -1.0)
        logs = log(where(big, x * sign, 1.0)) / 10
        return concat([where(big, logs, -1.0)[..., None], where(big, sign, np.exp(10.0) * x)[..., None]])

    def inputs(self, g: V, loss: V) -> V:
        """What the first layer reads, (N, d, 4)."""
        return concat([self.pre(g), self.pre(loss)[:, None] + np.zeros((self.N, self.d, 2))])

    def first_layer(self, x: V, h: V, c: V) -> tuple[V, V]:
        """h and c after a step."""
        z, H = einsum("nkj,ndj->ndk", self.W, concat([x, h])) + self.b[:, None], self.H
        c = sigmoid(z[..., H : 2 * H]) * c + sigmoid(z[..., :H]) * tanh(z[..., 3 * H :])
        return sigmoid(z[..., 2 * H : 3 * H]) * tanh(c), c

    def gate(self, w: V, bias: V, h: V, theta: V, before: V) -> V:
        """σ(w [h, θ, before] + bias)."""
        return sigmoid(einsum("nj,ndj->nd", w, concat([h, theta[..., None], before[..., None]])) + bias[:, None])

    def cell(self, f: V, theta: V, i: V, g: V) -> V:
        """The step."""
        return f * theta - i * g

    def first(self) -> tuple[V, V, V, V]:
        """h, c, i, f before the first step."""
        zero, none = np.zeros((self.N, self.d, self.H)), np.zeros((self.N, self.d))
        return V(zero), V(zero), V(none), V(none)

    def signal(self, theta: V, k: int) -> tuple[V, V]:
        """∇L and L of a step."""
        g, loss = self.slope(theta), self.support(theta)
        return (stop(g), stop(loss)) if self.independent else (g, loss)

    def adapt(self) -> V:
        """θ_K."""
        theta = self.c0
        h, c, i, f = self.first()
        for k in range(self.steps):
            g, loss = self.signal(theta, k)
            h, c = self.first_layer(self.inputs(g, loss), h, c)
            i, f = (self.gate(self.W_I, self.b_I, h, theta, i), self.gate(self.W_F, self.b_F, h, theta, f))
            theta = self.cell(f, theta, i, g)
        return theta

    def objective(self) -> V:
        """F."""
        return self.query(self.adapt())

    def finish(self, g: Any) -> Any:
        """What becomes of a gradient before it is returned."""
        return g

    def answer(self) -> dict[str, Any]:
        """Every part."""
        out = {}
        for kind in ("exact", "independent"):
            self.independent = kind == "independent"
            for name in LEAVES:
                value = np.asarray(self.every[name], dtype=float)
                setattr(self, name, V(np.broadcast_to(value, (self.N, *value.shape)), leaf=True))
            F = self.objective()
            out["objective"] = F.data
            slopes = grad(F, [getattr(self, name) for name in LEAVES])
            out |= {f"{kind}_{name}": self.finish(g.data) for name, g in zip(LEAVES, slopes, strict=True)}
        return out


def right(**inputs: Any) -> dict[str, Any]:
    """The right answer."""
    return MetaLSTM(**inputs).answer()
