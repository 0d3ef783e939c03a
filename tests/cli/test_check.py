"""`mp2 check data` lists everything about the bars that a run would warn of, and more of it."""

import json

import polars as pl
import pytest
from market_bars import bars

from mp2.data.prices import to_frame

CALM = [100 * 1.001**idx for idx in range(40)]
SPLIT = [*CALM[:30], *(close / 4 for close in CALM[30:])]
PLACES = [f"T{number} 2023-02-13 x 0.2477 (about 1/4)" for number in range(7)]


@pytest.fixture
def prices(here):
    """Seven tickers with a split, and a last bar that comes twice."""
    table = to_frame(bars(CALM=CALM, **{f"T{number}": SPLIT for number in range(7)}))
    again = table[-1:].with_columns(pl.col("volume") + 1)
    pl.concat([table, again]).write_csv(here / "prices.csv")
    return here / "prices.csv"


def test_all_findings_are_listed(mp2, prices):
    code, out, err = mp2("check", "data", prices)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    heading, doubled, jump, *rest = lines
    assert heading == "kind count what done tickers dates"
    assert doubled == (
        "doubled_volume 1 rows that differ in their volume alone the later row counts T6 2023-02-24"
    )
    assert jump == (
        "jump 7 overnight jumps like a split or another currency unit kept "
        "T0, T1, T2, T3, T4, T5, T6 2023-02-13"
    )
    # A warning names five.
    assert rest[:-1] == [f"jump: {place}" for place in PLACES]
    assert rest[-1] == "8 tickers, 40 dates, 2023-01-02 to 2023-02-24: 2 findings"


def test_findings_are_records_in_json(mp2, prices):
    document = json.loads(mp2("check", "data", prices, "--json")[1])
    assert document["status"] == "ok"
    assert (document["n_tickers"], document["first"]) == (8, "2023-01-02")
    doubled, jump = document["findings"]
    assert doubled == {
        "kind": "doubled_volume",
        "what": "rows that differ in their volume alone: 1, the later row counts: T6 2023-02-24",
        "count": 1,
        "done": "the later row counts",
        "tickers": ["T6"],
        "places": [],
        "first": "2023-02-24",
        "last": "2023-02-24",
    }
    assert (jump["kind"], jump["count"], jump["places"]) == ("jump", 7, PLACES)


def test_clean_bars_and_bad_ones(mp2, here):
    to_frame(bars(CALM=CALM)).write_parquet(here / "clean.parquet")
    out = mp2("check", "data", "clean.parquet")[1]
    assert out == "1 tickers, 40 dates, 2023-01-02 to 2023-02-24: 0 findings\n"
    code, _, err = mp2("check", "data", "clean.parquet", "--adjusted=yes")
    assert code == 2
    assert err.startswith("mp2: clean.parquet: no adjusted prices: it has date, ticker, open,")
