"""MAML in PyTorch, as one would write it, and the classic ways to get it wrong.

Chapter: derivations/using-the-oracle.md
"""

import torch
from torch.func import grad, vmap


def meta_gradient(loss, theta, support, query, alpha, steps):
    """∇ of the query's loss after the steps on the support, one row a task."""
    alphas = torch.as_tensor(alpha, dtype=theta.dtype).expand(steps, len(theta))

    def objective(theta, support, query):
        for k in range(steps):
            theta = theta - alphas[k] * grad(loss)(theta, *support)
        return loss(theta, *query)

    return vmap(grad(objective), in_dims=(None, 0, 0))(theta, support, query)


def squared(theta, X, y):
    return torch.mean((X @ theta - y) ** 2) / 2


def regression(theta, X, y, query_X, query_y, alpha, steps):
    theta, X, y, query_X, query_y = map(torch.from_numpy, (theta, X, y, query_X, query_y))
    return meta_gradient(squared, theta, (X, y), (query_X, query_y), alpha, steps)


def minus_return(gamma, horizon):
    """−J of a table of logits: the Bellman system, or H steps of its recursion."""

    def loss(theta, P, R, rho):
        pi = torch.softmax(theta.reshape(R.shape), dim=1)
        r, T = torch.sum(pi * R, dim=1), torch.einsum("sa,sat->st", pi, P)
        if horizon is None:
            return -rho @ torch.linalg.solve(torch.eye(len(r), dtype=r.dtype) - gamma * T, r)
        V = torch.zeros_like(r)
        for _ in range(horizon):
            V = r + gamma * T @ V
        return -rho @ V

    return loss


def tabular(theta, P, R, rho, query_P, query_R, query_rho, gamma, horizon, alpha, steps):
    theta, *support = map(torch.from_numpy, (theta, P, R, rho))
    query = tuple(map(torch.from_numpy, (query_P, query_R, query_rho)))
    return meta_gradient(minus_return(gamma, horizon), theta, tuple(support), query, alpha, steps)


# The mistakes, made with torch.autograd, where they are made.


def autograd_meta_gradient(loss, theta, support, query, alpha, steps, *, create_graph=True, cut=lambda k: False):
    """Task after task; right with create_graph=True and no inner step cut."""
    theta, support, query = tensors(theta)[0].requires_grad_(), tensors(*support), tensors(*query)
    alphas = torch.as_tensor(alpha, dtype=theta.dtype).expand(steps, len(theta))
    rows = []
    for one, other in zip(zip(*support, strict=True), zip(*query, strict=True), strict=True):
        phi = theta
        for k in range(steps):
            (g,) = torch.autograd.grad(loss(phi, *one), phi, create_graph=create_graph)
            phi = phi - alphas[k] * (g.detach() if cut(k) else g)
        rows.append(torch.autograd.grad(loss(phi, *other), theta)[0])
    return torch.stack(rows)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def regression_loop(theta, X, y, query_X, query_y, alpha, steps, **mistake):
    return autograd_meta_gradient(squared, theta, (X, y), (query_X, query_y), alpha, steps, **mistake)


def tabular_loop(theta, P, R, rho, query_P, query_R, query_rho, gamma, horizon, alpha, steps, **mistake):
    loss, support, query = minus_return(gamma, horizon), (P, R, rho), (query_P, query_R, query_rho)
    return autograd_meta_gradient(loss, theta, support, query, alpha, steps, **mistake)


def regression_first_order(**inputs):
    return regression_loop(**inputs, create_graph=False)


def tabular_first_order(**inputs):
    return tabular_loop(**inputs, create_graph=False)


def regression_first_step_detached(**inputs):
    return regression_loop(**inputs, cut=lambda k: k == 0)


def tabular_first_step_detached(**inputs):
    return tabular_loop(**inputs, cut=lambda k: k == 0)


def regression_one_split(query_X, query_y, **inputs):
    return regression(**inputs, query_X=inputs["X"], query_y=inputs["y"])


def tabular_one_split(query_P, query_R, query_rho, **inputs):
    return tabular(**inputs, query_P=inputs["P"], query_R=inputs["R"], query_rho=inputs["rho"])


def regression_float32(theta, X, y, query_X, query_y, alpha, steps):
    """torch.Tensor(...) makes float32 of everything."""
    theta, X, y, query_X, query_y = map(torch.Tensor, (theta, X, y, query_X, query_y))
    return meta_gradient(squared, theta, (X, y), (query_X, query_y), alpha, steps)


def tabular_float32(theta, P, R, rho, query_P, query_R, query_rho, gamma, horizon, alpha, steps):
    theta, *support = map(torch.Tensor, (theta, P, R, rho))
    query = tuple(map(torch.Tensor, (query_P, query_R, query_rho)))
    return meta_gradient(minus_return(gamma, horizon), theta, tuple(support), query, alpha, steps)
