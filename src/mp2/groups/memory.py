"""How much memory a search takes."""

from __future__ import annotations

import numpy as np

from mp2 import _recurse
from mp2.data.panel import SignalPanel
from mp2.groups import aliases
from mp2.groups.rules import Rules

# Of all workers together: enough for tables that pay, little beside a panel.
_TABLE_BYTES = 200 << 20


def turn_bytes(n_workers: int) -> int:
    """Bytes the tables of one running starter may take."""
    return min(_recurse.TURN_BYTES, _TABLE_BYTES // max(1, n_workers))


def memory_needed(
    panel: SignalPanel,
    rules: Rules,
    workers: int,
    keep: str = "groups",
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
    of_worker = lists + consensus_sets + turn_bytes(n_workers) + heaps
    return of_search + n_workers * of_worker
