"""`new`: every adapter compiles, says what its suite says, and is refused where there is none; NumPy's are right once filled."""

import ast
import re

import numpy as np
import pytest

import refmeta as rm
from refmeta.__main__ import main
from refmeta.commands import new
from refmeta.oracle.suites import SUITES
from tests.commands.conftest import printed, refused
from tests.oracle.right.batches import by_loops

HOLE = re.compile(r"^( *)(?:raise NotImplementedError|throw new Error)\((.*)\);?\n", re.M)
KINDS = ("numpy", "torch", "jax", "node", "torch-module", "jax-module")
ADAPTERS = [(suite, kind) for kind in KINDS for suite in new.offered(kind)]
UPPER_HALF = np.exp(1j * np.pi * (np.arange(8) + 0.5) / 8) / 8
CIRCLE = np.concatenate([UPPER_HALF, UPPER_HALF.conj()])


def grad(f, x):
    """The gradient at a real x, by a complex step; x may be a number, and f constant."""
    return rm.judges.complex_step(lambda y: f(y[()]) + 0j, np.asarray(x, float))


def slopes(f, x):
    """The derivative of f by each entry of x, on the last axis, as Cauchy's integrals on circles of 16 points; x may be complex."""
    return np.stack([np.mean([f(x + z * unit) / z for z in CIRCLE], axis=0) for unit in np.eye(len(x))], axis=-1)


def hvp(f, x, v):
    """The Hessian of f at a real x times v, both derivatives as Cauchy's integrals; f is real where x is."""
    scale = np.max(np.abs(v)) or 1.0
    return scale * np.mean([slopes(f, x + t * v / scale) / t for t in UPPER_HALF], axis=0).real


def maml(theta, support, query, alphas, product=None):
    """The objective, and its gradient by λ_k = λ_{k+1} − ∇²L(θ⁽ᵏ⁾) α λ_{k+1}; the Hessian products may be the library's."""
    path = [theta]
    for a in alphas:
        path.append(path[-1] - a * grad(support, path[-1]))
    slope = grad(query, path[-1])
    for phi, a in zip(path[-2::-1], alphas[::-1], strict=True):
        slope = slope - (product(phi, a * slope) if product else hvp(support, phi, a * slope))
    return query(path[-1]), slope


def expectations(theta, loss, log_policy, weight, to_go, alpha, episodes, steps, v):
    """Both objectives and three Hessians; the score term comes from the probabilities, which depend on θ."""

    def sampled(t, K):
        if K == 0:
            return loss(t)
        p, g = weight * np.exp(np.sum(log_policy(t), axis=1)), slopes(lambda u: np.sum(to_go * log_policy(u), axis=1), t)
        batches = np.stack([i.ravel() for i in np.indices((len(p),) * episodes)], axis=1)
        phi = t + alpha * np.mean(g[batches], axis=1)
        return np.sum(np.prod(p[batches], axis=1) * [sampled(u, K - 1) for u in phi])

    old = log_policy(theta)
    p = weight * np.exp(np.sum(old, axis=1))
    return {
        "formulation_exact": maml(theta, loss, loss, [alpha] * steps)[1],
        "naive_hessian": -hvp(lambda t: p @ np.sum(to_go * log_policy(t), axis=1), theta, v),
        "lvc_hessian": -hvp(lambda t: p @ np.sum(to_go * np.exp(log_policy(t) - old), axis=1), theta, v),
        "dice_hessian": hvp(loss, theta, v),
    } | ({"formulation_sampled": slopes(lambda t: sampled(t, steps), theta).real} if len(p) ** (episodes * steps) < 30 else {})


def leaf_gradients(f, leaves):
    """The gradient of a function of a dict in each of its entries."""
    return {name: grad(lambda x, name=name: f({**leaves, name: x}), leaf) for name, leaf in leaves.items()}


def learned(theta, support, query, alphas, log_marginal, prior):
    """The parts of adaptation on a learned model."""
    objective, slope = maml(theta, support, query, alphas)
    slopes = leaf_gradients(lambda x: log_marginal(tuple(x.values())), dict(enumerate(prior)))
    names = ("concentration_grad", "reward_mean_grad", "reward_variance_grad")
    return {"objective": objective, "gradient": slope} | dict(zip(names, slopes.values(), strict=True))


def implicit(theta, support, query, strength):
    """Both losses are quadratic: one Newton step, and a dense system."""
    A = np.eye(len(theta)) + np.stack([hvp(support, theta, unit) for unit in np.eye(len(theta))]) / strength
    phi = theta - np.linalg.solve(A, grad(support, theta)) / strength
    return np.linalg.solve(A, grad(query, phi))


