"""The base of the scanners over daily bars: where the bars come from, and one rule for all tickers.

- A rule sees bars up to the last complete day, the last date before the day scanned for. Later bars
  never change a result.
- A ticker counts when it has a bar of that day and all the bars that its rule needs. Indicators
  that forget their start slowly get more where there are more. A missing volume makes what is
  computed from it NaN, and no rule holds for NaN.
- A file is read once, however many scanners use it, until it changes.
"""

from __future__ import annotations

import datetime
import math
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict, Field, NonNegativeFloat

from mp2._document import Document
from mp2._files import expanded
from mp2.discovery.records import PRIORITIES, Candidate
from mp2.discovery.scanner import FileText, ScanContext, Scanner, ScannerSettings
from mp2.discovery.single_flight import SingleFlight
from mp2.discovery.sources._options import Text
from mp2.errors import InputError, ReadStoppedError, SourceError

# numpy and TA-Lib are loaded when a scan runs, not when scanners are listed.
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mp2.data.prices import PriceTable
    from mp2.signals.indicators import Indicator, Series

# Tables that are kept. More than one market at a time is rare, and a table of 500 tickers and five
# years takes 30 MB.
N_KEPT = 2

# Measures that are shown as prices.
_PRICES = {"close", "highest_close", "mean"}

Measures = Mapping[str, float]
Values = Mapping[str, "npt.NDArray[np.float64]"]
Wanted = Mapping[str, "tuple[Series, int]"]


class BarSettings(ScannerSettings):
    """Settings of all scanners over daily bars.

    - `prices`: a file or folder that `mp2.read_prices` can read; without it, `state["prices"]`.
      `columns`, `table` and `query` mean what they mean for `mp2.read_prices`.
    - `max_age_days`: how many days before the day scanned for the last bars may be, 1..3660.
    - `min_close`: tickers that closed lower are left out.
    """

    model_config = ConfigDict(strict=True)

    prices: FileText = ""
    columns: dict[str, str] = Field({})
    table: Text | None = None
    query: Text | None = None
    max_age_days: int = Field(10, ge=1, le=3660)
    min_close: NonNegativeFloat = 0.0


class Matches(NamedTuple):
    """A rule applied to T tickers.

    - `holds`: bool[T], whether the rule holds.
    - `strength`: float64[T]; candidates of one priority are sorted by it, largest first.
    - `is_urgent`: bool[T], whether the priority is high, not medium.
    - `measures`: float64[T] each, `close` among them, NaN when unknown; a candidate's data.
    """

    holds: npt.NDArray[np.bool_]
    strength: npt.NDArray[np.float64]
    is_urgent: npt.NDArray[np.bool_]
    measures: Values


