"""Between RIGHT and WRONG: digits that are lost are told from mistakes, however small, and what cannot be told is said."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.oracle import cases
from refmeta.oracle.check import Answer, Failed, as_target, run
from refmeta.oracle.diagnosis import SECONDS
from refmeta.oracle.diagnosis.rows import candidate_rows, departure_of, distances
from refmeta.oracle.diagnosis.traces import effect_of
from refmeta.oracle.facts import details, kinds
from refmeta.oracle.judge import JudgeSettings, limit_of, right_result
from refmeta.oracle.renew import renew
from refmeta.oracle.report import Report, markdown, text
from refmeta.oracle.report import row as table_row
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.pearl.epsilons import epsilon_places
from refmeta.oracle.suites.pearl.problem import all_parts
from refmeta.oracle.verdict import finding, findings, status_of, summary
from refmeta.softmax import softmax
from tests.oracle.targets import rejecting, valid
from tests.oracle.test_vectors import LIMITS

BY_ID = {case.id: case for suite in SUITES for case in cases(suite)}


def parts_of(suite):
    return (SUITES[suite].array,) if SUITES[suite].array else tuple(SUITES[suite].parts)


def places_of_epsilon(suite):
    """Where an ε may stand on the first vectors of a suite."""
    return list(dict.fromkeys(place for case in valid(suite, 3) for part in parts_of(suite) for place in SUITES[suite].effects(case, part)))


def judged(change, suite, chosen=None, seconds=SECONDS, **settings):
    """The verdict on the certified results, each changed by change(case, part, right)."""
    settings = JudgeSettings(**settings)

    def target(case, settings):
        got = {p: change(case, p, right_result(case, p, settings)) for p in parts_of(suite)}
        return next(iter(got.values())) if SUITES[suite].array else got

    return finding(suite, run(target, chosen or valid(suite), settings), settings, seconds=seconds)


def verdict_on(function, suite, chosen=None, **settings):
    """The verdict on a user's function, as the command gives it."""
    settings = JudgeSettings(**settings)
    return finding(suite, run(as_target(function), chosen or cases(suite), settings, repeat=None), settings)


@pytest.mark.parametrize("suite", SUITES)
def test_a_millionth_of_a_known_wrong_formula_is_wrong_and_named_or_has_a_simpler_name(suite):
    """The first and the last formula of every suite, on vectors that reject them."""
    rows = [row for row in candidate_rows(valid(suite)[0], JudgeSettings()) if rejecting(suite, row) and row.slug not in LIMITS]
    for row in (rows[0], rows[-1]):
        departure = departure_of(row, JudgeSettings())

        def mixed(case, part, right, departure=departure):
            wrong = departure(case, part)
            return right if wrong is None else right + 1e-6 * wrong

        verdict = judged(mixed, suite, rejecting(suite, row)[:3])
        names = (f"1e-06 · ({row.slug} − the right result)", "times 0.99999", "times 1.00000", "coefficient 0.99999")
        assert verdict.word == "WRONG" and any(name in line for name in names for line in verdict.explanation), (row.slug, verdict)


