"""The variations to compute: default grids, a user's TOML file over them, third-party algorithms.

A grids file has one table per algorithm. A list of values replaces the default values of a
parameter; parameters and algorithms that the file does not name keep theirs:

    enabled = false             # at the top: only the algorithms named below; true if left out

    [MACD]
    fast = [8, 12]
    slow = [26]
    signal = [9]
    add = [[3, 10, 16]]         # single variations, parameters in order

    [RSI]
    enabled = false

A third party adds an algorithm through the entry-point group `mp2.algorithms`; the object is an
`Algorithm` or a function without arguments that returns one.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from mp2._document import Fields, Names
from mp2._files import read_toml
from mp2._overview import Entry, Overview, first_of
from mp2.data.arrays import BoolArray, FloatArray
from mp2.data.prices import price_table
from mp2.errors import InputError, counted
from mp2.signals import indicators
from mp2.signals.algorithms import ALGORITHMS, Algorithm, Parameter
from mp2.signals.indicators import COLUMNS, Indicator, Series, check_array

GROUP = "mp2.algorithms"
"""The entry-point group of third-party algorithms."""

MAX_VARIATIONS = 100_000
"""The limit of a search."""

_RESERVED = ("enabled", "add")
# One word, because a variation is written `NAME VALUES` and the name is a TOML key.
_NAME = re.compile(r"[^\W\d][\w.+]*")


@dataclass(frozen=True, slots=True, eq=False)
class Variation:
    """An algorithm with fixed parameters.

    `name` joins the values in order, such as `8-26-9`; `reads` are the series for the rule.
    """

    algorithm: Algorithm
    name: str
    params: Mapping[str, float]
    reads: tuple[Series, ...]

    @property
    def key(self) -> tuple[str, str]:
        """(algorithm's name, variation's name)."""
        return self.algorithm.name, self.name

    def buys(self, series: Sequence[FloatArray]) -> BoolArray:
        """Apply the rule to one float64[T, n] per series read; returns bool[T, n].

        Raises `TypeError` when the rule returns anything else, and what the rule itself raises.
        """
        bought = self.algorithm.rule(*series, **self.params)
        check_array(bought, "the rule", np.bool_, series[0].shape)
        return bought


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Grids(Overview):
    """Variations in the order of their numbers, those of one algorithm together.

    `warnings`: what was tolerated, one line each.
    """

    algorithms: tuple[Algorithm, ...]
    variations: tuple[Variation, ...]
    warnings: Names = ()

    @classmethod
    def of(cls, *algorithms: Algorithm) -> Grids:
        """Return the default variations of these algorithms alone, also of your own.

        Each is tried on a few generated bars. Raises `InputError` naming what is wrong with them.
        """
        return grids_of(algorithms)

    def with_algorithms(self, *algorithms: Algorithm) -> Grids:
        """Return these grids with the default variations of more algorithms after them."""
        added = grids_of(algorithms)
        whole = Grids(
            self.algorithms + added.algorithms,
            self.variations + added.variations,
            self.warnings + added.warnings,
        )
        problems = [*_taken_names(whole.algorithms), *_too_many(len(whole.variations))]
        if problems:
            raise InputError(problems)
        return whole

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        counts = Counter(variation.algorithm.name for variation in self.variations)
        n_algos = counted(len(counts), "algorithm")
        title = f"{len(self.variations):,} variations of {n_algos}"
        algos = [f"{name} ({n:,})" for name, n in counts.items()]
        rows: list[Entry] = [
            ("algorithms", ", ".join(algos)),
            ("warnings", first_of(self.warnings)),
        ]
        return title, rows


def load_grids(path: str | PathLike[str] | None = None) -> Grids:
    """Load the default grids of built-in and third-party algorithms, changed by a TOML file.

    `warnings` count the skipped combinations (fast >= slow) and name the third-party algorithms
    that cannot be used. Raises `InputError` listing all problems of the file, and for a third-party
    algorithm whose name is taken.
    """
    added, warnings = load_plug_ins()
    algorithms = [*ALGORITHMS, *added]
    if path is None:
        return _grids(algorithms, {}, warnings)
    document = read_toml(Path(path), "grids file")
    return _grids(
        algorithms,
        document,
        warnings,
        where=f"{path}: ",
    )


def grids_of(algorithms: Iterable[Algorithm]) -> Grids:
    """Return the grids that `Grids.of` does."""
    chosen = list(algorithms)
    problems = []
    for algorithm in chosen:
        if not isinstance(algorithm, Algorithm):
            name = getattr(algorithm, "__name__", repr(algorithm))
            problems.append(f"{name} is not an mp2.Algorithm; make one with @mp2.algorithm(...)")
            continue
        try:
            _check(algorithm)
        except (TypeError, ValueError) as error:
            problems.append(f"{algorithm.name}: {error}")
    problems = problems or _taken_names(chosen)
    if problems:
        raise InputError(problems)
    return _grids(chosen, {}, [])


def _taken_names(algorithms: Iterable[Algorithm]) -> list[str]:
    repeated = _repeated(algorithm.name for algorithm in algorithms)
    return [f"two algorithms are named {name!r}; rename one" for name in repeated]


def _too_many(n_variations: int) -> list[str]:
    if n_variations <= MAX_VARIATIONS:
        return []
    return [f"{n_variations:,} variations are more than {MAX_VARIATIONS:,}; narrow the lists"]


def _grids(
    algorithms: Sequence[Algorithm],
    document: Fields,
    warnings: Sequence[str],
    where: str = "",
) -> Grids:
    names = [algorithm.name for algorithm in algorithms]
    problems = _unknown_keys(document, [*names, "enabled"])
    enabled = document.get("enabled", True)
    if not isinstance(enabled, bool):
        problems.append("enabled must be true or false")
    kept = []
    variations: list[Variation] = []
    notes = list(warnings)
    for algorithm in algorithms:
        name = algorithm.name
        table = document.get(name, {"enabled": enabled is not False})
        faults: list[str] = []
        expanded = _expand(algorithm, table, faults, notes)
        problems += [f"[{name}] {fault}" for fault in faults]
        if expanded:
            kept.append(algorithm)
            variations += expanded
    problems += _too_many(len(variations))
    if not kept and not problems:
        problems.append("every algorithm is switched off; leave one on")
    if problems:
        raise InputError([f"{where}{problem}" for problem in problems])
    return Grids(
        tuple(kept),
        tuple(variations),
        tuple(notes),
    )


def _unknown_keys(
    table: Fields,
    known: Sequence[str],
) -> list[str]:
    names = ", ".join(known)
    return [f"{key!r} is unknown; known are {names}" for key in table if key not in known]


def _expand(
    algorithm: Algorithm,
    table: Any,
    problems: list[str],
    notes: list[str],
) -> list[Variation]:
    """Return the variations of an algorithm under its table of a grids file.

    Appends what is wrong with the table to `problems`, and what was skipped to `notes`.
    """
    if not isinstance(table, Mapping):
        problems.append("must be a table")
        return []
    names = [parameter.name for parameter in algorithm.parameters]
    problems += _unknown_keys(table, [*names, *_RESERVED])
    enabled = table.get("enabled", True)
    if not isinstance(enabled, bool):
        problems.append("enabled must be true or false")
    lists = [_values(parameter, table, problems) for parameter in algorithm.parameters]
    rows = _listed(table.get("add", []))
    for row in rows:
        if not isinstance(row, list) or len(row) != len(names):
            problems.append(f"add: {row!r} must be a list of {', '.join(names)}")
            continue
        faults = map(value_fault, algorithm.parameters, row)
        problems += [f"add: {fault}" for fault in faults if fault]
    # Counted before it is made: the product may not fit into memory.
    if math.prod(map(len, lists)) > MAX_VARIATIONS:
        problems.append(f"more than {MAX_VARIATIONS:,} variations; narrow the lists")
    if problems or not enabled:
        return []
    combinations = [*itertools.product(*lists), *rows]
    variations = rising_variations(algorithm, combinations)
    n_skipped = len(combinations) - len(variations)
    rule = " < ".join(algorithm.rising)
    if not variations:
        problems.append(f"has no variation: none of {n_skipped} combinations has {rule}")
    elif n_skipped:
        notes.append(f"{algorithm.name}: {n_skipped} combinations without {rule} were skipped")
    repeated = _repeated([variation.name for variation in variations])
    problems += [f"add: {name} occurs already" for name in repeated]
    return variations


def rising_variations(
    algorithm: Algorithm,
    combinations: Iterable[Sequence[float]],
) -> list[Variation]:
    """Make the variations of the combinations whose `rising` parameters rise."""
    names = [parameter.name for parameter in algorithm.parameters]
    variations = []
    for values in combinations:
        params = dict(zip(names, values, strict=True))
        # Strictly: a fast average as slow as the slow one compares a series with itself.
        rising = [params[name] for name in algorithm.rising]
        if rising == sorted(set(rising)):
            # In the shortest form, without an exponent.
            texts = [np.format_float_positional(value, precision=12, trim="-") for value in values]
            reads = tuple(algorithm.reads(**params))
            variations.append(
                Variation(
                    algorithm,
                    "-".join(texts),
                    MappingProxyType(params),
                    reads,
                )
            )
    return variations


def _values(
    parameter: Parameter,
    table: Fields,
    problems: list[str],
) -> list[float]:
    values = _listed(table.get(parameter.name, parameter.values))
    faults = [fault for value in values if (fault := value_fault(parameter, value))]
    if not values:
        faults = [f"{parameter.name} has no value; give one, or enabled = false"]
    # Faulty values may be lists, which cannot be counted.
    elif not faults:
        faults = [f"{parameter.name}: {value} occurs twice" for value in _repeated(values)]
    problems += faults
    return values


def _listed(value: Any) -> list[Any]:
    """A single value means a list of one."""
    if isinstance(value, list | tuple):
        return list(value)
    return [value]


def _repeated(values: Iterable[Any]) -> list[Any]:
    return [value for value, n in Counter(values).items() if n > 1]


def value_fault(parameter: Parameter, value: Any) -> str | None:
    """Describe what is wrong with the value of a parameter; None when nothing is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{parameter.name}: {value!r} is not a number"
    if not parameter.low <= value <= parameter.high:
        return f"{parameter.name} = {value} is outside {parameter.low:g}..{parameter.high:g}"
    if parameter.whole and not isinstance(value, int):
        return f"{parameter.name} = {value} must be a whole number"
    return None


