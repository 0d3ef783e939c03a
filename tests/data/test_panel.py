"""Reading signals: every source gives the same panel, all problems come at once, little memory."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import os
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from math import inf, nan, prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Signals, from_rows
from places import GOLDEN, REAL_WEEK

from mp2.data import bitset, tables
from mp2.data.panel import SignalPanel
from mp2.data.signal_reader import read_signals
from mp2.errors import InputError, ReadStoppedError
from mp2.groups.space import panel_summary

COLUMNS = ("algo", "variation", "day", "ticker", "open", "close")
ROWS = [
    ("RSI", "14-30", "2026-01-06", "MSFT", 10.0, 11.0),
    ("RSI", "14-30", "2026-01-06", "AAPL", 10.0, 9.0),
    ("EMA", "5", "2026-01-05", "AAPL", 7.0, 7.0),
    ("RSI", "7-20", "2026-01-05", "ZION", 3.0, 3.5),
    ("EMA", "9", "2026-01-06", "MSFT", 10.0, 11.0),
]
LONG = pl.DataFrame(ROWS, schema=list(COLUMNS), orient="row")


def frame(*rows: tuple[Any, ...], columns: tuple[str, ...] = COLUMNS) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=list(columns), orient="row")


def win_frame(*rows: tuple[Any, ...], **types: Any) -> pl.DataFrame:
    return pl.DataFrame(
        list(rows),
        schema=["algo", "variation", "day", "ticker", "win"],
        schema_overrides=types,
        orient="row",
    )


def contents(panel: SignalPanel) -> dict[tuple[str, str], dict[tuple[str, str], bool]]:
    """(algo, variation) -> (day, ticker) -> won, in variation order."""
    buys = bitset.unpack(panel.buys, len(panel.tickers))
    wins = bitset.unpack(np.broadcast_to(panel.wins, panel.buys.shape), len(panel.tickers))
    keys = [(panel.algos[a], name) for a, name in zip(panel.algo_of, panel.variations, strict=True)]
    return {
        key: {
            (panel.days[d], panel.tickers[t]): bool(wins[v, d, t])
            for d, t in np.argwhere(buys[v]).tolist()
        }
        for v, key in enumerate(keys)
    }


def problems_of(*args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_signals(*args, **kwargs)
    return list(caught.value.problems)


# --- sources -------------------------------------------------------------------------------------


def to_parquet(table: pl.DataFrame, folder: Path) -> Path:
    table.write_parquet(folder / "signals.parquet", row_group_size=2)
    return folder / "signals.parquet"


def to_csv(table: pl.DataFrame, folder: Path) -> Path:
    table.write_csv(folder / "signals.csv")
    return folder / "signals.csv"


def to_csv_gz(table: pl.DataFrame, folder: Path) -> Path:
    path = folder / "signals.csv.gz"
    path.write_bytes(gzip.compress(table.write_csv().encode()))
    return path


def to_sqlite(table: pl.DataFrame, folder: Path, name: str = "signals") -> Path:
    path = folder / "signals.db"
    connection = sqlite3.connect(path)
    quoted = '"' + name.replace('"', '""') + '"'
    connection.execute(f"CREATE TABLE {quoted} ({', '.join(table.columns)})")
    connection.executemany(
        f"INSERT INTO {quoted} VALUES ({', '.join('?' * table.width)})", table.rows()
    )
    connection.commit()
    connection.close()
    return path


def to_categories(table: pl.DataFrame, _: Path) -> pl.DataFrame:
    return table.with_columns(pl.col("algo", "ticker").cast(pl.Categorical))


SOURCES: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "parquet": to_parquet,
    "parquet as text": lambda table, folder: str(to_parquet(table, folder)),
    "csv": to_csv,
    "csv.gz": to_csv_gz,
    "sqlite": to_sqlite,
    "polars": lambda table, _: table,
    "polars lazy": lambda table, _: table.lazy(),
    "polars scan": lambda table, folder: pl.scan_parquet(to_parquet(table, folder)),
    "polars categories": to_categories,
    "pandas": lambda table, _: table.to_pandas(),
    "pandas categories": lambda table, _: table.to_pandas().astype(
        {"algo": "category", "ticker": "category"}
    ),
    "pandas with index": lambda table, _: table.to_pandas().set_index(["day", "algo"]),
    "pandas of objects": lambda table, _: table.to_pandas().astype(object),
    "pyarrow": lambda table, _: table.to_arrow(),
}


@pytest.fixture(params=SOURCES)
def as_source(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[pl.DataFrame], Any]:
    return lambda table: SOURCES[request.param](table, tmp_path)


def test_every_source_gives_the_same_panel(
    as_source: Callable[[pl.DataFrame], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 2)  # several batches also for a small table
    monkeypatch.setattr(tables, "_SQLITE_ROWS", 2)
    monkeypatch.setattr(tables, "_CSV_BLOCK_BYTES", 50)
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
        "column 'day', row 2: 'soon' is not a day; write YYYY-MM-DD or YYYYMMDD (2 such rows)",
        "column 'day', row 3: null is no day; every row needs one",
        "column 'ticker', row 4: null is no ticker; every row needs one (2 such rows)",
    ]


def test_arrays_are_read_only_contiguous_and_of_the_promised_shape() -> None:
    panel = read_signals(LONG)
    arrays = {
        "algo_of": np.int32,
        "buys": np.uint64,
        "wins": np.uint64,
        "base_win_rates": np.float64,
    }
    for name, dtype in arrays.items():
        array = getattr(panel, name)
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    assert panel.buys.shape == (4, 2, 1)
    assert panel.wins.shape == (2, 1)
    assert panel.n_variations == 4
    assert panel.variations_per_algo == (2, 2)
    assert panel.n_buys.tolist() == [2, 1, 1, 1]
    assert panel.n_bytes == sum(getattr(panel, name).nbytes for name in arrays)


def test_other_column_names() -> None:
    renamed = LONG.rename({"algo": "Strategy", "day": "Date", "close": "Close"})
    panel = read_signals(renamed, columns={"algo": "Strategy", "day": "Date", "close": "Close"})
    assert panel.fingerprint == read_signals(LONG).fingerprint


def test_one_column_may_serve_two_roles() -> None:
    panel = read_signals(LONG.drop("variation"), columns={"variation": "algo"})
    assert panel.variations == ("RSI", "EMA")


def test_numbers_serve_as_names() -> None:
    panel = read_signals(frame((1, 14, 20260106, 600519, 1.0, 2.0), (1, 7, 20260105, 1, 1.0, 2.0)))
    assert panel.algos == ("1",)
    assert panel.variations == ("14", "7")
    assert panel.tickers == ("1", "600519")
    assert panel.days == ("2026-01-05", "2026-01-06")


def test_names_that_could_run_together_stay_apart() -> None:
    keys = [("a", "bc"), ("ab", "c"), ("1:a", ""), ("1", ":a"), ("é", "1:"), ("", "é1:")]
    panel = read_signals(frame(*((*key, "2026-01-05", "T", 1.0, 2.0) for key in keys)))
    assert list(contents(panel)) == keys


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
        monkeypatch.setattr(tables, "_CSV_BLOCK_BYTES", block_bytes)
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


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([5_000_000, -2_000_000], pl.Date), ([2**62, -(2**62)], pl.Datetime("ms"))],
    ids=["date", "datetime"],
)
def test_days_beyond_the_calendar_are_no_days(values: list[int], dtype: Any) -> None:
    days = pl.Series("day", [*values, None], dtype=pl.Int32 if dtype == pl.Date else pl.Int64).cast(
        dtype
    )
    rows = pl.DataFrame([days]).with_columns(
        algo=pl.lit("A"), variation=pl.lit("1"), ticker=pl.lit("T"), win=pl.lit(1)
    )
    assert problems_of(rows) == [
        f"signals: column 'day', row 1: {values[0]} is not a day; "
        "write YYYY-MM-DD or YYYYMMDD (2 such rows)",
        "signals: column 'day', row 3: null is no day; every row needs one",
    ]


def test_columns_without_text_names_are_listed() -> None:
    assert "it has 0, 1; give" in problems_of(pd.DataFrame([[1, 2]]))[0]


def test_csv_with_byte_order_mark_and_no_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "bom.csv"
    path.write_bytes(
        b"\xef\xbb\xbfalgo,variation,day,ticker,win\nA,1,2026-01-05,NA,1\nA,1,2026-01-05,TRUE,0"
    )
    assert read_signals(path).tickers == ("NA", "TRUE")


def test_unclosed_quote_is_found_before_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_CSV_BLOCK_BYTES", 64)
    monkeypatch.setattr(tables, "_CSV_RECORD_BYTES", 1 << 10)
    path = tmp_path / "open.csv"
    path.write_text(
        'algo,variation,day,ticker,win\n"A,1,2026-01-05,T,1\n' + "A,1,2026-01-05,T,1\n" * 1000
    )
    assert "unclosed quote" in problems_of(path)[0]


# --- what a win is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("open_", "close", "won"),
    [(1.0, 2.0, True), (2.0, 2.0, False), (2.0, 1.0, False), (None, 2.0, False),
     (1.0, None, False), (1.0, nan, False),
     (1.0, inf, False), (-inf, 1.0, False), (nan, nan, False)],
)  # fmt: skip
@pytest.mark.parametrize("source", ["polars", "csv", "sqlite", "pandas", "parquet"])
def test_a_win_needs_two_finite_prices_and_a_rise(
    open_: float | None, close: float | None, won: bool, source: str, tmp_path: Path
) -> None:
    rows = frame(
        ("A", "1", "2026-01-05", "T", open_, close), ("A", "1", "2026-01-05", "U", 1.0, 2.0)
    )
    panel = read_signals(SOURCES[source](rows, tmp_path))
    finite = None not in (open_, close) and np.isfinite([open_, close]).all()
    assert contents(panel)["A", "1"]["2026-01-05", "T"] is won
    assert panel.base_win_rates.tolist() == [100.0 * (won + 1) / (1 + finite)]
    assert len(panel.warnings) == (not finite)
    assert all(
        "rows with a missing or non-finite open or close: 1, counted as no win" in line
        for line in panel.warnings
    )


def test_prices_are_compared_in_their_own_width() -> None:
    narrow = frame(("A", "1", "2026-01-05", "T", 0.1, 0.1)).with_columns(
        pl.col("open", "close").cast(pl.Float32)
    )
    assert not read_signals(narrow).wins.any()
    above = narrow.with_columns(
        close=pl.Series(np.nextafter(np.float32(0.1), np.float32(1), dtype=np.float32)[None])
    )
    assert read_signals(above).wins.any()


@pytest.mark.parametrize(
    "dtype", [pl.Int32, pl.Int64, pl.UInt8, pl.Decimal(10, 2), pl.Float32, pl.String]
)
def test_prices_of_every_numeric_type(dtype: Any) -> None:
    rows = frame(("A", "1", "2026-01-05", "T", 9, 10), ("A", "1", "2026-01-05", "U", 10, 9))
    panel = read_signals(rows.with_columns(pl.col("open", "close").cast(dtype)))
    assert contents(panel)["A", "1"] == {("2026-01-05", "T"): True, ("2026-01-05", "U"): False}


@pytest.mark.parametrize(
    "values",
    [[True, False, None], [1, 0, None], [1.0, 0.0, nan], [1.0, 0.0, None], ["1", "0", ""],
     [" TRUE", "false", "NA"],
     ["1.0", "0.0", "nan"]],
)  # fmt: skip
def test_the_win_column_is_used_as_it_is_and_nulls_are_counted(
    values: list[Any], as_source: Callable[..., Any]
) -> None:
    rows = win_frame(
        *(
            ("A", "1", "2026-01-05", ticker, value)
            for ticker, value in zip("TUV", values, strict=True)
        )
    )
    panel = read_signals(as_source(rows))
    assert list(contents(panel)["A", "1"].values()) == [True, False, False]
    assert panel.base_win_rates.tolist() == [100 / 3]
    assert len(panel.warnings) == 1
    assert "rows without a win value: 1, counted as no win" in panel.warnings[0]


def test_the_win_column_goes_before_prices_and_prices_choose_the_pairs_of_the_base_rate() -> None:
    rows = frame(
        ("A", "1", "2026-01-05", "T", 1.0, 2.0, 0),
        ("A", "1", "2026-01-05", "U", 2.0, 1.0, 1),
        ("A", "1", "2026-01-05", "V", None, 1.0, 1),
        columns=(*COLUMNS, "win"),
    )
    panel = read_signals(rows)
    assert list(contents(panel)["A", "1"].values()) == [False, True, True]
    assert panel.base_win_rates.tolist() == [50.0]
    assert "left out of the base win rates" in panel.warnings[0]


def test_a_lone_price_beside_a_win_column_is_no_price() -> None:
    rows = win_frame(("A", "1", "2026-01-05", "T", 1)).with_columns(open=pl.lit(None, pl.Float64))
    panel = read_signals(rows)
    assert panel.base_win_rates.tolist() == [100.0]
    assert panel.warnings == ()


def test_duplicates_collapse_into_a_win_if_any_wins() -> None:
    buy = ("A", "1", "2026-01-05", "T")
    panel = read_signals(
        win_frame((*buy, 0), (*buy, 1), (*buy, 0), ("B", "1", "2026-01-05", "T", 1))
    )
    assert contents(panel)["A", "1"] == {("2026-01-05", "T"): True}
    assert panel.consistent
    assert panel.base_win_rates.tolist() == [100.0]
    assert panel.warnings == (
        "signals: duplicate rows of one (variation, day, ticker): 2, collapsed",
    )


def test_inconsistent_wins_are_kept_by_variation() -> None:
    panel = read_signals(
        win_frame(("A", "1", "2026-01-05", "T", 1), ("B", "1", "2026-01-05", "T", 0))
    )
    assert not panel.consistent
    assert panel.wins.shape == panel.buys.shape
    assert contents(panel) == {
        ("A", "1"): {("2026-01-05", "T"): True},
        ("B", "1"): {("2026-01-05", "T"): False},
    }
    assert panel.base_win_rates.tolist() == [100.0]
    assert "some rows and lose in others" in panel.warnings[0]


# --- days ----------------------------------------------------------------------------------------


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    "days",
    [
        pl.Series(["2026-01-05"]),
        pl.Series(["20260105"]),
        pl.Series([" 2026-01-05T23:30:00"]),
        pl.Series(["2026-01-05 23:30:00.123456"]),
        pl.Series(["2026-01-05T23:30:00Z"]),
        pl.Series([20260105]),
        pl.Series([20260105.0]),
        pl.Series([datetime.date(2026, 1, 5)]),
        pl.Series([datetime.datetime(2026, 1, 5, 23, 30)]),
        pl.Series([datetime.datetime(2026, 1, 4, 23, 30)])
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(BERLIN),
        pl.Series(["2026-01-05"], dtype=pl.Categorical),
    ],
)
def test_days_in_every_form(days: pl.Series) -> None:
    rows = win_frame(("A", "1", None, "T", 1)).with_columns(days.alias("day"))
    assert read_signals(rows).days == ("2026-01-05",)
    assert read_signals(rows.to_pandas()).days == ("2026-01-05",)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("05.01.2026", "'05.01.2026'"), ("2026-13-01", "'2026-13-01'"), ("2026-01", "'2026-01'"),
     (1767571200, "1767571200"),
     (20260105.5, "20260105.5"), ("2026-01-05 noon", "'2026-01-05 noon'"), (True, "True"),
     ("2026-W02-1", "'2026-W02-1'"),
     ([1], "[1]"), (b"x", "b'x'"), (datetime.time(9), "datetime.time(9, 0)")],
)  # fmt: skip
def test_unparsable_days(value: Any, shown: str) -> None:
    rows = pl.DataFrame(
        {"algo": ["A"], "variation": ["1"], "day": [value], "ticker": ["T"], "win": [1]}
    )
    assert problems_of(rows) == [
        f"signals: column 'day', row 1: {shown} is not a day; write YYYY-MM-DD or YYYYMMDD"
    ]


def test_days_adds_days_without_a_buy() -> None:
    panel = read_signals(LONG, days=["2026-01-07", 20260102, datetime.date(2026, 1, 5)])
    assert panel.days == ("2026-01-02", "2026-01-05", "2026-01-06", "2026-01-07")
    assert panel.base_win_rates.tolist() == [0.0, 50.0, 50.0, 0.0]
    assert panel.buys.shape == (4, 4, 1)


# --- order, rates, fingerprint -------------------------------------------------------------------


def test_algos_fixes_the_order() -> None:
    panel = read_signals(LONG, algos=["EMA", "RSI"])
    assert panel.algos == ("EMA", "RSI")
    assert list(contents(panel)) == [("EMA", "5"), ("EMA", "9"), ("RSI", "14-30"), ("RSI", "7-20")]


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        ({"algos": ["EMA"]}, ["algos: 'RSI' occurs but is not in the order given; add it"]),
        (
            {"algos": ["EMA", "X", "RSI"]},
            ["algos: 'X' does not occur; the algorithms are RSI, EMA"],
        ),
        ({"algos": ["EMA", "RSI", "EMA"]}, ["algos: 'EMA' is given twice"]),
        ({"algos": "EMA"}, ["algos: 'RSI' occurs but is not in the order given; add it"]),
        ({"days": ["soon"]}, ["days: 'soon' is not a day; write YYYY-MM-DD or YYYYMMDD"]),
        ({"days": "later"}, ["days: 'later' is not a day; write YYYY-MM-DD or YYYYMMDD"]),
        ({"base_win_rates": [50]}, ["base_win_rates: 1 given for 2 days; give one for each"]),
        (
            {"base_win_rates": [50, 101]},
            ["base_win_rates: 101 is not a percentage between 0 and 100"],
        ),
        (
            {"base_win_rates": [50, nan]},
            ["base_win_rates: nan is not a percentage between 0 and 100"],
        ),
        (
            {"base_win_rates": ["x", 1]},
            ["base_win_rates: 'x' is not a percentage between 0 and 100"],
        ),
        (
            {"base_win_rates": {"2026-01-09": 5.0}},
            ["base_win_rates: '2026-01-09' is not among the days; add it with days"],
        ),
    ],
)
def test_unusable_settings(settings: Mapping[str, Any], problems: list[str]) -> None:
    assert problems_of(LONG, **settings) == problems


def test_base_win_rates_are_replaced_by_the_users() -> None:
    assert read_signals(LONG, base_win_rates=np.float32([10, 20])).base_win_rates.tolist() == [
        10.0,
        20.0,
    ]
    assert read_signals(LONG, base_win_rates={"20260106": 12.5}).base_win_rates.tolist() == [
        50.0,
        12.5,
    ]


def test_fingerprint_knows_content_and_not_row_order() -> None:
    panel = read_signals(LONG)
    shuffled = LONG[[1, 0, 3, 2, 4]]  # variations still appear in the same order
    assert read_signals(shuffled).fingerprint == panel.fingerprint
    others = [
        read_signals(LONG.reverse()),
        read_signals(LONG[:4]),
        read_signals(LONG, days=["2026-01-07"]),
        read_signals(LONG, base_win_rates=[1, 2]),
        read_signals(LONG.with_columns(close=pl.col("close") + 5)),
        read_signals(LONG.with_columns(ticker=pl.col("ticker") + "X")),
    ]
    prints = {panel.fingerprint, *(other.fingerprint for other in others)}
    assert len(prints) == 1 + len(others)
    assert all(len(fingerprint) == 64 for fingerprint in prints)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.csv")), ids=lambda path: path.stem)
def test_worked_examples(path: Path) -> None:
    panel = read_signals(path)
    assert panel.base_win_rates.tolist() == pytest.approx(
        json.loads(path.with_suffix(".json").read_text())["base_win_rates"]
    )
    with path.open(newline="") as file:
        assert_equal(panel, from_rows(list(csv.DictReader(file))))


def assert_equal(panel: SignalPanel, model: Signals) -> None:
    """The panel holds exactly what the sets hold."""
    assert (panel.algos, panel.days, panel.tickers) == (model.algos, model.days, model.tickers)
    held = contents(panel)
    assert list(held) == [(model.algos[algo_idx], name) for algo_idx, name in model.keys]
    for v, buys in enumerate(held.values()):
        for d, day in enumerate(model.days):
            assert {ticker for on, ticker in buys if on == day} == model.buys[v, d]
            assert {
                ticker for (on, ticker), won in buys.items() if won and on == day
            } == model.wins[v, d]
    assert panel.consistent == model.consistent
    assert panel.base_win_rates.tolist() == pytest.approx(model.base_win_rates)


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=3)
PRICE = st.sampled_from(["1", "2.5", "", "nan", "inf", "-inf", "1e3"])


@st.composite
def long_rows(draw: st.DrawFn) -> list[dict[str, str]]:
    """Rows as a CSV reader gives them, with prices or wins; few names, so that duplicates occur."""
    names = {
        "algo": draw(st.lists(NAMES, min_size=1, max_size=3)),
        "variation": draw(st.lists(NAMES, min_size=1, max_size=4)),
        "day": [f"2026-01-{day:02}" for day in range(1, draw(st.integers(2, 10)))],
        "ticker": [f"T{number}" for number in range(draw(st.integers(1, 140)))],
    }
    row = {key: st.sampled_from(values) for key, values in names.items()}
    priced = st.fixed_dictionaries({**row, "open": PRICE, "close": PRICE})
    won = st.fixed_dictionaries({**row, "win": st.sampled_from(["0", "1", "true", "FALSE", ""])})
    return draw(
        st.one_of(st.lists(priced, min_size=1, max_size=60), st.lists(won, min_size=1, max_size=60))
    )


@given(rows=long_rows(), batch_rows=st.integers(1, 70))
def test_panel_equals_the_sets(rows: list[dict[str, str]], batch_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BATCH_ROWS", batch_rows)
        panel = read_signals(pl.DataFrame(rows))
    assert_equal(panel, from_rows(rows))
    n_duplicates = len(rows) - len(
        {(row["algo"], row["variation"], row["day"], row["ticker"]) for row in rows}
    )
    counted = [line for line in panel.warnings if "duplicate" in line]
    assert (
        counted
        == [f"signals: duplicate rows of one (variation, day, ticker): {n_duplicates}, collapsed"][
            : n_duplicates > 0
        ]
    )


def test_long_values_are_cut_in_messages() -> None:
    (line,) = problems_of(LONG.with_columns(day=pl.lit("x" * 10_000)))
    assert len(line) < 250


# --- everything wrong at once --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        (
            LONG.drop("ticker", "close"),
            [
                "signals: missing column 'ticker'; it has algo, variation, day, open; "
                "give another name with columns (ticker=NAME)",
                "signals: missing column 'close' (or 'win'); it has algo, variation, day, open; "
                "give another name with columns (close=NAME)",
            ],
        ),
        (LONG[:0], ["signals: the table has no rows"]),
        (
            LONG.drop("ticker").with_columns(day=pl.lit("x"), algo=pl.lit(None, pl.String)),
            [
                "signals: missing column 'ticker'; it has algo, variation, day, open, close; "
                "give another name with columns (ticker=NAME)",
                "signals: column 'algo', row 1: null is no algo; every row needs one (5 such rows)",
                "signals: column 'day', row 1: 'x' is not a day; "
                "write YYYY-MM-DD or YYYYMMDD (5 such rows)",
            ],
        ),
        (
            LONG.with_columns(open=pl.Series(["1", "2", "cheap", "", " 3 "])),
            ["signals: column 'open', row 3: 'cheap' is not a number"],
        ),
        (
            LONG.with_columns(open=True),
            ["signals: column 'open', row 1: True is not a number (5 such rows)"],
        ),
        (
            LONG.with_columns(win=pl.Series([0, 1, 2, None, 3])),
            [
                "signals: column 'win', row 3: 2 is not a win; "
                "write 0, 1, true or false (2 such rows)"
            ],
        ),
        (
            LONG.with_columns(win=pl.Series(["0", "1", "yes", None, "n/a"])),
            ["signals: column 'win', row 3: 'yes' is not a win; write 0, 1, true or false"],
        ),
        (
            LONG.with_columns(ticker=pl.Series([b"a"] * 5)),
            ["signals: column 'ticker', row 1: b'a' is not text (5 such rows)"],
        ),
        (
            pl.concat([LONG.with_columns(algo=pl.lit(f"A{number}")) for number in range(65)]),
            ["65 algorithms; at most 64 can be searched together: leave some out"],
        ),
    ],
)
def test_problems(table: pl.DataFrame, problems: list[str]) -> None:
    assert problems_of(table) == problems


def test_sixty_four_algorithms_are_fine() -> None:
    panel = read_signals(
        pl.concat([LONG.with_columns(algo=pl.lit(f"A{number}")) for number in range(64)])
    )
    assert len(panel.algos) == 64


def test_problems_of_table_settings_and_outcomes_come_together() -> None:
    outcomes = pl.DataFrame({"day": ["x"], "ticker": ["T"], "win": [7]})
    lines = problems_of(
        LONG.drop("variation"), outcomes=outcomes, columns={"colour": "c"}, days="later"
    )
    assert [line.split(" ")[0] for line in lines] == [
        "columns:",
        "days:",
        "signals:",
        "outcomes:",
        "outcomes:",
    ]


def test_a_mapped_column_must_exist_even_where_another_would_do() -> None:
    rows = LONG.with_columns(win=pl.lit(1))
    assert problems_of(rows, columns={"win": "won"})[0].startswith(
        "signals: missing column 'won'; it has algo"
    )


def refused_paths(folder: Path) -> Iterator[tuple[str, str]]:
    """Name of an unreadable file below `folder` and its message."""
    (folder / "folder.parquet").mkdir()
    yield "folder.parquet", "is a directory; name a file in it"
    yield "absent.parquet", "no such file"
    (folder / "signals.xlsx").touch()
    yield (
        "signals.xlsx",
        "unknown kind of file; expected one of .parquet, .pq, .csv, .csv.gz, .db, .sqlite, "
        ".sqlite3",
    )
    for name in ("text.parquet", "text.db"):
        (folder / name).write_text("algo,variation\n" * 100)
        yield name, "cannot be read as a"
    (folder / "empty.parquet").touch()
    yield "empty.parquet", "cannot be read as a Parquet file"
    (folder / "empty.csv").touch()
    yield "empty.csv", "the file is empty; expected a header line with the column names"
    (folder / "plain.csv.gz").write_text("algo,variation,day,ticker,win\n")
    yield "plain.csv.gz", "cannot be read as a CSV file: Not a gzipped file"
    (folder / "cut.csv.gz").write_bytes(gzip.compress(LONG.write_csv().encode())[:-12])
    yield "cut.csv.gz", "cannot be read as a CSV file"
    (folder / "ragged.csv").write_text("algo,variation,day,ticker,win\nA,1,2026-01-05,T,1,2,3\n")
    yield "ragged.csv", "row 1 has 7 fields for 5 columns; quote a field that holds a comma"
    (folder / "latin.csv").write_bytes(
        b"algo,variation,day,ticker,win\nA,1,2026-01-05,\xe9\xe8,1\n"
    )
    yield "latin.csv", "row 1 is not UTF-8 text; save the file as UTF-8"
    packed = bytearray(gzip.compress(LONG.write_csv().encode()))
    packed[30:60] = b"\x55" * 30
    (folder / "damaged.csv.gz").write_bytes(packed)
    yield "damaged.csv.gz", "cannot be read as a CSV file"
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


# --- SQLite --------------------------------------------------------------------------------------


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
def test_a_selection_needs_sqlite(selection: Mapping[str, str], tmp_path: Path) -> None:
    for source, name in (
        (LONG, "signals"),
        (to_csv(LONG, tmp_path), str(tmp_path / "signals.csv")),
    ):
        assert problems_of(source, **selection) == [
            f"{name}: table and query are for SQLite files; leave them out"
        ]


# --- wide frames and outcomes --------------------------------------------------------------------

OUTCOMES = pl.DataFrame(
    [("2026-01-05", "AAPL", 7.0, 7.0), ("2026-01-05", "ZION", 3.0, 3.5),
     ("2026-01-06", "AAPL", 10.0, 9.0),
     ("2026-01-06", "MSFT", 10.0, 11.0)],
    schema=["day", "ticker", "open", "close"], orient="row",
)  # fmt: skip


def wide(
    values: Any = None, names: tuple[str, ...] = ("algo", "window", "limit", "symbol")
) -> pd.DataFrame:
    """The buys of `LONG`, EMA's limit left null, plus a variation and a day without a buy."""
    columns = pd.MultiIndex.from_tuples(
        [("RSI", 14, 30, "MSFT"), ("RSI", 14, 30, "AAPL"), ("RSI", 7, 20, "ZION"),
         ("EMA", 5, None, "AAPL"),
         ("EMA", 9, None, "MSFT"), ("EMA", 99, None, "MSFT")],
        names=names,
    )  # fmt: skip
    columns = columns.set_levels(
        columns.levels[2].astype(object).map(lambda limit: str(int(limit))), level=2
    )
    cells = [[0, 0, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0], [0] * 6] if values is None else values
    return pd.DataFrame(
        np.array(cells, bool),
        index=pd.DatetimeIndex(["2026-01-05", "2026-01-06", "2026-01-07"]),
        columns=columns,
    )


