"""`mp2 report`: a stored result as a page to look at and to send."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli.completion import OPTIONAL_RUN_ARGUMENT
from mp2.cli.options import (
    DB_OPTION,
    JSON_OPTION,
    Command,
    file_option,
    output_option,
    reading,
)
from mp2.cli.output_files import check_folder, writing
from mp2.cli.views import document, present
from mp2.errors import InputError, Mp2Error, counted

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable
    from mp2.reporting.content import Page
    from mp2.storage.request import Request
    from mp2.storage.runs import Store


@click.command(cls=Command)
@OPTIONAL_RUN_ARGUMENT
@click.option("--all", "is_all", is_flag=True, help="a page of every stored result, and an index")
@output_option("-o", "--output", help="page to write [default: mp2-RUN.html]; with --all a folder")
@file_option("--prices", help="daily bars, read as those of the run: adds candles of the picks")
@DB_OPTION
@JSON_OPTION
def report(
    run: str | None,
    is_all: bool,
    output: Path | None,
    prices: Path | None,
    db: Path,
) -> None:
    """Write a page of RUN, a stored run, walk-forward or scan: pictures, tables, what to trust.

    One HTML file that needs no network; without scripts its tables are complete. The page of a run
    has the newest walk-forward of the same settings.
    """
    if is_all:
        if run is not None or prices is not None or output is None:
            raise InputError("report --all: name a folder with --output, no run and no --prices")
        _write_all(db, output)
        return
    if run is None:
        raise InputError("report: name a run, a walk-forward or a scan, or 'last', or give --all")
    with reading(db) as store:
        kind, name = named_result(store, run)
        page = stored_page(store, kind, name, prices)
    if output is None:
        output = Path(f"mp2-{name}.html")
    check_folder(output)
    from mp2.reporting.writing import page_html

    _write(page_html(page), output)
    content = document(kind=kind, name=name, output=str(output))
    present(content, page.title, page.lead, f"Written to {output}.")


def _write(text: str, output: Path) -> None:
    with writing(output) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _write_all(db: Path, folder: Path) -> None:
    """Write the pages of all results; one that cannot be read is a warning.

    The library of pictures lies beside the pages: in each of them it would be 5 MB.
    """
    from mp2.reporting.index_page import Entry, index_page
    from mp2.reporting.writing import PLOTLY_FILE, page_html, plotly_script

    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; choose another folder") from error
    _write(plotly_script(), folder / PLOTLY_FILE)
    warnings: list[str] = []
    entries: list[Entry] = []
    with reading(db) as store:
        runs = store.runs()
        names = [("run", run.run_id) for run in runs]
        names += [("walk", walk.walk_id) for walk in store.walks()]
        names += [("scan", scan.scan_id) for scan in store.scans()]
        for kind, name in names:
            try:
                page = stored_page(store, kind, name)
            except Mp2Error as error:
                warnings += str(error).splitlines()
                continue
            address = f"{kind}-{name}.html"
            _write(page_html(page, shares_plotly=True), folder / address)
            entries.append(Entry(kind=kind, name=name, address=address, title=page.title))
        warnings = [*store.problems, *warnings]
    index = index_page(runs, entries, warnings)
    _write(page_html(index, shares_plotly=True), folder / "index.html")
    pages = [entry.address for entry in entries]
    content = document(kind="all", output=str(folder), pages=pages, warnings=warnings)
    present(content, f"{counted(len(pages), 'page')} and index.html written to {folder}.")


def named_result(store: Store, name: str) -> tuple[str, str]:
    """Return the kind and the id of the stored result that `name` means.

    `last` is the last run, where there is one.
    """
    errors: list[str] = []
    kinds = (("run", store.find), ("walk", store.find_walk), ("scan", store.find_scan))
    for kind, find in kinds:
        try:
            return kind, find(name)
        except InputError as error:
            errors += error.problems
    raise InputError(errors)


def stored_page(
    store: Store,
    kind: str,
    name: str,
    prices: Path | None = None,
) -> Page:
    """Return the content of the page of a stored result."""
    from mp2.cli.beside import walk_for
    from mp2.reporting.page import page_of
    from mp2.signals.grids import load_grids

    if prices is not None and kind != "run":
        raise InputError(f"--prices: {name} is a {kind}; only the page of a run shows prices")
    if kind == "scan":
        return page_of(store.load_scan(name))
    if kind == "walk":
        return page_of(store.load_walk(name))
    result = store.load(name, starters=False)
    picks = store.load_picks(name)
    outcomes = {outcome.day: outcome for outcome in store.load_outcomes(name)}
    request = store.load_request(name)
    walk = walk_for(store, request)
    if not picks:
        return page_of(result, walk=walk)
    last = picks[-1]
    market: dict[str, Any] = {}
    if prices is not None:
        market["prices"] = _bars(request, prices, last.day)
        market["grids"] = load_grids(request.signals.grids)
    return page_of(result, picks=last, outcome=outcomes.get(last.day), walk=walk, **market)


def _bars(
    request: Request,
    prices: Path,
    day: str,
) -> PriceTable:
    """Read prices as the run read its own, up to the day picked for."""
    from mp2.storage.inputs import read_bars
    from mp2.storage.request import PricesFile

    source = request.source
    if not isinstance(source, PricesFile):
        source = PricesFile(path=prices)
    return read_bars(source.model_copy(update={"path": prices}), end=day)
