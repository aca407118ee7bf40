"""Exact meta-gradients: beside the floors and the peers, as the sizes grow, from a cold start, and through inner optimisers.

Factorisation floor: K + 1 calls of `np.linalg.solve` on the N matrices of a policy evaluation.  Work floor: what the formula
needs at the least, task after task, without a check or a copy: K + 1 LU factorisations, 4K + 2 solves with them and 4K + 2
products with P, and as many with the features; for H steps, (4K + 2)(H - 1) products with a matrix (S, S) instead of the
solves, and P times H - 1 vectors; for linear-quadratic control, the 12K + 4 products of matrices of each of H steps; for
softmax regression, 4K + 2 products with the inputs.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import peers
from measure import Shown, Subject, installed, megabytes, timed

import refmeta as rm
from refmeta.policies import LinearSoftmax
from refmeta.problems import (
    random_linear_quadratic,
    random_linear_regression,
    random_process,
    random_softmax_regression,
)

ACTIONS, GAMMA, HORIZON = 4, 0.9, 20
ROWS, CLASSES = 50, 5
ALPHAS = {"discounted": 0.5, "finite_horizon": 0.5, "features": 0.05, "linear_quadratic": 1e-5, "softmax_regression": 0.1, "dice": 0.1}
TITLES = {
    "discounted": "Exact meta-gradient of discounted returns, tabular policy",
    "finite_horizon": f"Exact meta-gradient of returns of {HORIZON} steps, tabular policy",
    "features": "Exact meta-gradient of discounted returns, S linear features",
    "linear_quadratic": f"Exact meta-gradient of linear-quadratic control, {HORIZON} steps, S states",
    "softmax_regression": f"Exact meta-gradient of softmax regression, {ROWS} rows, {CLASSES} classes, S inputs",
    "dice": "MAML gradient of the DiCE surrogate, S episodes of 100 steps, 10 states",
}


def problem(kind, S, N):
    """N tasks, and where to start."""
    rng = np.random.default_rng(S)
    if kind == "linear_quadratic":
        task = rm.PolicyCost(random_linear_quadratic(rng, N, S, 2, HORIZON))
        return task, 0.3 / S * rng.normal(size=task.dim)
    if kind == "softmax_regression":
        task = random_softmax_regression(rng, N, S, CLASSES, ROWS)
        return task, rng.normal(size=task.dim)
    mdp = random_process(rng, N, 10 if kind == "dice" else S, ACTIONS, GAMMA, HORIZON if kind == "finite_horizon" else None)
    policy = LinearSoftmax(rng.normal(size=(S, ACTIONS, S))) if kind == "features" else rm.TabularSoftmax(mdp.states, ACTIONS)
    theta = rng.normal(size=policy.dim) / (np.sqrt(S) if kind == "features" else 1)
    if kind == "dice":
        batch = rm.rollout(mdp, policy, theta, episodes=S, horizon=100, rng=0)
        return rm.surrogates.dice(policy, theta, batch, gamma=GAMMA), theta
    return rm.PolicyReturn(mdp, policy), theta


def parts(kind, task, K):
    """The work of one task i: factorisations, solves (or steps of a recursion), passes over P."""
    evaluations, points = 4 * K + 2, range(K + 1)
    if kind == "linear_quadratic":
        M = np.ascontiguousarray(task.lq.A)
        return {"solves": lambda i: [M @ M for _ in range((12 * K + 4) * HORIZON)] if i == 0 else []}  # all tasks at once
    if kind == "softmax_regression":
        X, W = task.X, np.ones((task.X.shape[-1], CLASSES))
        return {"passes": lambda i: [X[i] @ W for _ in range(evaluations)]}
    S = task.mdp.states
    M, b, rows = np.eye(S) - GAMMA * task.mdp.P[:, :, 0], np.ones(S), task.mdp.P.reshape(-1, S * ACTIONS, S)
    if kind == "finite_horizon":
        several = np.ones((S, HORIZON - 1))
        return {
            "solves": lambda i: [M[i] @ b for _ in range(evaluations * (HORIZON - 1))],
            "passes": lambda i: [rows[i] @ several for _ in range(evaluations)],
        }
    from scipy.linalg.lapack import dgetrf, dgetrs  # here, so that a cold start loads what the library itself loads

    lu, pivots, _ = dgetrf(M[0].T.copy(order="F"))
    one_pass = lambda i: rows[i] @ b
    if kind == "features":
        F = np.array(task.policy.features).reshape(S * ACTIONS, -1)
        x = np.ones(F.shape[1])
        one_pass = lambda i: (rows[i] @ b, F @ x)
    return {
        "LU": lambda i: [dgetrf(M[i].T.copy(order="F"), overwrite_a=True) for _ in points],
        "solves": lambda i: [dgetrs(lu, pivots, b) for _ in range(evaluations)],
        "passes": lambda i: [one_pass(i) for _ in range(evaluations)],
    }


def floors(kind, task, K):
    """Both floors, and the parts of the work floor alone; nothing for a surrogate, whose work is not one operation."""
    if kind == "dice":
        return {}
    work, tasks = parts(kind, task, K), range(task.shape[0])
    alone = {name: lambda part=part: [part(i) for i in tasks] for name, part in work.items()}
    out = {**alone, "work": lambda: [part(i) for i in tasks for part in work.values()]}
    if "LU" in work:
        M = np.eye(task.mdp.states) - GAMMA * task.mdp.P[:, :, 0]
        b = np.ones((*M.shape[:2], 1))
        out["factorisation"] = lambda: [np.linalg.solve(M, b) for _ in range(K + 1)]
    return out


def others(kind, task, theta, K):
    """The gradient by the libraries that are installed."""
    loss, data = peers.OBJECTIVES[kind](task)
    return peers.meta_gradients(loss, data, theta, ALPHAS[kind], K)


def compared(kind, size, seconds):
    """refmeta, the floors and the peers in one interleaved run; each peer has the same result."""
    S, N, K = size
    task, theta = problem(kind, S, N)
    functions = {"refmeta": lambda: rm.maml.gradient(theta, task, alpha=ALPHAS[kind], steps=K), **others(kind, task, theta, K)}
    exact = functions["refmeta"]()
    for name, f in functions.items():
        if f is not None:
            np.testing.assert_allclose(f(), exact, rtol=0, atol=1e-10 * np.max(np.abs(exact)), err_msg=name)
    row = timed({**functions, **floors(kind, task, K)}, seconds)
    if kind == "dice":
        return row
    shares = [round(100 * row[name] / row["refmeta"]) if name in row else None for name in ("LU", "solves", "passes")]
    rest = max(0, 100 - sum(share or 0 for share in shares))
    return row | {"shares": "/".join("–" if share is None else str(share) for share in (*shares, rest))}


BESIDE = [
    Shown("refmeta", "ms"), Shown("factorisation", "factor.", "ratio"), Shown("work", "work", "ratio"),
    Shown("JAX", "JAX", "ratio"), Shown("torch", "torch", "ratio"), Shown("higher", "higher", "ratio"), Shown("learn2learn", "l2l", "ratio"),
    Shown("shares", "LU/solve/P/rest"),
]  # fmt: skip
NOTE = "torch: torch.func.  l2l: the update of learn2learn's MAML, written out: the package does not install beside this PyTorch"
UNIT = "median ms, and its multiple of the floors and the peers; LU/solve/P/rest: % of the ms"
SIZES = {
    "discounted": [(10, 20, 1), (50, 20, 3), (100, 10, 5), (200, 10, 3)],
    "finite_horizon": [(10, 20, 1), (50, 20, 3), (200, 10, 3)],
    "features": [(10, 20, 1), (50, 20, 3), (200, 10, 3)],
    "linear_quadratic": [(2, 20, 1), (5, 20, 3), (20, 10, 3)],
    "softmax_regression": [(5, 20, 1), (20, 20, 3), (100, 10, 3)],
    "dice": [(5, 20, 1), (20, 20, 1), (20, 20, 3)],
}
UNITS = {"dice": "median ms, and its multiple of the peers", "softmax_regression": UNIT.replace("LU/solve/P/rest:", "P: the inputs; shares:")}
GRADIENTS = [
    Subject(kind, title, UNITS.get(kind, UNIT), "S, N, K", BESIDE, SIZES[kind], [(3, 2, 1)], partial(compared, kind), note=NOTE)
    for kind, title in TITLES.items()
]


def grown(kind, S, N, K):
    """The gradient of a kind at a size; for Meta-LSTM S is the number of parameters."""
    if kind == "meta_lstm":
        rng = np.random.default_rng(0)
        task, learner = random_linear_regression(rng, N, S, 40), rm.meta_lstm.init(S, hidden=20, rng=rng)
        return lambda: rm.meta_lstm.gradient(learner, task, steps=K)
    task, theta = problem(kind, S, N)
    return lambda: rm.maml.gradient(theta, task, alpha=ALPHAS[kind], steps=K)


def growth(size, seconds):
    """Each of S, N and K larger, in one interleaved run."""
    kind, *base = size
    larger = {"S2": (2, 1, 1), "S4": (4, 1, 1), "N4": (1, 4, 1), "K4": (1, 1, 4)}
    sizes = {"refmeta": base} | {name: [n * by for n, by in zip(base, times, strict=True)] for name, times in larger.items()}
    functions = {name: grown(kind, *of) for name, of in sizes.items()}
    row = timed(functions, seconds)
    own = {name: row[name] / row["refmeta"] for name in sizes if name != "refmeta"}
    first, most = megabytes(functions["refmeta"]), megabytes(functions["K4"])
    return row | {f"{name} grown": x for name, x in own.items()} | {"MB": first, "K4 MB grown": most / first}


GROWTH = Subject(
    "growth", "Growth: time and memory as multiples of those at the size of the row", "median ms and MB at S, N, K, and multiples",
    "of, S, N, K",
    [Shown("refmeta", "ms"), *(Shown(f"{x}{n} grown", f"{n}{x}", "times") for x, n in ("S2", "S4", "N4", "K4")),
     Shown("MB", "MB"), Shown("K4 MB grown", "MB 4K", "times")],
    [("discounted", 50, 10, 4), ("finite_horizon", 50, 10, 4), ("features", 50, 10, 4), ("linear_quadratic", 5, 10, 4),
     ("softmax_regression", 20, 10, 4), ("dice", 5, 10, 4), ("meta_lstm", 20, 20, 5)],
    [("discounted", 2, 1, 1)], growth,
)  # fmt: skip

RULES = {"GradientDescent": {}, "HeavyBall": {"momentum": 0.9}, "Nesterov": {"momentum": 0.9}, "RMSProp": {}, "Adam": {}}


def through(size, seconds):
    """The gradient through K steps of a rule on the exact return, 50 states and 10 tasks, beside gradient descent."""
    name, states, most = size
    task, theta = problem("discounted", states, 10 if most > 4 else 1)
    rules = {"refmeta": None if name == "GradientDescent" else getattr(rm.inner, name)(**RULES[name]), "descent": None}
    run = lambda rule, K: rm.maml.gradient(theta, task, alpha=0.01, steps=K, optimiser=rule)
    several = {f"K{n}": partial(run, rules["refmeta"], K) for n, K in zip((1, 4), (most // 4, most // 2), strict=True)}
    row = timed({**several, **{key: partial(run, rule, most) for key, rule in rules.items()}}, seconds)
    return row | {"quarter": row["refmeta"] / row["K1"], "half": row["refmeta"] / row["K4"]} | {"size": name}


OPTIMISERS = Subject(
    "optimisers", "Meta-gradient through 16 steps of an inner optimiser, 50 states, 10 tasks",
    "median ms; its multiple of the time of K = 4, K = 8, and of gradient descent's", "rule",
    [Shown("refmeta", "ms, K = 16"), Shown("quarter", "of K = 4", "times"), Shown("half", "of K = 8", "times"), Shown("descent", "of descent", "ratio")],
    [(name, 50, 16) for name in RULES], [(name, 2, 4) for name in RULES], through,
)  # fmt: skip


def cold_call(name, S, N, K):
    """In a new process: seconds to import, of the first call with all that it compiles, and of the next."""
    from time import perf_counter

    task, theta = problem("discounted", S, N)
    start = perf_counter()
    if name == "refmeta":
        f = lambda: rm.maml.gradient(theta, task, alpha=0.5, steps=K)
    else:
        f = others("discounted", task, theta, K)[name]
    made = perf_counter()
    f()
    first = perf_counter()
    f()
    return {"made": made - start, "first": first - made, "next": perf_counter() - first}


def cold(size, seconds):
    """The import is that of the library alone, after NumPy's."""
    name, *sizes = size
    if name != "refmeta" and not installed(name):
        return {"size": name, "import": "not installed"}
    module = "refmeta" if name == "refmeta" else name.lower()
    imported = "import time, numpy; s = time.perf_counter(); import " + module + "; print(time.perf_counter() - s)"
    called = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import json, gradients; "
    called += f"only = {name!r}; gradients.peers.installed = lambda peer: peer == only; print(json.dumps(gradients.cold_call(only, *{sizes})))"
    run = lambda code: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600).stdout
    return {"size": name, "import": float(run(imported)), **json.loads(run(called).splitlines()[-1])}


COLD = Subject(
    "cold", "Cold start: discounted returns at S, N, K = 50, 20, 3, each in a new process",
    "seconds: the import after NumPy's; the first call, with what it compiles; the next call", "library",
    [Shown("import", "import"), Shown("first", "first call", ".4f"), Shown("next", "next call", ".4f")],
    [(name, 50, 20, 3) for name in ("refmeta", "JAX", "torch", "higher")], [("refmeta", 2, 1, 1)], cold, ("first",),
)  # fmt: skip

SUBJECTS = [*GRADIENTS, GROWTH, OPTIMISERS, COLD]
