"""The clock of the limits of a search: processor time, and a share of the time that a process waits."""

import time

__all__ = ["WAITING", "now"]

WAITING = 0.2  # what a second counts in which the process does nothing: losses may wait for another process or device


def now() -> float:
    """Seconds since some moment: a second of work counts 1, a second of waiting `WAITING`."""
    return (1 - WAITING) * time.process_time() + WAITING * time.monotonic()
