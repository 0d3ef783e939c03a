"""Bars that are new since a file of `mp2 download` was written, added to those in the file.

Yahoo divides past prices by later splits. A ticker whose known closes have changed is therefore
downloaded whole, and so is one that the file lacks or that ends long before the file does: new bars
alone would leave a jump or a hole.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mp2._document import Names
from mp2._files import expanded
from mp2.data.price_grid import FIELDS
from mp2.data.prices import to_frame
from mp2.data.tables import Observe, Stop
from mp2.data.yahoo import Fetch, download
from mp2.errors import InputError, Mp2Error, ReadStoppedError

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("date", "ticker", *FIELDS)

# Sessions downloaded again: the last bar may be of an unfinished day, the others show splits.
N_AGAIN = 6
_MAX_CHANGE = 1e-3


def read_download(path: Path) -> pl.DataFrame:
    """Read a file that `mp2 download` wrote; raises `InputError` for any other file."""
    import polars as pl
    from polars.exceptions import PolarsError

    remedy = "name a file that 'mp2 download' wrote"
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; {remedy}")
    try:
        if path.suffix.lower() == ".parquet":
            bars = pl.read_parquet(path)
        else:
            texts = {"ticker": pl.String}
            bars = pl.read_csv(path, schema_overrides=texts, try_parse_dates=True)
    except (OSError, PolarsError) as error:
        first_line = str(error).split("\n", 1)[0]
        raise InputError(f"{path}: {first_line}; {remedy}") from error
    # What the file has besides would be lost when it is written.
    if tuple(bars.columns) != COLUMNS or bars.schema["date"] != pl.Date or bars.is_empty():
        raise InputError(f"{path}: is no table of {', '.join(COLUMNS)} with dates; {remedy}")
    return bars


def update(
    bars: pl.DataFrame,
    *,
    end: str,
    tickers: Sequence[str] = (),
    observe: Observe = None,
    stop: Stop = None,
    fetch: Fetch | None = None,
) -> tuple[pl.DataFrame, Names]:
    """Return the bars with those up to `end`, an ISO date, by ticker and date, and warnings.

    The tickers are those of `bars`, and `tickers` besides. One without a response keeps its bars.
    The other settings, and the errors raised, are those of `mp2.data.yahoo.download`.
    """
    import polars as pl

    dates = bars["date"].unique().sort()
    start: datetime.date = dates[-min(N_AGAIN, len(dates))]
    added = [ticker.strip().upper() for ticker in tickers]
    names = list(dict.fromkeys([*bars["ticker"].unique().sort(), *filter(None, added)]))
    fetched = download(
        names, start=start.isoformat(), end=end, observe=observe, stop=stop, fetch=fetch
    )
    warnings = list(fetched.warnings)
    fresh = to_frame(fetched)
    whole = _wanted_whole(bars, fresh, start)
    if whole:
        try:
            again = download(
                whole,
                start=dates[0].isoformat(),
                end=end,
                observe=observe,
                stop=stop,
                fetch=fetch,
            )
        except (InputError, ReadStoppedError):
            raise
        except Mp2Error as error:
            warnings += str(error).splitlines()
            fresh = fresh.filter(~pl.col("ticker").is_in(whole))
        else:
            warnings += again.warnings
            complete = to_frame(again)
            # Of one that came without bars the second time its old bars stay, and no new one.
            fresh = pl.concat([fresh.filter(~pl.col("ticker").is_in(whole)), complete])
            bars = bars.filter(~pl.col("ticker").is_in(again.tickers))
    kept = bars.join(fresh, on=["ticker", "date"], how="anti")
    types = dict(kept.schema)
    joined = pl.concat([kept, fresh.cast(types)])  # type: ignore[arg-type]
    return joined.sort("ticker", "date"), tuple(dict.fromkeys(warnings))


def _wanted_whole(
    bars: pl.DataFrame,
    fresh: pl.DataFrame,
    start: datetime.date,
) -> list[str]:
    """Return the tickers with new bars that do not continue those known."""
    import polars as pl

    last = bars["date"].max()
    # The last bar may have been of an unfinished day.
    known = bars.filter(pl.col("date") != last).join(fresh, on=["ticker", "date"], suffix="_new")
    change = (pl.col("close_new") / pl.col("close") - 1).abs()
    changed = known.filter(change > _MAX_CHANGE)["ticker"]
    reaches = bars.filter(pl.col("date") >= start)["ticker"]
    lagging = fresh.filter(~pl.col("ticker").is_in(reaches.unique().implode()))["ticker"]
    return sorted({*changed, *lagging})
