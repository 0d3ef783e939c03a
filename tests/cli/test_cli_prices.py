"""The commands around prices as a user meets them: from bars to picks and their outcomes."""

import json
import re
from dataclasses import replace

import polars as pl
import pytest
from stub_scanners import make, naming

from mp2.data.prices import read_prices, to_frame
from mp2.demo.market import LAST_DAY, NEXT_DAY, make_market
from mp2.discovery import registry
from mp2.signals.algorithms import ALGORITHMS
from mp2.storage.runs import Store

GRIDS = """
enabled = false
[EMA]
fast = [5, 8, 12]
slow = [16, 22, 34, 49]
[RSI]
period = [2, 5, 9]
level = [45, 50, 55, 60]
[Volatility]
period = [9, 21]
share = [0.3, 0.4, 0.5, 0.6]
[SMA]
period = [13, 25, 45]
margin = [0, 0.01]
"""
AHEAD = """
import numpy as np
from mp2.signals.algorithms import Algorithm, Parameter
from mp2.signals.indicators import Indicator

tomorrow = Indicator("tomorrow", lambda close: np.append(close[1:], close[-1]), ("close",))
ahead = Algorithm(
    name="Ahead",
    rule=lambda close, later, n: later > close,
    reads=lambda n: ("close", tomorrow),
    parameters=(Parameter("n", "not used", 1, 2, (1, 2)),),
)
"""
SEARCH = (
    "--budget=30s",
    "--workers=2",
    "--min-daily-hits=3",
    "--no-progress",
    # The test for luck has tests of its own.
    "--replicates=0",
    "--grids=grids.toml",
)


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
    """A grids file in the working directory, small enough for quick searches."""
    (here / "grids.toml").write_text(GRIDS)


def test_run_goes_from_prices_to_picks(mp2, bars, here):
    code, out, err = mp2("run", bars / "bars.parquet", *SEARCH, "-o", "picks.csv")
    assert code == 0
    header, *rows = (here / "picks.csv").read_text().splitlines()
    columns = "day,ticker,n_ideas,n_groups,best_rank,best_size,pick 3,pick 4,members"
    assert header.startswith(columns)
    assert {row.split(",")[0] for row in rows} == {str(NEXT_DAY)}
    assert "Complete: no better group exists under these rules." in out
    trade = "buy at the open, sell at the close"
    assert f"Picks for {NEXT_DAY} (assumed trading day): {trade}" in out
    assert "last close  ideas  groups  algorithms  picks" in out
    assert err == ""


def test_run_prints_the_search_document_and_the_next_day(mp2, bars):
    code, out, _ = mp2("run", bars / "bars.parquet", *SEARCH, "--json")
    document = json.loads(out)
    next_day = document["next_day"]
    assert code == 0
    assert document["status"] == "complete"
    assert document["days"][-1] == LAST_DAY.isoformat()
    assert set(next_day) == {
        "schema_version",
        "run_id",
        "day",
        "assumed",
        "picks",
        "votes",
        "warnings",
        "hold",
        "cost_bps",
    }
    assert (next_day["run_id"], next_day["day"]) == (document["run_id"], NEXT_DAY.isoformat())
    assert set(next_day["picks"]) == {"3", "4"}
    assert set(next_day["picks"]["3"]) == {"rank", "members", "tickers", "fallback_from", "idea"}
    assert set(next_day["votes"][0]) == {
        "ticker",
        "n_ideas",
        "ideas",
        "n_groups",
        "n_algorithms",
        "best_rank",
        "members",
        "in_picks",
    }


@pytest.mark.slow
def test_a_table_of_signals_gives_the_same_search_and_picks(mp2, bars):
    # Prices and a table are tested for luck by different null models.
    _, out, _ = mp2("run", bars / "bars.parquet", *SEARCH, "--json")
    direct = json.loads(out)
    written = ("-o", "signals.parquet", "--next", "next.parquet", "--grids=grids.toml")
    assert mp2("signals", bars / "bars.parquet", *written)[0] == 0
    code, out, _ = mp2("search", "signals.parquet", *SEARCH[:-1], "--json")
    searched = json.loads(out)
    assert code == 0
    for key in ("attempts", "tested", "eligible", "groups", "picks"):
        assert searched[key] == direct[key]
    for source in (
        ("--signals", "next.parquet"),
        ("--prices", bars / "bars.parquet", "--grids=grids.toml"),
    ):
        code, out, _ = mp2("pick", "last", *source, "--json")
        picked = json.loads(out)
        assert code == 0
        assert picked["picks"] == direct["next_day"]["picks"]
        assert picked["votes"] == direct["next_day"]["votes"]
        assert picked["assumed"]


