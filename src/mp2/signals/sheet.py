"""Prices to signals: every variation of every algorithm on the days asked for.

The one rule of time lives here: *the signal of day d is a rule's answer as of the close of the last bar before d*. Rules and
indicators know bars only (`indicators`, `algorithms`); `compute_signals` alone turns bars into days, by cutting the
bars before the last day and shifting by one. So the last day asked for cannot look ahead whatever an algorithm does, and
`mp2.signals.lookahead` checks the others.
"""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mp2.data import bitset
from mp2.data.arrays import fingerprint
from mp2.data.panel import SignalPanel
from mp2.data.prices import PriceTable
from mp2.errors import InputError, Mp2Error, ReadStoppedError
from mp2.signals import indicators
from mp2.signals.grids import Grids, Variation, answer_faults, load_grids
from mp2.signals.indicators import Window

if TYPE_CHECKING:
    import polars as pl

FloatArray = npt.NDArray[np.float64]
Observe = Callable[[int, int], None]
Job = Callable[[], None]

_CHUNK_TICKERS, _CHUNK_VARIATIONS = 32, 64
_BLOCK_BYTES = 256 << 20
"""The most that the series of one block of days take; more days are done in several blocks."""

_THREADED_CELLS = 50_000
"""Numbers per call from which a second thread gains. Below, calls that release the GIL are so short that handing it over
costs more than they take: measured on 2 cores where 2 processes gain 1.4, 2 threads make 0.6 of one at 300 and 1,259 bars, 0.8
at 5,000 and 1.5 at 20,000; the rules, which do more between two calls, break even at 78,000 cells."""


@dataclass(frozen=True, slots=True, eq=False)
class SignalSheet:
    """Signals of V variations on D days for T tickers, with W = n_words(T); the signal of a day uses bars before it only.

    - `algos`, `variations`, `algo_of`, `tickers`, `buys` (uint64[V, D, W]): as in `mp2.SignalPanel`; every variation of
      the grids is there, also without a buy.
    - `days`: D ISO dates, ascending. With `assumed_day` the last one is not in the price file: it is the next weekday after
      its last date, and its outcome is not known.
    - `open`, `close`: float64[D, T], NaN where there is no bar (all NaN on a day after the last date of the prices).
    - `warnings`: what was tolerated, one line each.

    All arrays are C-contiguous and read-only.
    """

    algos: tuple[str, ...]
    variations: tuple[str, ...]
    algo_of: npt.NDArray[np.int32]
    days: tuple[str, ...]
    tickers: tuple[str, ...]
    buys: npt.NDArray[np.uint64]
    open: FloatArray
    close: FloatArray
    assumed_day: bool
    warnings: tuple[str, ...]

    @property
    def n_outcome_days(self) -> int:
        """Days whose outcome the prices know: all, or all but the last."""
        return len(self.days) - (not np.isfinite(self.close[-1]).any())

    def panel(self, first_day_idx: int = 0, n_days: int | None = None) -> SignalPanel:
        """The signals of `n_days` days from `first_day_idx` on (default: all with an outcome) as a panel to search.

        A win is close > open. The base win rate of a day is over every ticker with a bar that day, in percent; a panel read
        from `to_frame()` knows only the tickers that some variation buys, so its rates agree where every ticker is bought.
        Raises `InputError` when the days asked for are none or reach past those with an outcome.
        """
        stop = self.n_outcome_days if n_days is None else first_day_idx + n_days
        if not 0 <= first_day_idx < stop <= self.n_outcome_days:
            raise InputError(
                f"days {first_day_idx}..{stop - 1} are not among the {self.n_outcome_days} days with an outcome"
            )
        chosen = slice(first_day_idx, stop)
        known = np.isfinite(self.open[chosen]) & np.isfinite(self.close[chosen])
        won = known & (self.close[chosen] > self.open[chosen])
        rates = 100.0 * won.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        arrays = (self.algo_of, np.ascontiguousarray(self.buys[:, chosen]), bitset.pack(won), rates)
        algo_of, buys, wins, rates = map(_read_only, arrays)
        days = self.days[chosen]
        return SignalPanel(
            algos=self.algos,
            variations=self.variations,
            algo_of=algo_of,
            days=days,
            tickers=self.tickers,
            buys=buys,
            wins=wins,
            base_win_rates=rates,
            warnings=self.warnings,
            fingerprint=fingerprint(
                (self.algos, self.variations, days, self.tickers), (algo_of, buys, wins, rates)
            ),
        )

    def to_frame(self) -> pl.DataFrame:
        """One row per buy: algo, variation, ticker (text), day (date), open, close (float64, null where there is no bar).

        Rows are in the order of variation numbers, days, tickers; `mp2.read_signals` takes the frame.
        """
        import polars as pl

        found = [_bought(self, rows) for rows in slices(len(self.variations), _CHUNK_VARIATIONS)]
        variation, day, ticker = (np.concatenate(part) for part in zip(*found, strict=True))
        texts = {
            "algo": pl.Series(list(self.algos), dtype=pl.String).gather(self.algo_of[variation]),
            "variation": pl.Series(list(self.variations), dtype=pl.String).gather(variation),
            "day": pl.Series(list(self.days), dtype=pl.String).str.to_date().gather(day),
            "ticker": pl.Series(list(self.tickers), dtype=pl.String).gather(ticker),
        }
        prices = {
            "open": pl.Series(self.open[day, ticker]),
            "close": pl.Series(self.close[day, ticker]),
        }
        return pl.DataFrame(
            {**texts, **{name: values.fill_nan(None) for name, values in prices.items()}}
        )


