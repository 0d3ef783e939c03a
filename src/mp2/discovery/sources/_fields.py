"""Read the fields of a source's response: a value of the wanted type, or None.

Sources send numbers as text, leave fields empty or out, and change types without notice. A row
that cannot be read is left out; a response without any readable row is a `bad_payload`, because
the source has changed its format.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from mp2._document import Document, Fields
from mp2.discovery.candidates import one_line
from mp2.discovery.http.reply import Reply
from mp2.discovery.records import Candidate
from mp2.errors import SourceError

T = TypeVar("T")

# Makes validated data of a reply of any status; raises `SourceError`.
Parse = Callable[[Reply], T]

# Makes a record of a row, or None when the row lacks something.
Read = Callable[["Row"], T | None]

# What sources write where they know nothing.
ABSENT = (None, "", "None", "-", "N/A")

# Stricter than float(), which also reads `1_000`, `nan` and digits of other scripts.
_NUMBER = re.compile(r"[+-]?([0-9][0-9,]{0,30}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?%?")


class Row(Document):
    """A JSON object of a response."""

    def number(self, name: str) -> float | None:
        """Return a finite number, also one sent as text: `1,234.5`, `207.0796%` (as 207.0796)."""
        value = self.get(name)
        if isinstance(value, str):
            text = value.strip()
            if not _NUMBER.fullmatch(text):
                return None
            value = float(text.rstrip("%").replace(",", ""))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # False for NaN, infinities and integers that no float can hold.
        is_finite = abs(value) <= sys.float_info.max
        return float(value) if is_finite else None

    def line(
        self,
        name: str,
        n_chars: int = 200,
    ) -> str:
        """Return text on one line of at most `n_chars`; empty when the value is not text."""
        value = self.get(name)
        return one_line(value, n_chars) if isinstance(value, str) else ""

    def day(self, name: str) -> str | None:
        """Return the date that a text begins with, in ISO format."""
        try:
            return datetime.date.fromisoformat(self.line(name)[:10]).isoformat()
        except ValueError:
            return None

    def texts(
        self,
        name: str,
        n_chars: int,
    ) -> list[str]:
        """Return the texts of a nested array, each as `line` does; empty when there is none."""
        values = self.get(name)
        if not isinstance(values, list):
            return []
        return [one_line(value, n_chars) for value in values if isinstance(value, str)]

    def part(self, name: str) -> Row:
        """Return a nested object; empty when there is none."""
        value = self.get(name)
        return Row(value) if isinstance(value, dict) else Row()

    def rows(
        self,
        name: str,
        read: Read[T],
    ) -> list[T]:
        """Return what `read` makes of the rows of a nested array.

        Raises `SourceError("bad_payload")` when it is not an array, or as `read_rows` does.
        """
        values = self.get(name)
        if not isinstance(values, list):
            raise _wrong_type(name, "an array", values)
        return read_rows(values, read, name)


def read_rows(
    values: Collection[Any],
    read: Read[T],
    what: str,
) -> list[T]:
    """Return what `read` makes of each row, without those for which it returns None.

    Raises `SourceError("bad_payload")` naming `what` when there are rows and none can be read.
    """
    records = []
    for value in values:
        record = read(Row(value)) if isinstance(value, dict) else None
        if record is not None:
            records.append(record)
    if values and not records:
        raise SourceError(
            "bad_payload",
            f"{what}: cannot read any of the {len(values)} rows",
        )
    return records


def read_object(reply: Reply, what: str) -> Row:
    """Return the body as a JSON object. Raises `SourceError("bad_payload")` naming `what`."""
    return as_row(reply.json(), what)


def as_row(value: Any, what: str) -> Row:
    """Return a JSON object as a row. Raises `SourceError("bad_payload")` naming `what`."""
    if not isinstance(value, dict):
        raise _wrong_type(what, "an object", value)
    return Row(value)


def _wrong_type(
    what: str,
    wanted: str,
    value: Any,
) -> SourceError:
    # The message omits the value: a source may repeat the key it was called with.
    return SourceError(
        "bad_payload",
        f"{what}: expected {wanted}, got {type(value).__name__}",
    )


class Refusal(NamedTuple):
    """What a source means by a sentence in which `pattern` is found, in any letter case."""

    pattern: str
    code: str
    message: str
    burst: bool = False


def raise_refusal(sentence: str, refusals: Collection[Refusal]) -> None:
    """Raise the `SourceError` of the first refusal that the sentence matches, if any."""
    for refusal in refusals:
        if re.search(refusal.pattern, sentence, re.IGNORECASE):
            raise SourceError(
                refusal.code,
                refusal.message,
                burst=refusal.burst,
            )


def pick(
    record: Fields,
    fields: Collection[str],
) -> Document:
    """Return the fields of a record that belong in a candidate's data."""
    return {name: record[name] for name in fields}


def most_first(candidates: Iterable[Candidate], *fields: str) -> list[Candidate]:
    """Sort by fields of the candidates' data, largest first, then by ticker."""
    by_ticker = sorted(candidates, key=lambda candidate: candidate.ticker)
    return sorted(
        by_ticker, key=lambda candidate: [candidate.data[name] for name in fields], reverse=True
    )


def usable_from(filed: str) -> str:
    """Return the next weekday after an ISO date; exchange holidays are not known here."""
    date = datetime.date.fromisoformat(filed)
    n_days = {4: 3, 5: 2}.get(date.weekday(), 1)
    return (date + datetime.timedelta(days=n_days)).isoformat()
