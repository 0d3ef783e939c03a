"""`mp2 scans`: stored scans.

They are not part of `mp2 runs`: `last` means the last search to `mp2 pick`, and a list of both
would have hardly a column in common.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mp2.cli.completion import SCAN_ARGUMENT
from mp2.cli.options import (
    DB_OPTION,
    JSON_OPTION,
    LIMIT_OPTION,
    Group,
    delete_stored,
    number_option,
    older,
    reading,
)
from mp2.cli.scan import scan_document
from mp2.cli.views import document, duration, if_known, present, record_table
from mp2.discovery.records import console_line


@click.group(cls=Group)
@DB_OPTION
def scans(db: Path) -> None:
    """Look at stored scans. SCAN is a scan's id, the beginning of it, or 'last'."""


@scans.command("list")
@LIMIT_OPTION
@JSON_OPTION
@DB_OPTION
def list_scans(db: Path, limit: int) -> None:
    """List the stored scans, newest first."""
    with reading(db) as store:
        summaries = store.scans(limit or None)
        n_stored = store.count("scan")
        problems = store.problems
    rows = []
    for one in summaries:
        time = if_known(one.elapsed_s, duration)
        outcomes = f"{one.n_outcomes} of {one.n_scanners}"
        counts = (outcomes, one.n_failed, one.n_candidates)
        rows.append((one.scan_id, one.status, one.day, time, *counts))
    headings = ("scan", "status", "day", "time", "outcomes", "failed", "candidates")
    listed = [asdict(summary) for summary in summaries]
    content = document(scans=listed, n_stored=n_stored, warnings=problems)
    present(content, record_table(headings, rows), *older(n_stored, limit))


@scans.command("show")
@SCAN_ARGUMENT
@number_option("--show", 20, "candidates in the table", least=0)
@click.option("--logs", is_flag=True, help="the scanners' logs too")
@JSON_OPTION
@DB_OPTION
def show_scan(
    db: Path,
    scan: str,
    show: int,
    logs: bool,
) -> None:
    """Show a scan as it was printed; of an interrupted one, what had ended by then."""
    from mp2.cli.scan_view import log_view, scan_view

    with reading(db) as store:
        scan_id = store.find_scan(scan)
        summary = store.scan_summary(scan_id)
        result = store.load_scan(scan_id)
    # The result of a scan that has not ended is a stopped one; the summary knows which.
    content = scan_document(
        result, status=summary.status, day=summary.day, started_at=summary.started_at
    )
    if logs:
        content["logs"] = {name: list(lines) for name, lines in result.logs.items()}
    # As the scan showed them while it ran: each outcome, then the candidates.
    parts: list[Any] = []
    for outcome in result.outcomes:
        parts.append(console_line(outcome))
        if logs:
            parts.append(log_view(outcome.scanner, result.logs[outcome.scanner]))
    parts.append(scan_view(result, n_show=show, stored=True))
    present(content, *parts)


@scans.command("delete")
@SCAN_ARGUMENT
@JSON_OPTION
@DB_OPTION
def delete_scan(db: Path, scan: str) -> None:
    """Delete a scan and everything stored with it."""
    delete_stored(
        "scan",
        db,
        lambda store: store.find_scan(scan),
        lambda store, scan_id: store.delete_scan(scan_id),
    )
