"""Null models: which tickers would win if the signals knew nothing.

A null model draws the labels of a replicate: who wins on each day, given how many do. Only labels
of a day's *universe* move, the tickers whose outcome on that day is known. `tickers` shuffles a
day's labels over its universe, `sectors` within each sector, and `days` takes the winners from
another, earlier day of the price history, by the rule of outcomes that the panel has.

Replicate r reads nothing but the raw stream of `Philox(key=[seed, r])`, which NumPy guarantees, day
by day. So it is the same on every machine, whatever the number of replicates and workers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from mp2.data import bitset
from mp2.data.arrays import BoolArray, FloatArray, IndexArray, WordArray, aligned_zeros
from mp2.data.holding import holding
from mp2.data.panel import SignalPanel, never
from mp2.data.prices import PriceTable
from mp2.data.ticker_keys import joined, positions_by_spelling
from mp2.errors import InputError
from mp2.evidence.settings import GAP_DAYS, N_DONORS, NULLS
from mp2.groups.luck import Donors

NullName = Literal["days", "sectors", "tickers"]
# With fewer, a donor would be drawn again and again.
MIN_DONORS = 40
# A donor needs bars of at least this share of the universe.
_MIN_SHARE = 0.9
# The kernel takes the replicates in blocks of this many.
BLOCK = 512


class RawStream(Protocol):
    """Where random 64-bit words come from: a bit generator of NumPy."""

    def random_raw(self, size: int) -> WordArray:
        """Return the next `size` words uint64[size]."""


@dataclass(frozen=True, slots=True)
class DayUniverse:
    """The tickers of one day whose labels move.

    `tickers` int64[n], positions in the panel, ascending; `wins` bool[n], the observed labels.
    """

    tickers: IndexArray
    wins: BoolArray

    @property
    def base_rate(self) -> float:
        """The share of winners, 0..1; 0 for an empty day."""
        if not len(self.wins):
            return 0.0
        return float(self.wins.mean())


class NullModel(Protocol):
    """Draws the labels of one day after the other from a stream of random words."""

    @property
    def name(self) -> NullName:
        """The name of the model."""

    @property
    def universes(self) -> tuple[DayUniverse, ...]:
        """The universe of each searched day."""

    def draw(
        self,
        day_idx: int,
        stream: RawStream,
    ) -> BoolArray:
        """Draw the labels bool[n] of a day's universe."""


def universes(panel: SignalPanel) -> tuple[DayUniverse, ...]:
    """Return the universe of every day of a consistent panel."""
    known = panel.known
    won = panel.won
    # A panel made by hand may say no more than what is bought.
    if known is None or won is None:
        known = np.bitwise_or.reduce(panel.buys, axis=0)
        won = panel.wins & known
    n_tickers = len(panel.tickers)
    is_known = bitset.unpack(known, n_tickers)
    is_win = bitset.unpack(won, n_tickers)
    days = []
    for day_idx in range(len(panel.days)):
        tickers = np.flatnonzero(is_known[day_idx])
        days.append(DayUniverse(tickers, is_win[day_idx, tickers]))
    return tuple(days)


# --- the models -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TickersNull:
    """Shuffles the labels of a day over its universe."""

    universes: tuple[DayUniverse, ...]
    name: NullName = "tickers"

    def draw(
        self,
        day_idx: int,
        stream: RawStream,
    ) -> BoolArray:
        """Give the i-th ticker the label of the one with the i-th smallest random word."""
        wins = self.universes[day_idx].wins
        order = np.argsort(stream.random_raw(len(wins)), kind="stable")
        shuffled: BoolArray = wins[order]
        return shuffled


@dataclass(frozen=True, slots=True)
class SectorsNull:
    """Shuffles the labels of a day within each sector.

    `sector_idx` int64[T]: the position of each ticker's sector among the sorted names.
    """

    universes: tuple[DayUniverse, ...]
    sector_idx: IndexArray
    name: NullName = "sectors"

    def draw(
        self,
        day_idx: int,
        stream: RawStream,
    ) -> BoolArray:
        """Give a sector's i-th ticker the label of its one with the i-th smallest random word."""
        universe = self.universes[day_idx]
        sectors = self.sector_idx[universe.tickers]
        words = stream.random_raw(len(sectors))
        # Sector by sector: the tickers as they come, and in the order of their words.
        receiving = np.argsort(sectors, kind="stable")
        giving = np.lexsort((words, sectors))
        labels = np.empty_like(universe.wins)
        labels[receiving] = universe.wins[giving]
        return labels


