"""A column of a table as days: one rule for all its batches, and what its times give away.

A time counts as the day of its own zone, or of the zone that the caller names. Columns in which all
days are wrong are refused: evenings before the days they stand for, and several times of one day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mp2.data.dates import local_readings, local_time, readings_of, zone_of
from mp2.data.sessions import days_of
from mp2.data.tables import Table
from mp2.data.texts import in_utc, nulls, texts_of
from mp2.errors import InputError, named

if TYPE_CHECKING:
    from polars import Series

_MAX_CLOCKS_SHOWN = 3
# Fewer days do not show on which weekdays there are none.
_MIN_DAYS = 4
_FRIDAY = 5
_SUNDAY = 7
# Summer time moves a zone's midnight by an hour.
_N_CLOCKS_OF_MIDNIGHT = 2
# Python's calendar.
_EPOCH = date(1970, 1, 1)
_FIRST_DAY = (date.min - _EPOCH).days
_LAST_DAY = (date.max - _EPOCH).days


class DateColumn:
    """Converts one column: `days` and `note_times` for each batch, `problems` at the end."""

    def __init__(self, table: Table, name: str) -> None:
        import polars as pl

        self.table = table
        self.name = name
        self.place = f"{table.name}: column {name!r}"
        self.zone = zone_of(table.timezone) if table.timezone else None
        # Known once a text needs it.
        self._is_day_first: bool | None = None
        # Why no value of the column can be read.
        self.refusal: str | None = None
        # The texts of a batch, and what they mean: the next one often has the same.
        self._texts = pl.Series(dtype=pl.String)
        self._meanings = pl.Series(dtype=pl.Date)
        # The times of the last batch; None where they are all midnight.
        self._times: Series | None = None
        self._quarters = pl.Series(dtype=pl.Datetime("us"))
        self._n_days = 0
        self._n_mixed_days = 0

    def days(self, values: Series) -> Series:
        """Convert to dates; what is no day becomes null.

        All are null, and `refusal` says why, when the order of day and month is not known, or the
        zone.
        """
        import polars as pl

        self._times = None
        # Looking for it in every batch again would read the table as often.
        if self.refusal:
            return nulls(values, pl.Date)
        if values.dtype == pl.Date:
            return _in_calendar(values)
        convert = self._of_texts
        if values.dtype == pl.Datetime:
            convert = self._of_instants
        try:
            times = convert(values)
        except InputError as error:
            self.refusal = str(error)
            return nulls(values, pl.Date)
        if times.dtype == pl.Date:
            return times
        self._times = times
        return times.dt.date()

    def _of_instants(self, values: Series) -> Series:
        """Return the times on the clock of the wanted zone, by default the column's own."""
        dtype: Any = values.dtype
        zone = self.zone or zone_of(dtype.time_zone or "UTC")
        if zone is None:
            raise InputError(
                f"{self.place} has times of the zone {dtype.time_zone!r}, which is not known; "
                "give --timezone, such as Asia/Tokyo"
            )
        instants = _in_calendar(in_utc(values))
        # The usual column: no time is moved.
        if self.zone is None and zone.utcoffset(None) == timedelta():
            return _days_of_midnights(instants)
        stored_zone = UTC if dtype.time_zone else None
        distinct = instants.unique().drop_nulls()
        stored = [instant.replace(tzinfo=stored_zone) for instant in distinct]
        times = [local_time(instant, zone) for instant in stored]
        return _replaced(instants, distinct, _series(times))

    def _of_texts(self, values: Series) -> Series:
        """Return the times that texts and numbers mean, or dates where all are midnight."""
        texts = _date_texts(values)
        times = _replaced(texts, self._texts, self._meanings)
        if times.null_count() > texts.null_count():
            # Each different text is parsed once: there are few days among many rows.
            self._texts = texts.unique().drop_nulls()
            self._meanings = _series(self._parsed(self._texts))
            times = _replaced(texts, self._texts, self._meanings)
        return times

    def _parsed(self, texts: Series) -> list[datetime | None]:
        date_format = self.table.date_format
        readings = [local_readings(text, date_format, self.zone) for text in texts]
        if self._is_day_first is None and any(reading.need_order for reading in readings):
            self._is_day_first = self._find_order()
        if self._is_day_first:
            return [reading.day_first for reading in readings]
        return [reading.month_first for reading in readings]

    def _find_order(self) -> bool:
        """Return whether days come before months, as some value of the whole column shows."""
        # The first text of each kind.
        day_first = ""
        month_first = ""
        unclear = ""
        for text in self._all_texts():
            reading = readings_of(text, self.table.date_format)
            if not reading.need_order:
                continue
            if reading.month_first is None:
                day_first = day_first or text
            elif reading.day_first is None:
                month_first = month_first or text
            else:
                unclear = unclear or text
        if day_first and month_first:
            raise InputError(
                f"{self.place} has {day_first!r}, where the day is first, and {month_first!r}, "
                "where the month is; write YYYY-MM-DD"
            )
        if day_first or month_first:
            return bool(day_first)
        days = readings_of(unclear, self.table.date_format).days()
        raise InputError(
            f"{self.place}: {unclear!r} may be {days[0]} (day first) or {days[1]} "
            "(month first), and no value shows which; "
            "give --date-format, such as %d/%m/%Y or %m/%d/%Y"
        )

    def _all_texts(self) -> Iterator[str]:
        for batch in self.table.batches([self.name]):
            texts = _date_texts(batch[self.name])
            yield from texts.unique(maintain_order=True).drop_nulls()

    # --- what the times show ---------------------------------------------------------------------

    def note_times(self, keys: Sequence[Series]) -> None:
        """Count the times of the last batch; `keys` say which of its rows are of one kind."""
        import polars as pl

        if self._times is None:
            return
        known = self._times.drop_nulls()
        quarters = known.dt.truncate("15m").cast(self._quarters.dtype).unique()
        self._quarters = pl.concat([self._quarters, quarters]).unique()
        # With one time of day, as that of a close, no day has two.
        if known.dt.time().n_unique() == 1:
            self._n_days += len(quarters)
            return
        rows = pl.DataFrame([*keys, self._times.alias("time")])
        times = rows.drop_nulls().unique()
        names = [key.name for key in keys]
        n_times = times.group_by(*names, pl.col("time").dt.date()).len()["len"]
        self._n_days += len(n_times)
        self._n_mixed_days += int(n_times.gt(1).sum())

    def problems(self) -> list[str]:
        """Return why no day of the column can be right, if so."""
        if self.refusal:
            return [self.refusal]
        clocks = self._quarters.dt.strftime("%H:%M").value_counts(sort=True)
        shown = named(sorted(clocks.to_series()), _MAX_CLOCKS_SHOWN)
        # Half of them: of the last day a source may hold two states.
        if 2 * self._n_mixed_days > self._n_days:
            return [
                f"{self.place}: the times of day differ ({shown}): this is data within the day; "
                "make daily rows of it"
            ]
        # A wrong zone is found out, too; UTC says that the days are right.
        if self.zone is not None and self.zone.utcoffset(None) == timedelta():
            return []
        if self._are_before_their_days(clocks["count"]):
            return [
                f"{self.place}: the times are {shown}, on Sundays but not on Fridays: midnights of "
                "a zone in the east, written as UTC; give --timezone, such as Asia/Tokyo "
                "(--timezone UTC takes the days as they are)"
            ]
        return []

    def _are_before_their_days(self, n_by_clock: Series) -> bool:
        """Return whether the times are evenings of the days before those of a market."""
        days = self._quarters.dt.date().unique()
        weekdays = days.dt.weekday().to_numpy()
        n_days = len(weekdays)
        if n_days < _MIN_DAYS:
            return False
        is_midnight = n_by_clock.head(_N_CLOCKS_OF_MIDNIGHT).sum() / n_days > 0.9
        has_sundays = np.mean(weekdays == _SUNDAY) > 0.1
        has_fridays = np.mean(weekdays == _FRIDAY) > 0.02
        return bool(is_midnight and has_sundays and not has_fridays)


