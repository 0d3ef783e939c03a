"""Shared by several peers: the panel's words sorted by day, and the check of the groups found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mp2 import _recurse
from mp2.data import bitset
from mp2.groups.kept import day_weights
from peers import Answer, Cut

_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class DayRows:
    """Buys per variation, winners and losers apart, as packed words by day.

    `winners` and `losers` are uint64[V, n]; the i-th day of a row is the words `[starts[i],
    starts[i + 1])`. The i-th day is day `order[i]` of the panel. Days are sorted by ascending
    number of winners, so that the floor fails early. A ticker has a different position on every
    day.
    """

    winners: np.ndarray
    losers: np.ndarray
    win_starts: np.ndarray
    loss_starts: np.ndarray
    order: np.ndarray


def day_rows(cut: Cut) -> DayRows:
    """Return the panel of a cut as `DayRows`, without the tickers that no variation buys."""
    n_tickers = len(cut.panel.tickers)
    buys, wins = bitset.unpack(cut.panel.buys, n_tickers), bitset.unpack(cut.panel.wins, n_tickers)
    bought = buys.any(axis=0)
    order = np.argsort((wins & bought).sum(axis=1), kind="stable")
    winners = [bitset.pack(buys[:, d, wins[d] & bought[d]]) for d in order]
    losers = [bitset.pack(buys[:, d, ~wins[d] & bought[d]]) for d in order]
    return DayRows(np.hstack(winners), np.hstack(losers), _starts(winners), _starts(losers), order)


def _starts(parts: list[np.ndarray]) -> np.ndarray:
    return np.cumsum([0] + [part.shape[1] for part in parts])


def judge(cut: Cut, members: np.ndarray) -> tuple[int, int, float | None]:
    """Return how many groups pass the floor, how many are eligible, and their best score.

    `members` is int[n, size], a group per row, its variations in any order; groups with two
    variations of one algorithm are skipped.
    """
    members = np.sort(members, axis=1)
    members = members[(np.diff(cut.panel.algo_of[members], axis=1) > 0).all(axis=1)]
    verdicts = [_judge(cut, members[i : i + _CHUNK]) for i in range(0, len(members), _CHUNK)]
    scores = np.concatenate([scores for _, scores in verdicts]) if verdicts else np.empty(0)
    return sum(n for n, _ in verdicts), len(scores), float(scores.max()) if len(scores) else None


def _judge(cut: Cut, members: np.ndarray) -> tuple[int, np.ndarray]:
    """Count the groups that pass the floor, and return the scores of the eligible ones."""
    panel, rules = cut.panel, cut.rules
    consensus = np.bitwise_and.reduce(panel.buys[members], axis=1)
    hits = bitset.count(consensus & panel.wins)
    passed = (hits >= rules.min_daily_hits).all(axis=1)
    buys = bitset.count(consensus)
    kept = passed & (buys <= rules.max_daily_buys).all(axis=1)
    n_union = bitset.count(np.bitwise_or.reduce(consensus[kept], axis=1))
    weights = day_weights(panel.base_win_rates, rules)
    statistics, _ = _recurse.describe(buys[kept], hits[kept], n_union, weights, rules)
    return int(passed.sum()), statistics["score"][statistics["eligible"] != 0]


def answer_for(
    cut: Cut,
    members_by_size: Iterable[tuple[int, np.ndarray]],
    *,
    attempts: int | None = None,
    tested: dict[int, int] | None = None,
) -> Answer:
    """Return the result that follows from the groups a peer found.

    These are all groups that pass the floor, or, if the peer counted `tested`, those under the cap.
    """
    verdicts = {size: judge(cut, members) for size, members in members_by_size}
    retained = {size: verdicts[size] for size in cut.rules.retain_sizes}
    return Answer(
        attempts=attempts,
        tested=tested or {size: n for size, (n, _, _) in verdicts.items()},
        eligible={size: n for size, (_, n, _) in retained.items()},
        best={size: best for size, (_, _, best) in retained.items() if best is not None},
    )


def by_size(sets: Sequence[tuple[int, ...]], max_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield sets of variations as arrays int[n, size], for sizes 2..max_size."""
    for size in range(2, max_size + 1):
        of_size = [items for items in sets if len(items) == size]
        yield size, np.array(of_size, dtype=np.int64).reshape(-1, size)
