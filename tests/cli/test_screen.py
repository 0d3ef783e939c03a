"""The screen of a run: at most 30 lines of 80 columns, in every state that a run can be in."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from commands import RULES, WEEK, command_output
from rich.cells import cell_len
from test_cli_prices import GRIDS, SEARCH

from mp2.cli.beside import Beside
from mp2.cli.screen import Shown, screen
from mp2.cli.screen_text import fitting, labelled, table_lines
from mp2.data.prices import to_frame
from mp2.demo.market import NEXT_DAY, make_market
from mp2.discovery.records import MergedCandidate
from mp2.groups.result import Status
from mp2.picks.records import DayPicks, SizePick, Vote
from mp2.storage.runs import Store


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """Files of bars: up to the last day to be searched, and with the day after."""
    folder = tmp_path_factory.mktemp("bars")
    market = make_market(5, plant=False)
    to_frame(market.prices).write_parquet(folder / "bars.parquet")
    to_frame(market.later).write_parquet(folder / "later.parquet")
    return folder


@pytest.fixture(autouse=True)
def grids(here):
    (here / "grids.toml").write_text(GRIDS)


def assert_fits(out):
    lines = out.splitlines()
    assert len(lines) <= 30, out
    assert max(map(cell_len, lines)) <= 80, out


def labels(out):
    """The labels of the lines, in order, and the heading of the picks."""
    heads = [line[:10].strip() for line in out.splitlines()]
    return [head for head in heads if head and not re.match(r"[A-L]\d\d\d|and", head)]


# --- what a user sees -----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_a_run_on_a_terminal_shows_one_screen_and_moves_from_the_start(mp2, bars):
    from terminal import on_terminals

    options = [option for option in SEARCH if option != "--no-progress"]
    code, out, err = on_terminals("run", bars / "bars.parquet", *options)
    assert code == 0
    assert_fits(out.text)
    assert labels(out.text) == [
        "Data", "Warning", "Searched", "Picks for", "Size 3", "Size 4", "ticker  la",
        "Rests on", "Rule", "Luck", "Record", "Overlap", "Stored",
    ]  # fmt: skip
    assert "bars.parquet: 300 tickers to 2024-03-08, no findings" in out.text
    assert "Complete: no better group exists under these rules." in out.text
    moving = [line for line in err.lines if line.strip()]
    assert "starting" in moving[0]
    assert any("reading bars.parquet" in line for line in moving)
    assert any("of the space" in line and "starters, best" in line for line in moving)
    assert any("the wall in" in line for line in moving)
    assert max(map(cell_len, err.lines)) <= 80


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_a_quiet_command_prints_one_line_with_the_run(mp2):
    from terminal import on_terminals

    code, out, err = on_terminals("search", WEEK, *RULES, "-q")
    (run,) = json.loads(mp2("runs", "list", "--json")[1])["runs"]
    assert (code, err.text) == (0, "")
    (line,) = out.text.splitlines()
    assert line.startswith(f"run {run['run_id']}: complete, 80 groups, p = 0.")


def test_without_a_terminal_a_clean_run_says_nothing_on_stderr(mp2, bars):
    code, out, err = mp2("run", bars / "bars.parquet", *SEARCH)
    assert (code, err) == (0, "")
    assert_fits(out)
    first = json.loads(mp2("runs", "list", "--json")[1])["runs"][0]["run_id"]
    assert out.splitlines()[-1] == f"Stored    as run {first}"
    assert f"Luck      not tested: mp2 test {first}" in out
    assert "Overlap   no run before this one has the same settings" in out

    # What was stored before: every ticker is known, until another day is picked.
    later = ("--prices", bars / "later.parquet", "--grids=grids.toml", "--day=2024-03-12")
    _, out, _ = mp2("pick", "last", *later)
    assert_fits(out)
    assert out.startswith(f"Data      later.parquet: 300 tickers to {NEXT_DAY}, no findings")
    assert f"Size 3    {' '.join(picked_tickers(out)[:3])}" in out
    assert f"since the picks for {NEXT_DAY}" in out
    assert " new" in out
    assert mp2("outcome", "last", "--prices", bars / "later.parquet")[0] == 0
    code, out, err = mp2("run", bars / "bars.parquet", *SEARCH)
    assert (code, err) == (0, "")
    assert_fits(out)
    assert f"since the picks for {NEXT_DAY}" in out
    assert "Record    1 scored day with picks" in out


def picked_tickers(out):
    (line,) = [line for line in out.splitlines() if line.startswith("Size 3")]
    return line.split()[2:]


def test_a_partial_run_names_its_share_and_the_command_that_completes_it(mp2, bars):
    code, out, _ = mp2("--db", "own.db", "run", bars / "bars.parquet", *SEARCH, "--max-attempts=60")
    (run,) = json.loads(mp2("--db", "own.db", "runs", "list", "--json")[1])["runs"]
    assert code in (0, 4)
    assert_fits(out)
    said = " ".join(out.split())
    assert "Work limit: " in said
    change = "The picks will change when it completes: mp2 --db own.db resume"
    assert f"{change} {run['run_id']}" in said


def test_a_run_that_is_not_stored_knows_no_record(mp2, bars):
    code, out, err = mp2("run", bars / "bars.parquet", *SEARCH, "--no-store")
    assert (code, err) == (0, "")
    assert_fits(out)
    assert out.splitlines()[-2:] == [
        "Luck      not tested",
        "Record    not known, and no overlap: the run is not stored",
    ]


def test_a_run_without_picks_says_why(mp2, bars):
    code, out, _ = mp2("run", bars / "bars.parquet", *SEARCH, "--min-daily-hits=300")
    assert code == 4
    assert_fits(out)
    assert "Complete: no group is eligible under these rules." in out
    assert out.count("no pick: no group was kept") == 2
    assert "min_daily_hits" in out


def test_many_sizes_and_tickers_are_cut(mp2, bars):
    sizes = ("--max-size=4", "--retain-sizes=2,3,4", "--min-daily-hits=1", "--min-tickers=9")
    code, out, _ = mp2("run", bars / "bars.parquet", *SEARCH, *sizes, "--budget=5s")
    assert code == 0
    assert_fits(out)
    assert " more; " in out
    _, out, _ = mp2("runs", "show", "last", "--show", "2")
    rows = [line for line in out.splitlines() if re.match(r"[A-L]\d\d\d ", line)]
    assert len(rows) == 2


def test_groups_and_statistics_are_shown_when_they_are_asked_for(mp2):
    _, out, err = mp2("search", WEEK, *RULES, "--replicates=0")
    assert_fits(out)
    assert "Groups tested" not in out
    assert "ideas; groups" not in out
    _, out, err = mp2("search", WEEK, *RULES, "--replicates=0", "--groups", "-v")
    assert "Groups tested: " in out
    assert "Size 3: best 10 of 58 ideas; groups: 58 kept" in out
    assert "A0: 3 starters, 0 cut off" in err


def test_what_is_found_in_the_data_is_said_in_one_line_per_file(mp2, bars, here):
    table = pl.read_parquet(bars / "bars.parquet")
    last = pl.col("date") == table["date"].max()
    odd = last & (pl.col("ticker") == table["ticker"][0])
    table = table.filter(~(last & (pl.col("ticker") == table["ticker"][-1])))
    table = table.with_columns(pl.when(odd).then(0.01).otherwise("low").alias("high"))
    table.write_parquet("odd.parquet")
    lines = json.loads(mp2("check", "data", "odd.parquet", "--json")[1])["findings"]
    assert len(lines) > 1
    said = f"{len(lines)} findings"
    args = ("signals", "odd.parquet", "-o", "signals.csv", "--grids=grids.toml", "--no-progress")
    _, _, err = mp2(*args)
    assert f"warning: odd.parquet: {said}; mp2 check data lists them" in err
    assert err.count("odd.parquet: ") == 1
    assert mp2("-v", *args)[2].count("odd.parquet: ") >= len(lines)
    _, out, err = mp2("run", "odd.parquet", *SEARCH)
    assert err == ""
    assert out.splitlines()[0].endswith(f", {said}: mp2 check data")


# --- states that are hard to come by --------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A stored result."""
    db = tmp_path_factory.mktemp("loaded") / "mp2.db"
    command_output("search", WEEK, *RULES, "--replicates=0", "--db", db)
    with Store(db, read_only=True) as store:
        return store.load(store.find("last"))


