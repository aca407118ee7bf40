"""The vectors that come with the library: their premises, their schema, and what is refused of others."""

import itertools
import json
import os
import pickle

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.bicomplex import complex_value
from refmeta.oracle.documents import DEPTH, LIMIT, as_object
from refmeta.oracle.sizes import INTEGERS, axes_of
from refmeta.oracle.suites import FOLDER, SUITES
from refmeta.oracle.vectors import (
    CASE,
    FORMAT,
    GROUP,
    RESULTS,
    TOP,
    VALUE,
    VERSION,
    UsageError,
    VectorError,
    cases,
    read,
    read_file,
)
from refmeta.tolerance import error_in_tolerances

EVERY = [case for suite in SUITES for case in cases(suite)]
VALID = [case for case in EVERY if case.result == "valid"]
NOT_EXPRESSIBLE = {
    "sequential-meta-steps",
    "query-gradient-called-reptile",
    "serial-from-one-start",
    "alpha-divided",
    "last-optimiser-step",
}  # they need an outer step size or tasks that the suites' inputs do not have; tests/oracle/suites rejects them


LIMITS = {
    "probabilities-clamped",
    "logits-clamped",
    "gradient-clipped",
    "steps-at-most-five",
    "log-sigma-clamped",
    "variance-floored",
}


def test_there_are_a_hundred_vectors_each_with_its_purpose():
    assert len(EVERY) >= 100 and len({case.id for case in EVERY}) == len(EVERY)
    assert all(case.comment and case.suite in case.id for case in EVERY)
    assert {case.result for case in EVERY} == set(RESULTS)


def test_they_cover_what_they_should():
    meta = [case for case in VALID if case.about.chapter == "maml"]
    assert {case.input["steps"] for case in meta} == {0, 1, 2, 3, 4, 12}
    assert {np.ndim(case.input["alpha"]) for case in meta} == {0, 1, 2}
    assert {case.input.get("horizon") is None for case in VALID if "horizon" in case.input} == {True, False}
    kinds = {(case.input["A"] is None, case.input["query_A"] is None) for case in VALID if case.suite == "implicit"}
    assert len(kinds) == 4, "each loss of the support with each of the query"
    several = [case for case in meta if "one-task" not in case.flags]
    assert len(several) > 50
    for case in several:
        problem = case.problem
        assert problem.support.shape[0] > 1
        ours, theirs = (task.at(problem.theta).grad for task in problem.split)
        assert not np.array_equal(ours, theirs), f"{case.id}: the query is the support"
        assert case.input["steps"] == 0 or not np.allclose(ours[0], ours[1]), f"{case.id}: the tasks are alike"


@pytest.mark.parametrize("suite", SUITES)
def test_every_float_input_of_a_suite_has_a_vector_that_shows_it_kept_in_single_precision(suite):
    """No input is left out: rows of probabilities sum to 1 to rounding, a system's last row is 0 and 1."""
    names, inexact = set(), set()
    for case in (case for case in cases(suite) if case.result == "valid"):
        for name, value in case.arguments().items():
            if isinstance(value, float) or isinstance(value, np.ndarray) and value.dtype.kind == "f":
                names.add(name)
                inexact |= {name} if np.any(np.asarray(value, np.float32).astype(float) != value) else set()
    assert inexact == names and names


def test_other_inputs_are_exact_in_single_precision_and_logit_gaps_small():
    for case in VALID:
        for value in case.arguments().values():
            if isinstance(value, (float, np.ndarray)) and "inexact" not in case.flags:
                np.testing.assert_array_equal(np.float32(value), value)
        if "P" in case.input and "logits" in case.about.inputs["theta"].meaning and "extreme" not in case.flags:
            assert np.ptp(case.arguments()["theta"]) <= 4


@pytest.mark.parametrize("suite", SUITES)
def test_valid_vectors_are_well_conditioned_and_certified_to_thirty_digits(suite):
    for case in cases(suite):
        for quantity, expected in case.expected.items():
            assert np.all(expected.scale > 0) and np.all(np.isfinite(expected.value))
            if case.result == "valid":
                assert np.all(expected.kappa < 1e6) and (expected.digits == 0 or expected.digits >= 30), (
                    case.id,
                    quantity,
                )
        assert set(case.expected) == (set() if case.result == "invalid" else set(SUITES[suite].parts))


