"""A problem of one's own in JavaScript, which describes itself and evaluates its losses; Node alone is needed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")


def check(*words):
    """The exit status and the report, on one line."""
    ran = subprocess.run(
        [sys.executable, "-m", "refmeta", "check", "--exec", " ".join(["node", "tests/peers/problem.mjs", *words]), "--suite", "own"],
        cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    return ran.returncode, " ".join(ran.stdout.split())


def test_a_network_in_javascript_is_right_on_its_own_losses():
    status, report = check()
    assert status == 0 and "RIGHT: 3 of 3 cases" in report, report
    assert float(re.search(r"your losses show ([\d.]+) digits", report)[1]) >= 13


@pytest.mark.parametrize(
    ("word", "slug"),
    [("first-order", "first-order"), ("last-step", "last-step-only"), ("few", "one-step-too-few"), ("split", "query-is-support")],
)
def test_its_mistakes_are_named(word, slug):
    status, report = check(word)
    assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report
