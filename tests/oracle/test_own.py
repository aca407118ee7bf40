"""The diagnosis on a user's own losses: a network of two layers, whose derivatives are complex steps."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.own_case import case_of
from refmeta.oracle.suites.own.problem import Problem

HIDDEN, TASKS, STEPS, ALPHA = 2, 3, 4, 0.3
H = 1e-30  # of a complex step; products of two steps vanish


class Point:
    """A network at θ: the loss as it is, its gradient by complex steps, the Hessian's product by a step of the gradient's formula."""

    def __init__(self, task, theta):
        self.task, self.theta = task, theta
        self.loss = task.loss(theta)

    @property
    def grad(self):
        return self.task.gradient(self.theta)

    def hvp(self, v):
        return self.task.gradient(self.theta + 1j * H * np.asarray(v)).imag / H


class Network:
    """½ mean (w · tanh(W x + b) − y)² on the points of every task; θ is W row by row, b, w."""

    dim = HIDDEN * 2 + HIDDEN + HIDDEN

    def __init__(self, x, y):
        self.x, self.y, self.shape = x, y, y.shape[:1]

    def at(self, theta):
        return Point(self, np.broadcast_to(theta, (*self.shape, self.dim)))

    def layers(self, theta):
        """w, the hidden layer (N, n, hidden), and the errors (N, n)."""
        W, b, w = np.split(theta, [HIDDEN * 2, HIDDEN * 3], axis=-1)
        hidden = np.tanh(self.x @ W.reshape(*W.shape[:-1], HIDDEN, 2).swapaxes(-1, -2) + b[..., None, :])
        return w, hidden, np.einsum("...ni,...i->...n", hidden, w) - self.y

    def loss(self, theta):
        return np.mean(self.layers(theta)[2] ** 2, axis=-1) / 2

    def gradient(self, theta):
        """Backpropagation by hand."""
        w, hidden, error = self.layers(theta)
        error = error / self.y.shape[-1]
        back = error[..., None] * w[..., None, :] * (1 - hidden**2)
        of_W = back.swapaxes(-1, -2) @ self.x
        return np.concatenate([of_W.reshape(*of_W.shape[:-2], -1), back.sum(-2), np.einsum("...n,...ni->...i", error, hidden)], axis=-1)


class ByComplexStep(Network):
    """The same network, whose gradient is a complex step of the loss, entry by entry."""

    def gradient(self, theta):
        if np.iscomplexobj(theta):
            return super().gradient(theta)
        axes = np.expand_dims(np.eye(self.dim), tuple(range(1, theta.ndim)))
        return np.moveaxis(self.loss(theta + 1j * H * axes).imag / H, 0, -1)


rng = np.random.default_rng(0)
SUPPORT, QUERY = (ByComplexStep(rng.normal(size=(TASKS, 5, 2)), rng.normal(size=(TASKS, 5))) for _ in range(2))
THETA = rng.normal(size=Network.dim)
NOISE = rng.normal(size=(TASKS, Network.dim))


def mine(theta, factor=lambda k: 1.0, steps=STEPS):
    """MAML's gradient as a user writes it, with a factor before the Hessian of every step; 1 is right."""
    points = [SUPPORT.at(theta)]
    for _ in range(steps):
        points.append(SUPPORT.at(points[-1].theta - ALPHA * points[-1].grad))
    row = QUERY.at(points[-1].theta).grad
    for k in reversed(range(steps)):
        row = row - ALPHA * factor(k) * points[k].hvp(row)
    return row


def diagnosed(got, **more):
    """The diagnosis of a gradient on the network."""
    return rm.oracle.diagnose(got, THETA, SUPPORT, QUERY, **{"alpha": ALPHA, "steps": STEPS} | more)