@dataclass(frozen=True, slots=True)
class DonorDays:
    """The earlier days that stand for one searched day, the nearest in base rate first.

    `date_idx` int64[n], dates of the price table; `base_rates` float64[n], 0..1; `returns`
    float64[n, n_d] of the day's universe, NaN without a bar.
    """

    date_idx: IndexArray
    base_rates: FloatArray
    returns: FloatArray


@dataclass(frozen=True, slots=True)
class DaysNull:
    """Takes the winners of a day from a donor: those who did best, relative to the others, there.

    `dates`: those of the price table.
    """

    universes: tuple[DayUniverse, ...]
    donors: tuple[DonorDays, ...]
    dates: tuple[str, ...]
    name: NullName = "days"

    def draw(
        self,
        day_idx: int,
        stream: RawStream,
    ) -> BoolArray:
        """Let as many tickers win as did, by the ranks of a random donor's returns."""
        donors = self.donors[day_idx]
        (word,) = stream.random_raw(1)
        donor_idx = int(word) % len(donors.date_idx)
        returns = donors.returns[donor_idx]

        # The i-th best of m tickers has the key (i + 0.5) / m, those without a bar a random one.
        has_bar = np.isfinite(returns)
        n_bars = int(has_bar.sum())
        best_first = np.argsort(-returns[has_bar], kind="stable")
        rank_of = np.argsort(best_first, kind="stable")
        keys = np.empty(len(returns))
        keys[has_bar] = (rank_of + 0.5) / n_bars
        if n_bars < len(returns):
            words = stream.random_raw(len(returns) - n_bars)
            # Divided one by one: NumPy would round the words to doubles first.
            keys[~has_bar] = [int(word) / 2**64 for word in words]

        n_winners = int(self.universes[day_idx].wins.sum())
        winners = np.argsort(keys, kind="stable")[:n_winners]
        labels = np.zeros(len(returns), np.bool_)
        labels[winners] = True
        return labels

    def summary(self, day_idx: int) -> Donors:
        """Describe the donors of a searched day."""
        donors = self.donors[day_idx]
        rates_pp = 100 * donors.base_rates
        return Donors(
            n=len(donors.date_idx),
            first=self.dates[int(donors.date_idx.min())],
            last=self.dates[int(donors.date_idx.max())],
            base_rate_pp=100 * self.universes[day_idx].base_rate,
            nearest_pp=float(rates_pp[0]),
            farthest_pp=float(rates_pp[-1]),
        )


# --- choosing and making one ----------------------------------------------------------------------


class NotPossibleError(InputError):
    """A null model lacks what it needs; the message names it."""


def choose_null(
    panel: SignalPanel,
    name: str,
    prices: PriceTable | None = None,
    sectors: Mapping[str, str] | None = None,
    *,
    n_donors: int = N_DONORS,
    gap_days: int = GAP_DAYS,
) -> tuple[NullModel, tuple[str, ...]]:
    """Return the null model of this name, and warnings; "auto" takes the best possible one.

    `prices`: daily bars that begin long before the searched days. `sectors`: the sector of a
    ticker. `n_donors` donors a day, all `gap_days` trading days or more before the first searched
    day. Raises `InputError` when the name is unknown or the model is not possible.
    """
    if name not in NULLS:
        raise InputError(f"null: {name!r} is unknown; choose from {', '.join(NULLS)}")
    days = universes(panel)
    warnings: tuple[str, ...] = ()
    if name == "days" or (name == "auto" and prices is not None):
        try:
            return days_null(panel, days, prices, n_donors, gap_days), ()
        except NotPossibleError as error:
            if name == "days":
                raise
            warnings = (str(error),)
    if name == "sectors" or (name == "auto" and sectors is not None):
        return sectors_null(panel, days, sectors), warnings
    return TickersNull(days), warnings


def sectors_null(
    panel: SignalPanel,
    days: tuple[DayUniverse, ...],
    sectors: Mapping[str, str] | None,
) -> SectorsNull:
    """Return the shuffle within sectors; raises `NotPossibleError` without them."""
    if sectors is None:
        raise NotPossibleError(
            "null: sectors needs a table with the columns ticker and sector; give --sectors FILE"
        )
    spelling = joined(panel.tickers, sectors)
    if not spelling:
        raise InputError("sectors: none of the tickers of the signals has a sector there")
    names = []
    for ticker in panel.tickers:
        # Tickers without a sector form one of their own.
        sector = ""
        if ticker in spelling:
            sector = sectors[spelling[ticker]]
        names.append(sector)
    _, sector_idx = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    return SectorsNull(days, sector_idx)


