"""Results are shown in a few lines, in a terminal and in a notebook, whatever their names are."""

from dataclasses import replace

import pytest
from market_bars import walk
from places import REAL_BARS
from sheets import TUESDAY, prices_of, result_of, sheet_of

import mp2
from mp2._overview import MAX_LINES, MAX_WIDTH, Overview
from mp2.discovery.records import ANSWERED
from mp2.groups.luck import TestStatus
from mp2.picks.records import SizePick, Vote
from mp2.picks.track import PickedDay, configuration_record

HOSTILE = "<script>alert(1)</script>\x1b[2J\n"
MANY = tuple(f"{HOSTILE}{number}" for number in range(200))
SIZES = range(2, 9)


def significance():
    return mp2.Significance(
        status=TestStatus.STOPPED,
        reason=HOSTILE * 100,
        null_model=HOSTILE,
        seed=0,
        replicates=0,
        replicates_asked=99,
        p_min=0.01,
        covered=0.0,
        p=None,
        p_size={},
        observed=dict.fromkeys(SIZES, 1.0),
        null={},
        n_groups={},
        n_groups_exact=True,
        donors=None,
        elapsed_s=0.0,
        overrun_s=0.0,
        warnings=MANY,
    )


def search_result():
    """A result of seven sizes whose groups, days and warnings are many and long."""
    kept = {size: ["A 1 + B 2", "A 1 + C 3"] for size in SIZES}
    result = result_of(kept, warnings=MANY, store_error=HOSTILE, significance=significance())
    members = tuple(mp2.Member(HOSTILE * 9, name, 0) for name in MANY[:8])
    consensus = (mp2.DayConsensus(HOSTILE, MANY),)
    group = replace(result.groups(3)[0], members=members, consensus=consensus)
    return replace(result, kept=dict.fromkeys(SIZES, (group,)))


def day_picks():
    members = (mp2.Member("A", "1", 0),)
    pick = SizePick(rank=1, members=members, tickers=MANY)
    votes = [Vote(ticker=name, n_groups=1, best_rank=1, size=3, members=()) for name in MANY]
    return mp2.DayPicks(
        run_id=None,
        day=TUESDAY,
        assumed=True,
        picks=dict.fromkeys(SIZES, pick),
        votes=tuple(votes),
        warnings=MANY,
    )


def candidate(ticker):
    return mp2.MergedCandidate(
        ticker=ticker,
        priority="high",
        n_sources=len(MANY),
        sources=MANY,
        pipelines=MANY,
        contexts=MANY,
        data=dict.fromkeys(MANY[:9], MANY),
    )


def scan_result():
    outcome = mp2.ScanOutcome(scanner=HOSTILE, pipeline="p", status=min(ANSWERED))
    return mp2.ScanResult(
        scan_id="1",
        status=mp2.ScanStatus.PARTIAL,
        elapsed_s=1.0,
        workers=1,
        mode="sequential",
        outcomes=(outcome, replace(outcome, status=mp2.OutcomeStatus.ERROR)),
        candidates=tuple(map(candidate, MANY[:50])),
        warnings=MANY,
    )


def track_record():
    picks = day_picks()
    outcome = mp2.score(picks, prices_of([TUESDAY], {name: [1.0] for name in MANY}))
    day = PickedDay(
        run_id="1", began_at=HOSTILE, searched_to=TUESDAY, picks=picks, voted=MANY, outcome=outcome
    )
    record = configuration_record(HOSTILE, HOSTILE * 50, {}, [day], 5.0)
    return mp2.TrackRecord(configurations=(record,) * 30, warnings=MANY)


def results():
    """One of every public kind of result, as large and as hostile as it gets."""
    result = search_result()
    picks = day_picks()
    prices = prices_of([TUESDAY], {name: [1.0] for name in MANY})
    sheet = sheet_of({"A 1": ["A"]}, tickers=MANY, warnings=MANY)
    yield from (result, picks, prices, sheet, sheet_of({"A 1": ["A"]}), significance())
    yield mp2.PipelineRun(result, picks)
    yield result.groups(3)[0]
    yield result.groups(3)[0].consensus[0]
    yield mp2.load_grids()
    yield mp2.score(picks, prices)
    yield from (track_record(), track_record().configurations[0])
    yield scan_result()
    yield candidate(HOSTILE)
    yield mp2.Candidate(ticker=HOSTILE, source=HOSTILE, context=HOSTILE * 100, data=MANY)
    yield mp2.Reply(200, {"content-type": HOSTILE}, b"x" * 10_000)


def check_form(shown):
    text = repr(shown)
    lines = text.split("\n")
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= MAX_WIDTH
    assert "\x1b" not in text + shown.summary()
    page = shown._repr_html_()
    assert page.count("<tr>") < MAX_LINES
    assert "<script" not in page
    assert len(page) < 8000


def test_every_result_is_short_and_escaped():
    for shown in results():
        check_form(shown)


def test_a_walk_a_store_and_a_panel_are_short(tmp_path):
    with mp2.Store(tmp_path / "mp2.db") as store:
        # A long path is broken over lines.
        assert repr(store).replace("\n", "").startswith(f"Store: {tmp_path}")
    prices = walk(20, 40)
    grids = mp2.Grids(*_one_algorithm())
    sheet = mp2.compute_signals(prices, grids=grids)
    check_form(sheet.panel())
    walked = mp2.walk_forward(prices, weeks=1, budget_s_per_week=1, workers=1, grids=grids)
    check_form(walked)
    check_form(walked.weeks[0])


def _one_algorithm():
    whole = mp2.load_grids()
    sma = [one for one in whole.variations if one.algorithm.name == "SMA"][:3]
    return (sma[0].algorithm,), tuple(sma)


def test_a_search_says_how_it_ended_and_what_it_found():
    result = result_of({3: ["A 1 + B 2 + C 3"], 4: []})
    assert repr(result) == (
        "SearchResult: complete, 3 of 3 starters exhausted, 0.5 s\n"
        "  run     20260109-200000-abcd\n"
        "  days    2026-01-05 .. 2026-01-09 (5)\n"
        "  size 3  1 groups kept; picked rank 1, score 99.00: A 1 + B 2 + C 3\n"
        "  size 4  no group kept"
    )
    assert "<th>size 4</th>" in result._repr_html_()


def test_the_summary_is_whole():
    rows = [(f"row {number}", "long " * 100) for number in range(30)]

    class Long(Overview):
        def overview(self):
            return "all of it", rows

    lines = Long().summary().split("\n")
    assert lines[0] == "Long: all of it"
    assert len(lines) == 31
    assert len(lines[-1]) > 500
    assert repr(Long()).endswith("\n  ...")
    assert "row 29" not in Long()._repr_html_()


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_BARS.exists(), reason="the market data is not there")
def test_every_result_of_the_real_week_is_short():
    prices = mp2.read_prices(REAL_BARS, end="2019-06-28")
    settings = {"end": "2019-06-21", "workers": 2}
    rules = mp2.Rules(max_size=3)
    run = mp2.run(prices, budget_s="20s", replicates=99, rules=rules, **settings)
    walked = mp2.walk_forward(prices, weeks=1, budget_s_per_week="2s", **settings)
    panel = run.result.panel
    shown = [run, run.result, run.next_day, mp2.score(run.next_day, prices), walked, prices, panel]
    shown += [run.result.significance, run.result.pick(3), run.result.starters[0]]
    shown += [mp2.panel_summary(panel, 4), rules, *mp2.load_grids().algorithms]
    for one in shown:
        assert len(repr(one)) < 2000
        assert repr(one).count("\n") < 11
