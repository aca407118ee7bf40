"""The return of a softmax policy, and the divergence from it, in any arithmetic.  Derivation: derivations/exact-policy-gradient.md"""

from typing import Any

from refmeta.oracle.decimals import Inputs, Loss, Steps, gradient, hessian_product, least_norm, policy_kl, policy_return

__all__ = ["define"]

ZERO = 1e-12


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """−J at θ, the divergence from θ at θ + v, their derivatives, and F⁻¹∇J, F the divergence's Hessian at θ."""
    time = x["gamma"], x["horizon"], x["features"]
    return [
        _of_task(part, x, policy_return(P, R, rho, *time), policy_kl(x["theta"], P, rho, *time), steps)
        for P, R, rho in zip(x["P"], x["R"], x["rho"], strict=True)
    ]


def _of_task(part: str, x: Inputs, loss: Loss, kl: Loss, steps: Steps) -> Any:
    """One task's part."""
    theta = x["theta"]
    if part == "natural_gradient":
        axes = [[int(i == j) for j in range(len(theta))] for i in range(len(theta))]
        fisher = [hessian_product(kl, theta, e, steps.outer, steps.second) for e in axes]
        return least_norm(fisher, [-g for g in gradient(loss, theta, steps.outer)], ZERO)
    f = loss if part in ("loss", "grad", "hvp") else kl
    at = [a + b for a, b in zip(theta, x["v"], strict=True)] if part.startswith("kl") else theta
    if part in ("loss", "kl"):
        return f(at)
    if part in ("grad", "kl_grad"):
        return gradient(f, at, steps.outer)
    return hessian_product(f, at, x["v"], steps.outer, steps.second)