def test_signals_days_are_the_last_of_more_days(mp2, bars):
    import polars as pl

    for n_days in (5, 10):
        args = (
            bars / "bars.parquet",
            "--days",
            n_days,
            "-o",
            f"{n_days}.csv",
            "--grids=grids.toml",
            "--json",
        )
        code, out, _ = mp2("signals", *args)
        assert code == 0
        assert len(json.loads(out)["days"]) == n_days
    five, ten = (
        pl.read_csv(f"{n}.csv", try_parse_dates=True, schema_overrides={"variation": pl.String})
        for n in (5, 10)
    )
    assert five.equals(ten.filter(pl.col("day") >= five["day"].min()))


@pytest.mark.slow
def test_outcome_scores_stored_picks_when_their_day_is_there(mp2, bars):
    assert mp2("run", bars / "bars.parquet", *SEARCH)[0] == 0
    code, out, _ = mp2("outcome", "last", "--prices", bars / "bars.parquet")
    assert code == 0
    assert f"Outcome of {NEXT_DAY}: pending." in out
    code, out, _ = mp2("outcome", "last", "--prices", bars / "later.parquet", "--json")
    (outcome,) = json.loads(out)["outcomes"]
    assert code == 0
    assert (outcome["status"], outcome["session"], outcome["n_universe"]) == (
        "scored",
        NEXT_DAY.isoformat(),
        300,
    )
    assert (
        "closed above their open" in mp2("outcome", "last", "--prices", bars / "later.parquet")[1]
    )
    _, out, _ = mp2("runs", "show", "last", "--json")
    assert json.loads(out)["next_day"]["day"] == NEXT_DAY.isoformat()
    costly = ("outcome", "last", "--prices", bars / "later.parquet", "--cost-bps", "5")
    _, out, err = mp2(*costly)
    assert "after 5 bps a side" in out
    # The day after: of the day itself nothing is known when it is picked for.
    picked = ("pick", "last", "--prices", bars / "later.parquet", "--grids=grids.toml")
    picked += ("--day", "2024-03-12", "--no-store")
    document = json.loads(mp2(*picked, "--json", "--cost-bps", "5")[1])
    score = outcome["sizes"]["3"]
    assert document["record"]["3"]["n_days"] == 1
    assert document["record"]["3"]["hit_rate_pp"] == score["hit_rate_pp"]
    assert document["record"]["3"]["net_return_pp"] < score["mean_return_pp"]
    shown = " ".join(mp2(*picked)[1].split())
    assert re.search(r"Record .*1 scored day with picks", shown), shown[-700:]
    # Costs are no difference of the outcome.
    assert "replaces" not in err
    assert "replaces" not in mp2("outcome", "last", "--prices", bars / "later.parquet")[2]
    later = pl.read_parquet(bars / "later.parquet")
    later.with_columns(close=pl.col("open"), low=pl.min_horizontal("open", "low")).write_csv(
        "o.csv"
    )
    _, _, err = mp2("outcome", "last", "--prices", "o.csv")
    assert f"the outcome of {NEXT_DAY} differs from the one stored before, which it replaces" in err


@pytest.mark.slow
def test_pick_writes_a_csv_and_falls_back(mp2, bars, here):
    assert mp2("run", bars / "bars.parquet", *SEARCH)[0] == 0
    args = ("pick", "last", "--prices", bars / "later.parquet", "--grids=grids.toml")
    code, out, _ = mp2(*args, "--csv", "picks.csv", "--json")
    picked = json.loads(out)
    assert code == 0
    assert not picked["assumed"]
    assert len((here / "picks.csv").read_text().splitlines()) > 1
    code, out, err = mp2(*args, "--min-tickers", "250")
    assert "no pick" in out + err


@pytest.mark.slow
@pytest.mark.parametrize("day", ["2024-03-09", "2024-03-12", "tomorrow"])
def test_pick_takes_no_day_but_one_of_the_prices(mp2, bars, day):
    assert mp2("run", bars / "bars.parquet", *SEARCH)[0] == 0
    args = (
        "pick",
        "last",
        "--prices",
        bars / "bars.parquet",
        "--grids=grids.toml",
        "--json",
        "--day",
    )
    code, _, err = mp2(*args, day)
    assert code == 2
    assert day in err
    code, out, _ = mp2(*args, f"{NEXT_DAY:%Y%m%d}")
    assert code == 0
    assert (json.loads(out)["day"], json.loads(out)["assumed"]) == (NEXT_DAY.isoformat(), True)