@pytest.mark.parametrize("suite", {tuple(places_of_epsilon(suite)): suite for suite in reversed(SUITES)}.values())
def test_an_epsilon_is_named_wherever_one_may_stand(suite):
    """1e-8 in logarithms, denominators and probabilities, to first order; of suites with the same places one."""
    places = places_of_epsilon(suite)
    for place in places[:: 1 + len(places) // 4]:
        effect = effect_of(place, JudgeSettings())

        def softened(case, part, right, effect=effect):
            slope = effect(case, part)
            return right if slope is None else right + 1e-8 * slope

        verdict = judged(softened, suite, valid(suite, 3))
        assert verdict.word == "WRONG" and any(place.replace("ε", "1e-8") in line for line in verdict.explanation), (place, verdict)


class Softened:
    """−mean log(p + ε), written by hand: with w = p/(p + ε) its gradient is −mean w s, s the score."""

    def __init__(self, task, epsilon, theta=None):
        self.task, self.epsilon, self.theta = task, epsilon, theta
        self.shape, self.dim = task.shape, task.dim

    def at(self, theta):
        return Softened(self.task, self.epsilon, np.broadcast_to(theta, (*self.shape, self.dim)))

    def _pieces(self, v=None):
        X, e = self.task.X, np.eye(self.task.classes)[self.task.labels]
        logits = lambda x: (
            X @ np.broadcast_to(x, self.theta.shape).reshape(*self.shape, -1, X.shape[-1]).swapaxes(-1, -2)
        )
        pi = softmax(logits(self.theta))
        p = np.sum(e * pi, axis=-1, keepdims=True)
        return e - pi, pi, p / (p + self.epsilon), None if v is None else logits(v)

    def _pulled(self, g):
        return -(g.swapaxes(-1, -2) @ self.task.X / self.task.X.shape[-2]).reshape(*self.shape, self.dim)

    @property
    def grad(self):
        s, _, w, _ = self._pieces()
        return self._pulled(w * s) + self.task.ridge * self.theta

    def hvp(self, v):
        s, pi, w, x = self._pieces(v)
        along, bent = np.sum(s * x, -1, keepdims=True), -pi * (x - np.sum(pi * x, -1, keepdims=True))
        return self._pulled(w * bent + w * (1 - w) * along * s) + self.task.ridge * v


@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 1e-8, 1e-6])
def test_log_of_p_plus_epsilon_is_named_with_its_epsilon(epsilon):
    """An implementation of its own, at finite ε: no first-order effect stands in it."""

    def function(**inputs):
        p = SUITES["maml-classification"].problem(inputs)
        return rm.maml.gradient(p.theta, *(Softened(task, epsilon) for task in p.split), **p.hyper)

    verdict = verdict_on(function, "maml-classification", valid("maml-classification", 5))
    assert verdict.word == ("WRONG" if epsilon else "RIGHT")
    assert not epsilon or f"log(p + {epsilon:.0e}), in 5 of 5".replace("e-0", "e-") in verdict.explanation[0], verdict


def test_epsilons_of_a_training_step_and_of_a_return_are_named_at_their_finite_size():
    """PEARL's mask sum + 1e-8, and a softmax with 1e-7 in its denominator, as whole computations."""

    def step(**inputs):
        return all_parts(SUITES["pearl"].problem(inputs), epsilon_places(1e-8)["1/(Σ mask + ε)"])

    assert "1/(Σ mask + 1e-8)" in verdict_on(step, "pearl", valid("pearl", 3)).explanation[0]

    def loss(theta, task):
        e = np.exp(task.policy.table(theta))
        pi = e / (np.sum(e, axis=-1, keepdims=True) + 1e-7)
        r, P = np.sum(pi * task.mdp.expected_reward, -1), np.einsum("sa,nsat->nst", pi, task.mdp.P)
        return -np.einsum(
            "ns,ns->n", task.mdp.rho, np.linalg.solve(np.eye(len(e)) - task.mdp.gamma * P, r[..., None])[..., 0]
        )

    def slopes(**inputs):
        task = SUITES["policy-gradient"].problem(inputs).task
        return {"grad": complex_step(lambda t: loss(t, task), inputs["theta"])}

    chosen = [c for c in valid("policy-gradient") if c.input["horizon"] is None and c.input["features"] is None][:4]
    assert "exp(z)/(Σ exp(z) + 1e-7)" in verdict_on(slopes, "policy-gradient", chosen).explanation[0]


def central(suite, step):
    """The central difference of the right objective."""

    def gradient(**inputs):
        p = SUITES[suite].problem(inputs)
        F = lambda theta: rm.maml.objective(theta, *p.split, **p.hyper)
        axes = step * np.eye(p.theta.size)
        return np.stack([(F(p.theta + h) - F(p.theta - h)) / (2 * step) for h in axes], axis=-1)

    return gradient


