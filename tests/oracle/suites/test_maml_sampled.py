"""The known-wrong sampled meta-gradients are what they say, and so is every departure from what is right."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.meta.inner import adapt
from refmeta.oracle.choices import singles
from refmeta.oracle.diagnosis.choices import single_matches
from refmeta.oracle.judge import JudgeSettings, gap, judge
from refmeta.oracle.suites.maml_sampled import SUITE
from refmeta.oracle.suites.maml_sampled.problem import SampledBatches, by_definition, problem
from refmeta.oracle.suites.surrogates.definition import SUMMANDS
from refmeta.oracle.vectors import cases
from refmeta.problems import POLICIES, random_trajectories
from refmeta.sampling.trajectories import Trajectories
from refmeta.tolerance import tolerance
from tests.oracle.field.patches import patched
from tests.oracle.right import second_order

ROWS = {row.slug: row for row in SUITE.rows}
LIMITS = {"gradient-clipped", "steps-at-most-five", "probabilities-clamped", "logits-clamped", "log-sigma-clamped", "variance-floored"}


def generic(kind, K=3, seed=7):
    """Two tasks with K support batches that end early and a query of more trajectories, all drawn elsewhere than where they are used."""
    rng = np.random.default_rng(seed)
    policy, theta, _ = random_trajectories(rng, kind)
    batches = []
    for M in (*[3] * K, 4):
        _, _, batch = random_trajectories(rng, kind, episodes=M)
        batches.append(batch)
    if kind == "linear-features":
        batches = [batch._replace(states=batch.states % policy.states, actions=batch.actions % policy.actions) for batch in batches]
    support = Trajectories(*(np.stack(each, axis=1) for each in zip(*batches[:-1], strict=True)))
    b, query_b = (rng.normal(size=x.rewards.shape) for x in (support, batches[-1]))
    near = lambda *shape: theta + 0.1 * rng.normal(size=(*shape, policy.dim))
    alpha = 0.02 if kind == "linear-gaussian" else 0.2
    return SampledBatches(theta, policy, near(2, K), support, b, near(2), batches[-1], query_b, alpha, 0.8, 0.625)


@pytest.mark.parametrize("kind", POLICIES)
def test_batches_give_back_the_inputs_that_they_were_made_of(kind):
    inputs = generic(kind).inputs
    assert set(inputs) == set(SUITE.inputs) and problem(SUITE.arguments(inputs)).inputs == inputs


@pytest.mark.parametrize("kind", POLICIES)
def test_the_definition_is_the_library_where_no_step_is_changed(kind):
    case = generic(kind)
    for part in SUITE.parts:
        np.testing.assert_allclose(by_definition(part, case), SUITE.answer(part, case), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("name", SUMMANDS)
def test_the_meta_gradient_is_the_complex_step_of_the_composed_objective(kind, name):
    """The library's inner gradients, which are analytic in θ; the derivative of their Hessians is not asked for."""
    case = generic(kind)
    support, query = case.split(name)
    F = lambda theta: query.at(adapt(theta, support, **case.hyper).adapted).loss
    np.testing.assert_allclose(SUITE.answer(f"{name}_gradient", case), complex_step(F, case.theta), rtol=1e-10, atol=1e-11)


