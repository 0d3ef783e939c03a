"""What the scanners over daily bars share: where the bars come from, and how one rule is applied to every ticker.

- A rule sees bars up to the last complete day, the last date before the day scanned for. Whether there are later bars, and
  what they say, makes no difference.
- A ticker counts when it has all the bars its rule takes. Indicators that forget their start slowly get more where there are
  more. A missing volume inside makes what is computed from it unknown, and what is unknown holds for no rule.
- A file is read once, however many scanners ask for it at the same time or one after the other, until it changes.
"""

from __future__ import annotations

import datetime
import math
import os
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from mp2._files import expanded
from mp2.discovery.records import PRIORITIES, Candidate
from mp2.discovery.scanner import ScanContext, Scanner, ScannerSettings
from mp2.errors import InputError, ReadStoppedError, SourceError

if TYPE_CHECKING:  # numpy and TA-Lib are loaded when a scan runs, not when scanners are listed
    import numpy as np
    import numpy.typing as npt

    from mp2.data.prices import PriceTable
    from mp2.signals.indicators import Series

    FloatArray = npt.NDArray[np.float64]
    BoolArray = npt.NDArray[np.bool_]


class BarSettings(ScannerSettings):
    """Settings of all scanners over daily bars.

    - `prices`: a file or folder `mp2.read_prices` can read; without it, `state["prices"]`. `columns`, `table` and `query` go
      with it and mean there what they mean for `mp2.read_prices`.
    - `max_age_days`: the last complete day may be that many days before the day scanned for, 1..3660.
    - `min_close`: tickers that closed lower are left out.
    """

    prices: str | None = Field(default=None, min_length=1, strict=True)
    columns: dict[str, str] = Field(default_factory=dict)
    table: str | None = Field(default=None, min_length=1, strict=True)
    query: str | None = Field(default=None, min_length=1, strict=True)
    max_age_days: int = Field(default=10, ge=1, le=3660, strict=True)
    min_close: float = Field(default=0.0, ge=0, strict=True)


