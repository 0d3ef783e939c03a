"""The store returns its input; a failing write loses nothing; a fault is one clear line."""

from __future__ import annotations

import os
import platform
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import IMPORTS

from mp2.errors import InputError, StoreError
from mp2.groups.checkpoint import SearchState
from mp2.groups.ideas import with_ideas
from mp2.groups.result import (
    DayConsensus,
    DayStats,
    Group,
    Member,
    SearchResult,
    StarterRecord,
    StarterStatus,
    Status,
)
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings
from mp2.picks.records import DayPicks, Outcome, PickStatus, Score, SizePick, Vote
from mp2.storage import database, processes, rows, schema
from mp2.storage import runs as runs_module
from mp2.storage.request import Request, SignalsFile
from mp2.storage.runs import RunSummary, Store

STARTED_AT = "2026-11-22T15:30:12+00:00"
DAYS = ("2026-11-16", "2026-11-17", "2026-11-18")
HUGE = 2**63 + 12_345


def build_group(size: int, rank: int, days: Sequence[str] = DAYS) -> Group:
    return Group(
        rank=rank,
        score=150.1 - rank / 3,
        members=tuple(Member(f"ALGO{i}", f"n={rank}, k={i}", rank * 10 + i) for i in range(size)),
        days=tuple(
            DayStats(day, 10 + i, 8, 800 / (10 + i), 1.0 - i / 7) for i, day in enumerate(days)
        ),
        pooled_pp=72.5,
        weighted_pp=71.0,
        median_pp=70.0,
        second_worst_pp=1 / 3,
        mad_pp=3.5,
        iqr_pp=4.5,
        cv_buys=0.25,
        wilson_lb=55.0,
        pp_slope=-1.25,
        repeat_factor=1.5,
        consensus=tuple(DayConsensus(day, ("AAPL", "BRK B", f"T{rank}")) for day in days),
    )


def build_starter(
    variation_idx: int, status: StarterStatus = StarterStatus.EXHAUSTED
) -> StarterRecord:
    return StarterRecord(
        variation_idx=variation_idx,
        algo="RSI",
        variation=f"n={variation_idx}",
        n_buys=77,
        status=status,
        elapsed_s=0.1 + variation_idx,
        limit_start_s=0.5,
        limit_end_s=0.75,
        n_turns=2,
        attempts=HUGE,
        tested={2: 5, 3: HUGE},
        eligible={3: 1},
        retained={3: 0},
        n_branches=9,
        n_branches_done=4,
        cursor=(3, 7) if status is StarterStatus.CUT_OFF else (),
    )


def build_result(n_groups: int = 2, n_starters: int = 3, **changes: Any) -> SearchResult:
    best = tuple(build_group(3, rank) for rank in range(1, n_groups + 1))
    kept = changes.setdefault("kept", {3: best, 4: ()})
    changes.setdefault("n_kept", {size: len(groups) for size, groups in kept.items()})
    result = replace(
        SearchResult(
            status=Status.WALL,
            rules=Rules(max_size=4, min_daily_hits=3, wilson_z=2.0),
            budget_s=5.0,
            elapsed_s=5.01,
            overrun_s=0.01,
            workers=2,
            n_starters=n_starters,
            n_exhausted=1,
            coverage=0.37,
            n_branches=50,
            n_branches_done=20,
            tested_exact=True,
            attempts=2**70,
            tested={2: 10, 3: 2**65, 4: 0},
            eligible={3: HUGE, 4: 0},
            score_mean={3: 12.5, 4: None},
            score_std={3: 0.1, 4: None},
            kept=kept,
            n_kept={},
            picked_rank={3: 1 if n_groups else None, 4: None},
            days=DAYS,
            day_weights=(1.0, 1.1, 1 / 3),
            base_win_rates=(50.0, 49.5, 51.0),
            special=("MACD",),
            max_attempts=None,
            input_fingerprint="f" * 64,
            warnings=("2 rows were given twice", "caf\u00e9 \U0001f600"),
            starters=tuple(build_starter(i, list(StarterStatus)[i % 3]) for i in range(n_starters)),
            read_s=0.25,
            n_visited=2**66,
            aliases=((Member("RSI", "5-20", 1), Member("RSI", "5-21", 2)),),
        ),
        **changes,
    )
    return with_ideas(result)


def build_picks(day: str = "2026-11-19", **changes: Any) -> DayPicks:
    group = build_group(3, 2)
    picks = DayPicks(
        run_id=None,
        day=day,
        assumed=True,
        picks={
            3: SizePick(rank=2, members=group.members, tickers=("AAPL", "BRK B"), fallback_from=1),
            4: None,
        },
        votes=(
            Vote(
                ticker="AAPL",
                n_groups=7,
                best_rank=2,
                size=3,
                members=("ALGO0 n=2, k=0", "caf\u00e9 \U0001f600"),
            ),
            Vote(ticker="BRK B", n_groups=1, best_rank=4, size=3, members=("ALGO1 n=2, k=1",)),
        ),
        warnings=("size 4: no group was kept; no pick",),
    )
    return replace(picks, **changes)


