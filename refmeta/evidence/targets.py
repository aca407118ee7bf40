"""Evidence for returns, advantages and targets: sums over the rest of the episode, written out; enumeration."""

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.oracle.decimals import Central, Steps
from refmeta.oracle.suites.returns.definition import define
from refmeta.oracle.suites.returns.problem import Batch, answer, inside
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_process
from refmeta.sampling import targets
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["CHECKS", "random_cuts", "random_flags", "random_on_policy", "random_steps"]

UNUSED = Steps(Central(0), Central(0), Central(0))  # sums have no derivative


def random_flags(rng: Generator, rows: int, horizon: int) -> dict[str, Array]:
    """Ends, cuts, both at once, and rows of different length."""
    lengths = rng.integers(1, horizon + 1, size=rows)
    ends = rng.random((2, rows, horizon)) < 0.25
    return {"terminated": 1 * ends[0], "truncated": 1 * ends[1], "mask": 1 * (np.arange(horizon) < lengths[:, None])}


def random_steps(rng: Generator, rows: int = 3, horizon: int = 6) -> Batch:
    """A batch with several episodes per row."""
    normal: Callable[[], Array] = lambda: rng.normal(size=(rows, horizon))
    drawn = Batch(
        rewards=normal(), values=normal(), next_values=normal(), q_values=normal(), next_q_values=normal(), **random_flags(rng, rows, horizon),
        ratios=np.exp(normal()), probabilities=rng.uniform(0.1, 0.9, size=(rows, horizon)), gamma=float(rng.uniform(0.5, 1)),
        lam=float(rng.uniform(0.2, 0.95)), n_steps=int(rng.integers(1, horizon + 2)), rho_bar=float(rng.uniform(0.8, 2)), c_bar=float(rng.uniform(0.5, 1.5)),
    )  # fmt: skip
    following = np.where(inside(drawn), np.roll(drawn.values, -1, axis=1), drawn.next_values)
    return Batch(**vars(drawn) | {"next_values": following})


def _written_out(*parts: str) -> Callable[[Batch], Error]:
    """The judge of some parts: the library against the definition."""

    def judge(batch: Batch) -> Error:
        inputs = {name: np.asarray(x).tolist() for name, x in vars(batch).items()}
        expected = [define(part, inputs, UNUSED) for part in parts]
        all_parts = lambda b: np.stack([answer(part, b) for part in parts], axis=1)
        return off(all_parts, batch, np.stack(expected, axis=1), 1 + np.max(batch.ratios))

    return judge


def random_on_policy(rng: Generator, rows: int = 3, horizon: int = 6) -> Batch:
    """π = μ, and bounds of 1 or more."""
    drawn = vars(random_steps(rng, rows, horizon))
    return Batch(**drawn | {"ratios": np.ones((rows, horizon)), "rho_bar": float(rng.uniform(1, 2)), "c_bar": 1.0})


def _on_policy_error(batch: Batch) -> Error:
    """V-trace against the λ-return; both ratios are held at 1, where the bounds bite."""

    def both(b: Batch) -> Array:
        return answer("v_trace", Batch(**vars(b) | {"ratios": batch.ratios, "c_bar": 1.0, "rho_bar": batch.rho_bar}))

    return off(both, batch, answer("lambda_return", batch), 1.0)


CutCase = tuple[PolicyReturn, Array, float, Array]


def random_cuts(rng: Generator) -> CutCase:
    """Two states, two actions, θ, λ, and for every past of at most three states whether the episode is cut there."""
    one = random_process(rng, 1, 2, 2, gamma=float(rng.uniform(0.5, 0.9)))
    return PolicyReturn(one, TabularSoftmax(2, 2)), rng.normal(size=4), float(rng.uniform(0.2, 0.9)), rng.random((2, 2, 2, 2)) < 0.4


def _unbiased_error(case: CutCase) -> Error:
    """E[Â_0 | s, a] over every continuation of three steps, cut by a rule of the past, against the exact advantage."""
    task, theta, lam, rule = case
    mdp, point = task.mdp, task.at(theta)
    P, R, pi = mdp.P[0], mdp.R[0], point.probabilities[0]
    expected = np.zeros((2, 2))
    V = point.value[0]
    for s, a, *rest in itertools.product(range(2), repeat=7):
        visited, acted, p = [s, *rest[::2]], [a, *rest[1::2]], 1.0
        for t in range(3):
            p *= P[visited[t], acted[t], visited[t + 1]] * (pi[visited[t], acted[t]] if t else 1.0)
        cut = [bool(rule[tuple((visited[: t + 2] + [0, 0])[:4])]) for t in range(3)]
        advantage = targets.gae(
            R[visited[:3], acted], V[visited[:3]], V[visited[1:]], terminated=[0, 0, 0], truncated=cut, gamma=mdp.gamma, lam=lam
        )
        expected[s, a] += p * advantage[0]
    return off(lambda z: z[0].at(z[1]).advantage[:1], (task, theta), expected[None], math.fsum(np.abs(V)))


CHECKS = (
    Check("discounted-return", "r + γ(Ĝ' inside, v' at a cut)", "sums written out", random_steps, _written_out("discounted")),
    Check("n-step-return", "Σ γᵏr + γᵐv'", "sums written out", random_steps, _written_out("n_step")),
    Check("lambda-return", "r + γ[(1−λ)v' + λG']", "mixture of n-step returns", random_steps, _written_out("lambda_return")),
    Check("gae", "Σ (γλ)ᵏ δ", "mixture of n-step advantages", random_steps, _written_out("gae")),
    Check("v-trace", "v + Σ γᵏ(Πc)ρδ", "sums written out", random_steps, _written_out("v_trace", "v_trace_advantage")),
    Check("retrace", "q + Σ γᵏ(Πc)δ", "sums written out", random_steps,
          _written_out("retrace", "tree_backup", "q_lambda", "importance_sampling")),
    Check("thm:on-policy-v-trace", "V-trace = λ-return at π = μ", "λ-return", random_on_policy, _on_policy_error),
    Check("thm:gae-unbiased", "E[Â|s,a] = A(s,a)", "every continuation, cut by a rule", random_cuts, _unbiased_error),
)  # fmt: skip
