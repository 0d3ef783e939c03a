"""The screen of a run: its data, its search, the picks, and what they rest on, in 30 lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from mp2.cli.beside import Beside
from mp2.cli.options import DEFAULT_DB
from mp2.cli.scan_view import reasons, scan_sentence
from mp2.cli.screen_text import LINE, MAX_LINES, cut, fitting, labelled, table_lines, wrapped
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

# More sizes than that are rarely retained; they take up to four lines each.
_MAX_SIZES = 3
_MIN_ROWS = 3
_ENDINGS = {Status.WALL: "Wall", Status.STOPPED: "Stopped", Status.WORK_LIMIT: "Work limit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A result and all that is shown of it and beside it.

    `source`: the name of the data. `request`: what was asked, None where that is not known.
    `warnings`: all there are.
    """

    source: str
    result: SearchResult
    picks: DayPicks | None
    prices: PriceTable | None
    request: Request | None
    warnings: Sequence[str]
    beside: Beside
    db: Path

    def named(self) -> dict[str, MergedCandidate]:
        """Return the candidates of the scan among the tickers of the vote, picked ones first."""
        scan = self.beside.scan
        picks = self.picks
        if scan is None or picks is None:
            return {}
        voted = [vote.ticker for vote in picks.votes]
        tickers = dict.fromkeys([*picks.tickers(), *voted])
        return named_among(tickers, scan.candidates)

    def command(self, words: str) -> str:
        """Return a command line on the stored run, with its database where that is not usual."""
        db = "" if self.db == DEFAULT_DB else f"--db {shlex.quote(str(self.db))} "
        return f"mp2 {db}{words} {self.result.run_id}"


@dataclass(frozen=True, slots=True)
class _Room:
    """The most lines for the members of a group, luck, the record, and what scanners name."""

    members: int
    luck: int
    record: int
    named: int


_ROOMS = (_Room(3, 5, 4, 3), _Room(2, 4, 3, 1), _Room(1, 2, 1, 0))
"""From the most to the least; where the last one is needed sentences are cut."""


def screen(shown: Shown, n_show: int | None) -> list[Text]:
    """Return the lines of the screen, with `n_show` tickers, or as many as it holds."""
    head = [*_data(shown), *_search(shown), *_picks(shown)]
    foot: list[Text] = []
    n_free = 0
    for room in _ROOMS:
        foot = [*_scanners(shown, room), *_evidence(shown, room)]
        n_free = MAX_LINES - len(head) - len(foot)
        # With headings, and a line on the rows that are left out.
        if n_free >= _MIN_ROWS + 2:
            break
    return [*head, *_table(shown, n_show, n_free), *foot]


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
    findings: Sequence[str] = ()
    facts = f"searched on {counted(len(result.days), 'day')} to {result.days[-1]}"
    if shown.prices is not None:
        findings = shown.prices.warnings
        facts = f"{shown.prices.n_tickers:,} tickers to {shown.prices.dates[-1]}, no findings"
        if findings:
            n_findings = counted(len(findings), "finding")
            facts = facts.replace("no findings", f"{n_findings}: mp2 check data")
    elif result.panel is not None:
        facts = f"{len(result.panel.tickers):,} tickers, {facts}"
    # The facts are whole: a long name gives way.
    room = LINE - len(facts) - 2
    name = cut(shown.source, room)
    if name != shown.source:
        name = f"{cut(name, room - 3)}..."
    yield from labelled("Data", f"{name}: {facts}")
    # Why a size has no pick stands beside it.
    others = [
        line
        for line in dict.fromkeys(shown.warnings)
        if line not in findings and not line.endswith("; no pick")
    ]
    if others:
        # Signals that seem to know their day make all else worthless.
        text = min(others, key=lambda line: "shift" not in line)
        if len(others) > 1:
            text = f"1 of {len(others)} (all: -v): {text}"
        yield from labelled("Warning", text, at_most=2, style="yellow")


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
        # On a line of its own, so that it can be copied.
        yield from labelled("", "The picks will change when it completes:", style="bold")
        yield from labelled("", remedy, at_most=2, style="bold")


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


