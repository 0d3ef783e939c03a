"""The files of a folder, or of a pattern with `*`, that are tables, and what their paths say."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from mp2.data.file_tickers import tickers_of_names
from mp2.data.kinds import kind_of_name, without_suffixes
from mp2.data.tables import ColumnList, Rows, Table
from mp2.errors import InputError

# Databases have tables of their own.
_KINDS = ("csv", "parquet", "feather", "json lines", "excel")
# Text beside the tables.
_NOTES = ("readme", "license")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class TableFile(NamedTuple):
    """A file of a folder.

    `name`: that of the file without suffixes, or of the folder around it where files are called by
    dates or numbers. `ticker`: the part of `name` that is one. `keys`: the columns that hive
    folders, such as `year=2024`, stand for.
    """

    path: Path
    name: str
    ticker: str
    keys: Mapping[str, str]


def is_pattern(path: Path) -> bool:
    """Return whether a path is a pattern and not the name of a file."""
    return glob.has_magic(str(path)) and not path.exists()


def table_files(source: Path) -> tuple[list[TableFile], list[Path]]:
    """Return the files of the most frequent kind below a folder, sorted, and those of other kinds.

    Hidden files and folders, and notes such as README.txt, are passed over. A pattern with `*`
    names its files itself: there are no others. Raises `InputError` when there is no file.
    """
    chosen = sorted(_paths(source))
    others: list[Path] = []
    if source.is_dir():
        by_kind: dict[str | None, list[Path]] = {kind: [] for kind in _KINDS}
        for path in chosen:
            by_kind.setdefault(kind_of_name(path), []).append(path)
        most = max(_KINDS, key=lambda kind: len(by_kind[kind]))
        chosen = by_kind.pop(most)
        for kind in by_kind.keys() & set(_KINDS):
            others += by_kind[kind]
    names = {}
    for path in chosen:
        name = without_suffixes(path)
        folder = path.parent
        has_letters = any(map(str.isalpha, name))
        if not has_letters and folder != source and "=" not in folder.name:
            name = folder.name
        names[path] = name
    ticker_of = tickers_of_names(list(dict.fromkeys(names.values())))
    files = []
    for path, name in names.items():
        # A pattern may have the folders in its middle.
        inside = path.relative_to(source) if source.is_dir() else path
        keys = {}
        for part in inside.parent.parts:
            key, is_key, value = part.partition("=")
            if is_key:
                keys[key] = unquote(value)
        files.append(TableFile(path, name, ticker_of[name], keys))
    if not files and source.is_dir():
        raise InputError(f"{source}: no file in it is a table, such as a .csv or .parquet file")
    if not files:
        raise InputError(f"{source}: no file matches this pattern")
    return files, sorted(others)


def with_keys(table: Table, keys: Mapping[str, str]) -> Table:
    """Return a table with the columns that its folders stand for, except those it has itself."""
    import polars as pl

    added = {}
    for key, value in keys.items():
        if key not in table.columns:
            added[key] = pl.lit(None if value == _HIVE_NULL else value)
    if not added:
        return table

    def read(names: ColumnList) -> Rows:
        stored = [name for name in names if name not in added]
        # One column that is there, for the number of rows.
        for batch in table.read(stored or table.columns[:1]):
            yield batch.with_columns(**added).select(names)

    return replace(table, columns=(*table.columns, *added), read=read)


def _paths(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        for name in glob.glob(str(source), recursive=True):
            if os.path.isfile(name):
                yield Path(name)
        return
    for folder, subfolders, names in os.walk(source):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if not name.lower().startswith((".", *_NOTES)):
                yield Path(folder, name)
