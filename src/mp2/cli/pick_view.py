"""What a person sees of picks, outcomes and walk-forwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group as Stack
from rich.text import Text

from mp2.cli.search_view import alias_hints, members_text
from mp2.cli.views import record_table
from mp2.errors import plain
from mp2.groups.result import Member

if TYPE_CHECKING:
    from mp2.picks.records import DayPicks, Outcome
    from mp2.picks.walkforward import Judged, WalkForward


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
