"""The suite `surrogates`: surrogates of the return on batches of trajectories."""

from refmeta.oracle.common import DIRECTION, FEATURES, LOGITS
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.surrogates import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

MEANINGS = {
    "reinforce": "-(1/M) sum gamma^t (G_t - b_t) x_t",
    "likelihood_ratio": "-(1/M) sum gamma^t (G_t - b_t) exp(x_t)",
    "dice": "DiCE with its baseline, minus the return",
    "tmaml": "DiCE with T-MAML's baseline, minus the return",
    "loaded_dice": "Loaded DiCE with lam, minus the return",
}
PENALTIES = {"kl_k1": "k = l", "kl_k2": "k = l^2/2", "kl_k3": "k = exp(-l) + l - 1"}


def _parts(name: str, meaning: str) -> dict[str, Part]:
    """The three parts of a surrogate."""
    return {
        f"{name}_loss": Part("(N,)", meaning),
        f"{name}_grad": Part("(N, d)", "its gradient in theta"),
        f"{name}_hvp": Part("(N, d)", "its Hessian in theta times v"),
    }


SUITE = suite_of(
    definition, problem, wrong, epsilons,
    name="surrogates",
    choices=choices,
    chapter="sampled-meta-gradients",
    title="surrogates of the return on batches of trajectories",
    sizes="N tasks, M trajectories, H steps, S states, A actions, d parameters",
    losses="x_t = log pi_theta(a_t|s_t) - log pi_theta_sampled(a_t|s_t). Means over trajectories, sums over time; "
    "losses: minus the return. Penalties: l_t = log pi_theta(a_t|s_t) - log pi_ref(a_t|s_t), pi_ref the policy of the parameters "
    "theta_sampled/2, held; a positive penalty is added to a loss.",
    inputs={
        "theta": Input("(d,)", f"where the surrogates are evaluated; without features: {LOGITS}"),
        "theta_sampled": Input("(d,)", "where the trajectories were drawn; the ratios' denominators stay there"),
        "state_count": Input("integer", "S; for a linear-Gaussian policy the entries of a state", "integer"),
        "action_count": Input("integer", "A; for a linear-Gaussian policy the entries of an action", "integer"),
        "features": FEATURES,
        "states": Input("(N, M, H) or (N, M, H, S)", "integers; or rows of numbers: a linear-Gaussian policy", "either"),
        "actions": Input(
            "(N, M, H) or (N, M, H, A)", "integers; or rows: theta is the gain row by row, then log sigma", "either"
        ),
        "rewards": Input("(N, M, H)", "r_t"),
        "mask": Input("(N, M, H)", "1 where a step was taken; what stands after the end must not be read", "integer"),
        "baseline": Input("(N, M, H)", "b_t, subtracted from the discounted reward to go G_t"),
        "gamma": Input("number", "the discount"),
        "lam": Input("number", "the lambda of Loaded DiCE"),
        **DIRECTION,
    },
    parts={part: each for name, meaning in MEANINGS.items() for part, each in _parts(name, meaning).items()} | {
        name: Part("(N, d)", f"the gradient in theta of the penalty +(1/M) sum gamma^t k(l_t) exp(x_t), {k}", turned=False)
        for name, k in PENALTIES.items()
    },
    unseen=("clamps of logits beyond 800", "clamps of probabilities below 1e-12", "clamps of log sigma below -9", "clamps of log sigma above 3"),
)
