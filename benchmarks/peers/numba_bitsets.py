"""numba: a compiled depth-first search over packed words, as a skilled user would write it.

Winner words come first, by day, so that a candidate is dropped on the first day below the floor.
The consensus and the list of candidates that passed are passed down. Words are counted by the
hardware instruction. The cap is checked before the score. It keeps the best score, not the best
groups.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import astuple, replace

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from mp2.groups.kept import day_weights
from mp2.groups.rules import Rules
from peers import Answer, Cut
from peers.groups import DayRows, day_rows

RULE_NAMES = [name for name in Rules.__dataclass_fields__ if name != "retain_sizes"]
Constants = namedtuple("Constants", [*RULE_NAMES, "smallest_retained"])
Rows = namedtuple(
    "Rows", [*DayRows.__dataclass_fields__, "panel_buys", "panel_wins", "first_after", "weights"]
)
"""`DayRows` and the other inputs of the search.

In the panel's own words a ticker has the same position on all days.
"""

Search = namedtuple(
    "Search",
    [
        "winners",
        "losers",
        "tails",
        "kept",
        "buys",
        "hits",
        "group",
        "attempts",
        "tested",
        "eligible",
        "best",
    ],
)
"""Buffers by level (consensus words, tail lists), daily counts of the group, counters by size."""


@intrinsic
def popcount(typing_context, word):
    """Return the machine's population count of a word."""

    def emit(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), emit


@njit(nogil=True)
def keep_passing(winners, starts, consensus, candidates, floor, tail):
    """Write to `tail` the candidates that reach the floor on every day; return how many."""
    n_tail = 0
    for v in candidates:
        row, passed = winners[v], True
        for day in range(len(starts) - 1):
            hits = 0
            for i in range(starts[day], starts[day + 1]):
                hits += popcount(consensus[i] & row[i])
            if hits < floor:
                passed = False
                break
        if passed:
            tail[n_tail] = v
            n_tail += 1
    return n_tail


@njit(nogil=True)
def keep_within_cap(
    winners, losers, win_starts, loss_starts, win_consensus, loss_consensus, candidates, cap, kept
):
    """Write to `kept` the candidates with at most `cap` buys on every day; return how many."""
    n_kept = 0
    for v in candidates:
        win_row, loss_row, within = winners[v], losers[v], True
        for day in range(len(win_starts) - 1):
            buys = 0
            for i in range(win_starts[day], win_starts[day + 1]):
                buys += popcount(win_consensus[i] & win_row[i])
            for i in range(loss_starts[day], loss_starts[day + 1]):
                buys += popcount(loss_consensus[i] & loss_row[i])
            if buys > cap:
                within = False
                break
        if within:
            kept[n_kept] = v
            n_kept += 1
    return n_kept


@njit(nogil=True)
def count(panel_buys, panel_wins, group, buys, hits):
    """Count daily buys and hits of a group; return its number of distinct tickers."""
    n_days, n_words = panel_wins.shape
    buys[:], hits[:], n_union = 0, 0, 0
    for w in range(n_words):
        union = np.uint64(0)
        for day in range(n_days):
            consensus = panel_buys[group[0], day, w]
            for v in group[1:]:
                consensus &= panel_buys[v, day, w]
            buys[day] += popcount(consensus)
            hits[day] += popcount(consensus & panel_wins[day, w])
            union |= consensus
        n_union += popcount(union)
    return n_union


