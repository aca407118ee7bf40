"""A training step of PEARL in PyTorch, over all tasks at once, and one of its mistakes.  Suite: pearl."""

import numpy as np
import torch

SEEN = ("context_states", "context_actions", "context_rewards", "context_following")
MET = ("states", "actions", "rewards", "following")


def features(s, a, r, following, S, A):
    pair = torch.nn.functional.one_hot(s * A + a, S * A).to(r.dtype)
    after, r = torch.nn.functional.one_hot(following, S).to(r.dtype), r[..., None]
    return torch.cat([torch.ones_like(r), pair, after, r * pair, r * after], dim=-1)


def table(weights, z):
    return torch.einsum("saj,nj->nsa", weights, torch.cat([torch.ones_like(z[:, :1]), z], dim=1))


def losses(encoder, critic, target_critic, policy, log_temperature, noise, psi, present, met, terminal, there, *,
           prior_factors, target_entropy, gamma, beta, leaking=False):  # fmt: skip
    """The belief, its sample, and each loss of every task, detached as they are to be."""
    s, a, r, following = met
    task, tau = torch.arange(len(s))[:, None], log_temperature.exp()
    means, log_variances = (torch.einsum("nif,zf->niz", psi, w) for w in encoder)
    precisions = torch.where(present[..., None], torch.exp(-log_variances), 0.0)
    variance = 1 / (precisions.sum(1) + prior_factors)
    mean = variance * (precisions * means).sum(1)
    kl = (variance + mean**2 - 1 - variance.log()).sum(1) / 2
    z = mean + variance.sqrt() * noise
    detached, weight = z.detach(), there / there.sum(1, keepdim=True)

    with torch.no_grad():
        log_pi = torch.log_softmax(table(policy, detached), -1)
        V = (log_pi.exp() * (table(target_critic, detached) - tau * log_pi)).sum(-1)
        y = r + gamma * (1 - terminal.to(r.dtype)) * V[task, following]

    def critic_loss(weights, z):
        return (weight * (table(weights, z)[task, s, a] - y) ** 2).sum(1) / 2

    def actor_loss(weights, z):
        log_pi = torch.log_softmax(table(weights, z), -1)
        f = (log_pi.exp() * (tau.detach() * log_pi - table(critic.detach(), z))).sum(-1)
        return (weight * f[task, s]).sum(1)

    log_pi = torch.log_softmax(table(policy, detached), -1)
    entropy = (weight * -(log_pi.exp() * log_pi).sum(-1)[task, s]).sum(1).detach()
    encoder_loss = critic_loss(critic.detach(), z) + beta * kl + (actor_loss(policy.detach(), z) if leaking else 0)
    return {
        "mean": mean, "variance": variance, "kl": kl, "z": z, "critic_loss": critic_loss(critic, detached),
        "actor_loss": actor_loss(policy, detached), "temperature_loss": tau * (entropy - target_entropy),
    }, encoder_loss  # fmt: skip


def pearl(prior_factors, target_entropy, gamma, beta, leaking=False, **inputs):
    inputs = {name: torch.as_tensor(np.asarray(x)) for name, x in inputs.items()}
    encoder = [inputs[name].requires_grad_() for name in ("encoder_mean", "encoder_log_variance")]
    critic, policy, tau = (inputs[name].requires_grad_() for name in ("critic", "policy", "log_temperature"))
    S, A, _ = critic.shape
    parts, encoder_loss = losses(
        encoder, critic, inputs["target_critic"], policy, tau, inputs["noise"], features(*(inputs[k] for k in SEEN), S, A),
        inputs["context_mask"] != 0, [inputs[k] for k in MET], inputs["terminal"] != 0, inputs["mask"].to(critic.dtype),
        prior_factors=prior_factors, target_entropy=target_entropy, gamma=gamma, beta=beta, leaking=leaking,
    )  # fmt: skip
    sources = {
        "critic_grad": (parts["critic_loss"], critic), "actor_grad": (parts["actor_loss"], policy),
        "temperature_grad": (parts["temperature_loss"], tau), "encoder_mean_grad": (encoder_loss, encoder[0]),
        "encoder_log_variance_grad": (encoder_loss, encoder[1]),
    }  # fmt: skip
    for name, (loss, leaf) in sources.items():
        parts[name] = torch.stack([torch.autograd.grad(one, leaf, retain_graph=True)[0] for one in loss])
    return {name: x.detach().numpy() for name, x in parts.items()}


def pearl_leaking(**inputs):
    """z is not detached in the policy's loss."""
    return pearl(**inputs, leaking=True)
