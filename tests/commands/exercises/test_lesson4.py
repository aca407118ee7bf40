"""Lesson 4: the solutions are right, and wrong answers get their hints; of 4c the oracle says which mistake it is."""

import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights


def maml(order="::-1", hessian="hessian_product(alphas[k] * g, X)", sign="-", at="theta"):
    """The backward recursion as a body: forwards, then backwards in this order."""
    return f"""for k in range(len(alphas)):
        theta = theta - alphas[k] * gradient(theta, X, y)
    g = gradient({at}, query_X, query_y)
    for k in list(range(len(alphas)))[{order}]:
        g = g {sign} {hessian}
    return g"""


def body(text, name="_solved"):
    """A hole stands after `return`; the text goes into a function of this name."""
    return f"{name}(theta, X, y, query_X, query_y, alphas)\n\n\ndef {name}(theta, X, y, query_X, query_y, alphas):\n    {text}"


RIGHT, REVERSED = body(maml()), body(maml(order=":"), "_broken")
SOLUTIONS = {
    "4a": ["1/7", "1", "3"],
    "4b": ["-(4/3)*(1 + 2/3*log2)", "(4/3)*(1 + 2/3*log2)"],
    "4c": [RIGHT, REVERSED],
}
WRONG = {
    "4a": [
        ({2: "2"}, "the curvatures a_i belong into the weights"),
        ({2: "1"}, "where first-order MAML comes to rest"),
        ({2: "5"}, "Set sum_i a_i(θ − c_i) to zero"),
        ({1: "3"}, "where joint training comes to rest"),
        ({1: "1/7"}, "where MAML, through both steps, comes to rest"),
        ({1: "2"}, "this is for one inner step"),
        ({1: "2/5"}, "need a factor a_i"),
        ({0: "1"}, "the derivative of φ_i in θ is missing"),
        ({0: "2/5"}, "There is one for each step"),
        ({0: "4/82"}, "L_i has one"),
        ({0: "3"}, "where joint training comes to rest"),
        ({0: "3.83"}, "one factor for each step"),
    ],
    "4b": [
        (["-4/3", "4/3"], "the Hessian is missing"),
        (["-4/3*(1 - 2/3*log2)", "4/3*(1 - 2/3*log2)"], "the sign of the Hessian term"),
        (["-4/3*(1 + 1/3*log2)", "4/3*(1 + 1/3*log2)"], "s s^T times s is 2s"),
        (["-4/3*17/9", "4/3*17/9"], "step size is missing"),
        (["-4/3*(1 + 2/3*np.log10(2))", "4/3*(1 + 2/3*np.log10(2))"], "base 10"),
        (["-4/3*5/3", "4/3*5/3"], "base 2"),
        (["-3/2*(1 + 2/3*log2)", "3/2*(1 + 2/3*log2)"], "the chapter's φ"),
        (["4/3*(1 + 2/3*log2)", "-4/3*(1 + 2/3*log2)"], "F is a loss"),
        (["-2", "2"], "grad F = (I − αH) grad L(φ)"),
    ],
    "4c": [
        ({0: "gradient(theta, query_X, query_y)"}, "gradient-at-start"),
        ({0: body(maml(sign="+"))}, "sign-flipped"),
        ({0: body(maml(order=":0"))}, "first-order"),
        ({0: body(maml(order=":"))}, "reversed-product"),
        ({0: body(maml(hessian="alphas[k] * hessian_product(g, X)"))}, "the oracle says WRONG"),
        ({0: "theta * np.nan"}, "NameError: name 'np' is not defined"),
        ({0: "theta[:1]"}, "`meta_gradient(…)` must be an array of shape (2,), got shape (1,)"),
        ({1: body(maml(), "_broken")}, "this is right. Break it"),
        ({1: body(maml(order=":0"), "_broken")}, "the oracle says another thing: EXACT match with known-wrong formula first-order"),
        ({1: "theta - theta"}, "no-gradient"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)
