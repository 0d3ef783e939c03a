"""A synthetic signal table with planted groups, whose search is also one that outlasts any test.

Every variation buys at random and wins at the base rate of the day. A few tickers of a day are
bought by most variations, as in real signals, so that some groups look good by chance.

A planted group agrees, on every day, on a dozen tickers and on nothing else; all but one of them a
week win. Its members are ordinary draws in which tickers were exchanged for others with the same
outcome. So each member keeps its daily numbers of buys and of winners, and only the consensus of
the group differs from chance.
"""

import datetime
import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl

N_TICKERS = 400
DAYS = tuple(datetime.date(2024, 1, 8) + datetime.timedelta(days=i) for i in range(5))
PLANTED_SIZES = (3, 4, 4)

GRIDS = {
    "SMA": ((3, 5, 8, 10, 12, 15, 18, 20), (30, 40, 50, 60, 80, 100, 120, 150, 180, 200)),
    "EMA": ((3, 5, 8, 10, 12, 15, 18, 20), (26, 34, 42, 50, 60, 75, 90, 110, 130, 150)),
    "MACD": ((5, 8, 12, 15), (20, 26, 32, 38, 44), (5, 7, 9, 11)),
    "RSI": ((2, 5, 7, 9, 12, 14, 18, 21), (20, 25, 30, 35, 40), (60, 70)),
    "Bollinger": ((8, 10, 12, 15, 18, 20, 25, 30, 40, 50), (1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 3)),
    "Stochastic": ((5, 8, 10, 14, 21), (1, 3, 5, 7), (15, 20, 25, 30)),
    "Breakout": (
        (5, 10, 15, 20, 25, 30, 40, 50, 55, 60),
        (0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03),
    ),
    "ADX": ((5, 7, 9, 10, 12, 14, 16, 18, 21, 28), (15, 18, 20, 22, 25, 28, 30, 35)),
}

BASE_RATE = (0.46, 0.54)
# Chosen so that a full search visits some 60 million groups and leaves lucky ones of both sizes.
N_POPULAR = 24
POPULAR_BUY_RATE = 0.75
BUY_RATE = 0.22
PLANTED_BUYS = (13, 14)


@dataclass(frozen=True, slots=True, eq=False)
class SignalTable:
    """A long signal table and the groups planted in it.

    `signals`: one row per buy, columns algo, variation, ticker (text), day (date), open, close
    (floats, in cents). `planted`: the members of each planted group as (algo, variation), in
    algorithm order.
    """

    signals: pl.DataFrame
    planted: tuple[tuple[tuple[str, str], ...], ...]


def make_signals(seed=0, plant=True):
    """Make a table of 8 algorithms with 80 variations each, 400 tickers and 5 days.

    Equal arguments give equal tables.

    Without `plant` the table is the same except for the members of the planted groups, which stay
    ordinary.
    """
    market_rng, buys_rng, plant_rng = np.random.default_rng(seed).spawn(3)
    keys = [
        (algo, "-".join(map(str, values)))
        for algo, grid in GRIDS.items()
        for values in itertools.product(*grid)
    ]
    wins = draw_wins(market_rng)
    opens, closes = draw_prices(market_rng, wins)
    buys = buys_rng.random((len(keys), *wins.shape)) < draw_buy_rates(buys_rng, wins)
    groups = draw_groups(plant_rng, keys) if plant else []
    for members in groups:
        plant_group(plant_rng, buys, wins, members)
    planted = tuple(tuple(keys[v] for v in members) for members in groups)
    return SignalTable(long_table(keys, buys, opens, closes), planted)


# ---- the market


def draw_wins(rng):
    """Draw the tickers that win on each day, bool[D, T]; each day has its own base rate."""
    n_winners = np.round(rng.uniform(*BASE_RATE, len(DAYS)) * N_TICKERS)
    return rng.permuted(np.arange(N_TICKERS) < n_winners[:, np.newaxis], axis=1)


