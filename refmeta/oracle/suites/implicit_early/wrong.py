"""Known-wrong early hypergradients.  A row is a point in the product of choices, for every part that it concerns."""

from collections.abc import Callable
from typing import Any

from refmeta.arrays import Array
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.implicit_early.choices import AT_MINIMUM, CHOICES, COUNTED, SERIES, variant

__all__ = ["ROWS"]


def _at(parts: tuple[str, ...], **departures: str) -> Callable[[Any], dict[str, Array]]:
    """The parts at departures, where they concern them; `factor_in_front` is the choice "factor in front"."""
    point = {name.replace("_", " "): CHOICES[name.replace("_", " ")][words] for name, words in departures.items()}

    def row(problem: Any) -> dict[str, Array]:
        values = {part: variant(part, problem, point) for part in parts}
        return {part: value for part, value in values.items() if value is not None}

    return row


def _counted(words: str) -> Callable[[Any], dict[str, Array]]:
    """The parts that count terms or steps, with another number of them."""
    rows = [_at((part,), **{name.replace(" ", "_"): words}) for part, name in COUNTED.items()]
    return lambda problem: {part: value for row in rows for part, value in row(problem).items()}


neumann_without_step_size = wrong(
    "neumann-without-step-size", "Σ_{j<k} (I − ηH)ʲ g", quantity=EVERY,
    cause="the sum of the powers is right, and the factor η in front of it is forgotten",
    repair="return eta * total, as Σ (I − ηH)ʲ tends to (ηH)⁻¹",
)(_at((*SERIES, "one_step", "truncated"), factor_in_front="left out"))  # fmt: skip

neumann_step_size_one = wrong(
    "neumann-step-size-one", "Σ_{j<k} (I − H)ʲ g", quantity=EVERY, source="metaopt/torchopt, where `alpha` of `linalg.ns` is left out",
    cause="Neumann's series of H itself: it converges only where every eigenvalue of H is below 2",
    repair="v <- v + eta * (g - H v), with eta below 2 over the largest eigenvalue",
)(_at((*SERIES,), eta="1"))  # fmt: skip

truncation_off_by_one = wrong(
    "truncation-off-by-one", "one term, or one step, more", quantity=EVERY, source="metaopt/torchopt, where `maxiter` counts products",
    cause="the loop runs `terms` times after the first term, which is there before it",
    repair="terms = 1 is eta * g, without any product; a step that is taken is one whose Jacobian is multiplied",
)(_counted("one more"))  # fmt: skip

truncation_one_fewer = wrong(
    "truncation-one-fewer", "one term, or one step, fewer", quantity=EVERY,
    cause="the loop ends one step before it should", repair="count the terms: eta * g is the first",
)(_counted("one fewer"))  # fmt: skip

finite_difference_wrong_factor = wrong(
    "finite-difference-wrong-factor", "(p − n)/2 · δ instead of (p − n)/(2δ)", quantity=EVERY, source="antoyang/NAS-Benchmark #4, microsoft/nni #3044, khanrc/pt.darts #43",
    cause="x / 2 * delta is (x / 2) * delta", repair="write (p - n) / (2 * delta)",
)(_at(("finite_difference",), difference="(p - n)/2 * delta/lambda"))  # fmt: skip

finite_difference_not_halved = wrong(
    "finite-difference-not-halved", "(p − n)/δ", quantity=EVERY, cause="the two points are 2δ apart", repair="write (p - n) / (2 * delta)",
)(_at(("finite_difference",), difference="(p - n)/(delta lambda)"))  # fmt: skip

early_without_strength = wrong(
    "early-hessian-not-over-strength", "I + ∇²L instead of I + ∇²L/λ", quantity=EVERY,
    cause="the linear system of the strength 1", repair="divide the Hessian product by lambda",
)(_at((*SERIES, "cg"), matrix="I + H, not over lambda"))  # fmt: skip

conjugate_gradients_from_g = wrong(
    "cg-from-the-right-side", "conjugate gradients from x₀ = g", quantity=EVERY, kind="convention",
    cause="a convention: the first-order gradient is the first guess", repair="start at 0, or say that you start at g",
)(_at(("cg",), begins_at="g"))  # fmt: skip

start_not_held = wrong(
    "truncated-start-differentiated", "plus Π (I − ηH_t) ∇L_query(φ_T)", quantity=EVERY, kind="convention",
    cause="a convention: φ_{T−T'} moves with θ as θ itself does; with T' = T it is the full derivative of the unrolled steps",
    repair="detach the start of the differentiated steps, and let only the centre of the proximal term move",
)(_at(("truncated",), start="differentiated, too"))  # fmt: skip

solved_to_the_end = wrong(
    "early-solved-to-the-end", "(I + H/λ)⁻¹ g", quantity=EVERY, kind="right",
    cause="the exact gradient, not the early one that was asked for", repair="a stop after the number of steps or terms that is asked for; to the end is right for the suite `implicit`",
)(_at(AT_MINIMUM, solved="to the end"))  # fmt: skip

not_solved = wrong(
    "early-first-order", "g", quantity=EVERY, cause="nothing is solved: φ* counts as θ + a constant", repair="one step is eta * g, not g",
)(_at((*SERIES, "cg"), solved="not at all"))  # fmt: skip

ROWS = rows_in(globals())