def shown_of(result, picks, **changes):
    shown = Shown(
        source="week.csv",
        result=result,
        picks=picks,
        prices=None,
        request=None,
        warnings=("a word " * 60, "another"),
        beside=Beside(),
        db="mp2.db",
    )
    return replace(shown, **changes)


def picks_of(result, tickers, **changes):
    votes = [
        Vote(ticker=ticker, n_ideas=1, n_groups=2, best_rank=1, size=3, members=("A 1",))
        for ticker in tickers
    ]
    picks = DayPicks(
        run_id=result.run_id,
        day="2026-01-12",
        assumed=True,
        picks=dict.fromkeys(result.kept),
        votes=tuple(votes),
        warnings=(),
    )
    return replace(picks, **changes)


def text_of(lines):
    return "\n".join(line.plain for line in lines)


@pytest.mark.parametrize("hold", ["open-close", "next-open", "close-close"])
@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("tickers", [[], ["A"], [f"TICKER{n}" for n in range(300)]])
def test_every_state_fits_the_screen(loaded, hold, status, tickers):
    picks = picks_of(loaded, tickers, hold=hold)
    result = replace(loaded, status=status, coverage=0.5)
    before = picks_of(loaded, tickers[1:])
    scenes = shown_of(result, picks), shown_of(result, picks, beside=Beside(before=before))
    for shown in scenes:
        assert_fits(text_of(screen(shown, None)))