def build_outcome(day: str = "2026-11-19", **changes: Any) -> Outcome:
    held = Score(
        n_tickers=3,
        n_picks=2,
        n_unpriced=1,
        unpriced=("BRK-B",),
        n_hits=1,
        hit_rate_pp=50.0,
        mean_return_pp=1 / 3,
        hit_difference_pp=-1.5,
        return_difference_pp=0.1,
    )
    none = Score(
        n_picks=0,
        n_unpriced=0,
        n_hits=0,
        hit_rate_pp=None,
        mean_return_pp=None,
        hit_difference_pp=None,
        return_difference_pp=None,
    )
    outcome = Outcome(
        run_id=None,
        day=day,
        status=PickStatus.SCORED,
        session="2026-11-20",
        n_universe=503,
        universe_hit_rate_pp=51.5,
        universe_return_pp=0.25,
        sizes={3: held, 4: None},
        votes=none,
        note="2026-11-19 was no trading day",
    )
    return replace(outcome, **changes)


def build_request(source: str = "week.parquet", **changes: Any) -> Request:
    search = SearchSettings(**{"budget_s": 5.0, "workers": 2, **changes})
    return Request(source=SignalsFile(path=Path(source)), search=search)


def begin(target: Store, started_at: str = STARTED_AT, source: str = "week.parquet") -> str:
    request = build_request(source)
    with mock.patch("mp2.storage.database.now_text", return_value=started_at):
        return target.begin(request, input_fingerprint="f" * 64)


def begin_and_finish(target: Store, result: SearchResult) -> str:
    run_id = begin(target)
    target.finish(run_id, result)
    return run_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Store]:
    with Store(path, busy_timeout_s=0.05) as target:
        yield target


# --- round trip -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_groups": 0},
        {"starters": (), "n_starters": 0},
        {"status": Status.COMPLETE, "coverage": 1.0, "max_attempts": 1_000, "store_s": 0.5},
        {"tested_exact": False, "special": (), "warnings": ()},
        {"n_visited": 0, "aliases": ()},
        {"n_visited": None},
        {"aliases": tuple(tuple(Member("A;\n", "caf\u00e9", v) for v in range(n)) for n in (2, 5))},
        {"kept": {}, "picked_rank": {}},
        {"rules": Rules(max_size=8, retain_sizes=(2, 5, 8), top_k=7)},
    ],
)
def test_a_result_is_read_back_as_it_was_stored(opened: Store, changes: dict[str, Any]) -> None:
    result = build_result(**changes)
    run_id = begin_and_finish(opened, result)
    assert opened.load(run_id) == replace(result, run_id=run_id)


names = st.text(max_size=8)
counts = st.integers(0, 2**80)
sizes = st.integers(2, 8)
finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    texts=st.tuples(names, names, names),
    day=st.dates().map(str),
    attempts=counts,
    tested=st.dictionaries(sizes, counts).map(lambda tested: {3: 0} | tested),
    means=st.dictionaries(sizes, st.none() | finite),
    score=finite,
    tickers=st.lists(names, max_size=4).map(tuple),
    cursor=st.lists(st.integers(0, 2**31 - 1), max_size=8).map(tuple),
)
def test_any_names_and_numbers_survive(
    tmp_path_factory: pytest.TempPathFactory,
    texts: tuple[str, str, str],
    day: str,
    attempts: int,
    tested: dict[int, int],
    means: dict[int, float | None],
    score: float,
    tickers: tuple[str, ...],
    cursor: tuple[int, ...],
) -> None:
    algo, variation, warning = texts
    group = replace(
        build_group(3, 1, ()),
        score=score,
        members=(Member(algo, variation, 5),),
        days=(DayStats(day, 1, 1, 100.0, score),),
        consensus=(DayConsensus(day, tickers),),
    )
    starter = replace(
        build_starter(0),
        algo=algo,
        variation=variation,
        attempts=attempts,
        tested=tested,
        cursor=cursor,
    )
    result = build_result(
        attempts=attempts,
        tested=tested,
        score_mean=means,
        days=(day,),
        warnings=(warning,),
        kept={3: (group,)},
        starters=(starter,),
    )
    with Store(tmp_path_factory.mktemp("any") / "runs.db") as target:
        run_id = begin_and_finish(target, result)
        assert target.load(run_id) == replace(result, run_id=run_id)


def test_runs_are_kept_apart_and_outlive_the_connection(path: Path) -> None:
    results = [build_result(n_groups=n, n_starters=n) for n in (1, 2, 3)]
    with Store(path) as target:
        run_ids = [begin_and_finish(target, result) for result in results]
    with Store(path, read_only=True) as target:
        for run_id, result in zip(run_ids, results, strict=True):
            assert target.load(run_id) == replace(result, run_id=run_id)


def test_starters_can_be_left_out(opened: Store) -> None:
    run_id = begin_and_finish(opened, build_result())
    assert opened.load(run_id, starters=False) == build_result(run_id=run_id, starters=())


def test_starters_are_read_one_at_a_time(opened: Store) -> None:
    class Lazy(Sequence[StarterRecord]):
        def __len__(self) -> int:
            return 500

        def __getitem__(self, index: Any) -> Any:
            if not 0 <= index < len(self):
                raise IndexError(index)
            (n_stored,) = opened._connection.execute("SELECT count(*) FROM starter").fetchone()
            assert n_stored >= index - 1
            return build_starter(index)

    run_id = begin_and_finish(opened, build_result(starters=Lazy()))
    assert opened.load(run_id).starters == tuple(build_starter(i) for i in range(500))


def test_the_time_of_storing_is_added_afterwards(opened: Store) -> None:
    run_id = begin_and_finish(opened, build_result())
    opened.set_store_s(run_id, 0.125)
    assert opened.load(run_id) == build_result(run_id=run_id, store_s=0.125)


