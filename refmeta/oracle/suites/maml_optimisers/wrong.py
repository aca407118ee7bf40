"""Known-wrong formulas of MAML through an inner optimiser.  Right: `maml.gradient` with that optimiser; (N, d).

A problem has theta (d,), support, query, alpha (any shape), steps and `rule`, the words and numbers of its optimiser.  A row
uses `at`, `grad` and `hvp` of the losses.  It is right where its mistake does not concern the optimiser.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle import limits
from refmeta.oracle.known import rows_in, wrong
from refmeta.oracle.suites.maml_optimisers.changed_gradient import through
from refmeta.oracle.suites.maml_optimisers.departures import MOMENTS, RMSPROP, UPDATES
from refmeta.oracle.suites.maml_optimisers.rules import ADAM, MOMENTA
from refmeta.oracle.suites.maml_optimisers.unrolled import gradients, unrolled
from refmeta.oracle.suites.maml_optimisers.wrong_rules import ROWS as ROWS_OF_RULES

__all__ = ["FALSE_ALARMS", "LETTERS", "ROWS"]

FALSE_ALARMS = {
    "momentum-zero": "momentum 0 is gradient descent; with K = 1 heavy ball is, too, and Nesterov's is with 1 + beta times alpha",
    "one-decay": "without momentum and without a division by v, coupled decay and decoupled decay (alpha w) are one formula",
    "amsgrad-is-adam": "AMSGrad is Adam as long as v does not fall: in the first step always",
    "one-step": "with K = 1 no earlier moment exists: to hold the moments constant, or to make the optimiser anew, changes nothing",
    "clip-not-reached": "a bound that no gradient reaches changes nothing, by norm, by value or over all tasks",
}
LETTERS = {
    "g_q": "g_q is the gradient of the query loss at the adapted parameters", "∇L": "∇L is the gradient of the support loss",
    "w": "w is the weight of the decay",
}  # fmt: skip


@wrong("first-order", "g_q", cause="the inner steps are not differentiated: create_graph=True missing, an optimiser of the outer kind used inside",
       source="dragen1860/MAML-Pytorch #17 #26", hint="PyTorch: torch.optim, which steps in place and cuts the graph", repair="TorchOpt's MetaAdam, or higher's DifferentiableOptimizer")  # fmt: skip
def first_order(problem: Any) -> Array:
    return unrolled(problem).g


@wrong("inner-gradients-detached", "(I − αw)ᴷ g_q where weights decay", cause="the inner gradients are constants, and only the decay is differentiated",
       hint="PyTorch: autograd.grad without create_graph=True, then p = p - alpha * (g + w * p)")  # fmt: skip
def inner_gradients_detached(problem: Any) -> Array:
    return gradients(unrolled(problem), hessians=problem.rule.decay is None)[0]


@wrong("last-step-without-adjoint", "the adjoint of all steps but the last, from g_q", cause="the backward recursion begins one step early",
       hint="reversed(states[:-1])", repair="reversed(states)")  # fmt: skip
def last_step_without_adjoint(problem: Any) -> Array:
    return gradients(unrolled(problem), max(problem.steps - 1, 0))[0]


@wrong("optimiser-ignored", "θ ← θ − α∇L in every step", cause="the inner loop is plain gradient descent",
       hint="the optimiser given to the outer loop only")  # fmt: skip
def optimiser_ignored(problem: Any) -> Array:
    return through(problem, UPDATES["gradient descent"], optimisers=(*MOMENTA, *ADAM, *RMSPROP))


@wrong("moments-detached", "m and v of earlier steps held constant", cause="the state of the optimiser is detached between steps",
       hint="PyTorch: state kept under no_grad, torchopt.stop_gradient on the state; JAX: stop_gradient on opt_state")  # fmt: skip
def moments_detached(problem: Any) -> Array:
    return through(problem, MOMENTS["the earlier ones held constant"], optimisers=(*MOMENTA, *ADAM, *RMSPROP))


@wrong("second-moment-detached", "v held constant, in its own step, too", cause="the division by the root of v is not differentiated",
       hint="PyTorch: v updated with g.detach() ** 2 or g.data; JAX: stop_gradient(v)")  # fmt: skip
def second_moment_detached(problem: Any) -> Array:
    return through(problem, MOMENTS["v held constant"], optimisers=(*ADAM, *RMSPROP))


@wrong("moments-carried-between-tasks", "task i begins with the m, v and t that task i − 1 left",
       cause="one optimiser for all tasks; Reptile has it on purpose, MAML not", source="openai/supervised-reptile reptile.py",
       repair="make the optimiser, or opt.init(params), inside the loop over tasks")  # fmt: skip
def moments_carried_between_tasks(problem: Any) -> Array:
    return through(problem, MOMENTS["carried from task to task"], optimisers=(*MOMENTA, *ADAM, *RMSPROP))


@wrong("optimiser-made-in-every-step", "every step begins with m = v = 0 and t = 1", cause="the optimiser is made inside the loop over steps",
       hint="opt.init(params) inside the loop over steps")  # fmt: skip
def optimiser_made_in_every_step(problem: Any) -> Array:
    return through(problem, MOMENTS["made anew in every step"], optimisers=(*MOMENTA, *ADAM, *RMSPROP))


@wrong("mean-over-tasks", "1/N of the sum", quantity="sum", kind="convention", cause="a convention: mean where the sum is meant",
       hint="jnp.mean or loss / batch_size over the tasks", repair="the sum over the tasks; or say --reduce mean, if you mean it")  # fmt: skip
def mean_over_tasks(problem: Any) -> Array:
    return np.mean(through(problem), axis=0)


@wrong("sum-over-tasks", "N times the mean", quantity="mean", kind="convention", cause="a convention: sum where the mean is meant",
       hint="a sum, or accumulated .backward() calls, over the tasks", repair="the mean over the tasks; or say --reduce sum, if you mean it")  # fmt: skip
def sum_over_tasks(problem: Any) -> Array:
    return np.sum(through(problem), axis=0)


@wrong("query-is-support", "∇F with the support as the query", cause="one split used for both", hint="the same minibatch is passed twice")
def query_is_support(problem: Any) -> Array:
    return through(replace_fields(problem, query=problem.support))


@wrong("gradient-at-start", "∇L_query(θ)", cause="the adapted parameters are never used in the query's forward pass",
       hint="PyTorch: the query's forward pass on the module's own parameters, not on the fast weights")  # fmt: skip
def gradient_at_start(problem: Any) -> Array:
    return np.array(problem.query.at(problem.theta).grad)


@wrong("one-step-too-few", "K − 1 steps", cause="an off-by-one in the inner loop", source="ray-project/ray #13835")
def one_step_too_few(problem: Any) -> Array:
    alpha = problem.alpha[: max(problem.steps - 1, 0)] if np.ndim(problem.alpha) == 2 else problem.alpha
    return through(replace_fields(problem, steps=max(problem.steps - 1, 0), alpha=alpha))


@wrong("step-sizes-frozen", "∂F/∂α = 0", quantity="step_size_gradient", cause="alpha is not a parameter of the optimiser",
       source="learn2learn #167", hint="PyTorch: lr= of an optimiser is a float, which has no gradient")  # fmt: skip
def step_sizes_frozen(problem: Any) -> Array:
    return np.zeros(problem.support.shape + np.shape(problem.alpha))


@wrong("gradient-clipped", "an inner gradient of at most norm 10", cause="gradients are clipped in the inner loop",
       hint="PyTorch: clip_grad_norm_ before an inner step; optax: clip_by_global_norm in the inner optimiser")  # fmt: skip
def gradient_clipped(problem: Any) -> Array:
    return through(replace_fields(problem, support=limits.with_clipped_gradient(problem.support)))


@wrong("steps-at-most-five", "min(K, 5) steps", cause="the number of inner steps has a bound, or an unrolled loop a fixed length",
       hint="min(steps, 5), or a default that the argument does not override")  # fmt: skip
def steps_at_most_five(problem: Any) -> Array:
    alpha = problem.alpha[: limits.MOST_STEPS] if np.ndim(problem.alpha) == 2 else problem.alpha
    return through(replace_fields(problem, steps=min(problem.steps, limits.MOST_STEPS), alpha=alpha))


ROWS = rows_in(globals()) + ROWS_OF_RULES
