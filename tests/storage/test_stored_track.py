"""The track record of a store, recomputed from its rows and a price file by a plain script."""

import csv
import json
import math
import sqlite3
from contextlib import closing

import pytest
from market_bars import walk
from small_searches import LENIENT, SMALL_GRIDS

import mp2
from mp2.data.prices import to_frame
from mp2.storage.configuration import configuration_of
from mp2.storage.track import record_of

N_NIGHTS = 6
COST_BPS = 5.0
# Of Student's t, 97.5%, by degrees of freedom.
T_QUANTILES = {1: 12.706205, 2: 4.302653, 3: 3.182446, 4: 2.776445, 5: 2.570582}


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """A folder with a store of some nights, and the price file of the last one."""
    folder = tmp_path_factory.mktemp("nights")
    whole = walk(12, 70, seed=3)
    grids = folder / "grids.toml"
    grids.write_text(SMALL_GRIDS)
    prices = folder / "bars.csv"
    for night in range(N_NIGHTS):
        until = whole.dates[len(whole.dates) - N_NIGHTS + night - 1]
        to_frame(whole.until(until)).write_csv(prices)
        # The second night runs twice, and the last one with other rules as well.
        for rules in ({}, {}) if night == 1 else ({}, {"top_k": 2})[: 1 + (night == N_NIGHTS - 1)]:
            mp2.run(
                prices,
                store=folder / "mp2.db",
                rules=mp2.Rules(max_size=3, retain_sizes=(2, 3), **LENIENT, **rules),
                grids=grids,
                replicates=0,
                budget_s=20 + night,
                workers=1,
            )
    to_frame(whole).write_csv(prices)
    with mp2.Store(folder / "mp2.db") as store:
        for run in store.runs()[1:]:
            for picks in store.load_picks(run.run_id):
                store.save_outcome(run.run_id, mp2.score(picks, prices))
    return folder


def moves_of(prices):
    """{day: {ticker: return in percent}} of a price file."""
    moves = {}
    with open(prices, newline="") as file:
        for row in csv.DictReader(file):
            change = 100 * (float(row["close"]) / float(row["open"]) - 1)
            moves.setdefault(row["date"], {})[row["ticker"]] = change
    return moves


def recomputed(folder):
    """The record of the usual configuration: {series: figures}, and the days and runs counted."""
    moves = moves_of(folder / "bars.csv")
    with closing(sqlite3.connect(folder / "mp2.db")) as connection:
        rows = connection.execute(
            "SELECT run.run_id, day_picks.day, picks, json_extract(request, '$.search.rules.top_k')"
            " FROM run JOIN day_picks USING (run) ORDER BY run"
        ).fetchall()
    first_of = {}
    for run_id, day, picks, top_k in rows:
        # All of these runs began long after their days: the first of a day counts.
        if top_k != 2 and day not in first_of:
            first_of[day] = (run_id, json.loads(picks))
    days = {}
    for day, (_, picks) in first_of.items():
        of_day = {size: set(pick["tickers"]) if pick else set() for size, pick in picks.items()}
        of_day["all"] = set().union(*of_day.values())
        for series, tickers in of_day.items():
            if tickers:
                days.setdefault(series, []).append((moves[day], tickers))
    record = {}
    for series, of_series in days.items():
        rates = [100 * mean(all_moves[t] > 0 for t in tickers) for all_moves, tickers in of_series]
        universe = [100 * mean(move > 0 for move in moves.values()) for moves, _ in of_series]
        gross = [mean(all_moves[t] for t in tickers) for all_moves, tickers in of_series]
        net = [
            mean(100 * ((1 + all_moves[t] / 100) * 0.9995 / 1.0005 - 1) for t in tickers)
            for all_moves, tickers in of_series
        ]
        differences = [rate - of_all for rate, of_all in zip(rates, universe, strict=True)]
        n = len(differences)
        spread = math.sqrt(sum((d - mean(differences)) ** 2 for d in differences) / (n - 1))
        margin = T_QUANTILES[n - 1] * spread / math.sqrt(n)
        record[series] = (
            n,
            sum(len(tickers) for _, tickers in of_series),
            mean(rates),
            mean(universe),
            mean(differences) - margin,
            mean(differences) + margin,
            mean(gross),
            mean(net),
        )
    return record, {day: run_id for day, (run_id, _) in first_of.items()}


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def test_a_plain_script_finds_the_same_record(nights):
    expected, runs = recomputed(nights)
    track = mp2.track(nights / "mp2.db", cost_bps=COST_BPS)
    assert track.warnings == ()
    usual = track.configurations[1]
    assert (usual.n_runs, len(usual.days), usual.n_late) == (N_NIGHTS + 1, N_NIGHTS, N_NIGHTS)
    assert {day.day: day.run_id for day in usual.days} == runs
    assert {series for series, judged in usual.total.items() if judged.n_days} - {"votes"} == set(
        expected
    )
    for series, figures in expected.items():
        judged = usual.total[series]
        found = (
            judged.n_days,
            judged.n_picks,
            judged.hit_rate_pp,
            judged.universe_hit_rate_pp,
            judged.hit_difference.low,
            judged.hit_difference.high,
            judged.mean_return_pp,
            judged.net_return_pp,
        )
        assert found == pytest.approx(figures, rel=1e-5)


def test_the_configuration_used_last_comes_first(nights):
    track = mp2.track(nights / "mp2.db")
    latest, usual = track.configurations
    assert latest.label.startswith("bars.csv, ")
    assert "top_k 2" in latest.label
    assert "budget" not in latest.label
    assert (latest.days, latest.n_pending) == ((), 1)
    assert usual.settings["search.rules.top_k"] == 1000
    assert [ideas for ideas in usual.by_idea if usual.by_idea[ideas]]


def test_the_record_of_a_run(nights):
    with mp2.Store(nights / "mp2.db", read_only=True) as store:
        newest, *_, oldest = store.runs()
        assert record_of(store, store.load_request(newest.run_id)) is None
        request = store.load_request(oldest.run_id)
        record = record_of(store, request, cost_bps=COST_BPS)
    assert record == mp2.track(nights / "mp2.db", cost_bps=COST_BPS).configurations[1]
    assert record.configuration == configuration_of(request).key
    assert record.sentence().startswith(f"{N_NIGHTS} scored days with picks, {N_NIGHTS} of them")


def test_the_last_run_before_the_day_counts(nights, tmp_path):
    _, runs = recomputed(nights)
    with closing(sqlite3.connect(tmp_path / "mp2.db")) as copy:
        with closing(sqlite3.connect(nights / "mp2.db")) as stored:
            stored.backup(copy)
        copy.execute("UPDATE run SET started_at = '2023-01-01T00:00:00+00:00'")
        copy.commit()
    usual = mp2.track(tmp_path / "mp2.db").configurations[1]
    assert usual.n_late == 0
    changed = [day.day for day in usual.days if day.run_id != runs[day.day]]
    assert len(changed) == 1, "the night that ran twice"


def test_a_run_that_cannot_be_read_is_a_warning(nights, tmp_path):
    with closing(sqlite3.connect(tmp_path / "mp2.db")) as copy:
        with closing(sqlite3.connect(nights / "mp2.db")) as stored:
            stored.backup(copy)
        copy.execute("UPDATE outcome SET sizes = '[]' WHERE run = 1")
        copy.commit()
    track = mp2.track(tmp_path / "mp2.db")
    assert len(track.warnings) == 1
    assert "is damaged and cannot be read back" in track.warnings[0]
    assert len(track.configurations[1].days) == N_NIGHTS - 1
