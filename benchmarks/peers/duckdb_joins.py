"""DuckDB: a row of packed words per variation and a join per member.

`bit_count` of the ANDed words gives floor and cap. Groups are tables, so memory grows with them. It
reports no attempts.
"""

from __future__ import annotations

import duckdb
import numpy as np

from peers import Answer, Cut
from peers.groups import DayRows, answer_for, day_rows


def prepare(cut: Cut) -> tuple[Cut, DayRows, duckdb.DuckDBPyConnection]:
    rows, connection = day_rows(cut), duckdb.connect(config={"threads": 1})
    words = {f"w{i}": rows.winners[:, i] for i in range(rows.winners.shape[1])}
    words |= {f"l{i}": rows.losers[:, i] for i in range(rows.losers.shape[1])}
    numbers = np.arange(cut.panel.n_variations)
    connection.register("variations", {"m1": numbers, "algo": cut.panel.algo_of, **words})
    connection.execute("CREATE TABLE groups_1 AS SELECT * FROM variations")
    return cut, rows, connection


def run(prepared: tuple[Cut, DayRows, duckdb.DuckDBPyConnection]) -> Answer:
    cut, rows, connection = prepared
    tested, groups = {}, {}
    for size in range(2, cut.rules.max_size + 1):
        connection.execute(f"CREATE OR REPLACE TABLE groups_{size} AS {extend(cut, rows, size)}")
        members = ", ".join(f"m{i}" for i in range(1, size + 1))
        ((tested[size],),) = connection.execute(f"SELECT count(*) FROM groups_{size}").fetchall()
        found = connection.execute(
            f"SELECT {members} FROM groups_{size} WHERE within_cap"
        ).fetchnumpy()
        groups[size] = np.column_stack(list(found.values()))
    return answer_for(cut, groups.items(), tested=tested)


def extend(cut: Cut, rows: DayRows, size: int) -> str:
    """Return the query for the groups of `size` that pass the floor.

    Its columns: members, last algorithm, consensus, and whether the group is within the cap.
    """
    n_winners, n_losers = rows.winners.shape[1], rows.losers.shape[1]
    words = [f"w{i}" for i in range(n_winners)] + [f"l{i}" for i in range(n_losers)]
    members = [f"g.m{i}" for i in range(1, size)] + [f"v.m1 AS m{size}", "v.algo"]
    hits = [counted("w", *day) for day in pairs(rows.win_starts)]
    misses = [counted("l", *day) for day in pairs(rows.loss_starts)]
    within_cap = " AND ".join(
        f"{h} + {m} <= {cut.rules.max_daily_buys}" for h, m in zip(hits, misses, strict=True)
    )
    consensus = (
        [f"g.{word} & v.{word} AS {word}" for word in words] if size < cut.rules.max_size else []
    )
    return f"""
        SELECT {", ".join([*members, *consensus])}, {within_cap} AS within_cap
        FROM groups_{size - 1} g JOIN groups_1 v ON v.algo > g.algo
        WHERE {" AND ".join(f"{h} >= {cut.rules.min_daily_hits}" for h in hits)}
    """


def counted(kind: str, begin: int, end: int) -> str:
    """Return an expression that counts the consensus in a range of words."""
    return (
        "("
        + " + ".join(
            [f"bit_count(g.{kind}{i} & v.{kind}{i})::INTEGER" for i in range(begin, end)] or ["0"]
        )
        + ")"
    )


def pairs(starts: np.ndarray):
    return zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
