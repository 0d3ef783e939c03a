"""Picks of a day: consensus, replacements, votes, and signals from a table."""

import json
import threading
from dataclasses import replace

import polars as pl
import pytest
from sheets import MONDAY, TUESDAY, WEEK, result_of, sheet_of

from mp2.data import bitset
from mp2.data.reading import Reading
from mp2.errors import InputError, ReadStoppedError
from mp2.picks.pick import members_needed, pick_day, sheet_from_table

# Consensus on Monday: A1+B1 ABC, A1+B2 (nothing), A2+B1 AC, A2+B2 E, A1+B1+C1 BC,
# A2+B2+C1 (nothing).
SHEET = sheet_of(
    {
        "A 1": ["ABCD"],
        "A 2": ["ACEF"],
        "B 1": ["ABCG"],
        "B 2": ["EH"],
        "C 1": ["BCD"],
        "D 9": ["ABCDEFGH"],
    }
)
RESULT = result_of(
    {2: ["A 2 + B 2", "A 1 + B 1", "A 2 + B 1"], 3: ["A 1 + B 1 + C 1", "A 2 + B 2 + C 1"]}
)


def outline(picks):
    return {
        size: None if pick is None else (pick.rank, "".join(pick.tickers), pick.fallback_from)
        for size, pick in picks.picks.items()
    }


def replaced(size, rank, tickers, least, other):
    head = f"size {size}: the picked group, rank {rank}, has {tickers}, fewer than {least}"
    return f"{head}; the group of rank {other} replaces it"


@pytest.mark.parametrize(
    ("picked", "min_tickers", "expected", "warnings"),
    [
        ({2: 1, 3: 1}, 1, {2: (1, "E", None), 3: (1, "BC", None)}, []),
        ({2: 3, 3: 1}, 2, {2: (3, "AC", None), 3: (1, "BC", None)}, []),
        (
            {2: 1, 3: 1}, 2, {2: (2, "ABC", 1), 3: (1, "BC", None)},
            [replaced(2, 1, "1 ticker", 2, 2)],
        ),
        (
            {2: 3, 3: 2}, 1, {2: (3, "AC", None), 3: (1, "BC", 2)},
            [replaced(3, 2, "0 tickers", 1, 1)],
        ),
        (
            {2: 3, 3: 2}, 3, {2: (2, "ABC", 3), 3: None},
            [
                replaced(2, 3, "2 tickers", 3, 2),
                "size 3: none of the 2 kept groups has 3 tickers or more; no pick",
            ],
        ),
        (
            {2: 1, 3: 1}, 4, {2: None, 3: None},
            [
                "size 2: none of the 3 kept groups has 4 tickers or more; no pick",
                "size 3: none of the 2 kept groups has 4 tickers or more; no pick",
            ],
        ),
    ],
)  # fmt: skip
def test_the_picked_group_or_the_next_one_large_enough(picked, min_tickers, expected, warnings):
    picks = pick_day(replace(RESULT, picked_rank=picked), SHEET, MONDAY, min_tickers=min_tickers)
    assert outline(picks) == expected
    assert list(picks.warnings) == warnings


def test_a_size_without_groups_has_no_pick():
    picks = pick_day(result_of({2: ["A 1 + B 1"], 3: []}), SHEET, MONDAY)
    assert outline(picks) == {2: (1, "ABC", None), 3: None}
    assert picks.warnings == ("size 3: no group was kept; no pick",)


def test_the_vote_counts_groups_and_names_who_agrees():
    votes = pick_day(RESULT, SHEET, MONDAY).votes
    assert [(vote.ticker, vote.n_ideas, vote.n_groups, vote.n_algorithms) for vote in votes] == [
        ("C", 3, 3, 3),
        ("B", 2, 2, 3),
        ("A", 2, 2, 2),
        ("E", 1, 1, 2),
    ]
    assert [(vote.best_rank, vote.size, vote.members) for vote in votes] == [
        (1, 3, ("A 1", "A 2", "B 1", "C 1")),
        (1, 3, ("A 1", "B 1", "C 1")),
        (2, 2, ("A 1", "A 2", "B 1")),
        (1, 2, ("A 2", "B 2")),
    ]


def test_a_vote_names_its_ideas_by_size_and_number():
    ideas = {vote.ticker: vote.ideas for vote in pick_day(RESULT, SHEET, MONDAY).votes}
    assert ideas["C"] == ((2, 2), (2, 3), (3, 1))
    assert ideas["E"] == ((2, 1),)


