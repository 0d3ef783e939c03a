"""Records of scans: their JSON, and the lines a console shows."""

import json

import pytest

from mp2.discovery.records import (
    Candidate,
    MergedCandidate,
    OutcomeStatus,
    ScanError,
    ScanEvent,
    ScanOutcome,
    ScanResult,
    ScanStatus,
    console_line,
    seconds_text,
    start_line,
)


def outcome(status, message=None, code="exception", **fields):
    error = None if message is None else ScanError(code, message)
    return ScanOutcome(
        scanner="movers", pipeline="momentum", status=OutcomeStatus(status), error=error, **fields
    )


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        (outcome("ok", n_candidates=10), "✓ movers: 10 candidates"),
        (outcome("ok", n_candidates=1), "✓ movers: 1 candidate"),
        (outcome("empty"), "✓ movers: 0 candidates"),
        (outcome("cached", n_candidates=2), "✓ movers: 2 candidates (cached)"),
        (outcome("stale", n_candidates=2), "✓ movers: 2 candidates (stale)"),
        (outcome("timeout", "timeout after 30s"), "⏱️ movers: timeout after 30s"),
        (outcome("error", "HTTP 500 error"), "⚠️ movers: HTTP 500 error"),
        (outcome("rate_limited", "come back later"), "⚠️ movers: come back later"),
        (outcome("skipped", "too many hung"), "⏭️ movers: skipped: too many hung"),
        (outcome("skipped", "no key X"), "⏭️ movers: skipped: no key X"),
        (outcome("disabled", "switched off"), "⏭️ movers: switched off"),
    ],
)
def test_lines_of_outcomes(ended, line):
    assert console_line(ended) == line


def test_lines_of_a_start():
    assert start_line(8, 8, "concurrent") == "Running 8 scanners concurrently (max 8 workers)..."
    assert start_line(1, 1, "sequential") == "Running 1 scanner one at a time..."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30.0, "30s"), (1.5, "1.5s"), (0.25, "0.25s"), (0.0004, "0s"), (1e6, "1000000s")],
)
def test_seconds(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("ended", "failed"),
    [
        (outcome("timeout", "x", "timeout"), True),
        (outcome("error", "x"), True),
        (outcome("rate_limited", "x"), True),
        (outcome("unauthorized", "x"), True),
        (outcome("skipped", "too many hung", "too_many_hung"), True),
        (outcome("skipped", "no key", "missing_key"), False),
        (outcome("skipped", "stopped", "stopped"), False),
        (outcome("open_circuit", "x", "open_circuit"), False),
        (outcome("disabled", "x", "disabled"), False),
        (outcome("stale"), False),
    ],
)
def test_what_makes_a_scan_partial(ended, failed):
    assert ended.failed is failed


def test_the_result_as_json():
    merged = MergedCandidate(
        ticker="A",
        priority="high",
        n_sources=1,
        sources=("movers",),
        pipelines=("momentum",),
        contexts=("up",),
        data={"movers": 1},
    )
    result = ScanResult(
        scan_id="id",
        status=ScanStatus.PARTIAL,
        elapsed_s=1.0,
        workers=8,
        mode="concurrent",
        outcomes=(outcome("ok", n_candidates=1), outcome("error", "no")),
        candidates=(merged,),
        warnings=("w",),
        logs={"movers": ("line",)},
    )
    document = json.loads(json.dumps(result.to_dict()))
    assert list(document) == [
        "schema_version",
        "scan_id",
        "status",
        "elapsed_s",
        "workers",
        "mode",
        "outcomes",
        "candidates",
        "warnings",
    ]
    assert document["outcomes"][1] == {
        "scanner": "movers",
        "pipeline": "momentum",
        "status": "error",
        "seconds": 0.0,
        "ended_s": 0.0,
        "attempts": 0,
        "n_candidates": 0,
        "n_dropped": 0,
        "error": {"code": "exception", "message": "no"},
    }
    assert document["outcomes"][0]["error"] is None
    assert document["candidates"] == [
        {
            "ticker": "A",
            "priority": "high",
            "n_sources": 1,
            "sources": ["movers"],
            "pipelines": ["momentum"],
            "contexts": ["up"],
            "data": {"movers": 1},
        }
    ]
    assert result.n_failed == 1


def test_lines_of_events():
    common = {"elapsed_s": 0.5, "n_scanners": 2, "workers": 2, "mode": "concurrent"}
    begun = ScanEvent(kind="begun", **common)
    assert begun.to_dict() == {
        "event": "begun",
        **common,
        "line": "Running 2 scanners concurrently (max 2 workers)...",
    }
    assert ScanEvent(kind="started", scanner="movers", **common).line is None
    ended = ScanEvent(kind="finished", scanner="movers", outcome=outcome("empty"), **common)
    assert ended.to_dict()["line"] == "✓ movers: 0 candidates"
    assert ended.to_dict()["status"] == "empty"


def test_a_candidate_as_json():
    assert Candidate("A", "movers", "up").to_dict() == {
        "ticker": "A",
        "source": "movers",
        "context": "up",
        "priority": "medium",
        "data": None,
    }


def test_the_candidates_as_a_frame():
    merged = MergedCandidate(
        ticker="A",
        priority="high",
        n_sources=2,
        sources=("movers", "news"),
        pipelines=("momentum",),
        contexts=("up 5%", "in the news"),
        data={},
    )
    scan = ScanResult(
        scan_id="id",
        status=ScanStatus.COMPLETE,
        elapsed_s=1.0,
        workers=8,
        mode="concurrent",
        outcomes=(),
        candidates=(merged,),
    )
    assert scan.to_frame().to_dicts() == [
        {
            "ticker": "A",
            "priority": "high",
            "n_sources": 2,
            "sources": "movers, news",
            "pipelines": "momentum",
            "contexts": "up 5%; in the news",
        }
    ]
