"""Figures compared by their data, not by their pixels."""

import builtins
import json
import subprocess
import sys
from dataclasses import replace

import plotly.graph_objects as go
import pytest
from sheets import group_of, result_of

from mp2 import plot, report
from mp2.discovery.records import OutcomeStatus, ScanError, ScanOutcome, ScanResult, ScanStatus
from mp2.errors import MissingExtraError
from mp2.picks.records import DayPicks, Vote
from mp2.reporting import writing
from mp2.reporting.theme import label


def trace(figure, kind, position=0):
    return [one for one in figure.data if one.type == kind][position]


def scan_result(*outcomes):
    return ScanResult(
        scan_id="20260109-200000-abcd",
        status=ScanStatus.PARTIAL,
        elapsed_s=3.0,
        workers=2,
        mode="concurrent",
        outcomes=outcomes,
        candidates=(),
    )


def test_votes_are_tickers_by_ideas(picks):
    figure = plot.votes(picks)
    heat = trace(figure, "heatmap")
    assert list(heat.y) == [vote.ticker for vote in picks.votes] == ["B", "A", "C"]
    ideas = list(heat.customdata[0])
    assert ideas == ["size 2, idea 1", "size 2, idea 2", "size 2, idea 3", "size 3, idea 1"]
    assert [list(row) for row in heat.z] == [[1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 0]]
    assert list(trace(figure, "bar").x) == [4, 2, 1]
    picked = [list(one.y) for one in figure.data if one.type == "scatter"]
    assert picked == [["B", "C"], ["B"]]


def test_votes_of_earlier_versions_have_no_ideas(picks):
    old = [replace(vote, ideas=(), n_ideas=None) for vote in picks.votes]
    figure = plot.votes(replace(picks, votes=tuple(old)))
    assert list(trace(figure, "heatmap").x) == []


def test_days_have_all_tickers_the_groups_the_pick_and_the_day_after(result, outcome):
    figure = plot.days(result, outcome)
    scatters = [one for one in figure.data if one.type == "scatter"]
    lines = [one for one in scatters if one.mode == "lines"]
    assert [list(one.y) for one in lines] == [
        [value for _ in range(5) for value in (50.0, 50.0, None)],
        [outcome.universe_hit_rate_pp, outcome.universe_hit_rate_pp, None],
    ]
    assert list(trace(figure, "box").median) == [100.0] * 5
    picked = [list(one.y) for one in scatters if one.mode == "markers"]
    assert picked == [[100.0] * 5, [100.0] * 5, [50.0], [0.0]]
    assert "not<br>searched" in figure.layout.xaxis.ticktext[-1]
    assert len(plot.days(result).layout.xaxis.ticktext) == 5


def test_algorithms_have_their_share_and_that_of_pairs(result):
    figure = plot.algorithms(result)
    heat = trace(figure, "heatmap")
    assert list(heat.x) == ["A", "B", "C"]
    assert [list(row) for row in heat.z] == [
        [100, None, None],
        [100, 100, None],
        [25, 25, 25],
    ]


def test_variations_have_their_share_by_size(result):
    figure = plot.variations(result)
    size_2, size_3 = figure.data
    assert list(size_2.y) == ["A 1", "B 1", "C 1", "A 2", "B 2"]
    assert [round(share) for share in size_2.x] == [33, 67, 0, 67, 33]
    assert list(size_3.x) == [100, 100, 100, 0, 0]


def test_the_value_compounds_the_days_with_picks(walked):
    figure = plot.value(walked)
    frame = walked.daily_frame()
    lines = {one.name.partition(":")[0]: one for one in figure.data if one.line.width}
    assert set(lines) == {"all tickers", "picks", "picks after costs of 10 bps"}
    worth = 1.0
    for row, gain in zip(frame.to_dicts(), lines["picks"].y, strict=True):
        worth *= 1 + (row["return_pp all"] or 0.0) / 100
        assert gain == pytest.approx(100 * (worth - 1))
    # The costs of days with picks are all that lies between the two lines.
    assert lines["picks after costs of 10 bps"].y[-1] < lines["picks"].y[-1]
    low, high = figure.data[1], figure.data[0]
    for below, universe, above in zip(low.y, lines["all tickers"].y, high.y, strict=True):
        assert below <= universe + 1e-9 <= above + 2e-9


