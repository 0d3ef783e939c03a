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
from mp2.picks.records import DayPicks, Vote, difference_of

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable
    from mp2.discovery.records import MergedCandidate
    from mp2.storage.request import Request

# Each size takes up to four lines, and users rarely retain more than three sizes.
_MAX_SIZES = 3
# With fewer rows of tickers the sentences below them shrink instead.
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
        tickers = list(picks.tickers())
        for vote in picks.votes:
            if vote.ticker not in tickers:
                tickers.append(vote.ticker)
        return named_among(tickers, scan.candidates)

    def picked_group(self, size: int) -> Group | None:
        """Return the group whose consensus is the pick of a size."""
        if self.picks is None:
            return self.result.pick(size)
        pick = self.picks.picks.get(size)
        if pick is None:
            return None
        # Another one than `result.pick` where that has too few tickers for the next day.
        for group in self.result.kept[size]:
            if group.rank == pick.rank:
                return group
        return None

    def tickers(self, size: int) -> Sequence[str] | None:
        """Return the tickers that a size comes to, None without a pick."""
        if self.picks is not None:
            pick = self.picks.picks.get(size)
            return None if pick is None else pick.tickers
        group = self.result.pick(size)
        return None if group is None else group.consensus[-1].tickers

    def command(self, words: str) -> str:
        """Return a command line on the stored run, with its database where that is not usual."""
        program = "mp2"
        if self.db != DEFAULT_DB:
            program += f" --db {shlex.quote(str(self.db))}"
        return f"{program} {words} {self.result.run_id}"


@dataclass(frozen=True, slots=True)
class _Room:
    """The most lines for the members of a group, luck, the record, and what scanners name."""

    members: int
    luck: int
    record: int
    named: int


_ROOMS = (
    _Room(members=3, luck=5, record=4, named=3),
    _Room(members=2, luck=4, record=3, named=1),
    # Cuts sentences, and so leaves `_MIN_ROWS` rows even where all else is at its longest.
    _Room(members=1, luck=2, record=1, named=0),
)
"""From the most to the least."""


def screen(shown: Shown, n_show: int | None) -> list[Text]:
    """Return the lines of the screen, with `n_show` tickers, or as many as it holds."""
    lines = [*_data(shown), *_search(shown), *_picks(shown)]
    foot: list[Text] = []
    n_free = 0
    # The table gets the lines that the sentences leave: they shrink until it is worth showing.
    for room in _ROOMS:
        foot = [*_scanners(shown, room), *_evidence(shown, room)]
        n_free = MAX_LINES - len(lines) - len(foot)
        # With headings, and a line on the rows that are left out.
        if n_free >= _MIN_ROWS + 2:
            break
    lines += _table(shown, n_show, n_free)
    lines += foot
    return lines


def short_line(shown: Shown) -> str:
    """Return the whole output of a quiet command: run, status, what was picked, p."""
    result = shown.result
    picks = shown.picks
    luck = result.significance
    run_id = result.run_id or "not stored"
    parts = [f"run {run_id}: {result.status}"]
    if result.status is not Status.COMPLETE:
        parts.append(f"{share(result.coverage)} of the space")
    if picks is None:
        n_groups = sum(result.n_kept.values())
        parts.append(counted(n_groups, result.keep.removesuffix("s")))
    else:
        n_tickers = len(picks.tickers())
        parts.append(f"{counted(n_tickers, 'ticker')} for {picks.day}")
    if luck is not None and luck.p is not None:
        parts.append(f"p = {luck.p:.3g}")
    return ", ".join(parts)


# --- data and search -------------------------------------------------------------------------


