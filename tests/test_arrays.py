"""What is asked of arguments: wrong ones get a sentence, and what is frozen stays so in copies and pickles."""

import copy
import linecache
import pickle
import traceback
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import refmeta as rm
from refmeta import arrays
from refmeta import problems as make
from refmeta.sampling.transitions import sample_experience
from refmeta.tasks.policy_cost import PolicyCost

RNG = np.random.default_rng(0)
MDP = make.random_process(RNG, tasks=2, states=3, actions=2)
POLICY, THETA = rm.TabularSoftmax(3, 2), RNG.normal(size=6)
BATCH = rm.rollout(MDP, POLICY, THETA, episodes=3, horizon=4, rng=0)
GAUSSIAN, GAUSSIAN_THETA, GAUSSIAN_BATCH = make.random_trajectories(RNG, "linear-gaussian")
LIKELIHOOD = rm.likelihood(POLICY, THETA, BATCH)
GAUSSIAN_LIKELIHOOD = rm.likelihood(GAUSSIAN, GAUSSIAN_THETA, GAUSSIAN_BATCH)
CONTEXT = sample_experience(MDP, POLICY, THETA, episodes=2, horizon=3, rng=0)
SEEN = rm.model_based.statistics(CONTEXT, 3, 2)
PRIOR = rm.model_based.Prior(np.full((3, 2, 3), 0.5), 0.0, 1.0, 0.5)
W = np.ones((2, 3, 4))

HOSTILE = [
    None, "text", object(), ["a"], [[1.0], [1.0, 2.0]], [], (), {}, {1.0}, len, True, np.nan, -np.inf, 2.5j, b"x", Fraction(1, 2),
    Decimal(1), np.longdouble(1), np.ones(3, np.longdouble), np.array([1, None]), np.ma.masked_array([1.0], [True]),
    np.zeros((0, 3)), np.ones(7), np.ones((5, 7)), [True, False], np.array(["1.0"]), np.datetime64("2020-01-01"), 10**30,
]  # fmt: skip

CALLS = {
    "log_prob-theta": lambda x: POLICY.log_prob(x, 0, 0),
    "log_prob-state": lambda x: POLICY.log_prob(THETA, x, [0, 1, 1, 0]),
    "score_hvp-u": lambda x: POLICY.score_hvp(THETA, 0, 0, x),
    "sample-theta": lambda x: POLICY.sample(x, 0, 0),
    "along": LIKELIHOOD.along,
    "pull": LIKELIHOOD.pull,
    "curve-w": lambda x: LIKELIHOOD.curve(x, THETA),
    "curve-u": lambda x: LIKELIHOOD.curve(W, x),
    "gaussian-along": GAUSSIAN_LIKELIHOOD.along,
    "gaussian-pull": GAUSSIAN_LIKELIHOOD.pull,
    "gaussian-curve": lambda x: GAUSSIAN_LIKELIHOOD.curve(x, GAUSSIAN_THETA),
    "baseline-states": lambda x: rm.returns.linear_feature_baseline(BATCH._replace(states=x), BATCH, gamma=0.5, states=3),
    "baseline-mask": lambda x: rm.returns.linear_feature_baseline(BATCH._replace(mask=x), BATCH, gamma=0.5, states=3),
    "baseline-fitted-on": lambda x: rm.returns.linear_feature_baseline(BATCH, x, gamma=0.5, states=3),
    "gae-values": lambda x: rm.returns.gae(BATCH, x, gamma=0.5, lam=0.5),
    "statistics-rewards": lambda x: rm.model_based.statistics(CONTEXT._replace(rewards=x), 3, 2),
    "statistics-mask": lambda x: rm.model_based.statistics(CONTEXT._replace(mask=x), 3, 2),
    "fit-start": lambda x: rm.model_based.fit(PRIOR._replace(concentration=x), SEEN),
    "agent": lambda x: rm.pearl.gradient(x, None, CONTEXT, W, rm.pearl.Settings(0.9, 0.1, 0.5)),
    "taylor": lambda x: rm.judges.taylor_rates(x, [0.0], [1.0], [1.0]),
    "index": lambda x: rm.PolicyReturn(MDP, POLICY)[x],
}  # fmt: skip
ACCEPTED = {("statistics-mask", "list"), ("taylor", "builtin_function_or_method"), ("index", "bool")}


