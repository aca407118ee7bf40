"""The suite `maml-sampled`: the meta-gradient of sampled MAML on fixed batches."""

from refmeta.oracle.common import ADAPTED, FEATURES, LOGITS
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.maml_sampled import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

MEANINGS = {
    "reinforce": "REINFORCE's surrogate, -(1/M) sum gamma^t (G_t - b_t) x_t",
    "likelihood_ratio": "-(1/M) sum gamma^t (G_t - b_t) exp(x_t)",
    "dice": "DiCE with its baseline",
    "tmaml": "DiCE with T-MAML's baseline",
    "loaded_dice": "Loaded DiCE with lam",
}
WITHOUT = " or (N, K)"  # the shape that JSON leaves of an empty support
BATCH = {
    "states": Input(f"(N, K, M, H) or (N, K, M, H, S){WITHOUT}", "integers; or rows of numbers: a linear-Gaussian policy", "either"),
    "actions": Input(
        f"(N, K, M, H) or (N, K, M, H, A){WITHOUT}", "integers; or rows: theta is the gain row by row, then log sigma", "either"
    ),
    "rewards": Input(f"(N, K, M, H){WITHOUT}", "r_t", place="trajectories.rewards"),
    "mask": Input(f"(N, K, M, H){WITHOUT}", "1 where a step was taken; what stands after the end must not be read", "integer"),
    "baseline": Input(f"(N, K, M, H){WITHOUT}", "b_t, subtracted from the discounted reward to go G_t"),
}


def _of_query(name: str, each: Input) -> Input:
    """An input of the query batch: no axis of steps, Q trajectories."""
    shape = each.shape.removesuffix(WITHOUT).replace("(N, K, M,", "(N, Q,")
    return each._replace(shape=shape, meaning=f"{name} of the query batch", place="query.rewards" if each.place else "")


def _parts(name: str, meaning: str) -> dict[str, Part]:
    """The three parts of a surrogate."""
    return {
        f"{name}_adapted": Part("(N, d)", f"phi: K steps of {meaning}", turned=False),
        f"{name}_objective": Part("(N,)", "the query's loss at this phi"),
        f"{name}_gradient": Part("(N, d)", "the gradient in theta of the query's loss at this phi"),
    }


SUITE = suite_of(
    definition, problem, wrong, epsilons,
    name="maml-sampled",
    choices=choices,
    letters=wrong.LETTERS,
    chapter="sampled-meta-gradients",
    title="the meta-gradient of sampled MAML on fixed batches, with five surrogates",
    sizes="N tasks, K inner steps, M trajectories (query: Q), H time steps, S states, A actions, d parameters",
    losses="x_t = log pi_theta(a_t|s_t) - log pi_theta_sampled(a_t|s_t); each batch has a theta_sampled, which is a number and has no "
    "slope. Means over trajectories, sums over time; losses: minus the return. One surrogate in all inner steps and in the query. "
    "With K = 0 nothing is adapted, and the arrays of the support are empty, (N, 0).",
    inputs={
        "theta": Input("(d,)", f"the initialisation; without features: {LOGITS}"),
        "theta_sampled": Input(f"(N, K, d){WITHOUT}", "where the support batch of each step was drawn"),
        "state_count": Input("integer", "S; for a linear-Gaussian policy the entries of a state", "integer"),
        "action_count": Input("integer", "A; for a linear-Gaussian policy the entries of an action", "integer"),
        "features": FEATURES,
        **BATCH,
        "query_theta_sampled": Input("(N, d)", "where the query batch was drawn"),
        **{f"query_{name}": _of_query(name, each) for name, each in BATCH.items()},
        "alpha": ADAPTED["alpha"],
        "gamma": Input("number", "the discount"),
        "lam": Input("number", "the lambda of Loaded DiCE"),
    },
    parts={part: each for name, meaning in MEANINGS.items() for part, each in _parts(name, meaning).items()},
    unseen=(
        "clamps of logits beyond 800", "clamps of probabilities below 1e-14", "clips of inner gradients above 420", "limits of K from 7",
        "clamps of log sigma below -9", "clamps of log sigma above 3",
    ),
)  # fmt: skip
