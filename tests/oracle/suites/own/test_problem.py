"""A problem of one's own: lists of losses, three algorithms, what is numeric, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import refmeta as rm
from refmeta.judges import complex_step
from refmeta.oracle import Problem
from refmeta.oracle.own_case import case_of

TASKS, HIDDEN = 3, 2
RNG = np.random.default_rng(5)
INPUTS, OUTPUTS = RNG.normal(size=(2, TASKS, 5)), RNG.normal(size=(2, TASKS, 5))
THETA = RNG.normal(size=3 * HIDDEN) * 0.7
ALPHA, STEPS, STRENGTH = 0.3, 3, 2.0


def loss(theta, split, task):
    """½ mean (w · tanh(a x + b) − y)² of one task; holomorphic in θ = (a, b, w)."""
    a, b, w = theta[..., :HIDDEN], theta[..., HIDDEN:-HIDDEN], theta[..., -HIDDEN:]
    hidden = np.tanh(INPUTS[split, task][:, None] * a + b)
    return np.mean((hidden @ w - OUTPUTS[split, task]) ** 2) / 2


def slope(theta, split, task):
    """∇ of the loss, by hand; holomorphic in θ."""
    a, b, w = theta.reshape(3, HIDDEN)
    x = INPUTS[split, task][:, None]
    hidden = np.tanh(x * a + b)
    error = (hidden @ w - OUTPUTS[split, task])[:, None] / len(x)
    back = error * w * (1 - hidden**2)
    return np.concatenate([np.sum(back * x, axis=0), np.sum(back, axis=0), np.sum(error * hidden, axis=0)])


def losses(split):
    return [lambda theta, task=task: loss(theta, split, task) for task in range(TASKS)]


def sloped(split):
    """Black boxes with a gradient; their Hessian products are numeric."""
    return [rm.BlackBox(losses(split)[i], THETA.size, grad=lambda t, i=i: slope(t, split, i)) for i in range(TASKS)]


def tasks(split):
    """Black boxes with all derivatives."""
    product = lambda t, v, i: complex_step(lambda t: slope(t, split, i), t, v)
    return [replace(one, hvp=lambda t, v, i=i: product(t, v, i)) for i, one in enumerate(sloped(split))]


def hessian(theta, split, task):
    """∇² of the loss, by complex steps of its gradient."""
    return complex_step(lambda t: slope(t, split, task), theta)


def mine(theta, alpha=ALPHA, steps=STEPS, kept=lambda k: True, query=1):
    """MAML by hand: the path, then the product of Hessian factors."""
    rows = []
    for i in range(TASKS):
        path = [theta]
        for _ in range(steps):
            path.append(path[-1] - alpha * slope(path[-1], 0, i))
        g = slope(path[-1], query, i)
        for k in reversed(range(steps)):
            g = g - alpha * hessian(path[k], 0, i) @ g if kept(k) else g
        rows.append(g)
    return np.array(rows)


def problem(gradient, of=tasks, **changes):
    return Problem(**{"theta": THETA, "support": of(0), "query": of(1), "alpha": ALPHA, "steps": STEPS, "gradient": gradient} | changes)


@pytest.mark.parametrize("of", [losses, sloped, tasks])
def test_a_right_gradient_is_right_to_the_digits_that_the_losses_show(of):
    steps = 1 if of is losses else STEPS
    found = problem(lambda theta: mine(theta, steps=steps), of, steps=steps).diagnose()
    assert found.word == "RIGHT" and "; your losses show " in found.sentence, found
    shown = float(found.sentence.split()[-2])
    assert {losses: 5, sloped: 9, tasks: 11}[of] < shown < 15


def test_a_problem_that_is_right_passes_its_check_and_a_wrong_one_is_told_its_verdict():
    problem(mine).check()
    with pytest.raises(AssertionError, match="^WRONG: 3 of 3 cases"):
        problem(lambda theta: mine(theta, query=0)).check()


def test_the_tolerance_holds_the_error_of_numeric_derivatives():
    """The library's answer on losses alone is within the tolerance of its answer on exact derivatives, and the tolerance is no wider than needed by 10⁴."""
    exact, numeric = (case_of(problem(None, of)).expected["gradient"] for of in (tasks, losses))
    error = np.max(np.abs(exact.value - numeric.value), axis=1)
    limit = 30 * np.finfo(float).eps * numeric.kappa * numeric.scale
    assert np.all(error < limit) and np.all(limit < 1e5 * error + 1e-9)


