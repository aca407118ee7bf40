"""How long the steps of a Meta-LSTM are."""

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments.learned_steps import longest_step
from refmeta.meta import meta_lstm


def test_the_longest_step_of_meta_lstm_is_measured_and_may_be_longer_than_a_gradient():
    """A forget gate of 1/2 halves θ = (8, 0) whatever the gradient is: |θ₁ − θ₀| = 4 of a gradient (0, 1), i = 0."""
    task = refmeta.Quadratic(np.diag([0.0, 1.0])[None], np.array([[0.0, -1.0]]))
    flat = meta_lstm.init(2, hidden=1, rng=0, start=[8.0, 0.0])
    zero = np.zeros(3)
    weights = flat._replace(W_I=zero, b_I=-700.0, W_F=zero, b_F=0.0)
    assert longest_step(weights, task, steps=5) == pytest.approx(4.0)
