"""`python -m refmeta new`: an adapter that runs as it is, with a hole for your own meta-gradient.

Derivation: derivations/using-the-oracle.md
"""

import json
import keyword
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from refmeta.commands.arguments import as_suites
from refmeta.oracle.suite import Input, Part, Suite
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import UsageError

__all__ = ["LANGUAGES", "adapter", "add", "offered"]

FOLDER = files("refmeta.commands") / "templates"
LANGUAGES = {"torch": "py", "jax": "py", "numpy": "py", "node": "mjs"}
PACKAGES = {"refmeta", "numpy", "scipy", "torch", "jax"}
COLUMNS = 100


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("new", help="an adapter of a suite, to fill in: the inputs, the loss, and a hole")
    command.add_argument("suite", metavar="SUITE", help="as maml-regression; `list` lists all suites")
    command.add_argument("--lang", choices=LANGUAGES, required=True, help="the language, or the library in Python")
    command.add_argument(
        "--module", action="store_true", help="the parameters as those of an nn.Module (torch), or as a pytree (jax)"
    )
    command.add_argument("--output", metavar="FILE", help="write it there, instead of printing it; no file is overwritten")
    command.set_defaults(run=_new)


def _new(options: Any) -> int:
    """`new`: print the adapter, or write it to a new file."""
    as_suites([options.suite])
    kind = _kind(options.lang, options.module)
    _check_offered(options.suite, kind)
    ending = LANGUAGES[options.lang]
    if options.output is None:
        name = f"{options.suite.replace('-', '_')}.{ending}"
        print(adapter(options.suite, kind, name), end="")
        print(f"(no file is written; --output {name} writes one)", file=sys.stderr)
        return 0
    _check_name(options.output, ending)
    text = adapter(options.suite, kind, PurePath(options.output).name)
    try:
        with open(options.output, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{options.output!r} exists, and nothing is overwritten; name a new file, or remove it") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write the adapter to {options.output!r}: {error}") from None
    return 0


def _kind(language: str, module: bool) -> str:
    """The kind of the templates: the language, with `-module` where the parameters keep their structure."""
    return f"{language}-module" if module else language


def offered(kind: str) -> tuple[str, ...]:
    """The suites that have templates of this kind."""
    return tuple(suite for suite, pieces in _index().items() if all(_template(piece, kind) is not None for piece in pieces))


def _check_offered(suite: str, kind: str) -> None:
    """Refuse a suite without templates of this kind; the message says which suites have them, and what else this one has."""
    if suite in offered(kind):
        return
    language, _, module = kind.partition("-")
    option = f"--lang {language}" + " --module" * bool(module)
    kinds = [_kind(other, structured) for structured in (False, True) for other in LANGUAGES]
    others = [f"--lang {other.replace('-', ' --')}" for other in kinds if suite in offered(other)]
    suites = ", ".join(offered(kind)) or "no suite"
    raise UsageError(f"there is no adapter of {suite} for {option}, which is there for {suites}; {suite} has {', '.join(others)}")


def _check_name(path: str, ending: str) -> None:
    """Refuse a file that could not be imported by its name."""
    name = PurePath(path).name
    stem = name.removesuffix(f".{ending}")
    if stem == name or not stem or "." in stem or ":" in stem:
        raise UsageError(f"--output must name a file that ends in .{ending}, without another dot or a colon, got {path!r}")
    if shlex.quote(name) != name:
        raise UsageError(f"--output must name a file without spaces and signs of the shell, got {name!r}")
    if ending == "py" and (not stem.isidentifier() or keyword.iskeyword(stem)):
        raise UsageError(f"--output must name a module of Python: letters, digits and _, no word of the language, got {name!r}")
    if ending == "py" and stem in PACKAGES | sys.stdlib_module_names:
        raise UsageError(f"a file {name} would hide the package {stem}, which it needs; give it another name")


def adapter(suite: str, kind: str, name: str) -> str:
    """The text of an adapter of a suite, in a file of this name; `kind` is a language, perhaps with `-module`."""
    about, (language, *_) = SUITES[suite], kind.split("-")
    module, mark = name.rpartition(".")[0], "//" if language == "node" else "#"
    target = f'--exec "node {name}"' if language == "node" else f"{module}:{_function(about)}"
    patience = " --timeout 60" * (language == "jax")  # XLA compiles first
    command = f"To judge this file, {name}, type in its folder:\n  python -m refmeta check {target} --suite {suite}{patience}"
    included: list[str] = []
    pieces = [text for piece in _index()[suite] for text in _with_included(piece, kind, included)]
    blank = "\n\n" if language == "node" else "\n\n\n"
    title = textwrap.wrap(f"{suite}: {about.title}.", COLUMNS)
    words = _words(about) | {
        "title": ("\n// " if language == "node" else "\n").join(title),
        "about": "\n".join(_comment(_about(about, language), mark)), "command": "\n".join(_comment([command], mark)),
        "pieces": blank.join(piece.strip() for piece in pieces),
    }  # fmt: skip
    return _filled(_filled(_template("frame", kind) or "", words), words)