@pytest.mark.parametrize("suite", ["maml-tabular", "maml-regression", "maml-lq"])
def test_a_finite_difference_is_rounding_with_its_digits_and_cases(suite):
    verdict = verdict_on(central(suite, 1e-6), suite, valid(suite, 3))
    assert verdict.word == "ROUNDING" and verdict.explanation and "EXACT" not in verdict.explanation[0], verdict
    has, can = (float(word) for word in verdict.sentence.split() if word.count(".") == 1 and word[-1].isdigit())
    assert 7 < has < 12 and 13 < can < 15, verdict
    assert "in 3 of 3 cases" in verdict.sentence or "in 2 of 3 cases" in verdict.sentence, verdict
    assert status_of([verdict]) == 1 and status_of([verdict], allow_rounding=True) == 0
    with pytest.raises(AssertionError, match="ROUNDING: right to"):
        rm.oracle.check(central("maml-regression", 1e-6), "maml-regression")
    rm.oracle.check(central("maml-regression", 1e-6), "maml-regression", allow_rounding=True)


@pytest.mark.parametrize("suite", ["maml-tabular", "pearl", "surrogates", "model", "reptile"])
def test_noise_is_rounding_and_never_explained(suite):
    for seed, size in enumerate((1e-12, 1e-10)):
        rng = np.random.default_rng(seed)
        part = parts_of(suite)[rng.integers(len(parts_of(suite)))]
        noisy = lambda c, p, right, rng=rng, size=size, part=part: (
            right * (1 + size * rng.normal(size=right.shape)) if p == part else right
        )
        verdict = judged(noisy, suite, valid(suite, 2))
        assert verdict.word == "ROUNDING" and not any("result" in line for line in verdict.explanation), verdict


def test_rounding_ends_at_a_million_tolerances_and_at_a_hundredth_of_the_way_to_a_known_mistake():
    """Errors of a chosen number of tolerances and of random sign, which nothing explains."""

    def off(tolerances):
        rng = np.random.default_rng(0)

        def change(case, part, right):
            limit = limit_of(case, part, settings)
            return right + tolerances * limit[:, None] * rng.choice([-1.0, 1.0], size=right.shape)

        return change

    def distance(case, part, settings):
        return min(distances(case, part, settings).values())

    settings, chosen = JudgeSettings(), valid("maml-classification", 1)
    assert min(distance(case, "gradient", settings) for case in chosen) > 1e8
    words = [judged(off(t), "maml-classification", chosen).word for t in (0.9, 1.1, 9e5, 1.1e6)]
    assert words == ["RIGHT", "ROUNDING", "ROUNDING", "WRONG"]
    settings = JudgeSettings(dtype="float32")
    far = next(case for case in valid("maml-classification") if 200 < distance(case, "gradient", settings) < 2000)
    bound = distance(far, "gradient", settings) / 100
    words = [judged(off(t * bound), "maml-classification", [far], dtype="float32").word for t in (0.9, 1.1)]
    assert words == ["ROUNDING", "WRONG"]


def test_a_result_in_single_precision_is_not_rounding_but_named():
    """A float32 is off by 10⁷ tolerances where the problem is well conditioned."""
    verdict = judged(lambda c, p, right: right.astype(np.float32), "maml-regression")
    assert verdict.word == "WRONG" and "right to single precision only: the result is in float32" in verdict.explanation[0]


def test_a_product_in_single_precision_on_the_way_is_named_too():
    def gradient(theta, X, y, query_X, query_y, alpha, steps):
        rows, alphas = [], np.broadcast_to(alpha, (steps, len(theta)))
        for X, y, Q, q in zip(X, y, query_X, query_y, strict=True):  # noqa: B020
            H, x = (X.T @ X / len(X)).astype(np.float32).astype(float), theta
            for a in alphas:
                x = x - a * (H @ x - X.T @ y / len(X))
            g = Q.T @ (Q @ x - q) / len(Q)
            for a in alphas[::-1]:
                g = g - H @ (a * g)
            rows.append(g)
        return np.array(rows)

    verdict = verdict_on(gradient, "maml-regression")
    assert verdict.word == "WRONG" and "about single precision: float32 on the way" in verdict.explanation[0]
    assert "JAX" not in verdict.explanation[0]


