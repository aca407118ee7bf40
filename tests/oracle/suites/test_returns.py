"""The known-wrong returns, advantages and targets are far off, and are what they say; points of the choices by hand."""

import numpy as np
import pytest

from refmeta.evidence.targets import random_steps
from refmeta.oracle.asking import moved
from refmeta.oracle.choices import singles
from refmeta.oracle.diagnosis import SECONDS, explain, first_of
from refmeta.oracle.diagnosis.choices import single_matches
from refmeta.oracle.judge import JudgeSettings, gap, judge, limit_of
from refmeta.oracle.suites.returns import SUITE
from refmeta.oracle.suites.returns.problem import TRACES, Batch
from refmeta.oracle.vectors import cases
from refmeta.oracle.verdict import finding
from refmeta.sampling import targets
from tests.oracle.field.patches import patched
from tests.oracle.right import buffers

VALID = [case for case in cases("returns") if case.result == "valid"]
ROWS = {row.slug: row for row in SUITE.rows}
# γ = λ = ½; the row of the chapter: cut after step 2, ended after step 4, and one more step of a third episode
HAND = Batch(
    rewards=np.array([[1.0, 2, 4, 3, 2, 1]]), values=np.array([[2.0, 4, 2, 8, 4, 2]]), next_values=np.array([[4.0, 2, 6, 4, 77, 8]]),
    q_values=np.array([[2.0, 4, 2, 8, 4, 2]]), next_q_values=np.array([[4.0, 2, 6, 4, 77, 8]]), terminated=np.array([[0, 0, 0, 0, 1, 0]]),
    truncated=np.array([[0, 0, 1, 0, 0, 0]]), mask=np.ones((1, 6), int), ratios=np.array([[1, 0.5, 2, 1, 0.25, 0.5]]), probabilities=np.full((1, 6), 0.5),
    gamma=0.5, lam=0.5, n_steps=2, rho_bar=1.5, c_bar=1.0,
)  # fmt: skip


def test_the_right_answers_to_the_row_by_hand():
    by_hand = {
        "discounted": [15 / 4, 11 / 2, 7, 4, 2, 5], "n_step": [5 / 2, 11 / 2, 7, 4, 2, 5], "gae": [17 / 16, 1 / 4, 5, -7 / 2, -2, 3],
        "lambda_return": [49 / 16, 17 / 4, 7, 9 / 2, 2, 5],
        "v_trace": [2 + 1 + 0.25 * (-0.5 + 0.125 * 7.5), 4 - 0.5 + 0.125 * 7.5, 2 + 1.5 * 5, 8 - 3 - 0.25 * 0.5, 4 - 0.25 * 2, 2 + 0.5 * 3],
        "q_lambda": [49 / 16, 17 / 4, 7, 9 / 2, 2, 5],
        "importance_sampling": [2 + 1 + 0.25 * (-1 + 5), 4 - 1 + 5, 7, 8 - 3 - 0.125 * 2, 2, 5],
    }  # fmt: skip
    for part, expected in by_hand.items():
        np.testing.assert_allclose(SUITE.answer(part, HAND), [expected], rtol=1e-14)


