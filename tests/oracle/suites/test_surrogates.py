"""The known-wrong surrogates are what they say, and an ε has the effect that is said."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.asking import moved
from refmeta.oracle.bicomplex import COMPLEX, Bicomplex
from refmeta.oracle.choices import singles
from refmeta.oracle.decimals import exp, gradient, hessian_product, ln, real, softmax
from refmeta.oracle.diagnosis.choices import single_matches
from refmeta.oracle.epsilons import slope
from refmeta.oracle.judge import JudgeSettings, gap, judge
from refmeta.oracle.suites.surrogates import SUITE
from refmeta.oracle.suites.surrogates.choices import RECIPES
from refmeta.oracle.suites.surrogates.definition import SUMMANDS
from refmeta.oracle.suites.surrogates.epsilons import ratio_effects
from refmeta.oracle.suites.surrogates.jets import jets, orders
from refmeta.oracle.suites.surrogates.kl_functions import OTHERS
from refmeta.oracle.suites.surrogates.penalties import OF_POLICIES, OF_RATIOS, WEIGHTS, term
from refmeta.oracle.suites.surrogates.problem import Batches, by_definition, problem
from refmeta.oracle.suites.surrogates.weights import advantages
from refmeta.oracle.vectors import cases
from refmeta.problems import POLICIES, random_trajectories
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.trajectories import Trajectories
from refmeta.softmax import log_softmax
from refmeta.tolerance import tolerance
from tests.oracle.field.patches import patched
from tests.oracle.right import second_order


def generic(kind, seed=7):
    """Two tasks whose trajectories end early, and θ away from θ_sampled."""
    rng = np.random.default_rng(seed)
    policy, start, batch = random_trajectories(rng, kind)
    theta, v = start + 0.2 * rng.normal(size=policy.dim), rng.normal(size=policy.dim)
    return Batches(theta, start, policy, batch, rng.normal(size=batch.mask.shape), 0.8, 0.625, v)


@pytest.mark.parametrize("kind", POLICIES)
def test_batches_give_back_the_inputs_that_they_were_made_of(kind):
    inputs = generic(kind).inputs
    assert set(inputs) == set(SUITE.inputs) and problem(SUITE.arguments(inputs)).inputs == inputs


@pytest.mark.parametrize("kind", POLICIES)
def test_the_definition_is_the_library_where_no_step_is_changed(kind):
    case = generic(kind)
    for part in SUITE.parts:
        np.testing.assert_allclose(by_definition(part, case), SUITE.answer(part, case), rtol=1e-11, atol=1e-12)


def two_ratios():
    """One task, one state: π = (½, ½), once (¼, ¾); action 0 twice with rewards 3, 5, and action 1 that ends at once.

    γ = ½, b = (7, 0), so that x = (ln 2, ln 2) and ln 2/3, and G = (11/2, 5) and 4; what stands after the end is 9.
    """
    batch = Trajectories(
        np.zeros((1, 2, 2), int), np.array([[[0, 0], [1, 0]]]), np.array([[[3.0, 5], [4, 9]]]), np.array([[[1, 1], [1, 0]]])
    )
    b = np.array([[[7.0, 0], [0, 0]]])
    return Batches(np.zeros(2), np.log([1.0, 3.0]), rm.TabularSoftmax(1, 2), batch, b, 0.5, 1.0, np.ones(2))


@pytest.mark.parametrize(
    ("slug", "name", "minus_twice_the_loss"),
    [
        (None, "dice", 3 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3),
        (None, "tmaml", 3 * 2 + 7 * (1 - 2) + 5 / 2 * 4 + 4 * 2 / 3),
        (None, "likelihood_ratio", (11 / 2 - 7) * 2 + 5 / 2 * 2 + 4 * 2 / 3),
        ("dice-averaged-dependencies", "dice", 3 * 2**0.5 - 7 + 5 / 2 * 2 + 4 * (2 / 3) ** 0.5),
        ("dice-over-returns", "dice", 11 / 2 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3),
        ("no-magic-box", "dice", 3 * np.log(2) - 7 + 5 / 2 * np.log(4) + 4 * np.log(2 / 3)),
        ("mean-over-time", "dice", (3 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3) / (3 / 2)),
        ("sum-over-episodes", "dice", (3 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3) * 2),
        ("surrogate-undiscounted-visits", "likelihood_ratio", (11 / 2 - 7) * 2 + 5 * 2 + 4 * 2 / 3),
        ("denominator-follows", "dice", 3 + 5 / 2 + 4),
        ("mask-ignored", "dice", 3 * 2 - 7 + 5 / 2 * 4 + 4 * 2 / 3 + 9 / 2 * 2 / 3 * 2),
        ("baseline-dropped", "dice", 3 * 2 + 5 / 2 * 4 + 4 * 2 / 3),
        ("tmaml-present-included", "tmaml", 3 * 2 + 7 * ((1 - 2) - (1 - 2) * (1 - 2)) + 5 / 2 * 4 + 4 * 2 / 3),
    ],
)  # fmt: skip
def test_rows_by_hand(slug, name, minus_twice_the_loss):
    case = two_ratios()
    row = next((row for row in SUITE.rows if row.slug == slug), None)
    part = f"{name}_loss"
    value = row.function(case)[part] if row else SUITE.answer(part, case)
    np.testing.assert_allclose(value, [-minus_twice_the_loss / 2], rtol=1e-14)


@pytest.mark.parametrize(
    ("slug", "of"),
    [("curvature-of-reinforce", "reinforce_hvp"), ("curvature-of-likelihood-ratio", "likelihood_ratio_hvp")],
)
def test_a_row_of_another_curvature_is_that_of_the_other_surrogate(slug, of):
    case = generic("tabular")
    row = next(row for row in SUITE.rows if row.slug == slug)
    assert set(row.function(case)) == {f"{name}_hvp" for name in SUMMANDS} - {of}
    for value in row.function(case).values():
        np.testing.assert_array_equal(value, SUITE.answer(of, case))


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("name", SUMMANDS)
def test_an_epsilon_in_the_ratios_has_the_effect_of_a_finite_one(name, kind):
    """x = log(π + e) − log(π_sampled + e₀), written out."""
    case = generic(kind)
    surrogate = case.surrogate(name)
    old = likelihood_at(case.policy, case.theta_sampled, case.trajectories).log_prob

    def loss(theta, new, sampled):
        now = likelihood_at(case.policy, theta, case.trajectories).log_prob
        x = np.log(np.exp(now) + new) - np.log(np.exp(old) + sampled)
        values = sum(term.link(term.weights, term.mixed(x * case.trajectories.mask))[0] for term in surrogate.terms)
        return -np.sum(values, axis=(-2, -1)) / old.shape[-2]

    def of(kind, *e):
        grad = lambda theta: complex_step(lambda t: loss(t, *e), theta)
        if kind == "loss":
            return loss(case.theta, *e)
        return grad(case.theta) if kind == "grad" else slope(lambda h: grad(case.theta + h * case.v))

    places = {"log(π + ε)": (1, 1), "log(π + ε) but at the time of sampling": (1, 0), "π/(π_sampled + ε)": (0, 1)}
    for part in ("loss", "grad", "hvp"):
        effects = ratio_effects(surrogate, case.theta, part, case.v)
        assert set(effects) == set(places)
        for place, (new, sampled) in places.items():
            expected = slope(lambda e: of(part, e * new, e * sampled), 1e-6)  # noqa: B023
            size = max(np.max(np.abs(expected)), 1.0)
            np.testing.assert_allclose(effects[place](), expected, rtol=0, atol=1e-5 * size, err_msg=f"{part}, {place}")


CHOSEN = {case.id: case for case in cases(SUITE.name) if case.result == "valid"}
def departs(case, part, point):
    """Is a part elsewhere by ten tolerances?"""
    value, expected = SUITE.variant(part, case.problem, point), case.expected[part]
    limit = tolerance(expected.kappa, expected.scale, "float64")
    return value is not None and gap(value, expected.value, limit) > 10


@pytest.mark.parametrize("id", CHOSEN)
def test_without_a_departure_a_variant_is_the_answer_of_the_library(id):
    problem = CHOSEN[id].problem
    for part in SUITE.parts:
        value = SUITE.answer(part, problem)
        np.testing.assert_allclose(SUITE.variant(part, problem, {}), value, rtol=1e-10, atol=1e-13 * np.max(np.abs(value), initial=1))


@pytest.mark.parametrize(("choice", "words"), singles(SUITE.choices))
def test_every_departure_is_seen_in_a_vector(choice, words):
    point = {choice: SUITE.choices[choice][words]}
    assert any(departs(case, part, point) for case in CHOSEN.values() for part in SUITE.parts)


@pytest.mark.parametrize(
    ("slug", "point"),
    [
        ("dice-averaged-dependencies", {"sums": "over M"}),
        ("dice-over-returns", {"return": "to go"}),
        ("no-magic-box", {"ratio": ("linear box",)}),
        ("mean-over-time", {"over time": "steps taken"}),
        ("sum-over-episodes", {"over trajectories": "sum"}),
        ("surrogate-undiscounted-visits", {"discount": "dropped"}),
        ("denominator-follows", {"denominators": "follow"}),
        ("mask-ignored", {"mask": "ignored"}),
        ("baseline-dropped", {"baseline": "none"}),
        ("curvature-of-reinforce", {"curvature": "reinforce"}),
        ("curvature-of-likelihood-ratio", {"curvature": "likelihood_ratio"}),
    ],
)
@pytest.mark.parametrize("kind", POLICIES)
def test_a_known_wrong_formula_is_a_point(kind, slug, point):
    case = generic(kind)
    row = next(row for row in SUITE.rows if row.slug == slug)
    for part, value in row.function(case).items():
        np.testing.assert_allclose(SUITE.variant(part, case, point), value, rtol=1e-10, atol=1e-12)


def one_trajectory(**point):
    """A step's weights and baseline for r = (1, 2, 4), b = (1, 1, 2), γ = ½ and λ = ½, the fourth step not taken."""
    batch = Trajectories(*(np.zeros((1, 1, 4), int),) * 2, np.array([[[1.0, 2, 4, 9]]]), np.array([[[1, 1, 1, 0]]]))
    case = Batches(np.zeros(2), np.zeros(2), rm.TabularSoftmax(1, 2), batch, np.array([[[1.0, 1, 2, 9]]]), 0.5, 0.5, np.ones(2))
    w, b, _ = advantages("likelihood_ratio", case, point)
    return w[0, 0].tolist(), b[0, 0].tolist()


