"""Collects `bench_*.py` and makes the formulas of `tests/oracle/oracle.py` importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracle"))


def pytest_configure(config):
    config.addinivalue_line("python_files", "bench_*.py")
