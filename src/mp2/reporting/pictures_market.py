"""Pictures of picks in the market: returns of the day picked for, and candles with signals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mp2.data import bitset
from mp2.data.prices import PriceTable
from mp2.data.signal_table import Key
from mp2.errors import InputError
from mp2.picks.records import DayPicks, Outcome
from mp2.reporting.theme import (
    BLUE,
    FAINT_GREY,
    GREY,
    VERMILLION,
    label,
    new_figure,
    size_colour,
    size_symbol,
)
from mp2.signals.grids import Grids
from mp2.signals.sheet import SignalSheet, compute_signals

N_SESSIONS = 30
"""Candles of one picture: as many as can be told apart on a phone."""


# --- returns


def returns(picks: DayPicks, outcome: Outcome) -> Any:
    """Draw the returns of the picks on the day picked for, beside those of all tickers."""
    sizes = sorted(picks.picks)
    figure = new_figure(
        f"Returns on {outcome.session or outcome.day}",
        140 + 48 * (1 + len(sizes)),
        xaxis={"ticksuffix": "%", "zeroline": True, "zerolinewidth": 2},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False},
        showlegend=False,
    )
    # An outcome of an earlier version has the mean of all tickers only.
    if outcome.universe_quantiles_pp:
        _, low, q1, median, q3, high, _ = outcome.universe_quantiles_pp
        figure.add_box(
            y=["all tickers"],
            lowerfence=[low],
            q1=[q1],
            median=[median],
            q3=[q3],
            upperfence=[high],
            orientation="h",
            marker={"color": GREY},
            name="all tickers",
        )
    for size in sizes:
        pick = picks.picks[size]
        if pick is None:
            continue
        # Tickers without a bar that day have no return.
        known = [ticker for ticker in pick.tickers if ticker in outcome.returns_pp]
        figure.add_scatter(
            x=[outcome.returns_pp[ticker] for ticker in known],
            y=[f"pick of size {size}"] * len(known),
            text=[label(ticker) for ticker in known],
            mode="markers",
            marker={
                "symbol": size_symbol(sizes, size),
                "size": 11,
                "opacity": 0.75,
                "color": size_colour(sizes, size),
            },
            hovertemplate="%{text}: %{x:+.2f}%<extra></extra>",
        )
    return figure


# --- candles


def recent_signals(
    picks: DayPicks,
    prices: PriceTable,
    grids: Grids | None = None,
) -> SignalSheet:
    """Compute the signals of the picks' members on the last sessions up to the day picked for.

    `prices` need not reach that day, but a day before it. Raises `InputError` as `compute_signals`.
    """
    before = [day for day in prices.dates if day < picks.day]
    if not before:
        raise InputError(f"the prices begin at {prices.dates[0]}, after the day before {picks.day}")
    members: set[Key] = set()
    for pick in picks.picks.values():
        if pick is not None:
            members.update((member.algo, member.variation) for member in pick.members)
    # Bars of the day itself must not decide its signals.
    return compute_signals(
        prices.until(before[-1]),
        n_days=min(N_SESSIONS - 1, len(before) - 1),
        include_next=True,
        grids=grids,
        # Members of the picks are a few of thousands of variations.
        only=members or None,
    )


def candles(
    picks: DayPicks,
    prices: PriceTable,
    sheet: SignalSheet,
    ticker: str,
) -> Any:
    """Draw the last sessions of a ticker, and below one lane per member of the picks: its buys.

    `sheet` is what `recent_signals` returns. Hollow candles closed above their open. The last
    column is the day picked for.
    """
    if ticker not in prices.tickers or ticker not in sheet.tickers:
        raise InputError(f"candles: no ticker {ticker!r} in the prices")
    days = list(sheet.days)
    figure = new_figure(
        label(ticker),
        300,
        xaxis={
            # Days without a session have no place.
            "type": "category",
            "categoryorder": "array",
            "categoryarray": days,
            "rangeslider": {"visible": False},
            "anchor": "y2",
            "showgrid": False,
            "tickvals": [days[0], days[-1]],
            "ticktext": [days[0][5:], days[-1][5:]],
            "tickangle": 0,
            "range": [-0.5, len(days) - 0.5],
        },
        yaxis={"domain": [0.4, 1], "nticks": 4},
        yaxis2={
            "domain": [0, 0.36],
            "autorange": "reversed",
            "showgrid": False,
            "showticklabels": False,
            "type": "category",
        },
        showlegend=False,
    )
    _add_candles(figure, prices, days, ticker)
    _add_lanes(figure, picks, sheet, ticker)
    last = len(days) - 1
    figure.add_vrect(last - 0.5, last + 0.5, fillcolor=FAINT_GREY, line={"width": 0}, layer="below")
    return figure


def _add_candles(
    figure: Any,
    prices: PriceTable,
    days: Sequence[str],
    ticker: str,
) -> None:
    row = prices.tickers.index(ticker)
    columns = [prices.date_idx(day) for day in days if day in prices.dates]
    # The last day may have no bar yet, and a ticker may have holes.
    columns = [column for column in columns if prices.close[row, column] > 0]
    figure.add_candlestick(
        x=[prices.dates[column] for column in columns],
        open=prices.open[row, columns],
        high=prices.high[row, columns],
        low=prices.low[row, columns],
        close=prices.close[row, columns],
        increasing={"line": {"color": BLUE, "width": 1}, "fillcolor": "rgba(0,0,0,0)"},
        decreasing={"line": {"color": VERMILLION, "width": 1}, "fillcolor": VERMILLION},
        name=label(ticker),
    )


def _add_lanes(
    figure: Any,
    picks: DayPicks,
    sheet: SignalSheet,
    ticker: str,
) -> None:
    sizes = sorted(picks.picks)
    for size, name, buys in lanes(picks, sheet, ticker):
        figure.add_heatmap(
            x=list(sheet.days),
            y=[f"size {size}: {label(name, whole=True)}"],
            z=[list(map(int, buys))],
            colorscale=[[0, "rgba(134, 144, 160, 0.10)"], [1, size_colour(sizes, size)]],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=1,
            ygap=2,
            yaxis="y2",
            hovertemplate="%{y}, %{x}<extra></extra>",
        )


def lanes(
    picks: DayPicks,
    sheet: SignalSheet,
    ticker: str,
) -> Iterator[tuple[int, str, Sequence[bool]]]:
    """Yield size, name and buys by day of each member of the picks, for one ticker."""
    place = sheet.tickers.index(ticker)
    # By name: the numbers of the picks are those of the panel that was searched.
    number_of = {key: number for number, key in enumerate(sheet.keys)}
    for size, pick in sorted(picks.picks.items()):
        if pick is None:
            continue
        for member in pick.members:
            number = number_of[member.algo, member.variation]
            buys = []
            for day_idx in range(len(sheet.days)):
                bought = bitset.members(sheet.buys[number, day_idx])
                buys.append(place in bought)
            yield size, f"{member.algo} {member.variation}", buys
