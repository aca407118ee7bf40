"""Targets of batches: loops backwards in time, linear systems, episodes one by one with filters, sums written out."""

import numpy as np
from scipy.signal import lfilter

TRACES = {
    "retrace": lambda b: b["lam"] * np.minimum(1, b["ratios"]), "tree_backup": lambda b: b["lam"] * b["probabilities"],
    "q_lambda": lambda b: np.full_like(b["ratios"], b["lam"]), "importance_sampling": lambda b: b["ratios"],
}  # fmt: skip


def zeroed(b):
    """The batch with zeros behind the mask, and v' where it counts."""
    kept, goes_on = b["mask"].astype(float), (b["mask"] * (1 - b["terminated"])).astype(float)
    b = dict(b)
    for name in ("rewards", "values", "q_values"):
        b[name] = b[name] * kept
    for name in ("next_values", "next_q_values"):
        b[name] = b[name] * goes_on
    end = np.maximum(b["terminated"], b["truncated"]) == 1
    end[:, -1] = True
    end[:, :-1] |= b["mask"][:, 1:] == 0
    return b, end


def by_loops(**b):
    """PPO's loop over time, once per target; every row at once."""
    b, end = zeroed(b)
    r, v, after, gamma, lam, H = b["rewards"], b["values"], b["next_values"], b["gamma"], b["lam"], b["rewards"].shape[1]
    out = {name: np.zeros_like(r) for name in ("discounted", "lambda_return", "gae", "v_trace", "v_trace_advantage", *TRACES)}
    rho, c = np.minimum(b["rho_bar"], b["ratios"]), lam * np.minimum(b["c_bar"], b["ratios"])
    for t in reversed(range(H)):
        on, u = ~end[:, t], min(t + 1, H - 1)
        rest = {name: np.where(on, x[:, u], 0) for name, x in out.items()}
        delta = r[:, t] + gamma * after[:, t] - v[:, t]
        out["discounted"][:, t] = r[:, t] + gamma * np.where(on, rest["discounted"], after[:, t])
        out["lambda_return"][:, t] = r[:, t] + gamma * ((1 - lam) * after[:, t] + lam * np.where(on, rest["lambda_return"], after[:, t]))
        out["gae"][:, t] = delta + gamma * lam * rest["gae"]
        carried = np.where(on, rest["v_trace"] - v[:, u], 0)
        out["v_trace"][:, t] = v[:, t] + rho[:, t] * delta + gamma * c[:, t] * carried
        out["v_trace_advantage"][:, t] = rho[:, t] * (r[:, t] + gamma * np.where(on, rest["v_trace"], after[:, t]) - v[:, t])
        for name, trace in TRACES.items():
            error = r[:, t] + gamma * b["next_q_values"][:, t] - b["q_values"][:, t]
            carried = np.where(on, trace(b)[:, u] * (rest[name] - b["q_values"][:, u]), 0)
            out[name][:, t] = b["q_values"][:, t] + error + gamma * carried
    out["n_step"] = n_step(r, after, end, gamma, b["n_steps"])
    return {name: x * b["mask"] for name, x in out.items()}


def n_step(r, after, end, gamma, n):
    """Forwards from every step."""
    out = np.zeros_like(r)
    for i, t in np.ndindex(r.shape):
        weight = 1.0
        for k in range(t, min(t + n, r.shape[1])):
            out[i, t] += weight * r[i, k]
            weight *= gamma
            if end[i, k] or k == t + n - 1:
                out[i, t] += weight * after[i, k]
                break
    return out


def by_systems(**b):
    """(I − γ diag(factor) shift) x = errors, one matrix per row."""
    b, end = zeroed(b)
    r, v, after, q, gamma, lam = b["rewards"], b["values"], b["next_values"], b["q_values"], b["gamma"], b["lam"]
    H, on = r.shape[1], ~end
    shift = np.eye(H, k=1)

    def solved(factor, errors):
        return np.linalg.solve(np.eye(H) - gamma * (factor * on)[..., None] * shift, errors[..., None])[..., 0]

    delta, one = r + gamma * after - v, np.ones_like(r)
    rho, c = np.minimum(b["rho_bar"], b["ratios"]), lam * np.minimum(b["c_bar"], b["ratios"])
    advantage, target = solved(lam * one, delta), v + solved(c, rho * delta)
    ahead = np.where(on, target @ shift.T, after)
    out = {
        "discounted": solved(one, r + gamma * np.where(on, 0, after)), "gae": advantage, "lambda_return": v + advantage, "v_trace": target,
        "v_trace_advantage": rho * (r + gamma * ahead - v),
    }  # fmt: skip
    for name, trace in TRACES.items():
        out[name] = q + solved(trace(b) @ shift.T, r + gamma * b["next_q_values"] - q)
    return {name: x * b["mask"] for name, x in out.items()}


def by_episodes(**b):
    """Each episode alone, backwards through a filter: y_t = x_t + γλ y_{t+1}."""
    b, end = zeroed(b)
    gamma, lam, r, v, after = b["gamma"], b["lam"], b["rewards"], b["values"], b["next_values"]
    out = {name: np.zeros_like(r) for name in ("discounted", "gae", "lambda_return", "q_lambda")}
    for i in range(len(r)):
        for part in np.split(np.arange(r.shape[1]), np.flatnonzero(end[i]) + 1):
            if not len(part):
                continue
            fade = lambda x, factor: lfilter([1.0], [1.0, -factor], x[::-1])[::-1]
            paid = np.array(r[i, part])
            paid[-1] += gamma * after[i, part[-1]]
            out["discounted"][i, part] = fade(paid, gamma)
            out["gae"][i, part] = fade(r[i, part] + gamma * after[i, part] - v[i, part], gamma * lam)
            errors = r[i, part] + gamma * b["next_q_values"][i, part] - b["q_values"][i, part]
            out["q_lambda"][i, part] = b["q_values"][i, part] + fade(errors, gamma * lam)
    out["lambda_return"] = out["gae"] + v
    return {name: x * b["mask"] for name, x in out.items()}


def single(**b):
    """The loops in single precision, which the vectors' numbers fit."""
    return {name: x.astype(np.float32) for name, x in by_loops(**b).items()}


RIGHT = [
    ("returns", "loops backwards in time", by_loops, {}, False),
    ("returns", "linear systems", by_systems, {}, False),
    ("returns", "episodes one by one through a filter", by_episodes, {}, False),
    ("returns", "single precision", single, {"dtype": "float32"}, False),
]