@pytest.mark.parametrize(
    ("slug", "part", "expected"),
    [
        ("truncation-is-termination", "gae", [7 / 8, -1 / 2, 2, -7 / 2, -2, 3]),
        ("next-episode-bootstrap", "gae", [9 / 8, 1 / 2, 6, -7 / 2, -2, 3]),
        ("own-value-at-cut", "gae", [15 / 16, -1 / 4, 3, -7 / 2, -2, 3]),
        ("ends-ignored", "gae", [1 + (-1 + 5.234375 / 4) / 4, -1 + 5.234375 / 4, 6 + (-3 - 1 / 16) / 4, -3 - 1 / 16, -1 / 4, 3]),
        ("trace-not-cut", "gae", [129 / 128, 1 / 32, 33 / 8, -7 / 2, -2, 3]),
        ("done-one-step-late", "discounted", [1 + 3 / 2, 2 + 2 / 2, 4 + 3 / 2, 3, 2 + 5 / 2, 5]),
        ("bootstrap-twice", "gae", [17 / 16, 1 / 4, 5, -7 / 2, -2, 3 + 8 / 4]),
        ("last-bootstrap-missing", "gae", [17 / 16, 1 / 4, 5, -7 / 2, -2, -1]),
        ("rho-twice", "v_trace", [3 + 0.25 * (-0.25 + 0.125 * 11.25), 4 - 0.25 + 0.125 * 11.25, 2 + 2.25 * 5, 5 - 0.25 * 0.125, 4 - 0.125, 2.75]),
        ("trace-of-other-step", "q_lambda", None),
        ("trace-of-other-step", "importance_sampling", [2 + 1 + 0.5 * (-1 + 0.25 * 5), 4 - 1 + 0.25 * 5, 7, 8 - 3 - 0.5 * 2, 2, 5]),
        ("rho-on-retrace-error", "q_lambda", [2 + 1 + 0.25 * (-0.5 + 0.25 * 5), 4 - 0.5 + 1.25, 7, 8 - 3 - 0.25 * 0.5, 3.5, 3.5]),
        ("v-trace-advantage-mixed", "v_trace_advantage", None),
        ("returns-for-advantages", "gae", [49 / 16, 17 / 4, 7, 9 / 2, 2, 5]),
        ("retrace-without-lambda", "retrace", [2 + 1 + 0.25 * (-1 + 0.5 * 5), 4 - 1 + 0.5 * 5, 7, 8 - 3 - 0.125 * 2, 2, 5]),
    ],
)
def test_a_known_wrong_formula_is_what_it_says_by_hand(slug, part, expected):
    got = ROWS[slug].function(HAND)
    if slug == "v-trace-advantage-mixed":
        target, rho = SUITE.answer("v_trace", HAND)[0], np.minimum(1.5, HAND.ratios[0])
        ahead = [(target[1] + 4) / 2, (target[2] + 2) / 2, 6, (target[4] + 4) / 2, 0, 8]
        expected = rho * (HAND.rewards[0] + np.array(ahead) / 2 - HAND.values[0])
    if expected is None:
        assert part not in got
    else:
        np.testing.assert_allclose(got[part], [expected], rtol=1e-14, atol=1e-15)


def test_every_row_has_a_case_by_hand():
    names = next(mark for mark in test_a_known_wrong_formula_is_what_it_says_by_hand.pytestmark).args[1]
    assert {slug for slug, *_ in names} == set(ROWS)


@pytest.mark.parametrize("slug", ROWS)
def test_a_known_wrong_formula_is_rejected_on_random_batches_by_a_thousand_tolerances(slug):
    worst = []
    for seed in range(12):
        batch = random_steps(np.random.default_rng(seed), 3, 8)
        got = ROWS[slug].function(batch)
        worst.append(max(np.max(np.abs(value - SUITE.answer(part, batch))) for part, value in got.items()))
    assert sum(error > 1e3 * 30 * np.finfo(float).eps * 20 for error in worst) >= 3


def test_an_advantage_without_mask_and_ends_is_named():
    """With v of the next row, and after the last one v', or 0."""

    def advantages(case, after):
        b, (_, H) = case.problem, case.problem.rewards.shape
        following, A = np.concatenate([b.values[:, 1:], after(b)], axis=1), np.zeros_like(b.rewards)
        for t in reversed(range(H)):
            rest = A[:, t + 1] if t + 1 < H else 0
            A[:, t] = b.rewards[:, t] + b.gamma * following[:, t] - b.values[:, t] + b.gamma * b.lam * rest
        return {"gae": A}

    for after, words in (
        (lambda b: b.next_values[:, -1:], "known-wrong formula ends-ignored "), (lambda b: 0 * b.values[:, :1], "v of the next row for v'"),
    ):  # fmt: skip
        outcomes = [judge(case, advantages(case, after), JudgeSettings()) for case in VALID]
        said = "\n".join(first_of(explain(outcomes, JudgeSettings(), seconds=SECONDS)))
        assert words in said and "nothing that is known" not in said, said