def _function(about: Suite) -> str:
    """The name of the function that is judged: what it returns, or `answer` where that is a dict."""
    return about.array or "answer"


def _filled(text: str, words: dict[str, str]) -> str:
    """The text with every `<<name>>` replaced."""
    return re.sub(r"<<([^<>\n]+)>>", lambda found: words[found[1]], text)


def _words(about: Suite) -> dict[str, str]:
    """What the marks in a template stand for; all of it is read off the inputs of the suite."""
    support = [name for name in about.inputs if f"query_{name}" in about.inputs]
    query = [f"query_{name}" for name in support]
    shared = [name for name in about.inputs if name not in {"theta", "alpha", "steps", *support, *query}]
    rows = {f"{key}[i]": ", ".join(f"{name}[i]" for name in names) for key, names in (("support", support), ("query", query))}
    return rows | {
        "suite": about.name, "function": _function(about),
        "names": ", ".join(about.inputs), "listed": textwrap.fill(", ".join(about.inputs), COLUMNS, subsequent_indent="  "),
        "arguments": _broken(", ".join(about.inputs)), "support": ", ".join(support), "query": ", ".join(query),
        "constants": "".join(f", {name}" for name in shared), "first": next(iter(support), ""),
        "unfilled": "this adapter is not filled in: put your own code where this line stands",
    }  # fmt: skip


def _broken(arguments: str) -> str:
    """The arguments of a function, in lines of their own if they are many."""
    if len(arguments) < COLUMNS - 20:
        return arguments
    indent = 4 * " "
    return "\n" + textwrap.fill(arguments, COLUMNS, initial_indent=indent, subsequent_indent=indent) + ",\n"


def _about(about: Suite, language: str) -> Iterator[str]:
    """What the suite gives and asks for, one paragraph for each entry."""
    yield f"Sizes: {about.sizes}."
    yield f"Losses: {about.losses}"
    yield "Inputs, " + ("as JSON; an array is a nested list, and None is null:" if language == "node" else "NumPy arrays and numbers:")
    yield from (_entry(name, entry) for name, entry in about.inputs.items())
    yield "The answer, an array:" if about.array else "The answer, a dict of these parts, or of some of them:"
    yield from (_entry(name, part) for name, part in about.parts.items() if about.array in ("", name))


def _entry(name: str, entry: Input | Part) -> str:
    """The name, shape and meaning of an input or a part."""
    integers = isinstance(entry, Input) and entry.kind == "integer" and "integer" not in entry.shape + entry.meaning
    return f"  {name} {entry.shape}{', integers' * integers}: {entry.meaning}"


def _comment(paragraphs: Any, mark: str) -> Iterator[str]:
    """The paragraphs as comments; a file does not depend on the width of the terminal, so neither do they."""
    for paragraph in paragraphs:
        for line in paragraph.split("\n"):
            indent = " " * (len(line) - len(line.lstrip()))
            yield from textwrap.wrap(
                line.strip(), COLUMNS, initial_indent=f"{mark} {indent}", subsequent_indent=f"{mark} {indent}  ", break_on_hyphens=False
            )  # fmt: skip


def _index() -> dict[str, list[str]]:
    """The pieces of every suite's adapter: its loss and its algorithm."""
    index: dict[str, list[str]] = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    return index


def _template(piece: str, kind: str) -> str | None:
    """A piece as it stands in its file; NumPy's functions are JAX's, too."""
    path = FOLDER / f"{piece}.{kind}"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    numpy = _template(piece, "numpy") if kind == "jax" else None
    return None if numpy is None else re.sub(r"\bnp\.", "jnp.", numpy)


def _with_included(piece: str, kind: str, included: list[str]) -> Iterator[str]:
    """What a piece includes in its first lines, if it is not there yet, and the piece."""
    text = _template(piece, kind) or ""
    while match := re.match(r"<<include (\w+)>>\n", text):
        text = text[match.end() :]
        if match[1] not in included:
            included.append(match[1])
            yield from _with_included(match[1], kind.removesuffix("-module"), included)
    yield text
