"""Records of what a run's kept groups pick on a later day, and of what came of it: frozen, slotted, stored as they are.

Rates, returns and their differences (`*_pp`) are percentages and percentage points.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from mp2._document import SCHEMA_VERSION
from mp2.groups.result import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePick:
    """The consensus of one kept group on the day; `fallback_from` is the rank of the run's own pick it stands in for."""

    rank: int
    members: tuple[Member, ...]
    tickers: tuple[str, ...]
    fallback_from: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A ticker in the consensus of `n_groups` groups; `best_rank` is the best rank among them, `size` that group's size.

    `members` are the different `ALGO variation` of those groups, in variation order: all of them buy the ticker.
    """

    ticker: str
    n_groups: int
    best_rank: int
    size: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPicks:
    """A run's picks for `day` (ISO date), by retained size, and its vote table, most groups first.

    `assumed`: no bar of the day was known; it is the next weekday. A size is None where no kept group had enough tickers.
    """

    run_id: str | None
    day: str
    assumed: bool
    picks: dict[int, SizePick | None]
    votes: tuple[Vote, ...]
    warnings: tuple[str, ...]

    def tickers(self) -> tuple[str, ...]:
        """The tickers of the picks of all sizes together, alphabetical."""
        return tuple(
            sorted({ticker for pick in self.picks.values() if pick for ticker in pick.tickers})
        )

    def to_dict(self) -> dict[str, Any]:
        """The picks as one JSON document."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.run_id,
            "day": self.day,
            "assumed": self.assumed,
            "picks": {
                str(size): None if pick is None else asdict(pick)
                for size, pick in self.picks.items()
            },
            "votes": [
                {name: value for name, value in asdict(vote).items() if name != "size"}
                for vote in self.votes
            ],
            "warnings": list(self.warnings),
        }


class PickStatus(StrEnum):
    """Whether the picks' day has been traded."""

    SCORED = "scored"
    PENDING = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Tickers held from open to close of one day against the universe, in equal parts.

    `n_picks` of them have a bar that day, `n_unpriced` have none and count nowhere; `n_hits` closed above their open. Rates,
    returns (close / open - 1) and differences (picks less universe) are None without a pick.
    """

    n_picks: int
    n_unpriced: int
    n_hits: int
    hit_rate_pp: float | None
    mean_return_pp: float | None
    hit_difference_pp: float | None
    return_difference_pp: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the picks for `day`.

    - `session`: the date whose bars were scored; later than `day` where that was assumed and turned out a holiday. None while
      pending.
    - `universe_*`: all tickers with a valid bar on the session. `sizes`: by retained size, None where nothing was picked.
      `votes`: the tickers of the vote table.
    - `note`: what to know about the status, None when there is nothing.
    """

    run_id: str | None
    day: str
    status: PickStatus
    session: str | None = None
    n_universe: int = 0
    universe_hit_rate_pp: float | None = None
    universe_return_pp: float | None = None
    sizes: dict[int, Score | None]
    votes: Score | None = None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain JSON values, sizes as text."""
        return {
            **asdict(self),
            "status": str(self.status),
            "sizes": {
                str(size): None if score is None else asdict(score)
                for size, score in self.sizes.items()
            },
        }
