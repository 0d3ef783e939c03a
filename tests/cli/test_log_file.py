"""The log file: events from start to end, as text and JSON lines, rotated, without secrets."""

import json
import logging

import pytest
from commands import RULES, WEEK
from stub_scanners import naming

from mp2 import __version__
from mp2.cli import log_file
from mp2.discovery import registry


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_of_json_lines_tells_a_run_from_start_to_end(mp2, here, monkeypatch):
    monkeypatch.setenv("MP2_SEARCH_WORKERS", "1")
    code, _, err = mp2("--log-file", "run.jsonl", "search", WEEK, *RULES)
    assert (code, err) == (0, "")
    logged = events(here / "run.jsonl")
    start, *_, result, end = logged
    assert (start["event"], start["version"], start["command"]) == ("start", __version__, "search")
    assert (start["settings"]["min_daily_hits"], start["settings"]["workers"]) == (3, 1)
    assert "min_daily_hits=3 (option); workers" not in start["message"]
    assert "workers=1 (environment)" in start["message"]
    assert (result["event"], result["status"], result["coverage"]) == ("result", "complete", 1.0)
    assert result["run_id"]
    assert (end["event"], end["exit_code"]) == ("end", 0)
    assert any("3 starters, 0 cut off" in one["message"] for one in logged)


def test_warnings_and_errors_are_logged_also_those_of_a_document(mp2, here, monkeypatch):
    monkeypatch.setenv("MP2_SERACH_WORKERS", "1")
    mp2("--log-file", "run.jsonl", "search", WEEK, "--min-daily-hits=9999", "--json")
    mp2("--log-file", "run.jsonl", "search", "absent.csv")
    mp2("--log-file", "run.jsonl", "search", WEEK, "--budget", "soon")
    logged = events(here / "run.jsonl")
    warnings = [one["message"] for one in logged if one["event"] == "warning"]
    assert any("MP2_SERACH_WORKERS" in line for line in warnings)
    assert any("nothing can be found" in line for line in warnings)
    errors = [one["message"] for one in logged if one["event"] == "error"]
    assert errors[0] == "error: absent.csv: no such file"
    assert "is not a time" in errors[1]
    assert [one["exit_code"] for one in logged if one["event"] == "end"] == [4, 2, 2]


def test_a_log_of_text_has_the_same_events(mp2, here):
    mp2("--log-file", "run.log", "search", WEEK, *RULES, "--no-store")
    lines = (here / "run.log").read_text().splitlines()
    assert f"INFO start: mp2 {__version__} search; " in lines[0]
    assert lines[-1].endswith("INFO end: exit code 0")


@pytest.mark.parametrize("option", [["--log-file", "bars.csv"], ["--log-file=bars.csv"]])
def test_what_cannot_be_parsed_writes_to_no_file_that_it_names(mp2, here, option):
    (here / "bars.csv").write_text("as it was")
    code, _, _ = mp2(*option, "search", "./bars.csv", "--budget", "soon")
    assert (code, (here / "bars.csv").read_text()) == (2, "as it was")


def test_full_files_are_rotated_and_private(mp2, here, monkeypatch):
    monkeypatch.setattr(log_file, "MAX_BYTES", 300)
    for _ in range(8):
        mp2("--log-file", "run.log", "runs", "list")
    names = {path.name for path in here.glob("run.log*")}
    assert {"run.log", "run.log.1", "run.log.5"} <= names
    assert {path.stat().st_mode & 0o077 for path in here.glob("run.log*")} == {0}


def test_a_file_that_cannot_be_renamed_grows_on(here, monkeypatch):
    monkeypatch.setattr(log_file, "MAX_BYTES", 10)
    monkeypatch.setattr(log_file.os, "rename", lambda *_: (_ for _ in ()).throw(OSError(13, "no")))
    handler = log_file.file_handler(here / "run.log")
    for number in range(3):
        handler.emit(logging.makeLogRecord({"msg": f"line {number}"}))
    handler.close()
    assert len((here / "run.log").read_text().splitlines()) == 3


@pytest.fixture
def one_scanner(monkeypatch):
    monkeypatch.setattr(registry, "_plug_ins", tuple)
    monkeypatch.setattr(registry, "builtin_scanners", lambda: (naming("good", "A"),))


def test_the_lines_of_a_scan_are_silenced_by_q_and_logged(mp2, here, one_scanner):
    _, _, err = mp2("scan")
    assert "✓ good: 1 candidate" in err
    code, out, err = mp2("--log-file", "scan.jsonl", "scan", "-q")
    assert (code, err) == (0, "")
    assert "good" in out
    logged = events(here / "scan.jsonl")
    assert "✓ good: 1 candidate" in [one["message"] for one in logged if one["event"] == "line"]
    assert [one["scan_id"] for one in logged if one["event"] == "result"]
