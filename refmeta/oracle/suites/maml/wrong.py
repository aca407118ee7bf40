"""Known-wrong MAML formulas.  Right: (I − H_0α)(I − H_1α) … (I − H_{K−1}α) g_q, one row per task.

A problem has theta (d,), support, query, alpha (any shape) and steps.  A row is computed instead of its `quantity`:
`gradient` (N, d), `sum` or `mean` of it over the tasks (d,), `update` (theta after an outer step of size BETA),
`step_size_gradient` (N, ...).
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml
from refmeta.oracle.known import rows_in, wrong
from refmeta.oracle.suites.maml.problem import adjoint_product, inner_path

__all__ = ["BETA", "FALSE_ALARMS", "LETTERS", "ROWS"]

BETA = 0.25
FALSE_ALARMS = {
    "first-step-is-last-step": "with K = 1 first-step-only and last-step-only are the right formula; with K = 2 and a constant "
    "Hessian they are one formula: a tie",
    "joint-tie": "on linear regression with inputs independent of the task MAML ends where joint training ends, for every α "
    "and K: thm:joint-tie, derivations/maml.md",
    "query-is-support-on-returns": "an exact return has no sample to split: the query may be the support",
}
LETTERS = {
    "g_q": "g_q is the gradient of the query loss at the adapted parameters", "φ": "φ is the adapted parameters",
    "H_": "H_k is the Hessian of the support loss before step k", "H(φ)": "H(φ) is the same at φ",
}  # fmt: skip


def _exact(problem: Any, **changes: Any) -> Array:
    """The right formula on a problem with some arguments changed."""
    arguments = {"support": problem.support, "query": problem.query, "alpha": problem.alpha, "steps": problem.steps, **changes}
    return maml.gradient(problem.theta, arguments.pop("support"), arguments.pop("query"), **arguments)


def _alpha_rows(alpha: Any, steps: list[int]) -> Any:
    """α for other steps, if it has one row per step."""
    return np.asarray(alpha)[steps if np.shape(alpha)[0] else []] if np.ndim(alpha) == 2 else alpha


@wrong("first-order", "g_q", cause="inner gradient detached: create_graph=True missing, a stop_gradient",
       source="dragen1860/MAML-Pytorch #17 #26 #32 #63, kjaved0/mrcl #15, uvm-neurobotics-lab/ANML #3", hint="PyTorch: autograd.grad without create_graph=True, .detach(), torch.no_grad(); JAX: stop_gradient")  # fmt: skip
def first_order(problem: Any) -> Array:
    return inner_path(problem)[2]


@wrong("no-gradient", "0", cause="the inner update cut the graph: parameters re-wrapped, copied or detached",
       source="facebookresearch/higher #63 #102 #129", hint="PyTorch: nn.Parameter(...) or .data in the inner update; higher: track_higher_grads=False")  # fmt: skip
def no_gradient(problem: Any) -> Array:
    return 0 * inner_path(problem)[2]


@wrong("last-step-only", "(I − αH_{K−1}) g_q", cause="gradients cleared, or the graph freed, after every inner step",
       source="rlworkgroup/garage #1269, PR 1283", hint="PyTorch: the inner step in place on leaf tensors, .grad cleared or the graph freed between steps")  # fmt: skip
def last_step_only(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return adjoint_product(points[:-1][-1:], alphas[-1:], g)


@wrong("first-step-only", "(I − αH_0) g_q", cause="only the first inner step is in the graph", hint="PyTorch: create_graph=True only in the first pass of the loop; JAX: stop_gradient in the scan's carry")
def first_step_only(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return adjoint_product(points[:-1][:1], alphas[:1], g)


@wrong("reversed-product", "(I − αH_{K−1}) … (I − αH_0) g_q", cause="the backward recursion runs forwards in time")
def reversed_product(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return adjoint_product(points[:-1][::-1], alphas[::-1], g)


@wrong("hessians-at-start", "(I − αH_0)ᴷ g_q", cause="every Hessian is taken at theta instead of at its step's point", hint="JAX: jax.grad(loss)(theta0) hoisted out of the loop; PyTorch: the first graph kept and reused")
def hessians_at_start(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return adjoint_product(points[:1] * problem.steps, alphas, g)


@wrong("hessian-at-adapted", "(I − αH(φ))ᴷ g_q", cause="the Hessians are taken after the inner steps, at phi")
def hessian_at_adapted(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return adjoint_product(points[-1:] * problem.steps, alphas, g)


@wrong("first-order-in-alpha", "g_q − αΣ_kH_kg_q", cause="the product was expanded and its higher powers dropped")
def first_order_in_alpha(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return g - sum((point.hvp(a * g) for point, a in zip(points, alphas, strict=False)), start=0 * g)


@wrong("sign-flipped", "∏(I + αH_k) g_q", cause="the sign of the Hessian term: a gradient of −L, or of J, in one place")
def sign_flipped(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return adjoint_product(points, -alphas, g)


@wrong("alpha-twice", "∏(I − α²H_k) g_q", cause="the Hessian term is scaled by alpha twice")
def alpha_twice(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return adjoint_product(points, alphas**2, g)


@wrong("alpha-missing", "∏(I − H_k) g_q", cause="the Hessian term is not scaled by alpha")
def alpha_missing(problem: Any) -> Array:
    points, alphas, g = inner_path(problem)
    return adjoint_product(points, np.ones_like(alphas), g)


@wrong("mean-over-tasks", "1/N of the sum", quantity="sum", kind="convention", cause="a convention: mean where the sum is meant",
       source="facebookresearch/higher #7 #92, learnables/learn2learn #232", hint="jnp.mean or loss / batch_size over the tasks", repair="the sum over the tasks; or say --reduce mean, if you mean it")  # fmt: skip
def mean_over_tasks(problem: Any) -> Array:
    return np.mean(_exact(problem), axis=0)


@wrong("sum-over-tasks", "N times the mean", quantity="mean", kind="convention", cause="a convention: sum where the mean is meant",
       source="facebookresearch/higher #7 #92, learnables/learn2learn #232", hint="a sum, or accumulated .backward() calls, over the tasks", repair="the mean over the tasks; or say --reduce sum, if you mean it")  # fmt: skip
def sum_over_tasks(problem: Any) -> Array:
    return np.sum(_exact(problem), axis=0)


@wrong("last-task-only", "∇F_N", quantity="sum", cause="the loop over tasks overwrote its accumulator")
def last_task_only(problem: Any) -> Array:
    return _exact(problem)[-1]


@wrong("first-task-only", "∇F_1", quantity="sum", cause="the loop over tasks returned, or its zip stopped, after one")
def first_task_only(problem: Any) -> Array:
    return _exact(problem)[0]


@wrong("sequential-meta-steps", "θ ← θ − β∇F_i(θ), task after task", quantity="update",
       cause="the outer optimiser steps inside the loop over tasks", source="hereismari/tensorflow-maml #6", hint="optimizer.step() inside the loop over tasks")  # fmt: skip
def sequential_meta_steps(problem: Any) -> Array:
    theta = problem.theta
    for i in range(problem.support.shape[0]):
        args = {"alpha": problem.alpha, "steps": problem.steps}
        theta = maml.update(theta, maml.gradient(theta, problem.support[i], problem.query[i], **args), beta=BETA)
    return theta


@wrong(
    "query-is-support",
    "∇F with the support as the query",
    cause="one split used for both",
    source="hereismari/tensorflow-maml #4",
    hint="the same minibatch is passed twice",
)
def query_is_support(problem: Any) -> Array:
    return _exact(problem, query=problem.support)


@wrong("support-is-query", "∇F with the query as the support", cause="one split used for both", hint="the same minibatch is passed twice")
def support_is_query(problem: Any) -> Array:
    return _exact(problem, support=problem.query)


@wrong("gradient-at-start", "∇L_query(θ)", cause="the adapted parameters are never used in the query's forward pass",
       source="facebookresearch/higher #30 #54", hint="PyTorch: the query's forward pass on the module's own parameters, not on the fast weights")  # fmt: skip
def gradient_at_start(problem: Any) -> Array:
    return np.array(problem.query.at(problem.theta).grad)


@wrong("one-step-too-many", "K + 1 steps", cause="an off-by-one in the inner loop", source="ray-project/ray #13835")
def one_step_too_many(problem: Any) -> Array:
    if np.ndim(problem.alpha) == 2 and problem.steps == 0:
        return _exact(problem)
    return _exact(problem, steps=problem.steps + 1, alpha=_alpha_rows(problem.alpha, [*range(problem.steps), problem.steps - 1]))


@wrong("one-step-too-few", "K − 1 steps", cause="an off-by-one in the inner loop", source="ray-project/ray #13835")
def one_step_too_few(problem: Any) -> Array:
    return _exact(problem, steps=max(problem.steps - 1, 0), alpha=_alpha_rows(problem.alpha, list(range(problem.steps - 1))))


@wrong("loss-scale-half", "½L instead of L", kind="convention", cause="a ½ in the squared loss that the other side does not have",
       source="MAML eq. 2 against most code")  # fmt: skip
def loss_scale_half(problem: Any) -> Array:
    return 0.5 * _exact(problem, alpha=0.5 * np.asarray(problem.alpha))


@wrong("loss-scale-double", "2L instead of L", kind="convention", cause="a ½ in the squared loss that this side does not have",
       source="MAML eq. 2 against most code")  # fmt: skip
def loss_scale_double(problem: Any) -> Array:
    return 2 * _exact(problem, alpha=2 * np.asarray(problem.alpha))


@wrong("mean-over-dimensions", "1/d of the gradient", cause="a mean over the parameters' axis",
       hint="a .mean() of the gradient; learn2learn's mean of log π over an action's coordinates is not this")  # fmt: skip
def mean_over_dimensions(problem: Any) -> Array:
    return _exact(problem) / problem.support.dim


@wrong("step-sizes-frozen", "∂F/∂α = 0", quantity="step_size_gradient", cause="alpha is not a parameter of the optimiser",
       source="learn2learn #167", hint="PyTorch: alpha is a buffer or not in the optimiser's list; JAX: not an argument of value_and_grad")  # fmt: skip
def step_sizes_frozen(problem: Any) -> Array:
    return np.zeros(problem.support.shape + np.shape(problem.alpha))


ROWS = rows_in(globals())
