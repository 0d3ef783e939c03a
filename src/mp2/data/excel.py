"""A sheet of an Excel or OpenDocument workbook as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mp2.data.tables import BATCH_ROWS, ColumnList, Rows, Table, library_errors
from mp2.errors import InputError, MissingExtraError


def excel_table(path: Path, sheet: str | None) -> Table:
    """Open a sheet of a workbook: the named one, or the only one that is not empty."""
    workbook = _open(path)
    if sheet is not None and sheet not in workbook.sheet_names:
        known = ", ".join(workbook.sheet_names)
        raise InputError(f"{path}: no sheet {sheet!r}; it holds {known}")
    names = [sheet] if sheet else _filled_sheets(path, workbook)
    if not names:
        raise InputError(f"{path}: the workbook has no sheet with rows")
    if len(names) > 1:
        raise InputError(f"{path}: several sheets; choose one with table: {', '.join(names)}")
    with library_errors(path, "cannot be read as a workbook"):
        rows = workbook.load_sheet(names[0], schema_sample_rows=None).to_polars()

    def read(names: ColumnList) -> Rows:
        for first in range(0, rows.height, BATCH_ROWS):
            yield rows[first : first + BATCH_ROWS].select(names)

    return Table(str(path), tuple(rows.columns), read)


def sheet_names(path: Path) -> list[str]:
    """Return the names of the sheets that are not empty."""
    return _filled_sheets(path, _open(path))


def _filled_sheets(path: Path, workbook: Any) -> list[str]:
    # Excel used to make three sheets of which people fill one.
    with library_errors(path, "cannot be read as a workbook"):
        return [name for name in workbook.sheet_names if workbook.load_sheet(name).height]


def _open(path: Path) -> Any:
    try:
        import fastexcel
    except ImportError as missing:
        raise MissingExtraError(f"{path}: a workbook", "excel") from missing
    with library_errors(path, "cannot be read as a workbook"):
        return fastexcel.read_excel(path.read_bytes())