def test_a_source_that_is_not_unicode_is_kept_readable(opened: Store) -> None:
    begin(opened, source=os.fsdecode(b"we\xffek.csv"))
    assert opened.runs()[0].source == r"we\udcffek.csv"


# --- picks and outcomes ---------------------------------------------------------------------------


def test_picks_and_outcomes_of_several_days_are_read_back_by_day(path: Path) -> None:
    days = ("2026-11-20", "2026-11-19", "2026-11-23")
    with Store(path) as target:
        run_id, other = (
            begin_and_finish(target, build_result()),
            begin_and_finish(target, build_result()),
        )
        for day in days:
            target.save_picks(run_id, build_picks(day, assumed=day > "2026-11-20"))
        for day in days[:2]:
            target.save_outcome(run_id, build_outcome(day))
    with Store(path, read_only=True) as target:
        expected = tuple(
            build_picks(day, assumed=day > "2026-11-20", run_id=run_id) for day in sorted(days)
        )
        assert target.load_picks(run_id) == expected
        assert target.load_outcomes(run_id) == tuple(
            build_outcome(day, run_id=run_id) for day in sorted(days[:2])
        )
        assert target.load_picks(other) == target.load_outcomes(other) == ()


def test_picking_a_day_again_replaces_its_picks_and_drops_their_outcome(opened: Store) -> None:
    run_id = begin_and_finish(opened, build_result())
    opened.save_picks(run_id, build_picks())
    opened.save_outcome(run_id, build_outcome())
    opened.save_outcome(run_id, build_outcome(note=None))
    assert opened.load_outcomes(run_id) == (build_outcome(run_id=run_id, note=None),)
    opened.save_picks(run_id, build_picks(votes=()))
    assert opened.load_picks(run_id) == (build_picks(run_id=run_id, votes=()),)
    assert opened.load_outcomes(run_id) == ()


def test_picks_need_an_ended_run_and_outcomes_their_picks(opened: Store) -> None:
    running, ended = begin(opened), begin_and_finish(opened, build_result())
    with pytest.raises(InputError, match="has no result: it is still running"):
        opened.save_picks(running, build_picks())
    with pytest.raises(
        InputError, match=f"run {ended} has no picks for 2026-11-19; pick for that day first"
    ):
        opened.save_outcome(ended, build_outcome())
    pending = build_outcome(
        status=PickStatus.PENDING, note="2026-11-19 has no bar yet; the prices end at 2026-11-18"
    )
    with pytest.raises(
        InputError, match="no bar yet; the prices end at 2026-11-18; there is nothing to store yet"
    ):
        opened.save_outcome(ended, pending)
    for load in (opened.load_picks, opened.load_outcomes):
        with pytest.raises(InputError, match="no run 'nonsense'; there is"):
            load("nonsense")


@pytest.mark.parametrize(
    "damage",
    [
        """UPDATE day_picks SET picks = '{"3": 7}'""",
        """UPDATE day_picks SET votes = '[{"ticker": "A", "members": []}]'""",
        "UPDATE outcome SET votes = '[]'",
        """UPDATE outcome SET sizes = '{"three": null}'""",
    ],
)
def test_picks_that_make_no_sense_are_damage(opened: Store, damage: str) -> None:
    run_id = begin_and_finish(opened, build_result())
    opened.save_picks(run_id, build_picks())
    opened.save_outcome(run_id, build_outcome())
    opened._connection.execute(damage)
    with pytest.raises(
        StoreError, match=rf"runs\.db: run {run_id} is damaged and cannot be read back"
    ):
        (opened.load_picks(run_id), opened.load_outcomes(run_id))


# --- list, find, delete ---------------------------------------------------------------------------


def test_the_list_is_newest_first_with_the_status_of_each_run(opened: Store) -> None:
    done, failed, running = begin(opened), begin(opened), begin(opened, "2001-01-01T00:00:00Z")
    opened.finish(done, build_result())
    opened.abandon(failed)
    summaries = opened.runs()
    assert [(summary.run_id, summary.status) for summary in summaries] == [
        (running, "running"),
        (failed, "failed"),
        (done, "wall"),
    ]
    assert summaries[2] == RunSummary(
        run_id=done,
        started_at=STARTED_AT,
        source="week.parquet",
        status="wall",
        budget_s=5.0,
        elapsed_s=5.01,
        coverage=0.37,
        attempts=2**70,
        n_kept={3: 2, 4: 0},
        best_score={3: build_group(3, 1).score, 4: None},
        last_day=build_result().days[-1],
        p=None,
    )
    unfinished = summaries[0]
    assert (unfinished.elapsed_s, unfinished.coverage, unfinished.attempts) == (None, None, None)
    assert (unfinished.n_kept, unfinished.best_score) == ({}, {})


def test_a_run_id_is_its_start_in_utc_and_four_digits(opened: Store) -> None:
    run_id = begin(opened)
    assert run_id[:-4] == "20261122-153012-"
    assert len(bytes.fromhex(run_id[-4:])) == 2


def scripted_suffixes(monkeypatch: pytest.MonkeyPatch, *suffixes: str) -> None:
    left = iter(suffixes)
    monkeypatch.setattr(database.secrets, "token_hex", lambda _: next(left))


