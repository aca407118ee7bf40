"""The objectives of the benchmarks once, for JAX and for PyTorch, and the meta-gradient as each library differentiates it."""

import sys
from collections.abc import Callable
from functools import reduce
from types import SimpleNamespace
from typing import Any

import numpy as np
from measure import installed

__all__ = ["OBJECTIVES", "meta_gradients", "meta_lstm_gradient", "pearl_step"]


def value(xp, pi, P, R, rho, gamma, horizon):
    """-J of a policy (S, A), by a linear system or by H steps."""
    r, M = (pi * R).sum(-1), xp.einsum("sa,sat->st", pi, P)
    if horizon is None:
        return -rho @ xp.solve(xp.eye(len(rho)) - gamma * M, r)
    return -rho @ xp.iterate(lambda v: r + gamma * M @ v, r, horizon - 1)


def tabular(task):
    """The loss of a tabular policy, and the arrays of each task."""
    mdp = task.mdp
    loss = lambda xp: lambda theta, *data: value(xp, xp.softmax(theta.reshape(mdp.states, mdp.actions)), *data, mdp.gamma, mdp.horizon)
    return loss, (mdp.P, mdp.R, mdp.rho)


def features(task):
    """The same with linear features."""
    mdp, F = task.mdp, np.array(task.policy.features)
    loss = lambda xp: lambda theta, *data: value(xp, xp.softmax(xp.asarray(F) @ theta), *data, mdp.gamma, mdp.horizon)
    return loss, (mdp.P, mdp.R, mdp.rho)


def linear_quadratic(task):
    """The cost of a = Kx + σε by the recursion of second moments."""
    lq, gamma = task.lq, task.lq.gamma

    def loss(xp):
        def at(theta, A, B, Q, R, start, noise):
            n, m = B.shape
            K, V = theta[: m * n].reshape(m, n), xp.diag(xp.exp(2 * theta[m * n :]))
            M, added, free = A + B @ K, B @ V @ B.T + noise, xp.trace(R @ V)
            weight, total = free * 0 + 1, free * 0

            def step(state):
                S, weight, total = state
                return M @ S @ M.T + added, gamma * weight, total + weight * (xp.trace((Q + K.T @ R @ K) @ S) + free)

            return xp.iterate(step, (start, weight, total), lq.horizon)[2]

        return at

    return loss, (lq.A, lq.B, lq.Q, lq.R, lq.start, lq.noise)


def dice(task, gamma=0.9):
    """-(1/M) Σ γᵗ r_t exp(Σ_{k≤t} (log π_θ - log π_sampled)), without baseline, of trajectories that do not end."""
    policy, batch = task.policy, task.trajectories
    logits = policy.logits(task.theta_sampled)
    sampled = (logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True)))[batch.states, batch.actions]
    weights = gamma ** np.arange(batch.rewards.shape[-1]) * batch.rewards

    def loss(xp):
        def at(theta, s, a, before, w):
            x = xp.log_softmax(theta.reshape(policy.states, policy.actions))[s, a] - before
            return -(w * xp.exp(x.cumsum(-1))).sum() / len(w)

        return at

    return loss, (batch.states, batch.actions, sampled, weights)


def softmax_regression(task):
    """Mean cross-entropy and ridge."""
    ridge, labels = task.ridge, np.eye(task.classes)[task.labels]

    def loss(xp):
        def at(theta, X, wanted):
            x = xp.log_softmax(X @ theta.reshape(task.classes, X.shape[-1]).T)
            return -(wanted * x).sum() / len(x) + ridge / 2 * theta @ theta

        return at

    return loss, (task.X, labels)


OBJECTIVES = {
    "discounted": tabular, "finite_horizon": tabular, "features": features, "linear_quadratic": linear_quadratic,
    "softmax_regression": softmax_regression, "dice": dice,
}  # fmt: skip


def meta_gradients(loss, data, theta, alpha: float, steps: int) -> dict[str, Callable[[], Any] | None]:
    """The gradient of every task's objective after `steps` of gradient descent, (N, d), by each library that is installed."""
    given = loss, [np.ascontiguousarray(x) for x in data], np.array(theta), alpha, steps
    libraries = {"JAX": of_jax, "torch": of_torch, "higher": of_higher, "learn2learn": of_learn2learn}
    return {name: f(*given) if installed(name) else None for name, f in libraries.items()}


def descended(grad, loss, alpha, steps):
    """L(θ⁽ᴷ⁾) by a library's `grad`."""

    def objective(theta, *data):
        for _ in range(steps):
            theta = theta - alpha * grad(loss)(theta, *data)
        return loss(theta, *data)

    return objective


def of_jax(loss, data, theta, alpha, steps):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    xp = SimpleNamespace(
        softmax=jax.nn.softmax, log_softmax=jax.nn.log_softmax, solve=jnp.linalg.solve,
        iterate=lambda step, state, n: jax.lax.scan(lambda x, _: (step(x), None), state, length=n)[0],
        **{name: getattr(jnp, name) for name in ("asarray", "diag", "einsum", "exp", "eye", "trace")},
    )  # fmt: skip
    objective = descended(jax.grad, loss(xp), alpha, steps)
    step = jax.jit(jax.vmap(jax.grad(objective), in_axes=(None, *(0 for _ in data))))
    start, data = jnp.asarray(theta), [jnp.asarray(x) for x in data]
    return lambda: np.asarray(step(start, *data).block_until_ready())


