"""A synthetic signal table with groups planted in it, and the honest answer to whether a search found them.

The table is noise: every variation buys at random, and its buys win as often as the day's tickers do. Signals follow a
crowd, as real ones do: a few tickers a day are bought by most variations, and win no more often than the others. So lucky
groups exist that look good by chance.

A planted group agrees, on every day, on a dozen tickers and on nothing else; all of them win but one a week. Its members
are ordinary draws in which tickers were exchanged for others of the same outcome: each member keeps exactly as many buys
and as many winners a day as chance gave it, so that nothing but the group's consensus gives it away.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mp2.errors import InputError
from mp2.groups.result import SearchResult, Status

if TYPE_CHECKING:
    import polars as pl

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Key = tuple[str, str]
"""A variation: (algo, variation)."""

N_TICKERS = 400
DAYS = tuple(datetime.date(2024, 1, 8) + datetime.timedelta(days=i) for i in range(5))
PLANTED_SIZES = (3, 4, 4)

_GRIDS: dict[str, tuple[Sequence[object], ...]] = {
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

_BASE_RATE = (0.46, 0.54)
# Chosen so that a full search visits some 60 million groups and leaves lucky ones of both sizes.
_N_CROWD, _CROWD_APPETITE, _APPETITE = 24, 0.75, 0.22
_PLANTED_BUYS = (13, 14)


@dataclass(frozen=True, slots=True, eq=False)
class DemoTable:
    """A long signal table and what is hidden in it.

    `signals`: one row per buy, columns algo, variation, ticker (text), day (date), open, close (floats, cents). `planted`:
    the members of each planted group as (algo, variation), in algorithm order; empty when nothing was planted.
    """

    signals: pl.DataFrame
    planted: tuple[tuple[Key, ...], ...]


@dataclass(frozen=True, slots=True)
class Find:
    """A planted group of `size` members and its rank among the kept groups of that size; None when it was not kept."""

    members: tuple[Key, ...]
    size: int
    rank: int | None


def make_signals(seed: int = 0, plant: bool = True) -> DemoTable:
    """The demo's table: 8 algorithms of 80 variations, 400 tickers, 5 days; the same for the same arguments.

    Another seed changes winners, prices, buys and the planted groups. Without `plant` the table is the same but for the
    planted groups' members, which stay ordinary. Raises `InputError` for a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give a whole number from 0")
    market_rng, buys_rng, plant_rng = np.random.default_rng(seed).spawn(3)
    keys = [
        (algo, "-".join(map(str, values)))
        for algo, grid in _GRIDS.items()
        for values in itertools.product(*grid)
    ]
    wins = _draw_wins(market_rng)
    opens, closes = _draw_prices(market_rng, wins)
    buys = buys_rng.random((len(keys), *wins.shape)) < _draw_appetite(buys_rng, wins)
    groups = _draw_groups(plant_rng, keys) if plant else []
    for members in groups:
        _plant_group(plant_rng, buys, wins, members)
    planted = tuple(tuple(keys[v] for v in members) for members in groups)
    return DemoTable(_long_table(keys, buys, opens, closes), planted)


def check_finds(result: SearchResult, planted: Iterable[tuple[Key, ...]]) -> list[Find]:
    """Which planted groups a search kept, and at which rank of their size; one `Find` per planted group."""
    ranks = {
        tuple((member.algo, member.variation) for member in group.members): group.rank
        for groups in result.kept.values()
        for group in groups
    }
    return [Find(members, len(members), ranks.get(members)) for members in planted]


def sentence(finds: Sequence[Find], result: SearchResult) -> str:
    """What may be said of a demo search in one sentence; `finds` are its `check_finds`, empty when nothing was planted."""
    if not finds:
        return f"nothing was planted: {_luck(result)}"
    found, missed = (
        [find for find in finds if find.rank is not None],
        [find for find in finds if find.rank is None],
    )
    n_found = f"all {len(finds)}" if not missed else f"{len(found)} of {len(finds)}"
    said = f"found {n_found} planted groups" + (f": {_ranks_by_size(found)}" if found else "")
    return said + (
        f"; missed: {'; '.join(map(_missed, missed))}{_why_missed(missed, result)}"
        if missed
        else ""
    )


def _luck(result: SearchResult) -> str:
    n_tested = sum(result.tested[size] for size in result.kept)
    if not any(result.kept.values()):
        return f"none of the {n_tested:,} groups tested was kept"
    return f"the groups above are the luckiest of {n_tested:,} tested, not a find"


def _ranks_by_size(found: Sequence[Find]) -> str:
    ranks: dict[int, list[int]] = {}
    for find in found:
        ranks.setdefault(find.size, []).append(find.rank or 0)
    return ", ".join(f"size {size} {_listed(of_size)}" for size, of_size in sorted(ranks.items()))


def _listed(ranks: Iterable[int]) -> str:
    *first, last = map(str, sorted(ranks))
    return f"ranks {', '.join(first)} and {last}" if first else f"rank {last}"