@pytest.mark.parametrize(
    ("value", "G"),
    [
        ("to go", [3, 4, 4, 0]), ("reward", [1, 2, 4, 0]), ("whole", [3, 3, 3, 0]), ("whole undiscounted", [7, 7, 7, 0]),
        ("from the start", [3, 2, 1, 0]), ("undiscounted", [7, 6, 4, 0]), ("after", [2, 2, 0, 0]), ("next", [4, 4, 0, 0]),
        ("one step", [1.5, 3, 4, 0]), ("gae", [2.125, 3.5, 4, 0]), ("past", [1, 2.5, 5.25, 0]),
        ("discounted reward", [1, 1, 1, 0]), ("whole alone", [3, 3, 3, 0]), ("bootstrapped", [3.25, 4.5, 5, 0]),
        ("bootstrapped instead", [2.5, 3, 2, 0]), ("bootstrapped at H", [3, 4, 4, 0]), ("once more", [1.5, 2, 2, 0]), ("squared", [1.75, 3, 4, 0]),
        ("mean to go", [1, 2, 4, 0]), ("over steps left", [3 / 4, 4 / 3, 2, 0]), ("two steps", [2.5, 4, 4, 0]), (("of", 1.0), [7, 6, 4, 0]),
        ("gae ends", [2.1875, 3.75, 5, 0]), ("gae bare", [1.125, 2.5, 2, 0]), (("gae of", 0.0), [1.5, 3, 4, 0]), ("through ends", [3, 4, 4, 0]),
    ],
)  # fmt: skip
def test_returns_by_hand(value, G):
    discount = [1, 1, 1, 1] if value == "whole alone" else [1, 0.5, 0.25, 0.125]
    b = [1, 1, 2, 0]
    expected = [d * (x - y) for d, x, y in zip(discount, G, b, strict=True)]
    w, base = one_trajectory(**{"return": value})
    np.testing.assert_allclose(w, expected, rtol=1e-14)
    np.testing.assert_allclose(base, [d * y for d, y in zip(discount, b, strict=True)], rtol=1e-14)