def directions(rule):
    """What an optimiser makes of a gradient: a function of g that remembers, in complex numbers."""
    m, v, t, root = 0, 0, 0, np.sqrt

    def direction(g):
        nonlocal m, v, t
        name, b, b1, b2, e = (rule[key] for key in ("optimiser", "momentum", "beta1", "beta2", "epsilon"))
        if name == "gradient_descent":
            return g
        if b is not None:
            m = b * m + g
            return m if name == "heavy_ball" else g + b * m
        v = b2 * v + (1 - b2) * g**2
        if b1 is None:
            return g / (root(v) + e)
        t, m = t + 1, b1 * m + (1 - b1) * g
        one, two = 1 - b1**t, 1 - b2**t
        if name == "adam_epsilon_hat":
            return m * root(two) / one / (root(v) + e)
        return m / one / (root(v / two) + e if name == "adam" else root(v / two + e))

    return direction


def optimised(theta, support, query, alphas, rule, product):
    """The slope of the query's loss along every axis, forwards through every step; the Hessian products are the library's."""
    h, slopes, w = 1e-30, [], rule["weight_decay"]
    for axis in np.eye(len(theta)):
        phi, direction = theta + 1j * h * axis, directions(rule)
        for a in alphas:
            g = grad(support, phi.real) + 1j * h * product(phi.real, phi.imag / h)
            size = np.sqrt(g @ g)
            g = g * rule["clip"] / size if rule["clip"] is not None and size.real > rule["clip"] else g
            shrink = {"decoupled": a * w, "decoupled_paper": w}.get(rule["decay"], 0) * phi
            phi = phi - a * direction(g + (w if rule["decay"] == "coupled" else 0) * phi) - shrink
        slopes.append(grad(query, phi.real) @ phi.imag / h)
    return np.array(slopes)


def early(theta, support, query, strength, eta, terms, cg_steps, steps, kept):
    """Unrolled steps and a series, from gradients alone; conjugate gradients on a dense matrix."""
    H = np.eye(len(theta)) + np.stack([hvp(support, theta, unit) for unit in np.eye(len(theta))]) / strength
    phi = theta - np.linalg.solve(H, grad(support, theta)) / strength
    g, at = grad(query, phi), [theta]
    powers = [np.linalg.matrix_power(np.eye(len(theta)) - eta * H, j) for j in range(max(terms, kept))]
    for _ in range(steps):
        at.append(at[-1] - eta / strength * (grad(support, at[-1]) + strength * (at[-1] - theta)))
    x, r, p = 0 * g, g, g
    for _ in range(min(cg_steps, np.linalg.matrix_rank(np.stack([np.linalg.matrix_power(H, j) @ g for j in range(len(g))])))):
        length = (r @ r) / (p @ H @ p)
        x, r, old = x + length * p, r - length * H @ p, r
        p = r + (r @ r) / (old @ old) * p
    truncated = eta * sum(powers[:kept]) @ grad(query, at[-1])
    return {"neumann": eta * sum(powers[:terms]) @ g, "one_step": eta * g, "cg": x, "truncated": truncated}


def pearl(losses, at):
    """Each loss in what it trains; the encoder's is a dict."""
    slopes = {name: grad(losses[name], at[name]) for name in ("critic", "actor", "temperature")}
    return slopes | {"encoder": leaf_gradients(losses["encoder"], at["encoder"])}


def on_batches(theta, support, query, alphas, product):
    """Adapted parameters and meta-gradient, each inner step on a loss of its own; the Hessian products are the library's."""
    path = [theta]
    for loss, a in zip(support, alphas, strict=True):
        path.append(path[-1] - a * grad(loss, path[-1]))
    slope = grad(query, path[-1])
    for k in reversed(range(len(support))):
        slope = slope - product(k, path[k], alphas[k] * slope)
    return path[-1], slope


