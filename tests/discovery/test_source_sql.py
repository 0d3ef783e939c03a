"""Tests of the scanner `sql`: candidates, read-only access, deadlines and unusable databases."""

import datetime
import os
import sqlite3
import sys
import threading
from contextlib import closing
from decimal import Decimal
from types import SimpleNamespace

import pytest

import mp2
from mp2.discovery.runner import scan_in_caller
from mp2.discovery.scanner import ScanContext
from mp2.discovery.sources import sql as sql_module
from mp2.discovery.sources.sql import Sql
from mp2.errors import SourceError

TODAY = datetime.date(2024, 3, 4)
FOREVER = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS ticker FROM n"
)
SECRET = "s3cret/of@mine"


@pytest.fixture
def database(here):
    """An SQLite file of three rows, whose path is relative."""
    with closing(sqlite3.connect("quotes.db")) as connection:
        connection.execute(
            "CREATE TABLE quotes (day TEXT, ticker TEXT, why TEXT, urgency TEXT, close REAL, odd)"
        )
        rows = [
            ("2024-03-04", "BRK.B", "splits", "HIGH ", 1.5, b"\x00\x01"),
            ("2024-03-04", "aapl", None, None, float("inf"), "text"),
            ("2024-03-01", "MSFT", "old", "low", 3.0, 2**60),
        ]
        connection.executemany("INSERT INTO quotes VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    return "quotes.db"


def run(query, database="quotes.db", **settings):
    """Return the outcome, the candidates in order, and the log."""
    config = {"scanners": {"sql": {"database": database, "query": query, **settings}}}
    return scan_in_caller(Sql, config=config, today=TODAY)


def fails(code, message, query, database="quotes.db", **settings):
    config = {"scanners": {"sql": {"database": database, "query": query, **settings}}}
    found = mp2.scan([Sql], config=config, today=TODAY)
    assert found.outcomes[0].error is not None
    assert (found.outcomes[0].error.code, found.candidates) == (code, ())
    assert found.outcomes[0].error.message.startswith(message), found.outcomes[0].error.message
    return found


@pytest.fixture(params=["built in", "sqlalchemy"])
def either(request, database, monkeypatch):
    """The same file by the built-in way and, as any other database, through SQLAlchemy."""
    if request.param == "sqlalchemy":
        pytest.importorskip("sqlalchemy", reason="needs the extra 'sql'")
        monkeypatch.setattr(sql_module, "sqlite_path", lambda database: None)
        return f"sqlite+pysqlite:///{database}"
    return database


# --- rows to candidates ---------------------------------------------------------------------------


def test_rows_become_candidates(either):
    query = (
        "SELECT ticker, why AS Context, urgency AS priority, close, odd FROM quotes "
        "WHERE day = :today ORDER BY ticker DESC"
    )
    outcome, (first, second), _ = run(query, either, ticker_column="TICKER")
    assert outcome.status == "ok"
    assert (first.ticker, first.context, first.priority) == (
        "AAPL",
        "close None, odd text",
        "medium",
    )
    assert first.data == {"close": None, "odd": "text"}
    assert (second.ticker, second.context, second.priority) == ("BRK-B", "splits", "high")
    assert second.data == {"close": 1.5, "odd": "<2 bytes>"}


def test_parameters_and_names_of_columns(either):
    query = "SELECT ticker AS symbol, close FROM quotes WHERE close >= :least AND day < :day"
    settings = {
        "ticker_column": "symbol",
        "priority": "low",
        "parameters": {"least": 2.5, "day": TODAY},
    }
    outcome, (only,), _ = run(query, either, **settings)
    assert outcome.status == "ok"
    assert (only.ticker, only.context, only.priority, only.data) == (
        "MSFT",
        "close 3.0",
        "low",
        {"close": 3.0},
    )


def test_a_column_of_tickers_is_enough(either):
    _, (one, two), _ = run("SELECT 7203 AS ticker UNION SELECT 9984", either)
    assert (one.ticker, one.context, one.data) == ("7203", "named by the query", None)
    assert two.ticker == "9984"


def test_rows_without_a_ticker_are_dropped(either):
    outcome, found, log = run(
        "SELECT NULL AS ticker UNION ALL SELECT 'A B' UNION ALL SELECT 'ABC'", either
    )
    assert [one.ticker for one in found] == ["ABC"]
    assert outcome.n_dropped == 2
    assert any("dropped: ticker None" in line for line in log)


def test_max_rows_and_limit(either):
    query = "SELECT NULL AS ticker UNION ALL SELECT 'A' UNION ALL SELECT 'B' UNION ALL SELECT 'C'"
    _, found, log = run(query, either, max_rows=3)
    assert [one.ticker for one in found] == ["A", "B"]
    assert any("only max_rows = 3 rows" in line for line in log)
    _, found, log = run(query, either, limit=1)
    assert [one.ticker for one in found] == ["A"]
    _, _, log = run(query, either, max_rows=4)
    assert not any("max_rows" in line for line in log)


@pytest.mark.filterwarnings("error")
def test_dates_among_the_parameters_are_texts_to_sqlite(either):
    query = "SELECT 'A' AS ticker, typeof(:since) AS kind, :since AS day"
    _, (one,), _ = run(query, either, parameters={"since": datetime.date(2024, 1, 2)})
    assert one.data == {"kind": "text", "day": "2024-01-02"}


def test_values_of_other_databases_are_json():
    json_values = {
        Decimal("1.5"): 1.5,
        Decimal("NaN"): None,
        datetime.date(2024, 1, 2): "2024-01-02",
        b"abc": "<3 bytes>",
        True: True,
    }
    assert {value: sql_module.json_value(value) for value in json_values} == json_values
    assert sql_module.json_value(float("nan")) is None
    assert sql_module.json_value(memoryview(b"ab")) == "<2 bytes>"
    assert sql_module.json_value([1]) == "[1]"


def test_invalid_utf8_is_replaced(database):
    _, (one,), _ = run("SELECT 'A' AS ticker, CAST(x'41ff42' AS TEXT) AS name")
    assert one.data == {"name": "A\ufffdB"}


# --- read-only access -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM quotes",
        "INSERT INTO quotes (ticker) VALUES ('X') RETURNING ticker",
        "UPDATE quotes SET ticker = 'X' RETURNING ticker",
        "CREATE TABLE other AS SELECT 1",
        "CREATE TEMP TABLE other (a)",
        "DROP TABLE quotes",
        "ATTACH 'other.db' AS other",
        "PRAGMA query_only = OFF",
        "PRAGMA user_version = 7",
        "BEGIN IMMEDIATE",
        "VACUUM INTO 'other.db'",
        "SELECT load_extension('x') AS ticker",
    ],
)
def test_queries_that_write_are_refused(query, either, here):
    before = (here / "quotes.db").read_bytes()
    config = {"scanners": {"sql": {"database": either, "query": query}}}
    error = mp2.scan([Sql], config=config, today=TODAY).outcomes[0].error
    assert error is not None
    assert error.code == "forbidden", error
    assert (here / "quotes.db").read_bytes() == before
    assert not (here / "other.db").exists()


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite+pysqlite:///", "SQLite+aiosqlite:///"])
def test_every_sqlite_url_is_opened_read_only(url, database, here):
    assert [
        one.ticker
        for one in run("SELECT ticker FROM quotes WHERE close = 3", f"{url}{database}")[1]
    ] == ["MSFT"]
    fails(
        "bad_request", f"{here}/new.db: no such file", "SELECT 'A' AS ticker", f"{url}{here}/new.db"
    )
    fails("forbidden", database, "SELECT load_extension('x') AS ticker", f"{url}{database}")
    assert [path.name for path in here.iterdir() if path.suffix == ".db"] == [database]