def test_wide_frames_count_every_column_and_index_entry() -> None:
    panel = read_signals(wide(), outcomes=OUTCOMES)
    assert panel.days == ("2026-01-05", "2026-01-06", "2026-01-07")
    assert panel.variations == ("14-30", "7-20", "5", "9", "99")
    assert panel.n_buys.tolist() == [2, 1, 1, 1, 0]
    assert {key: held for key, held in contents(panel).items() if held} == contents(
        read_signals(LONG)
    )
    assert panel.base_win_rates.tolist() == [50.0, 50.0, 0.0]
    assert panel.warnings == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.astype(int),
        lambda frame: frame.astype(float).replace(0.0, nan),
        lambda frame: frame.astype(object).where(frame, None),
        lambda frame: frame.astype("boolean").where(frame, pd.NA),
        lambda frame: frame.set_axis(frame.index.strftime("%Y%m%d").astype(int)),
        lambda frame: frame.set_axis(
            frame.index.tz_localize("America/New_York") + pd.Timedelta(hours=16)
        ),
        lambda frame: frame.set_axis(frame.index.to_period("D")),
        lambda frame: frame.set_axis([day.date() for day in frame.index]),
        lambda frame: frame[frame.columns[[0, 1, 2, 3, 4, 5, 0]]].rename_axis(
            columns={"symbol": "ticker"}
        ),
        lambda frame: frame.astype(pd.SparseDtype(bool, False)),
    ],
)
def test_wide_frames_of_every_kind(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    assert (
        read_signals(change(wide()), outcomes=OUTCOMES).fingerprint
        == read_signals(wide(), outcomes=OUTCOMES).fingerprint
    )


def test_wide_frames_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_signals(wide(), outcomes=OUTCOMES).fingerprint
    monkeypatch.setattr("mp2.data.wide_signals._BLOCK_CELLS", 6)
    assert read_signals(wide(), outcomes=OUTCOMES).fingerprint == expected


def test_two_index_entries_of_one_day_collapse() -> None:
    twice = pd.concat([wide(), wide().set_axis(wide().index + pd.Timedelta(hours=1))])
    panel = read_signals(twice, outcomes=OUTCOMES)
    assert contents(panel) == contents(read_signals(wide(), outcomes=OUTCOMES))
    assert panel.warnings == (
        "signals: duplicate rows of one (variation, day, ticker): 5, collapsed",
    )


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        (wide(names=("strategy", "window", "limit", "asset")), [
            f"signals: no column level {role!r}; the levels are strategy, window, limit, asset; "
            f"name it with columns ({role}=NAME)"
            for role in ("algo", "ticker")
        ]),
        (wide().droplevel(["window", "limit"], axis=1), [
            "signals: a wide frame needs a parameter level beside algo and ticker; "
            "the levels are algo, symbol",
        ]),
        (wide().set_axis(["2026-01-05", "x", "y"]), [
            "signals: index entry 2: 'x' is not a day; "
            "use timestamps, YYYY-MM-DD or YYYYMMDD (2 such entries)",
        ]),
        (wide(names=("algo", None, "limit", "symbol")), [
            "signals: every column level needs a name of its own; "
            "the levels are algo, None, limit, symbol",
        ]),
        (wide()[:0], ["signals: the frame has no rows"]),
        (wide().astype(int) * 3, [
            "signals: column RSI, 7, 20, ZION, row 1: 3 is neither true nor false (5 such cells)",
        ]),
        (pd.DataFrame([[True, True]], index=["2026-01-05"], columns=pd.MultiIndex.from_tuples(
            [("A", "1", "2-3", "T"),
             ("A", "1-2", "3", "T")], names=["algo", "x", "y", "ticker"])), [
            "signals: two variations of 'A' would both be called '1-2-3'; rename a parameter value",
        ]),
    ],
)  # fmt: skip
def test_wide_frames_that_are_refused(table: pd.DataFrame, problems: list[str]) -> None:
    assert problems_of(table, outcomes=OUTCOMES) == problems


