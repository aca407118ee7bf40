"""A problem of one's own in another process: a program that describes it and evaluates its losses.  Derivation: derivations/protocol.md"""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, as_count, as_real
from refmeta.numerics.returned import returned_array
from refmeta.oracle.check import Failed, printable
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.own import judged
from refmeta.oracle.process import LINE
from refmeta.oracle.protocol import NUMBER, Process, answer_in, answered_numbers, json_value
from refmeta.oracle.suite import Case
from refmeta.oracle.suites.own.algorithms import ALGORITHMS, DEFAULT, NAME, SUPPORT_ALONE
from refmeta.oracle.suites.own.problem import Problem
from refmeta.oracle.verdict import Finding
from refmeta.tasks.black_box import BlackBox

__all__ = ["Losses", "Value", "judged_program", "problem_of"]

KEPT, NUMBERS = 4096, 10**7  # answers that are kept, and numbers in them
LONGEST, SHOWN = 16 * LINE, 300  # bytes of a description; of a request that a sentence shows
SECONDS = 30.0  # that the search for what a program computes may wait for its losses
NO_VALUE = ("error", "skip")
REMEDY = "send the program this request by hand, after the line hello: derivations/protocol.md says what must come back"


class Value(NamedTuple):
    """What a program says of one loss at one θ: its value and gradient, or a Hessian product; None of what it left out."""

    loss: Array | None = None
    grad: Array | None = None
    hvp: Array | None = None


