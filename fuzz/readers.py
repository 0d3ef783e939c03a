"""Every reader of the program as a function of bytes, with small valid inputs to start from.

`READERS` maps a name to a `Target`: `read` gets any bytes, and either returns or raises an
`Mp2Error`; any other exception is a finding.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from mp2.cli.main import cli
from mp2.cli.settings import find
from mp2.data import signal_reader
from mp2.data.bars import ROLES
from mp2.data.dates import readings_of
from mp2.data.prices import read_prices
from mp2.data.signal_reader import read_signals
from mp2.discovery.config import read_discovery
from mp2.discovery.http.reply import Reply
from mp2.discovery.registry import find_scanners
from mp2.discovery.sources._feed_dates import read_instant
from mp2.discovery.sources._mentions import Mentions, symbols_of
from mp2.discovery.sources.filings import parse_companies, parse_filings
from mp2.discovery.sources.fundamentals import parse_metric, parse_overview
from mp2.discovery.sources.insider_buying import parse_transactions
from mp2.discovery.sources.market_movers import parse_movers
from mp2.discovery.sources.news import parse_feed
from mp2.discovery.sources.reddit_trending import parse_listing, parse_token
from mp2.errors import Mp2Error
from mp2.signals.grids import load_grids
from mp2.storage.runs import Store

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from vendor_formats import FORMATS

_FOLDER = Path(tempfile.mkdtemp(prefix="mp2-fuzz-"))

# A panel that an input claims must not take the memory of the machine.
signal_reader.available_bytes = lambda: 1 << 28

SIGNALS = [
    {
        "algo": algo,
        "variation": str(n),
        "day": day,
        "ticker": ticker,
        "open": 10.0,
        "close": 10.0 + n,
    }
    for algo in ("A", "B")
    for n in (1, 2)
    for day in ("2024-01-02", "2024-01-03")
    for ticker in ("AAPL", "MSFT")
]
BARS = [
    {
        "date": f"2024-01-{day:02d}",
        "ticker": ticker,
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 11.0,
        "volume": 1e6,
    }
    for ticker in ("AAPL", "MSFT")
    for day in range(2, 9)
]
WIDE = (
    b"Price,Close,Close,High,High,Low,Low,Open,Open\nTicker,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT\nDate,,,,,,,,\n"
    b"2024-01-02,11,11,12,12,9,9,10,10\n2024-01-03,11,11,12,12,9,9,10,10\n"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A reader, and inputs that it accepts."""

    read: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def _each(calls: Iterable[Callable[[], Any]]) -> None:
    """Make all of the calls; errors that the program raises on purpose are results too."""
    for call in calls:
        with suppress(Mp2Error):
            call()


def _tables(suffix: str) -> Callable[[bytes], None]:
    """Read a file as signals, as outcomes and as prices."""
    path, signals = _FOLDER / f"input{suffix}", pl.DataFrame(SIGNALS)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        _each(
            (
                lambda: read_signals(path),
                lambda: read_signals(signals, outcomes=path),
                lambda: read_prices(path),
            )
        )

    return read


def _forms(data: bytes) -> None:
    """Read a text as prices, alone and with what decides between two readings."""
    path = _FOLDER / "AAPL.csv"
    path.write_bytes(data)
    _each(
        (
            lambda: read_prices(path),
            lambda: read_prices(path, ticker="AAPL", date_format="%d.%m.%Y"),
            lambda: read_prices(path, ticker="AAPL", timezone="Asia/Tokyo"),
        )
    )


def _headerless(data: bytes) -> None:
    """Read a text as prices whose columns have numbers for names."""
    path = _FOLDER / "headerless.csv"
    path.write_bytes(data)
    files = (FORMATS["Binance spot klines"], FORMATS["MetaTrader 4"])
    _each(partial(read_prices, path, columns=file.columns, ticker="AAPL") for file in files)


def _texts(data: bytes) -> None:
    """Read each line as a date of a table, a date of a feed, a headline and a list of tickers."""
    for line in data.decode("utf-8", "replace").splitlines():
        readings_of(line)
        readings_of(line, "%d.%m.%Y")
        read_instant(line)
        Mentions(["AAPL"], {"Apple": "AAPL"}).find(line)
        symbols_of(line, bare=True)


def _toml(data: bytes) -> None:
    """Read a file as settings, as grids and as a table of scanners."""
    path = _FOLDER / "input.toml"
    path.write_bytes(data)
    _each((lambda: find(path).defaults(cli), lambda: load_grids(path), lambda: _discovery(path)))


def _discovery(path: Path) -> None:
    known = find_scanners()
    discovery = read_discovery(find(path).discovery, known)
    _each(
        lambda one=one: discovery.why_off(one.name, one.pipeline, one.scanner)
        for one in known
        if one.scanner
    )


