"""Collects the python blocks of the derivations: one test a block, in the document's own namespace.

A block's test first runs the earlier blocks of its document that have not run, so that each can be run alone.
"""

import re
import traceback

import pytest

collect_ignore = ["book"]  # tests/test_book.py imports it
collect_ignore_glob = ["exercises/*.py"]  # they have holes; tests/commands/exercises fills them in
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pytest_collect_file(parent, file_path):
    if file_path.suffix == ".md":
        return Document.from_parent(parent, path=file_path)
    return None


class Document(pytest.File):
    """A Markdown file; its blocks share `namespace`, and `done` counts those that have run."""

    def collect(self):
        text = self.path.read_text(encoding="utf-8")
        self.namespace, self.done, self.blocks = {"__name__": self.path.stem}, 0, []
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start(1))
            code = compile("\n" * line + match[1], str(self.path), "exec")
            self.blocks.append(code)
            yield Block.from_parent(self, name=f"line {line + 1}", number=len(self.blocks), line=line)


class Block(pytest.Item):
    """One python block."""

    def __init__(self, *, number, line, **kwargs):
        super().__init__(**kwargs)
        self.number, self.line = number, line

    def runtest(self):
        document = self.parent
        while document.done < self.number:
            document.done += 1
            exec(document.blocks[document.done - 1], document.namespace)

    def repr_failure(self, excinfo):
        here = [frame for frame in traceback.extract_tb(excinfo.tb) if frame.filename == str(self.path)]
        where = f"{self.path.name}:{here[-1].lineno}: {here[-1].line}" if here else str(self.path)
        return f"{where}\n{excinfo.exconly()}"

    def reportinfo(self):
        return self.path, self.line, f"{self.path.name}, block at line {self.line + 1}"
