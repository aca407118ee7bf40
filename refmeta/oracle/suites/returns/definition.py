"""Returns, advantages and targets of a batch in any arithmetic: sums over the rest of the episode, written out.

Derivation: derivations/sampled-policy-gradients.md
"""

from typing import Any, NamedTuple

from refmeta.oracle.decimals import Inputs, Number, Steps, Vector, real

__all__ = ["define"]


class _Row(NamedTuple):
    """One row of the batch: a value is the guess for the step's state, `after` that for its own next state."""

    rewards: Vector
    values: Vector
    after: Vector
    terminated: list[int]
    last: list[int]  # of every step the index at which its episode ends


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """The part, one row after another; 0 behind the mask."""
    return [_row(part, x, i) for i in range(len(x["rewards"]))]


def _row(part: str, x: Inputs, i: int) -> Vector:
    """The part for the steps that the mask keeps."""
    length, ends = sum(x["mask"][i]), [a or b for a, b in zip(x["terminated"][i], x["truncated"][i], strict=True)]
    last = [next((k for k in range(t, length) if ends[k]), length - 1) for t in range(length)]
    kind = "q_values" if part in TRACES else "values"
    row = _Row(x["rewards"][i], x[kind][i], x[f"next_{kind}"][i], x["terminated"][i], last)
    kept = [_entry(part, x, row, i, t) for t in range(length)]
    return kept + [0 * x["gamma"]] * (len(ends) - length)


def _entry(part: str, x: Inputs, row: _Row, i: int, t: int) -> Number:
    """The part for one step."""
    gamma, lam, left = x["gamma"], x["lam"], row.last[t] - t + 1
    if part in ("discounted", "n_step"):
        return _n_step(row, gamma, t, left if part == "discounted" else min(x["n_steps"], left))
    if part in ("lambda_return", "gae"):
        weights = [(1 - lam) * lam ** (m - 1) for m in range(1, left)] + [lam ** (left - 1)]
        mixed = sum(w * _n_step(row, gamma, t, m) for m, w in enumerate(weights, 1))
        return mixed - row.values[t] if part == "gae" else mixed
    if part in TRACES:
        c = TRACES[part](x, i)
        return row.values[t] + sum(gamma ** (k - t) * _product(c[t + 1 : k + 1]) * _error(row, gamma, k) for k in range(t, t + left))
    if part == "v_trace":
        return _v_trace(x, row, i, t)
    ahead = _v_trace(x, row, i, t + 1) if left > 1 else _ahead(row, t)
    return _rho(x, i, t) * (row.rewards[t] + gamma * ahead - row.values[t])


def _ahead(row: _Row, t: int) -> Number:
    """The guess for what follows the step: nothing after a termination."""
    return 0 * row.rewards[t] if row.terminated[t] else row.after[t]


def _n_step(row: _Row, gamma: Number, t: int, m: int) -> Number:
    """m rewards and the guess."""
    return sum(gamma**k * row.rewards[t + k] for k in range(m)) + gamma**m * _ahead(row, t + m - 1)


def _error(row: _Row, gamma: Number, t: int) -> Number:
    """By how much one reward and the guess differ from the guess before."""
    return row.rewards[t] + gamma * _ahead(row, t) - row.values[t]


def _rho(x: Inputs, i: int, t: int) -> Number:
    """The bounded ratio in front of an error."""
    return min((x["rho_bar"], x["ratios"][i][t]), key=real)


def _v_trace(x: Inputs, row: _Row, i: int, t: int) -> Number:
    """The target of V-trace, as in the paper's definition."""
    gamma, c = x["gamma"], [x["lam"] * min((x["c_bar"], ratio), key=real) for ratio in x["ratios"][i]]
    return row.values[t] + sum(
        gamma ** (k - t) * _product(c[t:k]) * _rho(x, i, k) * _error(row, gamma, k) for k in range(t, row.last[t] + 1)
    )


def _product(x: Vector) -> Number:
    """The product of the numbers, 1 if there are none."""
    total: Number = 1
    for each in x:
        total = total * each
    return total


TRACES: dict[str, Any] = {
    "retrace": lambda x, i: [x["lam"] * min((1, ratio), key=real) for ratio in x["ratios"][i]],
    "tree_backup": lambda x, i: [x["lam"] * p for p in x["probabilities"][i]],
    "q_lambda": lambda x, i: [x["lam"] for _ in x["ratios"][i]],
    "importance_sampling": lambda x, i: x["ratios"][i],
}
