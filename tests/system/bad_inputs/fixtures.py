"""The files of a case's working directory, and those that cannot be written as text."""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import polars as pl
from commands import command_output
from market_bars import walk

from mp2.data.prices import to_frame

SIGNALS = "algo,variation,day,ticker,open,close\n" + "".join(
    f"{algo},{variation},2024-01-0{day},{ticker},10,{close}\n"
    for algo in "ABC"
    for variation in (1, 2)
    for day in (2, 3)
    for ticker, close in (("T000", 11), ("T001", 9))
)
"""Three algorithms with two variations each, two days, two tickers."""
GRIDS = """
enabled = false
[EMA]
fast = 5
slow = 16
[SMA]
period = 13
margin = 0
[RSI]
period = 9
level = 60
"""
LENIENT = (
    "--min-pooled-pp=0",
    "--max-mad-pp=100",
    "--max-iqr-pp=100",
    "--max-cv-buys=10",
    "--min-wilson-lb=-100",
)
SEARCH = (
    "--budget=20s",
    "--workers=1",
    "--min-daily-hits=0",
    "--no-progress",
    "--max-size=3",
    *LENIENT,
)


_INTERRUPT = "UPDATE run SET status = 'running', pid = 2000000000, process_start = '1'"


def make_standard(folder: Path) -> None:
    """Signals and prices, `mp2.db` with a search and a run, `stopped.db` with a cut search."""
    (folder / "signals.csv").write_text(SIGNALS)
    to_frame(walk(4, 60)).write_csv(folder / "prices.csv")
    (folder / "grids.toml").write_text(GRIDS)
    for db in ("mp2.db", "stopped.db"):
        command_output("search", folder / "signals.csv", *SEARCH, "--db", folder / db)
    command_output(
        "run",
        folder / "prices.csv",
        *SEARCH,
        "--grids",
        folder / "grids.toml",
        "--db",
        folder / "mp2.db",
    )
    for statements, db in (((), "mp2.db"), ((_INTERRUPT,), "stopped.db")):
        with _change(*statements, name=db)(folder):
            pass


# --- made for a case -----------------------------------------------------------------------------


@contextmanager
def made(names: Sequence[str], folder: Path) -> Iterator[None]:
    """Call the functions of these names in a folder; their effect lasts for the block."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(MAKERS[name](folder))
        yield


def _maker(make: Callable[[Path], object]) -> Callable[[Path], AbstractContextManager[None]]:
    """A function that makes files, as a context that keeps them."""

    @contextmanager
    def context(folder: Path) -> Iterator[None]:
        make(folder)
        yield

    return context


def _write(name: str, content: bytes) -> Callable[[Path], AbstractContextManager[None]]:
    return _maker(lambda folder: (folder / name).write_bytes(content))


def _change(
    *statements: str, name: str = "mp2.db"
) -> Callable[[Path], AbstractContextManager[None]]:
    """The database changed by SQL, as if by another program."""

    def change(folder: Path) -> None:
        with closing(sqlite3.connect(folder / name, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    return _maker(change)


def _as_directory(folder: Path) -> None:
    (folder / "mp2.db").unlink()
    (folder / "mp2.db").mkdir()


def _damage_pages(folder: Path) -> None:
    path = folder / "mp2.db"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def _cut_store(folder: Path) -> None:
    path = folder / "mp2.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _replace_store(folder: Path, *statements: str) -> None:
    (folder / "mp2.db").unlink()
    with closing(sqlite3.connect(folder / "mp2.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "mp2.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def _frame(name: str, **columns: object) -> Callable[[Path], AbstractContextManager[None]]:
    return _maker(lambda folder: pl.DataFrame(columns).write_parquet(folder / name))


def _cut_parquet(folder: Path) -> None:
    path = folder / "cut.parquet"
    pl.read_csv(folder / "signals.csv").write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])


_DAYS = ["2024-01-02", "2024-01-03"]
_TEXT = {"algo": ["A", "B"], "variation": ["1", "2"], "ticker": ["X", "Y"]}

MAKERS: Mapping[str, Callable[[Path], AbstractContextManager[None]]] = {
    "store is missing": _maker(lambda folder: (folder / "mp2.db").unlink()),
    "store is a directory": _maker(_as_directory),
    "store is text": _write("mp2.db", SIGNALS.encode() * 4),
    "store is empty": _write("mp2.db", b""),
    "store is another program's": _maker(
        lambda folder: _replace_store(folder, "CREATE TABLE notes (a)")
    ),
    "store is newer": _change("PRAGMA user_version = 99"),
    "store is of the old format": _maker(
        lambda folder: _replace_store(folder, "CREATE TABLE mp2_meta (name, value)")
    ),
    "store has damaged pages": _maker(_damage_pages),
    "store is cut": _maker(_cut_store),
    "store is locked": _locked,
    "store without runs": _change("DELETE FROM run"),
    "run is interrupted": _change(_INTERRUPT),
    "run is damaged": _change("UPDATE run SET days = NULL"),
    "run has a wrong type": _change("UPDATE run SET attempts = 'x'"),
    "group has a wrong type": _change(
        "UPDATE kept_group SET body = json_remove(body, '$.members[0].algo')"
    ),
    "two runs": _change("UPDATE run SET run_id = '20260101-000000-aaa' || run"),
    "signals.db": _change("CREATE TABLE a (x)", "CREATE TABLE b (y)", name="signals.db"),
    "empty.db": _write("empty.db", b""),
    "text.db": _write("text.db", b"algo,variation\n" * 100),
    "text.parquet": _write("text.parquet", b"algo,variation\n" * 100),
    "empty.parquet": _write("empty.parquet", b""),
    "cut.parquet": _maker(_cut_parquet),
    "days.parquet": _frame("days.parquet", **_TEXT, day=["soon", "2024-01-02"], win=[True, False]),
    "nested.parquet": _frame("nested.parquet", **_TEXT, day=_DAYS, win=[[1], [0]]),
    "nulls.parquet": _frame(
        "nulls.parquet", **{**_TEXT, "algo": ["A", None]}, day=_DAYS, win=[True, False]
    ),
    "far.parquet": _maker(
        lambda folder: (
            pl.DataFrame({**_TEXT, "day": [2**31 - 1, 0], "win": [True, False]})
            .with_columns(pl.col("day").cast(pl.Date))
            .write_parquet(folder / "far.parquet")
        )
    ),
    "latin.csv": _write(
        "latin.csv",
        b"algo,variation,day,ticker,win\n"
        + b"A,1,2024-01-02,X,1\n" * 4000
        + b"A,1,2024-01-02,\xe9,1\n",
    ),
    "binary.csv": _write("binary.csv", bytes(range(256)) * 8),
    "cut.csv.gz": _maker(
        lambda folder: (folder / "cut.csv.gz").write_bytes(gzip.compress(SIGNALS.encode())[:-30])
    ),
    "ragged.csv.gz": _write(
        "ragged.csv.gz", gzip.compress(b"algo,variation,day,ticker,win\nA,1,2024-01-02,X,1,1\n")
    ),
    "pipe.csv": _maker(lambda folder: os.mkfifo(folder / "pipe.csv")),
    "latin.toml": _write("latin.toml", b'log_file = "\xe9"\n'),
    "folder": _maker(lambda folder: (folder / "folder").mkdir()),
}
