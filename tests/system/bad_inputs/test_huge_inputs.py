"""Inputs that are, or claim to be, far larger than memory: refused or streamed in little memory."""

from __future__ import annotations

import gzip
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import fixtures
import polars as pl
import pytest

import mp2

MEMORY_BYTES = 3 << 30
"""Of addresses: libraries reserve far more of those than they use."""

RESIDENT_MB = 700
_CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from mp2.cli.main import main
try:
    main(sys.argv[2:])
finally:
    # Not of getrusage: its peak counts the memory of the process that forked this one.
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    print("peak", int(status["VmHWM"].split()[0]) >> 10, file=sys.stderr)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by RLIMIT_AS"),
]


def refused(folder: Path, *words: str) -> str:
    """Messages of a command with little memory, which must end with exit code 2 and in time."""
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(mp2.__file__).parent.parent),
        "POLARS_MAX_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", _CHILD, str(MEMORY_BYTES), *words]
    ended = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    *messages, peak = ended.stderr.splitlines()
    assert ended.returncode == 2, ended.stderr
    assert int(peak.removeprefix("peak ")) < RESIDENT_MB
    assert "Traceback" not in ended.stderr
    return "\n".join(messages)


def test_a_record_without_an_end_is_refused(tmp_path):
    with open(tmp_path / "endless.csv", "wb") as file:
        file.write(b"algo,variation,day,ticker,win\n")
        file.truncate(20 << 30)  # a sparse file of 20 GB
    assert "endless.csv: holds bytes that are no text; is this a CSV file?" in refused(
        tmp_path, "search", "endless.csv"
    )


def test_a_header_without_an_end_is_refused(tmp_path):
    with open(tmp_path / "endless.csv", "wb") as file:
        file.truncate(20 << 30)
    assert "endless.csv: a header longer than 8 MB; is this a CSV file?" in refused(
        tmp_path, "search", "endless.csv"
    )


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (b"", "a header longer than 8 MB"),
        (b"algo,variation,day,ticker,win\n", "a record longer than 64 MB"),
    ],
)
def test_a_gzip_bomb_is_refused(tmp_path, header, what):
    block = gzip.compress(b"0" * (64 << 20))
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(header) + block * 40)
    assert f"bomb.csv.gz: {what}" in refused(tmp_path, "search", "bomb.csv.gz")


def test_a_database_of_blobs_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "blobs.db")) as connection:
        connection.execute(
            "CREATE VIEW signals AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
            "FROM n LIMIT 40) "
            "SELECT 'A' AS algo, zeroblob(500000000) AS variation, '2024-01-02' AS day, 'X' "
            "AS ticker, 1 AS win FROM n"
        )
    assert "blobs.db: " in refused(tmp_path, "search", "blobs.db")


def test_a_parquet_footer_that_claims_20_gb_is_refused(tmp_path):
    path = tmp_path / "claim.parquet"
    pl.read_csv(fixtures.SIGNALS.encode()).write_parquet(path)
    content = path.read_bytes()
    for claim in (
        0xFFFFFFFF,
        0x7FFFFFFF,
    ):  # the length of the footer, the last number before the end
        path.write_bytes(content[:-8] + claim.to_bytes(4, "little") + content[-4:])
        assert "claim.parquet: cannot be read as a Parquet file: " in refused(
            tmp_path, "search", "claim.parquet"
        )
