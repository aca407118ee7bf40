"""A user's own losses as one task of which nothing but `loss`, `grad` and `hvp` is seen.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_read_only
from refmeta.meta.arguments import Point, Task
from refmeta.numerics.differences import Difference
from refmeta.oracle.results import on_host
from refmeta.tasks.black_box import BlackBox

__all__ = ["Opaque", "OpaquePoint", "as_task", "black_box", "check_derivatives", "product_of"]

STEP, FAR, DIRECTIONS, FEWEST, NOISE, EPS = 1e-5, 1e-4, 8, 6.0, 1e3, float(np.finfo(float).eps)
TIMES, REST = 4, "draw the samples once, switch dropout off with eval(), and keep no state between calls"
KEPT, PRODUCTS, NUMBERS = 256, 32, 10**7  # points that are kept, products of each of them, and numbers in them

Points = dict[tuple[Any, ...], tuple[Point, dict[tuple[Any, ...], Difference]]]  # by θ, each with its products by v


def as_task(value: Any, name: str, dim: int) -> Task:
    """A task with the batch axes (N,): of N losses, of N tasks, or as it is.

    A loss is a function of θ (d,) that returns a number.
    """
    if isinstance(value, Task):
        if not isinstance(getattr(value, "shape", ()), tuple):
            raise TypeError(f"{name}.shape must be a tuple (N,), got {type(value.shape).__name__}")
        return _Several([value]) if value.shape == () else value
    each = [value] if callable(value) else value
    if isinstance(each, Sequence) and not isinstance(each, str) and not each:
        raise ValueError(f"{name} is empty: give one loss or task for each of N tasks")
    if not isinstance(each, Sequence) or not all(callable(one) or isinstance(one, Task) for one in each):
        raise TypeError(f"{name} must be a task with shape, dim and at(theta), or a list of losses or of tasks, got {_kind(each)}")
    tasks = [one if isinstance(one, Task) else BlackBox(one, dim) for one in each]
    for i, task in enumerate(tasks):
        if tuple(task.shape) != () or task.dim != dim:
            raise ValueError(f"{name}[{i}] has the batch axes {tuple(task.shape)} and {task.dim} parameters, expected () and {dim}")
    return _Several(tasks)


def _kind(value: Any) -> str:
    """The type of a value; of a list that of the first entry that is neither a function nor a task."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return type(value).__name__
    i, bad = next((i, one) for i, one in enumerate(value) if not (callable(one) or isinstance(one, Task)))
    return f"{type(bad).__name__} at [{i}]"


