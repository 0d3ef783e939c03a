"""The documentation site, opened from its files."""

from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="no site; nox -s docs builds it"),
]


def test_the_search_finds_pages(visit):
    visited = visit(SITE / "index.html")
    page = visited.page
    page.get_by_role("textbox", name="Search").fill("walkforward")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a").count() > 1
    assert visited.complaints == []
    assert not [address for address in visited.requests if not address.startswith(SITE.as_uri())]


@pytest.mark.parametrize("name", ["trader", "own_signals", "own_algorithm_and_scanner"])
def test_a_notebook_shows_its_figures(visit, name):
    visited = visit(SITE / "notebooks" / f"{name}.html", viewport={"width": 390, "height": 800})
    page = visited.page
    page.wait_for_selector(".main-svg")
    assert page.locator(".js-plotly-plot").count() == page.locator("[id^=figure-]").count() >= 3
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert visited.complaints == []
    assert not [address for address in visited.requests if not address.startswith(SITE.as_uri())]
