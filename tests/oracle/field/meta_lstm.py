"""Mistakes in the Meta-LSTM."""

from typing import Any

import numpy as np

from tests.oracle.field.base_meta_lstm import MetaLSTM as Base
from tests.oracle.field.mistake import Mistake
from tests.oracle.field.small_autograd import (
    V,
    concat,
    einsum,
    exp,
    log,
    log_softmax,
    planted,
    reshape,
    sigmoid,
    stop,
    tanh,
    total,
    where,
)

__all__ = ["MISTAKES"]


def split(self: Any, x: V, h: V, bias: float = 1.0) -> tuple[V, V, V, V]:
    """The four blocks of the first layer's rows."""
    z, H = (einsum("nkj,ndj->ndk", self.W, concat([x, h])) + bias * self.b[:, None], self.H)
    return z[..., :H], z[..., H : 2 * H], z[..., 2 * H : 3 * H], z[..., 3 * H :]


def candidate_third(self: Any, x: V, h: V, c: V) -> tuple[V, V]:
    """Rows in PyTorch's order (input, forget, candidate, output), columns h before x."""
    H = self.H
    z = einsum("nkj,ndj->ndk", self.W, concat([h, x])) + self.b[:, None]
    c = sigmoid(z[..., H : 2 * H]) * c + sigmoid(z[..., :H]) * tanh(z[..., 2 * H : 3 * H])
    return sigmoid(z[..., 3 * H :]) * tanh(c), c


def coupled(self: Any, f: V, theta: V, i: V, g: V) -> V:
    """(1 − i) θ − i ∇L."""
    return (1 - i) * theta - i * g


def epsilon_inside(self: Any, x: V) -> V:
    """(max(ln(|x| + 10⁻⁸)/10, −1), sign x)."""
    sign = np.where(x.data > 0, 1.0, -1.0)
    logs = log(x * sign + 1e-8) / 10
    return concat([where(logs.data > -1, logs, -1.0)[..., None], V(sign)[..., None]])


def stale_loss(self: Any, theta: V, k: int) -> tuple[V, V]:
    """The loss of the step before; first that of c0."""
    g, loss = Base.signal(self, theta, k)
    before, self.before = (loss if k == 0 else self.before), loss
    return g, before


def plain_slope(self: Any, theta: V) -> V:
    """The learner's gradient without the ridge."""
    return Base.slope(self, theta) - self.ridge * theta


def sequential(self: Any) -> V:
    """The mean of hidden state and cell over the parameters goes on."""
    theta = self.c0
    h, c, i, f = self.first()
    for k in range(self.steps):
        g, loss = self.signal(theta, k)
        h, c = self.first_layer(self.inputs(g, loss), h, c)
        i, f = (self.gate(self.W_I, self.b_I, h, theta, i), self.gate(self.W_F, self.b_F, h, theta, f))
        theta = self.cell(f, theta, i, g)
        h = 0.0 * h + total(h, (1,))[:, None] / self.d
        c = 0.0 * c + total(c, (1,))[:, None] / self.d
    return theta


def forget_open(self: Any) -> tuple[V, V, V, V]:
    """f before the first step is 1."""
    h, c, i, f = Base.first(self)
    return h, c, i, f + 1.0


def truncated(self: Any, x: V, h: V, c: V) -> tuple[V, V]:
    """Hidden state and cell are detached at every step."""
    return Base.first_layer(self, x, stop(h), stop(c))


def gates_see_updated(self: Any) -> V:
    """The forget gate is computed after the input gate's part was subtracted."""
    theta = self.c0
    h, c, i, f = self.first()
    for k in range(self.steps):
        g, loss = self.signal(theta, k)
        h, c = self.first_layer(self.inputs(g, loss), h, c)
        i = self.gate(self.W_I, self.b_I, h, theta, i)
        moved = theta - i * g
        f = self.gate(self.W_F, self.b_F, h, moved, f)
        theta = f * theta - i * g
    return theta


def gradient_alone(self: Any, theta: V, k: int) -> tuple[V, V]:
    """The loss is held in the exact gradient as well."""
    g, loss = Base.signal(self, theta, k)
    return g, stop(loss)


def shortened(self: Any, theta: V, k: int) -> tuple[V, V]:
    """The learner's gradient within [−0.25, 0.25], entry by entry."""
    g, loss = Base.signal(self, theta, k)
    return where(np.abs(g.data) <= 0.25, g, np.clip(g.data, -0.25, 0.25)), loss


def best_iterate(self: Any) -> V:
    """The iterate of the least support loss."""
    theta = self.c0
    h, c, i, f = self.first()
    best, least = theta, self.support(theta).data
    for k in range(self.steps):
        g, loss = self.signal(theta, k)
        h, c = self.first_layer(self.inputs(g, loss), h, c)
        i, f = (self.gate(self.W_I, self.b_I, h, theta, i), self.gate(self.W_F, self.b_F, h, theta, f))
        theta = self.cell(f, theta, i, g)
        now = self.support(theta).data
        best, least = where((now < least)[:, None], theta, best), np.minimum(now, least)
    return best