# --- days of a whole table -----------------------------------------------------------------------

# (least days apart, most, what such bars are called): holidays move a bar by a day or two.
_SPACINGS = ((5, 9, "weekly"), (26, 33, "monthly"), (87, 94, "quarterly"))
_MIN_GAPS = 4


def spacing(dates: Sequence[str]) -> str | None:
    """Return "weekly" or the like for ascending ISO dates of which most are so far apart."""
    gaps = np.diff(days_of(dates)).astype(np.int64)
    if len(gaps) < _MIN_GAPS:
        return None
    for least, most, what in _SPACINGS:
        if np.mean((least <= gaps) & (gaps <= most)) > 0.75:
            return what
    return None


# --- values --------------------------------------------------------------------------------------


def _in_calendar(values: Series) -> Series:
    """Return dates or times with null for those that Python does not have."""
    import polars as pl

    days = values.cast(pl.Date, strict=False).to_physical()
    in_range = days.is_between(_FIRST_DAY, _LAST_DAY).fill_null(False)
    if in_range.all():
        return values
    return values.set(~in_range, None)


def _date_texts(values: Series) -> Series:
    """Convert to text, whole floats as whole numbers."""
    import polars as pl

    texts = texts_of(values)
    if not values.dtype.is_float():
        return texts
    # pandas turns whole numbers into floats where some are missing.
    whole = values.cast(pl.Int64, strict=False)
    return whole.cast(pl.String).zip_with((whole == values).fill_null(False), texts)


def _series(times: Sequence[datetime | None]) -> Series:
    """Make a series of times, or of dates where all are midnight."""
    import polars as pl

    return _days_of_midnights(pl.Series(times, dtype=pl.Datetime("us")))


def _days_of_midnights(times: Series) -> Series:
    """Return the dates of times that are all midnight; other times as they are."""
    days = times.dt.date()
    if (days.cast(times.dtype) == times).all():
        return days
    return times


def _replaced(values: Series, old: Series, new: Series) -> Series:
    """Return the new value for each old one; null for others."""
    return values.replace_strict(old, new, default=None, return_dtype=new.dtype)