class BarScanner(Scanner):
    """A rule over all tickers. A subclass declares what it reads and implements the rule.

    `template`: the reason of a candidate, with names of settings and measures in braces.
    """

    offline = True
    template: ClassVar[str]

    def needs_volume(self) -> bool:
        """Return whether the rule cannot hold without any volume."""
        return False

    def series(self) -> Wanted:
        """Return the indicators and columns to read, and how many of the last values of each."""
        raise NotImplementedError

    def apply(self, values: Values) -> Matches:
        """Apply the rule to the last n values of each series, float64[T, n]; NaN when unknown."""
        raise NotImplementedError

    def reason(self, measures: Measures) -> str:
        """Return `template` with the settings and the measures of a ticker."""
        fields = self.settings.model_dump() | dict(measures)
        for name in _PRICES & measures.keys():
            price = measures[name]
            fields[name] = f"{price:.2f}" if price >= 1 else f"{price:.4g}"
        return self.template.format_map(fields)

    def scan(self, context: ScanContext) -> list[Candidate]:
        """Return the tickers for which the rule holds, most urgent first.

        Raises `SourceError`: `missing_key` without any prices, `bad_request` for prices that do not
        exist, `bad_payload` for prices that the rule cannot use.
        """
        import numpy as np

        prices, name = bars_before_today(context, self.settings)
        if self.needs_volume() and np.isnan(prices.volume).all():
            raise SourceError(
                "bad_payload",
                f"{name}: no bar has a volume, which this scanner needs; "
                "add a column volume, or name it with columns (volume = NAME)",
            )
        values = self._read(prices, name, context)
        # A volume of zero divides by zero; the rules treat the result as unknown.
        with np.errstate(divide="ignore", invalid="ignore"):
            holds, strength, is_urgent, columns = self.apply(values)
        matches = np.flatnonzero(holds & (columns["close"] >= self.settings.min_close))
        ranked = []
        for idx in matches:
            ticker = prices.tickers[idx]
            measures = {}
            data: Document = {"date": prices.dates[-1]}
            for measure, column in columns.items():
                value = float(column[idx])
                measures[measure] = value
                data[measure] = None if math.isnan(value) else round(value, 6)
            priority = "high" if is_urgent[idx] else "medium"
            candidate = context.candidate(
                ticker,
                self.reason(measures),
                priority,
                data,
            )
            rank = (PRIORITIES.index(priority), -strength[idx], ticker)
            ranked.append((rank, candidate))
        return [candidate for _, candidate in sorted(ranked)]

    def _read(
        self,
        prices: PriceTable,
        name: str,
        context: ScanContext,
    ) -> Values:
        """Return the last n values of each series, float64[T, n]; NaN for tickers of few bars."""
        import numpy as np

        from mp2.signals import indicators

        wanted = self.series()
        n_needed = 0
        n_useful = 0
        n_longest = 0
        for series, n_last in wanted.values():
            n_needed = max(n_needed, indicators.n_bars(series) + n_last - 1)
            n_useful = max(n_useful, indicators.n_warm_up(series) + n_last - 1)
            n_longest = max(n_longest, n_last)
        has_bar = np.isfinite(prices.close)
        n_bars = has_bar.sum(axis=1)
        # Without a bar on the last day a ticker did not trade.
        tickers = np.flatnonzero((n_bars >= n_needed) & has_bar[:, -1]).tolist()
        if not tickers:
            raise SourceError(
                "bad_payload",
                f"{name}: no ticker has the {n_needed} bars needed up to {prices.dates[-1]}; "
                f"the most are {n_bars.max()}",
            )
        plan = indicators.plan(series for series, _ in wanted.values())
        values = np.full((len(plan.series), prices.n_tickers, n_longest), np.nan)
        for ticker in tickers:
            context.check()
            # A volume that is missing before would turn the running sums of TA-Lib into NaN.
            indicators.evaluate_last(
                plan,
                prices,
                ticker,
                n_useful,
                values[:, ticker],
            )
        context.logger.info(
            "%d of %d tickers have %d bars", len(tickers), prices.n_tickers, n_needed
        )
        last_values = {}
        for key, (series, n_last) in wanted.items():
            row = plan.series.index(series)
            last_values[key] = values[row, :, -n_last:]
        return last_values


def rolling(
    function: str,
    column: Literal["close", "volume"],
    period: int,
) -> Indicator:
    """Return the TA-Lib function (MAX, SMA, SUM) over the last `period` bars of a column."""
    from mp2.signals.indicators import Indicator

    return Indicator(
        f"{column} {function}({period})",
        function,
        (column,),
        (period,),
        period - 1,
    )


# --- where the bars come from ---------------------------------------------------------------------


