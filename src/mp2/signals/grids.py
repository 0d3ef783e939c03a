"""Which variations run: default grids, a user's TOML file over them, and algorithms of third parties.

A grids file has one table per algorithm. A list of values takes the place of the parameter's default ones; parameters and
algorithms it does not name keep theirs:

    enabled = false             # at the top: only the algorithms named below; true if left out

    [MACD]
    fast = [8, 12]
    slow = [26]
    signal = [9]
    add = [[3, 10, 16]]         # single variations, parameters in order

    [RSI]
    enabled = false

A third party adds an algorithm through the entry-point group `mp2.algorithms`; the object is an `Algorithm` or a function
without arguments that returns one.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from mp2._toml import read_toml
from mp2.data.prices import PriceTable, price_table
from mp2.errors import InputError
from mp2.signals import indicators
from mp2.signals.algorithms import ALGORITHMS, Algorithm, BoolArray, FloatArray, Parameter
from mp2.signals.indicators import COLUMNS, Indicator, Series, Window

GROUP = "mp2.algorithms"
"""The entry-point group of third-party algorithms."""

MAX_VARIATIONS = 100_000
"""As many as a search can take."""

_RESERVED = ("enabled", "add")
_NAME = re.compile(r"[^\W\d][\w.+]*")


@dataclass(frozen=True, slots=True, eq=False)
class Variation:
    """An algorithm with fixed parameters: `name` is their values in order, `8-26-9`; `reads` the series its rule gets."""

    algorithm: Algorithm
    name: str
    params: Mapping[str, float]
    reads: tuple[Series, ...]

    @property
    def key(self) -> tuple[str, str]:
        """(algorithm's name, variation's name)."""
        return self.algorithm.name, self.name

    def buys(self, series: Sequence[FloatArray]) -> BoolArray:
        """The rule's answer, bool[T, n], to one float64[T, n] per series read."""
        return self.algorithm.rule(*series, **self.params)


@dataclass(frozen=True, slots=True, eq=False)
class Grids:
    """Variations in the order of their numbers, those of one algorithm together; `warnings`: what was tolerated."""

    algorithms: tuple[Algorithm, ...]
    variations: tuple[Variation, ...]
    warnings: tuple[str, ...] = ()


def load_grids(path: str | PathLike[str] | None = None) -> Grids:
    """The default grids of the built-in and third-party algorithms, changed by a TOML file if one is given.

    Combinations that do not rise (fast >= slow) are skipped and counted in `warnings`, where third-party algorithms that
    cannot be used are named too. Raises `InputError` listing everything wrong with the file, and for a third-party algorithm
    that takes a name already taken.
    """
    added, warnings = _plug_ins()
    document = {} if path is None else read_toml(Path(path), "grids file")
    return _grids(
        (*ALGORITHMS, *added), document, warnings, where="" if path is None else f"{path}: "
    )


def grids_of(algorithms: Iterable[Algorithm]) -> Grids:
    """The default grids of these algorithms alone.

    Each is tried on a few made-up bars. Raises `InputError` naming what is wrong with them, and whatever their code raises.
    """
    chosen = tuple(algorithms)
    if problems := [
        f"{algorithm.name}: {problem}" for algorithm in chosen for problem in _faults(algorithm)
    ]:
        raise InputError(problems)
    return _grids(chosen, {}, ())


def _grids(
    algorithms: Sequence[Algorithm],
    document: Mapping[str, Any],
    warnings: Iterable[str],
    where: str = "",
) -> Grids:
    problems = [f"{where}{problem}" for problem in _unknown(document, algorithms)]
    notes = list(warnings)
    kept: list[tuple[Algorithm, list[Variation]]] = []
    for algorithm in algorithms:
        table = document.get(algorithm.name, {"enabled": document.get("enabled") is not False})
        grid = _Grid(algorithm, table)
        problems += [f"{where}[{algorithm.name}] {problem}" for problem in grid.problems]
        if grid.enabled and not grid.problems:
            kept.append((algorithm, grid.variations))
            notes += grid.notes
    n_variations = sum(len(variations) for _, variations in kept)
    if n_variations > MAX_VARIATIONS:
        problems.append(
            f"{where}{n_variations:,} variations are more than {MAX_VARIATIONS:,}; narrow the lists"
        )
    if not kept and not problems:
        problems.append(f"{where}every algorithm is switched off; leave one on")
    if problems:
        raise InputError(problems)
    return Grids(
        tuple(algorithm for algorithm, _ in kept),
        tuple(v for _, grid in kept for v in grid),
        tuple(notes),
    )


def _unknown(document: Mapping[str, Any], algorithms: Sequence[Algorithm]) -> Iterator[str]:
    names = [algorithm.name for algorithm in algorithms]
    for key, value in document.items():
        if key == "enabled":
            if not isinstance(value, bool):
                yield "enabled has to be true or false"
        elif key not in names:
            yield f"unknown algorithm {key!r}; known are {', '.join(names)}"