def test_a_run_id_in_use_is_not_given_again(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted_suffixes(monkeypatch, "aaaa", "aaaa", "aaaa", "bbbb")
    assert [begin(opened)[-4:] for _ in range(2)] == ["aaaa", "bbbb"]


def test_a_run_is_found_by_its_id_a_beginning_or_last(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_suffixes(monkeypatch, "aaaa", "aabb", "cccc")
    first, second, third = (begin(opened) for _ in range(3))
    assert opened.find(first) == first
    assert opened.find(second[:-1]) == second
    assert opened.find("last") == third


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "2026",
            "'2026' is the beginning of 20261122-153012-bbbb, 20261122-153012-aaaa; "
            "give more of it",
        ),
        ("1999", "no run '1999'; there is 20261122-153012-bbbb, 20261122-153012-aaaa$"),
        ("", "no run ''; there is"),
        ("%", "no run '%'; there is"),
        ("LAST", "no run 'LAST'; there is"),
    ],
)
def test_an_unknown_name_is_reported_with_the_ids_there_are(
    opened: Store, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    scripted_suffixes(monkeypatch, "aaaa", "bbbb")
    begin(opened), begin(opened)
    with pytest.raises(InputError, match=message):
        opened.find(name)


def test_many_runs_are_not_all_listed(opened: Store) -> None:
    for _ in range(8):
        begin(opened)
    with pytest.raises(InputError, match=r"and 3 more$"):
        opened.find("x")


def test_an_empty_store_is_reported(opened: Store) -> None:
    assert opened.runs() == []
    with pytest.raises(InputError, match=r"runs\.db: holds no run yet; run a search first"):
        opened.find("last")


def test_delete_takes_everything_of_a_run_and_nothing_else(opened: Store) -> None:
    gone, kept = begin_and_finish(opened, build_result()), begin_and_finish(opened, build_result())
    for run_id in (gone, kept):
        opened.save_picks(run_id, build_picks())
        opened.save_outcome(run_id, build_outcome())
    before = count_rows(opened)
    assert 0 not in before.values()
    opened.delete(gone)
    assert count_rows(opened) == {table: n // 2 for table, n in before.items()}
    assert opened.load(kept) == build_result(run_id=kept)
    with pytest.raises(InputError, match=f"no run '{gone}'; there is {kept}"):
        opened.delete(gone)
    opened.delete(kept)
    assert set(count_rows(opened).values()) == {0}


def count_rows(target: Store) -> dict[str, int]:
    tables = ("run", "starter", "kept_group", "day_picks", "outcome")
    return {
        table: target._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in tables
    }


# --- a run's life ---------------------------------------------------------------------------------


def test_only_an_ended_run_has_a_result(opened: Store) -> None:
    running, failed = begin(opened), begin(opened)
    opened.abandon(failed)
    with pytest.raises(InputError, match=f"run {running} has no result: it is still running"):
        opened.load(running)
    with pytest.raises(InputError, match=f"run {failed} has no result: the search failed"):
        opened.load(failed)
    with pytest.raises(InputError, match="no result"):
        opened.set_store_s(running, 1.0)
    with pytest.raises(InputError, match="no run 'x'"):
        opened.load("x")


def test_a_run_ends_once(opened: Store) -> None:
    run_id = begin_and_finish(opened, build_result())
    for end_again in (
        lambda: opened.finish(run_id, build_result(n_groups=0)),
        lambda: opened.abandon(run_id),
    ):
        with pytest.raises(StoreError, match=r"has already ended \(wall\); nothing was stored"):
            end_again()
    assert opened.load(run_id) == build_result(run_id=run_id)


def test_a_result_whose_run_was_deleted_is_refused(opened: Store) -> None:
    with pytest.raises(StoreError, match="run x was deleted meanwhile"):
        opened.finish("x", build_result())
    assert set(count_rows(opened).values()) == {0}


def pretend(target: Store, run_id: str, **columns: Any) -> None:
    for name, value in columns.items():
        target._connection.execute(f"UPDATE run SET {name} = ? WHERE run_id = ?", (value, run_id))


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_run_whose_process_died_is_interrupted(opened: Store) -> None:
    run_id = begin(opened)
    assert opened.runs()[0].status == "running"
    pretend(opened, run_id, pid=dead_pid())
    assert opened.runs()[0].status == "interrupted"
    with pytest.raises(InputError, match="its process ended before it could store one"):
        opened.load(run_id)
    opened.delete(run_id)
    assert opened.runs() == []


@pytest.mark.skipif(
    processes.process_start(os.getpid()) is None,
    reason="the system does not report when a process started",
)
def test_another_process_with_the_same_number_does_not_keep_a_run_alive(opened: Store) -> None:
    run_id = begin(opened)
    pretend(opened, run_id, process_start="1")
    assert opened.runs()[0].status == "interrupted"
    pretend(opened, run_id, process_start=processes.process_start(os.getpid()))
    assert opened.runs()[0].status == "running"
    assert processes.process_start(dead_pid()) is None


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(),
    reason="the system does not report when a process has ended",
)
def test_a_dead_process_that_was_not_waited_for_is_gone(opened: Store) -> None:
    run_id = begin(opened)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        pretend(opened, run_id, pid=process.pid, process_start=processes.process_start(process.pid))
        assert opened.runs()[0].status == "running"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended but not reaped
        assert opened.runs()[0].status == "interrupted"


def test_a_run_that_another_process_took_up_is_not_written_to(opened: Store) -> None:
    run_id = begin(opened)
    pretend(opened, run_id, pid=dead_pid())
    for write in (
        lambda: opened.save_state(run_id, SearchState()),
        lambda: opened.finish(run_id, build_result()),
        lambda: opened.abandon(run_id),
    ):
        with pytest.raises(
            StoreError,
            match=f"run {run_id} was resumed by another process meanwhile; nothing was stored",
        ):
            write()
    assert opened.runs()[0].status == "interrupted"


def test_a_run_elsewhere_that_never_wrote_is_interrupted_after_a_while(opened: Store) -> None:
    run_id = begin(opened)
    pretend(opened, run_id, pid=dead_pid(), host="elsewhere")
    assert opened.runs()[0].status == "running"
    pretend(opened, run_id, heartbeat_at="2026-11-22T15:30:12+00:00")
    assert opened.runs()[0].status == "interrupted"


def test_while_a_run_is_resumed_its_earlier_result_is_read(opened: Store) -> None:
    run_id = begin(opened)
    opened.finish(run_id, build_result(), SearchState())
    opened.resume(run_id, build_request(), input_fingerprint="f" * 64)
    assert opened.runs()[0].status == "running"
    assert opened.load(run_id) == build_result(run_id=run_id)
    with pytest.raises(InputError, match="is being resumed just now"):
        opened.save_picks(run_id, build_picks())


def test_picks_are_stored_with_the_result_or_neither(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = begin(opened)
    with monkeypatch.context() as patched:
        patched.setattr(rows, "day_row", lambda *_: {"run": None})
        with pytest.raises(StoreError):
            opened.finish(run_id, build_result(), picks=build_picks())
    assert opened.runs()[0].status == "running"
    assert count_rows(opened)["kept_group"] == 0
    opened.finish(run_id, build_result(), picks=build_picks())
    assert opened.load_picks(run_id) == (build_picks(run_id=run_id),)


def test_an_unknown_process_counts_as_running(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = begin(opened)
    pretend(opened, run_id, process_start=None)
    assert opened.runs()[0].status == "running"
    pretend(opened, run_id, pid=dead_pid(), host="elsewhere")
    assert opened.runs()[0].status == "running"

    def forbidden(pid: int, signal: int) -> None:
        raise PermissionError(pid, signal)

    monkeypatch.setattr(os, "kill", forbidden)
    pretend(opened, run_id, host=platform.node())
    assert opened.runs()[0].status == "running"


def test_a_run_at_work_here_cannot_be_deleted_one_elsewhere_can(opened: Store) -> None:
    run_id = begin(opened)
    with pytest.raises(
        InputError, match=f"run {run_id}: process {os.getpid()} still works on it; stop that first"
    ):
        opened.delete(run_id)
    pretend(opened, run_id, host="elsewhere")
    opened.delete(run_id)
    assert opened.runs() == []


KILLED_WHILE_STORING = """
import sys
from test_runs import *

class Endless(Sequence):
    def __len__(self): return 2
    def __getitem__(self, index):
        if index == 1:
            print("storing", flush=True)
            sys.stdin.read()
        return build_starter(index)

with Store(sys.argv[1]) as target:
    target.finish(begin(target), build_result(n_starters=2, starters=Endless()))
"""


@pytest.mark.slow
def test_a_process_killed_while_it_stores_leaves_no_half_result(path: Path, opened: Store) -> None:
    import_path = os.pathsep.join([str(Path(__file__).parent), *IMPORTS, *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_WHILE_STORING, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": import_path},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"storing"
        assert [summary.status for summary in opened.runs()] == ["running"]
        process.kill()
    assert [summary.status for summary in opened.runs()] == ["interrupted"]
    assert {table for table, n in count_rows(opened).items() if n} == {"run"}


# --- the file -------------------------------------------------------------------------------------


def test_the_file_is_made_private_in_wal_mode_with_its_version(path: Path) -> None:
    old_mask = os.umask(0)
    try:
        with Store(path) as target:
            run_id = begin(target)
            made = sorted(file.name for file in path.parent.iterdir())
            assert made == ["runs.db", "runs.db-shm", "runs.db-wal"]
            for file in path.parent.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
            pragmas = ("journal_mode", "user_version", "foreign_keys", "synchronous")
            values = [
                target._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas
            ]
            assert values == ["wal", schema.version(), 1, 2]
            target.finish(run_id, build_result())
    finally:
        os.umask(old_mask)
    assert [file.name for file in path.parent.iterdir()] == ["runs.db"]


def test_permissions_of_a_file_that_is_there_are_left_alone(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    with Store(path) as target:
        begin(target)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["a b?.db", "100%25#.db", "\u00fcn\u00efcode.db", "mode=ro&.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    with Store(tmp_path / name) as target:
        run_id = begin_and_finish(target, build_result())
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with Store(str(tmp_path / name), read_only=True) as target:
        assert target.load(run_id) == build_result(run_id=run_id)


def test_others_read_while_a_run_is_open(path: Path, opened: Store) -> None:
    done = begin_and_finish(opened, build_result())
    running = begin(opened)
    opened._connection.execute("BEGIN IMMEDIATE")
    with Store(path, read_only=True, busy_timeout_s=0.0) as reader:
        assert [summary.run_id for summary in reader.runs()] == [running, done]
        assert reader.load(done) == build_result(run_id=done)
    opened._connection.execute("ROLLBACK")
    opened.finish(running, build_result())


def test_reading_changes_nothing(path: Path) -> None:
    with Store(path) as target:
        run_id = begin_and_finish(target, build_result())
    before = path.read_bytes()
    with Store(path, read_only=True) as target:
        target.load(run_id)
        for change in (
            lambda: begin(target),
            lambda: target.delete(run_id),
            lambda: target.set_store_s(run_id, 1.0),
        ):
            with pytest.raises(
                StoreError, match=r"runs\.db: cannot be written; change the permissions"
            ):
                change()
    assert path.read_bytes() == before


def test_a_copy_where_nothing_may_be_written_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(path) as target:
        run_id = begin_and_finish(target, build_result())
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    with Store(path, read_only=True) as target:
        assert target.load(run_id) == build_result(run_id=run_id)
        assert [file.name for file in path.parent.iterdir()] == ["runs.db"]
    with pytest.raises(
        StoreError,
        match=r"runs\.db: cannot be written; change its permissions or pass another --db",
    ):
        Store(path)


def test_missing_permissions_are_reported(path: Path) -> None:
    Store(path).close()
    path.chmod(0o400)
    if os.access(path, os.W_OK):
        pytest.skip("nothing is forbidden to this user")
    Store(path, read_only=True).close()
    with pytest.raises(StoreError, match="cannot be written"):
        Store(path)
    path.chmod(0)
    with pytest.raises(StoreError, match="cannot be read"):
        Store(path, read_only=True)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"other\.db: cannot be created: Permission denied"):
            Store(path.parent / "other.db")
    finally:
        path.parent.chmod(0o700)


def write_text(path: Path) -> None:
    path.write_text("algo,variation,day,ticker\n" * 100)


def write_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE meta (a, b, c)")


def write_newer(path: Path) -> None:
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def write_old_format(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mp2_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")


def cut_short(path: Path) -> None:
    with Store(path) as target:
        begin_and_finish(target, build_result())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (Path.mkdir, "is a directory; name a file in it"),
        (write_text, "is not a database; pass another --db"),
        (write_foreign, "is a database of another program; pass another --db"),
        (
            write_newer,
            r"was made by a newer mp2 \(schema 99, this one knows \d+\); "
            r"upgrade mp2 or pass another --db",
        ),
        (
            write_old_format,
            "made by mp2 0.1.0: export with that version, or choose another --db",
        ),
        (cut_short, "is damaged; restore a copy or pass another --db"),
    ],
)
def test_what_is_no_store_is_refused_and_left_alone(
    path: Path, write: Callable[[Path], None], message: str, read_only: bool
) -> None:
    write(path)
    before = path.is_file() and path.read_bytes()
    with (
        pytest.raises(StoreError, match=rf"runs\.db: {message}") as caught,
        Store(path, read_only=read_only) as target,
    ):
        target.load(target.find("last"))
    assert "\n" not in str(caught.value)
    assert before == (path.is_file() and path.read_bytes())


@pytest.mark.parametrize("how", [{"read_only": True}, {"must_exist": True}])
def test_a_missing_file_is_not_made_for_reading(path: Path, how: dict[str, bool]) -> None:
    with pytest.raises(
        InputError, match=r"no database at .*runs\.db; run a search first or pass --db"
    ):
        Store(path, **how)
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
@pytest.mark.parametrize("read_only", [False, True])
def test_a_pipe_or_a_link_to_nothing_is_reported_and_not_waited_for(
    tmp_path: Path, read_only: bool
) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "link.db").symlink_to("nothing.db")
    with pytest.raises(StoreError, match=r"pipe\.db: is a pipe or a device; name a file"):
        Store(tmp_path / "pipe.db", read_only=read_only)
    with pytest.raises(
        StoreError, match=r"link\.db: is a link to nothing\.db, which does not exist"
    ):
        Store(tmp_path / "link.db", read_only=read_only)


def test_a_name_that_no_file_can_have_is_reported(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(
        StoreError, match="cannot be created: File name too long; pass another --db"
    ):
        Store(path)
    with pytest.raises(InputError, match="no database at"):
        Store(path, read_only=True)


def test_a_missing_directory_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError,
        match=r"runs\.db: cannot be created: No such file or directory; pass another --db",
    ):
        Store(tmp_path / "nowhere" / "runs.db")


def test_an_empty_file_becomes_a_store_and_has_no_runs_before(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreError, match="holds no run yet; run a search first"):
        Store(path, read_only=True)
    with Store(path) as target:
        assert target.runs() == []


def add_steps(monkeypatch: pytest.MonkeyPatch, *steps: str) -> None:
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, *steps))


def test_a_store_of_an_earlier_version_gets_what_later_ones_added(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(path) as target:
        run_id = begin_and_finish(target, build_result())
    before = path.read_bytes()
    added = ("ALTER TABLE run ADD later TEXT", "ALTER TABLE starter ADD more INTEGER DEFAULT 7")
    add_steps(monkeypatch, *added)
    with Store(path, read_only=True) as target:
        assert target.load(run_id) == build_result(run_id=run_id)
    assert path.read_bytes() == before, "reading changes nothing"
    for _ in range(2):
        with Store(path) as target:
            (row,) = target._connection.execute("SELECT DISTINCT more FROM starter")
            assert tuple(row) == (7,)
            (row,) = target._connection.execute("PRAGMA user_version")
            assert tuple(row) == (schema.version(),)
            assert target.load(run_id) == build_result(run_id=run_id)


def test_a_step_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(path).close()
    with monkeypatch.context() as patch:
        add_steps(patch, "ALTER TABLE run ADD later TEXT", "ALTER TABLE missing ADD x")
        with pytest.raises(StoreError, match="no such table: missing"):
            Store(path)
    with Store(path) as target:
        columns = [row["name"] for row in target._connection.execute("PRAGMA table_info(run)")]
        assert "later" not in columns


def test_many_may_make_the_same_file_at_once(path: Path) -> None:
    failures: list[BaseException] = []
    together = threading.Barrier(6)

    def make() -> None:
        try:
            together.wait(10)
            with Store(path) as target:
                begin_and_finish(target, build_result())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Store(path, read_only=True) as target:
        assert [summary.status for summary in target.runs()] == ["wall"] * 6


# --- failing writes -------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_that_was_there(path: Path, opened: Store) -> None:
    kept, run_id = begin_and_finish(opened, build_result()), begin(opened)
    before = count_rows(opened)
    (n_pages,) = opened._connection.execute("PRAGMA page_count").fetchone()
    opened._connection.execute(f"PRAGMA max_page_count = {n_pages + 2}")
    with pytest.raises(StoreError, match=r"runs\.db: the disk is full; free some space"):
        opened.finish(run_id, build_result(n_groups=500))
    assert count_rows(opened) == before
    assert opened.load(kept) == build_result(run_id=kept)
    opened._connection.execute("PRAGMA max_page_count = 100000")
    opened.finish(run_id, build_result(n_groups=500))
    assert opened.load(run_id) == build_result(n_groups=500, run_id=run_id)


def test_an_error_in_the_middle_of_a_result_stores_none_of_it(opened: Store) -> None:
    run_id = begin(opened)
    duplicate = (build_starter(1), build_starter(1))
    with pytest.raises(
        StoreError, match=r"the database reports an error \(UNIQUE constraint failed"
    ):
        opened.finish(run_id, build_result(starters=duplicate))

    def interrupted() -> Iterator[StarterRecord]:
        yield build_starter(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.finish(run_id, build_result(starters=interrupted()))
    assert {table for table, n in count_rows(opened).items() if n} == {"run"}
    opened.finish(run_id, build_result())
    assert opened.load(run_id) == build_result(run_id=run_id)


def test_a_locked_file_is_reported_after_the_wait(path: Path, opened: Store) -> None:
    run_id = begin(opened)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            StoreError, match=r"runs\.db: still locked by another program after 0\.05 s; try again"
        ):
            opened.finish(run_id, build_result())
        other.execute("ROLLBACK")
    opened.finish(run_id, build_result())
    assert opened.load(run_id) == build_result(run_id=run_id)


def test_a_file_locked_as_a_whole_cannot_be_opened(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="still locked by another program after 0 s"):
            Store(path, busy_timeout_s=0.0)


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ("""UPDATE run SET rules = '{"top_k": 0}'""", "rule top_k: 0 is outside"),
        ("UPDATE run SET days = NULL", "days: "),
        ("UPDATE run SET attempts = 'many'", "attempts: "),
        ("UPDATE run SET n_kept = '{}'", "KeyError"),
        ("UPDATE starter SET cursor = '7'", "starters.0.cursor: "),
        ("UPDATE kept_group SET body = '[[]]'", "kept.3.0: "),
        (
            "UPDATE kept_group SET body = json_remove(body, '$.members[0].algo') WHERE rank = 2",
            "kept.3.1.members.0.algo: Field required",
        ),
    ],
)
def test_a_wrong_value_is_reported_with_its_place(opened: Store, damage: str, place: str) -> None:
    run_id = begin_and_finish(opened, build_result())
    opened._connection.execute(damage)
    with pytest.raises(
        StoreError, match=rf"runs\.db: run {run_id} is damaged and cannot be read"
    ) as caught:
        opened.load(run_id)
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)
    opened.delete(run_id)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE run SET rules = '{'",
        "UPDATE run SET elapsed_s = '[]'",
        "UPDATE run SET pid = 0",
        "UPDATE run SET status = 'fine'",
        "UPDATE starter SET cursor = ''",
        "UPDATE kept_group SET score = 'x'",
    ],
)
def test_the_tables_refuse_what_cannot_be(opened: Store, damage: str) -> None:
    begin_and_finish(opened, build_result())
    with pytest.raises(sqlite3.IntegrityError):
        opened._connection.execute(damage)


