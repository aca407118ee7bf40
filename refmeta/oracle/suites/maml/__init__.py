"""The six suites of MAML: one algorithm on six kinds of loss."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from refmeta.oracle.choices import Choices
from refmeta.oracle.common import (
    ADAPTED,
    CLASSES,
    CROSS_ENTROPY,
    LABELLED,
    LOGITS,
    POINTS,
    PROCESS,
    QUADRATIC,
    RETURN,
    SYSTEM,
    TIME,
    both,
    linear_regression,
    policy_cost,
    policy_return,
    quadratic,
    softmax_regression,
)
from refmeta.oracle.suite import Input, Part, Suite, choice_facts
from refmeta.oracle.suites.maml import choices, definition, problem
from refmeta.oracle.suites.maml.epsilons import effects
from refmeta.oracle.suites.maml.loops_of_quadratics import FAMILIES_OF_QUADRATICS
from refmeta.oracle.suites.maml.losses_of_classes import CLASSIFICATION, FAMILIES_OF_CLASSES
from refmeta.oracle.suites.maml.losses_of_costs import COSTS, FAMILIES_OF_LQ
from refmeta.oracle.suites.maml.losses_of_data import FAMILIES_OF_REGRESSION, QUADRATICS, REGRESSION
from refmeta.oracle.suites.maml.losses_of_returns import FAMILIES_OF_RETURNS, FEATURES, TABULAR
from refmeta.oracle.suites.maml.patterns import detached_steps, odd_terms
from refmeta.oracle.suites.maml.wrong import FALSE_ALARMS, LETTERS, ROWS
from refmeta.oracle.suites.maml.wrong_costs import ROWS as ROWS_OF_COSTS
from refmeta.oracle.suites.maml.wrong_limits import OF_COSTS, OF_EVERY_LOSS, OF_SOFTMAX, SUMMED

__all__ = ["SUITES"]

PARTS = {
    "adapted": Part("(N, d)", "phi_i after K steps phi - alpha * dL_support/dphi from theta", turned=False),
    "objective": Part("(N,)", "F_i = L_query(phi_i)"),
    "first_order": Part("(N, d)", "the gradient of L_query at phi_i: first-order MAML on purpose"),
    "gradient": Part("(N, d)", "dF_i/dtheta, F_i = L_query(phi_i), phi_i after K steps phi - alpha * dL_support/dphi"),
    "step_size_gradient": Part("(N,) or (N, d) or (N, K, 1) or (N, K, d)", "dF_i/dalpha: N and the shape of alpha"),
}
COMMON = ROWS + OF_EVERY_LOSS
EXACT = ("adapted", "objective", "first_order", "gradient")
RETURNS = "N tasks, S states, A actions, K steps, "


def _suite(
    name: str, title: str, sizes: str, losses: str, inputs: dict[str, Input], task: Callable[..., Any],
    define: Callable[..., Iterator[Any]], own: Choices, families: dict[str, Any] | None = None, **more: Any,
) -> Suite:  # fmt: skip
    """One of the six suites, from what it does not share with the others."""
    return Suite(
        name=f"maml-{name}", title=f"MAML on {title}", sizes=sizes, losses=losses, inputs=inputs | ADAPTED, parts=PARTS,
        array="gradient", problem=partial(problem.problem, task=task), answer=problem.answer, terms=problem.terms,
        definition=partial(definition.define, losses=define), effects=effects, letters=LETTERS,
        patterns={"detached step": detached_steps, "odd terms": odd_terms}, vectors=f"maml/{name}.json",
        **choice_facts(choices) | {"choices": {**choices.CHOICES, **own}, "families": (families or {}) | choices.FAMILIES, "chapter": "maml", "rows": COMMON} | more,
    )  # fmt: skip


SUITES = (
    _suite(
        "tabular", "exact returns of tabular softmax policies", RETURNS + "d = S*A parameters", RETURN,
        {"theta": Input("(d,)", LOGITS)} | both(PROCESS) | TIME, policy_return, definition.returns, TABULAR,
        FAMILIES_OF_RETURNS, false_alarms=FALSE_ALARMS, rows=COMMON + OF_SOFTMAX,
        unseen=("clamps of logits beyond 800", "clamps of probabilities below 1e-11", "clips of inner gradients above 725", "limits of K from 12"),
    ),
    _suite(
        "linear-features", "exact returns of softmax policies with features", RETURNS + "d parameters", RETURN,
        {"theta": Input("(d,)", "weights of features")} | both(PROCESS) | TIME
        | {"features": Input("(S, A, d)", "the logit of state s and action a is features[s, a] times theta")},
        policy_return, definition.returns, FEATURES, FAMILIES_OF_RETURNS, rows=COMMON + OF_SOFTMAX,
        unseen=("clamps of logits beyond 799", "clamps of probabilities below 1e-11", "clips of inner gradients above 530", "limits of K from 12"),
    ),
    _suite(
        "regression", "linear regression", "N tasks, n data points (query: q), d parameters, K steps",
        "L = 1/(2n) * sum_j (x_j . theta - y_j)^2.",
        {"theta": Input("(d,)", "weights; there is no bias")} | both(POINTS), linear_regression, definition.regressions, REGRESSION, FAMILIES_OF_REGRESSION,
        rational=EXACT, rows=COMMON + SUMMED,
        unseen=("clips of inner gradients above 21770", "limits of K from 12"),
    ),
    _suite(
        "classification", "softmax regression",
        "N tasks, n data points (query: q), f features, C classes, K steps, d = C*f parameters", CROSS_ENTROPY,
        {
            "theta": Input("(d,)", "weights, class after class: class c, feature j is entry c*f + j; no bias"),
            **both(LABELLED), **CLASSES,
        },
        softmax_regression, definition.entropies, CLASSIFICATION, FAMILIES_OF_CLASSES, rows=COMMON + OF_SOFTMAX + SUMMED,
        unseen=("clamps of logits beyond 1048", "clips of inner gradients above 784", "limits of K from 12"),
    ),
    _suite(
        "quadratic", "quadratic losses", "N tasks, d parameters, K steps", "L = 1/2 * (theta - c)^T A (theta - c).",
        {"theta": Input("(d,)", "parameters")} | both(QUADRATIC), quadratic, definition.quadratics, QUADRATICS, FAMILIES_OF_QUADRATICS, rational=EXACT,
        unseen=("clips of inner gradients above 3370", "limits of K from 12"),
    ),
    _suite(
        "lq", "the exact cost of linear-Gaussian policies in linear-quadratic control",
        "N tasks, p entries of [s; 1], m entries of the action, K steps, d = m*p+m parameters",
        "L = E[sum_t gamma^t (x_t^T Q x_t + a_t^T R a_t)], a cost, exact.",
        {
            "theta": Input("(d,)", "the gain G (m, p) row by row, then log sigma (m,), of a = G x + sigma * N(0, I)"),
            **both(SYSTEM), **TIME,
        },
        policy_cost, definition.costs, COSTS, FAMILIES_OF_LQ, rows=COMMON + ROWS_OF_COSTS + OF_COSTS,
        unseen=("clamps of log sigma below -9", "clamps of log sigma above 3.5", "clips of inner gradients above 11420", "limits of K from 12"),
    ),
)  # fmt: skip