def test_wide_frames_need_outcomes() -> None:
    assert problems_of(wide()) == [
        "signals: a wide frame needs outcomes, a table day, ticker with open, close or win"
    ]


def test_wide_levels_under_other_names() -> None:
    other = wide(names=("strategy", "window", "limit", "asset"))
    panel = read_signals(other, outcomes=OUTCOMES, columns={"algo": "strategy", "ticker": "asset"})
    assert panel.fingerprint == read_signals(wide(), outcomes=OUTCOMES).fingerprint


def test_outcomes_serve_long_tables_too(
    as_source: Callable[[pl.DataFrame], Any], tmp_path: Path
) -> None:
    outcomes = tmp_path / "outcomes.csv"
    OUTCOMES.write_csv(outcomes)
    panel = read_signals(as_source(LONG.drop("open", "close")), outcomes=outcomes)
    assert panel.fingerprint == read_signals(LONG).fingerprint


def test_outcomes_take_the_place_of_the_tables_own() -> None:
    outcomes = OUTCOMES.select("day", "ticker", win=pl.lit(True))
    panel = read_signals(LONG, outcomes=outcomes)
    assert panel.base_win_rates.tolist() == [100.0, 100.0]
    assert all(won for held in contents(panel).values() for won in held.values())


def test_base_rates_cover_every_pair_of_the_outcomes_on_the_panels_days() -> None:
    extra = [("2026-01-05", "OTHER", 1.0, 2.0), ("2026-01-05", "OTHER", 2.0, 1.0),
    ("2026-01-05", "FLAT", 1.0, 1.0),
             ("2026-01-05", "HALTED", None, 1.0), ("2030-01-01", "OTHER", 1.0, 2.0)]  # fmt: skip
    outcomes = pl.concat([OUTCOMES, pl.DataFrame(extra, schema=OUTCOMES.schema, orient="row")])
    panel = read_signals(wide(), outcomes=outcomes)
    assert panel.base_win_rates.tolist() == [50.0, 50.0, 0.0]
    assert panel.tickers == ("AAPL", "MSFT", "ZION")
    assert panel.warnings == (
        "outcomes: rows with a missing or non-finite open or close: 1, counted as no win",
        "outcomes: duplicate rows of one (day, ticker): 1, collapsed",
    )