def test_a_screen_with_too_much_to_say_is_cut(loaded):
    groups = loaded.groups(3)
    sizes = range(2, 9)
    result = replace(
        loaded,
        status=Status.WALL,
        coverage=0.5,
        kept=dict.fromkeys(sizes, groups),
        picked_rank=dict.fromkeys(sizes, 1),
        ideas={3: loaded.ideas[3]},
    )
    tickers = [f"TICKER{n}" for n in range(300)]
    pick = SizePick(rank=1, members=groups[0].members, tickers=tuple(tickers))
    picks = picks_of(result, tickers, picks=dict.fromkeys(sizes, pick), hold="close-close")
    scan = SimpleNamespace(
        scan_id="20260101-000000-abcd",
        candidates=[named_everywhere(ticker) for ticker in tickers],
        outcomes=(),
        elapsed_s=1.0,
        status="complete",
    )
    beside = Beside(before=picks_of(result, tickers), record="words " * 200, scan=scan)
    shown = shown_of(result, picks, beside=beside, db=Path("folder/" * 30))
    text = text_of(screen(shown, None))
    assert_fits(text)
    assert "TICKER0 " in text
    assert "and 4 more sizes" in text
    assert_fits(text_of(screen(shown, 0)))


def named_everywhere(ticker):
    sources = tuple(f"scanner{n}" for n in range(20))
    return MergedCandidate(
        ticker=ticker,
        priority="high",
        n_sources=20,
        sources=sources,
        pipelines=("test",),
        contexts=("says so " * 20,) * 20,
        data={},
    )


def test_the_warning_that_matters_most_is_shown(loaded):
    shown = shown_of(loaded, None, warnings=("a: odd", "b: use shift", "size 3: few; no pick"))
    text = text_of(screen(shown, None))
    assert "Warning   1 of 2 (all: -v): b: use shift" in text
    assert "a: odd" not in text


def test_wide_characters_do_not_wrap():
    names = ["東京電力"] * 40
    for line in (
        *labelled("Size 3", fitting(names)),
        *labelled("Luck", " ".join(names), at_most=3),
        *table_lines(["ticker", "scanners"], [["7203.T", " ".join(names)]], right=[0]),
    ):
        assert cell_len(line.plain) <= 80
    assert fitting(names).endswith(" more")
    assert fitting(["A", "B"]) == "A B"
