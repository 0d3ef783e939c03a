"""Hand-made sheets, results and prices. Tickers are letters, buys are words of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mp2.data import bitset
from mp2.data.prices import PriceTable
from mp2.groups.result import DayConsensus, DayStats, Group, Member, SearchResult, Status
from mp2.groups.rules import Rules
from mp2.signals.sheet import SignalSheet

WEEK = ("2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08", "2026-01-09")
MONDAY, TUESDAY = "2026-01-12", "2026-01-13"


def sheet_of(
    buys: Mapping[str, Sequence[str]],
    days: Sequence[str] = (MONDAY,),
    tickers: str = "ABCDEFGH",
    *,
    open: Any = None,
    close: Any = None,
    **changes: Any,
) -> SignalSheet:
    """`buys` maps `ALGO variation` to a word of tickers per day.

    Prices (days x tickers) are NaN unless given.
    """
    keys = sorted(key.split(" ", 1) for key in buys)
    algos = tuple(dict.fromkeys(algo for algo, _ in keys))
    words = [
        [[t in buys[" ".join(key)][d] for t in tickers] for d in range(len(days))] for key in keys
    ]
    unknown = np.full((len(days), len(tickers)), np.nan)
    values: dict[str, Any] = {
        "algos": algos,
        "variations": tuple(variation for _, variation in keys),
        "algo_of": np.array([algos.index(algo) for algo, _ in keys], np.int32),
        "days": tuple(days),
        "tickers": tuple(tickers),
        "buys": bitset.pack(np.array(words, np.bool_)),
        "open": unknown if open is None else np.array(open, float),
        "close": unknown if close is None else np.array(close, float),
        "assumed_day": False,
        "warnings": (),
    }
    return SignalSheet(**{**values, **changes})


def group_of(rank: int, *members: str) -> Group:
    """A group of `ALGO variation` members, an idea of its own; its statistics are not used."""
    numbered = [Member(*name.split(" ", 1), variation_idx=_number(name)) for name in members]
    zeros = dict.fromkeys(
        (
            "pooled_pp",
            "weighted_pp",
            "median_pp",
            "second_worst_pp",
            "mad_pp",
            "iqr_pp",
            "cv_buys",
            "wilson_lb",
            "pp_slope",
        ),
        0.0,
    )
    return Group(
        rank=rank,
        score=100.0 - rank,
        members=tuple(sorted(numbered, key=lambda member: member.variation_idx)),
        days=tuple(DayStats(day, 1, 1, 100.0, 1.0) for day in WEEK),
        consensus=tuple(DayConsensus(day, ("A",)) for day in WEEK),
        repeat_factor=1.0,
        idea=rank,
        family=rank,
        **zeros,
    )


def _number(name: str) -> int:
    """A variation number that keeps names in alphabetical order."""
    algo, variation = name.split(" ", 1)
    return 10 * (ord(algo[0]) - ord("A")) + int(variation)


def result_of(
    kept: Mapping[int, Sequence[str]],
    picked: Mapping[int, int | None] | None = None,
    **changes: Any,
) -> SearchResult:
    """Groups by size, best first, each written `A 1 + B 2`; the first of a size is picked."""
    groups = {
        size: tuple(group_of(rank, *text.split(" + ")) for rank, text in enumerate(texts, 1))
        for size, texts in kept.items()
    }
    values: dict[str, Any] = {
        "status": Status.COMPLETE,
        "rules": Rules(max_size=8, retain_sizes=tuple(kept)),
        "budget_s": 1.0,
        "elapsed_s": 0.5,
        "overrun_s": 0.0,
        "workers": 1,
        "n_starters": 3,
        "n_exhausted": 3,
        "coverage": 1.0,
        "n_branches": 3,
        "n_branches_done": 3,
        "tested_exact": True,
        "attempts": 3,
        "tested": {},
        "eligible": {},
        "score_mean": {},
        "score_std": {},
        "kept": groups,
        "n_kept": {size: len(own) for size, own in groups.items()},
        "picked_rank": picked or {size: 1 if own else None for size, own in groups.items()},
        "days": WEEK,
        "day_weights": (1.0,) * len(WEEK),
        "base_win_rates": (50.0,) * len(WEEK),
        "special": (),
        "max_attempts": None,
        "input_fingerprint": "f" * 64,
        "warnings": (),
        "run_id": "20260109-200000-abcd",
    }
    return SearchResult(**{**values, **changes})


def prices_of(dates: Sequence[str], moves_pp: Mapping[str, Sequence[float]]) -> PriceTable:
    """Bars that open at 100 and close `moves_pp` percent away, by ticker and date; NaN: no bar."""
    tickers = tuple(sorted(moves_pp))
    moves = np.array([moves_pp[ticker] for ticker in tickers], float)
    open = np.where(np.isnan(moves), np.nan, 100.0)
    close = open + moves
    return PriceTable(
        dates=tuple(dates),
        tickers=tickers,
        open=open,
        high=np.maximum(open, close),
        low=np.minimum(open, close),
        close=close,
        volume=np.full_like(open, 1e6),
        first_idx=np.isnan(moves).sum(axis=1),
        findings=(),
        fingerprint="p" * 64,
    )
