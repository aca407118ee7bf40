"""Three suites in JavaScript, by dual numbers within dual numbers; Node alone is needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize("suite", ["maml-quadratic", "maml-classification", "maml-tabular"])
def test_dual_numbers_in_javascript_are_right(suite):
    ran = subprocess.run(
        [sys.executable, "-m", "refmeta", "check", "--exec", "node tests/peers/duals.mjs", "--suite", suite],
        cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0 and "\nRIGHT: " in ran.stdout, ran.stdout