@pytest.mark.parametrize("suite", SUITES)
def test_extreme_vectors_reject_every_limit(suite):
    """By a hundred tolerances or more, ten of which a wrong result may be off from a formula that is named."""
    extreme = [case for case in cases(suite) if "extreme" in case.flags]
    assert 2 <= len(extreme) <= 4 and all(case.result == "valid" for case in extreme)
    for slug in LIMITS & {row.slug for row in SUITES[suite].rows}:
        assert max(case.discriminates.get(slug, 0) for case in extreme) > 100, slug


@pytest.mark.parametrize("suite", SUITES)
def test_the_definition_in_complex_numbers_passes_every_extreme_vector(suite):
    """Another right computation, in double precision and without care: no vector asks for more digits than can be had."""
    about = SUITES[suite]
    for case in (case for case in cases(suite) if "extreme" in case.flags):
        inputs = {name: np.asarray(x).tolist() for name, x in case.arguments().items()}
        for part, right in case.expected.items():
            rows = (lambda x: x) if about.parts[part].by_task else (lambda x: x[None])
            value = complex_value(about.definition, part, inputs)
            errors = error_in_tolerances(rows(value), rows(right.value), right.kappa, right.scale, about.residual)
            assert np.max(errors) < 0.3, (case.id, part)


@pytest.mark.parametrize("suite", SUITES)
def test_three_vectors_of_a_suite_reject_every_known_wrong_formula_by_ten_million_tolerances(suite):
    """So that a millionth of it is not right.  Where the Hessian is constant, the point at which it is taken is no mistake."""
    constant = {"hessians-at-start", "hessian-at-adapted"} if SUITES[suite].rational else set()
    rows = {row.slug for row in SUITES[suite].rows} - NOT_EXPRESSIBLE - LIMITS
    for slug in rows:
        margins = [case.discriminates.get(slug, 0) for case in cases(suite) if case.result == "valid"]
        assert sum(m > 1e7 for m in margins) >= 3 if slug not in constant else not any(margins), (
            f"{slug}: `make vectors` writes the margins; three vectors must be above 1e7, got {margins}"
        )
    assert {row.slug for about in SUITES.values() for row in about.rows} - NOT_EXPRESSIBLE <= REJECTED


def integers_and_sizes(case):
    """The sizes of a case, and the integers among its inputs that are no size."""
    inputs = case.arguments()
    counts = {name: x for name, x in inputs.items() if type(x) is int and name not in (*INTEGERS, "prior_factors")}
    return case.about.sizes_of(inputs) | counts


@pytest.mark.parametrize("suite", SUITES)
def test_no_two_sizes_are_always_equal(suite):
    """A mean over the wrong axis is a mistake that two vectors see at least; so is any other exchange of two sizes."""
    sizes = [integers_and_sizes(case) for case in cases(suite) if case.result == "valid"]
    for a, b in itertools.combinations(sorted({name for each in sizes for name in each}), 2):
        both = [each for each in sizes if a in each and b in each]
        assert not both or sum(each[a] != each[b] for each in both) >= 2, f"{a} = {b}"


@pytest.mark.parametrize("suite", SUITES)
def test_no_number_hides_what_is_done_with_it_and_no_two_hide_each_other(suite):
    """0, 1, 2, -1 and 1/2 are their own squares, halves or complements; equal numbers, and x and 1 - x, stand for each other.

    Two numbers that stand in one vector differ in five vectors, or in all of fewer.
    """
    vectors = [case.arguments() for case in cases(suite) if case.result == "valid"]
    numbers = [{name: x for name, x in inputs.items() if type(x) is float} for inputs in vectors]
    names = {name for each in numbers for name in each}
    for name in names:
        assert sum(each.get(name, 0.0) not in (-1.0, 0.0, 0.5, 1.0, 2.0) for each in numbers) >= 3, name
    for a, b in itertools.combinations(sorted(names), 2):
        both = [(each[a], each[b]) for each in numbers if a in each and b in each]
        assert sum(x != y and abs(x + y - 1) > 1e-6 for x, y in both) >= min(5, len(both)), (a, b)


