"""The picks of all runs in the store, each beside its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from mp2._json import decode
from mp2.picks.records import DayPicks, Outcome
from mp2.picks.track import PickedDay
from mp2.storage import rows
from mp2.storage.configuration import Configuration, configuration_of
from mp2.storage.database import sql_name, sql_names
from mp2.storage.processes import status_now
from mp2.storage.request import Request
from mp2.storage.scans import ScanStore
from mp2.storage.values import Row, from_sql, validated


@dataclass(frozen=True, slots=True)
class Asked:
    """A run and what it was asked to do."""

    run_id: str
    status: str
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedOutcome:
    """How the picks of a run did on its `n_days` scored days: means of the hit rates, in percent.

    They are those of the different tickers of all sizes, and of the universe on the same days.
    """

    n_days: int
    hit_rate_pp: float
    universe_hit_rate_pp: float


class PickedStore(ScanStore):
    """What a track record needs of a store; `mp2.Store` is the whole store."""

    def picked_days(
        self,
        is_wanted: Callable[[Request], bool] = lambda request: True,
    ) -> list[tuple[Request, list[PickedDay]]]:
        """Return what each wanted run with picks was asked to do, and its picks, as runs began.

        Picks of a scored day have only the tickers of the vote: votes are most of a row. A run
        that cannot be read back is named in `problems`.
        """
        picked: list[tuple[Request, list[PickedDay]]] = []
        with self._transaction("DEFERRED"):
            runs = self._execute(
                "SELECT run, run_id, started_at, request, days FROM run "
                "WHERE run IN (SELECT run FROM day_picks) AND ended_as IS NOT NULL ORDER BY run"
            ).fetchall()
            for run in runs:
                with self._problem_noted(f"run {run['run_id']}"):
                    values = from_sql(dict(run))
                    request = validated(Request, values["request"])
                    if is_wanted(request):
                        picked.append((request, self._picked_of(values)))
        return picked

    def picks_before(
        self,
        run_id: str,
        day: str,
    ) -> DayPicks | None:
        """Return the picks that the configuration of a run made before its own for an ISO date.

        They are those for the latest day up to this one, of the newest run; None without any.
        """
        with self._transaction("DEFERRED"), self._readable(f"a run before {run_id}"):
            own = self._row("run", run_id)
            candidates = self._execute(
                "SELECT run.run, run.run_id, run.request, day_picks.day FROM day_picks "
                "JOIN run USING (run) WHERE run.run <= ? AND day_picks.day <= ? "
                "ORDER BY day_picks.day DESC, run.run DESC",
                (own["run"], day),
            )
            wanted = _configuration(own)
            for row in candidates:
                is_own = (row["run"], row["day"]) == (own["run"], day)
                if is_own or _configuration(dict(row)) != wanted:
                    continue
                stored = self._execute(
                    "SELECT * FROM day_picks WHERE run = ? AND day = ?", (row["run"], row["day"])
                )
                return rows.to_day(DayPicks, dict(stored.fetchone()), row["run_id"])
        return None

    def asked(self, is_wanted: Callable[[Request], bool]) -> list[Asked]:
        """Return the wanted runs as they began, also those that did not end.

        A run that cannot be read back is named in `problems`.
        """
        wanted: list[Asked] = []
        with self._transaction("DEFERRED"):
            # Not the results, by far the most of a row.
            runs = self._execute(
                "SELECT run_id, status, request, host, pid, process_start, heartbeat_at FROM run "
                "ORDER BY run"
            )
            for row in runs.fetchall():
                with self._problem_noted(f"run {row['run_id']}"):
                    request = validated(Request, from_sql(dict(row))["request"])
                    if is_wanted(request):
                        wanted.append(Asked(row["run_id"], status_now(dict(row)), request))
        return wanted

    def _rows_of(
        self,
        table: str,
        run: int,
        *order: str,
    ) -> list[Row]:
        """The rows of a run, in the order of these columns."""
        statement = f"SELECT * FROM {sql_name(table)} WHERE run = ? ORDER BY {sql_names(order)}"
        return [dict(row) for row in self._execute(statement, (run,))]

    def _by_day(
        self,
        table: str,
        kind: type[rows.DayT],
        run: Row,
    ) -> dict[str, rows.DayT]:
        """The picks stored with a run, or their outcomes."""
        records = {}
        for row in self._rows_of(table, run["run"], "day"):
            records[row["day"]] = rows.to_day(kind, row, run["run_id"])
        return records

    def _picked_outcome(self, run: Row) -> PickedOutcome | None:
        """How the picks of a run did; None while no day is scored.

        Outcomes that cannot be read back are named in `problems`, and cost the run nothing else.
        """
        outcomes: dict[str, Outcome] = {}
        with self._problem_noted(f"an outcome of run {run['run_id']}"):
            outcomes = self._by_day("outcome", Outcome, run)
        rates = []
        universe = []
        for outcome in outcomes.values():
            score = outcome.all_sizes
            if score is not None and score.hit_rate_pp is not None:
                rates.append(score.hit_rate_pp)
                universe.append(outcome.universe_hit_rate_pp or 0.0)
        if not rates:
            return None
        return PickedOutcome(
            n_days=len(rates),
            hit_rate_pp=fmean(rates),
            universe_hit_rate_pp=fmean(universe),
        )

    def _picked_of(self, run: Row) -> list[PickedDay]:
        run_id = run["run_id"]
        outcomes = self._by_day("outcome", Outcome, run)
        days = []
        for picks_row in self._rows_of("day_picks", run["run"], "day"):
            # Of a year of nights, the votes would take longer than all the rest.
            voted = tuple(vote["ticker"] for vote in decode(picks_row["votes"]))
            if picks_row["day"] in outcomes:
                picks_row["votes"] = "[]"
            picks = rows.to_day(DayPicks, picks_row, run_id)
            day = PickedDay(
                run_id=run_id,
                began_at=run["started_at"],
                searched_to=run["days"][-1],
                picks=picks,
                voted=voted,
                outcome=outcomes.get(picks.day),
            )
            days.append(day)
        return days


def _configuration(row: Row) -> Configuration:
    request = from_sql({"request": row["request"]})["request"]
    return configuration_of(validated(Request, request))
