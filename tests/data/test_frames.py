"""Frames in the library of the caller."""

import sys
from datetime import date

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mp2
from mp2.data.frames import new_frame

TYPES = {"day": date, "ticker": str, "n": int, "rate_pp": float}
ROWS = [(date(2026, 1, 5), "A", 1, 0.5), (None, None, None, None)]


def test_columns_have_the_types_given_also_without_rows():
    frame = new_frame(ROWS, TYPES, "polars")
    assert frame.schema == {
        "day": pl.Date,
        "ticker": pl.String,
        "n": pl.Int64,
        "rate_pp": pl.Float64,
    }
    assert new_frame([], TYPES, "polars").schema == frame.schema
    assert frame.rows() == ROWS


def test_the_backend_is_the_library():
    assert isinstance(new_frame(ROWS, TYPES, "pandas"), pd.DataFrame)
    assert isinstance(new_frame(ROWS, TYPES, "pyarrow"), pa.Table)


@pytest.mark.parametrize(
    ("backend", "absent", "missing"),
    [
        ("pandas", ("pandas",), "pandas"),
        ("pandas", ("pandas", "pyarrow"), "pandas pyarrow"),
        ("pyarrow", ("pyarrow",), "pyarrow"),
    ],
)
def test_a_missing_library_is_named(monkeypatch, backend, absent, missing):
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(mp2.InputError, match=f"^backend: .* needs .*: pip install {missing}$"):
        new_frame(ROWS, TYPES, backend)


def test_an_unknown_backend_is_an_error():
    with pytest.raises(mp2.InputError, match="backend: 'excel' is unknown; choose from 'polars'"):
        new_frame(ROWS, TYPES, "excel")