def days_null(
    panel: SignalPanel,
    days: tuple[DayUniverse, ...],
    prices: PriceTable | None,
    n_donors: int,
    gap_days: int,
) -> DaysNull:
    """Return the winners of other days; raises `NotPossibleError` for too short a history."""
    if prices is None:
        raise NotPossibleError(
            "null: days needs daily bars from before the searched days; give --prices FILE"
        )
    # Bars next to the searched days are left out: the signals were computed from them last.
    n_past = max(0, bisect_left(prices.dates, panel.days[0]) - gap_days)
    returns = _returns_before(n_past, panel, prices)
    donors = []
    for day in days:
        day_returns = returns[:, day.tickers]
        n_bars = np.isfinite(day_returns).sum(axis=1)
        possible = np.flatnonzero(n_bars >= _MIN_SHARE * len(day.tickers))
        n_missing = MIN_DONORS - len(possible)
        if n_missing > 0:
            raise NotPossibleError(
                f"null: days needs {n_missing} more days of history: {len(possible)} of "
                f"{MIN_DONORS} days before {panel.days[0]} have bars of 90% of the tickers"
            )
        n_winners = (day_returns[possible] > 0).sum(axis=1)
        rates = n_winners / np.maximum(1, n_bars[possible])
        distance = np.abs(rates - day.base_rate)
        # Ties go to the later day.
        nearest = np.lexsort((-possible, distance))[:n_donors]
        chosen = possible[nearest]
        donors.append(DonorDays(chosen, rates[nearest], day_returns[chosen]))
    return DaysNull(days, tuple(donors), prices.dates)


def _returns_before(
    n_past: int,
    panel: SignalPanel,
    prices: PriceTable,
) -> FloatArray:
    """Return the returns of the first dates float64[n_past, T], NaN without a bar.

    They are those of the panel's rule of outcomes. Where it sells on the next session the last of
    these dates has none: no price after them is used.
    """
    rule = holding(panel.hold)
    entries = rule.entries(prices)
    exits = rule.exits(prices)
    n_known = max(0, n_past - rule.n_sessions)
    spelling = joined(panel.tickers, prices.tickers)
    row_of = positions_by_spelling(spelling, prices.tickers)
    returns = np.full((n_past, len(panel.tickers)), np.nan)
    for ticker_idx, ticker in enumerate(panel.tickers):
        row = row_of.get(ticker)
        if row is None:
            continue
        past_entry = entries[row, :n_known]
        past_exit = exits[row, :n_known]
        returns[:n_known, ticker_idx] = past_exit / past_entry - 1
    return returns


# --- all replicates -------------------------------------------------------------------------------


def n_blocks(n_replicates: int) -> int:
    """Return the number of the kernel's blocks for the drawn replicates and the observed one."""
    return -(-(n_replicates + 1) // BLOCK)


def label_rows(
    null: NullModel,
    n_tickers: int,
    n_replicates: int,
    seed: int = 0,
    late: Callable[[], bool] = never,
) -> WordArray | None:
    """Return the labels of all replicates, uint64[D, n_tickers + 1, n_words].

    Bit r of a row says whether the ticker wins on that day in replicate r: replicate 0 has the
    observed labels, replicates 1 to `n_replicates` are drawn. Rows are filled up to blocks of 512
    with losses; the last row of a day has nothing else. None once `late` returns True: labels of a
    part would be of no use.
    """
    n_days = len(null.universes)
    n_words = n_blocks(n_replicates) * BLOCK // bitset.WORD_BITS
    rows = aligned_zeros((n_days, n_tickers + 1, n_words), np.uint64)
    # One word of every row at a time, so that the unpacked labels stay small.
    for first in range(0, n_replicates + 1, bitset.WORD_BITS):
        if late():
            return None
        labels = np.zeros((n_days, n_tickers, bitset.WORD_BITS), np.bool_)
        last = min(first + bitset.WORD_BITS, n_replicates + 1)
        for replicate in range(first, last):
            bit = replicate - first
            drawn = _drawn(null, seed, replicate)
            for day_idx, universe in enumerate(null.universes):
                labels[day_idx, universe.tickers, bit] = drawn[day_idx]
        word = first // bitset.WORD_BITS
        rows[:, :-1, word] = bitset.pack(labels)[..., 0]
    return rows


def _drawn(
    null: NullModel,
    seed: int,
    replicate: int,
) -> list[BoolArray]:
    """Return the labels of a replicate by day; those of replicate 0 are observed."""
    if replicate == 0:
        return [universe.wins for universe in null.universes]
    key = np.array([seed, replicate], np.uint64)
    # A stream of its own, so that a replicate does not depend on how many there are.
    stream = np.random.Philox(key=key)
    return [null.draw(day_idx, stream) for day_idx in range(len(null.universes))]
