"""mp2 finds groups of technical signals that agree, inside a time budget, and says how sure one can be.

The map of the layers; a module imports only from layers below its own (`tests/test_layers.py` checks it):

    L4  cli           the command line: entry, messages, exit codes
        cli_runs      its commands on stored runs, and doctor
        cli_search    its commands that search
        cli_options   what the commands share
        doctor        what this machine and this build can do
        console       live display, tables and sentences
    L3  demo          a synthetic table with planted groups
        group_search  one search: every starter through the kernel, under a budget, into one result
        schedule      the bounded pool: order, backfill, donations, hard wall, stop
    L2  store         SQLite: runs, starters, groups
        export        kept groups as one flat table
        settings      settings file and option types
        panel         any signal table -> validated, packed, read-only arrays
        coding        names and days -> numbers, rows -> bits
    L1  columns       canonical columns: found, converted, checked
        tables        any source -> batches of rows
        rows          records -> rows of the store's tables, and back
        schema        the store's tables in SQL
        synergy       score, eligibility and final pick: the formulas
        space         size of the search space, coverage
        budget        base limit, bank, allowances: pure arithmetic
        bitset        the layout of bitsets
        _recurse      the kernel, compiled
    L0  model         frozen records and enums
        errors        Mp2Error and its children
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mp2.errors import InputError, MissingExtraError, Mp2Error, ReadStoppedError, StoreError
from mp2.model import (
    DayConsensus,
    DayStats,
    Group,
    Member,
    Rules,
    SearchResult,
    StarterRecord,
    StarterStatus,
    Status,
)

if TYPE_CHECKING:
    from mp2.group_search import SearchProgress, search
    from mp2.panel import PanelSummary, SignalPanel, panel_summary, read_signals
    from mp2.store import Store

__version__ = "0.1.0"

__all__ = [
    "DayConsensus",
    "DayStats",
    "Group",
    "InputError",
    "Member",
    "MissingExtraError",
    "Mp2Error",
    "PanelSummary",
    "ReadStoppedError",
    "Rules",
    "SearchProgress",
    "SearchResult",
    "SignalPanel",
    "StarterRecord",
    "StarterStatus",
    "Status",
    "Store",
    "StoreError",
    "panel_summary",
    "read_signals",
    "search",
]

# Modules that bring numpy or the kernel are imported when first asked for, so that `mp2 --help` stays quick.
_LAZY = {
    "PanelSummary": "panel",
    "SearchProgress": "group_search",
    "SignalPanel": "panel",
    "Store": "store",
    "panel_summary": "panel",
    "read_signals": "panel",
    "search": "group_search",
}

logging.getLogger("mp2").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'mp2' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"mp2.{_LAZY[name]}"), name)
    return value
