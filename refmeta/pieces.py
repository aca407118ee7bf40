"""Long work in pieces, on any `concurrent.futures.Executor`: the same results, in the same order, bit for bit.

Dask's and MPI's executors have that interface.  A function and its pieces go to other processes by pickle.
"""

import collections
import contextlib
import itertools
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple, TypeVar

from refmeta.arrays import as_count

__all__ = ["in_order", "worker_pool"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")
AHEAD = 16  # pieces that are in work, or wait to be used, at once


class _Job(NamedTuple):
    """A piece, its number, and where it is in work."""

    number: int
    piece: Any
    future: "Future[Any]"
    executor: Executor


def in_order(
    function: Callable[[Piece], Result], pieces: Iterable[Piece], executor: Executor | None = None, *, ahead: int = AHEAD
) -> Iterator[Result]:
    """function(piece) for each piece, in the order of the pieces; without an executor here, one after the other.

    At most `ahead` results, 1 or more, wait to be used.  If a worker dies, the pieces that were in work are tried once more, one by one,
    for a broken pool of processes on a new one; RuntimeError names the piece in which a worker dies again.  An error of the
    function gets a note with the number of its piece.  Where the caller stops, no further piece is begun.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor must have submit(function, piece), as in concurrent.futures, got {type(executor).__name__}")
    ahead = as_count(ahead, "ahead", least=1)
    if executor is None:
        yield from (_noted(i, lambda piece=piece: function(piece)) for i, piece in enumerate(pieces, start=1))  # type: ignore[misc]
        return
    numbered, jobs = enumerate(pieces, start=1), collections.deque[_Job]()
    with contextlib.ExitStack() as pools:
        pools.callback(lambda: [job.future.cancel() for job in jobs])
        while True:
            if all(job.executor is executor for job in jobs):  # else some may have to be tried again, and alone
                more = itertools.islice(numbered, ahead - len(jobs))
                jobs += [_Job(i, piece, _submitted(executor, function, piece), executor) for i, piece in more]
            if not jobs:
                return
            job = jobs.popleft()
            if _death(job.future):
                if job.executor is executor and isinstance(executor, ProcessPoolExecutor):  # it is broken for good
                    executor = pools.enter_context(worker_pool(executor._max_workers, least=1))  # type: ignore[attr-defined]
                job = job._replace(future=_submitted(executor, function, job.piece))
                if death := _death(job.future):
                    text = f"a worker died twice in piece {job.number}, {str(job.piece)[:60]}: out of memory, or ended by the system?"
                    raise RuntimeError(text) from death
            yield _noted(job.number, job.future.result)


def _submitted(executor: Executor, function: Callable[[Any], Any], piece: Any) -> "Future[Any]":
    """The future of a piece; where the executor is broken already, one that has failed."""
    try:
        return executor.submit(function, piece)
    except BrokenExecutor as error:
        failed = Future[Any]()
        failed.set_exception(error)
        return failed


def _death(future: "Future[Any]") -> BaseException | None:
    """Wait for the piece; the error if its worker died, in the words of concurrent.futures or of Dask."""
    error = future.exception()
    return error if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker" else None


def _noted(number: int, result: Callable[[], Result]) -> Result:
    """The result; its error gets a note that names the piece."""
    try:
        return result()
    except Exception as error:
        error.add_note(f"in piece {number}")
        raise


@contextlib.contextmanager
def worker_pool(workers: int, *, least: int = 2) -> Iterator[Any]:
    """A pool of so many processes, ended at once where the work is broken off; None for fewer than `least`."""
    if workers < least:
        yield None
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_interrupts)
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C is the caller's, who ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
