"""`mp2 walkforward` stores and resumes, `mp2 walks` lists, `mp2 track` shows scored picks."""

import csv
import signal
import time
from contextlib import suppress

import pytest
from commands import start, strict_json
from market_bars import walk
from small_searches import SMALL_GRIDS

from mp2 import walking
from mp2.data.prices import to_frame
from mp2.storage.runs import Store

LENIENT = (
    "--min-daily-hits=0",
    "--min-pooled-pp=0",
    "--max-mad-pp=100",
    "--max-iqr-pp=100",
    "--max-cv-buys=10",
    "--min-wilson-lb=-100",
    "--max-size=3",
    "--workers=1",
)
WALK = ("walkforward", "bars.csv", "--grids=grids.toml", "--weeks=2", *LENIENT)

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def bars(here):
    to_frame(walk(8, 90, seed=5)).write_csv(here / "bars.csv")
    (here / "grids.toml").write_text(SMALL_GRIDS)
    return here


@pytest.fixture
def walked(mp2, bars):
    """The document of a walk-forward of two weeks."""
    code, out, _ = mp2(*WALK, "--cost-bps=5", "--json")
    assert code == 0
    return strict_json(out)


def interrupted(folder):
    """Make the stored walk one of whose two weeks was not reached before its process died."""
    with Store(folder / "mp2.db") as store:
        store._execute(
            "UPDATE walk SET status = 'running', pid = 2000000000, process_start = '1', n_done = 1"
        )
        store._execute("DELETE FROM walk_week WHERE week = 1")