def test_pick_of_a_run_without_groups_says_so(mp2, bars):
    assert mp2("run", bars / "bars.parquet", *SEARCH, "--min-daily-hits=300")[0] == 4
    code, out, err = mp2("pick", "last", "--prices", bars / "bars.parquet", "--grids=grids.toml")
    assert (code, err) == (4, "")
    assert out.count("no group was kept") == 2
    assert "Size 3    no pick: no group was kept" in out


def test_signals_overwrite_neither_the_prices_nor_each_other(mp2, bars):
    prices = bars / "bars.parquet"
    for outputs in (("-o", prices), ("-o", "a.csv", "--next", "a.csv")):
        code, _, err = mp2("signals", prices, *outputs, "--grids=grids.toml")
        assert code == 2
        assert "is the file of" in err


@pytest.mark.slow
def test_walkforward_judges_the_weeks_after(mp2, bars, here):
    args = (
        "--log-file=walk.log",
        "walkforward",
        bars / "later.parquet",
        "--weeks=2",
        "--budget-per-week=20s",
        "--min-daily-hits=3",
        "--grids=grids.toml",
        "--heartbeat=0s",
    )
    code, out, err = mp2(*args, "--json")
    walk = json.loads(out)
    assert code == 0
    assert err == ""
    assert "weeks: 1 of 2, " in (here / "walk.log").read_text()
    assert [len(week["days"]) for week in walk["weeks"]] == [5, 5]
    searched, judged = (
        walk["weeks"][0]["searched"],
        [day["day"] for day in walk["weeks"][0]["days"]],
    )
    assert max(searched) < min(judged)
    assert walk["weeks"][1]["searched"] == judged
    code, out, _ = mp2(*args)
    assert "2 of 2 weeks" in out
    assert "the universe" in out


@pytest.mark.slow
def test_lookahead_is_checked(mp2, bars):
    code, out, _ = mp2("check", "lookahead", bars / "bars.parquet", "--grids=grids.toml")
    assert code == 0
    assert out == "4 algorithms, 38 variations: 0 look ahead\n"


@pytest.mark.slow
def test_lookahead_names_plug_ins_it_could_not_check_and_counts_variations(
    mp2, bars, here, monkeypatch
):
    (here / "plug_in_ahead.py").write_text(AHEAD)
    info = here / "ahead-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ahead\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[mp2.algorithms]\nahead = plug_in_ahead:ahead\nlost = plug_in_ahead:lost\n"
    )
    monkeypatch.syspath_prepend(str(here))
    args = ("check", "lookahead", bars / "bars.parquet", "--grids=ahead.toml")
    (here / "ahead.toml").write_text("enabled = false\n[Ahead]\n")
    code, out, err = mp2(*args)
    assert code == 1
    assert "algorithm plug-in lost (plug_in_ahead:lost) is left out" in err
    assert out.startswith("Ahead 1: the signals of ")
    assert out.endswith("\n1 algorithms, 2 variations: 2 look ahead\n")
    assert "plug_in_ahead:lost" in str(json.loads(mp2(*args, "--json")[1])["warnings"])


@pytest.mark.slow
def test_the_demo_finds_the_edge_and_sees_it_hold(mp2):
    code, out, _ = mp2("demo", "--budget=60s", "--workers=2", "--no-progress")
    assert code == 0
    assert "found it: planted was an edge of" in out
    assert f"Outcome of {NEXT_DAY}: 300 tickers" in out
    code, out, _ = mp2("demo", "--no-plant", "--budget=60s", "--workers=2", "--json")
    assert json.loads(out)["demo"].startswith("nothing was planted")


@pytest.mark.slow
def test_the_demo_writes_its_market(mp2, here):
    code, out, _ = mp2("demo", "--seed=3", "--write=bars.parquet", "--json")
    assert (code, json.loads(out)["n_dates"]) == (0, 421)
    written = read_prices(here / "bars.parquet")
    assert written.fingerprint == make_market(3).later.fingerprint
    assert not (here / "mp2-demo.db").exists()


@pytest.mark.slow
def test_the_demo_scores_the_votes_it_prints(mp2):
    code, out, _ = mp2(
        "demo", "--budget=60s", "--workers=2", "--top-groups=1", "--no-store", "--json"
    )
    document = json.loads(out)
    assert code == 0
    assert document["outcome"]["votes"]["n_picks"] == len(document["next_day"]["votes"])


