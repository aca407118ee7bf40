"""The clock of a search and of its questions goes on while the process waits, slower than while it works."""

import time

import pytest

from refmeta.oracle import clock
from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.diagnosis.witnesses import QUESTIONS, Witnesses
from refmeta.oracle.judge import JudgeSettings
from tests.oracle.targets import library, valid

SETTINGS = JudgeSettings()


def test_a_second_of_work_counts_one_and_a_second_of_waiting_a_share(monkeypatch):
    monkeypatch.setattr(time, "process_time", lambda: 5.0)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    before = clock.now()
    monkeypatch.setattr(time, "process_time", lambda: 7.0)  # two seconds of work
    monkeypatch.setattr(time, "monotonic", lambda: 112.0)  # and ten of waiting
    assert abs(clock.now() - before - (2.0 + 10.0 * clock.WAITING)) < 1e-12


@pytest.fixture
def loaded(monkeypatch):
    """A target that is wrong, in a process that waits nine seconds for each second of its work, and how much the target works."""
    spent, exact = [0.0], library("maml-quadratic")
    for name, share in (("process_time", 1.0), ("monotonic", 10.0), ("perf_counter", 10.0)):
        monkeypatch.setattr(time, name, lambda share=share: share * spent[0])

    def target(work):
        def answer(**inputs):
            spent[0] += work
            return 2 * exact(**inputs)

        return as_target(answer)

    return target


def test_on_a_loaded_machine_a_target_is_asked_as_often_as_its_work_allows(loaded):
    """An answer takes 0.25 s of work in 2.5 s: it counts 0.7 s, so that the fifteenth ends the ten seconds."""
    ask = questions(loaded(0.25), SETTINGS)
    answers = [ask(case).verdict for case in valid("maml-quadratic", 1) * 20]
    assert answers == ["mismatch"] * 15 + ["skip"] * 5


def test_on_a_loaded_machine_every_variation_is_asked(loaded):
    """Twelve answers take 0.1 s of work in 1 s: they count 3.4 s, less than five."""
    outcomes = run(loaded(0.0), valid("maml-quadratic"), SETTINGS)
    assert len(list(Witnesses(outcomes, questions(loaded(0.1), SETTINGS, seconds=float("inf")), ""))) == QUESTIONS
