"""A small reverse mode: arrays on a tape, whose pullbacks are on the tape again, so that gradients have gradients."""

import itertools

import numpy as np

COUNT = itertools.count()


class T:
    """An array, and how a slope by it reaches those it was made of: pairs of a parent and a pullback."""

    __array_priority__, dtype = 1000, np.float64

    def __init__(self, value, *parents):
        self.value, self.parents, self.order = np.asarray(value, dtype=self.dtype), parents, next(COUNT)

    def __add__(self, o):
        o = of(o)
        return T(self.value + o.value, (self, lambda g: fit(g, self)), (o, lambda g: fit(g, o)))

    def __mul__(self, o):
        o = of(o)
        return T(self.value * o.value, (self, lambda g: fit(g * o, self)), (o, lambda g: fit(g * self, o)))

    def __pow__(self, n):
        return T(self.value**n, (self, lambda g: g * n * self ** (n - 1)))

    def __matmul__(self, o):
        o = of(o)
        return T(self.value @ o.value, (self, lambda g: fit(g @ swap(o), self)), (o, lambda g: fit(swap(self) @ g, o)))

    def __getitem__(self, index):
        return T(self.value[index], (self, lambda g: put(g, index, self.value.shape)))

    __radd__, __rmul__ = __add__, __mul__
    __neg__ = lambda self: self * -1.0
    __sub__ = lambda self, o: self + of(o) * -1.0
    __rsub__ = lambda self, o: of(o) - self
    __truediv__ = lambda self, o: self * of(o) ** -1.0
    __rtruediv__ = lambda self, o: of(o) / self
    __rmatmul__ = lambda self, o: of(o) @ self


def of(x):
    return x if isinstance(x, T) else T(x)


def put(g, index, shape):
    value = np.zeros(shape)
    np.add.at(value, index, g.value)
    return T(value, (g, lambda h: h[index]))


def fit(g, like):
    """The sum over the axes along which an array of another's shape was spread."""
    shape = like.value.shape
    if g.value.shape == shape:
        return g
    extra = g.value.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, n in enumerate(shape) if n < g.value.shape[i + extra]))
    return T(g.value.sum(axes).reshape(shape), (g, lambda h: spread(h, g.value.shape)))


def spread(x, shape):
    return T(np.broadcast_to(x.value, shape), (x, lambda g: fit(g, x)))


def total(x, *axes):
    """The sum over axes, which stay with size 1; over all of them if none is given."""
    return fit(x, T(np.sum(x.value, axis=axes or None, keepdims=True)))


def reshape(x, *shape):
    return T(x.value.reshape(shape), (x, lambda g: reshape(g, *x.value.shape)))


def swap(x):
    return T(np.swapaxes(x.value, -1, -2), (x, swap))


def exp(x):
    y = T(np.exp(x.value))
    y.parents = ((x, lambda g: g * y),)
    return y


def log(x):
    return T(np.log(x.value), (x, lambda g: g / x))


def solve(A, b):
    x = T(np.linalg.solve(A.value, b.value))
    back = lambda g: solve(swap(A), g)
    x.parents = (A, lambda g: -(back(g) @ swap(x))), (b, back)
    return x


def softmax(x):
    e = exp(x - x.value.max(-1, keepdims=True))
    return e / total(e, -1)


def grad(y, *leaves):
    """The slopes of the sum of y, on the tape."""
    slopes, seen, stack = {id(y): T(np.ones(y.value.shape))}, {id(y): y}, [y]
    while stack:
        for parent, _ in stack.pop().parents:
            if id(parent) not in seen:
                seen[id(parent)] = parent
                stack.append(parent)
    for node in sorted(seen.values(), key=lambda node: -node.order):
        for parent, pull in node.parents if id(node) in slopes else ():
            slope = pull(slopes[id(node)])
            slopes[id(parent)] = slopes[id(parent)] + slope if id(parent) in slopes else slope
    found = [slopes.get(id(leaf), T(np.zeros(leaf.value.shape))) for leaf in leaves]
    return found if len(found) > 1 else found[0]


def in_single(target):
    """The same target with every array on the tape in single precision."""

    def single(**inputs):
        T.dtype = np.float32
        try:
            return target(**inputs)
        finally:
            T.dtype = np.float64

    return single