def test_a_row_that_cannot_be_read_is_named_and_hides_no_other(opened: Store) -> None:
    damaged = begin_and_finish(opened, build_result())
    sound = begin_and_finish(opened, build_result())
    change = """UPDATE run SET n_kept = '{"three": 1}' WHERE run_id = ?"""
    opened._connection.execute(change, (damaged,))
    assert [summary.run_id for summary in opened.runs()] == [sound]
    (problem,) = opened.problems
    assert f"run {damaged} is damaged and cannot be read back (n_kept.three" in problem
    opened.delete(damaged)
    assert [summary.run_id for summary in opened.runs()] == [sound]


def test_damaged_pages_are_reported(path: Path) -> None:
    with Store(path) as target:
        run_id = begin_and_finish(target, build_result(n_groups=300))
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with (
        pytest.raises(StoreError, match=r"runs\.db: is damaged; restore a copy"),
        Store(path, read_only=True) as target,
    ):
        target.load(run_id)


def test_a_closed_store_lets_go_of_the_file_though_rows_were_left_unread(path: Path) -> None:
    with Store(path) as store:
        begin_and_finish(store, build_result(n_starters=9))
        unread = store._execute("SELECT * FROM starter")
        assert unread.fetchone()
    with closing(sqlite3.connect(path)) as connection:
        # WAL ends only for the last connection of a file.
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)


