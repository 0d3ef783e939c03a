"""How a file of delimited text is written: found from its first lines.

Commas, UTF-8 and one header line are the usual case. Other separators and encodings, lines before
the header and wide tables' second header line are recognised; each such guess is a note.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from mp2._document import Names
from mp2.data.column_names import role_of, unnamed
from mp2.data.dates import may_be_date, parse_day
from mp2.data.packed import open_bytes
from mp2.data.tables import library_errors
from mp2.data.wide_bars import has_two_levels
from mp2.errors import InputError

CSV_FAILURE = "cannot be read as a CSV file"
_SEPARATORS = (",", ";", "\t", "|")
_HEAD_BYTES = 1 << 16
_HEAD_LINES = 12
_HEADER_BYTES = 8 << 20
# Excel's own way to say which separator a file has.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class TextLayout:
    """The layout of a file of delimited text.

    - `separator` of its fields; `encoding`, a codec's name.
    - `has_spaced_quotes`: a space may come between a separator and a quote.
    - `n_lines`: lines up to the end of the header; `columns`: the names in it. The columns of a
      wide table are called by the text of a tuple of the header's cells, `"('Close', 'AAPL')"`.
    - `notes`: what was guessed.
    """

    separator: str
    encoding: str
    n_lines: int
    has_spaced_quotes: bool
    columns: Names
    notes: Names


@dataclass(frozen=True, slots=True)
class _Records:
    """The first records of a file as one separator splits them.

    `ends`: lines up to each end; `width`: the number of fields that most records have.
    """

    separator: str
    cells: Sequence[Sequence[str]]
    ends: Sequence[int]
    width: int

    @property
    def header(self) -> int:
        """The number of the header: the first record that is no title and no comment."""
        for number, cells in enumerate(self.cells):
            is_comment = cells[0].startswith("#") and len(cells) != self.width
            is_title = 2 * len(cells) <= self.width or not any(cells)
            if not is_comment and not is_title:
                return number
        return 0

    @property
    def fit(self) -> tuple[bool, int, int]:
        """How well the separator suits: the largest one is the best."""
        n_alike = sum(len(cells) == self.width for cells in self.cells)
        suits = self.width > 1 and 2 * n_alike >= len(self.cells)
        return suits, -self.header, len(self.cells[self.header])


def text_layout(
    path: Path,
    *,
    has_header: bool = True,
) -> TextLayout:
    """Return the layout of a file; without a header its columns are called 1, 2 and so on.

    Raises `InputError` when the file is empty.
    """
    head, is_whole = _head(path)
    encoding = _encoding(head)
    # A bad byte is reported with its row when the rows are read.
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    if "\0" in text:
        raise InputError(f"{path}: holds bytes that are no text; is this a CSV file?")
    if "\r" in text and "\n" not in text:
        raise InputError(f"{path}: lines end with carriage returns alone; save it with other ones")
    if not text.strip("\0\r\n\t ,;|"):
        raise InputError(f"{path}: the file is empty; expected a header line with the column names")
    notes = []
    if encoding not in ("utf-8", "utf-8-sig", "utf-16"):
        notes.append(f"the text is read as {encoding}; save it as UTF-8 if names look wrong")
    first_line, _, others = text.partition("\n")
    said = _SEPARATOR_LINE.fullmatch(first_line)
    if said:
        text = others
        records = _split(text, said[1], is_whole)
    else:
        # Of equals the first counts: a comma.
        separators = [mark for mark in _SEPARATORS if mark in text] or [","]
        by_separator = [_split(text, separator, is_whole) for separator in separators]
        records = max(by_separator, key=lambda split: split.fit)
    first = records.header
    if first:
        lines = text.splitlines()[: records.ends[first - 1]]
        skipped = [line.strip()[:_MAX_SHOWN] for line in lines if line.strip()]
        if skipped:
            notes.append(f"lines before the header: {len(skipped)}, skipped: {skipped[0]!r}")
    n_header = 0
    columns: Names = tuple(map(str, range(1, records.width + 1)))
    if has_header:
        rows = records.cells[first:]
        n_header = _count_header_rows(rows)
        columns = _column_names(rows[:n_header], rows[n_header:])
    n_records = first + n_header
    return TextLayout(
        records.separator,
        encoding,
        (records.ends[n_records - 1] if n_records else 0) + bool(said),
        f'{records.separator} "' in text,
        columns,
        tuple(notes),
    )


def _head(path: Path) -> tuple[bytes, bool]:
    """Return the first lines of a file, and whether they are all of it."""
    with library_errors(path, CSV_FAILURE), open_bytes(path) as file:
        head = file.read(_HEAD_BYTES)
        # The header of a wide table can be long.
        while head.count(b"\n") < _HEAD_LINES and len(head) < _HEADER_BYTES:
            more = file.read(len(head))
            if not more:
                return head, True
            head += more
    if b"\n" not in head:
        raise InputError(
            f"{path}: a header longer than {_HEADER_BYTES >> 20} MB; is this a CSV file?"
        )
    return head, False


def _encoding(head: bytes) -> str:
    """Return the codec of a text: by its mark, else the first that can read it."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a mark: the other byte of a Latin letter is zero.
    for odd, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if 2 * head[odd::2].count(0) > len(head) // 2:
            return encoding
    # GB 2312 has two bytes for every letter beyond ASCII: accents among Latin letters have one.
    for encoding, known in (("utf-8", "utf-8"), ("gb18030", "gb2312"), ("cp1252", "cp1252")):
        with suppress(UnicodeDecodeError):
            codecs.getincrementaldecoder(known)().decode(head)
            return encoding
    return "latin-1"


