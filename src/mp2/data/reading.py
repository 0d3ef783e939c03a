"""How a source is read, as far as the source does not say it itself."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from mp2._document import Document, Texts
from mp2.data.dates import is_date_format, zone_of
from mp2.data.tables import Stop
from mp2.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the caller says about a source.

    - `columns`: the source's own column names by role; or, for a file without a header, the roles
      by the number of the column from 1.
    - `table`, `query`: what to read from a database.
    - `timezone`: the zone whose days count for instants, such as "Asia/Tokyo".
    - `date_format`: how dates are written, such as "%d/%m/%Y".
    - `decimal`: the mark of decimals in texts, "." or ",".
    - `adjusted`: whether adjusted prices are read where they stand beside those as traded: "auto",
      "yes" (they must be there) or "no".
    - `strict`: whether what would be tolerated with a warning is an error.
    - `ticker`: the ticker of a source that has no column of tickers.
    - `stop`: when set, ends the reading between two batches.
    """

    columns: Texts = field(default_factory=dict)
    table: str | None = None
    query: str | None = None
    timezone: str | None = None
    date_format: str | None = None
    decimal: str | None = None
    adjusted: str = "auto"
    strict: bool = False
    ticker: str | None = None
    stop: Stop = None

    def __post_init__(self) -> None:
        """Refuse an unknown zone, or what is no format of dates, before anything is read."""
        if self.timezone is not None and zone_of(self.timezone) is None:
            raise InputError(
                f"timezone: {self.timezone!r} is not known; give a name such as Asia/Tokyo, "
                "or an offset such as +05:30"
            )
        if self.date_format is not None and not is_date_format(self.date_format):
            raise InputError(
                f"date_format: {self.date_format!r} does not say year, month and day; "
                "write %d/%m/%Y or the like, as for strptime"
            )

    def given(self) -> Document:
        """Return what the caller said, by the names of the readers' arguments, but `stop`."""
        said: Document = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.name != "stop" and value != getattr(AS_IT_IS, spec.name):
                said[spec.name] = value
        return said

    def of_file(self) -> Reading:
        """Return the same for a source that is no database."""
        return replace(self, table=None, query=None)

    @property
    def has_header(self) -> bool:
        """Whether the first line of a text holds column names."""
        return not self.columns or not all(key.isdecimal() for key in self.columns)

    @property
    def names(self) -> Texts:
        """The source's own column names by role; columns without a name are called by number."""
        if self.has_header:
            return self.columns
        return {role: number for number, role in self.columns.items()}


AS_IT_IS = Reading()
"""For callers that say nothing about a source."""