@pytest.mark.parametrize(
    ("choice", "words", "part", "expected"),
    [
        ("sum", "stops one step before every end", "gae", [3 / 4, -1, 17 / 4, -3, -2, 3]),
        ("sum", "stops by the flags of the next step", "gae", [3 / 4, -1, 17 / 4, -3, -5 / 4, 3]),
        ("sum", "stops by the flags of the step before", "gae", [1 + 1 / 64, 1 / 16, 17 / 4, -3, -5 / 4, 3]),
        ("gamma of the sum", "left out", "gae", [7 / 4, 3 / 2, 5, -4, -2, 3]),
        ("gamma of the sum", "its square", "gae", [1 - 3 / 64, -3 / 8, 5, -13 / 4, -2, 3]),
        ("inside an episode", "q of the next row", "q_lambda", [49 / 16, 17 / 4, 7, 9 / 2, 2, 5]),
        ("inside an episode", "q of the step itself", "q_lambda", [2 + 5 / 16, 21 / 4, 7, 13 / 2, 2, 5]),
        ("inside an episode", "nothing", "q_lambda", [13 / 16, 13 / 4, 7, 5 / 2, 2, 5]),
        ("mixture", "(1 - lam) v of the step itself and lam times the rest", "lambda_return", [21 / 8, 9 / 2, 6, 23 / 4, 3, 7 / 2]),
        ("mixture", "v' and lam times the target", "lambda_return", [67 / 16, 19 / 4, 7, 11 / 2, 2, 5]),
        ("mixture", "lam times the target alone", "lambda_return", [31 / 16, 15 / 4, 7, 7 / 2, 2, 5]),
        ("value after n steps", "added behind n whole steps alone", "n_step", [5 / 2, 11 / 2, 4, 4, 2, 1]),
        ("value after n steps", "with one gamma less", "n_step", [3, 7, 10, 4, 2, 9]),
        ("value after n steps", "with one gamma more", "n_step", [9 / 4, 19 / 4, 11 / 2, 4, 2, 3]),
        ("weights", "c is the ratio", "q_lambda", [2 + 1 + 0.25 * (-1 + 5), 4 - 1 + 5, 7, 8 - 3 - 0.125 * 2, 2, 5]),
        ("weights", "c is lam times the ratio, at most 1", "q_lambda", [2 + 1 + 0.125 * (-1 + 0.25 * 5), 4 - 1 + 0.25 * 5, 7, 8 - 3 - 0.0625 * 2, 2, 5]),
    ],
)  # fmt: skip
def test_a_departure_in_one_place_by_hand(choice, words, part, expected):
    got = SUITE.variant(part, HAND, {choice: SUITE.choices[choice][words]})
    np.testing.assert_allclose(got, [expected], rtol=1e-14)


def test_other_ratios_of_the_advantage_by_hand():
    target, ratios = SUITE.answer("v_trace", HAND)[0], HAND.ratios[0]
    error = HAND.rewards[0] + np.array([target[1], target[2], 6, target[4], 0, 8]) / 2 - HAND.values[0]
    for words, rho in (("left out", 1.0), ("not bounded", ratios), ("bounded by c_bar", np.minimum(1, ratios)), ("bounded by 1", np.minimum(1, ratios))):
        got = SUITE.variant("v_trace_advantage", HAND, {"ratio of the advantage": SUITE.choices["ratio of the advantage"][words]})
        np.testing.assert_allclose(got, [rho * error], rtol=1e-14)


