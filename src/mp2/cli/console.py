"""What a person sees: the live display while a search runs, and the tables and sentences at its end.

Data goes to stdout, progress and logs to stderr. Everything that came from outside is shown as plain text, without
control characters and never as markup.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.console import Group as Stack
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mp2.errors import plain
from mp2.groups.result import Group, Member, SearchResult, StarterRecord, StarterStatus, Status

if TYPE_CHECKING:
    from mp2.groups.search import SearchProgress
    from mp2.groups.space import PanelSummary
    from mp2.picks.records import DayPicks, Outcome
    from mp2.picks.walkforward import Judged, WalkForward

log = logging.getLogger("mp2")

NS_PER_S = 1e9
PLAIN_WIDTH = 160


class _Screen(Console):
    """A console that leaves it to the command line what a closed output means; rich would end the process with code 1."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - the BrokenPipeError that is being handled


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; when it is not a terminal, lines are wide and nothing is coloured."""
    stream = sys.stderr if stderr else sys.stdout
    return _Screen(
        file=stream,
        width=None if stream.isatty() else PLAIN_WIDTH,
        highlight=False,
        soft_wrap=not stream.isatty(),
    )


def duration(seconds: float) -> str:
    """Seconds for people: 0.25 s, 12.3 s, 4 min 05 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 100
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def count(number: float) -> str:
    """A count with thousands separated, or in words of magnitude from a million up."""
    for limit, word in (
        (1e15, "quadrillion"),
        (1e12, "trillion"),
        (1e9, "billion"),
        (1e6, "million"),
    ):
        if number >= limit:
            return f"{number / limit:,.2f} {word}"
    return f"{number:,.0f}"


def share(fraction: float) -> str:
    """A fraction as a percentage, rounded down, so that 100% means all of it."""
    if 0 < fraction < 0.0001:
        return "less than 0.01%"
    hundredths = int(fraction * 10_000)
    return f"{hundredths // 100}%" if hundredths % 100 == 0 else f"{hundredths / 100:.2f}%"


def coverage_sentence(result: SearchResult) -> str:
    """One honest sentence on how much of the space the result speaks for."""
    found = any(result.kept.values())
    if result.status is Status.COMPLETE:
        return f"Complete: {'no better group exists' if found else 'no group is eligible'} under these rules."
    what = {Status.WALL: "Wall", Status.STOPPED: "Stopped", Status.WORK_LIMIT: "Work limit"}[
        result.status
    ]
    tail = "better groups may exist" if found else "none found so far"
    return f"{what}: {share(result.coverage)} of the space exhausted; {tail}."


