"""MAML on a network in PyTorch: sinusoids, two hidden layers of 40, an `nn.Module`; and the classic ways to get it wrong.

`problem(steps)` is what one writes to have it judged.  Chapter: derivations/using-the-oracle.md
"""

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

import refmeta as rm

TASKS, SHOTS, ALPHA, MOMENTUM, EPSILON = 3, 10, 0.01, 0.9, 1e-5
torch.manual_seed(0)


class Standardised(nn.Module):
    """Batch normalisation in training, without scale and shift; `kept` is the statistic that it uses instead of the batch's."""

    kept = None

    def forward(self, h):
        mean, variance = (h.mean(0), h.var(0, unbiased=False)) if self.kept is None else self.kept
        self.last = mean, variance
        return (h - mean) / torch.sqrt(variance + EPSILON)


def layers(*middle):
    return nn.Sequential(nn.Linear(1, 40), *middle, nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1))


NETWORK, NORMALISED = layers().double(), layers(Standardised()).double()
THETA = nn.utils.parameters_to_vector(NETWORK.parameters()).detach().numpy()
DIM = THETA.size


def sinusoids(rng):
    """x and y of (split, task, shot, 1)."""
    x = rng.uniform(-5, 5, (2, TASKS, SHOTS, 1))
    amplitude, phase = rng.uniform(0.1, 5, (TASKS, 1, 1)), rng.uniform(0, np.pi, (TASKS, 1, 1))
    return x, amplitude * np.sin(x - phase)


X, Y = sinusoids(np.random.default_rng(0))


def parameters(flat, network):
    """A flat θ as the parameters of a module, by name."""
    named = dict(network.named_parameters())
    pieces = torch.split(flat, [p.numel() for p in named.values()])
    return {name: piece.reshape(p.shape) for (name, p), piece in zip(named.items(), pieces, strict=True)}


def loss(theta, split, task, network=NETWORK):
    """The mean squared error of a network with these parameters on one task."""
    x, y = (torch.as_tensor(a[split, task], dtype=theta.dtype) for a in (X, Y))
    return torch.mean((functional_call(network, parameters(theta, network), (x,)) - y) ** 2)


def black_box(split, network=NETWORK, dtype=torch.float64, hvp=False):
    """The losses of all tasks, with their gradients by automatic differentiation."""

    def value(theta, task):
        return loss(torch.tensor(theta, dtype=dtype), split, task, network)

    def slope(theta, task):
        return torch.func.grad(loss)(torch.tensor(theta, dtype=dtype), split, task, network)

    def product(theta, v, task):
        theta, v = torch.tensor(theta, dtype=dtype), torch.tensor(v, dtype=dtype)
        return torch.func.jvp(lambda t: torch.func.grad(loss)(t, split, task, network), (theta,), (v,))[1]

    return rm.BlackBox(value, DIM, grad=slope, hvp=product if hvp else None, shape=(TASKS,))


def maml(theta, alpha, steps, network=NETWORK, dtype=torch.float64, cut=lambda k: False, query=1, scale=1.0, momentum=0.0, share=False):
    """One row per task: ∇ of the query's loss after `steps` steps on the support.  What follows `dtype` is a mistake each."""
    rows, velocity = [], 0.0
    for task in range(TASKS):
        start = torch.tensor(theta, dtype=dtype, requires_grad=True)
        phi = start
        for k in range(steps):
            (g,) = torch.autograd.grad(loss(phi, 0, task, network), phi, create_graph=True)
            velocity = momentum * velocity + (g.detach() if cut(k) else g)
            phi = phi - alpha * velocity
        value = scale * loss(phi, query, task, network)
        rows.append(torch.autograd.grad(value, start)[0])
        velocity = velocity.detach() if momentum else 0.0
        if share:
            network[1].kept = tuple(s.detach() for s in network[1].last)
    if share:
        network[1].kept = None
    return torch.stack(rows)


MISTAKES = {
    "detached": lambda steps: {"cut": lambda k: True},
    "last_step_only": lambda steps: {"cut": lambda k: k < steps - 1},
    "one_step_too_few": lambda steps: {"steps": steps - 1},
    "statistic_shared": lambda steps: {"share": True},
    "momentum_carried": lambda steps: {"momentum": MOMENTUM},
    "query_is_support": lambda steps: {"query": 0},
    "loss_scaled": lambda steps: {"scale": 0.5},
}


def problem(steps=5, mistake="", dtype=torch.float64, hvp=False, network=None):
    """MAML on this network, right, or with one of the mistakes; a statistic is shared where the network has one."""
    network = network or (NORMALISED if mistake == "statistic_shared" else NETWORK)
    wrong = MISTAKES[mistake](steps) if mistake else {}
    return rm.oracle.Problem(
        THETA, black_box(0, network, dtype, hvp), black_box(1, network, dtype, hvp), ALPHA, steps,
        lambda theta: maml(theta, ALPHA, network=network, dtype=dtype, **{"steps": steps, **wrong}),
    )  # fmt: skip
