"""`make test-kernels`: the tests whose outcome a BLAS kernel can change, under several kernels, and with new random draws.

Each row is a process of its own.  OpenBLAS chooses its kernel from OPENBLAS_CORETYPE, NumPy its loops from
NPY_DISABLE_CPU_FEATURES.  A processor that cannot run a kernel is told, and so is a name for a kernel that has run; a BLAS
without kernels to choose from runs its one.
"""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
KERNELS = ("Haswell", "SkylakeX", "Zen", "Nehalem", "Prescott")
TESTS = (
    *("tests/policies", "tests/tasks", "tests/meta", "tests/sampling", "tests/evidence", "derivations"),
    *("tests/test_judges.py", "tests/test_softmax.py", "tests/test_threads.py", "tests/oracle/test_vectors.py"),
    "tests/oracle/test_certify.py::test_the_library_is_one_more_implementation_below_a_fifth_of_the_tolerance",
)
IN_USE = """
import ctypes, glob, os
import numpy as np
np.linalg.solve(np.eye(50) + 1 / 64, np.ones((50, 50)))
name = "not OpenBLAS"
for path in glob.glob(os.path.join(os.path.dirname(np.__file__), "..", "numpy.libs", "*openblas*")):
    core = getattr(ctypes.CDLL(path), "scipy_openblas_get_corename64_", None)
    if core is not None:
        core.restype = ctypes.c_char_p
        name = core().decode()
print(name)
"""


def in_use(**environment: str) -> str | None:
    """The name of the BLAS kernel that this environment gives; None where the processor cannot run it."""
    done = subprocess.run(
        [sys.executable, "-c", IN_USE], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def outcome(tests: tuple[str, ...], *options: str, **environment: str) -> tuple[bool, str]:
    """Whether the tests pass in this environment, and what pytest printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tests, *options],
        cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 0, done.stdout + done.stderr


def without_simd() -> dict[str, str]:
    """The environment in which NumPy uses none of the loops that it chooses by processor."""
    core = getattr(np, "_core", None) or np.core
    features = core._multiarray_umath.__cpu_features__
    chosen = [name for name in core._multiarray_umath.__cpu_dispatch__ if features[name]]
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(chosen)} if chosen else {}


def main() -> int:
    """Run every row and print the table; 1 if a test failed."""
    rows = [({"OPENBLAS_CORETYPE": kernel}, threads, ()) for kernel in KERNELS for threads in "12"]
    rows += [(without_simd(), "1", ())]
    seed = random.SystemRandom().randrange(10**6)
    rows += [({"HYPOTHESIS_PROFILE": "random"}, "1", (f"--hypothesis-seed={seed}",))]
    print("The tests whose outcome a BLAS kernel can change, each row in a process of its own.\n")
    print(f"{'environment':35}{'kernel':11}{'threads':>7}  result\n{'-' * 33}  {'-' * 9}  {'-' * 7}  {'-' * 24}")
    failures, done = [], set[tuple[str, str]]()
    for environment, threads, options in rows:
        name, value = next(iter(environment.items()), ("", ""))
        row = {"NPY_DISABLE_CPU_FEATURES": "NumPy without chosen loops"}.get(name, " ".join((value, *options)))
        kernel = in_use(**environment)
        print(f"{row:35}{kernel or '-':11}{threads:>7}  ", end="", flush=True)
        if kernel is None:
            print("not for this processor")
            continue
        if "OPENBLAS_CORETYPE" in environment and (kernel, threads) in done:
            print("has run, by another name")
            continue
        done.add((kernel, threads))
        passed, printed = outcome(TESTS, *options, **environment, OPENBLAS_NUM_THREADS=threads)
        counts = re.findall(r"^.*\b(?:passed|failed|errors?)\b.*$", printed, re.M)
        print(counts[-1].strip("= ") if counts else "passed" if passed else "nothing ran", flush=True)
        failures += [] if passed else [f"\n{row}, {threads} threads\n{printed}"]
    print(*failures, sep="\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
