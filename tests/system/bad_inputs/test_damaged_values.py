"""A wrong value in a column of the store is refused by its table, or reported, row by row."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from places import STORES

from mp2.cli.views import json_text
from mp2.errors import Mp2Error
from mp2.storage.runs import Store
from mp2.storage.track import track

STORE = STORES / "v11.sqlite"
"""Three runs, the second with picks and their outcome, a walk-forward, and a scan."""

WITH_PICKS = 2
TABLES = (
    "run",
    "starter",
    "kept_group",
    "day_picks",
    "outcome",
    "walk",
    "walk_week",
    "scan",
    "scan_outcome",
    "scan_candidate",
    "breaker",
)
FEW = ("x'ff00'", "9e999", "'[]'")
ALL = (
    *FEW, "'x'", "'{}'", "'7'", "-1", "4611686018427387904", "NULL", "'{\"3\": \"x\"}'",
    "'[\"x\"]'", "'[[1, 2, 3]]'", "'{\"3\": 1e999}'", "CAST(x'ff' AS TEXT)",
)  # fmt: skip
"""In SQL."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A store with a row in every table, as bytes."""
    path = tmp_path_factory.mktemp("sound") / "mp2.db"
    shutil.copy(STORE, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO breaker VALUES ('market_movers', 'open', 5, 1e9, 900.0)")
    return path.read_bytes()


def columns(path: Path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]


def damaged(
    sound: bytes, table: str, folder: Path, *, thorough: bool
) -> Iterator[tuple[Path, str]]:
    """The store with one wrong value in a column, in turn, that the table accepts.

    Columns get their first such value of `FEW`, each begins with another; if `thorough`, `ALL`.
    """
    path = folder / "mp2.db"
    path.write_bytes(sound)
    for number, column in enumerate(columns(path, table)):
        first = number % len(FEW)
        for value in ALL if thorough else FEW[first:] + FEW[:first]:
            path.write_bytes(sound)
            if not _updated(path, table, column, value):
                continue
            yield path, f"{table}.{column} = {value[:30]}"
            if not thorough:
                break


def _updated(path: Path, table: str, column: str, value: str) -> bool:
    """Set a column; return whether the table accepts the value."""
    which = f" WHERE run = {WITH_PICKS}" if table == "run" else ""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            connection.execute(f"UPDATE {table} SET {column} = {value}{which}")
        except sqlite3.IntegrityError:
            return False
    return True


@pytest.mark.parametrize(
    "thorough",
    [pytest.param(False, id="few"), pytest.param(True, id="all", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("table", TABLES)
def test_a_wrong_value_is_reported_and_hides_nothing_else(sound, table, thorough, tmp_path):
    for path, damage in damaged(sound, table, tmp_path, thorough=thorough):
        try:
            _use(path)
        except Exception as error:
            raise AssertionError(damage) from error


def _use(path: Path) -> None:
    """Everything that is read, as documents."""
    with Store(path, read_only=True) as store:
        runs, scans, walks = store.runs(), store.scans(), store.walks()
        # A damaged outcome is a problem, and its run is listed all the same.
        n_outcomes = sum("an outcome of run" in problem for problem in store.problems)
        assert len(runs) + len(scans) + len(walks) + len(store.problems) == 5 + n_outcomes
        assert len(runs) >= 2
        assert json.loads(json_text([run.n_kept for run in runs]))
        store.breakers()
        assert json.loads(json_text(track(store).to_dict()))
        for walk in walks:
            with suppress(Mp2Error):
                assert json.loads(json_text(store.load_walk(walk.walk_id).to_dict()))
        for run in runs:
            with suppress(Mp2Error):
                result = store.load(run.run_id)
                assert json.loads(json_text(result.to_dict()))
                result.to_frame().write_csv()
            for read in (store.load_picks, store.load_outcomes):
                with suppress(Mp2Error):
                    text = json_text([record.to_dict() for record in read(run.run_id)])
                    assert json.loads(text) is not None
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
    "day_picks": ("runs show last", "runs show last --json"),
    "outcome": ("runs list", "track", "runs compare last last"),
    "walk": ("walks list", "walks show last", "walkforward --resume last", "walks delete last"),
    "walk_week": ("walks list --json", "walks show last --json"),
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
    for path, damage in damaged(sound, table, here, thorough=True):
        code, out, err = mp2("--db", path, *command.split())
        assert "internal error" not in err, (damage, err)
        assert code in (0, 1, 2, 3, 4), damage
        assert code == 0 or "--json" in command or not out, damage
