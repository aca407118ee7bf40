"""REINFORCE-MAML in PyTorch, as an estimator of one tuple of batches: for `bias` and for `check --by-batch`."""

from functools import partial

import torch


def reinforce_maml(theta, states, actions, rewards, mask, gamma, alpha, query, state_count, action_count, score=0.0):
    theta = torch.tensor(theta, requires_grad=True)
    phi, log_prob = theta, 0.0
    for s, a, r, on in zip(*map(torch.tensor, (states, actions, rewards, mask)), strict=True):
        step = torch.log_softmax(phi.reshape(state_count, action_count), -1)[s, a] * on
        to_go = (r * gamma ** torch.arange(r.shape[1]).double()).flip(1).cumsum(1).flip(1)
        phi = phi - alpha * torch.autograd.grad(-(to_go * step).sum() / len(r), phi, create_graph=True)[0]
        log_prob = log_prob + step.sum()
    loss, gradient = query(phi)
    (torch.tensor(gradient) @ phi + score * loss * log_prob).backward()
    return theta.grad


e_maml = partial(reinforce_maml, score=1.0)


def first_order(theta, states, actions, rewards, mask, gamma, alpha, query, state_count, action_count):
    """The inner gradient is detached."""
    attached, torch.autograd.grad = torch.autograd.grad, lambda *of, **how: [x.detach() for x in attached(*of, **how)]
    try:
        return reinforce_maml(theta, states, actions, rewards, mask, gamma, alpha, query, state_count, action_count)
    finally:
        torch.autograd.grad = attached


def single_precision(theta, states, actions, rewards, mask, gamma, alpha, query, state_count, action_count):
    """gamma ** torch.arange(H) is a tensor of float32, as H is a whole number."""
    rewards = rewards * (gamma ** torch.arange(rewards.shape[2])).numpy() / gamma ** torch.arange(rewards.shape[2]).double().numpy()
    return e_maml(theta, states, actions, rewards, mask, gamma, alpha, query, state_count, action_count)
