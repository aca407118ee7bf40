"""The unrolled Meta-LSTM in any arithmetic.  Derivation: derivations/judges.md

No derivative formula stands here: the learner's gradients are numeric, and so is the gradient by the weights.
"""

from typing import Any

from refmeta.oracle.decimals import Loss, Number, Vector, dot, gradient, leaf_gradient

Held = list[tuple[Vector, Number]]


def _sigmoid(z: Number) -> Number:
    return 1 / (1 + (-z).exp())


def _tanh(z: Number) -> Number:
    return 2 * _sigmoid(2 * z) - 1


def _preprocessed(x: Number) -> Vector:
    """(ln|x|/10, ±1), or (−1, e¹⁰x) where |x| < e⁻¹⁰."""
    if abs(x) >= (0 * x - 10).exp():
        return [abs(x).ln() / 10, 0 * x + (1 if x > 0 else -1)]
    return [0 * x - 1, (0 * x + 10).exp() * x]


def _first_layer(x: dict[str, Any], inputs: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    """h and c after one step, for one coordinate."""
    z, H = [dot(row, inputs + h) + b for row, b in zip(x["W"], x["b"], strict=True)], len(h)
    c = [_sigmoid(z[H + j]) * c[j] + _sigmoid(z[j]) * _tanh(z[3 * H + j]) for j in range(H)]
    return [_sigmoid(z[2 * H + j]) * _tanh(c[j]) for j in range(H)], c


def adapted(x: dict[str, Any], support: Loss, h: Number, held: Held | None = None) -> tuple[Vector, Held]:
    """θ_K, and the (∇L, L) of every step; with `held`, on those in their place."""
    theta, d, H = list(x["c0"]), len(x["c0"]), len(x["W_I"]) - 2
    zero, seen = 0 * theta[0], []
    hidden, cell = [[zero] * H for _ in range(d)], [[zero] * H for _ in range(d)]
    i, f = [zero] * d, [zero] * d
    for k in range(x["steps"]):
        g, loss = (gradient(support, theta, h), support(theta)) if held is None else held[k]
        seen.append((g, loss))
        following = []
        for j in range(d):
            inputs = _preprocessed(g[j]) + _preprocessed(loss)
            hidden[j], cell[j] = _first_layer(x, inputs, hidden[j], cell[j])
            i[j] = _sigmoid(dot(x["W_I"], [*hidden[j], theta[j], i[j]]) + x["b_I"])
            f[j] = _sigmoid(dot(x["W_F"], [*hidden[j], theta[j], f[j]]) + x["b_F"])
            following.append(f[j] * theta[j] - i[j] * g[j])
        theta = following
    return theta, seen


def slope_in(x: dict[str, Any], leaf: str, support: Loss, query: Loss, h: Number, outer: Number, hold: bool) -> Any:
    """∂ L_query(θ_K) by one leaf, nested as it is; with `hold`, every ∇L and L stay what they are at x."""
    held = adapted(x, support, h)[1] if hold else None
    return leaf_gradient(lambda value: query(adapted({**x, leaf: value}, support, h, held)[0]), x[leaf], outer)
