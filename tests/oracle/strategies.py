"""Hypothesis strategies for whole searches: signals of every awkward kind, and rules.

Small panels are drawn set by set, so that failures shrink to something readable; larger ones, which
cross word boundaries, come from a drawn seed and drawn densities. Every search is bounded to
`MAX_GROUPS` groups.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
from collections.abc import Callable

from hypothesis import strategies as st
from oracle import Sets, Signals, percent

from mp2.groups.rules import Rules

MAX_GROUPS = 600
FIRST_DAY = datetime.date(2026, 1, 5)

FillCell = Callable[[int, int], frozenset[str]]


@st.composite
def algo_sizes(draw: st.DrawFn) -> tuple[int, ...]:
    """1..6 algorithms, most often 4 and more, of 1..4 variations; at most `MAX_GROUPS` groups."""
    n_algos = draw(st.sampled_from((6, 5, 4, 4, 3, 2, 1)))
    sizes: list[int] = []
    n_groups = 1
    for size in draw(st.lists(st.integers(1, 4), min_size=n_algos, max_size=n_algos)):
        if n_groups * (1 + size) <= MAX_GROUPS:
            sizes.append(size)
            n_groups *= 1 + size
    return tuple(sizes)


def n_days() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7), st.integers(8, 40))


def n_tickers() -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(1, 70), st.integers(1, 70), st.sampled_from((1, 63, 64, 65, 127, 128, 129))
    )


def signals() -> st.SearchStrategy[Signals]:
    """Panels of any kind; most are consistent."""
    return st.one_of(planted_signals(), planted_signals(), seeded_signals(), small_signals())


@st.composite
def small_signals(draw: st.DrawFn) -> Signals:
    """Up to 8 tickers and 3 days, every set drawn on its own."""
    sizes, days, tickers = draw(algo_sizes()), draw(st.integers(1, 3)), draw(st.integers(1, 8))
    subsets = st.frozensets(st.sampled_from(ticker_names(tickers)), max_size=tickers)
    cells = cells_of(sizes, days)
    buys = {cell: draw(subsets) for cell in cells}
    if draw(st.booleans()):
        winners = [draw(subsets) for _ in range(days)]
        return assemble(
            draw, sizes, tickers, buys, {(v, d): buys[v, d] & winners[d] for v, d in cells}
        )
    return assemble(
        draw, sizes, tickers, buys, {cell: buys[cell] & draw(subsets) for cell in cells}
    )


@st.composite
def seeded_signals(draw: st.DrawFn) -> Signals:
    """Any number of days and tickers; empty days, copied variations, none or all winning."""
    sizes, days, tickers = draw(algo_sizes()), draw(n_days()), draw(n_tickers())
    rng = random.Random(draw(st.integers(0, 2**32 - 1)))
    density, win_rate = (
        draw(st.sampled_from((0.2, 0.5, 0.8, 0.95, 1.0))),
        draw(st.sampled_from((0.0, 0.5, 0.7, 0.9, 1.0))),
    )
    names = ticker_names(tickers)
    cells = cells_of(sizes, days)
    buys = {cell: chosen(rng, names, density) for cell in cells}
    empty_days = draw(st.sets(st.integers(0, days - 1), max_size=2))
    buys |= {(v, d): frozenset[str]() for v, d in cells if d in empty_days}
    winners = [chosen(rng, names, win_rate) for _ in range(days)]
    consistent = draw(st.booleans())
    wins = {
        (v, d): buys[v, d] & (winners[d] if consistent else chosen(rng, names, win_rate))
        for v, d in cells
    }
    for v in draw(st.sets(st.integers(1, sum(sizes) - 1), max_size=4)) if sum(sizes) > 1 else ():
        source = rng.randrange(v)
        buys |= {(v, d): buys[source, d] for d in range(days)}
        wins |= {(v, d): wins[source, d] for d in range(days)}
    return assemble(draw, sizes, tickers, buys, wins)


@st.composite
def copied_signals(draw: st.DrawFn) -> Signals:
    """Few distinct variations, each repeated within and across algorithms; some win differently."""
    original = draw(signals())
    n_variations, days = len(original.keys), len(original.days)
    sources = draw(
        st.lists(
            st.integers(0, min(2, n_variations - 1)), min_size=n_variations, max_size=n_variations
        )
    )
    cells = cells_of(tuple(map(len, original.variations)), days)
    buys = {(v, d): original.buys[sources[v], d] for v, d in cells}
    wins = {(v, d): original.wins[sources[v], d] for v, d in cells}
    for v in draw(st.sets(st.integers(0, n_variations - 1), max_size=1)):
        wins[v, 0] = frozenset()
    return dataclasses.replace(original, buys=buys, wins=wins)


@st.composite
def planted_signals(draw: st.DrawFn) -> Signals:
    """Variations that agree, so that groups are eligible.

    All buy a common set of mostly winners, and each a few other tickers.
    """
    sizes, days = draw(algo_sizes()), draw(st.integers(1, 7))
    tickers = draw(st.sampled_from((20, 40, 63, 64, 65, 130)))
    rng = random.Random(draw(st.integers(0, 2**32 - 1)))
    names = ticker_names(tickers)
    common = [rng.sample(names, 14) for _ in range(days)]
    winners = [chosen(rng, names, rng.uniform(0.5, 0.9)) for _ in range(days)]
    agreement = draw(st.sampled_from((0.95, 0.85, 0.75)))
    cells = cells_of(sizes, days)
    buys = {(v, d): chosen(rng, common[d], agreement) | chosen(rng, names, 0.15) for v, d in cells}
    return assemble(draw, sizes, tickers, buys, {(v, d): buys[v, d] & winners[d] for v, d in cells})


def assemble(
    draw: st.DrawFn, sizes: tuple[int, ...], tickers: int, buys: Sets, wins: Sets
) -> Signals:
    """Name everything; each day gets the base win rate of its signals or a user-supplied one."""
    days = 1 + max(d for _, d in buys)
    supplied = st.lists(st.floats(0, 100, width=16), min_size=days, max_size=days)
    rates = (
        draw(supplied)
        if draw(st.booleans())
        else [base_win_rate(buys, wins, d) for d in range(days)]
    )
    return Signals(
        algos=tuple(f"A{a}" for a in range(len(sizes))),
        variations=tuple(tuple(f"v{i}" for i in range(size)) for size in sizes),
        days=tuple((FIRST_DAY + datetime.timedelta(days=d)).isoformat() for d in range(days)),
        tickers=tuple(ticker_names(tickers)),
        buys=buys,
        wins=wins,
        base_win_rates=tuple(rates),
    )


def base_win_rate(buys: Sets, wins: Sets, day: int) -> float:
    bought, won = (
        frozenset().union(*(s for (_, d), s in sets.items() if d == day)) for sets in (buys, wins)
    )
    return percent(len(won), len(bought))


def cells_of(sizes: tuple[int, ...], days: int) -> list[tuple[int, int]]:
    return [(v, d) for v in range(sum(sizes)) for d in range(days)]


def chosen(rng: random.Random, names: list[str], share: float) -> frozenset[str]:
    return frozenset(name for name in names if rng.random() < share)


def ticker_names(n: int) -> list[str]:
    return [f"T{t:03d}" for t in range(n)]


# Limits that no statistics reach: everything is eligible.
LOOSE = {
    "min_pooled_pp": -1.0,
    "max_daily_buys": 10_000,
    "max_mad_pp": 1_000.0,
    "max_iqr_pp": 1_000.0,
    "max_cv_buys": 1_000.0,
    "min_wilson_lb": -1.0,
}
# Each of these rejects some groups; the values avoid those that small whole numbers of hits and
# buys produce.
TIGHT = {
    "min_pooled_pp": 60.1234,
    "max_daily_buys": 12,
    "max_mad_pp": 9.8765,
    "max_iqr_pp": 17.6543,
    "max_cv_buys": 0.3217,
    "min_wilson_lb": 31.4159,
}


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """Floors 0..4, sizes 2..6, any retained sizes, any kind of limits, few or many groups kept."""
    max_size = draw(st.sampled_from((4, 5, 6, 3, 2)))
    eligibility = draw(
        st.one_of(one_tight_limit(), one_tight_limit(), st.just(LOOSE), st.just({}), st.just(TIGHT))
    )
    return Rules(
        max_size=max_size,
        retain_sizes=tuple(draw(st.sets(st.integers(2, max_size)))),
        min_daily_hits=draw(st.integers(0, 4)),
        top_k=draw(st.sampled_from((1, 2, 3, 5, 1000))),
        **eligibility,
    )


def one_tight_limit() -> st.SearchStrategy[dict[str, float]]:
    return st.sampled_from(sorted(TIGHT)).map(lambda name: {**LOOSE, name: TIGHT[name]})


# Fields for which any value is meaningful; they include new rules of the score.
CONSTANTS = tuple(
    spec.name
    for spec in dataclasses.fields(Rules)
    if spec.type == "float"
    and not spec.name.startswith(("min_", "max_", "day_weight_m", "pick_quantile"))
)


@st.composite
def rules_with_constants(draw: st.DrawFn) -> Rules:
    """Rules with user-defined constants for the score and the pick."""
    constants = {name: draw(st.floats(0, 30, width=16)) for name in CONSTANTS}
    return Rules(
        **constants,
        pick_quantile=draw(st.floats(0, 1, width=16)),
        day_weight_min=0.25,
        day_weight_max=1.75,
    )
