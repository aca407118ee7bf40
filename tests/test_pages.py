"""Pages that are generated are what their sources say, and no public name is without a place and a docstring."""

from collections import namedtuple

import pytest

import refmeta as rm
from tests.pages import GROUPS, PAGES, escaped, renewed, summary


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_what_its_source_says(page):
    assert renewed(page) == page.read_text(encoding="utf-8"), f"{page.name}: `make pages` writes it again"


def test_every_public_name_has_one_place():
    assert sorted(name for names in GROUPS.values() for name in names.split()) == sorted(rm.__all__)


@pytest.mark.parametrize("thing", [lambda x: x, namedtuple("Pair", "a b")], ids=["none", "made by namedtuple"])
def test_a_name_without_a_docstring_is_refused(thing):
    with pytest.raises(AssertionError, match="has no docstring"):
        summary(f"module.{thing.__name__}", thing)


def test_mathematics_is_no_markup():
    assert escaped("V*_t(s) = E[r|s], `a_b|c*`") == r"V\*\_t(s) = E[r\|s], `a_b\|c*`"