def _table(
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
    n_rows = n_free - 2 if n_show is None else n_show
    lines = _ticker_lines(shown, picks, votes[:n_rows])
    n_more = len(votes) - n_rows
    if n_more > 0:
        n_picked = len(picks.tickers())
        more = f"and {n_more:,} more; {n_picked} are picked, the others only voted for"
        lines.append(Text(f"{more} (--show N)", style="dim"))
    return lines


def _ticker_lines(
    shown: Shown,
    picks: DayPicks,
    votes: Sequence[Vote],
) -> list[Text]:
    tickers = [vote.ticker for vote in votes]
    columns: dict[str, list[str]] = {"ticker": tickers}
    if shown.prices is not None:
        prices = shown.prices
        columns["last close"] = [_last_close(prices, ticker) for ticker in tickers]
    columns["ideas"] = [if_known(vote.n_ideas, str) for vote in votes]
    columns["groups"] = [str(vote.n_groups) for vote in votes]
    columns["algorithms"] = [if_known(vote.n_algorithms, str) for vote in votes]
    numbers = range(1, len(columns))
    columns["picks"] = [" ".join(map(str, picks.sizes_with(ticker))) for ticker in tickers]
    if shown.beside.before is not None:
        former = shown.beside.before.tickers()
        new = set(picks.tickers()).difference(former)
        columns["new"] = ["new" if ticker in new else "" for ticker in tickers]
    if shown.beside.scan is not None:
        named = shown.named()
        columns["scanners"] = [
            ", ".join(named[ticker].sources) if ticker in named else "" for ticker in tickers
        ]
    return table_lines(list(columns), list(zip(*columns.values(), strict=True)), right=numbers)


def _last_close(prices: PriceTable, ticker: str) -> str:
    # Tickers of a table of signals may be others.
    if ticker not in prices.tickers:
        return ""
    closes = prices.close[prices.tickers.index(ticker)]
    # Every ticker has a bar.
    close = closes[np.isfinite(closes)][-1]
    if close < 1:
        return f"{close:.4g}"
    return f"{close:,.2f}"


def _scanners(shown: Shown, room: _Room) -> Iterator[Text]:
    """What the scan came to, and why it names tickers of the vote."""
    scan = shown.beside.scan
    if scan is None:
        return
    yield from labelled("Scanners", scan_sentence(scan))
    named = shown.named()
    for ticker, candidate in list(named.items())[: room.named]:
        yield from labelled("", f"{ticker} ({candidate.priority}): {reasons(candidate)}")
    n_more = len(named) - room.named
    if n_more > 0 and room.named:
        yield from labelled("", f"and {n_more} more: mp2 scans show {scan.scan_id}")


def exclusion_lines(result: SearchResult, at_most: int) -> list[Text]:
    """Return what each rule excluded, as a table of so many lines."""
    headings = ("rule", "limit", "excludes")
    lines = table_lines(headings, exclusion_rows(result.exclusions), right=[1])
    return lines[:at_most]


# --- what they rest on -----------------------------------------------------------------------


def _evidence(shown: Shown, room: _Room) -> Iterator[Text]:
    result = shown.result
    label = "Rests on"
    for size in _sizes(result):
        group = _picked_group(shown, size)
        if group is not None:
            yield from labelled(label, _members(result, group), at_most=room.members)
            label = ""
    if not label:
        yield from labelled("Rule", pick_rule(result.rules))
    yield from _honest(shown, room)
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
    # Tickers drawn at random on these days, as many as the group buys.
    buys = [day.buys for day in group.days]
    n_buys = sum(buys)
    expected = fmean(result.base_win_rates, buys)
    place = f"rank {group.rank}"
    if group.idea is not None:
        n_ideas = len(result.ideas[len(group.members)])
        place += f", idea {group.idea}/{n_ideas}"
    if group.family is not None:
        place += f", family {group.family}"
    hits = f"{n_buys} buys, {group.pooled_pp:.1f}% hit; all tickers {expected:.1f}%"
    return f"{members_text(group.members, {})}: {hits} ({place})"


def _honest(shown: Shown, room: _Room) -> Iterator[Text]:
    """Luck, record and overlap: what there is to say against a pick."""
    result = shown.result
    luck = "not tested"
    if result.significance is not None:
        luck = result.significance.sentence()
    elif result.run_id is not None:
        luck += f": {shown.command('test')}"
    yield from labelled("Luck", luck, at_most=room.luck)
    if shown.picks is None:
        return
    if result.run_id is None:
        yield from labelled("Record", "not known, and no overlap: the run is not stored")
        return
    record = shown.beside.record or f"none yet: {_first_record(shown.request)}"
    yield from labelled("Record", record, at_most=room.record)
    yield from labelled("Overlap", _overlap(shown.picks, shown.beside.before))


def _first_record(request: Request | None) -> str:
    """What makes the first record of a request's settings."""
    path = getattr(request.source, "path", None) if request else None
    # Signals, and prices that are in no file, cannot be walked.
    if path is None or request is None or request.source.kind != "prices":
        return "mp2 outcome scores the picks once their day is traded"
    return f"mp2 walkforward {shlex.quote(str(path))}"


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