@pytest.mark.parametrize(
    ("point", "weights"),
    [
        ({}, [2, 1.5, 0.5, 0]),
        ({"discount": "dropped"}, [2, 3, 2, 0]),
        ({"discount": "squared"}, [2, 0.75, 0.125, 0]),
        ({"discount": "one more"}, [1, 0.75, 0.25, 0]),
        ({"discount": "on the return"}, [2, 1, -1, 0]),
        ({"over time": "steps taken"}, [2 / 3, 0.5, 0.5 / 3, 0]),
        ({"over time": "own steps"}, [2 / 3, 0.5, 0.5 / 3, 0]),
        ({"over time": "H"}, [0.5, 0.375, 0.125, 0]),
        ({"baseline": "none"}, [3, 2, 1, 0]),
        ({"baseline": "twice"}, [1, 1, 0, 0]),
        ({"baseline": "added"}, [4, 2.5, 1.5, 0]),
        ({"baseline": "mean"}, [3 - 11 / 3, 0.5 * (4 - 11 / 3), 0.25 * (4 - 11 / 3), 0]),
        ({"baseline": "mean of each step"}, [0, 0, 0, 0]),
        ({"baseline": "of the next step"}, [2, 1, 1, 0]),
        ({"discount": "reversed"}, [0.25, 0.75, 1, 0]),
        ({"discount": "to the end"}, [0.5, 1.5, 2, 0]),
        ({"discount": "harmonic"}, [2, 1.5, 2 / 3, 0]),
        ({"discount": "one less"}, [2, 3, 1, 0]),
        ({"over time": "steps before"}, [2, 0.75, 0.5 / 3, 0]),
        ({"over time": "steps left"}, [2 / 3, 0.75, 0.5, 0]),
        ({"baseline": "of the last step"}, [1, 1, 0.5, 0]),
        ({"baseline": "reversed"}, [3, 1, 0.75, 0]),
        ({"baseline": "discounted once more"}, [2, 1.75, 0.875, 0]),
        ({"baseline": "mean over time"}, [5 / 3, 4 / 3, 2 / 3, 0]),
        ({"baseline": ("plus", 2.0)}, [0, 0.5, 0, 0]),
        ({"rewards": "last", "baseline": "none"}, [1, 1, 1, 0]),
        ({"rewards": ("clipped", 2.0), "baseline": "none"}, [2.5, 1.5, 0.5, 0]),
        ({"rewards": "before", "baseline": "none"}, [1, 1, 0.5, 0]),
        ({"mask": "early, H kept", "baseline": "none"}, [2, 1, 0, 0]),
        ({"mask": "first step"}, [0, 0, 0, 0]),
        ({"mask": "last step"}, [0, 0, 0.5, 0]),
        ({"mask": "early"}, [1, 0.5, 0, 0]),
        ({"mask": "late", "baseline": "none"}, [3 + 9 / 8, 2 + 9 / 8, 1 + 9 / 8, 9 / 8]),
        ({"mask": "rewards", "baseline": "none"}, [3 + 9 / 8, 2 + 9 / 8, 1 + 9 / 8, 0]),
        ({"advantages": ("centred", "task", 0.0), "discount": "dropped"}, [2 - 7 / 3, 3 - 7 / 3, 2 - 7 / 3, 0]),
        ({"advantages": ("centred", "padding", 0.0), "discount": "dropped"}, [2 - 7 / 4, 3 - 7 / 4, 2 - 7 / 4, 0]),
        ({"advantages": ("scaled 0", "task", 0.0), "discount": "dropped"}, [2 * 4.5**0.5, 3 * 4.5**0.5, 2 * 4.5**0.5, 0]),
        ({"advantages": ("scaled 1", "task", 0.0), "discount": "dropped"}, [2 * 3**0.5, 3 * 3**0.5, 2 * 3**0.5, 0]),
        ({"advantages": ("positive part", "task", 0.0), "discount": "on the return"}, [2, 1, 0, 0]),
        ({"advantages": ("shifted", "task", 1e-8), "discount": "on the return"}, [3 + 1e-8, 2 + 1e-8, 1e-8, 0]),
        ({"advantages": ("clipped", "task", 1.0), "discount": "on the return"}, [1, 1, -1, 0]),
        ({"advantages": ("range", "task", 0.0), "discount": "on the return"}, [1, 2 / 3, 0, 0]),
        ({"advantages": ("largest", "task", 0.0), "discount": "on the return"}, [1, 0.5, -0.5, 0]),
        ({"advantages": ("normalised 0, inside", "task", 2.0), "discount": "dropped"}, [-1 / 3 / (20 / 9) ** 0.5, 2 / 3 / (20 / 9) ** 0.5, -1 / 3 / (20 / 9) ** 0.5, 0]),
    ],
)
def test_weights_by_hand(point, weights):
    np.testing.assert_allclose(one_trajectory(**point)[0], weights, rtol=1e-13, atol=1e-14)


SMOOTH = [(choice, words) for choice, words in singles(SUITE.choices) if choice not in ("product", "after differentiation", "evaluated at")]
HELD_BACK = ("held", "follow", "probability")


@pytest.mark.parametrize("kind", POLICIES)
def test_gradients_and_products_are_derivatives_of_what_departs(kind):
    """Of every departure that holds nothing: the slope of the loss, and that of the gradient, along v."""
    case = generic(kind)
    near = [replace_fields(case, theta=case.theta + h * case.v) for h in (1e-5, -1e-5)]
    for choice, words in SMOOTH:
        point = {choice: SUITE.choices[choice][words]}
        name = next((n for n in SUMMANDS if SUITE.variant(f"{n}_grad", case, point) is not None), None)
        if name is None or any(word in f"{words} {point[choice]}" for word in HELD_BACK):
            continue
        of = lambda part, at, name=name, point=point: SUITE.variant(f"{name}_{part}", at, point)
        for part, derivative in (("loss", of("grad", case) @ case.v), ("grad", of("hvp", case))):
            by_difference = (of(part, near[0]) - of(part, near[1])) / 2e-5
            size = max(np.max(np.abs(derivative)), 1.0)
            np.testing.assert_allclose(derivative, by_difference, rtol=0, atol=1e-6 * size, err_msg=f"{choice}: {words}, {name}")


@pytest.mark.parametrize("words", SUITE.families)
def test_every_family_departs_on_a_vector(words):
    choice, make, *_ = SUITE.families[words]
    assert any(departs(case, part, {choice: make(0.3)}) for case in CHOSEN.values() for part in SUITE.parts)


def test_what_becomes_of_a_gradient():
    case = generic("tabular")
    g = SUITE.answer("dice_grad", case)
    norm = np.linalg.norm(g, axis=1, keepdims=True)
    of = lambda how: SUITE.variant("dice_grad", case, {"after differentiation": how})
    np.testing.assert_allclose(of(("norm", 0.5 * np.min(norm), 0.0)), 0.5 * np.min(norm) * g / norm, rtol=1e-10)
    np.testing.assert_allclose(of(("norm of all", 0.1)), 0.1 * g / np.sqrt(np.sum(norm**2)), rtol=1e-10)
    np.testing.assert_allclose(of(("unit", 0.25)), g / (norm + 0.25), rtol=1e-10)
    np.testing.assert_allclose(of(("entries", 0.1)), np.clip(g, -0.1, 0.1), rtol=1e-10)
    J = [np.array([np.real(gradient(pi, [complex(x) for x in case.theta], COMPLEX.outer)) for path in steps_of(case, i) for pi, _, _ in path]) for i in (0, 1)]
    by_hand = [np.linalg.solve(s.T @ s / case.baseline.shape[1] + 0.1 * np.eye(s.shape[1]), row) for s, row in zip(J, g, strict=True)]
    np.testing.assert_allclose(of(("natural", 0.1)), by_hand, rtol=1e-8)


