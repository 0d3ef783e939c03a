"""Scanning from the command line: documents, tables, messages, exit codes, signals, the store."""

import json
import re
import signal
import subprocess
import sys
import threading

import pytest
from commands import plug_in, strict_json
from stub_scanners import make, naming

import mp2 as package
from mp2.cli.main import program_first
from mp2.discovery import registry
from mp2.discovery.breaker import BreakerState
from mp2.errors import StoreError
from mp2.storage.runs import Store

DOCUMENT_KEYS = {
    "schema_version", "scan_id", "status", "elapsed_s", "workers", "mode", "outcomes",
    "candidates", "warnings", "run_id", "errors",
}  # fmt: skip
OUTCOME_KEYS = {
    "scanner",
    "pipeline",
    "status",
    "seconds",
    "ended_s",
    "attempts",
    "n_candidates",
    "n_dropped",
    "error",
}
CANDIDATE_KEYS = {"ticker", "priority", "n_sources", "sources", "pipelines", "contexts", "data"}
GUARD_S = 20


def fail(context):
    raise package.SourceError("unavailable", "HTTP 500 error")


def read_key(context):
    context.key("STUB_KEY")
    return [context.candidate("KEYED", "with a key")]


GOOD = naming("good", "AAPL", "BRK.B", pipeline="momentum", summary="finds things", offline=True)
OTHER = naming("other", "BRK-B", pipeline="social", offline=True)
NOTHING = make("nothing", lambda context: [], pipeline="social", offline=True)
BROKEN = make("broken", fail, pipeline="news")
KEYED = make("keyed", read_key, pipeline="insider", keys=("STUB_KEY",))


@pytest.fixture
def scanners(monkeypatch):
    """Makes these scanners the only built-in ones."""
    monkeypatch.setattr(registry, "_plug_ins", tuple)

    def register(*classes):
        monkeypatch.setattr(registry, "builtin_scanners", lambda: classes)

    return register


@pytest.fixture(autouse=True)
def no_key(monkeypatch, here):
    monkeypatch.delenv("STUB_KEY", raising=False)


def of(out):
    return json.loads(out, parse_constant=pytest.fail)


# --- mp2 scan ---------------------------------------------------------------------------------


def test_a_scan_prints_one_document_and_stores_it(mp2, scanners, here):
    scanners(GOOD, BROKEN, OTHER, KEYED)
    code, out, err = mp2("scan", "--json")
    document = of(out)
    assert code == 3
    assert set(document) == DOCUMENT_KEYS
    assert all(set(one) == OUTCOME_KEYS for one in document["outcomes"])
    assert all(set(one) == CANDIDATE_KEYS for one in document["candidates"])
    assert (document["status"], document["mode"], document["workers"]) == (
        "partial",
        "concurrent",
        8,
    )
    assert [one["scanner"] for one in document["outcomes"]] == ["good", "broken", "other", "keyed"]
    assert document["outcomes"][1]["error"] == {"code": "unavailable", "message": "HTTP 500 error"}
    assert [(one["ticker"], one["sources"]) for one in document["candidates"]] == [
        ("BRK-B", ["good", "other"]),
        ("AAPL", ["good"]),
    ]
    assert document["warnings"] == ["keyed: skipped: no key STUB_KEY; set the environment variable"]
    assert "✓ good: 2 candidates" in err
    with Store(here / "mp2.db", read_only=True) as store:
        stored = store.load_scan(document["scan_id"]).to_dict()
        assert json.loads(json.dumps(stored)) == {
            name: document[name] for name in DOCUMENT_KEYS - {"run_id", "errors"}
        }


