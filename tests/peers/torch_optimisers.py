"""MAML on the network of `torch_network.py`, its inner loop Adam of higher or of TorchOpt.

higher's Adam is the older form of PyTorch: epsilon is added to the root of v before its correction.  TorchOpt takes beta^t in
PyTorch's default precision, which is single.  Chapter: derivations/inner-optimisers.md
"""

import torch
from torch_libraries import error_of, flat, network_at
from torch_network import ALPHA, TASKS, THETA, black_box

import refmeta as rm

BETAS, EPSILON = (0.8, 0.95), 1e-3


def of_higher(theta, steps, task):
    """`torch.optim.Adam` made differentiable."""
    import higher

    network = network_at(theta)
    inner = torch.optim.Adam(network.parameters(), lr=ALPHA, betas=BETAS, eps=EPSILON)
    with higher.innerloop_ctx(network, inner, copy_initial_weights=False) as (model, optimiser):
        for _ in range(steps):
            optimiser.step(error_of(model, 0, task))
        return flat(torch.autograd.grad(error_of(model, 1, task), network.parameters()))


def of_torchopt(theta, steps, task):
    """`MetaAdam`."""
    import torchopt

    network = network_at(theta)
    start, optimiser = list(network.parameters()), torchopt.MetaAdam(network, lr=ALPHA, betas=BETAS, eps=EPSILON)
    for _ in range(steps):
        optimiser.step(error_of(network, 0, task))
    return flat(torch.autograd.grad(error_of(network, 1, task), start))


def of_plain_torch(theta, steps, task):
    """`torch.optim.Adam` inside is the mistake: it steps in place, and the gradient at φ is all that is left."""
    network = network_at(theta.copy())  # its parameters are views, and the optimiser works in place
    optimiser = torch.optim.Adam(network.parameters(), lr=ALPHA, betas=BETAS, eps=EPSILON)
    for _ in range(steps):
        optimiser.zero_grad()
        error_of(network, 0, task).backward()
        optimiser.step()
    return flat(torch.autograd.grad(error_of(network, 1, task), network.parameters()))


def problem(row, steps, form=rm.inner.Adam):
    """MAML through Adam in one of its three forms."""
    gradient = lambda theta: torch.stack([row(theta, steps, task) for task in range(TASKS)])
    losses = (black_box(split, hvp=True) for split in (0, 1))
    return rm.oracle.Problem(THETA, *losses, ALPHA, steps, gradient, optimiser=form(*BETAS, EPSILON))
