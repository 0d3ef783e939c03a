"""Which names of tickers mean the same one, within a source and across two.

Within a source, blanks around a name do not count, and every other difference does. Across two, a
name joins the one spelled exactly alike, else the one with the same key, as `brk.b`, `BRK/B` and
`BRK-B` have, else, as a guess, the one that differs in the sign before a suffix alone, as `AAA.G`
and `AAA-G` do. What several names of a source have in common does not say which is meant: such
names stay apart and join exact spellings only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from mp2._document import Texts
from mp2.data.findings import Finding, counted_finding
from mp2.errors import named

# Other suffixes stay: in `VOD.L`, `RY.TO` and `AAPL.US` they name the exchange or country.
_CLASS_SHARE = re.compile(r"(.+)[./-]([ABCK])", re.DOTALL)

N_EXAMPLES = 3


def ticker_key(ticker: str) -> str:
    """Return what spellings of a ticker have in common: no blanks, capitals, `-` before a class."""
    key = ticker.strip().upper()
    share = _CLASS_SHARE.fullmatch(key)
    if share is None:
        return key
    return f"{share[1]}-{share[2]}"


def trimmed(tickers: Iterable[str]) -> dict[str, str]:
    """Return the names of a source without the blanks around them, as in a column CHAR(10)."""
    return {ticker: ticker.strip() for ticker in tickers}


def joined(
    tickers: Iterable[str],
    others: Iterable[str],
) -> dict[str, str]:
    """Return the spelling among `others` of every ticker that is one of them."""
    own = set(tickers)
    candidates = set(others)
    spelling = {name: name for name in own & candidates}
    for key_of in (ticker_key, lambda ticker: re.sub("[./]", "-", ticker_key(ticker))):
        candidates_of = _by_key(candidates, key_of)
        for key, names in _by_key(own, key_of).items():
            same = candidates_of.get(key, [])
            if len(names) == len(same) == 1:
                spelling.setdefault(names[0], same[0])
    return spelling


def _by_key(
    tickers: Iterable[str],
    key_of: Callable[[str], str],
) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for ticker in sorted(tickers):
        names.setdefault(key_of(ticker), []).append(ticker)
    return names


def guesses_text(spelling: Texts) -> str | None:
    """Return how many tickers were joined by a guess, with examples; None for none."""
    guesses = []
    for ticker, other in sorted(spelling.items()):
        if ticker_key(ticker) != ticker_key(other):
            guesses.append(f"{ticker} as {other}")
    if not guesses:
        return None
    return (
        f"tickers joined although the sign before the suffix differs: {len(guesses)}, "
        f"{named(guesses, N_EXAMPLES)}"
    )


def positions_by_spelling(
    spelling: Texts,
    axis: Sequence[str],
) -> dict[str, int]:
    """Return the position on an axis of every spelling of a source; `spelling`: its names there."""
    position = {ticker: number for number, ticker in enumerate(axis)}
    return {name: position[ticker] for name, ticker in spelling.items()}


def spelling_findings(
    source: str,
    tickers: Iterable[str],
) -> Iterator[Finding]:
    """Yield what to know of the names of one source: which are one, and which only look alike."""
    names_of = _by_key(set(tickers), str.strip)
    padded = sorted(ticker for ticker, names in names_of.items() if len(names) > 1)
    if padded:
        yield counted_finding(
            source,
            "spelling",
            "tickers that differ only in blanks around them",
            "each taken as one",
            len(padded),
            padded,
            tickers=tuple(padded),
        )
    by_key = _by_key(names_of, ticker_key)
    alike = [names for names in by_key.values() if len(names) > 1]
    if alike:
        examples = [" and ".join(names) for names in alike]
        yield counted_finding(
            source,
            "spelling",
            "tickers that differ only in letter case or in the sign before a share class",
            "kept apart",
            len(alike),
            examples,
            "; if they are one, write it in one way",
            tickers=tuple(itertools.chain(*alike)),
        )


def share_text(tickers: Collection[str], n_all: int) -> str:
    """Return how many of `n_all` tickers these are, their share and examples."""
    n = len(tickers)
    examples = named(sorted(tickers), N_EXAMPLES)
    return f"{n} of {n_all} tickers ({n / n_all:.1%}): {examples}"


def nothing_joined(
    source: str,
    tickers: Iterable[str],
    other: str,
    others: Iterable[str],
) -> str:
    """Return the problem of two sources without a ticker in common."""
    examples = named(sorted(tickers), N_EXAMPLES)
    other_examples = named(sorted(others), N_EXAMPLES)
    return (
        f"{source} and {other} have no ticker in common: {examples} and {other_examples}; "
        "write them in one way"
    )
