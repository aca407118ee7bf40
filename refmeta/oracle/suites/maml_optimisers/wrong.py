"""Known-wrong formulas of MAML through an inner optimiser.  Right: `maml.gradient` with that optimiser; (N, d).

A problem has theta (d,), support, query, alpha (any shape), steps and `rule`, the words and numbers of its optimiser.  A row
uses `at`, `grad` and `hvp` of the losses.  It says nothing of optimisers that its mistake does not concern.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle import limits
from refmeta.oracle.known import rows_in, wrong
from refmeta.oracle.suites.maml_optimisers.departures import (
    CLIPS,
    DECAYS,
    EPSILONS,
    MOMENTS,
    OVER_ALL,
    RMSPROP,
    UPDATES,
    StepChange,
)
from refmeta.oracle.suites.maml_optimisers.rules import ADAM, MOMENTA
from refmeta.oracle.suites.maml_optimisers.unrolled import forward_gradient, gradients, unrolled

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
NO_STATE = ("gradient_descent",)


def _through(problem: Any, departure: StepChange | None = None) -> Array:
    """The exact meta-gradient, through a changed step."""
    return gradients(unrolled(problem, *([departure] if departure else [])))[0]


def _only(problem: Any, *optimisers: str) -> None:
    """AttributeError where the optimiser is none of these: the row says nothing."""
    if problem.rule.optimiser not in optimisers:
        raise AttributeError(f"the row is about {', '.join(optimisers)}")


def _decaying(problem: Any, *kinds: str) -> None:
    """AttributeError where the decay is none of these."""
    if problem.rule.decay not in kinds:
        raise AttributeError(f"the row is about {', '.join(kinds)} decay")


def _clipping(problem: Any) -> None:
    """AttributeError where nothing is clipped."""
    if problem.rule.clip is None:
        raise AttributeError("the row is about a clipped gradient")


@wrong("first-order", "g_q", cause="the inner steps are not differentiated: create_graph=True missing, an optimiser of the outer kind used inside",
       source="dragen1860/MAML-Pytorch #17 #26", hint="PyTorch: torch.optim steps in place and cuts the graph: use TorchOpt's MetaAdam or higher's DifferentiableOptimizer")  # fmt: skip
def first_order(problem: Any) -> Array:
    return unrolled(problem).g


@wrong("inner-gradients-detached", "(I − αw)ᴷ g_q where weights decay, else g_q", cause="the inner gradients are constants, and only the decay is differentiated",
       hint="PyTorch: autograd.grad without create_graph=True, then p = p - alpha * (g + w * p)")  # fmt: skip
def inner_gradients_detached(problem: Any) -> Array:
    if problem.rule.decay is None:
        raise AttributeError("without decay it is the first order")
    return gradients(unrolled(problem), hessians=False)[0]


@wrong("last-step-without-adjoint", "the adjoint of all steps but the last, from g_q", cause="the backward recursion begins one step early",
       hint="reversed(states[:-1]) for reversed(states)")  # fmt: skip
def last_step_without_adjoint(problem: Any) -> Array:
    return gradients(unrolled(problem), max(problem.steps - 1, 0))[0]


@wrong("optimiser-ignored", "θ ← θ − α∇L in every step", cause="the inner loop is plain gradient descent",
       hint="the optimiser given to the outer loop only")  # fmt: skip
def optimiser_ignored(problem: Any) -> Array:
    _only(problem, *MOMENTA, *ADAM, *RMSPROP)
    return _through(problem, UPDATES["gradient descent"])


@wrong("moments-detached", "m and v of earlier steps held constant", cause="the state of the optimiser is detached between steps",
       hint="PyTorch: state kept under no_grad, torchopt.stop_gradient on the state; JAX: stop_gradient on opt_state")  # fmt: skip
def moments_detached(problem: Any) -> Array:
    _only(problem, *MOMENTA, *ADAM, *RMSPROP)
    return _through(problem, MOMENTS["the earlier ones held constant"])


@wrong("second-moment-detached", "v held constant, in its own step, too", cause="the division by the root of v is not differentiated",
       hint="PyTorch: v updated with g.detach() ** 2 or g.data; JAX: stop_gradient(v)")  # fmt: skip
def second_moment_detached(problem: Any) -> Array:
    _only(problem, *ADAM, *RMSPROP)
    return _through(problem, MOMENTS["v held constant"])


@wrong("moments-carried-between-tasks", "task i begins with the m, v and t that task i − 1 left",
       cause="one optimiser for all tasks; Reptile has it on purpose, MAML not", source="openai/supervised-reptile reptile.py",
       hint="make the optimiser, or opt.init(params), inside the loop over tasks")  # fmt: skip
def moments_carried_between_tasks(problem: Any) -> Array:
    _only(problem, *MOMENTA, *ADAM, *RMSPROP)
    return _through(problem, MOMENTS["carried from task to task"])


@wrong("optimiser-made-in-every-step", "every step begins with m = v = 0 and t = 1", cause="the optimiser is made inside the loop over steps",
       hint="opt.init(params) inside the loop over steps")  # fmt: skip
def optimiser_made_in_every_step(problem: Any) -> Array:
    _only(problem, *MOMENTA, *ADAM, *RMSPROP)
    return _through(problem, MOMENTS["made anew in every step"])


@wrong("epsilon-outside", "√v̂ + ε for another place of ε", cause="Kingma & Ba's algorithm 1, as in PyTorch, where another form is asked for",
       kind="convention", hint="PyTorch's Adam, optax.adam(eps=)")  # fmt: skip
def epsilon_outside(problem: Any) -> Array:
    _only(problem, "adam_epsilon_hat", "adam_epsilon_root")
    return _through(problem, EPSILONS["outside the root"])


@wrong("epsilon-hat", "√v + ε for another place of ε, v not corrected", cause="TensorFlow's epsilon hat, where another form is asked for",
       kind="convention", hint="tf.keras Adam: alpha sqrt(1 - beta2^t)/(1 - beta1^t) m/(sqrt(v) + epsilon)")  # fmt: skip
def epsilon_hat(problem: Any) -> Array:
    _only(problem, "adam", "adam_epsilon_root")
    return _through(problem, EPSILONS["outside the root, which is not corrected (epsilon hat)"])


@wrong("epsilon-inside", "√(v̂ + ε) for another place of ε", cause="an epsilon inside the root, where another form is asked for",
       kind="convention", hint="optax.adam(eps_root=); PyTorch: (v + eps).sqrt()")  # fmt: skip
def epsilon_inside(problem: Any) -> Array:
    _only(problem, "adam", "adam_epsilon_hat")
    return _through(problem, EPSILONS["inside the root"])


@wrong("rmsprop-epsilon-inside", "g/√(v + ε)", cause="TensorFlow's RMSProp, and optax's by default, where PyTorch's is asked for",
       kind="convention", hint="optax.rmsprop(eps_in_sqrt=True), which is its default")  # fmt: skip
def rmsprop_epsilon_inside(problem: Any) -> Array:
    _only(problem, *RMSPROP)
    return _through(problem, EPSILONS["inside the root"])


@wrong("bias-correction-missing", "m and v for m̂ and v̂", cause="Adam without its division by 1 − βᵗ", hint="m / (1 - beta1 ** t), v / (1 - beta2 ** t)")
def bias_correction_missing(problem: Any) -> Array:
    _only(problem, *ADAM)
    return _through(problem, UPDATES["Adam without bias correction"])


@wrong("bias-correction-late", "1 − βᵗ⁺¹ for 1 − βᵗ", cause="the number of steps is off by one in the bias correction", hint="t counts from 1, and is counted up once in a step")
def bias_correction_late(problem: Any) -> Array:
    _only(problem, *ADAM)
    return _through(problem, UPDATES["Adam's bias correction one step late"])


@wrong("amsgrad", "the largest v so far for v", cause="AMSGrad for Adam", hint="PyTorch: amsgrad=True; optax.amsgrad")
def amsgrad(problem: Any) -> Array:
    _only(problem, *ADAM)
    return _through(problem, UPDATES["AMSGrad"])


@wrong("nesterov-as-heavy-ball", "αm for α(∇L + βm)", cause="Nesterov's momentum is not switched on", hint="PyTorch: nesterov=True; optax.sgd(nesterov=True)")
def nesterov_as_heavy_ball(problem: Any) -> Array:
    _only(problem, "nesterov")
    return _through(problem, UPDATES["heavy ball for Nesterov's momentum, and the other way round"])


@wrong("heavy-ball-as-nesterov", "α(∇L + βm) for αm", cause="Nesterov's momentum where heavy ball is asked for", hint="PyTorch: nesterov=True; optax.sgd(nesterov=True)")
def heavy_ball_as_nesterov(problem: Any) -> Array:
    _only(problem, "heavy_ball")
    return _through(problem, UPDATES["heavy ball for Nesterov's momentum, and the other way round"])


@wrong("momentum-as-mean", "m ← βm + (1 − β)∇L", cause="momentum with the factor 1 − β of Adam's first moment", kind="convention",
       hint="optax.ema or optax.trace: only trace has no factor")  # fmt: skip
def momentum_as_mean(problem: Any) -> Array:
    _only(problem, *MOMENTA)
    return _through(problem, UPDATES["momentum with the factor 1 - beta"])


@wrong("momentum-dampened", "m ← βm + (1 − β)∇L after the first step, where m = ∇L", cause="dampening",
       hint="PyTorch: SGD(dampening=momentum), whose first step is not dampened")  # fmt: skip
def momentum_dampened(problem: Any) -> Array:
    _only(problem, *MOMENTA)
    return _through(problem, UPDATES["momentum with the factor 1 - beta after the first step"])


@wrong("clip-with-epsilon", "c/(‖∇L‖ + 1e-6) for c/‖∇L‖", cause="PyTorch's clip_grad_norm_ adds 1e-6 to the norm", kind="convention",
       source="pytorch torch/nn/utils/clip_grad.py", hint="PyTorch: clip_grad_norm_; optax.clip_by_global_norm adds nothing")  # fmt: skip
def clip_with_epsilon(problem: Any) -> Array:
    _clipping(problem)
    return _through(problem, CLIPS["by norm, c/(norm + 1e-6)"])


@wrong("clip-held", "min(1, c/‖∇L‖) held constant", cause="the factor of the clip is not differentiated", hint="PyTorch: clip_grad_norm_ works under no_grad")
def clip_held(problem: Any) -> Array:
    _clipping(problem)
    return _through(problem, CLIPS["by norm, its factor held constant"])


@wrong("clip-over-all-tasks", "c over the norm of all tasks' gradients together", cause="the norm runs over the axis of the tasks, too",
       hint="jnp.linalg.norm(g) of an array (N, d); optax.clip_by_global_norm outside of vmap")  # fmt: skip
def clip_over_all_tasks(problem: Any) -> Array:
    _clipping(problem)
    return forward_gradient(problem, OVER_ALL)


@wrong("clip-by-value", "every entry of ∇L in [−c, c]", cause="clipped by value for by norm", hint="PyTorch: clip_grad_value_; optax.clip")
def clip_by_value(problem: Any) -> Array:
    _clipping(problem)
    return _through(problem, CLIPS["by value"])


@wrong("clip-missing", "∇L for ∇L min(1, c/‖∇L‖)", cause="nothing is clipped", hint="the clip is in the outer optimiser only")
def clip_missing(problem: Any) -> Array:
    _clipping(problem)
    return _through(problem, CLIPS["not at all"])


@wrong("clip-after-decay", "∇L + wθ clipped", cause="the decay is added before the clip", hint="optax.chain: clip_by_global_norm comes before add_decayed_weights")
def clip_after_decay(problem: Any) -> Array:
    _clipping(problem)
    _decaying(problem, "coupled")
    return _through(problem, CLIPS["after the decay is added"])


@wrong("decay-coupled", "wθ added to ∇L for αwθ subtracted from θ", cause="coupled decay for decoupled decay", hint="PyTorch: Adam(weight_decay=) for AdamW(weight_decay=)")
def decay_coupled(problem: Any) -> Array:
    _decaying(problem, "decoupled", "decoupled_paper")
    return _through(problem, DECAYS["coupled"])


@wrong("decay-decoupled", "αwθ subtracted from θ for wθ added to ∇L", cause="decoupled decay for coupled decay", hint="PyTorch: AdamW(weight_decay=) for Adam(weight_decay=)")
def decay_decoupled(problem: Any) -> Array:
    _decaying(problem, "coupled")
    return _through(problem, DECAYS["decoupled, alpha w"])


@wrong("decay-without-alpha", "wθ for αwθ", cause="the paper's decoupled decay, where PyTorch's is asked for", kind="convention", hint="p = p - w * p for p - alpha * w * p")
def decay_without_alpha(problem: Any) -> Array:
    _decaying(problem, "decoupled")
    return _through(problem, DECAYS["decoupled, w"])


@wrong("decay-with-alpha", "αwθ for wθ", cause="PyTorch's decoupled decay, where the paper's is asked for", kind="convention", hint="PyTorch: AdamW multiplies the decay by lr")
def decay_with_alpha(problem: Any) -> Array:
    _decaying(problem, "decoupled_paper")
    return _through(problem, DECAYS["decoupled, alpha w"])


@wrong("decay-missing", "w = 0", cause="the weights do not decay", hint="weight_decay is given to the outer optimiser only")
def decay_missing(problem: Any) -> Array:
    _decaying(problem, "coupled", "decoupled", "decoupled_paper")
    return _through(problem, DECAYS["none"])


@wrong("decay-not-differentiated", "the decayed θ held constant", cause="the decay is computed under no_grad", hint="PyTorch: p.data.mul_(1 - alpha * w)")
def decay_not_differentiated(problem: Any) -> Array:
    _decaying(problem, "coupled", "decoupled", "decoupled_paper")
    return _through(problem, DECAYS["not differentiated"])


@wrong("mean-over-tasks", "1/N of the sum", quantity="sum", kind="convention", cause="a convention: mean where the sum is meant",
       hint="jnp.mean or loss / batch_size over the tasks; say it with --reduce mean")  # fmt: skip
def mean_over_tasks(problem: Any) -> Array:
    return np.mean(_through(problem), axis=0)


@wrong("sum-over-tasks", "N times the mean", quantity="mean", kind="convention", cause="a convention: sum where the mean is meant",
       hint="a sum, or accumulated .backward() calls, over the tasks; say it with --reduce sum")  # fmt: skip
def sum_over_tasks(problem: Any) -> Array:
    return np.sum(_through(problem), axis=0)


@wrong("query-is-support", "∇F with the support as the query", cause="one split used for both", hint="the same minibatch is passed twice")
def query_is_support(problem: Any) -> Array:
    return _through(replace_fields(problem, query=problem.support))


@wrong("gradient-at-start", "∇L_query(θ)", cause="the adapted parameters are never used in the query's forward pass",
       hint="PyTorch: the query's forward pass on the module's own parameters, not on the fast weights")  # fmt: skip
def gradient_at_start(problem: Any) -> Array:
    return np.array(problem.query.at(problem.theta).grad)


@wrong("one-step-too-few", "K − 1 steps", cause="an off-by-one in the inner loop", source="ray-project/ray #13835")
def one_step_too_few(problem: Any) -> Array:
    alpha = problem.alpha[: max(problem.steps - 1, 0)] if np.ndim(problem.alpha) == 2 else problem.alpha
    return _through(replace_fields(problem, steps=max(problem.steps - 1, 0), alpha=alpha))


@wrong("step-sizes-frozen", "∂F/∂α = 0", quantity="step_size_gradient", cause="alpha is not a parameter of the optimiser",
       source="learn2learn #167", hint="PyTorch: lr= of an optimiser is a float, which has no gradient")  # fmt: skip
def step_sizes_frozen(problem: Any) -> Array:
    return np.zeros(problem.support.shape + np.shape(problem.alpha))


@wrong("gradient-clipped", "an inner gradient of at most norm 10", cause="gradients are clipped in the inner loop",
       hint="PyTorch: clip_grad_norm_ before an inner step; optax: clip_by_global_norm in the inner optimiser")  # fmt: skip
def gradient_clipped(problem: Any) -> Array:
    return _through(replace_fields(problem, support=limits.with_clipped_gradient(problem.support)))


@wrong("steps-at-most-five", "min(K, 5) steps", cause="the number of inner steps has a bound, or an unrolled loop a fixed length",
       hint="min(steps, 5), or a default that the argument does not override")  # fmt: skip
def steps_at_most_five(problem: Any) -> Array:
    alpha = problem.alpha[: limits.MOST_STEPS] if np.ndim(problem.alpha) == 2 else problem.alpha
    return _through(replace_fields(problem, steps=min(problem.steps, limits.MOST_STEPS), alpha=alpha))


ROWS = rows_in(globals())