def test_buys_without_an_outcome_are_counted() -> None:
    panel = read_signals(wide(), outcomes=OUTCOMES.filter(pl.col("ticker") != "MSFT"))
    assert panel.warnings == ("signals: buys without a row in the outcomes: 2, counted as no win",)
    assert not contents(panel)["EMA", "9"]["2026-01-06", "MSFT"]


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        (
            OUTCOMES.drop("close"),
            "outcomes: missing column 'close' (or 'win'); it has day, ticker, open",
        ),
        (OUTCOMES.drop("ticker"), "outcomes: missing column 'ticker'; it has day, open, close"),
        (OUTCOMES[:0], "outcomes: the table has no rows"),
        (OUTCOMES.with_columns(day=pl.lit("x")), "outcomes: column 'day', row 1: 'x' is not a day"),
        (Path("absent.csv"), "absent.csv: no such file"),
    ],
)
def test_outcomes_that_are_refused(outcomes: Any, reason: str) -> None:
    assert any(line.startswith(reason) for line in problems_of(wide(), outcomes=outcomes))


# --- stop, memory, speed -------------------------------------------------------------------------


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

    monkeypatch.setattr(tables, "BATCH_ROWS", 1)
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


def test_a_panel_larger_than_memory_is_refused_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mp2.data.signal_reader.encode", None)
    (line,) = problems_of(LONG, max_memory_bytes=100)
    assert line.startswith(
        "the panel is larger than memory: 4 variations x 2 days x 3 tickers take 0.0 MB to "
        "encode and 0.0 MB"
    )
    assert problems_of(LONG, max_memory_bytes=100, algos=["EMA"])[0].startswith("algos:")