def test_the_console_lines_are_those_of_the_specification(mp2, scanners, here):
    (here / "mp2.toml").write_text(
        "[discovery.scanners.late]\ntimeout_seconds = 0.05\n"
        "[discovery.pipelines.news]\nenabled = false\n"
    )
    scanners(
        GOOD, BROKEN, KEYED, make("late", lambda context: context.cancelled.wait(GUARD_S) and [])
    )
    code, out, err = mp2("scan", "--workers", 4)
    lines = err.splitlines()
    assert code == 3
    assert lines[0] == "Running 2 scanners concurrently (max 4 workers)..."
    assert "✓ good: 2 candidates" in lines
    assert "⏱️ late: timeout after 0.05s" in lines
    assert "⏭️ broken: switched off by [discovery.pipelines.news]" in lines
    assert "⏭️ keyed: skipped: no key STUB_KEY; set the environment variable" in lines
    # Said once: the warning of the document is this line.
    assert err.count("keyed: skipped: no key STUB_KEY") == 1
    table = out.splitlines()
    assert table[0].split() == ["ticker", "priority", "sources", "pipelines", "why"]
    assert table[1].split() == ["AAPL", "medium", "1", "momentum", "good:", "good", "says", "so"]
    assert "2 candidates from 1 of 4 scanners in" in out
    assert "status partial. Stored as scan " in out


def test_prices_and_day_need_no_settings_file(mp2, scanners, here):
    breakout = next(one for one in registry.builtin_scanners() if one.name == "breakout_52w")
    scanners(breakout, GOOD)
    (here / "bars.csv").write_text(
        "date,ticker,open,high,low,close,volume\n2024-01-02,A,1,1,1,1,1\n"
    )
    (here / "mp2.toml").write_text('[discovery.scanners.breakout_52w]\nprices = "absent.csv"\n')
    args = ("scan", "--prices", "bars.csv", "--json")
    # The bars of the day itself do not count.
    for day, message in (
        ("2024-01-02", "no row in the days asked for"),
        ("2024-01-03", "no ticker has the"),
        ("2024-02-01", "the last bars are of 2024-01-02, 30 days before 2024-02-01"),
    ):
        code, out, _ = mp2(*args, "--day", day)
        assert code == 3
        assert message in strict_json(out)["outcomes"][0]["error"]["message"]
    summary = strict_json(mp2("scans", "list", "--json")[1])["scans"][0]
    assert summary["day"] == "2024-02-01"


def test_sequential_gives_the_same_candidates(mp2, scanners):
    scanners(GOOD, OTHER)
    both = [of(mp2("scan", "--json", *given)[1]) for given in ((), ("--sequential",))]
    assert both[0]["candidates"] == both[1]["candidates"]
    assert [(one["mode"], one["workers"]) for one in both] == [("concurrent", 8), ("sequential", 1)]
    assert "Running 2 scanners one at a time..." in mp2("scan", "--sequential")[2]


@pytest.mark.parametrize(
    ("classes", "code", "status"),
    [
        ((GOOD,), 0, "complete"),
        ((GOOD, KEYED), 0, "complete"),
        ((GOOD, NOTHING), 0, "complete"),
        ((GOOD, BROKEN), 3, "partial"),
        ((NOTHING,), 4, "complete"),
        ((NOTHING, BROKEN), 4, "partial"),
        ((KEYED,), 4, "complete"),
        ((), 4, "complete"),
        ((BROKEN,), 1, "partial"),
        ((BROKEN, KEYED), 1, "partial"),
    ],
)
def test_exit_codes(mp2, scanners, classes, code, status):
    scanners(*classes)
    found, out, _ = mp2("scan", "--json")
    assert (found, of(out)["status"]) == (code, status)


def test_only_some(mp2, scanners):
    scanners(GOOD, OTHER, NOTHING)
    document = of(mp2("scan", "--json", "--only", "nothing,good", "--only", "nothing")[1])
    assert [one["scanner"] for one in document["outcomes"]] == ["good", "nothing"]
    code, out, err = mp2("scan", "--only", "god", "--json")
    assert (code, err) == (2, "mp2: unknown scanner 'god'; known are good, other, nothing\n")
    assert of(out)["errors"] == ["unknown scanner 'god'; known are good, other, nothing"]
    assert of(mp2("scans", "list", "--json")[1])["scans"][0]["n_scanners"] == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--workers", "65"), "65 is outside 1..64"),
        (("--workers", "0"), "0 is outside 1..64"),
        (("--timeout", "soon"), "'soon' is not a time"),
        (("--timeout", "0"), "duration must be greater than 0"),
    ],
)
def test_settings_out_of_range(mp2, scanners, args, message):
    scanners(GOOD)
    code, _, err = mp2("scan", *args)
    assert code == 2
    assert message in err


