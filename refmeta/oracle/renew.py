"""`python -m refmeta.oracle.renew [--check]`: every expected value of the vectors, derived again from its input.

Without `--check` the files are written anew; with it nothing is written, and any difference is named and fails.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.answers import own
from refmeta.oracle.case import BUILD, SUITES, quantities, typed
from refmeta.oracle.certify import certified
from refmeta.oracle.rows import CATALOGUES
from refmeta.oracle.wrong import WRONG
from refmeta.tolerance import RESIDUAL, condition_number, error_in_tolerances, max_per_task

FOLDER = Path(__file__).parent / "vectors"
MOST, FAR = 1e6, 0.2


def rows(suite: str, value: Array) -> Array:
    """A value with one row a task; Reptile's update is one row."""
    return value[None] if suite == "reptile" else value


def scale_of(suite: str, quantity: str, problem: Any, value: Array) -> Array:
    """The largest of |expected| and the terms of the formula's own sum, task by task."""
    if suite == "reptile":
        return np.maximum(max_per_task(value), np.max(np.abs(problem.adapted)))
    if suite == "policy-gradient":
        point = problem.task.at(problem.theta)
        axes = tuple(range(1, point.occupancy.ndim))
        term = np.max(np.sum(point.occupancy.reshape(len(value), -1, problem.task.mdp.states), axis=1), axis=1)
        largest = term * np.max(np.abs(point.action_value), axis=(*axes, axes[-1] + 1))
        v = float(np.max(np.abs(problem.v)))
        size = {"loss": largest, "grad": largest, "hvp": largest * v, "natural_gradient": largest / term}
        return np.maximum(max_per_task(value), size.get(quantity, term * max(1.0, v)))
    if suite == "surrogates":
        slopes = problem.surrogate(quantity.rsplit("_", 1)[0]).at(problem.theta).slopes
        term = np.sum(np.abs(slopes), axis=(-2, -1)) / slopes.shape[-2]
        return np.maximum(
            max_per_task(value), term * (np.max(np.abs(problem.v)) if quantity.endswith(("hvp", "hessian")) else 1.0)
        )
    if suite == "expected-estimators":
        term = np.array(
            [np.max(np.sum(np.abs(task.at(problem.theta).action_value), axis=-3)) for task in problem.tasks]
        )
        return np.maximum(
            max_per_task(value), term * (np.max(np.abs(problem.v)) if quantity.endswith(("hvp", "hessian")) else 1.0)
        )
    if suite == "meta-lstm":
        return np.maximum(max_per_task(value), max_per_task(problem.query.at(problem.theta).loss))
    if suite in ("pearl", "model"):
        return max_per_task(value)
    if quantity == "objective":
        return np.maximum(max_per_task(value), max_per_task(problem.query.at(problem.theta).loss))
    return np.maximum(max_per_task(value), max_per_task(own(suite, "first_order", problem)))


def _hex(value: Any) -> Any:
    return [_hex(entry) for entry in value] if isinstance(value, list) else float.hex(value)


def _answer(suite: str, quantity: str) -> Callable[[Any], Array]:
    return lambda problem: rows(suite, own(suite, quantity, problem))


def renewed(job: tuple[str, dict[str, Any]]) -> tuple[dict[str, Any], float]:
    """The case with its expected values derived from its input, and the library's worst error in tolerances."""
    suite, case = job
    case = {**case, "expected": {}, "discriminates": {}}
    if case["result"] == "invalid":
        return case, 0.0
    problem, worst = BUILD[suite](_arguments(suite, case)), 0.0
    for quantity in quantities(suite):
        nested, digits = certified(suite, case["input"], quantity)
        value = np.array(nested, dtype=object).astype(float)
        scale = scale_of(suite, quantity, problem, rows(suite, value))
        scale = np.where(scale > 0, scale, 1.0)
        kappa = condition_number(_answer(suite, quantity), problem, scale)
        error = float(
            np.max(
                error_in_tolerances(
                    rows(suite, own(suite, quantity, problem)), rows(suite, value), kappa, scale, RESIDUAL.get(suite, 0)
                ),
                initial=0.0,
            )
        )
        if case["result"] == "valid" and (np.max(kappa) >= MOST or error > FAR or 0 < digits < 30):
            raise ValueError(
                f"{case['id']}: {quantity}: kappa {np.max(kappa):.2g}, error {error:.2g}, digits {digits}: not valid"
            )
        worst = max(worst, error if case["result"] == "valid" else 0.0)
        case["expected"][quantity] = {
            "value": value.tolist(), "hex": _hex(value.tolist()),
            "kappa": np.atleast_1d(kappa).tolist(), "scale": [float(f"{s:.3g}") for s in np.atleast_1d(scale)], "digits": digits,
        }  # fmt: skip
        if case["result"] == "valid":
            for slug, margin in margins(suite, quantity, problem, value, kappa, scale).items():
                case["discriminates"][slug] = max(margin, case["discriminates"].get(slug, 0.0))
    return case, worst


