"""A user's own estimator in `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

from typing import NamedTuple

from refmeta.arrays import Array
from refmeta.commands.bias.likeness import Likeness, compared, meta_recipe
from refmeta.commands.bias.recipes import recipes_at
from refmeta.oracle.results import CallError
from refmeta.oracle.serve import import_target
from refmeta.oracle.suites.expected_estimators.by_batch import BatchFunction, as_batch_function
from refmeta.oracle.suites.expected_estimators.every_batch import every_tuple
from refmeta.oracle.vectors import UsageError
from refmeta.sampling.enumeration import Expectation
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["HELP", "Yours", "read_yours", "your_moments"]

HELP = """\
A function of your own is called with the keywords that it asks for, out of:
  theta (d,); states, actions, rewards, mask (K, M, H): the batches of K inner
  steps; gamma; alpha; state_count; action_count; query, a function of your
  adapted parameters phi (d,) that gives the exact loss and its gradient (d,)
and returns its estimate (d,) of the meta-gradient of the loss -J:

  def estimate(theta, states, actions, rewards, mask, gamma, alpha, query):
      phi = theta
      for s, a, r, m in zip(states, actions, rewards, mask):
          phi = phi - alpha * my_gradient(phi, s, a, r, m, gamma)
      loss, gradient = query(phi)
      return ...  # your gradient by theta, through phi

The batches of a later step are drawn where yours went: at the phi at which it
asks the query if it is given the earlier steps alone. A function that does
not ask for the query gets one batch, arrays (M, H), and returns its estimate
of the gradient of -J: its own bias is shown, and that of first-order MAML
with it. With --vectorised, theta, phi, the arrays and the results have one
more leading axis, of n batches.
"""


class Yours(NamedTuple):
    """The row of a user's function: its name in the table, what it is, and the function."""

    name: str
    what: str
    function: BatchFunction


def read_yours(target: str, *, vectorised: bool) -> Yours:
    """The function MODULE:FUNCTION; UsageError if there is none, or none that can be called."""
    try:
        return Yours("yours", target, as_batch_function(import_target(target), vectorised=vectorised))
    except ValueError as error:
        raise UsageError(str(error)) from None
    except CallError as error:
        raise UsageError(f"{target}: {error}") from None


def your_moments(
    f: BatchFunction, task: PolicyReturn, theta: Array, *, steps: int, episodes: int, alpha: float
) -> tuple[Expectation, tuple[Likeness, ...]]:
    """The exact moments of a user's meta-gradient, and how near it is to each recipe."""
    chunks = every_tuple(f, theta, task, alpha=alpha, episodes=episodes, steps=steps)
    return compared(chunks, {e.name: meta_recipe(e, task, theta, alpha) for e in recipes_at(steps, episodes)})