def test_options_come_before_environment_before_file_before_the_table(
    mp2, scanners, here, monkeypatch
):
    scanners(GOOD)
    (here / "mp2.toml").write_text("[discovery.scanner_execution]\nmax_workers = 2\n")
    workers = [of(mp2("scan", "--json")[1])["workers"]]
    (here / "mp2.toml").write_text(
        "[scan]\nworkers = 3\n[discovery.scanner_execution]\nmax_workers = 2\n"
    )
    workers.append(of(mp2("scan", "--json")[1])["workers"])
    monkeypatch.setenv("MP2_SCAN_WORKERS", "4")
    workers.append(of(mp2("scan", "--json")[1])["workers"])
    workers.append(of(mp2("scan", "--json", "--workers", "5")[1])["workers"])
    assert workers == [2, 3, 4, 5]


def test_the_settings_file_may_be_named_anywhere_and_its_errors_name_it(mp2, scanners, here):
    scanners(GOOD)
    (here / "mine.toml").write_text('db = "mine.db"\n[discovery.scanners.good]\nlimit = 1\n')
    assert len(of(mp2("scan", "--json", "--config", "mine.toml")[1])["candidates"]) == 1
    assert len(of(mp2("--config=mine.toml", "scan", "--json")[1])["candidates"]) == 1
    assert (here / "mine.db").exists()
    assert not (here / "mp2.db").exists()
    (here / "mine.toml").write_text(
        "[discovery]\nscanner = 1\n[discovery.scanners.god]\n[discovery.scanner_execution]\nx = 1\n"
    )
    code, _, err = mp2("scan", "--config", "mine.toml")
    assert code == 2
    assert err.splitlines() == [
        "mp2: mine.toml: [discovery.scanner_execution] unknown key 'x'; known are concurrent, "
        "max_workers, timeout_seconds, "
        "breaker_failures, breaker_cool_down_seconds, breaker_longest_seconds",
        "mp2: mine.toml: [discovery] unknown key 'scanner'; known are scanner_execution, "
        "scanners, pipelines",
        "mp2: mine.toml: [discovery.scanners] unknown scanner 'god'; known are good",
    ]
    (here / "mine.toml").write_text("discovery = 1\n")
    assert (
        mp2("scan", "--config", "mine.toml")[2] == "mp2: mine.toml: [discovery] has to be a table\n"
    )
    assert "Option '--config' requires an argument" in mp2("scan", "--config")[2]


def test_the_projects_file_has_the_table_too(mp2, scanners, here):
    scanners(GOOD)
    (here / "pyproject.toml").write_text("[tool.mp2.discovery.scanners.good]\nlimit = 1\n")
    assert len(of(mp2("scan", "--json")[1])["candidates"]) == 1


def test_arguments_with_the_settings_file_first():
    assert program_first(["scan", "--config", "a", "--json"]) == ["--config", "a", "scan", "--json"]
    assert program_first(["scan", "--config=a"]) == ["--config=a", "scan"]
    assert program_first(["scan", "--", "--config", "a"]) == ["scan", "--", "--config", "a"]
    assert program_first(["scan", "--config"]) == ["--config"]
    assert program_first(["scan", "x"]) == ["scan", "x"]


def test_bad_settings_are_that_scanners_error(mp2, scanners, here):
    scanners(GOOD, OTHER)
    (here / "mp2.toml").write_text('[discovery.scanners.other]\nlimit = "x"\n')
    code, out, _ = mp2("scan", "--json")
    assert code == 3
    assert of(out)["outcomes"][1]["error"]["code"] == "preparation"


def test_nothing_is_stored_with_no_store(mp2, scanners, here):
    scanners(GOOD)
    code, out, _ = mp2("scan", "--no-store")
    assert code == 0
    assert "Stored as" not in out
    assert list(here.iterdir()) == []


def test_the_table_is_cut_and_the_document_is_not(mp2, scanners):
    scanners(GOOD)
    assert "BRK-B" not in mp2("scan", "--show", "1")[1]
    assert mp2("scan", "--show", "0")[1].startswith("2 candidates from 1 of 1 scanner ")