def _bought(sheet: SignalSheet, rows: slice) -> tuple[npt.NDArray[np.int64], ...]:
    """Variation, day and ticker of every buy of some variations."""
    variation, day, ticker = np.nonzero(bitset.unpack(sheet.buys[rows], len(sheet.tickers)))
    return variation + rows.start, day, ticker


def _read_only(array: npt.NDArray[Any]) -> Any:
    array.flags.writeable = False
    return array


# --- days -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Days:
    """Positions of the days asked for: dates `first_idx` up to `stop_idx` of the prices, one past their end at most.

    `assumed`: the last one is past their end, and only its weekday says that it is a trading day.
    """

    names: tuple[str, ...]
    first_idx: int
    assumed: bool

    @property
    def stop_idx(self) -> int:
        return self.first_idx + len(self.names)


def _days_asked(prices: PriceTable, n_days: int, end: str | None, include_next: bool) -> _Days:
    dates = prices.dates
    if n_days < (0 if include_next else 1):
        raise InputError(f"days: {n_days} is too few; ask for at least {0 if include_next else 1}")
    if not dates:
        raise InputError("prices: there is no bar")
    end_idx = len(dates) - 1 if end is None else prices.date_idx(end)
    first_idx = end_idx + 1 - n_days
    if first_idx < 1:
        span = f"the file has {end_idx + 1} dates up to it, {dates[0]}..{dates[end_idx]}"
        raise InputError(
            f"days: {n_days} up to {dates[end_idx]} need {n_days + 1} dates, one of them before; {span}"
        )
    names = dates[first_idx : end_idx + 1 + include_next]
    if not include_next or end_idx + 1 < len(dates):
        return _Days(names, first_idx, assumed=False)
    return _Days(
        (*names, prices.next_date or next_weekday(dates[-1])),
        first_idx,
        assumed=prices.next_date is None,
    )


def next_weekday(day: str) -> str:
    """The first Monday to Friday after an ISO date; holidays are not known."""
    date = datetime.date.fromisoformat(day)
    ahead = {4: 3, 5: 2}.get(date.weekday(), 1)
    return (date + datetime.timedelta(days=ahead)).isoformat()


# --- computing ------------------------------------------------------------------------------------------------------


def compute_signals(
    prices: PriceTable,
    *,
    n_days: int = 5,
    end: str | None = None,
    include_next: bool = False,
    grids: Grids | None = None,
    only: Collection[tuple[str, str]] | None = None,
    history: int | None = None,
    threads: int | None = None,
    stop: threading.Event | None = None,
    observe: Observe | None = None,
) -> SignalSheet:
    """Signals of the last `n_days` dates of the prices up to `end`.

    - `end`: an ISO date of the prices (default: the last one).
    - `include_next` adds the day after: the prices' next date if it is known, else the next weekday (`assumed_day`), with
      which `n_days` may be 0.
    - `grids`: what to compute (default: `load_grids()`); `only` limits it to some (algorithm, variation).
    - `history`: bars before the first day to start from (default: all). Fewer than the longest warm-up are not used: the
      result would depend on where the bars begin.
    - `threads`: default as many as gain: one per core for long series or many days, else one. Results do not depend on it.
    - `observe(done, total)` reports progress from the calling thread; `stop`, when set, ends the work between two steps with
      `ReadStoppedError`.

    Raises `InputError` for days or variations that are not there, `Mp2Error` when an algorithm fails. Memory: the sheet and
    at most 256 MB of series beside it, unless one day takes more.
    """
    days = _days_asked(prices, n_days, end, include_next)
    if threads is not None and threads < 1:
        raise InputError(f"threads: {threads} is too few; use at least 1")
    chosen = grids or load_grids()
    variations = _chosen(chosen, only)
    start_idx, notes = _start(variations, days, history)
    work = _Work(prices, variations, days, start_idx)
    _run(work, threads, stop, observe)
    return work.sheet(
        (
            *prices.warnings,
            *chosen.warnings,
            *notes,
            *_short_histories(prices, variations, days, start_idx),
        )
    )


