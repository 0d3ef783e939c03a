"""Samples of a running search, few enough to be kept with its result."""

from __future__ import annotations

from collections.abc import Iterator

from mp2.groups.pool import Progress
from mp2.groups.result import ProgressSample

MOST_SAMPLES = 600
"""More than a picture is wide on a phone, and about 40 kB in the store."""


class ProgressSamples:
    """The progress of a search that was observed, thinned out where there is too much of it.

    `before_ns`: running time of earlier sessions, from which the times go on.
    """

    def __init__(self, before_ns: int = 0) -> None:
        self._before_ns = before_ns
        self._samples: list[ProgressSample] = []
        self._every = 1
        self._n_seen = 0
        self._last: ProgressSample | None = None

    def add(self, pool: Progress) -> None:
        """Add what the pool reports."""
        self._last = ProgressSample(
            elapsed_s=round((self._before_ns + pool.elapsed_ns) / 1e9, 6),
            n_waiting=pool.n_waiting,
            n_running=pool.n_running,
            n_cut_off=pool.n_cut_off,
            n_exhausted=pool.n_exhausted,
            limit_s=round(pool.limit_ns / 1e9, 6),
            bank_s=round(pool.bank_ns / 1e9, 6),
            n_turns=pool.n_turns,
        )
        if self._n_seen % self._every == 0:
            self._samples.append(self._last)
        self._n_seen += 1
        if len(self._samples) == MOST_SAMPLES:
            # Every second one stays, so that they keep covering all of the run evenly.
            del self._samples[1::2]
            self._every *= 2

    def __iter__(self) -> Iterator[ProgressSample]:
        """The samples in order, with the last one in any case."""
        yield from self._samples
        if self._last is not None and self._samples[-1] is not self._last:
            yield self._last