SHAPES = {"(d,)": lambda K, d: (d,), "(K, 1)": lambda K, d: (K, 1), "(K, d)": lambda K, d: (K, d)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", POLICIES)
def test_with_every_shape_of_alpha_and_with_negative_ones_definition_library_and_complex_step_agree(kind, shape):
    """In one place α is below 0.  α stands between Hessian and adjoint: on its other side another number comes out."""
    case = generic(kind, K=2)
    alpha = np.random.default_rng(5).uniform(0.5, 1.5, SHAPES[shape](2, case.policy.dim)) * case.alpha
    alpha[-1] *= -1
    case = replace_fields(case, alpha=alpha)
    for name in ("reinforce", "dice"):
        support, query = case.split(name)
        F = lambda theta, support=support, query=query: query.at(adapt(theta, support, **case.hyper).adapted).loss
        np.testing.assert_allclose(SUITE.answer(f"{name}_gradient", case), complex_step(F, case.theta), rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(SUITE.answer(f"{name}_objective", case), F(case.theta), rtol=1e-13)
        for kind_of in ("adapted", "objective", "gradient"):
            part = f"{name}_{kind_of}"
            np.testing.assert_allclose(by_definition(part, case), SUITE.answer(part, case), rtol=1e-10, atol=1e-11)
    left = SUITE.variant("dice_gradient", case, {"order of the factors": "left"})
    apart = np.max(np.abs(left - SUITE.answer("dice_gradient", case)))
    assert (apart < 1e-12) == (shape == "(K, 1)")


@pytest.mark.parametrize("kind", POLICIES)
def test_without_a_step_the_objective_is_the_query_s_loss_at_theta(kind):
    """The lists of an empty support, [[], []], are enough."""
    inputs = generic(kind).inputs
    inputs |= {name: [[], []] for name in ("theta_sampled", "states", "actions", "rewards", "mask", "baseline")}
    case = problem(SUITE.arguments(inputs))
    assert case.steps == 0 and case.inputs == inputs
    for name in SUMMANDS:
        point = case.surrogate(name, -1).at(case.theta)
        np.testing.assert_allclose(SUITE.answer(f"{name}_objective", case), point.loss, rtol=1e-13)
        np.testing.assert_allclose(SUITE.answer(f"{name}_gradient", case), point.grad, rtol=1e-13)
        np.testing.assert_array_equal(SUITE.answer(f"{name}_adapted", case), [case.theta, case.theta])
    for row in SUITE.rows:
        for part, value in (row.result(case) or {}).items():
            assert value.shape == SUITE.answer(part, case).shape, (row.slug, part)


def test_the_vectors_have_every_shape_of_alpha_negative_ones_and_no_step():
    given = [case.problem for case in VALID.values()]
    shapes = {(np.ndim(x.alpha), np.shape(x.alpha)[1:] == (1,)) for x in given}
    assert shapes == {(0, False), (1, False), (2, True), (2, False)} and {x.steps for x in given} == {0, 1, 2, 3, 7}
    assert {np.ndim(x.alpha) for x in given if np.any(np.asarray(x.alpha) < 0)} == {0, 1, 2}


def test_step_sizes_of_another_shape_get_a_sentence():
    inputs = SUITE.arguments(generic("tabular").inputs) | {"alpha": np.ones(5)}
    with pytest.raises(ValueError, match=r"alpha has shape \(5,\); one per parameter is \(6,\), one per step is \(3, 1\)"):
        problem(inputs)


def one_step():
    """One state, one decision, π = (½, ½): action 0 pays 4; α = ln(3)/4 leads to π = (¾, ¼), where action 1 pays 8.

    REINFORCE's gradient is −4 (½, −½), so that φ = (ln 3, −ln 3)/2.  The query's gradient is −8 (−¾, ¾) = (6, −6).
    REINFORCE's Hessian is 4 · ¼ [[1, −1], [−1, 1]], that of the ratio is 0: −4 (∇² log π + s sᵀ), s = (½, −½).
    """
    of = lambda *x: [np.array(each)[(None,) * 3] for each in x]
    support = Trajectories(*(x[None] for x in of([0], [0], [4.0], [True])))
    query = Trajectories(*of([0], [1], [8.0], [True]))
    query = Trajectories(*(x.reshape(1, 1, 1) for x in query))
    phi = np.array([[np.log(3) / 2, -np.log(3) / 2]])
    zero = np.zeros(2)
    support = Trajectories(*(x.reshape(1, 1, 1, 1) for x in support))
    return SampledBatches(
        zero, rm.TabularSoftmax(1, 2), zero[None, None], support, np.zeros((1, 1, 1, 1)), phi, query, np.zeros((1, 1, 1)), np.log(3) / 4, 0.75, 0.5
    )


A = np.log(3) / 4


@pytest.mark.parametrize(
    ("slug", "part", "first_entry"),
    [
        (None, "reinforce_gradient", 6 - 12 * A), (None, "likelihood_ratio_gradient", 6), (None, "dice_gradient", 6),
        (None, "loaded_dice_gradient", 6), ("first-order", "reinforce_gradient", 6), ("last-step-only", "reinforce_gradient", 6 - 12 * A),
        ("sign-flipped", "reinforce_gradient", 6 + 12 * A), ("alpha-missing", "reinforce_gradient", 6 - 12),
        ("alpha-twice", "reinforce_gradient", 6 - 12 * A**2), ("gradient-at-start", "reinforce_gradient", 4),
        ("gradient-at-start", "likelihood_ratio_gradient", 8), ("query-is-support", "reinforce_gradient", -1 + 2 * A),
        ("curvature-of-reinforce", "dice_gradient", 6 - 12 * A), ("curvature-of-likelihood-ratio", "reinforce_gradient", 6),
        ("score-counted-twice", "dice_gradient", 6 - 8 / 2), ("no-magic-box", "dice_gradient", 6 - 12 * A),
    ],
)  # fmt: skip
def test_rows_by_hand(slug, part, first_entry):
    """All results are multiples of (1, −1)."""
    case = one_step()
    value = ROWS[slug].function(case)[part] if slug else SUITE.answer(part, case)
    np.testing.assert_allclose(value, [[first_entry, -first_entry]], rtol=1e-13)
    np.testing.assert_allclose(SUITE.answer(part.replace("gradient", "adapted"), case), case.query_theta_sampled, rtol=1e-14)


@pytest.mark.parametrize("kind", POLICIES)
def test_rows_of_hessians_are_products_of_dense_matrices(kind):
    case = generic(kind)
    support, query = case.split("dice")
    path = adapt(case.theta, support, **case.hyper).path
    H = [np.stack([s.at(p.theta).hvp(e) for e in np.eye(case.policy.dim)], axis=-1) for s, p in zip(support, path, strict=False)]
    g = query.at(path[-1].theta).grad
    product = lambda order, a: np.linalg.multi_dot([np.eye(len(g[0])), *(np.eye(len(g[0])) - a * H[k][i] for k in order)]) @ g[i]
    for slug, order, a in (
        ("first-order", [], 0.0), ("last-step-only", [2], case.alpha), ("first-step-only", [0], case.alpha),
        ("reversed-product", [2, 1, 0], case.alpha), ("sign-flipped", [0, 1, 2], -case.alpha), ("alpha-missing", [0, 1, 2], 1.0),
        ("alpha-twice", [0, 1, 2], case.alpha**2),
    ):  # fmt: skip
        for i in range(2):
            expected = product(order, a) if order else g[i]
            np.testing.assert_allclose(ROWS[slug].function(case)["dice_gradient"][i], expected, rtol=1e-10, atol=1e-11, err_msg=slug)


@pytest.mark.parametrize(
    ("slug", "point"),
    [
        ("first-order", {"Hessians": "left out (first order)"}), ("last-step-only", {"Hessians": "of the last step alone"}),
        ("first-step-only", {"Hessians": "of the first step alone"}), ("reversed-product", {"Hessians": "in the other order"}),
        ("sign-flipped", {"alpha in the factors": "-alpha"}), ("alpha-missing", {"alpha in the factors": "1"}),
        ("alpha-twice", {"alpha in the factors": "alpha^2"}), ("gradient-at-start", {"query taken at": "theta", "Hessians": "left out (first order)"}),
        ("query-is-support", {"query batch": "the last support batch"}), ("one-batch-for-all-steps", {"support batches": "the first in every step"}),
        ("curvature-of-reinforce", {"inner surrogate": "REINFORCE's (naive)"}), ("curvature-of-likelihood-ratio", {"inner surrogate": "the likelihood ratio's"}),
        ("score-counted-twice", {"score term": "added"}), ("denominator-follows", {"denominators": "replaced by theta, detached"}),
        ("mask-ignored", {"mask": "ignored"}), ("advantages-normalised", {"advantages": "normalised (ddof 0)"}), ("baseline-dropped", {"baseline": "none"}),
        ("mean-over-time", {"over time": "mean over the steps taken in the task's batch"}), ("sum-over-episodes", {"over trajectories": "sum"}),
        ("surrogate-undiscounted-visits", {"discount": "dropped"}), ("dice-averaged-dependencies", {"sums": "logarithms up to the step, divided by M"}),
        ("dice-over-returns", {"return": "reward to go"}), ("no-magic-box", {"ratio": "its logarithm in the magic box, not in the baseline"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", POLICIES)
def test_a_known_wrong_formula_is_a_point(kind, slug, point):
    """With M = 3 in support and query: one row divides by the support's M."""
    case, count = generic(kind), 0
    query = Trajectories(*(x[:, :3] for x in case.query))
    case = replace_fields(case, query=query, query_baseline=case.query_baseline[:, :3])
    chosen = {choice: SUITE.choices[choice][words] for choice, words in point.items()}
    for part, value in ROWS[slug].function(case).items():
        found = SUITE.variant(part, case, chosen)
        if found is not None:
            np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-10, err_msg=part)
            count += 1
    assert count


@pytest.mark.parametrize("kind", POLICIES)
def test_another_old_policy_is_as_if_it_had_drawn_the_batch(kind):
    case = generic(kind)
    at, first, query = case.theta_sampled, case.theta_sampled[:, :1] + 0 * case.theta_sampled, case.query_theta_sampled
    before = np.concatenate([at[:, :1], at[:, :-1]], axis=1)
    for choice, words, changed in (
        ("support", "that of theta", {"theta_sampled": 0 * at + case.theta}), ("support", "that which drew the first batch", {"theta_sampled": first}),
        ("support", "that which drew the batch before", {"theta_sampled": before}), ("query", "that of theta", {"query_theta_sampled": 0 * query + case.theta}),
        ("support", "that which drew the query", {"theta_sampled": 0 * at + query[:, None]}),
        ("query", "that which drew the last support batch", {"query_theta_sampled": at[:, -1]}),
    ):  # fmt: skip
        other, point = replace_fields(case, **changed), {f"old policy of the {choice}": SUITE.choices[f"old policy of the {choice}"][words]}
        for part in ("dice_adapted", "tmaml_objective", "likelihood_ratio_gradient"):
            found = SUITE.variant(part, case, point)
            if choice == "query" and part.endswith("adapted"):
                assert found is None
            else:
                np.testing.assert_allclose(found, SUITE.answer(part, other), rtol=1e-10, atol=1e-11, err_msg=f"{words}, {part}")


VALID = {case.id: case for case in cases(SUITE.name) if case.result == "valid"}


@pytest.mark.parametrize("id", VALID)
def test_without_a_departure_a_variant_is_the_answer_of_the_library(id):
    case = VALID[id]
    for part, right in case.expected.items():
        assert gap(SUITE.variant(part, case.problem, {}), right.value, tolerance(right.kappa, right.scale, "float64")) < 1, part


@pytest.mark.parametrize("id", VALID)
def test_a_row_of_a_limit_says_nothing_where_no_limit_is_reached(id):
    case = VALID[id]
    if "extreme" not in case.flags:
        assert LIMITS.isdisjoint(case.discriminates) or set(case.discriminates) & LIMITS == {"gradient-clipped"}


@pytest.mark.parametrize(("choice", "words"), singles(SUITE.choices))
def test_every_departure_is_seen_in_a_vector(choice, words):
    """By ten tolerances."""
    point = {choice: SUITE.choices[choice][words]}

    def departs(case, part):
        value, right = SUITE.variant(part, case.problem, point), case.expected[part]
        return value is not None and gap(value, right.value, tolerance(right.kappa, right.scale, "float64")) > 10

    assert any(departs(case, part) for case in reversed(VALID.values()) for part in SUITE.parts)


@pytest.mark.parametrize("id", [id for id, case in VALID.items() if "extreme" not in case.flags])
def test_where_batches_are_drawn_is_what_the_flag_says(id):
    """On policy all surrogates adapt alike; the predicate moves the others there."""
    case = VALID[id]
    (drawn, *_) = SUITE.choices and [p for p in case.about.predicates if p.name == "every batch is drawn where it is used"]
    assert drawn.holds(case) == ("off-policy" not in case.flags)
    on_policy = problem(drawn.move(case.arguments()))
    adapted = [SUITE.answer(f"{name}_adapted", on_policy) for name in SUMMANDS]
    for other in adapted[1:]:
        np.testing.assert_allclose(other, adapted[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(on_policy.query_theta_sampled, adapted[0], rtol=1e-9, atol=1e-9)


def test_an_epsilon_has_the_effect_of_a_finite_one():
    """∂φ/∂α after one step is −∇L(θ); sums over trajectories divided by Q + ε: −g/Q, where nothing is adapted."""
    one = VALID["maml-sampled-001"]
    expected = -one.problem.surrogate("dice", 0).at(one.problem.theta).grad
    np.testing.assert_allclose(SUITE.effects(one, "dice_adapted")["α + ε"](), expected, rtol=1e-6, atol=1e-8)
    still = next(case for case in VALID.values() if case.input["alpha"] == 0)
    value = still.expected["dice_gradient"].value
    expected = -value / still.problem.query.mask.shape[1]
    np.testing.assert_allclose(SUITE.effects(still, "dice_gradient")["1/(M + ε)"](), expected, rtol=1e-6, atol=1e-8)


def test_terms_that_may_be_added_have_the_shape_of_a_part():
    for case in list(VALID.values())[::5]:
        for part in SUITE.parts:
            shapes = {np.shape(term()) for term in SUITE.additions(part, case.problem).values()}
            assert shapes == {case.expected[part].value.shape}


def test_batches_without_an_axis_of_steps_get_a_sentence():
    inputs = SUITE.arguments(generic("tabular").inputs)
    inputs["rewards"] = inputs["rewards"][:, 0]
    with pytest.raises(ValueError, match=r"rewards has shape \(2, 3, 4\), expected \(N, K, M, H\): one batch per inner step"):
        problem(inputs)


def test_a_batch_whose_parameters_are_missing_gets_a_sentence():
    inputs = SUITE.arguments(generic("tabular").inputs)
    inputs["theta_sampled"] = inputs["theta_sampled"][:, 1:]
    with pytest.raises(ValueError, match=r"theta_sampled has shape \(2, 2, 6\), expected \(2, 3, 6\): where the batch of each step was drawn"):
        problem(inputs)


TAKEN = [("query", "next", "(i + 1) % N"), ("query", "last", "N - 1"), ("support", "first", "0"), ("support", "next", "(i + 1) % N")]


@pytest.mark.parametrize(("split", "which", "index"), TAKEN)
def test_a_batch_of_another_task_is_named(split, which, index):
    """An index one too far, or a closure that keeps the last task."""
    part = f"reinforce_{'objective' if split == 'query' else 'adapted'}"
    function = patched(second_order, "maml_sampled", [(f"            {split} = [x[i] for x in", f"            {split} = [x[{index}] for x in")], (part,))
    chosen, settings = [case for case in cases("maml-sampled") if case.result == "valid" and "extreme" not in case.flags][:8], JudgeSettings()
    failing = [o for case in chosen if (o := judge(case, function(**case.arguments()), settings)).verdict == "mismatch"]
    assert len(failing) >= 3
    assert any(f"{split} of: the {which} task" in m.line for m in single_matches(failing, settings))