@pytest.mark.parametrize(
    ("gradient", "words"),
    [
        (lambda theta: mine(theta, kept=lambda k: False), "known-wrong formula first-order"),
        (lambda theta: mine(theta, kept=lambda k: k == STEPS - 1), "known-wrong formula last-step-only"),
        (lambda theta: mine(theta, steps=STEPS - 1), "known-wrong formula one-step-too-few"),
        (lambda theta: mine(theta, query=0), "known-wrong formula query-is-support"),
        (lambda theta: mine(theta) / 2, "the right result times ½"),
        (lambda theta: mine(theta) / TASKS, "the right result times 1/N"),
    ],
)
def test_mistakes_are_named(gradient, words):
    found = problem(gradient).diagnose()
    assert found.word == "WRONG" and words in " ".join(found.what), found
    assert str(found).startswith("WRONG: 3 of 3 cases")


def test_a_mistake_is_named_by_the_losses_alone():
    found = problem(lambda theta: mine(theta, steps=1) / 2, losses, steps=1).diagnose(seconds=5.0)
    assert found.word == "WRONG" and "the right result times ½" in " ".join(found.what), found


def test_a_gradient_that_takes_its_steps_is_asked_with_others():
    """Wrong from the second step on: with one step, or none, it is right."""
    gradient = lambda theta, steps, alpha: mine(theta, alpha, steps) * (1.5 if steps > 1 else 1.0)
    found = problem(gradient).diagnose()
    assert found.where[0].startswith("right exactly where K <= 1"), found
    assert problem(lambda theta: gradient(theta, STEPS, ALPHA)).diagnose().where == ("wrong in all 3 cases",)


def minimisers(theta, weight=STRENGTH):
    """φ_i = argmin L + (λ/2)‖φ − θ‖², by Newton's method."""
    phis = []
    for i in range(TASKS):
        phi = theta
        for _ in range(30):
            M = hessian(phi, 0, i) + weight * np.eye(theta.size)
            phi = phi - np.linalg.solve(M, slope(phi, 0, i) + weight * (phi - theta))
        phis.append(phi)
    return phis


def implicit(theta, solve=np.linalg.solve):
    return np.array([
        solve(np.eye(theta.size) + hessian(phi, 0, i) / STRENGTH, slope(phi, 1, i)) for i, phi in enumerate(minimisers(theta))
    ])


def test_implicit_maml_is_judged_and_diagnosed():
    of_implicit = {"alpha": None, "steps": None, "strength": STRENGTH, "algorithm": "implicit"}
    found = problem(lambda theta: implicit(theta, lambda M, g: g), **of_implicit).diagnose()
    assert "known-wrong formula implicit-first-order" in " ".join(found.what), found
    assert "refmeta.implicit.adapt" in found.next[-1]


def test_an_algorithm_is_given_its_own_inputs_and_no_others():
    of_implicit = {"algorithm": "implicit", "strength": STRENGTH}
    short = Problem(THETA, tasks(0), tasks(1), gradient=implicit, **of_implicit)
    assert short.inputs == problem(implicit, alpha=None, steps=None, **of_implicit).inputs and short.diagnose().word == "RIGHT"
    with pytest.raises(ValueError, match="the algorithm 'maml' takes alpha and steps, got none of them"):
        Problem(THETA, tasks(0), tasks(1), gradient=mine).diagnose()
    with pytest.raises(TypeError, match="^gradient is None: it must be a function of theta"):
        Problem(THETA, tasks(0), tasks(1), ALPHA, STEPS).diagnose()


def displacement(theta, steps=STEPS, sign=1.0):
    phis = [theta] * TASKS
    for _ in range(steps):
        phis = [phi - ALPHA * slope(phi, 0, i) for i, phi in enumerate(phis)]
    return sign * (theta - np.array(phis)) / ALPHA


