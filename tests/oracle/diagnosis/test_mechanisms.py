"""Every kind of explanation that the chapter lists is given for a mistake of its kind, in the words of the chapter."""

import re
from pathlib import Path

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.diagnosis import explain
from refmeta.oracle.diagnosis.additions import mixture_matches
from refmeta.oracle.diagnosis.counts import count_matches
from refmeta.oracle.diagnosis.fitted import fitted_matches
from refmeta.oracle.diagnosis.mechanisms import mechanisms
from refmeta.oracle.diagnosis.partial import partial_explanation
from refmeta.oracle.diagnosis.permutations import permutation_matches
from refmeta.oracle.diagnosis.product import pair_matches
from refmeta.oracle.diagnosis.standing import Evidence, with_tie
from refmeta.oracle.diagnosis.witnesses import Witnesses
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.match import Match
from refmeta.oracle.suites import SUITES
from tests.oracle.targets import library, valid

CHAPTER = (Path(__file__).parents[3] / "derivations" / "using-the-oracle.md").read_text("utf-8")
SETTINGS = JudgeSettings()
RIGHT = library("maml-regression")


def shown():
    """The rows of the chapter's table: kind, and the words of an example."""
    table = re.search(r"<!-- mechanisms -->\n(.*?)<!-- end of mechanisms -->", CHAPTER, re.S)[1]
    return dict(re.findall(r"^\| ([^|`]+?) \| `(.+?)` \|$", table, re.M))


def of_inputs(**changes):
    """The right gradient for inputs that are changed."""
    return lambda **x: RIGHT(**x | {name: change(x[name]) for name, change in changes.items()})


def of_result(change):
    """The right gradient, changed."""
    return lambda **x: change(RIGHT(**x), x)


def with_factors(factor, decay=0.0):
    """MAML's gradient with a factor before the Hessian of each step, and a ridge on the support."""

    def gradient(**x):
        p = SUITES["maml-regression"].problem(x)
        phi, path, alphas = np.broadcast_to(p.theta, (len(x["X"]), p.theta.size)), [], np.broadcast_to(p.alpha, (p.steps, p.theta.size))
        for a in alphas:
            path.append(p.support.at(phi))
            phi = phi - a * (path[-1].grad + decay * phi)
        row = p.query.at(phi).grad
        for k in reversed(range(p.steps)):
            row = row - factor(k) * (path[k].hvp(alphas[k] * row) + decay * alphas[k] * row)
        return row

    return gradient


def by_recipe(name):
    """A recipe of the surrogates, for REINFORCE's gradient alone."""
    about = SUITES["surrogates"]
    return lambda **x: {"reinforce_grad": about.variant("reinforce_grad", about.problem(x), about.recipes[name])}


def by_row(suite, slug, part):
    """A known-wrong formula, one part alone."""
    row = next(row for row in SUITES[suite].rows if row.slug == slug)
    return lambda **x: {part: row.function(SUITES[suite].problem(x))[part]}


def not_reset(**x):
    """Every task starts from the parameters of the one before."""
    rows, theta = [], x["theta"]
    for i in range(len(x["X"])):
        one = {name: x[name][i : i + 1] for name in ("X", "y", "query_X", "query_y")} | {"theta": theta, "alpha": x["alpha"], "steps": x["steps"]}
        rows.append(RIGHT(**one)[0])
        theta = rm.adapt(theta, rm.LinearRegression(one["X"], one["y"]), alpha=x["alpha"], steps=x["steps"]).adapted[0]
    return np.array(rows)


def mean_over_n_plus_epsilon(**x):
    """1/(n + 1e-8) for 1/n, in the support and in the query."""
    support, query = (n / (n + 1e-8) for n in (x["X"].shape[1], x["query_X"].shape[1]))
    return query * RIGHT(**x | {"alpha": support * np.asarray(x["alpha"])})


def halving(theta, adapted, epsilon):
    """Tasks weigh 1, ½, ¼, … from the last one back."""
    return theta + epsilon * np.tensordot(0.5 ** np.arange(len(adapted))[::-1], adapted - theta, axes=1)


def twice_as_many(**x):
    """First order after 2K steps."""
    alpha = np.asarray(x["alpha"])
    rows = {"alpha": np.concatenate([alpha, alpha]) if alpha.ndim == 2 else x["alpha"], "steps": 2 * x["steps"]}
    return library("maml-regression", "first_order")(**x | rows)


