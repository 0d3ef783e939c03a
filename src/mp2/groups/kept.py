"""Describe the groups a search kept, and choose one of them.

Scores and statistics are the kernel's; their formulas are in `_kernel/score.pxd`.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from mp2._recurse import describe
from mp2.data import bitset
from mp2.data.arrays import FloatArray, NumberArray, WordArray
from mp2.data.panel import SignalPanel
from mp2.groups.result import STATISTICS, DayConsensus, DayStats, Group, Member
from mp2.groups.rules import Rules

# Consensus sets are formed this many bytes at a time: as ticker numbers they take up to 64 times
# as much.
_CHUNK_BYTES = 1 << 20


def day_weights(base_win_rates: FloatArray, rules: Rules) -> FloatArray:
    """Weight of each day, float64[D], from its base win rate in percent: harder days count more."""
    # Without base rates the clamp does not apply: every day counts the same.
    if not base_win_rates.any():
        return np.ones_like(base_win_rates)
    below_mean = _mean(base_win_rates) - base_win_rates
    raw = 1.0 + rules.day_weight_slope * below_mean
    return np.clip(raw, rules.day_weight_min, rules.day_weight_max)


def member_of(
    panel: SignalPanel,
    variation_idx: int,
) -> Member:
    """Return the member with this variation number."""
    algo = panel.algos[panel.algo_of[variation_idx]]
    return Member(algo, panel.variations[variation_idx], variation_idx)


def describe_groups(
    panel: SignalPanel,
    rules: Rules,
    weights: FloatArray,
    scores: FloatArray,
    members: NumberArray,
) -> tuple[Group, ...]:
    """Describe n groups, best first, from their scores float64[n] and members int32[n, size].

    `weights` float64[D] are the day weights.
    """
    row_bytes = panel.buys[0].nbytes
    n_at_once = max(1, _CHUNK_BYTES // max(1, row_bytes))
    groups: list[Group] = []
    for start in range(0, len(scores), n_at_once):
        chunk = slice(start, start + n_at_once)
        groups += describe_chunk(
            panel,
            rules,
            weights,
            start + 1,
            scores[chunk],
            members[chunk],
        )
    return tuple(groups)


def describe_chunk(
    panel: SignalPanel,
    rules: Rules,
    weights: FloatArray,
    first_rank: int,
    scores: FloatArray,
    members: NumberArray,
) -> list[Group]:
    """Describe the groups of one chunk, of which the first has rank `first_rank`."""
    consensus = panel.consensus(members)
    buys = bitset.count(consensus)
    hits = bitset.count(consensus & wins_of(panel, members))
    n_union = bitset.count(np.bitwise_or.reduce(consensus, axis=1))
    statistics, pp = describe(buys, hits, n_union, weights, rules)

    # Columns become lists at once: numpy hands out single values slowly.
    columns = {name: statistics[name].tolist() for name in STATISTICS}
    buys_of = buys.tolist()
    hits_of = hits.tolist()
    pp_of = pp.tolist()
    weight_of = weights.tolist()
    # Groups share members, and most members are in many groups.
    member = {v: member_of(panel, v) for v in set(members.ravel().tolist())}
    tickers = (panel.tickers[ticker] for ticker in bitset.members(consensus).tolist())

    groups = []
    for i, score in enumerate(scores.tolist()):
        days = map(
            DayStats,
            panel.days,
            buys_of[i],
            hits_of[i],
            pp_of[i],
            weight_of,
        )
        agreed = [
            DayConsensus(day, tuple(islice(tickers, n_buys)))
            for day, n_buys in zip(panel.days, buys_of[i], strict=True)
        ]
        group = Group(
            rank=first_rank + i,
            score=score,
            members=tuple(member[v] for v in members[i].tolist()),
            days=tuple(days),
            consensus=tuple(agreed),
            **{name: column[i] for name, column in columns.items()},
        )
        groups.append(group)
    return groups


def pick_rank(
    scores: FloatArray,
    daily_pp: FloatArray,
    rules: Rules,
) -> int | None:
    """Rank of the chosen group among the kept ones of a size; None when none was kept.

    `scores` float64[n] come best first, `daily_pp` float64[n, D] are the groups' daily hit rates.
    Among the groups with a stable hit rate the choice is one whose score is good, but not the best
    of all, which luck helps most.
    """
    if len(scores) == 0:
        return None
    deviation = _deviation(daily_pp, n_fitted=0)
    stability = _mean(daily_pp) - rules.pick_deviation_weight * deviation
    # Of the ascending values, without interpolation: the threshold is that of a group.
    quantile = int(rules.pick_quantile * (len(scores) - 1))
    pool = np.flatnonzero(stability >= np.sort(stability)[quantile])

    pool_scores = scores[pool]
    deviation = _deviation(pool_scores, n_fitted=1)
    target = _mean(pool_scores) + rules.pick_target_deviations * deviation
    above = pool_scores - target
    if not (above >= 0).any():
        return int(pool[0]) + 1
    # The first of equal scores is the better-ranked one.
    closest = np.argmin(np.where(above >= 0, above, np.inf))
    return int(pool[closest]) + 1


def _deviation(
    values: FloatArray,
    *,
    n_fitted: int,
) -> FloatArray:
    """Standard deviation over the last axis of n, dividing by `n - n_fitted`; 0 without a rest."""
    n_free = values.shape[-1] - n_fitted
    differences = values - _mean(values)[..., np.newaxis]
    deviation: FloatArray = np.sqrt(_sum(differences**2) / max(1, n_free))
    return deviation


def _mean(values: FloatArray) -> FloatArray:
    mean: FloatArray = _sum(values) / values.shape[-1]
    return mean


def _sum(values: FloatArray) -> FloatArray:
    # From left to right, as the kernel adds days: `np.sum` may add in pairs.
    sums: FloatArray = np.add.accumulate(values, axis=-1)
    return sums[..., -1]


def wins_of(
    panel: SignalPanel,
    members: NumberArray,
) -> WordArray:
    """Tickers that won for any member of n groups, members int32[n, size]: uint64[..., D, W].

    The winners of a consistent panel are the same for all groups.
    """
    if panel.consistent:
        return panel.wins
    # Variations may see a ticker at different prices; a win of any member is a hit.
    won = panel.wins[members[:, 0]]
    for column in members.T[1:]:
        won |= panel.wins[column]
    return won