def mean_of_losses(self: Any) -> V:
    """The mean query loss after each step."""
    out = 0.0 * self.query(self.c0)
    reached: list[V] = []

    def cell(*of: Any) -> V:
        reached.append(Base.cell(self, *of))
        return reached[-1]

    self.cell = cell
    self.adapt()
    for theta in reached:
        out = out + self.query(theta) / self.steps
    return out


def no_second_tanh(self: Any, x: V, h: V, c: V) -> tuple[V, V]:
    """h = o c; both biases of PyTorch's cell are b."""
    u, v, w, y = split(self, x, h, 2.0)
    c = sigmoid(v) * c + sigmoid(u) * tanh(y)
    return sigmoid(w) * c, c


def biased_forget(self: Any, x: V, h: V, c: V) -> tuple[V, V]:
    """1 joins the forget gate's bias, as in TensorFlow's cell."""
    u, v, w, y = split(self, x, h)
    c = sigmoid(v + 1.0) * c + sigmoid(u) * tanh(y)
    return sigmoid(w) * tanh(c), c


def swapped_inputs(self: Any, g: V, loss: V) -> V:
    """Logarithms first, then signs; the loss is the mean over the tasks."""
    a, b = (self.pre(g), self.pre(0.0 * loss + total(loss) / self.N)[:, None] + np.zeros((self.N, self.d, 2)))
    return concat([a[..., :1], b[..., :1], a[..., 1:], b[..., 1:]])


def column_major(self: Any, theta: V) -> V:
    """θ as (f, C), transposed."""
    rows = self.d // self.classes
    order = np.arange(self.d).reshape(rows, self.classes).T.ravel()
    return reshape(theta[:, order], (self.N, self.classes, rows))


def slope_column_major(self: Any, theta: V) -> V:
    """∇L in the same layout."""
    p, n = exp(log_softmax(self.logits(theta, self.X))), self.labels.shape[1]
    g = einsum("nqc,nqf->nfc", p - np.eye(self.classes)[self.labels], self.X) / n
    return reshape(g, (self.N, self.d)) + self.ridge * theta


def theta_held_in_gates(self: Any, w: V, bias: V, h: V, theta: V, before: V) -> V:
    """θ is detached in the gates."""
    return Base.gate(self, w, bias, h, stop(theta), before)


def another_threshold(self: Any, x: V) -> V:
    """p = 7."""
    big, sign = np.abs(x.data) >= np.exp(-7), np.where(x.data > 0, 1.0, -1.0)
    logs = log(where(big, x * sign, 1.0)) / 7
    return concat([where(big, logs, -1.0)[..., None], where(big, sign, np.exp(7.0) * x)[..., None]])


def query_without_ridge(self: Any, theta: V) -> V:
    """The query loss without the ridge; the sum over its data points."""
    return (Base.query(self, theta) - self.ridge * total(theta**2, (-1,)) / 2) * self.query_labels.shape[1]


def clipped_slopes(self: Any, g: Any) -> Any:
    """Gradients within [−0.05, 0.05], entry by entry."""
    return np.clip(g, -0.05, 0.05)


def sharing_gates(self: Any) -> V:
    """Each gate is told the other one's value before."""
    theta = self.c0
    h, c, i, f = self.first()
    for k in range(self.steps):
        g, loss = self.signal(theta, k)
        h, c = self.first_layer(self.inputs(g, loss), h, c)
        i, f = (self.gate(self.W_I, self.b_I, h, theta, f), self.gate(self.W_F, self.b_F, h, theta, i))
        theta = self.cell(f, theta, i, g)
    return theta


def at_least_one(self: Any) -> V:
    """One step where none is asked for."""
    steps, self.steps = self.steps, max(self.steps, 1)
    out = Base.adapt(self)
    self.steps = steps
    return out


def biased_start(self: Any) -> tuple[V, V, V, V]:
    """The gates before the first step are σ of their biases."""
    h, c, i, f = Base.first(self)
    return h, c, i + sigmoid(self.b_I)[:, None], f + sigmoid(self.b_F)[:, None]


def mistake(name: str, planted_: str, words: tuple[str, ...], **methods: Any) -> Mistake:
    """A mistake of this suite."""
    return Mistake("meta-lstm", name, planted(Base, **methods), planted_, words)