def test_where_both_flags_are_set_either_may_count():
    """The right one: terminated, and v' is not read."""
    both = Batch(**vars(HAND) | {"truncated": np.array([[0, 0, 1, 0, 1, 0]])})
    wrong = {"flags": SUITE.choices["flags"]["truncated counts where both are set"]}
    np.testing.assert_array_equal(SUITE.variant("gae", both, {}), SUITE.answer("gae", HAND))
    np.testing.assert_allclose(SUITE.variant("gae", both, wrong), [[17 / 16, 1 / 4, 5, -3 + 36.5 / 4, 36.5, 3]], rtol=1e-14)
    np.testing.assert_array_equal(SUITE.variant("gae", HAND, wrong), SUITE.answer("gae", HAND))


def test_where_every_ratio_is_one_no_bound_may_be_smaller():
    """A bound below 1 changes a ratio of 1."""
    (on_policy,) = (p for p in SUITE.predicates if p.name.startswith("every ratio is 1"))
    case = next(case for case in VALID if on_policy.holds(case))
    low = moved(case, case.arguments() | {"rho_bar": 0.5})
    assert not on_policy.holds(low) and on_policy.holds(moved(low, on_policy.move(low.arguments())))


def test_padding_that_is_cut_off_at_last_has_entered_the_sum():
    """The sum goes on behind the mask; what stands behind the mask itself is 0."""
    short = Batch(**vars(HAND) | {"mask": np.array([[1, 1, 1, 1, 0, 0]])})
    got = SUITE.variant("gae", short, {"mask": SUITE.choices["mask"]["read when all is done"]})
    np.testing.assert_allclose(got, [[17 / 16, 1 / 4, 5, -7 / 2, 0, 0]], rtol=1e-14)
    np.testing.assert_allclose(SUITE.answer("gae", short), [[17 / 16, 1 / 4, 5, -3, 0, 0]], rtol=1e-14)


def said_of(function, cases=VALID):
    """What is said of a function whose answer is a dict."""
    outcomes = [judge(case, function(case.problem), JudgeSettings()) for case in cases]
    return "\n".join(first_of(explain(outcomes, JudgeSettings(), seconds=SECONDS)))


def test_ppo_with_the_flags_of_the_next_step_in_the_sum_alone_is_named():
    """CleanRL's loop, delta with the flags of its own step."""

    def advantages(b):
        A, rest = np.zeros_like(b.rewards), np.zeros(len(b.rewards))
        kept = b.mask > 0
        done = (b.terminated > 0) | (b.truncated > 0) | ~np.concatenate([kept[:, 1:], 0 * kept[:, :1] > 0], axis=1)
        delta = np.where(kept, b.rewards + b.gamma * np.where(b.terminated > 0, 0, b.next_values) - b.values, 0)
        for t in reversed(range(A.shape[1])):
            on = ~done[:, t + 1] if t + 1 < A.shape[1] else False
            A[:, t] = rest = np.where(kept[:, t], delta[:, t] + b.gamma * b.lam * on * rest, 0)
        return {"gae": A}

    assert "sum: stops one step before every end" in said_of(advantages)


def test_retrace_with_the_value_of_the_next_action_is_named():
    """Q(s', a') of the action that was taken, instead of the mean over the policy."""

    def of_actions(b):
        on = (b.mask[:, 1:] > 0) & (b.terminated[:, :-1] == 0) & (b.truncated[:, :-1] == 0)
        following = np.array(b.next_q_values)
        following[:, :-1] = np.where(on, b.q_values[:, 1:], following[:, :-1])
        return {"retrace": SUITE.answer("retrace", Batch(**vars(b) | {"next_q_values": following}))}

    assert "inside an episode: q of the next row" in said_of(of_actions)


def test_an_array_instead_of_a_dict_gets_a_hint():
    """A list, or one array; not a dict with other names, and not nothing."""
    of = lambda returned: judge(VALID[0], returned, JudgeSettings()).message
    hint = "; an array alone does not say which of them it is: return it by name, as {'discounted': array}"
    for returned in (VALID[0].problem.rewards, VALID[0].problem.rewards.tolist()):
        assert of(returned).endswith(hint) and "expected a dict with some of discounted, n_step" in of(returned)
    for returned in ({"advantages": 1.0}, None):
        assert "expected a dict with some of" in of(returned) and hint not in of(returned)


