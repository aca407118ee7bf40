"""MAML on the network of `torch_network.py`, its inner loop held by higher, by TorchOpt, or written as learn2learn does it.

learn2learn does not install beside the PyTorch that is used here: the update of its MAML, p - lr g with or without the graph of
g, is written out.  Chapter: derivations/using-the-oracle.md
"""

import copy
from functools import partial

import torch
from torch import nn
from torch_network import ALPHA, NETWORK, TASKS, THETA, X, Y, black_box

import refmeta as rm


def network_at(theta):
    """A module of its own with these parameters."""
    network = copy.deepcopy(NETWORK)
    nn.utils.vector_to_parameters(torch.from_numpy(theta), network.parameters())
    return network


def error_of(network, split, task):
    """The mean squared error of a module."""
    return torch.mean((network(torch.from_numpy(X[split, task])) - torch.from_numpy(Y[split, task])) ** 2)


def flat(gradients):
    """The gradients of all parameters as one vector."""
    return torch.cat([g.detach().ravel() for g in gradients])


def of_higher(theta, steps, task, exact=True):
    """`track_higher_grads` off is the mistake: the copy forgets where it came from."""
    import higher

    network = network_at(theta)
    inner = torch.optim.SGD(network.parameters(), lr=ALPHA)
    with higher.innerloop_ctx(network, inner, copy_initial_weights=False, track_higher_grads=exact) as (model, optimiser):
        for _ in range(steps):
            optimiser.step(error_of(model, 0, task))
        query = error_of(model, 1, task)
        return flat(torch.autograd.grad(query, network.parameters() if exact else list(model.parameters())))


def of_torchopt(theta, steps, task, exact=True):
    """`stop_gradient` after the last step is the mistake: the rest is of first order."""
    import torchopt

    network = network_at(theta)
    start = list(network.parameters())
    optimiser = torchopt.MetaSGD(network, lr=ALPHA)
    for _ in range(steps):
        optimiser.step(error_of(network, 0, task))
    if not exact:
        torchopt.stop_gradient(network)
        start = [p for layer in torchopt.extract_state_dict(network, by="reference").params for p in layer.values()]
    return flat(torch.autograd.grad(error_of(network, 1, task), start))


def of_learn2learn(theta, steps, task, exact=True):
    """`MAML(first_order=)`: clone, and `adapt`: p ← p − lr·g, g with `create_graph=second_order`."""
    network = network_at(theta)
    learner = dict(network.named_parameters())
    for _ in range(steps):
        error = error_of(partial(torch.func.functional_call, network, learner), 0, task)
        gradients = torch.autograd.grad(error, list(learner.values()), retain_graph=exact, create_graph=exact)
        learner = {name: p - ALPHA * g for (name, p), g in zip(learner.items(), gradients, strict=True)}
    query = error_of(partial(torch.func.functional_call, network, learner), 1, task)
    return flat(torch.autograd.grad(query, list(network.parameters())))


LIBRARIES = {"higher": of_higher, "torchopt": of_torchopt, "learn2learn": of_learn2learn}


def problem(library, steps=5, exact=True):
    """MAML with the loop of a library, exact or of first order."""
    row = LIBRARIES[library]
    gradient = lambda theta: torch.stack([row(theta, steps, task, exact) for task in range(TASKS)])
    return rm.oracle.Problem(THETA, black_box(0), black_box(1), ALPHA, steps, gradient)
