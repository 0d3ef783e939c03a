"""Records of the picks of a run's kept groups on a later day, and of their outcome.

Rates, returns and their differences (`*_pp`) are percentages and percentage points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any

from mp2._document import SCHEMA_VERSION, Document, Names
from mp2._overview import Entry, Overview, first_of, listed
from mp2.data.frames import Backend, new_frame
from mp2.data.holding import DAY_HOLD, Hold
from mp2.errors import counted
from mp2.groups.result import Group, Member

ALL = "all"
VOTES = "votes"
"""Series of picks beside those of the sizes: the union of these, and the tickers of the vote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePick:
    """The consensus of one kept group on the day.

    `fallback_from`: the rank of the picked group that this one replaces. `idea`: the rank of the
    group's idea, None where it is not known.
    """

    rank: int
    members: tuple[Member, ...]
    tickers: Names
    fallback_from: int | None = None
    idea: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A ticker in the consensus of `n_groups` groups, which are `n_ideas` distinct ideas.

    `best_rank` is the best rank among them, `size` the size of that group. `members` are the
    distinct `ALGO variation` of these groups, in variation order: all of them buy the ticker.
    `n_algorithms` are those of the members. It and `n_ideas` are None, and `ideas`, their size and
    number by size, is empty in votes that an earlier version stored.
    """

    ticker: str
    n_groups: int
    best_rank: int
    size: int
    members: Names
    n_ideas: int | None = None
    n_algorithms: int | None = None
    ideas: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DayPicks(Overview):
    """A run's picks for `day` (ISO date), by retained size, and its votes, most ideas first.

    `assumed`: the day had no bar yet; it is the next weekday. The pick of a size is None where no
    kept group had enough tickers. They are to be traded by the rule `hold`, at a cost of `cost_bps`
    per side.
    """

    run_id: str | None
    day: str
    assumed: bool
    picks: dict[int, SizePick | None]
    votes: tuple[Vote, ...]
    warnings: Names
    hold: Hold = DAY_HOLD
    cost_bps: float = 0.0

    def tickers(self) -> Names:
        """Return the distinct tickers of the picks of all sizes, alphabetical."""
        tickers: set[str] = set()
        for pick in self.picks.values():
            if pick:
                tickers.update(pick.tickers)
        return tuple(sorted(tickers))

    def series(self) -> dict[str, Names]:
        """Return the tickers of each series: the pick of a size as "3", "all" and "votes"."""
        tickers: dict[str, Names] = {}
        for size, pick in self.picks.items():
            tickers[str(size)] = ()
            if pick is not None:
                tickers[str(size)] = pick.tickers
        tickers[ALL] = self.tickers()
        tickers[VOTES] = tuple(vote.ticker for vote in self.votes)
        return tickers

    def sizes_with(self, ticker: str) -> tuple[int, ...]:
        """Return the sizes whose pick has the ticker."""
        sizes = []
        for size, pick in self.picks.items():
            if pick and ticker in pick.tickers:
                sizes.append(size)
        return tuple(sizes)

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        day = self.day
        if self.assumed:
            day += " (assumed)"
        return f"{day}, {counted(len(self.tickers()), 'ticker')}", self.rows()

    def rows(self) -> list[Entry]:
        """Return the rows of its short form: the pick of each size, votes, warnings."""
        rows: list[Entry] = []
        for size, pick in sorted(self.picks.items()):
            tickers = "no pick"
            if pick is not None:
                tickers = listed(pick.tickers, "ticker")
            rows.append((f"size {size}", tickers))
        # Votes of earlier versions do not count ideas.
        votes = [f"{vote.ticker} ({vote.n_ideas or vote.n_groups})" for vote in self.votes]
        rows.append(("votes", listed(votes, "ticker")))
        rows.append(("warnings", first_of(self.warnings)))
        return rows

    def to_frame(self, backend: Backend = "polars") -> Any:
        """Return one row per ticker voted for or picked, in the order of the vote.

        Columns: `day` (date), `ticker`, `n_ideas`, `n_groups` (0 when only picked), `best_rank`,
        `best_size` (null then), `pick SIZE` (boolean) for each retained size, `members` (joined by
        ' + ').
        """
        types = {
            "day": date,
            "ticker": str,
            "n_ideas": int,
            "n_groups": int,
            "best_rank": int,
            "best_size": int,
        }
        for size in self.picks:
            types[f"pick {size}"] = bool
        types["members"] = str
        day = date.fromisoformat(self.day)
        rows = []
        for vote in self.all_votes():
            row: list[Any] = [day, vote.ticker, vote.n_ideas, vote.n_groups]
            # 0 where the ticker is only picked.
            row += [vote.best_rank or None, vote.size or None]
            sizes = self.sizes_with(vote.ticker)
            row += [size in sizes for size in self.picks]
            row.append(" + ".join(vote.members))
            rows.append(row)
        return new_frame(rows, types, backend)

    def all_votes(self) -> Iterator[Vote]:
        """Return the votes, then the tickers that are only picked, as votes of no group.

        The rank and the size of the latter are 0.
        """
        yield from self.votes
        voted = {vote.ticker for vote in self.votes}
        for ticker in self.tickers():
            if ticker in voted:
                continue
            own = [pick for pick in self.picks.values() if pick and ticker in pick.tickers]
            yield Vote(
                ticker=ticker,
                n_ideas=0,
                n_groups=0,
                n_algorithms=n_algorithms(own),
                best_rank=0,
                size=0,
                members=member_names(own),
            )

    def to_dict(self) -> Document:
        """Return the picks as one JSON document, where votes have the sizes `in_picks`."""
        document = {
            "schema_version": SCHEMA_VERSION,
            **asdict(self),
        }
        document["picks"] = _keyed_by_text(document["picks"])
        for vote in document["votes"]:
            # Kept for the table, where it is `best_size`.
            del vote["size"]
            vote["in_picks"] = list(self.sizes_with(vote["ticker"]))
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The tickers of a day's picks beside those of the day picked before, `since`, each sorted.

    All are new where there is none before.
    """

    since: str | None
    new: Names
    gone: Names
    same: Names