CODE = {
    "maml": "maml(theta, lambda x: loss(x, *support), lambda x: loss(x, *query), alphas, next(products))[1]",
    "maml-optimisers": "optimised(theta, lambda x: loss(x, *support), lambda x: loss(x, *query), alphas, rule, next(products))",
    "reptile": "theta + epsilon * np.mean(adapted - theta, axis=0)",
    "implicit": "implicit(theta, lambda x: loss(x, *support), lambda x: loss(x, *query), strength)",
    "implicit-early": "early(theta, lambda x: loss(x, *support), lambda x: loss(x, *query), strength, eta, terms, cg_steps, steps, kept)",
    "pearl": "pearl(losses, at)",
    "meta-lstm": "leaf_gradients(objective, weights)",
    "surrogates": "{'grad': grad(loss, theta)}",
    "returns": "by_loops(**locals())",
    "maml-sampled": "on_batches(theta, support, query, alphas, next(products))",
    "policy-gradient": "{'grad': grad(loss, theta), 'kl_grad': grad(kl, theta + v)}",
    "soft-return": "{'grad': grad(loss, theta)}",
    "episodic-return": "{'grad': grad(loss, theta)}",
    "model": "learned(theta, lambda x: loss(x, *support), lambda x: loss(x, *query), alphas, log_marginal, prior)",
    "expected-estimators": "expectations(theta, loss, log_policy, weight, to_go, alpha, episodes, steps, v)",
}
HELPERS = (by_loops, grad, hvp, maml, on_batches, expectations, leaf_gradients, learned, implicit, early, pearl, optimised)
CALL = re.compile(rf"\b({'|'.join(helper.__name__ for helper in HELPERS)})\(")


def filled(suite):
    """NumPy's adapter with an expression instead of the hole: gradients of its own losses, most of them by a complex step."""
    code = CALL.sub(r"their_\1(", CODE["maml" if SUITES[suite].chapter == "maml" else suite])
    text = HOLE.sub(lambda hole: f"{hole[1]}return {code}\n", new.adapter(suite, "numpy", "mine.py"))
    space = {f"their_{helper.__name__}": helper for helper in HELPERS}
    exec(compile(text, "mine.py", "exec"), space)

    def function(**inputs):
        space["products"] = products(suite, inputs)
        return space[SUITES[suite].array or "answer"](**inputs)

    return function


def products(suite, inputs):
    """The library's Hessian products of the support, task after task."""
    if SUITES[suite].chapter == "maml" or suite == "maml-optimisers":
        support = SUITES[suite].problem(inputs).support
        for i in range(support.shape[0]):
            yield lambda phi, v, i=i: support.at(phi).hvp(v)[i]
    if suite == "maml-sampled":
        problem = SUITES[suite].problem(inputs)
        for i in range(len(problem.baseline)):
            for name in ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice"):
                yield lambda k, phi, v, i=i, name=name: problem.surrogate(name, k).at(phi).hvp(v)[i]


@pytest.mark.parametrize("suite", SUITES)
def test_an_adapter_in_numpy_is_right_once_it_is_filled(suite):
    """At the limits of floats the numeric derivatives here lose digits: tests/peers asks those vectors."""
    outcomes = rm.oracle.check(filled(suite), suite, skip_flags=("extreme",), repeat=1)
    assert sum(o.got is not None for o in outcomes) > 7


def test_the_adapter_of_sampled_maml_answers_with_every_part():
    """The objective, too: a wrong adaptation shows in it without a gradient."""
    case = next(case for case in rm.oracle.cases("maml-sampled") if case.result == "valid")
    assert set(filled("maml-sampled")(**case.arguments())) == set(SUITES["maml-sampled"].parts)


@pytest.mark.parametrize("suite", SUITES)
def test_an_adapter_in_numpy_says_that_it_is_not_filled(suite):
    space = {}
    exec(compile(new.adapter(suite, "numpy", "mine.py"), "mine.py", "exec"), space)
    case = next(case for case in rm.oracle.cases(suite) if case.result == "valid")
    with pytest.raises(NotImplementedError, match="this adapter is not filled in: put your own code where this line stands"):
        space[SUITES[suite].array or "answer"](**case.arguments())


@pytest.mark.parametrize("suite", ["maml-regression", "pearl"])
def test_the_command_that_a_file_ends_with_can_be_typed(suite, capsys, monkeypatch, tmp_path):
    """It is not run until it is filled; a file is written once."""
    monkeypatch.chdir(tmp_path)
    assert printed(capsys, "new", suite, "--lang", "numpy", "--output", "mine.py") == ("", 0)
    text = (tmp_path / "mine.py").read_text(encoding="utf-8")
    assert text == new.adapter(suite, "numpy", "mine.py")
    (command,) = re.findall(r"^#   python -m refmeta (check .*)$", text, re.M)
    out, status = printed(capsys, *command.split())
    assert status == 5 and "NOT RUN" in out and "this adapter is not filled in" in out, out
    assert "'mine.py' exists, and nothing is overwritten" in refused(capsys, "new", suite, "--lang", "jax", "--output", "mine.py")
    assert (tmp_path / "mine.py").read_text(encoding="utf-8") == text


def test_what_is_printed_and_not_written_says_so(capsys):
    assert main(["new", "reptile", "--lang", "torch"]) == 0
    assert capsys.readouterr().err == "(no file is written; --output reptile.py writes one)\n"


