"""A synthetic stock market with an edge in its last week: the data of `mp2 demo`.

Prices follow a market factor whose volatility switches between a calm and a nervous regime, a
factor per sector, and a drift of every ticker that changes now and then, so that trends last for a
while. Otherwise it is random whether a ticker closes above its open.

The edge: three variations of different algorithms are chosen whose consensus is a handful of
tickers on each of the last five days and on the day after. On these days the tickers of that
consensus, and no others, mostly close above their open. The signals of a day use the bars before
it, so the days are changed one after the other, each by the signals of the market changed so far.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mp2.data import bitset
from mp2.data.arrays import FloatArray
from mp2.data.prices import PriceTable, price_table
from mp2.data.signal_table import Key
from mp2.errors import InputError, Mp2Error
from mp2.groups.result import Group, SearchResult
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import Grids, grids_of
from mp2.signals.sheet import SignalSheet, compute_signals

N_TICKERS = 300
N_SECTORS = 12
N_DATES = 420
LAST_DAY = datetime.date(2024, 3, 8)
NEXT_DAY = datetime.date(2024, 3, 11)

# The week that is searched, and the day after it.
N_PLANTED_DAYS = 6

_MIN_CONSENSUS = 10
_MAX_CONSENSUS = 17
# A consensus of the same tickers every day would be their trend, not a find of the signals.
_MAX_REPEATS = 1.8
_N_TRIES = 200_000
_PLANTED_HIT_RATE = 0.95
_MIN_HITS = 8
# A planted rise must close visibly above the open.
_MIN_GAIN = 0.002
_SESSIONS_A_YEAR = 252
_SECTOR = np.arange(N_TICKERS) * N_SECTORS // N_TICKERS


@dataclass(frozen=True, slots=True, eq=False)
class DemoMarket:
    """A market and what is planted in it.

    - `prices` end on the last day to be searched, `later` on the day after it.
    - `grids` are narrow enough for a quick search.
    - `planted`: the members of the planted group, in algorithm order; empty without one.
    - `edge`: (day, ticker) of every signal of that group in the week and on the day after.
    """

    prices: PriceTable
    later: PriceTable
    grids: Grids
    planted: tuple[Key, ...] = ()
    edge: frozenset[tuple[str, str]] = frozenset()


def make_market(seed: int = 0, plant: bool = True) -> DemoMarket:
    """Make the market: 300 tickers in 12 sectors, 420 days and one more.

    Equal arguments give equal markets; another seed changes every price and the planted group.
    Raises `InputError` for a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give a whole number from 0")
    # Two generators, so that the same seed makes the same market without planting.
    market_rng, plant_rng = np.random.default_rng(seed).spawn(2)
    returns = draw_returns(market_rng)
    grids = narrow_grids()
    if not plant:
        later = _prices(returns)
        return DemoMarket(
            later.until(LAST_DAY.isoformat()),
            later,
            grids,
        )
    planted, returns = plant_edge(plant_rng, returns, grids)
    later = _prices(returns)
    sheet = compute_signals(
        later,
        n_days=N_PLANTED_DAYS,
        grids=grids,
        only=planted,
    )
    consensus = bitset.unpack(sheet.consensus(range(len(planted))), N_TICKERS)
    edge = set()
    for day_idx, ticker_idx in np.argwhere(consensus).tolist():
        edge.add((sheet.days[day_idx], sheet.tickers[ticker_idx]))
    return DemoMarket(
        later.until(LAST_DAY.isoformat()),
        later,
        grids,
        planted,
        frozenset(edge),
    )


def recovered(group: Group, market: DemoMarket) -> tuple[int, int]:
    """Count the (day, ticker) of a group's consensus that belong to the edge, and all of them.

    A group that shares the tickers of the edge has found it, even with other members: variations
    with similar parameters buy much the same.
    """
    signals = set()
    for of_day in group.consensus:
        for ticker in of_day.tickers:
            signals.add((of_day.day, ticker))
    return len(signals & market.edge), len(signals)


def sentence(result: SearchResult, market: DemoMarket) -> str:
    """Summarise a search of this market in one sentence."""
    winners = [groups[0] for groups in result.kept.values() if groups]
    if not winners:
        return "no group was kept, so nothing was found"
    if not market.planted:
        n_tested = sum(result.tested.values())
        luck = f"the best group is the luckiest of {n_tested:,} tested, not a find"
        return f"nothing was planted: {luck}"
    best = max(winners, key=lambda group: group.score)
    n_shared, n_signals = recovered(best, market)
    verdict = "found it" if 2 * n_shared > n_signals else "did not find it"
    members = " + ".join(" ".join(key) for key in market.planted)
    share = f"{n_shared} of the {n_signals} signals of the best group belong to it"
    return f"{verdict}: planted was an edge of {members}: {share}"


def narrow_grids() -> Grids:
    """The default grids with every other value of the longer lists, for a quick search."""
    algorithms = []
    for algorithm in ALGORITHMS:
        parameters = []
        for parameter in algorithm.parameters:
            step = 2 if len(parameter.values) > 4 else 1
            parameters.append(replace(parameter, values=parameter.values[::step]))
        algorithms.append(replace(algorithm, parameters=tuple(parameters)))
    return grids_of(algorithms)


# --- the market


@dataclass(frozen=True, slots=True)
class _Returns:
    """Log returns, float64[T, N] each, and volumes.

    `overnight` is close to open, `session` open to close; `wick` float64[2, T, N] is how far the
    high and the low are beyond them.
    """

    overnight: FloatArray
    session: FloatArray
    wick: FloatArray
    volume: FloatArray