def _missed(find: Find) -> str:
    return f"size {find.size} ({' + '.join(' '.join(member) for member in find.members)})"


def _why_missed(missed: Sequence[Find], result: SearchResult) -> str:
    if any(find.size not in result.kept for find in missed):
        return f" (only groups of size {', '.join(map(str, result.kept))} were retained)"
    if result.status is Status.COMPLETE:
        return " (luckier groups, or these rules, kept them out)"
    return f" (the search ended early: {result.status})"


# ---- the market


def _draw_wins(rng: np.random.Generator) -> BoolArray:
    """Which tickers win on each day: bool[D, T]; each day has a base rate of its own."""
    n_winners = np.round(rng.uniform(*_BASE_RATE, len(DAYS)) * N_TICKERS)
    return rng.permuted(np.arange(N_TICKERS) < n_winners[:, np.newaxis], axis=1)


def _draw_prices(rng: np.random.Generator, wins: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Open and close float64[D, T] in cents; a move is large enough to survive the rounding."""
    drift = np.cumsum(rng.normal(0.0, 0.01, wins.shape), axis=0)
    opens = np.round(rng.uniform(12.0, 400.0, N_TICKERS) * np.exp(drift), 2)
    moves = rng.uniform(0.002, 0.04, wins.shape)
    return opens, np.round(opens * (1.0 + np.where(wins, moves, -moves)), 2)


def _draw_appetite(rng: np.random.Generator, wins: BoolArray) -> FloatArray:
    """How likely any variation is to buy each ticker, float64[D, T]; the crowd's tickers win at the base rate too."""
    appetite = np.full(wins.shape, _APPETITE)
    for day, won in enumerate(wins):
        n_winners = round(_N_CROWD * won.mean())
        crowd = _choose(rng, won, n_winners) | _choose(rng, ~won, _N_CROWD - n_winners)
        appetite[day, crowd] = _CROWD_APPETITE
    return appetite


# ---- the planted groups


def _draw_groups(rng: np.random.Generator, keys: Sequence[Key]) -> list[IntArray]:
    """Members of each planted group as ascending indexes into `keys`: different algorithms, no variation twice."""
    numbers_of = {algo: [v for v, key in enumerate(keys) if key[0] == algo] for algo in _GRIDS}
    groups = []
    for size in PLANTED_SIZES:
        members = [
            int(rng.choice(numbers_of[algo]))
            for algo in rng.choice(list(_GRIDS), size, replace=False)
        ]
        for algo, v in ((keys[v][0], v) for v in members):
            numbers_of[algo].remove(v)
        groups.append(np.sort(np.array(members)))
    return groups


def _plant_group(
    rng: np.random.Generator, buys: BoolArray, wins: BoolArray, members: IntArray
) -> None:
    """Make the members' consensus exactly the planted tickers, in place; no ticker is planted on two days."""
    unused, losing_day = np.ones(N_TICKERS, dtype=bool), rng.integers(len(DAYS))
    for day, won in enumerate(wins):
        n_losers = int(day == losing_day)
        n_winners = int(rng.integers(*_PLANTED_BUYS, endpoint=True)) - n_losers
        planted = _choose(rng, unused & won, n_winners) | _choose(rng, unused & ~won, n_losers)
        unused &= ~planted
        rows = buys[members, day]
        _agree(rng, rows, planted, won)
        _differ(rng, rows, planted, won)
        buys[members, day] = rows


def _agree(rng: np.random.Generator, rows: BoolArray, planted: BoolArray, won: BoolArray) -> None:
    """Make every row buy the planted tickers, each in exchange for another of the same outcome."""
    for row, outcome in itertools.product(rows, (won, ~won)):
        missing = planted & outcome & ~row
        row[_choose(rng, row & outcome & ~planted, int(missing.sum()))] = False
        row[missing] = True


def _differ(rng: np.random.Generator, rows: BoolArray, planted: BoolArray, won: BoolArray) -> None:
    """Take every other ticker all rows agree on away from one of them, in exchange for one of the same outcome."""
    for ticker in np.flatnonzero(rows.all(axis=0) & ~planted):
        row = rows[rng.integers(len(rows))]
        harmless = ~row & (rows.sum(axis=0) < len(rows) - 1) & (won == won[ticker])
        row[_choose(rng, harmless, 1)] = True
        row[ticker] = False


def _choose(rng: np.random.Generator, candidates: BoolArray, n: int) -> BoolArray:
    """`n` of the candidates at random; both are masks."""
    chosen = np.zeros_like(candidates)
    chosen[rng.choice(np.flatnonzero(candidates), n, replace=False)] = True
    return chosen


# ---- the table


def _long_table(
    keys: Sequence[Key], buys: BoolArray, opens: FloatArray, closes: FloatArray
) -> pl.DataFrame:
    """One row per buy, in order of variation, day and ticker."""
    import polars as pl

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