class _Several:
    """N tasks as one, with the batch axes (N,)."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks, self.shape, self.dim = tuple(tasks), (len(tasks),), tasks[0].dim

    def at(self, theta: ArrayLike) -> "_SeveralPoints":
        """Every task linearised at its row of θ (..., N, d), or at θ (d,)."""
        theta = np.asarray(theta)
        rows = np.broadcast_to(theta, (*np.broadcast_shapes(theta.shape[:-1], self.shape), self.dim))
        points = {i: self.tasks[i[-1]].at(np.array(rows[i])) for i in np.ndindex(rows.shape[:-1])}
        return _SeveralPoints(theta, rows.shape[:-1], points)


class _SeveralPoints:
    """The points of N tasks, by their index in the batch (..., N)."""

    def __init__(self, theta: Array, batch: tuple[int, ...], points: dict[tuple[int, ...], Point]) -> None:
        self.theta, self._batch, self._points = theta, batch, points

    @cached_property
    def loss(self) -> Array:
        """L(θ) (..., N)."""
        return np.reshape([_as_floats(point.loss) for point in self._points.values()], self._batch)

    @cached_property
    def grad(self) -> Array:
        """∇L(θ) (..., N, d)."""
        return np.reshape([_as_floats(point.grad) for point in self._points.values()], (*self._batch, -1))

    @cached_property
    def error(self) -> Array:
        """A bound on the error of `grad` (..., N, d); 0 of a point that states none."""
        return np.reshape([point.grad * 0 + getattr(point, "error", 0.0) for point in self._points.values()], (*self._batch, -1))

    def hvp(self, v: ArrayLike) -> Array:
        """∇²L(θ) v (..., N, d)."""
        return self.difference(v).derivative

    def difference(self, v: ArrayLike) -> Difference:
        """∇²L(θ) v (..., N, d), and a bound on its error."""
        v = np.asarray(v)
        batch = np.broadcast_shapes(v.shape[:-1], self._batch)
        rows, tail = np.broadcast_to(v, (*batch, v.shape[-1])), len(self._batch)
        each = [product_of(self._points[_own(i, self._batch, tail)], np.array(rows[i])) for i in np.ndindex(batch)]
        return Difference(*(np.reshape(of, (*batch, -1)) for of in zip(*each, strict=True)))


def _own(index: tuple[int, ...], batch: tuple[int, ...], tail: int) -> tuple[int, ...]:
    """The index of the point that an index of a larger batch means."""
    return tuple(0 if size == 1 else i for i, size in zip(index[len(index) - tail :], batch, strict=True))


def product_of(point: Point, v: Array) -> Difference:
    """∇²L(θ) v, and a bound on its error: 0 of a point that states none."""
    if hasattr(point, "difference"):
        return point.difference(v)
    product = _as_floats(point.hvp(v))
    return Difference(product, np.zeros(product.shape))


def _as_floats(value: ArrayLike) -> Array:
    """Numbers or tensors as an array of double precision."""
    return np.asarray(on_host(value), float)


class Opaque:
    """A task of whose inside nothing is seen: a diagnosis changes θ and the step sizes, never the data of a user's task.

    Points are kept with their products: most formulas that a diagnosis tries begin at the same points, along the same directions.
    `noise` is a generator of signs: what is numeric is then off by its error, up or down.  `points` are those that are known.
    """

    def __init__(self, task: Task, noise: np.random.Generator | None = None, points: Points | None = None) -> None:
        self.shape, self.dim, self._task, self._noise = tuple(task.shape), task.dim, task, noise
        self._points: Points = {} if points is None else points

    def at(self, theta: ArrayLike) -> "OpaquePoint":
        """The task linearised at θ; ValueError if θ is complex, which a user's loss need not take."""
        theta = np.asarray(theta)
        if np.iscomplexobj(theta):
            raise ValueError("theta must be real: the losses of a problem are differentiated along real directions")
        key = (theta.shape, np.asarray(theta, float).tobytes())
        if key not in self._points:
            while self._points and len(self._points) >= min(KEPT, NUMBERS // max(theta.size, 1)):
                del self._points[next(iter(self._points))]
            self._points[key] = self._task.at(theta), {}
        return OpaquePoint(theta, *self._points[key], self._noise)

    def noisy(self, seed: int) -> "Opaque":
        """The same task and the same points, their numeric derivatives off by their errors."""
        return Opaque(self._task, np.random.default_rng(seed), self._points)


class OpaquePoint:
    """A user's point, of which only `loss`, `grad` and `hvp` are used, as arrays of double precision; `products` are those that are known."""

    def __init__(
        self, theta: Array, point: Point, products: dict[tuple[Any, ...], Difference], noise: np.random.Generator | None
    ) -> None:
        self.theta, self._point, self._products, self._noise = theta, point, products, noise

    @cached_property
    def loss(self) -> Array:
        """L(θ) of every task."""
        return _as_floats(self._point.loss)

    @cached_property
    def grad(self) -> Array:
        """∇L(θ) of every task."""
        grad = _as_floats(self._point.grad)
        return grad if self._noise is None else grad + self._signs(grad) * getattr(self._point, "error", 0.0)

    def hvp(self, v: ArrayLike) -> Array:
        """∇²L(θ) v of every task."""
        product, error = self._product(np.asarray(v))
        return product if self._noise is None else product + self._signs(product) * error

    def _product(self, v: Array) -> Difference:
        """∇²L(θ) v, and a bound on its error; along each of the last directions it is asked once."""
        key = (v.shape, v.dtype.str, v.tobytes())
        if key not in self._products:
            while self._products and len(self._products) >= min(PRODUCTS, NUMBERS // (KEPT * max(v.size, 1))):
                del self._products[next(iter(self._products))]
            self._products[key] = Difference(*(as_read_only(np.array(x)) for x in product_of(self._point, v)))
        return self._products[key]

    def _signs(self, like: Array) -> Array:
        """Random signs of this shape."""
        assert self._noise is not None
        return self._noise.choice([-1.0, 1.0], size=np.shape(like))


def check_derivatives(name: str, task: Task, theta: Array) -> None:
    """Check the shapes of a point, and that `grad` and `hvp` are derivatives, task by task; functions of the user by `BlackBox.check`."""
    first, v = task.at(theta), np.ones(theta.size)
    lacks = [of for of in ("loss", "grad", "hvp") if not hasattr(first, of)]
    if lacks:
        raise TypeError(f"{name}.at(theta) is a {type(first).__name__} without {', '.join(lacks)}")
    point, rows = OpaquePoint(theta, first, {}, None), tuple(task.shape)
    for of, value, shape in (("loss", point.loss, rows), ("grad", point.grad, (*rows, theta.size)), ("hvp(v)", point.hvp(v), (*rows, theta.size))):
        if np.shape(value) != shape:
            raise ValueError(f"{name}.at(theta).{of} has shape {np.shape(value)}, expected {shape}")
    boxes = [black_box(task, i) for i in range(rows[0])]
    for i, box in enumerate(boxes):
        if box is not None:
            _check_black_box(f"{name}[{i}]", box, theta)
    if opaque := [i for i, box in enumerate(boxes) if box is None]:
        _check_slopes(name, Opaque(task), point, theta, opaque)


def _check_slopes(name: str, task: "Opaque", point: "OpaquePoint", theta: Array, tasks: list[int]) -> None:
    """ValueError unless grad·v and hvp(v) are central differences along random signs v, to four digits of each task's largest."""
    slopes: dict[str, list[tuple[Array, Array]]] = {"grad": [], "hvp(v)": []}
    for v in np.random.default_rng(0).choice([-1.0, 1.0], size=(DIRECTIONS, theta.size)):
        up, down = (task.at(theta + h * v) for h in (STEP, -STEP))
        slopes["grad"].append((point.grad @ v, (up.loss - down.loss) / (2 * STEP)))
        slopes["hvp(v)"].append((point.hvp(v), (up.grad - down.grad) / (2 * STEP)))
    rounding = {"grad": np.abs(point.loss), "hvp(v)": np.max(np.abs(point.grad), axis=-1, initial=0.0)}
    for what, pairs in slopes.items():
        slope, numeric = (np.stack(each, axis=1)[tasks] for each in zip(*pairs, strict=True))
        size = np.max(np.abs(numeric).reshape(len(tasks), -1), axis=1) * FAR + rounding[what][tasks] * 64 * EPS / STEP
        bad = ~(np.abs(slope - numeric) <= size.reshape(-1, *(1,) * (slope.ndim - 1)))
        if np.any(bad):
            at = tuple(np.argwhere(bad)[0])
            of = "the loss" if what == "grad" else "grad"
            raise ValueError(
                f"{name}.at(theta).{what} is not the derivative of {of} along a vector of signs: {slope[at]:.6g} for task {tasks[at[0]]}, but "
                f"{numeric[at]:.6g} by a central difference; is it wrong, or in single precision?"
            )


def black_box(task: Task, i: int) -> BlackBox | None:
    """Task i, if it is made of functions of the user."""
    if isinstance(task, BlackBox):
        return task[i]
    one = task.tasks[i] if isinstance(task, _Several) else None
    return one if isinstance(one, BlackBox) else None


def _check_black_box(name: str, box: BlackBox, theta: Array) -> None:
    """ValueError with what the user's functions are: random, not smooth, no derivative, or one of few digits in double precision.

    A derivative that is given is taken where nothing speaks against it: where the loss is flat, or too noisy along the directions.
    """
    point, losses = box.at(theta), [float(box.at(theta).loss) for _ in range(TIMES)]
    if max(losses) - min(losses) > NOISE * EPS * max(map(abs, losses)):
        raise ValueError(f"{name}: the loss is random: at the same theta it returned {min(losses)!r} and {max(losses)!r}; {REST}")
    if box.grad is not None:
        apart, size = (float(np.max(np.abs(x))) for x in (point.grad - box.at(theta).grad, point.grad))
        if apart > max(NOISE * EPS * size, float(np.max(point.error))):
            raise ValueError(f"{name}: grad is random: at the same theta it returned gradients that differ by {apart:.2g}; {REST}")
    try:
        verdicts = box.check(theta)._asdict()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    for part, verdict in verdicts.items():
        refused = ("smooth", "random", *["noisy"] * (box.grad is None))
        if verdict is not None and verdict.word == "CANNOT TELL" and any(word in verdict.sentence for word in refused):
            what = "the loss" if part == "grad" and box.grad is None else part
            raise ValueError(f"{name}: {what} cannot be judged: {verdict}")
        if verdict is not None and verdict.word == "ROUNDING" and verdict.digits < FEWEST and not np.any(point.error):
            raise ValueError(f"{name}: {part} has too few digits to judge a meta-gradient by: {verdict}")