def torch_loss(loss, data):
    """The loss in PyTorch on one thread, and its arrays as tensors."""
    import torch

    torch.set_num_threads(1)
    xp = SimpleNamespace(
        softmax=lambda x: torch.softmax(x, -1), log_softmax=lambda x: torch.log_softmax(x, -1), solve=torch.linalg.solve,
        asarray=torch.as_tensor, eye=lambda n: torch.eye(n, dtype=torch.float64),
        iterate=lambda step, state, n: reduce(lambda x, _: step(x), range(n), state),
        **{name: getattr(torch, name) for name in ("diag", "einsum", "exp", "trace")},
    )  # fmt: skip
    return loss(xp), [torch.as_tensor(np.array(x)) for x in data]


def of_torch(loss, data, theta, alpha, steps):
    import torch

    loss, data = torch_loss(loss, data)
    step = torch.func.vmap(torch.func.grad(descended(torch.func.grad, loss, alpha, steps)), in_dims=(None, *(0 for _ in data)))
    start = torch.as_tensor(theta)
    return lambda: step(start, *data).numpy()


def module_of(loss, theta):
    """A PyTorch module whose output is the loss at its parameter."""
    import torch

    class Start(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.theta = torch.nn.Parameter(torch.as_tensor(theta).clone())

        def forward(self, *data):
            return loss(self.theta, *data)

    return Start()


def of_higher(loss, data, theta, alpha, steps):
    import higher
    import torch

    loss, data = torch_loss(loss, data)

    def one(*data):
        start = module_of(loss, theta)
        inner = torch.optim.SGD(start.parameters(), lr=alpha)
        with higher.innerloop_ctx(start, inner, copy_initial_weights=False) as (model, optimiser):
            for _ in range(steps):
                optimiser.step(model(*data))
            return torch.autograd.grad(model(*data), start.theta)[0]

    return lambda: torch.stack([one(*row) for row in zip(*data, strict=True)]).numpy()


def of_learn2learn(loss, data, theta, alpha, steps):
    """The update of its MAML written out, p - lr g with the graph of g: it does not install beside the PyTorch used here."""
    import torch

    loss, data = torch_loss(loss, data)
    start = torch.as_tensor(theta).clone().requires_grad_()

    def one(*data):
        p = start.clone()
        for _ in range(steps):
            p = p - alpha * torch.autograd.grad(loss(p, *data), p, create_graph=True)[0]
        return torch.autograd.grad(loss(p, *data), start)[0]

    return lambda: torch.stack([one(*row) for row in zip(*data, strict=True)]).numpy()


def meta_lstm_gradient(weights, task, steps):
    """The exact gradients of Meta-LSTM on linear regression by `tests/peers/jax_lstm.py`, jitted; one per task.

    None for many steps: they are unrolled, and to compile 20 takes a minute.
    """
    if not installed("JAX") or steps > 10:
        return None
    import jax
    import jax.numpy as jnp

    sys.path.insert(0, __file__.rpartition("benchmarks")[0] + "peers")
    import jax_lstm

    jax_lstm.loss = lambda theta, X, y, classes, ridge: jnp.mean((X @ theta - y) ** 2) / 2
    of_one = lambda w, X, y: jax_lstm.query_loss(w, (X, y), (X, y), None, None, steps, False, False)
    run = jax.jit(jax.vmap(jax.grad(of_one), in_axes=(None, 0, 0)))
    leaves, X, y = tuple(jnp.asarray(leaf) for leaf in weights), jnp.asarray(task.X), jnp.asarray(task.y)
    return lambda: [np.asarray(slope) for slope in jax.block_until_ready(run(leaves, X, y))]


def pearl_step(agent, context, batch, noise, **given):
    """A training step of PEARL by `tests/peers/torch_pearl.py`: the summed losses of all tasks are differentiated once."""
    if not installed("torch"):
        return None
    import torch

    sys.path.insert(0, __file__.rpartition("benchmarks")[0] + "peers")
    import torch_pearl

    torch.set_num_threads(1)
    as_given = lambda x: torch.as_tensor(np.array(x))
    encoder = [as_given(w).requires_grad_() for w in agent.encoder]
    leaves = [as_given(w).requires_grad_() for w in (agent.critic, agent.policy, agent.log_temperature)]
    seen, met = ([as_given(x) for x in (t.states, t.actions, t.rewards, t.following)] for t in (context, batch))
    rest = [as_given(x) for x in (context.mask, batch.terminal, batch.mask.astype(float))]
    target, drawn = as_given(agent.target_critic), as_given(noise)

    def step():
        psi = torch_pearl.features(*seen, agent.states, agent.actions)
        losses, of_encoder = torch_pearl.losses(
            encoder, leaves[0], target, leaves[1], leaves[2], drawn, psi, rest[0], met, rest[1], rest[2], prior_factors=1, **given
        )  # fmt: skip
        total = of_encoder.sum() + sum(losses[name].sum() for name in ("critic_loss", "actor_loss", "temperature_loss"))
        return torch.autograd.grad(total, [*encoder, *leaves])

    return step
