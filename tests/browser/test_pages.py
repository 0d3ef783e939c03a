"""Report pages in a browser: closed, quiet, readable on a phone, complete without scripts."""

import pytest

import mp2

# The first test waits for all the commands whose pages are opened.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

PAGES = (
    "demo",
    "candles",
    "walled",
    "empty",
    "walk",
    "scan",
    "index",
    "hostile",
    "hostile-candles",
    "hostile-scan",
)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_closed_quiet_and_fits_a_phone(visit, pages, name):
    path = pages[name]
    phone = visit(path, viewport={"width": 390, "height": 800}, has_touch=True)
    page = phone.page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    figures = page.locator(".figure")
    assert page.locator(".figure .main-svg").count() >= figures.count()
    for place in figures.all():
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        # What hovering shows is drawn from names as well.
        for share in (0.2, 0.4, 0.6, 0.8):
            page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
    page.get_by_role("button", name="Dark").click()
    page.emulate_media(media="print")
    assert phone.complaints == []
    shared = (path.parent / "plotly.min.js").as_uri()
    assert set(phone.requests) <= {path.as_uri(), shared}


def test_one_page_alone_needs_no_other_file(visit, pages):
    visited = visit(pages["candles"])
    assert visited.requests == [pages["candles"].as_uri()]


def test_the_pages_of_a_folder_share_the_library(visit, pages):
    visited = visit(pages["index"])
    visited.page.locator("#pages a", has_text="run ").last.click()
    visited.page.wait_for_selector(".figure .main-svg")
    assert visited.complaints == []
    assert pages["demo"].stat().st_size < 1_000_000


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_complete_without_scripts(visit, pages, name):
    with_scripts = visit(pages[name]).page
    without = visit(pages[name], java_script_enabled=False).page
    assert without.locator("tbody tr").count() == with_scripts.locator("tbody tr").count()
    assert without.locator("details").count() == with_scripts.locator("figure").count()
    for details in without.locator("details").all():
        if details.get_attribute("open") is None:
            details.locator("summary").click()
        assert details.locator("table").is_visible()
    for hidden in (".figure", ".filter", ".theme", ".hint"):
        assert without.locator(hidden).filter(visible=True).count() == 0


def test_tables_are_sorted_and_filtered(visit, pages):
    page = visit(pages["candles"]).page
    column = page.locator("#groups tbody tr td:nth-child(4)")
    page.locator("#groups th button", has_text="score").click()
    scores = [float(text) for text in column.all_text_contents()]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    page.locator("#groups th button", has_text="score").click()
    assert [float(text) for text in column.all_text_contents()] == sorted(scores)
    name = page.locator("#groups tbody tr td:last-child").first.text_content()
    page.get_by_label("Filter").fill(name.upper())
    shown = page.locator("#groups tbody tr").filter(visible=True)
    assert 1 <= shown.count() < len(scores)


# The page with candles has all that those of other runs have. Colours are the same on all pages.
@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("candles", "light"),
        ("candles", "dark"),
        ("empty", "light"),
        ("walk", "light"),
        ("scan", "light"),
        ("index", "light"),
        ("hostile", "light"),
    ],
)
def test_a_page_is_accessible(visit, pages, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    # The policy of the page would keep out the checker, too.
    page = visit(pages[name], bypass_csp=True, color_scheme=scheme).page
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_every_figure_exports_to_html_without_network(visit, pages, tmp_path):
    folder = pages["candles"].parent
    parts = []
    for figure in _figures(folder):
        # One of them holds the library.
        parts.append(figure.to_html(full_html=False, include_plotlyjs=not parts))
    path = tmp_path / "figures.html"
    path.write_text("".join(parts), encoding="utf-8")
    # All of `mp2.plot` but `recent_signals`, which makes what `candles` draws.
    assert len(parts) == len(mp2.plot.__all__) - 1
    visited = visit(path)
    assert visited.page.locator(".js-plotly-plot").count() == len(parts)
    assert visited.requests == [path.as_uri()]
    assert visited.complaints == []


def _figures(folder):
    plot = mp2.plot
    with mp2.Store(folder / "mp2.db") as store:
        runs = store.runs()
        run_id = next(run.run_id for run in runs if run.outcome is not None)
        result = store.load(run_id)
        (picks,) = store.load_picks(run_id)
        (outcome,) = store.load_outcomes(run_id)
        walk = store.load_walk(store.walks()[0].walk_id)
        scan = store.load_scan(store.scans()[0].scan_id)
    prices = mp2.read_prices(folder / "prices.csv")
    grids = mp2.load_grids(folder / "grids.toml")
    sheet = plot.recent_signals(picks, prices, grids)
    yield plot.votes(picks, outcome)
    yield plot.days(result, outcome)
    yield plot.returns(picks, outcome)
    yield plot.scores(result, 3)
    yield plot.algorithms(result)
    yield plot.variations(result)
    yield plot.progress(result)
    yield plot.candles(picks, prices, sheet, picks.tickers()[0])
    yield plot.value(walk)
    yield plot.weeks(walk)
    yield plot.runs(runs)
    yield plot.scanners(scan)
