"""The tiny processes of `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

import os
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.documents import parse_json, read_text
from refmeta.oracle.vectors import UsageError
from refmeta.policies import TabularSoftmax
from refmeta.sampling.enumeration import paths
from refmeta.tables import unknown_name
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["PROCESSES", "read_process"]

PROCESSES: dict[str, dict[str, Any]] = {
    "two-state": {
        "P": [[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.125, 0.875]]],
        "R": [[0.0, 1.0], [2.0, -1.0]], "rho": [1.0, 0.0], "gamma": 0.75, "horizon": 2,
        "theta": [0.5, -0.25, -0.75, 0.25],
    },
    "bandit": {
        "P": [[[1.0], [1.0], [1.0]]], "R": [[0.0, 1.0, 3.0]], "rho": [1.0], "gamma": 0.5, "horizon": 1,
        "theta": [0.5, 0.0, -0.5],
    },
    "chain": {
        "P": [[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 1]]],
        "R": [[0.25, 0.0], [0.25, 0.0], [0.25, 2.0]], "rho": [1.0, 0.0, 0.0], "gamma": 0.75, "horizon": 3,
        "theta": [0.5, 0.0, 0.25, 0.0, -0.25, 0.0],
    },
}  # fmt: skip


def read_process(name: str) -> tuple[PolicyReturn, Array]:
    """A named process, or one of a JSON file, and theta (zeros where none is given)."""
    if name not in PROCESSES and not os.path.exists(name):
        listing = f"the processes are {', '.join(PROCESSES)}; no file is called so, either"
        raise UsageError(unknown_name("process", name, PROCESSES, listing))
    document = PROCESSES[name] if name in PROCESSES else parse_json(read_text(name), name)
    wanted = {"P", "R", "rho", "gamma", "horizon"}
    if not isinstance(document, dict) or not wanted <= set(document) <= wanted | {"theta", "terminal"}:
        got = ", ".join(sorted(document)) if isinstance(document, dict) else type(document).__name__
        raise UsageError(f"{name}: expected the keys P, R, rho, gamma, horizon and perhaps theta and terminal, got {got}")
    try:
        mdp = FiniteMDP(**{key: value for key, value in document.items() if key != "theta"})
        task = PolicyReturn(mdp, TabularSoftmax(mdp.states, mdp.actions))
        theta = np.asarray(document.get("theta", [0.0] * task.dim), dtype=float)
        if mdp.horizon is None or mdp.shape or theta.shape != (task.dim,):
            raise ValueError(
                f"one task with a horizon and theta of shape ({task.dim},) is required, got batch axes {mdp.shape}, "
                f"horizon {mdp.horizon}, theta of shape {theta.shape}"
            )
        task.at(theta)
        paths(mdp)
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{name}: {error}") from None
    return task, theta