def catalogue_of(suite: str) -> tuple[Any, ...]:
    """Every known-wrong formula that may stand in a suite."""
    own = CATALOGUES.get(suite, "maml")
    return WRONG[own] + (WRONG["lq"] if suite == "maml-lq" else ())


def margins(suite: str, quantity: str, problem: Any, value: Array, kappa: Array, scale: Array) -> dict[str, float]:
    """How many tolerances each known-wrong formula is off, where it is off by more than ten."""
    found: dict[str, float] = {}
    for row in catalogue_of(suite):
        compared = {"gradient": value, "sum": value.sum(0), "mean": value.mean(0)} if quantity == "gradient" else {}
        compared |= {"step-size-gradient": value} if quantity == "step_size_gradient" else {}
        compared |= {"update": value} if quantity == "update" else {}
        compared |= {"gradient": -value} if quantity == "grad" else {"hvp": -value} if quantity == "hvp" else {}
        compared |= {quantity: value} if quantity in ("fisher", "natural_gradient", "kl", "kl_grad", "kl_hvp") else {}
        if row.quantity not in compared and row.quantity != "parts":
            continue
        with np.errstate(all="ignore"):
            try:
                wrong = row.function(problem)
            except (AttributeError, FloatingPointError, np.linalg.LinAlgError):
                continue
        if row.quantity == "parts" and quantity not in wrong:
            continue
        wrong, right = (
            (wrong[quantity], value) if row.quantity == "parts" else (np.asarray(wrong), compared[row.quantity])
        )
        one = suite == "reptile" or row.quantity in ("sum", "mean")
        got, right = (wrong[None], right[None]) if one else (wrong, right)
        limits = (np.max(kappa)[None], np.sum(scale)[None]) if one else (kappa, scale)
        residual = RESIDUAL.get(suite, 0.0)
        margin = float(np.max(error_in_tolerances(got, right, limits[0], limits[1], residual), initial=0.0))
        if margin > 10:
            found[row.slug] = max(found.get(row.slug, 0.0), float(f"{margin:.2g}"))
    return found


def _arguments(suite: str, case: dict[str, Any]) -> dict[str, Any]:

    return {name: typed(name, value, np.dtype("float64")) for name, value in case["input"].items()}


def dumped(document: dict[str, Any]) -> str:
    """JSON with one line a number list, so that a difference can be read."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def main() -> int:
    """Renew or check every file, on two processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on any difference")
    given = parser.parse_args()
    changed: list[str] = []
    with ProcessPoolExecutor(2) as pool:
        for suite in SUITES:
            path = FOLDER / f"{suite}.json"
            document = json.loads(path.read_text("utf-8"))
            jobs = [(suite, case) for group in document["groups"] for case in group["cases"]]
            done = list(pool.map(renewed, jobs))
            fresh = iter(case for case, _ in done)
            changed += [old["id"] for (_, old), (new, _) in zip(jobs, done, strict=True) if old != new]
            for group in document["groups"]:
                group["cases"] = [next(fresh) for _ in group["cases"]]
            worst = max(error for _, error in done)
            print(f"{suite:22} {len(done):4} cases; the library's worst error {worst:.4f} tolerances", flush=True)
            if not given.check:
                path.write_text(dumped(document), "utf-8")
    print(f"changed: {', '.join(changed) or 'nothing'}")
    return int(given.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
