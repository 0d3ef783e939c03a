"""Paths for the tests: the folders of the checkout, and the real data beside it."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
BENCHMARKS = ROOT / "benchmarks"
GOLDEN = TESTS / "oracle" / "golden"
STORES = TESTS / "storage" / "stores"
IMPORTS = (str(TESTS / "support"), str(TESTS / "oracle"))
"""What a process of its own needs on its import path for the helpers of the tests."""

REAL_BARS = ROOT.parent / "shared" / "data" / "sp500-daily-2015-2020.parquet"
REAL_WEEK = ROOT.parent / "shared" / "data" / "sp500-week-signals.parquet"