def test_a_walk_is_stored_listed_shown_and_deleted(mp2, bars, walked):
    walk_id = walked["walk_id"]
    (listed,) = strict_json(mp2("walks", "list", "--json")[1])["walks"]
    assert (listed["walk_id"], listed["status"]) == (walk_id, "complete")
    assert listed["judged"] == walked["total"]["all"]
    header, row = mp2("walks", "list")[1].splitlines()
    assert header.split()[:4] == ["walk", "status", "weeks", "judged"]
    days = [day["day"] for week in walked["weeks"] for day in week["days"]]
    assert f"{walk_id}  complete  2 of 2  {days[0]} to {days[-1]}" in row

    code, out, _ = mp2("walks", "show", "last", "--json", "-o", "days.csv")
    assert (code, strict_json(out)) == (0, walked)
    with open("days.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["day"] for row in rows] == days
    first = walked["weeks"][0]["days"][0]
    assert rows[0]["tickers all"].split() == first["tickers"]["all"]
    assert float(rows[0]["net_return_pp all"]) == first["scores"]["all"]["net_return_pp"]
    assert walked["sentence"] in mp2("walks", "show", walk_id[:-1])[1]

    assert mp2("walks", "delete", "last")[1] == f"Deleted walk {walk_id}.\n"
    assert strict_json(mp2("walks", "list", "--json")[1])["n_stored"] == 0


def test_a_walk_that_is_not_stored(mp2, bars):
    code, out, _ = mp2(*WALK, "--no-store", "--json", "-o", "days.csv")
    assert (code, strict_json(out)["walk_id"]) == (0, None)
    assert not (bars / "mp2.db").exists()
    assert (bars / "days.csv").read_text().startswith("day,universe_hit_rate_pp,")


def test_an_interrupted_walk_is_resumed(mp2, bars, walked):
    interrupted(bars)
    assert strict_json(mp2("walks", "list", "--json")[1])["walks"][0]["status"] == "interrupted"
    code, out, _ = mp2("walkforward", "--resume", "last")
    assert code == 0
    assert out.endswith(f"Stored as walk {walked['walk_id']}.\n")
    resumed = strict_json(mp2("walks", "show", "last", "--json")[1])
    assert resumed["total"] == walked["total"]


def test_the_same_settings_may_be_repeated_when_resuming(mp2, bars, walked):
    interrupted(bars)
    (bars / "bars.csv").rename(bars / "moved.csv")
    args = [*WALK, "--cost-bps=5", "--workers=2", "--resume=last"]
    args[1] = "moved.csv"
    assert mp2(*args)[0] == 0


@pytest.mark.parametrize(
    ("args", "workers", "table_memory"),
    [([], 1, None), (["--workers=2"], 2, None), (["--table-memory=1kB"], 1, 1024)],
)
def test_workers_and_their_memory_may_change(
    mp2, bars, walked, monkeypatch, args, workers, table_memory
):
    interrupted(bars)
    searches = []
    walk_request = walking.walk_request

    def noted(request, *more):
        searches.append(request.run.search)
        return walk_request(request, *more)

    monkeypatch.setattr(walking, "walk_request", noted)
    assert mp2("walkforward", "--resume=last", *args)[0] == 0
    assert [(search.workers, search.table_memory) for search in searches] == [
        (workers, table_memory)
    ]


@pytest.mark.parametrize(
    ("args", "began"),
    [
        (["--weeks=3"], "--weeks 2"),
        (["--max-size=4", "--cost-bps=0"], "--max-size 3, --cost-bps 5.0"),
        (["--budget-per-week=1s"], "--budget-per-week 10.0"),
        (["--columns=close=last"], "--columns None"),
        (["--null-seed=1"], "--null-seed 0"),
        (["--hold=next-open"], "--hold open-close"),
        (["--keep=ideas"], "--keep groups"),
    ],
)
def test_other_settings_do_not_resume(mp2, bars, walked, args, began):
    interrupted(bars)
    code, out, err = mp2("walkforward", "--resume=last", *args)
    assert (code, out) == (2, "")
    assert err == (
        f"mp2: walk {walked['walk_id']} began with {began}: leave other settings out, or begin a "
        "new walk-forward\n"
    )


def test_a_file_that_changed_does_not_resume(mp2, bars, walked):
    interrupted(bars)
    to_frame(walk(8, 90, seed=6)).write_csv(bars / "bars.csv")
    code, _, err = mp2("walkforward", "--resume=last")
    assert code == 2
    assert err.splitlines()[-1] == (
        f"mp2: {bars / 'bars.csv'}: is not what walk {walked['walk_id']} began with; begin a new "
        "one, or resume with the input as it was"
    )


@pytest.mark.parametrize("option", ["--output", "--log-file"])
def test_no_file_that_a_resumed_walk_reads_is_written(mp2, bars, walked, option):
    interrupted(bars)
    before = (bars / "bars.csv").read_bytes()
    words = ["walkforward", "--resume=last"]
    words[1 if option == "--output" else 0 : 0] = [option, "bars.csv"]
    code, _, err = mp2(*words)
    assert (code, err) == (
        2,
        f"mp2: {option} bars.csv: is a file that the run reads; name another file\n",
    )
    assert (bars / "bars.csv").read_bytes() == before


def test_a_resumed_walk_is_stored(mp2, bars, walked):
    interrupted(bars)
    code, _, err = mp2("walkforward", "--resume=last", "--no-store")
    assert code == 2
    assert err == "mp2: --no-store: --resume stores the weeks with the others; leave one out\n"


def test_prices_are_needed_unless_a_walk_is_resumed(mp2, bars):
    code, _, err = mp2("walkforward", "--weeks=2")
    assert (code, err) == (2, "mp2: Missing argument 'PRICES'. (see 'mp2 walkforward --help')\n")


@pytest.mark.slow
def test_a_killed_walk_goes_on_where_it_was(mp2, bars):
    process = start(*WALK[:3], "--weeks=12", *LENIENT, "--max-size=6", cwd=bars)
    deadline = time.monotonic() + 60
    n_done = 0
    while n_done < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
        # The file is not there at first.
        with suppress(Exception), Store(bars / "mp2.db", read_only=True) as store:
            n_done = store.walks()[0].n_done
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (before,) = strict_json(mp2("walks", "list", "--json")[1])["walks"]
    assert before["status"] == "interrupted"
    code, out, _ = mp2("walkforward", "--resume=last", "--json")
    resumed = strict_json(out)
    assert (code, resumed["status"], len(resumed["weeks"])) == (0, "complete", 12)
    assert resumed["walk_id"] == before["walk_id"]


# --- the track record


def test_the_track_record_of_a_store(mp2, bars):
    prices = walk(8, 90, seed=5)
    to_frame(prices.until(prices.dates[-2])).write_csv(bars / "early.csv")
    words = ("run", "early.csv", "--grids=grids.toml", "--replicates=0", *LENIENT)
    assert mp2("track")[0] == 2
    assert mp2(*words)[0] == 0
    assert "1 run, 0 scored days, 1 day not scored yet (mp2 outcome)" in mp2("track")[1]
    assert mp2("outcome", "last", "--prices", "bars.csv")[0] == 0
    code, out, _ = mp2("track", "--cost-bps=5", "-o", "days.csv")
    assert code == 0
    assert out.startswith("Configuration ")
    title = out.splitlines()[0]
    assert ": early.csv, max_size 3, retain_sizes 3, min_daily_hits 0, " in title
    assert title.endswith(", grids grids.toml")
    assert "after 5 bps a side" in out
    assert ", 1 of them searched after the day: too few days to compare with the universe" in out
    (record,) = strict_json(mp2("track", "--json")[1])["configurations"]
    (day,) = record["days"]
    assert day["day"] == prices.dates[-1]
    with open("days.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["picks"] for row in rows] == [name for name, one in day["scores"].items() if one]


def test_a_store_without_picks_has_no_record(mp2, bars, walked):
    code, out, _ = mp2("track")
    assert (code, out) == (0, "No run has picks yet; mp2 run and mp2 pick make them.\n")


def test_a_run_of_the_same_settings_shows_the_walk_forward_as_its_record(mp2, walked):
    same = ("run", "bars.csv", "--grids=grids.toml", *LENIENT, "--replicates=0", "--no-progress")
    _, out, _ = mp2(*same)
    shown = " ".join(out.split())
    judged = walked["total"]["all"]
    assert f"Record walk-forward of {judged['n_days'] + judged['n_days_without']} days to " in shown
    assert f"{judged['net_return_pp']:+.2f}% a day after 5 bps a side" in shown
    # Of other settings it says nothing.
    _, out, _ = mp2(*same, "--min-tickers=2")
    assert "Record    none yet: mp2 walkforward bars.csv" in out