def _chosen(grids: Grids, only: Collection[tuple[str, str]] | None) -> tuple[Variation, ...]:
    """The variations asked for, in the order of the grids."""
    if only is None:
        return grids.variations
    asked = set(map(tuple, only))
    chosen = tuple(variation for variation in grids.variations if variation.key in asked)
    unknown = sorted(asked - {variation.key for variation in chosen})
    if unknown:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise InputError(
            f"only: {' '.join(unknown[0])} is not in the grids{more}; use the grids it comes from"
        )
    if not chosen:
        raise InputError("only: names no variation; leave it out for all")
    return chosen


def _start(
    variations: Sequence[Variation], days: _Days, history: int | None
) -> tuple[int, list[str]]:
    """Index of the first bar to use, and what is to be said about too few of them."""
    if history is not None and history < 1:
        raise InputError(
            f"history: {history} is too few; use at least 1 bar, or leave it out for all"
        )
    slowest = max(variations, key=_n_warm_up)
    needed, name = _n_warm_up(slowest), " ".join(slowest.key)
    n_used = days.first_idx if history is None else min(max(history, needed), days.first_idx)
    notes = []
    if history is not None and history < n_used:
        notes.append(
            f"history: {name} takes {needed} bars to forget its start; {n_used} are used instead of {history}"
        )
    if n_used < needed:
        notes.append(
            f"prices: {name} takes {needed} bars to forget its start; all {n_used} before {days.names[0]} are used"
        )
    return days.first_idx - n_used, notes


def _n_warm_up(variation: Variation) -> int:
    return max(map(indicators.n_warm_up, variation.reads))


def _n_bars(variation: Variation) -> int:
    return max(map(indicators.n_bars, variation.reads))


def _short_histories(
    prices: PriceTable, variations: Sequence[Variation], days: _Days, start_idx: int
) -> Iterator[str]:
    """Tickers that lack bars before the first day: for a first value, or only for one that has forgotten its start."""
    n_had = np.maximum(days.first_idx - np.maximum(prices.first_idx, start_idx), 0)
    longest, slowest = max(variations, key=_n_bars), max(variations, key=_n_warm_up)
    n_bars, n_settled = _n_bars(longest), min(_n_warm_up(slowest), days.first_idx - start_idx)
    n_short, n_unsettled = (
        int((n_had < n_bars).sum()),
        int(((n_had >= n_bars) & (n_had < n_settled)).sum()),
    )
    of_all = f"of {len(prices.tickers)} tickers have fewer than"
    if n_short:
        why = f"the {n_bars} bars before {days.names[0]} that {' '.join(longest.key)} needs"
        yield f"prices: {n_short} {of_all} {why}; variations without them do not buy these"
    if n_unsettled:
        why = f"{n_settled} bars before {days.names[0]}; {' '.join(slowest.key)} has not forgotten its start"
        yield f"prices: {n_unsettled} {of_all} {why}"


class _Phase(NamedTuple):
    """Jobs that do not depend on each other, and how many numbers one call in them goes over."""

    jobs: Sequence[Job]
    n_cells: int


