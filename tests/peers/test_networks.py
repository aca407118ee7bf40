"""MAML on networks in PyTorch and in JAX, and in libraries of PyTorch: right to the digits that the losses show; mistakes are named."""

import jax.numpy as jnp
import jax_network
import pytest
import torch
import torch_libraries
import torch_network

PEERS = [torch_network, jax_network]
SINGLE = {torch_network: torch.float32, jax_network: jnp.float32}
NAMED = {
    "detached": "EXACT match with known-wrong formula first-order",
    "last_step_only": "EXACT match with known-wrong formula last-step-only",
    "one_step_too_few": "EXACT match with known-wrong formula one-step-too-few",
    "momentum_carried": "computes another formula, in 3 of 3 failing vectors: inner optimiser: momentum 0.9, never reset between tasks",
    "query_is_support": "EXACT match with known-wrong formula query-is-support",
    "loss_scaled": "the right result times ½, in 3 of 3 failing vectors",
}
ONLY_FIRST = "only the first task's row is right: something is not reset between tasks"
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # of PyTorch itself


@pytest.fixture(autouse=True)
def one_thread():
    """Small products are slower on several threads."""
    torch.set_num_threads(1)


def diagnosed(problem):
    """The diagnosis, with time enough on a machine that others use, too."""
    return problem.diagnose(seconds=120)


def shown(found):
    """The digits that the losses show."""
    return float(found.sentence.split()[-2])


def name_of(module):
    return module.__name__


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("peer", PEERS, ids=name_of)
def test_a_right_one_is_right_to_the_digits_that_the_losses_show(peer, steps):
    """Every one of 1761 parameters; with exact Hessian products more digits are shown than with those of differences."""
    assert peer.THETA.size == 1761
    numeric, exact = (diagnosed(peer.problem(steps, hvp=hvp)) for hvp in (False, True))
    assert numeric.word == exact.word == "RIGHT", (numeric, exact)
    assert 5 < shown(numeric) < shown(exact) and shown(exact) > 11


@pytest.mark.parametrize("mistake", NAMED)
@pytest.mark.parametrize("peer", PEERS, ids=name_of)
def test_a_mistake_is_named(peer, mistake):
    found = diagnosed(peer.problem(5, mistake, hvp=True))
    assert found.word == "WRONG" and NAMED[mistake] in " ".join(found.what), found


@pytest.mark.parametrize("mistake", [mistake for mistake in NAMED if mistake != "last_step_only"])
@pytest.mark.parametrize("peer", PEERS, ids=name_of)
def test_a_mistake_with_one_step_is_named(peer, mistake):
    """With one step the last one is the only one: no mistake."""
    found = diagnosed(peer.problem(1, mistake, hvp=True))
    assert found.word == "WRONG" and NAMED[mistake] in " ".join(found.what), found


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("peer", PEERS, ids=name_of)
def test_a_statistic_that_passes_between_tasks_is_located(peer, steps):
    """Which statistic it is nobody can know: the first task alone is right."""
    found = diagnosed(peer.problem(steps, "statistic_shared", hvp=True))
    assert found.word == "WRONG" and any(line.startswith(ONLY_FIRST) for line in found.where), found


@pytest.mark.parametrize("peer", PEERS, ids=name_of)
def test_a_network_in_single_precision_is_judged_as_such(peer):
    """Fewer digits are shown; a mistake is still one."""
    right = diagnosed(peer.problem(5, dtype=SINGLE[peer]))
    assert right.word == "RIGHT" and 1 <= shown(right) < 7, right
    wrong = diagnosed(peer.problem(5, "detached", dtype=SINGLE[peer]))
    assert wrong.word == "WRONG" and NAMED["detached"] in " ".join(wrong.what), wrong


@pytest.mark.parametrize("library", torch_libraries.LIBRARIES)
def test_the_loop_of_a_library_is_right_and_its_first_order_mode_is_named(library):
    if library != "learn2learn":
        pytest.importorskip(library)
    for steps in (1, 5):
        right = diagnosed(torch_libraries.problem(library, steps))
        assert right.word == "RIGHT" and shown(right) > 11, right
        wrong = diagnosed(torch_libraries.problem(library, steps, exact=False))
        assert wrong.word == "WRONG" and NAMED["detached"] in " ".join(wrong.what), wrong
