"""A synthetic stock market with an edge planted in its last week: what `mp2 demo` runs the main job on.

Prices follow a market factor whose volatility switches between a calm and a nervous regime, a factor per sector, and a drift
of every ticker that changes now and then, so that trends exist for a while. Whether a ticker closes above its open is
otherwise a matter of luck.

The edge: three variations of different algorithms are chosen whose consensus is a handful of tickers on each of the last
five days and on the day after. On these days, and only for that consensus, the day ends above its open. The signals of a
day use the bars before it, so the days are planted one after the other, each on the signals of the market as changed so far.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mp2.data import bitset
from mp2.data.prices import PriceTable, price_table
from mp2.errors import InputError, Mp2Error
from mp2.groups.result import Group, SearchResult
from mp2.signals.algorithms import ALGORITHMS, Algorithm
from mp2.signals.grids import Grids, grids_of
from mp2.signals.sheet import SignalSheet, compute_signals

FloatArray = npt.NDArray[np.float64]
Key = tuple[str, str]
"""A variation: (algo, variation)."""

N_TICKERS, N_SECTORS, N_DATES = 300, 12, 420
LAST_DAY, NEXT_DAY = datetime.date(2024, 3, 8), datetime.date(2024, 3, 11)
N_PLANTED_DAYS = 6
"""The week that is searched, and the day after it."""

_CONSENSUS = (10, 17)
_MOST_REPEATS = 1.8
_N_TRIES = 200_000
_PLANTED_HIT_RATE, _LEAST_HITS, _LEAST_GAIN = 0.95, 8, 0.002
_SESSIONS_A_YEAR = 252
_SECTOR = np.arange(N_TICKERS) * N_SECTORS // N_TICKERS


@dataclass(frozen=True, slots=True, eq=False)
class DemoMarket:
    """`prices` end on the last day to be searched, `later` on the day after it; `grids` are narrow enough for a quick search.

    `planted`: the members of the planted group as (algo, variation), in algorithm order; empty when nothing was planted.
    `edge`: (day, ticker) of every signal of that group in the week and on the day after.
    """

    prices: PriceTable
    later: PriceTable
    grids: Grids
    planted: tuple[Key, ...]
    edge: frozenset[tuple[str, str]]


def make_market(seed: int = 0, plant: bool = True) -> DemoMarket:
    """The demo's market: 300 tickers in 12 sectors, 420 days and one more; the same for the same arguments.

    Another seed changes every price and the planted group. Raises `InputError` for a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give a whole number from 0")
    market_rng, plant_rng = np.random.default_rng(seed).spawn(2)
    returns = _draw_returns(market_rng)
    grids = grids_of(map(_narrowed, ALGORITHMS))
    planted, returns = _plant(plant_rng, returns, grids) if plant else ((), returns)
    later = _prices(returns)
    edge = _signals_of(later, planted, grids) if planted else frozenset()
    return DemoMarket(later.until(LAST_DAY.isoformat()), later, grids, planted, edge)


def recovered(group: Group, market: DemoMarket) -> tuple[int, int]:
    """How many (day, ticker) of a group's consensus belong to the planted edge, and how many it has.

    Groups that share the edge's tickers have found it, whether or not they name the planted members: variations of similar
    parameters buy much the same.
    """
    signals = {(of_day.day, ticker) for of_day in group.consensus for ticker in of_day.tickers}
    return len(signals & market.edge), len(signals)


def sentence(result: SearchResult, market: DemoMarket) -> str:
    """What may be said of a search of this market, in one sentence."""
    best = max(
        (groups[0] for groups in result.kept.values() if groups),
        key=lambda group: group.score,
        default=None,
    )
    if best is None:
        return "no group was kept, so nothing was found"
    if not market.planted:
        return f"nothing was planted: the best group is the luckiest of {sum(result.tested.values()):,} tested, not a find"
    n_shared, n_signals = recovered(best, market)
    members = " + ".join(" ".join(key) for key in market.planted)
    head = f"planted was an edge of {members}: {n_shared} of the {n_signals} signals of the best group belong to it"
    return f"found it: {head}" if 2 * n_shared > n_signals else f"did not find it: {head}"


def _signals_of(
    prices: PriceTable, members: Sequence[Key], grids: Grids
) -> frozenset[tuple[str, str]]:
    sheet = compute_signals(prices, n_days=N_PLANTED_DAYS, grids=grids, only=members)
    consensus = bitset.unpack(np.bitwise_and.reduce(sheet.buys, axis=0), len(sheet.tickers))
    return frozenset((sheet.days[d], sheet.tickers[t]) for d, t in np.argwhere(consensus).tolist())


def _narrowed(algorithm: Algorithm) -> Algorithm:
    """The algorithm with every other value of its longer lists: the demo is to be quick, not thorough."""
    parameters = tuple(
        replace(
            parameter,
            values=parameter.values[::2] if len(parameter.values) > 4 else parameter.values,
        )
        for parameter in algorithm.parameters
    )
    return replace(algorithm, parameters=parameters)


# --- the market -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Returns:
    """Log returns, float64[T, N] each: close to open (`overnight`), open to close (`session`), and the day's wicks."""

    overnight: FloatArray
    session: FloatArray
    wick: FloatArray
    volume: FloatArray


