"""On which session signals count, and which of them have no outcome there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date

from mp2.data.encoding import FoundNames, LongSignals
from mp2.errors import named

_MAX_NAMED = 3


def shift_days(
    signals: LongSignals,
    found: FoundNames,
    sessions: Sequence[date],
    shift: int,
    problems: list[str],
    n_held: int = 0,
) -> None:
    """Have signals count `shift` sessions after their day, and `found` have these days.

    Signals for which there is no such session, or none `n_held` sessions later to sell on, have no
    outcome and are left out.
    """
    if not (shift or n_held) or problems:
        return
    late = []
    unsold = []
    for day in sorted(found.days):
        counts = day
        # The next session is the first one later than the day, which need not be a session.
        number = bisect_right(sessions, day)
        if shift:
            number += shift
            if number > len(sessions):
                late.append(day)
                continue
            counts = sessions[number - 1]
        if number + n_held > len(sessions):
            unsold.append(day)
            continue
        signals.new_day[day] = counts
    last = sessions[-1]
    if not signals.new_day:
        why = "on which these signals count" if late else "to sell on what these signals buy"
        setting = "shift" if late else "hold"
        problems.append(
            f"{signals.table.name}: {setting}: the outcomes end on {last}, so there is no "
            f"later session {why}"
        )
        return
    if late:
        signals.warn(
            f"shift: the signals of {named(late, _MAX_NAMED)} count after {last}, "
            "the last session with outcomes: left out"
        )
    if unsold:
        signals.warn(
            f"hold: what the signals of {named(unsold, _MAX_NAMED)} buy is sold after {last}, "
            "the last session with outcomes: left out"
        )
    found.days = set(signals.new_day.values())