@pytest.mark.eq("maml-gradient")
def test_what_is_called_right_is_the_complex_step_of_the_objective():
    """The whole adaptation in complex numbers, with the gradient that is written by hand."""
    support, query = (Network(task.x, task.y) for task in (SUPPORT, QUERY))

    def objective(theta):
        phi = np.broadcast_to(theta, (TASKS, Network.dim))
        for _ in range(STEPS):
            phi = phi - ALPHA * support.gradient(phi)
        return query.loss(phi)

    found = diagnosed(mine)
    np.testing.assert_allclose(found.right, complex_step(objective, THETA), rtol=1e-12)
    assert found.word == "RIGHT" and found.worst.tolerances < 1 and found.what == found.where == found.warnings == ()
    assert diagnosed(mine(THETA)).word == "RIGHT"
    assert diagnosed(mine, alpha=np.full((STEPS, 1), ALPHA)).word == "RIGHT"


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (lambda t: mine(t, lambda k: 0.0), "EXACT match with known-wrong formula first-order (g_q) in 3 of 3 failing vectors"),
        (lambda t: mine(t, lambda k: 0.9), "the Hessian term αH is scaled by 0.9 in every factor"),
        (lambda t: mine(t, lambda k: k != 1), "EXACT match with the gradient whose inner step 2 is detached"),
        (lambda t: mine(t, steps=STEPS - 1), "EXACT match with known-wrong formula one-step-too-few (K − 1 steps)"),
        (lambda t: mine(t) + 0.01 * t, "the right result + 0.01·theta, in 3 of 3"),
        (lambda t: mine(t) / TASKS, "the right result times 1/N"),
        (lambda t: 0 * mine(t), "EXACT match with known-wrong formula no-gradient (0)"),
        (lambda t: -mine(t), "the right result times −1: the sign, in 3 of 3"),
        (lambda t: mine(t).astype(np.float32), "right to single precision only: the result is in float32"),
    ],
    ids=["first order", "Hessian factor", "detached step", "a step less", "weight decay", "mean", "nothing", "sign", "float32"],
)  # fmt: skip
def test_a_function_that_is_wrong_is_named(got, words):
    found = diagnosed(got)
    assert found.word == "WRONG" and found.sentence.startswith("3 of 3 cases; your losses show ") and found.what[0].startswith(words), found
    assert f"\nDiagnosis: {words}" in str(found) and "--" not in str(found)  # no option of the command
    assert found.worst.tolerances > 1e4 and f"off by {found.worst.tolerances:.3g} tolerances" in str(found)
    off = np.abs(got(THETA) - found.right)
    assert off[found.worst.at] == abs(found.worst.yours - found.worst.certified) > 0


@pytest.mark.parametrize(
    ("factor", "words"),
    [(lambda k: 0.0, "first-order (g_q) in the one failing vector"), (lambda k: k != 1, "inner step 2 is detached")],
    ids=["first order", "detached step"],
)
def test_an_array_is_named_too_and_nothing_is_said_of_where(factor, words):
    found = diagnosed(mine(THETA, factor))
    assert found.word == "WRONG" and words in found.what[0] and found.where == ()


def test_noise_is_explained_by_nothing():
    """In a search through some thousands of formulas, which other tests of noise cut short."""
    found = diagnosed(mine(THETA) * (1 + 1e-3 * NOISE), seconds=13.0)
    assert found.word == "WRONG" and found.what[0].startswith("no mistake that is known here explains every failing vector")


def test_noise_of_every_call_is_called_so():
    noise = np.random.default_rng(1)
    found = diagnosed(lambda t: mine(t) * (1 + 1e-3 * noise.normal(size=NOISE.shape)))
    assert found.what[0].startswith("the first case was asked twice and the answers differ") and len(found.warnings) == 1


def test_a_finite_difference_is_rounding():
    def numeric(theta):
        F = lambda t: rm.maml.objective(t, SUPPORT, QUERY, alpha=ALPHA, steps=STEPS)
        return np.stack([(F(theta + e) - F(theta - e)) / 2e-5 for e in 1e-5 * np.eye(Network.dim)], axis=-1)

    found = diagnosed(numeric)
    assert found.word == "ROUNDING" and found.sentence.startswith("right to ")


def test_where_says_facts_and_no_more():
    """The tasks cannot be moved, so nothing is said to follow from where it is right."""
    found = diagnosed(lambda t: np.concatenate([mine(t)[:1], 2 * mine(t)[1:]]))
    assert found.where[-1].startswith("only the first task's row is right")
    assert diagnosed(lambda t: 2 * mine(t)).where == ("wrong in all 3 cases",)