def test_a_closed_store_is_reported(path: Path) -> None:
    with Store(path) as target:
        pass
    target.close()
    with pytest.raises(StoreError, match="closed database"):
        target.runs()


# --- export ---------------------------------------------------------------------------------------


def test_the_table_of_groups_has_a_row_per_group() -> None:
    result = build_result(
        kept={4: (build_group(4, 1),), 3: (build_group(3, 1), build_group(3, 2))},
        picked_rank={3: 2, 4: None},
    )
    table = result.to_frame()
    assert table.select("size", "rank", "picked").rows() == [
        (3, 1, False),
        (3, 2, True),
        (4, 1, False),
    ]
    row = table.row(0, named=True)
    group = build_group(3, 1)
    assert row["members"] == "ALGO0 n=1, k=0 + ALGO1 n=1, k=1 + ALGO2 n=1, k=2"
    assert row["variation_idx"] == "10-11-12"
    assert (row["score"], row["second_worst_pp"], row["repeat_factor"]) == (group.score, 1 / 3, 1.5)
    assert [row[f"buys {day}"] for day in DAYS] == [10, 11, 12]
    assert [row[f"hits {day}"] for day in DAYS] == [8, 8, 8]
    assert row["consensus 2026-11-17"] == "AAPL BRK B T1"
    assert row["aliases"] == ""


