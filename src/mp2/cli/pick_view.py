"""What a person sees of outcomes, of the days that were picked, and of walk-forwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from mp2.cli.views import record_table, stacked, styled
from mp2.data.holding import DAY_HOLD

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mp2.picks.records import DayPicks, Outcome
    from mp2.picks.scored import ScoredDays
    from mp2.picks.weeks import Judged, WalkForward


@stacked
def outcome_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Show how a day's picks did against all tickers."""
    note = outcome.note or ""
    if outcome.session is None:
        yield f"Outcome of {outcome.day}: {outcome.status}. {note}"
        return
    yield ""
    gained = "closed above their open" if outcome.hold == DAY_HOLD else "gained"
    yield styled(
        f"Outcome of {outcome.session}: {outcome.n_universe} tickers, "
        f"{_percent(outcome.universe_hit_rate_pp)} {gained}, "
        f"mean {_percent(outcome.universe_return_pp, 2)}",
        "bold",
    )
    scores = {f"size {size}": score for size, score in outcome.sizes.items()}
    scores["votes"] = outcome.votes
    rows = []
    cost_bps = 0.0
    for name, score in scores.items():
        if score is not None:
            hits = (_percent(score.hit_rate_pp), _points(score.hit_difference_pp))
            gain = (_percent(score.mean_return_pp, 2), _points(score.return_difference_pp, 2))
            net = _percent(score.net_return_pp, 2)
            # It is the same for all picks of a day.
            cost_bps = score.cost_bps
            rows.append((name, score.n_tickers, score.n_unpriced, *hits, *gain, net))
    headings = (
        "picks of",
        "tickers",
        "no bar",
        "hit rate",
        "difference",
        "mean return",
        "difference",
        f"after {cost_bps:g} bps a side",
    )
    yield with_net(headings, rows, shown=cost_bps > 0)
    if note:
        yield note


@stacked
def record_view(record: Mapping[int, ScoredDays]) -> Iterator[RenderableType]:
    """Show what the picks of a run made on several scored days, a line per size."""
    for size, days in record.items():
        if days.n_days > 1:
            yield f"Size {size}, {days.sentence()}"


def with_net(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    shown: bool,
) -> RenderableType:
    """Build a table whose last column, returns after costs, is left out where there are none."""
    if shown:
        return record_table(headings, rows)
    return record_table(headings[:-1], [row[:-1] for row in rows])


PickedDay: TypeAlias = "tuple[DayPicks, Outcome | None]"

_DAY_HEADINGS = (
    "day",
    "size",
    "hits",
    "hit rate",
    "universe",
    "difference",
    "mean return",
    "difference",
    "after costs",
    "tickers",
)


@stacked
def days_view(days: Iterable[PickedDay]) -> Iterator[RenderableType]:
    """Show every day picked for: the tickers by size, and how they did where that is known."""
    rows = []
    for picks, outcome in days:
        for size, pick in picks.picks.items():
            tickers = "no pick" if pick is None else " ".join(pick.tickers)
            # A day that is not scored yet has none.
            figures: tuple[object, ...] = ("", "", "", "", "", "", "")
            score = None if outcome is None else outcome.sizes.get(size)
            if outcome is not None and score is not None:
                figures = (
                    f"{score.n_hits} of {score.n_tickers}",
                    _percent(score.hit_rate_pp),
                    _percent(outcome.universe_hit_rate_pp),
                    _points(score.hit_difference_pp),
                    _percent(score.mean_return_pp, 2),
                    _points(score.return_difference_pp, 2),
                    _percent(score.net_return_pp, 2),
                )
            rows.append((picks.day, size, *figures, tickers))
    yield ""
    yield styled("Days picked (mp2 outcome scores them)", "bold")
    yield record_table(_DAY_HEADINGS, rows)


JUDGED_HEADINGS = (
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


@stacked
def walk_view(walk: WalkForward) -> Iterator[RenderableType]:
    """Show a row per week and per series in total, and the verdict."""
    weeks = []
    for week in walk.weeks:
        name = f"{week.days[0].day} to {week.days[-1].day}"
        weeks.append(judged_row(name, week.judged["all"]))
    totals = [judged_row(name, judged) for name, judged in walk.total.items()]
    has_costs = walk.cost_bps > 0
    net = f"after {walk.cost_bps:g} bps a side"
    yield with_net(("week", *JUDGED_HEADINGS, net), weeks, shown=has_costs)
    yield ""
    yield with_net(("in total", *JUDGED_HEADINGS, net), totals, shown=has_costs)
    yield ""
    yield money_table(walk.total, walk.cost_bps)
    yield ""
    yield styled(walk.sentence(), "bold")
    luck = walk.luck_sentence()
    if luck is not None:
        yield styled(luck, "bold")


def judged_row(name: str, judged: Judged) -> tuple[object, ...]:
    """Return the cells of a judged series, of `JUDGED_HEADINGS` and the return after costs."""
    hits = judged.hit_difference
    gain = judged.return_difference
    # An interval takes more days than a mean.
    interval = "too few days"
    hits_difference = None
    gain_difference = None
    if hits is not None:
        hits_difference = hits.mean
        if hits.low is not None:
            interval = f"{hits.low:+.1f} to {hits.high:+.1f}"
    if gain is not None:
        gain_difference = gain.mean
    return (
        name,
        judged.n_picks,
        judged.n_days,
        judged.n_days_without,
        _percent(judged.hit_rate_pp),
        _percent(judged.universe_hit_rate_pp),
        _points(hits_difference),
        interval,
        _percent(judged.mean_return_pp, 2),
        _points(gain_difference, 2),
        _percent(judged.net_return_pp, 2),
    )


_MONEY_HEADINGS = ("equity of 1", "drawdown", "worst day", "on", "Sharpe a year", "turnover")


def money_table(judged: Mapping[str, Judged], cost_bps: float) -> RenderableType:
    """Build a table of what the money made in each series of picks."""
    rows = []
    for name, of_series in judged.items():
        money = of_series.performance
        if money is None:
            continue
        sharpe = "too few days"
        if money.sharpe is not None:
            sharpe = f"{money.sharpe:.2f} +- {money.sharpe_se:.2f}"
        worst = (_percent(money.worst_day_pp, 2), money.worst_day)
        fall = _percent(money.max_drawdown_pp)
        turnover = _percent(money.turnover_pp, 0)
        rows.append((name, f"{money.equity:.3f}", fall, *worst, sharpe, turnover))
    after = f"after {cost_bps:g} bps a side" if cost_bps else "before costs"
    return record_table((f"money, {after}", *_MONEY_HEADINGS), rows)


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}%"


def _points(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:+.{digits}f}"
