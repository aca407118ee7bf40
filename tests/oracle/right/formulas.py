"""Other formulas for the same: compatible advantages, Woodbury, eigenvectors, sequential Bayes, slopes written out."""

import math

import numpy as np


def policy_gradient(theta, P, R, rho, gamma, horizon, features, v):
    """Whole advantages; the natural gradient regresses them on the scores; divergences by log-sum-exp."""
    N, S, A = P.shape[:3]
    Phi = np.eye(S * A).reshape(S, A, -1) if features is None else features
    R = np.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R
    lse = lambda x: np.log(np.exp(x - x.max(1, keepdims=True)).sum(1)) + x.max(1)
    here, step = Phi @ theta, Phi @ v
    pi, pi_v = (np.exp(x - lse(x)[:, None]) for x in (here, here + step))
    score = Phi - np.einsum("sa,saj->sj", pi, Phi)[:, None]
    out = {name: [] for name in ("loss", "grad", "natural_gradient", "kl", "kl_grad")}
    for p, r, start in zip(P, R, rho, strict=True):
        M, mean = np.einsum("sa,sat->st", pi, p), (pi * r).sum(1)
        if horizon is None:
            V = np.linalg.solve(np.eye(S) - gamma * M, mean)
            d = np.linalg.solve(np.eye(S) - gamma * M.T, start)
            weighted = d[:, None] * (r + gamma * p @ V - V[:, None])
        else:
            values = [np.zeros(S)]
            for _ in range(horizon):
                values.append(mean + gamma * M @ values[-1])
            V, d, now, weighted = values[-1], np.zeros(S), start, 0.0
            for left in range(horizon, 0, -1):
                weighted = weighted + now[:, None] * (r + gamma * p @ values[left - 1] - values[left][:, None])
                d, now = d + now, gamma * now @ M
        root = np.sqrt(d)[:, None] * np.sqrt(pi)
        target = np.divide(weighted * np.sqrt(pi), np.sqrt(d)[:, None], out=0 * pi, where=d[:, None] > 0)
        natural = np.linalg.lstsq((root[..., None] * score).reshape(S * A, -1), target.ravel(), rcond=1e-12)[0]
        out["loss"].append(-start @ V)
        out["grad"].append(-np.einsum("sa,sa,saj->j", pi, weighted, score))
        out["natural_gradient"].append(natural)
        out["kl"].append(d @ (lse(here + step) - lse(here) - (pi * step).sum(1)))
        out["kl_grad"].append(np.einsum("s,sa,saj->j", d, pi_v - pi, Phi))
    return out


def query_slope(phi, A, c, X, y):
    """Of a quadratic, or of a regression."""
    if A is not None:
        return np.einsum("nij,nj->ni", A, phi - c)
    return np.einsum("nqi,nq->ni", X, np.einsum("nqi,ni->nq", X, phi) - y) / y.shape[1]


