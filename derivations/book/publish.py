"""`make book` and `make notebooks`: the chapters as a web site that needs no network, and as executed notebooks."""

import importlib.metadata
import re
import shutil
import sys
from pathlib import Path

from derivations.book.dialects import BOOK, NOTEBOOK, Dialect, check_links, margin, targets, translated

__all__ = ["book", "check_no_network", "chapters", "loads", "notebooks"]

FOLDER = Path(__file__).parents[1]
BUILD = FOLDER.parent / "build"
MATHJAX = ("sphinx-mathjax-offline", "tex-svg-full.js")  # a distribution, and the one file of it that the book uses
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|data|srcset)\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]*)"
    r"|<link\b(?=[^>]*\brel\s*=\s*[\"']?(?:stylesheet|icon|shortcut|preload|prefetch|preconnect|modulepreload|manifest)\b)"
    r"[^>]*?\bhref\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]*)"
    r"|(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"'\s)]*)",
    re.I,
)


def chapters() -> dict[str, str]:
    """The text of every page by its file's name; SystemExit says which links lead nowhere."""
    pages = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.md"))}
    wrong = [line for name in pages for line in check_links(name, pages, lambda path: (FOLDER / path).exists())]
    if wrong:
        raise SystemExit("\n".join(wrong))
    return pages


def write_pages(to: Path, pages: dict[str, str]) -> None:
    """The pages, and beside them the figures and files that they show or link to."""
    shutil.rmtree(to, ignore_errors=True)
    for name, text in pages.items():
        for target in targets(text):
            path = FOLDER / target.partition("#")[0]
            if path.is_file() and path.suffix != ".md" and FOLDER in path.resolve().parents:
                (to / path.relative_to(FOLDER)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to / path.relative_to(FOLDER))
        to.mkdir(parents=True, exist_ok=True)
        (to / name).write_text(text, "utf-8")


def translated_chapters(dialect: Dialect) -> dict[str, str]:
    """Every page in a dialect."""
    pages = chapters()
    return {name: translated(text, dialect, pages) for name, text in pages.items()}


def book() -> None:
    """The web site in build/book; warnings of Sphinx are errors."""
    from sphinx.cmd.build import main as sphinx

    source, to = BUILD / "book-source", BUILD / "book"
    pages = translated_chapters(BOOK)
    index = pages.pop("README.md") + margin(chapters())
    write_pages(source, {**pages, "index.md": index})
    (source / "_static").mkdir()
    for path in (mathjax(), Path(__file__).with_name("book.css")):
        shutil.copy(path, source / "_static")
    shutil.copy(Path(__file__).with_name("conf.py"), source)
    shutil.rmtree(to, ignore_errors=True)
    if sphinx(["-q", "-W", "--keep-going", "-d", str(source / ".doctrees"), str(source), str(to)]):
        raise SystemExit("Sphinx warned, and a warning is an error here; its lines are above")
    check_no_network(to)
    print(f"wrote {to.relative_to(BUILD.parent) / 'index.html'}")


def mathjax() -> Path:
    """The file of MathJax that the book is delivered with."""
    distribution, name = MATHJAX
    files = importlib.metadata.files(distribution) or []
    return Path(str(next(path.locate() for path in files if path.name == name)))


def loads(text: str) -> list[str]:
    """What a page or style sheet loads from another host; a link to click on loads nothing by itself."""
    return ["".join(groups) for groups in LOADED.findall(text)]


def check_no_network(folder: Path) -> None:
    """SystemExit with the pages that load a script, style, font or image from another host."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".html", ".css", ".svg")]
    wrong = [f"{path.relative_to(folder)} loads {url}" for path in files for url in loads(path.read_text("utf-8"))]
    if wrong or not files:
        raise SystemExit("The book must need no network.\n" + "\n".join(wrong or [f"{folder} is empty"]))


def notebooks() -> None:
    """Every page as an executed notebook in build/notebooks; a block that fails is a traceback."""
    import jupytext
    import nbformat
    from nbconvert.preprocessors import ExecutePreprocessor

    to, quiet = BUILD / "notebooks", ["--log-level=ERROR"]
    pages = translated_chapters(NOTEBOOK)
    write_pages(to, pages)
    for name, text in pages.items():
        notebook = jupytext.reads(text, fmt="md")
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        ExecutePreprocessor(timeout=600, extra_arguments=quiet).preprocess(notebook, {"metadata": {"path": str(to)}})
        nbformat.write(notebook, to / name.replace(".md", ".ipynb"))
        (to / name).unlink()
    print(f"wrote {len(pages)} notebooks into {to.relative_to(BUILD.parent)}")


if __name__ == "__main__":
    {"book": book, "notebooks": notebooks}[sys.argv[1]]()
