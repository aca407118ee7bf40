"""Exercise 4c: the solutions are right, and of wrong answers it is said which mistake it is, by the oracle where it knows it."""

import pytest

from refmeta.commands.exercises import lesson4c
from tests.commands.exercises.filled import check_hint, check_right, grade, hints, rights


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
SOLUTIONS = {"4c": [RIGHT, REVERSED]}
WRONG = {
    "4c": [
        ({0: "gradient(theta, query_X, query_y)"}, "gradient-at-start"),
        ({0: body(maml(sign="+"))}, "sign-flipped"),
        ({0: body(maml(order=":0"))}, "first-order"),
        ({0: body(maml(order=":"))}, "reversed-product"),
        ({0: body(maml(order=":0"))}, "It recognises the mistake `first-order`"),
        ({0: body(maml(hessian="alphas[k] * hessian_product(g, X)"))}, "to the right of the Hessian"),
        ({0: body(maml(hessian="hessian_product(alphas[k] * g, query_X)"))}, "this takes the query data"),
        ({0: body("first = 0\n    " + maml().replace("k] * gradient", "0] * gradient"))}, "alphas[0] in every step forwards"),
        ({0: body(maml(hessian="hessian_product(alphas[0] * g, X)"))}, "alphas[0] in every step backwards"),
        ({0: body(maml().replace("alphas[k]", "alphas[0]"))}, "This takes alphas[0] in every step."),
        ({0: body(maml().replace("alphas[k] * gradient", "alphas[-1 - k] * gradient"))}, "opposite order forwards"),
        ({0: body("start = theta\n    " + maml(at="start"))}, "it belongs at the end"),
        ({0: body(maml().replace("theta - alphas", "theta + alphas"))}, "the steps go up"),
        ({0: body(maml().replace("return g", "return -g"))}, "the sign of the whole result"),
        ({0: body(maml(hessian="hessian_product(g, X)"))}, "alpha-missing"),
        ({0: body(maml(order="-1:"))}, "last-step-only"),
        ({0: body(maml().replace("return g", "return g / len(g)"))}, "mean-over-dimensions"),
        ({0: body(maml().replace("return g", "g.sum()"))}, "is there a `return`?"),
        ({0: "theta * np.nan"}, "`meta_gradient(…)` is not finite"),
        ({0: "theta * missing"}, "NameError: name 'missing' is not defined"),
        ({0: "theta[:1]"}, "`meta_gradient(…)` must be an array of shape (2,), got shape (1,)"),
        ({1: body(maml(), "_broken")}, "this is right. Break it"),
        ({1: body(maml(order=":0"), "_broken")}, "another mistake. It recognises the mistake `first-order`"),
        ({1: body(maml().replace("return g", "return -g"), "_broken")}, "this is another mistake: the sign of the whole result"),
        ({1: body(maml(order=":", hessian="alphas[k] * hessian_product(g, X)"), "_broken")}, "the loop backwards begins with step 0, and alphas[k]"),
        ({1: body(maml().replace("return g", "return g + theta"), "_broken")}, "Only the order of the steps in the loop backwards differs"),
        ({0: body(maml().replace("return g", "return g + theta"))}, "Compare each line with the recursion"),
        ({1: body(maml().replace("alphas[k]", "alphas[-1 - k]"), "_broken")}, "opposite order in both loops"),
        ({1: "theta - theta"}, "no-gradient"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)


def test_the_reversed_product_is_right_even_if_the_search_finds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson4c, "_slugs", lambda verdict: [])
    right, sentence = grade(tmp_path, "4c", SOLUTIONS["4c"])
    assert right, sentence
    right, sentence = grade(tmp_path, "4c", [RIGHT, body(maml(order=":0"), "_broken")])
    assert not right and "none of the mistakes" in sentence
