"""A result's kept groups as one flat table, for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from mp2.groups.result import Group, Member, SearchResult

if TYPE_CHECKING:
    import polars as pl

_STATISTICS = tuple(
    spec.name for spec in fields(Group) if spec.type == "float" and spec.name != "score"
)


def groups_table(result: SearchResult) -> pl.DataFrame:
    """One row per kept group, sizes ascending, best first within a size.

    Columns: `size`, `rank` (Int64), `picked` (Boolean), `score` (Float64), `members` (String, `ALGO variation + ALGO
    variation`), `variation_idx` (String, `1-2-3`), `aliases` (String, what members are identical to, `ALGO variation =
    variation, variation`, joined by `; `; mostly empty), the statistics of `Group` (Float64), then for each day of the
    result `buys DAY` and `hits DAY` (Int64) and `consensus DAY` (String, tickers joined by a space). The columns and their
    types are the same when nothing was kept.
    """
    import polars as pl

    rows = [(size, group) for size in sorted(result.kept) for group in result.kept[size]]
    groups = [group for _, group in rows]
    columns = [
        pl.Series("size", [size for size, _ in rows], dtype=pl.Int64),
        pl.Series("rank", [group.rank for group in groups], dtype=pl.Int64),
        pl.Series(
            "picked",
            [group.rank == result.picked_rank.get(size) for size, group in rows],
            dtype=pl.Boolean,
        ),
        pl.Series("score", [group.score for group in groups], dtype=pl.Float64),
        pl.Series("members", [_members(group) for group in groups], dtype=pl.String),
        pl.Series(
            "variation_idx",
            ["-".join(map(str, group.variation_idx)) for group in groups],
            dtype=pl.String,
        ),
        pl.Series("aliases", _aliases(result.aliases, groups), dtype=pl.String),
    ]
    columns += [
        pl.Series(name, [getattr(group, name) for group in groups], dtype=pl.Float64)
        for name in _STATISTICS
    ]
    return pl.DataFrame([*columns, *_day_columns(result.days, groups)])


_FORMULA = r"^[=+\-@\t\r]"


def for_spreadsheets(table: pl.DataFrame) -> pl.DataFrame:
    """The table with an apostrophe before texts that a spreadsheet would take for a formula: names come from anywhere."""
    import polars as pl

    return table.with_columns(pl.col(pl.String).str.replace(_FORMULA, "'${0}"))


def _members(group: Group) -> str:
    return " + ".join(f"{member.algo} {member.variation}" for member in group.members)


def _aliases(classes: Iterable[tuple[Member, ...]], groups: Iterable[Group]) -> list[str]:
    others = {
        member.variation_idx: f"{member.algo} {member.variation} = {', '.join(o.variation for o in members if o != member)}"
        for members in classes
        for member in members
    }
    return ["; ".join(others[v] for v in group.variation_idx if v in others) for group in groups]


def _day_columns(days: tuple[str, ...], groups: list[Group]) -> Iterable[pl.Series]:
    import polars as pl

    for i, day in enumerate(days):
        yield pl.Series(f"buys {day}", [group.days[i].buys for group in groups], dtype=pl.Int64)
        yield pl.Series(f"hits {day}", [group.days[i].hits for group in groups], dtype=pl.Int64)
        yield pl.Series(
            f"consensus {day}",
            [" ".join(group.consensus[i].tickers) for group in groups],
            dtype=pl.String,
        )