@pytest.mark.parametrize("name", CALLS)
def test_a_hostile_argument_is_refused_by_a_sentence_of_this_project_s_own(name):
    """No message of NumPy's, SciPy's or Python's: the exception is raised by a `raise` statement of refmeta."""
    for value in HOSTILE:
        if (name, type(value).__name__) in ACCEPTED or (name.startswith("fit") and value is True):
            continue
        with pytest.raises((ValueError, TypeError, FloatingPointError, IndexError)) as caught:
            CALLS[name](value)
        *_, (frame, line) = traceback.walk_tb(caught.tb)
        file = frame.f_code.co_filename
        assert "refmeta" in file and "raise" in linecache.getline(file, line), (value, caught.value)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: LIKELIHOOD.pull(np.ones((2, 3, 1))), r"w has shape \(2, 3, 1\), expected \(\.\.\., 3, 4\) as the traj"),
        (lambda: LIKELIHOOD.pull(1.0), "w is a scalar"),
        (lambda: rm.returns.whole_return(BATCH._replace(states=BATCH.states * np.nan), gamma=0.5), r"states\[0, 0, 0\] is nan"),
        (lambda: LIKELIHOOD.along(np.ones((3, 6))), r"got u \(3,\), point \(2,\)"),
        (lambda: POLICY.log_prob(THETA, [0, 1], [0, 1, 1]), r"got action \(3,\), state \(2,\)"),
        (lambda: rm.pearl.init(3, 2, rng=-1), "rng must be a Generator, a seed"),
        (lambda: rm.RandomMDPs().sample(2, "seed"), "rng must be a Generator, a seed"),
        (lambda: rm.maml.gradient(np.zeros(3), make.random_quadratic(RNG), alpha=0.1, steps=10**30), "steps must be at most"),
        (lambda: rm.rollout(MDP, POLICY, THETA, episodes=10**30, horizon=2), "episodes must be at most"),
        (lambda: rm.model_based.statistics(CONTEXT, "3", 2), "states must be an integer, got '3'"),
        (lambda: make.random_quadratic(RNG)[7], "task 7 does not exist: there are 2"),
        (lambda: rm.enumeration.paths(None, 2), "FiniteMDP"),
        (lambda: rm.rollout(None, POLICY, THETA, episodes=1, horizon=1), "rollout takes a FiniteMDP"),
    ],
)
def test_the_sentence_says_what_was_required_and_what_was_got(call, sentence):
    with pytest.raises((ValueError, TypeError, IndexError), match=sentence):
        call()


def test_one_task_is_not_iterated_over_and_a_batch_is():
    one, batch = rm.Quadratic(np.eye(2), np.zeros(2)), make.random_quadratic(RNG)
    with pytest.raises(TypeError, match="one task has no batch axis .*; give arrays whose first axis holds the tasks"):
        list(one)
    with pytest.raises(TypeError):
        list(MDP)
    tasks = list(batch)
    assert len(tasks) == 2 and np.array_equal(tasks[1].A, batch[-1].A) and np.array_equal(batch[::-1].A, batch.A[::-1])
    assert batch[5:].shape == (0,) and np.array_equal(batch[-1:0:-1].A, batch.A[-1:0:-1])


def frozen_objects():
    """Every kind of record that keeps read-only arrays."""
    lq, features = make.random_linear_quadratic(RNG), rm.LinearSoftmax(RNG.normal(size=(3, 2, 4)))
    finite = rm.FiniteMDP(MDP.P, MDP.R, MDP.rho, 0.9, 3)
    tasks = [make.random_quadratic(RNG), make.random_linear_regression(RNG), make.random_softmax_regression(RNG), PolicyCost(lq)]
    tasks += [rm.PolicyReturn(MDP, POLICY), rm.PolicyReturn(finite, features)]
    surrogates = (rm.surrogates.reinforce, rm.surrogates.likelihood_ratio, rm.surrogates.dice, rm.surrogates.tmaml)
    tasks += [f(POLICY, THETA, BATCH, gamma=0.9) for f in surrogates]
    tasks += [rm.surrogates.clipped(POLICY, THETA, BATCH, gamma=0.9, epsilon=0.2)]
    tasks += [rm.kl.with_ratio(rm.kl.k3(POLICY, THETA, BATCH, gamma=0.9), THETA)]
    tasks += [rm.PolicyKL(tasks[4].at(THETA)), rm.SampledKL(GAUSSIAN, GAUSSIAN_THETA, GAUSSIAN_BATCH)]
    points = [task.at(np.full(task.dim, 0.1)) for task in tasks]
    return [lq, features, MDP, finite, LIKELIHOOD, GAUSSIAN_LIKELIHOOD, *tasks, *points]


def arrays_of(value, depth=0):
    """Every array in the fields of a record, and in theirs."""
    if isinstance(value, np.ndarray):
        return [value]
    names = getattr(value, "__dataclass_fields__", ())
    inner = value if isinstance(value, tuple) else [getattr(value, name) for name in names]
    return [a for x in inner if depth < 6 for a in arrays_of(x, depth + 1)]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_pickles_have_the_same_numbers_and_stay_read_only(again):
    for record in frozen_objects():
        other = again(record)
        before, after = ([a for a in arrays_of(x) if a.size] for x in (record, other))
        assert type(other) is type(record) and len(before) == len(after) > 0
        for a, b in zip(before, after, strict=True):
            assert np.array_equal(a, b) and not b.flags.writeable, type(record)
        if hasattr(record, "hvp"):
            v = np.ones(record.theta.shape[-1])
            np.testing.assert_array_equal(other.hvp(v), record.hvp(v))


def test_one_hot_rows_and_bounds_of_counts():
    np.testing.assert_array_equal(arrays.one_hot(np.array([[2], [0]]), 3), [[[0, 0, 1]], [[1, 0, 0]]])
    task = rm.SoftmaxRegression(np.ones((1, 1)), [0], classes=200_000)
    assert task.at(np.zeros(200_000)).loss == pytest.approx(np.log(200_000))
    assert arrays.as_count(5, "n", most=5) == 5
    with pytest.raises(ValueError, match="n must be at most 4, got 5"):
        arrays.as_count(5, "n", most=4)


@pytest.mark.parametrize("shape", [[3], np.array([3]), (3,), 3])
def test_the_batch_axes_of_a_user_s_task_may_be_what_numpy_takes(shape):
    assert arrays.batch_shape(theta=(), task=shape) == arrays.batch_shape(theta=(3,), task=shape) == (3,)
    assert arrays.batch_shape(theta=(2, 1), task=shape) == (2, 3) and arrays.batch_shape(theta=(), task=()) == ()
