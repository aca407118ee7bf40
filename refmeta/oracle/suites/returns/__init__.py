"""The suite `returns`: returns, advantages and targets of a batch of steps with cuts and ends."""

from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.returns import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

OF_ACTIONS = "target of q_values; the trace of a step is"
SUITE = suite_of(
    definition, problem, wrong, epsilons,
    choices=choices,
    name="returns",
    chapter="sampled-policy-gradients",
    title="returns and advantages of a batch with cuts and ends",
    sizes="N rows of a batch, H steps",
    losses="none enters. A row holds steps in the order of time, and may hold several episodes. A step ends its episode if it is "
    "terminated, truncated, or the last one that the mask keeps; results behind the mask are 0. --ascent turns nothing.",
    inputs={
        "rewards": Input("(N, H)", "r_t"),
        "values": Input("(N, H)", "the value of the state of step t"),
        "next_values": Input("(N, H)", "the value of the step's own next state; must not be read where terminated"),
        "q_values": Input("(N, H)", "the value of the state and the action of step t"),
        "next_q_values": Input("(N, H)", "the mean of the values at the next state over the policy; must not be read where terminated"),
        "terminated": Input("(N, H)", "1 where the process ended with the step", "integer"),
        "truncated": Input("(N, H)", "1 where the episode was cut after the step; where both are 1, terminated counts", "integer"),
        "mask": Input("(N, H)", "1 where a step was taken, a prefix of each row; what stands behind it must not be read", "integer"),
        "ratios": Input("(N, H)", "pi(a|s)/mu(a|s) of the action taken"),
        "probabilities": Input("(N, H)", "pi(a|s) of the action taken"),
        "gamma": Input("number", "the discount"),
        "lam": Input("number", "the lambda of lambda-return, GAE, V-trace, Retrace, tree backup and Q(lambda)"),
        "n_steps": Input("integer", "the n of the n-step return", "integer"),
        "rho_bar": Input("number", "the bound of the ratio in front of V-trace's error"),
        "c_bar": Input("number", "the bound of the ratio in V-trace's trace"),
    },
    parts={
        "discounted": Part("(N, H)", "discounted rewards to the end, and the next value at a cut", turned=False),
        "n_step": Part("(N, H)", "at most n_steps rewards, then the next value", turned=False),
        "lambda_return": Part("(N, H)", "the lambda-return", turned=False),
        "gae": Part("(N, H)", "the generalised advantage estimate, not normalised", turned=False),
        "v_trace": Part("(N, H)", "V-trace's target of the values", turned=False),
        "v_trace_advantage": Part("(N, H)", "V-trace's advantage, with the next step's target inside an episode", turned=False),
        "retrace": Part("(N, H)", f"{OF_ACTIONS} lam min(1, ratio): Retrace", turned=False),
        "tree_backup": Part("(N, H)", f"{OF_ACTIONS} lam times its probability: tree backup", turned=False),
        "q_lambda": Part("(N, H)", f"{OF_ACTIONS} lam: Q(lambda)", turned=False),
        "importance_sampling": Part("(N, H)", f"{OF_ACTIONS} its ratio", turned=False),
    },
    rational=(
        "discounted", "n_step", "lambda_return", "gae", "v_trace", "v_trace_advantage", "retrace", "tree_backup", "q_lambda", "importance_sampling",
    ),
    joined=problem.joined,
    unseen=("clips of rewards above 1024", "clips of ratios above 1024"),
)  # fmt: skip
