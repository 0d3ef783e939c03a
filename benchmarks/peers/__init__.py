"""The same group search in other programs: their input, their results, their names.

A peer is a module with two functions: `prepare(cut, *options)` converts the panel into the
program's own form (sets, frames, tables, compiled code) and is not timed; `run(prepared) -> Answer`
is timed. All run on one thread.
"""

from __future__ import annotations

import importlib
import math
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import mp2
from mp2.data.panel import SignalPanel
from mp2.groups.rules import Rules
from mp2.groups.space import n_groups

# The plain recursion uses the formulas of the tests' brute force.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "oracle"))


@dataclass(frozen=True)
class Cut:
    """A peer's task: the whole search of a consistent panel, with a floor of at least 1."""

    panel: SignalPanel
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self):
        if not self.panel.consistent or self.rules.min_daily_hits < 1:
            raise ValueError("the peers search consistent panels with min_daily_hits >= 1")

    @property
    def n_groups(self) -> int:
        """Return the number of groups of 1..max_size, before any pruning."""
        return n_groups(self.panel.variations_per_algo, self.rules.max_size)

    @cached_property
    def first_after(self) -> np.ndarray:
        """Return int64[V]: for each variation the first one of the next algorithm."""
        return np.searchsorted(self.panel.algo_of, self.panel.algo_of, side="right")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A peer's result of a search, by group size; None where the peer does not report it.

    `tested` covers sizes 2..max_size, `eligible` the retained sizes, `best` the scores of the sizes
    with an eligible group.
    """

    attempts: int | None = None
    tested: Mapping[int, int] | None = None
    eligible: Mapping[int, int] | None = None
    best: Mapping[int, float] | None = None

    @property
    def stated(self) -> str:
        """Return the names of the reported fields."""
        return ", ".join(spec.name for spec in fields(self) if getattr(self, spec.name) is not None)

    def differences(self, other: Answer) -> list[str]:
        """Return the differences from `other`: counts exactly, scores beyond 1e-9."""
        both = [
            (spec.name, getattr(self, spec.name), getattr(other, spec.name))
            for spec in fields(self)
        ]
        return [
            f"{name} {mine}, expected {theirs}"
            for name, mine, theirs in both
            if mine is not None and not _same(mine, theirs)
        ]


def _same(mine: Any, theirs: Any) -> bool:
    if not isinstance(mine, Mapping):
        return mine == theirs
    return mine.keys() == theirs.keys() and all(
        math.isclose(mine[size], theirs[size], rel_tol=1e-9) for size in mine
    )


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that can do the search.

    `module` is in this package, `distribution` is its package on PyPI, if any, and `options` are
    passed to the module's `prepare`.
    """

    name: str
    module: str
    distribution: str | None = None
    options: tuple[str, ...] = ()

    @property
    def version(self) -> str | None:
        """Return the installed version, None when it is not installed."""
        if self.distribution is None:
            return platform.python_version()
        if self.distribution == "mp2":  # may be run from a source tree
            return mp2.__version__
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None

    def load(self) -> ModuleType:
        """Import and return the module with `prepare` and `run`; this also imports the program."""
        return importlib.import_module(f"peers.{self.module}")


PEERS = (
    Peer("plain Python sets", "plain_sets"),
    Peer("pysubgroup", "subgroups", "pysubgroup"),
    Peer("CP-SAT", "cp_sat", "ortools"),
    Peer("pyfim eclat", "eclat", "pyfim"),
    Peer("DuckDB", "duckdb_joins", "duckdb"),
    Peer("numpy", "numpy_scans", "numpy"),
    Peer("numba", "numba_bitsets", "numba"),
)
