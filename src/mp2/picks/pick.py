"""From a run to a day's tickers: what its kept groups agree on once that day's signals are known.

The pick of a size is the consensus of the run's picked group. Where that is smaller than wanted, the kept groups follow in
rank order until one is large enough. Beside the picks stands a vote: how many of the best groups of all sizes have a ticker
in their consensus.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mp2.data import bitset
from mp2.data.arrays import freeze
from mp2.data.signal_reader import read_day_signals
from mp2.errors import InputError
from mp2.groups.result import Group, SearchResult
from mp2.picks.records import DayPicks, SizePick, Vote
from mp2.signals.sheet import SignalSheet

if TYPE_CHECKING:
    import polars as pl

Variation = tuple[str, str]
"""(algo, variation)"""


def pick_day(
    result: SearchResult,
    sheet: SignalSheet,
    day: str,
    *,
    min_tickers: int = 1,
    top_groups: int = 50,
) -> DayPicks:
    """Apply a run's kept groups to the signals of `day`, an ISO date of the sheet after the run's last day.

    A pick has at least `min_tickers` tickers; the vote is over the best `top_groups` groups of every retained size. Members
    are looked up by name, so the sheet may hold any further variations.

    Raises `InputError` for settings below 1, for a day the sheet does not have or the run was searched on, and when a member
    of a kept group is not among the sheet's variations.
    """
    consensus = _Consensus(sheet, _checked(result, sheet, day, min_tickers, top_groups))
    warnings = list(sheet.warnings)
    return DayPicks(
        run_id=result.run_id,
        day=day,
        assumed=sheet.assumed_day and day == sheet.days[-1],
        picks={
            size: _size_pick(result, size, consensus, min_tickers, warnings)
            for size in sorted(result.kept)
        },
        votes=_votes(result, consensus, top_groups),
        warnings=tuple(warnings),
    )


def members_needed(result: SearchResult) -> set[Variation]:
    """The variations `pick_day` looks up: the members of all kept groups, since any of them may have to stand in."""
    return {
        (member.algo, member.variation)
        for groups in result.kept.values()
        for group in groups
        for member in group.members
    }


def _checked(
    result: SearchResult, sheet: SignalSheet, day: str, min_tickers: int, top_groups: int
) -> int:
    """The position of the day in the sheet, when everything else is in order too."""
    settings = (("min_tickers", min_tickers), ("top_groups", top_groups))
    problems = [
        f"{name}: {value} is below 1; give 1 or more" for name, value in settings if value < 1
    ]
    if day not in sheet.days:
        span = (
            f"they cover {sheet.days[0]} to {sheet.days[-1]}" if sheet.days else "they cover no day"
        )
        problems.append(f"day {day}: no signals for it; {span}")
    if day <= result.days[-1]:
        problems.append(
            f"day {day}: not after the run's last day {result.days[-1]}, so its outcome chose the groups; pick later"
        )
    known = set(_variations_of(sheet))
    missing = sorted(members_needed(result) - known)
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        problems.append(
            f"member {' '.join(missing[0])!r} of a kept group is not among the signals{more}: the grids have changed since; "
            "use the grids of the run, or search again"
        )
    if problems:
        raise InputError(problems)
    return sheet.days.index(day)


def _variations_of(sheet: SignalSheet) -> Iterator[Variation]:
    """(algo, variation) of each of the sheet's variations."""
    return zip((sheet.algos[a] for a in sheet.algo_of.tolist()), sheet.variations, strict=True)


class _Consensus:
    """The tickers all members of a group buy on one day of a sheet."""

    def __init__(self, sheet: SignalSheet, day_idx: int) -> None:
        self._buys = sheet.buys[:, day_idx]
        self._row = {key: row for row, key in enumerate(_variations_of(sheet))}
        self._tickers = sheet.tickers

    def of(self, group: Group) -> tuple[str, ...]:
        rows = [self._row[member.algo, member.variation] for member in group.members]
        agreed = bitset.unpack(np.bitwise_and.reduce(self._buys[rows], axis=0), len(self._tickers))
        return tuple(self._tickers[t] for t in np.flatnonzero(agreed))


# --- picks ---------------------------------------------------------------------------------------------------------


def _size_pick(
    result: SearchResult, size: int, consensus: _Consensus, min_tickers: int, warnings: list[str]
) -> SizePick | None:
    """The first group in line with enough tickers; says in `warnings` when that is not the run's own pick."""
    picked = result.pick(size)
    for group in _line(picked, result.groups(size)):
        tickers = consensus.of(group)
        if len(tickers) < min_tickers:
            continue
        stands_in = picked is not None and group.rank != picked.rank
        if picked is not None and stands_in:
            n_own = len(consensus.of(picked))
            own = f"the picked group, rank {picked.rank}, has {_counted(n_own)}, fewer than {min_tickers}"
            warnings.append(f"size {size}: {own}; the group of rank {group.rank} stands in")
        return SizePick(
            rank=group.rank,
            members=group.members,
            tickers=tickers,
            fallback_from=picked.rank if picked is not None and stands_in else None,
        )
    none = f"none of the {len(result.groups(size))} kept groups has {_counted(min_tickers)} or more"
    warnings.append(f"size {size}: {none if result.groups(size) else 'no group was kept'}; no pick")
    return None


