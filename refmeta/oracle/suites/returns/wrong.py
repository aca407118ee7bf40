"""Known-wrong returns, advantages and targets: mistakes at a cut, at an end, and in the ratios.

A row is a point in the product of choices, for every part that it concerns.
"""

from collections.abc import Callable
from typing import Any

from refmeta.arrays import Array
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.returns.choices import CHOICES, variant
from refmeta.oracle.suites.returns.problem import TRACES
from refmeta.oracle.suites.returns.recursions import OWN_STEP

__all__ = ["FALSE_ALARMS", "ROWS"]

OF_VALUES = ("discounted", "n_step", "lambda_return", "gae", *OWN_STEP)
FALSE_ALARMS = {
    "done-of-the-step-before": "a buffer that stores the flag seen before step t has the end of step t in done[t + 1]: with automatic "
    "resets this is right (luchris429/purejaxrl #23)",
    "acer-min-one": "min(1, π/μ) in ACER is Retrace's trace c with λ = 1, and no parameter is forgotten (pfnet/pfrl #198)",
    "advantage-plus-value": "Â + v as the target of the values is the λ-return, if the same v was subtracted",
}


def _at(parts: tuple[str, ...], *departures: str) -> Callable[[Any], dict[str, Array]]:
    """The parts at some departures, a choice and its words in turn, where they concern them."""
    point = {choice: CHOICES[choice][words] for choice, words in zip(departures[::2], departures[1::2], strict=True)}

    def row(problem: Any) -> dict[str, Array]:
        values = {part: variant(part, problem, point) for part in parts}
        return {part: value for part, value in values.items() if value is not None}

    return row


truncation_is_termination = wrong(
    "truncation-is-termination", "0 instead of v' at a truncated step", quantity=EVERY, source="Toni-SM/skrl #449, anthonytorlucci/rlevo #170",
    cause="done = terminated or truncated stops the bootstrap, too", repair="two flags: terminated alone multiplies v'; either one stops the sum",
)(_at((*OF_VALUES, *TRACES), "flags", "truncated read as terminated"))  # fmt: skip

next_episode_bootstrap = wrong(
    "next-episode-bootstrap", "v of the next row instead of v' at a truncated step", quantity=EVERY, source="pytorch/rl #4209, EdanToledo/Stoix #142 #148",
    cause="values[t + 1] after an automatic reset is the first state of another episode",
    repair="gymnasium: the value of info['final_obs'] at a truncated step",
)(_at((*OF_VALUES, *TRACES), "at a cut", "v of the next row"))  # fmt: skip

ends_ignored = wrong(
    "ends-ignored", "v of the next row for v', and a sum over the whole row", quantity=EVERY,
    cause="no flag and no mask is read: every row is one episode without an end",
    hint="next_values = values[1:] and no (1 - done) in the recursion",
)(_at((*OF_VALUES, *TRACES), "flags", "neither", "mask", "ignored"))  # fmt: skip

trace_not_cut = wrong(
    "trace-not-cut", "the sum goes on over a truncated step into the next episode", quantity=EVERY, source="Toni-SM/skrl #449",
    cause="the recursion is multiplied by 1 - terminated alone", repair="lastgaelam is multiplied by 1 - (terminated or truncated)",
)(_at((*OF_VALUES, *TRACES), "sum", "goes on over cuts"))  # fmt: skip

done_one_step_late = wrong(
    "done-one-step-late", "the flags of step t + 1 at step t", quantity=EVERY,
    source="anthonytorlucci/rlevo #342, DLR-RM/stable-baselines3 #183 #185, vwxyzjn/cleanrl #16",
    cause="done[t + 1] is read where done[t] belongs to step t",
    repair="if your buffer stores the flag seen before the step, done[t + 1] is right: shift the flags that you hand over",
)(_at((*OF_VALUES, *TRACES), "flags", "those of the next step"))  # fmt: skip

bootstrap_twice = wrong(
    "bootstrap-twice", "(γλ)^{T−t} V(s_T) on top", quantity=EVERY, source="simonsays1980/rl-triton #4",
    cause="the last value starts the recursion and stands in the last error, too", repair="the carry of the backward scan starts at 0",
)(_at(("gae", "lambda_return", "v_trace"), "added", "the last value once more, faded"))  # fmt: skip

own_value_at_cut = wrong(
    "own-value-at-cut", "v of the step itself instead of v' at a truncated step", quantity=EVERY,
    source="DexForce/EmbodiChain #610 #612, leggedrobotics/rsl_rl #151",
    cause="r + γ V(s_t) at a time limit: the value of the state before the action", hint="rewards += gamma * values * time_outs takes V(s_t)",
)(_at((*OF_VALUES, *TRACES), "at a cut", "v of the step itself"))  # fmt: skip

last_bootstrap_missing = wrong(
    "last-bootstrap-missing", "0 instead of v' after the last row", quantity=EVERY, source="rohitg00/ai-engineering-from-scratch #54",
    cause="the end of the batch is taken for the end of the episode", repair="the value of the state after the last step must be computed",
)(_at((*OF_VALUES, *TRACES), "after the last row", "0"))  # fmt: skip

rho_twice = wrong(
    "rho-twice", "ρ² δ instead of ρ δ", quantity=EVERY, source="SlopDotCash/asi #462 #1974",
    cause="the ratio stands in the error and in the weight", repair="multiply the error by ρ once",
)(_at(OWN_STEP, "weights", "the bounded ratio in front of the error, too"))  # fmt: skip

trace_of_other_step = wrong(
    "trace-of-other-step", "c of the next step in V-trace, of the own step in Retrace", quantity=EVERY, source="google-deepmind/trfl #24",
    cause="V-trace and Retrace are shifted by one step against each other",
    repair="Retrace: c[t + 1] between step t and t + 1, as a_t is given; V-trace: c[t]",
)(_at((*OWN_STEP, *TRACES), "trace of", "the other step"))  # fmt: skip

rho_on_retrace_error = wrong(
    "rho-on-retrace-error", "min(1, π/μ) δ in Retrace", quantity=EVERY, source="pytorch/rl #4124",
    cause="V-trace's ρ in front of Retrace's error", repair="no ratio stands in front of the error: a_t is given, and q' is a mean over π",
)(_at(tuple(TRACES), "weights", "the ratio, at most 1, in front of the error, too"))  # fmt: skip

v_trace_advantage_mixed = wrong(
    "v-trace-advantage-mixed", "n = λ v_{t+1} + (1 − λ) v' inside an episode", quantity=EVERY, kind="convention", source="google-deepmind/rlax",
    cause="a convention: the advantage looks ahead by the λ-mixture", repair="look ahead to the target v_{t+1} alone; with λ = 1 it is the same",
)(_at(("v_trace_advantage",), "ahead", "lam times the target, 1 - lam times v'"))  # fmt: skip

returns_for_advantages = wrong(
    "returns-for-advantages", "Â + v, the λ-return", quantity=EVERY, kind="right",
    cause="the target of the values, not the advantage that was asked for", repair="hand over advantages, not returns",
)(_at(("gae",), "after that", "plus v"))  # fmt: skip

retrace_without_lambda = wrong(
    "retrace-without-lambda", "c = min(1, π/μ), as for λ = 1", quantity=EVERY, kind="right", source="pfnet/pfrl #198",
    cause="ACER's Retrace, not the one with the λ that was asked for", repair="multiply c by λ",
)(_at(("retrace",), "weights", "c without lam"))  # fmt: skip

ROWS = rows_in(globals())
