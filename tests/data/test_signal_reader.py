"""Reading signals into a panel: order, rates, fingerprint, problems, memory."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from math import nan, prod
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Signals, from_rows
from places import GOLDEN, REAL_WEEK
from signal_frames import (
    LONG,
    contents,
    frame,
    problems_of,
)

from mp2.data import frames, parquet
from mp2.data.panel import SignalPanel
from mp2.data.prices import read_prices
from mp2.data.signal_reader import read_signals
from mp2.errors import InputError
from mp2.groups.space import panel_summary


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


def test_names_that_could_run_together_stay_apart() -> None:
    keys = [("a", "bc"), ("ab", "c"), ("1:a", ""), ("1", ":a"), ("é", "1:"), ("", "é1:")]
    panel = read_signals(frame(*((*key, "2026-01-05", "T", 1.0, 2.0) for key in keys)))
    assert list(contents(panel)) == keys


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
        ({"days": ["soon"]}, ["days: 'soon' is not a date; write YYYY-MM-DD"]),
        ({"days": "later"}, ["days: 'later' is not a date; write YYYY-MM-DD"]),
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


@pytest.mark.slow
@given(rows=long_rows(), batch_rows=st.integers(1, 70))
def test_panel_equals_the_sets(rows: list[dict[str, str]], batch_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for kind in (frames, parquet):
            patch.setattr(kind, "BATCH_ROWS", batch_rows)
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


def test_a_panel_larger_than_memory_is_refused_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mp2.data.signal_reader.encode", None)
    monkeypatch.setattr("mp2.data.signal_reader.available_bytes", lambda: 100)
    (line,) = problems_of(LONG)
    assert line.startswith(
        "the panel is larger than memory: 4 variations x 2 days x 3 tickers take 0.0 MB to "
        "encode and 0.0 MB"
    )
    assert problems_of(LONG, algos=["EMA"])[0].startswith("algos:")


def test_an_allocation_that_fails_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mp2.data.signal_reader.np.zeros", refuse)
    assert problems_of(LONG)[0].startswith("the panel is larger than memory: 4 variations")


def test_the_limit_counts_both_arrays_while_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 8 * 2 * (2 * 4 + 2)
    monkeypatch.setattr("mp2.data.signal_reader.available_bytes", lambda: needed)
    assert read_signals(LONG).n_variations == 4
    monkeypatch.setattr("mp2.data.signal_reader.available_bytes", lambda: needed - 1)
    assert problems_of(LONG)


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


@pytest.mark.slow
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


def test_prices_in_the_place_of_signals_are_named_and_the_reverse(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("Date,Symbol,Open,High,Low,Close\n2026-01-05,A,1,2,1,2\n")
    (line,) = problems_of(path)
    assert line.startswith(f"{path}: these are prices: mp2 run (mp2.run) computes signals")
    LONG.write_csv(path)
    with pytest.raises(InputError, match=r"these are signals: mp2 search \(mp2.search\) searches"):
        read_prices(path)


@pytest.mark.parametrize(
    "source",
    {
        "duplicate": pl.concat([LONG, LONG.head(1)]),
        "a missing price": LONG.with_columns(open=pl.lit(None, pl.Float64)),
        "a win and a loss": pl.concat(
            [LONG, LONG.head(1).with_columns(variation=pl.lit("x"), close=0.1)]
        ),
    }.values(),
)
def test_everything_tolerated_is_an_error_when_strict(source: pl.DataFrame) -> None:
    warnings = read_signals(source).warnings
    assert warnings
    assert problems_of(source, strict=True) == list(warnings)


def test_a_guess_is_no_error_when_strict() -> None:
    panel = read_signals(LONG.rename({"day": "t"}), strict=True)
    assert panel.warnings == (
        "signals: columns read as day=t; give other ones with columns (ROLE=NAME)",
    )
