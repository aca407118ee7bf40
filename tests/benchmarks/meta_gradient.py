"""`make bench`: the exact meta-gradient against its floors, in one run, interleaved, on one BLAS thread.

Factorisation floor: K + 1 calls of `np.linalg.solve` on N matrices of the same size.  Work floor: the K + 1
factorisations, 4K + 2 solves and 4K + 2 passes over P that the formula needs, task after task.  JAX and PyTorch, where
they are installed, differentiate the same objective in float64.
"""

import argparse
import os
import subprocess
import sys
import time
import tracemalloc

import numpy as np
from scipy.linalg.lapack import dgetrf, dgetrs

import refmeta as rm
from refmeta.problems import random_process

SIZES = [(10, 20, 1), (50, 20, 3), (100, 10, 5), (200, 10, 3)]
ACTIONS, ALPHA = 4, 0.5


def problem(states, tasks):
    rng = np.random.default_rng(states)
    task = rm.PolicyReturn(random_process(rng, tasks, states, ACTIONS, gamma=0.9), rm.TabularSoftmax(states, ACTIONS))
    return task, rng.normal(size=task.dim)


def factorisation_floor(task, steps):
    rng, S = np.random.default_rng(0), task.mdp.states
    M = np.eye(S) - 0.9 * task.mdp.P[:, :, 0]
    b = rng.normal(size=(*M.shape[:2], 1))
    return lambda: [np.linalg.solve(M, b) for _ in range(steps + 1)]


def work_floor(task, steps):
    S = task.mdp.states
    M = np.eye(S) - 0.9 * task.mdp.P[:, :, 0]
    rows, b = task.mdp.P.reshape(len(M), S * ACTIONS, S), np.ones(S)

    def run():
        for i in range(len(M)):
            for _ in range(steps + 1):
                lu, pivots, _ = dgetrf(M[i].T.copy(order="F"), overwrite_a=True)
            for _ in range(4 * steps + 2):
                dgetrs(lu, pivots, b)
                rows[i] @ b

    return run


def jax_gradient(task, theta, steps):
    try:
        import jax
    except ImportError:
        return None
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    S, gamma = task.mdp.states, task.mdp.gamma

    def loss(theta, P, R, rho):
        pi = jax.nn.softmax(theta.reshape(S, ACTIONS))
        M = jnp.eye(S) - gamma * jnp.einsum("sa,sat->st", pi, P)
        return -rho @ jnp.linalg.solve(M, jnp.sum(pi * R, axis=-1))

    def objective(theta, *data):
        for _ in range(steps):
            theta = theta - ALPHA * jax.grad(loss)(theta, *data)
        return loss(theta, *data)

    step = jax.jit(jax.vmap(jax.grad(objective), in_axes=(None, 0, 0, 0)))
    data = [jnp.asarray(np.broadcast_to(x, x.shape)) for x in (task.mdp.P, task.mdp.R, task.mdp.rho)]
    start = jnp.asarray(theta)
    return lambda: np.asarray(step(start, *data).block_until_ready())


def torch_gradient(task, theta, steps):
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    S, gamma = task.mdp.states, task.mdp.gamma

    def loss(theta, P, R, rho):
        pi = torch.softmax(theta.reshape(S, ACTIONS), -1)
        M = torch.eye(S, dtype=theta.dtype) - gamma * torch.einsum("sa,sat->st", pi, P)
        return -rho @ torch.linalg.solve(M, (pi * R).sum(-1))

    def objective(theta, *data):
        for _ in range(steps):
            theta = theta - ALPHA * torch.func.grad(loss)(theta, *data)
        return loss(theta, *data)

    step = torch.func.vmap(torch.func.grad(objective), in_dims=(None, 0, 0, 0))
    data = [torch.tensor(np.array(x)) for x in (task.mdp.P, task.mdp.R, task.mdp.rho)]
    start = torch.tensor(np.array(theta))
    return lambda: step(start, *data).numpy()


def interleaved(functions, seconds):
    """The best time of each function, the functions taking turns."""
    best = {name: np.inf for name in functions}
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def meta_gradient(task, theta, steps):
    return lambda: rm.maml.gradient(theta, task, alpha=ALPHA, steps=steps)


COLUMNS = ["refmeta", "factorisation floor", "work floor", "JAX (jit)", "PyTorch (func)"]


def ratios(seconds):
    """One row a size, each in a process of its own: what one size leaves in a library's pools cannot stop the next."""
    print("Exact meta-gradient of tabular returns, 4 actions, one thread; best of many, in milliseconds\n")
    print(f"{'S':>4} {'N':>3} {'K':>2}  " + "  ".join(f"{c:>20}" for c in COLUMNS), flush=True)
    for size in SIZES:
        command = [sys.executable, __file__, "--seconds", str(seconds), "--row", *map(str, size)]
        subprocess.run(command, check=True, timeout=60 + 10 * seconds)
    print("\n(x: refmeta's time as a multiple of the column's)\n")


def row(S, N, K, seconds):
    task, theta = problem(S, N)
    functions_of_columns = [
        meta_gradient(task, theta, K), factorisation_floor(task, K), work_floor(task, K),
        jax_gradient(task, theta, K), torch_gradient(task, theta, K),
    ]  # fmt: skip
    functions = {c: f for c, f in zip(COLUMNS, functions_of_columns, strict=True) if f is not None}
    exact = functions["refmeta"]()
    for name in COLUMNS[3:]:
        if name in functions:
            np.testing.assert_allclose(functions[name](), exact, rtol=0, atol=1e-10 * np.max(np.abs(exact)))
    best = interleaved(functions, seconds)
    own = best["refmeta"]
    cells = [f"{own * 1e3:20.2f}"] + [
        f"{best[c] * 1e3:11.2f} ({own / best[c]:5.2f}x)" if c in best else f"{'not installed':>20}" for c in COLUMNS[1:]
    ]
    print(f"{S:4} {N:3} {K:2}  " + "  ".join(cells), flush=True)


def growth(seconds):
    print("Growth at S = 50: time and memory as multiples of the first row's\n")
    print(f"{'N':>4} {'K':>3}  {'ms':>8}  {'time':>6}  {'peak memory':>11}")
    first = None
    for N, K in [(10, 4), (20, 4), (40, 4), (10, 8), (10, 16), (10, 32)]:
        task, theta = problem(50, N)
        function = meta_gradient(task, theta, K)
        function()
        tracemalloc.start()
        function()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        best = interleaved({"own": function}, seconds)["own"]
        first = first or (best, peak)
        print(f"{N:4} {K:3}  {best * 1e3:8.2f}  {best / first[0]:5.2f}x  {peak / first[1]:10.2f}x")


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        raise SystemExit("run it by `make bench`, which asks every library for one thread")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds a row")
    parser.add_argument("--row", type=int, nargs=3, metavar=("S", "N", "K"), help="one row of the first table only")
    options = parser.parse_args()
    if options.row:
        row(*options.row, options.seconds)
    else:
        ratios(options.seconds)
        growth(options.seconds / 6)
