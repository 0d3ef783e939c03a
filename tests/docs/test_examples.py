"""Every example in Python on a page runs, in the order of the page."""

from contextlib import suppress
from unittest import SkipTest

import pytest
from commands import install
from pages import PAGES, ROOT, SCANNER_PACKAGE, files_of_a_user, names_of_a_page
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

import mp2

pytestmark = pytest.mark.skipif(not PAGES, reason="only a checkout has the docs")

SLOW = ("mp2.walk_forward(", "budget_s=60")
"""Calls that take seconds: pages with one are left out of the default run."""


def pages():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if "```python" in text:
            slow = [pytest.mark.slow] if any(call in text for call in SLOW) else []
            yield pytest.param(page, marks=slow, id=str(page.relative_to(ROOT)))


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    prices = files_of_a_user(folder)
    install(folder, {"watch_list": "mp2_scanner_example:WatchList"})
    return folder, names_of_a_page(prices, mp2.read_signals(folder / "signals.parquet"))


@pytest.mark.parametrize("page", list(pages()))
def test_examples_run(page, user, monkeypatch):
    folder, names = user
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(SCANNER_PACKAGE / "src")
    monkeypatch.syspath_prepend(folder)
    document = Document.parse(str(page), PythonCodeBlockParser(), SkipParser())
    document.namespace.update(names)
    for example in document.examples():
        with suppress(SkipTest):
            example.evaluate()
