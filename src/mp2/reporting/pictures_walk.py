"""Pictures of a walk-forward: what picks were worth, and how the weeks differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mp2.picks.records import ALL
from mp2.picks.weeks import WalkDay, WalkForward
from mp2.reporting.theme import (
    BLUE,
    FAINT_GREY,
    GREY,
    VERMILLION,
    column,
    graph_objects,
    new_figure,
)


def value(walk: WalkForward) -> Any:
    """Draw what the picks of all sizes were worth, gross and net, and all tickers on the same days.

    Money lies idle on days without picks, in both lines. The band is where 95 of 100 choices of as
    many tickers at random would be, if tickers moved independently; they do not, so it is narrow.
    """
    figure = new_figure(
        "Value of the picks",
        380,
        yaxis={"ticksuffix": "%", "title": {"text": "gain since the first day"}},
        hovermode="x unified",
    )
    days = [day for week in walk.weeks for day in week.days]
    # The band comes first, so that it lies below the lines.
    names = column(days, "day")
    low, high = _band(days)
    if low:
        edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        figure.add_scatter(x=names, y=high, showlegend=False, **edge)
        figure.add_scatter(
            x=names,
            y=low,
            fill="tonexty",
            fillcolor=FAINT_GREY,
            name="picks at random, 95 of 100, before costs",
            **edge,
        )
    held = [day.scores[ALL] for day in days]
    # On the days with picks only: else the two lines would hold different days.
    universe = [day.universe_return_pp if day.scores[ALL] else 0.0 for day in days]
    gross = [(score.mean_return_pp or 0.0) if score else 0.0 for score in held]
    lines = [("all tickers", universe, GREY, "dot"), ("picks", gross, BLUE, "solid")]
    if walk.cost_bps:
        net = [(score.net_return_pp or 0.0) if score else 0.0 for score in held]
        lines.append((f"picks after costs of {walk.cost_bps:g} bps", net, VERMILLION, "dash"))
    for name, returns, colour, dash in lines:
        gains = list(_compounded(returns))
        figure.add_scatter(
            x=names,
            y=gains,
            mode="lines",
            line={"color": colour, "width": 2.2, "dash": dash},
            name=f"{name}: {gains[-1]:+.1f}%" if gains else name,
            hovertemplate="%{y:+.2f}%",
        )
    return figure


def _compounded(returns_pp: Sequence[float]) -> Iterator[float]:
    """Yield the gain in percent after each of some returns in percent."""
    worth = 1.0
    for return_pp in returns_pp:
        worth *= 1 + return_pp / 100
        yield 100 * (worth - 1)


def _band(days: Sequence[WalkDay]) -> tuple[list[float], list[float]]:
    """Return the lower and upper gain, in percent, of picks at random; empty without spreads."""
    low = []
    high = []
    # Sums of logarithms, since returns compound.
    drift = 0.0
    variance = 0.0
    for day in days:
        score = day.scores[ALL]
        if score:
            spread_pp = day.universe_spread_pp
            if spread_pp is None:
                return [], []
            drift += math.log1p(day.universe_return_pp / 100)
            # Drawn without replacement: all of the universe has no spread.
            share_left = 1 - score.n_tickers / max(day.n_universe, score.n_tickers)
            variance += (spread_pp / 100) ** 2 / score.n_tickers * share_left
        reach = 1.96 * math.sqrt(variance)
        low.append(100 * math.expm1(drift - reach))
        high.append(100 * math.expm1(drift + reach))
    return low, high


def weeks(walk: WalkForward) -> Any:
    """Draw the difference of the hit rates, picks less all tickers, by week with 95% intervals."""
    graph_objects()
    figure = new_figure(
        "Picks less all tickers, by week",
        340,
        yaxis={"title": {"text": "points"}, "zeroline": True, "zerolinewidth": 2},
    )
    total = walk.total[ALL].hit_difference
    if total is not None and total.low is not None:
        figure.add_hrect(total.low, total.high, fillcolor=FAINT_GREY, line={"width": 0})
        figure.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=1,
            yref="paper",
            yanchor="top",
            text=f"band: all weeks {total.mean:+.1f} ({total.low:+.1f} to {total.high:+.1f})",
            showarrow=False,
        )
    around: list[tuple[str, Any]] = []
    beside: list[tuple[str, Any]] = []
    without: list[str] = []
    for week in walk.weeks:
        first = week.days[0].day
        difference = week.judged[ALL].hit_difference
        if difference is None or difference.low is None or difference.high is None:
            without.append(first)
        # The picks were better, or worse, than chance explains in 19 weeks of 20.
        elif difference.low > 0 or difference.high < 0:
            beside.append((first, difference))
        else:
            around.append((first, difference))
    _add_weeks(figure, around, BLUE, "circle", "a week with its 95% interval")
    _add_weeks(figure, beside, VERMILLION, "diamond", "interval beside zero")
    if without:
        figure.add_scatter(
            x=without,
            # On the line of no difference: they have none.
            y=[0] * len(without),
            mode="markers",
            marker={"symbol": "x-thin", "size": 7, "line": {"width": 1.5, "color": GREY}},
            name="no picks, or too few days",
            hovertemplate="week of %{x}: no interval<extra></extra>",
        )
    return figure


def _add_weeks(
    figure: Any,
    entries: Sequence[tuple[str, Any]],
    colour: str,
    symbol: str,
    name: str,
) -> None:
    if not entries:
        return
    means = [difference.mean for _, difference in entries]
    figure.add_scatter(
        x=[first for first, _ in entries],
        y=means,
        error_y={
            "array": [difference.high - difference.mean for _, difference in entries],
            "arrayminus": [difference.mean - difference.low for _, difference in entries],
            "width": 0,
            "thickness": 2,
        },
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 9},
        name=name,
        hovertemplate="week of %{x}: %{y:+.1f} points<extra></extra>",
    )
