"""Records of a search's result: frozen, slotted, without behaviour beyond reading themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any

from mp2._document import SCHEMA_VERSION
from mp2.errors import InputError
from mp2.groups.rules import Rules


class Status(StrEnum):
    """How a run ended; `COMPLETE` is the only one that proves no better group exists."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    WALL = "wall"
    WORK_LIMIT = "work_limit"


class StarterStatus(StrEnum):
    """How far one starter got."""

    EXHAUSTED = "exhausted"
    CUT_OFF = "cut_off"
    NOT_STARTED = "not_started"


@dataclass(frozen=True, slots=True)
class Member:
    """One variation of a group; `variation_idx` is its position over all algorithms, from 0."""

    algo: str
    variation: str
    variation_idx: int


@dataclass(frozen=True, slots=True)
class DayStats:
    """A group on one day: consensus size, winners among it, hit rate in percent, the day's weight."""

    day: str
    buys: int
    hits: int
    pp: float
    weight: float


@dataclass(frozen=True, slots=True)
class DayConsensus:
    """The tickers all members buy on one day, in alphabetical order."""

    day: str
    tickers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A kept group with the evidence behind its score; rank 1 is the best of its size."""

    rank: int
    score: float
    members: tuple[Member, ...]
    days: tuple[DayStats, ...]
    pooled_pp: float
    weighted_pp: float
    median_pp: float
    second_worst_pp: float
    mad_pp: float
    iqr_pp: float
    cv_buys: float
    wilson_lb: float
    pp_slope: float
    repeat_factor: float
    consensus: tuple[DayConsensus, ...]

    @property
    def variation_idx(self) -> tuple[int, ...]:
        """The group's identity: its variation numbers, ascending."""
        return tuple(member.variation_idx for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterRecord:
    """What became of one starter. Seconds are running time; limits are seconds granted at its start and in all.

    `tested`, `eligible` and `retained` map a group size to a count; `cursor` holds the next position to visit at each
    level (empty when exhausted or not started), `n_branches_done` of `n_branches` second members are behind it.
    """

    variation_idx: int
    algo: str
    variation: str
    n_buys: int
    status: StarterStatus
    elapsed_s: float
    limit_start_s: float
    limit_end_s: float
    n_turns: int
    attempts: int
    tested: dict[int, int]
    eligible: dict[int, int]
    retained: dict[int, int]
    n_branches: int
    n_branches_done: int
    cursor: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A search's outcome. Per-size mappings have int keys here and string keys in JSON.

    `starters` is in variation order and may be empty when the result was loaded without them. `tested_exact` is False when
    `tested[max_size]` is a lower bound; every other count is exact.

    `n_visited`: groups whose tickers were counted one by one, those of starters that are taken over from an identical one
    not included. It tells of effort, not of the space: it varies with the number of workers and with where turns end. None
    in results stored before it was counted.

    `aliases`: the classes of two or more variations of one algorithm that buy the same on all days searched, and win the
    same; members by number, classes by their first.
    """

    status: Status
    rules: Rules
    budget_s: float
    elapsed_s: float
    overrun_s: float
    workers: int
    n_starters: int
    n_exhausted: int
    coverage: float
    n_branches: int
    n_branches_done: int
    tested_exact: bool
    attempts: int
    tested: dict[int, int]
    eligible: dict[int, int]
    score_mean: dict[int, float | None]
    score_std: dict[int, float | None]
    kept: dict[int, tuple[Group, ...]]
    picked_rank: dict[int, int | None]
    days: tuple[str, ...]
    day_weights: tuple[float, ...]
    base_win_rates: tuple[float, ...]
    special: tuple[str, ...]
    max_attempts: int | None
    input_fingerprint: str
    warnings: tuple[str, ...]
    starters: Sequence[StarterRecord] = ()
    run_id: str | None = None
    read_s: float = 0.0
    store_s: float = 0.0
    n_visited: int | None = None
    aliases: tuple[tuple[Member, ...], ...] = ()

    @property
    def n_decided(self) -> int | None:
        """Attempts that were decided without a visit: `attempts - n_visited`.

        0 when more was looked at ahead than the search then got to; None when visits were not counted.
        """
        return None if self.n_visited is None else max(0, self.attempts - self.n_visited)

    def groups(self, size: int) -> tuple[Group, ...]:
        """The kept groups of a retained size, best first."""
        if size not in self.kept:
            raise InputError(
                f"size {size} was not retained; the retained sizes are {', '.join(map(str, self.kept))}"
            )
        return self.kept[size]

    def pick(self, size: int) -> Group | None:
        """The chosen group of a retained size, or None when none was kept."""
        rank, kept = self.picked_rank.get(size), self.groups(size)
        return None if rank is None else kept[rank - 1]

    def to_dict(self, n_groups: int | None = None) -> dict[str, Any]:
        """The result as one JSON document; at most `n_groups` groups of each size (all when None)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.run_id,
            **{name: getattr(self, name) for name in _SCALARS},
            "status": str(self.status),
            **{
                name: _by_size(getattr(self, name))
                for name in ("tested", "eligible", "score_mean", "score_std")
            },
            "groups": {
                str(size): [group_dict(group) for group in kept[:n_groups]]
                for size, kept in self.kept.items()
            },
            "picks": {str(size): _group_or_none(self.pick(size)) for size in self.kept},
            "rules": self.rules.to_dict(),
            "days": list(self.days),
            "day_weights": list(self.day_weights),
            "base_win_rates": list(self.base_win_rates),
            "special": list(self.special),
            "aliases": [[asdict(member) for member in members] for members in self.aliases],
            "warnings": list(self.warnings),
            "errors": [],
        }


_SCALARS = (
    "status", "budget_s", "elapsed_s", "overrun_s", "read_s", "store_s", "workers", "n_starters", "n_exhausted",
    "coverage", "n_branches", "n_branches_done", "tested_exact", "attempts", "n_visited", "n_decided", "max_attempts",
    "input_fingerprint",
)  # fmt: skip


def group_dict(group: Group) -> dict[str, Any]:
    """One group as plain JSON values: what `asdict` gives, in a fifth of its time."""
    values = dict(zip(_GROUP_FIELDS, _GROUP_VALUES(group), strict=True))
    values["members"] = tuple(
        dict(zip(_MEMBER_FIELDS, _MEMBER_VALUES(member), strict=True)) for member in group.members
    )
    values["days"] = tuple(
        dict(zip(_DAY_FIELDS, _DAY_VALUES(day), strict=True)) for day in group.days
    )
    values["consensus"] = tuple({"day": one.day, "tickers": one.tickers} for one in group.consensus)
    return values


_GROUP_FIELDS, _MEMBER_FIELDS, _DAY_FIELDS = (
    tuple(spec.name for spec in fields(kind)) for kind in (Group, Member, DayStats)
)
_GROUP_VALUES, _MEMBER_VALUES, _DAY_VALUES = (
    attrgetter(*names) for names in (_GROUP_FIELDS, _MEMBER_FIELDS, _DAY_FIELDS)
)


def _group_or_none(group: Group | None) -> dict[str, Any] | None:
    return None if group is None else group_dict(group)


def _by_size(values: Mapping[int, Any]) -> dict[str, Any]:
    return {str(size): value for size, value in values.items()}