def test_every_outcome_is_stored_before_it_is_shown(mp2, scanners, monkeypatch):
    from mp2.cli.progress import ScanDisplay

    scanners(GOOD, BROKEN, KEYED)
    show, seen = ScanDisplay.show, []

    def watched(self, event):
        if event.outcome is not None:
            with Store("mp2.db", read_only=True) as store:
                stored = store.load_scan(store.find_scan("last")).outcomes
            assert event.outcome in stored
            seen.append(event.scanner)
        show(self, event)

    monkeypatch.setattr(ScanDisplay, "show", watched)
    assert mp2("scan")[0] == 3
    assert sorted(seen) == ["broken", "good", "keyed"]


@pytest.mark.parametrize("method", ["begin_scan", "add_outcome", "finish_scan", "change_breaker"])
def test_a_store_that_fails_ends_the_storing_not_the_scan(mp2, scanners, monkeypatch, method):
    def refuse(self, *args, **kwargs):
        raise StoreError("mp2.db: the disk is full")

    scanners(GOOD, OTHER)
    monkeypatch.setattr(Store, method, refuse)
    code, out, err = mp2("scan", "--json")
    document = of(out)
    assert code == 1
    assert len(document["candidates"]) == 2
    assert document["errors"] == ["mp2.db: the disk is full"]
    assert err.count("mp2: mp2.db: the disk is full") == 1
    assert "Stored as" not in mp2("scan")[1]


def test_a_store_that_cannot_be_opened(mp2, scanners, here):
    scanners(GOOD)
    (here / "mp2.db").mkdir()
    code, _, err = mp2("scan")
    assert code == 1
    assert "is a directory" in err
    assert "good" not in err


def test_a_scan_that_is_left_by_an_error_has_failed(mp2, scanners, monkeypatch):
    from mp2.cli.progress import ScanDisplay

    scanners(GOOD)
    monkeypatch.setattr(ScanDisplay, "show", lambda self, event: 1 / 0)
    assert mp2("scan")[0] == 1
    assert of(mp2("scans", "list", "--json")[1])["scans"][0]["status"] == "failed"


@pytest.mark.parametrize(
    "command",
    [("scan",), ("scanners", "test", "loud"), ("scanners", "test", "loud", "--in-caller")],
)
def test_what_a_scanner_prints_is_not_in_the_document(mp2, scanners, command):
    def work(context):
        print("downloading...")
        sys.stdout.write("done\n")
        yield context.candidate("AAA", "x")

    scanners(make("loud", work))
    before = sys.stdout
    code, out, err = mp2(*command, "--json")
    assert code == 0
    assert of(out)["status"] in ("complete", "ok")
    assert "downloading...\ndone\n" in err
    assert sys.stdout is before


def test_when_breakers_open_is_a_setting(mp2, scanners, here):
    table = "breaker_failures = 2\nbreaker_cool_down_seconds = 60.0\nbreaker_longest_seconds = 90\n"
    (here / "mp2.toml").write_text(f"[discovery.scanner_execution]\n{table}")
    scanners(BROKEN)
    statuses = [of(mp2("scan", "--json")[1])["outcomes"][0]["status"] for _ in range(3)]
    assert statuses == ["error", "error", "open_circuit"]
    with Store("mp2.db", read_only=True) as store:
        assert store.breakers()["broken"].cool_down_s == 60.0


def test_breakers_open_between_commands_and_can_be_reset(mp2, scanners):
    scanners(GOOD, BROKEN)
    assert [mp2("scan")[0] for _ in range(5)] == [3] * 5
    code, out, _ = mp2("scan", "--json")
    assert code == 0
    assert of(out)["outcomes"][1]["status"] == "open_circuit"
    assert of(out)["warnings"][0].startswith(
        "broken: skipped: skipped after 5 failures in a row; next try in"
    )
    assert "open since" in mp2("scanners", "list")[1]
    assert mp2("scan", "--no-store")[0] == 3
    assert mp2("scanners", "test", "broken")[0] == 1
    code, out, _ = mp2("scanners", "reset", "broken")
    assert (code, "broken: breaker closed (it was open since" in out) == (0, True)
    assert mp2("scan")[0] == 3
    assert "closed (1 failure)" in mp2("scanners", "list")[1]


