"""A sheet of an Excel or OpenDocument workbook as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mp2.data.frames import frame_table
from mp2.data.tables import Table, chosen_part, library_errors
from mp2.errors import MissingExtraError

_FAILURE = "cannot be read as a workbook"


def excel_table(path: Path, sheet: str | None) -> Table:
    """Open a sheet of a workbook: the named one, or the only one that is not empty."""
    workbook = _open(path)
    names = workbook.sheet_names if sheet else _filled_sheets(path, workbook)
    name = chosen_part(
        path,
        names,
        sheet,
        kind="workbook",
        what="sheet",
    )
    with library_errors(path, _FAILURE):
        rows = workbook.load_sheet(name, schema_sample_rows=None).to_polars()
    return frame_table(rows, str(path))


def sheet_names(path: Path) -> list[str]:
    """Return the names of the sheets that are not empty."""
    return _filled_sheets(path, _open(path))


def _filled_sheets(path: Path, workbook: Any) -> list[str]:
    # Excel used to make three sheets of which people fill one.
    with library_errors(path, _FAILURE):
        return [name for name in workbook.sheet_names if workbook.load_sheet(name).height]


def _open(path: Path) -> Any:
    try:
        import fastexcel
    except ImportError as missing:
        raise MissingExtraError(f"{path}: a workbook", "excel") from missing
    with library_errors(path, _FAILURE):
        return fastexcel.read_excel(path.read_bytes())
