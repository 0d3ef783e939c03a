"""Tests of the watch list; `mp2.scan` takes the class itself, so no installation is needed."""

import datetime

import pytest
from mp2_scanner_example import WatchList

import mp2

LINES = """ticker,reason,until,priority
KO,steady as ever,,
NVDA,earnings after the close,2026-11-25,
BRK.B,annual letter,2026-12-24,low
GE,split-off,2026-11-23,
"""


def scan(path, text=None, day="2026-11-24"):
    if text is not None:
        path.write_text(text, encoding="utf-8")
    config = {"scanners": {"watch_list": {"file": str(path)}}}
    return mp2.scan([WatchList], config=config, today=datetime.date.fromisoformat(day))


def test_every_ticker_up_to_its_day(tmp_path):
    found = scan(tmp_path / "list.csv", LINES)
    assert [(one.ticker, one.priority) for one in found.candidates] == [
        ("NVDA", "high"),
        ("KO", "medium"),
        ("BRK-B", "low"),
    ]
    assert found.candidates[0].contexts == ("earnings after the close",)
    assert found.candidates[0].data == {"watch_list": {"until": "2026-11-25"}}
    assert [one.ticker for one in scan(tmp_path / "list.csv", day="2027-01-01").candidates] == [
        "KO"
    ]


def test_a_line_that_is_none_is_dropped(tmp_path):
    found = scan(
        tmp_path / "list.csv", LINES + "no ticker,at all\nT,has a wrong priority,,urgent\n"
    )
    assert found.outcomes[0].n_dropped == 2
    assert len(found.candidates) == 3


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (None, "bad_request", "No such file"),
        ("", "bad_payload", "the first line has to name the columns ticker and reason"),
        (
            "symbol,why\nA,b\n",
            "bad_payload",
            "the first line has to name the columns ticker and reason",
        ),
        ("ticker,reason,until\nA,b,soon\n", "bad_payload", "until of A: 'soon' is not a date"),
    ],
)
def test_files_of_no_use(tmp_path, text, code, message):
    outcome = scan(tmp_path / "list.csv", text).outcomes[0]
    assert outcome.error.code == code
    assert message in outcome.error.message


def test_without_a_file_it_is_skipped():
    assert mp2.scan([WatchList]).outcomes[0].status == "skipped"