@njit(nogil=True)
def quantile(ordered, share):
    """Return a quantile by linear interpolation."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@njit(nogil=True)
def score(buys, hits, n_union, weights, rules):
    """Return the synergy score of the specification, or minus infinity if not eligible."""
    n_days, n_buys, n_hits = len(buys), buys.sum(), hits.sum()
    pp = 100.0 * hits / buys
    pooled_pp = 100.0 * n_hits / n_buys
    ordered = np.sort(pp)
    median_pp = quantile(ordered, 0.5)
    mad_pp = np.abs(pp - median_pp).mean()
    iqr_pp = quantile(ordered, 0.75) - quantile(ordered, 0.25)
    mean_buys = n_buys / n_days
    cv_buys = (
        np.sqrt(((buys - mean_buys) ** 2).sum() / (n_days - 1)) / mean_buys if n_days > 1 else 0.0
    )
    p, z = n_hits / n_buys, rules.wilson_z
    margin = z * np.sqrt((p * (1.0 - p) + z * z / (4.0 * n_buys)) / n_buys)
    wilson_lb = 100.0 * (p + z * z / (2.0 * n_buys) - margin) / (1.0 + z * z / n_buys)
    if (
        pooled_pp < rules.min_pooled_pp
        or mad_pp > rules.max_mad_pp
        or iqr_pp > rules.max_iqr_pp
        or cv_buys > rules.max_cv_buys
        or wilson_lb < rules.min_wilson_lb
    ):
        return -np.inf
    day = np.arange(n_days) - (n_days - 1) / 2.0
    slope = (day * (pp - pp.mean())).sum() / (day * day).sum() if n_days > 1 else 0.0
    return (
        rules.weighted_pp_weight * (pp * weights).mean()
        + rules.median_pp_weight * median_pp
        + rules.second_worst_pp_weight * ordered[min(1, n_days - 1)]
        + rules.wilson_weight * wilson_lb
        + coverage(mean_buys, buys.max(), rules)
        + rules.rising_weight * max(0.0, slope)
        - rules.falling_weight * max(0.0, -slope)
        - rules.mad_weight * mad_pp
        - rules.iqr_weight * iqr_pp
        - rules.cv_weight * cv_buys
        - rules.repeat_weight * max(0.0, n_buys / max(1, n_union) - rules.repeat_tolerance) ** 2
    )


@njit(nogil=True)
def coverage(mean_buys, max_buys, rules):
    if mean_buys < rules.sweet_low:
        sweet_spot = -rules.sweet_low_slope * (rules.sweet_low - mean_buys)
    elif mean_buys <= rules.sweet_peak:
        sweet_spot = rules.sweet_slope * (mean_buys - rules.sweet_low)
    elif mean_buys <= rules.sweet_high:
        sweet_spot = rules.sweet_slope * (rules.sweet_high - mean_buys)
    else:
        sweet_spot = -rules.sweet_high_slope * (mean_buys - rules.sweet_high)
    return (
        rules.coverage_log_weight * np.log(1.0 + min(mean_buys, rules.coverage_cap))
        + sweet_spot
        - rules.coverage_excess_weight * max(0.0, mean_buys - rules.coverage_cap)
        - rules.crowding_weight * max(0.0, max_buys - rules.crowding_cap) ** 2
    )


@njit(nogil=True)
def offer(rows, search, size, v, rules):
    """Count and score a group of `size` that ends with v, if it is eligible."""
    search.group[size - 1] = v
    n_union = count(rows.panel_buys, rows.panel_wins, search.group[:size], search.buys, search.hits)
    group_score = score(search.buys, search.hits, n_union, rows.weights, rules)
    if group_score > -np.inf:
        search.eligible[size] += 1
        search.best[size] = max(search.best[size], group_score)


@njit(nogil=True)
def visit(rows, search, size, last, candidates, rules):
    """Extend the group of `size` by every later candidate of its parent's list.

    The candidates that pass are the list of the extended groups.
    """
    first, tail, kept = rows.first_after[last], search.tails[size], search.kept
    search.attempts[0] += len(rows.winners) - first
    candidates = candidates[np.searchsorted(candidates, np.uint64(first)) :]
    winners, losers = search.winners[size], search.losers[size]
    tail = tail[
        : keep_passing(
            rows.winners, rows.win_starts, winners, candidates, rules.min_daily_hits, tail
        )
    ]
    search.tested[size + 1] += len(tail)
    if size + 1 >= rules.smallest_retained:
        n_kept = keep_within_cap(
            rows.winners,
            rows.losers,
            rows.win_starts,
            rows.loss_starts,
            winners,
            losers,
            tail,
            rules.max_daily_buys,
            kept,
        )
        for v in kept[:n_kept]:
            offer(rows, search, size + 1, v, rules)
    if size + 1 == rules.max_size:
        return
    for v in tail:
        descend(rows, search, size, v)
        visit(rows, search, size + 1, v, tail, rules)


@njit(nogil=True)
def descend(rows, search, size, v):
    """Make v the next member: AND its row into the consensus of the next level."""
    search.group[size] = v
    for i in range(rows.winners.shape[1]):
        search.winners[size + 1, i] = search.winners[size, i] & rows.winners[v, i]
    for i in range(rows.losers.shape[1]):
        search.losers[size + 1, i] = search.losers[size, i] & rows.losers[v, i]


@njit(nogil=True)
def search_starters(rows, search, starters, rules):
    for v in starters:
        search.attempts[0] += 1
        descend(rows, search, 0, v)
        if search.winners[1].any() or search.losers[1].any():
            visit(rows, search, 1, v, search.tails[0], rules)


def prepare(cut: Cut) -> tuple[Cut, Rows, Constants]:
    """Prepare the arrays, and compile by a search without a starter."""
    if cut.rules.retain_sizes != tuple(range(cut.rules.retain_sizes[0], cut.rules.max_size + 1)):
        raise ValueError("this peer needs retain_sizes without gaps up to max_size")
    constants = Constants(
        *(getattr(cut.rules, name) for name in RULE_NAMES), cut.rules.retain_sizes[0]
    )
    weights = day_weights(cut.panel.base_win_rates, cut.rules)
    days = day_rows(cut)
    days = replace(
        days,
        win_starts=days.win_starts.astype(np.uint64),
        loss_starts=days.loss_starts.astype(np.uint64),
    )
    rows = Rows(*astuple(days), cut.panel.buys, cut.panel.wins, cut.first_after, weights)
    search_starters(rows, new_search(cut, rows), np.empty(0, dtype=np.uint64), constants)
    return cut, rows, constants


def new_search(cut: Cut, rows: Rows) -> Search:
    sizes, n_variations, n_days = (
        cut.rules.max_size + 1,
        cut.panel.n_variations,
        len(cut.panel.days),
    )
    everything = np.uint64(2**64 - 1)
    return Search(
        winners=np.full((sizes, rows.winners.shape[1]), everything),
        losers=np.full((sizes, rows.losers.shape[1]), everything),
        tails=np.tile(np.arange(n_variations, dtype=np.uint64), (sizes, 1)),
        kept=np.zeros(n_variations, dtype=np.uint64),
        buys=np.zeros(n_days, dtype=np.int64),
        hits=np.zeros(n_days, dtype=np.int64),
        group=np.zeros(sizes, dtype=np.uint64),
        attempts=np.zeros(1, dtype=np.int64),
        tested=np.zeros(sizes, dtype=np.int64),
        eligible=np.zeros(sizes, dtype=np.int64),
        best=np.full(sizes, -np.inf),
    )


def run(prepared: tuple[Cut, Rows, Constants]) -> Answer:
    cut, rows, constants = prepared
    search = new_search(cut, rows)
    search_starters(rows, search, np.arange(cut.panel.n_variations, dtype=np.uint64), constants)
    retained = cut.rules.retain_sizes
    return Answer(
        attempts=int(search.attempts[0]),
        tested=dict(enumerate(search.tested[2:].tolist(), start=2)),
        eligible={size: int(search.eligible[size]) for size in retained},
        best={size: float(search.best[size]) for size in retained if search.eligible[size]},
    )