def test_an_allocation_that_fails_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mp2.data.signal_reader.np.zeros", refuse)
    assert problems_of(LONG)[0].startswith("the panel is larger than memory: 4 variations")


def test_the_limit_counts_both_arrays_while_encoding() -> None:
    needed = 8 * 2 * (2 * 4 + 2)
    assert read_signals(LONG, max_memory_bytes=needed).n_variations == 4
    assert problems_of(LONG, max_memory_bytes=needed - 1)


def test_the_default_limit_is_the_memory_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mp2.data.signal_reader.available_bytes", lambda: 1)
    assert "larger than memory" in problems_of(LONG)[0]
    monkeypatch.setattr("mp2.data.signal_reader.available_bytes", lambda: None)
    assert read_signals(LONG).n_variations == 4


def test_many_tickers_and_variations() -> None:
    n_variations, n_tickers = 3_000, 20_000
    number = np.arange(60_000)
    table = pl.DataFrame(
        {"variation": number % n_variations, "ticker": number % n_tickers}
    ).with_columns(
        pl.lit("A").alias("algo"), pl.lit(20260105).alias("day"), pl.lit(True).alias("win")
    )
    panel = read_signals(table)
    assert panel.buys.shape == (n_variations, 1, 313)
    assert panel.n_buys.sum() == len(number)
    assert panel.tickers == tuple(sorted(map(str, range(n_tickers))))


