"""`make bench`: Meta-LSTM's exact gradient as steps, parameters and tasks grow, beside MAML's on the same tasks."""

import argparse
import time

import numpy as np

import refmeta as rm
from refmeta.problems import random_linear_regression

HIDDEN, ROWS = 20, 40


def best_of(function, seconds):
    """The best time."""
    best, stop = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < stop:
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def growth(seconds):
    sizes = [(5, 20, 20), (10, 20, 20), (20, 20, 20), (5, 40, 20), (5, 80, 20), (5, 20, 40), (5, 20, 80)]
    print(f"Meta-LSTM on linear regression, {HIDDEN} hidden units: milliseconds, and multiples of the first row\n")
    print(f"{'K':>4}{'d':>5}{'N':>5}{'exact':>10}{'':>8}{'independent':>13}{'':>8}{'MAML':>10}")
    first = None
    for K, d, N in sizes:
        rng = np.random.default_rng(0)
        task, parameters = random_linear_regression(rng, N, d, ROWS), rm.meta_lstm.init(d, hidden=HIDDEN, rng=rng)
        functions = (
            lambda task=task, parameters=parameters, K=K: rm.meta_lstm.gradient(parameters, task, steps=K),
            lambda task=task, parameters=parameters, K=K: rm.meta_lstm.gradient_independent(parameters, task, steps=K),
            lambda task=task, parameters=parameters, K=K: rm.maml.gradient(parameters.c0, task, alpha=0.01, steps=K),
        )
        exact, independent, maml = (best_of(f, seconds / len(sizes) / 3) for f in functions)
        first = first or (exact, independent)
        print(
            f"{K:4}{d:5}{N:5}{exact * 1e3:10.2f}{exact / first[0]:7.2f}x{independent * 1e3:13.2f}"
            f"{independent / first[1]:7.2f}x{maml * 1e3:10.2f}"
        )
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds for the table")
    growth(parser.parse_args().seconds)
