"""Returns, advantages and targets beside rlax: where they agree, and which convention differs where they do not.

`make test-peers` installs JAX and rlax and runs this; `make test` does not.
"""

import numpy as np
import pytest

pytest.importorskip("rlax")

import jax_targets
from test_peers import check, few

from refmeta import targets
from refmeta.evidence.targets import random_steps
from refmeta.oracle.suites.returns import SUITE
from refmeta.oracle.suites.returns.problem import Batch

CLOSE = {"rtol": 0, "atol": 1e-12}


def test_rlax_is_right_on_every_vector():
    status, report = check("jax_targets:targets", "--suite", "returns")
    assert status == 0 and "Diagnosis" not in report, report


@pytest.mark.parametrize("seed", range(10))
def test_rlax_agrees_on_random_batches_with_cuts_and_ends(seed):
    batch = random_steps(np.random.default_rng(seed), 4, 12)
    for part, got in jax_targets.targets(**vars(batch)).items():
        np.testing.assert_allclose(got, SUITE.answer(part, batch), err_msg=part, **CLOSE)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("one_array_of_values", "next-episode-bootstrap"),
        ("scalar_lambda", "trace-not-cut"),
        ("one_flag", "truncation-is-termination"),
        ("mixed_advantage", "v-trace-advantage-mixed"),
    ],
)
def test_what_its_conventions_make_of_a_cut_is_named(function, said):
    status, report = check(f"jax_targets:{function}", *few("returns", (1, 2, 5)))
    assert status == 1 and said in report, report


def test_the_advantage_of_rlax_is_ours_for_lambda_1_and_the_mixture_for_less():
    """Without a cut inside the row, c̄ = 1; at a cut inside it reads v of the next row."""
    for seed in range(5):
        drawn = vars(random_steps(np.random.default_rng(seed), 1, 8))
        whole = drawn | {"truncated": 0 * drawn["truncated"], "terminated": 0 * drawn["terminated"], "mask": 1 + 0 * drawn["mask"], "c_bar": 1.0}
        whole["next_values"] = np.append(drawn["values"][:, 1:], [[0.75]], axis=1)
        ((_, row),) = jax_targets.rows_of(whole)
        for lam in (1.0, 0.5):
            batch = Batch(**whole | {"lam": lam})
            got = np.asarray(jax_targets.advantage(row, whole, np.full(8, lam)))
            ours = SUITE.answer("v_trace_advantage", batch)[0]
            mixed = next(row for row in SUITE.rows if row.slug == "v-trace-advantage-mixed").function(batch)["v_trace_advantage"][0]
            np.testing.assert_allclose(got, mixed, **CLOSE)
            assert np.allclose(got, ours, **CLOSE) == (lam == 1)


def test_the_advantage_of_rlax_reads_the_next_episode_at_a_cut():
    """Two steps, each an episode; the first is cut.  v' = 1, and v of the next row is 100: 99 instead of 0 (γ = 1, r = 0)."""
    b = {"rewards": [[0.0, 0.0]], "values": [[1.0, 100.0]], "next_values": [[1.0, 100.0]], "truncated": [[1, 1]], "gamma": 1.0, "rho_bar": 1.0}
    b |= {"q_values": b["values"], "next_q_values": b["values"], "terminated": [[0, 0]], "mask": [[1, 1]]}
    b |= {"ratios": [[1.0, 1.0]], "probabilities": [[1.0, 1.0]]}
    ((_, row),) = jax_targets.rows_of(b)
    assert jax_targets.advantage(row, b, row["going"]).tolist() == [99.0, 0.0]
    flags = {name: b[name] for name in ("truncated", "terminated")}
    ours = targets.v_trace(b["rewards"], b["values"], b["next_values"], **flags, gamma=1.0, ratios=b["ratios"])
    assert ours.advantage.tolist() == [[0.0, 0.0]]
