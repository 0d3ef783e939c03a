"""Names that are hostile to pages, as markup or code or by how they look, and results with them."""

from dataclasses import replace

from market_bars import weekdays
from sheets import MONDAY, group_of, prices_of, result_of

from mp2.discovery.records import (
    MergedCandidate,
    OutcomeStatus,
    ScanError,
    ScanOutcome,
    ScanResult,
    ScanStatus,
)
from mp2.groups.result import Member
from mp2.picks.outcome import score
from mp2.picks.records import DayPicks, SizePick, Vote
from mp2.signals.grids import load_grids

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<b onmouseover=alert(2)>bold</b>",
    "\"quotes' & more",
    "a\u2028b\u2029c",
    "\u202egnirts\u202c",
    "x" * 200,
    "=cmd|' /C calc'!A0",
    "{{ 7 * 7 }}{% raw %}",
)


def hostile_run():
    """A result whose algorithms, variations, warnings and id are hostile, its picks and outcome."""
    members = tuple(
        Member(algo=name, variation=name, variation_idx=idx) for idx, name in enumerate(HOSTILE)
    )
    group = replace(group_of(1, "A 1", "B 2"), members=members)
    result = replace(
        result_of({2: ["A 1 + B 2"], 3: []}),
        run_id=HOSTILE[0],
        kept={2: (group,), 3: ()},
        picked_rank={2: 1, 3: None},
        warnings=HOSTILE,
    )
    picks = DayPicks(
        run_id=HOSTILE[0],
        day=MONDAY,
        assumed=False,
        picks={2: SizePick(rank=1, members=members, tickers=HOSTILE), 3: None},
        votes=tuple(map(_vote, HOSTILE)),
        warnings=HOSTILE,
    )
    returns_pp = {name: [float(idx - 3)] for idx, name in enumerate(HOSTILE)}
    return result, picks, score(picks, prices_of([MONDAY], returns_pp))


def hostile_market():
    """Prices of hostile tickers, and picks of them all by a member of the default grids."""
    days = weekdays(60)
    moves_pp = {name: [float(idx % 5 - 2) for idx in range(len(days))] for name in HOSTILE}
    prices = prices_of(days, moves_pp)
    first = load_grids().variations[0]
    member = Member(algo=first.algorithm.name, variation=first.name, variation_idx=0)
    picks = DayPicks(
        run_id=None,
        day=days[-1],
        assumed=False,
        picks={2: SizePick(rank=1, members=(member,), tickers=HOSTILE)},
        votes=(),
        warnings=(),
    )
    return prices, picks


def _vote(name):
    return Vote(
        ticker=name,
        n_groups=1,
        best_rank=1,
        size=2,
        members=(name,),
        n_ideas=1,
        ideas=((2, 1),),
    )


def hostile_scan():
    """A scan whose scanners, messages, tickers and reasons are hostile."""
    outcomes = []
    candidates = []
    for name in HOSTILE:
        error = ScanError("unavailable", name)
        outcome = ScanOutcome(
            scanner=name,
            pipeline=name,
            status=OutcomeStatus.ERROR,
            seconds=1.0,
            error=error,
            ended_s=1.0,
        )
        outcomes.append(outcome)
        candidate = MergedCandidate(
            ticker=name,
            sources=(name,),
            pipelines=(name,),
            contexts=(name,),
            priority="high",
            n_sources=1,
            data={},
        )
        candidates.append(candidate)
    return ScanResult(
        scan_id=HOSTILE[0],
        status=ScanStatus.PARTIAL,
        elapsed_s=1.0,
        workers=2,
        mode="concurrent",
        outcomes=tuple(outcomes),
        candidates=tuple(candidates),
        warnings=HOSTILE,
    )
