"""The suite returns by rlax, row after row, and where its conventions differ.

rlax takes γ(1 − terminated) as `discount_t`, and the value of the step's own next state as `v_t`.  It has no flag for a cut:
λ_t = 0 at the step says that the recursion stops there.  Its GAE and its V-trace advantage read the value of the next row
instead of v', so that a row is split into its episodes first.
"""

import jax
import jax.numpy as jnp
import numpy as np
import rlax

jax.config.update("jax_enable_x64", True)


def rows_of(b, over_cuts=False, done=False):
    """Every row as arrays of the steps that the mask keeps; λ_t is 0 at a cut, unless the trace goes on over it."""
    for i, kept in enumerate(np.asarray(b["mask"]) != 0):
        row = {name: np.asarray(b[name])[i, kept] for name in ARRAYS}
        ended = row["terminated"] | row["truncated"] if done else row["terminated"]
        row["discount"] = b["gamma"] * (1.0 - ended)
        row["after"], row["q_after"] = (np.where(row["terminated"], 0.0, row[name]) for name in ("next_values", "next_q_values"))
        row["going"] = np.ones(len(ended)) if over_cuts else 1.0 - (row["truncated"] | row["terminated"])
        yield i, row


ARRAYS = ("rewards", "values", "next_values", "q_values", "next_q_values", "terminated", "truncated", "ratios", "probabilities")


def episodes(row):
    """The slices of the episodes of a row."""
    ends = np.flatnonzero((row["terminated"] | row["truncated"])[:-1]) + 1
    return [slice(a, b) for a, b in zip([0, *ends], [*ends, len(row["rewards"])], strict=True)]


def multistep(row, b):
    """discounted, n_step, lambda_return: one function, with λ_t and n."""
    r, g, v, on = (jnp.asarray(row[name]) for name in ("rewards", "discount", "after", "going"))
    return {
        "discounted": rlax.lambda_returns(r, g, v, on),
        "n_step": rlax.n_step_bootstrapped_returns(r, g, v, min(b["n_steps"], len(r)), on),
        "lambda_return": rlax.lambda_returns(r, g, v, b["lam"] * on),
    }


def advantages(row, b, split=True):
    """GAE of every episode; of the whole row at once it reads v of the next row at a cut."""
    out, on = [], row["going"]
    for part in episodes(row) if split else [slice(0, len(on))]:
        v = np.append(row["values"][part], row["after"][part][-1])
        out.append(rlax.truncated_generalized_advantage_estimation(row["rewards"][part], row["discount"][part], b["lam"] * on[part], v))
    return {"gae": jnp.concatenate(out)}


def traced(row, b):
    """V-trace; rlax bounds c by 1, so that another bound stands in λ_t."""
    ratio = row["ratios"]
    c = np.minimum(b["c_bar"], ratio) / np.where(ratio > 0, np.minimum(1.0, ratio), 1.0)
    v, r, g, after = (jnp.asarray(row[name]) for name in ("values", "rewards", "discount", "after"))
    return {"v_trace": v + rlax.vtrace(v, after, r, g, jnp.asarray(ratio), jnp.asarray(b["lam"] * c * row["going"]), b["rho_bar"])}


def of_actions(row, b):
    """Retrace and its relatives; c is that of the next step, 0 over an end."""
    lam, ratio, out = b["lam"], row["ratios"], {}
    traces = {
        "retrace": lam * np.minimum(1, ratio), "tree_backup": lam * row["probabilities"], "q_lambda": lam + 0 * ratio, "importance_sampling": ratio,
    }  # fmt: skip
    for name, c in traces.items():
        if len(c) == 1:  # a scan over no step is refused
            out[name] = row["rewards"] + row["discount"] * row["q_after"]
            continue
        arrays = row["q_values"][1:], row["q_after"], row["rewards"], row["discount"], c[1:] * row["going"][:-1]
        out[name] = rlax.general_off_policy_returns_from_q_and_v(*map(jnp.asarray, arrays))
    return out


def filled(b, parts, **reading):
    """The parts of every row, 0 behind the mask."""
    out = {}
    with jax.disable_jit():
        for i, row in rows_of(b, **reading):
            for name, value in parts(row, b).items():
                out.setdefault(name, np.zeros(np.shape(b["rewards"])))[i, : len(row["rewards"])] = value
    return out


def everything(row, b):
    return multistep(row, b) | advantages(row, b) | traced(row, b) | of_actions(row, b)


def targets(**b):
    """All parts but V-trace's advantage, which is another one here."""
    return filled(b, everything)


def one_array_of_values(**b):
    """GAE of whole rows, λ_t = 0 at a cut."""
    return filled(b, lambda row, b: advantages(row, b, split=False))


def scalar_lambda(**b):
    """λ is one number: nothing stops the sum at a cut."""
    return filled(b, multistep, over_cuts=True)


def one_flag(**b):
    """done = terminated or truncated."""
    return filled(b, lambda row, b: multistep(row, b) | of_actions(row, b), done=True)


def advantage_as_rlax_has_it(row, b):
    """Of every episode: n is the mixture of the next target and the next value."""
    out, ratio = [], row["ratios"]
    c = np.minimum(b["c_bar"], ratio) / np.where(ratio > 0, np.minimum(1.0, ratio), 1.0)
    for part in episodes(row):
        arrays = (row[name][part] for name in ("values", "after", "rewards", "discount"))
        v, after, r, g = map(jnp.asarray, arrays)
        target = v + rlax.vtrace(v, after, r, g, jnp.asarray(ratio[part]), jnp.asarray(b["lam"] * c[part]), b["rho_bar"])
        ahead = jnp.concatenate([b["lam"] * target[1:] + (1 - b["lam"]) * v[1:], after[-1:]])
        out.append(np.minimum(b["rho_bar"], ratio[part]) * (r + g * ahead - v))
    return {"v_trace_advantage": jnp.concatenate(out)}


def mixed_advantage(**b):
    return filled(b, advantage_as_rlax_has_it)


def advantage(row, b, lam):
    """rlax's own V-trace advantage of one row with a bound of 1 for c and one for both ratios."""
    arrays = (jnp.asarray(row[name]) for name in ("values", "after", "rewards", "discount", "ratios"))
    return rlax.vtrace_td_error_and_advantage(*arrays, jnp.asarray(lam), b["rho_bar"], b["rho_bar"]).pg_advantage