class _Work:
    """The computation in phases of independent jobs: the series of a block of days, then the rules over them.

    A job writes cells of its own only, so that jobs need no lock and their order does not matter.
    """

    def __init__(
        self, prices: PriceTable, variations: Sequence[Variation], days: _Days, start_idx: int
    ) -> None:
        self.prices, self.variations, self.days, self.start_idx = (
            prices,
            variations,
            days,
            start_idx,
        )
        self.plan = indicators.plan(
            series for variation in variations for series in variation.reads
        )
        self.row_of = {series: row for row, series in enumerate(self.plan.series)}
        self.buys = np.zeros(
            (len(variations), len(days.names), bitset.n_words(len(prices.tickers))), np.uint64
        )

    def phases(self) -> Iterator[_Phase]:
        """Phases in order; all jobs of one are done before the next is asked for."""
        for block in self._blocks():
            shape = len(self.plan.series), len(self.prices.tickers), block.stop - block.start
            values = np.full(shape, np.nan)
            series = [partial(self._series, block, tickers, values) for tickers in self._chunks()]
            yield _Phase(series, self.days.stop_idx - self.start_idx)
            values.flags.writeable = False
            rules = [
                partial(self._rules, block, rows, values)
                for rows in slices(len(self.variations), _CHUNK_VARIATIONS)
            ]
            yield _Phase(rules, shape[1] * shape[2])

    @property
    def n_jobs(self) -> int:
        """Jobs of all phases."""
        per_block = len(self._chunks()) + len(slices(len(self.variations), _CHUNK_VARIATIONS))
        return per_block * len(self._blocks())

    def _blocks(self) -> list[slice]:
        day_bytes = 8 * len(self.plan.series) * len(self.prices.tickers)
        return slices(len(self.days.names), max(1, _BLOCK_BYTES // max(1, day_bytes)))

    def _chunks(self) -> list[slice]:
        return slices(len(self.prices.tickers), _CHUNK_TICKERS)

    def _series(self, block: slice, tickers: slice, values: FloatArray) -> None:
        """The shift by one: the days of the block see bars up to the one before the last of them, and no other."""
        window = Window(
            self.start_idx, self.days.first_idx + block.stop - 1, block.stop - block.start
        )
        indicators.evaluate(
            self.plan, self.prices, window, range(tickers.start, tickers.stop), values
        )

    def _rules(self, block: slice, rows: slice, values: FloatArray) -> None:
        with np.errstate(all="ignore"):
            for row in range(rows.start, rows.stop):
                bought = _answer(
                    self.variations[row],
                    [values[self.row_of[name]] for name in self.variations[row].reads],
                )
                self.buys[row, block] = bitset.pack(bought.T)

    def sheet(self, warnings: Iterable[str]) -> SignalSheet:
        """What was computed, with the outcomes that the file knows."""
        algos = tuple(dict.fromkeys(variation.algorithm.name for variation in self.variations))
        position = {name: idx for idx, name in enumerate(algos)}
        return SignalSheet(
            algos=algos,
            variations=tuple(variation.name for variation in self.variations),
            algo_of=_read_only(
                np.array(
                    [position[variation.algorithm.name] for variation in self.variations], np.int32
                )
            ),
            days=self.days.names,
            tickers=self.prices.tickers,
            buys=_read_only(self.buys),
            open=_outcome(self.prices.open, self.days),
            close=_outcome(self.prices.close, self.days),
            assumed_day=self.days.assumed,
            warnings=tuple(warnings),
        )


def _answer(variation: Variation, series: Sequence[FloatArray]) -> npt.NDArray[np.bool_]:
    """Who is bought, bool[T, n]: nobody without a value in every series the rule reads."""
    try:
        answer = variation.buys(series)
    except Exception as error:
        raise Mp2Error(
            f"{' '.join(variation.key)} failed: {error or type(error).__name__}"
        ) from error
    for fault in answer_faults(answer, series[0].shape):
        raise Mp2Error(f"{' '.join(variation.key)} failed: {fault}")
    known: npt.NDArray[np.bool_] = np.logical_and.reduce([answer, *map(np.isfinite, series)])
    return known


def _outcome(values: FloatArray, days: _Days) -> FloatArray:
    """float64[D, T] from float64[T, N], NaN on a day past their end."""
    found = np.full((len(days.names), len(values)), np.nan)
    known = values[:, days.first_idx : days.stop_idx].T
    found[: len(known)] = known
    found.flags.writeable = False
    return found


def slices(n: int, size: int) -> list[slice]:
    """0..n in pieces of `size`, the last one shorter."""
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def _run(
    work: _Work, threads: int | None, stop: threading.Event | None, observe: Observe | None
) -> None:
    """Every phase in turn; the first failure ends it, and jobs that have not begun are dropped."""
    n_done, n_jobs = 0, work.n_jobs
    for phase in work.phases():
        n_gaining = (os.cpu_count() or 1) if phase.n_cells >= _THREADED_CELLS else 1
        with closing(_done(phase.jobs, threads or n_gaining, stop)) as done:
            for _ in done:
                n_done += 1
                if observe:
                    observe(n_done, n_jobs)


def _done(
    jobs: Sequence[Job], threads: int, stop: threading.Event | None
) -> Generator[None, None, None]:
    """Yields once for every job done, in any order."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            for future in as_completed([pool.submit(_unless_stopped, stop, job) for job in jobs]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _unless_stopped(stop: threading.Event | None, job: Job) -> None:
    if stop is not None and stop.is_set():
        raise ReadStoppedError("stopped while computing signals; nothing was searched")
    job()
