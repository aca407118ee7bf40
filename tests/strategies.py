"""What the property tests draw: the problems of `refmeta.problems`, their sizes weighted away from one."""

import numpy as np
from hypothesis import assume, reject, settings
from hypothesis import strategies as st

from refmeta import problems as make
from refmeta.commands.verify import LabelRow, checks_of
from refmeta.evidence.checks import Error
from refmeta.tolerance import condition_number, error_in_tolerances, max_per_task

costly = settings(max_examples=settings.default.max_examples // 2)  # for a test whose examples cost the most
seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
sizes = st.sampled_from((3, 2, 4, 3, 5, 1))
widths = st.sampled_from((3, 2, 4, 3, 1))
counts = st.sampled_from((2, 3, 2, 1))
up_to_three = st.integers(0, 3)


@st.composite
def problems(draw, kinds=make.KINDS, steps=up_to_three, alphas=make.ALPHAS, tasks=counts):
    """A generic `Problem`; α‖∇²L‖ above 2 on the way is refused."""
    kind, alpha = draw(st.sampled_from(kinds)), draw(st.sampled_from(alphas))
    return make.random_problem(
        draw(seeds), kind, tasks=draw(tasks), size=draw(sizes), width=draw(widths), steps=draw(steps), alpha=alpha
    )


@st.composite
def points(draw, kinds=make.KINDS):
    """(task, theta, v): N tasks of a kind, parameters and a direction."""
    rng = draw(seeds)
    task = make.random_tasks(rng, draw(st.sampled_from(kinds)), draw(counts), draw(sizes), draw(widths))
    return task, rng.normal(size=task.dim), rng.normal(size=task.dim)


returns = points(kinds=("discounted", "finite-horizon", "linear-features"))


def assert_right(label, case):
    """The check of the label accepts the case; one with κ > 10⁶ is refused, that is, drawn again."""
    (check,) = checks_of([label])
    error = check.judge(case)
    if isinstance(error, Error):
        error = error.above(1.0)
    if np.isnan(error):
        reject()
    assert LabelRow(check, error, 1).passed, f"{label}: {error:.3g}, a number of tolerances or an order"


def assert_close(function, inputs, expected, scale=0.0):
    """function(inputs) equals expected, task by task, to 30·eps·max(1, κ)·scale; draws with κ > 10⁶ are refused."""
    expected = np.asarray(expected)
    scale = np.maximum(scale, max_per_task(expected))
    assume(bool(np.all(scale > 0)))
    got = function(inputs)
    kappa = condition_number(function, inputs, scale, got)
    assume(bool(np.all(kappa <= 1e6)))
    error = error_in_tolerances(got, expected, kappa, scale)
    assert np.all(error <= 1), f"off by {np.max(error):.3g} tolerances (kappa {kappa}, scale {scale})"


quadratics = problems(kinds=("quadratic",), alphas=("scalar",))
policies = st.sampled_from(make.POLICIES)
batch_sizes = {"tasks": counts, "episodes": counts, "horizon": st.integers(1, 4)}
