"""Daily bars from Yahoo Finance, through the package yfinance (extra `yahoo`)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from importlib import import_module
from typing import Any

from mp2.data.prices import PriceTable, day_limits, read_prices
from mp2.errors import InputError, MissingExtraError, Mp2Error, ReadStoppedError

BATCH_TICKERS = 40
"""Tickers asked for at once: few enough that progress is seen and that a lost batch is no great loss."""

BATCH_WALL_S = 120.0
"""Seconds after which a batch is given up: yfinance waits for its threads without a limit of its own."""

_REQUEST_TIMEOUT_S = 20.0
_N_THREADS = 8
_POLL_S = 0.05
_N_NAMED = 5

Fetch = Callable[[Sequence[str], str, str], Any]
"""(tickers, first date, date after the last one) -> pandas frame as `yfinance.download` makes it."""


def download(
    tickers: Sequence[str],
    *,
    start: str,
    end: str,
    observe: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
    fetch: Fetch | None = None,
) -> PriceTable:
    """The bars of `tickers` from `start` to `end`, ISO dates, both included; nothing is written.

    Names are Yahoo's (BRK-B, ^GSPC), in any letter case. Prices are as traded, adjusted for splits but not for dividends.
    Tickers that Yahoo has no bars for, or did not answer about, are left out with a warning. `observe` gets the tickers
    done and to do after each batch; `stop`, when set, ends the download with `ReadStoppedError`. `fetch` asks for a batch
    (default: yfinance).

    Raises `InputError` for unusable arguments and bars as `read_prices` does, `MissingExtraError` without yfinance, and
    `Mp2Error` when nothing at all was answered.
    """
    names = list(
        dict.fromkeys(name for ticker in _listed(tickers) if (name := ticker.strip().upper()))
    )
    first, last = _span(names, start, end)
    ask = _Asking(
        fetch or _yfinance(), first.isoformat(), (last + timedelta(days=1)).isoformat(), stop
    )
    if observe is not None:
        observe(0, len(names))
    for begin in range(0, len(names), BATCH_TICKERS):
        ask.batch(names[begin : begin + BATCH_TICKERS])
        if observe is not None:
            observe(min(begin + BATCH_TICKERS, len(names)), len(names))
    prices = read_prices(ask.joined(), start=first.isoformat(), end=last.isoformat(), stop=stop)
    return replace(prices, warnings=(*ask.warnings(), *prices.warnings))


def _listed(tickers: Sequence[str]) -> Sequence[str]:
    """A single name is a list of one."""
    return (tickers,) if isinstance(tickers, str) else tickers


def _span(tickers: Sequence[str], start: str, end: str) -> tuple[date, date]:
    problems = [] if tickers else ["tickers: none given; name at least one"]
    first, last = day_limits(start, end, problems)
    if problems or first is None or last is None:
        raise InputError(problems or "start and end: both are needed, as YYYY-MM-DD")
    return first, last


def _yfinance() -> Fetch:
    try:
        yfinance = import_module("yfinance")
    except ModuleNotFoundError as error:
        raise MissingExtraError("downloading from Yahoo", "yahoo") from error

    def fetch(tickers: Sequence[str], start: str, end: str) -> Any:
        return yfinance.download(
            list(tickers),
            start=start,
            end=end,
            auto_adjust=False,
            progress=False,
            threads=_N_THREADS,
            timeout=_REQUEST_TIMEOUT_S,
        )

    return fetch


@dataclass(slots=True)
class _Asking:
    """Asks batch by batch; keeps the answers and, by reason, the tickers that none came for."""

    fetch: Fetch
    start: str
    end: str
    stop: threading.Event | None
    frames: list[Any] = field(default_factory=list)
    failed: dict[str, list[str]] = field(default_factory=dict)

    def batch(self, tickers: Sequence[str]) -> None:
        """Ask for some tickers; only a stop is raised from here."""
        try:
            frame = self._within_wall(partial(self.fetch, tickers, self.start, self.end))
        except ReadStoppedError:
            raise
        except Exception as error:  # yfinance, its HTTP library and pandas each have their own
            reason = str(error).strip().split("\n", 1)[0]
            self.failed.setdefault(f"{type(error).__name__}: {reason}", []).extend(tickers)
            return
        answered = (
            set()
            if frame is None or frame.empty
            else {level for column in frame.columns for level in column}
        )
        if answered:
            self.frames.append(frame)
        absent = [ticker for ticker in tickers if ticker not in answered]
        if absent:
            self.failed.setdefault("not in the answer", []).extend(absent)

    def _within_wall(self, call: Callable[[], Any]) -> Any:
        """What `call` returns or raises; a call that hangs is left behind in its thread."""
        answer: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        threading.Thread(target=_deliver, args=(call, answer), daemon=True).start()
        deadline_s = time.monotonic() + BATCH_WALL_S
        while True:
            try:
                value, error = answer.get(timeout=_POLL_S)
            except queue.Empty:
                if self.stop is not None and self.stop.is_set():
                    raise ReadStoppedError(
                        "yahoo: stopped while downloading; nothing was searched"
                    ) from None
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"no answer within {BATCH_WALL_S:g} s") from None
                continue
            if error is not None:
                raise error
            return value

    def joined(self) -> Any:
        """All answers side by side; raises `Mp2Error` when there is none."""
        if not self.frames:
            advice = "yahoo: no bars were answered; check the names, the dates and the connection"
            raise Mp2Error("\n".join([advice, *self.warnings()]))
        return import_module("pandas").concat(self.frames, axis=1, sort=True)

    def warnings(self) -> Iterator[str]:
        """One line for each reason."""
        for reason, tickers in self.failed.items():
            names = ", ".join(tickers[:_N_NAMED]) + (", ..." if len(tickers) > _N_NAMED else "")
            yield f"yahoo: tickers without an answer: {len(tickers)}, left out: {names} ({reason}); try again later"


def _deliver(
    call: Callable[[], Any], answer: queue.SimpleQueue[tuple[Any, Exception | None]]
) -> None:
    try:
        answer.put((call(), None))
    except Exception as error:  # told to who waits
        answer.put((None, error))