class _Grid:
    """One algorithm's variations under its table of a grids file, or what is wrong with the table."""

    def __init__(self, algorithm: Algorithm, table: Any) -> None:
        self.algorithm = algorithm
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.variations: list[Variation] = []
        self.enabled = False
        if not isinstance(table, Mapping):
            self.problems.append("has to be a table")
            return
        self.enabled = table.get("enabled", True)
        if not isinstance(self.enabled, bool):
            self.problems.append("enabled has to be true or false")
        combinations = self._combinations(table)
        if self.enabled and not self.problems:
            self._expand(combinations)

    def _combinations(self, table: Mapping[str, Any]) -> list[tuple[float, ...]]:
        parameters = self.algorithm.parameters
        names = [parameter.name for parameter in parameters]
        self.problems += [
            f"{key} is unknown; known are {', '.join((*names, *_RESERVED))}"
            for key in table
            if key not in (*names, *_RESERVED)
        ]
        lists = [
            self._values(parameter, table.get(parameter.name, parameter.values))
            for parameter in parameters
        ]
        single = [self._added(row) for row in _listed(table.get("add", []))]
        if math.prod(map(len, lists)) > MAX_VARIATIONS:
            self.problems.append(f"more than {MAX_VARIATIONS:,} variations; narrow the lists")
        return [] if self.problems else [*itertools.product(*lists), *single]

    def _values(self, parameter: Parameter, given: Any) -> list[float]:
        values = _listed(given)
        if not values:
            self.problems.append(f"{parameter.name} has no value; give one, or enabled = false")
        self.problems += [fault for value in values if (fault := value_fault(parameter, value))]
        self.problems += [
            f"{parameter.name}: {value} is there twice" for value in _repeated(values)
        ]
        return values

    def _added(self, row: Any) -> tuple[float, ...]:
        names = [parameter.name for parameter in self.algorithm.parameters]
        if not isinstance(row, list) or len(row) != len(names):
            self.problems.append(f"add: {row!r} has to be a list of {', '.join(names)}")
            return ()
        faults = map(value_fault, self.algorithm.parameters, row)
        self.problems += [f"add: {fault}" for fault in faults if fault]
        return tuple(row)

    def _expand(self, combinations: Sequence[tuple[float, ...]]) -> None:
        self.variations = [
            made for values in combinations if (made := _variation(self.algorithm, values))
        ]
        n_skipped = len(combinations) - len(self.variations)
        rule = " < ".join(self.algorithm.rising)
        if n_skipped:
            self.notes.append(
                f"{self.algorithm.name}: {n_skipped} combinations without {rule} were skipped"
            )
        if not self.variations:
            self.problems.append(f"has no variation: none of {n_skipped} combinations has {rule}")
        self.problems += [
            f"add: {name} is there already"
            for name in _repeated([made.name for made in self.variations])
        ]


def _listed(value: Any) -> list[Any]:
    """A single value is a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _repeated(values: Sequence[Any]) -> list[Any]:
    """Values that equal an earlier one; what is neither number nor text is a problem of its own."""
    seen: set[Any] = set()
    repeated = []
    for value in values:
        if isinstance(value, str | int | float):
            repeated += [value] if value in seen else []
            seen.add(value)
    return repeated


def value_fault(parameter: Parameter, value: Any) -> str | None:
    """What is wrong with a parameter's value, if anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{parameter.name}: {value!r} is not a number"
    if not parameter.low <= value <= parameter.high:
        return f"{parameter.name} = {value} is outside {parameter.low:g}..{parameter.high:g}"
    if parameter.whole and not isinstance(value, int):
        return f"{parameter.name} = {value} has to be a whole number"
    return None


def _variation(algorithm: Algorithm, values: Sequence[float]) -> Variation | None:
    """None where the parameters that have to rise do not."""
    params = {
        parameter.name: value for parameter, value in zip(algorithm.parameters, values, strict=True)
    }
    rising = [params[name] for name in algorithm.rising]
    if any(low >= high for low, high in itertools.pairwise(rising)):
        return None
    name = "-".join(map(_text, values))
    return Variation(algorithm, name, MappingProxyType(params), tuple(algorithm.reads(**params)))


def _text(value: float) -> str:
    """A number as short as it can be, without an exponent."""
    return np.format_float_positional(value, precision=12, trim="-")


def grids_toml(algorithms: Iterable[Algorithm] = ALGORITHMS) -> str:
    """The default grids as a grids file to start from; loading it changes nothing."""
    return "\n".join(_table_toml(algorithm) for algorithm in algorithms)