FIRST = library("maml-regression", "first_order")
MISTAKES = {
    "a known-wrong formula": FIRST,
    "a convention": lambda **x: 2 * RIGHT(**x | {"alpha": 2 * np.asarray(x["alpha"])}),
    "no mistake, but another estimate": by_row("surrogates", "whole-return", "reinforce_grad"),
    "another quantity": library("maml-regression", "adapted"),
    "a factor, by case": of_result(lambda g, x: g / len(g)),
    "a known-wrong formula, times a factor": lambda **x: FIRST(**x) / len(x["X"]),
    "rows in another order": of_result(lambda g, x: g[::-1]),
    "a detached inner step": with_factors(lambda k: k != 1),
    "coefficients of the product of MAML": with_factors(lambda k: 0.9),
    "one choice": not_reset,
    "a recipe of popular code": by_recipe("MAML-TRPO (learn2learn)"),
    "parameters in another layout": of_result(lambda g, x: g[:, ::-1]),
    "an input in single precision": of_inputs(y=lambda y: np.float32(y).astype(float)),
    "one number in every entry": of_result(lambda g, x: g + 1e-6),
    "a trace of a known formula": of_result(lambda g, x: g + 1e-6 * (RIGHT(**x | {"X": x["query_X"], "y": x["query_y"]}) - g)),
    "an ε": mean_over_n_plus_epsilon,
    "an added term": of_result(lambda g, x: g + 0.01 * x["theta"]),
    "float32": of_result(lambda g, x: np.float32(g)),
    "other weights of the tasks": halving,
    "a function of the result": of_result(lambda g, x: np.clip(g, -0.5, 0.5)),
    "a choice with a number in it": with_factors(lambda k: 1, decay=0.05),
}
SUITE_OF = {"no mistake, but another estimate": "surrogates", "a recipe of popular code": "surrogates", "other weights of the tasks": "reptile"}
LATE = {  # these stand at the end of the order, after seconds of search: the mechanism alone is asked here
    "entries in another order": (of_result(lambda g, x: g[:, [1, 2, 0, *range(3, g.shape[1])]] if g.shape[1] > 2 else g), permutation_matches),
    "several choices": (twice_as_many, pair_matches),
    "another whole number": (of_inputs(steps=lambda k: 3), count_matches),
    "an input, times a number": (of_inputs(alpha=lambda a: 1.3 * np.asarray(a)), fitted_matches),
    "two terms": (of_result(lambda g, x: 2 * g + 0.1 * x["theta"]), mixture_matches),
}
NAMES = (  # of the mechanisms, in the order of the table
    "row", "row", "row", "other quantity", "factor", "row times", "order", "detached step", "odd terms", "choice", "recipe", "layout",
    "rounded input", "offset", "trace", "trace", "addition", "single precision", "weights", "permutation", "function", "count", "family", "choices",
    "fitted inside", "mixture",
)  # fmt: skip


def outcomes_of(target, suite):
    return run(as_target(target), [case for case in valid(suite) if "extreme" not in case.flags], SETTINGS)


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_of_each_kind_is_explained_in_these_words(kind):
    target, suite = MISTAKES[kind], SUITE_OF.get(kind, "maml-regression")
    first, *_ = explain(outcomes_of(target, suite), SETTINGS, questions(as_target(target), SETTINGS))
    assert any(shown()[kind] in line for line in first.lines), first.lines
    assert first.name == NAMES[list(shown()).index(kind)]


@pytest.mark.parametrize("kind", LATE)
def test_what_is_tried_last_is_said_in_these_words(kind):
    target, find = LATE[kind]
    failing = [o for o in outcomes_of(target, "maml-regression") if o.verdict == "mismatch"]
    found = find(failing, SETTINGS)
    assert any(shown()[kind] in m.line for m in found), [m.line for m in found]


def test_the_table_lists_every_kind_in_the_order_in_which_they_are_tried():
    """The last eight are left out where every error is small."""
    assert set(shown()) == {*MISTAKES, *LATE} and len(shown()) == len(NAMES)
    failing = [o for o in outcomes_of(FIRST, "maml-regression") if o.verdict == "mismatch"]
    large, small = ([m.name for m in mechanisms([o._replace(digits=d) for o in failing], [], 0.0, 0.0)] for d in (0.0, 5.0))
    assert list(NAMES) == sorted(NAMES, key=large.index)
    assert [name for name in NAMES if name not in small] == list(NAMES[-8:])
    assert "at least four digits are right, the last eight kinds are left out" in " ".join(CHAPTER.split())


def test_some_of_the_vectors_are_explained_in_the_words_of_the_chapter():
    partly = of_result(lambda g, x: g / len(g) if np.ndim(x["alpha"]) == 0 else g[::-1] * (1 + x["steps"]))
    outcomes = run(as_target(partly), valid("maml-regression"), SETTINGS)
    failing, passing = ([o for o in outcomes if o.verdict == word] for word in ("mismatch", "pass"))
    found = partial_explanation(Evidence(failing, passing, SETTINGS, Witnesses(failing, None, "")))
    words = re.search(r'then begins "(.*?)"', " ".join(CHAPTER.split()))[1]
    assert re.match(words.replace("…", r"\d+"), found.lines[0]), found.lines


def test_of_a_tie_four_are_named():
    stands = [Match(str(i), f"formula {i}", lambda case, name: None) for i in range(6)]
    assert with_tie(stands) == ["a tie: 6 formulas give the same numbers on these vectors", *(f"formula {i}" for i in range(4))]
