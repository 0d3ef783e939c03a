"""Delimited text is read however it is separated and encoded; what is skipped is said."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from bar_frames import LONG, problems_of

from mp2.data import delimited
from mp2.data.prices import PriceTable, read_prices
from mp2.data.signal_reader import read_signals
from mp2.errors import InputError

CSV = LONG.write_csv()
EXPECTED = read_prices(LONG).fingerprint


def read(folder: Path, data: bytes, **columns: str) -> PriceTable:
    path = folder / "prices.csv"
    path.write_bytes(data)
    prices = read_prices(path, columns=columns)
    assert prices.fingerprint == EXPECTED
    return prices


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_encodings(
    separator: str, encoding: str, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_CSV_BLOCK_BYTES", 31)
    text = LONG.write_csv(separator=separator).replace("\n", end)
    assert not [
        line for line in read(tmp_path, text.encode(encoding)).warnings if "utf-16-" not in line
    ]


@pytest.mark.parametrize(
    ("encoding", "name", "shown"),
    [("latin-1", "Größe Währung", "cp1252"), ("gbk", "证券代码", "gb18030")],
)
def test_other_encodings_are_said(encoding: str, name: str, shown: str, tmp_path: Path) -> None:
    text = CSV.replace("ticker", name, 1)
    (line,) = read(tmp_path, text.encode(encoding), ticker=name).warnings
    assert line.endswith(
        f"prices.csv: the text is read as {shown}; save it as UTF-8 if names look wrong"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"\xef\xbb\xbf" + CSV.encode().replace(b"LOW", b"L\xffW", 1), "is not UTF-8 text"),
        (CSV.encode("utf-16-le").replace(b"L\0O\0", b"\0\xd8O\0", 1), "illegal"),
    ],
)
def test_a_bad_byte_in_the_first_lines(text: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(text)
    assert problem in str(problems_of(path))


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_the_separator_line_of_excel_is_no_header(line: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"{line}\r\n{LONG.write_csv(separator=';')}".encode()).warnings == ()


@pytest.mark.parametrize(
    "lines",
    [
        ["https://www.example.com"],
        ["# daily bars, adjusted", "#"],
        ["", "Apple Inc., daily"],
        ["My broker", "", "2024"],
    ],
)
@pytest.mark.parametrize("separator", [",", ";"])
def test_titles_and_comments_are_skipped_and_said(
    lines: list[str], separator: str, tmp_path: Path
) -> None:
    text = "\n".join([*lines, LONG.write_csv(separator=separator)])
    (line,) = read(tmp_path, text.encode()).warnings
    assert "lines before the header: " in line
    assert repr(next(filter(None, lines))) in line


def test_a_quoted_line_break_in_the_header_is_no_row(tmp_path: Path) -> None:
    read(tmp_path, CSV.replace("volume", '"vol\nume"', 1).encode())


def test_a_wide_header_longer_than_the_head_is_read(tmp_path: Path) -> None:
    extra = pl.DataFrame({f"{'x' * 80}{number}": [0] * LONG.height for number in range(1000)})
    read(tmp_path, LONG.hstack(extra).write_csv().encode())


def test_a_header_that_no_separator_splits_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(CSV.replace(",", "^"))
    (line,) = problems_of(path)
    assert "missing columns 'date', 'ticker', 'open', 'high', 'low', 'close'; it has date^" in line


def test_a_row_with_too_many_fields_names_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(LONG.write_csv(separator=";") + "2024-01-05;LOW;1;2;3;4;5;6;7\n")
    (line,) = problems_of(path)
    assert "row 9 has 9 fields for 7 columns; quote a field that holds a semicolon" in line


def rows_of(text: str, first: str = "", last: str = "") -> str:
    """Put something before and after each line but the header."""
    header, *rows = text.splitlines()
    return "\n".join([header, *(f"{first}{row}{last}" for row in rows)])


@pytest.mark.parametrize(
    "text",
    [
        rows_of(CSV, last=","),
        rows_of(CSV, first='"7",'),
        rows_of(CSV.replace("date,", "", 1)),
        CSV.replace(",", ", "),
        '"' + CSV.strip().replace(",", '", "').replace("\n", '"\n"') + '"\n',
    ],
    ids=["field at the end", "row names of R", "index without a name", "spaces", "spaced quotes"],
)
def test_what_programs_add_to_rows(text: str, tmp_path: Path) -> None:
    read(tmp_path, text.encode())


def test_one_comma_too_many_is_no_index(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(rows_of(CSV, last=",000"))
    assert "row 1 has 8 fields for 7 columns; quote a field" in problems_of(path)[0]


def test_lines_of_old_macs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(CSV.replace("\n", "\r"))
    assert "lines end with carriage returns alone" in problems_of(path)[0]


@pytest.mark.parametrize("day", ["yesterday", "05.2024"])
def test_a_row_of_one_number_is_no_second_header(day: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(f"date,ticker,open,high,low,close\n{day},X,1,1,1,1\n")
    assert f"column 'date', row 1: '{day}' is not a date" in problems_of(path)[0]


def test_a_comma_that_is_not_quoted_before_the_date_is_no_index(tmp_path: Path) -> None:
    path = tmp_path / "signals.csv"
    path.write_text("algo,variation,day,ticker,win\nA,1, 2,2024-01-02,X,1\n")
    with pytest.raises(InputError, match="row 1 has 6 fields for 5 columns"):
        read_signals(path)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(b"\x07\x00\x01date,ticker\n" + bytes(range(256)))
    assert "holds bytes that are no text" in problems_of(path)[0]
