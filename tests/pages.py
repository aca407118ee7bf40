"""What stands between two comments of a page is rendered here: the table of the suites, and the list of public names.

`make pages` writes both; tests/test_pages.py compares.
"""

import functools
import inspect
import re
import textwrap
from pathlib import Path
from typing import get_origin

import refmeta as rm
from refmeta.oracle.suites import SUITES

CHAPTERS = Path(__file__).parents[1] / "derivations"
GENERATED = re.compile(r"(?<=<!-- generated: `make pages` -->\n).*?(?=<!-- end -->\n)", re.S)
GROUPS = {
    "Tasks": "Quadratic LinearRegression SoftmaxRegression BlackBox FiniteMDP PolicyReturn LinearQuadratic PolicyCost Task Point",
    "Policies": "TabularSoftmax LinearSoftmax LinearGaussian",
    "Values and geometry": "optimal_values Optimum soft_values SoftOptimum PolicyKL fisher",
    "Adaptation and MAML": "adapt Adaptation maml",
    "Optimisers of the inner loop": "inner",
    "Reptile": "reptile",
    "Implicit and zeroth-order meta-gradients": "implicit zeroth_order",
    "Trajectories and estimators": "rollout Trajectories likelihood returns targets values estimators enumeration",
    "Surrogates and steps in a trust region": "surrogates kl SampledKL trpo_step TrustRegionStep",
    "Sampled meta-gradients": "sampled many_episodes sampled_maml",
    "Meta-LSTM": "meta_lstm",
    "PEARL": "pearl",
    "Learned models": "model_based",
    "The best that can be done": "bayes_adaptive sensitivity",
    "Training on a task distribution": "meta_train Trained Iteration MAML FirstOrderMAML MetaSGD Reptile ImplicitMAML ESMAML SampledMAML "
    "MetaLSTM IndependentMetaLSTM SGD Adam",
    "Families of tasks": "Sinusoids RadialSinusoids RandomMDPs GoalGridworlds Navigation Split",
    "Judges": "judges",
    "The oracle": "oracle",
}


def escaped(text):
    """Plain text as Markdown of a table's cell; what stands in backticks stays code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_<~$])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts).replace("|", r"\|")


def table(heads, rows):
    """A table of Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, ["---"] * len(heads), *rows))


def suites():
    """One entry per suite: its name and what it judges."""
    entries = (f"`{name}`: {escaped(of.title)}" for name, of in SUITES.items())
    return "".join(textwrap.fill(entry, 80, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False) + "\n" for entry in entries)


def names():
    """Every public name, group after group: how it is called, what it is, its labels."""
    return "\n".join(f"## {group}\n\n{group_table(shown.split())}" for group, shown in GROUPS.items())


def group_table(shown):
    """The names of a group; the members of a module stand at its place."""
    rows = []
    for name in shown:
        thing = getattr(rm, name)
        rows.append((f"`{name}{signature(thing)}`", summary(name, thing), labels(thing)))
        if inspect.ismodule(thing):
            members = [(f"{name}.{member}", getattr(thing, member)) for member in public(thing)]
            rows += [(f"`{path}{signature(of)}`", summary(path, of), labels(of)) for path, of in members]
    return table(("name", "what it is", "label"), rows)


def public(module):
    """The public names of a module in their order, without those that the package itself shows."""
    every = getattr(module, "__all__", None) or [
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "") == module.__name__ and getattr(thing, "__name__", "_") == name.lstrip("_")
    ]
    return [name for name in vars(module) if name in every and getattr(rm, name, None) is not getattr(module, name)]


def signature(thing):
    """How a function or class is called, without types; nothing of what is not called, a protocol and an exception."""
    exception = isinstance(thing, type) and issubclass(thing, Exception)
    if not callable(thing) or get_origin(thing) or exception or getattr(thing, "_is_protocol", False):
        return ""
    parameters = inspect.signature(thing).parameters.values()
    bare = inspect.Signature([parameter.replace(annotation=parameter.empty) for parameter in parameters])
    return re.sub(r"<function (\w+) at \w+>", r"\1", str(bare))


def summary(name, thing):
    """The first sentence of a docstring; of a constant, what it holds; a type for annotations has neither."""
    if get_origin(thing):
        return "A type, for annotations."
    if not callable(thing) and not inspect.ismodule(thing):
        return ", ".join(f"`{key}`" for key in (thing if isinstance(thing, (tuple, dict)) else [thing]))
    doc = thing.__doc__ or ""
    assert doc.strip() and not doc.startswith(f"{name.split('.')[-1]}("), f"{name} has no docstring"
    return escaped(re.split(r"(?<=\.)\s\s|\n\s*\n", doc.strip())[0].replace("\n", " "))


def labels(thing):
    """The labels of the `Eq:` lines, of a class those of its methods, too; each with a link to its chapter."""
    members = [member for _, member in inspect.getmembers(thing)] if isinstance(thing, type) else []
    text = "\n".join(getattr(of, "__doc__", None) or "" for of in (thing, *members))
    every = dict.fromkeys(re.findall(r"^\s*Eq: ([a-z0-9-]+)$", text, re.M))
    return ", ".join(f"[{label}]({chapter_of()[label]})" for label in every)


@functools.cache
def chapter_of():
    """The chapter in which a label is derived."""
    tags = {path.name: re.findall(r"\\tag\{([a-z0-9-]+)\}", path.read_text("utf-8")) for path in CHAPTERS.glob("*.md")}
    return {label: name for name, every in tags.items() for label in every}


PAGES = {CHAPTERS / "using-the-oracle.md": suites, CHAPTERS / "names.md": names}


def renewed(path):
    """The page with what is rendered for it."""
    text, count = GENERATED.subn(lambda _: "\n" + PAGES[path]() + "\n", path.read_text("utf-8"))
    assert count == 1, f"{path.name} has no place for what is generated"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(renewed(page), encoding="utf-8")
