"""Records and enums shared by every layer: frozen, slotted, without behaviour beyond reading and checking themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any

from mp2.errors import InputError

MAX_GROUP_SIZE = 8
MAX_ALGOS = 64
SCHEMA_VERSION = 1

COUNTS = ("exact", "fast")
"""How groups are counted. `exact`: as the specification's recursion does. `fast`: `tested[max_size]` alone may be less."""

PRUNINGS = ("aliases", "hits_bound", "cap_bound", "tail_masks", "nested", "threshold")
"""Short cuts of the search that change neither a result nor an exact counter, each of which can be switched off.

- `aliases`: identical variations of one algorithm are searched once and counted as many.
- `hits_bound`: groups whose lower bound of hits reaches the floor pass without a count of their tickers.
- `cap_bound`: groups whose lower bound of buys exceeds `max_daily_buys` are not scored.
- `tail_masks`: a candidate that fails with a group is not looked at again for the groups that contain it.
- `nested`: where a variation's tickers contain another's of its algorithm, what passed with one decides for the other.
- `threshold`: an eligible group below the score that all workers together have reached is scored and counted, but not
  offered to the kept ones.
"""


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


# Large enough for any use and small enough that no score leaves the range of a double.
_LARGEST_WEIGHT = 1e9


def _rule(default: Any, help_text: str, low: float = -_LARGEST_WEIGHT, high: float = _LARGEST_WEIGHT) -> Any:
    return field(default=default, metadata={"help": help_text, "low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Every constant of the search; the defaults are those of the specification.

    `*_pp` are percentage points (0..100), counts are whole numbers, weights have no unit. A value out of range, not
    finite or of the wrong type raises `InputError` naming the rule.
    """

    max_size: int = _rule(4, "largest group size", 2, MAX_GROUP_SIZE)
    retain_sizes: tuple[int, ...] = _rule((), "group sizes kept and ranked (empty: 3..max_size, or 2 when max_size is 2)")
    top_k: int = _rule(1000, "groups kept per size", 1, 1_000_000)
    min_daily_hits: int = _rule(8, "fewest winners a group needs on every day (0: no floor)", 0, 2**31 - 1)

    min_pooled_pp: float = _rule(50.0, "eligible: least pooled hit rate, percent")
    max_daily_buys: int = _rule(20, "eligible: most tickers on any day", 0, 2**31 - 1)
    max_mad_pp: float = _rule(25.0, "eligible: largest mean absolute deviation of the daily hit rate")
    max_iqr_pp: float = _rule(45.0, "eligible: largest interquartile range of the daily hit rate")
    max_cv_buys: float = _rule(0.80, "eligible: largest coefficient of variation of the daily buys")
    min_wilson_lb: float = _rule(10.0, "eligible: least Wilson lower bound, percent")

    weighted_pp_weight: float = _rule(0.60, "score: weight of the day-weighted hit rate")
    median_pp_weight: float = _rule(0.25, "score: weight of the median hit rate")
    second_worst_pp_weight: float = _rule(0.15, "score: weight of the second worst day")
    wilson_weight: float = _rule(0.80, "score: weight of the Wilson lower bound")
    wilson_z: float = _rule(1.96, "normal quantile of the Wilson interval", 0.0)
    rising_weight: float = _rule(3.0, "score: reward per point of rising slope")
    falling_weight: float = _rule(6.0, "score: penalty per point of falling slope")
    mad_weight: float = _rule(0.25, "score: penalty on the mean absolute deviation")
    iqr_weight: float = _rule(0.18, "score: penalty on the interquartile range")
    cv_weight: float = _rule(10.0, "score: penalty on the variation of daily buys")
    coverage_log_weight: float = _rule(6.0, "score: weight of ln(1 + mean daily buys)")
    coverage_cap: float = _rule(25.0, "score: mean daily buys beyond which coverage earns nothing more", 0.0)
    coverage_excess_weight: float = _rule(0.5, "score: penalty per mean daily buy beyond the cap")
    crowding_cap: float = _rule(20.0, "score: tickers on the fullest day that cost nothing", 0.0)
    crowding_weight: float = _rule(6.0, "score: penalty on the square of the fullest day's tickers beyond that")
    sweet_empty: float = _rule(-15.0, "sweet spot: value at no buys")
    sweet_low: float = _rule(7.0, "sweet spot: mean buys where it begins")
    sweet_peak: float = _rule(14.0, "sweet spot: mean buys up to which it grows")
    sweet_high: float = _rule(18.0, "sweet spot: mean buys where it turns negative")
    sweet_low_slope: float = _rule(3.0, "sweet spot: loss per buy below it")
    sweet_slope: float = _rule(2.0, "sweet spot: gain per buy inside it")
    sweet_high_slope: float = _rule(4.0, "sweet spot: loss per buy above it")
    repeat_tolerance: float = _rule(1.20, "repeat factor that costs nothing")
    repeat_weight: float = _rule(25.0, "score: penalty on the square of the repeat factor beyond that")

    day_weight_slope: float = _rule(0.02, "day weight: change per point of base win rate below the mean")
    day_weight_min: float = _rule(0.5, "day weight: smallest", 0.0)
    day_weight_max: float = _rule(1.5, "day weight: largest", 0.0)

    pick_deviation_weight: float = _rule(1.5, "pick: standard deviations taken off the mean hit rate for stability")
    pick_quantile: float = _rule(0.60, "pick: quantile of stability the pool starts at", 0.0, 1.0)
    pick_target_deviations: float = _rule(1.0, "pick: standard deviations above the pool's mean score aimed at")

    def __post_init__(self) -> None:
        problems = [problem for spec in fields(self) if (problem := _problem_with(spec, getattr(self, spec.name)))]
        if problems:
            raise InputError(problems)
        sizes = tuple(sorted(set(self.retain_sizes))) or default_retain_sizes(self.max_size)
        wrong = [size for size in sizes if not 2 <= size <= self.max_size]
        if wrong:
            raise InputError(
                f"rule retain_sizes: {wrong[0]} is outside 2..{self.max_size} (max_size); leave it out or raise max_size"
            )
        if self.day_weight_min > self.day_weight_max:
            raise InputError("rule day_weight_min: larger than day_weight_max; swap them")
        object.__setattr__(self, "retain_sizes", sizes)

    def to_dict(self) -> dict[str, Any]:
        """The rules as plain JSON values, retained sizes resolved."""
        return {**asdict(self), "retain_sizes": list(self.retain_sizes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rules:
        """The inverse of `to_dict`; unknown names raise `InputError`."""
        known = {spec.name for spec in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"unknown rule {unknown[0]!r}; the rules are {', '.join(sorted(known))}")
        return cls(**{**values, **({"retain_sizes": tuple(values["retain_sizes"])} if "retain_sizes" in values else {})})


def default_retain_sizes(max_size: int) -> tuple[int, ...]:
    """Sizes 3..max_size, or 2 alone when nothing larger is searched."""
    return tuple(range(3, max_size + 1)) or (2,)


def _problem_with(spec: Any, value: Any) -> str | None:
    name, low, high = f"rule {spec.name}", spec.metadata["low"], spec.metadata["high"]
    if spec.name == "retain_sizes":
        whole = isinstance(value, tuple) and all(isinstance(size, int) and not isinstance(size, bool) for size in value)
        return None if whole else f"{name}: {value!r} is not a tuple of whole numbers"
    wanted = int if spec.type == "int" else (int, float)
    if not isinstance(value, wanted) or isinstance(value, bool):
        return f"{name}: {value!r} is not a {'whole number' if wanted is int else 'number'}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name}: {value!r} is not finite"
    if not low <= value <= high:
        return f"{name}: {value!r} is outside {low}..{high}"
    return None


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
            raise InputError(f"size {size} was not retained; the retained sizes are {', '.join(map(str, self.kept))}")
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
            **{name: _by_size(getattr(self, name)) for name in ("tested", "eligible", "score_mean", "score_std")},
            "groups": {str(size): [group_dict(group) for group in kept[:n_groups]] for size, kept in self.kept.items()},
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
    values["members"] = tuple(dict(zip(_MEMBER_FIELDS, _MEMBER_VALUES(member), strict=True)) for member in group.members)
    values["days"] = tuple(dict(zip(_DAY_FIELDS, _DAY_VALUES(day), strict=True)) for day in group.days)
    values["consensus"] = tuple({"day": one.day, "tickers": one.tickers} for one in group.consensus)
    return values


_GROUP_FIELDS, _MEMBER_FIELDS, _DAY_FIELDS = (tuple(spec.name for spec in fields(kind)) for kind in (Group, Member, DayStats))
_GROUP_VALUES, _MEMBER_VALUES, _DAY_VALUES = (attrgetter(*names) for names in (_GROUP_FIELDS, _MEMBER_FIELDS, _DAY_FIELDS))


def _group_or_none(group: Group | None) -> dict[str, Any] | None:
    return None if group is None else group_dict(group)


def _by_size(values: Mapping[int, Any]) -> dict[str, Any]:
    return {str(size): value for size, value in values.items()}
