"""`python -m refmeta check`, end to end, on JAX, PyTorch and Node: the right ones pass, each mistake is named.

`make test-peers` installs JAX and PyTorch and runs this; `make test` does not.
"""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax_maml
import numpy as np
import pytest
import torch
import torch_maml
import torch_sampled

import refmeta as rm

ROOT = Path(__file__).parents[2]
CHAPTER = ROOT / "derivations" / "using-the-oracle.md"
# XLA takes a second or two to compile a case, and a shared machine more: no case is lost to the clock.
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
EVERY_ALPHA = (3, 4, 5, 6)  # a number, (d,), (K, 1), (K, d)
PATIENT = ("--timeout", "120")
MISTAKES = {
    "first_order": "EXACT match with known-wrong formula first-order",
    "first_step_detached": "EXACT match with the gradient whose inner step 1 is detached",
    "one_split": "EXACT match with known-wrong formula query-is-support",
    "float32": "right to single precision only",
}


def check(*arguments, cwd=ROOT / "tests" / "peers", patience=900):
    """The exit status and the report."""
    ran = subprocess.run(
        [sys.executable, "-m", "refmeta", "check", *PATIENT, *arguments],
        cwd=cwd, env={**os.environ, **QUICK, "PYTHONIOENCODING": "utf-8", "COLUMNS": "1000"},
        capture_output=True, encoding="utf-8", timeout=patience,
    )  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr


def few(suite, numbers=(1, 2, 3)):
    """Some cases of a suite: a mistake needs no more to be named."""
    return ["--suite", suite, *(word for n in numbers for word in ("--case", f"{suite}-{n:03d}"))]


def digits(report):
    """The number of digits to which every case agrees."""
    return float(re.search(r"^RIGHT: .* to ([\d.]+) digits or more\.$", report, re.M)[1])


@pytest.mark.parametrize("peer, kind", [(jax_maml, jax.Array), (torch_maml, torch.Tensor)], ids=["jax", "torch"])
def test_what_the_library_returns_is_taken_as_it_is(peer, kind):
    """In this process, without the command: arrays of JAX, tensors of PyTorch."""
    case = rm.oracle.cases("maml-regression")[2]
    got = peer.regression(**case.arguments())
    assert isinstance(got, kind)
    rm.oracle.assert_matches(case, got)
    with pytest.raises(AssertionError, match=MISTAKES["first_order"]):
        rm.oracle.assert_matches(case, peer.regression_first_order(**case.arguments()))


def test_a_tensor_with_its_graph_is_read_and_a_tuple_of_results_gets_a_sentence():
    case = rm.oracle.cases("maml-regression")[2]
    got = torch_maml.regression(**case.arguments()).requires_grad_() * 1
    assert got.grad_fn is not None
    for rows in (got, list(got), tuple(got)):
        rm.oracle.assert_matches(case, rows)
    sentence = r"a tuple of 2 for gradient with the shapes \(\d, \d\), \(\); return the result that is asked for alone"
    with pytest.raises(AssertionError, match=sentence):
        rm.oracle.assert_matches(case, (got, got.sum()))


def well_conditioned(suite):
    """The digits that double precision has, less those that the condition number of the worst vector takes."""
    valid = [case.expected for case in rm.oracle.cases(suite) if case.result == "valid"]
    return -np.log10(np.finfo(float).eps * max(np.max(part.kappa) for parts in valid for part in parts.values()))


@pytest.mark.parametrize("suite, least", [("regression", 15), ("tabular", well_conditioned("maml-tabular"))])
@pytest.mark.parametrize("peer", ["jax_maml", "torch_maml"])
def test_the_right_implementation_passes(peer, suite, least):
    status, report = check(f"{peer}:{suite}", "--suite", f"maml-{suite}")
    assert status == 0, report
    assert digits(report) >= least and "Diagnosis" not in report
    assert "Not judged: whether bad input is refused, " in report


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("suite", ["regression", "tabular"])
@pytest.mark.parametrize("peer", ["jax_maml", "torch_maml"])
def test_a_mistake_fails_and_is_named(peer, suite, mistake):
    status, report = check(f"{peer}:{suite}_{mistake}", *few(f"maml-{suite}", EVERY_ALPHA))
    assert status == 1, report
    assert re.findall(r"^Diagnosis: (.*)$", report, re.M)[0].startswith(MISTAKES[mistake]), report