def test_ratios_that_are_divided_by_their_mean():
    case = generic("tabular")
    x, m = jets(case, {}).x, case.trajectories.mask.astype(bool)
    for how, by_hand in {
        "padded": np.mean(np.where(m, np.exp(x), 1.0), axis=1, keepdims=True), "task": [[[np.mean(np.exp(r)[k])]] for r, k in zip(x, m, strict=True)],
        "each step": np.sum(np.exp(x) * m, axis=1, keepdims=True) / np.maximum(np.sum(m, axis=1, keepdims=True), 1),
    }.items():  # fmt: skip
        np.testing.assert_allclose(np.exp(jets(case, {"log ratio": how}).x)[m], (np.exp(x) / np.where(np.asarray(by_hand) > 0, by_hand, 1))[m], rtol=1e-12)


def plain_log_prob(kind):
    """ln π of one step as an implementation reads it, in any arithmetic; θ, s, a and the sizes S and A."""

    def gauss(theta, s, a, n, m):
        total = 0 * theta[0]
        for j in range(m):
            log = theta[m * n + j]
            log = {"log variance": lambda: log / 2, "softplus": lambda: ln(ln(1 + exp(log)))}.get(kind, lambda: log)()  # noqa: B023
            z = (a[j] - sum(theta[j * n + i] * s[i] for i in range(n))) * exp(-log)
            total -= z**2 * (1 if kind == "whole square" else 0.5) + log * (kind != "no log sigma") + 0.5 * np.log(2 * np.pi)
        return total / m if kind == "mean" else total

    def table(theta, s, a, S, A):
        row = [theta[i * A + a] for i in range(S)] if kind == "over states" else theta[s * A : (s + 1) * A]
        return ln(softmax(row)[s if kind == "over states" else a])

    def value(theta, s, a, S, A):
        logs = (gauss if isinstance(s, list) else table)(theta, s, a, S, A)
        return exp(logs) if kind == "probability" else logs

    return value


def steps_of(case, task, kind="own"):
    """The trajectories of a task as lists of steps (ln π of θ, ln π of θ_sampled, r, b), ln π as functions of θ."""
    s, a, r, mask = (x[task].tolist() for x in case.trajectories)
    log_prob, S, A = plain_log_prob(kind), case.policy.states, case.policy.actions
    return [
        [(lambda t, s=s[m][h], a=a[m][h]: log_prob(t, s, a, S, A), r[m][h], float(case.baseline[task, m, h])) for h in range(len(r[m])) if mask[m][h]]
        for m in range(len(r))
    ]


def derivatives(loss, case):
    """The value, the gradient and the Hessian product of a plain loss of θ."""
    theta, v = ([complex(x) for x in z] for z in (case.theta, case.v))
    by_hand = loss(theta), gradient(loss, theta, COMPLEX.outer), hessian_product(loss, theta, v, COMPLEX.outer, COMPLEX.second)
    return dict(zip(("loss", "grad", "hvp"), map(np.real, by_hand), strict=True))


def assert_is_point(recipe, name, point, kind, parts=("loss", "grad", "hvp"), log_pi="own"):
    """A plain loss of a task's trajectories is the surrogate at this point."""
    case = generic(kind)
    for task in range(len(case.trajectories.mask)):
        by_hand = derivatives(lambda t, task=task: recipe(steps_of(case, task, log_pi), t, case), case)
        for part in parts:
            value = SUITE.variant(f"{name}_{part}", case, point)[task]
            np.testing.assert_allclose(value, by_hand[part], rtol=1e-9, atol=1e-12, err_msg=part)


@pytest.mark.parametrize("log_pi", ["own", "over states", "probability"])
def test_readings_of_a_table(log_pi):
    recipe = lambda batch, t, case: -sum(pi(t) * (r - b) for path in batch for pi, r, b in path) / len(batch)
    point = {"return": "reward", "discount": "dropped", "denominators": "left out", "log pi": log_pi}
    assert_is_point(recipe, "reinforce", point, "tabular", log_pi=log_pi)


@pytest.mark.parametrize("log_pi", ["own", "mean", "log variance", "softplus", "no log sigma", "whole square", "probability"])
def test_readings_of_a_gaussian(log_pi):
    recipe = lambda batch, t, case: -sum(pi(t) * (r - b) for path in batch for pi, r, b in path) / len(batch)
    point = {"return": "reward", "discount": "dropped", "denominators": "left out", "log pi": log_pi}
    assert_is_point(recipe, "reinforce", point, "linear-gaussian", log_pi=log_pi)


def advantages_of(batch, gamma):
    """Σ_{k≥t} γᵏ⁻ᵗ r_k − b_t of every step, trajectory after trajectory: generalised advantages with λ = 1."""
    found = []
    for path in batch:
        G, back = 0.0, []
        for _, r, b in reversed(path):
            G = r + gamma * G
            back.append(G - b)
        found.append(back[::-1])
    return found


def normalised(values, ddof):
    """(x − mean)/(deviation + 1e-8)."""
    return (values - np.mean(values)) / (np.std(values, ddof=ddof) + 1e-8)


def held(theta, pi):
    """ln π as a constant: π of θ's real part."""
    return pi([complex(complex(x.a if isinstance(x, Bicomplex) else np.ravel(x)[0]).real) for x in theta])


def mean_of_steps(ddof, factor):
    """−mean over all steps of a batch of factor · normalised advantage."""

    def recipe(batch, t, case):
        A = normalised(np.concatenate(advantages_of(batch, case.gamma)), ddof)
        steps = [pi for path in batch for pi, _, _ in path]
        return -sum(factor(pi, t, case) * a for pi, a in zip(steps, A.tolist(), strict=True)) / len(steps)

    return recipe


def log_likelihood(pi, t, case):
    """ln π."""
    return pi(t)


def ratio(pi, t, case):
    """π/π_sampled."""
    return exp(pi(t) - pi(case.theta_sampled.astype(complex).tolist()))


def recipe_of(source, *more):
    """The point of a recipe of MAML-TRPO."""
    return RECIPES[", ".join([f"MAML-TRPO ({source})", *more])]


LOGS, BENT = "log pi instead of its ratio", "naive curvature"