def difference_of(
    picks: DayPicks,
    before: DayPicks | None,
) -> Difference:
    """Compare picks with earlier ones."""
    tickers = set(picks.tickers())
    former: set[str] = set()
    since = None
    if before is not None:
        former.update(before.tickers())
        since = before.day
    return Difference(
        since=since,
        new=tuple(sorted(tickers - former)),
        gone=tuple(sorted(former - tickers)),
        same=tuple(sorted(tickers & former)),
    )


def member_names(groups: Iterable[Group | SizePick]) -> Names:
    """Return the distinct members of some groups as `ALGO variation`, in variation order."""
    members: set[Member] = set()
    for group in groups:
        members.update(group.members)
    ordered = sorted(members, key=lambda member: member.variation_idx)
    return tuple(member.name for member in ordered)


def n_algorithms(groups: Iterable[Group | SizePick]) -> int:
    """Return how many distinct algorithms the members of some groups have."""
    algos: set[str] = set()
    for group in groups:
        algos.update(member.algo for member in group.members)
    return len(algos)


QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Where an outcome has the returns of the universe."""


class PickStatus(StrEnum):
    """Whether the day of the picks has been traded."""

    SCORED = "scored"
    PENDING = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Tickers bought on one day in equal parts, compared with the universe.

    Of `n_tickers`, `n_picks` have a price at the entry and at the exit, and `n_hits` of these
    gained; `n_unpriced` lack one, and `unpriced` names them. Rates, returns (exit / entry - 1) and
    differences (picks - universe) are over all `n_tickers`, of which those without a bar are no hit
    and gain nothing. They are None when no ticker has a bar.

    `net_return_pp` is the mean return after `cost_bps` per side (`mp2.picks.costs`), where those
    without a bar cost nothing; None without costs. Hits do not depend on costs.
    """

    n_tickers: int = 0
    n_picks: int = 0
    n_unpriced: int = 0
    unpriced: Names = ()
    n_hits: int = 0
    hit_rate_pp: float | None = None
    mean_return_pp: float | None = None
    hit_difference_pp: float | None = None
    return_difference_pp: float | None = None
    cost_bps: float = 0.0
    net_return_pp: float | None = None

    def gross(self) -> Score:
        """Return the score without costs."""
        return replace(self, cost_bps=0.0, net_return_pp=None)

    def text(self) -> str:
        """Return the score in a few words."""
        if self.hit_rate_pp is None or self.mean_return_pp is None:
            return f"no bar for {counted(self.n_tickers, 'ticker')}"
        hits = f"{self.n_hits} of {self.n_tickers} hit ({self.hit_rate_pp:.1f}%)"
        text = f"{hits}, mean return {self.mean_return_pp:+.2f}%"
        if self.net_return_pp is not None:
            text += f", {self.net_return_pp:+.2f}% after costs"
        return text


