"""Meta-training: the loop is its own sentence, rules are their formulas, and whatever happens nothing is lost."""

import math
import os
import pty
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import maml, reptile
from refmeta.evidence.gradients import random_long_rows
from refmeta.meta.optimisers import adam, zero_moments
from refmeta.meta.train import clip_by_norm
from refmeta.problems import random_problem
from tests.strategies import assert_right, seeds

FAMILY = rm.Sinusoids(shots=4, query_shots=3)
START = np.array([0.5, -1.0, 2.0])


@pytest.mark.eq("clip-by-norm")
@given(case=st.builds(random_long_rows, seeds, dim=st.integers(1, 6), limit=st.sampled_from((0.5, 7.0))))
def test_clipping_keeps_the_direction_and_bounds_the_norm(case):
    assert_right("clip-by-norm", case)
    rows, limit = case
    for g in rows:
        assert math.hypot(*clip_by_norm(g, limit)) <= limit * (1 + 4e-16 * len(g))
        if math.hypot(*g) <= limit:
            np.testing.assert_array_equal(clip_by_norm(g, limit), g)


def test_clipping_by_hand_and_at_the_edges():
    np.testing.assert_allclose(clip_by_norm([3.0, 4.0], 1.0), [0.6, 0.8], rtol=4e-16)
    np.testing.assert_array_equal(clip_by_norm([0.0, 0.0], 1.0), [0.0, 0.0])
    np.testing.assert_allclose(clip_by_norm([3e200, 4e200], 5.0), [3.0, 4.0], rtol=1e-15)
    np.testing.assert_allclose(clip_by_norm([3e-200, 4e-200], 1e-200), [0.6e-200, 0.8e-200], rtol=1e-15)
    np.testing.assert_allclose(clip_by_norm([1.2e308, 1.6e308], 5.0), [3.0, 4.0], rtol=1e-15)
    np.testing.assert_allclose(clip_by_norm([3e200, 4e200], 1e-200), [0.6e-200, 0.8e-200], rtol=1e-15)
    np.testing.assert_allclose(clip_by_norm([[3.0, 4.0], [0.3, 0.4]], 1.0), [[0.6, 0.8], [0.3, 0.4]], rtol=4e-16)
    short = np.array([3.0, 4.0])
    assert clip_by_norm(short, 10.0) is not short


@given(rng=seeds, limit=st.sampled_from((0.5, 2.0)))
def test_the_outer_and_the_inner_optimisers_clip_alike_and_complex_steps_go_through(rng, limit):
    g, v = 2 * rng.normal(size=(2, 3, 4))
    moved = rm.inner.ClippedByNorm(limit).step(np.zeros(4), g, rm.inner.zero_moments(g), alpha=1.0)[0]
    np.testing.assert_array_equal(-moved, clip_by_norm(g, limit))
    clip, norm = lambda x: clip_by_norm(x, limit), np.linalg.norm(g[0])
    along = v[0] if norm <= limit else limit / norm * (v[0] - g[0] * (g[0] @ v[0]) / norm**2)
    np.testing.assert_allclose(rm.judges.complex_step(clip, g[0], v[0]), along, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [lambda o: rm.MAML(0.1, 1, o), lambda o: rm.FirstOrderMAML(0.1, 1, o), lambda o: rm.MetaSGD(1, o), lambda o: rm.Reptile(0.1, 1, o)])
@pytest.mark.parametrize("optimiser", ["adam", rm.Adam(0.1), rm.inner.Adam])
def test_a_rule_with_an_outer_optimiser_inside_is_refused_where_it_is_made(make, optimiser):
    with pytest.raises(TypeError, match="optimiser must be None or a rule with step and adjoint, such as rm.inner.Adam"):
        make(optimiser)
    assert make(rm.inner.Adam()).optimiser == rm.inner.Adam()


def test_a_legacy_generator_trains_a_plain_rule_and_is_refused_for_one_that_draws_episodes():
    """Its bit generator has no seed sequence that could spawn a second one."""
    legacy = lambda: np.random.Generator(np.random.RandomState(3)._bit_generator)
    shared = {"outer": rm.SGD(0.1), "iterations": 2, "batch": 2}
    once, again = (rm.meta_train(FAMILY, START, rule=rm.MAML(0.3), rng=legacy(), **shared) for _ in range(2))
    np.testing.assert_array_equal(once.theta, again.theta)
    with pytest.raises(TypeError, match=r"a legacy RandomState cannot: give a seed, or numpy\.random\.default_rng\(seed\)"):
        rm.meta_train(rm.RandomMDPs(), np.zeros(9), rule=rm.SampledMAML(0.1, rm.sampled_maml.DICE, 2), rng=legacy(), **shared)