def test_the_table_of_groups_names_what_members_are_identical_to() -> None:
    alike = (
        (Member("ALGO0", "n=1, k=0", 10), Member("ALGO0", "other", 7)),
        tuple(Member("ALGO2", f"n={n}", n) for n in (12, 13, 14)),
    )
    result = build_result(kept={3: (build_group(3, 1), build_group(3, 2))}, aliases=alike)
    table = result.to_frame()
    assert table["aliases"].to_list() == ["ALGO0 n=1, k=0 = other; ALGO2 n=12 = n=13, n=14", ""]


def test_the_table_has_the_same_columns_without_groups() -> None:
    empty, full = build_result(n_groups=0).to_frame(), build_result().to_frame()
    assert empty.height == 0
    assert empty.schema == full.schema
    assert full.columns[:9] == [
        "size",
        "rank",
        "idea",
        "family",
        "picked",
        "score",
        "members",
        "variation_idx",
        "aliases",
    ]
    assert full.columns[-3:] == ["buys 2026-11-18", "hits 2026-11-18", "consensus 2026-11-18"]


# --- many groups ----------------------------------------------------------------------------------


def test_a_large_result_is_written_in_parts_between_which_others_write(
    path: Path, opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "_BATCH_ROWS", 10)
    statuses = []

    def write_from_elsewhere(_: float) -> None:
        with Store(path, busy_timeout_s=0.0) as other:
            begin(other)
            statuses.append(other.status(run_id))

    monkeypatch.setattr(runs_module.time, "sleep", write_from_elsewhere)
    run_id = begin(opened)
    result = build_result(n_groups=25, n_starters=3)
    opened.finish(run_id, result)
    # Nobody takes it for ended before all of it is there.
    assert statuses == ["running"] * 4
    assert opened.load(run_id) == replace(result, run_id=run_id)


