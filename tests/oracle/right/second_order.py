"""Surrogates and sampled MAML as programs in PyTorch write them, on arrays that carry a gradient and a Hessian."""

import numpy as np


class Jet:
    __array_priority__ = 100

    def __init__(self, v, g, h):
        self.v, self.g, self.h = v, g, h

    @staticmethod
    def variable(theta):
        d = len(theta)
        return Jet(np.array(theta, dtype=float), np.eye(d), np.zeros((d, d, d)))

    def detach(self):
        return Jet(self.v, np.zeros_like(self.g), np.zeros_like(self.h))

    def lift(self, other):
        if isinstance(other, Jet):
            return other
        d = self.g.shape[-1]
        v = np.asarray(other, dtype=float)
        return Jet(v, np.zeros(v.shape + (d,)), np.zeros(v.shape + (d, d)))

    def spread(self, shape):
        d = self.g.shape[-1]
        pad = len(shape) - self.v.ndim
        one = (1,) * pad
        v, g, h = (x.reshape(one + x.shape) for x in (self.v, self.g, self.h))
        return np.broadcast_to(v, shape), np.broadcast_to(g, shape + (d,)), np.broadcast_to(h, shape + (d, d))

    def both(self, other):
        other = self.lift(other)
        shape = np.broadcast_shapes(self.v.shape, other.v.shape)
        return self.spread(shape), other.spread(shape)

    def __add__(self, other):
        a, b = self.both(other)
        return Jet(*(x + y for x, y in zip(a, b, strict=True)))

    __radd__ = __add__

    def __neg__(self):
        return Jet(-self.v, -self.g, -self.h)

    def __sub__(self, other):
        return self + (-self.lift(other))

    def __rsub__(self, other):
        return (-self) + other

    def __mul__(self, other):
        (av, ag, ah), (bv, bg, bh) = self.both(other)
        cross = ag[..., :, None] * bg[..., None, :]
        return Jet(
            av * bv, av[..., None] * bg + bv[..., None] * ag,
            av[..., None, None] * bh + bv[..., None, None] * ah + cross + np.swapaxes(cross, -1, -2),
        )

    __rmul__ = __mul__

    def __truediv__(self, number):
        return self * (1.0 / np.asarray(number))

    def apply(self, f, f1, f2):
        outer = self.g[..., :, None] * self.g[..., None, :]
        return Jet(f, f1[..., None] * self.g, f1[..., None, None] * self.h + f2[..., None, None] * outer)

    def exp(self):
        e = np.exp(self.v)
        return self.apply(e, e, e)

    def log(self):
        return self.apply(np.log(self.v), 1 / self.v, -1 / self.v**2)

    def axis(self, axis):
        return axis if axis >= 0 else self.v.ndim + axis

    def sum(self, axis, keepdims=False):
        axis = self.axis(axis)
        return Jet(*(x.sum(axis=axis, keepdims=keepdims) for x in (self.v, self.g, self.h)))

    def mean(self, axis):
        return self.sum(axis) / self.v.shape[axis]

    def cumsum(self, axis):
        axis = self.axis(axis)
        return Jet(*(x.cumsum(axis=axis) for x in (self.v, self.g, self.h)))

    def __getitem__(self, key):
        return Jet(self.v[key], self.g[key], self.h[key])

    def reshape(self, *shape):
        d = self.g.shape[-1]
        return Jet(self.v.reshape(shape), self.g.reshape(shape + (d,)), self.h.reshape(shape + (d, d)))

    def left(self, a):
        """a @ self, self a vector of parameters."""
        return Jet(a @ self.v, np.tensordot(a, self.g, 1), np.tensordot(a, self.h, 1))


def where(condition, a, b):
    a = a if isinstance(a, Jet) else b.lift(a)
    (av, ag, ah), (bv, bg, bh) = a.both(b)
    c = np.broadcast_to(condition, av.shape)
    return Jet(np.where(c, av, bv), np.where(c[..., None], ag, bg), np.where(c[..., None, None], ah, bh))


def stack(jets, axis):
    axis = axis if axis >= 0 else jets[0].v.ndim + 1 + axis
    return Jet(*(np.stack([getattr(j, k) for j in jets], axis=axis) for k in "vgh"))


def clip(j, low, high):
    return where((j.v >= low) & (j.v <= high), j, np.clip(j.v, low, high))


def log_softmax(logits):
    shifted = logits - logits.v.max(axis=-1, keepdims=True)
    return shifted - shifted.exp().sum(-1, keepdims=True).log()


def log_prob(theta, states, actions, mask, S, A, features):
    if states.ndim == 3:
        gain = theta[: A * S].reshape(A, S)
        log_std = theta[A * S :]
        means = stack([(gain[i] * states).sum(-1) for i in range(A)], -1)
        z = (actions - means) * (-log_std).exp()
        each = -((z * z) / 2 + log_std).sum(-1)
    else:
        logits = theta.reshape(S, A) if features is None else theta.left(features)
        table = log_softmax(logits)
        each = table[np.where(mask, states, 0), np.where(mask, actions, 0)]
    return where(mask, each, 0.0)


def reward_to_go(rewards, gamma):
    out, running = np.zeros_like(rewards), np.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + gamma * running
        out[:, t] = running
    return out


def weighted_cumsum(x, lam):
    total, out = x[:, 0] * 0.0, []
    for t in range(x.v.shape[1]):
        total = lam * total + x[:, t]
        out.append(total)
    return stack(out, 1)