class BarScanner(Scanner):
    """One rule over all tickers. A subclass says what it reads, what it makes of it, and how to tell it.

    Names of what is read and measured go from method to method; the measures become the candidates' data.
    """

    offline: ClassVar[bool] = True
    settings: BarSettings

    @property
    def needs_volume(self) -> bool:
        """Whether prices without any volume are of no use."""
        return False

    def series(self) -> Mapping[str, tuple[Series, int]]:
        """The indicators and columns the rule reads, each with how many of its last values."""
        raise NotImplementedError

    def measures(self, read: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """float64[T] each, `close` among them, from float64[T, n] each, n last values; NaN where it is unknown."""
        raise NotImplementedError

    def holds(self, now: Mapping[str, FloatArray]) -> BoolArray:
        """bool[T]: where the rule holds for the measures."""
        raise NotImplementedError

    def strength(self, now: Mapping[str, FloatArray]) -> FloatArray:
        """float64[T]: candidates of one priority come in falling order of it."""
        raise NotImplementedError

    def priority(self, one: Mapping[str, float]) -> str:
        """How urgent one ticker's measures are."""
        raise NotImplementedError

    def reason(self, one: Mapping[str, float]) -> str:
        """One ticker's measures in a line."""
        raise NotImplementedError

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Tickers for which the rule holds, most urgent first.

        Raises `SourceError`: `missing_key` without any prices, `bad_request` for prices that are not there, `bad_payload` for
        prices the rule can do nothing with.
        """
        import numpy as np

        bars = bars_before_today(context, self.settings)
        if self.needs_volume:
            bars.require_volume()
        read = self._read(bars, context)
        with np.errstate(divide="ignore", invalid="ignore"):
            now = self.measures(read)
            matches = np.flatnonzero(self.holds(now) & (now["close"] >= self.settings.min_close))
            strength = self.strength(now)
        context.logger.info("%d of %d tickers match", len(matches), bars.prices.n_tickers)
        found = [
            (
                strength[idx],
                self._candidate(
                    context, bars, int(idx), {name: float(now[name][idx]) for name in now}
                ),
            )
            for idx in matches
        ]
        yield from (one for _, one in sorted(found, key=lambda pair: _rank(*pair)))

    def _read(self, bars: DailyBars, context: ScanContext) -> dict[str, FloatArray]:
        """What the rule reads, by name: float64[T, n], NaN for tickers of too few bars."""
        import numpy as np

        from mp2.signals import indicators

        wanted = self.series()
        n_needed = max(indicators.n_bars(series) + n_last - 1 for series, n_last in wanted.values())
        n_useful = max(
            indicators.n_warm_up(series) + n_last - 1 for series, n_last in wanted.values()
        )
        n_here = bars.n_bars - bars.prices.first_idx
        if n_here.max() < n_needed:
            reach = f"up to {bars.last_date}; the most are {max(0, n_here.max())}"
            raise SourceError(
                "bad_payload", f"{bars.name}: no ticker has the {n_needed} bars it takes {reach}"
            )
        plan = indicators.plan(series for series, _ in wanted.values())
        most = max(n_last for _, n_last in wanted.values())
        window = indicators.Window(max(0, bars.n_bars - max(n_needed, n_useful)), bars.n_bars, most)
        values = np.full((len(plan.series), bars.prices.n_tickers, most), np.nan)
        long_enough = np.flatnonzero(n_here >= n_needed)
        for ticker in long_enough.tolist():
            context.check()
            indicators.evaluate(plan, bars.prices, window, range(ticker, ticker + 1), values)
        context.logger.info(
            "%d of %d tickers have the %d bars it takes", len(long_enough), len(n_here), n_needed
        )
        return {
            name: values[plan.series.index(series), :, -n_last:]
            for name, (series, n_last) in wanted.items()
        }

    def _candidate(
        self, context: ScanContext, bars: DailyBars, idx: int, one: Mapping[str, float]
    ) -> Candidate:
        numbers = {
            name: None if math.isnan(value) else round(value, 6) for name, value in one.items()
        }
        data = {"date": bars.last_date, **numbers}
        return context.candidate(
            bars.prices.tickers[idx], self.reason(one), self.priority(one), data
        )


def _rank(strength: float, one: Candidate) -> tuple[int, float, str]:
    return PRIORITIES.index(one.priority), -strength, one.ticker


def price_text(price: float) -> str:
    """`45.20`; four digits of what is below 1."""
    return f"{price:.2f}" if price >= 1 else f"{price:.4g}"


# --- where the bars come from ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DailyBars:
    """Bars as a rule may see them: the first `n_bars` dates of `prices`. `name` is what messages call them."""

    prices: PriceTable
    n_bars: int
    name: str

    @property
    def last_date(self) -> str:
        """The last complete day, ISO."""
        return self.prices.dates[self.n_bars - 1]

    def require_volume(self) -> None:
        """Raises `SourceError("bad_payload")` when no bar has a volume."""
        import numpy as np

        if np.isnan(self.prices.volume[:, : self.n_bars]).all():
            how = "add a column volume, or name it with columns (volume = NAME)"
            raise SourceError(
                "bad_payload", f"{self.name}: no bar has a volume, which this needs; {how}"
            )


def bars_before_today(context: ScanContext, settings: BarSettings) -> DailyBars:
    """The bars of the settings or of the state, up to the day before the one scanned for. Raises `SourceError`."""
    given = settings.prices if settings.prices is not None else context.state.get("prices")
    prices, name = _found(given, context, settings)
    n_bars = bisect_left(prices.dates, context.today.isoformat())
    if not n_bars:
        raise SourceError(
            "bad_payload",
            f"{name}: no bars before {context.today}; the first are of {prices.dates[0]}",
        )
    bars = DailyBars(prices, n_bars, name)
    age = (context.today - datetime.date.fromisoformat(bars.last_date)).days
    if age > settings.max_age_days:
        how = f"more than max_age_days = {settings.max_age_days}; bring them up to date"
        raise SourceError(
            "bad_payload",
            f"{name}: the last bars are of {bars.last_date}, {age} days before {context.today}, {how}",
        )
    return bars


def _found(given: Any, context: ScanContext, settings: BarSettings) -> tuple[PriceTable, str]:
    """The table, and what messages call it."""
    from mp2.data.prices import PriceTable

    if given is None:
        where = f"set prices in [discovery.scanners.{context.scanner}], or pass state = {{'prices': ...}}"
        raise SourceError("missing_key", f"no prices; {where}")
    if isinstance(given, PriceTable):
        return given, "state['prices']"
    if not isinstance(given, str | os.PathLike):
        raise SourceError(
            "bad_request",
            f"state['prices'] is a {type(given).__name__}; pass what mp2.read_prices returns",
        )
    try:
        path = expanded(given)
    except InputError as error:
        raise SourceError("bad_request", f"prices: {error}") from error
    prices = _read_once(path, context, settings)
    for warning in prices.warnings:
        context.logger.warning("%s", warning)
    return prices, str(path)


def _read_once(path: Path, context: ScanContext, settings: BarSettings) -> PriceTable:
    from mp2.data import prices

    end = (context.today - datetime.timedelta(days=1)).isoformat()
    chosen = (settings.table, settings.query)
    key = (
        str(path.absolute()),
        _version(path),
        tuple(sorted(settings.columns.items())),
        chosen,
        end,
    )

    def read() -> PriceTable:
        # What comes after the last complete day must not decide which tickers there are either.
        return prices.read_prices(
            path,
            columns=settings.columns,
            table=chosen[0],
            query=chosen[1],
            end=end,
            stop=context.cancelled,
        )

    return _reads.get(key, read, context)


def _version(path: Path) -> tuple[Any, ...]:
    """What changes with the content: names, sizes and times of the files. Raises `SourceError("bad_request")`."""
    try:
        if path.is_dir():
            files = sorted(path.iterdir())
        else:  # what is written to an SQLite file may stay in its journal for a while
            files = [
                path,
                *(side for side in [path.with_name(f"{path.name}-wal")] if side.exists()),
            ]
        stats = [(file.name, file.stat()) for file in files]
    except OSError as error:
        raise SourceError("bad_request", f"prices: {path}: {_reason(error)}") from error
    return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _reason(error: OSError) -> str:
    return (
        "no such file or folder"
        if isinstance(error, FileNotFoundError)
        else error.strerror or str(error)
    )


@dataclass(slots=True, eq=False)
class _Read:
    """A table that is being read or has been. Once `done` is set there is one of `table` and `fault`, or it was given up."""

    done: threading.Event = field(default_factory=threading.Event)
    table: PriceTable | None = None
    fault: str | None = None


class _Reads:
    """The last tables read. Who asks for one that is being read waits for it, for no longer than it has time itself.

    Who reads may be given up before it is done; then the next one that waits reads in its place.
    """

    def __init__(self, n_kept: int) -> None:
        self._n_kept = n_kept
        self._lock = threading.Lock()
        self._reads: OrderedDict[Any, _Read] = OrderedDict()

    def get(self, key: Any, read: Callable[[], PriceTable], context: ScanContext) -> PriceTable:
        """The table of a key. Raises `SourceError`: `bad_payload` with what is wrong with it, or `timeout`."""
        while True:
            context.check()
            one, mine = self._claim(key)
            if mine:
                self._fill(key, one, read)
            else:
                _wait(one.done, context)
            if one.table is not None:
                return one.table
            if one.fault is not None:
                raise SourceError("bad_payload", one.fault)

    def _claim(self, key: Any) -> tuple[_Read, bool]:
        """The read of a key, and whether it is for the caller to do."""
        with self._lock:
            known = self._reads.get(key)
            if known is not None:
                self._reads.move_to_end(key)
                return known, False
            one = self._reads[key] = _Read()
            while len(self._reads) > self._n_kept:
                self._reads.popitem(last=False)
            return one, True

    def _fill(self, key: Any, one: _Read, read: Callable[[], PriceTable]) -> None:
        try:
            one.table = read()
        except ReadStoppedError:
            pass
        except InputError as error:
            one.fault = "; ".join(error.problems)
        finally:
            if one.table is None:  # a fault may be gone the next time
                self._forget(key, one)
            one.done.set()

    def _forget(self, key: Any, one: _Read) -> None:
        with self._lock:
            if self._reads.get(key) is one:
                del self._reads[key]


def _wait(done: threading.Event, context: ScanContext) -> None:
    while not done.wait(min(_LOOK_S, context.remaining_s())):
        context.check()


_LOOK_S = 0.05
"""How often who waits for another's read looks whether it is still waited for."""

_reads = _Reads(n_kept=2)
"""More than one market at a time is rare, and a table of 500 tickers and five years takes 30 MB."""
