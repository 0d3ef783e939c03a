"""Find groups of technical signals that agree, inside a time budget, and say how far to trust them.

    panel = mp2.read_signals("signals.parquet")      # a table of signals, or a data frame
    result = mp2.search(panel, budget_s=60)          # every group of variations that buy together
    result.groups(3), result.pick(3), result.status

    prices = mp2.read_prices("prices.parquet")       # daily bars
    run = mp2.run(prices, budget_s=60)               # signals, search and picks in one call
    run.next_day.tickers()

    mp2.walk_forward(prices)                         # would it have worked in past weeks?
    mp2.scan()                                       # candidates from many sources at once

Every input error is an `mp2.InputError` that names the place and the remedy. The command `mp2` does the same.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mp2.errors import (
    InputError,
    MissingExtraError,
    Mp2Error,
    ReadStoppedError,
    SourceError,
    StoreError,
)
from mp2.groups.result import (
    DayConsensus,
    DayStats,
    Group,
    Member,
    SearchResult,
    StarterRecord,
    StarterStatus,
    Status,
)
from mp2.groups.rules import Rules

if TYPE_CHECKING:
    from mp2.data.panel import SignalPanel, read_signals
    from mp2.data.prices import PriceTable, read_prices
    from mp2.discovery.records import (
        Candidate,
        MergedCandidate,
        OutcomeStatus,
        ScanError,
        ScanEvent,
        ScanOutcome,
        ScanResult,
        ScanStatus,
    )
    from mp2.discovery.registry import find_scanners
    from mp2.discovery.runner import scan
    from mp2.discovery.scanner import Reply, ScanContext, Scanner, ScannerSettings
    from mp2.groups.search import SearchProgress, search
    from mp2.groups.space import PanelSummary, panel_summary
    from mp2.picks.outcome import score
    from mp2.picks.pick import pick_day
    from mp2.picks.records import DayPicks, Outcome
    from mp2.picks.walkforward import WalkForward, walk_forward
    from mp2.pipeline import PipelineRun, run
    from mp2.signals.algorithms import Algorithm, Parameter
    from mp2.signals.grids import Grids, load_grids
    from mp2.signals.sheet import SignalSheet, compute_signals
    from mp2.storage.runs import Store

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Candidate",
    "DayConsensus",
    "DayPicks",
    "DayStats",
    "Grids",
    "Group",
    "InputError",
    "Member",
    "MergedCandidate",
    "MissingExtraError",
    "Mp2Error",
    "Outcome",
    "OutcomeStatus",
    "PanelSummary",
    "Parameter",
    "PipelineRun",
    "PriceTable",
    "ReadStoppedError",
    "Reply",
    "Rules",
    "ScanContext",
    "ScanError",
    "ScanEvent",
    "ScanOutcome",
    "ScanResult",
    "ScanStatus",
    "Scanner",
    "ScannerSettings",
    "SearchProgress",
    "SearchResult",
    "SignalPanel",
    "SignalSheet",
    "SourceError",
    "StarterRecord",
    "StarterStatus",
    "Status",
    "Store",
    "StoreError",
    "WalkForward",
    "compute_signals",
    "find_scanners",
    "load_grids",
    "panel_summary",
    "pick_day",
    "read_prices",
    "read_signals",
    "run",
    "scan",
    "score",
    "search",
    "walk_forward",
]

# Modules that bring numpy or the kernel are imported when first asked for, so that `mp2 --help` stays quick.
_LAZY = {
    "Algorithm": "signals.algorithms",
    "Candidate": "discovery.records",
    "DayPicks": "picks.records",
    "Grids": "signals.grids",
    "MergedCandidate": "discovery.records",
    "Outcome": "picks.records",
    "OutcomeStatus": "discovery.records",
    "PanelSummary": "groups.space",
    "Parameter": "signals.algorithms",
    "PipelineRun": "pipeline",
    "PriceTable": "data.prices",
    "Reply": "discovery.scanner",
    "ScanContext": "discovery.scanner",
    "ScanError": "discovery.records",
    "ScanEvent": "discovery.records",
    "ScanOutcome": "discovery.records",
    "ScanResult": "discovery.records",
    "ScanStatus": "discovery.records",
    "Scanner": "discovery.scanner",
    "ScannerSettings": "discovery.scanner",
    "SearchProgress": "groups.search",
    "SignalPanel": "data.panel",
    "SignalSheet": "signals.sheet",
    "Store": "storage.runs",
    "WalkForward": "picks.walkforward",
    "compute_signals": "signals.sheet",
    "find_scanners": "discovery.registry",
    "load_grids": "signals.grids",
    "panel_summary": "groups.space",
    "pick_day": "picks.pick",
    "read_prices": "data.prices",
    "read_signals": "data.panel",
    "run": "pipeline",
    "scan": "discovery.runner",
    "score": "picks.outcome",
    "search": "groups.search",
    "walk_forward": "picks.walkforward",
}

logging.getLogger("mp2").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'mp2' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"mp2.{_LAZY[name]}"), name)
    return value