@given(rng=seeds, limit=st.sampled_from((0.5, 2.0)))
def test_clipping_is_the_projection_onto_the_ball_and_expands_no_distance(rng, limit):
    x, y = 2 * rng.normal(size=(2, 4))
    nearest = clip_by_norm(x, limit)
    inside = [clip_by_norm(3 * rng.normal(size=4), limit) for _ in range(20)]
    assert all(np.linalg.norm(x - nearest) <= np.linalg.norm(x - z) + 1e-12 for z in inside)
    assert np.linalg.norm(clip_by_norm(x, limit) - clip_by_norm(y, limit)) <= np.linalg.norm(x - y) + 1e-12


RULES = {
    "MAML": (rm.MAML(0.3, 2), lambda t, s, q: maml.gradient(t, s, q, alpha=0.3, steps=2).sum(0)),
    "joint": (rm.MAML(0.3, 0), lambda t, s, q: q.at(t).grad.sum(0)),
    "first-order": (
        rm.FirstOrderMAML(0.3, 2),
        lambda t, s, q: maml.first_order_gradient(t, s, q, alpha=0.3, steps=2).sum(0),
    ),
    "Reptile": (rm.Reptile(0.3, 3), lambda t, s, q: (t - rm.adapt(t, s, alpha=0.3, steps=3).adapted).mean(0) / 0.3),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_its_formula_reduced_over_tasks(name):
    rule, expected = RULES[name]
    tasks = FAMILY.sample(5, 3)
    np.testing.assert_allclose(rule.direction(START, *tasks), expected(START, *tasks), rtol=0, atol=1e-13)


@pytest.mark.eq("meta-sgd", "step-size-gradient")
def test_meta_sgd_learns_the_start_and_one_step_size_a_parameter():
    tasks, alpha = FAMILY.sample(5, 3), np.array([0.2, 0.3, 0.4])
    got = rm.MetaSGD(steps=2).direction(np.concatenate([START, alpha]), *tasks)
    once = maml.meta_sgd_update(START, *tasks, alpha=alpha, beta=1.0, steps=2)
    np.testing.assert_allclose(got, np.concatenate([START - once.theta, alpha - once.alpha]), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), expected \(6,\): \[theta, alpha\]"):
        rm.MetaSGD().direction(START, *tasks)


@pytest.mark.parametrize("outer", [rm.SGD(0.02), rm.SGD(0.02, max_norm=0.5)])
def test_training_is_the_loop_written_out(outer):
    done = rm.meta_train(FAMILY, START, rule=rm.MAML(0.3), outer=outer, iterations=4, batch=3, rng=7)
    rng, theta = np.random.default_rng(7), START
    for _ in range(4):
        g = maml.gradient(theta, *FAMILY.sample(3, rng), alpha=0.3).sum(0)
        theta = theta - 0.02 * (g if outer.max_norm is None else clip_by_norm(g, 0.5))
    np.testing.assert_allclose(done.theta, theta, rtol=1e-14)
    assert (done.iterations, done.interrupted) == (4, False)


@pytest.mark.eq("adam")
def test_training_with_adam_is_adam():
    outer = rm.Adam(0.05, beta1=0.8, beta2=0.95, epsilon=1e-3, max_norm=1.5)
    done = rm.meta_train(FAMILY, START, rule=rm.FirstOrderMAML(0.3), outer=outer, iterations=5, batch=2, rng=1)
    rng, theta, state = np.random.default_rng(1), START, zero_moments(START)
    for _ in range(5):
        g = clip_by_norm(maml.first_order_gradient(theta, *FAMILY.sample(2, rng), alpha=0.3).sum(0), 1.5)
        theta, state = adam(theta, g, state, alpha=0.05, beta1=0.8, beta2=0.95, epsilon=1e-3)
    np.testing.assert_allclose(done.theta, theta, rtol=1e-13)


def test_sgd_on_reptile_s_direction_is_reptile_s_update():
    done = rm.meta_train(FAMILY, START, rule=rm.Reptile(0.3, 2), outer=rm.SGD(0.5 * 0.3), iterations=1, batch=4, rng=2)
    adapted = rm.adapt(START, FAMILY.sample(4, 2).support, alpha=0.3, steps=2).adapted
    np.testing.assert_allclose(done.theta, reptile.update(START, adapted, epsilon=0.5), rtol=1e-14)


def test_every_rule_goes_downhill_in_expectation():
    held_out = FAMILY.sample(300, 99)
    start = np.full(3, 3.0)
    loss = lambda t: float(np.mean(maml.objective(t, *held_out, alpha=0.3, steps=1)))
    axes = np.sqrt(3) * np.eye(3)
    for rule in (
        rm.MAML(0.3),
        rm.FirstOrderMAML(0.3),
        rm.Reptile(0.3, 2),
        rm.ImplicitMAML(3.0),
        rm.ESMAML(0.3, 0.1, axes),
    ):
        done = rm.meta_train(FAMILY, start, rule=rule, outer=rm.Adam(0.1), iterations=30, batch=10, rng=0)
        assert loss(done.theta) < 0.6 * loss(start), rule
    both = np.concatenate([start, np.full(3, 0.1)])
    done = rm.meta_train(FAMILY, both, rule=rm.MetaSGD(), outer=rm.Adam(0.05), iterations=60, batch=10, rng=0)
    value = lambda x: float(np.mean(maml.objective(x[:3], *held_out, alpha=x[3:], steps=1)))
    assert value(done.theta) < 0.5 * value(both)


def test_joint_training_finds_the_joint_minimiser():
    """On a family of one batch the minimiser is that of least squares."""

    class Same:
        tasks = FAMILY.sample(6, 5)

        def sample(self, n, rng):
            return self.tasks

    X, y = Same.tasks.query.X.reshape(-1, 3), Same.tasks.query.y.ravel()
    done = rm.meta_train(Same(), np.zeros(3), rule=rm.MAML(1.0, 0), outer=rm.SGD(0.15), iterations=2000, batch=1)
    np.testing.assert_allclose(done.theta, np.linalg.lstsq(X, y, rcond=None)[0], rtol=1e-9)


def test_the_callback_receives_every_iteration_and_may_end_the_training():
    iterations = []

    def callback(iteration):
        iterations.append(iteration)
        if iteration.done == 3:
            raise StopIteration
        iteration.theta[:] = np.nan
        iteration.direction[:] = np.nan

    arguments = {"rule": rm.MAML(0.3), "outer": rm.Adam(0.05), "batch": 2}
    done = rm.meta_train(FAMILY, START, **arguments, iterations=10, rng=4, callback=callback)
    alone = rm.meta_train(FAMILY, START, **arguments, iterations=3, rng=4)
    assert [i.done for i in iterations] == [1, 2, 3] and (done.iterations, done.interrupted) == (3, False)
    np.testing.assert_array_equal(done.theta, alone.theta)
    np.testing.assert_array_equal(iterations[-1].theta, alone.theta)


def test_an_interrupt_returns_what_was_learned_with_a_note(capsys):
    class Impatient(rm.Sinusoids):
        calls = 0

        def sample(self, n, rng=None):
            type(self).calls += 1
            if self.calls == 4:
                raise KeyboardInterrupt
            return FAMILY.sample(n, rng)

    arguments = {"rule": rm.MAML(0.3), "outer": rm.SGD(0.01), "batch": 2, "rng": 4}
    done = rm.meta_train(Impatient(), START, **arguments, iterations=10)
    assert (done.iterations, done.interrupted) == (3, True)
    np.testing.assert_array_equal(done.theta, rm.meta_train(FAMILY, START, **arguments, iterations=3).theta)
    assert capsys.readouterr().err == "meta_train: interrupted after 3 of 10 iterations\n"


def test_a_real_interrupt_of_a_real_process_returns_what_was_learned():
    """Also where the test itself runs with SIGINT ignored, which a child inherits."""
    code = """
import signal, numpy as np, refmeta as rm
signal.signal(signal.SIGINT, signal.default_int_handler)
def report(i):
    if i.done == 2: print("begun", flush=True)
done = rm.meta_train(rm.Sinusoids(), np.zeros(3), rule=rm.MAML(.3), outer=rm.SGD(1e-4), iterations=10**7, batch=2, callback=report)
print(done.interrupted, done.iterations > 1, np.all(np.isfinite(done.theta)))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert out == "True True True\n" and err.startswith("meta_train: interrupted after ") and process.returncode == 0


def test_progress_is_shown_on_a_terminal_and_nowhere_else(capsys):
    rm.meta_train(FAMILY, START, rule=rm.MAML(0.3), outer=rm.SGD(0.01), iterations=2, batch=2, rng=4)
    assert capsys.readouterr() == ("", "")
    code = (
        "import numpy as np, refmeta as rm; rm.meta_train(rm.Sinusoids(), np.zeros(3), rule=rm.MAML(.3),"
        " outer=rm.SGD(.01), iterations=2, batch=2, rng=0)"
    )
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    os.close(theirs)
    output = os.read(ours, 10000).decode()
    os.close(ours)
    assert "meta_train: 1 of 2, largest slope " in output and "meta_train: 2 of 2" in output and output.endswith(" \r")


def test_an_error_says_in_which_iteration_it_happened():
    with pytest.raises(FloatingPointError) as caught:
        rm.meta_train(FAMILY, START, rule=rm.MAML(1e200, 2), outer=rm.SGD(0.01), iterations=3, batch=2, rng=4)
    assert caught.value.__notes__ == ["in iteration 1 of meta_train, after 0 that were done"]

    class Wrong:
        def direction(self, theta, support, query):
            return np.zeros(2) if support.y[0, 0] else np.zeros(3)

    with pytest.raises(ValueError, match=r"the rule's direction has shape \(2,\), expected \(3,\) as theta"):
        rm.meta_train(FAMILY, START, rule=Wrong(), outer=rm.SGD(0.01), iterations=3, batch=2, rng=4)

    class Nothing:
        def direction(self, theta, support, query):
            return np.full(3, np.nan)

    with pytest.raises(FloatingPointError, match="the rule's direction is not finite"):
        rm.meta_train(FAMILY, START, rule=Nothing(), outer=rm.SGD(0.01), iterations=3, batch=2, rng=4)
    with pytest.raises(FloatingPointError, match="theta left the finite numbers in iteration 1"):
        rm.meta_train(FAMILY, START, rule=rm.MAML(0.3), outer=rm.SGD(1e308), iterations=3, batch=20, rng=4)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"rule": rm.MAML}, TypeError, r"rule must be an object with direction\(...\), got <class"),
        ({"rule": None}, TypeError, r"rule must be an object with direction"),
        ({"outer": 0.01}, TypeError, r"outer must be an object with step\(...\), got 0.01"),
        ({"distribution": [1, 2]}, TypeError, r"distribution must be an object with sample\(...\), got \[1, 2\]$"),
        ({"distribution": rm.Quadratic(np.eye(9), np.ones(9))}, TypeError, r"distribution must be an object with sample\(...\), got a Quadratic$"),
        ({"theta": np.zeros((2, 3))}, ValueError, r"theta has shape \(2, 3\), expected \(d,\)"),
        ({"theta": np.zeros(3) + 1j}, TypeError, "theta must be real to be trained"),
        ({"theta": [np.nan, 0, 0]}, ValueError, r"theta\[0\] is nan"),
        ({"theta": np.zeros(4)}, ValueError, r"theta has shape \(4,\), expected last axis 3"),
        ({"iterations": -1}, ValueError, "iterations must be at least 0, got -1"),
        ({"iterations": 2.5}, TypeError, "iterations must be an integer"),
        ({"batch": 0}, ValueError, "batch must be at least 1, got 0"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(changes, error, sentence):
    arguments = {
        "distribution": FAMILY,
        "theta": START,
        "rule": rm.MAML(0.3),
        "outer": rm.SGD(0.01),
        "iterations": 2,
        "batch": 2,
    }
    with pytest.raises(error, match=sentence):
        rm.meta_train(**arguments | changes, rng=0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: rm.SGD(np.inf), "beta must be finite"),
        (lambda: rm.SGD(0.1, max_norm=0.0), "max_norm must be positive, got 0.0"),
        (lambda: rm.Adam(0.1, beta1=1.0), "beta1 must satisfy 0 <= beta1 < 1, got 1.0"),
        (lambda: rm.Adam(0.1, beta2=-0.1), "beta2 must satisfy 0 <= beta2 < 1"),
        (lambda: rm.Adam(0.1, epsilon=0.0), "epsilon must be positive"),
        (lambda: rm.Adam(0.1, max_norm=-1.0), "max_norm must be positive"),
        (lambda: clip_by_norm([np.nan], 1.0), r"direction\[0\] is nan"),
    ],
)
def test_bad_settings_are_refused_when_they_are_made(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_nothing_given_is_changed_and_no_iteration_returns_a_copy():
    start = START.copy()
    done = rm.meta_train(FAMILY, start, rule=rm.MAML(0.3), outer=rm.SGD(0.1), iterations=0, batch=1)
    done.theta[0] = 7
    np.testing.assert_array_equal(start, START)
    rm.meta_train(FAMILY, start, rule=rm.MAML(0.3), outer=rm.Adam(0.1), iterations=2, batch=1)
    np.testing.assert_array_equal(start, START)


def test_reptile_ignores_the_query_and_needs_one_step_size():
    case = random_problem(np.random.default_rng(0), "quadratic")
    rule = rm.Reptile(0.1, 2)
    np.testing.assert_array_equal(rule.direction(case.theta, *case.split), rule.direction(case.theta, case.support))
    with pytest.raises(ValueError, match="alpha must not be 0"):
        rm.Reptile(0.0).direction(case.theta, case.support)


def test_directions_whose_squares_overflow_are_descended_along_without_a_word():
    """A warning is an error here; the norm of the direction, which overflows, is nobody's business."""

    class Steep:
        def sample(self, n, rng=None):
            return rm.Split(*[rm.Quadratic([[[1e200]]], [[1.0]])] * 2)

    done = rm.meta_train(Steep(), [0.0], rule=rm.MAML(0.0), outer=rm.SGD(1e-201), iterations=3, batch=1, rng=0)
    assert done.iterations == 3 and 0 < done.theta[0] < 1
