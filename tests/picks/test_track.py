"""Which run counts for a day, and what a record says of its days."""

import datetime
from dataclasses import replace

import pytest

from mp2.groups.result import Member
from mp2.picks.records import DayPicks, Outcome, PickStatus, Score, SizePick
from mp2.picks.track import PickedDay, TrackRecord, configuration_record, one_per_day

DAY = "2026-01-12"


def picked(
    run_id, *, began_at="2026-01-10T09:00:00+00:00", searched_to="2026-01-09", day=DAY, **more
):
    pick = SizePick(
        rank=7,
        members=(Member("A", "1", 0),),
        tickers=("T1", "T2"),
        idea=more.pop("idea", 1),
    )
    picks = DayPicks(
        run_id=run_id, day=day, assumed=False, picks={3: pick, 4: None}, votes=(), warnings=()
    )
    return PickedDay(
        run_id=run_id,
        began_at=began_at,
        searched_to=searched_to,
        picks=picks,
        voted=("T3",),
        outcome=None,
        **more,
    )


def scored(one, n_hits=1, universe_pp=50.0, session=None):
    score = Score(
        n_tickers=2,
        n_picks=2,
        n_hits=n_hits,
        hit_rate_pp=50.0 * n_hits,
        mean_return_pp=1.0,
        hit_difference_pp=50.0 * n_hits - universe_pp,
        return_difference_pp=0.5,
    )
    outcome = Outcome(
        run_id=one.run_id,
        day=one.picks.day,
        status=PickStatus.SCORED,
        session=session or one.picks.day,
        n_universe=9,
        universe_hit_rate_pp=universe_pp,
        universe_return_pp=0.5,
        sizes={3: score, 4: None},
        all_sizes=score,
        votes=score,
    )
    return replace(one, outcome=outcome)


def record(*days, cost_bps=0.0):
    return configuration_record("k", "bars.csv", {}, days, cost_bps)


@pytest.mark.parametrize(
    ("runs", "counting"),
    [
        ([{}, {}, {}], 2),
        ([{"began_at": "2026-01-12T20:00:00+00:00"}, {"began_at": "2026-01-13T00:00:01+00:00"}], 0),
        ([{"began_at": "2026-02-01T00:00:00+00:00"}, {"began_at": "2026-02-02T00:00:00+00:00"}], 0),
        ([{"searched_to": "2026-01-09"}, {"searched_to": "2026-01-08"}], 0),
        ([{"searched_to": "2026-01-08"}, {"began_at": "2026-02-01T00:00:00+00:00"}], 0),
        (
            [
                {"began_at": "2026-02-01T00:00:00+00:00", "searched_to": "2026-01-08"},
                {"began_at": "2026-02-01T00:00:00+00:00"},
            ],
            1,
        ),
    ],
    ids=["last before", "not one after", "first after", "latest day", "in hand", "latest after"],
)
def test_a_day_counts_once(runs, counting):
    days = [picked(str(number), **values) for number, values in enumerate(runs)]
    (one,) = one_per_day(days)
    assert one.run_id == str(counting)


def test_a_holiday_and_the_day_after_are_one_day():
    monday = scored(picked("a"), session="2026-01-13")
    tuesday = scored(picked("b", day="2026-01-13", searched_to="2026-01-12"))
    of_both = record(monday, tuesday)
    assert [(day.day, day.run_id) for day in of_both.days] == [("2026-01-13", "b")]
    assert of_both.n_runs == 2


def test_another_run_does_not_count_because_it_is_scored():
    of_both = record(scored(picked("a")), picked("b"))
    assert (of_both.days, of_both.n_pending) == ((), 1)
    assert of_both.sentence() == "0 scored days with picks."


def test_a_record_is_judged_by_size_and_rank_of_the_idea():
    days = [
        scored(
            picked(
                "a",
                day=f"2026-01-{day}",
                searched_to=f"2026-01-{day - 1}",
                idea=idea,
                began_at=f"2026-01-{day - 1}T22:00:00+00:00",
            ),
            n_hits=hits,
        )
        for day, idea, hits in ((12, 1, 2), (13, 5, 1), (14, 10, 0), (15, 500, 2), (16, None, 2))
    ]
    of_all = record(*days, cost_bps=10.0)
    judged = of_all.total["3"]
    assert (judged.n_days, judged.n_picks, judged.n_hits) == (5, 10, 7)
    assert (judged.hit_rate_pp, judged.universe_hit_rate_pp) == (70.0, 50.0)
    kept = 0.999 / 1.001
    assert judged.net_return_pp == pytest.approx(kept - 100 * (1 - kept))
    assert of_all.total["4"].n_days_without == 5
    by_rank = of_all.by_idea["3"]
    rates = {ranks: (one.n_days, one.hit_rate_pp) for ranks, one in by_rank.items()}
    assert rates == {"1": (1, 100.0), "2-10": (2, 25.0), "over 100": (1, 100.0)}
    # The differences are 50, 0, -50, 50, 50: mean 20, t(4) = 2.776, deviation 44.72 / sqrt(5).
    assert of_all.sentence() == (
        "5 scored days with picks: hit rate 70.0% against 50.0% of the universe, difference +20.0 "
        "points (95% interval -35.5 to +75.5): no better than the universe; mean return +1.00%, "
        "+0.80% after 10 bps a side."
    )


def test_a_record_as_frames_and_as_a_document():
    track = TrackRecord(
        configurations=(record(scored(picked("a")), picked("b", day="2026-01-13")),)
    )
    frame = track.to_frame()
    assert frame["picks"].to_list() == ["3", "3", "4", "all", "votes"]
    assert frame["idea_ranks"].to_list() == ["any", "1", "any", "any", "any"]
    assert frame["hit_difference_low"].to_list() == [None] * 5
    daily = track.daily_frame()
    assert daily["picks"].to_list() == ["3", "all", "votes"]
    assert daily.row(0)[1:6:2] == (datetime.date(2026, 1, 12), "3", "T1 T2")
    assert daily["idea"].to_list() == [1, None, None]
    assert daily["tickers"].to_list() == ["T1 T2", "T1 T2", "T3"]
    (document,) = track.to_dict()["configurations"]
    assert document["n_pending"] == 1
    assert document["days"][0]["scores"]["3"]["n_hits"] == 1
    assert document["by_idea"]["3"]["1"]["n_days"] == 1
    assert document["total"]["3"]["performance"]["worst_day"] == "2026-01-12"
    (counted,) = track.configurations
    assert counted.returns("3").to_dict() == {datetime.datetime(2026, 1, 12): 0.01}
    assert frame["equity"].to_list() == pytest.approx([1.01] * 2 + [None] + [1.01] * 2)
