"""TorchOpt's implicit differentiation, with its conjugate gradients and its Neumann series.  Suites: implicit, implicit-early.

`custom_root` solves (∂F/∂φ)ᵀu = −∇L_query for the slope F = ∇L/λ + φ − θ of the inner problem; u is what the suites ask for.
"""

import numpy as np
import torch
import torchopt

SIDES = ("A", "c", "X", "y")


def loss(phi, A, c, X, y):
    """A quadratic where A and c are given, else half the mean of squared errors."""
    return ((X @ phi - y) ** 2).mean() / 2 if A is None else (phi - c) @ A @ (phi - c) / 2


def hypergradients(solve, theta, strength, **data):
    """One row per task: what `custom_root` gives with a linear solver of TorchOpt."""
    sides = [[data[prefix + name] for name in SIDES] for prefix in ("", "query_")]
    rows = []
    for i in range(len(sides[0][0] if sides[0][0] is not None else sides[0][2])):
        support, query = ([None if x is None else torch.as_tensor(x[i]) for x in side] for side in sides)
        rows.append(one(solve, torch.tensor(theta, requires_grad=True), strength, support, query))
    return np.stack(rows)


def one(solve, theta, strength, support, query):
    """One task; TorchOpt reads the signatures, so that the functions have no arguments but φ and θ."""

    def slope(phi, theta):
        return torch.func.grad(lambda p: loss(p, *support))(phi) / strength + phi - theta

    @torchopt.diff.implicit.custom_root(slope, argnums=1, solve=solve)
    def minimum(phi, theta):
        H = torch.func.jacrev(lambda p: slope(p, theta))(phi)
        return phi - torch.linalg.solve(H, slope(phi, theta))

    return torch.autograd.grad(loss(minimum(theta.detach().clone(), theta), *query), theta)[0].numpy()


def exact(theta, strength, **data):
    """Its conjugate gradients, to a residual that the suite does not see."""
    return hypergradients(torchopt.linear_solve.solve_cg(rtol=1e-14), theta, strength, **data)


def as_it_comes(theta, strength, **data):
    """Its conjugate gradients as they come, to a residual of 1e-5."""
    return hypergradients(torchopt.linear_solve.solve_cg(), theta, strength, **data)


def series_as_it_comes(theta, strength, **data):
    """Its Neumann series as it comes: ten products and no step size."""
    return hypergradients(torchopt.linear_solve.solve_inv(ns=True), theta, strength, **data)


def early(theta, strength, eta, terms, cg_steps, steps, kept, delta, more=0, **data):
    """`maxiter` of its series counts the products, which are one fewer than the terms; that of conjugate gradients their steps."""
    series = torchopt.linear_solve.solve_inv(ns=True, maxiter=terms - 1 + more, alpha=eta)
    few = torchopt.linear_solve.solve_cg(maxiter=cg_steps, rtol=1e-14)
    return {"neumann": hypergradients(series, theta, strength, **data), "cg": hypergradients(few, theta, strength, **data)}


def early_one_term_more(**inputs):
    """Who takes `maxiter` for the number of terms."""
    return {"neumann": early(**inputs, more=1)["neumann"]}