def resident_bytes() -> int:
    """Memory this process holds now (its peak where the system does not tell)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak_bytes()


def _peak_bytes() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def heartbeat_line(progress: SearchProgress) -> str:
    """One log line: elapsed, starters done and left, limit, bank, attempts, memory."""
    pool = progress.pool
    left = progress.n_starters - pool.n_exhausted
    return (
        f"{pool.elapsed_ns / NS_PER_S:.1f}s elapsed, {pool.n_exhausted} starters done, {left} left ({pool.n_running} running, "
        f"{pool.n_cut_off} cut off, {pool.n_waiting} waiting), limit {pool.limit_ns / NS_PER_S:.3f}s, "
        f"bank {pool.bank_ns / NS_PER_S:.3f}s, {count(progress.attempts)} attempts, {resident_bytes() >> 20} MB"
    )


class SearchDisplay:
    """Follows a running search: a live display on a terminal, and a heartbeat in the log everywhere.

    Use as a context manager and hand `update` to `mp2.search(observe=...)`.
    """

    def __init__(self, screen: Console, *, heartbeat_s: float, live: bool) -> None:
        self._heartbeat_ns = round(heartbeat_s * NS_PER_S)
        self._next_beat_ns = self._heartbeat_ns
        self._last = (0, 0)
        self._rate = 0.0
        self._live = (
            Live(console=screen, auto_refresh=False, transient=True)
            if live and screen.is_terminal
            else None
        )

    def __enter__(self) -> SearchDisplay:
        self._draw(Live.start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw(Live.stop)

    def update(self, progress: SearchProgress) -> None:
        """Show the state of the search; logs a heartbeat when one is due."""
        elapsed_ns = progress.pool.elapsed_ns
        if elapsed_ns >= self._next_beat_ns:
            self._next_beat_ns = elapsed_ns + self._heartbeat_ns
            log.info(heartbeat_line(progress))
        if self._live:
            self._measure(elapsed_ns, progress.attempts)
            shown = self._render(progress)
            self._draw(lambda live: live.update(shown, refresh=True))

    def _draw(self, change: Callable[[Live], None]) -> None:
        """A terminal that has gone away costs the display, not the search."""
        if self._live:
            try:
                change(self._live)
            except OSError:
                self._live = None

    def _measure(self, elapsed_ns: int, attempts: int) -> None:
        span_ns, more = elapsed_ns - self._last[0], attempts - self._last[1]
        if span_ns > 0:
            now = more * NS_PER_S / span_ns
            self._rate = now if self._rate == 0 else 0.7 * self._rate + 0.3 * now
            self._last = (elapsed_ns, attempts)

    def _render(self, progress: SearchProgress) -> Table:
        pool = progress.pool
        left_s = max(0, pool.wall_ns - pool.elapsed_ns) / NS_PER_S
        grid = Table.grid(padding=(0, 2))
        grid.add_row("to the wall", duration(left_s))
        grid.add_row(
            "starters",
            f"{pool.n_exhausted} done, {pool.n_running} running, {pool.n_cut_off} cut off, {pool.n_waiting} waiting",
        )
        grid.add_row(
            "limit, bank",
            f"{duration(pool.limit_ns / NS_PER_S)}, {duration(pool.bank_ns / NS_PER_S)}",
        )
        grid.add_row("attempts", f"{count(progress.attempts)}, {count(self._rate)} a second")
        for size, score in progress.best_score.items():
            grid.add_row(f"best of size {size}", "none yet" if score is None else f"{score:.2f}")
        return grid


def members_text(members: Iterable[Member], hints: Mapping[int, str]) -> str:
    """A group's members in one line, each with its hint of `alias_hints`."""
    return plain(
        " + ".join(
            f"{member.algo} {member.variation}{hints.get(member.variation_idx, '')}"
            for member in members
        )
    )


def alias_hints(aliases: Iterable[Sequence[Member]]) -> dict[int, str]:
    """By variation number, what it is identical to: ` (= 5-21)`, or ` (= 5-21, +3)` when there are three more."""
    hints = {}
    for members in aliases:
        more = f", +{len(members) - 2}" if len(members) > 2 else ""
        for member in members:
            other = members[1] if member == members[0] else members[0]
            hints[member.variation_idx] = f" (= {other.variation}{more})"
    return hints


def result_view(result: SearchResult, *, n_show: int) -> Stack:
    """Tables of the best groups per size, the picks, the totals and the sentence on coverage."""
    parts: list[Any] = []
    hints = alias_hints(result.aliases)
    for size, kept in result.kept.items():
        parts += [
            _groups_table(result, size, kept[:n_show], hints),
            *_pick_lines(result, size, hints),
            Text(),
        ]
    parts += [Text(line) for line in _totals(result)]
    parts.append(Text(coverage_sentence(result), style="bold"))
    return Stack(*parts)