def test_a_theta_that_is_changed_in_place_is_warned_of():
    def careless(theta):
        row = mine(theta)
        theta *= 2
        return row

    found = diagnosed(careless)
    assert found.word == "RIGHT" and found.warnings == ("the input theta was changed in place: work on a copy of it",)
    assert str(found).endswith("Warning: the input theta was changed in place: work on a copy of it")


def test_a_failure_at_another_theta_is_said_and_does_not_silence_the_rest():
    def once(theta):
        if not np.array_equal(theta, THETA):
            raise RuntimeError("only there")
        return mine(theta, lambda k: 0.0)

    found = diagnosed(once)
    assert found.where[-1] == "no result at another theta: it raised RuntimeError: only there"
    assert "first-order (g_q)" in found.what[0]


def test_a_loss_whose_meta_gradient_is_constant_is_right_although_it_is_the_same_everywhere():
    flat = rm.Quadratic([[[0.0]]], [[0.0]])
    found = rm.oracle.diagnose(lambda t: np.zeros((1, 1)), [1.0], flat, alpha=0.1, steps=1)
    assert found.word == "RIGHT"


class Broken(Network):
    """A network whose gradient, or Hessian product, has a mistake."""

    def __init__(self, task, of):
        super().__init__(task.x, task.y)
        self.of = of

    def at(self, theta):
        point = super().at(theta)
        if self.of == "grad":
            return type("Wrong", (), {"loss": point.loss, "grad": 1.01 * point.grad, "hvp": lambda _, v: 1.01 * point.hvp(v)})()
        if self.of == "hvp":
            return type("Wrong", (), {"loss": point.loss, "grad": point.grad, "hvp": lambda _, v: 1.01 * point.hvp(v)})()
        return type("Wrong", (), {"loss": point.loss.sum(), "grad": point.grad, "hvp": lambda _, v: point.hvp(v)})()


@pytest.mark.parametrize(
    ("error", "sentence", "arguments"),
    [
        (TypeError, r"support must be a task with shape, dim and at\(theta\), or a list of losses or of tasks, got int", {"support": 3}),
        (TypeError, r"query must be a task with shape, dim and at\(theta\), or a list of losses or of tasks, got int", {"query": 3}),
        (ValueError, r"theta has shape \(1, 8\), expected \(d,\): one initialisation", {"theta": THETA[None]}),
        (ValueError, r"theta has shape \(5,\), expected \(8,\)", {"theta": THETA[:5]}),
        (TypeError, "theta must be real, got dtype complex128", {"theta": THETA + 1j}),
        (TypeError, "alpha must be numbers of float64 or less", {"alpha": "a"}),
        (ValueError, "alpha is nan; every number must be finite", {"alpha": np.nan}),
        (ValueError, r"alpha has shape \(2,\); one per parameter is \(8,\), one per step is \(4, 1\)", {"alpha": [0.1, 0.2]}),
        (TypeError, "steps must be an integer, got 1.5", {"steps": 1.5}),
        (ValueError, "steps must be at least 0, got -1", {"steps": -1}),
        (ValueError, r"have the batch axes \(3,\) and \(2,\), expected \(N,\) of both", {"query": Network(QUERY.x[:2], QUERY.y[:2])}),
        (ValueError, r"support.at\(theta\).grad is not the derivative of the loss along", {"support": Broken(SUPPORT, "grad")}),
        (ValueError, r"query.at\(theta\).hvp\(v\) is not the derivative of grad along", {"query": Broken(QUERY, "hvp")}),
        (ValueError, r"support.at\(theta\).loss has shape \(\), expected \(3,\)", {"support": Broken(SUPPORT, "shape")}),
        (ValueError, r"got has shape \(8, 3\), expected \(N, d\) = \(3, 8\): .* transposed", {"got": mine(THETA).T}),
        (ValueError, r"got has shape \(8,\), expected \(N, d\) = \(3, 8\): one row per task, never reduced$", {"got": mine(THETA).sum(0)}),
        (ValueError, r"got\[0, 0\] is nan; every number must be finite", {"got": np.nan * mine(THETA)}),
        (TypeError, "got must be real, got dtype complex128", {"got": 1j * mine(THETA)}),
        (ValueError, r"got\(theta\) returned shape \(8,\) for gradient, expected \(3, 8\): one row per task, never reduced$", {"got": lambda t: mine(t).sum(0)}),
        (TypeError, "got is None: it must be a function of theta, or the array", {"got": None}),
        (ValueError, r"got\(theta\) returned None: is a return statement missing", {"got": lambda t: None}),
        (ValueError, r"got\(theta\) raised ZeroDivisionError: division by zero", {"got": lambda t: 1 / 0}),
        (ValueError, r"got\(theta\) is the same at every theta: .* or give the array", {"got": lambda t: 1 + mine(THETA)}),
    ],
    ids=lambda value: None if isinstance(value, dict | type) else value[:30],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(error, sentence, arguments):
    usual = {"got": mine, "theta": THETA, "support": SUPPORT, "query": QUERY, "alpha": ALPHA, "steps": STEPS}
    with pytest.raises(error, match=sentence):
        rm.oracle.diagnose(**usual | arguments)


def test_a_diagnosis_changes_theta_and_alpha_and_nothing_else_of_the_problem():
    """Other step sizes are refused where the target would be asked; the data of a user's task are out of reach."""
    case = case_of(Problem(THETA, SUPPORT, None, ALPHA, STEPS, None))
    assert case.problem.query is not SUPPORT and not vars(case.problem.query).keys() & {"x", "y"}
    assert np.array_equal(case.about.problem(case.arguments() | {"theta": 2 * THETA}).theta, 2 * THETA)
    for other in ({"alpha": 0.5}, {"steps": 1}):
        with pytest.raises(ValueError, match="the function takes no other alpha, steps"):
            case.about.problem(case.arguments() | other)
    moved = replace_fields(case.problem, alpha=0.0)
    np.testing.assert_array_equal(case.about.answer("gradient", moved), SUPPORT.at(THETA).grad)


class Bare:
    """Quadratics whose point offers loss, grad and hvp alone, as lists."""

    shape, dim = (2,), 2

    def __init__(self, task):
        self.task = task

    def at(self, theta):
        point = self.task.at(theta)
        return type("P", (), {"loss": point.loss.tolist(), "grad": point.grad.tolist(), "hvp": lambda self, v: point.hvp(v).tolist()})()


def test_of_a_point_no_more_than_loss_grad_and_hvp_is_used():
    task = rm.Quadratic(np.array([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 3.0]]]), np.array([[1.0, 2.0], [0.0, -1.0]]))
    right = rm.maml.gradient(np.array([0.3, -0.2]), task, alpha=0.1, steps=2)
    assert rm.oracle.diagnose(right, [0.3, -0.2], Bare(task), alpha=0.1, steps=2).word == "RIGHT"


