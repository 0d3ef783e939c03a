"""The kind of a file: decided by its first bytes, and by its name where these leave it open."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path

from mp2.data.packed import ZIP_MAGIC, is_packed, open_bytes
from mp2.data.tables import library_errors
from mp2.errors import InputError

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
# By kind, as in messages and in folders.
SUFFIXES = {
    "csv": TEXT_SUFFIXES,
    "parquet": (".parquet", ".pq"),
    "feather": (".feather", ".arrow", ".ipc"),
    "json lines": (".jsonl", ".ndjson"),
    "excel": (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"),
    "sqlite": (".db", ".sqlite", ".sqlite3"),
    "duckdb": (".duckdb", ".ddb"),
}
# By first bytes, and where they begin.
_MAGIC = {
    (b"PAR1", 0): "parquet",
    (b"ARROW1", 0): "feather",
    (b"SQLite format 3\0", 0): "sqlite",
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0): "excel",
    (b"DUCK", 8): "duckdb",
}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# What Excel and LibreOffice put into their archives.
_EXCEL_MEMBERS = {"[Content_Types].xml", "content.xml"}
# Of the names that text may have: programs save tables as .xls that are text.
_TEXT_NAMES = (None, "csv", "json lines", "excel")
_HEAD_BYTES = 1 << 10
_MAX_SHOWN = 80


def file_kind(path: Path) -> str:
    """Return the kind of a file, a key of `SUFFIXES`; raises `InputError` for what is no table."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(
            f"{path}: is a pipe or device, and a table is read twice; save it as a file first"
        )
    with library_errors(path, "cannot be read"):
        with path.open("rb") as file:
            outer = file.read(_HEAD_BYTES)
        if outer.startswith(ZIP_MAGIC):
            with zipfile.ZipFile(path) as archive:
                if _EXCEL_MEMBERS.intersection(archive.namelist()):
                    return "excel"
        head = outer
        if is_packed(outer):
            with open_bytes(path) as unpacked:
                head = unpacked.read(_HEAD_BYTES)
    kind = None
    for (magic, begin), kind_of_magic in _MAGIC.items():
        if head.startswith(magic, begin):
            kind = kind_of_magic
    named = kind_of_name(path)
    # Text under the name of a database or of Parquet is a failed download: its reader says so.
    if kind is None and named in _TEXT_NAMES:
        kind = _kind_of_text(path, head)
    kind = kind or named
    if kind is None:
        known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
        raise InputError(f"{path}: unknown kind of file; expected text or one of {known}")
    if is_packed(outer) and kind not in ("csv", "json lines"):
        raise InputError(f"{path}: holds a {kind} file; unpack it first")
    return kind


def _kind_of_text(path: Path, head: bytes) -> str | None:
    """Return the kind of a text; None for other bytes and for nothing."""
    if head.startswith(_UTF16_MARKS):
        return "csv"
    text = head.removeprefix(b"\xef\xbb\xbf").strip()
    if not text or b"\0" in text:
        return None
    if text.lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{path}: is a web page, not a table; download the data themselves")
    if not text.startswith((b"{", b"[")):
        return "csv"
    first_line = text.partition(b"\n")[0].strip()
    if first_line.startswith(b"{"):
        # A record longer than the head counts as one.
        if first_line == text:
            return "json lines"
        with suppress(ValueError):
            json.loads(first_line)
            return "json lines"
    shown = " ".join(text.decode(errors="replace").split())[:_MAX_SHOWN]
    raise InputError(
        f"{path}: is a JSON document, not a table: {shown}; "
        "write one record a line (pandas: to_json(path, orient='records', lines=True))"
    )


def kind_of_name(path: Path) -> str | None:
    """Return the kind of a file by its suffix; None where that says nothing."""
    name = _without_packing(path.name)
    for kind, suffixes in SUFFIXES.items():
        if name.lower().endswith(suffixes):
            return kind
    # Archives of one text file.
    return "csv" if name != path.name else None


def without_suffixes(path: Path) -> str:
    """Return the name of a file without the suffixes of its kind; a ticker may have a dot, too."""
    name = _without_packing(path.name)
    for suffixes in SUFFIXES.values():
        for suffix in suffixes:
            if name.lower().endswith(suffix):
                return name[: -len(suffix)]
    return name


def _without_packing(name: str) -> str:
    for suffix in PACKED_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
