"""Known-wrong update rules, clips and decays inside MAML.  Right: `maml.gradient` with the optimiser; (N, d).

A row is right where its mistake does not concern the optimiser.
"""

from typing import Any

from refmeta.arrays import Array
from refmeta.oracle.known import rows_in, wrong
from refmeta.oracle.suites.maml_optimisers.changed_gradient import through
from refmeta.oracle.suites.maml_optimisers.departures import CLIPS, DECAYS, EPSILONS, OVER_ALL, RMSPROP, UPDATES
from refmeta.oracle.suites.maml_optimisers.rules import ADAM, DECAYED, MOMENTA
from refmeta.oracle.suites.maml_optimisers.unrolled import forward_gradient

__all__ = ["ROWS"]


@wrong("epsilon-outside", "√v̂ + ε for another place of ε", cause="Kingma & Ba's algorithm 1, as in PyTorch, where another form is asked for",
       kind="convention", hint="PyTorch's Adam, optax.adam(eps=)")  # fmt: skip
def epsilon_outside(problem: Any) -> Array:
    return through(problem, EPSILONS["outside the root"], optimisers=("adam_epsilon_hat", "adam_epsilon_root"))


@wrong("epsilon-hat", "√v + ε for another place of ε, v not corrected", cause="TensorFlow's epsilon hat, where another form is asked for",
       kind="convention", hint="tf.keras Adam: alpha sqrt(1 - beta2^t)/(1 - beta1^t) m/(sqrt(v) + epsilon)")  # fmt: skip
def epsilon_hat(problem: Any) -> Array:
    return through(problem, EPSILONS["outside the root, which is not corrected (epsilon hat)"], optimisers=("adam", "adam_epsilon_root"))


@wrong("epsilon-inside", "√(v̂ + ε) for another place of ε", cause="an epsilon inside the root, where another form is asked for",
       kind="convention", hint="optax.adam(eps_root=); PyTorch: (v + eps).sqrt()")  # fmt: skip
def epsilon_inside(problem: Any) -> Array:
    return through(problem, EPSILONS["inside the root"], optimisers=("adam", "adam_epsilon_hat"))


@wrong("rmsprop-epsilon-inside", "g/√(v + ε)", cause="TensorFlow's RMSProp, and optax's by default, where PyTorch's is asked for",
       kind="convention", hint="optax.rmsprop(eps_in_sqrt=True), which is its default")  # fmt: skip
def rmsprop_epsilon_inside(problem: Any) -> Array:
    return through(problem, EPSILONS["inside the root"], optimisers=RMSPROP)


@wrong("bias-correction-missing", "m and v for m̂ and v̂", cause="Adam without its division by 1 − βᵗ", repair="m / (1 - beta1 ** t), v / (1 - beta2 ** t)")
def bias_correction_missing(problem: Any) -> Array:
    return through(problem, UPDATES["Adam without bias correction"], optimisers=ADAM)


@wrong("bias-correction-late", "1 − βᵗ⁺¹ for 1 − βᵗ", cause="the number of steps is off by one in the bias correction", repair="t counts from 1, and is counted up once in a step")
def bias_correction_late(problem: Any) -> Array:
    return through(problem, UPDATES["Adam's bias correction one step late"], optimisers=ADAM)


@wrong("amsgrad", "the largest v so far for v", cause="AMSGrad for Adam", hint="PyTorch: amsgrad=True; optax.amsgrad")
def amsgrad(problem: Any) -> Array:
    return through(problem, UPDATES["AMSGrad"], optimisers=ADAM)


@wrong("nesterov-as-heavy-ball", "αm for α(∇L + βm)", cause="Nesterov's momentum is not switched on", repair="PyTorch: nesterov=True; optax.sgd(nesterov=True)")
def nesterov_as_heavy_ball(problem: Any) -> Array:
    return through(problem, UPDATES["heavy ball for Nesterov's momentum, and the other way round"], optimisers=("nesterov",))


@wrong("heavy-ball-as-nesterov", "α(∇L + βm) for αm", cause="Nesterov's momentum where heavy ball is asked for", hint="PyTorch: nesterov=True; optax.sgd(nesterov=True)")
def heavy_ball_as_nesterov(problem: Any) -> Array:
    return through(problem, UPDATES["heavy ball for Nesterov's momentum, and the other way round"], optimisers=("heavy_ball",))


@wrong("momentum-as-mean", "m ← βm + (1 − β)∇L", cause="momentum with the factor 1 − β of Adam's first moment", kind="convention",
       hint="optax.ema", repair="optax.trace, which has no factor")  # fmt: skip
