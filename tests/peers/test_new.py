"""`python -m refmeta new`: the adapters in PyTorch, JAX and Node, their hole filled by automatic differentiation, are right."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import refmeta as rm
from refmeta.commands.new import LANGUAGES, offered
from refmeta.oracle.suites import SUITES

ROOT = Path(__file__).parents[2]
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
HOLE = re.compile(r"^( *)(raise NotImplementedError|throw new Error)\(.*this adapter is not filled in: .*\n", re.M)
OPTIMISED = """
        def root(x):
            return xp.where(x == 0, 0.0, xp.where(x == 0, 1.0, x) ** 0.5)

        def objective(phi):
            name, b, b1, b2, e, c, w = (rule[key] for key in ("optimiser", "momentum", "beta1", "beta2", "epsilon", "clip", "weight_decay"))
            m, v = 0 * phi, 0 * phi
            for t, a in enumerate(alphas, start=1):
                g = slope(loss)(phi, *support)
                if c is not None:
                    size = root(g @ g)
                    g = g * xp.where(size > c, c / xp.where(size > c, size, 1.0), 1.0)
                g = g + w * phi if rule["decay"] == "coupled" else g
                if b is not None:
                    m = b * m + g
                    step = m if name == "heavy_ball" else g + b * m
                elif name == "gradient_descent":
                    step = g
                else:
                    v = b2 * v + (1 - b2) * g**2
                    m = g if b1 is None else b1 * m + (1 - b1) * g
                    one, two = (1, 1) if b1 is None else (1 - b1**t, 1 - b2**t)
                    under = {"adam": root(v / two) + e, "rmsprop": root(v) + e, "adam_epsilon_hat": (root(v) + e) / two**0.5}
                    step = m / one / (under[name] if name in under else (v / two + e) ** 0.5)
                phi = phi - a * step - {"decoupled": a * w, "decoupled_paper": w}.get(rule["decay"], 0.0) * phi
            return loss(phi, *query)

        return slope(objective)(theta)"""

PYTORCH = {
    "episodic-return": """
        return {"grad": torch.func.grad(loss)(theta), "hvp": torch.func.jvp(torch.func.grad(loss), (theta,), (v,))[1]}""",
    "maml-optimisers": OPTIMISED.replace("xp.", "torch.").replace("slope(", "torch.func.grad("),
    "maml": """
        def objective(phi):
            for a in alphas:
                phi = phi - a * torch.func.grad(loss)(phi, *support)
            return loss(phi, *query)

        return torch.func.grad(objective)(theta)""",
    "maml, module": """
        def objective(phi):
            for a in alphas:
                g = torch.func.grad(lambda p: functional_call(model, p, support))(phi)
                phi = {name: phi[name] - a[name] * g[name] for name in phi}
            return functional_call(model, phi, query)

        return torch.func.grad(objective)(dict(model.named_parameters()))""",
    "implicit": """
        unit, H = torch.eye(len(theta), dtype=theta.dtype), torch.func.hessian(loss)(theta, *support)
        phi = theta - torch.linalg.solve(H + strength * unit, torch.func.grad(loss)(theta, *support))
        return torch.linalg.solve(unit + H / strength, torch.func.grad(loss)(phi, *query))""",
    "reptile": """
        return theta + epsilon * torch.mean(adapted - theta, dim=0)""",
    "pearl": """
        return {name: torch.func.grad(loss)(at[name]) for name, loss in losses.items()}""",
    "meta-lstm": """
        return torch.func.grad(objective)(weights)""",
    "returns": """
        after = torch.where(kept & (terminated == 0), next_values, 0.0)
        delta = torch.where(kept, rewards + gamma * after - values, 0.0)
        advantages, running = [], torch.zeros(len(rewards))
        for d, over in zip(reversed(delta.unbind(1)), reversed(end.unbind(1))):
            running = d + gamma * lam * torch.where(over, 0.0, running)
            advantages.insert(0, running)
        gae = torch.where(kept, torch.stack(advantages, dim=1), 0.0)
        return {"gae": gae, "lambda_return": torch.where(kept, gae + values, 0.0)}""",
}
JAX = {
    "maml-optimisers": OPTIMISED.replace("xp.", "jnp.").replace("slope(", "jax.grad("),
    "implicit-early": """
        unit, H = jnp.eye(len(theta)), jax.hessian(loss)(theta, *support)
        phi, M = theta - jnp.linalg.solve(H + strength * unit, jax.grad(loss)(theta, *support)), unit + H / strength
        g = jax.grad(loss)(phi, *query)
        series = eta * g
        for _ in range(terms - 1):
            series = series + eta * (g - M @ series)
        x, r, p = 0 * g, g, g
        for _ in range(cg_steps):
            if r @ r > 1e-28 * (g @ g):
                size = (r @ r) / (p @ M @ p)
                x, r, old = x + size * p, r - size * M @ p, r
                p = r + (r @ r) / (old @ old) * p

        def moved(at, start, count):
            for _ in range(count):
                at = at - eta / strength * (jax.grad(loss)(at, *support) + strength * (at - start))
            return at

        held = moved(theta, theta, steps - kept)
        truncated = jax.grad(lambda start: loss(moved(held, start, kept), *query))(theta)
        return {"neumann": series, "one_step": eta * g, "cg": x, "truncated": truncated}""",
    "maml": """
        def objective(phi):
            for a in alphas:
                phi = phi - a * jax.grad(loss)(phi, *support)
            return loss(phi, *query)

        return jax.grad(objective)(theta)""",
    "maml, module": """
        def objective(phi):
            for a in alphas:
                g = jax.grad(loss_of)(phi, *support)
                phi = jax.tree_util.tree_map(lambda x, rate, slope: x - rate * slope, phi, a, g)
            return loss_of(phi, *query)

        return jax.grad(objective)(params)""",
    "implicit": """
        unit, H = jnp.eye(len(theta)), jax.hessian(loss)(theta, *support)
        phi = theta - jnp.linalg.solve(H + strength * unit, jax.grad(loss)(theta, *support))
        return jnp.linalg.solve(unit + H / strength, jax.grad(loss)(phi, *query))""",
    "reptile": """
        return theta + epsilon * jnp.mean(adapted - theta, axis=0)""",
    "pearl": """
        return {name: jax.grad(loss)(at[name]) for name, loss in losses.items()}""",
    "meta-lstm": """
        return jax.jit(jax.grad(objective))(weights)""",
    "returns": """
        after = jnp.where(kept & (terminated == 0), next_values, 0.0)
        delta = jnp.where(kept, rewards + gamma * after - values, 0.0)
        advantages, running = [], jnp.zeros(len(rewards))
        for t in reversed(range(delta.shape[1])):
            running = delta[:, t] + gamma * lam * jnp.where(end[:, t], 0.0, running)
            advantages.insert(0, running)
        return {"gae": jnp.where(kept, jnp.stack(advantages, axis=1), 0.0)}""",
    "surrogates": """
        return {"grad": jax.grad(loss)(theta), "hvp": jax.jvp(jax.grad(loss), (theta,), (v,))[1]}""",
    "maml-sampled": """
        def adapted(phi):
            for step, a in zip(support, alphas):
                phi = phi - a * jax.grad(step)(phi)
            return phi

        return adapted(theta), jax.grad(lambda t: query(adapted(t)))(theta)""",
    "model": """
        def objective(p):
            for a in alphas:
                p = p - a * jax.grad(loss)(p, *support)
            return loss(p, *query)

        names = ("concentration_grad", "reward_mean_grad", "reward_variance_grad")
        slopes = dict(zip(names, jax.grad(log_marginal)(prior)))
        return {"objective": objective(theta), "gradient": jax.grad(objective)(theta), **slopes}""",
    "policy-gradient": """
        def product(f, x):
            return jax.jvp(jax.grad(f), (x,), (v,))[1]

        grad, F = jax.grad(loss)(theta), jax.hessian(kl)(theta)
        parts = {"grad": grad, "hvp": product(loss, theta), "fisher": F @ v, "kl_hvp": product(kl, theta + v)}
        natural = jnp.linalg.pinv(F, rtol=1e-11, hermitian=True) @ -grad
        return parts | {"natural_gradient": natural, "kl_grad": jax.grad(kl)(theta + v)}""",
    "episodic-return": """
        return {"grad": jax.grad(loss)(theta), "hvp": jax.jvp(jax.grad(loss), (theta,), (v,))[1]}""",
    "soft-return": """
        return {"grad": jax.grad(loss)(theta), "hvp": jax.jvp(jax.grad(loss), (theta,), (v,))[1]}""",
    "expected-estimators": """
        def exact(t):
            for _ in range(steps):
                t = t - alpha * jax.grad(loss)(t)
            return loss(t)

        def mean(t, K):
            if K == 0:
                return loss(t)
            p = weight * jnp.exp(jnp.sum(log_policy(t), axis=1))
            g = jax.jacrev(lambda u: jnp.sum(to_go * log_policy(u), axis=1))(t)
            batches = jnp.stack([i.ravel() for i in jnp.indices((len(p),) * episodes)], axis=1)
            phi = t + alpha * jnp.mean(g[batches], axis=1)
            return jnp.sum(jnp.prod(p[batches], axis=1) * jax.vmap(lambda u: mean(u, K - 1))(phi))

        def product(f):
            return jax.jvp(jax.grad(f), (theta,), (v,))[1]

        p, old = weight * jnp.exp(jnp.sum(log_policy(theta), axis=1)), log_policy(theta)
        return {
            "formulation_exact": jax.grad(exact)(theta), "formulation_sampled": jax.grad(mean)(theta, steps),
            "naive_hessian": -product(lambda t: p @ jnp.sum(to_go * log_policy(t), axis=1)),
            "lvc_hessian": -product(lambda t: p @ jnp.sum(to_go * jnp.exp(log_policy(t) - old), axis=1)),
            "dice_hessian": product(loss),
        }""",
}


def filled(text, code):
    """The adapter with this code instead of the hole."""
    (indent, _), = HOLE.findall(text)
    return HOLE.sub(lambda _: re.sub(r"^ {8}", indent, code.strip("\n") + "\n", flags=re.M), text)


def new(folder, suite, *options):
    """Write an adapter; the file."""
    file = folder / f"adapter.{LANGUAGES[options[1]]}"
    command = [sys.executable, "-m", "refmeta", "new", suite, *options, "--output", file.name]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    return file


def judged(file, *options):
    """Type the command that the file ends with: the exit status and the report."""
    (command,) = re.findall(r"^(?:#|//)   python -m refmeta (check .*)$", file.read_text(encoding="utf-8"), re.M)
    ran = subprocess.run(
        [sys.executable, "-m", "refmeta", *shlex.split(command), *options, "--timeout", "120"],
        cwd=file.parent, env={**os.environ, **QUICK, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "COLUMNS": "1000"},
        capture_output=True, encoding="utf-8", timeout=900,
    )  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr


def fill_and_judge(file, code, *options):
    """An adapter is not run until it is filled, and then it is right."""
    text, suite = file.read_text(encoding="utf-8"), re.search(r"--suite (\S+)", file.read_text(encoding="utf-8"))[1]
    status, report = judged(file, "--case", f"{suite}-001")
    assert status == 5 and "NOT RUN" in report and "this adapter is not filled in: put your own code" in report, report
    file.write_text(filled(text, code), encoding="utf-8")
    status, report = judged(file, *options)
    assert status == 0 and "\nRIGHT: " in report, report


def of(codes, suite, module=False):
    """What fills the hole: the six suites of MAML have one algorithm."""
    return codes[("maml" if SUITES[suite].chapter == "maml" else suite) + ", module" * module]


def named(language):
    """The suites of a language with and without --module, as parameters of a test."""
    kinds = ((suite, module) for module in (False, True) for suite in offered(f"{language}{'-module' * module}"))
    return [pytest.param(suite, module, id=f"{suite}{'-module' * module}") for suite, module in kinds]


def few(suite, most=6):
    """The first valid cases: XLA compiles each anew; REFMETA_ALL_CASES=1 asks all."""
    valid = [case.id for case in rm.oracle.cases(suite) if case.result == "valid"]
    return [] if os.environ.get("REFMETA_ALL_CASES") else [word for name in valid[:most] for word in ("--case", name)]


@pytest.mark.parametrize(("suite", "module"), named("torch"))
def test_an_adapter_in_pytorch(suite, module, tmp_path):
    pytest.importorskip("torch")
    fill_and_judge(new(tmp_path, suite, "--lang", "torch", *["--module"] * module), of(PYTORCH, suite, module))


@pytest.mark.parametrize(("suite", "module"), named("jax"))
def test_an_adapter_in_jax(suite, module, tmp_path):
    pytest.importorskip("jax")
    fill_and_judge(new(tmp_path, suite, "--lang", "jax", *["--module"] * module), of(JAX, suite, module), *few(suite))


DUALS = (ROOT / "tests" / "peers" / "duals.mjs").read_text(encoding="utf-8")
DUALS = DUALS[DUALS.index("let levels") : DUALS.index("const data = ")].replace(
    "softmax(theta.slice(s * A, (s + 1) * A))", "softmax(logits(s))"
).replace(
    '"maml-tabular": ({ P, R, rho }, { gamma, horizon }) => (theta) => {',
    """"maml-tabular": ({ P, R, rho }, { gamma, horizon, features }) => (theta) => {
    const logits = (s) => features ? features[s].map((x) => dot(x, theta)) : theta.slice(s * A, (s + 1) * A);""",
)
REGRESSION = """
        const squared = ({ X, y }) => (theta) => {
          const each = X.map((x, j) => sub(dot(x, theta), y[j]));
          return mul(0.5 / X.length, dot(each, each));
        };"""
LOSSES = {
    "maml-regression": "([X, y]) => squared({ X, y })",
    "maml-quadratic": '([A, c]) => losses["maml-quadratic"]({ A, c })',
    "maml-classification": '([X, labels, classes, ridge]) => losses["maml-classification"]({ X, labels }, { classes, ridge })',
    "maml-tabular": '([P, R, rho, ...rest]) => returns(P, R, rho, ...rest)',
    "maml-linear-features": '([P, R, rho, ...rest]) => returns(P, R, rho, ...rest)',
    "implicit": '([A, c, X, y]) => (A ? losses["maml-quadratic"]({ A, c }) : squared({ X, y }))',
}
RETURNS = """
        const returns = (P, R, rho, gamma, horizon, features) =>
          losses["maml-tabular"]({ P, R, rho }, { gamma, horizon, features });"""
# Where gamma is nearly 1, rounding is multiplied by some thousand.
AGREE = """
        for (const data of [support, query]) {
          const [own, dual] = [loss(theta, ...data), lossOf(data)(theta)];
          if (!(Math.abs(own - dual) <= 1e-11 * (1 + Math.abs(dual)))) throw new Error(`the loss is ${own}, not ${dual}`);
        }"""
NODE = {
    "maml": """
        return grad((phi) => {
          for (const row of alphas) {
            const g = grad(lossOf(support), phi);
            phi = phi.map((x, j) => sub(x, mul(row[j], g[j])));
          }
          return lossOf(query)(phi);
        }, theta);""",
    "implicit": """
        const H = theta.map((_, j) => grad((t) => grad(lossOf(support), t)[j], theta));
        const A = H.map((row, i) => row.map((x, j) => x / strength + (i === j)));
        const shift = solve(A, grad(lossOf(support), theta));
        return solve(A, grad(lossOf(query), theta.map((t, j) => t - shift[j] / strength)));""",
}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize("suite", offered("node"))
def test_an_adapter_in_javascript(suite, tmp_path):
    """By dual numbers; the loss of the adapter is held against theirs."""
    if suite == "returns":
        code = """
        const gae = rewards.map((row) => row.map(() => 0));
        for (const [n, row] of rewards.entries())
          for (let t = row.length - 1; t >= 0; t--)
            if (mask[n][t]) {
              const after = terminated[n][t] ? 0 : next_values[n][t];
              gae[n][t] = row[t] + gamma * after - values[n][t] + (end[n][t] ? 0 : gamma * lam * gae[n][t + 1]);
            }
        return { gae };"""
    elif suite == "episodic-return":
        code = f"{DUALS}{RETURNS}\n        return {{ grad: grad(returns(P, R, rho, gamma, horizon, features), theta) }};"
    elif suite == "reptile":
        code = """
        const mean = (j) => adapted.reduce((sum, row) => sum + row[j], 0) / adapted.length;
        return theta.map((t, j) => t + epsilon * (mean(j) - t));"""
    else:
        code = f"{DUALS}{REGRESSION}{RETURNS}\n        const lossOf = {LOSSES[suite]};{AGREE}{of(NODE, suite)}"
    fill_and_judge(new(tmp_path, suite, "--lang", "node"), code)


def test_the_loss_of_an_adapter_in_javascript_is_held_against_another(tmp_path):
    """Wrong by a factor, it is noticed."""
    if shutil.which("node") is None:
        pytest.skip("needs Node")
    file = new(tmp_path, "maml-quadratic", "--lang", "node")
    code = f"{DUALS}{REGRESSION}{RETURNS}\n        const lossOf = {LOSSES['maml-quadratic']};{AGREE}{NODE['maml']}"
    text = filled(file.read_text(encoding="utf-8"), code)
    file.write_text(text.replace("dot(row, x))) / 2;", "dot(row, x)));"), encoding="utf-8")
    status, report = judged(file)
    assert status == 5 and "the loss is " in report, report
