"""Reverse mode on policies: the return and its geometry, surrogates, PEARL, Meta-LSTM, learned models."""

# ruff: noqa: B023  (a function of a loop is called in its round)

import numpy as np

from tests.oracle.right.tape import T, exp, grad, log, of, reshape, softmax, swap, total
from tests.oracle.right.taped_maml import entropies, returns


def policy_of(theta, N, S, A, features):
    logits = theta if features is None else theta @ features.reshape(S * A, -1).T
    return softmax(reshape(logits, N, S, A))


def visits(pi, P, rho, gamma, horizon):
    """The discounted visits, forwards; without a horizon, their linear system."""
    M, now, d = np.einsum("nsa,nsat->nst", pi, P), rho, 0 * rho
    if horizon is None:
        return np.linalg.solve(np.eye(rho.shape[1]) - gamma * M.swapaxes(1, 2), rho[..., None])[..., 0]
    for _ in range(horizon):
        d, now = d + now, gamma * np.einsum("ns,nst->nt", now, M)
    return d


def along(f, at, v):
    """Loss, gradient, Hessian product."""
    at = T(at)
    value = f(at)
    slope = grad(value, at)
    return value.value.reshape(len(at.value)), slope.value, grad(total(slope * v, 1), at).value


def policy_gradient(theta, P, R, rho, gamma, horizon, features, v):
    N, S, A = P.shape[:3]
    rows = np.tile(theta, (N, 1))
    old = policy_of(T(rows), N, S, A, features).value
    weight = visits(old, P, rho, gamma, horizon)[..., None] * old
    divergence = lambda at: total(weight * (np.log(old) - log(policy_of(at, N, S, A, features))), 1, 2)
    out = dict(
        zip(
            ("loss", "grad", "hvp"),
            along(lambda at: returns(at, P, R, rho, gamma, horizon, features), rows, v),
            strict=True,
        )
    )
    out |= dict(zip(("kl", "kl_grad", "kl_hvp"), along(divergence, rows + v, v), strict=True))
    F = np.stack([along(divergence, rows, e)[2] for e in np.eye(len(theta))], -1)
    return out | {
        "fisher": F @ v,
        "natural_gradient": -(np.linalg.pinv(F, 200 * np.finfo(F.dtype).eps, True) @ out["grad"][..., None])[..., 0],
    }


def surrogates(theta, theta_sampled, state_count, action_count, features, states, actions, rewards, mask, baseline,
               gamma, lam, v, names=("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice")):  # fmt: skip
    (N, M, H), S, A = rewards.shape, state_count, action_count
    at, here = np.indices(rewards.shape)[0], mask != 0

    def logs(theta):
        if states.ndim == 3:
            pi = policy_of(theta, N, S, A, features)
            return log(pi[at, np.where(here, states, 0), np.where(here, actions, 0)])
        s, a = (np.where(here[..., None], x, 0.0) for x in (states, actions))
        K, spread = reshape(theta[:, : A * S], N, 1, A, S), reshape(theta[:, A * S :], N, 1, 1, A)
        return reshape(total((((a - s @ swap(K)) * exp(-spread)) ** 2) / -2.0 - spread, 3), N, M, H)

    weights = np.where(here, gamma ** np.arange(H), 0)
    r, b = np.where(here, rewards, 0), np.where(here, baseline, 0)
    later = np.triu(gamma ** np.clip(np.arange(H) - np.arange(H)[:, None], 0, None))
    fade = np.triu(lam ** np.clip(np.arange(H) - np.arange(H)[:, None], 0, None).astype(float))
    earlier, advantage = np.triu(np.ones((H, H)), 1), r @ later.T - b

    def summands(x):
        """Of every surrogate."""
        past, faded, now = x @ earlier, x @ fade, exp(x)
        box = exp(past + x)
        return {
            "reinforce": advantage * x, "likelihood_ratio": advantage * now, "dice": r * box + b * (1 - now),
            "tmaml": r * box + b * (1 - now) * exp(past),
            "loaded_dice": advantage * (exp(faded) - exp(faded - x)),
        }  # fmt: skip

    rows, out = T(np.tile(theta, (N, 1))), {}
    x = (logs(rows) - logs(T(np.tile(theta_sampled, (N, 1)))).value) * here
    every = summands(x)
    for name in names:
        each = every[name]
        loss = total(weights * each, 1, 2) / -M
        slope = grad(loss, rows)
        parts = loss.value.reshape(N), slope.value, grad(total(slope * v, 1), rows).value
        out |= {f"{name}_{kind}": part for kind, part in zip(("loss", "grad", "hvp"), parts, strict=True)}
    return out


