"""Inputs that several suites have, and the library's objects that are made of them.  Derivation: derivations/using-the-oracle.md"""

from typing import Any

import numpy as np

from refmeta.oracle.suite import Input
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.sampling.transitions import Transitions
from refmeta.tasks.classification import SoftmaxRegression
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.lq import LinearQuadratic
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.policy_cost import PolicyCost
from refmeta.tasks.quadratic import Quadratic
from refmeta.tasks.regression import LinearRegression

__all__ = [
    "ADAPTED", "CLASSES", "CONTEXT", "CROSS_ENTROPY", "DIRECTION", "FEATURES", "LABELLED", "LOGITS", "PAID_BY_NEXT", "POINTS",
    "PROCESS", "QUADRATIC", "RETURN", "SYSTEM", "TIME", "both", "context", "linear_regression", "policy_cost", "policy_of",
    "policy_return", "quadratic", "softmax_regression",
]  # fmt: skip

Inputs = dict[str, Input]


def both(support: Inputs) -> Inputs:
    """The inputs of the support, and those of the query: like them, but with q data points."""
    return support | {
        f"query_{name}": each._replace(
            shape=each.shape.replace(" n", " q"),
            meaning=f"{name} of the query, on which the adapted parameters are judged",
        )
        for name, each in support.items()
    }


LOGITS = (
    "logits, state after state: those of state s and action a are entry s*A + a. PyTorch's Linear(S, A).weight is "
    "(A, S), the transpose"
)
PROCESS = {
    "P": Input("(N, S, A, S)", "P[i, s, a, s'], the probability of the next state s'"),
    "R": Input("(N, S, A)", "the expected reward of action a in state s"),
    "rho": Input("(N, S)", "the probabilities of the first state"),
}
PAID_BY_NEXT = {"R": Input("(N, S, A) or (N, S, A, S)", "the expected reward of s and a, or that of s, a and s'")}
TIME = {
    "gamma": Input("number", "the discount; below 1 where there is no horizon"),
    "horizon": Input(
        "integer or None", "the number of rewards; None is the infinite discounted horizon", "integer", optional=True
    ),
}
FEATURES = Input("(S, A, d) or None", "the logit of state s and action a is features[s, a] times theta; None: tabular", optional=True)
ADAPTED = {
    "alpha": Input(
        "number or (d,) or (K, 1) or (K, d)",
        "inner step size: one for all, one for each parameter, one for each step, or one for each of both",
    ),
    "steps": Input("integer", "K, the number of inner gradient steps; 0 is allowed", "integer"),
}
RETURN = (
    "L = -J, J = E[sum of gamma^t r_t] of the policy softmax(logits), exact: no trajectory is sampled. Support and "
    "query are processes of their own, with one gamma and one horizon."
)
POINTS = {"X": Input("(N, n, d)", "inputs, one row for each data point"), "y": Input("(N, n)", "outputs")}
LABELLED = {
    "X": Input("(N, n, f)", "inputs, a row for each data point"),
    "labels": Input("(N, n)", "classes from 0", "integer"),
}
CLASSES = {
    "classes": Input("integer", "C, the number of classes, also of those that no label names", "integer"),
    "ridge": Input("number", "weight of |theta|^2 / 2 in support and query; 0 is allowed"),
}
CROSS_ENTROPY = "L = -(1/n) sum_j log softmax(W x_j)[label_j] + ridge/2 * |theta|^2, W theta as (C, f)."
QUADRATIC = {"A": Input("(N, d, d)", "symmetric matrices"), "c": Input("(N, d)", "centres")}
SYSTEM = {
    "A": Input("(N, p, p)", "dynamics of x = [s; 1] as x' = A x + B a + w; the last row is 0 ... 0 1"),
    "B": Input("(N, p, m)", "effect of the action a; the last row is 0"),
    "Q": Input("(N, p, p)", "cost of the state, symmetric"),
    "R": Input("(N, m, m)", "cost of the action, symmetric"),
    "start": Input("(N, p, p)", "E[x_0 x_0^T], the second moments of the start; the last entry is 1"),
    "noise": Input("(N, p, p)", "covariance of w; its last row and column are 0"),
}
DIRECTION = {"v": Input("(d,)", "a direction, for the products")}
CONTEXT = {
    "context_states": Input("(N, c)", "s of the transitions from which the task is inferred, integers", "integer"),
    "context_actions": Input("(N, c)", "their actions, integers", "integer"),
    "context_rewards": Input("(N, c)", "their rewards", place="context.rewards"),
    "context_following": Input("(N, c)", "their next states, integers", "integer"),
    "context_mask": Input("(N, c)", "1 where there is a transition; what stands elsewhere must not be read", "integer"),
}


def policy_return(x: dict[str, Any], prefix: str = "") -> PolicyReturn:
    """The exact return of a softmax policy, of a table where there are no features."""
    P, R, rho = (x[prefix + name] for name in PROCESS)
    mdp = FiniteMDP(P, R, rho, x["gamma"], x["horizon"])
    return PolicyReturn(mdp, policy_of(x, mdp))


def policy_of(x: dict[str, Any], mdp: FiniteMDP) -> TabularSoftmax | LinearSoftmax:
    """The softmax policy, a table where there are no features."""
    return TabularSoftmax(mdp.states, mdp.actions) if x.get("features") is None else LinearSoftmax(x["features"])


def policy_cost(x: dict[str, Any], prefix: str) -> PolicyCost:
    """The exact cost of a linear-Gaussian policy."""
    return PolicyCost(LinearQuadratic(**{name: x[prefix + name] for name in SYSTEM}, gamma=x["gamma"], horizon=x["horizon"]))


def linear_regression(x: dict[str, Any], prefix: str) -> LinearRegression:
    """Linear regression."""
    return LinearRegression(*(x[prefix + name] for name in POINTS))


def softmax_regression(x: dict[str, Any], prefix: str) -> SoftmaxRegression:
    """Softmax regression."""
    return SoftmaxRegression(**{name: x[prefix + name] for name in LABELLED}, classes=x["classes"], ridge=x["ridge"])


def quadratic(x: dict[str, Any], prefix: str) -> Quadratic:
    """Quadratic losses."""
    return Quadratic(*(x[prefix + name] for name in QUADRATIC))


def context(x: dict[str, Any]) -> Transitions:
    """The context among the inputs; whether it ended is not looked at."""
    states, actions, rewards, following, mask = (x[name] for name in CONTEXT)
    return Transitions(states, actions, rewards, following, np.zeros(np.shape(mask), bool), mask)