@pytest.mark.parametrize("kind", ["tabular", "linear-gaussian"])
@pytest.mark.parametrize(
    ("recipe", "name", "point"),
    [
        # cbfinn/maml_rl maml_npo.py, rllab/sampler/base.py (center_adv): the inner and the outer loss; ProMP trpo_maml.py, vpg_maml.py
        (mean_of_steps(0, log_likelihood), "reinforce", recipe_of("cbfinn/maml_rl, ProMP", LOGS)),
        (mean_of_steps(0, log_likelihood), "likelihood_ratio", recipe_of("cbfinn/maml_rl, ProMP", BENT, LOGS)),
        (mean_of_steps(0, ratio), "likelihood_ratio", recipe_of("cbfinn/maml_rl, ProMP")),
    ],
)  # fmt: skip
def test_maml_trpo_is_a_point(recipe, name, point, kind):
    assert_is_point(recipe, name, point, kind)


@pytest.mark.parametrize("kind", ["tabular", "linear-gaussian"])
def test_maml_trpo_of_learn2learn_is_a_point(kind):
    """examples/rl/maml_trpo.py, metasgd_a2c.py and promp.py: torch's deviation, log π as a mean over coordinates."""
    inner, outer = mean_of_steps(1, log_likelihood), mean_of_steps(1, ratio)
    assert_is_point(inner, "reinforce", recipe_of("learn2learn", LOGS), kind, log_pi="mean")
    assert_is_point(inner, "dice", recipe_of("learn2learn", BENT, LOGS), kind, log_pi="mean")
    assert_is_point(outer, "likelihood_ratio", recipe_of("learn2learn"), kind, log_pi="mean")


@pytest.mark.parametrize("kind", ["tabular", "linear-gaussian"])
@pytest.mark.parametrize(("name", "factor"), [("reinforce", log_likelihood), ("likelihood_ratio", ratio)])
def test_maml_trpo_of_pytorch_maml_rl_is_a_point(name, factor, kind):
    """tristandeleu/pytorch-maml-rl torch_utils.py: means of the trajectories' own means, in the loss and in the statistics."""

    def recipe(batch, t, case):
        A = advantages_of(batch, case.gamma)
        mean = np.mean([np.mean(a) for a in A])
        deviation = np.sqrt(np.mean([np.mean((np.array(a) - mean) ** 2) for a in A]))
        losses = []
        for path, a in zip(batch, A, strict=True):
            terms = [factor(pi, t, case) * (x - mean) / (deviation + 1e-8) for (pi, _, _), x in zip(path, a, strict=True)]
            losses.append(-sum(terms) / len(path))
        return sum(losses) / len(losses)

    assert_is_point(recipe, name, recipe_of("pytorch-maml-rl", *([LOGS] if name == "reinforce" else [])), kind)


@pytest.mark.parametrize(("kind", "clip"), [("tabular", 0.1), ("linear-gaussian", 0.3)])
def test_the_clipped_ratio_of_promp_is_a_point(kind, clip):
    """pro_mp.py; clip_eps is 0.3 in its run scripts."""

    def recipe(batch, t, case):
        A = normalised(np.concatenate(advantages_of(batch, case.gamma)), 0).tolist()
        ratios = [ratio(pi, t, case) for path in batch for pi, _, _ in path]
        least = lambda x, a: min(x * a, min(max(x, 1 - clip, key=real), 1 + clip, key=real) * a, key=real)
        return -sum(least(x, a) for x, a in zip(ratios, A, strict=True)) / len(A)

    case = generic(kind)
    log_ratios = jets(case, {}).x[case.trajectories.mask > 0]
    assert {*(np.abs(np.exp(log_ratios) - 1) > clip)} == {True, False}
    assert_is_point(recipe, "likelihood_ratio", RECIPES[f"the clipped ratio of ProMP, {clip}"], kind)


@pytest.mark.parametrize("kind", ["tabular", "linear-gaussian"])
def test_dice_of_promp_is_a_point(kind):
    """dice_maml.py and dice_sample_processor.py: γᵗr − b normalised with its padding, in the magic box; a mean over M·H."""

    def recipe(batch, t, case):
        M, H = case.trajectories.mask.shape[-2:]
        rewards = np.zeros((M, H))
        for m, path in enumerate(batch):
            rewards[m, : len(path)] = [case.gamma**k * r - b for k, (_, r, b) in enumerate(path)]
        adjusted, total = normalised(rewards, 0), 0 * t[0]
        for m, path in enumerate(batch):
            tau = 0 * t[0]
            for k, (pi, _, _) in enumerate(path):
                tau = tau + pi(t) - held(t, pi)
                total = total + exp(tau) * float(adjusted[m, k])
        return -total / (M * H)

    assert_is_point(recipe, "dice", RECIPES["DiCE (ProMP)"], kind)


@pytest.mark.parametrize("kind", ["tabular", "linear-gaussian"])
def test_dice_of_learn2learn_is_a_point(kind):
    """maml_dice.py: a loop that adds 1/M of the sum before, which is the batch's last step for its first; returns in the box."""

    def recipe(batch, t, case):
        x = [pi(t) - held(t, pi) for path in batch for pi, _, _ in path]
        first = [k == 0 for path in batch for k in range(len(path))]
        weights = [0.0 if start and i else 1 / len(batch) for i, start in enumerate(first)]
        for i in range(len(x)):
            x[i] = x[i] + x[i - 1] * weights[i]
        A = np.concatenate(advantages_of(batch, case.gamma)).tolist()
        return -sum(exp(y) * a for y, a in zip(x, A, strict=True)) / len(A)

    assert_is_point(recipe, "dice", RECIPES["DiCE (learn2learn)"], kind, log_pi="mean")


