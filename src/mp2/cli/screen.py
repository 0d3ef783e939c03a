"""The screen of a run: its data, its search, the picks, and what they rest on, in 30 lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from mp2.cli.beside import Beside
from mp2.cli.options import DEFAULT_DB
from mp2.cli.scan_view import reasons, scan_sentence
from mp2.cli.screen_text import MAX_LINES, fitting, labelled, table_lines, wrapped
from mp2.cli.search_view import exclusion_rows, members_text, pick_rule
from mp2.cli.views import count, duration, if_known, share
from mp2.data.holding import holding
from mp2.discovery.candidates import named_among
from mp2.errors import counted
from mp2.groups.result import Group, SearchResult, Status
from mp2.picks.records import DayPicks, Vote

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable
    from mp2.discovery.records import MergedCandidate
    from mp2.storage.request import Request

# More sizes than that are rarely retained; they take three lines each.
_MAX_SIZES = 3
_MIN_ROWS = 3
_MAX_NAMED = 3
_ENDINGS = {Status.WALL: "Wall", Status.STOPPED: "Stopped", Status.WORK_LIMIT: "Work limit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A result and all that is shown of it and beside it.

    `request`: what was asked, None where that is not known. `warnings`: all there are.
    """

    result: SearchResult
    picks: DayPicks | None
    prices: PriceTable | None
    request: Request | None
    warnings: Sequence[str]
    beside: Beside
    db: Path

    @property
    def named(self) -> dict[str, MergedCandidate]:
        """The candidates of the scan among the tickers of the vote, picked ones first."""
        scan = self.beside.scan
        if scan is None or self.picks is None:
            return {}
        voted = [vote.ticker for vote in self.picks.votes]
        return named_among(dict.fromkeys([*self.picks.tickers(), *voted]), scan.candidates)

    def command(self, words: str) -> str:
        """Return a command line on the stored run, with its database where that is not usual."""
        db = "" if self.db == DEFAULT_DB else f"--db {shlex.quote(str(self.db))} "
        return f"mp2 {db}{words} {self.result.run_id}"


def screen(shown: Shown, n_show: int | None) -> list[Text]:
    """Return the lines of the screen, with `n_show` tickers, or as many as it holds."""
    head = [*_data(shown), *_search(shown), *_picks(shown)]
    foot = [*_scanners(shown), *_evidence(shown)]
    n_free = MAX_LINES - len(head) - len(foot)
    return [*head, *_tickers(shown, n_show, n_free), *foot]


def short_line(shown: Shown) -> str:
    """Return the whole output of a quiet command: run, status, what was picked, p."""
    result = shown.result
    parts = [f"run {result.run_id or 'not stored'}: {result.status}"]
    if result.status is not Status.COMPLETE:
        parts.append(f"{share(result.coverage)} of the space")
    if shown.picks is None:
        parts.append(counted(sum(result.n_kept.values()), "group"))
    else:
        tickers = counted(len(shown.picks.tickers()), "ticker")
        parts.append(f"{tickers} for {shown.picks.day}")
    if result.significance is not None and result.significance.p is not None:
        parts.append(f"p = {result.significance.p:.3g}")
    return ", ".join(parts)


# --- data and search -------------------------------------------------------------------------


def _data(shown: Shown) -> Iterator[Text]:
    result = shown.result
    prices = shown.prices
    findings: Sequence[str] = ()
    facts = f"{counted(len(result.days), 'day')} to {result.days[-1]}"
    if prices is not None:
        findings = prices.warnings
        facts = f"{prices.n_tickers:,} tickers to {prices.dates[-1]}, no findings"
        if findings:
            facts = facts.replace("no findings", counted(len(findings), "finding"))
            facts += ": mp2 check data"
    elif result.panel is not None:
        facts = f"{len(result.panel.tickers):,} tickers, {facts}"
    name = shown.request.name if shown.request else "in memory"
    # The facts are whole: a long name gives way.
    room = 68 - len(facts)
    if len(name) > room:
        name = f"{name[: max(room - 3, 1)]}..."
    yield from labelled("Data", f"{name}: {facts}")
    # Why a size has no pick stands beside it.
    others = [
        line
        for line in dict.fromkeys(shown.warnings)
        if line not in findings and not line.endswith("; no pick")
    ]
    if others:
        label = "Warning"
        text = others[0]
        if len(others) > 1:
            text = f"1 of {len(others)} (all: -v): {text}"
        yield from labelled(label, text, at_most=2, style="yellow")


