"""Dates of settings and columns: texts by their grammar and format, times by their zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from mp2.data.date_texts import NO_DATE, Readings, is_number, read_text
from mp2.errors import InputError

# The second one: `strptime` makes a pattern of a format, which may be none.
_NO_MATCH = (ValueError, re.error)


def readings_of(text: str, date_format: str | None = None) -> Readings:
    """Return what a text may mean; in the `date_format` of `strptime`, if it is written so."""
    trimmed = text.strip()
    if date_format is None:
        return read_text(trimmed, _zone_in_column)
    try:
        meant = datetime.strptime(trimmed, date_format)
    except _NO_MATCH:
        readings = read_text(trimmed, _zone_in_column)
        # The format has just excluded one of two orders.
        if readings.need_order:
            return NO_DATE
        return readings
    return Readings(meant, meant)


def parse_day(text: str, date_format: str | None = None) -> date | None:
    """Return the one day that a text means, else None."""
    days = readings_of(text, date_format).days()
    if len(days) == 1:
        return days[0]
    return None


def may_be_date(text: str) -> bool:
    """Return whether a text looks like a date; a number since 1970 may be any number."""
    return any(readings_of(text)) and not is_number(text.strip())


def is_date_format(text: str) -> bool:
    """Return whether a format, as of `strptime`, has a whole date."""
    day = datetime(2024, 12, 31)
    try:
        example = day.strftime(text)
        # The same weekday of another year. Without a year `strptime` warns, and will fail.
        has_year = example != day.replace(year=2019).strftime(text)
        return has_year and datetime.strptime(example, text).date() == day.date()
    except _NO_MATCH:
        return False


def setting_day(
    name: str,
    value: object,
    problems: list[str],
    date_format: str | None = None,
) -> date | None:
    """Return the day of a setting; adds what is wrong with it to `problems`."""
    days = readings_of(str(value), date_format).days()
    if len(days) == 1:
        return days[0]
    meaning = "is not a date"
    if days:
        meaning = f"may be {days[0]} or {days[1]}"
    problems.append(f"{name}: {value!r} {meaning}; write YYYY-MM-DD")
    return None


def iso_day(
    name: str,
    value: str | None,
    date_format: str | None = None,
) -> str | None:
    """Return the day of a setting as YYYY-MM-DD; raises `InputError` for what is no day."""
    if value is None:
        return None
    problems: list[str] = []
    day = setting_day(name, value, problems, date_format)
    if day is None:
        raise InputError(problems)
    return day.isoformat()


# --- zones ---------------------------------------------------------------------------------------

# Some write the zone's name behind its offset.
_OFFSET = re.compile(
    r"(?:UTC|GMT)? ?([+-])(\d{1,2}):?(\d{2})?(?: [a-z]{2,5})?",
    re.IGNORECASE,
)
# Python imports a package for each folder of a name.
_ZONE = re.compile(r"[\w+-]{1,40}(?:/[\w+-]{1,40}){0,2}", re.ASCII)


class _Abbreviation(tzinfo):
    """A zone that is written as EDT or IST: the clock is known, but not its offset."""

    def utcoffset(self, moment: datetime | None) -> None:
        """Return None, as for a time without a zone."""

    dst = utcoffset
    tzname = utcoffset


_ABBREVIATION = _Abbreviation()


@lru_cache
def zone_of(name: str) -> tzinfo | None:
    """Return the zone that is called Asia/Tokyo, UTC, +05:30 or the like; None for others."""
    if name == "Z":
        return UTC
    offset = _OFFSET.fullmatch(name)
    if not (offset or _ZONE.fullmatch(name)):
        return None
    try:
        if offset is None:
            return ZoneInfo(name)
        sign, hours, minutes = offset.groups(default="0")
        return timezone(timedelta(hours=int(sign + hours), minutes=int(sign + minutes)))
    # The last one: a folder of zones, such as America.
    except (KeyError, ValueError, OSError):
        return None


def _zone_in_column(name: str) -> tzinfo:
    """Return the zone that a text of a column names, which may be an abbreviation."""
    zone = zone_of(name)
    if zone is not None:
        return zone
    if name.isalpha() and name.isupper():
        return _ABBREVIATION
    raise ValueError(name)


def local_time(moment: datetime | None, zone: tzinfo | None) -> datetime | None:
    """Return a time on the clock of a zone, or of its own place; None when that is unknown."""
    if moment is None:
        return None
    if zone is None:
        return moment.replace(tzinfo=None)
    if moment.tzinfo is _ABBREVIATION:
        return None
    if moment.tzinfo is None:
        # Midnight without a zone is a day and not an instant.
        if moment.time() == time.min:
            return moment
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(zone).replace(tzinfo=None)
    # Beyond the years of Python's calendar.
    except OverflowError:
        return None


@lru_cache(maxsize=1 << 14)  # a column repeats its few days in every batch
def local_readings(
    text: str,
    date_format: str | None,
    zone: tzinfo | None,
) -> Readings:
    """Return what a text may mean on the clock of a zone."""
    readings = readings_of(text, date_format)
    return Readings(
        local_time(readings.day_first, zone),
        local_time(readings.month_first, zone),
    )
