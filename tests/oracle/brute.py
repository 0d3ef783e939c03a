"""Brute-force search of one starter, level by level in numpy.

For panels too large for `oracle.py`. Every passing group meets every variation of every later
algorithm; no candidate is left out because it failed before. Groups are scored by
`_recurse.describe`, which `tests/kernel/test_describe.py` checks against `oracle.py`;
`test_brute.py` checks this module against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mp2 import _recurse
from mp2.groups.rules import Rules

Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Words of one intermediate array.
_CHUNK_WORDS = 1 << 21


@dataclass
class Found:
    """Counters of one starter, and its eligible groups and scores per retained size, unordered."""

    attempts: int = 0
    tested: dict[int, int] = field(default_factory=dict)
    members: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)
    scores: dict[int, Floats] = field(default_factory=dict)
    _ranked: dict[int, tuple[Floats, npt.NDArray[np.int32]]] = field(default_factory=dict)

    def eligible(self, size: int) -> int:
        return len(self.scores[size])

    def ranked(self, size: int) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Best first, ties by the smaller group."""
        # Every way of running is compared with it, and to sort takes as long as some run.
        if size not in self._ranked:
            order = np.lexsort((*self.members[size].T[::-1], -self.scores[size]))
            self._ranked[size] = self.scores[size][order], self.members[size][order]
        return self._ranked[size]


class TooLarge(Exception):  # noqa: N818 - an outcome, not an error
    """The search would look at more words than allowed."""


@dataclass
class Level:
    """Groups of one size that passed.

    Members are [n, size]; consensus, and the tickers any member won, are [n, D, W].
    """

    members: npt.NDArray[np.int32]
    consensus: Words
    won: Words | None  # None: the panel is consistent

    def hits(self, wins: Words) -> Ints:
        return _counts(self.consensus & (wins if self.won is None else self.won))

    def __getitem__(self, which: npt.NDArray[np.bool_] | slice) -> Level:
        return Level(
            self.members[which],
            self.consensus[which],
            None if self.won is None else self.won[which],
        )


def search(
    buys: Words,
    wins: Words,
    algo_of: npt.NDArray[np.int32],
    weights: Floats,
    rules: Rules,
    first: int,
    max_words: int | None = None,
) -> Found:
    """Search one starter; the arrays are those of `Kernel`, wins [D, W] or [V, D, W].

    Raises `TooLarge` beyond `max_words`.
    """
    mixed = wins.ndim == 3
    found = Found(attempts=1, tested=dict.fromkeys(range(2, rules.max_size + 1), 0))
    n_words = 0
    level = Level(
        np.array([[first]], dtype=np.int32), buys[first][None], wins[first][None] if mixed else None
    )
    level = level[buys[first].any()[None]]
    for size in range(2, rules.max_size + 1):
        n_later = (algo_of[None, :] > algo_of[level.members[:, -1]][:, None]).sum()
        n_words += int(n_later) * buys[0].size
        if max_words is not None and n_words > max_words:
            raise TooLarge
        found.attempts += int(n_later)
        parts, scored = [level[:0]], []
        for children in _children(level, buys, wins if mixed else None, algo_of):
            n_buys, n_hits = _counts(children.consensus), children.hits(wins)
            passing = (n_buys > 0).any(axis=1) & (n_hits >= rules.min_daily_hits).all(axis=1)
            found.tested[size] += int(passing.sum())
            if size in rules.retain_sizes:
                near = passing & (n_buys <= rules.max_daily_buys).all(axis=1)
                scored.append(_evaluate(children[near], n_buys[near], n_hits[near], weights, rules))
            if size < rules.max_size:
                parts.append(children[passing])
        if size in rules.retain_sizes:
            found.members[size] = np.concatenate(
                [np.empty((0, size), dtype=np.int32), *(members for members, _ in scored)]
            )
            found.scores[size] = np.concatenate([np.empty(0), *(scores for _, scores in scored)])
        level = _joined([part for part in parts if part.members.shape[1] == size], size, level)
    return found


def _joined(parts: list[Level], size: int, above: Level) -> Level:
    if not parts:
        return Level(
            np.empty((0, size), dtype=np.int32),
            above.consensus[:0],
            None if above.won is None else above.won[:0],
        )
    won = (
        None
        if above.won is None
        else np.concatenate([part.won for part in parts if part.won is not None])
    )
    return Level(
        np.concatenate([part.members for part in parts]),
        np.concatenate([part.consensus for part in parts]),
        won,
    )


def _children(
    level: Level, buys: Words, wins: Words | None, algo_of: npt.NDArray[np.int32]
) -> Iterator[Level]:
    """Every group of a level with every variation of a later algorithm, in pieces."""
    step = max(1, _CHUNK_WORDS // buys.size)
    for start in range(0, len(level.members), step):
        part = level[start : start + step]
        group, member = np.nonzero(algo_of[None, :] > algo_of[part.members[:, -1]][:, None])
        if len(group) == 0:
            continue
        yield Level(
            np.column_stack([part.members[group], member.astype(np.int32)]),
            part.consensus[group] & buys[member],
            None if part.won is None or wins is None else part.won[group] | wins[member],
        )


def _counts(words: Words) -> Ints:
    return np.bitwise_count(words).sum(axis=-1, dtype=np.int64)


def _evaluate(
    level: Level, buys: Ints, hits: Ints, weights: Floats, rules: Rules
) -> tuple[npt.NDArray[np.int32], Floats]:
    """Eligible groups of those that passed, and their scores; buys and hits are [n, D]."""
    union = np.bitwise_count(np.bitwise_or.reduce(level.consensus, axis=1)).sum(
        axis=-1, dtype=np.int64
    )
    statistics, _ = _recurse.describe(buys, hits, union, weights, rules)
    eligible = statistics["eligible"] != 0
    return level.members[eligible], statistics["score"][eligible]
