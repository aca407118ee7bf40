"""What is returned, and asked for, in other ways: sums, means, returns instead of losses, lists, views; Reptile."""

import functools
import math

import numpy as np

from tests.oracle.right import complex_step, dense, expected, formulas, iterative, taped, taped_maml
from tests.oracle.right.complex_step import PROCESS, SYSTEM, TIME


def changed(target, change):
    """The target with a change of its result."""
    return lambda **inputs: change(target(**inputs))


def of_parts(change):
    return lambda parts: {name: change(name, part) for name, part in parts.items()}


def read_only(x):
    x = np.array(x)
    x.flags.writeable = False
    return x


def strided(x):
    """A view of every second entry of a larger array, backwards."""
    x = np.asarray(x)
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan)
    wide[..., ::-2] = x
    return wide[..., ::-2]


def nested(x):
    return np.asarray(x).tolist()


def meta_loss(theta, alpha, steps, gamma, horizon, features=None, **x):
    """The mean gradient of returns: one objective over all tasks, as it is trained."""
    total = 0.0
    rows = complex_step.maml(complex_step.process_gradient, PROCESS, (*TIME, "features"))
    for i in range(len(x["P"])):
        one = {name: value[i : i + 1] for name, value in x.items()}
        total = (
            total
            - rows(theta=theta, alpha=alpha, steps=steps, gamma=gamma, horizon=horizon, features=features, **one)[0]
        )
    return total / len(x["P"])


def reptile_loop(theta, adapted, epsilon):
    new = []
    for j in range(len(theta)):
        step = 0.0
        for i in range(len(adapted)):
            step += adapted[i][j] - theta[j]
        new.append(theta[j] + epsilon * step / len(adapted))
    return new


def reptile_convex(theta, adapted, epsilon):
    return (1 - epsilon) * theta + epsilon * adapted.mean(0)


def reptile_descent(theta, adapted, epsilon):
    """As an optimiser's step, theta − ε g of the pseudo-gradient g, whose tasks share the step."""
    for row in adapted - theta:
        theta = theta - epsilon / len(adapted) * -row
    return theta


def reptile_running(theta, adapted, epsilon):
    """A running mean of the adapted parameters."""
    mean = np.zeros_like(theta)
    for i, phi in enumerate(adapted):
        mean += (phi - mean) / (i + 1)
    return theta + epsilon * (mean - theta)


def reptile_exact(theta, adapted, epsilon):
    """Every entry one exact sum."""
    weights = [epsilon / len(adapted)] * len(adapted)
    return [
        math.fsum([t, -epsilon * t, *(w * x for w, x in zip(weights, column, strict=True))])
        for t, column in zip(theta, adapted.T, strict=False)
    ]


entropies = functools.partial(dense.by_task, dense.entropies, ("X", "labels"), ("classes", "ridge"))
quadratic, squares = dense.by_task(dense.quadratic, "Ac"), dense.by_task(dense.squares, "Xy")
costs = complex_step.maml(complex_step.cost_gradient, SYSTEM, TIME)
turned = lambda name, x: -x if name in ("loss", "grad", "hvp") else x
ascent = of_parts(lambda name, x: np.asarray(x) if name in KEPT else -np.asarray(x))
KEPT = ("transition", "reward", "log_marginal", "concentration_grad", "reward_mean_grad", "reward_variance_grad")
RIGHT = [
    ("reptile", "loops, a list", reptile_loop, {}, False),
    ("reptile", "a convex combination", reptile_convex, {}, False),
    ("reptile", "a step of descent for each task", reptile_descent, {}, False),
    ("reptile", "a running mean", reptile_running, {}, False),
    ("reptile", "exact sums, asked for as ascent", reptile_exact, {"ascent": True}, False),
    ("maml-tabular", "the mean return's gradient", meta_loss, {"reduce": "mean", "ascent": True}, False),
    ("maml-linear-features", "the mean return's gradient", meta_loss, {"reduce": "mean", "ascent": True}, False),
    ("maml-quadratic", "summed", changed(quadratic, lambda x: x.sum(0)), {"reduce": "sum"}, False),
    ("maml-regression", "the mean, a list", changed(squares, lambda x: x.mean(0).tolist()), {"reduce": "mean"}, False),
    ("maml-classification", "read-only, summed", changed(entropies(), lambda x: read_only(x.sum(0))),
     {"reduce": "sum"}, False),
    ("maml-lq", "minus the cost, a strided view", changed(costs, lambda x: strided(-x)), {"ascent": True}, False),
    ("implicit", "negated, the mean", changed(dense.implicit, lambda x: -x.mean(0)),
     {"reduce": "mean", "ascent": True}, False),
    ("policy-gradient", "ascent", changed(taped.policy_gradient, of_parts(turned)), {"ascent": True}, False),
    ("surrogates", "ascent", changed(formulas.surrogates, of_parts(lambda _, x: -np.array(x))),
     {"ascent": True}, False),
    ("expected-estimators", "ascent, lists of lists",
     changed(expected.closed, of_parts(lambda _, x: nested(-x))), {"ascent": True}, False),
    ("model", "ascent", changed(complex_step.model, ascent), {"ascent": True}, False),
    ("pearl", "read-only, asked for as ascent", changed(formulas.pearl, of_parts(lambda _, x: read_only(x))),
     {"ascent": True}, False),
    ("meta-lstm", "lists of lists", changed(taped.meta_lstm, of_parts(lambda _, x: nested(x))), {}, False),
    ("maml-lq", "the mean objective", changed(iterative.maml_costs("objective"), lambda x: np.mean(x)),
     {"quantity": "objective", "reduce": "mean"}, False),
    ("maml-regression", "the mean slope by the step sizes",
     changed(taped_maml.maml(taped_maml.squares, "Xy", quantity="step_size_gradient"), lambda x: x.mean(0)),
     {"quantity": "step_size_gradient", "reduce": "mean"}, False),
]  # fmt: skip
