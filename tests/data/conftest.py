"""Fixtures of the readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from signal_frames import SOURCES


@pytest.fixture(params=SOURCES)
def as_source(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[pl.DataFrame], Any]:
    return lambda table: SOURCES[request.param](table, tmp_path)
