"""Meta-LSTM on softmax regression, its gradients by a complex step through the unrolled learner."""

import numpy as np

from tests.oracle.field.held_out.base_maml import Classification
from tests.oracle.field.held_out.calculus import slopes

LEAVES = ("W", "b", "W_I", "b_I", "W_F", "b_F", "c0")


def sigmoid(z):
    """1/(1 + e^-z)."""
    return 1 / (1 + np.exp(-z))


class MetaLSTM(Classification):
    """The objective and its slopes, exact or with the learner's gradients and losses held."""

    def __init__(self, inputs):
        self.x, self.K = inputs, inputs["steps"]
        self.N, self.d, self.hidden = len(inputs["X"]), len(inputs["c0"]), len(inputs["W_I"]) - 2

    def preprocess(self, x):
        big = np.abs(x.real) >= np.exp(-10)
        sign = np.where(x.real > 0, 1.0, -1.0)
        safe = np.where(big, sign * x, 1.0)
        return np.stack([np.where(big, np.log(safe) / 10, -1), np.where(big, sign, np.exp(10) * x)], axis=-1)

    def signals(self, theta, data):
        """The learner's gradient (B, d) and loss (B, d), the same for every parameter."""
        loss = self.loss(theta, data)[..., None]
        return self.grad(theta, data), np.broadcast_to(loss, theta.shape)

    def cell(self, w, x, h, c):
        """The first layer, every parameter on its own: h and c (B, d, H)."""
        z = np.einsum("...rk,...dk->...dr", w["W"], np.concatenate([x, h], -1)) + w["b"][..., None, :]
        i, f, o, g = np.split(z, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def gate(self, w, b, h, theta, before):
        return sigmoid(np.einsum("...dk,...k->...d", np.concatenate([h, theta[..., None], before[..., None]], -1), w)
                       + b[..., None])  # fmt: skip

    def gates(self, w, h, theta, i, f):
        return self.gate(w["W_I"], w["b_I"], h, theta, i), self.gate(w["W_F"], w["b_F"], h, theta, f)

    def first_gates(self, shape):
        return np.zeros(shape, complex), np.zeros(shape, complex)

    def move(self, theta, g, i, f):
        return f * theta - i * g

    def learn(self, w, data, held=None):
        """theta_K, and the signals of every step."""
        theta, seen = w["c0"], []
        h = c = np.zeros((*theta.shape, self.hidden), complex)
        i, f = self.first_gates(theta.shape)
        for k in range(self.K):
            g, loss = held[k] if held else self.signals(theta, data)
            seen.append((g, loss))
            h, c = self.cell(w, np.concatenate([self.preprocess(g), self.preprocess(loss)], -1), h, c)
            i, f = self.gates(w, h, theta, i, f)
            theta = self.move(theta, g, i, f)
        return theta, seen

    def weights_at(self, leaf, value):
        """Every leaf with a batch axis, one of them exchanged."""
        batch = len(value)
        return {
            name: value
            if name == leaf
            else np.broadcast_to(np.asarray(self.x[name], float), (batch, *np.shape(self.x[name])))
            for name in LEAVES
        }

    def hold(self, seen):
        """The signals that the independent gradients hold."""
        return [(g.real, loss.real) for g, loss in seen]

    def one(self, i):
        data, query = [[self.x[p + n][i] for n in ("X", "labels")] for p in ("", "query_")]
        now = self.weights_at("c0", self.x["c0"][None].astype(complex))
        theta, seen = self.learn(now, data)
        row = {"objective": self.loss(theta, query)[0].real}
        for kind, held in (("exact", None), ("independent", self.hold(seen))):
            for leaf in LEAVES:

                def objective(value, leaf=leaf, held=held):
                    w = self.weights_at(leaf, value)
                    return self.loss(self.learn(w, data, self.at(held, len(value)))[0], query)

                row[f"{kind}_{leaf}"] = slopes(objective, self.x[leaf])
        return row

    def at(self, held, batch):
        """Held signals for a batch of weights."""
        return held and [tuple(np.broadcast_to(a, (batch, self.d)) for a in pair) for pair in held]

    def answer(self):
        rows = [self.one(i) for i in range(self.N)]
        return {part: np.stack([np.asarray(row[part]) for row in rows]) for part in rows[0]}
