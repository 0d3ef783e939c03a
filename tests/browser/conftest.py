"""A browser, pages of real commands, and a record of what a page does while it is open."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from commands import WEEK
from market_bars import walk
from reporting_names import hostile_market, hostile_run, hostile_scan
from signal_tables import make_signals
from small_searches import LENIENT, SMALL_GRIDS

import mp2
from mp2.data.prices import to_frame

CHROMIUM = "chromium-headless-shell"
INSTALL = f"apt-get install {CHROMIUM} and pip install 'mp2[browser]'"


@pytest.fixture(scope="session")
def browser():
    """Chromium of the system: playwright's own would be a download."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail(absent("playwright")) if needs_browser() else pytest.skip(absent("playwright"))
    executable = shutil.which(CHROMIUM)
    if executable is None:
        pytest.fail(absent(CHROMIUM)) if needs_browser() else pytest.skip(absent(CHROMIUM))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable)
        yield chromium
        chromium.close()


def needs_browser():
    return os.environ.get("MP2_NEEDS_BROWSER", "") not in {"", "0"}


def absent(name):
    return f"no {name}: {INSTALL}"


@dataclass
class Visit:
    """An open page, the addresses it requested, and everything it complained about."""

    page: object
    requests: list = field(default_factory=list)
    complaints: list = field(default_factory=list)

    def __post_init__(self):
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._dialog)

    def _console(self, message):
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _dialog(self, dialog):
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def visit(browser):
    """Opens a file in a window of its own; the options are those of playwright's `new_context`."""
    contexts = []

    def open_file(path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        visit = Visit(context.new_page())
        visit.page.goto(path.as_uri())
        return visit

    yield open_file
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def pages(browser, tmp_path_factory):
    """The pages of commands by what they show; without a browser none is made."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MP2_DB", "mp2.db")
        for name in [name for name in os.environ if name.startswith("MP2_") and name != "MP2_DB"]:
            patch.delenv(name)
        return _make_pages(folder, tmp_path_factory)


def _make_pages(folder, tmp_path_factory):
    endless = tmp_path_factory.mktemp("endless") / "signals.parquet"
    make_signals().signals.write_parquet(endless)
    to_frame(walk(20, 300)).write_csv("prices.csv")
    Path("grids.toml").write_text(SMALL_GRIDS, encoding="utf-8")
    rules = [f"--{name.replace('_', '-')}={value:g}" for name, value in LENIENT.items()]
    prices = ("prices.csv", "--grids=grids.toml", "--max-size=3", *rules)
    _run("demo", "--db=mp2.db", "--budget=4s", "--replicates=19", "--no-progress")
    _run("run", *prices, "--replicates=19", "--end=2024-02-16", "--no-progress")
    _run("outcome", "last", "--prices=prices.csv")
    _run("walkforward", *prices, "--weeks=3", "--end=2024-02-16", "--no-progress")
    _run("report", "last", "--prices=prices.csv", "-o", "candles.html")
    _run("search", endless, "--budget=1s", "--min-daily-hits=0", "--replicates=0", "--no-progress")
    _run("report", "last", "-o", "walled.html")
    _run("search", WEEK, "--min-daily-hits=99", "--replicates=0", "--no-progress")
    _run("report", "last", "-o", "empty.html")
    _run("scan", "--prices=prices.csv", "--day=2024-02-19", "--no-progress")
    _run("report", "--all", "-o", "all")
    result, picks, outcome = hostile_run()
    mp2.report(result, "hostile.html", picks=picks, outcome=outcome)
    prices, picks = hostile_market()
    mp2.report(result, "hostile-candles.html", picks=picks, prices=prices)
    mp2.report(hostile_scan(), "hostile-scan.html")
    made = {path.stem: path for path in folder.glob("*.html")}
    everything = sorted((folder / "all").glob("*.html"))
    for path in everything:
        made[path.stem.partition("-")[0]] = path
    # The demo is the first of the runs.
    made["demo"] = next(path for path in everything if path.stem.startswith("run-"))
    return made


def _run(*args):
    from mp2.cli.main import main

    with pytest.raises(SystemExit) as caught:
        main([*map(str, args)])
    # A scan where some scanners lack a key is a partial one.
    # Scanners that lack a key make a scan a partial one; the empty result is wanted.
    assert caught.value.code in {0, 3, 4}, (args, caught.value.code)
