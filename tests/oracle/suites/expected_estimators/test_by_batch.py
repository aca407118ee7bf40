"""`check --by-batch`: an estimator of one batch, judged by its exact mean over every batch."""

import contextlib
import io
from functools import partial

import numpy as np
import pytest

import refmeta as rm
from refmeta.__main__ import main
from refmeta.meta import sampled
from refmeta.oracle import cases
from refmeta.oracle.results import CallError
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.expected_estimators.batch_target import by_batch
from refmeta.oracle.suites.expected_estimators.by_batch import Query, as_batch_function
from refmeta.oracle.suites.expected_estimators.every_batch import every_tuple, exact_moments
from refmeta.sampling.enumeration import paths
from tests.commands import plain_estimators as plain

SUITE = "expected-estimators"
TINY = rm.FiniteMDP([[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.125, 0.875]]], [[0.0, 1.0], [2.0, -1.0]], [1.0, 0.0], 0.75, 2)
TASK, THETA = rm.PolicyReturn(TINY, rm.TabularSoftmax(2, 2)), np.array([0.5, -0.25, -0.75, 0.25])


def check(*arguments):
    """The command's status and what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(["check", *arguments])
        except SystemExit as stopped:
            status = stopped.code
    return status, " ".join(out.getvalue().split()), err.getvalue()


def of(name, *more):
    return check(f"tests.commands.plain_estimators:{name}", "--suite", SUITE, "--by-batch", *more)


def only(*numbers):
    """The option that names these cases."""
    return [word for n in numbers for word in ("--case", f"{SUITE}-{n:03}")]


def test_a_right_estimator_is_right():
    """E-MAML in plain NumPy: K from 0 to 2, M from 1 to 3, two and three actions, ends, without a line of enumeration."""
    status, out, _ = of("e_maml", *only(1, 3, 5, 6, 8, 13, 14, 15, 21, 23))
    assert status == 0 and "RIGHT" in out and "judged: formulation_sampled in 10 cases" in out


def test_a_dropped_score_term_is_named():
    status, out, _ = of("score_term_dropped", *only(1, 3, 6))
    assert status == 1 and "known-wrong formula score-term-dropped" in out


def test_steps_after_the_end_of_a_trajectory_are_no_steps():
    (case,) = (c for c in cases(SUITE) if c.id == "expected-estimators-013")
    certified = case.expected["formulation_sampled"].value
    got = {f: by_batch(f)(**case.arguments())["formulation_sampled"] for f in (plain.e_maml, plain.ignores_the_mask)}
    np.testing.assert_allclose(got[plain.e_maml], certified, rtol=0, atol=1e-14)
    assert np.max(np.abs(got[plain.ignores_the_mask] - certified)) > 0.1


def test_hessian_products_of_one_batch_are_judged_as_the_parts_that_they_are_called():
    status, out, _ = of("hessian_products", *only(1, 3, 13))
    assert status == 0 and "RIGHT" in out and "judged: naive_hessian, lvc_hessian, dice_hessian" in out


def test_a_crash_in_one_batch_says_which():
    status, out, _ = of("crashes", "--case", "expected-estimators-001")
    assert status != 0 and "on batch 6 of 16 (states [[[0, 0]]], actions [[[1, 1]]]" in out and "ZeroDivisionError: two ones" in out


def test_what_by_batch_does_not_go_with():
    for arguments, message in (
        (["m:f", "--suite", "maml-quadratic", "--by-batch"], "the suite maml-quadratic takes no estimator of one batch: --by-batch is for"),
        (["--exec", "true", "--suite", SUITE, "--by-batch"], "--by-batch goes with MODULE:FUNCTION"),
        (["m:f", "--suite", SUITE, "--by-batch", "--validation"], "without --validation"),
        (["m:f", "--suite", SUITE, "--vectorised"], "--vectorised with --by-batch"),
    ):
        status, _, err = check(*arguments)
        assert status == 2 and message in err, err


def test_one_suite_takes_such_a_function():
    assert [name for name, suite in SUITES.items() if suite.by_batch] == [SUITE]


@pytest.mark.eq("formulation-sampled", "emaml-score-term")
def test_the_mean_of_a_right_estimator_is_the_gradient_of_the_sampled_formulation():
    """Two steps: were the second batch drawn at θ, or at another φ than the function's own, the means would differ."""
    f = as_batch_function(plain.e_maml)
    for K, M in ((0, 1), (1, 1), (1, 2), (2, 1)):
        size = {"alpha": 0.75, "episodes": M, "steps": K}
        expected = sampled.formulation_sampled(THETA, TASK, **size).gradient
        np.testing.assert_allclose(exact_moments(f, THETA, TASK, **size).mean, expected, rtol=0, atol=1e-14)


def test_every_tuple_is_there_once_and_probabilities_sum_to_one():
    for K, M in ((1, 2), (2, 1), (3, 1)):
        chunks = list(every_tuple(as_batch_function(plain.first_order), THETA, TASK, alpha=0.5, episodes=M, steps=K))
        assert sum(len(c.p) for c in chunks) == 8 ** (K * M)
        assert sum(np.sum(c.p) for c in chunks) == pytest.approx(1.0, rel=1e-13)
        keys = {(c.batches.states[i].tobytes(), c.batches.actions[i].tobytes()) for c in chunks for i in range(len(c.p))}
        assert len(keys) == 8 ** (K * M)


