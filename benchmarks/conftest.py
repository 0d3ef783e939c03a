"""Collects `bench_*.py` and lets benchmarks use the formulas of the brute force in `tests/oracle/oracle.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracle"))


def pytest_configure(config):
    config.addinivalue_line("python_files", "bench_*.py")
