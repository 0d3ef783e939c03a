"""A wrong value in any column of any table of the store is told as damage or does no harm: no crash, no lost list."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from places import STORES

from mp2.cli.views import json_text
from mp2.errors import Mp2Error
from mp2.groups.export import groups_table
from mp2.picks.records import Outcome, PickStatus, Score
from mp2.storage.runs import Store

STORE = STORES / "v4.sqlite"
"""Two runs, the later one with picks, and a scan."""

TABLES = (
    "run",
    "starter",
    "kept_group",
    "group_day",
    "day_picks",
    "outcome",
    "scan",
    "scan_outcome",
    "scan_candidate",
    "breaker",
)
DEEP = "[" * 5000
FEW = ("x'ff00'", "9e999", f"'{DEEP}'")
MANY = (
    *FEW, "'x'", "'[]'", "'{}'", "'7'", "-1", "4611686018427387904", "NULL", "'{\"3\": \"x\"}'", "'[\"x\"]'", "'[[1, 2, 3]]'",
    "'{\"3\": 1e999}'", "CAST(x'ff' AS TEXT)",
)  # fmt: skip
"""In SQL."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A store with a row in every table, as bytes."""
    path = tmp_path_factory.mktemp("sound") / "mp2.db"
    path.write_bytes(STORE.read_bytes())
    rates = dict.fromkeys(
        ("hit_rate_pp", "mean_return_pp", "hit_difference_pp", "return_difference_pp"), 0.5
    )
    score = Score(n_picks=2, n_unpriced=0, n_hits=1, **rates)
    with Store(path) as store:
        run_id = store.find("last")
        (picks,) = store.load_picks(run_id)
        outcome = Outcome(
            run_id=run_id,
            day=picks.day,
            status=PickStatus.SCORED,
            session=picks.day,
            sizes={3: score},
            votes=score,
        )
        store.save_outcome(run_id, outcome)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO breaker VALUES ('market_movers', 'open', 5, 1e9, 900.0)")
        connection.commit()
        assert all(
            connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in TABLES
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def columns(sound: bytes, table: str) -> list[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(sound[:18] + b"\1\1" + sound[20:])  # a log is nothing for memory
        return [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]


def damaged(
    sound: bytes, table: str, values: Sequence[str], folder: Path
) -> Iterator[tuple[Path, str]]:
    """The store with one wrong value in all rows of a column, in turn; those that the table itself refuses are left out."""
    path = folder / "mp2.db"
    for column in columns(sound, table):
        for value in values:
            path.write_bytes(sound)
            with (
                closing(sqlite3.connect(path, isolation_level=None)) as connection,
                suppress(sqlite3.IntegrityError),
            ):
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA ignore_check_constraints = ON")
                connection.execute(_update(table, column, value))
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            yield path, f"{table}.{column} = {value[:30]}"


def _update(table: str, column: str, value: str) -> str:
    newest = {"run": " WHERE run = 2", "scan": " WHERE scan = 1"}
    return f"UPDATE {table} SET {column} = {value}{newest.get(table, '')}"


@pytest.mark.parametrize(
    "values", [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("table", TABLES)
def test_a_wrong_value_is_told_and_hides_nothing_else(sound, table, values, tmp_path):
    for path, damage in damaged(sound, table, values, tmp_path):
        try:
            _use(path)
        except Exception as error:
            raise AssertionError(damage) from error


def _use(path: Path) -> None:
    """Everything that is read, as documents."""
    with Store(path, read_only=True) as store:
        runs, scans = store.runs(), store.scans()
        assert (len(runs), len(scans)) == (2, 1)
        assert json.loads(json_text([one.n_kept for one in runs]))
        store.breakers()
        with suppress(Mp2Error):
            result = store.load(store.find("last"))
            assert json.loads(json_text(result.to_dict()))
            groups_table(result).write_csv()
        for read in (store.load_picks, store.load_outcomes):
            with suppress(Mp2Error):
                assert (
                    json.loads(json_text([one.to_dict() for one in read(store.find("last"))]))
                    is not None
                )
        with suppress(Mp2Error):
            assert json.loads(json_text(store.load_scan(store.find_scan("last")).to_dict()))


COMMANDS = {
    "run": (
        "runs delete last",
        "runs list",
        "runs show last",
        "runs show last --json",
        "runs export last",
        "resume last",
    ),
    "starter": ("runs show last", "runs export last --format json"),
    "kept_group": ("runs show last", "runs show last --json", "runs export last"),
    "group_day": ("runs show last", "runs show last --json"),
    "day_picks": ("runs show last", "runs show last --json"),
    "scan": ("scans delete last", "scans list", "scans list --json", "scans show last"),
    "scan_outcome": ("scans list", "scans show last", "scans show last --json"),
    "scan_candidate": ("scans show last", "scans show last --json"),
    "breaker": ("scanners list",),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "command"), [(table, command) for table in COMMANDS for command in COMMANDS[table]]
)
def test_a_command_ends_with_its_output_or_with_one_message(sound, table, command, mp2, here):
    for path, damage in damaged(sound, table, MANY, here):
        code, out, err = mp2("--db", path, *command.split())
        assert "internal error" not in err, (damage, err)
        assert code in (0, 1, 2, 3, 4), damage
        assert code == 0 or "--json" in command or not out, damage