def product_bounded(start, lam, bound, error, ratios, done, gamma, own):
    """Σ of the errors from every step, the product of the ratios on the way bounded as a whole; `own` takes those of the steps left."""
    out = np.array(start)
    for i, t in np.ndindex(error.shape):
        fade, product = 1.0, 1.0
        for k in range(t, error.shape[1]):
            out[i, t] += fade * min(bound, product) * error[i, k] if k > t else error[i, k]
            if done[i, k]:
                break
            fade, product = fade * gamma * lam, product * ratios[i, k if own else min(k + 1, error.shape[1] - 1)]
    return out


def of_whole_products(part):
    """Retrace or V-trace with the product of the ratios bounded instead of each of them."""

    def answer(**x):
        valid, term, _, done = buffers.prepare(x["terminated"], x["truncated"], x["mask"])
        names = ("q_values", "next_q_values") if part == "retrace" else ("values", "next_values")
        v, after, r = (np.where(valid, x[name], 0.0) for name in (*names, "rewards"))
        error = r + x["gamma"] * np.where(term, 0.0, after) - v
        ratios = np.where(valid, x["ratios"], 0.0)
        if part == "v_trace":
            error, bound = np.minimum(x["rho_bar"], ratios) * error, x["c_bar"]
        more = product_bounded(v, x["lam"], 1.0 if part == "retrace" else bound, error, ratios, done, x["gamma"], part == "v_trace")
        return {part: np.where(valid, more, 0.0)}

    return answer


WHOLE = "    nv = np.where(valid & ~term, next_values, 0.0)\n"
PADDED = WHOLE + "    pad = valid & ~term & ~np.pad(valid[:, 1:], ((0, 0), (0, 1))) & (np.arange(valid.shape[1]) < valid.shape[1] - 1)\n    nv = np.where(pad, {}, nv)\n"
PLANTED = [
    ("n_step", "value after n steps: times gamma^n after fewer steps, too", [("total + scale * nv[i, k]", "total + gamma**n * nv[i, k]")]),
    ("gae", "before the padding: 0", [(WHOLE, PADDED.format("0.0"))]),
    ("discounted", "before the padding: v of the step itself", [(WHOLE, PADDED.format("v"))]),
    ("n_step", "before the padding: 0", [(WHOLE, PADDED.format("0.0"))]),
    ("tree_backup", "weights: c is lam times the ratio", [("lam * pi, gamma", "lam * ratios, gamma")]),
    ("q_lambda", "weights: c is lam times the ratio", [("lam * np.ones_like(r), gamma", "lam * ratios, gamma")]),
    ("lambda_return", "the sum of errors is added to: v'", [("= lambda_returns(r, nv, done, gamma, lam)", '= out["gae"] + nv')]),
    ("v_trace", "the sum of errors is added to: v'", [("vs[:, t] = v[:, t] + acc", "vs[:, t] = nv[:, t] + acc")]),
    ("retrace", "the sum of errors is added to: v'", [("out[:, t] = q[:, t] + acc", "out[:, t] = nq[:, t] + acc")]),
]


@pytest.mark.parametrize(
    ("part", "words", "function"),
    [(part, words, patched(buffers, "answer", pairs)) for part, words, pairs in PLANTED]
    + [(part, "bounded: the product of the ratios", of_whole_products(part)) for part in ("retrace", "v_trace")],
)  # fmt: skip
def test_what_another_program_does_in_one_place_is_named(part, words, function):
    settings = JudgeSettings()
    outcomes = [judge(case, {part: function(**case.arguments())[part]}, settings) for case in VALID]
    failing = [o for o in outcomes if o.verdict == "mismatch"]
    assert len(failing) >= 3
    assert any(f": {words}" in m.line for m in single_matches(failing, settings))