@pytest.mark.parametrize("suite", ["regression", "tabular"])
def test_the_loop_that_the_mistakes_are_made_in_is_right_without_them(suite):
    status, report = check(f"torch_maml:{suite}_loop", "--suite", f"maml-{suite}")
    assert status == 0 and digits(report) >= well_conditioned(f"maml-{suite}"), report


@pytest.mark.parametrize("suite", ["regression", "tabular"])
def test_first_order_passes_where_it_is_what_is_meant(suite):
    meant = "--expect", "first-order"
    status, report = check(f"torch_maml:{suite}_first_order", "--suite", f"maml-{suite}", *meant)
    assert status == 0 and digits(report) >= well_conditioned(f"maml-{suite}"), report
    status, report = check(f"torch_maml:{suite}", *few(f"maml-{suite}", EVERY_ALPHA), *meant)
    assert status == 1, report


@pytest.mark.parametrize("suite", ["regression", "tabular"])
def test_single_precision_passes_where_it_is_what_is_meant(suite):
    single = "--dtype", "float32"
    for function in (suite, f"{suite}_float32"):
        status, report = check(f"torch_maml:{function}", "--suite", f"maml-{suite}", *single)
        assert status == 0 and well_conditioned(f"maml-{suite}") - 9 <= digits(report) < 8, report  # float32 has 8.7 digits less
    status, report = check(f"torch_maml:{suite}_first_order", *few(f"maml-{suite}", EVERY_ALPHA), *single)
    assert status == 1 and MISTAKES["first_order"] in report, report


@pytest.mark.parametrize(
    ("function", "suite", "least"),
    [("lq", "maml-lq", well_conditioned("maml-lq")), ("implicit", "implicit", 13.5), ("early", "implicit-early", 13.5), ("geometry", "policy-gradient", 12), ("values", "policy-gradient", 12)],
)
def test_control_implicit_maml_and_geometry_in_jax_are_right(function, suite, least):
    pseudo_inverse = ["--allow-rounding"] if function == "geometry" else []  # JAX's loses a digit of the natural gradient
    skipped = ["--skip-flag", "ill-conditioned", *pseudo_inverse] if suite == "policy-gradient" else []
    status, report = check(f"jax_control:{function}", "--suite", suite, *skipped)
    assert status == 0, report
    assert "\nROUNDING: off by 1." in report if pseudo_inverse and "\nRIGHT" not in report else digits(report) >= least, report


@pytest.mark.parametrize(
    ("function", "suite", "slug"),
    [
        ("lq_first_order", "maml-lq", "first-order"),
        ("implicit_doubled", "implicit", "implicit-double-strength"),
        ("divergence_swapped", "policy-gradient", "kl-swapped"),
        ("values_without_baseline", "policy-gradient", "action-value-as-advantage"),
    ],
)
def test_their_mistakes_are_named(function, suite, slug):
    status, report = check(f"jax_control:{function}", *few(suite))
    assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report


@pytest.mark.parametrize(("suite", "least"), [("surrogates", 14), ("expected-estimators", 14)])
def test_surrogates_and_sampled_objectives_by_automatic_differentiation_are_right(suite, least):
    function = suite.replace("-", "_")
    status, report = check(f"jax_sampled:{function}", "--suite", suite)
    assert status == 0 and digits(report) >= least and "Diagnosis" not in report, report


@pytest.mark.parametrize(
    ("function", "suite", "slug"),
    [
        ("surrogates_following", "surrogates", "denominator-follows"),
        ("penalties_in_the_loss", "surrogates", "k1-in-the-loss"),
        ("third_penalty_in_the_loss", "surrogates", "k3-in-the-loss"),
        ("score_dropped", "expected-estimators", "score-term-dropped"),
    ],
)
def test_sampled_mistakes_are_named(function, suite, slug):
    status, report = check(f"jax_sampled:{function}", *few(suite))
    assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("torch_maml_sampled:maml", ["--suite", "maml-sampled"]),
        ("jax_maml_sampled:meta_gradients", few("maml-sampled", (1, 2, 5, 7, 10, 11, 13, 14, 36, 37))),
    ],
)
def test_meta_gradients_of_batches_by_automatic_differentiation_are_right(target, asked):
    """JAX without a compiled function differentiates step by step: some cases of every policy, on policy and off."""
    status, report = check(target, *asked)
    assert status == 0 and digits(report) >= 12 and "Diagnosis" not in report, report


