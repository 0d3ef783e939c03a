"""How often the test for luck calls luck an edge, and how often it sees an edge that is there.

Usage: `python benchmarks/bench_calibration.py PRICES [--cut 150] [--whole 60] [--planted 40]
[--markets 20] [--replicates 499] [--workers 2] [--sectors FILE] [--save FILE]`. PRICES are daily
bars of some hundred tickers over some years. Prints Markdown tables. Whole grids take an hour and
more: with `--save`, each of their nulls is one JSON line of that file, and a second call goes on
after the last one.

- True nulls: the real signals of one week with the real outcomes of a week in the other half of the
  bars, years away. Signals keep how variations overlap and outcomes how tickers move together, but
  the first say nothing about the second. Every null model tests the same ones, in one pass of the
  kernel. On cut grids four signal weeks share an outcome week, so errors are clustered by outcome
  week; whole grids, which cost a hundred times as much, have one each.
- Power: outcomes of a true null, changed for the tickers that a random group of three agrees on, 10
  to 17 a day and not the same ones every day (which the score penalises): each wins with the rate
  given.
- Synthetic markets: those of `mp2 demo`, without and with an edge.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import mp2
from mp2._recurse import now_ns
from mp2.data import bitset
from mp2.data.panel import SignalPanel, signal_panel
from mp2.data.sectors import read_sectors
from mp2.demo.market import make_market
from mp2.evidence.nulls import choose_null, label_rows
from mp2.evidence.replicates import run_replicates
from mp2.evidence.significance import PValues
from mp2.groups import space
from mp2.groups.rules import Rules

N_DAYS = 5
# Donors of an outcome week are chosen from the days before it.
MIN_HISTORY = 130
LEVELS = (0.01, 0.05, 0.10)
WIN_RATES = (0.8, 0.9, 0.95, 1.0)
CUT = 20
BUDGET_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Market:
    """Bars, the signals of all their days, and what the tests need beside."""

    prices: mp2.PriceTable
    sheet: mp2.SignalSheet
    sectors: dict[str, str] | None
    replicates: int
    workers: int

    def variations(self, n_per_algo: int | None) -> np.ndarray:
        """Variation numbers of the first so many of each algorithm; None for all."""
        algo_of = self.sheet.algo_of
        first = np.searchsorted(algo_of, algo_of)
        rank = np.arange(len(algo_of)) - first
        return np.flatnonzero(rank < (n_per_algo or len(algo_of)))

    def panel(self, signal_idx: int, outcome_idx: int, chosen: np.ndarray) -> SignalPanel:
        """The signals of the week at one position with the outcomes of the week at another."""
        days = slice(outcome_idx, outcome_idx + N_DAYS)
        sheet = self.sheet
        known = np.isfinite(sheet.open[days]) & np.isfinite(sheet.close[days])
        won = known & (sheet.close[days] > sheet.open[days])
        known_bits = bitset.pack(known)
        buys = sheet.buys[chosen, signal_idx : signal_idx + N_DAYS] & known_bits
        return signal_panel(
            algos=sheet.algos,
            variations=[sheet.variations[i] for i in chosen],
            algo_of=np.ascontiguousarray(sheet.algo_of[chosen]),
            days=sheet.days[days],
            tickers=sheet.tickers,
            buys=np.ascontiguousarray(buys),
            wins=bitset.pack(won),
            base_win_rates=100.0 * won.sum(axis=1) / known.sum(axis=1),
            known=known_bits,
            won=bitset.pack(won),
        )

    def weeks(
        self, rng: np.random.Generator, n: int, n_sharing: int = 4
    ) -> Iterator[tuple[int, int]]:
        """Positions of signal and outcome weeks in different halves; some share an outcome week."""
        n_days = self.sheet.n_outcome_days
        first = max(0, MIN_HISTORY - (self.prices.n_dates - n_days))
        half = n_days // 2
        spans = ((first, half - N_DAYS), (half, n_days - N_DAYS))
        for i in range(n):
            outcome_half = i // n_sharing % 2
            if i % n_sharing == 0:
                outcome_idx = int(rng.integers(*spans[outcome_half]))
            yield int(rng.integers(*spans[1 - outcome_half])), outcome_idx


def p_by_null(
    market: Market, panel: SignalPanel, seed: int, only: Sequence[str] = ()
) -> dict[str, float]:
    """The p of the best group under each null model, all in one pass of the kernel."""
    rules = Rules()
    labels = []
    names = []
    n_tickers = len(panel.tickers)
    for name in only or ("days", "sectors", "tickers"):
        if name == "sectors" and market.sectors is None:
            continue
        null, _ = choose_null(panel, name, market.prices, market.sectors)
        rows = label_rows(null, n_tickers, market.replicates, seed)
        words = bitset.unpack(rows.reshape(-1, rows.shape[2]), market.replicates + 1)
        labels.append(words)
        names.append(name)
    # The observed outcomes are the first of every model; the kernel needs them once each, cheaply.
    together = bitset.pack(np.concatenate(labels, axis=1))
    n_words = -(-together.shape[1] // 8) * 8
    padded = np.zeros((len(together), n_words), np.uint64)
    padded[:, : together.shape[1]] = together
    n_all = (market.replicates + 1) * len(names)
    by_algo = space.starter_weights(panel.variations_per_algo, rules.max_size)
    found = run_replicates(
        panel,
        rules,
        padded.reshape(len(panel.days), n_tickers + 1, n_words),
        n_all - 1,
        [by_algo[algo_idx] for algo_idx in panel.algo_of.tolist()],
        workers=market.workers,
        started_ns=now_ns(),
        budget_ns=BUDGET_NS,
        stop=threading.Event(),
    )
    result = {}
    for i, name in enumerate(names):
        part = slice(i * (market.replicates + 1), (i + 1) * (market.replicates + 1))
        maxima = dict(zip(rules.retain_sizes, found.maxima[:, part], strict=True))
        p_values = PValues(maxima)
        p_size = [p_values.of_score(size, scores[0]) for size, scores in maxima.items()]
        result[name] = p_values.of_smallest(min(p_size))
    return result


def share(hits: Sequence[bool], clusters: Sequence[int]) -> str:
    """A share in percent with its standard error, clustered."""
    values = np.array(hits, float)
    sums = np.zeros(max(clusters) + 1)
    np.add.at(sums, np.array(clusters), values - values.mean())
    error = math.sqrt(float((sums**2).sum())) / len(values)
    return f"{100 * values.mean():.1f} ± {100 * error:.1f}"


def true_nulls(
    market: Market, n: int, n_per_algo: int | None, seed: int, save: Path | None = None
) -> None:
    """Print how often each null model rejects when there is nothing."""
    chosen = market.variations(n_per_algo)
    saved = [] if save is None or not save.exists() else save.read_text().splitlines()
    started = time.perf_counter()
    found: dict[str, list[float]] = {}
    clusters = []
    outcome_weeks: dict[int, int] = {}
    weeks = market.weeks(np.random.default_rng(seed), n, n_sharing=4 if n_per_algo else 1)
    for i, (signal_idx, outcome_idx) in enumerate(weeks):
        clusters.append(outcome_weeks.setdefault(outcome_idx, len(outcome_weeks)))
        if i < len(saved):
            p_of = json.loads(saved[i])
        else:
            panel = market.panel(signal_idx, outcome_idx, chosen)
            p_of = p_by_null(market, panel, seed + i)
            if save is not None:
                with save.open("a") as lines:
                    lines.write(json.dumps(p_of) + "\n")
        for name, p in p_of.items():
            found.setdefault(name, []).append(p)
    grid = f"first {n_per_algo} variations" if n_per_algo else "whole grid"
    print(
        f"\nTrue nulls, {grid}: {n}, {len(outcome_weeks)} outcome weeks, "
        f"{time.perf_counter() - started:.0f} s\n"
    )
    print("| null | " + " | ".join(f"p <= {level:.2f}, %" for level in LEVELS) + " |")
    print("| --- |" + " ---: |" * len(LEVELS))
    for name, p_values in found.items():
        cells = [share([p <= level for p in p_values], clusters) for level in LEVELS]
        print(f"| `{name}` | " + " | ".join(cells) + " |", flush=True)


def power(market: Market, n: int, seed: int) -> None:
    """Print how often `days` sees an edge of a random group of three."""
    chosen = market.variations(CUT)
    print(f"\nPower of `days`, first {CUT} variations: {n} planted edges for each win rate\n")
    print("| win rate | p <= 0.05, % |")
    print("| ---: | ---: |")
    for rate in WIN_RATES:
        rng = np.random.default_rng([seed, round(100 * rate)])
        seen = []
        weeks = market.weeks(rng, 100 * n)
        while len(seen) < n:
            panel = market.panel(*next(weeks), chosen)
            planted = plant(panel, rate, rng)
            if planted is not None:
                p = p_by_null(market, planted, seed + len(seen), ["days"])["days"]
                seen.append(p <= 0.05)
        print(f"| {rate:.2f} | {share(seen, range(n))} |", flush=True)


def plant(panel: SignalPanel, rate: float, rng: np.random.Generator) -> SignalPanel | None:
    """The panel with winners of this rate where a random group of three agrees; None without."""
    for _ in range(2000):
        algos = np.sort(rng.choice(len(panel.algos), 3, replace=False))
        members = [int(rng.choice(np.flatnonzero(panel.algo_of == algo))) for algo in algos]
        agreed = np.bitwise_and.reduce(panel.buys[members], axis=0)
        n_buys = bitset.count(agreed)
        n_different = bitset.count(np.bitwise_or.reduce(agreed, axis=0))
        if n_buys.min() < 10 or n_buys.max() > 17 or n_buys.sum() > 1.8 * n_different:
            continue
        n_tickers = len(panel.tickers)
        is_agreed = bitset.unpack(agreed, n_tickers)
        won = bitset.unpack(panel.wins, n_tickers).copy()
        won[is_agreed] = rng.random(int(is_agreed.sum())) < rate
        known = bitset.unpack(panel.known, n_tickers)
        wins = bitset.pack(won & known)
        return signal_panel(
            algos=panel.algos,
            variations=panel.variations,
            algo_of=panel.algo_of,
            days=panel.days,
            tickers=panel.tickers,
            buys=panel.buys,
            wins=wins,
            base_win_rates=100.0 * (won & known).sum(axis=1) / known.sum(axis=1),
            known=panel.known,
            won=wins,
        )
    return None


def synthetic(n: int, replicates: int, workers: int) -> None:
    """Print the verdicts on the markets of `mp2 demo`."""
    print(f"\nSynthetic markets: {n} seeds each\n")
    print("| market | p <= 0.01, % | p <= 0.05, % | least p | greatest p |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, is_planted in (("without an edge", False), ("with an edge", True)):
        found = []
        for seed in range(n):
            market = make_market(seed, plant=is_planted)
            run = mp2.run(
                market.prices,
                grids=market.grids,
                replicates=replicates,
                workers=workers,
                budget_s=600,
            )
            found.append(run.result.significance.p)
        shares = [share([p <= level for p in found], range(n)) for level in (0.01, 0.05)]
        print(
            f"| {name} | {' | '.join(shares)} | {min(found):.3f} | {max(found):.3f} |", flush=True
        )


def main() -> None:
    """Read the bars, compute the signals of all days, and print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prices")
    parser.add_argument("--sectors")
    parser.add_argument("--cut", type=int, default=150)
    parser.add_argument("--whole", type=int, default=60)
    parser.add_argument("--planted", type=int, default=40)
    parser.add_argument("--markets", type=int, default=20)
    parser.add_argument("--replicates", type=int, default=499)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    prices = mp2.read_prices(args.prices)
    sheet = mp2.compute_signals(prices, n_days=prices.n_dates - 60)
    sectors = None if args.sectors is None else read_sectors(args.sectors)
    market = Market(prices, sheet, sectors, args.replicates, args.workers)
    if args.cut:
        true_nulls(market, args.cut, CUT, args.seed)
    if args.planted:
        power(market, args.planted, args.seed)
    if args.markets:
        synthetic(args.markets, args.replicates, args.workers)
    if args.whole:
        true_nulls(market, args.whole, None, args.seed, args.save)


if __name__ == "__main__":
    main()
