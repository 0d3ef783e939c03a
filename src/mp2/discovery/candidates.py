"""From what scanners yield to the ranked candidates of a scan: each one checked, then merged by ticker.

One ticker has one form here. Spaces around it and letter case do not count, and a class share is written with a hyphen, as in
price files: `BRK.B` is `BRK-B`. A dot before an exchange stays: `VOD.L`, `RY.TO`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mp2.discovery.records import PRIORITIES, Candidate, MergedCandidate
from mp2.errors import plain

MAX_CONTEXT_CHARS = 500
"""A longer reason is cut."""

MAX_DATA_BYTES = 100_000
"""A candidate whose data takes more as JSON is not valid."""

_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.-]{0,9}")
_CLASS_SHARE = re.compile(
    r"([A-Z]+)\.((?![FLTV])[A-Z])"
)  # these four are exchanges: Frankfurt, London, Tokyo, TSX Venture
_FIELDS = ("ticker", "context", "priority", "data")


def canonical_ticker(text: Any) -> str | None:
    """The one form of a ticker, or None when it is no text or not of the accepted shape."""
    if not isinstance(text, str) or not text.isascii():
        return None
    ticker = text.strip().upper()
    if not _TICKER.fullmatch(ticker):
        return None
    share = _CLASS_SHARE.fullmatch(ticker)
    return f"{share[1]}-{share[2]}" if share else ticker


def checked(item: Any, source: str, redacted: Callable[[str], str] = str) -> Candidate:
    """What a scanner yielded as a candidate of `source`, in copies of its own. Raises ValueError saying what is wrong.

    A `Candidate`, or a mapping with its fields; the source it names itself does not count. `redacted` takes secrets out of the
    reason before it is cut, which might leave half of one.
    """
    ticker, context, priority, data = _parts(item)
    name = canonical_ticker(ticker)
    if name is None:
        raise ValueError(f"ticker {shown(ticker)} is not 1 to 10 letters, digits, '.' and '-'")
    if not isinstance(context, str):
        raise ValueError(f"{name}: context {shown(context)} is not text")
    if not isinstance(priority, str) or priority not in PRIORITIES:
        raise ValueError(
            f"{name}: priority {shown(priority)} is not one of {', '.join(PRIORITIES)}"
        )
    return Candidate(
        name,
        source,
        one_line(redacted(context), MAX_CONTEXT_CHARS),
        str(priority),
        _json_copy(name, data),
    )


def _parts(item: Any) -> tuple[Any, Any, Any, Any]:
    if isinstance(item, Candidate):
        return item.ticker, item.context, item.priority, item.data
    if not isinstance(item, Mapping):
        raise ValueError(f"{shown(item)} is neither a candidate nor a mapping")
    if unknown := [key for key in item if key not in (*_FIELDS, "source")]:
        raise ValueError(f"unknown field {shown(unknown[0])}; the fields are {', '.join(_FIELDS)}")
    return item.get("ticker"), item.get("context"), item.get("priority", "medium"), item.get("data")


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
    """A value from outside in a message, short and on one line."""
    return one_line(repr(value), 80)


def one_line(text: str, n_chars: int) -> str:
    """The text on one line, control characters made visible, cut at `n_chars`."""
    line = plain(" ".join(text[: 4 * n_chars].split()))
    return line if len(line) <= n_chars else f"{line[: n_chars - 1]}…"


def merged(groups: Iterable[tuple[str, Sequence[Candidate]]]) -> tuple[MergedCandidate, ...]:
    """One candidate per ticker, best first, from (pipeline, candidates) of each scanner in registration order.

    A scanner counts once per ticker: its first context and data stay, its highest priority counts. Ranked by priority, then
    number of sources, then ticker.
    """
    by_ticker: dict[str, dict[str, tuple[str, list[Candidate]]]] = {}
    for pipeline, candidates in groups:
        for candidate in candidates:
            by_source = by_ticker.setdefault(candidate.ticker, {})
            by_source.setdefault(candidate.source, (pipeline, []))[1].append(candidate)
    found = [_merge(ticker, by_source) for ticker, by_source in by_ticker.items()]
    return tuple(
        sorted(found, key=lambda one: (PRIORITIES.index(one.priority), -one.n_sources, one.ticker))
    )


def named_among(
    tickers: Iterable[str], candidates: Iterable[MergedCandidate]
) -> dict[str, MergedCandidate]:
    """Of these tickers, in any form, those that scanners named, each with its candidate."""
    by_ticker = {one.ticker: one for one in candidates}
    found = (
        (ticker, by_ticker.get(canonical_ticker(ticker) or "")) for ticker in dict.fromkeys(tickers)
    )
    return {ticker: one for ticker, one in found if one is not None}


def _merge(ticker: str, by_source: Mapping[str, tuple[str, list[Candidate]]]) -> MergedCandidate:
    firsts = [named[0] for _, named in by_source.values()]
    return MergedCandidate(
        ticker=ticker,
        priority=min(
            (one.priority for _, named in by_source.values() for one in named), key=PRIORITIES.index
        ),
        n_sources=len(by_source),
        sources=tuple(by_source),
        pipelines=tuple(dict.fromkeys(pipeline for pipeline, _ in by_source.values())),
        contexts=tuple(first.context for first in firsts),
        data={first.source: first.data for first in firsts if first.data is not None},
    )
