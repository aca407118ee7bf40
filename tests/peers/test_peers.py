"""`python -m refmeta check`, end to end, on JAX, PyTorch and Node: the right ones pass, each mistake is named.

`make test-peers` installs JAX and PyTorch and runs this; `make test` does not.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax_maml
import pytest
import torch
import torch_maml

import refmeta as rm

ROOT = Path(__file__).parents[2]
CHAPTER = ROOT / "derivations" / "using-the-oracle.md"
# XLA takes a second or two to compile a case: the mistakes of JAX are judged on every shape of alpha, not on all cases.
FEW = [word for n in (3, 4, 5, 6, 10) for word in ("--case", f"maml-tabular-{n:03d}")]
MISTAKES = {
    "first_order": "EXACT match with known-wrong formula first-order",
    "first_step_detached": "EXACT match with the gradient whose inner step 1 is detached",
    "one_split": "EXACT match with known-wrong formula query-is-support",
    "float32": "right to single precision only",
}


def check(*arguments, cwd=ROOT / "tests" / "peers", patience=300):
    """The exit status and the report."""
    ran = subprocess.run(
        [sys.executable, "-m", "refmeta", "check", *arguments],
        cwd=cwd, env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "1000"},
        capture_output=True, encoding="utf-8", timeout=patience,
    )  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr


def digits(report):
    """The number of digits to which every case agrees."""
    return float(re.search(r"^RIGHT: .* to ([\d.]+) digits or more\.$", report, re.M)[1])


@pytest.mark.parametrize("peer, kind", [(jax_maml, jax.Array), (torch_maml, torch.Tensor)], ids=["jax", "torch"])
def test_what_the_library_returns_is_taken_as_it_is(peer, kind):
    """In this process, without the command: arrays of JAX, tensors of PyTorch."""
    case = rm.oracle.cases("maml-regression")[0]
    got = peer.regression(**case.arguments())
    assert isinstance(got, kind)
    rm.oracle.assert_matches(case, got)
    with pytest.raises(AssertionError, match=MISTAKES["first_order"]):
        rm.oracle.check(peer.regression_first_order, "maml-regression")


@pytest.mark.parametrize("suite, least", [("regression", 15), ("tabular", 14)])
@pytest.mark.parametrize("peer", ["jax_maml", "torch_maml"])
def test_the_right_implementation_passes(peer, suite, least):
    status, report = check(f"{peer}:{suite}", "--suite", f"maml-{suite}")
    assert status == 0, report
    assert digits(report) >= least and "Not judged" in report and "Diagnosis" not in report


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("suite", ["regression", "tabular"])
@pytest.mark.parametrize("peer", ["jax_maml", "torch_maml"])
def test_a_mistake_fails_and_is_named(peer, suite, mistake):
    some = FEW if (peer, suite) == ("jax_maml", "tabular") else []
    status, report = check(f"{peer}:{suite}_{mistake}", "--suite", f"maml-{suite}", *some)
    assert status == 1, report
    assert re.findall(r"^Diagnosis: (.*)$", report, re.M)[0].startswith(MISTAKES[mistake]), report


@pytest.mark.parametrize("suite", ["regression", "tabular"])
def test_the_loop_that_the_mistakes_are_made_in_is_right_without_them(suite):
    status, report = check(f"torch_maml:{suite}_loop", "--suite", f"maml-{suite}")
    assert status == 0 and digits(report) >= 14, report


@pytest.mark.parametrize("suite", ["regression", "tabular"])
def test_first_order_passes_where_it_is_what_is_meant(suite):
    arguments = ["--suite", f"maml-{suite}", "--expect", "first-order"]
    status, report = check(f"torch_maml:{suite}_first_order", *arguments)
    assert status == 0 and digits(report) >= 14, report
    status, report = check(f"torch_maml:{suite}", *arguments)
    assert status == 1, report


@pytest.mark.parametrize("suite", ["regression", "tabular"])
def test_single_precision_passes_where_it_is_what_is_meant(suite):
    arguments = ["--suite", f"maml-{suite}", "--dtype", "float32"]
    for function in (suite, f"{suite}_float32"):
        status, report = check(f"torch_maml:{function}", *arguments)
        assert status == 0 and 4 <= digits(report) < 8, report
    status, report = check(f"torch_maml:{suite}_first_order", *arguments)
    assert status == 1 and MISTAKES["first_order"] in report, report


@pytest.mark.parametrize(
    ("function", "suite", "least"),
    [("lq", "maml-lq", 13.5), ("implicit", "implicit", 13.5), ("geometry", "policy-gradient", 12)],
)
def test_control_implicit_maml_and_geometry_in_jax_are_right(function, suite, least):
    skipped = ["--skip-flag", "ill-conditioned"] if suite == "policy-gradient" else []
    status, report = check(f"jax_control:{function}", "--suite", suite, "--timeout", "60", *skipped, patience=600)
    assert status == 0 and digits(report) >= least and "Diagnosis" not in report, report


@pytest.mark.parametrize(
    ("function", "suite", "slug"),
    [
        ("lq_first_order", "maml-lq", "first-order"),
        ("implicit_doubled", "implicit", "implicit-double-strength"),
        ("divergence_swapped", "policy-gradient", "kl-swapped"),
    ],
)
def test_their_mistakes_are_named(function, suite, slug):
    status, report = check(f"jax_control:{function}", "--suite", suite)
    assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report


@pytest.mark.parametrize(("suite", "least"), [("surrogates", 14), ("expected-estimators", 14)])
def test_surrogates_and_sampled_objectives_by_automatic_differentiation_are_right(suite, least):
    function = suite.replace("-", "_")
    status, report = check(
        f"jax_sampled:{function}", "--suite", suite, "--timeout", "120", patience=900
    )
    assert status == 0 and digits(report) >= least and "Diagnosis" not in report, report


@pytest.mark.parametrize(
    ("function", "suite", "slug"),
    [
        ("surrogates_following", "surrogates", "denominator-follows"),
        ("score_dropped", "expected-estimators", "score-term-dropped"),
    ],
)
def test_sampled_mistakes_are_named(function, suite, slug):
    arguments = ["--suite", suite, "--timeout", "120"]
    status, report = check(f"jax_sampled:{function}", *arguments, patience=900)
    assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report


def test_meta_lstm_by_automatic_differentiation_is_right_and_its_mistakes_are_named():
    arguments = ["--suite", "meta-lstm", "--timeout", "120"]
    status, report = check("jax_lstm:meta_lstm", *arguments, patience=900)
    assert status == 0 and digits(report) >= 13.5 and "Diagnosis" not in report, report
    for function, slug in (("released", "gates-before-sigmoid"), ("detached", "independent-called-exact")):
        status, report = check(f"jax_lstm:meta_lstm_{function}", *arguments, patience=900)
        assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report


@pytest.mark.parametrize(
    ("peer", "suite", "mistakes"),
    [
        ("jax_pearl", "pearl", {"leaking": "actor-reaches-encoder"}),
        ("torch_pearl", "pearl", {"leaking": "actor-reaches-encoder"}),
        ("jax_model", "model", {"detached": "model-first-order", "believing": "query-on-the-model"}),
    ],
)
def test_pearl_and_learned_models_by_automatic_differentiation(peer, suite, mistakes):
    arguments = ["--suite", suite, "--timeout", "120"]
    status, report = check(f"{peer}:{suite}", *arguments, patience=900)
    assert status == 0 and digits(report) >= 13.5 and "Diagnosis" not in report, report
    for function, slug in mistakes.items():
        status, report = check(f"{peer}:{suite}_{function}", *arguments, patience=900)
        assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report


def test_a_training_step_of_pearl_in_single_precision_is_right_to_single_precision():
    arguments = ["--suite", "pearl", "--dtype", "float32", "--timeout", "120"]
    status, report = check("torch_pearl:pearl", *arguments)
    assert status == 0 and 5 <= digits(report) < 9, report


def test_a_training_step_of_pearl_is_timed_beside_pytorch():
    ran = subprocess.run(
        [sys.executable, ROOT / "tests" / "benchmarks" / "pearl.py", "--seconds", "1"],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True, encoding="utf-8", timeout=300, check=True,
    )  # fmt: skip
    assert re.search(r"^ +\d+( +\d+){2} +[\d.]+ +[\d.]+x +[\d.]+ +[\d.]+x$", ran.stdout, re.M), ran.stdout


def test_the_rollout_is_timed_beside_gymnasium():
    pytest.importorskip("gymnasium")
    ran = subprocess.run(
        [sys.executable, ROOT / "tests" / "benchmarks" / "sampling.py", "--seconds", "1"],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True, encoding="utf-8", timeout=300, check=True,
    )  # fmt: skip
    assert re.search(r"^gymnasium \(VectorEnv\) +[\d.]+ +[\d,]+ +[\d.]+x$", ran.stdout, re.M), ran.stdout


def test_the_invalid_inputs_are_accepted_and_that_is_said_if_asked_for():
    """An infinite step size; a wrong shape is refused by PyTorch itself."""
    status, report = check("torch_maml:regression", "--suite", "maml-regression")
    assert status == 0 and "Not judged: whether bad input is refused, 2 cases" in report, report
    status, report = check("torch_maml:regression", "--suite", "maml-regression", "--validation")
    assert status == 1 and "1 case: accepted: " in report and "WRONG: 1 of 17 cases." in report, report


def test_another_language():
    command = "node tests/peers/regression.mjs"
    status, report = check("--exec", command, "--suite", "maml-regression", cwd=ROOT)
    assert status == 0 and digits(report) >= 15 and "15 of 15 cases," in report, report
    status, report = check("--exec", f"{command} first-order", "--suite", "maml-regression", cwd=ROOT)
    assert status == 1 and MISTAKES["first_order"] in report, report
    status, report = check("--exec", command, "--suite", "maml-tabular", cwd=ROOT)
    assert status == 5 and "NOT RUN" in report, report


@pytest.mark.parametrize("peer", ["jax_maml", "torch_maml"])
def test_the_chapter_shows_what_is_tested_here(peer):
    """The fence that imports the library stands, character for character, in the file."""
    fences = re.findall(r"^```text\n(.*?)^```$", CHAPTER.read_text(encoding="utf-8"), re.M | re.S)
    shown = [fence for fence in fences if fence.startswith(f"import {peer.removesuffix('_maml')}\n")]
    assert len(shown) == 1
    assert shown[0] in (ROOT / "tests" / "peers" / f"{peer}.py").read_text(encoding="utf-8")