@pytest.mark.parametrize(("magic", "baseline"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("kind", ["tabular", "linear-gaussian"])
def test_the_losses_of_lola_dice_are_points(kind, magic, baseline):
    """alshedivat/lola rpg.py: with and without use_dice and use_baseline; its own baseline is the batch's mean of each step."""

    def recipe(batch, t, case):
        M, H = case.trajectories.mask.shape[-2:]
        rets = np.zeros((M, H))
        for m, path in enumerate(batch):
            rets[m, : len(path)] = [case.gamma**k * r for k, (_, r, _) in enumerate(path)]
        box = (lambda y: exp(y)) if magic else (lambda y: y)
        own, total = rets - np.mean(rets, axis=0), 0 * t[0]
        for m, path in enumerate(batch):
            y = 0 * t[0]
            for k, (pi, _, b) in enumerate(path):
                x = pi(t) - held(t, pi) if magic else pi(t)
                y = y + x
                if baseline:
                    total = total + float(rets[m, k]) * box(y) + case.gamma**k * b * ((1 if magic else 0) - box(x))
                else:
                    total = total + float(own[m, k]) * box(y)
        return -total / M

    without = " and ".join(name for name, used in (("use_dice", magic), ("use_baseline", baseline)) if not used)
    assert_is_point(recipe, "dice", RECIPES[f"lola_dice without {without}"] if without else {"denominators": "follow"}, kind)


@pytest.mark.parametrize("order", ["(A, S)", "sigma first"])
@pytest.mark.parametrize("kind", ["tabular", "linear-gaussian"])
def test_another_order_of_theta_is_the_same_function_of_the_reordered(kind, order):
    case = generic(kind)
    if (place := orders(case).get(order)) is None:
        return
    moved = replace_fields(case, **{name: getattr(case, name)[place] for name in ("theta", "theta_sampled", "v")})
    for part in SUITE.parts:
        value, there = SUITE.variant(part, case, {"order of theta": order}), SUITE.answer(part, moved)
        np.testing.assert_allclose(value if part.endswith("loss") else value[:, place], there, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", POLICIES)
def test_layouts_say_where_each_parameter_stands(kind):
    case = generic(kind)
    for words, index in SUITE.layouts(case).items():
        place = orders(case)[SUITE.choices["order of theta"][words]]
        np.testing.assert_array_equal(case.theta[index][place], case.theta)


def test_products_that_are_used_for_the_hessian():
    case = generic("tabular")
    of = lambda kind, name="dice": SUITE.variant(f"{name}_hvp", case, {"product": kind})
    right = SUITE.answer("dice_hvp", case)
    np.testing.assert_allclose(of("outer") + of("inner"), right, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(of("outer", "reinforce"), 0 * right, atol=1e-14)
    np.testing.assert_allclose(of("inner", "reinforce"), SUITE.answer("reinforce_hvp", case), rtol=1e-10, atol=1e-12)
    grad = SUITE.answer("dice_grad", case)
    np.testing.assert_allclose(of("gradients"), [g * (g @ case.v) for g in grad], rtol=1e-10)
    scores = [[pi for path in steps_of(case, task) for pi, _, _ in path] for task in range(2)]
    each = [[gradient(pi, [complex(x) for x in case.theta], COMPLEX.outer) for pi in row] for row in scores]
    fisher = [sum(np.outer(s, s) for s in map(np.real, row)) @ case.v / 3 for row in each]
    np.testing.assert_allclose(of("fisher"), fisher, rtol=1e-9)


@pytest.mark.parametrize("kind", POLICIES)
def test_terms_that_may_be_added_are_derivatives_of_one_another(kind):
    case = generic(kind)
    axes, along = np.eye(len(case.theta)), lambda f: slope(lambda h: f(case.theta + h * case.v))
    for name, over in ((name, over) for name in (*OF_POLICIES, *OF_RATIOS) for over in WEIGHTS):
        at = lambda theta, kind, n=name, o=over: term(kind, replace_fields(case, theta=theta), n, o)
        by_step = np.stack([slope(lambda h, e=e: at(case.theta + h * e, "loss")) for e in axes], axis=-1)  # noqa: B023
        np.testing.assert_allclose(at(case.theta, "grad"), by_step, rtol=1e-6, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(at(case.theta, "hvp"), along(lambda t: at(t, "grad")), rtol=1e-6, atol=1e-5, err_msg=name)  # noqa: B023


def test_divergences_by_hand():
    """One state with π_sampled = (¼, ¾) and π = (½, ½), in all steps: ½ ln(4/3), ¼ ln ½ + ¾ ln (3/2), and ln 2."""
    case = two_ratios()
    sums = [term("loss", case, name, "sum over all steps") for name in OF_POLICIES[:3]]
    np.testing.assert_allclose(sums, np.array([[np.log(2)], [np.log(0.5) / 4 + 0.75 * np.log(1.5)], [np.log(4 / 3) / 2]]) * 3, rtol=1e-14)


def test_predicates_hold_where_they_say_and_after_a_move():
    for case in CHOSEN.values():
        for predicate in SUITE.predicates:
            if not predicate.holds(case) and (inputs := predicate.move(case.arguments())) is not None:
                assert predicate.holds(moved(case, inputs))
    held_at = {p.name: {id for id, case in CHOSEN.items() if p.holds(case)} for p in SUITE.predicates}
    assert held_at["theta = theta_sampled"] == {id for id, case in CHOSEN.items() if "off-policy" not in case.flags}
    assert held_at["the policy is Gaussian"] == {id for id, case in CHOSEN.items() if "linear-gaussian" in case.flags}


def test_most_vectors_are_on_policy_where_the_surrogates_have_one_gradient():
    on_policy = [case for case in CHOSEN.values() if "off-policy" not in case.flags]
    assert len(on_policy) > len(CHOSEN) / 2
    for case in on_policy:
        first, *others = (case.expected[f"{name}_grad"].value for name in SUMMANDS)
        for other in others:
            np.testing.assert_allclose(other, first, rtol=1e-12, atol=1e-12 * np.max(np.abs(first)))
        products = [case.expected[f"{name}_hvp"].value for name in ("reinforce", "likelihood_ratio")]
        assert not np.allclose(*products)


def test_the_whole_return_by_hand():
    """Σ_k γᵏ r_k is 11/2 in the first trajectory and 4 in the second; at the second step γb is 0: 11/2 stands for 5/2."""
    case = two_ratios()
    row = next(row for row in SUITE.rows if row.slug == "whole-return")
    parts = row.function(case)
    assert row.kind == "right" and all(part.startswith(("reinforce", "likelihood_ratio")) for part in parts)
    total = (11 / 2 - 7) * 2 + 11 / 2 * 2 + 4 * 2 / 3
    np.testing.assert_allclose(parts["likelihood_ratio_loss"], [-total / 2], rtol=1e-14)


def test_a_clamped_deviation_is_another_parameter_without_a_slope():
    """log σ = 3 is kept at 2: losses as with 2, and no slope in it."""
    case = generic("linear-gaussian")
    theta = case.theta.copy()
    theta[-1] = 3.0
    bounded = np.where(np.arange(theta.size) == theta.size - 1, 2.0, theta)
    row = next(row for row in SUITE.rows if row.slug == "log-sigma-clamped")
    parts, right = row.function(replace_fields(case, theta=theta)), replace_fields(case, theta=bounded)
    for name in SUMMANDS:
        np.testing.assert_allclose(parts[f"{name}_loss"], SUITE.answer(f"{name}_loss", right), rtol=1e-11)
        slopes = SUITE.answer(f"{name}_grad", right) * (np.arange(theta.size) < theta.size - 1)
        np.testing.assert_allclose(parts[f"{name}_grad"], slopes, rtol=1e-11, atol=1e-12)


def of_penalties(u):
    """∂/∂θ_0 of the penalties on `two_ratios` where a step has (l, ratio, γᵗ): the scores are ½, ½ and −½.

    θ_ref = (0, ½ ln 3), so that π_ref = (1, √3)/(1 + √3).
    """
    y = np.log(0.5) - np.log(np.array([1, 3**0.5]) / (1 + 3**0.5))
    return (u(y[0], 2.0) / 2 * (1 + 1 / 2) - u(y[1], 2 / 3) / 2) / 2


K3 = lambda y: np.exp(-y) + y - 1  # noqa: E731


@pytest.mark.parametrize(
    ("slug", "part", "u"),
    [
        (None, "kl_k1", lambda y, ratio: (y + 1) * ratio),
        (None, "kl_k2", lambda y, ratio: (y**2 / 2 + y) * ratio),
        (None, "kl_k3", lambda y, ratio: (K3(y) + 1 - np.exp(-y)) * ratio),
        ("k1-in-the-loss", "kl_k1", lambda y, ratio: 1.0),
        ("ratio-missing", "kl_k2", lambda y, ratio: y),
        ("k3-in-the-loss", "kl_k3", lambda y, ratio: 1 - np.exp(-y)),
        ("k1-of-own-step", "kl_k1", lambda y, ratio: y * ratio),
        ("penalty-of-own-step", "kl_k2", lambda y, ratio: y**2 / 2 * ratio),
        ("penalty-of-own-step", "kl_k3", lambda y, ratio: K3(y) * ratio),
        ("kl-swapped", "kl_k1", lambda y, ratio: (-y - 1) * ratio),
        ("kl-swapped", "kl_k3", lambda y, ratio: (K3(-y) - 1 + np.exp(y)) * ratio),
        ("k3-log-sign", "kl_k3", lambda y, ratio: (np.exp(-y) - y - 1 - np.exp(-y) - 1) * ratio),
        ("k2-without-half", "kl_k2", lambda y, ratio: (y**2 + 2 * y) * ratio),
        ("kl-absolute", "kl_k1", lambda y, ratio: (abs(y) + np.sign(y)) * ratio),
        ("kl-to-the-old-policy", "kl_k1", lambda y, ratio: (np.log(ratio) + 1) * ratio),
        ("kl-to-the-old-policy", "kl_k2", lambda y, ratio: (np.log(ratio) ** 2 / 2 + np.log(ratio)) * ratio),
        ("denominator-follows", "kl_k1", lambda y, ratio: y + 1),
    ],
)  # fmt: skip
def test_penalties_and_their_rows_by_hand(slug, part, u):
    case = two_ratios()
    row = next((row for row in SUITE.rows if row.slug == slug), None)
    value = row.function(case)[part] if row else SUITE.answer(part, case)
    np.testing.assert_allclose(value, [[of_penalties(u), -of_penalties(u)]], rtol=1e-13)


def test_a_penalty_in_the_reward_by_hand():
    """The first action 0 also pays for the second one, half as much; l is that of θ_sampled = (0, ln 3) to θ_ref."""
    case = two_ratios()
    row = next(row for row in SUITE.rows if row.slug == "penalty-in-the-reward")
    y = np.log([1 / 4, 3 / 4]) - np.log(np.array([1, 3**0.5]) / (1 + 3**0.5))
    for part, k in (("kl_k1", y), ("kl_k2", y**2 / 2), ("kl_k3", K3(y))):
        slope = (k[0] * (1 + 1 / 2) / 2 + k[0] / 2 / 2 - k[1] / 2) / 2
        np.testing.assert_allclose(row.function(case)[part], [[slope, -slope]], rtol=1e-13)


@pytest.mark.parametrize(
    ("slug", "point"),
    [
        ("k1-in-the-loss", {"form of the penalty": "in loss"}),
        ("ratio-missing", {"form of the penalty": "in loss"}),
        ("k3-in-the-loss", {"form of the penalty": "in loss"}),
        ("penalty-in-the-reward", {"form of the penalty": "in reward"}),
        ("k1-of-own-step", {"form of the penalty": "own step"}),
        ("penalty-of-own-step", {"form of the penalty": "own step"}),
        ("kl-swapped", {"log ratio of the penalty": "swapped"}),
        ("k3-log-sign", {"function of the log ratio": "log sign"}),
        ("k2-without-half", {"function of the log ratio": "square"}),
        ("kl-absolute", {"function of the log ratio": "absolute"}),
        ("kl-to-the-old-policy", {"log ratio of the penalty": "theta_sampled"}),
    ],
)
@pytest.mark.parametrize("kind", POLICIES)
def test_a_known_wrong_penalty_is_a_point(kind, slug, point):
    case = generic(kind)
    row = next(row for row in SUITE.rows if row.slug == slug)
    for part, value in row.function(case).items():
        np.testing.assert_allclose(SUITE.variant(part, case, point), value, rtol=1e-10, atol=1e-12)


PLAIN = {
    "own": lambda y: y**2 / 2, "kl_k1": lambda y: y, "kl_k3": K3, "square": lambda y: y**2, "absolute": lambda y: np.sqrt(y**2),
    "log sign": lambda y: np.exp(-y) - y - 1, "without 1": lambda y: np.exp(-y) + y, "without l": lambda y: np.exp(-y) - 1,
    "ratio less 1": lambda y: np.exp(y) - 1, "weighted": lambda y: y * np.exp(y),
    "clamped": lambda y: np.where(K3(y).real > 10, 10, K3(y)),
}  # fmt: skip


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("function", PLAIN)
def test_penalties_with_departures_are_the_derivatives_of_losses(function, kind):
    """The loss written out, of another function of l, mean over the steps taken, γᵗ dropped, differentiated by a complex step."""
    case = generic(kind)
    batch, m = case.trajectories, case.trajectories.mask.astype(bool)
    old, ref = (likelihood_at(case.policy, theta, batch).log_prob for theta in (case.theta_sampled, case.theta_ref))

    def loss(theta, form, n):
        here = likelihood_at(case.policy, theta, batch).log_prob
        k, x, paid = PLAIN[function](here - ref), np.where(m, here - old, 0.0), PLAIN[function](old - ref)
        ratio, to_go = np.exp(x), lambda y: np.cumsum(np.where(m, y.real, 0.0)[..., ::-1], axis=-1)[..., ::-1]
        each = {
            "with ratio": k * ratio, "in loss": k, "held": k * ratio.real, "own step": k.real * ratio, "own step alone": k.real * x,
            "so far": k * np.exp(np.cumsum(x, axis=-1)), "in reward": to_go(paid) * x, "in reward, weighted": to_go(paid) * ratio,
            "in reward anew": to_go(k) * x, "in reward anew, weighted": to_go(k) * ratio, "both": k + to_go(paid) * x,
        }[form]  # fmt: skip
        return np.sum(np.where(m, each, 0.0), axis=(-2, -1)) / n

    taken, shared = np.sum(m, axis=(-2, -1)), {"discount": "dropped", "over time": "steps taken"}
    point = shared | ({} if function == "own" else {"function of the log ratio": function})
    for form in SUITE.choices["form of the penalty"].values():
        if not form.endswith("divergence"):
            by_step = complex_step(lambda t, form=form: loss(t, form, taken), case.theta)
            found = SUITE.variant("kl_k2", case, point | ({} if form == "with ratio" else {"form of the penalty": form}))
            np.testing.assert_allclose(found, by_step, rtol=1e-10, atol=1e-12, err_msg=form)


@pytest.mark.parametrize("kind", ["tabular", "linear-features"])
def test_divergences_from_the_reference_are_differentiated(kind):
    """Σ γᵗ of the divergence in the state of each step, written out with the probabilities of all actions."""
    case = generic(kind)
    s, m = np.asarray(case.trajectories.states), np.asarray(case.trajectories.mask, bool)
    table = lambda theta: log_softmax(case.policy.table(theta))

    def loss(theta, other):
        here, ref = table(theta), table(case.theta_ref)
        each = np.sum(np.exp(ref) * (ref - here) if other else np.exp(here) * (here - ref), axis=-1)
        return np.sum(np.where(m, case.gamma ** np.arange(m.shape[-1]) * each[s % len(each)], 0.0), axis=(-2, -1)) / m.shape[-2]

    for form, other in (("divergence", False), ("other divergence", True)):
        steps = [case.theta + h * e for e in np.eye(len(case.theta)) for h in (1e-6, -1e-6)]
        values = np.array([loss(theta, other) for theta in steps])
        by_difference = (values[::2] - values[1::2]).T / 2e-6
        np.testing.assert_allclose(SUITE.variant("kl_k1", case, {"form of the penalty": form}), by_difference, rtol=0, atol=1e-8)
    function = {"form of the penalty": "divergence", "function of the log ratio": "square"}
    assert SUITE.variant("kl_k1", case, function) is None


def test_a_clamped_k3_has_no_slope_where_it_is_clamped():
    k, slope = OTHERS["clamped"](np.array([-30.0, -3.0, -1.0, 9.0, 15.0, 25.0]))
    np.testing.assert_allclose(k, [10, 10, np.e - 2, 8 + np.exp(-9), 10, 10])
    np.testing.assert_allclose(slope, [0, 0, 1 - np.e, 1 - np.exp(-9), 0, 0])


@pytest.mark.parametrize("kind", POLICIES)
def test_an_epsilon_in_a_penalty_has_the_effect_of_a_finite_one(kind):
    """x = log π − log(π_sampled + e), l = log π − log(π_ref + e₀), written out."""
    case = CHOSEN[{"tabular": "surrogates-005", "linear-features": "surrogates-009"}.get(kind, "surrogates-011")]
    problem = case.problem
    batch = problem.penalty("kl_k1").trajectories
    old, ref = (np.exp(likelihood_at(problem.policy, theta, batch).log_prob) for theta in (problem.theta_sampled, problem.theta_ref))
    gamma, M = problem.gamma ** np.arange(old.shape[-1]), old.shape[-2]
    for part, k in (("kl_k1", lambda y: y), ("kl_k2", lambda y: y**2 / 2), ("kl_k3", K3)):

        def grad(e, e0, k=k):
            def loss(theta):
                here = likelihood_at(problem.policy, theta, batch).log_prob
                each = gamma * k(here - np.log(ref + e0)) * np.exp(here - np.log(old + e))
                return np.sum(np.where(batch.mask, each, 0.0), axis=(-2, -1)) / M

            return complex_step(loss, problem.theta)

        effects = SUITE.effects(case, part)
        for place, one in (("π/(π_sampled + ε)", lambda e, g=grad: g(e, 0.0)), ("log(π_ref + ε)", lambda e, g=grad: g(0.0, e))):
            expected = slope(one, 1e-6)
            np.testing.assert_allclose(effects[place](), expected, rtol=0, atol=1e-5 * max(np.max(np.abs(expected)), 1.0), err_msg=f"{part}, {place}")
        np.testing.assert_allclose(effects["1/(M + ε)"](), -case.expected[part].value / M, rtol=1e-12)


WHOLE_RATIO, RATIO, MAGIC = "log_ratio.sum(1, keepdims=True) * (1 / mask.sum(1, keepdims=True))", "        ratio = log_ratio.exp()\n        return -total(ratio", "        magic = log_ratio.cumsum(1).exp()\n        ratio = log_ratio.exp()\n        return -total(magic * rewards) - total((1 - ratio) * baseline)\n"
HALF = "({k}).detach() + (l * l) / 2 - ((l * l) / 2).detach()"
PLANTED = [
    ("likelihood_ratio_loss", "sums: mean of the logarithms of the whole trajectory", [(RATIO, f"        ratio = ({WHOLE_RATIO}).exp()\n        return -total(ratio")]),
    ("likelihood_ratio_grad", "sums: mean of the logarithms of the whole trajectory", [(RATIO, f"        ratio = ({WHOLE_RATIO}).exp()\n        return -total(ratio")]),
    ("likelihood_ratio_hvp", "sums: mean of the logarithms of the whole trajectory", [(RATIO, f"        ratio = ({WHOLE_RATIO}).exp()\n        return -total(ratio")]),
    ("dice_loss", "sums: mean of the logarithms of the whole trajectory", [(MAGIC, MAGIC.replace("log_ratio.cumsum(1).exp()", f"({WHOLE_RATIO}).exp()"))]),
    ("kl_k3", "function of the log ratio: k3 with the slope of k2", [("k = (-l).exp() + l - 1", "k = " + HALF.format(k="(-l).exp() + l - 1"))]),
    ("reinforce_loss", "denominators: left out, and the constant of a Gaussian, too", [("-total(log_ratio * advantages)", "-total(logp * advantages)")]),
    ("kl_k1", "function of the log ratio: k1 with the slope of k2", [("        k = l\n", "        k = " + HALF.format(k="l") + "\n")]),
]


@pytest.mark.parametrize(("part", "words", "pairs"), PLANTED)
def test_what_newer_code_does_is_named(part, words, pairs):
    """Ratios of whole sequences, and penalties whose slope is that of k2."""
    function, settings = patched(second_order, "surrogates", pairs, (part,)), JudgeSettings()
    chosen = [case for case in cases("surrogates") if case.result == "valid" and "extreme" not in case.flags][:12]
    failing = [o for case in chosen if (o := judge(case, function(**case.arguments()), settings)).verdict == "mismatch"]
    assert len(failing) >= 3
    choice, each = words.split(": ")
    for o in failing:
        value = SUITE.variant(part, o.case.problem, {choice: SUITE.choices[choice][each]})
        np.testing.assert_allclose(o.got[part], value, rtol=1e-9, atol=1e-9)
    assert any(words in m.line for m in single_matches(failing, settings))
