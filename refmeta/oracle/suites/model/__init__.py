"""The suite `model`: adaptation through a learned model of the process."""

from refmeta.oracle.common import ADAPTED, CONTEXT, LOGITS, PROCESS, TIME
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.model import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

SUITE = suite_of(
    definition, problem, wrong, epsilons, choices=choices,
    name="model",
    chapter="model-based",
    title="adaptation through a learned model of the process",
    sizes="N tasks, c transitions in a context, S states, A actions, K steps, d = S*A parameters",
    losses="L = -J, J = E[sum of gamma^t r_t] of the policy softmax(logits), exact: of the model for the inner steps, "
    "of P, R and rho for the judgement. No state is an end. --ascent turns objective and gradient only.",
    inputs={
        "theta": Input("(d,)", LOGITS),
        **CONTEXT,
        "concentration": Input("(S, A, S)", "of the Dirichlet prior of P"),
        "reward_mean": Input("(S, A)", "mean of the Gaussian prior of the mean rewards", place="prior.mean"),
        "reward_variance": Input("number", "variance of that prior", place="prior.variance"),
        "noise_variance": Input("number", "variance of a reward about its mean", place="prior.noise"),
        **PROCESS,
        **TIME,
        **ADAPTED,
        "alpha": Input("number or (d,) or (K, 1)", "inner step size: for all, for each parameter, or for each step"),
    },
    parts={
        "transition": Part("(N, S, A, S)", "posterior mean of P", turned=False),
        "reward": Part("(N, S, A)", "posterior mean of R", turned=False),
        "log_marginal": Part(
            "(N,)", "log probability of the context's next states and rewards, in their order", turned=False
        ),
        "concentration_grad": Part("(N, S, A, S)", "its slopes in the logarithms of concentration", turned=False),
        "reward_mean_grad": Part("(N, S, A)", "its slopes in reward_mean", turned=False),
        "reward_variance_grad": Part("(N,)", "its slope in the logarithm of reward_variance", turned=False),
        "objective": Part("(N,)", "L(phi) of the true task, phi adapted by K steps on the model"),
        "gradient": Part("(N, d)", "its gradient in theta"),
    },
    unseen=("clamps of logits beyond 800", "clamps of probabilities below 1e-11", "clips of inner gradients above 814", "limits of K from 12", "floors of variances below 4.66e-10"),
)
