"""Find groups of technical signals that agree, inside a time budget, and say how far to trust them.

    panel = mp2.read_signals("signals.parquet")      # a table of signals, or a data frame
    result = mp2.search(panel, budget_s=60)          # every group of variations that buy together
    result.groups(3), result.pick(3), result.status

    prices = mp2.read_prices("prices.parquet")       # daily bars
    run = mp2.run(prices, budget_s=60)               # signals, search and picks in one call
    run.next_day.tickers()
    run.result.significance.sentence()               # is it better than luck?

    mp2.walk_forward(prices)                         # would it have worked in past weeks?
    mp2.track("mp2.db")                              # how did earlier picks do?
    mp2.report(run, "run.html")                      # pictures and tables on one page
    mp2.scan()                                       # candidates from many sources at once

Every input error is an `mp2.InputError` that names the place and the remedy. The command `mp2`
does the same.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

__version__ = "0.2.0.dev0"

_NAMES_OF = {
    "errors": "InputError MissingExtraError Mp2Error ReadStoppedError SourceError StoreError",
    "data.panel": "SignalPanel",
    "data.prices": "PriceTable read_prices",
    "data.signal_reader": "read_signals",
    "signals.algorithms": "Algorithm Parameter algorithm",
    "signals.grids": "Grids load_grids",
    "signals.sheet": "SignalSheet compute_signals",
    "evidence.significance": "significance",
    "groups.luck": "Significance",
    "groups.result": "DayConsensus DayStats Exclusion Group Idea Member SearchResult StarterRecord "
    "StarterStatus Status",
    "groups.rules": "Rules",
    "groups.search": "SearchProgress",
    "groups.space": "PanelSummary panel_summary",
    "picks.outcome": "score",
    "picks.pick": "pick_day",
    "picks.records": "DayPicks Outcome",
    "picks.track": "ConfigurationRecord TrackRecord",
    "picks.weeks": "WalkForward",
    "discovery.http.reply": "Reply",
    "discovery.records": "Candidate MergedCandidate OutcomeStatus ScanError ScanEvent "
    "ScanOutcome ScanResult ScanStatus",
    "discovery.registry": "find_scanners",
    "discovery.scanner": "ScanContext Scanner ScannerSettings",
    "storage.runs": "Store",
    "reporting": "plot",
    "reporting.page": "report",
    "storage.track": "track",
    "nightly.job": "daily",
    "nightly.records": "Night PickedNight",
    "scanning": "scan",
    "pipeline": "PipelineRun",
    "searching": "resume run search",
    "walking": "resume_walk_forward walk_forward",
}
"""Module -> the public names it defines. `__init__.pyi` has the same names for type checkers."""

_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - a list, made from the table

logging.getLogger("mp2").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    # Imported at first use: `mp2 --help` must not wait for numpy and the kernel.
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mp2' has no attribute {name!r}")
    value = getattr(import_module(f"mp2.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
