"""An inner and an outer loop of MAML-RL on batches in PyTorch, as they are written for training, and five mistakes.

Suite: maml-sampled, of which LVC (`likelihood_ratio`) and DiCE are answered.
"""

from functools import partial

import torch
from torch.distributions import Categorical, Independent, Normal

torch.set_default_dtype(torch.float64)


class Batch:
    """Tensors of one batch of episodes (M, H)."""

    def __init__(self, states, actions, rewards, mask, baseline):
        self.states, self.actions, self.rewards = (torch.as_tensor(x) for x in (states, actions, rewards))
        self.mask, self.baseline = torch.as_tensor(mask).bool(), torch.as_tensor(baseline)

    def returns(self, gamma):
        """Rewards to go."""
        rewards, out = torch.where(self.mask, self.rewards, 0.0), []
        running = torch.zeros(len(rewards))
        for r in reversed(rewards.unbind(1)):
            running = r + gamma * running
            out.insert(0, running)
        return torch.stack(out, dim=1)


class Policy:
    """A table, features, or a Gaussian whose log σ stands last."""

    def __init__(self, state_count, action_count, features):
        self.sizes, self.features = (state_count, action_count), None if features is None else torch.as_tensor(features)

    def log_prob(self, theta, batch):
        S, A = self.sizes
        if batch.states.ndim == 3:
            mean = batch.states @ theta[: A * S].reshape(A, S).T
            return Independent(Normal(mean, theta[A * S :].exp()), 1).log_prob(batch.actions)
        logits = theta.reshape(S, A) if self.features is None else self.features @ theta
        states, actions = (torch.where(batch.mask, x, 0) for x in (batch.states, batch.actions))
        return Categorical(logits=logits[states]).log_prob(actions)


def surrogate(kind, policy, theta, old, batch, gamma, follow=False, normalise=False, mean=False):
    """LVC or DiCE as a loss; `old` are the log-probabilities at the time of sampling."""
    new = policy.log_prob(theta, batch)
    log_ratio = torch.where(batch.mask, new - (new.detach() if follow else old), 0.0)
    discount = gamma ** torch.arange(new.shape[1], dtype=new.dtype)
    if kind == "reinforce":
        each = (batch.returns(gamma) - batch.baseline) * log_ratio
    elif kind == "likelihood_ratio":
        advantage = batch.returns(gamma) - batch.baseline
        if normalise:
            kept = advantage[batch.mask]
            advantage = (advantage - kept.mean()) / (kept.std(unbiased=False) + 1e-8)
        each = advantage * log_ratio.exp()
    else:
        each = batch.rewards * log_ratio.cumsum(1).exp() + batch.baseline * (1 - log_ratio.exp())
    each = torch.where(batch.mask, discount * each, 0.0)
    return -(each.sum() / batch.mask.sum() if mean else each.sum(1).mean())


def maml(theta, theta_sampled, query_theta_sampled, state_count, action_count, features, alpha, gamma, lam,
         create_graph=True, inner=None, kinds=("likelihood_ratio", "dice"), **x):  # fmt: skip
    """Adapted parameters and meta-gradients of all tasks."""
    how = {name: x.pop(name) for name in ("follow", "normalise", "mean") if name in x}
    policy, parts = Policy(state_count, action_count, features), {}
    names = ("states", "actions", "rewards", "mask", "baseline")
    alphas = torch.as_tensor(alpha).expand(x["rewards"].shape[1], len(theta))
    for kind in kinds:
        for i in range(len(x["rewards"])):
            start = torch.tensor(theta, requires_grad=True)
            phi = start
            for k in range(x["rewards"].shape[1]):
                batch = Batch(*(x[name][i, k] for name in names))
                old = policy.log_prob(torch.as_tensor(theta_sampled[i, k]), batch)
                loss = surrogate(inner or kind, policy, phi, old, batch, gamma, **how)
                (g,) = torch.autograd.grad(loss, phi, create_graph=create_graph)
                phi = phi - alphas[k] * g
            batch = Batch(*(x[f"query_{name}"][i] for name in names))
            old = policy.log_prob(torch.as_tensor(query_theta_sampled[i]), batch)
            surrogate(kind, policy, phi, old, batch, gamma, **how).backward()
            parts.setdefault(f"{kind}_adapted", []).append(phi.detach())
            parts.setdefault(f"{kind}_gradient", []).append(start.grad)
    return {name: torch.stack(rows) for name, rows in parts.items()}


maml_detached = partial(maml, create_graph=False)
maml_naive = partial(maml, inner="reinforce", kinds=("dice",))
maml_following = partial(maml, follow=True)
maml_mean = partial(maml, mean=True)
maml_normalised = partial(maml, normalise=True, kinds=("likelihood_ratio",))
