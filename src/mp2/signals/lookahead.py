"""Check that no signal looks ahead: change the future, and the past must not change.

Signals are computed again on bars that differ from some day on, and compared up to that day: the
signal of day d uses bars before d, so bars of d or later must not matter. The last wanted day is
safe by construction (`mp2.signals.sheet`); the others depend on the code of the algorithms.

The check also finds signals that differ when nothing was changed, and signals of a day that depend
on how many other days were computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mp2._document import Names
from mp2.data import bitset
from mp2.data.arrays import FloatArray, WordArray
from mp2.data.prices import PriceTable, as_prices
from mp2.data.tables import Observe, Stop
from mp2.errors import InputError, counted
from mp2.signals.algorithms import Algorithm
from mp2.signals.grids import Grids, grids_of
from mp2.signals.indicators import COLUMNS
from mp2.signals.sheet import SignalSheet, compute_signals


@dataclass(frozen=True, slots=True)
class Finding:
    """A variation whose signals of `day` changed: the first such day under one `change`.

    - `change`: what was done to the bars or to the request, as a clause, such as
      'when bars from 2020-01-08 on are doubled'.
    - `tickers`: those bought in only one of the two computations.
    """

    algo: str
    variation: str
    day: str
    tickers: Names
    change: str

    def __str__(self) -> str:
        n_tickers = len(self.tickers)
        named = ", ".join(self.tickers[:3])
        if n_tickers > 3:
            named += ", .."
        effect = f"the signals of {self.day} change for {counted(n_tickers, 'ticker')} ({named})"
        return f"{self.algo} {self.variation}: {effect} {self.change}"


_N_PER_CUT = 4

_Probe = tuple[str, SignalSheet, slice]
"""What was changed, and the same signals in another way: its first days are these of the base."""


def check(
    prices: Any,
    algorithms: Grids | Iterable[Algorithm],
    *,
    n_days: int = 10,
    n_cuts: int = 3,
    stop: Stop = None,
    observe: Observe = None,
) -> list[Finding]:
    """Check all variations of some algorithms, or of grids, for look-ahead.

    The last `n_days` (at least 2) days are computed. For `n_cuts` of them the bars from that day on
    are cut off, doubled, halved and multiplied by random factors, and the signals up to that day
    computed again. Each variation has at most one finding per change; findings are in the order of
    variation numbers. Setting `stop` raises `ReadStoppedError`. `observe(done, total)` counts
    computations.

    Raises what `compute_signals` raises. An empty list proves nothing for other prices, days or
    parameters.
    """
    if n_days < 2 or n_cuts < 1:
        few = f"{n_days} days and {n_cuts} cuts are too few"
        raise InputError(f"look-ahead check: {few}; use at least 2 and 1")
    grids = algorithms if isinstance(algorithms, Grids) else grids_of(algorithms)
    compute = partial(compute_signals, grids=grids, stop=stop)
    prices = as_prices(prices, stop=stop)
    # The base, two without a change of bars, and those of each cut.
    n_computations = 3 + _N_PER_CUT * min(n_cuts, n_days - 1)
    if observe is not None:
        observe(0, n_computations)
    base = compute(prices, n_days=n_days)
    # Numbered, because probes end one after the other and findings go by variation.
    findings: list[tuple[int, Finding]] = []
    # One probe at a time: a sheet of all variations is large.
    for n_done, probe in enumerate(probes_of(prices, base, n_cuts, compute), 2):
        findings += differences(base, probe)
        if observe is not None:
            observe(n_done, n_computations)
    findings.sort(key=lambda numbered: numbered[0])
    return [finding for _, finding in findings]


def probes_of(
    prices: PriceTable,
    base: SignalSheet,
    n_cuts: int,
    compute: Callable[..., SignalSheet],
) -> Iterator[_Probe]:
    """Compute again, on fewer days, and with changed bars from some days on."""
    n_days = len(base.days)
    again = partial(compute, n_days=n_days)
    rng = np.random.default_rng(0)
    yield "when computed again", again(prices), slice(0, n_days)
    n_fewer = (n_days + 1) // 2
    fewer = compute(prices, n_days=n_fewer)
    change = f"when {n_fewer} days are computed instead of {n_days}"
    yield change, fewer, slice(n_days - n_fewer, n_days)
    # After the last day there is no bar to change.
    cuts = np.linspace(0, n_days - 2, min(n_cuts, n_days - 1)).round()
    for day_idx in np.unique(cuts.astype(int)).tolist():
        day = base.days[day_idx]
        cut_idx = prices.date_idx(day)
        days = slice(0, day_idx + 1)
        # Not `prices.until(day)`, which drops the tickers that are listed later.
        past: dict[str, Any] = {}
        for name in COLUMNS:
            values = getattr(prices, name)[:, :cut_idx]
            past[name] = np.ascontiguousarray(values)
        cut_off = replace(prices, dates=prices.dates[:cut_idx], **past)
        sheet = compute(cut_off, n_days=day_idx, include_next=True)
        yield f"when bars from {day} on are cut off", sheet, days
        is_future = np.arange(prices.n_dates) >= cut_idx
        factors: dict[str, float | FloatArray] = {
            "doubled": 2.0,
            "halved": 0.5,
            "shaken": np.exp(rng.normal(0, 0.3, prices.close.shape)),
        }
        for how, factor in factors.items():
            # All columns of a bar get the same factor, so that it stays a valid bar.
            scale = np.where(is_future, factor, 1.0)
            scaled: dict[str, Any] = {}
            for name in COLUMNS:
                scaled[name] = getattr(prices, name) * scale
            altered = again(replace(prices, **scaled))
            yield f"when bars from {day} on are {how}", altered, days


def differences(
    base: SignalSheet,
    probe: _Probe,
) -> Iterator[tuple[int, Finding]]:
    """Yield the first day that differs, with the number of the variation."""
    change, sheet, days = probe
    expected = base.buys[:, days]
    n_days = expected.shape[1]
    # On the day after cut bars, a ticker may be bought that turned out to have no bar on it.
    has_bar = bitset.pack(np.isfinite(base.close[days]))
    computed = _buys_of(sheet, base.tickers)[:, :n_days]
    changed = (expected ^ computed) & has_bar
    keys = base.keys
    differs = bitset.count(changed) > 0
    for variation_idx in np.flatnonzero(differs.any(axis=1)).tolist():
        day_idx = int(differs[variation_idx].argmax())
        tickers = bitset.members(changed[variation_idx, day_idx]).tolist()
        algo, variation = keys[variation_idx]
        finding = Finding(
            algo=algo,
            variation=variation,
            day=base.days[days.start + day_idx],
            tickers=tuple(base.tickers[ticker] for ticker in tickers),
            change=change,
        )
        yield variation_idx, finding


def _buys_of(sheet: SignalSheet, tickers: Names) -> WordArray:
    """Return the buys of a sheet as sets of other tickers; those it lacks are not bought."""
    if sheet.tickers == tickers:
        return sheet.buys
    bought = bitset.unpack(sheet.buys, len(sheet.tickers))
    column_of = {ticker: column for column, ticker in enumerate(sheet.tickers)}
    # One more column, without a buy, for tickers that do not trade in the sheet.
    bought = np.pad(bought, ((0, 0), (0, 0), (0, 1)))
    columns = [column_of.get(ticker, -1) for ticker in tickers]
    return bitset.pack(bought[..., columns])
