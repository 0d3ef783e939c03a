"""Records of a search's result: frozen, slotted, and they read only themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mp2._document import SCHEMA_VERSION, Document, Names
from mp2._overview import Entry, Overview, first_of, listed, span
from mp2.data.frames import Backend, in_library
from mp2.data.holding import DAY_HOLD, Hold
from mp2.errors import InputError
from mp2.groups.export import groups_table
from mp2.groups.luck import Significance, shown_p
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

    @property
    def name(self) -> str:
        """Its algorithm and variation, as `ALGO variation`."""
        return f"{self.algo} {self.variation}"


@dataclass(frozen=True, slots=True)
class DayStats:
    """A group on one day: consensus size, its winners, hit rate in percent, the day's weight."""

    day: str
    buys: int
    hits: int
    pp: float
    weight: float


@dataclass(frozen=True, slots=True, repr=False)
class DayConsensus(Overview):
    """The tickers all members buy on one day, in alphabetical order."""

    day: str
    tickers: Names

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        return self.day, [("buys", listed(self.tickers, "ticker"))]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Group(Overview):
    """A kept group with the evidence behind its score; rank 1 is the best of its size.

    `p_size` and `p`: the share of replicates, 0..1, of which the best group of this size, or of all
    retained sizes, is as good; None where not tested. `idea` and `family` are those of `Idea`.
    """

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
    p: float | None = None
    p_size: float | None = None
    idea: int | None = None
    family: int | None = None

    @property
    def variation_idx(self) -> tuple[int, ...]:
        """The group's identity: its variation numbers, ascending."""
        return tuple(member.variation_idx for member in self.members)

    @property
    def name(self) -> str:
        """Its members as `ALGO variation + ALGO variation`."""
        return " + ".join(member.name for member in self.members)

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        title = f"size {len(self.members)}, rank {self.rank}, score {self.score:.2f}"
        rows: list[Entry] = [("members", self.name)]
        for day in self.days:
            hits = f"{day.hits} of {day.buys} hit ({day.pp:.1f}%)"
            rows.append((day.day, hits))
        rows.append(("all days", f"{self.pooled_pp:.1f}% hit"))
        rows.append(("p", shown_p(self.p, None)))
        return title, rows