# --- third parties


def load_plug_ins() -> tuple[list[Algorithm], list[str]]:
    """Load the third-party algorithms; returns the usable ones and a warning for each other."""
    owner_of = {algorithm.name: "a built-in algorithm" for algorithm in ALGORITHMS}
    algorithms: list[Algorithm] = []
    warnings: list[str] = []
    clashes: list[str] = []
    # An editable install may be listed twice.
    for entry in dict.fromkeys(metadata.entry_points(group=GROUP)):
        where = f"algorithm plug-in {entry.name} ({entry.value})"
        try:
            # What it prints must not end up inside a document on standard output.
            with redirect_stdout(sys.stderr):
                target = entry.load()
                algorithm = target() if callable(target) else target
                if not isinstance(algorithm, Algorithm):
                    kind = type(algorithm).__name__
                    raise TypeError(f"is a {kind}, not an mp2.signals.algorithms.Algorithm")
                _check(algorithm)
        # A broken plug-in must not stop the other algorithms.
        except (Exception, SystemExit) as error:  # third-party code may raise anything
            warnings.append(f"{where} is left out: {type(error).__name__}: {error}")
            continue
        name = algorithm.name
        if name in owner_of:
            owner = f"the name of {owner_of[name]}"
            clashes.append(f"{where}: {name!r} is {owner}; rename or uninstall it")
        owner_of[name] = where
        algorithms.append(algorithm)
    if clashes:
        raise InputError(clashes)
    return algorithms, warnings


