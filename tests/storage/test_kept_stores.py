"""A store made by an earlier version opens, lists and resumes."""

import shutil

import pytest
from places import GOLDEN, STORES

import mp2

FILES = sorted(STORES.glob("v*.sqlite"))
FIRST_WITH_WALKS = 11


@pytest.mark.parametrize("made", FILES, ids=lambda path: path.stem)
def test_a_store_of_an_earlier_version_opens_lists_and_resumes(made, tmp_path):
    path = tmp_path / "mp2.db"
    shutil.copy(made, path)
    before = path.read_bytes()
    with mp2.Store(path, read_only=True) as store:
        runs = store.runs()
        assert [run.status for run in runs] == ["work_limit", "complete", "complete"]
        assert store.problems == []
        results = [store.load(run.run_id) for run in runs]
        assert all(result.kept[3] for result in results)
        assert all(len(result.starters) == result.n_starters for result in results)
        (picks,) = store.load_picks(runs[1].run_id)
        (outcome,) = store.load_outcomes(runs[1].run_id)
        assert picks.day == outcome.day
        score = outcome.sizes[3]
        assert score.n_tickers == len(picks.picks[3].tickers)
        assert score.hit_rate_pp == 100 * score.n_hits / score.n_tickers
        has_walks = int(made.stem.removeprefix("v")) >= FIRST_WITH_WALKS
        assert store.count("walk") == len(store.walks()) == has_walks
        for walk in store.walks():
            judged = store.load_walk(walk.walk_id).total["all"]
            assert judged.hit_difference == walk.judged.hit_difference
        (scan,) = store.scans()
        assert [one.ticker for one in store.load_scan(scan.scan_id).candidates] == ["AAPL"]
    assert path.read_bytes() == before, "reading changes nothing"

    resumed = mp2.resume(store=path, source=GOLDEN / "week-prices.csv")
    assert resumed.status is mp2.Status.COMPLETE
    assert resumed.run_id == runs[0].run_id
    complete = results[-1]
    for name in ("kept", "attempts", "tested", "eligible", "score_mean", "picked_rank"):
        assert getattr(resumed, name) == getattr(complete, name)
    with mp2.Store(path, read_only=True) as store:
        assert [run.status for run in store.runs()] == ["complete"] * 3


def test_there_is_a_store_of_this_version():
    from mp2.storage import schema

    assert f"v{schema.version()}" in [path.stem for path in FILES]
