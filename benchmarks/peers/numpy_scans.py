"""numpy: packed words and `bitwise_count`; sibling groups are extended in one call.

Siblings differ in their last variation only. Siblings and the candidates of their parent make a
table of counts per day, so that a pair's groups of four take one call per later algorithm. The
recursion over groups stays in Python. It keeps the groups under the cap and scores them at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from peers import Answer, Cut
from peers.groups import DayRows, answer_for, day_rows


@dataclass(frozen=True, slots=True)
class Siblings:
    """Groups int[n, size] that differ only in their last variation, with their consensus.

    The last variations belong to one algorithm.
    """

    members: np.ndarray
    winners: np.ndarray
    losers: np.ndarray


@dataclass
class Search:
    """One search and its counters by size; `within_cap` lists the groups worth scoring."""

    cut: Cut
    rows: DayRows
    attempts: int
    tested: dict[int, int]
    within_cap: dict[int, list[np.ndarray]]

    def visit(self, groups: Siblings, candidates: np.ndarray) -> None:
        """Extend the groups by each candidate.

        Only candidates that pass the floor can pass it in a larger group.
        """
        (n, size), first = groups.members.shape, int(self.cut.first_after[groups.members[0, -1]])
        self.attempts += n * (self.cut.panel.n_variations - first)
        candidates = candidates[np.searchsorted(candidates, first) :]
        passed, few_hits = self.scan(groups.winners, candidates)
        self.tested[size + 1] += np.count_nonzero(passed)
        if size + 1 in self.cut.rules.retain_sizes:
            self.keep(groups, candidates, *np.nonzero(few_hits))
        if size + 1 < self.cut.rules.max_size:
            for i in np.flatnonzero(passed.any(axis=1)):
                self.descend(groups, i, candidates[passed[i]])

    def scan(self, consensus: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return bool[n, m] twice: at the floor on every day, and also with hits within the cap."""
        passed = np.ones((len(consensus), len(candidates)), dtype=bool)
        few_hits = passed.copy()
        rows = self.rows.winners[candidates].T
        for begin, end in days(self.rows.win_starts):
            hits = np.zeros(passed.shape, dtype=np.uint16)
            for word in range(begin, end):
                hits += np.bitwise_count(consensus[:, word, np.newaxis] & rows[word])
            passed &= hits >= self.cut.rules.min_daily_hits
            few_hits &= hits <= self.cut.rules.max_daily_buys
            if not passed.any():
                break
        return passed, few_hits & passed

    def keep(
        self, groups: Siblings, candidates: np.ndarray, at: np.ndarray, joined: np.ndarray
    ) -> None:
        """Store the groups `at` that are within the cap every day with the candidates `joined`."""
        for (win_begin, win_end), (loss_begin, loss_end) in zip(
            days(self.rows.win_starts), days(self.rows.loss_starts), strict=True
        ):
            v = candidates[joined]
            hits = np.bitwise_count(
                groups.winners[at, win_begin:win_end] & self.rows.winners[v, win_begin:win_end]
            )
            misses = np.bitwise_count(
                groups.losers[at, loss_begin:loss_end] & self.rows.losers[v, loss_begin:loss_end]
            )
            few = hits.sum(axis=1) + misses.sum(axis=1) <= self.cut.rules.max_daily_buys
            at, joined = at[few], joined[few]
        self.within_cap[groups.members.shape[1] + 1].append(
            np.column_stack([groups.members[at], candidates[joined]])
        )

    def descend(self, groups: Siblings, i: int, tail: np.ndarray) -> None:
        """Continue with the i-th group and its passing candidates, one algorithm at a time."""
        for last in by_algo(self.cut, tail):
            members = np.column_stack([np.tile(groups.members[i], (len(last), 1)), last])
            winners, losers = (
                groups.winners[i] & self.rows.winners[last],
                groups.losers[i] & self.rows.losers[last],
            )
            self.visit(Siblings(members, winners, losers), tail)


def days(starts: np.ndarray) -> Iterator[tuple[int, int]]:
    return zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)


def by_algo(cut: Cut, variations: np.ndarray) -> list[np.ndarray]:
    """Split ascending variation numbers where the algorithm changes."""
    return np.split(variations, np.flatnonzero(np.diff(cut.panel.algo_of[variations])) + 1)


def prepare(cut: Cut) -> tuple[Cut, DayRows]:
    return cut, day_rows(cut)


def run(prepared: tuple[Cut, DayRows]) -> Answer:
    cut, rows = prepared
    sizes, everyone = range(2, cut.rules.max_size + 1), np.arange(cut.panel.n_variations)
    nothing_yet = {size: [np.empty((0, size), dtype=np.int64)] for size in sizes}
    search = Search(
        cut, rows, attempts=len(everyone), tested=dict.fromkeys(sizes, 0), within_cap=nothing_yet
    )
    for starters in by_algo(cut, everyone[cut.panel.buys.any(axis=(1, 2))]):
        search.visit(
            Siblings(starters[:, np.newaxis], rows.winners[starters], rows.losers[starters]),
            everyone,
        )
    groups = ((size, np.concatenate(parts)) for size, parts in search.within_cap.items())
    return answer_for(cut, groups, attempts=search.attempts, tested=search.tested)
