"""The inference of PEARL: a product of Gaussian factors, one per transition.  Derivation: derivations/pearl.md

A diagonal Gaussian over the latent variable z is stored as a mean and the logarithm of its variances.  The posterior is
the product of the factors.  Its weights are a softmax of the log precisions, so that no variance is inverted.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_array,
    as_parameters,
    batch_shape,
    check_all,
    check_finite,
    dot,
    finite_result,
    index_text,
)
from refmeta.sampling.transitions import Transitions, as_transitions
from refmeta.softmax import log_softmax, softmax

__all__ = [
    "Context", "Encoder", "Gaussian", "Inference", "as_gaussian", "as_mask", "as_pair", "check_variance", "context_of",
    "factors", "feature_count", "kl", "posterior", "posterior_without_prior", "pullback", "sample",
]  # fmt: skip


TINY = float(np.finfo(np.float64).tiny)


class Gaussian(NamedTuple):
    """A diagonal Gaussian: mean and log σ², (..., Z) each."""

    mean: Array
    log_variance: Array

    @property
    def variance(self) -> Array:
        """σ², (..., Z)."""
        return np.exp(self.log_variance)

    @property
    def entropy(self) -> Array:
        """½ Σ (1 + log 2π + log σ²), in nats; (...)."""
        return np.sum(1 + np.log(2 * np.pi) + self.log_variance, axis=-1) / 2


class Encoder(NamedTuple):
    """The linear encoder: weights (..., Z, F), times the features of a transition, give its mean and its log σ²."""

    mean: Any
    log_variance: Any


class Context(NamedTuple):
    """Features ψ (..., n, F) of a context, and a mask (..., n), True where there is a transition; None is all True."""

    features: Any
    mask: Any = None


class Inference(Protocol):
    """`posterior` or `posterior_without_prior`."""

    def __call__(self, factors: Gaussian, mask: ArrayLike | None = None) -> Gaussian: ...


def feature_count(states: int, actions: int) -> int:
    """F = 1 + 2SA + 2S, the number of features of a transition."""
    return 1 + 2 * states * actions + 2 * states


def context_of(transitions: Transitions, states: int, actions: int) -> Context:
    """ψ(s, a, r, s') = [1, e_sa, e_s', r e_sa, r e_s'], e the unit vectors of R^SA and R^S; features (..., n, F).

    Raises
    ------
    ValueError, TypeError
        If the transitions differ in shape, or have a state or action that does not exist.
    """
    s, a, r, following, _, mask = as_transitions(transitions, states, actions)
    F, half = feature_count(states, actions), states * actions + states
    pair, after = 1 + s * actions + a, 1 + states * actions + following
    psi = np.zeros((*mask.shape, F))
    psi[..., 0] = 1
    rows, flat = np.arange(0, psi.size, F).reshape(mask.shape), psi.reshape(-1)
    for place, value in ((pair, 1.0), (after, 1.0), (half + pair, r), (half + after, r)):
        flat[rows + place] = value
    return Context(psi, mask)


def factors(encoder: Encoder, features: ArrayLike) -> Gaussian:
    """The Gaussian factor of every transition, mean W_μ ψ and log σ² = W_σ ψ; (..., n, Z).

    Raises
    ------
    ValueError
        If the features and the encoder have different sizes, or the two weights different shapes.
    """
    mean, log_variance = as_pair(encoder, "encoder", Encoder)
    if mean.ndim < 2 or mean.shape != log_variance.shape:
        raise ValueError(f"encoder has shapes {mean.shape} and {log_variance.shape}, expected (..., Z, F) twice")
    psi = as_parameters(features, "features", dim=mean.shape[-1], why=" as the encoder's")
    if psi.ndim < 2:
        raise ValueError(f"features has shape {psi.shape}, expected (..., n, {mean.shape[-1]})")
    batch_shape(encoder=mean.shape[:-2], features=psi.shape[:-2])
    return finite_result(_linear)(psi, mean, log_variance)


def as_pair(value: Any, name: str, kind: type[Gaussian] | type[Encoder]) -> tuple[Array, Array]:
    """The two arrays of a Gaussian or an Encoder; an array with first axis 2 is not accepted as a pair."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a pearl.{kind.__name__}(mean, log_variance), got {type(value).__name__}")
    return as_parameters(value[0], f"{name}.mean"), as_parameters(value[1], f"{name}.log_variance")


def _linear(psi: Array, mean: Array, log_variance: Array) -> Gaussian:
    """Both weights times the features, in one product."""
    both = psi @ np.concatenate([mean, log_variance], axis=-2).swapaxes(-1, -2)
    return Gaussian(both[..., : mean.shape[-2]], both[..., mean.shape[-2] :])


def posterior_without_prior(factors: Gaussian, mask: ArrayLike | None = None) -> Gaussian:
    """∏ N(μ_n, σ_n²), normalised: log σ² = −log Σ σ_n⁻², μ = Σ p_n μ_n with p = softmax(−log σ_n²); (..., Z).

    Eq: gaussian-product

    Parameters
    ----------
    factors : Gaussian of (..., n, Z)
    mask : (..., n) of bool, optional
        True where there is a factor.

    Raises
    ------
    ValueError
        If a task has no factor: without a prior an empty context has no posterior.
    FloatingPointError
        If a variance of the product underflows or overflows.
    """
    return _product(*_as_factors(factors, mask))


