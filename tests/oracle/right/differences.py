"""Differences of the objective: extrapolated ones lose a digit or none, plain central ones lose four."""

import functools
import itertools

import numpy as np

from tests.oracle.right import complex_step, forward
from tests.oracle.right.complex_step import PROCESS, SYSTEM, TIME


def central(f, x, h=6e-6):
    """(f(x + h) − f(x − h))/2h by every entry of x."""
    x, columns = np.asarray(x, dtype=float), []
    for e in np.eye(x.size):
        e = e.reshape(x.shape)
        columns.append((np.real(f(x + h * e + 0j)) - np.real(f(x - h * e + 0j))) / (2 * h))
    return np.stack(columns, -1).reshape((*np.shape(columns[0]), *x.shape))


def romberg(f, x, h=2.0**-9, levels=3):
    """Richardson's extrapolation of central differences to h = 0."""
    row = [central(f, x, h / 2**k) for k in range(levels)]
    for k in range(1, levels):
        row = [(4**k * fine - coarse) / (4**k - 1) for coarse, fine in itertools.pairwise(row)]
    return row[0]


def policy_gradient(theta, P, R, rho, gamma, horizon, features, v, slopes=romberg):
    """The gradient of the loss, as differences of the loss."""
    rows = np.tile(theta, (len(P), 1))
    loss = forward.loss_of(P, R, rho, gamma, horizon, features)
    return {"loss": loss(rows) + 0 * rows[:, 0], "grad": slopes(lambda t: loss(np.tile(t, (len(P), 1))), theta)}


def targets(slopes):
    maml = functools.partial(complex_step.maml, slopes=slopes)
    of = lambda function: lambda **inputs: function(**inputs, slopes=slopes)
    return {
        "maml-tabular": maml(complex_step.process_gradient, PROCESS, (*TIME, "features")),
        "maml-linear-features": maml(complex_step.process_gradient, PROCESS, (*TIME, "features")),
        "maml-classification": maml(complex_step.entropy_gradient, ("X", "labels"), ("classes", "ridge")),
        "maml-lq": maml(complex_step.cost_gradient, SYSTEM, TIME),
        "implicit": of(complex_step.implicit), "model": of(complex_step.model),
        "policy-gradient": of(policy_gradient),
    }  # fmt: skip


CENTRAL, EXTRAPOLATED = targets(central), targets(romberg)
RIGHT = [
    *((suite, "central differences", CENTRAL[suite], {}, True) for suite in ("implicit", "policy-gradient", "model")),
    *((suite, "extrapolated differences", EXTRAPOLATED[suite], {}, True)
      for suite in ("maml-linear-features", "maml-classification", "maml-lq")),
]  # fmt: skip
