"""Reading prices: all problems are reported at once, bad tickers are dropped, tables are valid."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import date, timedelta
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bar_frames import (
    COLUMNS,
    DATES,
    FIELDS,
    LAYOUTS,
    LONG,
    TICKERS,
    changed,
    contents,
    long_frame,
    problems_of,
    to_csv,
    to_folder,
    to_sqlite,
    without,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import REAL_BARS

from mp2.data.prices import PriceTable, price_table, read_prices, to_frame
from mp2.errors import InputError, ReadStoppedError


def test_a_table_is_what_its_record_promises() -> None:
    prices = read_prices(LONG)
    assert (prices.n_tickers, prices.n_dates) == (3, 3)
    assert prices.first_idx.tolist() == [0, 0, 1]
    assert np.isnan([getattr(prices, name)[2, 0] for name in FIELDS]).all()
    for name in (*FIELDS, "first_idx"):
        array = getattr(prices, name)
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        assert array.dtype == (np.int64 if name == "first_idx" else np.float64)


HOLE = "missing bars on dates that others have: 1, without signal and outcome"


BAD = "bars with a missing or non-finite price"


FIRST = "left out: LOW; the first: LOW"


LATE = "rows that come after a later one of their ticker"


REPEATED = "duplicate rows of one (ticker, date)"


UNPRICED = dict.fromkeys(("open", "high", "low", "close"))


TOLERATED: dict[str, tuple[pl.DataFrame, tuple[str, ...], list[str]]] = {
    "unsorted": (LONG.reverse(), TICKERS, [f"{LATE}: 5, sorted"]),
    "sorted by date": (LONG.sort("date"), TICKERS, []),
    "duplicates": (
        pl.concat([LONG, LONG[:2]]),
        TICKERS,
        [f"{LATE}: 1, sorted", f"{REPEATED}: 2, collapsed"],
    ),
    "duplicates without volume": (
        pl.concat([LONG.with_columns(volume=pl.lit(nan))] * 2).sort("ticker", "date"),
        TICKERS,
        [f"{REPEATED}: 8, collapsed"],
    ),
    "listed on the last date": (
        LONG.filter((pl.col("ticker") != "OPEN") | (pl.col("date") == DATES[2])),
        TICKERS,
        [],
    ),
    "gap": (
        without((1, "LOW")),
        TICKERS,
        [f"{HOLE}: LOW; the first: LOW 2024-01-03"],
    ),
    "delisted": (
        without((2, "AAPL")),
        TICKERS,
        [f"{HOLE}: AAPL; the first: AAPL 2024-01-04"],
    ),
    "row without prices": (
        changed((1, "LOW"), **UNPRICED),
        TICKERS,
        [f"{HOLE}: LOW; the first: LOW 2024-01-03"],
    ),
    "rows without prices before the first": (changed((0, "LOW"), **UNPRICED), TICKERS, []),
    "no bar at all": (
        LONG.with_columns(pl.when(pl.col("ticker") != "LOW").then(pl.col(*UNPRICED))),
        ("AAPL", "OPEN"),
        ["tickers without any bar: 1, left out: LOW"],
    ),
    "missing price": (
        changed((2, "LOW"), open=None),
        TICKERS,
        [f"{BAD}: 1, {FIRST} 2024-01-04"],
    ),
    "nan": (changed((0, "LOW"), low=nan), TICKERS, [f"{BAD}: 1, {FIRST} 2024-01-02"]),
    "infinite": (
        changed((0, "LOW"), high=inf),
        TICKERS,
        [f"{BAD}: 1, {FIRST} 2024-01-02"],
    ),
    "zero": (
        changed((1, "AAPL"), low=0.0),
        TICKERS,
        ["bars with a price that is not above 0: 1, left out: AAPL; the first: AAPL 2024-01-03"],
    ),
    "negative": (
        changed((1, "AAPL"), open=-1.0),
        TICKERS,
        ["bars with a price that is not above 0: 1, left out: AAPL; the first: AAPL 2024-01-03"],
    ),
    "high below low": (
        changed((1, "LOW"), high=9.0, low=9.5),
        TICKERS,
        ["bars with high below low: 1, left out: LOW; the first: LOW 2024-01-03"],
    ),
    "close above high": (
        changed((1, "LOW"), close=99.0),
        TICKERS,
        ["bars with open or close outside low..high: 1, kept; the first: LOW 2024-01-03"],
    ),
    "open below low": (
        changed((0, "LOW"), open=9.2),
        TICKERS,
        ["bars with open or close outside low..high: 1, kept; the first: LOW 2024-01-02"],
    ),
    "close above high by rounding": (changed((1, "LOW"), close=13.7 * (1 + 1e-7)), TICKERS, []),
    "a date of bad bars only": (
        pl.concat([LONG, long_frame([("2024-01-06", "LOW", nan, 1.0, 1.0, 1.0, 0.0)])]),
        TICKERS,
        [f"{BAD}: 1, {FIRST} 2024-01-06"],
    ),
    "mostly bad bars": (
        pl.concat([LONG[:3].with_columns(high=1.0), LONG[3:]]),
        ("AAPL", "OPEN"),
        [
            "bars with high below low: 3, left out: LOW; the first: LOW 2024-01-02",
            "tickers with mostly bad bars: 1, left out: LOW",
        ],
    ),
    "a date that only a minority has": (
        pl.concat([LONG, long_frame([("2024-01-06", "LOW", 1.0, 1.0, 1.0, 1.0, 0.0)])]),
        TICKERS,
        ["dates on which only a few tickers have a bar: 1, left out: 2024-01-06; bars of LOW"],
    ),
}


@pytest.mark.parametrize("case", TOLERATED)
def test_what_is_tolerated_is_a_warning(case: str) -> None:
    table, tickers, warnings = TOLERATED[case]
    prices = read_prices(table)
    assert prices.tickers == tickers
    assert list(prices.warnings) == [f"prices: {line}" for line in warnings]
    keep_promises(prices)


def keep_promises(prices: PriceTable) -> None:
    """Check the guarantee to algorithms: a valid bar or none, and no date or ticker without any."""
    is_bar = np.isfinite(prices.close)
    every = np.stack([prices.open, prices.high, prices.low, prices.close])
    assert (np.isfinite(every) == is_bar).all()
    assert np.isnan(prices.volume[~is_bar]).all()
    assert (every[:, is_bar] > 0).all()
    assert (prices.high[is_bar] >= prices.low[is_bar]).all()
    assert is_bar.any(axis=0).all()
    assert is_bar.any(axis=1).all()
    assert (prices.first_idx == is_bar.argmax(axis=1)).all()


LATER = "the later row counts"


def test_the_later_row_of_a_last_date_counts() -> None:
    again = changed((2, "LOW"), close=12.5, volume=1.0).filter(date=DATES[2], ticker="LOW")
    prices = read_prices(pl.concat([LONG, again]))
    assert contents(prices) == contents(read_prices(changed((2, "LOW"), close=12.5, volume=1.0)))
    (finding,) = [one for one in prices.findings if one.kind != "unsorted"]
    assert finding.line == (
        f"prices: rows that disagree about their ticker's last date: 1, {LATER}: LOW 2024-01-04"
    )
    assert (finding.kind, finding.tickers) == ("doubled_day", ("LOW",))
    assert finding.first == finding.last == "2024-01-04"
    # Where later dates are cut off it is no last date.
    early = changed((1, "LOW"), close=12.0).filter(date=DATES[1], ticker="LOW")
    (problem,) = problems_of(pl.concat([LONG, early]), end=DATES[1])
    assert problem.startswith("prices: rows that disagree about one (ticker, date): 1, about LOW")


def test_rows_that_differ_in_their_volume_alone_are_one_bar() -> None:
    again = LONG.with_columns(pl.col("volume") + 7)
    prices = read_prices(
        pl.concat([LONG, again, again[:1]]).sort("ticker", "date", maintain_order=True)
    )
    assert contents(prices) == contents(read_prices(again))
    volumes, same = prices.warnings
    assert volumes == (
        f"prices: rows that differ in their volume alone: 8, {LATER}: AAPL 2024-01-02, "
        "AAPL 2024-01-03, AAPL 2024-01-04, LOW 2024-01-02, LOW 2024-01-03, ..."
    )
    assert same == f"prices: {REPEATED}: 1, collapsed"


def test_up_to_five_tickers_are_named() -> None:
    names = [f"T{idx}" for idx in range(7)]
    many = long_frame(
        [(day, name, 1.0, 1.0 + d, 1.0, 1.0, 1.0) for name in names for d, day in enumerate(DATES)]
    )
    bad = many.with_columns(low=pl.when(pl.col("ticker") == "T6").then(1.0).otherwise(9.0))
    assert read_prices(many).warnings == ()
    assert read_prices(bad).warnings == (
        "prices: bars with high below low: 18, left out: T0, T1, T2, T3, T4, ...; "
        "the first: T0 2024-01-02",
        "prices: tickers with mostly bad bars: 6, left out: T0, T1, T2, T3, T4, ...",
    )


def test_a_file_names_itself_in_warnings(tmp_path: Path) -> None:
    path = to_csv(without((1, "LOW")), tmp_path)
    assert read_prices(path).warnings[0].startswith(f"{path}: missing bars")


NAMES = "it has date, ticker, open, high, low, close, volume"


WRONG: dict[str, tuple[pl.DataFrame, list[str]]] = {
    "missing columns": (
        LONG.drop("open", "date"),
        [
            "missing columns 'date', 'open'; it has ticker, high, low, close, volume; "
            "give other names with columns (date=NAME,open=NAME)",
        ],
    ),
    "two spellings": (
        LONG.rename({"close": "Close"}).with_columns(pl.lit(1.0).alias("CLOSE")),
        ["columns 'Close' and 'CLOSE' could both be close; choose with columns (close=NAME)"],
    ),
    "no rows": (LONG[:0], ["the table has no rows"]),
    "no prices": (
        LONG.with_columns(pl.lit(None, pl.Float64).alias(name) for name in UNPRICED),
        ["none of 8 rows has a price"],
    ),
    "null keys": (
        LONG.with_columns(
            pl.when(pl.col("ticker") != "LOW").then("ticker").alias("ticker"),
            date=pl.lit(None, pl.String),
        ),
        [
            "column 'date', row 1: null is no date; every row needs one (8 such rows)",
            "column 'ticker', row 1: null is no ticker; every row needs one (3 such rows)",
        ],
    ),
    "unreadable values": (
        LONG.with_columns(date=pl.lit("03/01/2024"), open=pl.lit("ten"), volume=pl.lit("many")),
        [
            "column 'open', row 1: 'ten' is not a number (8 such rows)",
            "column 'date': '03/01/2024' may be 2024-01-03 (day first) or 2024-03-01 (month first),"
            " and no value shows which; give --date-format, such as %d/%m/%Y or %m/%d/%Y",
        ],
    ),
    "duplicates that disagree": (
        pl.concat([LONG, changed((1, "LOW"), close=12.0)]),
        ["rows that disagree about one (ticker, date): 1, about LOW 2024-01-03; keep one of them"],
    ),
    "duplicates that disagree everywhere": (
        pl.concat([LONG, LONG.with_columns(pl.col("high") + 1)]),
        [
            "rows that disagree about one (ticker, date): 5, about AAPL 2024-01-02, "
            "AAPL 2024-01-03, LOW 2024-01-02, LOW 2024-01-03, OPEN 2024-01-03; "
            "most dates have several: make daily bars, if these are within the day"
        ],
    ),
    "nothing good": (
        LONG.with_columns(low=pl.lit(0.0)),
        [
            "no ticker is left",
            "bars with a price that is not above 0: 8, left out: AAPL, LOW, OPEN; "
            "the first: AAPL 2024-01-02",
            "tickers with mostly bad bars: 3, left out: AAPL, LOW, OPEN",
        ],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_all_problems_come_at_once(case: str, tmp_path: Path) -> None:
    table, problems = WRONG[case]
    assert problems_of(table) == [f"prices: {line}" for line in problems]
    path = to_csv(table, tmp_path)
    assert problems_of(path) == [f"{path}: {line}" for line in problems]


ARGUMENTS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"columns": {"price": "x"}},
        [f"columns: 'price' is unknown; choose from {', '.join(COLUMNS)}"],
    ),
    (
        {"columns": {"open": "first"}},
        [f"prices: missing column 'first'; {NAMES}; give another name with columns (open=NAME)"],
    ),
    (
        {"columns": {"volume": "v"}},
        [f"prices: missing column 'v'; {NAMES}; give another name with columns (volume=NAME)"],
    ),
    ({"start": "soon"}, ["start: 'soon' is not a date; write YYYY-MM-DD"]),
    (
        {"start": "x", "end": "y"},
        ["start: 'x' is not a date; write YYYY-MM-DD", "end: 'y' is not a date; write YYYY-MM-DD"],
    ),
    ({"start": "2024-01-04", "end": "2024-01-02"}, ["start: 2024-01-04 is after end 2024-01-02"]),
    (
        {"start": "2025-01-01"},
        ["prices: no row in the days asked for; the dates run from 2024-01-02 to 2024-01-04"],
    ),
    (
        {"table": "prices"},
        ["prices: table is for databases and workbooks, query for databases; leave them out"],
    ),
]


@pytest.mark.parametrize(("arguments", "problems"), ARGUMENTS)
def test_unusable_arguments(arguments: dict[str, Any], problems: list[str]) -> None:
    assert problems_of(LONG, **arguments) == problems


def test_an_interrupted_query_is_a_stop(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    endless = "WITH RECURSIVE n(date) AS (SELECT 1 UNION ALL SELECT date + 1 FROM n) "
    endless += "SELECT *, 1 AS ticker, 1 AS open, 1 AS high, "
    query = endless + "1 AS high, 1 AS low, 1 AS close FROM n WHERE date < 0"
    with pytest.raises(ReadStoppedError):
        read_prices(to_sqlite(LONG, tmp_path), query=query, stop=stop)


def test_long_lists_of_problems_are_cut(tmp_path: Path) -> None:
    for idx in range(30):
        (tmp_path / f"T{idx:02}.csv").write_text(
            f"date,open,high,low,close\n2024-01-02,1,1,1,x{idx}\n"
        )
    problems = problems_of(tmp_path)
    assert len(problems) == 21
    assert problems[-1] == "... and 10 more problems like these"


def test_a_stop_ends_the_reading(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    for source in (LONG, to_sqlite(LONG, tmp_path), to_folder(LONG, tmp_path)):
        with pytest.raises(ReadStoppedError, match="stopped while reading"):
            read_prices(source, stop=stop)


def test_start_and_end_are_included() -> None:
    assert read_prices(LONG, start=DATES[1], end=DATES[1]).dates == (DATES[1],)
    assert read_prices(LONG, start=DATES[1]).first_idx.tolist() == [0, 0, 0]
    assert read_prices(LONG, end=DATES[0]).tickers == ("AAPL", "LOW")


def test_rows_outside_start_and_end_do_no_harm() -> None:
    bad = pl.concat([changed((0, "LOW"), close=0.0), changed((0, "LOW"), close=nan)[:1]])
    prices = read_prices(bad, start=DATES[1])
    assert prices.fingerprint == read_prices(LONG, start=DATES[1]).fingerprint
    assert prices.warnings == ()


@pytest.mark.parametrize(
    ("day", "n_dates"), [("2024-01-02", 1), ("2024-01-03", 2), ("2024-01-04", 3), ("2030-01-01", 3)]
)
def test_until_is_the_table_of_that_day(day: str, n_dates: int) -> None:
    holed = without((1, "AAPL"))
    prices, then = read_prices(holed), read_prices(holed, end=day)
    cut = prices.until(day)
    assert cut.dates == DATES[:n_dates]
    assert cut.tickers == then.tickers
    assert cut.fingerprint == then.fingerprint
    assert cut.warnings == prices.warnings
    keep_promises(cut)


def test_until_needs_a_date_with_bars() -> None:
    span = "the dates run from 2024-01-02 to 2024-01-04"
    for day, problem in (
        ("2024-01-01", f"prices: no bars up to '2024-01-01'; {span}"),
        ("x", "day: 'x' is not a date; write YYYY-MM-DD"),
    ):
        with pytest.raises(InputError) as caught:
            read_prices(LONG).until(day)
        assert caught.value.problems == (problem,)


def test_dates_are_found() -> None:
    prices = read_prices(LONG)
    assert [prices.date_idx(day) for day in DATES] == [0, 1, 2]
    for day in ("2024-01-01", "2024-01-05", "2023-12-31"):
        with pytest.raises(
            InputError, match=f"no bars on '{day}'; the dates run from 2024-01-02 to 2024-01-04"
        ):
            prices.date_idx(day)


PRICE = st.floats(1e-3, 1e6)


@st.composite
def price_tables(draw: st.DrawFn) -> PriceTable:
    """Tables with late listings; some bars have prices outside their range, some no volume."""
    n_dates = draw(st.integers(1, 6))
    tickers = sorted(
        draw(st.sets(st.text("ABCZ.-^=é", min_size=1, max_size=4), min_size=1, max_size=4))
    )
    first = [
        0,
        *draw(
            st.lists(
                st.integers(0, n_dates - 1), min_size=len(tickers) - 1, max_size=len(tickers) - 1
            )
        ),
    ]
    listed = np.arange(n_dates) >= np.array(first)[:, np.newaxis]

    def field(values: st.SearchStrategy[float]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=listed.size, max_size=listed.size))).reshape(
            listed.shape
        )

    one, two, opened, close, volume = (
        *(field(PRICE) for _ in range(4)),
        field(st.just(nan) | st.floats(0, 1e9)),
    )
    values = (opened, np.maximum(one, two), np.minimum(one, two), close, volume)
    dates = [(date(2024, 1, 1) + timedelta(days=idx)).isoformat() for idx in range(n_dates)]
    # No bar repeats the one before: that would be no trading day.
    rising = 1 + np.arange(n_dates) / 1000
    values = (*(field * rising for field in values[:4]), volume)
    return price_table(dates, tickers, [np.where(listed, field, nan) for field in values])


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout", ["parquet", "csv", "sqlite", "polars", "yfinance", "yfinance csv"]
)
def test_round_trip(layout: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(prices=price_tables())
    def check(prices: PriceTable) -> None:
        frame = to_frame(prices)
        if layout == "sqlite":
            frame = frame.with_columns(pl.col("date").cast(pl.String))
        again = read_prices(LAYOUTS[layout](frame, tmp_path_factory.mktemp("round-trip")))
        assert (again.dates, again.tickers) == (prices.dates, prices.tickers)
        assert again.fingerprint == prices.fingerprint
        keep_promises(again)

    check()


BREAKS = st.sampled_from(["gap", "nan", "zero", "crossed", "unpriced", "infinite"])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(prices=price_tables(), breaks=st.lists(st.tuples(BREAKS, st.integers(0, 99)), max_size=4))
def test_a_table_keeps_its_promises_for_any_broken_bars(
    prices: PriceTable, breaks: list[tuple[str, int]]
) -> None:
    frame = to_frame(prices)
    rows = [list(row) for row in frame.rows()]
    for kind, place in breaks:
        row = rows[place % len(rows)]
        match kind:
            case "gap":
                rows.remove(row) if len(rows) > 1 else None
            case "nan":
                row[5] = nan
            case "zero":
                row[2] = 0.0
            case "crossed":
                row[3:5] = [1.0, 2.0]
            case "unpriced":
                row[2:6] = [None] * 4
            case "infinite":
                row[3] = inf
    try:
        read = read_prices(pl.DataFrame(rows, schema=frame.schema, orient="row"))
    except InputError as error:
        refused = str(error)
        assert any(words in refused for words in ("no ticker is left", "has a price"))
    else:
        keep_promises(read)
        assert set(contents(read)) <= set(contents(prices))


READ_AND_MEASURE = """
import sys, time
from pathlib import Path
begin = time.perf_counter()
from mp2.data.prices import read_prices
prices = read_prices(sys.argv[1])
complete = int((prices.first_idx == 0).sum())
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
print(prices.n_tickers, prices.n_dates, complete, time.perf_counter() - begin, peak)
"""


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_BARS.exists(), reason="the market data is not beside the checkout")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_the_real_file_fits_a_small_process() -> None:
    command = [sys.executable, "-c", READ_AND_MEASURE, str(REAL_BARS)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    n_tickers, n_dates, n_complete, seconds, peak_kb = output.split()
    assert (int(n_tickers), int(n_dates), int(n_complete)) == (537, 1259, 516)
    assert float(seconds) < 10
    assert int(peak_kb) < 400 * 1024  # not a limit of mp2: allocators and numbers of cores differ


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_BARS.exists(), reason="the market data is not beside the checkout")
def test_the_real_file_and_its_prices() -> None:
    prices = read_prices(REAL_BARS)
    lines = [finding.line for finding in prices.findings if finding.kind != "jump"]
    assert [line.partition(": ")[2] for line in lines] == [
        "bars that repeat the bar before, more than 5 in a row: 951, not tradable from the second "
        "on: AMCR, BHF, CA, EVHC, SCG; the first: AMCR 2015-01-14",
        "missing bars on dates that others have: 1012, without signal and outcome: "
        "AET, ANDV, BHF, CA, CELG, ...; the first: AET 2018-01-05",
        "tickers whose bars end early: 13, used up to then: AET, ANDV, BBT, CBS, CELG, ...; "
        "the first: AET 2018-11-29",
        "bars with open or close outside low..high: 3, kept; the first: CBOE 2020-01-10",
    ]
    keep_promises(prices)
    stored = pl.read_parquet(REAL_BARS)
    # All but the stale bars.
    kept = to_frame(prices).select("date", "ticker", read="close")
    assert kept.height == stored.height - 951
    both = kept.join(stored, on=["date", "ticker"])
    assert both.height == kept.height
    assert (both["read"] == both["close"].cast(pl.Float64)).all()


def test_what_comes_after_the_end_decides_nothing():
    """A ticker that ends after `end` is no finding, and the next date is known."""
    ends = without((2, "LOW"))
    dates = [str(day) for day in LONG["date"].unique().sort()]
    whole, cut = read_prices(LONG, end=dates[-2]), read_prices(ends, end=dates[-2])
    assert read_prices(ends).warnings
    assert cut.warnings == ()
    assert cut.fingerprint == whole.fingerprint
    assert cut.next_date == whole.next_date == whole.until(dates[-2]).next_date == dates[-1]
    assert read_prices(LONG).next_date is None


def test_a_date_below_a_ticker_is_no_field_of_its_bars(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    rows = "0,2024-01-11,185.59,187.05,183.62,186.54,49128400\n"
    path.write_text(f"Price,Date,Close,High,Low,Open,Volume\nTicker,(A,A,A,A,A,A\n{rows}")
    with pytest.raises(InputError) as raised:
        read_prices(path)
    assert "[(A]: missing columns 'open', 'high', 'low', 'close'" in raised.value.problems[0]