def _product(mean: Array, log_variance: Array, present: Array) -> Gaussian:
    """The product of the factors that are present."""
    check_all(
        np.any(present, axis=-1),
        lambda i: (
            f"the context of task {index_text(i) or '()'} is empty: without a prior factor it has no posterior; use `posterior`"
        ),
    )
    precision = np.where(present[..., None], -log_variance, -np.inf).swapaxes(-1, -2)
    likeliest = np.argmax(precision.real, axis=-1)[..., None]
    with np.errstate(all="ignore"):
        total = np.take_along_axis(precision - log_softmax(precision), likeliest, axis=-1)[..., 0]
        product = Gaussian(dot(softmax(precision), mean.swapaxes(-1, -2)), -total)
    return check_variance(product)


def posterior(factors: Gaussian, mask: ArrayLike | None = None) -> Gaussian:
    """N(0, I) ∏ N(μ_n, σ_n²), normalised; (..., Z).  The prior is one more factor, the only one of an empty context.

    Eq: gaussian-product-prior

    Parameters and errors are those of `posterior_without_prior`, but there may be no factor.
    """
    mean, log_variance, present = _as_factors(factors, mask)
    prior = np.zeros((*mean.shape[:-2], 1, mean.shape[-1]))
    mean, log_variance = (np.concatenate([prior, x], axis=-2) for x in (mean, log_variance))
    first = np.ones((*present.shape[:-1], 1), bool)
    return _product(mean, log_variance, np.concatenate([first, present], axis=-1))


def _as_factors(factors: Gaussian, mask: ArrayLike | None) -> tuple[Array, Array, Array]:
    """Means and log variances (..., n, Z) of one shape, and the mask (..., n)."""
    mean, log_variance = as_pair(factors, "factors", Gaussian)
    if mean.ndim < 2 or mean.shape != log_variance.shape:
        raise ValueError(f"factors have shapes {mean.shape} and {log_variance.shape}, expected (..., n, Z) twice")
    return mean, log_variance, as_mask(mask, mean.shape[:-1])


def as_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> Array:
    """The mask, of bool, broadcast to the shape (..., n) of the factors; None is all True."""
    array = np.ones(shape, bool) if mask is None else as_array(mask, "mask")
    fits = array.ndim <= len(shape) and all(n in (1, m) for n, m in zip(array.shape[::-1], shape[::-1], strict=False))
    if array.dtype != bool or array.shape[-1:] != shape[-1:] or not fits:
        raise ValueError(f"mask has shape {array.shape} and dtype {array.dtype}, expected {shape} of bool")
    return np.broadcast_to(array, shape)


def check_variance(gaussian: Gaussian) -> Gaussian:
    """The Gaussian; FloatingPointError unless its mean is finite and no variance underflows or overflows."""
    with np.errstate(all="ignore"):
        variance = np.abs(np.exp(gaussian.log_variance.real))
    bad = ~((variance > TINY) & np.isfinite(variance))
    if bad.any():
        i = tuple(np.argwhere(bad)[0])
        how = "underflows" if gaussian.log_variance.real[i] < 0 else "overflows"
        raise FloatingPointError(
            f"the variance of the posterior {how}: log_variance{index_text(i)} is {gaussian.log_variance[i]:.6g}"
        )
    check_finite(np.asarray(gaussian.mean), "the mean of the posterior left the finite numbers")
    return gaussian


def as_gaussian(value: Any, name: str = "posterior") -> Gaussian:
    """The value as a Gaussian (..., Z), checked."""
    mean, log_variance = as_pair(value, name, Gaussian)
    if mean.shape != log_variance.shape:
        raise ValueError(
            f"{name} has shapes {mean.shape} and {log_variance.shape}, expected the same, (..., Z), twice"
        )
    return check_variance(Gaussian(mean, log_variance))


@finite_result
def kl(posterior: Gaussian) -> Array:
    """KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ (σ² + μ² − 1 − log σ²); (...).

    Eq: gaussian-kl
    """
    mean, log_variance = as_gaussian(posterior)
    return np.sum(np.expm1(log_variance) - log_variance + mean**2, axis=-1) / 2


@finite_result
def sample(posterior: Gaussian, noise: ArrayLike) -> Array:
    """z = μ + σ ⊙ ε for noise ε (..., Z), so that ∂z/∂μ = 1 and ∂z/∂log σ² = (z − μ)/2; (..., Z).

    Eq: reparametrised-sample
    """
    mean, log_variance = as_gaussian(posterior)
    epsilon = as_parameters(noise, "noise", dim=mean.shape[-1], why=" as the posterior")
    batch_shape(posterior=mean.shape[:-1], noise=epsilon.shape[:-1])
    return mean + np.exp(log_variance / 2) * epsilon


def pullback(q: Gaussian, factors: Gaussian, context: Context, slopes: Gaussian) -> Encoder:
    """The gradient by the weights of the encoder, (..., Z, F), from the slopes ∂/∂μ and ∂/∂log σ² of the posterior q.

    With the weight p_n = exp(log σ² − log σ_n²) of factor n, the slopes are p_n ∂μ in μ_n, and in log σ_n²
    p_n (∂log σ² − (μ_n − μ) ∂μ), both times ψ_n.  A prior factor does not change this.
    """
    present = as_mask(context.mask, factors.mean.shape[:-1])
    p = np.where(present[..., None], np.exp(q.log_variance[..., None, :] - factors.log_variance), 0)
    by_mean, by_log_variance = (slope[..., None, :] for slope in slopes)
    by_mean, by_log_variance = p * by_mean, p * (by_log_variance - (factors.mean - q.mean[..., None, :]) * by_mean)
    both = np.concatenate([by_mean, by_log_variance], axis=-1).swapaxes(-1, -2) @ context.features
    return Encoder(both[..., : by_mean.shape[-1], :], both[..., by_mean.shape[-1] :, :])