def surrogate(name, logp, logp_old, rewards, mask, baseline, gamma, lam):
    H = rewards.shape[1]
    discount = gamma ** np.arange(H)
    rewards = np.where(mask, rewards, 0.0)
    baseline = np.where(mask, baseline, 0.0)
    returns = reward_to_go(rewards, gamma)
    advantages = np.where(mask, returns - baseline, 0.0)
    log_ratio = logp - logp_old

    def total(x):
        return where(mask, x * discount, 0.0).sum(1).mean(0)

    if name == "reinforce":
        return -total(log_ratio * advantages)
    if name == "likelihood_ratio":
        ratio = log_ratio.exp()
        return -total(ratio * advantages)
    if name == "dice":
        magic = log_ratio.cumsum(1).exp()
        ratio = log_ratio.exp()
        return -total(magic * rewards) - total((1 - ratio) * baseline)
    if name == "tmaml":
        magic = log_ratio.cumsum(1).exp()
        ratio = log_ratio.exp()
        before = (log_ratio.cumsum(1) - log_ratio).exp()
        return -total(magic * rewards) - total(((1 - ratio) - (1 - before) * (1 - ratio)) * baseline)
    if name == "loaded_dice":
        deps = weighted_cumsum(log_ratio, lam)
        deps_exclusive = deps - log_ratio
        return -total((deps.exp() - deps_exclusive.exp()) * advantages)


def kl_penalty(kind, logp, logp_old, logp_ref, mask, gamma):
    discount = gamma ** np.arange(mask.shape[1])
    ratio = (logp - logp_old).exp()
    l = logp - logp_ref  # noqa: E741
    if kind == "kl_k1":
        k = l
    elif kind == "kl_k2":
        k = (l * l) / 2
    else:
        k = (-l).exp() + l - 1
    per_step = k * ratio
    return where(mask, per_step * discount, 0.0).sum(1).mean(0)


NAMES = ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice")


def grad(loss):
    """torch.autograd.grad(loss, params, create_graph=True): the gradient and its Jacobian."""
    return loss.g, loss.h


def batch_loss(name, theta, sampled_at, states, actions, rewards, mask, baseline, sizes, gamma, lam):
    mask = mask.astype(bool)
    logp = log_prob(theta, states, actions, mask, *sizes)
    logp_old = log_prob(Jet.variable(sampled_at), states, actions, mask, *sizes).detach()
    return surrogate(name, logp, logp_old, rewards, mask, baseline, gamma, lam)


def adapt(name, theta, support, alphas, sizes, gamma, lam):
    """phi and dphi/dtheta."""
    d = len(theta)
    phi, jacobian = theta, np.eye(d)
    for k in range(len(alphas)):
        batch = [x[k] for x in support]
        loss = batch_loss(name, Jet.variable(phi), *batch, sizes, gamma, lam)
        g, hessian = grad(loss)
        lr = alphas[k]
        phi = phi - lr * g
        jacobian = jacobian - lr[:, None] * (hessian @ jacobian)
    return phi, jacobian


def maml_sampled(
    theta, theta_sampled, state_count, action_count, features, states, actions, rewards, mask,
    baseline, query_theta_sampled, query_states, query_actions, query_rewards, query_mask,
    query_baseline, alpha, gamma, lam,
):
    theta = np.asarray(theta, dtype=float)
    N, K = rewards.shape[:2]
    sizes = state_count, action_count, features
    alphas = np.broadcast_to(np.asarray(alpha, dtype=float), (K, len(theta)))
    out = {}
    for name in NAMES:
        adapted, objective, gradient = [], [], []
        for i in range(N):
            support = [x[i] for x in (theta_sampled, states, actions, rewards, mask, baseline)]
            query = [x[i] for x in (query_theta_sampled, query_states, query_actions, query_rewards, query_mask, query_baseline)]
            phi, jacobian = adapt(name, theta, support, alphas, sizes, gamma, lam)
            outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)
            adapted.append(phi)
            objective.append(outer.v)
            gradient.append(jacobian.T @ outer.g)
        out[f"{name}_adapted"] = np.array(adapted)
        out[f"{name}_objective"] = np.array(objective)
        out[f"{name}_gradient"] = np.array(gradient)
    return out


def surrogates(
    theta, theta_sampled, state_count, action_count, features, states, actions, rewards, mask,
    baseline, gamma, lam, v,
):
    theta, theta_sampled, v = (np.asarray(x, dtype=float) for x in (theta, theta_sampled, v))
    sizes = state_count, action_count, features
    out = {}
    for i in range(len(rewards)):
        m = mask[i].astype(bool)
        batch = states[i], actions[i], m, *sizes
        logp = log_prob(Jet.variable(theta), *batch)
        logp_old = log_prob(Jet.variable(theta_sampled), *batch).detach()
        logp_ref = log_prob(Jet.variable(theta_sampled / 2), *batch).detach()
        for name in NAMES:
            loss = surrogate(name, logp, logp_old, rewards[i], m, baseline[i], gamma, lam)
            out.setdefault(f"{name}_loss", []).append(loss.v)
            out.setdefault(f"{name}_grad", []).append(loss.g)
            out.setdefault(f"{name}_hvp", []).append(loss.h @ v)
        for kind in ("kl_k1", "kl_k2", "kl_k3"):
            out.setdefault(kind, []).append(kl_penalty(kind, logp, logp_old, logp_ref, m, gamma).g)
    return {name: np.array(x) for name, x in out.items()}


RIGHT = [
    ("surrogates", "arrays with a gradient and a Hessian", surrogates, {}, False),
    ("maml-sampled", "arrays with a gradient and a Hessian, Jacobians of every step", maml_sampled, {}, False),
]