def test_a_walk_of_an_earlier_version_has_no_band(walked):
    week = walked.weeks[0]
    days = tuple(replace(day, universe_spread_pp=None) for day in week.days)
    figure = plot.value(replace(walked, weeks=(replace(week, days=days),)))
    assert all(one.line.width for one in figure.data)


def test_weeks_have_their_difference_with_its_interval(walked):
    figure = plot.weeks(walked)
    drawn = {day: mean for one in figure.data for day, mean in zip(one.x, one.y, strict=True)}
    for week in walked.weeks:
        difference = week.judged["all"].hit_difference
        expected = difference.mean if difference and difference.low is not None else 0
        assert drawn[week.days[0].day] == expected


def test_scanners_lie_where_they_ran():
    outcomes = (
        ScanOutcome(
            scanner="good",
            pipeline="p",
            status=OutcomeStatus.OK,
            seconds=1.0,
            n_candidates=2,
            ended_s=3.0,
        ),
        ScanOutcome(
            scanner="bad",
            pipeline="p",
            status=OutcomeStatus.ERROR,
            seconds=0.5,
            error=ScanError("unavailable", "HTTP <500>"),
            ended_s=0.5,
        ),
    )
    good, bad = plot.scanners(scan_result(*outcomes)).data
    assert (list(good.y), list(good.base), list(good.x)) == (["good"], [2.0], [1.0])
    assert list(bad.customdata) == ["error: HTTP &lt;500&gt;"]
    # Doubled by a pattern: colour alone says nothing.
    assert good.marker.pattern.shape != bad.marker.pattern.shape


def test_every_picture_of_an_empty_result_can_be_drawn():
    empty = result_of({2: [], 3: []})
    picks = DayPicks(
        run_id=None, day="2026-01-12", assumed=False, picks={2: None}, votes=(), warnings=()
    )
    for figure in (
        plot.votes(picks),
        plot.days(empty),
        plot.algorithms(empty),
        plot.variations(empty),
        plot.scanners(scan_result()),
    ):
        assert isinstance(figure, go.Figure)
        json.loads(figure.to_json())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("KO", "KO"),
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
        ("A&B", "A&amp;B"),
        ("a\u2028b\u202ec", "a\\x2028b\\x202ec"),
        ("x" * 200, "x" * 23 + "…"),
    ],
)
def test_a_name_is_never_markup(name, shown):
    assert label(name) == shown


def test_a_ticker_with_markup_is_shown_as_it_is(picks):
    vote = Vote(
        ticker="<b>x</b>", n_groups=1, best_rank=1, size=2, members=(), n_ideas=1, ideas=((2, 1),)
    )
    figure = plot.votes(replace(picks, votes=(vote,)))
    assert "<b>" not in figure.to_json().replace("\\u003c", "<")


def test_an_algorithm_with_markup_is_shown_as_it_is():
    group = group_of(1, "A 1", "B 2")
    members = tuple(replace(member, algo=f"<i>{member.algo}</i>") for member in group.members)
    result = replace(result_of({2: ["A 1 + B 2"]}), kept={2: (replace(group, members=members),)})
    text = plot.algorithms(result).to_json() + plot.variations(result).to_json()
    assert "&lt;i" in text
    assert "<i>" not in text.replace("\\u003c", "<")


def test_the_package_and_the_command_load_no_picture_library():
    code = (
        "import sys, mp2, mp2.cli.main; mp2.plot; "
        "print([name for name in sys.modules if name in ('plotly', 'jinja2')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("package", "start"),
    [("plotly", "a picture"), ("jinja2", "a report")],
)
def test_without_the_extra_one_line_says_what_to_install(monkeypatch, result, package, start):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith(package):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    writing._environment.cache_clear()
    needs = f"^{start} needs the extra 'report': pip install"
    with pytest.raises(MissingExtraError, match=needs):
        report(result)
