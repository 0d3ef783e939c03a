"""The files of a folder, or of a pattern with `*`, that are tables, and what their paths say."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from mp2.data.file_tickers import tickers_of_names
from mp2.data.kinds import kind_of_name, without_suffixes
from mp2.data.tables import ColumnList, Rows, Table

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
    names its files itself: there are no others.
    """
    paths = sorted(_paths(source))
    kinds = {path: kind_of_name(path) for path in paths}
    counts = Counter(kind for kind in kinds.values() if kind in _KINDS)
    chosen = paths
    others: list[Path] = []
    if source.is_dir():
        most = counts.most_common(1)[0][0] if counts else None
        chosen = [path for path in paths if most and kinds[path] == most]
        others = [path for path in paths if kinds[path] in _KINDS and kinds[path] != most]
    names = {path: _name(path, source) for path in chosen}
    ticker_of = tickers_of_names(list(dict.fromkeys(names.values())))
    files = []
    for path, name in names.items():
        files.append(TableFile(path, name, ticker_of[name], _hive_keys(path, source)))
    return files, others


def with_keys(table: Table, keys: Mapping[str, str]) -> Table:
    """Return a table with the columns that its folders stand for, except those it has itself."""
    import polars as pl

    added = {key: value for key, value in keys.items() if key not in table.columns}
    if not added:
        return table

    def read(names: ColumnList) -> Rows:
        stored = [name for name in names if name not in added]
        # One column that is there, for the number of rows.
        for batch in table.read(stored or table.columns[:1]):
            values = [pl.lit(None if v == _HIVE_NULL else v).alias(k) for k, v in added.items()]
            yield batch.with_columns(values).select(names)

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


def _name(path: Path, source: Path) -> str:
    name = without_suffixes(path)
    folder = path.parent
    if any(character.isalpha() for character in name) or folder == source or "=" in folder.name:
        return name
    return folder.name


def _hive_keys(path: Path, source: Path) -> dict[str, str]:
    if not source.is_dir():
        return {}
    keys = {}
    for folder in path.relative_to(source).parts[:-1]:
        key, is_key, value = folder.partition("=")
        if is_key:
            keys[key] = unquote(value)
    return keys