def test_encoding_stays_below_three_packed_panels() -> None:
    n_variations, n_rows = 20_000, 60_000
    number = np.arange(n_rows)
    table = pl.DataFrame(
        {"variation": number % n_variations, "ticker": number % 12_800, "win": number % 2}
    ).with_columns(pl.lit("A").alias("algo"), pl.lit(20260105).alias("day"))
    tracemalloc.start()
    panel = read_signals(table)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert panel.buys.nbytes == n_variations * 200 * 8
    assert peak_bytes < 3 * panel.buys.nbytes + (24 << 20)


def run_python(code: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_panel_does_not_import_the_table_libraries() -> None:
    heavy = "{'polars', 'pandas', 'narwhals', 'pyarrow'}"
    code = f"import sys, mp2.data.signal_reader; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code) == "[]\n"


# --- summary -------------------------------------------------------------------------------------


def test_summary_counts_the_space_before_pruning() -> None:
    summary = panel_summary(read_signals(LONG, days=["2026-01-07"]), max_size=2)
    assert summary.variations_per_algo == {"RSI": 2, "EMA": 2}
    assert summary.n_variations == 4
    assert summary.days == ("2026-01-05", "2026-01-06", "2026-01-07")
    assert summary.n_tickers == 3
    assert summary.buys_per_day == (2, 3, 0)
    assert summary.base_win_rates == (50.0, 50.0, 0.0)
    assert summary.consistent
    assert summary.n_groups == 4 + 2 * 2
    assert summary.panel_bytes == read_signals(LONG, days=["2026-01-07"]).n_bytes


@given(sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=8), max_size=st.integers(1, 8))
def test_summary_is_exact_at_any_size(sizes: list[int], max_size: int) -> None:
    n_variations = sum(sizes)
    panel = replace(
        read_signals(LONG),
        algos=tuple(map(str, range(len(sizes)))),
        variations=("v",) * n_variations,
        algo_of=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        buys=np.zeros((n_variations, 2, 1), np.uint64),
    )
    expected = sum(
        prod(chosen) for size in range(1, max_size + 1) for chosen in combinations(sizes, size)
    )
    assert panel_summary(panel, max_size).n_groups == expected