def test_reptile_is_judged_and_diagnosed():
    of_reptile = {"algorithm": "reptile", "query": None}
    assert problem(displacement, **of_reptile).diagnose().word == "RIGHT"
    found = problem(lambda theta: displacement(theta, sign=-1.0), **of_reptile).diagnose()
    assert "the right result times −1" in " ".join(found.what), found
    found = problem(lambda theta: displacement(theta, steps=STEPS + 1), **of_reptile).diagnose()
    assert "steps: K + 1" in " ".join(found.what), found


@pytest.mark.parametrize(
    ("error", "sentence", "changes"),
    [
        (ValueError, "algorithm must be one of maml, implicit, reptile, got 'mamll'", {"algorithm": "mamll"}),
        (ValueError, "the algorithm 'implicit' takes strength, got alpha, steps; leave others None", {"algorithm": "implicit"}),
        (ValueError, "the algorithm 'maml' takes alpha and steps, got steps", {"alpha": None}),
        (ValueError, "alpha must be one number other than 0", {"algorithm": "reptile", "alpha": 0.0}),
        (ValueError, r"support\[1\] has the batch axes \(\) and 2 parameters, expected \(\) and 6", {"support": [rm.BlackBox(sum, 6), rm.BlackBox(sum, 2)]}),
        (ValueError, "support is empty: give one loss or task", {"support": []}),
        (TypeError, r"support must be a task .* or a list of losses or of tasks, got NoneType at \[1\]", {"support": [sum, None]}),
        (ValueError, r"the batch axes \(3,\) and \(2,\), expected \(N,\) of both", {"query": losses(1)[:2]}),
        (ValueError, r"gradient\(theta\) returned shape \(6,\) for gradient, expected \(3, 6\): one row per task, never reduced", {"gradient": lambda t: mine(t).sum(0)}),
        (ValueError, r"gradient has shape \(6,\), expected \(N, d\) = \(3, 6\)", {"gradient": THETA}),
    ],
    ids=lambda value: None if isinstance(value, dict | type) else value[:40],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(error, sentence, changes):
    with pytest.raises(error, match=sentence):
        problem(**{"gradient": mine} | changes).diagnose()


def test_an_array_is_judged_and_nothing_is_asked():
    assert problem(mine(THETA)).diagnose().word == "RIGHT"
    found = problem(mine(THETA, kept=lambda k: False)).diagnose()
    assert "first-order" in " ".join(found.what) and found.where == ()


class Drawn:
    """A loss with dropout in training: another mask at every call."""

    def __init__(self):
        self.rng = np.random.default_rng(3)

    def __call__(self, theta, function=loss, task=0):
        return function(theta * (self.rng.random(theta.size) < 0.8) / 0.8, 0, task)


DRAWN = Drawn()


class Counted:
    """A loss that keeps something between calls."""

    calls = 0

    def __call__(self, theta):
        self.calls += 1
        return loss(theta, 0, 0) * (1 + 0.01 * self.calls)


class Tensor:
    """A number of a graph: not an array until it is detached."""

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")

    def detach(self):
        return self.value


def written(theta):
    """A loss that scales its argument in place."""
    theta *= 0.999
    return loss(theta, 0, 0)


def bent(theta):
    """A loss with a kink at THETA, as a network of ReLU may have it."""
    return loss(theta, 0, 0) + np.sum(np.maximum(theta - THETA, 0.0))


def own(theta):
    """∇ of the first task's loss on the support."""
    return slope(theta, 0, 0)


@pytest.mark.parametrize(
    ("function", "grad", "sentence"),
    [
        (Drawn(), own, r"^support\[0\]: the loss is random: at the same theta it returned .* and .*; draw the samples once"),
        (Drawn(), None, r"^support\[0\]: the loss is random"),
        (lambda t: loss(t, 0, 0), lambda t: DRAWN(t, slope), r"^support\[0\]: grad is random: .* switch dropout off with eval\(\)"),
        (Counted(), own, r"^support\[0\]: the loss is random"),
        (written, own, r"^support\[0\]: f changes theta in place: copy it inside f"),
        (bent, own, r"does not look smooth at theta in \d of \d entries: .*\ntry: move theta a little: a kink such as that of ReLU"),
        (lambda t: loss(t, 0, 0), lambda t: np.roll(own(t), HIDDEN), "try: its entries are those of the right one in another order: are the parameters flattened"),
        (lambda t: loss(t, 0, 0), lambda t: own(t)[[0, 2, 4, 1, 3, 5]], "try: its entries are in another order: a table .* transpose it"),
        (lambda t: loss(t, 0, 0), lambda t: sum(slope(t, 0, i) for i in range(TASKS)), r"^support\[0\]: grad is no derivative: WRONG: your gradient is not that of your function"),
    ],
    ids=["random", "random without grad", "random gradient", "side effect", "in place", "kink", "layers swapped", "transposed", "reduced over tasks"],
)  # fmt: skip
def test_functions_that_are_no_loss_or_no_gradient_are_said_in_a_sentence(function, grad, sentence):
    first = rm.BlackBox(function, THETA.size, grad=grad)
    with pytest.raises(ValueError, match=sentence):
        problem(mine, support=[first, *tasks(0)[1:]]).diagnose()


def test_losses_in_single_precision_are_judged_as_such():
    """Fewer digits are shown, and a mistake is still one."""
    single = lambda f, split, i: lambda t: np.float32(f(np.float32(t), split, i))
    boxes = lambda split: [rm.BlackBox(single(loss, split, i), THETA.size, grad=single(slope, split, i)) for i in range(TASKS)]
    found = problem(mine, boxes).diagnose()
    assert found.word == "RIGHT" and 2 < float(found.sentence.split()[-2]) < 7, found
    assert problem(lambda theta: mine(theta, kept=lambda k: False), boxes).diagnose().word == "WRONG"


def test_tensors_with_a_graph_are_taken_as_they_are():
    tensors = lambda split: [
        rm.BlackBox(lambda t, i=i: Tensor(loss(t, split, i)), THETA.size, grad=lambda t, i=i: Tensor(slope(t, split, i))) for i in range(TASKS)
    ]
    assert problem(lambda theta: Tensor(mine(theta)), tensors).diagnose().word == "RIGHT"


def test_only_the_first_row_is_right_where_something_passes_between_tasks():
    """Nothing of one's own can be put in another order: what else it may be is said."""
    found = problem(lambda theta: mine(theta) * np.array([[1.0], [1.1], [1.3]])).diagnose(seconds=3)
    assert any(line.startswith("only the first task's row is right: something is not reset between tasks") for line in found.where), found
    assert found.where[-1].endswith("or that task is of another kind")


def test_what_would_cost_too_much_from_losses_alone_is_refused_with_its_cost():
    """Before a loss is asked."""
    calls = []
    alone = [lambda t: calls.append(t) or np.sum(np.sin(t))] * 5
    with pytest.raises(ValueError, match=r"some 5e\+07 evaluations of them, for 5 tasks, 400 parameters and 50 steps; give their gradients"):
        Problem(np.ones(400) / 3, alone, None, 0.01, 50, lambda theta: theta).diagnose()
    assert not calls


@pytest.mark.parametrize("given", [{"alpha": 0.0}, {"steps": 0}])
def test_where_nothing_is_adapted_it_is_said_that_hessians_are_not_seen(given):
    first_order = lambda theta: np.array([slope(theta, 1, i) for i in range(TASKS)])
    found = problem(first_order, **given).diagnose()
    assert found.word == "RIGHT" and found.sentence.endswith("so that the Hessian terms are not seen")
    assert "not seen" not in problem(mine).diagnose().sentence


def test_losses_that_show_no_digit_prove_nothing():
    """From values near 1e15 there is no slope: a right gradient is not called right, and a wrong one is not, either."""
    large = lambda split: [lambda t: 1e15 + loss(t, split, 0)]
    for gradient in (lambda theta: mine(theta, steps=1)[:1], lambda theta: mine(theta, steps=1)[:1] / 2):
        found = problem(gradient, large, steps=1).diagnose()
        assert found.word == "CANNOT TELL" and "your losses show 0.0 digits" in found.sentence and "give grad=" in found.what[0]
