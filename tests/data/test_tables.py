"""Every kind of file and frame gives the same rows; one that cannot be read is named."""

from __future__ import annotations

import csv
import gzip
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd
import polars as pl
import pytest
from signal_frames import (
    LONG,
    OUTCOMES,
    contents,
    problems_of,
    to_csv,
    to_sqlite,
    wide,
)

from mp2.data import databases, delimited, frames, parquet
from mp2.data.signal_reader import read_signals
from mp2.errors import ReadStoppedError


def test_every_source_gives_the_same_panel(
    as_source: Callable[[pl.DataFrame], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (frames, parquet):  # several batches also for a small table
        monkeypatch.setattr(kind, "BATCH_ROWS", 2)
    monkeypatch.setattr(databases, "_SQLITE_ROWS", 2)
    monkeypatch.setattr(delimited, "_CSV_BLOCK_BYTES", 50)
    panel = read_signals(as_source(LONG))
    assert panel.algos == ("RSI", "EMA")
    assert panel.variations == ("14-30", "7-20", "5", "9")
    assert panel.algo_of.tolist() == [0, 0, 1, 1]
    assert panel.days == ("2026-01-05", "2026-01-06")
    assert panel.tickers == ("AAPL", "MSFT", "ZION")
    assert panel.consistent
    assert panel.warnings == ()
    assert contents(panel) == {
        ("RSI", "14-30"): {("2026-01-06", "AAPL"): False, ("2026-01-06", "MSFT"): True},
        ("RSI", "7-20"): {("2026-01-05", "ZION"): True},
        ("EMA", "5"): {("2026-01-05", "AAPL"): False},
        ("EMA", "9"): {("2026-01-06", "MSFT"): True},
    }
    assert panel.base_win_rates.tolist() == [50.0, 50.0]
    assert panel.fingerprint == read_signals(LONG).fingerprint


def test_every_source_reports_the_same_faults(as_source: Callable[[pl.DataFrame], Any]) -> None:
    broken = LONG.with_columns(
        pl.Series("day", ["2026-01-06", "soon", None, "2026-02-30", "2026-01-05"]),
        pl.Series("ticker", [*"ABC", None, None]),
    )
    lines = [line.partition(": ")[2] for line in problems_of(as_source(broken))]
    assert sorted(lines) == [
        "column 'day', row 2: 'soon' is not a day; write YYYY-MM-DD or YYYYMMDD, "
        "or give --date-format (2 such rows)",
        "column 'day', row 3: null is no day; every row needs one",
        "column 'ticker', row 4: null is no ticker; every row needs one (2 such rows)",
    ]


def test_mixed_types_in_a_pandas_column_are_taken_as_text() -> None:
    mixed = pd.DataFrame(
        {
            "algo": ["A", 1],
            "variation": [2, "x"],
            "day": "2026-01-05",
            "ticker": "T",
            "win": [True, False],
        }
    )
    assert list(contents(read_signals(mixed))) == [("A", "2"), ("1", "x")]


def test_pandas_without_pyarrow_is_read_value_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    import narwhals as nw

    def refuse(_: object) -> None:
        raise ModuleNotFoundError("pyarrow")

    expected = read_signals(LONG).fingerprint
    monkeypatch.setattr(nw.DataFrame, "to_polars", refuse)
    assert read_signals(LONG.to_pandas()).fingerprint == expected
    lines = problems_of(LONG.with_columns(ticker=pl.lit(None, pl.String)).to_pandas())
    assert lines == [
        "signals: column 'ticker', row 1: null is no ticker; every row needs one (5 such rows)"
    ]


def test_csv_with_quotes_line_breaks_and_windows_line_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("A", f'va"r\n{i}, "x"', "2026-01-05", f"T{i}", "1") for i in range(40)]
    path = tmp_path / "quoted.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("algo", "variation", "day", "ticker", "win"), *rows])
    for block_bytes in (1, 7, 64, 1 << 20):
        monkeypatch.setattr(delimited, "_CSV_BLOCK_BYTES", block_bytes)
        panel = read_signals(path)
        assert panel.n_variations == 40
        assert panel.n_buys.tolist() == [1] * 40


def test_blank_lines_at_the_end_of_a_csv_are_no_rows(tmp_path: Path) -> None:
    path = to_csv(LONG, tmp_path)
    path.write_bytes(path.read_bytes() + b"\n\r\n")
    assert read_signals(path).fingerprint == read_signals(LONG).fingerprint


def test_a_column_of_no_use_may_occur_twice(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("x,algo,variation,day,ticker,win,x\n0,A,1,2026-01-05,T,1,0\n")
    assert read_signals(path).variations == ("1",)


def test_csv_with_byte_order_mark_and_no_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "bom.csv"
    path.write_bytes(
        b"\xef\xbb\xbfalgo,variation,day,ticker,win\nA,1,2026-01-05,NA,1\nA,1,2026-01-05,TRUE,0"
    )
    assert read_signals(path).tickers == ("NA", "TRUE")


def test_unclosed_quote_is_found_before_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_CSV_BLOCK_BYTES", 64)
    monkeypatch.setattr(delimited, "_CSV_RECORD_BYTES", 1 << 10)
    path = tmp_path / "open.csv"
    path.write_text(
        'algo,variation,day,ticker,win\n"A,1,2026-01-05,T,1\n' + "A,1,2026-01-05,T,1\n" * 1000
    )
    assert "unclosed quote" in problems_of(path)[0]


def refused_paths(folder: Path) -> Iterator[tuple[str, str]]:
    """Name of an unreadable file below `folder` and its message."""
    (folder / "folder.parquet").mkdir()
    yield "folder.parquet", "no file in it is a table, such as a .csv or .parquet file"
    yield "absent.parquet", "no such file"
    (folder / "signals.dat").write_bytes(bytes(100))
    yield "signals.dat", "unknown kind of file; expected text or one of .csv, .tsv, .txt, .tab, "
    for name in ("zeros.parquet", "zeros.db", "zeros.feather", "zeros.duckdb"):
        (folder / name).write_bytes(bytes(100))
        yield name, "cannot be read as a"
    (folder / "page.csv").write_text("\n<!DOCTYPE html>\n<p>Too many requests</p>")
    yield "page.csv", "is a web page, not a table; download the data themselves"
    (folder / "limit.csv").write_text('{\n "Information": "Thank you!"\n}\n')
    yield "limit.csv", 'is a JSON document, not a table: { "Information": "Thank you!" }; '
    (folder / "array.json").write_text('[{"algo": "A"}]')
    yield "array.json", 'is a JSON document, not a table: [{"algo": "A"}]; write one record a line'
    (folder / "broken.jsonl").write_text('{"algo": "A"}\n{"algo": ')
    yield "broken.jsonl", "cannot be read as JSON lines"
    with ZipFile(folder / "two.zip", "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    yield "two.zip", "holds 2 files (a.csv, b.csv) and one is read; unpack it and name the folder"
    LONG.write_parquet(folder / "packed.parquet")
    packed = gzip.compress((folder / "packed.parquet").read_bytes())
    (folder / "packed.parquet.gz").write_bytes(packed)
    yield "packed.parquet.gz", "holds a parquet file; unpack it first"
    (folder / "empty.parquet").touch()
    yield "empty.parquet", "cannot be read as a Parquet file"
    (folder / "empty.csv").touch()
    yield "empty.csv", "the file is empty; expected a header line with the column names"
    (folder / "cut.csv.gz").write_bytes(gzip.compress(LONG.write_csv().encode())[:-12])
    yield "cut.csv.gz", "cannot be read: Compressed file ended"
    (folder / "ragged.csv").write_text("algo,variation,day,ticker,win\nA,1,2026-01-05,T,1,2,3\n")
    yield "ragged.csv", "row 1 has 7 fields for 5 columns; quote a field that holds a comma"
    (folder / "latin.csv").write_bytes(
        b"algo,variation,day,ticker,win\n"
        + b"A,1,2026-01-05,T,1\n" * 4000
        + b"A,1,2026-01-05,\xe9\xe8,1\n"
    )
    yield "latin.csv", "row 4001 is not UTF-8 text; save the file as UTF-8"
    packed = bytearray(gzip.compress(LONG.write_csv().encode()))
    packed[30:60] = b"\x55" * 30
    (folder / "damaged.csv.gz").write_bytes(packed)
    yield "damaged.csv.gz", "cannot be read: "
    (folder / "twice.csv").write_text(
        "algo,variation,day,ticker,win,win,x,x\nA,1,2026-01-05,T,1,0,2,3\n"
    )
    yield "twice.csv", "2 columns are called 'win'; rename all but one"
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.csv")
        yield "pipe.csv", "is a pipe or device, and a table is read twice; save it as a file first"
    (folder / "header.csv").write_text("algo,variation,day,ticker,win\n")
    yield "header.csv", "the table has no rows"
    (folder / "empty.db").touch()
    yield "empty.db", "the database holds no table"
    cut = LONG.write_parquet(folder / "cut.parquet") or (folder / "cut.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(cut[: len(cut) // 2])
    yield "cut.parquet", "cannot be read as a Parquet file"
    claim = bytearray(cut)
    claim[-8:-4] = (0x7FFFFFFF).to_bytes(4, "little")
    (folder / "claim.parquet").write_bytes(claim)
    yield "claim.parquet", "cannot be read as a Parquet file: its footer is damaged"
    damaged = bytearray(cut)
    damaged[8:200] = bytes(192)
    (folder / "damaged.parquet").write_bytes(damaged)
    yield "damaged.parquet", "cannot be read as a Parquet file"


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for name, reason in refused_paths(tmp_path):
        (line,) = problems_of(tmp_path / name)
        assert line.startswith(f"{tmp_path / name}: {reason}")
        assert "\n" not in line


@pytest.mark.parametrize("source", [7, ["a"], {"algo": 1}, None, object()])
def test_what_is_no_table_is_refused(source: object) -> None:
    assert "give a path or a polars, pandas or pyarrow frame" in problems_of(source)[0]


def test_a_lazy_frame_that_fails_is_an_input_error(tmp_path: Path) -> None:
    assert problems_of(pl.scan_parquet(tmp_path / "absent.parquet"))[0].startswith(
        "signals: cannot read this polars.LazyFrame"
    )
    failing = LONG.lazy().with_columns(pl.col("day").str.to_date("%Y"))
    assert problems_of(failing)[0].startswith("signals: cannot read this polars.LazyFrame")


def test_a_table_that_changes_between_the_passes_is_refused() -> None:
    reads = iter([LONG, LONG.with_columns(ticker=pl.lit("NEW"))])
    changing = LONG.lazy().map_batches(lambda _: next(reads))
    assert problems_of(changing) == [
        "signals: the table changed while it was read; read it again when nothing writes to it"
    ]
    reads = iter([LONG, LONG.with_columns(day=pl.lit("2027-01-01"))])
    assert (
        "changed while it was read"
        in problems_of(LONG.lazy().map_batches(lambda _: next(reads)))[0]
    )


def test_sqlite_table_and_query(tmp_path: Path) -> None:
    path = to_sqlite(LONG, tmp_path, name='odd "name"')
    expected = read_signals(LONG).fingerprint
    assert read_signals(path).fingerprint == expected
    assert read_signals(path, table='odd "name"').fingerprint == expected
    assert read_signals(path, query='SELECT * FROM "odd ""name"""').fingerprint == expected
    newest = read_signals(path, query='SELECT * FROM "odd ""name""" ORDER BY day DESC, algo;')
    assert newest.algos == ("EMA", "RSI")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    assert problems_of(path) == [
        f'{path}: several tables; choose one with table: odd "name", other'
    ]


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        ({"table": "absent"}, "no table 'absent'; it holds signals"),
        ({"table": "signals", "query": "SELECT 1"}, "give table or query, not both"),
        (
            {"query": "SELEC 1"},
            'the query fails: near "SELEC": syntax error; give a SELECT that can be run on it',
        ),
        (
            {"query": "DELETE FROM signals"},
            "the query fails: attempt to write a readonly database; "
            "give a SELECT that can be run on it",
        ),
        ({"query": ""}, "the query returns no columns; give a SELECT"),
    ],
)
def test_sqlite_selections_that_fail(
    selection: Mapping[str, str], reason: str, tmp_path: Path
) -> None:
    path = to_sqlite(LONG, tmp_path)
    assert problems_of(path, **selection) == [f"{path}: {reason}"]
    assert read_signals(path).n_variations == 4


def test_sqlite_values_of_mixed_types(tmp_path: Path) -> None:
    rows = [("A", 1, 20260105, "T", 1, 2.5), ("A", "x", "2026-01-05", 7, "1.5", None)]
    path = tmp_path / "signals.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (algo, variation, day, ticker, open, close)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    panel = read_signals(path)
    assert contents(panel) == {
        ("A", "1"): {("2026-01-05", "T"): True},
        ("A", "x"): {("2026-01-05", "7"): False},
    }


@pytest.mark.parametrize("selection", [{"table": "t"}, {"query": "SELECT 1"}])
def test_a_selection_needs_a_database(selection: Mapping[str, str], tmp_path: Path) -> None:
    for source, name in (
        (LONG, "signals"),
        (to_csv(LONG, tmp_path), str(tmp_path / "signals.csv")),
    ):
        assert problems_of(source, **selection) == [
            f"{name}: table is for databases and workbooks, query for databases; leave them out"
        ]


@pytest.mark.parametrize("table", [LONG, wide()])
def test_a_stop_ends_the_reading(table: Any) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(ReadStoppedError, match="stopped while reading"):
        read_signals(table, outcomes=OUTCOMES, stop=stop)


@pytest.mark.parametrize("n_batches", [1, 4, 7])
def test_a_stop_is_seen_between_two_batches(
    n_batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopAfter(threading.Event):
        n_looks = 0

        def is_set(self) -> bool:
            self.n_looks += 1
            return self.n_looks > n_batches

    for kind in (frames, parquet):
        monkeypatch.setattr(kind, "BATCH_ROWS", 1)
    with pytest.raises(ReadStoppedError):
        read_signals(LONG, stop=StopAfter())


def test_a_stop_interrupts_a_query_that_yields_nothing_yet(tmp_path: Path) -> None:
    path = to_sqlite(LONG, tmp_path)
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT max(i) AS algo FROM n"
    )
    stop = threading.Event()
    timer = threading.Timer(0.05, stop.set)
    timer.start()
    with pytest.raises(ReadStoppedError):
        read_signals(path, query=endless, stop=stop)
    timer.join()


# --- folders -------------------------------------------------------------------------------------


def hive_folder(folder: Path) -> Path:
    for key, rows in LONG.group_by("algo", "variation", maintain_order=True):
        path = folder.joinpath(*map("{}={}".format, ("algo", "variation"), key), "part-0.parquet")
        path.parent.mkdir(parents=True)
        rows.drop("algo", "variation").write_parquet(path)
    return folder


def a_file_a_day(folder: Path) -> Path:
    for (day,), rows in LONG.group_by("day"):
        rows.write_csv(folder / f"{day}.csv")
    return folder


@pytest.mark.parametrize("make", [hive_folder, a_file_a_day])
def test_the_files_of_a_folder_are_one_table(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path)
    expected = read_signals(LONG)
    for source in (folder, folder / "**" / "*-*"):
        panel = read_signals(source, algos=expected.algos)
        assert set(panel.keys) == set(expected.keys)
        assert (panel.days, panel.tickers) == (expected.days, expected.tickers)
        assert panel.base_win_rates.tolist() == expected.base_win_rates.tolist()


def test_a_bad_file_of_a_folder_is_named_with_its_own_row(tmp_path: Path) -> None:
    folder = a_file_a_day(tmp_path)
    bad = folder / "2026-01-07.csv"
    LONG.head(2).with_columns(day=pl.Series(["2026-01-07", "soon"])).write_csv(bad)
    assert problems_of(folder)[0].startswith(f"{bad}: column 'day', row 2: 'soon' is not a day")
    LONG.head(2).drop("ticker").write_csv(bad)
    (problem,) = problems_of(folder)
    assert problem.startswith(f"{bad}: no column 'ticker', which {folder / '2026-01-05.csv'} has")
    bad.unlink()
    LONG.write_parquet(folder / "all.parquet")
    (problem,) = problems_of(folder)
    assert problem == (
        f"{folder}: 1 file of another kind than most, such as all.parquet; "
        "give a pattern, such as *.csv"
    )