def _store(data: bytes) -> None:
    """Read a file as a database of runs: list them, and load everything in it."""
    path = _FOLDER / "store.db"
    for beside in ("", "-wal", "-shm"):
        Path(f"{path}{beside}").unlink(missing_ok=True)
    path.write_bytes(data)
    with suppress(Mp2Error), Store(path, read_only=True) as store:
        _each((store.runs, store.scans, store.breakers))
        _each(
            (lambda: store.load(store.find("last")), lambda: store.load_picks(store.find("last")))
        )
        _each(
            (
                lambda: store.load_request(store.find("last")),
                lambda: store.load_scan(store.find_scan("last")),
            )
        )


_PARSERS = (
    parse_movers,
    parse_overview,
    parse_metric,
    parse_transactions,
    parse_filings,
    parse_companies,
    parse_listing,
    parse_token,
)


def _json(data: bytes) -> None:
    """Read a body as the response of each source that sends JSON, with a good and a bad status."""
    for status in (200, 403):
        reply = Reply(status, {"content-type": "application/json"}, data)
        _each(partial(_cacheable, parse, reply) for parse in _PARSERS)


def _cacheable(parse: Callable[[Reply], Any], reply: Reply) -> str:
    """Return a parser's result in the form that the cache keeps."""
    return json.dumps(parse(reply), allow_nan=False)


def _feed(data: bytes) -> None:
    """Read a body as a news feed."""
    _each((partial(_cacheable, parse_feed, Reply(200, {"content-type": "text/xml"}, data)),))


# --- inputs to start from ------------------------------------------------------------------------


def _csv(rows: list[dict[str, Any]]) -> bytes:
    return pl.DataFrame(rows).write_csv().encode()


def _parquet(frame: pl.DataFrame, **options: Any) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, **options)
    return buffer.getvalue()


def _parquets() -> tuple[bytes, ...]:
    signals, bars = pl.DataFrame(SIGNALS), pl.DataFrame(BARS)
    typed = bars.with_columns(pl.col("date").str.to_date(), pl.col("ticker").cast(pl.Categorical))
    return (
        _parquet(signals, compression="uncompressed"),
        _parquet(signals, compression="snappy", row_group_size=4),
        _parquet(typed, compression="zstd"),
        _parquet(bars, compression="gzip", statistics=False),
    )