def _draw_returns(rng: np.random.Generator) -> _Returns:
    shape = (N_TICKERS, N_DATES + 1)
    scale = rng.uniform(0.8, 1.8, size=(N_TICKERS, 1)) * 0.25 / np.sqrt(_SESSIONS_A_YEAR)
    nervous = np.where(_switches(rng, shape[1], 0.02), 1.8, 0.8)
    market = 0.2 * rng.standard_normal(shape[1]) * nervous
    sectors = (0.3 * rng.standard_normal((N_SECTORS, shape[1])) * nervous)[_SECTOR]
    drift = 0.12 * np.array([_drift(rng, shape[1]) for _ in range(N_TICKERS)])
    daily = scale * (market + sectors + drift + rng.standard_normal(shape) * nervous)
    session = daily * 0.6 + scale * 0.4 * rng.standard_normal(shape)
    wick = scale * 0.5 * np.abs(rng.standard_normal((2, *shape)))
    volume: FloatArray = np.exp(
        rng.normal(13.0, 0.6, size=(N_TICKERS, 1)) + 0.4 * rng.standard_normal(shape)
    ).round()
    return _Returns(daily - 0.6 * daily, session, wick, volume)


def _switches(rng: np.random.Generator, n: int, probability: float) -> npt.NDArray[np.bool_]:
    """Two states that last for 1 / probability days on average."""
    return np.logical_xor.accumulate(rng.random(n) < probability)


def _drift(rng: np.random.Generator, n: int) -> FloatArray:
    """A drift that is drawn anew every 40 days on average."""
    regime = np.cumsum(rng.random(n) < 1 / 40)
    return rng.standard_normal(int(regime[-1]) + 1)[regime]


def _prices(returns: _Returns) -> PriceTable:
    """The bars of these returns, on weekdays up to the day after the last one searched."""
    log_close = np.cumsum(returns.overnight + returns.session, axis=1) + np.log(60.0)
    closes, opens = np.exp(log_close), np.exp(log_close - returns.session)
    highs = np.maximum(opens, closes) * np.exp(returns.wick[0])
    lows = np.minimum(opens, closes) * np.exp(-returns.wick[1])
    tickers = [f"{chr(ord('A') + sector)}{ticker:03d}" for ticker, sector in enumerate(_SECTOR)]
    return price_table(_dates(), tickers, (opens, highs, lows, closes, returns.volume))


def _dates() -> list[str]:
    days = [LAST_DAY - datetime.timedelta(days=i) for i in range(2 * N_DATES)]
    weekdays = [day.isoformat() for day in days if day.weekday() < 5][:N_DATES]
    return [*weekdays[::-1], NEXT_DAY.isoformat()]


# --- the edge -------------------------------------------------------------------------------------------------------


def _plant(
    rng: np.random.Generator, returns: _Returns, grids: Grids
) -> tuple[tuple[Key, ...], _Returns]:
    """A group that is chosen at random among those of the right consensus, and the market in which it has an edge."""
    sheet = compute_signals(_prices(returns), n_days=N_PLANTED_DAYS, grids=grids)
    for members in _groups_of_right_size(rng, sheet):
        keys = tuple((sheet.algos[sheet.algo_of[v]], sheet.variations[v]) for v in members)
        changed = _with_edge(rng, returns, keys, grids)
        if changed is not None:
            return keys, changed
    raise Mp2Error(
        "no group of this market has a consensus of the right size on every day; choose another seed"
    )


def _groups_of_right_size(
    rng: np.random.Generator, sheet: SignalSheet
) -> Iterator[tuple[int, ...]]:
    """Variation numbers of random groups of three algorithms: a handful of tickers a day, not the same ones every day."""
    tries = np.sort(rng.integers(len(sheet.variations), size=(_N_TRIES, 3)), axis=1)
    algo = sheet.algo_of[tries]
    for members in tries[(algo[:, 0] < algo[:, 1]) & (algo[:, 1] < algo[:, 2])]:
        consensus = np.bitwise_and.reduce(sheet.buys[members], axis=0)
        sizes, n_different = (
            bitset.count(consensus),
            bitset.count(np.bitwise_or.reduce(consensus, axis=0)),
        )
        if (
            sizes.min() >= _CONSENSUS[0]
            and sizes.max() <= _CONSENSUS[1]
            and sizes.sum() <= _MOST_REPEATS * n_different
        ):
            yield tuple(members.tolist())


def _with_edge(
    rng: np.random.Generator, returns: _Returns, members: Iterable[Key], grids: Grids
) -> _Returns | None:
    """The market in which the members' consensus nearly always rises; None when its size leaves the range on the way."""
    changed = replace(returns, session=returns.session.copy())
    only, dates = set(members), _dates()
    for day_idx in range(N_DATES + 1 - N_PLANTED_DAYS, N_DATES + 1):
        before = _prices(changed).until(dates[day_idx - 1])
        sheet = compute_signals(before, n_days=0, include_next=True, grids=grids, only=only)
        consensus = np.flatnonzero(
            bitset.unpack(np.bitwise_and.reduce(sheet.buys[:, 0], axis=0), N_TICKERS)
        )
        gains = np.maximum(np.abs(changed.session[consensus, day_idx]), _LEAST_GAIN)
        rises = rng.random(len(consensus)) < _PLANTED_HIT_RATE
        if not _CONSENSUS[0] <= len(consensus) <= _CONSENSUS[1] or rises.sum() < _LEAST_HITS:
            return None
        changed.session[consensus, day_idx] = np.where(rises, gains, -gains)
    return changed
