"""mp2 finds groups of technical signals that agree, inside a time budget, and says how sure one can be.

The map of the layers; a module imports only from layers below its own (`tests/test_layers.py` checks it):

    L4  __main__      the command in a process of its own
        cli           the command line: entry, messages, exit codes
        cli_runs      its commands on stored runs, and doctor
        cli_scanners  its commands on scanners and on stored scans
        cli_prices    its commands around prices: signals, picks, outcomes
        cli_resume    a run taken up again
        cli_scan      its scan, also the one beside picks
        cli_run       its main job, and the demo
        cli_search    its search, and what all searching commands share
        cli_options   what the commands share
        doctor        what this machine and this build can do
        scan_console  the same for scans
        console       live display, tables and sentences
    L3  source_scan   runs scanners side by side: own times, isolation, stop, one merged result
        scanner_child one scanner in an interpreter of its own: both ends of the pipe
        registry      which scanners there are: built-in, plug-ins, passed in
        scanners      the built-in scanners, one file per source
        market        a synthetic market with a planted edge
        demo          a synthetic table of signals with planted groups
        pipeline      prices -> signals -> search -> picks, the main job in one function
        walkforward   search and outcome over past weeks
        outcome       picks against what came of them
        picks         the kept groups of a run applied to a day's signals
        group_search  one search: every starter through the kernel, under a budget, into one result
        schedule      the bounded pool: order, backfill, donations, hard wall, stop
    L2  net           the HTTP client of scanners: a limit for the whole of a call, retries, rates, cache
        wire          the sockets under it: every wait ends at the deadline
        quota         how many requests each host has had
        cache         answers kept for a while, in memory and on disk
        keeper        the one thread that writes to the store, also while a search runs
        store         SQLite: runs, starters, groups, picks, outcomes
        scan_store    scans in it: outcomes as they come, candidates, breakers
        database      the file under it: opened, converted, locked
        export        kept groups as one flat table
        settings      settings file and option types
        lookahead     does any past signal change with the future?
        signals       prices -> every variation's signals, one day shifted
        grids         which variations run: defaults, a user's file, plug-ins
        algorithms    the ten rules and their parameters
        indicators    what the rules read, each computed once
        yahoo         downloads of daily bars
        prices        any price source -> validated arrays per ticker
        bars          the layouts that price files come in
        panel         any signal table -> validated, packed, read-only arrays
        coding        names and days -> numbers, rows -> bits
        aliases       what identical starters leave to each other
        search_state  where a search stands, to go on from there
        collection    one scanner called, what it yields checked and cut
    L1  discovery     the settings table of scanners, checked
        candidates    one form of tickers; candidates checked, merged, ranked
        scanner       what a scanner is, and what it is given
        masking       secrets blotted out, in whatever form a source repeats them
        breaker       when a source that fails is left alone
        retry         when a request is sent again, how often at all
        columns       canonical columns: found, converted, checked
        tables        any source -> batches of rows
        rows          records -> rows of the store's tables, and back
        schema        the store's tables in SQL
        synergy       score, eligibility and final pick: the formulas
        intervals     Student's t
        space         size of the search space, coverage
        budget        base limit, bank, allowances: pure arithmetic
        bitset        the layout of bitsets
        toml_file     a TOML file, or what is wrong with it
        intact        does a record read back hold what it declares?
        _files        paths as users name them, files that only their owner may read
        last_words    what is said when a library aborts the process
        _last_words   the handler under it, compiled
        _recurse      the kernel, compiled
    L0  scan_model    records of scans, and their lines on a console
        pick_model    records of picks and outcomes
        result        records of a search
        rules         the rules of a search
        _document     what all JSON documents share
        errors        Mp2Error and its children
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mp2.errors import InputError, MissingExtraError, Mp2Error, ReadStoppedError, SourceError, StoreError
from mp2.result import DayConsensus, DayStats, Group, Member, SearchResult, StarterRecord, StarterStatus, Status
from mp2.rules import Rules

if TYPE_CHECKING:
    from mp2.algorithms import Algorithm, Parameter
    from mp2.grids import Grids, load_grids
    from mp2.group_search import SearchProgress, search
    from mp2.outcome import score
    from mp2.panel import SignalPanel, read_signals
    from mp2.pick_model import DayPicks, Outcome
    from mp2.picks import pick_day
    from mp2.pipeline import PipelineRun, run
    from mp2.prices import PriceTable, read_prices
    from mp2.registry import find_scanners
    from mp2.scan_model import (
        Candidate,
        MergedCandidate,
        OutcomeStatus,
        ScanError,
        ScanEvent,
        ScanOutcome,
        ScanResult,
        ScanStatus,
    )
    from mp2.scanner import Reply, ScanContext, Scanner, ScannerSettings
    from mp2.signals import SignalSheet, compute_signals
    from mp2.source_scan import scan
    from mp2.space import PanelSummary, panel_summary
    from mp2.store import Store
    from mp2.walkforward import WalkForward, walk_forward

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
    "Algorithm": "algorithms",
    "Candidate": "scan_model",
    "DayPicks": "pick_model",
    "Grids": "grids",
    "MergedCandidate": "scan_model",
    "Outcome": "pick_model",
    "OutcomeStatus": "scan_model",
    "PanelSummary": "space",
    "Parameter": "algorithms",
    "PipelineRun": "pipeline",
    "PriceTable": "prices",
    "Reply": "scanner",
    "ScanContext": "scanner",
    "ScanError": "scan_model",
    "ScanEvent": "scan_model",
    "ScanOutcome": "scan_model",
    "ScanResult": "scan_model",
    "ScanStatus": "scan_model",
    "Scanner": "scanner",
    "ScannerSettings": "scanner",
    "SearchProgress": "group_search",
    "SignalPanel": "panel",
    "SignalSheet": "signals",
    "Store": "store",
    "WalkForward": "walkforward",
    "compute_signals": "signals",
    "find_scanners": "registry",
    "load_grids": "grids",
    "panel_summary": "space",
    "pick_day": "picks",
    "read_prices": "prices",
    "read_signals": "panel",
    "run": "pipeline",
    "scan": "source_scan",
    "score": "outcome",
    "search": "group_search",
    "walk_forward": "walkforward",
}

logging.getLogger("mp2").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'mp2' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"mp2.{_LAZY[name]}"), name)
    return value
