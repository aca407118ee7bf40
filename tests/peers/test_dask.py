"""Work in pieces on a local Dask cluster of two processes, one of which is killed half-way: nothing is lost."""

import os
import signal
from functools import partial

import numpy as np
import pytest

import refmeta as rm
from refmeta.pieces import in_order
from refmeta.problems import random_process
from refmeta.sampling import enumeration

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def client():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            yield client


def killed_once(folder, x):
    """x², where the process ends itself in piece 20 the first time."""
    mark = folder / "killed"
    if x == 20 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def always_killed(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def moments(trajectories):
    rewards = np.sum(trajectories.rewards * trajectories.mask, axis=-1)
    return np.stack([rewards.sum(-1), np.prod(rewards, axis=-1)], axis=-1)


def test_an_expectation_is_the_same_to_the_last_bit(client, monkeypatch):
    monkeypatch.setattr(enumeration, "CHUNK", 1000)
    mdp = random_process(np.random.default_rng(0), 1, 2, 2, gamma=0.9, horizon=3).entry(0, (1,))
    expectation = partial(rm.enumeration.expectation, moments, mdp, rm.TabularSoftmax(2, 2), np.linspace(-1, 1, 4), episodes=2)
    here, there = expectation(), expectation(executor=client.get_executor())
    assert [x.tobytes() for x in there] == [x.tobytes() for x in here]


def test_a_process_that_is_killed_loses_nothing(client, tmp_path):
    assert list(in_order(partial(killed_once, tmp_path), range(40), client.get_executor())) == [x * x for x in range(40)]
    assert (tmp_path / "killed").exists()


def test_a_piece_that_always_kills_is_reported(client):
    with pytest.raises(RuntimeError, match=r"a worker died twice in piece 4, 3: out of memory"):
        list(in_order(always_killed, range(10), client.get_executor()))
