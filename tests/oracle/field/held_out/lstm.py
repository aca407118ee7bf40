"""Wrong Meta-LSTMs."""

import numpy as np

from tests.oracle.field.held_out.base_lstm import MetaLSTM, sigmoid
from tests.oracle.field.held_out.calculus import planter

MISTAKES = []
lstm = planter(MISTAKES, "meta-lstm")


@lstm("log10", "base 10", "logarithm", "preprocess")
class LogarithmOfBaseTen(MetaLSTM):
    """The preprocessing takes logarithms of base 10."""

    def preprocess(self, x):
        out = super().preprocess(x)
        big = np.abs(x.real) >= np.exp(-10)
        return np.stack([np.where(big, out[..., 0] / np.log(10), out[..., 0]), out[..., 1]], -1)


@lstm("share", "hidden", "of all parameters")
class OneStateForAll(MetaLSTM):
    """All parameters share one hidden state, the mean of theirs; the cells are their own."""

    def cell(self, w, x, h, c):
        h, c = super().cell(w, x, h, c)
        return np.broadcast_to(h.mean(-2, keepdims=True), h.shape), c


@lstm("f before", "i before", "before", "forget gate")
class GatesCrossed(MetaLSTM):
    """The forget gate reads the input gate's last value, and the input gate the forget gate's."""

    def gates(self, w, h, theta, i, f):
        return super().gates(w, h, theta, f, i)


@lstm("theta", "detach", "constant")
class ThetaDetachedInTheGates(MetaLSTM):
    """The gates read theta as a constant, which the derivatives do not see."""

    def gates(self, w, h, theta, i, f):
        return super().gates(w, h, theta.real, i, f)


@lstm("first gates", "first forget", "initial", "f = 1", "start")
class ForgetStartsAtOne(MetaLSTM):
    """The first step's gates receive f = 1 and i = 0 of before, gradient descent's, where both are 0."""

    def first_gates(self, shape):
        return np.zeros(shape, complex), np.ones(shape, complex)


@lstm("ridge", "loss that")
class LossWithoutTheRidge(MetaLSTM):
    """The loss that the first layer reads is without the ridge."""

    def signals(self, theta, data):
        g, _ = super().signals(theta, data)
        bare = self.loss(theta, data) - self.penalty(theta)
        return g, np.broadcast_to(bare[..., None], theta.shape)


@lstm("tanh", "hidden")
class HiddenWithoutTanh(MetaLSTM):
    """h is the output gate times c, without its tanh."""

    def cell(self, w, x, h, c):
        z = np.einsum("...rk,...dk->...dr", w["W"], np.concatenate([x, h], -1)) + w["b"][..., None, :]
        i, f, o, g = np.split(z, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * c, c


@lstm("ridge", "decay", "half", "0.5")
class DecayInTheUpdate(MetaLSTM):
    """The update decays theta by the ridge a second time, and the input gate is halved."""

    def move(self, theta, g, i, f):
        return f * theta - 0.5 * i * (g + self.x["ridge"] * theta)


@lstm("held", "independent", "constant")
class OnlyLossesHeld(MetaLSTM):
    """The independent gradients hold the losses and recompute the learner's gradients."""

    def learn(self, w, data, held=None):
        self.kept = iter([pair[1] for pair in held]) if held else None
        return super().learn(w, data)

    def signals(self, theta, data):
        g, loss = super().signals(theta, data)
        return g, next(self.kept) if self.kept else loss


@lstm("1 - i", "coupled", "forget gate")
class CoupledGates(MetaLSTM):
    """The learner's forget gate is 1 - i in the update, and the trained one only feeds itself."""

    def move(self, theta, g, i, f):
        return (1 - i) * theta - i * g


@lstm("forget", "bias")
class ForgetBiasAdded(MetaLSTM):
    """The first layer adds 1 to the forget gate's bias, TensorFlow's default."""

    def cell(self, w, x, h, c):
        H = self.hidden
        bump = np.zeros(4 * H)
        bump[H : 2 * H] = 1
        return super().cell({**w, "b": w["b"] + bump}, x, h, c)


@lstm("small", "preprocess", "e^p", "-1")
class SmallGradientsKeepTheirSign(MetaLSTM):
    """Small values are preprocessed to (-1, sign), not to (-1, e^p x)."""

    def preprocess(self, x):
        out = super().preprocess(x)
        small = np.abs(x.real) < np.exp(-10)
        return np.stack([out[..., 0], np.where(small, np.sign(x.real), out[..., 1])], -1)