def _check(algorithm: Algorithm) -> None:
    """Check the declaration of an algorithm, and try its first and last variation.

    Raises `ValueError` or `TypeError` with what is wrong, and what its own code raises.
    """
    names = {parameter.name for parameter in algorithm.parameters}
    if not _NAME.fullmatch(algorithm.name) or algorithm.name in _RESERVED:
        rule = "must be one word of letters, digits, '_', '.' and '+'"
        raise ValueError(f"the name {algorithm.name!r} {rule}")
    for name in names.intersection(_RESERVED):
        raise ValueError(f"parameter {name!r} has a reserved name")
    for name in algorithm.rising:
        if name not in names:
            raise ValueError(f"rising names {name!r}, which is not a parameter")
    problems: list[str] = []
    variations = _expand(algorithm, {}, problems, [])
    if problems:
        raise ValueError("; ".join(problems))
    # The ends of the lists find most mistakes at the cost of two variations.
    _try(variations[0])
    _try(variations[-1])


def _try(variation: Variation) -> None:
    columns = {series for series in variation.reads if not isinstance(series, Indicator)}
    unknown = columns.difference(COLUMNS)
    if unknown or not variation.reads:
        remedy = f"it must read indicators or {', '.join(COLUMNS)}"
        raise ValueError(f"{variation.name} reads {unknown or 'nothing'}; {remedy}")
    n_bars = 60
    close = np.random.default_rng(0).uniform(90, 110, (3, n_bars))
    dates = np.arange("2024-01-01", n_bars, dtype="datetime64[D]")
    fields = (close, close * 1.01, close * 0.99, close, close)
    days = dates.astype(str).tolist()
    prices = price_table(days, "ABC", fields)
    plan = indicators.plan(variation.reads)
    out = np.full((len(plan.series), 3, 4), np.nan)
    indicators.evaluate(plan, prices, range(n_bars), range(3), out)
    values = dict(zip(plan.series, out, strict=True))
    series = [values[name] for name in variation.reads]
    variation.buys(series)