def _search(shown: Shown) -> Iterator[Text]:
    result = shown.result
    tested = count(sum(result.tested.values()))
    if not result.tested_exact:
        tested = f"at least {tested}"
    variations = f"{result.n_starters:,} variations on {counted(len(result.days), 'day')}"
    time = duration(result.elapsed_s)
    yield from labelled("Searched", f"{variations}, {tested} groups in {time}")
    yield from labelled("", coverage_sentence(result), style="bold")
    if result.status is not Status.COMPLETE:
        remedy = "a larger --budget completes it"
        if result.run_id is not None:
            remedy = shown.command("resume")
        change = "The picks will change when it completes: "
        yield from labelled("", change + remedy, at_most=2, style="bold")


def coverage_sentence(result: SearchResult) -> str:
    """Return one sentence on how much of the space the result covers."""
    has_groups = any(result.kept.values())
    if result.status is Status.COMPLETE:
        if has_groups:
            return "Complete: no better group exists under these rules."
        return "Complete: no group is eligible under these rules."
    covered = f"{_ENDINGS[result.status]}: {share(result.coverage)} of the space exhausted"
    if has_groups:
        return f"{covered}; better groups may exist."
    return f"{covered}; none found so far."


# --- picks -----------------------------------------------------------------------------------


def _picks(shown: Shown) -> Iterator[Text]:
    result = shown.result
    yield Text("")
    picks = shown.picks
    tickers_of: dict[int, Sequence[str] | None] = {}
    if picks is not None:
        assumed = " (assumed trading day)" if picks.assumed else ""
        heading = f"Picks for {picks.day}{assumed}: {holding(picks.hold).trade}"
        for line in wrapped(heading, at_most=2):
            yield Text(line, style="bold")
        for size, pick in picks.picks.items():
            tickers_of[size] = None if pick is None else pick.tickers
    else:
        yield Text(f"Tickers of the picked groups on {result.days[-1]}", style="bold")
        for size in result.kept:
            group = result.pick(size)
            tickers_of[size] = None if group is None else group.consensus[-1].tickers
    for size in _sizes(result):
        tickers = tickers_of.get(size)
        text = "no pick: no group was kept"
        if tickers is not None:
            text = fitting(tickers) or "no ticker"
        elif result.kept[size]:
            text = "no pick: no kept group has enough tickers"
        yield from labelled(f"Size {size}", text, style="green" if tickers else "")
    n_more = len(result.kept) - _MAX_SIZES
    if n_more > 0:
        yield from labelled("", f"and {counted(n_more, 'more size')}: --json has them")


def _sizes(result: SearchResult) -> list[int]:
    """The sizes that are shown."""
    return sorted(result.kept)[:_MAX_SIZES]


def _tickers(
    shown: Shown,
    n_show: int | None,
    n_free: int,
) -> list[Text]:
    """The table of tickers in so many lines; why there are none where nothing was kept."""
    if shown.result.exclusions:
        return exclusion_lines(shown.result, n_free)
    picks = shown.picks
    if picks is None or n_show == 0:
        return []
    # Those of the picks first; both in the order of the vote.
    votes = sorted(picks.all_votes(), key=lambda vote: not picks.sizes_with(vote.ticker))
    if not votes:
        return []
    n_rows = n_show
    if n_rows is None:
        # Headings, and a line on the rows that are left out.
        n_rows = max(n_free - 2, _MIN_ROWS)
    headings = _headings(shown)
    rows = [_row(shown, picks, vote) for vote in votes[:n_rows]]
    lines = table_lines(headings, rows, right=range(1, 5))
    n_more = len(votes) - n_rows
    if n_more > 0:
        n_picked = len(picks.tickers())
        more = f"and {n_more:,} more; {n_picked} are picked, the others only voted for"
        lines.append(Text(f"{more} (--show N)", style="dim"))
    return lines


def _headings(shown: Shown) -> list[str]:
    headings = ["ticker", "last close", "ideas", "groups", "algorithms", "picks"]
    if shown.beside.before is not None:
        headings.append("new")
    if shown.beside.scan is not None:
        headings.append("scanners")
    if shown.prices is None:
        headings[1] = ""
    return headings