def test_the_chunks_do_not_matter(monkeypatch):
    """Tuples of two steps in slices of a few prefixes, as on a process with many trajectories."""
    from refmeta.oracle.suites.expected_estimators import every_batch

    f = as_batch_function(plain.e_maml)
    whole = exact_moments(f, THETA, TASK, alpha=0.5, episodes=1, steps=2)
    monkeypatch.setattr(every_batch, "CHUNK", 20)
    sliced = exact_moments(f, THETA, TASK, alpha=0.5, episodes=1, steps=2)
    np.testing.assert_allclose(sliced.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(sliced.covariance, whole.covariance, rtol=1e-12)


@pytest.mark.parametrize("vectorised", [False, True])
def test_a_target_of_the_suite_has_one_row_per_task(vectorised):
    (case,) = (c for c in cases(SUITE) if c.id == "expected-estimators-001")
    function = plain.vectorised_first_order if vectorised else plain.one_first_order
    got = by_batch(function, vectorised=vectorised)(**case.arguments())
    (row,) = (row for row in SUITES[SUITE].rows if row.slug == "expected-first-order")
    np.testing.assert_allclose(got["formulation_sampled"], row.result(case.problem)["formulation_sampled"], rtol=0, atol=1e-14)


def test_the_keywords_that_a_function_asks_for_say_what_it_estimates():
    assert as_batch_function(lambda theta, query: 0).kind == "meta"
    assert as_batch_function(lambda theta, v: 0).kind == "hessian"
    assert as_batch_function(lambda theta, query, v: 0).kind == "meta"
    assert as_batch_function(lambda theta, states: 0).kind == "gradient"
    assert as_batch_function(lambda **rest: 0).kind == "meta"
    assert as_batch_function(lambda theta, query, more=1: 0).asks == ("theta", "query")
    assert as_batch_function(partial(lambda theta, query, more: 0, more=1)).asks == ("theta", "query")


def test_what_cannot_be_called_is_refused_in_a_sentence():
    with pytest.raises(CallError, match="requires entropy; it is called with keywords out of theta, states, "):
        as_batch_function(lambda theta, entropy: 0)
    with pytest.raises(CallError, match="requires theta; it is called with keywords"):
        as_batch_function(lambda theta, /, query: 0)
    with pytest.raises(CallError, match="asks for neither query nor v: this suite has no part for an estimate of the gradient"):
        by_batch(plain.policy_gradient)


def test_hessian_products_of_other_names_or_shapes_are_refused():
    (case,) = (c for c in cases(SUITE) if c.id == "expected-estimators-003")
    calls = []

    def changes(theta, v):
        calls.append(1)
        return {"dice_hessian": v} if len(calls) < 3 else {"lvc_hessian": v}

    for function, message in (
        (lambda theta, v: v, "returned ndarray, expected a dict with some of naive_hessian, lvc_hessian, dice_hessian"),
        (lambda theta, v: {"hessian": v}, r"returned \['hessian'\], expected a dict"),
        (lambda theta, v: {"dice_hessian": v[:1]}, r"on batch 1 of 64.*, dice_hessian: returned shape \(1,\)"),
        (changes, "something else than for the first batch, a dict of dice_hessian"),
    ):
        with pytest.raises(CallError, match=message):
            by_batch(function)(**case.arguments())


def test_the_query_is_the_exact_loss_and_its_gradient_and_remembers_where_it_was_asked():
    query = Query(TASK, (4,))
    loss, gradient = query(list(THETA))
    assert loss == TASK.at(THETA).loss and np.array_equal(gradient, TASK.at(THETA).grad)
    gradient[...] = 0.0
    assert np.any(query(THETA)[1])
    query(THETA + 1e-30j)  # a complex step asks at one real point
    np.testing.assert_array_equal(query.adapted(), THETA)
    query(THETA + 1e-3)
    with pytest.raises(CallError, match="called query at parameters that differ by 0.001"):
        query.adapted()
    with pytest.raises(ValueError, match=r"phi has shape \(3,\), expected \(4,\)"):
        query(THETA[:3])
    alone = Query(TASK, (4,))
    alone(THETA + 1e-30j)
    assert alone.adapted().dtype == float
    many = Query(TASK, (2, 4))
    assert many(np.stack([THETA, -THETA]))[0].shape == (2,)


def test_a_function_gets_copies_and_the_enumeration_is_not_changed():
    """The library's own trajectories stay as they are, whatever a function does to what it is given."""
    before = [x.copy() for x in paths(TINY).trajectories]

    def writes(theta, states, actions, rewards, mask, query):
        result = query(theta)[1]
        for x in (theta, states, actions, rewards):
            x[...] = 7
        return result

    with pytest.raises(CallError, match="was changed in place"):
        exact_moments(as_batch_function(writes), THETA, TASK, alpha=0.5, episodes=1, steps=1)
    for x, y in zip(before, paths(TINY).trajectories, strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(THETA, [0.5, -0.25, -0.75, 0.25])