@pytest.mark.parametrize("max_size", [0, 9])
def test_summary_of_an_impossible_size(max_size: int) -> None:
    with pytest.raises(InputError, match="max_size"):
        panel_summary(read_signals(LONG), max_size)


# --- the real week -------------------------------------------------------------------------------

READ_AND_MEASURE = """
import sys, mp2.data.signal_reader
panel = mp2.data.signal_reader.read_signals(sys.argv[1])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
sizes = panel.n_variations, len(panel.tickers), len(panel.days), int(panel.n_buys.sum())
print(*sizes, panel.consistent, peak.split()[1])
"""


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_WEEK.exists(), reason="the market data is not beside the checkout")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("n_row_groups", [None, 1])
def test_the_real_week_fits_a_small_process(n_row_groups: int | None, tmp_path: Path) -> None:
    path = REAL_WEEK
    if n_row_groups:
        path = tmp_path / "one-group.parquet"
        pl.scan_parquet(REAL_WEEK).sink_parquet(path, row_group_size=2_000_000)
    *counts, consistent, peak_kb = run_python(READ_AND_MEASURE, str(path)).split()
    assert list(map(int, counts)) == [1142, 503, 5, 1_301_961]
    assert consistent == "True"
    assert int(peak_kb) < 250 * 1024
