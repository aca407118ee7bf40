"""An optimiser runs inside MAML on linear regression, where descent is meant."""

import numpy as np

from tests.oracle.field.mistake import Mistake
from tests.oracle.field.optimisers import MISTAKES as WITH_OPTIMISERS
from tests.oracle.right import jets

PLAIN = {
    "optimiser": "gradient_descent", "momentum": None, "beta1": None, "beta2": None, "epsilon": None, "decay": None, "weight_decay": 0.0, "clip": None,
    "X": None, "labels": None, "query_X": None, "query_labels": None, "classes": None, "ridge": None,
}  # fmt: skip
PATCHED = {mistake.name: mistake.target for mistake in WITH_OPTIMISERS}


def quadratic(X, y):
    """A and c of the squared error, but for a constant; of few points the shortest c."""
    A, b = np.einsum("nji,njk->nik", X, X) / X.shape[1], np.einsum("nji,nj->ni", X, y) / X.shape[1]
    return A, np.einsum("nij,nj->ni", np.linalg.pinv(A, rcond=1e-10, hermitian=True), b)


def inside(name, planted, words, program=jets.gradient, **rule):
    """A program with an optimiser, on regression."""

    def gradient(theta, X, y, query_X, query_y, alpha, steps):
        (A, c), (query_A, query_c) = quadratic(X, y), quadratic(query_X, query_y)
        losses = {"A": A, "c": c, "query_A": query_A, "query_c": query_c}
        return program(**PLAIN | rule | losses, theta=theta, alpha=alpha, steps=steps)

    return Mistake("maml-regression", name, gradient, planted, tuple(words.split()))


MISTAKES = [
    inside("heavy-ball-inside", 'Momentum 0.9 (heavy ball).', 'momentum', optimiser='heavy_ball', momentum=0.9),
    inside("nesterov-inside", "Nesterov's momentum 0.9.", 'nesterov', optimiser='nesterov', momentum=0.9),
    inside("adam-inside", 'Adam with its defaults.', 'adam', optimiser='adam', beta1=0.9, beta2=0.999, epsilon=1e-08),
    inside("rmsprop-inside", "RMSProp with PyTorch's defaults.", 'rmsprop', optimiser='rmsprop', beta2=0.99, epsilon=1e-08),
    inside("adam-of-tensorflow-inside", "Adam with TensorFlow's epsilon.", 'adam epsilon', optimiser='adam_epsilon_hat', beta1=0.9, beta2=0.999, epsilon=1e-07),
    inside("averaged-momentum-inside", 'Momentum as an average, 0.9.', 'momentum mean', PATCHED["momentum-averaged"], optimiser='heavy_ball', momentum=0.9),
    inside("sgd-with-decay-inside", 'SGD with weight decay 0.01.', 'decay', optimiser='gradient_descent', decay='coupled', weight_decay=0.01),
    inside("clip-to-one-inside", 'Gradients are clipped to the norm 1.', 'clip norm', optimiser='gradient_descent', clip=1.0),
    inside("detached-momentum-inside", 'Momentum 0.9 whose buffer is detached.', 'momentum differentiated memory', PATCHED["momentum-detached"], optimiser='heavy_ball', momentum=0.9),
    inside("adam-without-first-moment-inside", 'Adam with beta1 = 0 and epsilon 1e-5 (MAML++-like code).', 'adam', optimiser='adam', beta1=0.0, beta2=0.999, epsilon=1e-05),
    inside("one-momentum-for-all-tasks-inside", 'Momentum 0.9, one buffer for all tasks.', 'momentum reset', PATCHED["one-optimiser-for-all-tasks"], optimiser='heavy_ball', momentum=0.9),
    inside("adamw-inside", 'AdamW: decoupled decay 0.01.', 'adam', optimiser='adam', beta1=0.9, beta2=0.999, epsilon=1e-08, decay='decoupled', weight_decay=0.01),
    inside("half-momentum-inside", 'Momentum 0.5 (heavy ball).', 'momentum', optimiser='heavy_ball', momentum=0.5),
    inside("first-order-adam-inside", 'First-order Adam: moments and gradients detached.', 'adam first order', PATCHED["inner-gradients-detached-all"], optimiser='adam', beta1=0.9, beta2=0.999, epsilon=1e-08),
]  # fmt: skip