def test_a_write_after_with_is_refused(either, here):
    before = (here / "quotes.db").read_bytes()
    fails(
        "forbidden",
        "",
        "WITH a AS (SELECT 'X' AS x) INSERT INTO quotes (ticker) SELECT x FROM a RETURNING ticker",
        either,
    )
    assert (here / "quotes.db").read_bytes() == before


def test_two_statements_are_refused(either, here):
    before = (here / "quotes.db").read_bytes()
    fails("bad_request", "", "SELECT 'A' AS ticker; DROP TABLE quotes", either)
    assert (here / "quotes.db").read_bytes() == before


def test_reading_queries_are_allowed(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("""
            CREATE VIEW late AS
                SELECT ticker, upper(why) AS context FROM quotes WHERE day > '2024-03-02';
            CREATE VIRTUAL TABLE words USING fts5(ticker, body);
            INSERT INTO words VALUES ('TSLA', 'deliveries beat estimates'), ('F', 'recall');
        """)
    for query, ticker in (
        ("-- a view\nSELECT * FROM late WHERE context IS NOT NULL", "BRK-B"),
        ("SELECT ticker FROM words WHERE words MATCH 'beat'", "TSLA"),
        ("SELECT value AS ticker FROM json_each('[\"GOOG\"]')", "GOOG"),
        (
            "WITH a AS (SELECT ticker, row_number() OVER (ORDER BY close) AS n FROM quotes) "
            "SELECT ticker FROM a WHERE n = 2",
            "MSFT",
        ),
        ("SELECT name AS ticker FROM pragma_table_info('quotes') WHERE name = 'odd'", "ODD"),
    ):
        outcome, found, _ = run(query)
        assert outcome.error is None
        assert [one.ticker for one in found] == [ticker]


# --- deadlines ------------------------------------------------------------------------------------


def wait_for(thread):
    thread.join(30)
    assert not thread.is_alive()


def test_an_endless_query_is_cancelled_at_the_deadline(either):
    """The thread itself ends, not only the scan."""
    before = set(threading.enumerate())
    found = fails("timeout", "timeout after 0.2s", FOREVER, either, timeout_seconds=0.2)
    assert found.outcomes[0].status == "timeout"
    for thread in set(threading.enumerate()) - before:
        wait_for(thread)


def test_a_stop_cancels_a_query(either):
    before = set(threading.enumerate())
    stop = threading.Event()
    config = {"scanners": {"sql": {"database": either, "query": FOREVER}}}
    found = mp2.scan(
        [Sql],
        config=config,
        stop=stop,
        observe=lambda event: event.kind == "started" and stop.set(),
    )
    assert found.status == "stopped"
    for thread in set(threading.enumerate()) - before:
        wait_for(thread)


@pytest.mark.parametrize("method", ["cancel", "interrupt", "close"])
def test_cancel_uses_the_method_of_the_driver(method):
    calls = []

    def call(self):
        calls.append(method)
        raise RuntimeError("just ended")

    sql_module.cancel(type("Driver", (), {method: call, "rollback": None})())
    assert calls == [method]


def test_a_query_is_cancelled_until_it_ends():
    class Driver:
        n_calls = 0
        has_ended = threading.Event()

        def interrupt(self):
            # The first ones come before the statement has begun.
            self.n_calls += 1
            if self.n_calls == 3:
                self.has_ended.set()

    def over(done):
        raise SourceError("timeout", "timeout after 0.2s")

    connection = SimpleNamespace(connection=SimpleNamespace(driver_connection=Driver()))
    context = SimpleNamespace(deadline=SimpleNamespace(wait=over))
    with sql_module.cancelled_at_deadline(connection, context):
        assert Driver.has_ended.wait(30)


# --- unusable databases and queries ---------------------------------------------------------------


def test_without_database_or_query_it_is_skipped():
    for settings, missing in (({}, "database"), ({"database": "quotes.db"}, "query")):
        found = mp2.scan([Sql], config={"scanners": {"sql": settings}})
        assert found.status == "complete"
        assert (found.outcomes[0].status, found.outcomes[0].error.code) == (
            "skipped",
            "missing_key",
        )
        assert (
            found.outcomes[0].error.message
            == f"no {missing}; set {missing} in [discovery.scanners.sql]"
        )


def test_missing_and_duplicate_columns(either):
    message = (
        "the query has no column 'ticker', only day, why; name the right one with ticker_column,"
        " or rename one with AS"
    )
    fails("bad_request", message, "SELECT day, why FROM quotes", either)
    fails(
        "bad_request",
        "the query has two columns 'day'; rename one with AS",
        "SELECT day, day, ticker FROM quotes",
        either,
    )


def test_a_missing_name_lists_the_tables(database):
    has = "it has quotes (day, ticker, why, urgency, close, odd)"
    fails("bad_request", f"quotes.db: no such column: closing; {has}", "SELECT closing FROM quotes")
    fails("bad_request", f"quotes.db: no such table: quote; {has}", "SELECT ticker FROM quote")


def test_invalid_queries(database):
    for query in ("SELEC 1", "-- nothing"):
        fails("forbidden", "the query may only read; it has to begin with SELECT or WITH", query)
    fails("bad_request", 'quotes.db: near "quotes"', "SELECT 1 FRM quotes")
    fails(
        "bad_request",
        "quotes.db: You did not supply a value for binding parameter :least",
        "SELECT :least AS ticker",
    )


def test_files_that_are_not_databases(here):
    fails("bad_request", "none.db: no such file; set database", "SELECT 1", "none.db")
    (here / "folder.db").mkdir()
    fails("bad_request", "folder.db: no such file; set database", "SELECT 1", "folder.db")
    (here / "text.db").write_text("not a database at all, but long enough to be looked at" * 20)
    fails("bad_payload", "text.db: file is not a database", "SELECT 1 AS ticker FROM a", "text.db")


def test_a_damaged_file(database, here):
    content = bytearray((here / database).read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    (here / database).write_bytes(content)
    fails("bad_payload", "quotes.db: database disk image is malformed", "SELECT ticker FROM quotes")


def test_a_locked_file(database, monkeypatch):
    monkeypatch.setattr(sql_module, "_BUSY_S", 0.01)
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        found = fails("unavailable", "quotes.db: database is locked", "SELECT ticker FROM quotes")
    assert found.outcomes[0].status == "error"


def test_a_file_that_is_being_written(database):
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO quotes (ticker) VALUES ('NEW')")
        outcome, found, _ = run("SELECT ticker FROM quotes")
    assert outcome.error is None
    assert len(found) == 3


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_a_file_without_read_permission(database, here):
    (here / database).chmod(0)
    fails("bad_request", "quotes.db: unable to open database file", "SELECT ticker FROM quotes")


# --- other databases ------------------------------------------------------------------------------


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    found = fails(
        "missing_extra",
        "scanner sql, for anything but SQLite files, needs the extra 'sql'",
        "SELECT 1 AS ticker",
        "postgresql://me@127.0.0.1/quotes",
    )
    assert "pip install 'mp2[sql]'" in found.outcomes[0].error.message


def test_unknown_dialects_and_urls():
    pytest.importorskip("sqlalchemy", reason="needs the extra 'sql'")
    fails(
        "bad_request",
        "Can't load plugin: sqlalchemy.dialects:quotedb",
        "SELECT 1 AS ticker",
        "quotedb://me@127.0.0.1/quotes",
    )
    fails("bad_request", "Could not parse SQLAlchemy URL", "SELECT 1 AS ticker", "://nothing")


def test_a_query_begins_with_select():
    pytest.importorskip("sqlalchemy", reason="needs the extra 'sql'")
    fails(
        "forbidden",
        "the query may only read",
        "/* SELECT */ DELETE FROM quotes",
        "quotedb://127.0.0.1/quotes",
    )
    assert sql_module._SELECT.match("-- why\n  /* and\n how */ (select 1)")


@pytest.mark.parametrize(
    "database",
    [
        f"postgresql://me:{SECRET}@host/db",
        "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Ds3cret",
        "mysql://h/d?password=s3cret",
    ],
)
def test_a_password_in_the_settings_is_refused(database):
    found = fails("preparation", "settings: database: contains a password", "SELECT 1", database)
    assert "s3cret" not in repr(found)


def test_an_unknown_home_directory():
    fails("bad_request", "~nosuch/a.db: no such file", "SELECT 1 AS ticker", "~nosuch/a.db")


def test_the_password_is_redacted(monkeypatch):
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs the extra 'sql'")
    monkeypatch.setenv("QUOTES_PASSWORD", SECRET)
    urls = []

    def create_engine(url, **options):
        urls.append(url)
        raise sqlalchemy.exc.OperationalError(
            "x", {}, Exception(f"no connection with {url.password}, {url.render_as_string(False)}")
        )

    monkeypatch.setattr(sqlalchemy, "create_engine", create_engine)
    given = {
        "database": "postgresql+psycopg://me@127.0.0.1/quotes",
        "password_key": "QUOTES_PASSWORD",
    }
    found = fails(
        "unavailable", "no connection with ***, postgresql", "SELECT 1 AS ticker", **given
    )
    assert urls[0].password == SECRET
    texts = repr(found) + repr(found.logs) + str(found.to_dict())
    assert "Traceback" in texts
    assert "s3cret" not in texts


def test_without_the_password_it_is_skipped(here):
    pytest.importorskip("sqlalchemy", reason="needs the extra 'sql'")
    given = {
        "database": "postgresql+psycopg://me@127.0.0.1/quotes",
        "password_key": "QUOTES_PASSWORD",
    }
    found = fails("missing_key", "no key QUOTES_PASSWORD", "SELECT 1 AS ticker", **given)
    assert found.outcomes[0].status == "skipped"


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        ("28P01", "no", "unauthorized"),
        (None, 'FATAL: password authentication failed for user "me"', "unauthorized"),
        (None, "(1045, \"Access denied for user 'me'@'host'\")", "unauthorized"),
        ("42501", "no", "forbidden"),
        ("25006", "cannot execute INSERT in a read-only transaction", "forbidden"),
        ("42P01", 'relation "quote" does not exist', "bad_request"),
        (None, "connection refused", "unavailable"),
    ],
)
def test_codes_of_database_errors(state, reason, code):
    exc = pytest.importorskip("sqlalchemy.exc", reason="needs the extra 'sql'")
    cause = type("DriverError", (Exception,), {"sqlstate": state})(reason)
    own = ScanContext(Sql, Sql.Settings(), timeout_s=30)
    with pytest.raises(mp2.SourceError) as caught, sql_module.database_errors(own):
        raise exc.OperationalError("SELECT 1", {}, cause)
    assert caught.value.code == code
    assert str(caught.value) == reason
