"""A user's own meta-gradient on losses of their own: MAML's, implicit MAML's or Reptile's.  Derivation: derivations/using-the-oracle.md"""

import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from numpy.typing import ArrayLike

from refmeta.arrays import Array
from refmeta.meta.arguments import Task
from refmeta.oracle.own import SECONDS, Diagnosis, diagnosis_of
from refmeta.oracle.suites.own.algorithms import ALGORITHMS, Algorithm
from refmeta.oracle.suites.own.optimisers import through_optimiser
from refmeta.tables import suggestion

__all__ = ["Problem", "diagnose"]


@dataclass(frozen=True, eq=False)
class Problem:
    """A meta-gradient of your own on losses of your own: `python -m refmeta check MODULE:PROBLEM` judges it.

    Eq: maml-gradient, maml-gradient-optimiser, implicit-maml, reptile-gradient

    Parameters
    ----------
    theta : (d,) array
        The initialisation, flat.
    support, query : lists of N losses, lists of N tasks, or tasks with `shape` (N,), `dim` d and `at(theta)`
        A loss is a function of theta (d,) that returns a number; a task may be `refmeta.BlackBox(loss, d, grad=, hvp=)`.
        `query=None` is the support itself.
    alpha, steps :
        As in `refmeta.adapt`; "implicit" takes `strength` instead.
    gradient : function of theta that returns (N, d), or such an array
        Required.  One row per task, never reduced.  A function is asked at other theta, too; one that has the parameters `alpha` or
        `steps`, or `**inputs`, gets them, and is asked with others.
    algorithm : "maml", "implicit" or "reptile"
        dF_i/dθ of MAML or of implicit MAML, or (θ − φ_i)/α.
    strength : float
        λ of "implicit".
    optimiser : a rule of `refmeta.inner`
        The inner optimiser of "maml": `refmeta.inner.Adam()` and so on; None is gradient descent.
    """

    theta: ArrayLike
    support: Any
    query: Any
    alpha: Any = None
    steps: int | None = None
    gradient: Any = None
    algorithm: str = "maml"
    _: KW_ONLY
    strength: float | None = None
    optimiser: Any = None

    def diagnose(self, *, seconds: float = SECONDS) -> Diagnosis:
        """The `Diagnosis` of your gradient: verdict, sentences and evidence; a search takes so many seconds of the processor."""
        return diagnosis_of(self, seconds=seconds)

    def check(self, *, allow_rounding: bool = False) -> None:
        """AssertionError with the diagnosis, unless your gradient is right."""
        found = self.diagnose()
        if found.word not in ("RIGHT", *["ROUNDING"] * allow_rounding):
            raise AssertionError(str(found))

    @property
    def rules(self) -> Algorithm:
        """What is known of the algorithm."""
        if self.algorithm not in ALGORITHMS:
            near = suggestion(str(self.algorithm), list(ALGORITHMS))
            raise ValueError(f"algorithm must be one of {', '.join(ALGORITHMS)}, got {self.algorithm!r}{near}")
        if self.optimiser is None:
            return ALGORITHMS[self.algorithm]
        if self.algorithm != "maml":
            raise ValueError(f"an optimiser is taken by the algorithm 'maml' alone, got {self.algorithm!r} and {self.optimiser}")
        return through_optimiser(self.optimiser)

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs of the algorithm beside θ and the losses."""
        every = {"alpha": self.alpha, "steps": self.steps, "strength": self.strength}
        given = {name: each for name, each in every.items() if each is not None}
        if set(given) != (wanted := set(self.rules.inputs) - {"theta"}):
            got = ", ".join(sorted(given)) or "none of them"
            raise ValueError(f"the algorithm {self.algorithm!r} takes {' and '.join(sorted(wanted))}, got {got}; leave others None")
        return given

    def function(self, **inputs: Any) -> Any:
        """Your gradient at θ, with those of the other inputs that it takes."""
        return self.gradient(inputs["theta"], **{name: x for name, x in inputs.items() if name in self.keywords})

    @property
    def keywords(self) -> tuple[str, ...]:
        """The inputs beside θ that your gradient takes as keywords."""
        if not callable(self.gradient):
            return ()
        try:
            parameters = inspect.signature(self.gradient).parameters
        except (TypeError, ValueError):
            return ()
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return tuple(name for name in self.rules.inputs if name != "theta" and (takes_all or name in parameters))


def diagnose(
    got: ArrayLike | Callable[[Array], ArrayLike], theta: ArrayLike, support: Task, query: Task | None = None, *, alpha: ArrayLike, steps: int,
    optimiser: Any = None, seconds: float = SECONDS,
) -> Diagnosis:  # fmt: skip
    """What a meta-gradient of your own computes: `got` is the array (N, d), or a function of theta that returns it.

    Eq: maml-gradient

    A function is asked at other theta, too, and what is named holds there as well.  An array is one answer, and fewer
    mistakes can be told apart by it.

    Parameters
    ----------
    got : (N, d) array, or function of theta (d,) that returns one
        One row per task, never reduced.
    theta : (d,) array
        Initialisation.
    support, query : tasks with `shape` (N,), `dim` d and `at(theta)`
        `query=None` is the support itself.  Of a point, `loss` (N,), `grad` (N, d) and `hvp(v)` (N, d) are used.
    alpha, steps, optimiser :
        As in `refmeta.adapt`.
    seconds : float
        Processor time that the search for what it computes instead may take; with less, fewer mistakes are named.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, for a `grad` or `hvp` that is no derivative, and where `got` is no result.
    """
    return diagnosis_of(Problem(theta, support, query, alpha, steps, got, optimiser=optimiser), "got", seconds=seconds)