MISTAKES = [
    mistake("cell-of-pytorch", "The first layer's rows are input, forget, candidate, output; its columns are h, then "
            "inputs.", ("order", "rows", "columns", "candidate", "layout"), first_layer=candidate_third),
    mistake("gates-coupled", "The step is (1 - i) theta - i gradient: the forget gate is not used.",
            ("forget",), cell=coupled),
    mistake("preprocessing-epsilon", "Preprocessing is the logarithm of |x| + 1e-8 kept above -1, and the sign always.",
            ("preprocess", "epsilon", "log", "small"), pre=epsilon_inside),
    mistake("loss-of-the-step-before", "The first layer reads the loss of the step before.",
            ("loss", "before", "stale"), signal=stale_loss),
    mistake("learner-without-ridge", "The learner's gradient has no ridge term; the losses have it.",
            ("ridge",), slope=plain_slope),
    mistake("hidden-state-averaged", "Hidden state and cell are averaged over the parameters after each step.",
            ("hidden", "coordinate", "parameter"), adapt=sequential),
    mistake("forget-gate-starts-at-one", "The forget gate before the first step is 1.",
            ("first gate", "forget", "first step", "gates"), first=forget_open),
    mistake("hidden-state-detached", "Hidden state and cell are detached at every step.",
            ("detach", "hidden", "held", "trunc", "cell"), first_layer=truncated),
    mistake("forget-gate-sees-the-step", "The forget gate reads theta after the gradient's part was subtracted.",
            ("forget", "theta", "order"), adapt=gates_see_updated),
    mistake("loss-held-in-exact", "In the exact gradient the loss that the first layer reads is held.",
            ("loss", "held", "detach"), signal=gradient_alone),
    mistake("learner-gradient-clipped", "The learner's gradient is clipped to [-0.25, 0.25].",
            ("clip", "clamp"), signal=shortened),
    mistake("best-iterate", "The iterate of the least support loss is judged, not the last.",
            ("best", "last", "iterate", "steps", "early"), adapt=best_iterate),
    mistake("mean-over-steps", "The objective is the mean query loss over the steps; 0 without steps.",
            ("mean", "each step", "steps", "every step"), objective=mean_of_losses),
    mistake("bias-twice-no-tanh", "The first layer adds b twice, and h is the output gate times the cell, without "
            "tanh.", ("tanh", "bias", "b twice", "output"), first_layer=no_second_tanh),
    mistake("forget-bias-of-tensorflow", "1 is added to the bias of the first layer's forget gate.",
            ("bias", "forget"), first_layer=biased_forget),
    mistake("inputs-regrouped-mean-loss", "The four inputs are logarithms, then signs; the loss is the tasks' mean.",
            ("order", "columns", "mean", "task", "inputs"), inputs=swapped_inputs),
    mistake("theta-feature-major", "theta is read feature after feature, class within.",
            ("class after class", "layout", "order", "transpos"), matrix=column_major, slope=slope_column_major),
    mistake("theta-held-in-gates", "theta is detached where the gates read it.",
            ("theta", "detach", "held", "gate"), gate=theta_held_in_gates),
    mistake("preprocessing-seven", "Preprocessing has p = 7.",
            ("preprocess", "p = 10", "threshold"), pre=another_threshold),
    mistake("query-sum-without-ridge", "The query loss is a sum over its data points, without ridge.",
            ("ridge", "sum", "query", "mean"), query=query_without_ridge),
    mistake("meta-gradient-clipped", "All gradients are clipped to [-0.05, 0.05].",
            ("clip", "clamp"), finish=clipped_slopes),
    mistake("gates-swap-memories", "Each gate is told the other gate's value before.",
            ("before", "gate", "i before", "f before"), adapt=sharing_gates),
    mistake("one-step-at-least", "One step is taken where steps is 0.",
            ("steps",), adapt=at_least_one),
    mistake("first-gates-from-biases", "The gates before the first step are sigmoid of their biases, not 0.",
            ("first gate", "bias", "gates", "first step"), first=biased_start),
    mistake("tensorflow-bias-first-gate-one", "1 joins the first layer's forget bias; the forget gate before step 1 is "
            "1.", ("bias", "forget", "first gate"), first_layer=biased_forget, first=forget_open),
    mistake("clipped-twice", "The learner's gradient is clipped at 0.25 and meta-gradients at 0.05.",
            ("clip", "clamp"), signal=shortened, finish=clipped_slopes),
    mistake("seven-and-coupled", "Preprocessing has p = 7, and the forget gate is 1 - i.",
            ("preprocess", "p = 10", "forget", "threshold"), pre=another_threshold, cell=coupled),
    mistake("detached-hidden-and-theta", "Hidden state and theta are detached where the gates read them.",
            ("detach", "held", "hidden", "theta"), first_layer=truncated, gate=theta_held_in_gates),
    mistake("independent-alone-stale-loss", "The independent gradients alone, with the loss of the step before.",
            ("loss", "before", "stale"),
            only=tuple(f"independent_{x}" for x in ("W", "b", "W_I", "b_I", "W_F", "b_F", "c0")), signal=stale_loss),
]  # fmt: skip