def _packed(data: bytes) -> tuple[bytes, ...]:
    """Return a file as each packer writes it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("prices.csv", data)
    return (
        gzip.compress(data, mtime=0),
        bz2.compress(data),
        lzma.compress(data),
        pa.compress(data, codec="zstd", asbytes=True),
        archive.getvalue(),
    )


def _feathers() -> tuple[bytes, ...]:
    seeds = []
    for rows in (SIGNALS, BARS):
        for compression in ("uncompressed", "zstd"):
            buffer = io.BytesIO()
            pl.DataFrame(rows).write_ipc(buffer, compression=compression)
            seeds.append(buffer.getvalue())
    return tuple(seeds)


def _sqlite(rows: list[dict[str, Any]]) -> bytes:
    columns = list(rows[0])
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute(f"CREATE TABLE bars ({', '.join(columns)})")
        connection.executemany(
            f"INSERT INTO bars VALUES ({', '.join('?' * len(columns))})",
            [tuple(row.values()) for row in rows],
        )
        connection.commit()
        return connection.serialize()


def _stores() -> tuple[bytes, ...]:
    from click.testing import CliRunner

    path = _FOLDER / "seed.db"
    table = _FOLDER / "seed.csv"
    table.write_bytes(_csv(SIGNALS))
    words = [
        "--db",
        path,
        "search",
        table,
        "--budget",
        "1s",
        "--workers",
        "1",
        "--min-daily-hits",
        "1",
        "--no-progress",
    ]
    CliRunner().invoke(cli, [str(word) for word in words])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    return (path.read_bytes(),)


_DISCOVERY = b"""
[discovery.scanner_execution]
max_workers = 8
timeout_seconds = 30
[discovery.scanners.market_movers]
limit = 20
[discovery.pipelines.social]
enabled = false
"""
_GRIDS = b"""
[MACD]
fast = [8, 12]
slow = [26]
signal = [9]
add = [[3, 10, 16]]
[SMA]
margin = 0.005
[RSI]
enabled = false
"""
_SETTINGS = b"""
db = "a.db"
[search]
budget = "5m"
special = ["RSI"]
columns = { day = "date" }
[runs.list]
json = true
"""


def _replies() -> tuple[bytes, ...]:
    """One response of each kind, with every field that is read."""
    mover = {
        "ticker": "UPP",
        "price": "2.5",
        "change_amount": "1",
        "change_percentage": "7.1%",
        "volume": "81562315",
    }
    purchase = {
        "name": "A",
        "share": 3,
        "change": 1000,
        "filingDate": "2026-01-05",
        "transactionDate": "2026-01-02",
    }
    filed = {
        "display_names": ["Apple Inc.  (AAPL)  (CIK 0000320193)"],
        "ciks": ["0000320193"],
        "form": "8-K",
        "items": ["8.01"],
    }
    post = {
        "id": "p1",
        "name": "t3_p1",
        "title": "$TSLA",
        "selftext": "",
        "created_utc": 1767614400.0,
        "permalink": "/r/s/1",
    }
    bodies: tuple[Mapping[str, Any], ...] = (
        {
            "last_updated": "2026-01-05 16:15:59",
            "top_gainers": [mover],
            "top_losers": [],
            "most_actively_traded": [mover],
        },
        {
            "Symbol": "IBM",
            "MarketCapitalization": "216000000000",
            "PERatio": "9.5",
            "ReturnOnEquityTTM": "0.302",
        },
        {
            "metric": {
                "peTTM": 12.5,
                "pbQuarterly": 3.1,
                "roeTTM": 28.2,
                "marketCapitalization": 2500.0,
            },
            "symbol": "AAPL",
        },
        {
            "symbol": "AAPL",
            "data": [
                purchase
                | {"transactionPrice": 100.0, "transactionCode": "P", "isDerivative": False}
            ],
        },
        {
            "hits": {
                "total": {"value": 1},
                "hits": [
                    {"_id": "a:d", "_source": filed | {"adsh": "a", "file_date": "2026-01-05"}}
                ],
            }
        },
        {"0": {"cik_str": 1067983, "ticker": "BRK-B", "title": "BERKSHIRE"}},
        {
            "kind": "Listing",
            "data": {
                "after": None,
                "children": [{"kind": "t3", "data": post | {"score": 1, "num_comments": 5}}],
            },
        },
        {"access_token": "token", "token_type": "bearer", "expires_in": 86400},
        {"Information": "our standard API rate limit is 25 requests per day"},
        {"error": "API limit reached. Remaining Limit: 0"},
    )
    return tuple(json.dumps(body).encode() for body in bodies)


_RSS = (
    b'<?xml version="1.0"?><rss version="2.0"><channel><title>Wire</title>'
    b"<item><title>Apple &amp;amp; co</title>"
    b"<description>&lt;p&gt;up</description><link>https://news.example/1</link>"
    b"<pubDate>Mon, 05 Jan 2026 14:00:00 GMT</pubDate></item></channel></rss>"
)
_ATOM = (
    b'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><entry><title>B</title>'
    b'<link href="https://a.example/1"/><updated>2026-01-05T10:00:00Z</updated></entry></feed>'
)
_TICKERS = (
    '<?xml version="1.0"?><rss version="2.0"><channel><title>A</title><item>'
    "<title>B (NYSE: A, B)</title><pubDate>2026年11月25日 下午8:00 +0800</pubDate>"
    '<category domain="x/stock">Nasdaq:ABC</category>'
    '<ticker exchange="NYSE">ABC</ticker><ticker>BRK/B</ticker>'
    "<content>$BRK_B</content></item></channel></rss>"
).encode()
_TEXTS = (
    "Wed, 25 Nov 2026 07:00:00 EST\n2026年11月25日 下午8:00 +0800\n25. November 2026, 3:07 p.m.\n"
    "02-JAN-2024\nJan 02, 2024\n2024/1/2 00:00 UTC\n01/02/24\n1704171600000000000\n2024-W01-2",
    "$BRK/B $TSLA.It up (NYSE: A, B and C; TSX: D.UN) [Nasdaq: “E”]\nNASDAQ:ABC NYSE:BRK.A, DEF",
)
_CSVS = (
    _csv(SIGNALS),
    _csv(BARS),
    WIDE,
    b'algo,variation,day,ticker,win\nA,"1, 2",20240102,AAPL,true\n',
    b"date,ticker,open,high,low,close\n01/02/2024 4:00 PM,A,1,2,1,2\n13/02/2024,A,1,2,1,2\n",
    b'day,ticker,win\n1704153600000,A,1\n"Jan 3, 2024",A,1\n2024-01-04 15:00 Asia/Tokyo,A,1\n',
)

READERS: Mapping[str, Callable[[], Target]] = {
    "csv": lambda: Target(_tables(".csv"), _CSVS),
    "forms": lambda: Target(_forms, tuple(file.content() for file in FORMATS.values())),
    "headerless": lambda: Target(
        _headerless,
        tuple(file.content() for file in FORMATS.values() if not file.head),
    ),
    "packed": lambda: Target(
        _tables(".csv.gz"), tuple(seed for text in _CSVS for seed in _packed(text))
    ),
    "feather": lambda: Target(_tables(".feather"), _feathers()),
    "parquet": lambda: Target(_tables(".parquet"), _parquets()),
    "sqlite": lambda: Target(_tables(".db"), (_sqlite(SIGNALS), _sqlite(BARS))),
    "store": lambda: Target(_store, _stores()),
    "texts": lambda: Target(_texts, tuple(text.encode() for text in _TEXTS)),
    "toml": lambda: Target(
        _toml,
        (_SETTINGS, _DISCOVERY, _GRIDS, b"enabled = false\n[RSI]\nperiod = [2]\n"),
    ),
    "json": lambda: Target(_json, _replies()),
    "feed": lambda: Target(_feed, (_RSS, _ATOM, _TICKERS)),
}
assert set(ROLES) == set(BARS[0])
