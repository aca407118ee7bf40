"""MAML through an inner optimiser: optax in JAX, higher and TorchOpt in PyTorch; where they are right, and what they are else."""

import pytest
import torch
import torch_optimisers

import refmeta as rm
from tests.peers.test_peers import check, digits, few

SUITE = "maml-optimisers"
INFINITE = [case.id for case in rm.oracle.cases(SUITE) if "zero_gradient" in case.flags and case.input["optimiser"] != "adam_epsilon_root"]
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # of PyTorch itself


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_optax_is_right_where_it_is_finite():
    """At a gradient of 0 it computes 0 times infinity, unless its epsilon is inside the root."""
    pytest.importorskip("optax")
    status, report = check("jax_optimisers:gradient", "--suite", SUITE)
    assert status == 1 and len(INFINITE) == 3 and "WRONG: 3 of 37 cases." in report, report
    assert "3 cases: mismatch: returned nan for gradient" in report and all(name[-3:] in report for name in INFINITE), report
    status, report = check("jax_optimisers:gradient", "--suite", SUITE, "--skip-flag", "zero_gradient")
    assert status == 0 and digits(report) > 15, report


@pytest.mark.parametrize(("mistake", "slug", "numbers"), [("detached", "moments-detached", (2, 3, 7, 8)), ("default_rmsprop", "rmsprop-epsilon-inside", (5, 6))])
def test_a_mistake_with_optax_is_named(mistake, slug, numbers):
    pytest.importorskip("optax")
    status, report = check(f"jax_optimisers:{mistake}", *few(SUITE, numbers))
    assert status == 1 and slug in report, report


@pytest.mark.parametrize("steps", [1, 3])
def test_adam_of_higher_is_the_form_with_epsilon_hat(steps):
    pytest.importorskip("higher")
    right = torch_optimisers.problem(torch_optimisers.of_higher, steps, rm.inner.AdamEpsilonHat).diagnose(seconds=120)
    assert right.word == "RIGHT", right
    other = torch_optimisers.problem(torch_optimisers.of_higher, steps).diagnose(seconds=120)
    assert other.word == "WRONG" and "epsilon-hat" in " ".join(other.what), other


@pytest.fixture
def double():
    """Double precision as PyTorch's default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("steps", [1, 3])
def test_adam_of_torchopt_is_right_if_the_default_precision_is_double(steps, double):
    pytest.importorskip("torchopt")
    found = torch_optimisers.problem(torch_optimisers.of_torchopt, steps).diagnose(seconds=120)
    assert found.word == "RIGHT", found


def test_adam_of_torchopt_has_single_precision_otherwise():
    """The powers of beta in its bias correction are those of a count without a precision of its own."""
    pytest.importorskip("torchopt")
    found = torch_optimisers.problem(torch_optimisers.of_torchopt, 1).diagnose(seconds=120)
    assert found.word == "WRONG" and found.what[0].startswith("right to about single precision"), found


def test_adam_of_pytorch_inside_is_named_as_the_first_order():
    found = torch_optimisers.problem(torch_optimisers.of_plain_torch, 3).diagnose(seconds=120)
    assert found.word == "WRONG" and "EXACT match with known-wrong formula first-order" in " ".join(found.what), found
