"""Which sector a ticker belongs to, from a table with the columns ticker and sector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mp2.data.column_names import Finder, missing_line
from mp2.data.opening import open_table
from mp2.data.texts import texts_of, tickers_of
from mp2.errors import InputError


def read_sectors(source: Any) -> dict[str, str]:
    """Read the sector of each ticker from a file or a frame; a mapping is taken as it is.

    Rows without a ticker are left out; a missing sector is the sector "". Raises `InputError` for a
    table without the two columns, or with two sectors of one ticker.
    """
    if isinstance(source, Mapping):
        return {str(ticker).strip(): str(sector) for ticker, sector in source.items()}
    sectors: dict[str, str] = {}
    with open_table(source, "sectors") as table:
        finder = Finder(table, {})
        for role in ("ticker", "sector"):
            finder.find(role)
        if finder.missing or finder.unclear:
            problems = list(finder.unclear)
            if finder.missing:
                problems.append(missing_line(table, finder.missing))
            raise InputError(problems)
        names = finder.names
        for batch in table.batches([names["ticker"], names["sector"]]):
            tickers = tickers_of(batch[names["ticker"]]).to_list()
            values = texts_of(batch[names["sector"]]).fill_null("").to_list()
            for ticker, sector in zip(tickers, values, strict=True):
                if ticker is None:
                    continue
                if sectors.setdefault(ticker.strip(), sector.strip()) != sector.strip():
                    raise InputError(f"{table.name}: {ticker!r} has two sectors; keep one")
    return sectors