def pearl(critic, target_critic, policy, encoder_mean, encoder_log_variance, log_temperature, target_entropy, gamma,
          beta, prior_factors, noise, states, actions, rewards, following, terminal, mask, context_states,
          context_actions, context_rewards, context_following, context_mask):  # fmt: skip
    (N, Z), (S, A, _), there = noise.shape, critic.shape, mask / mask.sum(1, keepdims=True)
    each = lambda w: T(np.broadcast_to(w, (N, *np.shape(w))))
    where = np.concatenate([np.eye(S * A)[context_states * A + context_actions], np.eye(S)[context_following]], -1)
    psi = np.concatenate([np.ones((*where.shape[:2], 1)), where, context_rewards[..., None] * where], -1)
    We, Wv = each(encoder_mean), each(encoder_log_variance)
    precision = exp(-(psi @ swap(Wv))) * context_mask[..., None]
    variance = 1 / (total(precision, 1) + prior_factors)
    mean = variance * total(precision * (psi @ swap(We)), 1)
    z = mean + variance**0.5 * noise[:, None]
    kl = total(variance + mean**2 - 1 - log(variance), 2) / 2
    n, s, after = np.arange(N)[:, None], np.where(mask, states, 0), np.where(mask, following, 0)
    values = lambda w, z: reshape(w[..., 0] + reshape(w[..., 1:] @ reshape(z, N, 1, Z, 1), N, S, A), N, S, A)
    Q, mu, tau = each(critic), each(policy), each(log_temperature)
    fixed, heat = T(z.value), exp(reshape(tau, N, 1, 1))
    pi = softmax(values(mu, fixed))
    soft = total(pi * (values(each(target_critic), fixed) - heat * log(pi)), 2)[n, after, 0]
    y = (rewards + gamma * (1 - terminal) * soft).value
    error = lambda z: total(there * (values(Q, z)[n, s, np.where(mask, actions, 0)] - y) ** 2, 1) / 2
    at = lambda x: total(there * total(x, 2)[n, s, 0], 1)
    critic_loss, entropy = error(fixed), at(-(pi * log(pi)))
    actor_loss = at(pi * (heat.value * log(pi) - values(Q, fixed).value))
    temperature_loss = reshape(heat, N, 1) * (entropy.value - target_entropy)
    both = grad(error(z) + beta * reshape(kl, N, 1), We, Wv)
    out = {
        "mean": mean, "variance": variance, "kl": kl, "z": z, "critic_loss": critic_loss,
        "critic_grad": grad(critic_loss, Q),
        "actor_loss": actor_loss, "actor_grad": grad(actor_loss, mu), "temperature_loss": temperature_loss,
        "temperature_grad": grad(temperature_loss, tau), "encoder_mean_grad": both[0],
        "encoder_log_variance_grad": both[1],
    }  # fmt: skip
    shapes = {"mean": (N, Z), "variance": (N, Z), "z": (N, Z)}
    return {k: x.value.reshape(shapes.get(k, (N,) if "grad" not in k else x.value.shape)) for k, x in out.items()}


def sigmoid(x):
    return 1 / (1 + exp(-x))


def preprocessed(x):
    large = np.abs(x.value) >= np.exp(-10)
    sign = np.where(x.value > 0, 1.0, -1.0)
    logs = log((x * large + (1 - large) * sign) * sign) / 10
    return [logs * large - (1.0 - large), sign * large + (np.exp(10) * x) * (1.0 - large)]


