"""Prices to signals: every variation of every algorithm on the wanted days.

The rule of time: *the signal of day d is the result of a rule as of the close of the ticker's last
bar before d*, and there is none on a day without a bar or more than five dates after the last one.
Rules and indicators know bars only (`indicators`, `algorithms`). `compute_signals` alone turns bars
into days: it cuts the bars before the last day and shifts by one. So the last wanted day cannot
look ahead, whichever code an algorithm runs; `mp2.signals.lookahead` checks the other days.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mp2.data import bitset
from mp2.data.arrays import AnyArray, BoolArray, FloatArray, IndexArray, freeze
from mp2.data.holding import DAY_HOLD, Hold, Holding, holding
from mp2.data.panel import SignalPanel, signal_panel
from mp2.data.prices import PriceTable, as_prices
from mp2.data.signal_table import Key, SignalTable, algo_numbers
from mp2.data.tables import Observe, Stop
from mp2.errors import InputError, Mp2Error, ReadStoppedError
from mp2.signals import indicators
from mp2.signals.days import WantedDays, tickers_until, wanted_days
from mp2.signals.grids import Grids, Variation, load_grids

if TYPE_CHECKING:
    import polars as pl

Job = Callable[[], None]

_CHUNK_TICKERS = 32
_CHUNK_VARIATIONS = 64

# The largest size of the series of one block of days; more days are computed in several blocks.
_BLOCK_BYTES = 256 << 20

# Numbers per call from which a second thread gains. Calls on fewer release the GIL for so short a
# time that the hand-over costs more: on 2 cores where 2 processes gain 1.4, 2 threads make 0.6 of
# one at 300 and 1,259 bars, 0.8 at 5,000 and 1.5 at 20,000. Rules do more between two calls and
# break even at 78,000.
_THREADED_CELLS = 50_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class SignalSheet(SignalTable):
    """The buys of V variations on D days for T tickers, from bars before each day only.

    - `algos`, `variations`, `algo_of`, `days`, `tickers`, `buys`, `warnings`: as in
      `mp2.SignalPanel`; every variation of the grids is there, also without a buy.
    - `tickers`: those whose bars do not end before the first day. No variation buys a ticker on a
      day of the prices without a bar, or without one to sell it at on the next session.
    - `open`, `close`: float64[D, T], NaN where there is no bar (all NaN on a day after the prices).
    - `hold`: the rule of outcomes. `sold`: float64[D, T], the price of the next session at which
      the rule sells, NaN where it is not known; None for a rule that sells on the day.
    - `assumed_day`: whether the last day is not in the prices. It is the next usual weekday after
      their last date then, and its outcome is not known.

    All arrays are C-contiguous and read-only.
    """

    open: FloatArray
    close: FloatArray
    assumed_day: bool
    hold: Hold = DAY_HOLD
    sold: FloatArray | None = None

    def __post_init__(self) -> None:
        freeze((self.buys, self.open, self.close))
        if self.sold is not None:
            freeze([self.sold])

    @property
    def entry(self) -> FloatArray:
        """What a buyer pays: float64[D, T]."""
        return self.open if holding(self.hold).bought == "open" else self.close

    @property
    def exit(self) -> FloatArray:
        """What a buyer of the day gets: float64[D, T]."""
        return self.close if self.sold is None else self.sold

    @property
    def n_outcome_days(self) -> int:
        """The number of days whose outcome the prices know: all but the last one or two."""
        known = np.flatnonzero(np.isfinite(self.exit).any(axis=1))
        return int(known.max(initial=-1)) + 1

    def panel(
        self,
        first_day_idx: int = 0,
        n_days: int | None = None,
    ) -> SignalPanel:
        """Make a panel of `n_days` days from `first_day_idx` on (default: all with an outcome).

        A win is a price at the exit above that at the entry. The base win rate of a day, in
        percent, is over every ticker that has both. A panel read from `to_frame()` knows only
        tickers that some variation buys, so its rates agree where every ticker is bought. Raises
        `InputError` for no days, and for days without an outcome.
        """
        n_known = self.n_outcome_days
        stop = n_known if n_days is None else first_day_idx + n_days
        if not 0 <= first_day_idx < stop <= n_known:
            span = f"days {first_day_idx}..{stop - 1}"
            raise InputError(f"{span} are not among the {n_known} days with an outcome")
        chosen = slice(first_day_idx, stop)
        entry = self.entry[chosen]
        exit = self.exit[chosen]
        known = np.isfinite(entry) & np.isfinite(exit)
        won = known & (exit > entry)
        last_exit = None
        if holding(self.hold).n_sessions:
            # Known, so its session is among the days.
            last_exit = self.days[stop]
        # A day without a bar has rate 0.
        n_known_tickers = np.maximum(known.sum(axis=1), 1)
        winners = bitset.pack(won)
        return signal_panel(
            algos=self.algos,
            variations=self.variations,
            algo_of=self.algo_of,
            days=self.days[chosen],
            tickers=self.tickers,
            buys=np.ascontiguousarray(self.buys[:, chosen]),
            wins=winners,
            base_win_rates=100.0 * won.sum(axis=1) / n_known_tickers,
            known=bitset.pack(known),
            won=winners,
            hold=self.hold,
            last_exit=last_exit,
            warnings=self.warnings,
        )

    def to_frame(self) -> pl.DataFrame:
        """List the buys, one row each, for `mp2.read_signals`.

        Columns: algo, variation (text), day (date), ticker (text), open, close (float64, null where
        there is no bar), whatever `hold` is. Rows are in the order of variation numbers, days,
        tickers.
        """
        import polars as pl

        counts = bitset.count(self.buys)
        n_variations, n_days = counts.shape
        variation = np.repeat(np.arange(n_variations), counts.sum(axis=1))
        day = np.repeat(np.tile(np.arange(n_days), n_variations), counts.reshape(-1))
        ticker = bitset.members(self.buys)

        # Gathering from the few distinct names makes no Python object per row.
        def texts(names: Sequence[str], numbers: AnyArray) -> pl.Series:
            return pl.Series(list(names), dtype=pl.String).gather(numbers)

        frame = pl.DataFrame(
            {
                "algo": texts(self.algos, self.algo_of[variation]),
                "variation": texts(self.variations, variation),
                "day": np.array(self.days, "datetime64[D]")[day],
                "ticker": texts(self.tickers, ticker),
                "open": self.open[day, ticker],
                "close": self.close[day, ticker],
            }
        )
        return frame.with_columns(pl.col("open", "close").fill_nan(None))


# --- computing


def compute_signals(
    prices: Any,
    *,
    n_days: int = 5,
    end: str | None = None,
    include_next: bool = False,
    grids: Grids | None = None,
    only: Collection[Key] | None = None,
    history: int | None = None,
    threads: int | None = None,
    hold: Hold = DAY_HOLD,
    stop: Stop = None,
    observe: Observe = None,
) -> SignalSheet:
    """Compute the signals of the last `n_days` dates of the prices up to `end`.

    - `prices`: a price table, or what `read_prices` reads.
    - `end`: the last day (default: the last date of the prices). Without bars on it the last date
      before it counts, with a warning.
    - `include_next` adds the day after: the prices' next date if it is known, else the next weekday
      that usually has bars (`assumed_day`). `n_days` may be 0 then.
    - `grids`: what to compute (default: `load_grids()`); `only` limits it to these (algorithm,
      variation).
    - `history`: bars before the first day to start from (default: all). At least the longest
      warm-up is used, because the result would otherwise depend on where the bars begin.
    - `threads`: default one per core for long series or many days, else one. Results do not depend
      on it.
    - `hold`: the rule of outcomes (`mp2.data.holding`). One that sells on the next session leaves
      the last date up to `end` without an outcome: no bar after it is used.
    - `observe(done, total)` reports progress from the calling thread. `stop`, when set, ends the
      work between two jobs with `ReadStoppedError`.

    Raises `InputError` for days or variations that do not exist, `Mp2Error` when an algorithm
    fails. Memory: the sheet, and at most 256 MB of series unless one day takes more.
    """
    rule = holding(hold)
    prices = as_prices(prices, end=end, stop=stop)
    days = wanted_days(
        prices,
        n_days,
        end,
        include_next,
    )
    if threads is not None and threads < 1:
        raise InputError(f"threads: {threads} is too few; use at least 1")
    if grids is None:
        grids = load_grids()
    variations = chosen_variations(grids, only)
    tickers = tickers_until(prices, days)
    start_idx, notes = first_bar(
        prices,
        tickers,
        variations,
        days,
        history,
    )
    computation = _Computation(
        prices,
        tickers,
        variations,
        days,
        start_idx,
        rule,
    )
    computation.run(threads, stop, observe)
    algo_names = [variation.algorithm.name for variation in variations]
    algos = tuple(dict.fromkeys(algo_names))
    opens = _outcome(prices.open, tickers, days, prices.n_dates)
    closes = _outcome(prices.close, tickers, days, prices.n_dates)
    sold = None
    if rule.n_sessions:
        sold = _outcome(rule.exits(prices), tickers, days, days.end_idx - rule.n_sessions)
    return SignalSheet(
        algos=algos,
        variations=tuple(variation.name for variation in variations),
        algo_of=algo_numbers(algos, algo_names),
        days=days.names,
        tickers=tuple(prices.tickers[ticker] for ticker in tickers),
        buys=computation.buys,
        open=opens,
        close=closes,
        assumed_day=days.assumed,
        hold=hold,
        sold=sold,
        warnings=(*prices.warnings, *grids.warnings, *days.notes, *notes),
    )


def chosen_variations(
    grids: Grids,
    only: Collection[Key] | None,
) -> tuple[Variation, ...]:
    """Return the variations of the grids, limited to those in `only`."""
    if only is None:
        return grids.variations
    wanted = set(map(tuple, only))
    chosen = tuple(variation for variation in grids.variations if variation.key in wanted)
    unknown = sorted(wanted.difference(variation.key for variation in chosen))
    if unknown:
        name = " ".join(unknown[0])
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise InputError(f"only: {name} is not in the grids{more}; use the grids it comes from")
    if not chosen:
        raise InputError("only: names no variation; leave it out for all")
    return chosen


def _outcome(
    values: FloatArray,
    tickers: IndexArray,
    days: WantedDays,
    stop_idx: int,
) -> FloatArray:
    """float64[D, T] of some tickers from float64[T, N], NaN from the date `stop_idx` on."""
    outcome = np.full((len(days.names), len(tickers)), np.nan)
    known = values[tickers, days.first_idx : min(days.stop_idx, stop_idx)].T
    outcome[: len(known)] = known
    return outcome


def _tradable(
    prices: PriceTable,
    tickers: IndexArray,
    days: WantedDays,
    rule: Holding,
) -> BoolArray:
    """Return which tickers trade on the days, bool[T', D]; all, where no bar of a day is known."""
    trades = np.ones((len(tickers), len(days.names)), np.bool_)
    has_bar = np.isfinite(prices.close[tickers, days.first_idx : days.stop_idx])
    trades[:, : has_bar.shape[1]] = has_bar
    if rule.n_sessions:
        sold_until = days.end_idx - rule.n_sessions
        exits = rule.exits(prices)[tickers, days.first_idx : sold_until]
        trades[:, : exits.shape[1]] &= np.isfinite(exits)
    return trades


# --- history


def first_bar(
    prices: PriceTable,
    tickers: IndexArray,
    variations: Sequence[Variation],
    days: WantedDays,
    history: int | None,
) -> tuple[int, list[str]]:
    """Return the index of the first bar to use, and warnings where there are too few bars."""
    if history is not None and history < 1:
        remedy = "use at least 1 bar, or leave it out for all"
        raise InputError(f"history: {history} is too few; {remedy}")
    n_available = days.first_idx
    slowest = max(variations, key=_n_warm_up)
    n_warm_up = _n_warm_up(slowest)
    forgets = f"{' '.join(slowest.key)} takes {n_warm_up} bars to forget its start"
    n_used = n_available
    warnings = []
    if history is not None:
        n_used = min(max(history, n_warm_up), n_available)
        if history < n_used:
            warnings.append(f"history: {forgets}; {n_used} are used instead of {history}")
    if n_used < n_warm_up:
        warnings.append(f"prices: {forgets}; all {n_used} before {days.names[0]} are used")
    start_idx = n_available - n_used
    n_had = np.isfinite(prices.close[tickers, start_idx:n_available]).sum(axis=1)
    n_to_forget = min(n_warm_up, n_used)
    longest = max(variations, key=_n_bars)
    n_bars = _n_bars(longest)
    is_short = n_had < n_bars
    # By dates: a few bars that are missing on the way do not matter.
    first_idx = np.maximum(prices.first_idx[tickers], start_idx)
    is_cold = n_available - first_idx < n_to_forget
    n_short = np.count_nonzero(is_short)
    # Tickers that are short of a first value are not counted again.
    n_cold = np.count_nonzero(is_cold & ~is_short)
    of_all = f"of {len(tickers)} tickers have fewer than"
    if n_short:
        needed = f"the {n_bars} bars before {days.names[0]} that {' '.join(longest.key)} needs"
        effect = "variations without them do not buy these"
        warnings.append(f"prices: {n_short} {of_all} {needed}; {effect}")
    if n_cold:
        needed = f"{n_to_forget} bars before {days.names[0]}"
        effect = f"{' '.join(slowest.key)} has not forgotten its start"
        warnings.append(f"prices: {n_cold} {of_all} {needed}; {effect}")
    return start_idx, warnings


def _n_warm_up(variation: Variation) -> int:
    return max(map(indicators.n_warm_up, variation.reads))


def _n_bars(variation: Variation) -> int:
    return max(map(indicators.n_bars, variation.reads))


# --- work


class _Computation:
    """The work in phases of independent jobs: the series of a block of days, then the rules.

    A job writes only its own cells, so jobs need no lock and their order does not matter.
    """

    def __init__(
        self,
        prices: PriceTable,
        tickers: IndexArray,
        variations: Sequence[Variation],
        days: WantedDays,
        start_idx: int,
        rule: Holding,
    ) -> None:
        self.prices = prices
        self.tickers = tickers
        self.variations = variations
        self.days = days
        self.start_idx = start_idx
        self.plan = indicators.plan(
            series for variation in variations for series in variation.reads
        )
        self.row_of = {series: row for row, series in enumerate(self.plan.series)}
        n_tickers = len(tickers)
        # The future of a signal: applied after the rules, which must not know it.
        self.trades = _tradable(prices, tickers, days, rule)
        n_words = bitset.n_words(n_tickers)
        self.buys = np.zeros((len(variations), len(days.names), n_words), np.uint64)
        day_bytes = 8 * len(self.plan.series) * n_tickers
        days_per_block = max(1, _BLOCK_BYTES // max(1, day_bytes))
        self.blocks = _pieces(len(days.names), days_per_block)
        self.ticker_chunks = _pieces(n_tickers, _CHUNK_TICKERS)
        self.variation_chunks = _pieces(len(variations), _CHUNK_VARIATIONS)

    def run(
        self,
        threads: int | None,
        stop: Stop,
        observe: Observe,
    ) -> None:
        """Run the phases in turn; the first failure ends the work and drops the jobs that wait."""

        def run_job(job: Job) -> None:
            if stop is not None and stop.is_set():
                raise ReadStoppedError("stopped while computing signals; nothing was searched")
            job()

        n_jobs = len(self.blocks) * (len(self.ticker_chunks) + len(self.variation_chunks))
        n_done = 0
        for n_cells, jobs in self.phases():
            n_gaining = os.cpu_count() if n_cells >= _THREADED_CELLS else 1
            # Also for one thread: the main thread must stay free to handle signals.
            with ThreadPoolExecutor(threads or n_gaining) as pool:
                try:
                    futures = [pool.submit(run_job, job) for job in jobs]
                    for future in as_completed(futures):
                        future.result()
                        n_done += 1
                        if observe:
                            observe(n_done, n_jobs)
                finally:
                    pool.shutdown(cancel_futures=True)

    def phases(self) -> Iterator[tuple[int, list[Job]]]:
        """Yield the jobs of each phase, and how many numbers one call in them processes."""
        n_series = len(self.plan.series)
        n_tickers = len(self.tickers)
        n_bars = self.days.stop_idx - self.start_idx
        for block in self.blocks:
            values = np.full((n_series, n_tickers, len(block)), np.nan)
            compute = partial(self.compute_series, block, values)
            yield n_bars, [partial(compute, chunk) for chunk in self.ticker_chunks]
            # Rules in several threads read the same arrays.
            freeze([values])
            apply = partial(self.apply_rules, block, values)
            n_cells = n_tickers * len(block)
            yield n_cells, [partial(apply, rows) for rows in self.variation_chunks]

    def compute_series(
        self,
        block: range,
        values: FloatArray,
        chunk: range,
    ) -> None:
        # The shift by one: the block's days see the bars before its last day and no other.
        stop_idx = self.days.first_idx + block.stop - 1
        bars = range(self.start_idx, stop_idx)
        rows = slice(chunk.start, chunk.stop)
        tickers = self.tickers[rows].tolist()
        indicators.evaluate(self.plan, self.prices, bars, tickers, values[:, rows])

    def apply_rules(
        self,
        block: range,
        values: FloatArray,
        rows: range,
    ) -> None:
        days = slice(block.start, block.stop)
        for row in rows:
            variation = self.variations[row]
            series = [values[self.row_of[name]] for name in variation.reads]
            try:
                with np.errstate(all="ignore"):
                    bought = variation.buys(series)
            except Exception as error:  # third-party code may raise anything
                name = " ".join(variation.key)
                reason = str(error) or type(error).__name__
                raise Mp2Error(f"{name} failed: {reason}") from error
            # A rule may return True for NaN, but without a value nothing is bought.
            known = np.isfinite(series).all(axis=0)
            known &= self.trades[:, days]
            self.buys[row, days] = bitset.pack((bought & known).T)


def _pieces(n: int, size: int) -> list[range]:
    """0..n in pieces of `size`, the last one shorter."""
    return [range(n)[first : first + size] for first in range(0, n, size)]