def bars_before_today(context: ScanContext, settings: BarSettings) -> tuple[PriceTable, str]:
    """Return the bars up to the day before the one scanned for, and their name for messages.

    Raises `SourceError`.
    """
    prices, name = find_prices(context, settings)
    today = context.today
    if prices.dates[0] >= today.isoformat():
        raise SourceError(
            "bad_payload", f"{name}: no bars before {today}; the first are of {prices.dates[0]}"
        )
    prices = prices.until(yesterday(context))
    age_days = (today - datetime.date.fromisoformat(prices.dates[-1])).days
    if age_days > settings.max_age_days:
        raise SourceError(
            "bad_payload",
            f"{name}: the last bars are of {prices.dates[-1]}, {age_days} days before {today}, "
            f"more than max_age_days = {settings.max_age_days}; update the prices",
        )
    return prices, name


def yesterday(context: ScanContext) -> str:
    """Return the day before the one scanned for, ISO."""
    return (context.today - datetime.timedelta(days=1)).isoformat()


def find_prices(context: ScanContext, settings: BarSettings) -> tuple[PriceTable, str]:
    """Return the table of the settings or of the state, and its name for messages."""
    from mp2.data.prices import PriceTable

    given = settings.prices or context.state.get("prices")
    if given is None:
        raise SourceError(
            "missing_key",
            f"no prices; name them with --prices, set prices in "
            f"[discovery.scanners.{context.scanner}], or pass state = {{'prices': ...}}",
        )
    if isinstance(given, PriceTable):
        return given, "state['prices']"
    if not isinstance(given, str | os.PathLike):
        raise SourceError(
            "bad_request",
            f"state['prices'] is a {type(given).__name__}; pass what mp2.read_prices returns",
        )
    path = expanded(given)
    try:
        prices = read_once(path, context, settings)
    except OSError as error:
        raise SourceError(
            "bad_request",
            f"prices: {path}: {error.strerror or error}",
        ) from error
    for warning in prices.warnings:
        context.logger.warning("%s", warning)
    return prices, str(path)


def read_once(
    path: Path,
    context: ScanContext,
    settings: BarSettings,
) -> PriceTable:
    """Read a file or folder unless it has been read and not changed.

    Raises `SourceError`, and OSError when it does not exist or may not be read.
    """
    from mp2.data import prices

    # Later bars must not decide which tickers there are either.
    options = settings.model_dump(include={"columns", "table", "query"})
    options["end"] = yesterday(context)
    key = (path.absolute(), file_versions(path), repr(options))
    return price_cache.get(
        key, lambda: prices.read_prices(path, stop=context.cancelled, **options), context
    )


def file_versions(path: Path) -> tuple[object, ...]:
    """Return what changes with the content: names, sizes and times of the files. Raises OSError."""
    # What is written to an SQLite file may stay in its journal for a while.
    journal = path.with_name(f"{path.name}-wal")
    files = [path]
    if path.is_dir():
        files = sorted(path.rglob("*"))
    elif journal.exists():
        files.append(journal)
    versions = []
    for file in files:
        stat = file.stat()
        versions.append((file.name, stat.st_size, stat.st_mtime_ns))
    return tuple(versions)


class PriceCache:
    """The last tables read, shared by the threads of all scanners.

    One thread reads a table while the others that want it wait, each until its own deadline. When
    the reading thread fails or is cancelled, the next one reads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights = SingleFlight()
        self.tables: dict[Hashable, PriceTable] = {}

    def get(
        self,
        key: Hashable,
        read: Callable[[], PriceTable],
        context: ScanContext,
    ) -> PriceTable:
        """Return the table of a key. Raises `SourceError`: `bad_payload` or `timeout`."""

        def make() -> PriceTable:
            table = read()
            with self._lock:
                self.tables[key] = table
                # The first key is the oldest.
                while len(self.tables) > N_KEPT:
                    del self.tables[next(iter(self.tables))]
            return table

        context.check()
        try:
            return self._flights.get(
                key, find=lambda: self.tables.get(key), make=make, wait=context.deadline.wait
            )
        except ReadStoppedError:
            context.check()  # raises, because only the cancelled scanner stops a read
            raise
        except InputError as error:
            raise SourceError(
                "bad_payload",
                "; ".join(error.problems),
            ) from error


price_cache = PriceCache()