def _groups_table(
    result: SearchResult, size: int, shown: Sequence[Group], hints: Mapping[int, str]
) -> Table | Text:
    n_kept, n_eligible = len(result.kept[size]), result.eligible[size]
    if not n_kept:
        return Text(f"Size {size}: no eligible group found.", style="bold")
    table = Table(
        title=f"Size {size}: best {len(shown)} of {n_kept:,} kept, {n_eligible:,} eligible",
        title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim",
    )  # fmt: skip
    for heading in ("rank", "score", "hit %", "Wilson %", "buys", "hits"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("members", overflow="fold")
    for group in shown:
        buys, hits = (
            "/".join(str(getattr(day, name)) for day in group.days) for name in ("buys", "hits")
        )
        numbers = (
            f"{group.score:.2f}",
            f"{group.pooled_pp:.1f}",
            f"{group.wilson_lb:.1f}",
            buys,
            hits,
        )
        mark = "*" if group.rank == result.picked_rank.get(size) else ""
        table.add_row(f"{mark}{group.rank}", *numbers, Text(members_text(group.members, hints)))
    return table


def _pick_lines(result: SearchResult, size: int, hints: Mapping[int, str]) -> Iterable[Text]:
    pick = result.pick(size)
    if pick is None:
        yield Text(f"No pick of size {size}: no group was kept.")
        return
    yield Text(
        f"Pick of size {size}: rank {pick.rank}, {members_text(pick.members, hints)}", style="green"
    )
    last = pick.consensus[-1]
    yield Text(f"  consensus on {last.day}: {plain(' '.join(last.tickers)) or 'no ticker'}")


def _totals(result: SearchResult) -> Iterable[str]:
    rate = result.attempts / result.elapsed_s if result.elapsed_s > 0 else 0.0
    yield (
        f"{count(result.attempts)} attempts in {duration(result.elapsed_s)} ({count(rate)} a second), "
        f"{result.n_exhausted:,} of {result.n_starters:,} starters exhausted, status {result.status}."
    )
    yield f"Groups tested: {', '.join(_tested(result, size) for size in result.tested)}."
    if result.n_decided is not None and result.attempts:
        yield f"Decided without a visit: {share(result.n_decided / result.attempts)} of the attempts."
    if result.aliases:
        n_alike = sum(map(len, result.aliases)) - len(result.aliases)
        yield f"{n_alike:,} of {result.n_starters:,} variations are identical to an earlier one on all these days (shown as =)."
    if result.run_id:
        run_id = plain(result.run_id)
        more = "" if result.status is Status.COMPLETE else f" mp2 resume {run_id} goes on."
        yield f"Stored as run {run_id}.{more}"


def _tested(result: SearchResult, size: int) -> str:
    bound = "" if result.tested_exact or size < max(result.tested) else "at least "
    return f"{bound}{count(result.tested[size])} of size {size}"


def warning_lines(warnings: Iterable[str]) -> Iterable[Text]:
    """Warnings, one line each."""
    return (Text(f"warning: {plain(line)}", style="yellow") for line in warnings)


def summary_view(summary: PanelSummary, needed_bytes: int) -> Stack:
    """What a dry run prints: sizes of the panel, the space and the memory."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("algorithm")
    table.add_column("variations", justify="right")
    for algo, n_variations in summary.variations_per_algo.items():
        table.add_row(Text(plain(algo)), f"{n_variations:,}")
    days = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("day", "buys", "base win rate"):
        days.add_column(heading, justify="left" if heading == "day" else "right")
    for day, buys, rate in zip(
        summary.days, summary.buys_per_day, summary.base_win_rates, strict=True
    ):
        days.add_row(day, f"{buys:,}", f"{rate:.1f}%")
    lines = (
        f"{len(summary.variations_per_algo)} algorithms, {summary.n_variations:,} variations, {len(summary.days)} days, "
        f"{summary.n_tickers:,} tickers",
        f"wins {'depend on day and ticker alone' if summary.consistent else 'differ between variations of one day and ticker'}",
        f"space: {summary.n_groups:,} groups of size 1..{summary.max_size} before pruning",
        f"memory: {summary.panel_bytes / 2**20:.1f} MB packed, about {needed_bytes / 2**20:.0f} MB for a search",
    )
    return Stack(table, Text(), days, Text(), *map(Text, lines))


def algo_totals(starters: Iterable[StarterRecord]) -> dict[str, dict[str, float]]:
    """Per algorithm: starters, cut-offs, seconds run and mean buys of a starter."""
    totals: dict[str, dict[str, float]] = {}
    for starter in starters:
        row = totals.setdefault(
            starter.algo, {"n_starters": 0, "n_cut_off": 0, "elapsed_s": 0.0, "n_buys": 0}
        )
        row["n_starters"] += 1
        row["n_cut_off"] += starter.status is StarterStatus.CUT_OFF
        row["elapsed_s"] += starter.elapsed_s
        row["n_buys"] += starter.n_buys
    return totals


def log_algo_totals(starters: Iterable[StarterRecord]) -> None:
    """Log one line per algorithm at the end of a run."""
    for algo, row in algo_totals(starters).items():
        log.info(
            "%s: %d starters, %d cut off, %.2fs, %.1f buys a starter on average",
            plain(algo), row["n_starters"], row["n_cut_off"], row["elapsed_s"], row["n_buys"] / row["n_starters"],
        )  # fmt: skip


def record_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A plain table of text; where it is too wide, all columns but the first are folded."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading == headings[0], overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(value)) for value in row))
    return table


# --- picks and outcomes --------------------------------------------------------------------------------------------


def picks_view(picks: DayPicks, *, n_show: int, aliases: Iterable[Sequence[Member]] = ()) -> Stack:
    """A day's tickers by size, and the best `n_show` of the vote. `aliases` are those of the run's result."""
    hints = alias_hints(aliases)
    when = f"{picks.day} ({'assumed next trading day' if picks.assumed else 'next trading day'})"
    parts: list[Any] = [Text(), Text(f"Picks for {when}", style="bold")]
    for size, pick in picks.picks.items():
        if pick is None:
            parts.append(Text(f"Size {size}: no pick"))
            continue
        instead = (
            "" if pick.fallback_from is None else f", standing in for rank {pick.fallback_from}"
        )
        parts.append(
            Text(f"Size {size}: {plain(' '.join(pick.tickers)) or 'no ticker'}", style="green")
        )
        parts.append(
            Text(f"  rank {pick.rank}{instead}: {members_text(pick.members, hints)}", style="dim")
        )
    if picks.votes and n_show:
        rows = [
            (vote.ticker, vote.n_groups, vote.best_rank, _first_of(vote.members))
            for vote in picks.votes[:n_show]
        ]
        parts += [
            Text(),
            record_table(("ticker", "groups", "best rank", "members that agree"), rows),
        ]
    return Stack(*parts)


def _first_of(members: Sequence[str], n_shown: int = 4) -> str:
    more = f" and {len(members) - n_shown} more" if len(members) > n_shown else ""
    return ", ".join(members[:n_shown]) + more


def outcome_view(outcome: Outcome) -> Stack:
    """How a day's picks did against all tickers."""
    if outcome.session is None:
        return Stack(
            Text(f"Outcome of {outcome.day}: {outcome.status}. {plain(outcome.note or '')}")
        )
    head = (
        f"Outcome of {outcome.session}: {outcome.n_universe} tickers, {_percent(outcome.universe_hit_rate_pp)} closed above "
        f"their open, mean {_percent(outcome.universe_return_pp, 2)}"
    )
    named = {
        **{f"size {size}": score for size, score in outcome.sizes.items()},
        "votes": outcome.votes,
    }
    rows = [
        (
            name,
            score.n_picks,
            _percent(score.hit_rate_pp),
            _points(score.hit_difference_pp),
            _percent(score.mean_return_pp, 2),
            _points(score.return_difference_pp, 2),
        )
        for name, score in named.items()
        if score is not None
    ]
    table = record_table(
        ("picks of", "tickers", "hit rate", "difference", "mean return", "difference"), rows
    )
    note = [Text(plain(outcome.note))] if outcome.note else []
    return Stack(Text(), Text(head, style="bold"), table, *note)


def walk_view(walk: WalkForward) -> Stack:
    """A row per week and per series in total, and the verdict."""
    weeks = [
        _walk_row(f"{week.days[0].day} to {week.days[-1].day}", week.judged["all"])
        for week in walk.weeks
    ]
    totals = [_walk_row(name, judged) for name, judged in walk.total.items()]
    headings = (
        "picks",
        "days",
        "without",
        "hit rate",
        "universe",
        "difference",
        "95% interval",
        "mean return",
        "difference",
    )
    parts = (
        record_table(("week", *headings), weeks),
        Text(),
        record_table(("in total", *headings), totals),
        Text(),
        Text(walk.sentence(), style="bold"),
    )
    return Stack(*parts)


def _walk_row(name: str, judged: Judged) -> tuple[object, ...]:
    hits, returns = judged.hit_difference, judged.return_difference
    interval = (
        "too few days"
        if hits is None or hits.low is None
        else f"{hits.low:+.1f} to {hits.high:+.1f}"
    )
    return (
        name,
        judged.n_picks,
        judged.n_days,
        judged.n_days_without,
        _percent(judged.hit_rate_pp),
        _percent(judged.universe_hit_rate_pp),
        _points(None if hits is None else hits.mean),
        interval,
        _percent(judged.mean_return_pp, 2),
        _points(None if returns is None else returns.mean, 2),
    )


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}%"


def _points(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:+.{digits}f}"