STATISTICS = tuple(name for name, kind in Group.__annotations__.items() if kind == "float")[1:]
"""The fields of a group that the kernel describes: all numbers but the score, which comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """What `n_groups` kept groups of one size say: same consensus, same hits on all days.

    Where ideas are kept, `n_groups` counts the eligible groups that were found; None where not all
    were counted, because there are more ideas with the score of the last one kept. `rank` is that
    of the best of them. Ideas and families, of ideas that buy nearly the same, are
    numbered from 1 by size, best first; `family` is None where there are too many ideas.
    """

    idea: int
    family: int | None
    rank: int
    n_groups: int | None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A rule and its limit, and how many it excluded of `n` of a kind: variations, groups."""

    rule: str
    limit: float
    n_excluded: int
    n: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterRecord:
    """How far one starter got, and what it counted.

    `elapsed_s` is running time; limits are seconds granted at its start and in all. `tested`,
    `eligible` and `retained` map a group size to a count. `cursor` holds the next position to visit
    at each level (empty when exhausted or not started); `n_branches_done` of `n_branches` second
    members are behind it.
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
class ProgressSample:
    """A search at one moment, `elapsed_s` of running time after its begin.

    The four counts of starters add up to those that were left when the search began or was resumed.
    `limit_s`: what the next starter gets in the current round. `bank_s`: what the bank holds.
    `n_turns`: the turns that each worker has ended; empty in results of earlier versions.
    """

    elapsed_s: float
    n_waiting: int
    n_running: int
    n_cut_off: int
    n_exhausted: int
    limit_s: float
    bank_s: float
    n_turns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SearchResult(Overview):
    """The outcome of a search. Per-size mappings have int keys here and string keys in JSON.

    - `starters`: in variation order; may be empty when the result was loaded without them.
    - `kept`: the kept groups of each retained size, best first; `n_kept` counts all, also where
      only the best were loaded.
    - `ideas`: the ideas of all kept groups of each retained size, best first; empty for results of
      earlier versions that were loaded in part.
    - `tested_exact`: False when `tested[max_size]` is a lower bound; other counts are exact.
    - `n_visited`: groups whose tickers were counted one by one, without those of starters copied
      from an alias. It measures effort, so it varies with the workers and with where turns end.
      None in results that do not state it.
    - `aliases`: classes of two or more variations of one algorithm that buy and win the same on all
      days searched; members by number, classes by their first.
    - `exclusions`: why nothing was kept, by rule, as far as it is known; empty when something was,
      and for a result that was loaded.
    - `significance`: whether the groups are better than luck; None when that was not asked.
    - `hold`: the rule of outcomes. `last_exit`: the ISO date on which it sells what is bought on
      the last day searched; None for that day itself.
    - `n_scores`: the scores of all eligible groups, counted by the bins of `mp2.groups.histogram`;
      without the sizes of which not all were counted, as an earlier version did not.
    - `progress`: the last session at up to 600 moments, in order.
    - `keep`: what was kept, one of `mp2.groups.rules.KEEPS`; each of `ideas` by its best group.
    - `panel`: the signals that were searched; None for a result that was loaded.
    - `store_error`: why the result is not in the store it was meant for, and where it is instead.
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
    n_kept: dict[int, int]
    picked_rank: dict[int, int | None]
    days: Names
    day_weights: tuple[float, ...]
    base_win_rates: tuple[float, ...]
    special: Names
    max_attempts: int | None
    input_fingerprint: str
    warnings: Names
    starters: Sequence[StarterRecord] = ()
    run_id: str | None = None
    read_s: float = 0.0
    store_s: float = 0.0
    n_visited: int | None = None
    aliases: tuple[tuple[Member, ...], ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    significance: Significance | None = None
    store_error: str | None = None
    ideas: dict[int, tuple[Idea, ...]] = field(default_factory=dict)
    hold: Hold = DAY_HOLD
    last_exit: str | None = None
    n_scores: dict[int, tuple[int, ...]] = field(default_factory=dict)
    keep: str = "groups"
    progress: tuple[ProgressSample, ...] = field(default=(), compare=False)
    # Any: the store checks what it reads by these types, and knows no arrays.
    panel: Any = field(default=None, compare=False, repr=False)

    @property
    def seen_until(self) -> str:
        """The last day whose prices chose the groups: picks are for later days."""
        return self.last_exit or self.days[-1]

    @property
    def n_decided(self) -> int | None:
        """Attempts decided without a visit, `attempts - n_visited`; None without `n_visited`.

        0 when rows were scanned ahead of where the search ended.
        """
        if self.n_visited is None:
            return None
        return max(0, self.attempts - self.n_visited)

    def to_frame(self, backend: Backend = "polars") -> Any:
        """Return one row per kept group; the columns are those of `mp2.groups.export`."""
        return in_library(groups_table(self, STATISTICS), backend)

    def groups(self, size: int) -> tuple[Group, ...]:
        """Return the kept groups of a retained size, best first; `InputError` for other sizes."""
        if size not in self.kept:
            sizes = ", ".join(map(str, self.kept))
            raise InputError(f"size {size} was not retained; the retained sizes are {sizes}")
        return self.kept[size]

    def pick(self, size: int) -> Group | None:
        """Return the chosen group of a retained size, or None when none was kept."""
        groups = self.groups(size)
        rank = self.picked_rank.get(size)
        if rank is None:
            return None
        # Of groups that were not all loaded it may be the last.
        return next(group for group in groups if group.rank == rank)

    def headline(self) -> str:
        """Return how the search ended, in a few words."""
        starters = f"{self.n_exhausted:,} of {self.n_starters:,} starters exhausted"
        return f"{self.status}, {starters}, {self.elapsed_s:.1f} s"

    def overview(self) -> tuple[str, Iterator[Entry]]:
        """Return the title and the rows of its repr."""
        return self.headline(), self._rows()

    def _rows(self) -> Iterator[Entry]:
        yield "run", self.run_id
        yield "days", span(self.days)
        for size in sorted(self.kept):
            text = "no group kept"
            picked = self.pick(size)
            if picked is not None:
                best = f"picked rank {picked.rank}, score {picked.score:.2f}: {picked.name}"
                kept = f"{self.n_kept[size]:,} {self.keep} kept"
                if size in self.ideas and self.keep == "groups":
                    kept = f"{len(self.ideas[size]):,} ideas in {kept}"
                text = f"{kept}; {best}"
            yield f"size {size}", text
        if self.significance is not None:
            yield "luck", self.significance.sentence()
        yield "not stored", self.store_error
        yield "warnings", first_of(self.warnings)

    def to_dict(self, n_groups: int | None = None) -> Document:
        """Return the result as one JSON document, at most `n_groups` groups and ideas a size."""
        # JSON has text keys and lists only; the values are equal to what comes back from JSON.
        document: Document = {"schema_version": SCHEMA_VERSION}
        for name, value in _plain(self).items():
            if name in _BY_SIZE:
                document[name] = {str(size): number for size, number in value.items()}
            elif name in _LISTS:
                document[name] = list(value)
            elif name not in _NESTED:
                document[name] = value

        groups = {}
        picks = {}
        ideas = {}
        n_ideas = {}
        for size, distinct in self.ideas.items():
            ideas[str(size)] = [_plain(idea) for idea in distinct[:n_groups]]
            n_ideas[str(size)] = len(distinct)
        for size, kept in self.kept.items():
            groups[str(size)] = [group_dict(group) for group in kept[:n_groups]]
            picked = self.pick(size)
            picks[str(size)] = group_dict(picked) if picked else None
        return document | {
            "n_decided": self.n_decided,
            "groups": groups,
            "picks": picks,
            "ideas": ideas,
            "n_ideas": n_ideas,
            "rules": self.rules.to_dict(),
            "significance": self.significance.to_dict() if self.significance else None,
            "exclusions": [_plain(exclusion) for exclusion in self.exclusions],
            "n_scores": {str(size): list(counts) for size, counts in self.n_scores.items()},
            "progress": [_plain(sample) for sample in self.progress],
            "aliases": [[_plain(member) for member in members] for members in self.aliases],
            "errors": [self.store_error] if self.store_error else [],
        }


# Fields that `to_dict` converts; a new plain field is part of the document by itself.
_BY_SIZE = ("tested", "eligible", "score_mean", "score_std", "n_kept")
_LISTS = ("days", "day_weights", "base_win_rates", "special", "warnings")
_NESTED = (
    "progress",
    "n_scores",
    "rules",
    "kept",
    "picked_rank",
    "starters",
    "aliases",
    "exclusions",
    "significance",
    "store_error",
    "ideas",
    "panel",
)


def group_dict(group: Group) -> Document:
    """Return one group as plain JSON values: equal to `asdict`, in a fifth of its time."""
    values = _plain(group)
    for name in ("members", "days", "consensus"):
        values[name] = tuple(_plain(record) for record in values[name])
    return values


def _plain(record: Any) -> Document:
    return {name: getattr(record, name) for name in record.__slots__}
