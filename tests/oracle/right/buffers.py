"""Returns in the manner of CleanRL, rlax and tianshou: one loop backwards over the columns of a buffer for each target."""

import numpy as np


def prepare(terminated, truncated, mask):
    valid = np.asarray(mask).astype(bool)
    term = np.asarray(terminated).astype(bool) & valid
    trunc = np.asarray(truncated).astype(bool) & valid & ~term
    follow = np.zeros_like(valid)
    follow[:, :-1] = valid[:, 1:]
    done = term | trunc | ~follow
    return valid, term, trunc, done


def discounted_returns(r, nv, term, done, gamma):
    out = np.zeros_like(r)
    running = np.zeros(len(r))
    for t in range(r.shape[1])[::-1]:
        running = np.where(done[:, t], nv[:, t], running)
        running = r[:, t] + gamma * running
        out[:, t] = running
    return out


def nstep_returns(r, nv, term, done, gamma, n):
    N, H = r.shape
    out = np.zeros_like(r)
    for i in range(N):
        for t in range(H):
            total, scale = 0.0, 1.0
            for k in range(t, min(t + n, H)):
                total += scale * r[i, k]
                scale *= gamma
                if done[i, k]:
                    break
            out[i, t] = total + scale * nv[i, k]
    return out


def gae(r, v, nv, done, gamma, lam):
    advantages = np.zeros_like(r)
    lastgaelam = np.zeros(len(r))
    for t in reversed(range(r.shape[1])):
        nextnonterminal = 1.0 - done[:, t]
        delta = r[:, t] + gamma * nv[:, t] - v[:, t]
        advantages[:, t] = lastgaelam = delta + gamma * lam * nextnonterminal * lastgaelam
    return advantages


def lambda_returns(r, nv, done, gamma, lam):
    out = np.zeros_like(r)
    g = np.zeros(len(r))
    for t in reversed(range(r.shape[1])):
        g = np.where(done[:, t], nv[:, t], g)
        g = r[:, t] + gamma * ((1 - lam) * nv[:, t] + lam * g)
        out[:, t] = g
    return out


def vtrace(r, v, nv, done, ratios, gamma, lam, rho_bar, c_bar):
    rho = np.minimum(rho_bar, ratios)
    c = lam * np.minimum(c_bar, ratios)
    H = r.shape[1]
    delta = rho * (r + gamma * nv - v)
    acc = np.zeros(len(r))
    vs = np.zeros_like(r)
    for t in reversed(range(H)):
        acc = delta[:, t] + gamma * c[:, t] * np.where(done[:, t], 0.0, acc)
        vs[:, t] = v[:, t] + acc
    next_vs = np.concatenate([vs[:, 1:], vs[:, -1:]], axis=1)
    next_vs = np.where(done, nv, next_vs)
    advantage = rho * (r + gamma * next_vs - v)
    return vs, advantage


def off_policy_q(r, q, nq, done, trace, gamma):
    H = r.shape[1]
    delta = r + gamma * nq - q
    out = np.zeros_like(r)
    acc = np.zeros(len(r))
    for t in reversed(range(H)):
        c_next = trace[:, t + 1] if t + 1 < H else np.zeros(len(r))
        acc = delta[:, t] + gamma * np.where(done[:, t], 0.0, c_next * acc)
        out[:, t] = q[:, t] + acc
    return out


def answer(
    rewards, values, next_values, q_values, next_q_values, terminated, truncated, mask, ratios,
    probabilities, gamma, lam, n_steps, rho_bar, c_bar,
):
    valid, term, trunc, done = prepare(terminated, truncated, mask)
    r = np.where(valid, rewards, 0.0)
    v = np.where(valid, values, 0.0)
    nv = np.where(valid & ~term, next_values, 0.0)
    q = np.where(valid, q_values, 0.0)
    nq = np.where(valid & ~term, next_q_values, 0.0)
    ratios = np.where(valid, ratios, 0.0)
    pi = np.where(valid, probabilities, 0.0)
    out = {}
    out["discounted"] = discounted_returns(r, nv, term, done, gamma)
    out["n_step"] = nstep_returns(r, nv, term, done, gamma, n_steps)
    out["gae"] = gae(r, v, nv, done, gamma, lam)
    out["lambda_return"] = lambda_returns(r, nv, done, gamma, lam)
    out["v_trace"], out["v_trace_advantage"] = vtrace(r, v, nv, done, ratios, gamma, lam, rho_bar, c_bar)
    out["retrace"] = off_policy_q(r, q, nq, done, lam * np.minimum(1.0, ratios), gamma)
    out["tree_backup"] = off_policy_q(r, q, nq, done, lam * pi, gamma)
    out["q_lambda"] = off_policy_q(r, q, nq, done, lam * np.ones_like(r), gamma)
    out["importance_sampling"] = off_policy_q(r, q, nq, done, ratios, gamma)
    return {name: np.where(valid, x, 0.0) for name, x in out.items()}


RIGHT = [("returns", "a loop for each target, as in CleanRL, rlax and tianshou", answer, {}, False)]
