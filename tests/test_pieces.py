"""Work in pieces: the same results in the same order on threads and processes; a worker that dies; an error; the caller stops."""

import os
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest

import refmeta as rm
from refmeta.commands.verify import checks_of, judged
from refmeta.pieces import in_order, worker_pool
from refmeta.problems import random_process
from refmeta.sampling import enumeration

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def pool():
    with worker_pool(2) as executor:
        yield executor


def square(x):
    return x * x


def slow_first(x):
    time.sleep(0.2 if x == 0 else 0)
    return x


def dies_once(folder, x):
    """End the worker in piece 5, unless that has been done."""
    mark = folder / "dead"
    if x == 5 and not mark.exists():
        mark.touch()
        os._exit(1)
    return square(x)


def dies(x):
    if x == 3:
        os._exit(1)
    return x


def fails(x):
    if x == 2:
        raise ValueError("no such number")
    return x


def mean_return(trajectories):
    return np.sum(trajectories.rewards * trajectories.mask, axis=(-2, -1))


def test_the_order_is_that_of_the_pieces(pool):
    for executor in (None, pool, ThreadPoolExecutor(3)):
        assert list(in_order(slow_first, range(40), executor)) == list(range(40))


def test_no_more_than_so_many_pieces_are_taken_ahead():
    taken = []
    results = in_order(square, (taken.append(i) or i for i in range(100)), ThreadPoolExecutor(1), ahead=4)
    for i, result in enumerate(results):
        assert result == i * i and len(taken) <= i + 4


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(1)], ids=["here", "threads"])
@pytest.mark.parametrize("ahead", [0, -1])
def test_that_no_piece_may_be_in_work_is_refused(ahead, executor):
    with pytest.raises(ValueError, match=f"ahead must be at least 1, got {ahead}"):
        list(in_order(square, range(3), executor, ahead=ahead))


def test_a_worker_that_dies_once_loses_nothing(tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert list(in_order(partial(dies_once, tmp_path), range(30), executor)) == [x * x for x in range(30)]
    assert (tmp_path / "dead").exists()


def test_a_worker_that_dies_twice_is_reported_with_its_piece():
    with worker_pool(2) as executor, pytest.raises(RuntimeError, match=r"a worker died twice in piece 4, 3: out of memory"):
        list(in_order(dies, range(30), executor))


def test_an_executor_that_is_broken_at_the_start():
    class Broken(ThreadPoolExecutor):
        begun = 0

        def submit(self, function, piece):
            self.begun += 1
            if self.begun == 1:
                raise BrokenExecutor("from the start")
            return super().submit(function, piece)

    assert list(in_order(square, range(5), Broken(1))) == [0, 1, 4, 9, 16]


def test_the_word_of_another_library_for_a_dead_worker_is_known():
    class KilledWorker(Exception):
        pass

    class Remote:
        deaths = 1

        def submit(self, function, piece):
            future = Future()
            if piece == 2 and self.deaths:
                self.deaths -= 1
                future.set_exception(KilledWorker())
            else:
                future.set_result(function(piece))
            return future

    assert list(in_order(square, range(4), Remote())) == [0, 1, 4, 9]


@pytest.mark.parametrize("executor", [None, "pool", "threads"])
def test_an_error_names_its_piece(executor, pool):
    executor = {"pool": pool, "threads": ThreadPoolExecutor(1)}.get(executor)
    results = in_order(fails, range(5), executor)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="no such number") as caught:
        next(results)
    assert caught.value.__notes__ == ["in piece 3"]


def test_where_the_caller_stops_no_piece_is_begun():
    begun, gate = [], threading.Event()

    def wait(x):
        begun.append(x)
        if x:
            gate.wait(60)
        return x

    executor = ThreadPoolExecutor(1)
    results = in_order(wait, range(10), executor)
    next(results)
    results.close()
    gate.set()
    executor.shutdown()
    assert len(begun) <= 2


def test_an_executor_has_submit():
    with pytest.raises(TypeError, match=r"executor must have submit\(function, piece\), as in concurrent.futures, got int"):
        list(in_order(square, range(3), 4))


def test_an_expectation_is_the_same_to_the_last_bit(pool, monkeypatch):
    monkeypatch.setattr(enumeration, "CHUNK", 100)
    mdp = random_process(np.random.default_rng(0), 1, 2, 2, gamma=0.9, horizon=2).entry(0, (1,))
    policy, theta = rm.TabularSoftmax(2, 2), np.linspace(-1, 1, 4)
    expectation = partial(rm.enumeration.expectation, mean_return, mdp, policy, theta, episodes=2)
    here = expectation()
    for executor in (pool, ThreadPoolExecutor(3)):
        there = expectation(executor=executor)
        assert [x.tobytes() for x in there] == [x.tobytes() for x in here]


def test_verify_is_the_same_to_the_last_bit(pool):
    checks = checks_of(["softmax", "inner-step", "maml-gradient"])
    here, there = (list(judged(checks, seed=3, problems=2, executor=e)) for e in (None, pool))
    assert here == there
    assert len(here) == 3
