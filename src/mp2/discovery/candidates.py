"""From what scanners yield to ranked candidates: checked, then merged by ticker.

One ticker has one form here: its key (`mp2.data.ticker_keys`), if that has the accepted shape.
`brk.b` and `BRK/B` are `BRK-B`; `VOD.L` and `RY.TO` stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mp2.data.ticker_keys import ticker_key
from mp2.discovery.records import (
    PRIORITIES,
    Candidate,
    MergedCandidate,
)
from mp2.errors import plain

MAX_CONTEXT_CHARS = 500
"""A longer reason is cut."""

MAX_DATA_BYTES = 100_000
"""A candidate whose data takes more as JSON is invalid."""

_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.-]{0,9}")

_FIELDS = ("ticker", "context", "priority", "data")


def canonical_ticker(text: Any) -> str | None:
    """Return the one form of a ticker, None when it is not text or not of the accepted shape."""
    # Other alphabets have letters that look the same.
    if not isinstance(text, str) or not text.isascii():
        return None
    key = ticker_key(text)
    if _TICKER.fullmatch(key) is None:
        return None
    return key


def checked(
    item: Any,
    source: str,
    redacted: Callable[[str], str] = str,
) -> Candidate:
    """Return what a scanner yielded as a candidate of `source`, in copies.

    Raises ValueError with what is wrong.

    `item` is a `Candidate` or a mapping with its fields; the source it names itself does not count.
    `redacted` removes secrets from the reason before it is cut, which might leave half of one.
    """
    fields = item
    if isinstance(item, Candidate):
        # Not `to_dict`: data that cannot be copied is reported below, as no JSON.
        fields = {name: getattr(item, name) for name in _FIELDS}
    if not isinstance(fields, Mapping):
        raise ValueError(f"{shown(item)} is neither a candidate nor a mapping")
    for key in fields:
        if key not in _FIELDS and key != "source":
            raise ValueError(f"unknown field {shown(key)}; the fields are {', '.join(_FIELDS)}")
    ticker = fields.get("ticker")
    name = canonical_ticker(ticker)
    if name is None:
        raise ValueError(f"ticker {shown(ticker)} is not 1 to 10 letters, digits, '.' and '-'")
    context = fields.get("context")
    if not isinstance(context, str):
        raise ValueError(f"{name}: context {shown(context)} is not text")
    priority = fields.get("priority", "medium")
    if not isinstance(priority, str) or priority not in PRIORITIES:
        known = ", ".join(PRIORITIES)
        raise ValueError(f"{name}: priority {shown(priority)} is not one of {known}")
    reason = one_line(redacted(context), MAX_CONTEXT_CHARS)
    data = _json_copy(name, fields.get("data"))
    return Candidate(name, source, reason, str(priority), data)


def _json_copy(ticker: str, data: Any) -> Any:
    if data is None:
        return None
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False)
        n_bytes = len(text.encode("utf-8"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{ticker}: data is not JSON: {error}") from error
    if n_bytes > MAX_DATA_BYTES:
        raise ValueError(f"{ticker}: data takes {n_bytes:,} bytes, more than {MAX_DATA_BYTES:,}")
    return json.loads(text)


def shown(value: Any) -> str:
    """Return a value from outside for a message, short and on one line."""
    return one_line(repr(value), 80)


def one_line(text: str, n_chars: int) -> str:
    """Return the text on one line, control characters made visible, cut at `n_chars`."""
    # Splitting megabytes of which a line is kept would take time for nothing.
    words = text[: 4 * n_chars].split()
    line = plain(" ".join(words))
    if len(line) <= n_chars:
        return line
    return f"{line[: n_chars - 1]}…"


def merged(
    groups: Iterable[tuple[str, Sequence[Candidate]]],
) -> tuple[MergedCandidate, ...]:
    """Return one candidate per ticker, best first.

    `groups`: (pipeline, candidates) of each scanner in registration order.

    A scanner counts once per ticker: its first context and data stay, its highest priority counts.
    Ranked by priority, then number of sources, then ticker.
    """
    by_ticker: dict[str, list[tuple[str, Candidate]]] = {}
    for pipeline, candidates in groups:
        for candidate in candidates:
            by_ticker.setdefault(candidate.ticker, []).append((pipeline, candidate))
    tickers = []
    for ticker, named in by_ticker.items():
        firsts: dict[str, Candidate] = {}
        for _, candidate in named:
            firsts.setdefault(candidate.source, candidate)
        priorities = {candidate.priority for _, candidate in named}
        pipelines = dict.fromkeys(pipeline for pipeline, _ in named)
        one = MergedCandidate(
            ticker=ticker,
            priority=min(priorities, key=PRIORITIES.index),
            n_sources=len(firsts),
            sources=tuple(firsts),
            pipelines=tuple(pipelines),
            contexts=tuple(first.context for first in firsts.values()),
            data={source: first.data for source, first in firsts.items() if first.data is not None},
        )
        tickers.append(one)
    tickers.sort(
        key=lambda one: (
            PRIORITIES.index(one.priority),
            -one.n_sources,
            one.ticker,
        )
    )
    return tuple(tickers)


def named_among(
    tickers: Iterable[str], candidates: Iterable[MergedCandidate]
) -> dict[str, MergedCandidate]:
    """Return those of the tickers, however spelled, that scanners named, and their candidates."""
    by_ticker = {candidate.ticker: candidate for candidate in candidates}
    named: dict[str, MergedCandidate] = {}
    for ticker in tickers:
        candidate = by_ticker.get(ticker_key(ticker))
        if candidate is not None:
            named[ticker] = candidate
    return named