def _data(shown: Shown) -> Iterator[Text]:
    result = shown.result
    prices = shown.prices
    findings: Sequence[str] = ()
    if prices is not None:
        findings = prices.warnings
        facts = f"{prices.n_tickers:,} tickers to {prices.dates[-1]}, "
        if findings:
            facts += f"{counted(len(findings), 'finding')}: mp2 check data"
        else:
            facts += "no findings"
    else:
        facts = f"searched on {counted(len(result.days), 'day')} to {result.days[-1]}"
        if result.panel is not None:
            facts = f"{len(result.panel.tickers):,} tickers, {facts}"
    # The facts are whole: a long name gives way.
    room = LINE - len(facts) - 2
    name = cut(shown.source, room)
    if name != shown.source:
        name = f"{cut(name, room - 3)}..."
    yield from labelled("Data", f"{name}: {facts}")
    # Findings are counted above, and why a size has no pick stands beside that size.
    others = [
        line
        for line in dict.fromkeys(shown.warnings)
        if line not in findings and not line.endswith("; no pick")
    ]
    if not others:
        return
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
    days = counted(len(result.days), "day")
    time = duration(result.elapsed_s)
    facts = f"{result.n_starters:,} variations on {days}, {tested} groups in {time}"
    yield from labelled("Searched", facts)
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
    picks = shown.picks
    yield Text("")
    # A table of signals has no day after its last one: there the groups name that day's tickers.
    heading = f"Tickers of the picked groups on {result.days[-1]}"
    if picks is not None:
        assumed = " (assumed trading day)" if picks.assumed else ""
        heading = f"Picks for {picks.day}{assumed}: {holding(picks.hold).trade}"
    for line in wrapped(heading, at_most=2):
        yield Text(line, style="bold")
    for size in _sizes(result):
        tickers = shown.tickers(size)
        if tickers:
            yield from labelled(f"Size {size}", fitting(tickers), style="green")
            continue
        if tickers is not None:
            text = "no ticker"
        elif result.kept[size]:
            text = "no pick: no kept group has enough tickers"
        else:
            text = "no pick: no group was kept"
        yield from labelled(f"Size {size}", text)
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
    exclusions = shown.result.exclusions
    if exclusions:
        headings = ("rule", "limit", "excludes")
        lines = table_lines(headings, exclusion_rows(exclusions), right=[1])
        return lines[:n_free]
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
    prices = shown.prices
    change = difference_of(picks, shown.beside.before)
    named = shown.named()
    rows = []
    for vote in votes:
        ticker = vote.ticker
        sizes = picks.sizes_with(ticker)
        row = {"ticker": ticker}
        if prices is not None:
            row["last close"] = _last_close(prices, ticker)
        row["ideas"] = if_known(vote.n_ideas, str)
        row["groups"] = str(vote.n_groups)
        row["algorithms"] = if_known(vote.n_algorithms, str)
        row["picks"] = " ".join(map(str, sizes))
        if change.since is not None:
            # A ticker that is only voted for is not new: it is not picked at all.
            row["new"] = "new" if ticker in change.new else ""
        if shown.beside.scan is not None:
            candidate = named.get(ticker)
            row["scanners"] = "" if candidate is None else ", ".join(candidate.sources)
        rows.append(row)
    # The columns are the same in all rows; those between the ticker and its picks are numbers.
    headings = list(rows[0])
    numbers = range(1, headings.index("picks"))
    return table_lines(headings, [list(row.values()) for row in rows], right=numbers)


def _last_close(prices: PriceTable, ticker: str) -> str:
    # Tickers of a table of signals may be others.
    if ticker not in prices.tickers:
        return ""
    closes = prices.close[prices.tickers.index(ticker)]
    # Never empty: every ticker has a bar.
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
    for ticker in list(named)[: room.named]:
        candidate = named[ticker]
        why = reasons(candidate)
        yield from labelled("", f"{ticker} ({candidate.priority}): {why}")
    n_more = len(named) - room.named
    if n_more > 0 and room.named:
        yield from labelled("", f"and {n_more} more: mp2 scans show {scan.scan_id}")


# --- what they rest on -----------------------------------------------------------------------


def _evidence(shown: Shown, room: _Room) -> Iterator[Text]:
    result = shown.result
    label = "Rests on"
    for size in _sizes(result):
        group = shown.picked_group(size)
        if group is not None:
            yield from labelled(label, _members(result, group), at_most=room.members)
            label = ""
    # The rule that chose among the groups, where one was chosen.
    if not label:
        yield from labelled("Rule", pick_rule(result.rules))
    yield from _honest(shown, room)
    if result.run_id:
        yield from labelled("Stored", f"as run {result.run_id}")


def _members(result: SearchResult, group: Group) -> str:
    """The members of a group, and its hit rate beside that of all tickers on the same days."""
    buys = [day.buys for day in group.days]
    # What tickers drawn at random hit, as many on each day as the group buys then.
    expected = fmean(result.base_win_rates, buys)
    members = members_text(group.members, {})
    hits = f"{sum(buys)} buys, {group.pooled_pp:.1f}% hit; all tickers {expected:.1f}%"
    place = f"rank {group.rank}"
    if group.idea is not None:
        n_ideas = len(result.ideas[len(group.members)])
        place += f", idea {group.idea}/{n_ideas}"
    if group.family is not None:
        place += f", family {group.family}"
    return f"{members}: {hits} ({place})"


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
    record = shown.beside.record
    if record is None:
        record = f"none yet: {_first_record(shown.request)}"
    yield from labelled("Record", record, at_most=room.record)
    change = difference_of(shown.picks, shown.beside.before)
    overlap = "no run before this one has the same settings"
    if change.since is not None:
        n_tickers = len(change.same) + len(change.new)
        n_of = f"{len(change.same)} of {counted(n_tickers, 'ticker')}"
        overlap = f"{n_of}; {len(change.gone)} gone since the picks for {change.since}"
    yield from labelled("Overlap", overlap)


def _first_record(request: Request | None) -> str:
    """What makes the first record of a request's settings."""
    # Signals, and prices that are in no file, cannot be walked.
    if request is not None and request.source.kind == "prices":
        path = shlex.quote(str(request.source.path))
        return f"mp2 walkforward {path}"
    return "mp2 outcome scores the picks once their day is traded"
