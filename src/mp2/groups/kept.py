"""Describe the groups a search kept: members, daily hit rates, statistics and tickers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import islice

import numpy as np

from mp2 import _recurse
from mp2.data import bitset
from mp2.data.arrays import FloatArray, NumberArray, WordArray
from mp2.data.panel import SignalPanel
from mp2.groups import synergy
from mp2.groups.result import DayConsensus, DayStats, Group, Member
from mp2.groups.rules import Rules

# Consensus sets are formed this many bytes at a time: as ticker numbers they take up to 64 times
# as much.
_CHUNK_BYTES = 1 << 20

_STATISTICS = tuple(
    spec.name for spec in fields(Group) if spec.type == "float" and spec.name != "score"
)


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
    day_weights: FloatArray,
    scores: FloatArray,
    members: NumberArray,
) -> tuple[Group, ...]:
    """Describe n groups, best first, from their scores float64[n] and members int32[n, size]."""
    row_bytes = panel.buys[0].nbytes
    n_at_once = max(1, _CHUNK_BYTES // max(1, row_bytes))
    groups: list[Group] = []
    for start in range(0, len(scores), n_at_once):
        chunk = slice(start, start + n_at_once)
        groups += _describe_chunk(
            panel,
            rules,
            day_weights,
            start + 1,
            scores[chunk],
            members[chunk],
        )
    return tuple(groups)


def _describe_chunk(
    panel: SignalPanel,
    rules: Rules,
    day_weights: FloatArray,
    first_rank: int,
    scores: FloatArray,
    members: NumberArray,
) -> list[Group]:
    consensus = panel.consensus(members)
    buys = bitset.count(consensus)
    hits = bitset.count(consensus & wins_of(panel, members))
    n_union = bitset.count(np.bitwise_or.reduce(consensus, axis=1))
    statistics, pp = _recurse.describe(buys, hits, n_union, day_weights, rules)

    # Columns become lists at once: numpy hands out single values slowly.
    columns = {name: statistics[name].tolist() for name in _STATISTICS}
    buys_of = buys.tolist()
    hits_of = hits.tolist()
    pp_of = pp.tolist()
    weights = day_weights.tolist()
    tickers = (panel.tickers[ticker] for ticker in bitset.members(consensus).tolist())

    groups = []
    for i, score in enumerate(scores.tolist()):
        days = map(
            DayStats,
            panel.days,
            buys_of[i],
            hits_of[i],
            pp_of[i],
            weights,
        )
        agreed = [
            DayConsensus(day, tuple(islice(tickers, n_buys)))
            for day, n_buys in zip(panel.days, buys_of[i], strict=True)
        ]
        group = Group(
            rank=first_rank + i,
            score=score,
            members=tuple(member_of(panel, v) for v in members[i].tolist()),
            days=tuple(days),
            consensus=tuple(agreed),
            **{name: column[i] for name, column in columns.items()},
        )
        groups.append(group)
    return groups


def pick_rank(
    groups: Sequence[Group],
    rules: Rules,
) -> int | None:
    """Rank of the chosen group among the kept ones of a size, best first; None without groups."""
    scores = np.array([group.score for group in groups])
    daily_pp = np.array([[day.pp for day in group.days] for group in groups])
    picked = synergy.pick(scores, daily_pp, rules)
    if picked is None:
        return None
    return picked + 1


def wins_of(
    panel: SignalPanel,
    members: NumberArray,
) -> WordArray:
    """Tickers that won for any member of n groups, members int32[n, size]: uint64[..., D, W].

    The winners of a consistent panel are the same for all groups.
    """
    if panel.consistent:
        return panel.wins
    won = panel.wins[members[:, 0]]
    for column in members.T[1:]:
        won |= panel.wins[column]
    return won
