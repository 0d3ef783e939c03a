"""Pictures of a search and its picks: votes, days, scores, algorithms and variations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import combinations
from statistics import fmean, quantiles
from typing import Any

from mp2.groups.result import Group, SearchResult
from mp2.picks.records import DayPicks, Outcome, Vote
from mp2.reporting.theme import (
    BLUE,
    FAINT_ORANGE,
    GREY,
    VERMILLION,
    column,
    graph_objects,
    label,
    labels,
    new_figure,
    size_colour,
    size_symbol,
)

MOST_TICKERS = 40
"""Rows of the votes that still fit a screen; the table under the picture has all."""

Shares = list[tuple[str, dict[int, float]]]
"""Variations, each with the percent of the kept groups of a size that have it, by size."""

_MOST_ALGOS = 12
_MOST_VARIATIONS = 14
_ROW_PX = 17


# --- votes


def votes(picks: DayPicks, outcome: Outcome | None = None) -> Any:
    """Draw which idea names which ticker, most ideas first, beside the picks.

    Each column is one idea: groups that say the same count once. Columns of one size stand
    together, the best idea first. With an outcome the return of each ticker stands at its right.
    """
    shown = picks.votes[:MOST_TICKERS]
    sizes = sorted(picks.picks)
    columns = sorted({idea for vote in shown for idea in vote.ideas})
    figure = _vote_axes(picks, shown, sizes)
    _add_picked(figure, picks, shown, sizes)
    _add_ideas(figure, shown, columns)
    _add_counts(figure, shown, outcome)
    middles: list[float] = []
    texts = []
    for size in sizes:
        places = [place for place, column in enumerate(columns) if column[0] == size]
        # A size that votes for nothing has no columns to stand above.
        if not places:
            continue
        middles.append(fmean(places))
        texts.append(str(size))
        if places[0] > 0:
            line = {"color": GREY, "width": 2}
            figure.add_vline(x=places[0] - 0.5, line=line, xref="x2")
    ticks = {"tickvals": middles, "ticktext": texts, "tickangle": 0}
    figure.update_layout(xaxis2=ticks)
    return figure


def _vote_axes(
    picks: DayPicks,
    shown: Sequence[Vote],
    sizes: list[int],
) -> Any:
    """Return a figure with three columns, for picks, ideas and counts, over the same tickers."""
    most = max((vote.n_ideas or 0 for vote in shown), default=1)
    above = {"showgrid": False, "zeroline": False, "side": "top"}
    return new_figure(
        f"Votes for {picks.day}",
        110 + _ROW_PX * max(len(shown), 4),
        xaxis={
            **above,
            "domain": [0, 0.1],
            "range": [-0.7, len(sizes) - 0.3],
            "tickvals": list(range(len(sizes))),
            "ticktext": list(map(str, sizes)),
            "tickangle": 0,
            "title": {"text": "pick"},
        },
        xaxis2={**above, "domain": [0.12, 0.76], "title": {"text": "ideas of size"}},
        xaxis3={
            **above,
            "domain": [0.78, 1],
            "showticklabels": False,
            "title": {"text": "ideas"},
            # Room for the texts beside the longest bar.
            "range": [0, 3.6 * most],
        },
        yaxis={
            "range": [len(shown) - 0.5, -0.5],
            "showgrid": False,
            "type": "category",
            # Otherwise the tickers of the picks, which are drawn first, would come first.
            "categoryorder": "array",
            "categoryarray": labels(shown, "ticker"),
        },
        showlegend=False,
    )


def _add_picked(
    figure: Any,
    picks: DayPicks,
    shown: Sequence[Vote],
    sizes: list[int],
) -> None:
    for place, size in enumerate(sizes):
        pick = picks.picks[size]
        picked = set(pick.tickers) if pick else set()
        rows = [label(vote.ticker) for vote in shown if vote.ticker in picked]
        figure.add_scatter(
            x=[place] * len(rows),
            y=rows,
            mode="markers",
            marker={"symbol": "square", "size": 11, "color": VERMILLION},
            hovertemplate=f"%{{y}}: in the pick of size {size}<extra></extra>",
        )


def _add_ideas(
    figure: Any,
    shown: Sequence[Vote],
    columns: Sequence[tuple[int, int]],
) -> None:
    # A row per ticker: 1 where the idea of a column names it.
    named = [[int(column in vote.ideas) for column in columns] for vote in shown]
    texts = [f"size {size}, idea {idea}" for size, idea in columns]
    figure.add_heatmap(
        x=list(range(len(columns))),
        y=labels(shown, "ticker"),
        z=named,
        customdata=[texts] * len(shown),
        hovertemplate="%{y}, %{customdata}<extra></extra>",
        colorscale=[[0, "rgba(134, 144, 160, 0.10)"], [1, BLUE]],
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=1,
        ygap=2,
        xaxis="x2",
    )


def _add_counts(
    figure: Any,
    shown: Sequence[Vote],
    outcome: Outcome | None,
) -> None:
    texts = []
    for vote in shown:
        # Empty in votes of earlier versions, which did not count ideas.
        text = str(vote.n_ideas or "")
        if outcome is not None and vote.ticker in outcome.returns_pp:
            text += f"  {outcome.returns_pp[vote.ticker]:+z.1f}%"
        texts.append(text)
    figure.add_bar(
        x=column(shown, "n_ideas"),
        y=labels(shown, "ticker"),
        text=texts,
        orientation="h",
        marker={"color": GREY},
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x} ideas<extra></extra>",
        xaxis="x3",
    )


# --- hit rates by day


def days(result: SearchResult, outcome: Outcome | None = None) -> Any:
    """Draw the hit rates of the days searched: all tickers, the kept groups, the pick.

    With an outcome the day after stands beside them, on which nothing was chosen.
    """
    sizes = sorted(result.kept)
    figure = new_figure(
        "Hit rate by day",
        380,
        yaxis={
            "range": [0, 104],
            "dtick": 25,
            "ticksuffix": "%",
            "title": {"text": "hit rate"},
        },
        xaxis={"showgrid": False, "zeroline": False},
    )
    marks = list(map(_mark, result.days))
    _add_universe(figure, list(range(len(result.days))), result.base_win_rates)
    for position, size in enumerate(sizes):
        places = [day + _offset(position, len(sizes)) for day in range(len(result.days))]
        _add_boxes(figure, places, sizes, size, result.kept[size])
        picked = result.pick(size)
        if picked is not None:
            rates = column(picked.days, "pp")
            _add_pick(figure, places, rates, sizes, size)
    if outcome is not None and outcome.universe_hit_rate_pp is not None:
        marks.append(f"<b>{_mark(outcome.session or outcome.day)}</b><br>not<br>searched")
        _add_day_after(figure, len(result.days), outcome, outcome.universe_hit_rate_pp, sizes)
    figure.update_xaxes(tickvals=list(range(len(marks))), ticktext=marks, tickangle=0)
    # A name once, though several traces have it.
    seen: set[str] = set()
    for trace in figure.data:
        trace.showlegend = trace.name not in seen
        seen.add(trace.name)
    return figure


def _add_day_after(
    figure: Any,
    after: int,
    outcome: Outcome,
    universe_pp: float,
    sizes: list[int],
) -> None:
    """Add the day picked for, on a ground of its own: no group was chosen for it."""
    figure.add_vrect(
        after - 0.5, after + 0.5, fillcolor=FAINT_ORANGE, line={"width": 0}, layer="below"
    )
    _add_universe(figure, [after], [universe_pp])
    for position, size in enumerate(sizes):
        score = outcome.sizes.get(size)
        if score is not None and score.hit_rate_pp is not None:
            place = after + _offset(position, len(sizes))
            _add_pick(figure, [place], [score.hit_rate_pp], sizes, size)


def short_day(day: str) -> str:
    """Return an ISO date as `Fri 3 Jan`."""
    # Windows has no code for a day without its zero.
    parsed = date.fromisoformat(day)
    return f"{parsed:%a} {parsed.day} {parsed:%b}"


def _mark(day: str) -> str:
    return short_day(day).replace(" ", "<br>", 1)


def _offset(position: int, n_sizes: int) -> float:
    """Where a size stands beside its day."""
    return (position - (n_sizes - 1) / 2) * 0.28


def _add_universe(
    figure: Any,
    places: Sequence[float],
    rates: Sequence[float],
) -> None:
    ends: list[float | None] = []
    heights: list[float | None] = []
    for place, rate in zip(places, rates, strict=True):
        ends += [place - 0.45, place + 0.45, None]
        heights += [rate, rate, None]
    figure.add_scatter(
        x=ends,
        y=heights,
        mode="lines",
        line={"width": 3, "color": GREY},
        name="all tickers",
        hovertemplate="all tickers %{y:.1f}%<extra></extra>",
    )
    figure.add_scatter(
        x=[place + 0.44 for place in places],
        # Below the line, not in it.
        y=[rate - 1 for rate in rates],
        mode="text",
        text=[f"{rate:.0f}%" for rate in rates],
        textposition="bottom left",
        textfont={"size": 11},
        name="all tickers",
        hoverinfo="skip",
    )


def _add_pick(
    figure: Any,
    places: Sequence[float],
    rates: Sequence[float],
    sizes: list[int],
    size: int,
) -> None:
    figure.add_scatter(
        x=places,
        y=rates,
        mode="markers",
        marker={
            "symbol": size_symbol(sizes, size),
            "size": 11,
            "color": size_colour(sizes, size),
            "line": {"width": 1.5, "color": "white"},
        },
        name=f"pick of size {size}",
        hovertemplate=f"pick of size {size}: %{{y:.1f}}%<extra></extra>",
    )


def _add_boxes(
    figure: Any,
    places: Sequence[float],
    sizes: list[int],
    size: int,
    groups: Sequence[Group],
) -> None:
    """Add half of the groups of each day as a box, nine in ten as a line."""
    # One group has no quantiles.
    if len(groups) < 2:
        return
    fences = []
    for idx in range(len(places)):
        twentieths = quantiles((group.days[idx].pp for group in groups), n=20, method="inclusive")
        fences.append(twentieths)
    figure.add_box(
        x=places,
        lowerfence=[rates[0] for rates in fences],
        q1=[rates[4] for rates in fences],
        median=[rates[9] for rates in fences],
        q3=[rates[14] for rates in fences],
        upperfence=[rates[18] for rates in fences],
        width=0.2,
        marker={"color": size_colour(sizes, size)},
        line={"width": 1.2},
        opacity=0.6,
        name=f"kept groups of size {size}",
    )


# --- algorithms and variations


def algorithms(result: SearchResult) -> Any:
    """Draw the share of the kept groups that have an algorithm (diagonal), or both of two."""
    go = graph_objects()
    names, shares = algorithm_shares(result)
    names = names[:_MOST_ALGOS]
    cells: list[list[float | None]] = []
    for row, name in enumerate(names):
        cells.append([None] * len(names))
        # A pair is the same both ways: half of the cells are left out.
        for place, other in enumerate(names[: row + 1]):
            cells[row][place] = shares.get(frozenset((name, other)), 0.0)
    shown = list(map(label, names))
    figure = new_figure(
        "Algorithms in the kept groups",
        140 + 26 * max(len(names), 4),
        xaxis={"side": "top", "showgrid": False, "tickangle": -45, "type": "category"},
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
    )
    figure.add_trace(
        go.Heatmap(
            x=shown,
            y=shown,
            z=cells,
            hovertemplate="%{y} and %{x}: %{z:.1f}%<extra></extra>",
            hoverongaps=False,
            colorscale=[[0, "rgba(0, 114, 178, 0.06)"], [1, "rgba(0, 114, 178, 0.7)"]],
            zmin=0,
            zmax=100,
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    # In the colour of the template, which a text of the cells themselves would not have.
    written = [(x, y) for y in range(len(names)) for x in range(y + 1)]
    figure.add_scatter(
        x=[shown[x] for x, _ in written],
        y=[shown[y] for _, y in written],
        text=[f"{cells[y][x]:.0f}" for x, y in written],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
    )
    return figure


def algorithm_shares(result: SearchResult) -> tuple[list[str], dict[frozenset[str], float]]:
    """Return the algorithms, most common first, and the percent of the kept groups with each pair.

    The pair of an algorithm with itself is the algorithm: in a group at all.
    """
    n_groups = 0
    # Keys are sets of one algorithm or of two: a pair has no order.
    counts: Counter[frozenset[str]] = Counter()
    for groups in result.kept.values():
        for group in groups:
            n_groups += 1
            # All different: a group has one variation of an algorithm.
            algos = column(group.members, "algo")
            for algo in algos:
                counts[frozenset([algo])] += 1
            for pair in combinations(algos, 2):
                counts[frozenset(pair)] += 1
    shares: dict[frozenset[str], float] = {}
    alone: dict[str, float] = {}
    for names, n in counts.items():
        percent = 100 * n / n_groups
        shares[names] = percent
        if len(names) == 1:
            (name,) = names
            alone[name] = percent

    # Equal shares by name: a page is the same every time.
    def order(name: str) -> tuple[float, str]:
        return -alone[name], name

    return sorted(alone, key=order), shares


def variations(result: SearchResult) -> Any:
    """Draw the variations that most kept groups have, by size."""
    shares = variation_shares(result)[:_MOST_VARIATIONS]
    sizes = sorted(result.kept)
    figure = new_figure(
        "Variations in most kept groups",
        110 + 26 * max(len(shares), 3),
        xaxis={"range": [0, 100], "ticksuffix": "%"},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False},
        barmode="group",
    )
    # For who sees no colours.
    patterns = ("", "/", ".", "x")
    for position, size in enumerate(sizes):
        figure.add_bar(
            y=[label(name) for name, _ in shares],
            x=[by_size.get(size, 0.0) for _, by_size in shares],
            orientation="h",
            marker={
                "color": size_colour(sizes, size),
                "pattern": {"shape": patterns[position % len(patterns)], "solidity": 0.25},
            },
            name=f"size {size}",
            hovertemplate=f"%{{y}}: %{{x:.1f}}% of size {size}<extra></extra>",
        )
    return figure


def variation_shares(result: SearchResult) -> Shares:
    """Return the shares of the variations of all kept groups, most common first."""
    shares: dict[str, dict[int, float]] = {}
    for size, groups in result.kept.items():
        counts: Counter[str] = Counter()
        for group in groups:
            for member in group.members:
                name = f"{member.algo} {member.variation}"
                counts[name] += 1
        for name, n_groups in counts.items():
            by_size = shares.setdefault(name, {})
            by_size[size] = 100 * n_groups / len(groups)

    def order(entry: tuple[str, dict[int, float]]) -> tuple[float, str]:
        name, by_size = entry
        return -max(by_size.values()), name

    return sorted(shares.items(), key=order)