@pytest.mark.slow
def test_what_comes_after_the_end_has_no_say(mp2, bars, here):
    """A run as of a past day is the run of that day, though a ticker was delisted later.

    Only the name of the next day is known.
    """
    import polars as pl

    later = pl.read_parquet(bars / "later.parquet")
    gone = later["ticker"][0]
    later.filter((pl.col("ticker") != gone) | (pl.col("date") < NEXT_DAY)).write_parquet(
        here / "gone.parquet"
    )
    then, now = (
        json.loads(mp2("run", path, *SEARCH, "--end", LAST_DAY, "--json")[1])
        for path in (bars / "bars.parquet", "gone.parquet")
    )
    assert now["input_fingerprint"] == then["input_fingerprint"]
    assert now["groups"] == then["groups"]
    assert now["next_day"]["picks"] == then["next_day"]["picks"]
    assert (then["next_day"]["assumed"], now["next_day"]["assumed"]) == (True, False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "absent.parquet"], "absent.parquet"),
        (["run", "{bars}", "--end", "1999-03-09"], "no row in the days asked for; the dates"),
        (["run", "{bars}", "--end", "yesterday"], "yesterday"),
        (["run", "{bars}", "--days", "0"], "0 is below 1"),
        (["run", "{bars}", "--days", "420"], "need 421 dates"),
        (["run", "{bars}", "--grids", "absent.toml"], "absent.toml: No such file"),
        (["run", "{bars}", "--columns", "date=when"], "when"),
        (["signals", "{bars}"], "Missing option"),
        (
            ["signals", "{bars}", "-o", "signals.xlsx"],
            "signals.xlsx: unknown kind of file; name it .parquet or .csv",
        ),
        (["pick", "last", "--prices", "{bars}"], "mp2.db"),
        (["pick", "last"], "name either --prices or --signals"),
        (["walkforward", "{bars}", "--weeks", "500"], "weeks: 500 need"),
        (["walkforward", "{bars}", "--max-size", "9"], "rule max_size: 9 is outside 2..8"),
        (["outcome", "last", "--prices", "{bars}"], "mp2.db"),
    ],
)
def test_bad_usage_is_one_message(mp2, bars, args, message):
    code, out, err = mp2(*[arg.replace("{bars}", str(bars / "bars.parquet")) for arg in args])
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert out == ""


# --- picks with scanners ----------------------------------------------------------------------


@pytest.fixture
def scanners(monkeypatch):
    """Makes these scanners the only ones."""
    monkeypatch.setattr(registry, "_plug_ins", tuple)
    return lambda *classes: monkeypatch.setattr(registry, "builtin_scanners", lambda: classes)


@pytest.fixture
def picked(mp2, bars):
    """Runs `mp2 pick` on a stored run."""
    assert mp2("run", bars / "bars.parquet", *SEARCH)[0] == 0
    return lambda *args: mp2(
        "pick", "last", "--prices", bars / "bars.parquet", "--grids=grids.toml", *args
    )


def failing(context):
    raise ValueError("HTTP 500")


@pytest.mark.slow
def test_picks_beside_what_scanners_name(picked, scanners, mp2, here):
    alone = json.loads(picked("--json")[1])
    assert "scan" not in alone
    first, second = (vote["ticker"] for vote in alone["votes"][:2])
    scanners(
        naming("one", first.lower(), "ZZZZ"),
        make("bad", failing),
        naming("two", first, second, pipeline="other"),
    )
    code, out, err = picked("--json", "--with-scan")
    document = json.loads(out)
    scan = document.pop("scan")
    assert code == 0
    assert "✓ one: 2 candidates" in err
    assert document == {
        **alone,
        "warnings": [*alone["warnings"], "scan: bad: ValueError: HTTP 500"],
    }
    assert set(scan) == {"scan_id", "status", "day", "n_candidates", "named"}
    assert (scan["status"], scan["n_candidates"], set(scan["named"])) == (
        "partial",
        3,
        {first, second},
    )
    assert scan["named"][first] == {
        "priority": "medium",
        "n_sources": 2,
        "sources": ["one", "two"],
        "pipelines": ["test", "other"],
        "contexts": ["one says so", "two says so"],
    }
    code, out, err = picked("--with-scan", "--show", "300")
    assert code == 0
    assert "Scanners  3 candidates from 2 of 3 scanners in" in out
    assert f"{first} (medium): one: one says so; two: two says so" in out
    named = [line.split()[0] for line in out.splitlines() if line.endswith(("  two", ", two"))]
    assert set(named) == {first, second}
    # Said by the scanner's line, so not again as a warning.
    assert (out + err).count("bad: ValueError: HTTP 500") == 1

    assert [one["status"] for one in json.loads(mp2("scans", "list", "--json")[1])["scans"]] == [
        "partial",
        "partial",
    ]
    code, out, err = picked("--scan-id", "last", "--json")
    assert json.loads(out)["scan"]["named"] == scan["named"]
    assert "Running" not in err
    with Store("mp2.db") as store:
        store._connection.execute("UPDATE scan SET day = '2026-01-02'")
    warnings = json.loads(picked("--scan-id", scan["scan_id"], "--json")[1])["warnings"]
    assert (
        f"scan {scan['scan_id']} is of 2026-01-02, not of today; --with-scan makes a new one"
        in warnings
    )


