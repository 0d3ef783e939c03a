"""`mp2.report`: one HTML page of a result."""

from __future__ import annotations

from os import PathLike
from typing import Any

from mp2._files import expanded, replacing
from mp2.data.prices import PriceTable
from mp2.discovery.records import ScanResult
from mp2.errors import InputError
from mp2.groups.result import SearchResult
from mp2.picks.records import DayPicks, Outcome
from mp2.picks.weeks import WalkForward
from mp2.pipeline import PipelineRun
from mp2.reporting.content import Page
from mp2.reporting.run_page import run_page
from mp2.reporting.run_report import RunReport
from mp2.reporting.scan_page import scan_page
from mp2.reporting.walk_page import walk_page
from mp2.reporting.writing import page_html
from mp2.signals.grids import Grids

Reported = SearchResult | PipelineRun | WalkForward | ScanResult


def report(
    result: Reported,
    path: str | PathLike[str] | None = None,
    *,
    picks: DayPicks | None = None,
    outcome: Outcome | None = None,
    walk: WalkForward | None = None,
    prices: PriceTable | None = None,
    grids: Grids | None = None,
) -> str:
    """Return the page of a result as HTML, and write it to `path`, whole or not at all.

    The page needs no network. Beside a search it shows the `picks` of a day, their `outcome`, the
    walk-forward made by the same settings, and with `prices` (and the `grids` of the search) what
    the picks looked like. Needs the extra `report`.

    Raises `InputError` for a result of another kind, and for a file that cannot be written.
    """
    page = page_of(
        result,
        picks=picks,
        outcome=outcome,
        walk=walk,
        prices=prices,
        grids=grids,
    )
    html = page_html(page)
    if path is not None:
        output = expanded(path)
        try:
            with replacing(output) as part:
                part.write_text(html, encoding="utf-8", newline="\n")
        except OSError as error:
            cause = error.strerror or error
            raise InputError(f"{output}: {cause}; choose a file that can be written") from error
    return html


def page_of(result: Reported, **beside: Any) -> Page:
    """Return the content of the page of a result; `beside` are those of `RunReport`."""
    if isinstance(result, PipelineRun):
        # What the caller names comes first: it may be of a later day.
        if beside.get("picks") is None:
            beside["picks"] = result.next_day
        if beside.get("prices") is None:
            beside["prices"] = result.prices
        result = result.result
    if isinstance(result, SearchResult):
        return run_page(RunReport(result=result, **beside))
    if isinstance(result, WalkForward):
        return walk_page(result)
    if isinstance(result, ScanResult):
        return scan_page(result)
    raise InputError(
        f"report: {type(result).__name__} has no page; give the result of a search, a run, a scan "
        "or a walk-forward"
    )