def meta_lstm(W, b, W_I, b_I, W_F, b_F, c0, X, labels, query_X, query_labels, classes, ridge, steps):
    N, H, d, out = len(X), len(W_I) - 2, len(c0), {}
    for kind in ("exact", "independent"):
        leaves = {"W": W, "b": b, "W_I": W_I, "b_I": b_I, "W_F": W_F, "b_F": b_F, "c0": c0}
        leaves = {name: T(np.broadcast_to(x, (N, *np.shape(x)))) for name, x in leaves.items()}
        columns = lambda name, *shape: reshape(leaves[name], N, *shape)
        theta, h, c, i, f = leaves["c0"], *(T(np.zeros((N, n, d))) for n in (H, H, 1, 1))
        for _ in range(steps):
            at = theta if kind == "exact" else T(theta.value)
            loss = entropies(at, X, labels, classes, ridge)
            g = reshape(grad(loss, at), N, 1, d)
            if kind == "independent":
                loss, g = T(loss.value), T(g.value)
            seen = preprocessed(g) + [x + np.zeros((N, 1, d)) for x in preprocessed(reshape(loss, N, 1, 1))]
            w, z = leaves["W"], columns("b", 4 * H, 1) + leaves["W"][:, :, 4:] @ h
            for j, x in enumerate(seen):
                z = z + w[:, :, j : j + 1] * x
            gate = lambda k: z[:, k * H : (k + 1) * H]
            c = sigmoid(gate(1)) * c + sigmoid(gate(0)) * (2 * sigmoid(2 * gate(3)) - 1)
            h = sigmoid(gate(2)) * (2 * sigmoid(2 * c) - 1)
            row = reshape(theta, N, 1, d)

            def meta(w, bias, before):
                w = columns(w, 1, H + 2)
                z = w[..., :H] @ h + w[..., H : H + 1] * row + w[..., H + 1 :] * before
                return sigmoid(z + columns(bias, 1, 1))

            i, f = meta("W_I", "b_I", i), meta("W_F", "b_F", f)
            theta = reshape(f * row - i * g, N, d)
        F = entropies(theta, query_X, query_labels, classes, ridge)
        out |= {"objective": F.value.reshape(N)}
        out |= {f"{kind}_{name}": slope.value for name, slope in zip(leaves, grad(F, *leaves.values()), strict=True)}
    return out


def model(theta, context_states, context_actions, context_rewards, context_following, context_mask, concentration,
          reward_mean, reward_variance, noise_variance, P, R, rho, gamma, horizon, alpha, steps):  # fmt: skip
    """Of every transition the probability that those before it in its own state and action predict."""
    N, C = context_mask.shape
    n, here = np.arange(N), context_mask != 0
    each = lambda x: T(np.broadcast_to(x, (N, *np.shape(x))))
    a, m, v = each(np.log(concentration)), each(reward_mean), each(np.log(reward_variance))
    c, prior = exp(a), exp(-reshape(v, N, 1, 1))
    counts, sums, logs = np.zeros(P.shape), np.zeros(R.shape), of(np.zeros((N, 1)))
    for t in range(C):
        at = n, *(np.where(here, x, 0)[:, t] for x in (context_states, context_actions))
        after, r = np.where(here, context_following, 0)[:, t], np.where(here, context_rewards, 0)[:, t]
        row = (c + counts)[at]
        precision = prior + counts.sum(-1) / noise_variance
        belief = ((m * prior + sums / noise_variance) / precision)[at]
        spread = (1 / precision + noise_variance)[at]
        log_p = log(row[n, after]) - log(reshape(total(row, 1), N)) - log(2 * np.pi * spread) / 2
        log_p = log_p - (r - belief) ** 2 / spread / 2
        logs = logs + reshape(log_p * here[:, t], N, 1)
        np.add.at(counts, (*at, after), here[:, t])
        np.add.at(sums, at, r * here[:, t])
    learned, precision = (c + counts).value, (prior + counts.sum(-1) / noise_variance).value
    transition = learned / learned.sum(-1, keepdims=True)
    reward = (m * prior + sums / noise_variance).value / precision
    start = phi = T(np.tile(theta, (N, 1)))
    for k in range(steps):
        rate = alpha[k] if np.ndim(alpha) == 2 else alpha
        phi = phi - rate * grad(returns(phi, transition, reward, rho, gamma, horizon), phi)
    F, slopes = returns(phi, P, R, rho, gamma, horizon), grad(logs, a, m, v)
    names = "concentration_grad", "reward_mean_grad", "reward_variance_grad"
    out = {
        "transition": transition,
        "reward": reward,
        "log_marginal": logs.value[:, 0],
        "objective": F.value.reshape(N),
    }
    return out | {"gradient": grad(F, start).value} | {k: x.value for k, x in zip(names, slopes, strict=True)}


RIGHT = [
    (suite, "reverse mode", function, {}, False)
    for suite, function in {
        "policy-gradient": policy_gradient, "surrogates": surrogates, "pearl": pearl, "meta-lstm": meta_lstm,
        "model": model,
    }.items()
]  # fmt: skip
