"""MAML through an inner optimiser, in forward mode over all tasks."""

import numpy as np

from tests.oracle.right.jet import Jet


def slope_of_loss(phi, A, c, X, labels, classes, ridge):
    """∇L of each task, a jet."""
    if A is not None:
        return (phi - c).linear(A, "nij,nj->ni")
    W = phi.reshape(len(X), classes, -1)
    z = W.linear(X, "njf,ncf->njc")
    e = (z - np.max(z.x, -1, keepdims=True)).exp()
    p = e / e.sum()
    g = (p - np.eye(classes)[labels]).linear(X / X.shape[1], "njf,njc->ncf")
    return g.reshape(len(X), -1) + ridge * phi


def value_of_loss(phi, A, c, X, labels, classes, ridge):
    """L of each task, (N,)."""
    if A is not None:
        return np.einsum("ni,nij,nj->n", phi - c, A, phi - c) / 2
    z = np.einsum("njf,ncf->njc", X, phi.reshape(len(X), classes, -1))
    z = z - z.max(-1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return -np.mean(np.take_along_axis(logp, labels[..., None], -1)[..., 0], -1) + ridge / 2 * (phi**2).sum(-1)


def inner_step(k, phi, g, m, v, alpha, o):
    """One step: clip, coupled decay, the rule, decoupled decay."""
    if o["clip"] is not None:
        norm = (g * g).sum().sqrt()
        factor = o["clip"] / Jet(np.where(norm.x > 0, norm.x, 1.0), norm.dx)
        small = norm.x <= o["clip"]
        g = g * Jet(np.where(small, 1.0, factor.x), np.where(small[..., None], 0.0, factor.dx))
    if o["decay"] == "coupled":
        g = g + o["weight_decay"] * phi
    name, t = o["optimiser"], k + 1
    if name == "gradient_descent":
        u = g
    elif name == "heavy_ball":
        m = o["momentum"] * m + g
        u = m
    elif name == "nesterov":
        m = o["momentum"] * m + g
        u = g + o["momentum"] * m
    elif name == "rmsprop":
        v = o["beta2"] * v + (1 - o["beta2"]) * (g * g)
        u = g / (v.sqrt() + o["epsilon"])
    else:
        m = o["beta1"] * m + (1 - o["beta1"]) * g
        v = o["beta2"] * v + (1 - o["beta2"]) * (g * g)
        mhat = m / (1 - o["beta1"] ** t)
        vhat = v / (1 - o["beta2"] ** t)
        if name == "adam":
            u = mhat / (vhat.sqrt() + o["epsilon"])
        elif name == "adam_epsilon_hat":
            u = np.sqrt(1 - o["beta2"] ** t) / (1 - o["beta1"] ** t) * m / (v.sqrt() + o["epsilon"])
        else:
            u = mhat / (vhat + o["epsilon"]).sqrt()
    new = phi - alpha * u
    if o["decay"] == "decoupled":
        new = new - alpha * o["weight_decay"] * phi
    if o["decay"] == "decoupled_paper":
        new = new - o["weight_decay"] * phi
    return new, m, v


def adapt(phi, alphas, support, o):
    """φ after a step for each row of alphas."""
    N, d, D = phi.dx.shape
    m = v = Jet(np.zeros((N, d)), np.zeros((N, d, D)))
    for k in range(len(alphas)):
        alpha = alphas[k]
        g = slope_of_loss(phi, *support)
        phi, m, v = inner_step(k, phi, g, m, v, alpha, o)
    return phi


def read(kw):
    """θ, the rows of α, the two losses and N."""
    theta, alpha, K = np.asarray(kw["theta"], float), np.asarray(kw["alpha"], float), kw["steps"]
    support = kw["A"], kw["c"], kw["X"], kw["labels"], kw["classes"], kw["ridge"]
    query = kw["query_A"], kw["query_c"], kw["query_X"], kw["query_labels"], kw["classes"], kw["ridge"]
    N = len(kw["X"] if kw["A"] is None else kw["A"])
    return theta, np.broadcast_to(alpha, (K, len(theta))), support, query, N


def start(theta, N, D):
    """θ of every task, without slopes."""
    return Jet(np.tile(theta, (N, 1)), np.zeros((N, len(theta), D)))


def gradient(**kw):
    """dF/dθ."""
    theta, alphas, support, query, N = read(kw)
    phi = start(theta, N, len(theta))
    phi.dx = phi.dx + np.eye(len(theta))
    phi = adapt(phi, alphas, support, kw)
    return np.einsum("ni,niz->nz", slope_of_loss(phi, *query).x, phi.dx)


def adapted(**kw):
    """φ."""
    theta, alphas, support, query, N = read(kw)
    return adapt(start(theta, N, 1), alphas, support, kw).x


def objective(**kw):
    """F."""
    theta, alphas, support, query, N = read(kw)
    return value_of_loss(adapt(start(theta, N, 1), alphas, support, kw).x, *query)


def first_order(**kw):
    """The query's gradient at φ."""
    theta, alphas, support, query, N = read(kw)
    return slope_of_loss(adapt(start(theta, N, 1), alphas, support, kw), *query).x


def step_size_gradient(**kw):
    """dF/dα, with the shape of α."""
    theta, alphas, support, query, N = read(kw)
    K, d = alphas.shape
    shape = np.shape(kw["alpha"])
    rates = [Jet(np.tile(alphas[k], (N, 1)), np.tile(np.eye(K * d)[k * d : (k + 1) * d], (N, 1, 1))) for k in range(K)]
    phi = adapt(start(theta, N, K * d), rates, support, kw)
    full = np.einsum("ni,niz->nz", slope_of_loss(phi, *query).x, phi.dx).reshape(N, K, d)
    if shape == ():
        return full.sum((1, 2))
    if len(shape) == 1:
        return full.sum(1)
    return full.sum(-1, keepdims=True) if shape[1] == 1 and d > 1 else full


RIGHT = [
    ("maml-optimisers", "jets of all tasks", gradient, {}, False),
    *(("maml-optimisers", f"jets of all tasks, {f.__name__}", f, {"quantity": f.__name__}, False) for f in (adapted, objective, first_order, step_size_gradient)),
]
