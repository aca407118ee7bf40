"""MAML through an inner optimiser, on losses of one's own.  Derivation: derivations/inner-optimisers.md"""

from typing import Any

from refmeta.meta import inner_optimisers as inner
from refmeta.oracle.suite import choice_facts
from refmeta.oracle.suites import maml_optimisers
from refmeta.oracle.suites.maml_optimisers import choices
from refmeta.oracle.suites.maml_optimisers.problem import DECAY, LIBRARY, RENAMED, OptimiserProblem, library_optimiser
from refmeta.oracle.suites.maml_optimisers.rules import ADAM, MOMENTA, InnerRule
from refmeta.oracle.suites.own.algorithms import ALGORITHMS, Algorithm

__all__ = ["rule_of", "through_optimiser"]

NAMES = {kind: name for name, kind in LIBRARY.items()}
KINDS = {kind: name for name, kind in DECAY.items()}
EPSILONS = {"epsilon-outside": "adam", "epsilon-hat": "adam_epsilon_hat", "epsilon-inside": "adam_epsilon_root"}
DECAYS = {"decay-with-alpha": "decoupled", "decay-without-alpha": "decoupled_paper"}


def rule_of(optimiser: Any) -> InnerRule:
    """The words and numbers of a rule of `rm.inner`: a clip, a decay, and what they are around, each at most once."""
    found: dict[str, Any] = {}
    each: Any = inner.as_optimiser(optimiser)
    if isinstance(each, inner.ClippedByNorm):
        found, each = {"clip": float(each.max_norm)}, inner.as_optimiser(each.optimiser)
    if (kind := KINDS.get(type(each))) is not None:
        found, each = found | {"decay": kind, "weight_decay": float(each.weight)}, inner.as_optimiser(each.optimiser)
    if (name := NAMES.get(type(each))) is None:
        raise ValueError(f"optimiser must be a rule of refmeta.inner, perhaps inside one decay, inside one clip, got {optimiser!r}")
    found |= {RENAMED.get(field, field): float(value) for field, value in vars(each).items()}
    return InnerRule(name, **found)


def through_optimiser(optimiser: Any) -> Algorithm:
    """MAML through a rule of `rm.inner`: its formulas, what is known to be wrong, and what may be chosen otherwise."""
    rule, suite = rule_of(optimiser), maml_optimisers.SUITE

    def problem(theta: Any, support: Any, query: Any, alpha: Any, steps: int) -> OptimiserProblem:
        return OptimiserProblem(theta, support, query, alpha, steps, rule)

    rows = tuple(row for row in suite.rows if row.quantity in ("gradient", "sum", "mean"))
    facts = {"chapter": suite.chapter, "rows": rows, "effects": suite.effects, "letters": suite.letters, **choice_facts(choices)}
    compare_first = f"refmeta.adapt(theta, support, alpha=alpha, steps=steps, optimiser=refmeta.inner.{optimiser}).adapted, your phi"
    maml = ALGORITHMS["maml"]
    return maml._replace(problem=problem, facts=facts, compare_first=compare_first, meant={**maml.meant, **_meant(rule)})


def _meant(rule: InnerRule) -> dict[str, str]:
    """What to write in the problem for a convention of inner optimisers; nothing where the library has no such rule."""
    changes = {slug: {"optimiser": form} for slug, form in EPSILONS.items() if rule.optimiser in ADAM}
    changes |= {slug: {"decay": kind} for slug, kind in DECAYS.items() if rule.decay in DECAYS.values()}
    meant = {slug: f"optimiser=refmeta.inner.{library_optimiser(rule._replace(**change))}" for slug, change in changes.items()}
    if rule.optimiser in MOMENTA and rule.decay != "decoupled":  # there alpha multiplies the decay, too
        meant["momentum-as-mean"] = f"alpha=(1 - {rule.momentum:g}) * alpha"
    return meant