def _split(
    text: str,
    separator: str,
    is_whole: bool,
) -> _Records:
    cells = []
    ends = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    # An unclosed quote is reported when the rows are read.
    with suppress(csv.Error):
        for row in reader:
            cells.append([cell.strip() for cell in row] or [""])
            ends.append(reader.line_num)
            if len(cells) == _HEAD_LINES:
                break
        else:
            # The end of the head can be within a record.
            if not is_whole and len(cells) > 1:
                del cells[-1], ends[-1]
    widths = Counter(len(row) for row in cells)
    width = widths.most_common(1)[0][0] if widths else 0
    return _Records(separator, cells, ends, width)


def _count_header_rows(records: Sequence[Sequence[str]]) -> int:
    """Return 1, or for a wide table 2, or 3 when a line holds nothing but the index's name."""
    if len(records) == 1 or not has_two_levels(*records[:2]):
        return 1
    for first_cell, *others in records[2:3]:
        if not any(others) and not may_be_date(first_cell):
            return 3
    return 2


def _column_names(
    header: Sequence[Sequence[str]],
    rows: Sequence[Sequence[str]],
) -> Names:
    n_columns = len(header[0])
    if len(header) == 1:
        names = _completed(header[0], rows)
        return tuple(name or unnamed(number) for number, name in enumerate(names))
    cells_of = list(zip_longest(*header, fillvalue=""))
    levels = [tuple(filter(None, cells)) for cells in cells_of[:n_columns]]
    # The first column is the index: its cells are the names of the levels, and its own.
    index_names = [name for name in levels[0] if role_of(name, ("date",))]
    first = index_names[0] if index_names else unnamed(0)
    return (first, *map(str, levels[1:]))


def _completed(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> Sequence[str]:
    """Return a header with an empty name where every row has one field more."""
    if {len(row) for row in rows} != {len(header) + 1}:
        return header
    if not any(row[-1] for row in rows):
        return [*header, ""]
    # R and pandas can leave out the name of the index, which is first: then dates are further on.
    number = 0
    if role_of(header[0], ("date",)):
        number = 1
    # Before later dates the field may as well come from a comma that is not quoted.
    elif any(role_of(name, ("date",)) for name in header):
        return header
    if all(parse_day(row[number]) for row in rows):
        return ["", *header]
    return header
