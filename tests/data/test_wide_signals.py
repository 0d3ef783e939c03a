"""Wide frames, and outcomes in a table of their own."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from signal_frames import (
    LONG,
    OUTCOMES,
    contents,
    problems_of,
    wide,
)

from mp2.data.prices import read_prices
from mp2.data.signal_reader import read_signals


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
    twice = pd.concat([wide(), wide()])
    panel = read_signals(twice, outcomes=OUTCOMES)
    assert contents(panel) == contents(read_signals(wide(), outcomes=OUTCOMES))
    assert panel.warnings == (
        "signals: duplicate rows of one (variation, day, ticker): 5, collapsed",
    )


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        (wide(names=("strategy", "window", "limit", "asset")), [
            "signals: no column level 'ticker'; the levels are strategy, window, limit, asset; "
            "name it with columns (ticker=NAME)",
        ]),
        (wide().set_axis(["2026-01-05", "x", "y"]), [
            "signals: index entry 2: 'x' is not a day; "
            "use timestamps, YYYY-MM-DD or YYYYMMDD (2 such entries)",
        ]),
        (wide(names=("algo", None, "limit", None)), [
            "signals: no column level 'ticker'; the levels are algo, None, limit, None; "
            "name it with columns (ticker=NAME)",
        ]),
        (wide()[:0], ["signals: the frame has no rows"]),
        (wide().astype(int) * 3, [
            "signals: column RSI, 7, 20, ZION, row 1: 3 is neither true nor false (5 such cells)",
        ]),
        (pd.DataFrame([[True] * 4], index=["2026-01-05"], columns=pd.MultiIndex.from_tuples(
            [("A", "1", "2-3", "AAPL"), ("A", "1-2", "3", "AAPL"), ("A", "1-2", "3", "MSFT"),
             ("B", "1", "2", "AAPL")], names=["algo", "x", "y", "ticker"])), [
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
    assert panel.warnings == (
        "signals: no row in the outcomes for 1 of 3 tickers (33.3%): MSFT; "
        "their buys count as no win",
        "signals: buys without a row in the outcomes: 2, counted as no win",
    )
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


# --- as vectorbt makes them ----------------------------------------------------------------------


def crossings(*levels: str | None, short: int = 5) -> pd.DataFrame:
    """Entries of two windows, two tickers and three days, columns (short, long, ticker)."""
    tuples = [(short, 10, "AAPL"), (short, 10, "MSFT"), (short, 20, "AAPL"), (short, 20, "MSFT")]
    columns = pd.MultiIndex.from_tuples(tuples, names=levels)
    index = pd.DatetimeIndex(["2026-01-05", "2026-01-06", "2026-01-07"], tz="UTC", name="Date")
    cells = np.array([[0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]], bool)
    return pd.DataFrame(cells, index=index, columns=columns)


ENTRIES = crossings("fast_window", "slow_window", "symbol")
BOUGHT = {
    ("MA", "5-10"): {("2026-01-06", "AAPL"): False},
    ("MA", "5-20"): {("2026-01-06", "MSFT"): True},
}


@pytest.mark.parametrize(
    "frame",
    [
        ENTRIES,
        ENTRIES.rename_axis(columns={"symbol": "Ticker"}),
        ENTRIES.astype(int) - 1 + ENTRIES,
        ENTRIES.reorder_levels([2, 0, 1], axis=1),
        crossings("fast_window", "slow_window", None),
    ],
)
def test_levels_of_vectorbt_become_the_variation(frame: pd.DataFrame) -> None:
    panel = read_signals({"MA": frame}, outcomes=OUTCOMES)
    assert contents(panel) == BOUGHT
    assert panel.days == ("2026-01-05", "2026-01-06", "2026-01-07")


def test_the_index_has_days_of_the_wanted_zone() -> None:
    tokyo = ENTRIES.set_axis(ENTRIES.index - pd.Timedelta(hours=9))
    panel = read_signals({"MA": tokyo}, outcomes=OUTCOMES, timezone="Asia/Tokyo")
    assert contents(panel) == BOUGHT
    hours = pd.concat([ENTRIES, ENTRIES.set_axis(ENTRIES.index + pd.Timedelta(hours=1))])
    (line,) = problems_of({"MA": hours}, outcomes=OUTCOMES)
    assert line.startswith("signals['MA']: column 'index': the times of day differ (00:00, 01:00)")


def test_a_frame_without_algorithms_is_one() -> None:
    panel = read_signals(ENTRIES, outcomes=OUTCOMES)
    assert panel.algos == ("fast-slow",)
    assert panel.variations == ("5-10", "5-20")
    assert panel.warnings == (
        "signals: no column level 'algo': the frame is one algorithm, called 'fast-slow'; give "
        '{"NAME": frame} for another name',
    )


RSI = crossings("rsi_window", "rsi_below", "symbol", short=14)
PLAIN = ENTRIES[5][10]


@pytest.mark.parametrize(
    ("frames", "keys"),
    [
        (
            {"MA": ENTRIES, "RSI": RSI},
            [("MA", "5-10"), ("MA", "5-20"), ("RSI", "14-10"), ("RSI", "14-20")],
        ),
        (
            [ENTRIES, RSI],
            [("fast-slow", "5-10"), ("fast-slow", "5-20"), ("rsi", "14-10"), ("rsi", "14-20")],
        ),
        ({"MA": PLAIN, "RSI": PLAIN}, [("MA", "default"), ("RSI", "default")]),
        ({"MA": PLAIN.rename_axis(columns=None)}, [("MA", "default")]),
        (
            [wide(), RSI],
            [*read_signals(wide(), outcomes=OUTCOMES).keys, ("rsi", "14-10"), ("rsi", "14-20")],
        ),
        # Long tables, whose rows are joined.
        ([LONG[:3], LONG[3:].to_pandas()], list(read_signals(LONG).keys)),
        (
            {"MA": LONG.drop("algo")[:1], "RSI": LONG.drop("algo")[1:2]},
            [("MA", "14-30"), ("RSI", "14-30")],
        ),
        # The years of one algorithm.
        ([ENTRIES, ENTRIES.shift(365, freq="D")], [("fast-slow", "5-10"), ("fast-slow", "5-20")]),
    ],
)
def test_several_frames_are_one_table(frames: Any, keys: list[tuple[str, str]]) -> None:
    assert list(read_signals(frames, outcomes=OUTCOMES).keys) == keys


@pytest.mark.parametrize(
    ("frames", "problem"),
    [
        ([], "signals: there is no frame"),
        (
            {"MA": ENTRIES, "RSI": 5},
            "signals['RSI']: is a int, not a wide pandas frame of true and false "
            "(index = days, columns = tickers)",
        ),
        (
            [ENTRIES, ENTRIES],
            "signals, frame 2: has fast-slow 5-10 of AAPL, as signals, frame 1 has; name the "
            'algorithms: {"NAME": frame, "OTHER": frame}',
        ),
        (
            {"MA": wide()},
            "signals['MA']: has the column level 'algo' too; give a list of frames, or drop the "
            "level",
        ),
        (
            {"MA": PLAIN.rename_axis(columns="ma_window")},
            "signals['MA']: no column level 'ticker'; the levels are ma_window; name it with "
            "columns (ticker=NAME)",
        ),
    ],
)
def test_several_frames_that_are_refused(frames: Any, problem: str) -> None:
    assert problems_of(frames, outcomes=OUTCOMES) == [problem]


def test_a_price_table_serves_as_outcomes() -> None:
    bars = OUTCOMES.rename({"day": "date"}).with_columns(
        high=pl.max_horizontal("open", "close"), low=pl.min_horizontal("open", "close")
    )
    prices = read_prices(bars.filter(pl.col("date") == "2026-01-06"))
    assert contents(read_signals({"MA": ENTRIES}, outcomes=prices)) == BOUGHT