def momentum_as_mean(problem: Any) -> Array:
    return through(problem, UPDATES["momentum with the factor 1 - beta"], optimisers=MOMENTA)


@wrong("momentum-dampened", "m ← βm + (1 − β)∇L after the first step, where m = ∇L", cause="dampening",
       hint="PyTorch: SGD(dampening=momentum), whose first step is not dampened")  # fmt: skip
def momentum_dampened(problem: Any) -> Array:
    return through(problem, UPDATES["momentum with the factor 1 - beta after the first step"], optimisers=MOMENTA)


@wrong("clip-with-epsilon", "c/(‖∇L‖ + 1e-6) for c/‖∇L‖", cause="PyTorch's clip_grad_norm_ adds 1e-6 to the norm", kind="convention",
       source="pytorch torch/nn/utils/clip_grad.py", hint="PyTorch: clip_grad_norm_", repair="optax.clip_by_global_norm, which adds nothing")  # fmt: skip
def clip_with_epsilon(problem: Any) -> Array:
    return through(problem, CLIPS["by norm, c/(norm + 1e-6)"])


@wrong("clip-held", "min(1, c/‖∇L‖) held constant", cause="the factor of the clip is not differentiated", hint="PyTorch: clip_grad_norm_ works under no_grad")
def clip_held(problem: Any) -> Array:
    return through(problem, CLIPS["by norm, its factor held constant"])


@wrong("clip-over-all-tasks", "c over the norm of all tasks' gradients together", cause="the norm runs over the axis of the tasks, too",
       hint="jnp.linalg.norm(g) of an array (N, d); optax.clip_by_global_norm outside of vmap")  # fmt: skip
def clip_over_all_tasks(problem: Any) -> Array:
    return forward_gradient(problem, OVER_ALL)


@wrong("clip-by-value", "every entry of ∇L in [−c, c]", cause="clipped by value for by norm", hint="PyTorch: clip_grad_value_; optax.clip")
def clip_by_value(problem: Any) -> Array:
    return through(problem, CLIPS["by value"])


@wrong("clip-missing", "∇L for ∇L min(1, c/‖∇L‖)", cause="nothing is clipped", hint="the clip is in the outer optimiser only")
def clip_missing(problem: Any) -> Array:
    return through(problem, CLIPS["not at all"])


@wrong("clip-after-decay", "∇L + wθ clipped", cause="the decay is added before the clip", hint="optax.chain(add_decayed_weights, clip_by_global_norm, …)", repair="optax.chain(clip_by_global_norm, add_decayed_weights, …)")
def clip_after_decay(problem: Any) -> Array:
    return through(problem, CLIPS["after the decay is added"])


@wrong("decay-coupled", "wθ added to ∇L for αwθ subtracted from θ", cause="coupled decay for decoupled decay", hint="PyTorch: Adam(weight_decay=)", repair="PyTorch: AdamW(weight_decay=)")
def decay_coupled(problem: Any) -> Array:
    return through(problem, DECAYS["coupled"], decays=("decoupled", "decoupled_paper"))


@wrong("decay-decoupled", "αwθ subtracted from θ for wθ added to ∇L", cause="decoupled decay for coupled decay", hint="PyTorch: AdamW(weight_decay=)", repair="PyTorch: Adam(weight_decay=)")
def decay_decoupled(problem: Any) -> Array:
    return through(problem, DECAYS["decoupled, alpha w"], decays=("coupled",))


@wrong("decay-without-alpha", "wθ for αwθ", cause="the paper's decoupled decay, where PyTorch's is asked for", kind="convention", hint="p = p - w * p", repair="p = p - alpha * w * p")
def decay_without_alpha(problem: Any) -> Array:
    return through(problem, DECAYS["decoupled, w"], decays=("decoupled",))


@wrong("decay-with-alpha", "αwθ for wθ", cause="PyTorch's decoupled decay, where the paper's is asked for", kind="convention", hint="PyTorch: AdamW multiplies the decay by lr")
def decay_with_alpha(problem: Any) -> Array:
    return through(problem, DECAYS["decoupled, alpha w"], decays=("decoupled_paper",))


@wrong("decay-missing", "w = 0", cause="the weights do not decay", hint="weight_decay is given to the outer optimiser only")
def decay_missing(problem: Any) -> Array:
    return through(problem, DECAYS["none"], decays=DECAYED)


@wrong("decay-not-differentiated", "the decayed θ held constant", cause="the decay is computed under no_grad", hint="PyTorch: p.data.mul_(1 - alpha * w)")
def decay_not_differentiated(problem: Any) -> Array:
    return through(problem, DECAYS["not differentiated"], decays=DECAYED)


ROWS = rows_in(globals())
