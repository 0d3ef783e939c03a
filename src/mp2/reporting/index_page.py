"""The index of many pages: runs side by side, and a way to each page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mp2.errors import counted
from mp2.groups.luck import shown_p
from mp2.reporting.content import Cell, Link, Page, Picture, Section, Table, without_folders
from mp2.reporting.pictures_search import runs as draw_runs
from mp2.storage.runs import RunSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The page of one stored result."""

    kind: str
    name: str
    address: str
    title: str


def index_page(
    runs: Sequence[RunSummary],
    entries: Sequence[Entry],
    warnings: Sequence[str] = (),
) -> Page:
    """Return the page that compares runs and leads to the pages of all results."""
    links = [
        Link(address=entry.address, text=f"{entry.kind} {entry.name}: {entry.title}")
        for entry in entries
    ]
    return Page(
        name="index",
        title=f"{counted(len(entries), 'result')} side by side",
        lead="Scores of different days or rules cannot be compared: a rising week makes higher "
        "ones. What picks did afterwards is on the page of each run and in the walk-forwards.",
        sections=[_section(runs)] if runs else [],
        links=links,
        warnings=tuple(map(without_folders, warnings)),
    )


def _section(runs: Sequence[RunSummary]) -> Section:
    identity = ("run", "last day", "status")
    figures = ("best by size", "p", "coverage %", "picks hit %", "all tickers %")
    rows: list[list[Cell]] = []
    for run in runs:
        best = []
        for size, score in run.best_score.items():
            if score is not None:
                best.append(f"{size}: {score:.2f}")
        coverage = None if run.coverage is None else 100 * run.coverage
        row: list[Cell] = [run.run_id, run.last_day, run.status]
        row += [", ".join(best), shown_p(run.p, None), coverage]
        # The day picked for is not traded yet, or nobody asked (mp2 outcome).
        if run.outcome is None:
            row += [None, None]
        else:
            row += [run.outcome.hit_rate_pp, run.outcome.universe_hit_rate_pp]
        row.append(without_folders(run.source))
        rows.append(row)
    table = Table(headings=(*identity, *figures, "source"), rows=rows)
    return Section(
        anchor="runs",
        short="Runs",
        question="How do the runs compare?",
        answer=f"{counted(len(runs), 'run')}, oldest first in the picture.",
        pictures=[Picture(figure=draw_runs(runs), table=table, is_open=True)],
    )
