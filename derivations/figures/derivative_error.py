"""The error of a derivative against the step, and Taylor remainders, on a MAML objective.  Derivation: derivations/judges.md"""

from typing import NamedTuple

import numpy as np
import style

import refmeta as rm

__all__ = ["Errors", "best_step", "data", "draw"]

INNER = {"alpha": 0.25, "steps": 2}
EPS = float(np.finfo(float).eps)


class Errors(NamedTuple):
    """Steps (n,); the relative error of each derivative (n,), by name; the Taylor remainders (n,), by name."""

    steps: np.ndarray
    errors: dict
    remainders: dict


def problem():
    """θ, and two tasks of two states and three actions that pay differently."""
    rng = np.random.default_rng(5)
    P = rng.dirichlet(np.ones(2), size=(2, 3))
    mdp = rm.FiniteMDP(P[None], rng.normal(size=(2, 2, 3)), rho=[0.5, 0.5], gamma=0.75)
    return rng.normal(size=6), rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 3))


def data(steps=None):
    """All errors and remainders, at steps from 1e-15 to 1 and, for the remainders, the last five decades."""
    steps = 10 ** np.linspace(-15, 0, 61) if steps is None else np.asarray(steps)
    theta, task = problem()
    objective = lambda x: rm.maml.objective(x, task, **INNER).sum(0)
    gradient = lambda x: rm.maml.gradient(x, task, **INNER).sum(0)
    truth, along = gradient(theta), np.array([0.5, -1.0, 0.5, 1.0, 0.25, -0.5])
    relative = lambda got: np.linalg.norm(got - truth) / np.linalg.norm(truth)
    errors = {
        "one-sided difference": [relative(one_sided(objective, theta, h)) for h in steps],
        "central difference": [relative(central(objective, theta, h)) for h in steps],
        "complex step": [relative(rm.judges.complex_step(objective, theta, h=h)) for h in steps],
    }
    curvature = along @ rm.judges.complex_step(gradient, theta, along)
    first_order = rm.maml.first_order_gradient(theta, task, **INNER).sum(0)
    change = np.array([objective(theta + h * along) - objective(theta) for h in steps])
    remainders = {
        "first-order MAML": change - steps * (along @ first_order),
        "the gradient": change - steps * (along @ truth),
        "gradient and Hessian": change - steps * (along @ truth) - steps**2 / 2 * curvature,
    }
    return Errors(steps, _arrays(errors), {name: np.abs(value) for name, value in remainders.items()})


def one_sided(f, x, h):
    """(f(x + h e) − f(x))/h for every axis e."""
    return np.array([(f(x + h * e) - f(x)) / h for e in np.eye(x.size)])


def central(f, x, h):
    """(f(x + h e) − f(x − h e))/2h for every axis e."""
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.size)])


def best_step(steps, error):
    """The step with the smallest error."""
    return float(steps[np.argmin(error)])


def _arrays(lists):
    """The same names, with arrays."""
    return {name: np.array(values) for name, values in lists.items()}


def draw(found):
    """The figure."""
    drawing, (left, right) = style.figure(3.5, columns=2)
    _errors(left, found)
    _remainders(right, found)
    return drawing


def _errors(axes, found):
    """The errors of three derivatives; the step of the library's central difference."""
    words = {
        "one-sided difference": ((3e-8, 3.0), "center", style.ORANGE),
        "central difference": ((1e-15, 3e-11), "left", style.BLUE),
        "complex step": ((1e-15, 8e-15), "left", style.RED),
    }
    axes.axvline(EPS ** (1 / 3), color=style.GREY, linewidth=1, linestyle="dotted")
    style.label(axes, r"$h = \varepsilon^{1/3}$", (2 * EPS ** (1 / 3), 1e-16), style.GREY)
    for name, (at, align, colour) in words.items():
        axes.loglog(found.steps, found.errors[name], color=colour)
        style.label(axes, name, at, colour, ha=align, va="center")
    axes.set(title="Error of the gradient, relative to its length", xlabel="step h", ylim=(3e-17, 3e1))


def _remainders(axes, found):
    """What is left of the change of the objective after the terms of Taylor's formula."""
    words = {
        "first-order MAML: order 1": (1.2e-6, 1e-3),
        "gradient:\norder 2": (1.2e-6, 6e-14),
        "gradient and\nHessian: order 3": (1.0, 1e-12),
    }
    colours, late = (style.ORANGE, style.BLUE, style.RED), found.steps >= 1e-6
    for (text, at), (_, value), colour in zip(words.items(), found.remainders.items(), colours, strict=True):
        axes.loglog(found.steps[late], value[late], color=colour)
        style.label(axes, text, at, colour, ha="right" if at[0] == 1 else "left", va="center")
    axes.set(title="What the terms of Taylor leave: with …", xlabel="step h", ylim=(3e-17, 3e1))


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