@pytest.mark.parametrize(("suite", "kind"), ADAPTERS, ids=[f"{suite}-{kind}" for suite, kind in ADAPTERS])
def test_an_adapter_compiles_and_says_what_its_suite_says(suite, kind, capsys, columns):
    """Every input with its shape, one hole, nothing left to fill by us, and the same text on every terminal."""
    language, _, module = kind.partition("-")
    text, status = printed(capsys, "new", suite, "--lang", language, *["--module"] * bool(module))
    name = f"{suite.replace('-', '_')}.{new.LANGUAGES[language]}"
    about, words = SUITES[suite], re.sub(r"\s+(?://|#)\s+", " ", text)
    assert status == 0 and text == new.adapter(suite, kind, name)
    assert "<<" not in text and len(HOLE.findall(text)) == text.count("YOUR CODE: ") == 1
    assert max(map(len, text.splitlines())) <= 120
    assert all(f" {name} {entry.shape}" in words and entry.meaning in words for name, entry in about.inputs.items())
    assert all(f" {name} {entry.shape}: {entry.meaning}" in words for name, entry in about.parts.items() if about.array in ("", name))
    assert text.rstrip().splitlines()[-1].split("--suite ")[1].split()[0] == suite
    if language != "node":
        functions = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
        assert [arg.arg for arg in functions[about.array or "answer"].args.args] == list(about.inputs)
        compile(text, name, "exec")


def test_double_precision_is_switched_on():
    for suite in new.offered("jax"):
        assert 'jax.config.update("jax_enable_x64", True)' in new.adapter(suite, "jax", "mine.py")
    for suite in new.offered("torch"):
        assert "torch.set_default_dtype(torch.float64)" in new.adapter(suite, "torch", "mine.py")


def test_what_is_offered():
    """NumPy and JAX for every suite; the others where there is a loss in their language."""
    assert set(new.offered("numpy")) == set(new.offered("jax")) == set(SUITES)
    maml = {suite for suite in SUITES if SUITES[suite].chapter == "maml"}
    assert set(new.offered("torch-module")) == set(new.offered("jax-module")) == maml
    assert set(new.offered("torch")) == maml | {"maml-optimisers", "implicit", "reptile", "returns", "pearl", "meta-lstm", "episodic-return"}
    assert new.offered("numpy-module") == new.offered("node-module") == ()


def test_no_template_is_left_over(monkeypatch):
    """Every file in the folder is a part of some adapter."""
    read, template = set(), new._template
    monkeypatch.setattr(new, "_template", lambda piece, kind: read.add(f"{piece}.{kind}") or template(piece, kind))
    for suite, kind in ADAPTERS:
        new.adapter(suite, kind, "mine.py")
    assert {path.name for path in new.FOLDER.iterdir()} - read == {"index.json"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["maml-regresion", "--lang", "numpy"], "no suite is called 'maml-regresion' (did you mean 'maml-regression'?)"),
        (["pearl", "--lang", "rust"], "argument --lang: invalid choice: 'rust'"),
        (["pearl"], "the following arguments are required: --lang"),
        (["pearl", "--lang", "node"], "no adapter of pearl for --lang node, which is there for episodic-return, maml-tabular, "),
        (["pearl", "--lang", "node"], "; pearl has --lang torch, --lang jax, --lang numpy"),
        (["model", "--lang", "torch", "--module"], "; model has --lang jax, --lang numpy"),
        (["maml-lq", "--lang", "numpy", "--module"], "for --lang numpy --module, which is there for no suite; maml-lq has --lang torch, "),
        (["reptile", "--lang", "numpy", "--output", "mine.txt"], "--output must name a file that ends in .py, "),
        (["reptile", "--lang", "numpy", "--output", ".py"], "--output must name a file that ends in .py, "),
        (["reptile", "--lang", "numpy", "--output", "my.own.py"], "without another dot or a colon, got 'my.own.py'"),
        (["reptile", "--lang", "node", "--output", "mine.py"], "--output must name a file that ends in .mjs, "),
        (["reptile", "--lang", "torch", "--output", "torch.py"], "a file torch.py would hide the package torch"),
        (["reptile", "--lang", "numpy", "--output", "random.py"], "a file random.py would hide the package random"),
        (["reptile", "--lang", "numpy", "--output", "nowhere/mine.py"], "cannot write the adapter to 'nowhere/mine.py': "),
    ],
)
def test_what_is_refused(arguments, sentence, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert sentence in " ".join(refused(capsys, "new", *arguments).split())
    assert list(tmp_path.iterdir()) == []
