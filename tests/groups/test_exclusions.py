"""Why a search finds nothing: what is known before it, and what each rule excluded."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from typing import Any

import polars as pl
import pytest

import mp2
from mp2.groups.exclusions import why_impossible, why_nothing


def panel_of(n_algos: int = 3, n_tickers: int = 6, losers: tuple[str, ...] = ()) -> mp2.SignalPanel:
    """Two variations an algorithm that buy all tickers on two days; those of `losers` lose."""
    rows = []
    for algo, variation, day, ticker in product(range(n_algos), "ab", (5, 6), range(n_tickers)):
        is_won = f"{day} T{ticker}" not in losers and f"{day}" not in losers
        rows.append((f"A{algo}", variation, f"2026-01-0{day}", f"T{ticker}", is_won))
    schema = ["algo", "variation", "day", "ticker", "win"]
    return mp2.read_signals(pl.DataFrame(rows, schema, orient="row"))


@pytest.mark.parametrize(
    ("panel", "rules", "reason"),
    [
        (
            panel_of(n_tickers=2),
            {},
            "2 tickers, but a group needs 8 winners a day (min_daily_hits): nothing can be found; "
            "lower it (0: no floor)",
        ),
        (
            panel_of(losers=("6",)),
            {"min_daily_hits": 1},
            "2026-01-06 has no winner, but a group needs 1 every day (min_daily_hits; 1 of 2 days "
            "have fewer): nothing can be found; lower it (0: no floor)",
        ),
        (
            panel_of(losers=("5 T1",)),
            {"min_daily_hits": 6},
            "2026-01-05 has 5 winners, but a group needs 6 every day (min_daily_hits; 1 of 2 days "
            "have fewer): nothing can be found; lower it (0: no floor)",
        ),
        (
            panel_of(n_algos=2),
            {"min_daily_hits": 1},
            "2 algorithms, but the smallest group kept has 3 members of different ones "
            "(retain_sizes): nothing can be found; add algorithms, or keep groups of 2",
        ),
        (
            panel_of(),
            {"min_daily_hits": 4, "max_daily_buys": 3},
            "a group needs 4 winners a day (min_daily_hits), but may have no more than 3 tickers "
            "(max_daily_buys): nothing can be found; change one",
        ),
    ],
)
def test_what_cannot_be_found_is_said_before(
    panel: mp2.SignalPanel, rules: dict[str, Any], reason: str
) -> None:
    asked = mp2.Rules(**rules)
    assert why_impossible(panel, asked) == [reason]
    result = mp2.search(panel, rules=asked)
    assert reason in result.warnings
    assert not any(result.kept.values())


def test_nothing_is_said_where_groups_are_possible() -> None:
    panel = panel_of()
    result = mp2.search(panel, rules=mp2.Rules(min_daily_hits=1))
    assert result.warnings == ()
    assert result.exclusions == ()
    assert result.kept[3]


def test_the_floor_counts_variations_and_groups() -> None:
    panel = panel_of(n_tickers=2)
    result = mp2.search(panel, rules=mp2.Rules(max_size=3))
    assert [asdict(one) for one in result.exclusions] == [
        {"rule": "min_daily_hits", "limit": 8, "n_excluded": 6, "n": 6, "kind": "variations"},
        {"rule": "min_daily_hits", "limit": 8, "n_excluded": 8, "n": 8, "kind": "groups of size 3"},
    ]
    assert result.to_dict()["exclusions"] == [asdict(one) for one in result.exclusions]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"min_pooled_pp": 90.0}, ["min_pooled_pp"]),
        ({"max_daily_buys": 5}, ["max_daily_buys"]),
        ({"max_mad_pp": 1.0, "max_iqr_pp": 2.0}, ["max_mad_pp", "max_iqr_pp"]),
        ({"min_wilson_lb": 99.0, "top_k": 5}, ["min_wilson_lb"]),
    ],
)
def test_limits_count_the_groups_that_fail_them(rules: dict[str, Any], expected: list[str]) -> None:
    panel = panel_of(losers=("5 T1", "5 T2", "6 T1"))
    result = mp2.search(panel, rules=mp2.Rules(min_daily_hits=1, max_size=3, **rules))
    assert result.tested[3] == 8
    n = rules.get("top_k", 8)
    assert [one.rule for one in result.exclusions] == expected
    assert {(one.n_excluded, one.n) for one in result.exclusions} == {(n, n)}
    kind = "groups of size 3" if n == 8 else "best groups of size 3 that reach the floor"
    assert result.exclusions[0].kind == kind
    line = f"{expected[-1]} {rules[expected[-1]]:g} excludes {n} of {n} {kind}"
    assert why_nothing(result, panel) == line


def test_a_search_that_ended_early_says_so() -> None:
    panel = panel_of()
    rules = mp2.Rules(min_daily_hits=1, min_pooled_pp=101.0)
    result = mp2.search(panel, rules=rules, max_attempts=1)
    assert result.exclusions == ()
    assert why_nothing(result, panel) == "the search ended early (work_limit)"