NEVER_SQUARE = {"W", "encoder_mean", "encoder_log_variance"}  # (4h, 4+h), (Z, 1+2SA+2S)


@pytest.mark.parametrize("suite", SUITES)
def test_a_square_array_is_not_always_symmetric(suite):
    """In any two axes but that of the tasks, where its meaning does not say so; a transpose of another length does not fit."""
    vectors = [case.arguments() for case in cases(suite) if case.result == "valid" and "extreme" not in case.flags]
    for name, about in SUITES[suite].inputs.items():
        meaning = SUITES[suite].inputs[name.removeprefix("query_")].meaning
        if any(word in meaning for word in ("symmetric", "second moments", "covariance")):
            continue
        for axes in map(axes_of, about.shape.split(" or ")):
            arrays = [x[name] for x in vectors if isinstance(x[name], np.ndarray) and x[name].ndim == len(axes)]
            for i, j in itertools.combinations(range("N" in axes, len(axes)), 2):
                square = [x for x in arrays if x.shape[i] == x.shape[j] > 1]
                assert not square or any(not np.array_equal(x, x.swapaxes(i, j)) for x in square), (name, axes[i], axes[j])


def clipped(x):
    """Rewards in [−5, 5]."""
    names = [name for name in ("R", "query_R", "rewards", "query_rewards", "context_rewards") if name in x]
    return {name: np.clip(x[name], -5, 5) for name in names}


def by_columns(x):
    """The gain of a linear-Gaussian policy, which stands row by row, read column by column."""
    m, p = (x["action_count"], x["state_count"]) if "states" in x else x["B"].shape[:0:-1]
    if "states" in x and x["states"].dtype.kind != "f":
        return {}
    order = np.append(np.arange(m * p).reshape(p, m).T, np.arange(m * p, m * p + m))
    return {name: x[name][..., order] for name in ("theta", "theta_sampled", "query_theta_sampled") if name in x}


def means_over_n(x):
    """The query's mean over q rows taken over n."""
    if x["X"] is None or x["query_X"] is None:
        return {}
    factor = np.sqrt(x["query_X"].shape[1] / x["X"].shape[1])
    return {name: factor * x[name] for name in ("query_X", "query_y")}


def mean_over_next(x):
    """R[s, a, s'] over the next states with equal weights, where there is a horizon and there are not fewer than two steps."""
    return {"R": np.mean(x["R"], axis=-1)} if x["R"].ndim == 4 and x["horizon"] and x.get("steps", 2) == 2 else {}


MAML = {"maml-tabular", "maml-linear-features", "maml-regression", "maml-classification", "maml-quadratic", "maml-lq"}
MISREAD = {
    "the size of alpha": (lambda x: {"alpha": np.abs(x["alpha"])}, MAML | {"model"}),
    "alpha transposed": (lambda x: {"alpha": np.transpose(x["alpha"])}, MAML),
    "alpha of the parameters as that of the steps": (lambda x: {"alpha": np.reshape(x["alpha"], (-1, 1))}, MAML | {"model"}),
    "rewards clipped": (clipped, {"policy-gradient", "episodic-return", "maml-tabular", "maml-linear-features", "maml-sampled", "surrogates", "pearl", "model"}),
    "the gain by columns": (by_columns, {"maml-lq", "maml-sampled", "surrogates"}),
    "sigma at most 1": (lambda x: {"theta": np.append(x["theta"][:-1], min(x["theta"][-1], 0.0))}, {"maml-lq"}),
    "epsilon at most 1": (lambda x: {"epsilon": min(x["epsilon"], 1.0)}, {"reptile"}),
    "the query's mean over n": (means_over_n, {"maml-regression", "implicit"}),
    "0 to the power 0 as 0": (lambda x: {"R": 0 * x["R"]} if x["gamma"] == 0 and x["horizon"] else {}, {"policy-gradient"}),
    "the mean of R over the next state": (mean_over_next, {"policy-gradient", "episodic-return", "expected-estimators"}),
    "tau at most 1": (lambda x: {"log_temperature": min(x["log_temperature"], 0.0)}, {"pearl"}),
    "the temperature at most 1": (lambda x: {"temperature": min(x["temperature"], 1.0)}, {"soft-return"}),
    "beta at most 1": (lambda x: {"beta": min(x["beta"], 1.0)}, {"pearl"}),
}