def draw_returns(rng: np.random.Generator) -> _Returns:
    """Draw the returns and volumes of all tickers, without an edge."""
    n_days = N_DATES + 1
    shape = (N_TICKERS, n_days)
    yearly = rng.uniform(0.8, 1.8, size=(N_TICKERS, 1)) * 0.25
    scale = yearly / np.sqrt(_SESSIONS_A_YEAR)
    # Two regimes that last for 50 days on average.
    is_nervous = np.logical_xor.accumulate(rng.random(n_days) < 0.02)
    nervous = np.where(is_nervous, 1.8, 0.8)
    market = 0.2 * rng.standard_normal(n_days)
    market *= nervous
    sectors = 0.3 * rng.standard_normal((N_SECTORS, n_days))
    sectors *= nervous
    drift = np.empty(shape)
    for ticker in range(N_TICKERS):
        # A drift changes every 40 days on average.
        changes = rng.random(n_days) < 1 / 40
        period = np.cumsum(changes)
        drifts = rng.standard_normal(int(period[-1]) + 1)
        drift[ticker] = drifts[period]
    residual = rng.standard_normal(shape)
    residual *= nervous
    daily = scale * (market + sectors[_SECTOR] + 0.12 * drift + residual)
    noise = scale * 0.4 * rng.standard_normal(shape)
    session = daily * 0.6 + noise
    wick = np.abs(rng.standard_normal((2, *shape)))
    wick *= scale * 0.5
    log_volume = rng.normal(13.0, 0.6, size=(N_TICKERS, 1))
    log_volume = log_volume + 0.4 * rng.standard_normal(shape)
    return _Returns(
        overnight=daily - 0.6 * daily,
        session=session,
        wick=wick,
        volume=np.exp(log_volume).round(),
    )


def _prices(returns: _Returns) -> PriceTable:
    """The bars of these returns, on weekdays up to the day after the last searched one."""
    log_close = np.cumsum(returns.overnight + returns.session, axis=1)
    log_close += np.log(60.0)
    log_open = log_close - returns.session
    close = np.exp(log_close)
    open = np.exp(log_open)
    up, down = returns.wick
    high = np.maximum(open, close) * np.exp(up)
    low = np.minimum(open, close) * np.exp(-down)
    tickers = []
    for ticker, sector in enumerate(_SECTOR.tolist()):
        letter = chr(ord("A") + sector)
        tickers.append(f"{letter}{ticker:03d}")
    fields = (open, high, low, close, returns.volume)
    return price_table(_dates(), tickers, fields)


def _dates() -> list[str]:
    first = np.busday_offset(LAST_DAY, 1 - N_DATES)
    weekdays = np.busday_offset(first, np.arange(N_DATES + 1))
    return [str(day) for day in weekdays]


# --- the edge


def plant_edge(
    rng: np.random.Generator,
    returns: _Returns,
    grids: Grids,
) -> tuple[tuple[Key, ...], _Returns]:
    """Choose a random group with a consensus of the right size, and give it an edge."""
    sheet = compute_signals(
        _prices(returns),
        n_days=N_PLANTED_DAYS,
        grids=grids,
    )
    keys = sheet.keys
    for numbers in groups_of_right_size(rng, sheet):
        members = tuple(keys[number] for number in numbers)
        changed = with_edge(rng, returns, members, grids)
        if changed is not None:
            return members, changed
    none = "no group of this market has a consensus of the right size on every day"
    raise Mp2Error(f"{none}; choose another seed")


def groups_of_right_size(
    rng: np.random.Generator,
    sheet: SignalSheet,
) -> Iterator[list[int]]:
    """Draw groups of three algorithms whose consensus is a handful of changing tickers a day."""
    tries = rng.integers(len(sheet.variations), size=(_N_TRIES, 3))
    tries.sort(axis=1)
    first, second, third = sheet.algo_of[tries].T
    is_group = (first < second) & (second < third)
    for numbers in tries[is_group].tolist():
        consensus = sheet.consensus(numbers)
        sizes = bitset.count(consensus)
        if sizes.min() < _MIN_CONSENSUS or sizes.max() > _MAX_CONSENSUS:
            continue
        distinct = np.bitwise_or.reduce(consensus, axis=0)
        n_distinct = bitset.count(distinct)
        if sizes.sum() <= _MAX_REPEATS * n_distinct:
            yield numbers


def with_edge(
    rng: np.random.Generator,
    returns: _Returns,
    members: Iterable[Key],
    grids: Grids,
) -> _Returns | None:
    """Return the market in which the members' consensus mostly rises.

    None when the size of the consensus leaves its range on the way.
    """
    session = returns.session.copy()
    changed = replace(returns, session=session)
    only = set(members)
    dates = _dates()
    for day_idx in range(N_DATES + 1 - N_PLANTED_DAYS, N_DATES + 1):
        # Only the bars before the day: its own are not yet known to the signals.
        past = _prices(changed).until(dates[day_idx - 1])
        sheet = compute_signals(
            past,
            n_days=0,
            include_next=True,
            grids=grids,
            only=only,
        )
        consensus = sheet.consensus(range(len(only)))
        tickers = bitset.members(consensus)
        moves = np.abs(session[tickers, day_idx])
        gains = np.maximum(moves, _MIN_GAIN)
        rises = rng.random(len(tickers)) < _PLANTED_HIT_RATE
        if rises.sum() < _MIN_HITS:
            return None
        if not _MIN_CONSENSUS <= len(tickers) <= _MAX_CONSENSUS:
            return None
        session[tickers, day_idx] = np.where(rises, gains, -gains)
    return changed
