"""The page of a run: its questions in the order a reader asks them."""

from __future__ import annotations

from collections.abc import Iterator

from mp2._document import Names
from mp2.errors import counted
from mp2.groups.luck import shown_p
from mp2.groups.result import Group, SearchResult
from mp2.reporting.content import Cell, Page, Section, Table, rule_facts, without_folders
from mp2.reporting.run_report import RunReport
from mp2.reporting.run_sections import common_section, days_section, votes_section
from mp2.reporting.run_words import cards, lead, title
from mp2.reporting.search_sections import candles_section, luck_section, progress_section
from mp2.reporting.walk_page import walk_section

_MOST_GROUPS = 300
"""Groups in the table, of all sizes together: of more `mp2 runs export` is the better table."""

_LEAST_SAMPLES = 5


def run_page(report: RunReport) -> Page:
    """Return the page of a run."""
    result = report.result
    name = "run, not stored"
    if result.run_id is not None:
        name = f"run {result.run_id}"
    groups = None
    if any(result.kept.values()):
        groups = groups_table(result)
    return Page(
        name=name,
        title=title(report),
        lead=lead(report),
        cards=list(cards(report)),
        sections=list(sections_of(report)),
        groups=groups,
        facts=list(facts_of(result)),
        warnings=warnings_of(report),
    )


def sections_of(report: RunReport) -> Iterator[Section]:
    """Yield the sections for which there is something to show."""
    result = report.result
    picks = report.picks
    if picks is not None and picks.votes:
        yield votes_section(picks, report.outcome)
    if report.walk is not None:
        yield walk_section(report.walk)
    has_groups = any(result.kept.values())
    if has_groups:
        yield days_section(report)
    luck = luck_section(result)
    if luck is not None:
        yield luck
    if has_groups:
        yield common_section(result)
    if picks is not None and report.prices is not None and picks.tickers():
        yield candles_section(picks, report.prices, report.outcome, report.grids)
    # A search of a moment has no course to show.
    if len(result.progress) >= _LEAST_SAMPLES:
        yield progress_section(result)


def warnings_of(report: RunReport) -> Names:
    """Return the warnings of the search and of the picks, each once, without folders."""
    lines = dict.fromkeys(report.result.warnings)
    if report.picks is not None:
        lines |= dict.fromkeys(report.picks.warnings)
    return tuple(map(without_folders, lines))


def groups_table(result: SearchResult) -> Table:
    """Return the best groups of each size with their days side by side."""
    n_of_size = _MOST_GROUPS // len(result.kept)
    shown: list[Group] = []
    for _, groups in sorted(result.kept.items()):
        shown += groups[:n_of_size]
    headings = ["size", "rank", "idea", "score", "hit %", "Wilson %"]
    # A test of a part of the space has no p of single groups.
    has_p = any(group.p is not None for group in shown)
    if has_p:
        headings.append("p")
    rows: list[list[Cell]] = []
    for group in shown:
        row: list[Cell] = [len(group.members), group.rank, group.idea]
        row += [group.score, group.pooled_pp, group.wilson_lb]
        if has_p:
            row.append(shown_p(group.p, None))
        row.append("/".join(str(day.buys) for day in group.days))
        row.append("/".join(str(day.hits) for day in group.days))
        row.append(group.name)
        rows.append(row)
    return Table(headings=(*headings, "buys", "hits", "members"), rows=rows)


def facts_of(result: SearchResult) -> Iterator[tuple[str, str]]:
    """Yield what was searched and by which rules."""
    first = result.days[0]
    last = result.days[-1]
    yield "days searched", f"{first} to {last}"
    yield "status", result.headline()
    workers = counted(result.workers, "worker")
    yield "budget", f"{result.budget_s:g} s, {workers}"
    for size, n_tested in sorted(result.tested.items()):
        text = f"{n_tested:,} tested"
        # Only the largest size may be a lower bound.
        if not result.tested_exact and size == max(result.tested):
            text = f"at least {text}"
        n_eligible = result.eligible.get(size)
        if n_eligible is not None:
            text += f", {n_eligible:,} eligible"
        yield f"groups of size {size}", text
    yield "rule of outcomes", str(result.hold)
    # As many digits as tell two inputs apart at a glance.
    yield "input", result.input_fingerprint[:16]
    yield from rule_facts(result.rules)
