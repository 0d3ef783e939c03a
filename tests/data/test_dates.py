"""Every way to write a day is read where it means one day, and refused where it means two."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dateutil.tz import tzoffset
from signal_frames import win_frame

from mp2.data import frames
from mp2.data.dates import iso_day
from mp2.data.prices import PriceTable, read_prices
from mp2.data.signal_reader import read_signals
from mp2.errors import InputError

DAYS = ("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08")
BARS = pd.DataFrame(
    {"ticker": "A", "open": 1.0, "high": 3.0, "low": 0.5, "close": [1.0, 2.0, 1.5, 2.5, 1.2]}
)


def bars(days: Any) -> pd.DataFrame:
    """Return one bar of a ticker for each day."""
    return pd.DataFrame({"date": days}).join(pd.concat([BARS] * len(days), ignore_index=True))


def problem_of(source: Any, **how: Any) -> str:
    """Return the only problem of a source of prices."""
    with pytest.raises(InputError) as caught:
        read_prices(source, **how)
    (problem,) = caught.value.problems
    return problem


def test_a_setting_of_two_readings_shows_both() -> None:
    assert iso_day("end", "13/02/2024") == "2024-02-13"
    assert iso_day("end", "01/02/2024", "%d/%m/%Y") == "2024-02-01"
    with pytest.raises(
        InputError, match="end: '01/02/2024' may be 2024-02-01 or 2024-01-02; write"
    ):
        iso_day("end", "01/02/2024")


# --- columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y 00:00:00.000", "%m-%d-%Y"])
def test_a_value_above_12_anywhere_in_the_column_decides(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "BATCH_ROWS", 2)
    days = pd.bdate_range("2024-01-02", periods=12)
    expected = tuple(days.strftime("%Y-%m-%d"))
    assert read_prices(bars(days.strftime(form))).dates == expected
    # Both passes over a table of signals decide alike.
    signals = win_frame(*[("A", "1", day, "T", 1) for day in days.strftime(form)])
    assert read_signals(signals).days == expected
    assert read_signals(signals, outcomes=signals.select("day", "ticker", "win")).days == expected


def test_without_such_a_value_the_format_decides() -> None:
    table = bars(["02/01/2024", "03/01/2024", "04/01/2024"])
    assert problem_of(table) == (
        "prices: column 'date': '02/01/2024' may be 2024-01-02 (day first) or 2024-02-01 "
        "(month first), and no value shows which; "
        "give --date-format, such as %d/%m/%Y or %m/%d/%Y"
    )
    read = read_prices(table, date_format="%d/%m/%Y", end="03/01/2024")
    assert read.dates == DAYS[:2]
    # What is clear needs no format, as in the other one of two files.
    assert read_prices(bars(list(DAYS)), date_format="%d/%m/%Y").dates == DAYS
    assert "'02/13/2024' is not a date" in problem_of(bars(["02/13/2024"]), date_format="%d/%m/%Y")
    # A day of the same number as its month is no question.
    assert read_prices(bars(["01/01/2024", "02/02/2024"])).dates == ("2024-01-01", "2024-02-02")


def test_the_rows_after_a_refusal_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "BATCH_ROWS", 2)
    table = bars(["02/01/2024", "03/01/2024", "02/01/2024", "04/01/2024"])
    assert "no value shows which" in problem_of(table)


def test_a_column_with_both_orders_is_refused() -> None:
    assert problem_of(bars(["13/02/2024", "02/14/2024"])) == (
        "prices: column 'date' has '13/02/2024', where the day is first, and '02/14/2024', "
        "where the month is; write YYYY-MM-DD"
    )


@pytest.mark.parametrize("units_per_s", [1, 10**3, 10**6, 10**9])
def test_columns_of_numbers_since_1970(units_per_s: int) -> None:
    days = pd.DatetimeIndex(DAYS)
    numbers = [int(day.timestamp()) * units_per_s for day in days]
    assert read_prices(bars(numbers)).dates == DAYS
    assert read_prices(bars([float(number) for number in numbers])).dates == DAYS
    assert "-1 is not a date" in problem_of(bars([-1, *numbers]))


# --- zones ---------------------------------------------------------------------------------------

ZONES: dict[str, tzinfo] = {
    "+05:30": timezone(timedelta(hours=5, minutes=30)),
    "+05:45": timezone(timedelta(hours=5, minutes=45)),
    "-03:30": timezone(-timedelta(hours=3, minutes=30)),
    "+09:30": timezone(timedelta(hours=9, minutes=30)),
    "tzoffset": tzoffset("JST", 32400),
    "Kolkata": ZoneInfo("Asia/Kolkata"),
    "New York": ZoneInfo("America/New_York"),
}


def to_file(name: str) -> Callable[[pd.DataFrame, Path], Any]:
    """Return a function that writes a frame, and returns the path."""

    def write(frame: pd.DataFrame, folder: Path) -> Path:
        path = folder / name
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        elif path.suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            connection = sqlite3.connect(path)
            frame.map(str).to_sql("bars", connection, index=False)
            connection.close()
        return path

    return write


SOURCES: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "pandas": lambda frame, _: frame,
    "index": lambda frame, _: frame.set_index("date"),
    "objects": lambda frame, _: frame.astype({"date": object}),
    "pyarrow": lambda frame, _: pa.Table.from_pandas(frame, preserve_index=False),
    "parquet": to_file("bars.parquet"),
    "csv": to_file("bars.csv"),
    "sqlite": to_file("bars.db"),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("zone", ZONES)
def test_the_local_day_counts(zone: str, source: str, tmp_path: Path) -> None:
    stamped = bars(pd.DatetimeIndex(DAYS).tz_localize(ZONES[zone]))
    table = SOURCES[source](stamped, tmp_path)
    if (zone, source) in (("tzoffset", "pyarrow"), ("tzoffset", "parquet")):
        # The offset is lost there: only the name is stored.
        name = "prices" if source == "pyarrow" else table
        assert problem_of(table) == (
            f"{name}: column 'date' has times of the zone 'JST', which is not known; "
            "give --timezone, such as Asia/Tokyo"
        )
        assert read_prices(table, timezone="Asia/Tokyo").dates == DAYS
    else:
        assert read_prices(table).dates == DAYS


@pytest.mark.parametrize("zone", ["+05:30", "tzoffset"])
def test_a_column_of_no_use_may_have_any_zone(
    zone: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = bars(list(DAYS)).assign(updated=datetime(2024, 3, 1, tzinfo=ZONES[zone]))
    path = SOURCES["parquet"](table, tmp_path)
    assert read_prices(path).dates == DAYS
    assert read_prices(SOURCES["pyarrow"](table, tmp_path)).dates == DAYS
    # As a price it is refused, and no library panics.
    assert "column 'updated', row 1" in problem_of(path, columns={"close": "updated"})
    assert capfd.readouterr().err == ""


def test_objects_have_each_their_own_zone() -> None:
    days = [
        datetime(2024, 3, 8, tzinfo=timezone(timedelta(hours=-5))),
        datetime(2024, 3, 11, tzinfo=timezone(timedelta(hours=-4))),
    ]
    assert read_prices(bars(pd.Series(days, dtype=object))).dates == ("2024-03-08", "2024-03-11")


def test_periods_are_days() -> None:
    days = pd.period_range("2024-01-02", periods=4, freq="D")
    for dates in (days, days.astype(object)):
        assert read_prices(bars(dates)).dates == DAYS[:4]


# --- what times show -----------------------------------------------------------------------------

WEEKS = pd.bdate_range("2024-01-02", periods=12)


@pytest.mark.parametrize(
    ("zone", "clock"),
    [("Europe/Berlin", "23:00"), ("Asia/Tokyo", "15:00"), ("Asia/Kolkata", "18:30"),
     ("Australia/Sydney", "13:00"), ("Pacific/Auckland", "11:00")],
)  # fmt: skip
@pytest.mark.parametrize("form", ["aware", "naive", "text", "number"])
def test_midnights_of_the_east_in_utc(zone: str, clock: str, form: str) -> None:
    stamps = WEEKS.tz_localize(zone).tz_convert("UTC")
    days: Any = stamps
    if form == "naive":
        days = stamps.tz_localize(None)
    elif form == "text":
        days = stamps.astype(str)
    elif form == "number":
        days = [int(stamp.timestamp()) for stamp in stamps]
    assert problem_of(bars(days)) == (
        f"prices: column 'date': the times are {clock}, on Sundays but not on Fridays: midnights "
        "of a zone in the east, written as UTC; give --timezone, such as Asia/Tokyo "
        "(--timezone UTC takes the days as they are)"
    )
    assert read_prices(bars(days), timezone=zone).dates == tuple(WEEKS.strftime("%Y-%m-%d"))
    assert read_prices(bars(days), timezone="UTC").dates[0] == "2024-01-01"
    # A zone that is wrong leaves Sundays.
    if zone == "Europe/Berlin":
        assert "Sundays" in problem_of(bars(days), timezone="Europe/London")


def test_signals_and_outcomes_of_the_east_are_refused_too() -> None:
    days = [day - timedelta(hours=2) for day in WEEKS]
    signals = win_frame(*[("A", "1", day, "T", 1) for day in days])
    plain = win_frame(("A", "1", "2024-01-02", "T", 1))
    for source, outcomes in ((signals, None), (plain, signals.drop("algo", "variation"))):
        with pytest.raises(InputError, match="the times are 22:00, on Sundays"):
            read_signals(source, outcomes=outcomes)
    assert read_signals(signals, timezone="Europe/Helsinki").days[0] == "2024-01-02"


@pytest.mark.parametrize(
    "days",
    [
        WEEKS.tz_localize("America/New_York").tz_convert("UTC"),
        WEEKS + timedelta(hours=16),
        # Exchanges of Israel: the days themselves.
        pd.DatetimeIndex(["2024-01-07", "2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11"]),
        pd.date_range("2024-01-01 22:00", periods=14),
    ],
)
def test_other_times_are_as_they_are(days: pd.DatetimeIndex) -> None:
    assert read_prices(bars(days)).dates == tuple(days.strftime("%Y-%m-%d"))


def test_an_unknown_zone_is_refused_at_once() -> None:
    assert problem_of("absent.csv", timezone="Asia/Tokio") == (
        "timezone: 'Asia/Tokio' is not known; give a name such as Asia/Tokyo, "
        "or an offset such as +05:30"
    )


@pytest.mark.parametrize("text", ["dd/mm/yyyy", "%d/%m", "%Q", "", "%", "%H%H"])
def test_a_format_without_a_whole_date_is_refused_at_once(text: str) -> None:
    assert problem_of("absent.csv", date_format=text) == (
        f"date_format: {text!r} does not say year, month and day; "
        "write %d/%m/%Y or the like, as for strptime"
    )


def test_a_zone_moves_instants_and_no_days() -> None:
    west = "America/New_York"
    assert read_prices(bars(list(DAYS)), timezone=west).dates == DAYS
    assert read_prices(bars(pd.DatetimeIndex(DAYS)), timezone=west).dates == DAYS
    evening = pd.DatetimeIndex(DAYS).tz_localize(west) + timedelta(hours=20)
    assert read_prices(bars(evening.tz_convert("UTC")), timezone=west).dates == DAYS


@pytest.mark.parametrize("as_text", [False, True])
def test_bars_within_the_day_are_refused_by_name(as_text: bool) -> None:
    hours = [day + timedelta(hours=hour) for day in WEEKS for hour in (10, 11, 12, 13)]
    days: Any = [str(hour) for hour in hours] if as_text else hours
    assert problem_of(bars(days)) == (
        "prices: column 'date': the times of day differ (10:00, 11:00, 12:00, ...): "
        "this is data within the day; make daily rows of it"
    )
    signals = win_frame(*[("A", "1", day, "T", 1) for day in days])
    with pytest.raises(InputError, match="this is data within the day"):
        read_signals(signals)


def test_bars_within_the_day_without_times_are_recognised() -> None:
    hours = pd.concat([bars(list(DAYS)).assign(close=close) for close in (1.0, 2.0, 3.0)])
    assert problem_of(hours).endswith(
        "; most dates have several: make daily bars, if these are within the day"
    )


def test_two_exchanges_and_summer_time_are_no_bars_within_the_day() -> None:
    london = WEEKS + timedelta(hours=8)
    new_york = WEEKS + timedelta(hours=14, minutes=30)
    table = pd.concat([bars(london), bars(new_york).assign(ticker="B")])
    assert read_prices(table).n_dates == len(WEEKS)


@pytest.mark.parametrize(
    ("freq", "what"), [("W-FRI", "weekly"), ("W-MON", "weekly"), ("BME", "monthly")]
)
def test_rare_bars_are_refused_by_name(freq: str, what: str) -> None:
    days = pd.date_range("2024-01-05", periods=8, freq=freq)
    assert problem_of(bars(days)) == (
        f"prices: these are {what} bars, by their dates; give daily bars"
    )


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["20240104", "2024/1/4", "Jan 4, 2024", "1704326400"])
def test_limits_in_any_clear_form(end: str) -> None:
    prices = read_prices(bars(list(DAYS)), start="2024-1-3", end=end)
    assert prices.dates == DAYS[1:3]
    whole: PriceTable = read_prices(bars(list(DAYS)))
    assert whole.until(end).dates == DAYS[:3]
    assert whole.last_idx(end) == 2
    assert whole.last_idx("2024-01-07") == 3
    assert whole.last_idx(str(datetime(2030, 1, 1, tzinfo=UTC))) == 4


# --- wide frames ---------------------------------------------------------------------------------


def wide_signals(index: Any) -> pd.DataFrame:
    """Return signals of one variation as vectorbt makes them."""
    levels = pd.MultiIndex.from_tuples([("A", 1, "T")], names=["algo", "window", "ticker"])
    return pd.DataFrame(True, index=index, columns=levels)


@pytest.mark.parametrize(
    "index",
    [
        WEEKS.tz_localize(ZONES["+05:30"]),
        WEEKS.tz_localize(ZONES["tzoffset"]),
        WEEKS.to_period("D"),
        WEEKS.strftime("%d/%m/%Y"),
        [int(day.timestamp()) for day in WEEKS],
    ],
    ids=["offset", "name", "periods", "texts", "numbers"],
)
def test_the_index_of_wide_frames_is_read_as_a_column_is(index: Any) -> None:
    days = tuple(WEEKS.strftime("%Y-%m-%d"))
    outcomes = pl.DataFrame({"day": days, "ticker": "T", "win": 1})
    assert read_signals(wide_signals(index), outcomes=outcomes).days == days
    fields = {name: BARS[name].iloc[0] for name in ("open", "high", "low", "close")}
    bars = pd.DataFrame(fields, index=index)
    # Days of equal bars are no trading days.
    bars["low"] *= np.linspace(0.5, 1, len(bars))
    prices = pd.concat({"T": bars}, axis=1)
    prices.index.name = "date"
    assert read_prices(prices).dates == days


def test_wide_frames_of_the_east_and_within_the_day_are_refused() -> None:
    outcomes = pl.DataFrame({"day": DAYS, "ticker": "T", "win": 1})
    hours = [day + timedelta(hours=hour) for day in WEEKS for hour in (10, 11)]
    for index, problem in (
        (WEEKS - timedelta(hours=2), "signals: column 'index': the times are 22:00, on Sundays"),
        (hours, "signals: column 'index': the times of day differ"),
        (["01/02/2024"], "signals: column 'index': '01/02/2024' may be 2024-02-01"),
    ):
        with pytest.raises(InputError, match=problem):
            read_signals(wide_signals(index), outcomes=outcomes)
