"""How much memory a search takes, and how much its tables may take."""

from __future__ import annotations

import math
import os

import numpy as np

from mp2 import _recurse
from mp2._process import available_bytes
from mp2.data.panel import SignalPanel
from mp2.groups import aliases
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings

_LEAST_BYTES = 200 << 20
"""Of the tables of all kernels: so much they take on any machine."""
_FILLING_S = 2.0
"""Large tables take about as long to fill, and each turn of a starter fills them again."""


def turn_bytes(
    shape: tuple[int, ...],
    n_at_once: int,
    table_memory: int | None = None,
    starter_s: float = math.inf,
) -> int:
    """Bytes that the tables of one running starter may take, of so many that run at once.

    `shape` is that of a panel's buys: variations, days, words. `table_memory` is for all of them;
    None: half of what is free, in equal parts for all processors, as each may run a kernel, be it
    of another process. Starters with less than two seconds (`starter_s`) get a little.
    """
    n_at_once = max(1, n_at_once)
    if table_memory is not None:
        return min(useful_bytes(shape), table_memory // n_at_once)
    n_bytes = min(_recurse.TURN_BYTES, _LEAST_BYTES // n_at_once)
    if starter_s >= _FILLING_S:
        n_kernels = max(n_at_once, os.cpu_count() or 1)
        free_bytes = available_bytes() or 0
        n_bytes = max(n_bytes, free_bytes // (2 * n_kernels))
    return min(useful_bytes(shape), n_bytes)


def mean_starter_s(settings: SearchSettings, n_variations: int) -> float:
    """Seconds of a kernel for each starter; 0 where attempts limit them, as those may be few."""
    if settings.max_attempts is not None:
        return 0.0
    return settings.budget_s * settings.workers / n_variations


def useful_bytes(shape: tuple[int, ...]) -> int:
    """Bytes beyond which larger tables make no difference, as the kernel divides them."""
    n_variations, n_days, n_words = shape
    n_blocks = n_variations // 64 + 1
    n_lanes = (n_days + 7) // 8 * 8
    # Winners and losers are apart.
    rows = 64 * n_blocks * 2 * n_words * n_lanes * 8
    # A row of the support table: a bit for each candidate, and bytes of lost hits and buys for the
    # later ones, which are half of them.
    bits = 8 * n_blocks + 64
    lost = (n_blocks // 2 + 1) * 64 * 2 * n_days
    support = n_variations * (bits + lost)
    return max(4 * rows, 2 * support)


def memory_needed(
    panel: SignalPanel,
    rules: Rules,
    workers: int,
    keep: str = "groups",
    table_memory: int | None = None,
    starter_s: float = math.inf,
) -> int:
    """Estimate the most bytes a search takes beside the interpreter, rounded up.

    Counted are the panel, the starters' records, the alias cache, and per worker the kernel's
    lists, consensus sets and tables.
    """
    n_variations = panel.n_variations
    # The pool starts no more threads than there are starters.
    n_workers = min(workers, n_variations)
    row_bytes = panel.buys[:1].nbytes

    lists = rules.max_size * 8 * n_variations
    # Of the levels, and those the kernel works with.
    consensus_sets = (2 * rules.max_size + 16) * row_bytes
    bytes_kept = _recurse.ENTRY_BYTES
    if keep == "ideas":
        # New groups are collected beside the ideas, and sorting them may take a copy.
        bytes_kept = 4 * _recurse.IDEA_BYTES
    heaps = len(rules.retain_sizes) * rules.top_k * bytes_kept
    class_sizes = np.bincount(panel.alias_of)
    n_alias_classes = int(np.count_nonzero(class_sizes > 1))
    # A heap has room for up to twice its groups.
    alias_cache = min(aliases.MAX_BYTES, 2 * n_alias_classes * heaps)
    records = n_variations * _recurse.STARTER_DTYPE.itemsize
    of_search = panel.n_bytes + records + alias_cache + heaps
    tables = turn_bytes(panel.buys.shape, n_workers, table_memory, starter_s)
    of_worker = lists + consensus_sets + tables + heaps
    return of_search + n_workers * of_worker
