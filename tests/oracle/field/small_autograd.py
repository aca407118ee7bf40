"""A small reverse mode on NumPy arrays, whose derivatives can be differentiated again; nothing of refmeta is used."""

from typing import Any

import numpy as np

__all__ = [
    "V", "concat", "einsum", "exp", "grad", "inv", "lift", "log", "log_softmax", "planted", "reshape", "sigmoid",
    "softmax", "stop", "tanh", "total", "where",
]  # fmt: skip


class V:
    """An array, and its parents with the maps that pull a slope back to them."""

    __array_ufunc__ = None

    def __init__(self, data: Any, back: Any = (), leaf: bool = False) -> None:
        self.data = np.asarray(data, dtype=float)
        self.back = tuple((p, f) for p, f in back if p.live)
        self.live = leaf or bool(self.back)
        self.shape = self.data.shape

    def __add__(self, o: Any) -> "V":
        o = lift(o)
        return V(self.data + o.data, ((self, lambda g: fit(g, self.shape)), (o, lambda g: fit(g, o.shape))))

    def __mul__(self, o: Any) -> "V":
        o = lift(o)
        return V(self.data * o.data, ((self, lambda g: fit(g * o, self.shape)), (o, lambda g: fit(g * self, o.shape))))

    def __neg__(self) -> "V":
        return self * -1.0

    def __sub__(self, o: Any) -> "V":
        return self + -lift(o)

    def __rsub__(self, o: Any) -> "V":
        return lift(o) + -self

    def __pow__(self, n: float) -> "V":
        return V(self.data**n, ((self, lambda g: g * (n * self ** (n - 1))),))

    def __truediv__(self, o: Any) -> "V":
        return self * lift(o) ** -1

    def __rtruediv__(self, o: Any) -> "V":
        return lift(o) * self**-1

    def __getitem__(self, i: Any) -> "V":
        return V(self.data[i], ((self, lambda g: scatter(g, i, self.shape)),))

    __radd__, __rmul__ = __add__, __mul__


def lift(x: Any) -> V:
    """A constant, unless it is a node already."""
    return x if isinstance(x, V) else V(x)


def stop(x: Any) -> V:
    """The value without its history."""
    return V(lift(x).data)


def fit(g: V, shape: tuple[int, ...]) -> V:
    """Sum over the axes that were broadcast."""
    if g.shape == shape:
        return g
    lead = len(g.shape) - len(shape)
    axes = (*range(lead), *(lead + k for k, n in enumerate(shape) if n == 1 and g.shape[lead + k] != 1))
    return reshape(total(g, axes), shape)


def spread(x: V, shape: tuple[int, ...]) -> V:
    """Broadcast."""
    return V(np.broadcast_to(x.data, shape), ((x, lambda g: fit(g, x.shape)),))


def scatter(g: V, i: Any, shape: tuple[int, ...]) -> V:
    """Zeros with g added at the index."""
    out = np.zeros(shape)
    np.add.at(out, i, g.data)
    return V(out, ((g, lambda h: h[i]),))


def reshape(x: Any, shape: tuple[int, ...]) -> V:
    """The entries in another shape."""
    x = lift(x)
    return V(x.data.reshape(shape), ((x, lambda g: reshape(g, x.shape)),))


def total(x: Any, axis: Any = None) -> V:
    """The sum over some axes."""
    x = lift(x)
    axis = tuple(range(len(x.shape))) if axis is None else axis
    kept = np.sum(x.data, axis=axis, keepdims=True).shape
    return V(np.sum(x.data, axis=axis), ((x, lambda g: spread(reshape(g, kept), x.shape)),))


def einsum(spec: str, a: Any, b: Any) -> V:
    """Of two operands; each index stands in the other operand or in the result."""
    a, b = lift(a), lift(b)
    (i, j), k = spec.split("->")[0].split(","), spec.split("->")[1]
    back = ((a, lambda g: einsum(f"{k},{j}->{i}", g, b)), (b, lambda g: einsum(f"{k},{i}->{j}", g, a)))
    return V(np.einsum(spec, a.data, b.data), back)


def exp(x: Any) -> V:
    """eˣ."""
    x = lift(x)
    return V(np.exp(x.data), ((x, lambda g: g * exp(x)),))


def log(x: Any) -> V:
    """ln x."""
    x = lift(x)
    return V(np.log(x.data), ((x, lambda g: g / x),))


def inv(A: V) -> V:
    """Inverses of square matrices, (n, s, s)."""

    def back(g: V) -> V:
        B = inv(A)
        return -einsum("nks,nkt->nst", B, einsum("nkl,ntl->nkt", g, B))

    return V(np.linalg.inv(A.data), ((A, back),))


def where(mask: Any, a: Any, b: Any) -> V:
    """Choose by a constant mask."""
    mask = np.asarray(mask, dtype=bool)
    a, b = lift(a), lift(b)
    shape = np.broadcast_shapes(mask.shape, a.shape, b.shape)
    back = ((a, lambda g: fit(where(mask, g, 0.0), a.shape)), (b, lambda g: fit(where(mask, 0.0, g), b.shape)))
    return V(np.broadcast_to(np.where(mask, a.data, b.data), shape), back)


def concat(xs: Any) -> V:
    """Along the last axis."""
    xs, ends = [lift(x) for x in xs], np.cumsum([0, *(lift(x).shape[-1] for x in xs)])
    cut: Any = lambda i: lambda g: g[..., ends[i] : ends[i + 1]]
    return V(np.concatenate([x.data for x in xs], axis=-1), [(x, cut(i)) for i, x in enumerate(xs)])


def log_softmax(x: V) -> V:
    """Over the last axis."""
    x = x - np.max(x.data, axis=-1, keepdims=True)
    return x - log(total(exp(x), (-1,)))[..., None]


def softmax(x: V) -> V:
    """Over the last axis."""
    return exp(log_softmax(x))


def sigmoid(x: V) -> V:
    """1/(1 + e⁻ˣ)."""
    return 1 / (1 + exp(-x))


def tanh(x: V) -> V:
    """2σ(2x) − 1, with fresh digits near zero."""
    return V(np.tanh(x.data), ((x, lambda g: g * (1 - tanh(x) ** 2)),))


def grad(y: V, xs: list[V], seed: Any = None) -> list[V]:
    """The slopes of the sum of y, as nodes that can be differentiated again."""
    order: list[V] = []
    seen: set[int] = set()
    stack = [(y, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((p, False) for p, _ in node.back)
    slopes = {id(y): lift(np.ones(y.shape) if seed is None else seed)}
    for node in reversed(order):
        if id(node) in slopes:
            for parent, back in node.back:
                more = back(slopes[id(node)])
                slopes[id(parent)] = slopes[id(parent)] + more if id(parent) in slopes else more
    return [slopes.get(id(x), V(np.zeros(x.shape))) for x in xs]


def planted(base: type, only: tuple[str, ...] = (), ascent: tuple[str, ...] = (), **methods: Any) -> Any:
    """A target: the base program with some of its methods written otherwise, some parts alone, some negated."""
    program: Any = type("Wrong" + base.__name__, (base,), methods)

    def target(**inputs: Any) -> dict[str, Any]:
        answer = program(**inputs).answer()
        return {name: -value if name in ascent else value for name, value in answer.items() if not only or name in only}

    return target