@pytest.mark.parametrize(("mistake", "suite"), [(mistake, suite) for mistake, (_, suites) in MISREAD.items() for suite in sorted(suites)])
def test_an_input_that_is_read_wrongly_is_seen_without_an_extreme_vector(mistake, suite):
    """By ten million tolerances; a vector that refuses what was read does not count."""
    about, worst = SUITES[suite], 0.0
    for case in (case for case in cases(suite) if case.result == "valid" and "extreme" not in case.flags):
        inputs = case.arguments()
        misread = inputs | MISREAD[mistake][0](inputs)
        try:
            problem = about.problem(misread)
            got = {part: about.answer(part, problem) for part in about.parts if not part.startswith("step_size")}
        except ValueError:
            continue
        for part, value in got.items():
            right, rows = case.expected[part], (lambda x: x) if about.parts[part].by_task else (lambda x: x[None])
            worst = max(worst, np.max(error_in_tolerances(rows(value), rows(right.value), right.kappa, right.scale, about.residual)))
    assert worst > 1e7


REJECTED = {slug for case in VALID for slug in case.discriminates}


@pytest.mark.parametrize("case", [case for case in EVERY if case.result == "invalid"], ids=lambda c: c.id)
def test_the_library_refuses_what_is_invalid(case):
    """Every array that may be asked for; of a dict of parts one that looks at the input."""

    def refused(part):
        try:
            case.about.answer(part, case.problem)
        except (ValueError, TypeError, FloatingPointError):
            return True
        return False

    assert (all if case.about.array else any)(map(refused, case.about.parts))


def test_arguments_are_fresh_writeable_and_typed():
    case = cases("maml-classification")[0]
    one, other = case.arguments("float32"), case.arguments("float32")
    one["theta"][:] = 7
    assert not np.any(other["theta"] == 7) and other["theta"].dtype == np.float32
    assert other["labels"].dtype == np.int64 and type(other["steps"]) is int and type(other["ridge"]) is float
    assert other["X"].flags.c_contiguous and other["X"].flags.writeable
    assert cases("policy-gradient")[0].arguments()["features"] is None


def test_the_schema_says_what_the_reader_demands():
    schema = json.loads((FOLDER / "schema.json").read_text("utf-8"))
    for keys, table in (
        (TOP, schema),
        (GROUP, schema["$defs"]["group"]),
        (CASE, schema["$defs"]["case"]),
        (VALUE, schema["$defs"]["value"]),
    ):
        assert set(table["required"]) == set(table["properties"]) == keys and not table["additionalProperties"]
    assert (schema["properties"]["format"]["const"], schema["properties"]["version"]["const"]) == (FORMAT, VERSION)
    assert schema["$defs"]["case"]["properties"]["result"]["enum"] == list(RESULTS)


def document():
    return json.loads((FOLDER / SUITES["reptile"].vectors).read_text("utf-8"))