def _row(
    shown: Shown,
    picks: DayPicks,
    vote: Vote,
) -> list[str]:
    sizes = picks.sizes_with(vote.ticker)
    row = [
        vote.ticker,
        _last_close(shown.prices, vote.ticker),
        if_known(vote.n_ideas, str),
        str(vote.n_groups),
        if_known(vote.n_algorithms, str),
        " ".join(map(str, sizes)),
    ]
    before = shown.beside.before
    if before is not None:
        row.append("new" if sizes and vote.ticker not in before.tickers() else "")
    if shown.beside.scan is not None:
        candidate = shown.named.get(vote.ticker)
        row.append(", ".join(candidate.sources) if candidate else "")
    return row


def _last_close(prices: PriceTable | None, ticker: str) -> str:
    if prices is None or ticker not in prices.tickers:
        return ""
    closes = prices.close[prices.tickers.index(ticker)].tolist()
    close = next(value for value in reversed(closes) if isfinite(value))
    return f"{close:,.2f}" if close >= 1 else f"{close:.4g}"


def _scanners(shown: Shown) -> Iterator[Text]:
    """What the scan came to, and why it names tickers of the vote."""
    scan = shown.beside.scan
    if scan is None:
        return
    yield from labelled("Scanners", scan_sentence(scan))
    named = shown.named
    for ticker, candidate in list(named.items())[:_MAX_NAMED]:
        yield from labelled("", f"{ticker} ({candidate.priority}): {reasons(candidate)}")
    n_more = len(named) - _MAX_NAMED
    if n_more > 0:
        yield from labelled("", f"and {n_more} more: mp2 scans show {scan.scan_id}")


def exclusion_lines(result: SearchResult, at_most: int) -> list[Text]:
    """Return what each rule excluded, as a table of so many lines."""
    headings = ("rule", "limit", "excludes")
    lines = table_lines(headings, exclusion_rows(result.exclusions), right=[1])
    return lines[:at_most]


# --- what they rest on -----------------------------------------------------------------------


def _evidence(shown: Shown) -> Iterator[Text]:
    result = shown.result
    label = "Rests on"
    for size in _sizes(result):
        group = _picked_group(shown, size)
        if group is not None:
            yield from labelled(label, _members(result, group), at_most=3)
            label = ""
    if not label:
        yield from labelled("Rule", pick_rule(result.rules))
    yield from _honest(shown)
    if result.run_id:
        yield from labelled("Stored", f"as run {result.run_id}")


def _picked_group(shown: Shown, size: int) -> Group | None:
    """The group whose consensus is the pick; it may replace the one that was picked."""
    if shown.picks is None:
        return shown.result.pick(size)
    pick = shown.picks.picks.get(size)
    for group in shown.result.kept[size]:
        if pick is not None and group.rank == pick.rank:
            return group
    return None


def _members(result: SearchResult, group: Group) -> str:
    """The members of a group, and its hit rate beside that of all tickers on the same days."""
    n_buys = sum(day.buys for day in group.days)
    expected = 0.0
    for day, rate in zip(group.days, result.base_win_rates, strict=True):
        # Tickers drawn at random on these days, as many as the group buys.
        expected += rate * day.buys / max(n_buys, 1)
    place = f"rank {group.rank}"
    if group.idea is not None:
        place += f", idea {group.idea} of {len(result.ideas[len(group.members)])}"
    if group.family is not None:
        place += f", family {group.family}"
    hits = f"{group.pooled_pp:.1f}% of {n_buys} buys hit, of all tickers {expected:.1f}%"
    return f"{members_text(group.members, {})}: {hits} ({place})"


def _honest(shown: Shown) -> Iterator[Text]:
    """Luck, record and overlap: what there is to say against a pick."""
    result = shown.result
    luck = "not tested"
    if result.significance is not None:
        luck = result.significance.sentence()
    elif result.run_id is not None:
        luck += f": {shown.command('test')}"
    yield from labelled("Luck", luck, at_most=5)
    if shown.picks is None:
        return
    record = shown.beside.record or f"none yet: {_walk_forward(shown)}"
    yield from labelled("Record", record, at_most=4)
    yield from labelled("Overlap", _overlap(shown.picks, shown.beside.before))


def _walk_forward(shown: Shown) -> str:
    path = getattr(shown.request.source, "path", None) if shown.request else None
    return f"mp2 walkforward {shlex.quote(str(path)) if path else 'PRICES'}"


def _overlap(picks: DayPicks, before: DayPicks | None) -> str:
    if before is None:
        return "no run before this one has the same settings"
    now = set(picks.tickers())
    former = set(before.tickers())
    n_both = len(now & former)
    return (
        f"{n_both} of {counted(len(now), 'ticker')}; {len(former) - n_both} gone since the picks "
        f"for {before.day}"
    )