SCORE_TYPES: dict[str, type] = {
    "n_tickers": int,
    "n_picks": int,
    "n_unpriced": int,
    "n_hits": int,
    "hit_rate_pp": float,
    "mean_return_pp": float,
    "hit_difference_pp": float,
    "return_difference_pp": float,
    "cost_bps": float,
    "net_return_pp": float,
}
"""The numbers of a score, as columns of a frame."""


def score_row(score: Score) -> list[Any]:
    """Return the values of the columns `SCORE_TYPES`."""
    return [getattr(score, name) for name in SCORE_TYPES]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Outcome(Overview):
    """The outcome of the picks for `day`.

    - `session`: the date whose bars were scored; later than `day` where that was assumed and turned
      out to be a holiday. None while pending.
    - `universe_*`: all tickers with a valid bar on the session.
    - `sizes`: by retained size, None without a pick. `all_sizes`: the different tickers of all
      sizes, None without a pick and in an outcome of an earlier version. `votes`: the tickers of
      the vote.
    - `hold`: the rule they were traded by. `note`: a remark on the status.
    - `returns_pp`: the return of each ticker picked or voted for that has both prices.
      `universe_quantiles_pp`: the returns of the universe at `QUANTILES`. Both are empty while
      pending, and in an outcome of an earlier version.
    """

    run_id: str | None
    day: str
    status: PickStatus
    session: str | None = None
    n_universe: int = 0
    universe_hit_rate_pp: float | None = None
    universe_return_pp: float | None = None
    sizes: dict[int, Score | None]
    all_sizes: Score | None = None
    votes: Score | None = None
    note: str | None = None
    hold: Hold = DAY_HOLD
    # Not compared: an outcome that was stored without them is no other one.
    returns_pp: dict[str, float] = field(default_factory=dict, compare=False)
    universe_quantiles_pp: tuple[float, ...] = field(default=(), compare=False)

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        rows: list[Entry] = [("session", self.session)]
        if self.universe_hit_rate_pp is not None and self.universe_return_pp is not None:
            tickers = f"{self.n_universe:,} tickers"
            rates = f"{self.universe_hit_rate_pp:.1f}% hit"
            returns = f"mean return {self.universe_return_pp:+.2f}%"
            rows.append(("universe", f"{tickers}, {rates}, {returns}"))
        for size, score in sorted(self.sizes.items()):
            text = "no pick"
            if score is not None:
                text = score.text()
            rows.append((f"size {size}", text))
        if self.votes is not None:
            rows.append(("votes", self.votes.text()))
        rows.append(("note", self.note))
        return f"{self.day}, {self.status}", rows

    def to_frame(self, backend: Backend = "polars") -> Any:
        """Return one row per retained size, and one for the votes.

        Columns: `day`, `session` (dates), `picks` (the size, or "votes"), the fields of `Score` but
        the names, 0 or null without a pick, `universe_hit_rate_pp` and `universe_return_pp`.
        """
        types = {
            "day": date,
            "session": date,
            "picks": str,
            **SCORE_TYPES,
            "universe_hit_rate_pp": float,
            "universe_return_pp": float,
        }
        day = date.fromisoformat(self.day)
        session = None
        if self.session is not None:
            session = date.fromisoformat(self.session)
        scores = {**_keyed_by_text(self.sizes), VOTES: self.votes}
        rows = []
        for picks, score in scores.items():
            row: list[Any] = [day, session, picks]
            row += score_row(score or Score())
            row += [self.universe_hit_rate_pp, self.universe_return_pp]
            rows.append(row)
        return new_frame(rows, types, backend)

    def gross(self) -> Outcome:
        """Return the outcome without costs: what the prices alone decide."""
        sizes = {size: score and score.gross() for size, score in self.sizes.items()}
        return replace(
            self,
            sizes=sizes,
            all_sizes=self.all_sizes and self.all_sizes.gross(),
            votes=self.votes and self.votes.gross(),
        )

    def agrees_with(self, later: Outcome) -> bool:
        """Return whether a later outcome of the same picks is the same but for costs."""
        # An earlier version did not store it; it follows from the other scores.
        if self.all_sizes is None:
            later = replace(later, all_sizes=None)
        return self.gross() == later.gross()

    def to_dict(self) -> Document:
        """Return the outcome as plain JSON values, sizes as text."""
        document = asdict(self)
        document["status"] = str(self.status)
        document["sizes"] = _keyed_by_text(document["sizes"])
        return document


def _keyed_by_text(by_size: dict[int, Any]) -> Document:
    # JSON keys are text.
    return {str(size): value for size, value in by_size.items()}
