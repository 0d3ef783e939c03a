"""Safety: no code from data, no SQL from names, no text from outside that acts, no stored keys."""

import ast
import functools
import gzip
import json
import logging
import os
import re
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import web_sources
from stub_scanners import make, naming
from stub_server import Status, StubServer

import mp2 as package
from mp2._files import make_private, others_may_read, write_private
from mp2.cli import settings
from mp2.cli.logs import PlainFormatter
from mp2.cli.scan import Plan
from mp2.cli.views import json_text
from mp2.data import text_layout
from mp2.data.wide_bars import name_levels
from mp2.discovery import config as discovery
from mp2.discovery import registry
from mp2.discovery.http import retry
from mp2.discovery.http.quota import Quotas, parse_rate
from mp2.discovery.http.state import StateFile
from mp2.discovery.sources.news import Feed, News
from mp2.groups.export import for_spreadsheets
from mp2.storage import database, recorder
from mp2.storage.runs import Store

SOURCE = Path(package.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
posix = pytest.mark.skipif(os.name != "posix", reason="files have no such permissions there")


@functools.cache
def nodes(path):
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def text_of(path):
    return str(path.relative_to(SOURCE))


# --- no code from data ------------------------------------------------------------------------

BANNED_MODULES = frozenset(
    {
        "pickle",
        "cPickle",
        "marshal",
        "shelve",
        "dill",
        "cloudpickle",
        "joblib",
        "yaml",
        "pty",
    }
)
BANNED_CALLS = re.compile(
    r"(builtins\.)?(eval|exec|compile|__import__)|os\.(system|popen|exec\w*|spawn\w*)"
    r"|subprocess\.(getoutput|getstatusoutput)|tempfile\.mktemp|code\.\w+"
    r"|(\w+\.)*(read_pickle|to_pickle|allow_pickle|run_path|run_module|enable_load_extension)"
)
UNPICKLES = {
    "groups/engines/jobs.py": "work of a caller, who may run any code at the workers anyway",
}
CALLS_LIBRARIES = {"storage/windows.py": "three functions of Windows about a process"}
STARTS_PROCESSES = {
    "child.py": "a scanner in a process of its own",
    "files.py": "the command that the user wants to be run after a night",
}


def module_names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def offences(found):
    """Return the nodes that run data as code, start a shell or use `assert`; a line each."""
    for node in found:
        if banned := {name.split(".")[0] for name in module_names(node)} & BANNED_MODULES:
            yield f"{node.lineno}: imports {banned.pop()}"
        if isinstance(node, ast.Call):
            if BANNED_CALLS.fullmatch(called := dotted(node.func)):
                yield f"{node.lineno}: calls {called}"
            if any(
                word.arg in ("shell", "allow_pickle") and not is_false(word.value)
                for word in node.keywords
            ):
                yield f"{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Assert) and not only_narrows(node.test):
            yield f"{node.lineno}: {ast.unparse(node)}"


def dotted(node):
    """The dotted name of a node such as `os.path.join`, without parts that are not names."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def is_false(node):
    return isinstance(node, ast.Constant) and node.value is False


def only_narrows(test):
    """Return whether an assertion only refines a type: `x is not None`, `isinstance(x, ...)`."""
    if isinstance(test, ast.Compare):
        return isinstance(test.ops[0], ast.IsNot) and ast.unparse(test.comparators[0]) == "None"
    return isinstance(test, ast.Call) and ast.unparse(test.func) == "isinstance"


def test_no_code_comes_from_data_and_no_shell_is_started():
    for path in FILES:
        found = list(offences(nodes(path)))
        if path.relative_to(SOURCE).as_posix() in UNPICKLES:
            found = [line for line in found if not line.endswith("imports pickle")]
        assert found == [], path
        names = {name.split(".")[0] for node in nodes(path) for name in module_names(node)}
        if path.name not in STARTS_PROCESSES:
            assert names.isdisjoint({"subprocess", "multiprocessing"}), path
        if path.relative_to(SOURCE).as_posix() not in CALLS_LIBRARIES:
            assert "ctypes" not in names, path


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "import yaml",
        "eval(text)",
        "exec(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=wanted)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "assert len(rows) == n",
        "__import__(name)",
    ],
)
def test_the_rule_sees(source):
    assert len(list(offences(ast.walk(ast.parse(source))))) == 1


def test_the_kernel_runs_no_code_from_data_either():
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.glob("*.p[yx][xd]"))
    assert not re.search(r"\b(eval|exec|pickle|marshal|system|popen)\s*\(", text)


# --- SQL --------------------------------------------------------------------------------------

STATEMENT = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|BEGIN|ATTACH|WITH|REPLACE)\b"
)
CHECKED = re.compile(r"(sql_names?|_quoted)\(.*\)", re.DOTALL)
KNOWN = {
    ("_sqlite.py", "journal_mode"): "one of two words of this program",
    ("_sqlite.py", "application_id"): "a number of this program",
    ("databases.py", "identifier"): "its quotes are doubled in the line above",
    ("schema.py", "version()"): "a number of this program",
}


def is_statement(node):
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and STATEMENT.match(node.value) is not None
    )


def assembled_sql(path):
    """The places that put unchecked names into a statement, or use `+` or `%`; a line each."""
    for node in nodes(path):
        if isinstance(node, ast.JoinedStr) and is_statement(node.values[0]):
            for part in node.values:
                if not isinstance(part, ast.FormattedValue):
                    continue
                inside = ast.unparse(part.value)
                if not CHECKED.fullmatch(inside) and (path.name, inside) not in KNOWN:
                    yield f"{node.lineno}: {inside}"
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add | ast.Mod)
            and is_statement(node.left)
        ):
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_values_are_bound_and_names_are_checked_in_sql():
    assert [f"{text_of(path)}:{line}" for path in FILES for line in assembled_sql(path)] == []


@pytest.mark.parametrize(
    "name", ["", "a b", "a;b", "a'b", 'a"b', "A", "1a", "a--", "a\n", "é", "a" * 60]
)
def test_a_name_that_is_no_plain_word_is_refused(name):
    with pytest.raises(ValueError, match="is not a name of a table or column"):
        database.insert("run", ("status", name))
    with pytest.raises(ValueError, match="is not a name of a table or column"):
        database.insert(name, ("status",))


def test_a_host_cannot_get_out_of_its_name_in_the_file_of_quotas(tmp_path):
    host = "x'; DROP TABLE y; --\"]"
    file = StateFile(tmp_path)
    quotas = Quotas(file)
    quotas.limit(host, [parse_rate("1/min")])
    assert (quotas.take(host), quotas.take(host) > 0) == (0.0, True)
    file.close()


# --- what comes from outside acts nowhere -----------------------------------------------------

HOSTILE = "\x1b[31m[red]x[/red]\r\b\x07\u202egnp\x9b2J<script>"
UNSEEN = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
RULES = (
    "--min-daily-hits",
    "0",
    "--max-mad-pp",
    "100",
    "--max-iqr-pp",
    "100",
    "--retain-sizes",
    "2",
    "--max-size",
    "2",
)


def inert(*texts):
    """Whether none of these texts has characters that control a terminal."""
    return [found[0] for text in texts for found in UNSEEN.finditer(text)] == []


def hostile_table(path):
    """Signals whose every name is hostile, and some that a spreadsheet would run."""
    rows = [
        (algo, variation, f"2026-01-0{day}", ticker, 1)
        for algo, variation in ((f"{HOSTILE}A", f"={HOSTILE}"), ("=1+1", "@v"), ("+b", "-v"))
        for day in (5, 6)
        for ticker in (f"<script>alert(1)</script>{HOSTILE}", '=HYPERLINK("http://x")', "@T", "T")
    ]
    pl.DataFrame(
        rows, schema=("algo", "variation", "day", "ticker", "win"), orient="row"
    ).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def searched():
    """The first search of the hostile table: its output, and the files it left."""
    return {}


@pytest.fixture
def hostile(mp2, here, searched):
    """The hostile table, and the output of its search, whose run is stored."""
    path = here / "t\x1b[31m[red]\u202e.parquet"
    if not searched:
        hostile_table(path)
        searched["output"] = mp2("--log-file", "run.log", "-vv", "search", path, *RULES)
        searched["files"] = {file.name: file.read_bytes() for file in here.iterdir()}
    for name, content in searched["files"].items():
        (here / name).write_bytes(content)
    return path, searched["output"]


@pytest.mark.parametrize(
    "command",
    [
        ("search", "FILE", *RULES, "--json", "--no-store"),
        ("search", "FILE", "--dry-run"),
        ("search", "FILE", "--dry-run", "--json"),
        ("search", "FILE", *RULES, "--special", HOSTILE),
        ("runs", "list"),
        ("runs", "list", "--json"),
        ("runs", "show", "last"),
        ("runs", "show", "last", "--json"),
        ("runs", "show", HOSTILE),
        ("runs", "export", "last", "--format", "json"),
        ("resume", "last"),
        ("--debug", "resume", HOSTILE),
        ("pick", "last", "--signals", "FILE"),
        ("pick", "last", "--signals", "FILE", "--json"),
        ("signals", "FILE", "-o", "x.parquet"),
        ("check", "lookahead", "FILE"),
        ("runs", "delete", HOSTILE, "--json"),
        ("scanners", "show", HOSTILE),
        ("scan", "--only", HOSTILE, "--json"),
        ("--debug", "search", f"{HOSTILE}.csv"),
        (HOSTILE,),
    ],
    ids=" ".join,
)
def test_hostile_names_are_shown_and_not_obeyed(mp2, hostile, command):
    path, _ = hostile
    code, out, err = mp2(*(path if word == "FILE" else word for word in command))
    assert code in (0, 1, 2, 4)
    assert inert(out, err)
    assert "internal error" not in err


def test_a_search_of_hostile_names_says_them_plainly_and_logs_one_line_each(hostile, here):
    _, (code, out, err) = hostile
    log = (here / "run.log").read_text(encoding="utf-8")
    assert code == 0
    assert inert(out, err, log)
    assert "[red]x[/red]" in out
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in log.splitlines())


def test_json_gives_hostile_names_back_as_they_are(mp2, hostile):
    _, out, _ = mp2("runs", "export", "last", "--format", "json")
    tickers = json.loads(out)["groups"]["2"][0]["consensus"][0]["tickers"]
    assert f"<script>alert(1)</script>{HOSTILE}" in tickers
    assert json.loads(json_text(["é ✓ 😀", "\U000e0001\ud800"])) == ["é ✓ 😀", "\U000e0001\ud800"]
    assert json_text("é ✓ 😀") == '"é ✓ 😀"'


def test_an_id_that_somebody_wrote_into_a_database_is_shown_plainly(mp2, here, hostile):
    with closing(sqlite3.connect(here / "mp2.db")) as connection, connection:
        connection.execute("UPDATE run SET run_id = ?", ("\x1b]0;owned\x07\r\nmp2: all is well",))
    for args in (("show", "last"), ("list",), ("delete", "last")):
        _, out, err = mp2("runs", *args)
        assert inert(out, err)
        assert "\nmp2: all" not in out + err


def test_json_holds_counts_beyond_64_bits():
    counts = {"attempts": 10**30, "score": 0.1, "none": None}
    assert json.loads(json_text(counts)) == counts


def test_an_exported_table_holds_no_formula(mp2, hostile, here):
    mp2("runs", "export", "last", "-o", "groups.csv")
    cells = pl.read_csv(here / "groups.csv", infer_schema=False)
    assert cells.height > 0
    assert not [
        cell for row in cells.rows() for cell in row if cell and re.match(r"[=+@\t\r]|-\D", cell)
    ]
    assert any(cell.startswith(("'=", "'+")) for cell in cells["members"])
    frame = pl.DataFrame({"text": ["=1", "a=1", "-1", None, ""], "number": [-1, 2, 3, 4, 5]})
    assert for_spreadsheets(frame).rows() == [
        ("'=1", -1), ("a=1", 2), ("'-1", 3), (None, 4), ("", 5),
    ]  # fmt: skip


def test_a_log_line_is_one_line_and_a_traceback_stays_lines():
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord(
            "mp2", logging.INFO, "", 0, "a\n2026-01-01 forged %s", (HOSTILE,), sys.exc_info()
        )
    first, *rest = PlainFormatter("%(message)s").format(record).splitlines()
    assert first.startswith("a\\x0a2026-01-01 forged")
    assert inert(first, *rest)
    assert rest[0] == "Traceback (most recent call last):"


@pytest.fixture
def scanners(monkeypatch):
    monkeypatch.setattr(registry, "_plug_ins", tuple)
    return lambda *classes: monkeypatch.setattr(registry, "builtin_scanners", lambda: classes)


def fail(context):
    context.logger.warning("line\n%s", HOSTILE)
    raise package.SourceError("unavailable", HOSTILE)


@pytest.mark.parametrize("more", [(), ("--json",)], ids=("tables", "json"))
def test_hostile_sources_are_shown_and_not_obeyed(mp2, scanners, more, here):
    named = make(
        "named",
        lambda context: [context.candidate("OK", HOSTILE, "high", {HOSTILE: [HOSTILE]})],
        summary=HOSTILE,
    )
    scanners(
        make("failing", fail), named, naming("script", "<script>", "A<B", f"A{HOSTILE}", "=A1")
    )
    for command in (
        ("--log-file", "scan.log", "-vv", "scan"),
        ("scanners", "list"),
        ("scanners", "show", "named"),
        ("scanners", "test", "failing"),
        ("scanners", "test", "named"),
        ("scanners", "test", "failing", "--in-caller", "--debug"),
        ("scanners", "reset", "failing"),
        ("scans", "list"),
        ("scans", "show", "last", "--logs"),
    ):
        code, out, err = mp2(*command, *more)
        assert code in (0, 1, 3), (command, err)
        assert inert(out, err), command
    assert inert((here / "scan.log").read_text(encoding="utf-8"))
    assert "<script>" not in json.dumps(
        [one.to_dict() for one in stored_scan(here).candidates if one.sources == ("script",)]
    )
    assert stored_scan(here).outcomes[2].n_dropped == 4


def stored_scan(folder):
    with Store(folder / "mp2.db", read_only=True) as store:
        return store.load_scan(store.find_scan("last"))


# --- places that cannot be left ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("scanner", "setting", "value"),
    [
        ("news", "feeds", '["file:///etc/passwd"]'),
        ("news", "feeds", '["https://user:hidden-one@example.com/feed"]'),
        ("filings", "base_url", '"ftp://example.com"'),
        ("market_movers", "base_url", '"FILE:/etc/passwd"'),
        ("fundamentals", "base_url", '"https:///no-host"'),
        ("reddit_trending", "auth_url", '"javascript:alert(1)"'),
        ("sql", "database", '"postgresql://me:hidden-one@host/db"'),
    ],
)
def test_an_address_in_the_settings_is_http_without_a_password_or_refused(
    mp2, here, scanner, setting, value
):
    (here / "mp2.toml").write_text(f"[discovery.scanners.{scanner}]\n{setting} = {value}\n")
    code, out, err = mp2("scan", "--only", scanner, "--no-store", "--json")
    assert code != 0
    assert setting in out + err
    assert "hidden-one" not in out + err


def test_a_compressed_header_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_layout, "_HEADER_BYTES", 1000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(bytes(5000).replace(b"\0", b"a")))
    with pytest.raises(package.InputError, match="header longer than"):
        package.read_signals(path)


def test_a_column_name_nested_beyond_reason_is_a_name():
    deep = "(" + "-" * 100_000 + "1)"
    assert name_levels(deep) == (deep,)


# --- keys -------------------------------------------------------------------------------------

SPOILED = (
    ("401", "500"),
    pytest.param(("429", "403, a page", "200, an error in JSON"), marks=pytest.mark.slow),
    pytest.param(("302 in a circle", "wrong type", "reset in the body"), marks=pytest.mark.slow),
)
COMMANDS = (
    ("-vv", "--log-file", "scan.log", "scan", "--timeout", "5"),
    ("-vv", "scan", "--json", "--timeout", "5"),
    ("scanners", "list", "--json"),
    ("scans", "show", "last", "--logs"),
    ("scans", "show", "last", "--logs", "--json"),
)


def toml_of(tables):
    """The settings of scanners as a file."""
    lines = []
    for name, table in tables.items():
        lines += [
            f"[discovery.scanners.{name}]",
            *(f"{key} = {toml_value(value)}" for key, value in table.items()),
        ]
    return "\n".join(lines)


def toml_value(value):
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {json.dumps(one)}" for key, one in value.items())
            + "}"
        )
    return json.dumps(value)


LOOSE = {}


def loose(context):
    """A scanner that leaks its key everywhere, to a source that repeats it."""
    key = context.key("FINNHUB_API_KEY")
    context.logger.warning("request with %s", key)
    context.log_tool("loose", key=key)

    def parse(reply):
        raise package.SourceError("bad_payload", f"{reply.body.decode()} is no response to {key}")

    context.http.get(LOOSE["url"], parse=parse, params={"q": "x"}, headers={"X-Key": key}, ttl_s=60)
    yield context.candidate("NONE", key)


@pytest.fixture
def planted(monkeypatch, here):
    """Keys in every variable that scanners know and in a settings file; retries do not wait."""
    for name, value in web_sources.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{web_sources.KEY}-proxy@127.0.0.1:1")
    monkeypatch.setattr(retry, "N_ATTEMPTS", 2)
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(retry, "MAX_WAIT_S", 0.002)
    chosen = [one for one in web_sources.SCANNERS if one.name not in ("login", "overview")] + [
        make("loose", loose)
    ]
    monkeypatch.setattr(registry, "_plug_ins", tuple)
    monkeypatch.setattr(registry, "builtin_scanners", lambda: tuple(chosen))
    with StubServer() as server:
        web_sources.serve_valid(server)
        own = web_sources.settings(server.url)
        (here / "mp2.toml").write_text(
            toml_of({one.name: own[one.name] for one in chosen if one.name in own})
        )
        LOOSE["url"] = server.route("/loose", Status(200, f"no {web_sources.KEY}-fh"))
        (here / "mp2.toml").chmod(0o600)
        yield server, [one.name for one in chosen]


@pytest.mark.slow
@pytest.mark.parametrize("ways", SPOILED, ids="; ".join)
def test_no_key_stays_anywhere(mp2, planted, here, ways):
    server, names = planted
    n_asked = server.n_requests()
    for spoiled in ways:
        web_sources.serve_everywhere(server, web_sources.FAILURES[spoiled][0])
        tests = [
            ("scanners", "test", name, "--in-caller", "--debug")
            for name in (names if spoiled == "401" else ())
        ]
        for command in (
            *COMMANDS,
            *tests,
            ("scanners", "reset", *names),
        ):  # an open breaker would refuse every request
            code, out, err = mp2(*command)
            assert web_sources.KEY not in out + err, (spoiled, command)
            assert web_sources.BASIC not in out + err, (spoiled, command)
            assert code in (0, 1, 3), (spoiled, command, err)
            assert "scan" not in command or "***" in err, "nothing was redacted"
    assert server.n_requests() > n_asked + len(ways) * len(names)
    kept = [path for path in here.rglob("*") if path.is_file() and path.name != "mp2.toml"]
    assert {"mp2.db", "sources.db", "scan.log"} <= {path.name for path in kept}
    for path in kept:
        content = path.read_bytes()
        assert web_sources.KEY.encode() not in content, path.name
        assert web_sources.BASIC.encode() not in content, path.name


def test_no_key_stays_when_all_is_well_either(mp2, planted, here):
    code, out, err = mp2("-vv", "--log-file", "scan.log", "scan", "--json")
    assert code in (0, 3), err  # the stub's items have fixed dates; some sources reject them as old
    assert "ok" in {one["status"] for one in json.loads(out)["outcomes"]}
    contents = (
        path.read_bytes() for path in here.rglob("*") if path.is_file() and path.name != "mp2.toml"
    )
    assert not any(
        web_sources.KEY.encode() in content for content in (out.encode(), err.encode(), *contents)
    )


def test_the_password_of_a_proxy_is_in_no_message(mp2, planted, monkeypatch, here):
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{web_sources.KEY}-proxy@127.0.0.1:1")
    code, out, err = mp2("-vv", "--debug", "scan", "--timeout", "5")
    assert code == 1
    assert "no response from 127.0.0.1" in err
    assert web_sources.KEY not in out + err
    assert not any(web_sources.KEY.encode() in path.read_bytes() for path in here.glob("*.db*"))


def test_no_repr_shows_what_may_hold_a_key(here):
    table = {"scanners": {"news": {"feeds": ["https://example.com/feed?token=hidden-one"]}}}
    registered = SimpleNamespace(name="news", pipeline="news")
    records = (
        settings.SettingsFile(here / "mp2.toml", {"discovery": table}),
        Plan((registered,), table),
        discovery.read_discovery(table, [registered]),
        News.Settings(feeds=table["scanners"]["news"]["feeds"]),
        Feed.of(table["scanners"]["news"]["feeds"][0]),
    )
    assert "hidden-one" not in "".join(f"{record!r} {record}" for record in records)


@posix
def test_a_settings_file_with_a_key_has_to_be_its_owners_alone(mp2, here):
    file = here / "mp2.toml"
    file.write_text(
        '[discovery.scanners.news]\nfeeds = ["http://127.0.0.1:9/feed?token=hidden-one"]\n'
    )
    file.chmod(0o644)
    code, out, err = mp2("scanners", "list")
    assert code == 2
    assert "mp2.toml: holds a key in an address, and others may read the file; chmod 600" in err
    assert "hidden-one" not in out + err
    file.chmod(0o600)
    assert mp2("scanners", "list")[0] == 0
    for name in ("X-Amz-Signature", "pass", "user_credentials", "page=1;token"):
        assert discovery.holds_a_key({"feeds": [f"https://a.example/feed?{name}=hidden-one"]}), name
    file.write_text(
        "[discovery.scanners.news]\n"
        'feeds = ["http://127.0.0.1:9/feed?page=1", "http://[bad?token=x"]\n'
    )
    assert not discovery.holds_a_key(
        {"a": ["http://x/?page=1", 5, "http://[bad?token=x", "token=x"]}
    )


# --- files ------------------------------------------------------------------------------------


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_files_of_our_own_are_private_and_exports_follow_the_umask(mp2, scanners, here, open_umask):
    here.chmod(0o777)
    scanners(make("requesting", lambda context: context.http and [context.candidate("A", "x")]))
    state = StateFile(here / "state" / "mp2")
    quotas = Quotas(state)
    quotas.limit("host", [parse_rate("1/min")])
    quotas.take("host")
    state.close()
    assert mp2("--log-file", "run.log", "search", hostile_table(here / "t.parquet"), *RULES)[0] == 0
    assert mp2("scan", "--timeout", "5s")[0] == 0
    with Store("mp2.db") as store:
        store.scans()
        own = [
            path
            for path in here.rglob("*")
            if path.name.startswith(("mp2.db", "sources.db")) or path.suffix == ".log"
        ]
        assert {path.name: oct(mode(path)) for path in own} == dict.fromkeys(
            (path.name for path in own), "0o600"
        )
    assert {"mp2.db", "run.log", "sources.db"} <= {path.name for path in own}
    os.umask(0o022)
    mp2("runs", "export", "last", "-o", "groups.csv")
    assert mode(here / "groups.csv") == 0o644


@posix
def test_a_result_is_not_rescued_through_a_link_that_others_have_put_there(
    tmp_path, monkeypatch, open_umask
):
    shared, own, victim = tmp_path / "shared", tmp_path / "own", tmp_path / "victim"
    shared.mkdir()
    own.mkdir()
    victim.write_text("precious")
    result = SimpleNamespace(run_id="20260105-000000-abcd", to_dict=lambda: {"all": 1})
    (shared / f"mp2-{result.run_id}.json").symlink_to(victim)
    monkeypatch.chdir(own)
    message = recorder._rescue(result, shared / "mp2.db")
    assert victim.read_text() == "precious"
    rescued = own / f"mp2-{result.run_id}.json"
    assert (rescued.name in message, json.loads(rescued.read_text()), mode(rescued)) == (
        True,
        {"all": 1},
        0o600,
    )
    with pytest.raises(FileExistsError):
        write_private(rescued, "again")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "made")
    make_private(dangling)
    assert not (tmp_path / "made").exists()
    assert (others_may_read(rescued), others_may_read(victim)) == (False, True)
