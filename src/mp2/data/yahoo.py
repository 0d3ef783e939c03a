"""Daily bars from Yahoo Finance, through the package yfinance (extra `yahoo`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any

from mp2._intervals import POLL_S
from mp2.data.findings import counted_finding
from mp2.data.prices import PriceTable, day_limits, read_prices
from mp2.data.tables import Observe, Stop, raise_if_stopped
from mp2.errors import InputError, MissingExtraError, Mp2Error

# Tickers of a request: few enough that progress is seen and a lost batch is no great loss.
BATCH_TICKERS = 40
# Seconds after which a batch is given up: yfinance waits for its threads without a limit.
BATCH_WALL_S = 120.0

_REQUEST_TIMEOUT_S = 20.0
_N_THREADS = 8

Fetch = Callable[[Sequence[str], str, str], Any]
"""(tickers, first date, date after the last) -> pandas frame as `yfinance.download` makes it."""


def download(
    tickers: Sequence[str],
    *,
    start: str,
    end: str,
    observe: Observe = None,
    stop: Stop = None,
    fetch: Fetch | None = None,
) -> PriceTable:
    """Download the bars of `tickers` from `start` to `end`, ISO dates, both included.

    Names are Yahoo's (BRK-B, ^GSPC), in any letter case. Prices are as traded, adjusted for splits
    but not for dividends. Tickers without bars, or without a response, are left out with a warning.
    `observe` gets the tickers done and to do after each batch; `stop`, when set, ends the download
    with `ReadStoppedError`. `fetch` requests a batch (default: yfinance).

    Raises `InputError` for unusable arguments and bars as `read_prices` does, `MissingExtraError`
    without yfinance, and `Mp2Error` when no response has any bar.
    """
    if isinstance(tickers, str):
        tickers = [tickers]
    stripped = [ticker.strip().upper() for ticker in tickers]
    names = list(dict.fromkeys(filter(None, stripped)))
    problems = [] if names else ["tickers: none given; name at least one"]
    first, last = day_limits(start, end, problems)
    if problems or first is None or last is None:
        raise InputError(problems or "start and end: both are needed, as YYYY-MM-DD")
    day_after = last + timedelta(days=1)
    fetch = fetch or _yfinance()
    frames = []
    failed: dict[str, list[str]] = {}
    for n_done in range(0, len(names), BATCH_TICKERS):
        if observe is not None:
            observe(n_done, len(names))
        batch = names[n_done : n_done + BATCH_TICKERS]
        request = partial(fetch, batch, first.isoformat(), day_after.isoformat())
        frame, reason = _within_wall(request, stop)
        absent = batch
        if frame is not None and not frame.empty:
            levels = {level for column in frame.columns for level in column}
            absent = [ticker for ticker in batch if ticker not in levels]
            frames.append(frame)
        if absent:
            failed.setdefault(reason, []).extend(absent)
    if observe is not None:
        observe(len(names), len(names))
    findings = []
    for reason, tickers in failed.items():
        findings.append(
            counted_finding(
                "yahoo",
                "no_bar",
                "tickers without bars",
                "left out",
                len(tickers),
                tickers,
                f" ({reason}); try again later",
                tickers=tuple(tickers),
            )
        )
    if not frames:
        advice = "yahoo: no bars in any response; check the names, the dates and the connection"
        lines = [finding.line for finding in findings]
        raise Mp2Error("\n".join([advice, *lines]))
    # Batches may have different dates: pandas aligns them.
    joined = import_module("pandas").concat(frames, axis=1, sort=True)
    prices = read_prices(
        joined,
        adjusted="no",
        start=start,
        end=end,
        stop=stop,
    )
    return replace(prices, findings=(*findings, *prices.findings))


def _yfinance() -> Fetch:
    try:
        yfinance = import_module("yfinance")
    except ModuleNotFoundError as error:
        raise MissingExtraError("downloading from Yahoo", "yahoo") from error

    def fetch(
        tickers: Sequence[str],
        start: str,
        end: str,
    ) -> Any:
        return yfinance.download(
            list(tickers),
            start=start,
            end=end,
            # As traded: open and close are compared, and both must be of one kind.
            auto_adjust=False,
            progress=False,
            threads=_N_THREADS,
            timeout=_REQUEST_TIMEOUT_S,
        )

    return fetch


def _within_wall(fetch: Callable[[], Any], stop: Stop) -> tuple[Any, str]:
    """Return the frame of a request, None when it fails, and why tickers are missing.

    A call that hangs is left behind in its thread.
    """
    response: Future[Any] = Future()

    def run() -> None:
        try:
            response.set_result(fetch())
        # Yfinance, its HTTP library and pandas each have their own.
        except Exception as error:
            response.set_exception(error)

    # Not of an executor: its threads are joined when the program ends.
    threading.Thread(target=run, daemon=True).start()
    deadline_s = time.monotonic() + BATCH_WALL_S
    while not response.done():
        wait([response], POLL_S)
        raise_if_stopped(stop, "yahoo")
        if time.monotonic() > deadline_s:
            return None, f"TimeoutError: no response within {BATCH_WALL_S:g} s"
    error = response.exception()
    if error is None:
        return response.result(), "not in the response"
    first_line = str(error).strip().split("\n", 1)[0]
    return None, f"{type(error).__name__}: {first_line}"