def _table_toml(algorithm: Algorithm) -> str:
    lines = [f"# {algorithm.summary}", f"[{algorithm.name}]"]
    for parameter in algorithm.parameters:
        values = ", ".join(map(_text, parameter.values))
        lines.append(f"# {parameter.meaning}; {parameter.low:g}..{parameter.high:g}")
        lines.append(f"{parameter.name} = [{values}]")
    return "\n".join(lines) + "\n"


# --- third parties --------------------------------------------------------------------------------------------------


def _plug_ins() -> tuple[list[Algorithm], list[str]]:
    """The third-party algorithms that can be used, and a warning for each that cannot."""
    taken = {algorithm.name: "a built-in algorithm" for algorithm in ALGORITHMS}
    found, warnings, clashes = [], [], []
    for entry in dict.fromkeys(
        metadata.entry_points(group=GROUP)
    ):  # an editable install may be listed twice
        where = f"algorithm plug-in {entry.name} ({entry.value})"
        try:
            algorithm = _loaded(entry)
        except (Exception, SystemExit) as error:  # whatever third-party code raises
            warnings.append(f"{where} is left out: {type(error).__name__}: {error}")
            continue
        if algorithm.name in taken:
            clashes.append(
                f"{where}: {algorithm.name!r} is the name of {taken[algorithm.name]}; rename or uninstall it"
            )
        taken[algorithm.name] = where
        found.append(algorithm)
    if clashes:
        raise InputError(clashes)
    return found, warnings


def _loaded(entry: metadata.EntryPoint) -> Algorithm:
    target = entry.load()
    algorithm = target() if callable(target) else target
    if faults := list(_faults(algorithm)):
        raise ValueError("; ".join(faults))
    return algorithm  # type: ignore[no-any-return]


def _faults(algorithm: Any) -> Iterator[str]:
    """What an algorithm declares that makes no sense, the last of it found by trying its first and last variation."""
    if not isinstance(algorithm, Algorithm):
        yield f"is a {type(algorithm).__name__}, not an mp2.signals.algorithms.Algorithm"
        return
    declared = list(_declaration_faults(algorithm))
    yield from declared
    if not declared:
        grid = _Grid(algorithm, {})
        yield from grid.problems
        for variation in [*grid.variations[:1], *grid.variations[1:][-1:]]:
            yield from _trial_faults(variation)


def _declaration_faults(algorithm: Algorithm) -> Iterator[str]:
    names = [parameter.name for parameter in algorithm.parameters]
    if not _NAME.fullmatch(algorithm.name) or algorithm.name in _RESERVED:
        yield f"the name {algorithm.name!r} has to be one word of letters, digits, '_', '.' and '+'"
    yield from (
        f"parameter {name!r} cannot be named so"
        for name in names
        if name in _RESERVED or not name.isidentifier()
    )
    yield from (f"parameter {name} is there twice" for name in _repeated(names))
    yield from (
        f"rising names {name!r}, which is no parameter"
        for name in algorithm.rising
        if name not in names
    )
    yield from (
        f"parameter {p.name}: {p.low}..{p.high} is no range"
        for p in algorithm.parameters
        if not p.low <= p.high
    )


def _trial_faults(variation: Variation) -> Iterator[str]:
    """A variation is tried on a few made-up bars; whatever its code raises is the caller's to name."""
    unknown = [
        series
        for series in variation.reads
        if not isinstance(series, Indicator) and series not in COLUMNS
    ]
    if unknown or not variation.reads:
        yield f"{variation.name} reads {unknown or 'nothing'}; it has to read indicators or {', '.join(COLUMNS)}"
        return
    prices, n_last = _made_up_bars(), 4
    plan = indicators.plan(variation.reads)
    out = np.full((len(plan.series), len(prices.tickers), n_last), np.nan)
    indicators.evaluate(
        plan, prices, Window(0, len(prices.dates), n_last), range(len(prices.tickers)), out
    )
    answer = variation.buys([out[plan.series.index(series)] for series in variation.reads])
    yield from answer_faults(answer, out.shape[1:])


def answer_faults(answer: Any, shape: tuple[int, ...]) -> Iterator[str]:
    """A rule has to answer bool[T, n]."""
    if not isinstance(answer, np.ndarray) or answer.dtype != np.bool_ or answer.shape != shape:
        kind = (
            f"{answer.dtype}{list(answer.shape)}"
            if isinstance(answer, np.ndarray)
            else type(answer).__name__
        )
        yield f"the rule answered {kind}, not bool{list(shape)}"


def _made_up_bars() -> PriceTable:
    """Three tickers, 60 bars of a drifting walk each."""
    rng = np.random.default_rng(0)
    n_tickers, n_bars = 3, 60
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_tickers, n_bars)), axis=1))
    fields = (close * 0.999, close * 1.01, close * 0.99, close, np.full_like(close, 1e6))
    return price_table(
        [str(np.datetime64("2024-01-01") + day) for day in range(n_bars)], ("A", "B", "C"), fields
    )