@pytest.mark.slow
def test_a_scan_that_fails_fails_no_pick(picked, scanners, here, monkeypatch):
    scanners(make("bad", failing))
    code, out, _ = picked("--with-scan", "--json")
    assert code == 0
    assert json.loads(out)["scan"]["named"] == {}
    for args, message in (
        (("--scan-id", "x"), "scan: mp2.db: no scan 'x'; there is 20"),
        (("--with-scan",), "unknown key 'y'"),
    ):
        (here / "mp2.toml").write_text("[discovery]\ny = 1\n" if "--with-scan" in args else "")
        code, out, _ = picked(*args, "--json")
        document = json.loads(out)
        assert (code, document["scan"]) == (0, None)
        assert message in document["warnings"][-1]


@pytest.mark.slow
def test_a_pick_that_is_not_stored_stores_no_scan(picked, scanners, mp2):
    scanners(naming("one", "A"))
    assert picked("--with-scan", "--no-store")[0] == 0
    assert json.loads(mp2("scans", "list", "--json")[1])["scans"] == []


def test_what_a_plug_in_prints_is_not_in_the_document(mp2, bars, monkeypatch):
    macd = ALGORITHMS[0]

    def loud(*series, **parameters):
        print("computing...")
        return macd.rule(*series, **parameters)

    class Entry:
        name = value = "loud"

        def load(self):
            print("loading...")
            return replace(macd, name="Loud", rule=loud)

    monkeypatch.setattr("mp2.signals.grids.metadata.entry_points", lambda group: [Entry()])
    with open("grids.toml", "a") as file:
        file.write("[Loud]\nfast = [5]\nslow = [20, 23]\n")
    code, out, err = mp2("run", bars / "bars.parquet", *SEARCH, "--json")
    assert code == 0
    assert json.loads(out)["status"] == "complete"
    assert {"loading...", "computing..."} <= set(err.splitlines())


def test_a_run_is_searched_and_scored_by_its_rule(mp2, bars):
    later = bars / "later.parquet"
    end = str(pl.read_parquet(later)["date"].unique().sort()[-3])
    held = (*SEARCH, "--hold=next-open", "--cost-bps=5", f"--end={end}", "--json")
    code, out, _ = mp2("run", later, *held)
    document = json.loads(out)
    run_id = document["run_id"]
    assert code == 0
    assert (document["hold"], document["last_exit"]) == ("next-open", end)
    assert len(document["days"]) == 5
    assert document["days"][-1] < end
    picks = document["next_day"]
    assert (picks["day"], picks["hold"], picks["cost_bps"]) == (str(LAST_DAY), "next-open", 5.0)

    # The same day by default, and the run's own rule and cost.
    code, out, _ = mp2("pick", run_id, "--prices", later, "--grids=grids.toml", "--json")
    again = json.loads(out)
    for name in ("day", "picks", "votes", "hold", "cost_bps"):
        assert again[name] == picks[name]
    code, _, err = mp2("pick", run_id, "--prices", later, "--hold=close-close")
    assert (code, err.count("\n")) == (2, 1)
    assert f"hold: run {run_id} is by the rule next-open, not close-close; leave the rule" in err

    code, out, _ = mp2("outcome", run_id, "--prices", bars / "bars.parquet")
    assert code == 0
    assert f"{LAST_DAY} is the last day of the prices; buy at the open, sell at the next" in out
    code, out, _ = mp2("outcome", run_id, "--prices", later, "--json")
    (outcome,) = json.loads(out)["outcomes"]
    assert (outcome["status"], outcome["session"], outcome["hold"]) == (
        "scored",
        str(LAST_DAY),
        "next-open",
    )
    assert outcome["votes"]["cost_bps"] == 5.0
    score = outcome["sizes"]["3"]
    days = json.loads(out)["record"]["3"]
    assert (days["n_days"], days["net_return_pp"]) == (1, score["net_return_pp"])
    assert days["performance"]["worst_day"] == str(LAST_DAY)
    assert days["performance"]["equity"] == pytest.approx(1 + score["net_return_pp"] / 100)
