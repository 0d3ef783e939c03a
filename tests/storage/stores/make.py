"""Makes one of the files beside this one with the code of an older version: see the README here."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

TESTS = Path(__file__).parents[2]
GRIDS = "enabled = false\n[EMA]\nfast = [5, 8]\nslow = [16, 22]\n[RSI]\nperiod = [2, 5]\nlevel = [45, 50]\n"
GRIDS += "[SMA]\nperiod = [13, 25]\nmargin = [0, 0.01]\n"
RULES = ("--min-daily-hits", "3", "--top", "3", "--no-progress", "--budget", "50s")


def command(*args: object) -> None:
    """A command of the version that is imported."""
    from mp2.cli.main import main

    with suppress(SystemExit):
        main([str(arg) for arg in args])


def make(path: Path) -> None:
    """A search and whatever else the version can store, in a file of one piece that names no machine."""
    from mp2.storage import schema

    folder = Path.cwd()
    (folder / "week.csv").write_bytes(
        (TESTS / "oracle" / "golden" / "week-prices.csv").read_bytes()
    )
    command("search", "week.csv", *RULES, "--db", path)
    if schema.VERSION >= 2:
        from mp2.data.prices import to_frame
        from mp2.demo.market import make_market

        (folder / "grids.toml").write_text(GRIDS)
        to_frame(make_market(5, plant=False).prices).write_parquet("bars.parquet")
        command("run", "bars.parquet", "--grids", "grids.toml", *RULES, "--db", path)
    if schema.VERSION >= 4:
        store_scan(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in ("run", "scan") if schema.VERSION >= 4 else ("run",):
            connection.execute(
                f"UPDATE {table} SET host = 'elsewhere', pid = 1, process_start = '1'"
            )
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")


def store_scan(path: Path) -> None:
    """A scan of one scanner, put there by hand: there is no command for it yet in that version."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO scan VALUES (1, '20260105-100000-abcd', '2026-01-05T10:00:00+00:00', '2026-01-05', 'complete', "
            "'h', 1, '1', 'f', '[\"good\"]', 'concurrent', 8, 0.5, '[]')"
        )
        connection.execute(
            "INSERT INTO scan_outcome VALUES (1, 'good', 'test', 'ok', 0.4, 1, 1, 0, NULL, NULL, 0.4, '[]')"
        )
        connection.execute(
            "INSERT INTO scan_candidate VALUES (1, 'good', 0, 'AAPL', 'high', 'seen often', 'null')"
        )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
