"""What a request names, as a record and as data: prices, signals, sectors, and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar

from mp2.data.dates import iso_day
from mp2.data.holding import DAY_HOLD, Hold
from mp2.data.panel import SignalPanel
from mp2.data.prices import PriceTable, as_prices, read_prices
from mp2.data.sectors import read_sectors
from mp2.data.signal_reader import read_signals
from mp2.data.tables import Stop
from mp2.errors import InputError
from mp2.storage.request import DemoPrices, InMemory, PricesFile, Request, SignalsFile, Source

PathText = str | PathLike[str]
FileT = TypeVar("FileT", SignalsFile, PricesFile)


@dataclass(frozen=True, slots=True)
class Beside:
    """What null models need beside the signals, where the caller has it in memory."""

    prices: PriceTable | None = None
    sectors: Mapping[str, str] | None = None


NOTHING_BESIDE = Beside()
"""For callers that have none of it."""


def read_panel(
    source: Source,
    stop: Stop = None,
    *,
    hold: Hold = DAY_HOLD,
) -> SignalPanel:
    """Read the table of signals that a request names, judged by its rule of outcomes."""
    if not isinstance(source, SignalsFile):
        raise InputError("the signals of this run are in memory; pass the panel again")
    return read_signals(
        source.path,
        outcomes=source.outcomes,
        algos=source.algos,
        days=source.days,
        shift=source.shift,
        hold=hold,
        stop=stop,
        **source.reading(),
    )


def last_day(source: Source, end: str | None) -> str | None:
    """Return the last day, in the form of the prices' own dates or a clear one, as YYYY-MM-DD."""
    date_format = source.date_format if isinstance(source, PricesFile) else None
    return iso_day("end", end, date_format)


def read_bars(
    source: Source,
    stop: Stop = None,
    *,
    end: str | None = None,
) -> PriceTable:
    """Read the prices that a request names, up to `end`."""
    if not isinstance(source, PricesFile):
        raise InputError("the prices of this run are in memory; pass the price table again")
    return read_prices(
        source.path,
        # Bars after the end must not decide which tickers there are.
        end=end,
        adjusted=source.adjusted,
        ticker=source.ticker,
        stop=stop,
        **source.reading(),
    )


def source_of(
    given: SignalPanel | PriceTable | PathText,
    kind: type[FileT],
    holds: Literal["signals", "prices"],
) -> FileT | InMemory:
    """Return the source that a request names for what was passed: its file, if it has one."""
    if not isinstance(given, SignalPanel | PriceTable):
        return kind(path=Path(given))
    if given.origin is None:
        return InMemory(holds=holds)
    return kind(path=given.origin.path, **given.origin.options)


def sectors_source(sectors: Any) -> Path | InMemory | None:
    """Return what a request names for the sectors that were passed."""
    if sectors is None:
        return None
    if isinstance(sectors, str | PathLike):
        return Path(sectors)
    return InMemory(holds="sectors")


def beside_of(prices: Any, sectors: Any) -> Beside:
    """Return what was passed in memory; files are read when they are needed."""
    return Beside(
        prices=None if isinstance(prices, str | PathLike | None) else as_prices(prices),
        sectors=None if isinstance(sectors, str | PathLike | None) else read_sectors(sectors),
    )


def read_again(
    source: Any,
    request: Request,
    stop: Stop,
) -> SignalPanel | PriceTable:
    """Read a frame as the one that a run began with."""
    began_with = request.source
    if isinstance(began_with, SignalsFile):
        return read_signals(source, stop=stop)
    if isinstance(began_with, InMemory) and began_with.holds == "signals":
        return read_signals(source, stop=stop)
    return read_prices(source, end=request.signals.end, stop=stop)


def moved(source: Source, path: Path) -> Source:
    """Return the source at another path."""
    if isinstance(source, DemoPrices):
        raise InputError("--source: a run of mp2 demo reads no file; leave it out")
    if not isinstance(source, InMemory):
        return source.model_copy(update={"path": path})
    if source.holds == "signals":
        return SignalsFile(path=path)
    return PricesFile(path=path)


def path_of(given: PathText | None) -> Path | None:
    """Return a path, or None for none."""
    return None if given is None else Path(given)