@pytest.mark.parametrize("slug", ROWS)
def test_a_known_wrong_formula_is_named_on_the_vectors(slug):
    """In the first part that it makes wrong; as what it is: a mistake, a convention, or right and something else."""
    row, settings = ROWS[slug], JudgeSettings()
    outcomes = [judge(case, row.function(case.problem), settings) for case in VALID]
    said = "\n".join(first_of(explain(outcomes, settings, seconds=SECONDS)))
    kinds = {"wrong": "known-wrong formula", "convention": "a convention:", "right": "what is not a mistake, but not what was asked for:"}
    assert f"EXACT match with {kinds[row.kind]} {slug} " in said, said


def test_the_point_without_departures_is_the_answer_of_the_library():
    for case in VALID:
        for part in SUITE.parts:
            got = SUITE.variant(part, case.problem, {})
            np.testing.assert_allclose(got, SUITE.answer(part, case.problem), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("choice", "words"), singles(SUITE.choices))
def test_every_departure_is_seen_by_a_vector(choice, words):
    found = []
    for case in VALID:
        for part in SUITE.parts:
            value = SUITE.variant(part, case.problem, {choice: SUITE.choices[choice][words]})
            if value is not None:
                found.append(gap(value, case.expected[part].value, limit_of(case, part, JudgeSettings())))
    assert max(found) > 10


def test_terms_have_the_shape_of_a_part_and_are_zero_behind_the_mask():
    for case in VALID:
        for term in SUITE.additions("gae", case.problem).values():
            assert term().shape == case.problem.rewards.shape and not np.any(term()[case.problem.mask == 0])


def test_what_must_not_be_read_is_not_read_by_the_vectors():
    """Other numbers at terminations and behind the mask change no expected value."""
    for case in VALID:
        b, kept = case.problem, case.problem.mask > 0
        hidden = {name: np.where(kept, getattr(b, name), -3.0) for name in ("rewards", "values", "q_values", "ratios")}
        hidden |= {name: np.where(kept & (b.terminated == 0), getattr(b, name), -3.0) for name in ("next_values", "next_q_values")}
        other = Batch(**vars(b) | hidden | {"ratios": np.where(kept, b.ratios, 9.0)})
        for part in SUITE.parts:
            np.testing.assert_array_equal(SUITE.answer(part, other), SUITE.answer(part, b))


@pytest.mark.parametrize("case", [case for case in cases("returns") if case.result == "invalid"], ids=lambda case: case.id)
def test_what_is_invalid_is_refused_by_the_functions_themselves(case):
    x = case.arguments()
    flags = {name: x[name] for name in ("terminated", "truncated", "mask", "gamma")}
    with pytest.raises((ValueError, TypeError)):
        targets.v_trace(x["rewards"], x["values"], x["next_values"], **flags, ratios=x["ratios"], lam=x["lam"])


@pytest.mark.parametrize("predicate", SUITE.predicates, ids=lambda p: p.name)
def test_a_predicate_holds_on_some_vectors_and_where_its_move_leads(predicate):
    assert {predicate.holds(case) for case in VALID} == {True, False}
    for case in VALID:
        other = moved(case, predicate.move(case.arguments()))
        assert other is not None and predicate.holds(other)


def test_a_mistake_at_cuts_alone_that_no_row_knows_is_placed_there():
    """An advantage that is 0 at every cut."""
    settings = JudgeSettings()
    spoilt = lambda case: SUITE.answer("gae", case.problem) * (1 - case.problem.truncated * (1 - case.problem.terminated))
    outcomes = [judge(case, {"gae": spoilt(case)}, settings) for case in VALID]
    found = finding("returns", outcomes, settings, seconds=1.0)
    assert found.word == "WRONG" and "nothing is truncated" in "\n".join(found.where.lines), found.where.lines


def test_the_traces_are_those_of_the_definition():
    assert set(TRACES) == {"retrace", "tree_backup", "q_lambda", "importance_sampling"}
