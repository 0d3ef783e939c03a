"""Every kind of file gives the same bars, whatever its name says."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from bar_frames import LONG, problems_of

from mp2.data import frames, json_lines
from mp2.data.prices import PriceTable, read_prices

TEXT = LONG.write_csv().encode()
RECORDS = LONG.write_ndjson().encode()


def text(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def zipped(path: Path) -> None:
    with ZipFile(path, "w") as archive:
        archive.writestr("prices.csv", TEXT)
        archive.writestr("__MACOSX/._prices.csv", b"\0")


def zstd(path: Path) -> None:
    module = pytest.importorskip("backports.zstd")
    path.write_bytes(module.compress(TEXT))


def workbook(path: Path, *more: str) -> None:
    pytest.importorskip("fastexcel")
    xlsxwriter = pytest.importorskip("xlsxwriter")
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("Empty")
        for name in ("Prices", *more):
            LONG.write_excel(book, name)


def duckdb(path: Path) -> None:
    library = pytest.importorskip("duckdb")
    with library.connect(path) as connection:
        connection.register("frame", LONG.to_arrow())
        connection.execute("CREATE TABLE prices AS SELECT * FROM frame")


def sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        LONG.to_pandas().to_sql("prices", connection, index=False)


def undecodable(path: Path) -> None:
    with path.open("wb") as file:
        LONG.write_parquet(file)


KINDS: dict[str, Callable[[Path], object]] = {
    "prices.feather": LONG.write_ipc,
    "prices.jsonl": text(RECORDS),
    "prices.jsonl.gz": text(gzip.compress(RECORDS)),
    "prices.txt": text(TEXT),
    "prices.csv.bz2": text(bz2.compress(TEXT)),
    "prices.csv.xz": text(lzma.compress(TEXT)),
    "prices.csv.zst": zstd,
    "prices.zip": zipped,
    "prices.xlsx": workbook,
    "prices.db": duckdb,
    # Names that are missing or wrong; what a browser has unpacked keeps its name.
    "prices": LONG.write_parquet,
    "prices.csv.gz": text(TEXT),
    "prices.csv": LONG.write_parquet,
    "prices.xls": text(TEXT),
    "prices.dat": sqlite,
    # A library might take these for a pattern or an address.
    "pri[c]es*.feather": LONG.write_ipc,
    "prices\udcff.parquet": undecodable,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_same_bars(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 200)
    monkeypatch.setattr(frames, "BATCH_ROWS", 2)
    path = tmp_path / name
    KINDS[name](path)
    check_bars(read_prices(path))


def check_bars(prices: PriceTable) -> None:
    expected = read_prices(LONG)
    assert (prices.dates, prices.tickers) == (expected.dates, expected.tickers)
    # A workbook has 15 digits.
    np.testing.assert_allclose(prices.close, expected.close)


def test_json_lines_may_leave_out_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.jsonl"
    lines = RECORDS.splitlines()
    lines[1] = lines[1].partition(b',"volume"')[0] + b"}"
    path.write_bytes(b"\n".join(lines))
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 1)
    assert np.isnan(read_prices(path).volume).sum() == 2


@pytest.mark.parametrize(
    ("module", "extra", "head"),
    [
        ("duckdb", "sql", bytes(8) + b"DUCK"),
        ("fastexcel", "excel", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ],
)
def test_a_missing_extra_is_named(
    module: str, extra: str, head: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "prices.db"
    path.write_bytes(head + bytes(100))
    assert problems_of(path)[0].endswith(
        f"needs the extra '{extra}': pip install 'mp2[{extra}]', or pip install '.[{extra}]' "
        "in a checkout"
    )


def test_a_sheet_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    workbook(path, "Other")
    assert problems_of(path, table="None") == [
        f"{path}: no sheet 'None'; it holds Empty, Prices, Other"
    ]
    check_bars(read_prices(path, table="Prices"))