def test_cache_and_quotas_are_in_the_state_folder_and_their_warnings_are_shown(
    mp2, scanners, here, monkeypatch
):
    def request(context):
        return [context.candidate("A", type(context.http).__name__)]

    (here / "sub").mkdir()
    scanners(make("requesting", request))
    assert mp2("scan", "--db", "sub/x.db")[0] == 0
    assert {path.name for path in (here / "sub").iterdir()} == {"x.db"}
    file = here / "state" / "mp2" / "sources.db"
    assert file.exists()
    file.write_text("not a database at all, but a long text" * 10)
    code, out, _ = mp2("scan", "--db", "sub/x.db", "--json")
    assert code == 0
    assert "sources.db: responses and requests are not kept" in of(out)["warnings"][0]


def test_the_log_has_the_events_as_json(mp2, scanners, here):
    def log_a_line(context):
        context.logger.info("looked around")
        return []

    scanners(make("logging", log_a_line))
    mp2("--log-file", "log.txt", "scan")
    log = (here / "log.txt").read_text()
    events = [
        json.loads(line.split(" DEBUG ", 1)[1]) for line in log.splitlines() if " DEBUG {" in line
    ]
    assert [one["event"] for one in events] == ["begun", "started", "finished"]
    assert events[-1]["line"] == "✓ logging: 0 candidates"
    assert "logging: 0.000s INFO: looked around" in log or "INFO: looked around" in log


def test_the_live_table_and_then_the_lines(scanners, here):
    import io

    from rich.console import Console

    from mp2.cli.progress import ScanDisplay

    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    events = []
    with ScanDisplay(screen, ["good", "broken"], live=True) as display:
        package.scan(
            [GOOD, BROKEN], observe=lambda event: (events.append(event), display.show(event))
        )
        shown = screen.file.getvalue()
        assert "waiting" in shown
        assert "✓ good" not in shown
    after = screen.file.getvalue()[len(shown) :]
    lines = [event.line for event in events if event.line]
    assert [line.strip() in after for line in lines] == [True] * 3


# --- stop -------------------------------------------------------------------------------------

