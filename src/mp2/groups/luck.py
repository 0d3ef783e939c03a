"""Records of the test whether a result is luck; `mp2.evidence.significance` makes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mp2._document import Document, Names
from mp2._overview import Entry, Overview, first_of

P_SMALL = 0.05
# Tickers move together, so a shuffle over all of them calls luck an edge too often.
P_SMALL_OF_TICKERS = 0.01


class TestStatus(StrEnum):
    """How far a test got."""

    # Not a test of pytest, which collects classes by name.
    __test__ = False

    COMPLETE = "complete"
    PARTIAL = "partial"
    """Some starters met every replicate, others none."""
    STOPPED = "stopped"
    """No starter was tested."""
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Donors:
    """The `n` earlier days that stand for one searched day, from `first` to `last`.

    Shares of winners in percent: of the searched day, and of the donors nearest to it and farthest
    from it.
    """

    n: int
    first: str
    last: str
    base_rate_pp: float
    nearest_pp: float
    farthest_pp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NullSummary:
    """The best scores of one size over all drawn replicates.

    `none` is the share of replicates, 0..1, without an eligible group. `mean` is over the others;
    `median`, `q95` and `max` are order statistics over all, None where that replicate has none.
    `n_scores` counts the others by the bins of `mp2.groups.histogram`; empty in tests of earlier
    versions.
    """

    median: float | None
    mean: float | None
    q95: float | None
    max: float | None
    none: float
    n_scores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Significance(Overview):
    """How the best groups compare with the best of searches whose outcomes are luck.

    - `reason`: why it did not run, or why the replicates were lowered; None else.
    - `replicates` were drawn, `replicates_asked` asked for; `p_min` is the least p they can show.
    - `covered`: the share of the space that was tested, 0..1; 1.0 if and only if all of it.
    - `p`: over all retained sizes; `p_size`, `observed` (the best observed score), `null` and
      `n_groups` by size. `n_groups` counts the groups that some labels could make eligible; a lower
      bound unless `n_groups_exact`.
    - `donors`: by searched day, for the null model `days`.
    - `maxima`: by size, the best score of each replicate float64[replicates + 1], the observed one
      first, -inf where no group is eligible. Empty when the record was loaded.
    """

    status: TestStatus
    reason: str | None
    null_model: str
    seed: int
    replicates: int
    replicates_asked: int
    p_min: float
    covered: float
    p: float | None
    p_size: dict[int, float]
    observed: dict[int, float | None]
    null: dict[int, NullSummary]
    n_groups: dict[int, int]
    n_groups_exact: bool
    donors: dict[str, Donors] | None
    elapsed_s: float
    overrun_s: float
    warnings: Names
    # Any: the store checks what it reads by these types, and knows no arrays.
    maxima: dict[int, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_better_than_luck(self) -> bool:
        """Whether p is small enough for the null model."""
        limit = P_SMALL_OF_TICKERS if self.null_model == "tickers" else P_SMALL
        return self.p is not None and self.p <= limit

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        title = f"{self.status}, null model {self.null_model!r}"
        rows: list[Entry] = [("verdict", self.sentence())]
        for size, score in sorted(self.observed.items()):
            text = "no eligible group"
            if score is not None:
                text = f"best {score:.2f}"
            p = shown_p(self.p_size.get(size), self.p_min)
            if p:
                text += f", p = {p}"
            rows.append((f"size {size}", text))
        rows.append(("warnings", first_of(self.warnings)))
        return title, rows

    def to_dict(self) -> Document:
        """Return the record as plain JSON values, without the maxima."""
        document: Document = {}
        for name in self.__slots__:
            if name != "maxima":
                document[name] = _plain(getattr(self, name))
        return document

    def sentence(self) -> str:
        """Return what a reader has to know, in one line."""
        if self.p is None:
            return f"Not tested: {self.reason}."
        if not any(score is not None for score in self.observed.values()):
            return f"{self._space()}Nothing to test: no group is eligible."
        verdict = "Better than luck" if self.is_better_than_luck else "No better than luck"
        caution = ""
        if self.null_model == "tickers":
            caution = (
                " (shuffled over all tickers, which move together: expect more false alarms than "
                "p says; give a price history or sectors)"
            )
        return f"{self._space()}{verdict} {self._evidence()}{caution}"

    def _space(self) -> str:
        if self.status is not TestStatus.PARTIAL:
            return ""
        # Rounded down: only a complete test says 100%.
        return f"Tested on {int(1000 * self.covered) / 10:.1f}% of the space only: "

    def _evidence(self) -> str:
        groups = f"{sum(self.n_groups.values()):,} groups"
        if not self.n_groups_exact:
            # What was skipped as a repetition is not counted.
            groups = f"at least {groups}"
        whose = "other days" if self.null_model == "days" else "a shuffle"
        drawn = f"{self.replicates:,}"
        searches = f"of {drawn} searches of the same {groups} with the winners of {whose}"
        p = shown_p(self.p, None).rstrip("0").rstrip(".")
        n_as_good = round((self.p or 0) * (self.replicates + 1)) - 1
        if n_as_good < 1:
            least = f"(p = {p}, the least {drawn} replicates can show)"
            return f"{least}: {searches}, none found a group as good. {self._typical()}"
        return f"(p = {p}): {searches}, {n_as_good:,} found a group as good. {self._typical()}"

    def _typical(self) -> str:
        size = self.best_size
        median = self.null[size].median
        observed = self.observed[size]
        if median is None or observed is None:
            return "Typical best by luck: none."
        return f"Typical best by luck: {median:.1f}; here: {observed:.1f}."

    @property
    def best_size(self) -> int:
        """The retained size whose best group has the smallest p; the smallest of several."""
        return min(self.p_size, key=lambda size: (self.p_size[size], size))


def shown_p(p: float | None, p_min: float | None) -> str:
    """Return a p-value with three decimals, more where they would be zeros; `*` marks `p_min`."""
    if p is None:
        return ""
    text = f"{p:.3f}" if p >= 0.001 else f"{p:.2g}"
    return f"{text}*" if p == p_min else text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Donors | NullSummary):
        return {name: getattr(value, name) for name in value.__slots__}
    return value