def test_an_honest_computation_in_another_order_is_right():
    """Dense Jacobians and explicit inverses; softmax without a shift; Q − V.  Logits of 800 overflow without a shift."""

    def returns(theta, P, R, rho, gamma, horizon, features, v):
        S, A = P.shape[1:3]
        pi = np.exp(theta.reshape(S, A))
        pi, rows = pi / pi.sum(1, keepdims=True), []
        for P, R, rho in zip(P, R, rho, strict=True):  # noqa: B020
            R = R if R.ndim == 2 else np.sum(P * R, axis=-1)
            inverse = np.linalg.inv(np.eye(S) - gamma * np.einsum("sa,sat->st", pi, P))
            V = inverse @ np.sum(pi * R, 1)
            rows.append(-((inverse.T @ rho)[:, None] * pi * (R + gamma * P @ V - V[:, None])).ravel())
        return {"grad": np.array(rows)}

    chosen = [c for c in cases("policy-gradient") if c.input["horizon"] is None and c.input["features"] is None]
    assert verdict_on(returns, "policy-gradient", chosen, skip_flags=("extreme",)).word == "RIGHT"
    with np.errstate(all="ignore"):
        outcomes = verdict_on(returns, "policy-gradient", chosen).outcomes
    (large,) = (o for o in outcomes if o.verdict == "mismatch")
    assert "800" in large.case.comment and "returned nan for grad" in large.message


def tiny(alpha):
    """A quadratic problem with one small step."""
    case = {
        "id": "mine-001", "comment": "a tiny step", "flags": [], "result": "valid",
        "input": {"theta": [1.0, 2.0], "A": [[[1.0, 0.5], [0.5, -0.5]]], "c": [[0.0, 1.0]],
                  "query_A": [[[2.0, 0.0], [0.0, 1.0]]], "query_c": [[1.0, 0.0]], "alpha": alpha, "steps": 2},
    }  # fmt: skip
    done, _ = renew(("maml-quadratic", case))
    source = BY_ID["maml-quadratic-001"]
    expected = {
        name: source.expected["gradient"]._replace(**{k: np.array(e[k], float) for k in ("value", "kappa", "scale")})
        for name, e in done["expected"].items()
    }
    return replace_fields(source, id="mine-001", input=case["input"], expected=expected, discriminates=done["discriminates"])


def test_where_first_order_is_as_good_as_right_there_is_no_verdict():
    case = tiny(2.0**-14)
    for part in ("gradient", "first_order"):
        verdict = judged(lambda c, p, r, part=part: c.expected[part].value, "maml-quadratic", [case], dtype="float32")
        assert verdict.word == "CANNOT TELL" and "first-order MAML is within" in verdict.sentence, verdict
        assert verdict.explanation == ("choose cases with more steps or a larger step size, or --dtype float64",)
        assert status_of([verdict]) == 1
    assert judged(lambda c, p, right: right, "maml-quadratic", [case]).word == "RIGHT"
    assert judged(lambda c, p, right: right, "maml-quadratic", [tiny(0.25)], dtype="float32").word == "RIGHT"
    assert judged(lambda c, p, right: -right, "maml-quadratic", [case], dtype="float32").word == "WRONG"


def test_refusing_an_ill_conditioned_case_is_right_and_a_time_out_on_one_is_reported():
    def target(failure):
        def answer(case, settings):
            if case.result == "ill_conditioned":
                raise failure
            return case.expected["gradient"].value

        return answer

    outcomes = run(target(Failed("error", "too hard", refusal=True)), cases("maml-tabular"), JudgeSettings())
    assert finding("maml-tabular", outcomes, JudgeSettings()).sentence.startswith("27 of 27 cases")
    outcomes = run(target(Failed("timeout", "no answer within 10 s")), cases("maml-tabular"), JudgeSettings())
    verdict = finding("maml-tabular", outcomes, JudgeSettings())
    assert (verdict.word, status_of([verdict])) == ("RIGHT", 0) and verdict.sentence.startswith("26 of 26 cases")
    (line,) = kinds(verdict)
    assert line.startswith("1 case: time-out: no answer within 10 s: the input is ill-conditioned") and "024" in line
    outcomes = run(target(Failed("crash", "status 1")), cases("maml-tabular"), JudgeSettings())
    assert status_of(findings(outcomes, JudgeSettings())) == 3


