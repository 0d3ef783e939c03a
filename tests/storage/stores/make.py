"""Makes one of the files beside this one: see the README here."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import mp2

TESTS = Path(__file__).parents[2]
sys.path.insert(0, str(TESTS / "support"))


def make(path: Path) -> None:
    """Store two searches, a run, a walk and a scan in a file of one piece that names no machine."""
    from small_searches import SMALL_GRIDS
    from stub_scanners import naming

    from mp2.demo.market import make_market

    rules = mp2.Rules(min_daily_hits=3, top_k=3)
    week = TESTS / "oracle" / "golden" / "week-prices.csv"
    mp2.search(week, store=path, rules=rules)

    market = make_market(5)
    grids = path.with_suffix(".toml")
    grids.write_text(SMALL_GRIDS)
    few = mp2.load_grids(grids)
    run = mp2.run(market.prices, store=path, rules=rules, grids=few)
    mp2.walk_forward(market.prices, store=path, weeks=1, rules=rules, grids=few)
    grids.unlink()
    with mp2.Store(path) as store:
        store.save_outcome(str(run.result.run_id), mp2.score(run.next_day, market.later))
        store.compact(str(run.result.run_id))

    mp2.scan([naming("good", "AAPL")], store=path)
    mp2.search(week, store=path, rules=rules, max_attempts=10)
    _anonymise(path)


def _anonymise(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in ("run", "scan", "walk"):
            connection.execute(
                f"UPDATE {table} SET host = 'elsewhere', pid = 1, process_start = '1'"
            )
        connection.execute("UPDATE run SET source = 'week.csv' WHERE source LIKE '%.csv'")
        connection.execute(
            "UPDATE run SET request = json_set(request, '$.source.path', '/moved/week.csv') "
            "WHERE json_extract(request, '$.source.kind') = 'signals'"
        )
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