@pytest.mark.parametrize(
    ("target", "numbers", "slug"),
    [
        ("jax_maml_sampled:meta_gradients_following", (11, 12, 13), "denominator-follows"),
        ("jax_maml_sampled:meta_gradients_detached", (1, 2, 3), "first-order"),
        ("torch_maml_sampled:maml_detached", (1, 2, 3), "first-order"),
        ("torch_maml_sampled:maml_naive", (1, 2, 3), "curvature-of-reinforce"),
        ("torch_maml_sampled:maml_following", (11, 12, 13), "denominator-follows"),
        ("torch_maml_sampled:maml_mean", (1, 4, 11), "mean-over-time"),
        ("torch_maml_sampled:maml_normalised", (1, 4, 11), "advantages-normalised"),
    ],
)
def test_mistakes_of_meta_gradients_of_batches_are_named(target, numbers, slug):
    status, report = check(target, *few("maml-sampled", numbers))
    assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report


@pytest.mark.parametrize(
    ("function", "name"),
    [("reinforce_maml", "score-term-dropped"), ("e_maml", "e-maml"), ("first_order", "first-order")],
)
def test_reinforce_maml_in_pytorch_has_a_row_in_the_table_of_bias_and_its_name(function, name):
    """K = 1 and 2: the batches of the second step are drawn where PyTorch's own parameters went."""
    ran = subprocess.run(
        [sys.executable, "-m", "refmeta", "bias", f"torch_sampled:{function}", *"--alpha 0.75 --episodes 1 2 --steps 1".split()],
        cwd=ROOT / "tests" / "peers", env={**os.environ, **QUICK, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"},
        capture_output=True, encoding="utf-8", timeout=900,
    )  # fmt: skip
    assert ran.returncode == 0 and ran.stdout.endswith(f"At every setting above, yours is: {name}.\n"), ran.stdout + ran.stderr
    figures = {line.split("  ")[0]: line.split()[-7:] for line in ran.stdout.splitlines() if line.startswith((name + " ", "yours "))}
    assert figures["yours"] == figures[name]


def test_reinforce_maml_in_pytorch_is_judged_batch_by_batch():
    """A right one, one without the score term, and one whose discounts are of float32."""
    status, report = check("torch_sampled:e_maml", *few("expected-estimators", (1, 3, 4, 6, 15, 20)), "--by-batch")
    assert status == 0 and digits(report) >= 14, report
    status, report = check("torch_sampled:reinforce_maml", *few("expected-estimators", (1, 3, 4)), "--by-batch")
    assert status == 1 and "EXACT match with known-wrong formula score-term-dropped (" in report, report
    status, report = check("torch_sampled:single_precision", *few("expected-estimators", (1, 20)), "--by-batch")
    assert status == 1 and "ROUNDING" in report and "float32 on the way" in report, report


def test_the_chapter_shows_the_estimator_that_runs_here():
    shown = (ROOT / "derivations" / "sampled-meta-gradients.md").read_text(encoding="utf-8")
    assert f"```text\nimport torch\n\n\n{inspect.getsource(torch_sampled.reinforce_maml)}```" in shown


def test_meta_lstm_by_automatic_differentiation_is_right_and_its_mistakes_are_named():
    status, report = check("jax_lstm:meta_lstm", "--suite", "meta-lstm")
    assert status == 0 and digits(report) >= 13.5 and "Diagnosis" not in report, report
    for function, slug in (("released", "gates-before-sigmoid"), ("detached", "independent-called-exact")):
        status, report = check(f"jax_lstm:meta_lstm_{function}", *few("meta-lstm"))
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
    status, report = check(f"{peer}:{suite}", "--suite", suite)
    assert status == 0 and digits(report) >= min(13.5, well_conditioned(suite)) and "Diagnosis" not in report, report
    for function, slug in mistakes.items():
        status, report = check(f"{peer}:{suite}_{function}", *few(suite))
        assert status == 1 and f"EXACT match with known-wrong formula {slug} (" in report, report


def test_a_training_step_of_pearl_in_single_precision_is_right_to_single_precision():
    status, report = check("torch_pearl:pearl", "--suite", "pearl", "--dtype", "float32")
    assert status == 0 and 5 <= digits(report) < 9, report


@pytest.mark.parametrize(
    "subject, peers",
    [(kind, ("JAX", "torch")) for kind in ("discounted", "finite_horizon", "features", "linear_quadratic", "dice")]
    + [("pearl", ("torch",)), ("rollouts", ("gymnasium",))],
)
def test_benchmarks_time_the_same_beside_the_peers(subject, peers, tmp_path):
    """A meta-gradient is timed only if every peer's equals refmeta's to 1e-10."""
    for peer in peers:
        pytest.importorskip(peer.lower())
    file = tmp_path / "bench.json"
    subprocess.run(
        [sys.executable, ROOT / "tests" / "benchmarks", subject, "--smallest", "--seconds", "0", "--json", file],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    (row,) = json.loads(file.read_text("utf-8"))["subjects"][subject]["rows"]
    assert all(row[peer] > 0 and row[f"refmeta/{peer}"] > 0 for peer in peers), row


def test_invalid_inputs_that_are_accepted_are_named_if_asked_for():
    """An infinite step size; a wrong shape is refused by PyTorch itself."""
    status, report = check("torch_maml:regression", "--suite", "maml-regression", "--validation")
    assert status == 1 and "1 case: accepted: " in report and "WRONG: 1 of 21 cases." in report, report


def test_another_language():
    command = "node tests/peers/regression.mjs"
    status, report = check("--exec", command, "--suite", "maml-regression", cwd=ROOT)
    assert status == 0 and digits(report) >= 15 and "19 of 19 cases," in report, report
    status, report = check("--exec", f"{command} first-order", "--suite", "maml-regression", cwd=ROOT)
    assert status == 1 and MISTAKES["first_order"] in report, report
    status, report = check("--exec", command, "--suite", "maml-tabular", cwd=ROOT)
    assert status == 5 and "NOT RUN" in report, report


def test_the_network_of_the_manual_and_its_mistake(tmp_path):
    """Right as the page shows it, first order without create_graph."""
    fences = re.findall(r"^```text\n(.*?)^```$", CHAPTER.read_text(encoding="utf-8"), re.M | re.S)
    (shown,) = (fence for fence in fences if fence.startswith("# torch_problem.py\n"))
    for text, expected, said in ((shown, 0, "RIGHT: 3 of 3 cases, to 1"), (shown.replace("create_graph=True", "create_graph=False"), 1, MISTAKES["first_order"])):
        (tmp_path / "torch_problem.py").write_text(text, encoding="utf-8")
        status, report = check("torch_problem:problem", cwd=tmp_path)
        assert status == expected and said in report, report


def test_a_regression_in_pytorch_and_its_mistake(tmp_path):
    """Right as it stands; detached, it is first order."""
    command = ("torch_regression:gradient", "--suite", "maml-regression")
    assert check(*command)[0] == 0
    text = (ROOT / "tests" / "peers" / "torch_regression.py").read_text(encoding="utf-8")
    detached = text.replace("grad(loss)(theta, X, y)", "grad(loss)(theta, X, y).detach()")
    (tmp_path / "torch_regression.py").write_text(detached, encoding="utf-8")
    status, report = check(*command, cwd=tmp_path)
    assert status == 1 and MISTAKES["first_order"] in report, report


@pytest.mark.parametrize(("function", "suite", "least"), [("exact", "implicit", 9), ("early", "implicit-early", 13)])
def test_implicit_differentiation_of_torchopt_is_right(function, suite, least):
    status, report = check(f"torch_implicit:{function}", "--suite", suite)
    assert status == 0 and digits(report) >= least, report


@pytest.mark.parametrize(
    ("function", "suite", "named"),
    [
        ("early_one_term_more", "implicit-early", "EXACT match with known-wrong formula truncation-off-by-one ("),
        ("series_as_it_comes", "implicit", "linear system: Neumann's series with 10 Hessians"),
    ],
)
def test_where_torchopt_stops_is_named(function, suite, named):
    status, report = check(f"torch_implicit:{function}", *few(suite))
    assert status == 1 and named in report, report


def test_the_whole_path_instead_of_its_end_is_named():
    status, report = check("jax_control:early_by_the_whole_path", *few("implicit-early", (2, 5)))
    assert status == 1 and "EXACT match with a convention: truncated-start-differentiated (" in report, report
