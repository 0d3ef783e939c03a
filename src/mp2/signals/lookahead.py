"""The proof that no signal looks ahead: change the future, and the past has to stay as it was.

Signals are computed again on bars that differ from some day on, and compared up to that day: the signal of day d uses bars
before d, so whatever happens on d or later must not show. The last day asked for is safe by construction (`mp2.signals.sheet`);
every other one is only as honest as the algorithms.

Two things beside it that make signals worthless are found on the way: signals that differ when nothing was changed, and
signals of a day that depend on how many other days were asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mp2.data import bitset
from mp2.data.prices import PriceTable
from mp2.errors import InputError
from mp2.signals.algorithms import Algorithm
from mp2.signals.grids import Grids, grids_of, load_grids
from mp2.signals.indicators import COLUMNS
from mp2.signals.sheet import SignalSheet, compute_signals

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Finding:
    """A variation whose signals of `day` depend on what they must not: the first such day under one `change`.

    - `change`: what was done to the bars or to the request, as a clause ('when bars from 2020-01-08 on are doubled').
    - `tickers`: those bought before and not after, or the other way round.
    """

    algo: str
    variation: str
    day: str
    tickers: tuple[str, ...]
    change: str

    def __str__(self) -> str:
        named = ", ".join(self.tickers[:3]) + (", .." if len(self.tickers) > 3 else "")
        n_tickers = f"{len(self.tickers)} ticker{'s' if len(self.tickers) > 1 else ''} ({named})"
        return f"{self.algo} {self.variation}: the signals of {self.day} change for {n_tickers} {self.change}"


@dataclass(frozen=True, slots=True)
class _Probe:
    """Another way to the same signals: days `days` of the first computation are the first days of `compute()`."""

    change: str
    compute: Callable[[], SignalSheet]
    days: slice


def check(
    prices: PriceTable,
    algorithms: Grids | Iterable[Algorithm] | None = None,
    *,
    n_days: int = 10,
    n_cuts: int = 3,
    end: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    stop: threading.Event | None = None,
    observe: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Look for look-ahead in all variations of some algorithms (default: all of `load_grids()`, third parties' included).

    The last `n_days` (at least 2) days up to `end` are computed; for `n_cuts` of them the bars from that day on are cut off,
    doubled, halved and shaken (`seed`), and the signals up to that day computed again. Every variation has at most one
    finding per change, in the order of variation numbers. `observe(done, total)` counts computations of all signals.

    Raises what `compute_signals` raises. An empty list is no proof for other prices, days or parameters.
    """
    if n_days < 2 or n_cuts < 1:
        raise InputError(
            f"look-ahead check: {n_days} days and {n_cuts} cuts are too few; use at least 2 and 1"
        )
    compute = partial(compute_signals, grids=_grids(algorithms), threads=threads, stop=stop)
    base = compute(prices, n_days=n_days, end=end)
    probes = list(_probes(prices, base, n_cuts, compute, np.random.default_rng(seed)))
    findings: list[tuple[int, Finding]] = []
    for n_done, probe in enumerate(probes, 1):
        findings += _differences(base, probe)
        if observe:
            observe(n_done, len(probes))
    return [finding for _, finding in sorted(findings, key=lambda found: found[0])]


def _grids(algorithms: Grids | Iterable[Algorithm] | None) -> Grids:
    if algorithms is None:
        return load_grids()
    return algorithms if isinstance(algorithms, Grids) else grids_of(algorithms)


def _probes(
    prices: PriceTable,
    base: SignalSheet,
    n_cuts: int,
    compute: Callable[..., SignalSheet],
    rng: np.random.Generator,
) -> Iterator[_Probe]:
    n_days, end = len(base.days), base.days[-1]
    n_fewer = (n_days + 1) // 2
    yield _Probe(
        "when computed again", partial(compute, prices, n_days=n_days, end=end), slice(0, n_days)
    )
    fewer = partial(compute, prices, n_days=n_fewer, end=end)
    yield _Probe(
        f"when {n_fewer} days are computed instead of {n_days}",
        fewer,
        slice(n_days - n_fewer, n_days),
    )
    for day_idx in _cuts(n_days, n_cuts):
        first = base.days[day_idx]
        cut_idx, upto = prices.date_idx(first), slice(0, day_idx + 1)
        before = partial(compute, _before(prices, cut_idx), n_days=day_idx, include_next=True)
        yield _Probe(f"when bars from {first} on are cut off", before, upto)
        for how, factors in _alterations(prices, cut_idx, rng):
            altered = partial(compute, _altered(prices, cut_idx, factors), n_days=n_days, end=end)
            yield _Probe(f"when bars from {first} on are {how}", altered, upto)


def _cuts(n_days: int, n_cuts: int) -> list[int]:
    """Days spread over all but the last, after which nothing could be changed."""
    return sorted({int(day) for day in np.linspace(0, n_days - 2, min(n_cuts, n_days - 1)).round()})


def _before(prices: PriceTable, cut_idx: int) -> PriceTable:
    """The table without the bars from `cut_idx` on, all tickers kept."""
    columns: dict[str, Any] = {
        name: np.ascontiguousarray(getattr(prices, name)[:, :cut_idx]) for name in COLUMNS
    }
    return replace(prices, dates=prices.dates[:cut_idx], **columns)


def _alterations(
    prices: PriceTable, cut_idx: int, rng: np.random.Generator
) -> Iterator[tuple[str, FloatArray]]:
    shape = prices.close[:, cut_idx:].shape
    yield "doubled", np.full(shape, 2.0)
    yield "halved", np.full(shape, 0.5)
    yield "shaken", np.exp(rng.normal(0, 0.3, shape))


def _altered(prices: PriceTable, cut_idx: int, factors: FloatArray) -> PriceTable:
    """The table with every column from `cut_idx` on multiplied; a bar keeps its shape, so that prices stay valid."""
    columns: dict[str, Any] = {name: getattr(prices, name).copy() for name in COLUMNS}
    for column in columns.values():
        column[:, cut_idx:] *= factors
    return replace(prices, **columns)


def _differences(base: SignalSheet, probe: _Probe) -> Iterator[tuple[int, Finding]]:
    """The first day that differs of every variation that has one, with the variation's number."""
    expected = base.buys[:, probe.days]
    changed = expected ^ probe.compute().buys[:, : expected.shape[1]]
    differs = bitset.count(changed) > 0
    for variation_idx in np.flatnonzero(differs.any(axis=1)).tolist():
        day = int(differs[variation_idx].argmax())
        members = bitset.unpack(changed[variation_idx, day], len(base.tickers))
        yield (
            variation_idx,
            Finding(
                algo=base.algos[base.algo_of[variation_idx]],
                variation=base.variations[variation_idx],
                day=base.days[probe.days.start + day],
                tickers=tuple(base.tickers[idx] for idx in np.flatnonzero(members)),
                change=probe.change,
            ),
        )