class Losses:
    """The losses of a program.  Loss and gradient at one θ are one request, and an answer is kept.

    requests : how many have been sent, those for the meta-gradient included.
    broken : why no loss is asked any more: the program crashed, was late, or did not keep to the protocol.
    waited, most : the seconds that losses have taken, and how many they may take.
    """

    def __init__(self, target: Process) -> None:
        self.target, self.requests, self.broken = target, 0, ""
        self.waited, self.most = 0.0, float("inf")
        self._values: dict[tuple[Any, ...], Value] = {}

    def send(self, question: dict[str, Any], wanted: str, longest: int) -> tuple[dict[str, Any], str]:
        """The answer to a question, and the question as the end of a sentence; `Failed` if there is none."""
        self.requests += 1
        question = {**question, "id": f"{question['type']}-{self.requests}"}
        asked = f"; the request was {printable(json.dumps(question), SHOWN)}"
        try:
            return self.target.ask(question, NAME, (wanted, *NO_VALUE), JudgeSettings(), longest=longest), asked
        except Failed as failure:
            raise Failed(failure.verdict, f"{failure}{asked}") from None

    def ask(self, question: dict[str, Any], wanted: str, read: Callable[[dict[str, Any]], Any], longest: int = LINE) -> Any:
        """What `read` finds in the answer.

        FloatingPointError if the program has no finite number there.  ValueError if it does not answer so at all: then
        it is asked for nothing more.
        """
        if self.broken or self.waited > self.most:
            raise ValueError(self.broken or "the time for losses is over")
        asked, start = "", time.monotonic()
        try:
            answer, asked = self.send(question, wanted, longest)
            if answer["type"] in NO_VALUE:
                raise FloatingPointError(f"answered {answer['type']}: {answer.get('message', answer.get('reason', ''))}")
            return read(answer)
        except FloatingPointError as error:
            raise FloatingPointError(f"{printable(str(error))}{asked}") from None
        except (Failed, TypeError, ValueError) as error:
            self.broken = f"{error}{asked}"
            raise ValueError(self.broken) from None
        finally:
            self.waited += time.monotonic() - start

    def value(self, theta: Array, task: int, split: str, v: Array | None = None) -> Value:
        """The loss of a task on a split at θ with its gradient, or its Hessian product along v."""
        if np.iscomplexobj(theta):
            raise TypeError("theta must be real: a program takes no complex numbers")
        key = (task, split, theta.tobytes(), None if v is None else v.tobytes())
        if key not in self._values:
            question = {"type": "evaluate", "theta": theta.tolist(), "task": task, "split": split} | ({} if v is None else {"v": v.tolist()})
            shapes: dict[str, tuple[int, ...]] = {"hvp": theta.shape} if v is not None else {"loss": (), "grad": theta.shape}
            value = self.ask(question, "value", lambda answer: _value_in(answer, shapes), LINE + NUMBER * theta.size)
            while self._values and len(self._values) >= min(KEPT, NUMBERS // theta.size):
                del self._values[next(iter(self._values))]
            self._values[key] = value
        return self._values[key]

    def grad(self, theta: Array, task: int, split: str) -> Array:
        """The gradient of a loss whose gradient was there at another θ."""
        if (grad := self.value(theta, task, split).grad) is None:
            self.broken = f'answered a value without "grad", which it gave elsewhere; theta was {printable(str(theta.tolist()), SHOWN)}'
            raise ValueError(self.broken)
        return grad

    def task(self, theta: Array, task: int, split: str, *, hvp: bool) -> BlackBox:
        """A loss as a task: with the gradient if there is one at θ, with Hessian products if they were announced."""
        has_grad = self.value(theta, task, split).grad is not None
        return BlackBox(
            lambda x: self.value(x, task, split).loss, theta.size,
            grad=(lambda x: self.grad(x, task, split)) if has_grad else None,
            hvp=(lambda x, v: self.value(x, task, split, v).hvp) if hvp else None,
        )  # fmt: skip


def _value_in(answer: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> Value:
    """The arrays of these shapes in a value; the first must be there."""
    first, found = next(iter(shapes)), [name for name in shapes if answer.get(name) is not None]
    if first not in found:
        raise ValueError(f'answered a value without "{first}"')
    return Value(**{name: returned_array(_floats(answer, name), f'answered a value whose "{name}"', shapes[name], "has") for name in found})


def _floats(answer: dict[str, Any], name: str) -> Any:
    """The numbers under a name; ValueError where something else stands there."""
    try:
        return answered_numbers(answer[name])
    except (TypeError, ValueError) as error:
        raise ValueError(f'answered a {answer["type"]} whose "{name}" has something else than numbers: {error}') from None


def problem_of(losses: Losses) -> Problem:
    """The problem that a program describes; its losses and its meta-gradient are asked of the program.

    ValueError, TypeError or FloatingPointError with a sentence if it describes none.
    """
    answer = losses.ask({"type": "describe"}, "problem", dict, LONGEST)
    if missing := [name for name in ("theta", "tasks") if name not in answer]:
        raise ValueError(f'answered a problem without "{missing[0]}"')
    theta = as_real(_floats(answer, "theta"), "theta")
    if theta.ndim != 1 or not theta.size:
        raise ValueError(f"answered a problem whose theta has shape {theta.shape}, expected (d,): a list of numbers")
    count, algorithm = as_count(answer["tasks"], "tasks", least=1, most=max(1, NUMBERS // theta.size)), str(answer.get("algorithm", DEFAULT))
    given = {name: _floats(answer, name) for name in ("alpha", "steps", "strength") if answer.get(name) is not None}
    tasks: Callable[[str], list[BlackBox]] = lambda split: [losses.task(theta, i, split, hvp=answer.get("hvp") is True) for i in range(count)]
    gradient = _gradient_of(losses, count)
    return Problem(
        theta, tasks("support"), None if algorithm in SUPPORT_ALONE else tasks("query"), given.get("alpha"), given.get("steps"),
        (lambda x: gradient(x, **given)) if answer.get("fixed") is True else gradient, algorithm, strength=given.get("strength"),
    )  # fmt: skip


def _gradient_of(losses: Losses, count: int) -> Callable[..., Any]:
    """The program's meta-gradient; it fails as the program does.

    When it is asked, the losses that a verdict needs are known: for others, which a search asks for, there is a limit.
    """

    def gradient(theta: Array, **inputs: Any) -> Any:
        losses.most = min(losses.most, losses.waited + SECONDS)
        question = {"type": "case", "suite": NAME, "quantity": "gradient", "inputs": json_value({"theta": theta, **inputs})}
        return answer_in(losses.send(question, "result", LINE + NUMBER * count * theta.size)[0]).value

    return gradient


def judged_program(target: Process) -> Finding:
    """The verdict on a program and its own problem; NOT RUN with a sentence if the problem cannot be had."""
    losses = Losses(target)
    try:
        verdict, _ = judged(problem_of(losses))
    except (TypeError, ValueError, ArithmeticError) as error:
        return _not_run(losses.broken or str(error))
    if losses.broken and verdict.word != "WRONG":
        return _not_run(losses.broken)
    warning = (f"what it computes was looked for without further losses: it {losses.broken}",) if losses.broken else ()
    first, *others = verdict.outcomes
    return verdict._replace(outcomes=(first._replace(warnings=(*first.warnings, *warning)), *others))


def _not_run(why: str) -> Finding:
    """No verdict, and why."""
    case = Case(NAME, ALGORITHMS[DEFAULT].suite(lambda inputs: None), "a problem of one's own", (), "valid", {}, {}, {})
    return Finding(NAME, "NOT RUN", "the program gave no problem, or no result, that can be judged", (Outcome(case, "error", why),), (REMEDY,))