def changed(change):
    d = document()
    change(d, d["groups"][0]["cases"][0])
    return json.dumps(d)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON"),
        ("[]", "top level: expected the keys .* these differ: list"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ('{"a": NaN}', "the literal NaN is no JSON"),
        ('{"a": -Infinity}', "the literal -Infinity is no JSON"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), f"nested {DEPTH + 1} deep, expected at most {DEPTH}"),
        ("[" * 100000, "nested 100000 deep"),
        ('{"a": ' + "9" * 6000 + "}", "no JSON: Exceeds the limit"),
        ('{"a": "' + "[" * (DEPTH + 1) + '\\"["}', "top level: expected the keys"),
        (" " * (LIMIT + 1), f"{LIMIT + 1} characters, expected at most {LIMIT}"),
        (changed(lambda d, c: d.update(version=2)), "format, version are 'refmeta-vectors', 2, expected 'refmeta-vectors', 1"),
        (changed(lambda d, c: d.update(suite="mamba")), "suite: 'mamba' is none of policy-gradient"),
        (changed(lambda d, c: d.update(more=1)), r"these differ: \['more'\]"),
        (changed(lambda d, c: c.pop("comment")), r"groups\[0\].cases\[0\]: expected the keys .* these differ: \['comment'\]"),
        (changed(lambda d, c: c.update(id="reptile-002")), r"groups\[0\].cases\[1\]: id 'reptile-002' twice"),
        (changed(lambda d, c: c.update(result="right")), "result 'right' is none of valid, invalid, ill_conditioned"),
        (changed(lambda d, c: c.update(flags=["fast"])), "flag 'fast' is not declared"),
        (changed(lambda d, c: c["expected"]["update"]["hex"].__setitem__(0, "0x1p+0")), r"expected.update: value and hex disagree"),
        (changed(lambda d, c: c["expected"]["update"].update(hex=["one"])), r"expected.update: no numbers"),
        (changed(lambda d, c: c.update(input=3)), r"cases\[0\].input: expected an object"),
        (changed(lambda d, c: d.update(groups=3)), "groups: expected a list"),
    ],
)  # fmt: skip
def test_a_bad_vector_file_is_refused_with_file_key_and_reason(text, reason, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(text, "utf-8")
    with pytest.raises(VectorError, match=f"mine.json: .*{reason}" if "\\" not in reason[:1] else reason):
        list(read(text, "mine.json"))
    if len(text) < LIMIT:
        with pytest.raises(VectorError, match="mine.json"):
            list(read_file(str(path)))


def test_a_file_that_is_missing_or_too_large_is_refused_before_it_is_read(tmp_path):
    with pytest.raises(VectorError, match="cannot be read"):
        list(read_file(str(tmp_path / "none.json")))
    large = tmp_path / "large.json"
    with large.open("wb") as f:
        f.truncate(LIMIT + 1)
    with pytest.raises(VectorError, match=f"{LIMIT + 1} bytes, expected at most"):
        list(read_file(str(large)))


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a directory"), ("/dev/zero", "a device or a socket")):
        with pytest.raises(VectorError, match=f"is {kind}, expected a regular file"):
            list(read_file(str(path)))


def test_many_keys_are_read_in_one_pass():
    """Every key is hashed once, not compared with those before it."""

    class Key(str):
        compared = 0

        def __eq__(self, other):
            type(self).compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    as_object([(Key(i), i) for i in range(1000)], "mine.json")
    assert Key.compared < 2000
    with pytest.raises(VectorError, match="mine.json: the key '3' stands twice in one object"):
        as_object([(str(i), i) for i in (1, 3, 2, 3)], "mine.json")


@pytest.mark.parametrize("suite", SUITES)
def test_null_and_fractions_are_accepted_only_where_the_suite_has_them(suite):
    document = json.loads((FOLDER / SUITES[suite].vectors).read_text("utf-8"))
    document["groups"] = document["groups"][:1]
    document["groups"][0]["cases"] = document["groups"][0]["cases"][:1]
    case = document["groups"][0]["cases"][0]
    for name, value in case["input"].items():
        for wrong in (None, 0.5):
            case["input"][name] = wrong
            text = json.dumps(document)
            about = SUITES[suite].inputs[name]
            if wrong is None and about.optional or wrong == 0.5 and about.kind != "integer":
                assert len(list(read(text, "mine.json"))) == 1
            else:
                with pytest.raises(VectorError, match=rf"mine.json: .*input.{name}: no (whole )?numbers: "):
                    list(read(text, "mine.json"))
        case["input"][name] = value


def test_a_file_whose_inputs_are_no_problem_of_the_suite_is_refused(tmp_path):
    document = json.loads((FOLDER / SUITES["maml-quadratic"].vectors).read_text("utf-8"))
    document["groups"][0]["cases"][0]["input"]["A"] = [[[1.0, 0.0], [0.5, 1.0]]]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(VectorError, match="mine.json: maml-quadratic-001: no problem of maml-quadratic: A"):
        list(read_file(str(path)))


def test_a_suite_that_does_not_exist_is_named():
    with pytest.raises(UsageError, match="no suite is called 'maml'; the suites are policy-gradient"):
        cases("maml")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.update(expected={}), r"expected the quantities \['update'\], got \[\]"),
        (lambda c: c["input"].pop("epsilon"), "expected theta, adapted, epsilon, got theta, adapted"),
        (lambda c: c["input"].update(theta=[[1.0], 2.0]), "input.theta: no numbers"),
        (lambda c: c["input"].update(theta="x"), "input.theta: no numbers"),
        (lambda c: c["input"].update(theta=["1.0", "2.0", "3.0"]), "input.theta: no numbers: str"),
        (lambda c: c["input"].update(theta=[True, 1.0, 1.0]), "input.theta: no numbers: bool"),
        (lambda c: c["input"].update(epsilon=None), "input.epsilon: no numbers: NoneType"),
        (lambda c: c["input"].update(theta=[1.0, None, 1.0]), "input.theta: no numbers: NoneType"),
        (lambda c: c["input"].update(theta=[1.0, 10**400, 1.0]), "malformed: OverflowError"),
        (lambda c: c.update(discriminates=[]), "id and comment must be strings and discriminates an object"),
        (lambda c: c.update(comment=None), "id and comment must be strings and discriminates an object"),
        (lambda c: c.update(discriminates={"first-order": "x"}), "discriminates: every margin must be a number"),
        (lambda c: c.update(flags=5), "flags must be a list"),
        (lambda c: c.update(flags="edge"), "flags must be a list"),
        (lambda c: c.update(flags=[["edge"]]), "malformed: TypeError"),
        *((lambda c, digits=d: c["expected"]["update"].update(digits=digits), "digits must be a whole number")
          for d in (None, "x", 1.5, True, -1)),
        (lambda c: c["expected"]["update"].update(value=[1e999] * 3, hex=["inf"] * 3), "the literal Infinity is no JSON"),
        (lambda c: c["expected"]["update"].update(kappa=[-1.0]), "kappa must be in"),
        (lambda c: c["expected"]["update"].update(kappa=[1e300]), "kappa must be in"),
        (lambda c: c["expected"]["update"].update(scale=[0.0]), "kappa must be in"),
        (lambda c: c["expected"]["update"].update(kappa=[1.0, 1.0]), "kappa must be in"),
        (lambda c: c["expected"]["update"].update(kappa=[1.0, 1.0], scale=[1.0, 1.0]), "kappa must be in"),
    ],
)  # fmt: skip
def test_a_case_that_would_pass_anything_or_break_the_judge_is_refused(change, reason):
    with pytest.raises(VectorError, match=f"mine.json: .*{reason}"):
        list(read(changed(lambda d, c: change(c)), "mine.json"))


@pytest.mark.parametrize("reward", [3.0, [[]], float("inf")])
def test_a_reward_without_its_axes_is_a_bad_file(reward, tmp_path):
    file = json.loads((FOLDER / SUITES["maml-tabular"].vectors).read_text("utf-8"))
    file["groups"][0]["cases"][0]["input"]["R"] = reward
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(file).replace("Infinity", "1e400"), "utf-8")
    with pytest.raises(VectorError, match="maml-tabular-001: no problem of maml-tabular: R "):
        list(read_file(str(path)))


def test_a_case_and_its_outcome_are_pickled_and_shown_by_the_name_of_their_suite():
    case = cases("reptile")[0]
    (outcome, *_) = rm.oracle.check(lambda theta, adapted, epsilon: rm.reptile.update(theta, adapted, epsilon=epsilon), "reptile")
    for thing in (case, outcome):
        assert pickle.loads(pickle.dumps(thing)).__class__ is thing.__class__
    again = pickle.loads(pickle.dumps(case))
    assert again.about is case.about and again.input == case.input and "<suite reptile>" in repr(case)
