"""What a price table tolerates or leaves out, one record each; warnings are their lines."""

from __future__ import annotations

from dataclasses import dataclass

from mp2._document import Names

# Examples in a line; `tickers` has them all.
MAX_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of oddity in the bars, over all tickers and dates that have it.

    - `kind`: a word that programs can rely on, such as `stale` or `no_session`.
    - `line`: the warning: what was found, how often, examples and what was done.
    - `done`: the effect in a few words, such as `left out`.
    - `n`: how many bars, days, rows or tickers, as the line says.
    - `tickers`: all that are concerned; empty where every ticker is, or none in particular.
    - `places`: every bar concerned, with its figures, where those differ; else empty.
    - `first`, `last`: the first and the last ISO date concerned; None without any.
    """

    kind: str
    line: str
    done: str
    n: int = 1
    tickers: Names = ()
    places: Names = ()
    first: str | None = None
    last: str | None = None