def _line(picked: Group | None, kept: Iterable[Group]) -> Iterator[Group]:
    """The picked group, then the others in rank order."""
    if picked is not None:
        yield picked
    yield from (group for group in kept if picked is None or group.rank != picked.rank)


def _counted(n: int) -> str:
    return f"{n} ticker{'s' if n != 1 else ''}"


# --- votes ---------------------------------------------------------------------------------------------------------


def _votes(result: SearchResult, consensus: _Consensus, top_groups: int) -> tuple[Vote, ...]:
    voters: dict[str, list[tuple[int, int, Group]]] = {}
    for size, groups in sorted(result.kept.items()):
        for group in groups[:top_groups]:
            for ticker in consensus.of(group):
                voters.setdefault(ticker, []).append((group.rank, size, group))
    votes = (_vote(ticker, own) for ticker, own in voters.items())
    return tuple(sorted(votes, key=lambda vote: (-vote.n_groups, vote.best_rank, vote.ticker)))


def _vote(ticker: str, voters: Sequence[tuple[int, int, Group]]) -> Vote:
    best_rank, size, _ = min(voters, key=lambda voter: voter[:2])
    members = sorted(
        {member for _, _, group in voters for member in group.members},
        key=lambda member: member.variation_idx,
    )
    return Vote(
        ticker=ticker,
        n_groups=len(voters),
        best_rank=best_rank,
        size=size,
        members=tuple(f"{member.algo} {member.variation}" for member in members),
    )


def picks_table(picks: DayPicks) -> pl.DataFrame:
    """One row per ticker voted for or picked, in the order of the vote, for spreadsheets and data frames.

    Columns: `day`, `ticker` (String), `n_groups` (Int64, 0 when only picked), `best_rank`, `best_size` (Int64, null then),
    `pick SIZE` (Boolean) for each retained size, `members` (String, joined by ' + ').
    """
    import polars as pl

    voted = {vote.ticker: vote for vote in picks.votes}
    tickers = [*voted, *(ticker for ticker in picks.tickers() if ticker not in voted)]
    votes = [voted.get(ticker) for ticker in tickers]
    columns = [
        pl.Series("day", [picks.day] * len(tickers), dtype=pl.String),
        pl.Series("ticker", tickers, dtype=pl.String),
        pl.Series("n_groups", [vote.n_groups if vote else 0 for vote in votes], dtype=pl.Int64),
        pl.Series("best_rank", [vote and vote.best_rank for vote in votes], dtype=pl.Int64),
        pl.Series("best_size", [vote and vote.size for vote in votes], dtype=pl.Int64),
    ]
    for size, pick in picks.picks.items():
        chosen = set(pick.tickers if pick else ())
        columns.append(
            pl.Series(f"pick {size}", [ticker in chosen for ticker in tickers], dtype=pl.Boolean)
        )
    members = [
        " + ".join(vote.members if vote else _pickers(picks, ticker))
        for vote, ticker in zip(votes, tickers, strict=True)
    ]
    return pl.DataFrame([*columns, pl.Series("members", members, dtype=pl.String)])


def _pickers(picks: DayPicks, ticker: str) -> list[str]:
    """The different members of the picks that hold a ticker, in variation order."""
    own = {
        member
        for pick in picks.picks.values()
        if pick and ticker in pick.tickers
        for member in pick.members
    }
    return [
        f"{member.algo} {member.variation}"
        for member in sorted(own, key=lambda member: member.variation_idx)
    ]


# --- a signal table instead of prices ------------------------------------------------------------


def sheet_from_table(
    source: Any,
    result: SearchResult,
    *,
    day: str | None = None,
    columns: Mapping[str, str] | None = None,
    table: str | None = None,
    query: str | None = None,
    stop: threading.Event | None = None,
) -> SignalSheet:
    """Read the signals of one day from a long table `algo, variation, day, ticker`.

    The table is read as `read_signals` reads it, and `day` is by default its first after the run's
    last. Prices of the sheet are NaN; its day is `assumed_day` when the table has prices and none of
    that day is known. Members of kept groups that the table lacks are added as variations without
    a buy, with a warning.

    Raises `InputError` with everything wrong with the table, when it does not have the day, or none
    of the run's variations; `ReadStoppedError` when `stop` is set.
    """
    signals, has_outcome = read_day_signals(
        source,
        day=day,
        after=result.days[-1],
        expected=members_needed(result),
        columns=columns,
        table=table,
        query=query,
        stop=stop,
    )
    unknown = np.full((1, len(signals.tickers)), np.nan)
    freeze([unknown])
    return SignalSheet(
        algos=signals.algos,
        variations=signals.variations,
        algo_of=signals.algo_of,
        days=signals.days,
        tickers=signals.tickers,
        buys=signals.buys,
        open=unknown,
        close=unknown,
        assumed_day=not has_outcome,
        warnings=signals.warnings,
    )