def implicit(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """Regression by n × n systems (Woodbury), one rank after another (Sherman-Morrison); quadratics by eigenvectors."""
    if A is not None:
        values, vectors = np.linalg.eigh(A)
        shrink = strength / (strength + values)
        turned = lambda x: np.einsum("nij,ni->nj", vectors, x)
        back = lambda x: np.einsum("nij,nj->ni", vectors, x)
        phi = c + back(shrink * turned(theta - c))
        return back(shrink * turned(query_slope(phi, query_A, query_c, query_X, query_y)))
    rows, minima = [], []
    for x, t in zip(X, y, strict=True):
        n, inverse = len(t), np.eye(len(theta)) / strength
        phi = theta + x.T @ np.linalg.solve(x @ x.T + n * strength * np.eye(n), t - x @ theta)
        for row in x / math.sqrt(n):
            inverse = inverse - np.outer(inverse @ row, row @ inverse) / (1 + row @ inverse @ row)
        rows.append(strength * inverse)
        minima.append(phi)
    return np.einsum("nij,nj->ni", rows, query_slope(np.array(minima), query_A, query_c, query_X, query_y))


def maml_quadratic(theta, A, c, query_A, query_c, alpha, steps):
    """Powers by eigenvectors where α is one number; otherwise the vector is taken back step by step."""
    rows = []
    for H, at, G, other in zip(A, c, query_A, query_c, strict=True):
        if np.ndim(alpha) == 0:
            values, U = np.linalg.eigh(H)
            power = (U * (1 - alpha * values) ** steps) @ U.T
            rows.append(power @ G @ (at + power @ (theta - at) - other))
            continue
        rates, phi = np.broadcast_to(alpha, (steps, len(theta))), theta
        for rate in rates:
            phi = phi - rate * (H @ (phi - at))
        u = G @ (phi - other)
        for rate in rates[::-1]:
            u = u - H @ (rate * u)
        rows.append(u)
    return np.stack(rows)


def maml_regression(theta, X, y, query_X, query_y, alpha, steps):
    """The learner's residuals are carried along instead of its predictions; backwards on the data's side."""
    rows = []
    for x, t, qx, qt in zip(X, y, query_X, query_y, strict=True):
        rates, n = np.broadcast_to(alpha, (steps, len(theta))), len(t)
        e, q = t - x @ theta, qt - qx @ theta
        for rate in rates:
            move = rate * (e @ x) / n
            e, q = e - x @ move, q - qx @ move
        u = -q @ qx / len(qt)
        for k in reversed(range(steps)):
            u = u - ((x * rates[k]) @ u) @ x / n
        rows.append(u)
    return [row.tolist() for row in rows]


def surrogates(theta, theta_sampled, state_count, action_count, features, states, actions, rewards, mask, baseline,
               gamma, lam, v):  # fmt: skip
    """Scores and their slopes along v written out; a product of ratios has the sum of the scores as its logarithm's."""
    (N, M, H), S, A, d = rewards.shape, state_count, action_count, len(theta)
    Phi = np.eye(S * A).reshape(S, A, -1) if features is None else features

    def step(s, a, at):
        """log π, its gradient, and its Hessian times v."""
        if states.ndim == 3:
            logits = Phi[s] @ at
            pi = np.exp(logits - logits.max())
            pi /= pi.sum()
            score = Phi[s] - pi @ Phi[s]
            return np.log(pi[a]), score[a], -(pi * (score @ v)) @ Phi[s]
        K, log_sigma = at[: A * S].reshape(A, S), at[A * S :]
        e, precise = a - K @ s, np.exp(-2 * log_sigma)
        value = -(e**2 * precise).sum() / 2 - log_sigma.sum()
        g = np.append(np.outer(e * precise, s), e**2 * precise - 1)
        dK, dl = v[: A * S].reshape(A, S) @ s, v[A * S :]
        turned = np.outer(-precise * (dK + 2 * e * dl), s)
        return value, g, np.append(turned, -2 * e * precise * (dK + e * dl))

    class Jet:
        """A function of θ: value, gradient, Hessian times v."""

        def __init__(self, x, g, h):
            self.x, self.g, self.h = x, g, h

        def exp(self):
            y = np.exp(self.x)
            return Jet(y, y * self.g, y * (self.h + self.g * (self.g @ v)))

        def __add__(self, o):
            return Jet(self.x + o.x, self.g + o.g, self.h + o.h)

        def __mul__(self, k):
            return Jet(self.x * k, self.g * k, self.h * k)

    zero, one = Jet(0.0, np.zeros(d), np.zeros(d)), Jet(1.0, np.zeros(d), np.zeros(d))
    names = "reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice"
    out = {f"{name}_{kind}": [] for name in names for kind in ("loss", "grad", "hvp")}
    for i in range(N):
        sums = dict.fromkeys(names, zero)
        for m in range(M):
            past = fading = zero
            r = np.where(mask[i, m], rewards[i, m], 0.0)
            for t in np.flatnonzero(mask[i, m]):
                (value, g, h), old = (step(states[i, m, t], actions[i, m, t], at) for at in (theta, theta_sampled))
                now, before, w = Jet(value - old[0], g, h), past, -(gamma**t) / M
                past, fading = past + now, fading * lam + now
                advantage = math.fsum(gamma ** (k - t) * r[k] for k in range(t, H)) - baseline[i, m, t]
                control = (one + now.exp() * -1.0) * baseline[i, m, t]
                both = before.exp() + past.exp() * -1.0
                terms = (
                    now * advantage, now.exp() * advantage, past.exp() * r[t] + control,
                    past.exp() * r[t] + both * baseline[i, m, t],
                    (fading.exp() + (fading + now * -1.0).exp() * -1.0) * advantage,
                )  # fmt: skip
                sums = {name: sums[name] + term * w for name, term in zip(names, terms, strict=True)}
        for name in names:
            for kind, part in zip(("loss", "grad", "hvp"), (sums[name].x, sums[name].g, sums[name].h), strict=True):
                out[f"{name}_{kind}"].append(part)
    return out


def pearl(critic, target_critic, policy, encoder_mean, encoder_log_variance, log_temperature, target_entropy, gamma,
          beta, prior_factors, noise, states, actions, rewards, following, terminal, mask, context_states,
          context_actions, context_rewards, context_following, context_mask):  # fmt: skip
    """The belief by one Kalman update after another; every slope written out; loops over transitions."""
    (S, A, _), tau, rows = critic.shape, math.exp(log_temperature), []
    for i, epsilon in enumerate(noise):
        mean = variance = None
        if prior_factors:
            mean, variance = np.zeros(len(epsilon)), np.ones(len(epsilon))
        factors = []
        for j in np.flatnonzero(context_mask[i]):
            where = np.zeros(S * A + S)
            where[context_states[i, j] * A + context_actions[i, j]] = where[S * A + context_following[i, j]] = 1
            psi = np.concatenate([[1.0], where, context_rewards[i, j] * where])
            m, s2 = encoder_mean @ psi, np.exp(encoder_log_variance @ psi)
            factors.append((psi, m, s2))
            if mean is None:
                mean, variance = m, s2
            else:
                gain = variance / (variance + s2)
                mean, variance = mean + gain * (m - mean), (1 - gain) * variance
        z = mean + np.sqrt(variance) * epsilon
        one = np.append(1.0, z)
        pi = np.exp(policy @ one - (policy @ one).max(1, keepdims=True))
        pi /= pi.sum(1, keepdims=True)
        Q, entropy = critic @ one, -(pi * np.log(pi)).sum(1)
        V = (pi * (target_critic @ one)).sum(1) + tau * entropy
        row = {"mean": mean, "variance": variance, "z": z, "kl": (variance + mean**2 - 1 - np.log(variance)).sum() / 2}
        row |= {
            "critic_grad": np.zeros_like(critic),
            "actor_grad": np.zeros_like(policy),
            "critic_loss": 0.0,
            "actor_loss": 0.0,
        }
        there, dz, mean_entropy = np.flatnonzero(mask[i]), np.zeros(len(z)), 0.0
        for j in there:
            s, a, n = states[i, j], actions[i, j], len(there)
            e = Q[s, a] - rewards[i, j] - (0.0 if terminal[i, j] else gamma * V[following[i, j]])
            row["critic_loss"] += e * e / 2 / n
            row["critic_grad"][s, a] += e * one / n
            dz += e * critic[s, a, 1:] / n
            cost = tau * np.log(pi[s]) - Q[s]
            row["actor_loss"] += pi[s] @ cost / n
            row["actor_grad"][s] += np.outer(pi[s] * (cost - pi[s] @ cost), one) / n
            mean_entropy += entropy[s] / n
        row["temperature_loss"] = row["temperature_grad"] = tau * (mean_entropy - target_entropy)
        by_mean = dz + beta * mean
        by_variance = dz * epsilon / (2 * np.sqrt(variance)) + beta * (1 - 1 / variance) / 2
        grad_m, grad_v = np.zeros_like(encoder_mean), np.zeros_like(encoder_log_variance)
        for psi, m, s2 in factors:
            share = variance / s2
            grad_m += np.outer(by_mean * share, psi)
            grad_v += np.outer(share * (by_mean * (mean - m) + by_variance * variance), psi)
        rows.append(row | {"encoder_mean_grad": grad_m, "encoder_log_variance_grad": grad_v})
    return {name: np.asarray([row[name] for row in rows], order="F") for name in rows[0]}


def model_covariance(theta, concentration, reward_mean, reward_variance, noise_variance, context_mask, **x):
    """Γ by math.lgamma, its slopes by sums; the rewards' joint Gaussian by its covariance and its inverse."""
    out = {f"{name}": [] for name in ("transition", "reward", "log_marginal", *(f"{k}_grad" for k in SLOPES))}
    S, A = reward_mean.shape
    for i, here in enumerate(context_mask != 0):
        s, a, after, r = (x[f"context_{name}"][i][here] for name in ("states", "actions", "following", "rewards"))
        transition, reward, total = np.empty_like(concentration), reward_mean.copy(), 0.0
        slopes, by_variance = [np.zeros_like(concentration), np.zeros_like(reward_mean)], 0.0
        for pair in np.ndindex(S, A):
            mine = (s == pair[0]) & (a == pair[1])
            c, n, e = concentration[pair], np.bincount(after[mine], minlength=S), r[mine] - reward_mean[pair]
            transition[pair] = (c + n) / (c.sum() + n.sum())
            total += math.lgamma(c.sum()) - math.lgamma(c.sum() + n.sum())
            total += sum(math.lgamma(p + q) - math.lgamma(p) for p, q in zip(c, n, strict=True))
            digamma = lambda x, k: sum(1 / (x + j) for j in range(int(k)))
            slopes[0][pair] = [p * (digamma(p, q) - digamma(c.sum(), n.sum())) for p, q in zip(c, n, strict=True)]
            Sigma = noise_variance * np.eye(len(e)) + reward_variance
            inverse = np.linalg.inv(Sigma) if len(e) else Sigma
            w = inverse @ e
            reward[pair] += reward_variance * w.sum()
            total -= (e @ w + np.linalg.slogdet(2 * np.pi * Sigma)[1]) / 2
            slopes[1][pair] = w.sum()
            by_variance += reward_variance * (w.sum() ** 2 - inverse.sum()) / 2
        for name, value in zip(out, (transition, reward, total, *slopes, by_variance), strict=True):
            out[name].append(value)
    return out


SLOPES = ("concentration", "reward_mean", "reward_variance")
RIGHT = [
    ("policy-gradient", "advantages regressed on scores", policy_gradient, {}, False),
    ("implicit", "Woodbury, Sherman-Morrison, eigenvectors", implicit, {}, False),
    ("maml-quadratic", "powers by eigenvectors, or a vector taken back", maml_quadratic, {}, False),
    ("maml-regression", "residuals carried along, lists of floats", maml_regression, {}, False),
    ("surrogates", "scores written out, trajectory by trajectory", surrogates, {}, False),
    ("pearl", "Kalman updates, slopes written out, Fortran order", pearl, {}, False),
    ("model", "lgamma, covariance and its inverse, some parts", model_covariance, {}, False),
]