def test_without_validation_invalid_inputs_are_not_even_asked():
    questions = []

    def right(**inputs):
        questions.append(inputs)
        p = SUITES["maml-quadratic"].problem(inputs)
        return rm.maml.gradient(p.theta, *p.split, **p.hyper)

    verdict = verdict_on(right, "maml-quadratic")
    assert (verdict.word, len(questions)) == ("RIGHT", 19)  # eighteen vectors, the first of them twice
    assert sum(o.verdict == "unasked" for o in verdict.outcomes) == 3

    def careless(**inputs):
        try:
            return right(**inputs)
        except ValueError:
            return inputs["c"]

    verdict = verdict_on(careless, "maml-quadratic", validation=True)
    assert verdict.word == "WRONG" and {o.verdict for o in verdict.outcomes} == {"pass", "accepted"}


def test_a_changed_input_and_an_answer_that_changes_are_warned_of():
    calls = []

    def restless(theta, adapted, epsilon):
        calls.append(1)
        new = theta + epsilon * np.mean(adapted - theta, axis=0) + 1e-15 * len(calls)
        adapted += 1
        return new

    verdict = verdict_on(restless, "reptile")
    warnings = {w for o in verdict.outcomes for w in o.warnings}
    assert "the input adapted was changed in place: work on a copy of it" in warnings and verdict.word == "RIGHT"
    (differs,) = (w for w in warnings if "differently" in w)
    assert "update differs by up to" in differs and "tolerances" in differs
    assert [bool(o.warnings[1:]) for o in verdict.outcomes[:3]] == [True, False, False]
    for times in (1, 3):
        del calls[:]
        outcomes = run(as_target(restless), valid("reptile", 2), JudgeSettings(), repeat=times)
        assert len(calls) == 2 * times and all(len(o.warnings) == 1 + (times == 3) for o in outcomes)


def test_an_answer_that_is_wrong_the_second_time_only_is_wrong():
    answers = iter([0.0, 1.0])

    def target(case, settings):
        return Answer(case.expected["update"].value + next(answers))

    (outcome,) = run(target, valid("reptile", 1), JudgeSettings(), repeat=None)
    assert outcome.verdict == "mismatch" and "differently" in outcome.warnings[0]


def test_ascent_is_advised_only_where_it_does_something():
    turned = judged(lambda c, p, right: -right, "reptile")
    assert "times −1: the sign, in" in turned.explanation[0] and "--ascent" not in turned.explanation[0]
    assert "say --ascent" in judged(lambda c, p, right: -right, "maml-regression").explanation[0]


def test_several_suites_have_one_summary():
    wrong, right = judged(lambda c, p, r: -r, "reptile"), judged(lambda c, p, r: r, "maml-regression")
    left_out = finding("implicit", run(lambda c, s: None, [], JudgeSettings()), JudgeSettings())
    assert summary([wrong, right]) == "WRONG: of 2 suites 1 WRONG, 1 RIGHT."
    assert summary([right, right, left_out]).startswith("RIGHT: 38 of 38 cases in 2 suites, to 17.0 digits")
    assert (status_of([right, left_out]), status_of([left_out]), status_of([])) == (0, 5, 5)


def test_a_first_case_that_times_out_has_a_hint_and_its_name():
    def slow(late):
        def target(case, settings):
            if case.id in late:
                raise Failed("timeout", "no answer within 10 s")
            return case.expected["update"].value

        verdict = finding("reptile", run(target, cases("reptile"), JudgeSettings()), JudgeSettings())
        return verdict.word, "\n".join(details(verdict))

    first, several = slow(["reptile-001"]), slow([f"reptile-{i:03d}" for i in range(2, 9)])
    assert first[0] == several[0] == "WRONG" and "raise --timeout" in first[1] and "Hint" not in several[1]
    assert "7 cases: time-out: no answer within 10 s: reptile-002, 003, 004, 005, 006, 007, 008" in several[1]
    assert "worst entry" not in first[1]  # what is right is no evidence of what is wrong


def test_the_worst_entry_is_one_that_is_wrong():
    """Where a shape alone is wrong there is none, however near to their limits the right entries are."""

    def worst(change):
        def target(case, settings):
            near = case.expected["update"].value + 0.9 * limit_of(case, "update", settings)
            return change(near) if case.id == "reptile-003" else near

        verdict = finding("reptile", run(target, valid("reptile", 4), JudgeSettings()), JudgeSettings(), seconds=0.5)
        return [line for line in details(verdict) if line.startswith("worst entry")]

    assert worst(lambda near: near[:1]) == []
    (line,) = worst(lambda near: near + 1)
    assert "reptile-003" in line and "update[" in line and ", expected " in line


