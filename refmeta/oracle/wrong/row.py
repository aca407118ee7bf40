"""What is known of a wrong formula."""

from collections.abc import Callable
from typing import Any, NamedTuple

from refmeta.arrays import Array

HINTS = {
    "first-order": "PyTorch: autograd.grad without create_graph=True, .detach(), torch.no_grad(); JAX: stop_gradient",
    "no-gradient": "PyTorch: nn.Parameter(...) or .data in the inner update; higher: track_higher_grads=False",
    "last-step-only": "PyTorch: the inner step in place on leaf tensors, .grad cleared or the graph freed between steps",
    "first-step-only": "PyTorch: create_graph=True only in the first pass of the loop; JAX: stop_gradient in the scan's carry",
    "hessians-at-start": "JAX: jax.grad(loss)(theta0) hoisted out of the loop; PyTorch: the first graph kept and reused",
    "gradient-at-start": "PyTorch: the query's forward pass on the module's own parameters, not on the fast weights",
    "step-sizes-frozen": "PyTorch: alpha is a buffer or not in the optimiser's list; JAX: not an argument of value_and_grad",
    "mean-over-tasks": "jnp.mean or loss / batch_size over the tasks; say it with --reduce mean",
    "sum-over-tasks": "a sum, or accumulated .backward() calls, over the tasks; say it with --reduce sum",
    "query-is-support": "the same minibatch is passed twice", "support-is-query": "the same minibatch is passed twice",
    "sequential-meta-steps": "optimizer.step() inside the loop over tasks",
    "implicit-without-proximal-term": "the inner loss lacks 0.5 * strength * sum((phi - theta) ** 2)",
    "implicit-first-order": "the query's gradient is used as it is; the conjugate gradients' result is dropped, or theirs ran 0 steps",
    "kl-swapped": "PyTorch: kl_divergence(new, old); the old policy comes first",
    "fisher-normalised": "a .mean() over visited states, as in most code for TRPO, in the place of the discounted sum",
    "score-term-dropped": "add (loss_after.detach() * log_prob_of_the_whole_inner_batch.sum()) to the outer loss",
    "score-term-mean": "log_prob.mean() in the place of .sum() over the trajectories of the inner batch",
    "no-magic-box": "exp(logp - logp.detach()), not logp, multiplies each reward",
    "denominator-follows": "keep the log-probabilities of the time of sampling as data; logp.detach() is right there only",
    "dice-averaged-dependencies": "cumsum over time of each trajectory's own log-probabilities; divide the sum by M at the end only",
    "mask-ignored": "torch.where(mask, x, 0) before every sum, in the log-probabilities, too",
    "independent-called-exact": "PyTorch: create_graph=True where the learner's gradient is taken; JAX: no stop_gradient on it",
    "start-not-learned": "c0 must be a parameter of the meta-learner and enter the graph itself, not a clone of its data",
    "gates-before-sigmoid": "keep sigmoid(z), not z, as the state of the gates",
    "mean-of-factors": "precision = exp(-log_variance); mean = (precision * means).sum(context) / precision.sum(context)",
    "deviation-for-variance": "PyTorch: Normal takes a deviation; precisions are 1 / deviation ** 2",
    "actor-reaches-encoder": "z.detach() in the policy's input and in the Q of the policy's loss",
    "next-state-missing": "oyster: use_next_obs_in_context",
    "kl-summed-loss-averaged": "both .mean() or both .sum() over the tasks; beta carries over only with both alike",
    "target-not-held": "PyTorch: with torch.no_grad() around the target; JAX: stop_gradient(y)",
    "end-ignored": "gamma * (1 - done) * V; a time limit is no terminal state",
    "context-mask-ignored": "padded transitions have precision 0, not exp(-log_variance(0))",
    "batch-mask-ignored": "(mask * loss).sum() / mask.sum(), not loss.mean()",
    "temperature-missing": "alpha.detach() * log_pi in the target and in the policy's loss, or rewards divided by it",
    "model-first-order": "PyTorch: create_graph=True in the step on the model; JAX: no stop_gradient on phi",
    "query-on-the-model": "the query's return is that of the true process, or of trajectories from it",
    "wrong-direction": "theta.grad = phi - theta for an optimiser that descends: it must be theta - phi",
}  # fmt: skip


class Wrong(NamedTuple):
    """A known-wrong formula: what it computes, in the place of which quantity, its likely cause, where it was seen."""

    slug: str
    formula: str
    quantity: str
    cause: str
    seen: str
    hint: str
    function: Callable[[Any], Array]


GEOMETRY = ("fisher", "natural_gradient", "kl")


def chapter_of(chapter: str, row: Wrong) -> str:
    """The derivation that a row of a chapter of the catalogue belongs to."""
    if row.quantity in GEOMETRY:
        return "policy-geometry"
    if row.slug.startswith("lq-"):
        return "linear-quadratic-control"
    elsewhere = {
        "policy": "exact-policy-gradient", "implicit": "implicit-and-zeroth-order", "surrogates": "sampled-meta-gradients",
        "estimators": "sampled-meta-gradients", "model": "model-based",
    }  # fmt: skip
    return elsewhere.get(chapter, chapter)


def rows(module: dict[str, Any]) -> tuple[Wrong, ...]:
    """The rows among the names of a module, in the order of their definition."""
    return tuple(value for value in module.values() if isinstance(value, Wrong))


def wrong(
    slug: str, formula: str, *, cause: str, seen: str = "not yet in public code", quantity: str = "gradient", hint: str = ""
) -> Callable[[Callable[[Any], Array]], Wrong]:
    """Make a function of a case a row."""
    return lambda function: Wrong(
        slug, formula, quantity, cause, seen, hint or HINTS.get(slug, "the same in every library"), function
    )