def test_a_run_that_dies_while_its_result_is_written_can_be_finished_later(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "_BATCH_ROWS", 10)

    def die(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs_module.time, "sleep", die)
    run_id = begin(opened)
    result = build_result(n_groups=25)
    with pytest.raises(KeyboardInterrupt):
        opened.finish(run_id, result)
    with pytest.raises(InputError, match="has no result"):
        opened.load(run_id)
    monkeypatch.setattr(runs_module.time, "sleep", lambda _: None)
    opened.finish(run_id, result)
    assert opened.load(run_id) == replace(result, run_id=run_id)


def test_only_the_groups_that_are_asked_for_are_read(opened: Store) -> None:
    result = build_result(n_groups=9, picked_rank={3: 7, 4: None})
    run_id = begin_and_finish(opened, result)
    loaded = opened.load(run_id, n_groups=2)
    assert [group.rank for group in loaded.groups(3)] == [1, 2, 7]
    assert loaded.ideas == result.ideas
    assert loaded.pick(3) == result.pick(3)
    assert loaded.n_kept == {3: 9, 4: 0}


def test_the_groups_that_stand_for_the_best_ideas_are_read(opened: Store) -> None:
    alike = tuple(replace(build_group(3, 1), rank=rank) for rank in range(1, 5))
    kept = {3: (*alike, *(build_group(3, rank) for rank in range(5, 8))), 4: ()}
    run_id = begin_and_finish(opened, build_result(kept=kept))
    loaded = opened.load(run_id, n_groups=2)
    assert [group.rank for group in loaded.groups(3)] == [1, 2, 5]
    assert [idea.n_groups for idea in loaded.ideas[3]] == [4, 1, 1, 1]


def test_ideas_that_an_earlier_version_did_not_store_are_found_in_a_whole_result(
    path: Path, opened: Store
) -> None:
    run_id = begin_and_finish(opened, build_result(n_groups=4))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE run SET ideas = NULL")
        connection.execute("UPDATE kept_group SET body = json_remove(body, '$.idea', '$.family')")
    assert opened.load(run_id) == build_result(n_groups=4, run_id=run_id)
    in_part = opened.load(run_id, n_groups=2)
    assert in_part.ideas == {}
    assert [group.idea for group in in_part.groups(3)] == [None, None]


def test_the_newest_runs_are_listed(opened: Store) -> None:
    for _ in range(5):
        begin_and_finish(opened, build_result())
    every = [run.run_id for run in opened.runs()]
    assert [run.run_id for run in opened.runs(2)] == every[:2]
    assert opened.count("run") == 5