def test_crashes_alone_are_called_so_and_numbers_agree_with_their_nouns():
    def target(case, settings):
        if case.id in ("reptile-001", "reptile-002"):
            raise Failed("crash", "status 1")
        return case.expected["update"].value

    outcomes = run(target, valid("reptile"), JudgeSettings())
    assert finding("reptile", outcomes, JudgeSettings()).sentence == "2 of 12 cases crashed"
    assert finding("reptile", outcomes[:3], JudgeSettings()).sentence == "2 of 3 cases crashed"
    assert finding("reptile", outcomes[2:3], JudgeSettings()).sentence.startswith("1 of 1 case, to")
    assert "judged: all parts in 1 case" in details(judged(lambda c, p, right: right, "model", valid("model", 1)))


def test_the_last_line_is_a_command():
    verdict = judged(lambda c, p, right: right + 1e-3 * np.cos(9 * right), "maml-regression", valid("maml-regression", 6), seconds=0.5)
    assert details(verdict)[-1].startswith("Next: `python -m refmeta show maml-regression-0") and verdict.word == "WRONG"


@pytest.mark.parametrize("size", [1e-5, 1e-4])
def test_in_implicit_rounding_ends_where_it_does_elsewhere(size):
    """A strength that is off by 1e-5 is off by 10⁵ tolerances of 1e-10, and by 10⁹ of 30 eps."""

    def function(strength, **inputs):
        p = SUITES["implicit"].problem(inputs | {"strength": strength * (1 + size)})
        return rm.implicit.gradient(p.theta, *p.split, strength=p.strength)

    verdict = verdict_on(function, "implicit", [BY_ID["implicit-006"], BY_ID["implicit-007"]])
    assert verdict.word == "WRONG" and status_of([verdict], allow_rounding=True) == 1
    name = f"the right result for strength·(1 + {size:.0e}), in".replace("e-0", "e-")
    assert any(name in line for line in verdict.explanation), verdict


def test_rounding_ends_at_67_tolerances_of_implicit():
    rng = np.random.default_rng(0)
    off = lambda times: (
        lambda c, p, right: right + times * limit_of(c, p, JudgeSettings())[:, None] * rng.choice([-1, 1], right.shape)
    )
    words = [judged(off(times), "implicit", [BY_ID["implicit-005"]]).word for times in (60, 70)]
    assert words == ["ROUNDING", "WRONG"]


def test_the_digits_of_the_verdict_are_those_of_the_table():
    def target(case, settings):
        right = case.expected["gradient"].value
        return right + 1e-9 * np.cos(40 * right) * np.max(np.abs(right))

    verdict = finding("maml-tabular", run(target, valid("maml-tabular", 2), JudgeSettings()), JudgeSettings())
    assert verdict.word == "ROUNDING" and f"right to {table_row(verdict)[-1]} digits where 1" in verdict.sentence, verdict


def test_where_one_task_has_lost_its_axis_the_report_says_so_and_not_to_reduce():
    outcomes = run(lambda c, s: np.squeeze(c.expected["gradient"].value), valid("maml-regression"), JudgeSettings())
    (line,) = (line for f in findings(outcomes, JudgeSettings()) for line in kinds(f))
    assert "the axis of the tasks is gone" in line and "--reduce" not in line


def test_a_heading_names_a_quantity_only_where_a_suite_has_one_and_advice_is_no_diagnosis():
    for suite, words in (("reptile", "of f: float64, expected"), ("maml-regression", "of f: gradient, float64, expected")):
        report = Report("f", JudgeSettings(), (judged(lambda c, p, right: right, suite, valid(suite, 2)),))
        assert words in text(report).splitlines()[0] and words.removeprefix("of f: ") in markdown(report)
    verdict = judged(lambda c, p, right: right, "maml-quadratic", [tiny(2.0**-14)], dtype="float32")
    assert verdict.word == "CANNOT TELL" and not any("Diagnosis" in line for line in details(verdict))
    assert any(line.startswith("choose cases") for line in details(verdict))