SLOW = """
import sys, mp2
def made(name, hangs):
    def scan(self, context):
        if hangs:
            while True:
                context.cancelled.wait(0.05)
                if not context.cancelled.is_set(): continue
                break
        yield context.candidate("A", "x")
    return type(name, (mp2.Scanner,), {"name": name.lower(), "pipeline": "test", "scan": scan})
Fast, Hanging = made("Fast", False), made("Hanging", True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_scan_keeps_what_had_completed(here, monkeypatch, number, code):
    plug_in(here, SLOW, ["Fast", "Hanging"])
    monkeypatch.setenv("PYTHONPATH", f"{here}:{':'.join(sys.path)}")
    command = [sys.executable, "-m", "mp2", "scan", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while "fast" not in process.stderr.readline():
            pass
        process.send_signal(number)
        out, err = process.communicate(timeout=GUARD_S)
    document = of(out)
    assert process.returncode == code, err
    assert document["status"] == "stopped"
    assert [one["ticker"] for one in document["candidates"]] == ["A"]
    ended = {one["scanner"]: (one["status"], one["n_candidates"]) for one in document["outcomes"]}
    assert (ended["fast"], ended["hanging"]) == (("ok", 1), ("skipped", 0))
    with Store("mp2.db", read_only=True) as store:
        assert store.scans()[0].status == "stopped"
        stored = store.load_scan(document["scan_id"]).to_dict()
        assert json.loads(json.dumps(stored))["candidates"] == document["candidates"]
        assert store.breakers() == {}


def test_a_second_interruption_leaves_at_once_and_says_what_is_kept(mp2, scanners):
    from mp2.storage.scan_recorder import ScanRecorder

    def twice(self, event, observe=ScanRecorder.observe):
        observe(self, event)
        for _ in range(2 if event.outcome else 0):
            signal.raise_signal(signal.SIGINT)

    scanners(GOOD, OTHER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScanRecorder, "observe", twice)
        code, out, err = mp2("scan", "--json")
    assert code == 130
    (summary,) = of(mp2("scans", "list", "--json")[1])["scans"]
    last = err.strip().splitlines()[-1]
    assert (
        last == f"mp2: stopped by a signal; what had ended is stored as scan {summary['scan_id']}"
    )
    assert of(out)["errors"] == [last[5:]]
    assert summary["n_outcomes"] == 1


# --- mp2 scan --verify ------------------------------------------------------------------------


def test_verify_compares_both_ways_on_offline_scanners(mp2, scanners, here):
    (here / "mp2.toml").write_text(
        "[discovery.scanners.broken]\nlimit = 3\n[discovery.pipelines.news]\nenabled = true\n"
    )
    scanners(GOOD, BROKEN, OTHER)
    code, out, _ = mp2("scan", "--verify")
    assert code == 0
    assert out.startswith("2 offline scanners, 2 candidates: ")
    assert out.endswith(" times as fast.\n")
    document = of(mp2("scan", "--verify", "--only", "good", "--json")[1])
    assert (document["status"], document["n_scanners"], document["differences"]) == ("ok", 1, [])
    assert {"concurrent_s", "sequential_s", "speed_up", "workers", "n_candidates"} <= set(document)
    assert not (here / "mp2.db").exists()


def test_verify_reports_what_differs(mp2, scanners):
    runs = []

    def moody(context):
        runs.append(1)
        return [context.candidate(f"T{len(runs)}", "x")] * len(runs)

    scanners(make("moody", moody, offline=True))
    code, out, _ = mp2("scan", "--verify")
    assert code == 1
    assert out.splitlines()[:2] == [
        "moody: ok with 2 candidates concurrently, ok with 3 candidates sequentially",
        "the candidates differ",
    ]
    code, out, _ = mp2("scan", "--verify", "--json")
    assert (code, of(out)["status"], len(of(out)["differences"])) == (1, "differs", 2)


def test_verify_needs_offline_scanners(mp2, scanners):
    scanners(BROKEN, GOOD)
    assert mp2("scan", "--verify", "--only", "broken")[::2] == (
        2,
        "mp2: --verify: 'broken' is no offline scanner; there are good\n",
    )
    scanners(BROKEN)
    assert "there is no offline scanner" in mp2("scan", "--verify")[2]


# --- mp2 scanners -----------------------------------------------------------------------------


class Configured(package.Scanner):
    name, pipeline, summary, keys = "configured", "test", "has settings", ("STUB_KEY",)

    class Settings(package.ScannerSettings):
        token: str
        feeds: tuple[str, ...] = ()
        share: float = 0.5

    def scan(self, context):
        return []


def test_the_list_of_scanners(mp2, scanners, here, monkeypatch):
    (here / "mp2.toml").write_text(
        "[discovery.pipelines.social]\nenabled = false\n[discovery.scanners.broken]\nlimit = 0\n"
        "[discovery.scanners.nothing]\nenabled = false\n"
    )
    scanners(
        GOOD,
        OTHER,
        NOTHING,
        BROKEN,
        KEYED,
        type("Odd", (package.Scanner,), {"name": "5", "pipeline": "x"}),
    )
    listed = {one["name"]: one for one in of(mp2("scanners", "list", "--json")[1])["scanners"]}
    assert list(listed) == ["good", "other", "nothing", "broken", "keyed", "Odd"]
    assert [one["enabled"] for one in listed.values()] == [True, False, False, False, True, False]
    assert listed["other"]["why_off"] == "switched off by [discovery.pipelines.social]"
    assert listed["broken"]["error"].startswith("settings: limit: ")
    assert "name '5' has to be a letter" in listed["Odd"]["error"]
    assert listed["keyed"]["keys"] == {"STUB_KEY": "missing"}
    assert listed["good"]["breaker"] == {
        "phase": "closed",
        "n_failures": 0,
        "since": 0.0,
        "cool_down_s": 0.0,
    }
    assert (listed["good"]["summary"], listed["good"]["offline"]) == ("finds things", True)
    monkeypatch.setenv("STUB_KEY", "hush-hush")
    code, out, _ = mp2("scanners", "list")
    assert code == 0
    assert "STUB_KEY present" in out
    assert "hush" not in out
    assert not (here / "mp2.db").exists()


def test_the_list_has_every_variable_that_the_settings_need(mp2, here, monkeypatch):
    for name in ("SEC_USER_AGENT", "FINNHUB_API_KEY", "ALPHAVANTAGE_API_KEY", "QUOTES_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"MP2_{name}", raising=False)
    file = here / "mp2.toml"
    file.write_text('[discovery.scanners.sql]\npassword_key = "QUOTES_PASSWORD"\n')

    def keys():
        document = of(mp2("scanners", "list", "--json")[1])
        return {one["name"]: one["keys"] for one in document["scanners"]}

    listed = keys()
    assert listed["filings"] == {"SEC_USER_AGENT": "missing"}
    assert listed["fundamentals"] == {"FINNHUB_API_KEY": "missing"}
    assert listed["sql"] == {"QUOTES_PASSWORD": "missing"}
    file.write_text(
        '[discovery.scanners.fundamentals]\nprovider = "alpha_vantage"\n'
        '[discovery.scanners.filings]\nuser_agent = "Example Firm ops@example.com"\n'
    )
    listed = keys()
    assert (listed["filings"], listed["sql"]) == ({}, {})
    assert listed["fundamentals"] == {"ALPHAVANTAGE_API_KEY": "missing"}
    # Settings that are not valid do not hide the variables of the class.
    file.write_text("[discovery.scanners.insider_buying]\ndays = 0\n")
    assert keys()["insider_buying"] == {"FINNHUB_API_KEY": "missing"}


def test_a_scanner_is_shown_with_its_settings(mp2, scanners, here):
    (here / "mp2.toml").write_text('[discovery.scanners.configured]\ntoken = "hush-hush"\n')
    scanners(GOOD, Configured)
    code, out, _ = mp2("scanners", "show", "configured")
    assert code == 0
    assert "hush" not in out
    assert "built-in test_cli_scan:Configured" in out
    assert "\n\n[discovery.scanners.configured]\n" in out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["token"] == ["token", "string", "required", "set"]
    assert rows["feeds"] == ["feeds", "array", "of", "string", "[]", "-"]
    assert rows["limit"][1:7] == ["integer", "minimum", "1", "10", "-", "candidates"]
    document = of(mp2("scanners", "show", "configured", "--json")[1])
    assert document["settings"][2]["type"] == "number exclusiveMinimum 0 or null"
    assert {
        "name": "share",
        "type": "number",
        "required": False,
        "default": 0.5,
        "is_set": False,
        "doc": "",
    } in document["settings"]
    assert mp2("scanners", "show", "god")[::2] == (
        2,
        "mp2: unknown scanner 'god'; known are good, configured\n",
    )


def test_reset_needs_a_database_and_a_name_that_is_known_there_or_here(mp2, scanners):
    scanners(GOOD)
    assert mp2("scanners", "reset", "good")[0] == 2
    mp2("scan")
    assert mp2("scanners", "reset", "good")[:2] == (0, "good: breaker closed (it was closed).\n")
    assert mp2("scanners", "reset", "god")[0] == 2
    with Store("mp2.db") as store:
        store.change_breaker("gone", lambda state: BreakerState(n_failures=2))
    assert of(mp2("scanners", "reset", "gone", "good", "--json")[1])["reset"] == ["gone", "good"]
    with Store("mp2.db") as store:
        assert store.breakers() == {}


@pytest.mark.parametrize("how", [(), ("--in-caller",)])
def test_a_scanner_is_tested(mp2, scanners, here, monkeypatch, how):
    def work(context):
        context.logger.info("in thread %s", threading.current_thread() is threading.main_thread())
        yield context.candidate("BRK.B", "big", data={"x": 1})
        yield context.candidate("?", "none")

    (here / "mp2.toml").write_text(
        "[discovery.scanners.tested]\nenabled = false\n[discovery.scanners.good]\nlimit = 1\n"
    )
    scanners(GOOD, make("tested", work), KEYED, NOTHING)
    code, out, err = mp2("scanners", "test", "tested", *how)
    assert code == 0
    assert f"INFO: in thread {bool(how)}" in err
    assert "BRK-B" in out
    assert '{"x": 1}' in out
    assert re.search(r"✓ tested: 1 candidate in \d+\.\d\d s, 0 requests, 1 dropped", out)
    document = of(mp2("scanners", "test", "tested", "--json", *how)[1])
    assert (document["status"], document["outcome"]["n_dropped"], len(document["logs"])) == (
        "ok",
        1,
        2,
    )
    assert mp2("scanners", "test", "nothing", *how)[0] == 4
    assert not (here / "mp2.db").exists()
    monkeypatch.setenv("STUB_KEY", "hush-hush")
    assert mp2("scanners", "test", "keyed", *how)[0] == 0


def test_what_a_tested_scanner_raises(mp2, scanners):
    scanners(BROKEN, KEYED, make("raising", lambda context: [].pop()))
    code, out, err = mp2("scanners", "test", "broken")
    assert (code, "⚠️ broken: HTTP 500 error in " in out, "Traceback" in err) == (1, True, True)
    assert mp2("scanners", "test", "broken", "--in-caller")[::2] == (1, "mp2: HTTP 500 error\n")
    code, _, err = mp2("scanners", "test", "raising", "--in-caller")
    assert (code, err) == (
        1,
        "mp2: raising: IndexError: pop from empty list (--debug shows where)\n",
    )
    assert "IndexError" in mp2("--debug", "scanners", "test", "raising", "--in-caller")[2]
    assert mp2("scanners", "test", "keyed")[0] == 1
    assert mp2("scanners", "test", "god")[0] == 2


# --- mp2 scans --------------------------------------------------------------------------------


def test_stored_scans_are_listed_shown_and_deleted(mp2, scanners):
    scanners(GOOD, BROKEN)
    printed = of(mp2("scan", "--json")[1])
    code, out, _ = mp2("scans", "list")
    assert code == 0
    assert out.splitlines()[1].split()[:3] == [
        printed["scan_id"],
        "partial",
        of(mp2("scans", "show", "last", "--json")[1])["day"],
    ]
    shown = of(mp2("scans", "show", printed["scan_id"][:18], "--json")[1])
    assert {name: shown[name] for name in DOCUMENT_KEYS} == printed
    assert set(shown) - DOCUMENT_KEYS == {"day", "started_at"}
    code, out, _ = mp2("scans", "show", "last", "--logs", "--show", "1")
    assert code == 0
    assert "✓ good: 2 candidates" in out
    assert "SourceError: HTTP 500 error" in out
    assert f"Stored as scan {printed['scan_id']}." in out
    assert list(of(mp2("scans", "show", "last", "--logs", "--json")[1])["logs"]) == [
        "good",
        "broken",
    ]
    assert mp2("scans", "delete", "last")[:2] == (0, f"Deleted scan {printed['scan_id']}.\n")
    assert mp2("scans", "show", "last")[0] == 2
    mp2("scan")
    assert of(mp2("scans", "delete", "last", "--json")[1])["deleted"]


def test_an_interrupted_scan_is_shown_with_what_had_ended(mp2, scanners):
    scanners(GOOD, OTHER)
    mp2("scan")
    with Store("mp2.db") as store:
        store._connection.execute("UPDATE scan SET status = 'running', process_start = '1'")
        store._connection.execute("DELETE FROM scan_outcome WHERE scanner = 'other'")
    document = of(mp2("scans", "show", "last", "--json")[1])
    assert document["status"] == "interrupted"
    assert [one["ticker"] for one in document["candidates"]] == ["AAPL", "BRK-B"]
    assert "ended before it did" in document["warnings"][0]
    assert "interrupted" in mp2("scans", "list")[1]


# --- imports ----------------------------------------------------------------------------------


def test_help_imports_no_package_of_scanners():
    code = (
        "import sys; from mp2.cli.main import main\n"
        "try: main(['scan', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'pydantic', 'httpx2', 'rich.live', 'sqlite3'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "--config FILE" in process.stdout