def test_what_is_no_point_and_no_shape_is_said():
    task = Bare(None)
    task.at = lambda theta: None
    with pytest.raises(TypeError, match="at\\(theta\\) is a NoneType without loss, grad, hvp"):
        rm.oracle.diagnose(np.zeros((2, 2)), [0.3, -0.2], task, alpha=0.1, steps=2)
    task.shape = 2
    with pytest.raises(TypeError, match="support.shape must be a tuple"):
        rm.oracle.diagnose(np.zeros((2, 2)), [0.3, -0.2], task, alpha=0.1, steps=2)


def test_one_number_is_not_explained_by_a_number_that_is_fitted():
    task = rm.Quadratic([[[1.0]]], [[1.0]])
    assert not any("computes another formula" in line for line in rm.oracle.diagnose([[-0.758369750]], [0.3], task, alpha=0.1, steps=2, seconds=1.0).what)


def test_a_result_that_is_smaller_than_the_tolerance_is_no_known_formula():
    """With step sizes of a million the terms are of size 1e18, and every result of size 1 is within the tolerance of first order."""
    A, c = np.array([[[2.0, 1.0], [1.0, 3.0]], [[1.0, 0.5], [0.5, 2.0]]]), np.array([[1.0, 2.0], [3.0, -1.0]])
    support, query, theta = rm.Quadratic(A, c), rm.Quadratic(A[::-1], c - 1), np.array([0.5, -0.25])
    got = lambda t: np.array([[1.0, -2.0], [0.5, 3.0]]) * (1 + t @ t)
    found = rm.oracle.diagnose(got, theta, support, query, alpha=1e6, steps=3)
    assert found.word == "WRONG" and not any("EXACT" in line or "computes" in line for line in found.what), found.what