def test_the_vote_counts_ideas_before_groups():
    buys = {"A 1": ["X"], "A 2": ["X"], "A 3": ["X"], "A 4": ["Y"], "A 5": ["Y"], "B 1": ["XY"]}
    result = result_of({2: [f"A {number} + B 1" for number in range(1, 6)]})
    # The first three say the same.
    kept = tuple(
        replace(group, idea=idea)
        for group, idea in zip(result.kept[2], (1, 1, 1, 2, 3), strict=True)
    )
    votes = pick_day(replace(result, kept={2: kept}), sheet_of(buys, tickers="XY"), MONDAY).votes
    assert [(vote.ticker, vote.n_ideas, vote.n_groups) for vote in votes] == [
        ("Y", 2, 2),
        ("X", 1, 3),
    ]


def test_ideas_of_two_sizes_are_not_the_same():
    result = result_of({2: ["A 1 + B 1"], 3: ["A 1 + B 1 + C 1"]})
    votes = pick_day(result, SHEET, MONDAY).votes
    assert [(vote.ticker, vote.n_ideas) for vote in votes] == [("B", 2), ("C", 2), ("A", 1)]


def test_only_the_best_groups_of_each_size_vote():
    votes = pick_day(RESULT, SHEET, MONDAY, top_groups=1).votes
    assert [(vote.ticker, vote.n_groups, vote.best_rank, vote.size) for vote in votes] == [
        ("B", 1, 1, 3),
        ("C", 1, 1, 3),
        ("E", 1, 1, 2),
    ]


def test_members_are_found_by_name_not_by_number():
    extra = {"A 0": ["H"], "0 1": ["H"], "C 0": ["H"]}
    words = {"A 1": ["ABCD"], "A 2": ["ACEF"], "B 1": ["ABCG"], "B 2": ["EH"], "C 1": ["BCD"]}
    picks, more = (pick_day(RESULT, sheet_of(buys), MONDAY) for buys in (words, {**extra, **words}))
    assert picks == more


def test_every_word_of_the_bitsets_counts():
    tickers = "".join(map(chr, range(0x4E00, 0x4E00 + 130)))
    sheet = sheet_of({"A 1": [tickers], "B 1": [tickers[60:70] + tickers[127:]]}, tickers=tickers)
    picks = pick_day(result_of({2: ["A 1 + B 1"]}), sheet, MONDAY)
    assert "".join(picks.picks[2].tickers) == tickers[60:70] + tickers[127:]


def test_each_day_has_its_own_signals_and_only_the_last_can_be_assumed():
    sheet = sheet_of(
        {"A 1": ["AB", "CD"], "B 1": ["BC", "DE"]},
        (MONDAY, TUESDAY),
        assumed_day=True,
        warnings=("short history",),
    )
    result = result_of({2: ["A 1 + B 1"]})
    monday, tuesday = (pick_day(result, sheet, day) for day in sheet.days)
    assert (monday.picks[2].tickers, monday.assumed) == (("B",), False)
    assert (tuesday.picks[2].tickers, tuesday.assumed) == (("D",), True)
    assert monday.warnings == tuesday.warnings == ("short history",)


