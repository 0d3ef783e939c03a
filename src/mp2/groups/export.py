"""A result's kept groups as one flat table, for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mp2._document import Names

if TYPE_CHECKING:
    import polars as pl

_P_VALUES = ("p", "p_size")
# What spreadsheets take for the beginning of a formula.
_FORMULA = r"^[=+\-@\t\r]"


def groups_table(
    result: Any,
    statistics: Names,
) -> pl.DataFrame:
    """One row per kept group, sizes ascending, best first within a size.

    `result` is a `SearchResult`, which has this as its method: importing it would be a circle.

    Columns, the same when no group was kept:

    - `size`, `rank`, `idea`, `family` (Int64), `picked` (Boolean), `score` (Float64)
    - `members` (String): `ALGO variation + ALGO variation`
    - `variation_idx` (String): `1-2-3`
    - `aliases` (String): what members are identical to, `ALGO variation = variation, variation`,
      joined by `; `
    - the `statistics`, which are fields of `Group`, `p` and `p_size` (Float64)
    - for each day of the result `buys DAY` and `hits DAY` (Int64) and `consensus DAY` (String):
      tickers joined by a space
    """
    # Not at the head: commands that write no table need not wait for polars.
    import polars as pl

    schema: dict[str, Any] = {
        "size": pl.Int64,
        "rank": pl.Int64,
        "idea": pl.Int64,
        "family": pl.Int64,
        "picked": pl.Boolean,
        "score": pl.Float64,
        "members": pl.String,
        "variation_idx": pl.String,
        "aliases": pl.String,
    }
    # Stated, not inferred: an empty table has the same columns and types.
    schema |= dict.fromkeys((*statistics, *_P_VALUES), pl.Float64)
    for day in result.days:
        schema[f"buys {day}"] = pl.Int64
        schema[f"hits {day}"] = pl.Int64
        schema[f"consensus {day}"] = pl.String
    return pl.DataFrame(list(group_rows(result, statistics)), schema=schema, orient="row")


def for_spreadsheets(table: pl.DataFrame) -> pl.DataFrame:
    """Prefix texts that a spreadsheet would run as a formula with an apostrophe.

    Names come from anywhere, so they are not trusted.
    """
    import polars as pl

    return table.with_columns(pl.col(pl.String).str.replace(_FORMULA, "'${0}"))


def group_rows(
    result: Any,
    statistics: Names,
) -> Iterator[list[Any]]:
    """The rows of `groups_table`, with values in the order of its columns."""
    aliases = alias_texts(result)
    for size in sorted(result.kept):
        for group in result.kept[size]:
            numbers = group.variation_idx
            known_aliases = [aliases[number] for number in numbers if number in aliases]
            row = [
                size,
                group.rank,
                group.idea,
                group.family,
                group.rank == result.picked_rank.get(size),
                group.score,
                group.name,
                "-".join(map(str, numbers)),
                "; ".join(known_aliases),
            ]
            row += [getattr(group, name) for name in (*statistics, *_P_VALUES)]
            for day, consensus in zip(group.days, group.consensus, strict=True):
                row += [day.buys, day.hits, " ".join(consensus.tickers)]
            yield row


def alias_texts(result: Any) -> dict[int, str]:
    """Text by variation number, for variations that have an alias."""
    texts = {}
    for members in result.aliases:
        for member in members:
            others = [other.variation for other in members if other != member]
            texts[member.variation_idx] = f"{member.name} = {', '.join(others)}"
    return texts