def draw_prices(rng, wins):
    """Draw open and close, float64[D, T], rounded to cents; every move survives the rounding."""
    drift = np.cumsum(rng.normal(0.0, 0.01, wins.shape), axis=0)
    opens = np.round(rng.uniform(12.0, 400.0, N_TICKERS) * np.exp(drift), 2)
    moves = rng.uniform(0.002, 0.04, wins.shape)
    return opens, np.round(opens * (1.0 + np.where(wins, moves, -moves)), 2)


def draw_buy_rates(rng, wins):
    """Draw the probability of a buy of each ticker, float64[D, T].

    Popular tickers win at the base rate too.
    """
    rates = np.full(wins.shape, BUY_RATE)
    for day, won in enumerate(wins):
        n_winners = round(N_POPULAR * won.mean())
        popular = choose(rng, won, n_winners) | choose(rng, ~won, N_POPULAR - n_winners)
        rates[day, popular] = POPULAR_BUY_RATE
    return rates


# ---- the planted groups


def draw_groups(rng, keys):
    """Draw the members of each planted group as ascending indexes into `keys`.

    Their algorithms differ, and no variation is a member of two groups.
    """
    numbers_of = {algo: [v for v, key in enumerate(keys) if key[0] == algo] for algo in GRIDS}
    groups = []
    for size in PLANTED_SIZES:
        members = [
            int(rng.choice(numbers_of[algo]))
            for algo in rng.choice(list(GRIDS), size, replace=False)
        ]
        for v in members:
            numbers_of[keys[v][0]].remove(v)
        groups.append(np.sort(np.array(members)))
    return groups


def plant_group(rng, buys, wins, members):
    """Make the consensus of the members exactly the planted tickers, in place.

    No ticker is planted on two days.
    """
    unused = np.ones(N_TICKERS, dtype=bool)
    losing_day = rng.integers(len(DAYS))
    for day, won in enumerate(wins):
        n_losers = int(day == losing_day)
        n_winners = int(rng.integers(*PLANTED_BUYS, endpoint=True)) - n_losers
        planted = choose(rng, unused & won, n_winners) | choose(rng, unused & ~won, n_losers)
        unused &= ~planted
        rows = buys[members, day]
        agree(rng, rows, planted, won)
        differ(rng, rows, planted, won)
        buys[members, day] = rows


def agree(rng, rows, planted, won):
    """Make every row buy the planted tickers, each for another with the same outcome."""
    for row, outcome in itertools.product(rows, (won, ~won)):
        missing = planted & outcome & ~row
        row[choose(rng, row & outcome & ~planted, int(missing.sum()))] = False
        row[missing] = True


def differ(rng, rows, planted, won):
    """Remove every other common ticker from one row, for another with the same outcome."""
    for ticker in np.flatnonzero(rows.all(axis=0) & ~planted):
        row = rows[rng.integers(len(rows))]
        harmless = ~row & (rows.sum(axis=0) < len(rows) - 1) & (won == won[ticker])
        row[choose(rng, harmless, 1)] = True
        row[ticker] = False


def choose(rng, candidates, n):
    """Choose `n` of the candidates at random; both are masks."""
    chosen = np.zeros_like(candidates)
    chosen[rng.choice(np.flatnonzero(candidates), n, replace=False)] = True
    return chosen


# ---- the table


def long_table(keys, buys, opens, closes):
    """One row per buy, in order of variation, day and ticker."""
    variation_of, day_of, ticker_of = np.nonzero(buys)
    algos, variations = zip(*keys, strict=True)
    tickers = [f"T{number:03d}" for number in range(1, N_TICKERS + 1)]
    return pl.DataFrame(
        {
            "algo": pl.Series(algos).gather(variation_of),
            "variation": pl.Series(variations).gather(variation_of),
            "day": pl.Series(DAYS).gather(day_of),
            "ticker": pl.Series(tickers).gather(ticker_of),
            "open": opens[day_of, ticker_of],
            "close": closes[day_of, ticker_of],
        }
    )
