"""From a run to the tickers of a day: the consensus of its kept groups on that day's signals.

The pick of a size is the consensus of the run's picked group. Where that has too few tickers, the
other kept groups are tried in rank order. The vote counts, over the best groups of all sizes, the
groups whose consensus holds a ticker, and the distinct ideas of these groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mp2._document import Names
from mp2.data import bitset
from mp2.data.reading import AS_IT_IS, Reading
from mp2.data.signal_reader import read_day_signals
from mp2.data.signal_table import Key
from mp2.errors import InputError, counted
from mp2.groups.result import Group, SearchResult
from mp2.picks.records import DayPicks, SizePick, Vote, member_names, n_algorithms
from mp2.signals.sheet import SignalSheet

ConsensusOf = Callable[[Group], Names]
"""Returns the tickers that all members of a group buy on the day, alphabetical."""


def pick_day(
    result: SearchResult,
    sheet: SignalSheet,
    day: str,
    *,
    min_tickers: int = 1,
    top_groups: int = 50,
    cost_bps: float = 0.0,
) -> DayPicks:
    """Apply the kept groups of a run to the signals of `day`, an ISO date after the run's last day.

    A pick has at least `min_tickers` tickers. The vote is over the best `top_groups` groups of
    every retained size. Members are looked up by name, so the sheet may hold other variations too.
    `cost_bps`, the cost of trading per side, stays with the picks for their outcome.

    Raises `InputError` for settings below 1, for a day that the sheet does not have or the run was
    searched on, and when a member of a kept group is not among the sheet's variations.
    """
    keys = sheet.keys
    problems = _problems(result, sheet, day, keys)
    counts = {"min_tickers": min_tickers, "top_groups": top_groups}
    for name, value in counts.items():
        if value < 1:
            problems.append(f"{name}: {value} is below 1; give 1 or more")
    if problems:
        raise InputError(problems)
    day_idx = sheet.days.index(day)
    number_of = {key: number for number, key in enumerate(keys)}

    def consensus_of(group: Group) -> Names:
        # By name: the numbers in the result are those of the panel that was searched.
        numbers = [number_of[member.algo, member.variation] for member in group.members]
        consensus = sheet.consensus(numbers)
        tickers = bitset.members(consensus[day_idx])
        return tuple(sheet.tickers[ticker] for ticker in tickers.tolist())

    warnings = list(sheet.warnings)
    picks = {}
    for size in sorted(result.kept):
        picks[size] = pick_of_size(
            result,
            size,
            consensus_of,
            min_tickers,
            warnings,
        )
    return DayPicks(
        run_id=result.run_id,
        day=day,
        assumed=sheet.assumed_day and day == sheet.days[-1],
        picks=picks,
        votes=votes_of(result, consensus_of, top_groups),
        warnings=tuple(warnings),
        hold=result.hold,
        cost_bps=cost_bps,
    )


def members_needed(result: SearchResult) -> set[Key]:
    """Return the members of all kept groups: any of these groups may replace the picked one."""
    needed: set[Key] = set()
    for groups in result.kept.values():
        for group in groups:
            for member in group.members:
                needed.add((member.algo, member.variation))
    return needed


def _problems(
    result: SearchResult,
    sheet: SignalSheet,
    day: str,
    keys: Sequence[Key],
) -> list[str]:
    problems = []
    if day not in sheet.days:
        days = "no day"
        if sheet.days:
            days = f"{sheet.days[0]} to {sheet.days[-1]}"
        problems.append(f"day {day}: no signals for it; they cover {days}")
    if day <= result.seen_until:
        # The groups were chosen by the outcome of these days: their picks would look too good.
        last = f"the run's last day {result.seen_until}"
        problems.append(f"day {day}: not after {last}, so its outcome chose the groups; pick later")
    missing = sorted(members_needed(result).difference(keys))
    if missing:
        # A changed grid may lose hundreds: the first is named, the others are counted.
        name = " ".join(missing[0])
        more = ""
        if len(missing) > 1:
            more = f" (and {len(missing) - 1} more)"
        cause = "the grids have changed since"
        remedy = "use the grids of the run, or search again"
        problems.append(
            f"member {name!r} of a kept group is not among the signals{more}: {cause}; {remedy}"
        )
    return problems


# --- picks


def pick_of_size(
    result: SearchResult,
    size: int,
    consensus_of: ConsensusOf,
    min_tickers: int,
    warnings: list[str],
) -> SizePick | None:
    """Return the picked group, or the best other one with enough tickers; warns of the latter."""
    kept = result.kept[size]
    rank = result.picked_rank[size]
    if rank is None:
        warnings.append(f"size {size}: no group was kept; no pick")
        return None
    picked = kept[rank - 1]
    # The others in rank order, so the first one large enough is the best.
    for group in (picked, *kept):
        tickers = consensus_of(group)
        if len(tickers) >= min_tickers:
            break
    else:
        wanted = counted(min_tickers, "ticker")
        warnings.append(
            f"size {size}: none of the {len(kept)} kept groups has {wanted} or more; no pick"
        )
        return None
    fallback_from = None
    if group is not picked:
        fallback_from = picked.rank
        has = counted(len(consensus_of(picked)), "ticker")
        warnings.append(
            f"size {size}: the picked group, rank {picked.rank}, has {has}, fewer than "
            f"{min_tickers}; the group of rank {group.rank} replaces it"
        )
    return SizePick(
        rank=group.rank,
        members=group.members,
        tickers=tickers,
        fallback_from=fallback_from,
        idea=group.idea,
    )


# --- votes


def votes_of(
    result: SearchResult,
    consensus_of: ConsensusOf,
    top_groups: int,
) -> tuple[Vote, ...]:
    """Count the ideas and groups, of the best, whose consensus holds each ticker; most first."""
    groups_of: dict[str, list[Group]] = {}
    # By ascending size, so that `min` below prefers the smaller of equally ranked groups.
    for size in sorted(result.kept):
        for group in result.kept[size][:top_groups]:
            for ticker in consensus_of(group):
                groups_of.setdefault(ticker, []).append(group)
    votes = []
    for ticker, groups in groups_of.items():
        # Ideas are numbered by size.
        ideas = {(len(group.members), group.idea or 0) for group in groups}
        # The first of equal ranks, so of the smallest size.
        best = min(groups, key=lambda group: group.rank)
        vote = Vote(
            ticker=ticker,
            n_groups=len(groups),
            best_rank=best.rank,
            size=len(best.members),
            members=member_names(groups),
            n_ideas=len(ideas),
            n_algorithms=n_algorithms(groups),
            ideas=tuple(sorted(ideas)),
        )
        votes.append(vote)

    def order(vote: Vote) -> tuple[int, int, int, str]:
        # The ticker comes last, so that the order depends on nothing else.
        return -(vote.n_ideas or 0), -vote.n_groups, vote.best_rank, vote.ticker

    return tuple(sorted(votes, key=order))


# --- a table of signals instead of prices


def sheet_from_table(
    source: Any,
    result: SearchResult,
    *,
    day: str | None = None,
    shift: int = 0,
    reading: Reading = AS_IT_IS,
) -> SignalSheet:
    """Read the signals of one day from a long table `algo, variation, day, ticker`.

    The table is read as `read_signals` reads it, in the way that `reading` says. `day` is by
    default its first day after the run's last; with a `shift` the signals of its last day count on
    a day after it. Prices of the sheet are NaN; its day is `assumed_day` when the table has prices
    and none of that day is known. Members of kept groups that the table lacks are added as
    variations without a buy, with a warning.

    Raises `InputError` with everything wrong with the table, when it does not have the day, or none
    of the run's variations; `ReadStoppedError` when the reading is stopped.
    """
    signals, has_outcome = read_day_signals(
        source,
        day=day,
        shift=shift,
        after=result.seen_until,
        expected=members_needed(result),
        reading=reading,
    )
    # The day is still to come: its prices would not be used.
    unknown = np.full((1, len(signals.tickers)), np.nan)
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
