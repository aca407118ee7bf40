"""The clock of a search goes on while the process waits, slower than while it works."""

import time

from refmeta.oracle import clock


def test_a_second_of_work_counts_one_and_a_second_of_waiting_a_share(monkeypatch):
    monkeypatch.setattr(time, "process_time", lambda: 5.0)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    before = clock.now()
    monkeypatch.setattr(time, "process_time", lambda: 7.0)  # two seconds of work
    monkeypatch.setattr(time, "monotonic", lambda: 112.0)  # and ten of waiting
    assert abs(clock.now() - before - (2.0 + 10.0 * clock.WAITING)) < 1e-12
