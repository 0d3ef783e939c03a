"""What a price table tolerates or leaves out, one record each; warnings are their lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mp2._document import Names
from mp2.errors import named

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

    @property
    def is_note(self) -> bool:
        """Whether it says how the source is read, not what is odd about its bars."""
        return self.kind in ("guess", "adjusted", "ticker_of_file")


def counted_finding(
    source: str,
    kind: str,
    what: str,
    done: str,
    n: int,
    examples: Sequence[str] = (),
    more: str = "",
    **details: Any,
) -> Finding:
    """Return a finding with a line of the usual form; the details are fields of `Finding`."""
    line = f"{source}: {what}: {n}, {done}"
    if examples:
        line += f": {named(examples, MAX_NAMED)}"
    return Finding(kind=kind, line=line + more, done=done, n=n, **details)
