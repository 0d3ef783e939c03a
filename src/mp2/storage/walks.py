"""Walk-forwards in the store: what was asked, and every week as soon as it is finished.

A walk is a row from the moment it begins. Each week is a transaction of its own, which is on the
disk when `save_walk` returns, so a walk whose process died continues after its last stored week.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mp2.errors import InputError
from mp2.picks.judging import judge_each
from mp2.picks.records import ALL
from mp2.picks.weeks import Judged, WalkDay, WalkForward, WalkStatus, Week
from mp2.storage.picked import PickedStore
from mp2.storage.processes import now_text, owner, status_now
from mp2.storage.request import WalkRequest
from mp2.storage.values import Row, from_sql, unicode_text, validated

_UNENDED = {
    "running": "the walk-forward is still running: these are its weeks so far",
    "interrupted": "the process of the walk-forward ended before it did: these are its weeks by "
    "then",
    "failed": "the walk-forward failed: these are its weeks by then",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkSummary:
    """One line of the list of walk-forwards.

    `status`: that of the walk, or `running`, `failed`, or `interrupted` when its process died. Of
    `n_weeks`, `n_done` are finished; they judge the days from `first_day` to `last_day`. `judged`
    is the union of the picks over these days. All three are None without a week.
    """

    walk_id: str
    started_at: str
    source: str
    status: str
    n_weeks: int
    n_done: int
    first_day: str | None
    last_day: str | None
    judged: Judged | None


class WalkStore(PickedStore):
    """The walk-forwards of a store; `mp2.Store` is the whole store."""

    # --- a walk from begin to end -----------------------------------------------------------------

    def begin_walk(
        self,
        request: WalkRequest,
        *,
        input_fingerprint: str,
    ) -> str:
        """Store that a walk-forward starts. Returns its id, which sorts by the start."""
        values = {
            "source": unicode_text(request.run.label),
            "request": request.to_dict(),
            "heartbeat_at": now_text(),
            "input_fingerprint": input_fingerprint,
            "n_weeks": request.weeks,
            "n_done": 0,
        }
        return self._begin("walk", values)

    def resume_walk(
        self,
        walk_id: str,
        request: WalkRequest,
        *,
        input_fingerprint: str,
    ) -> tuple[Week, ...]:
        """Make an unfinished walk this process's running one. Returns its finished weeks.

        `InputError` when it cannot be resumed, or when the input, read from the source of `request`
        now, is not what it was.
        """
        with self._transaction("IMMEDIATE"), self._readable(f"walk {walk_id}"):
            row = self._row("walk", walk_id)
            self._check_unfinished("walk", row)
            if row["input_fingerprint"] != input_fingerprint:
                raise InputError(
                    f"{request.run.label}: is not what walk {walk_id} began with; begin a new "
                    "one, or resume with the input as it was"
                )
            weeks = self._weeks_of(row["walk"])
            values = {"status": "running", "heartbeat_at": now_text()}
            self._update("walk", row["walk"], values | owner())
        return weeks

    def save_walk(
        self,
        walk_id: str,
        walk: WalkForward,
        status: str = "running",
    ) -> None:
        """Write the weeks of a running walk that are not stored yet, and the judgement so far.

        They survive a power cut once this returns. With another `status` the walk has ended.
        """
        with self._transaction("IMMEDIATE"):
            key = self._running("walk", walk_id)
            # A week that could not be stored when it was finished is written with this one.
            n_stored = self._row("walk", walk_id)["n_done"]
            for number, week in enumerate(walk.weeks[n_stored:], n_stored):
                self._insert("walk_week", {"walk": key, "week": number, "body": asdict(week)})
            values: Row = {"status": status, "heartbeat_at": now_text(), "warnings": walk.warnings}
            if walk.weeks:
                values["n_done"] = len(walk.weeks)
                values["first_day"] = walk.weeks[0].days[0].day
                values["last_day"] = walk.weeks[-1].days[-1].day
                values["total"] = {series: asdict(walk.total[series]) for series in walk.total}
            self._update("walk", key, values)

    def abandon_walk(self, walk_id: str) -> None:
        """Mark a running walk as failed; its weeks stay."""
        with self._transaction("IMMEDIATE"):
            self._update("walk", self._running("walk", walk_id), {"status": "failed"})

    # --- reading ----------------------------------------------------------------------------------

    def walks(self, n_newest: int | None = None) -> list[WalkSummary]:
        """Every walk-forward, or the newest so many; newest first.

        Rows that cannot be read back are named in `problems`.
        """
        return self._summaries("walk", _summary, n_newest)

    def find_walk(self, name: str) -> str:
        """The walk id meant by an id, the unique beginning of one, or `last`."""
        with self._translated():
            return self._resolved("walk", name, "run mp2 walkforward")

    def load_walk_request(self, walk_id: str) -> WalkRequest:
        """What the walk was asked to do."""
        with self._transaction("DEFERRED"), self._readable(f"walk {walk_id}"):
            return validated(WalkRequest, from_sql(self._row("walk", walk_id))["request"])

    def check_walk_resumable(self, walk_id: str) -> None:
        """Raise the `InputError` that says why a walk cannot be resumed."""
        with self._transaction("DEFERRED"), self._readable(f"walk {walk_id}"):
            self._check_unfinished("walk", self._row("walk", walk_id))

    def load_walk(self, walk_id: str) -> WalkForward:
        """The walk-forward; of one that has not ended, the weeks so far, with a warning."""
        with self._transaction("DEFERRED"), self._readable(f"walk {walk_id}"):
            row = self._row("walk", walk_id)
            values = from_sql(row)
            request = validated(WalkRequest, values["request"])
            rules = request.run.search.rules
            weeks = self._weeks_of(row["walk"])
            days: list[WalkDay] = []
            for week in weeks:
                days += week.days
            warnings = list(values["warnings"] or ())
            unended = _UNENDED.get(status_now(row))
            if unended is not None:
                warnings.append(unended)
            fields = {
                "status": "complete" if len(weeks) == request.weeks else WalkStatus.STOPPED,
                "n_weeks": request.weeks,
                "budget_s_per_week": request.run.search.budget_s,
                "rules": rules,
                "weeks": weeks,
                # The column is for lists; a walk without a week has none.
                "total": judge_each(rules.retain_sizes, days),
                "warnings": warnings,
                "cost_bps": request.run.cost_bps,
                "hold": request.run.hold,
                "walk_id": walk_id,
            }
            return validated(WalkForward, fields)

    def delete_walk(self, walk_id: str) -> None:
        """Remove a walk-forward and its weeks.

        `InputError` when a process of this host still works on it.
        """
        self._delete("walk", walk_id)

    def _weeks_of(self, walk: int) -> tuple[Week, ...]:
        rows = self._execute("SELECT * FROM walk_week WHERE walk = ? ORDER BY week", (walk,))
        return tuple(validated(Week, from_sql(dict(row))["body"]) for row in rows.fetchall())


def _summary(row: Row) -> WalkSummary:
    values = from_sql(row)
    values["status"] = status_now(row)
    values["judged"] = values["total"]
    # Another value is refused by the type.
    if isinstance(values["total"], dict):
        values["judged"] = values["total"].get(ALL)
    return validated(WalkSummary, values)