@pytest.mark.parametrize(
    ("settings", "day", "messages"),
    [
        ({"min_tickers": 0}, MONDAY, ["min_tickers: 0 is below 1; give 1 or more"]),
        ({"top_groups": 0, "min_tickers": -1}, MONDAY, [
            "min_tickers: -1 is below 1; give 1 or more",
            "top_groups: 0 is below 1; give 1 or more",
        ]),
        ({}, TUESDAY, [f"day {TUESDAY}: no signals for it; they cover {MONDAY} to {MONDAY}"]),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_reported(settings, day, messages):
    with pytest.raises(InputError) as caught:
        pick_day(RESULT, SHEET, day, **settings)
    assert list(caught.value.problems) == messages


def test_a_day_the_groups_were_chosen_on_is_refused():
    sheet = sheet_of({"A 1": ["AB"], "B 1": ["BC"]}, (WEEK[-1],))
    with pytest.raises(
        InputError,
        match=f"day {WEEK[-1]}: not after the run's last day {WEEK[-1]}, so its outcome chose",
    ):
        pick_day(result_of({2: ["A 1 + B 1"]}), sheet, WEEK[-1])


def test_a_missing_member_is_named():
    result = result_of({2: ["A 1 + B 1", "A 7 + B 8"]})
    message = (
        r"member 'A 7' of a kept group is not among the signals \(and 1 more\): "
        "the grids have changed since; use the grids of the run, or search again"
    )
    with pytest.raises(InputError, match=message):
        pick_day(result, SHEET, MONDAY)


def test_the_members_needed_are_those_of_all_kept_groups():
    assert members_needed(RESULT) == {("A", "1"), ("A", "2"), ("B", "1"), ("B", "2"), ("C", "1")}
    assert members_needed(result_of({3: []})) == set()


def test_the_json_document():
    picks = pick_day(result_of({2: ["A 1 + B 1"], 3: []}), SHEET, MONDAY)
    assert json.loads(json.dumps(picks.to_dict(), allow_nan=False)) == {
        "schema_version": 1,
        "run_id": "20260109-200000-abcd",
        "day": MONDAY,
        "assumed": False,
        "picks": {
            "2": {
                "rank": 1,
                "members": [
                    {"algo": "A", "variation": "1", "variation_idx": 1},
                    {"algo": "B", "variation": "1", "variation_idx": 11},
                ],
                "tickers": ["A", "B", "C"],
                "fallback_from": None,
                "idea": 1,
            },
            "3": None,
        },
        "votes": [
            {
                "ticker": ticker,
                "n_groups": 1,
                "best_rank": 1,
                "members": ["A 1", "B 1"],
                "n_ideas": 1,
                "n_algorithms": 2,
                "ideas": [[2, 1]],
                "in_picks": [2],
            }
            for ticker in "ABC"
        ],
        "warnings": ["size 3: no group was kept; no pick"],
        "hold": "open-close",
        "cost_bps": 0.0,
    }


def test_the_table_has_every_ticker_voted_for_or_picked():
    picks = pick_day(replace(RESULT, picked_rank={2: 2, 3: 1}), SHEET, MONDAY, top_groups=1)
    table = picks.to_frame()
    assert table.columns == [
        "day",
        "ticker",
        "n_ideas",
        "n_groups",
        "best_rank",
        "best_size",
        "pick 2",
        "pick 3",
        "members",
    ]
    assert table.with_columns(pl.col("day").cast(pl.String)).rows() == [
        (MONDAY, "B", 1, 1, 1, 3, True, True, "A 1 + B 1 + C 1"),
        (MONDAY, "C", 1, 1, 1, 3, True, True, "A 1 + B 1 + C 1"),
        (MONDAY, "E", 1, 1, 1, 2, False, False, "A 2 + B 2"),
        (MONDAY, "A", 0, 0, None, None, True, False, "A 1 + B 1"),
    ]
    nothing = pick_day(result_of({2: [], 3: []}), SHEET, MONDAY).to_frame()
    assert nothing.schema == table.schema
    assert nothing.height == 0


# --- signals from a table


def rows_of(sheet, prices=None):
    """A long table of the sheet's buys; `prices` gives open and close of all rows of a day."""
    rows = []
    for v, bought in enumerate(bitset.unpack(sheet.buys, len(sheet.tickers))):
        for d, day in enumerate(sheet.days):
            key = {
                "algo": sheet.algos[sheet.algo_of[v]],
                "variation": sheet.variations[v],
                "day": day,
            }
            opened, closed = (prices or {}).get(day, (10.0, 11.0))
            rows += [
                {**key, "ticker": sheet.tickers[t], "open": opened, "close": closed}
                for t in bought[d].nonzero()[0].tolist()
            ]
    return pl.DataFrame(
        rows, schema_overrides={"open": pl.Float64, "close": pl.Float64}, infer_schema_length=None
    )


TWO_DAYS = sheet_of(
    {
        "A 1": ["ABCD", "AB"],
        "A 2": ["ACEF", "CD"],
        "B 1": ["ABCG", "AD"],
        "B 2": ["EH", "C"],
        "C 1": ["BCD", "ABCD"],
    },
    (MONDAY, TUESDAY),
)


@pytest.mark.parametrize(
    "columns",
    [
        ["algo", "variation", "day", "ticker"],
        ["algo", "variation", "day", "ticker", "open", "close"],
    ],
)
@pytest.mark.parametrize(
    ("day", "wanted"), [(MONDAY, None), (TUESDAY, TUESDAY), (TUESDAY, "20260113")]
)
def test_a_table_gives_the_same_picks_as_the_sheet(columns, day, wanted):
    sheet = sheet_from_table(rows_of(TWO_DAYS).select(columns), RESULT, day=wanted)
    assert sheet.days == (day,)
    assert not sheet.assumed_day
    assert pick_day(RESULT, sheet, day) == pick_day(RESULT, TWO_DAYS, day)


@pytest.mark.parametrize(
    ("wanted", "day", "last"), [(None, TUESDAY, MONDAY), ("2026-01-15", "2026-01-15", TUESDAY)]
)
def test_shifted_signals_pick_for_the_session_after_theirs(wanted, day, last):
    sheet = sheet_from_table(rows_of(TWO_DAYS), RESULT, day=wanted, shift=1)
    assert sheet.days == (day,)
    assert sheet.assumed_day == (day != TUESDAY)
    assert pick_day(RESULT, sheet, day).picks == pick_day(RESULT, TWO_DAYS, last).picks


def test_shifted_signals_of_the_last_day_pick_for_the_next_weekday():
    table = rows_of(TWO_DAYS).filter(pl.col("day") == MONDAY)
    sheet = sheet_from_table(table, RESULT, shift=1)
    assert sheet.days == (TUESDAY,)
    assert sheet.assumed_day


def test_days_the_run_was_searched_on_are_passed_over():
    early = sheet_of(
        {"A 1": ["H"], "B 1": ["H"], "A 2": ["H"], "B 2": ["H"], "C 1": ["H"]}, (WEEK[-1],)
    )
    table = pl.concat([rows_of(TWO_DAYS), rows_of(early)])
    sheet = sheet_from_table(table, RESULT)
    assert sheet.days == (MONDAY,)
    assert pick_day(RESULT, sheet, MONDAY).votes == pick_day(RESULT, TWO_DAYS, MONDAY).votes


def test_a_day_whose_prices_are_all_null_is_assumed(tmp_path):
    path = tmp_path / "signals.csv"
    rows_of(TWO_DAYS, {TUESDAY: (None, None)}).write_csv(path)
    assert sheet_from_table(path, RESULT, day=TUESDAY).assumed_day
    assert not sheet_from_table(path, RESULT, day=MONDAY).assumed_day
    picks = pick_day(RESULT, sheet_from_table(path, RESULT, day=TUESDAY), TUESDAY)
    assert picks.assumed
    assert picks.picks == pick_day(RESULT, TWO_DAYS, TUESDAY).picks


def test_members_without_a_row_buy_nothing_and_are_reported():
    table = rows_of(TWO_DAYS).filter(~((pl.col("algo") == "A") & (pl.col("variation") == "1")))
    picks = pick_day(RESULT, sheet_from_table(table, RESULT), MONDAY)
    assert outline(picks) == {2: (1, "E", None), 3: None}
    assert picks.warnings[0] == (
        "signals: variations of kept groups without any row: 1, such as 'A 1'; they count as no buy"
    )


def test_other_column_names():
    table = rows_of(TWO_DAYS).rename({"algo": "strategy", "ticker": "symbol"})
    sheet = sheet_from_table(
        table, RESULT, reading=Reading(columns={"algo": "strategy", "ticker": "symbol"})
    )
    assert pick_day(RESULT, sheet, MONDAY).picks == pick_day(RESULT, TWO_DAYS, MONDAY).picks


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (
            lambda t: t,
            {"day": "2026-01-20"},
            "signals: no row on 2026-01-20; its days end at 2026-01-13; give signals of the day",
        ),
        (
            lambda t: t.with_columns(day=pl.lit(WEEK[0])),
            {},
            "signals: no row after the run's last day 2026-01-09; its days end at",
        ),
        (lambda t: t, {"day": "soon"}, "days: 'soon' is not a date; write YYYY-MM-DD"),
        (
            lambda t: t,
            {"reading": Reading(columns={"size": "x"})},
            "columns: 'size' is unknown; choose from algo, variation",
        ),
        (lambda t: t.drop("ticker"), {}, "signals: missing column 'ticker'"),
        (lambda t: t.clear(), {}, "signals: the table has no rows"),
        (
            lambda t: t.with_columns(algo=pl.lit("Z")),
            {},
            "signals: holds none of the run's variations, such as 'A 1'",
        ),
        (
            lambda t: t.with_columns(open=pl.lit("much")),
            {},
            "signals: column 'open', row 1: 'much' is not a number",
        ),
    ],
)
def test_problems_of_a_table_are_reported(change, settings, message):
    with pytest.raises(InputError) as caught:
        sheet_from_table(change(rows_of(TWO_DAYS)), RESULT, **settings)
    assert any(line.startswith(message) for line in caught.value.problems), caught.value.problems


def test_reading_can_be_stopped():
    stop = threading.Event()
    stop.set()
    with pytest.raises(ReadStoppedError):
        sheet_from_table(rows_of(TWO_DAYS), RESULT, reading=Reading(stop=stop))
