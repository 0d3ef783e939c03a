"""Rules validate themselves and report every problem."""

import math

import pytest

from mp2.errors import InputError
from mp2.groups.rules import Rules


def test_defaults_are_the_specifications():
    rules = Rules()
    assert (rules.max_size, rules.min_daily_hits, rules.top_k, rules.retain_sizes) == (
        4,
        8,
        1000,
        (3, 4),
    )
    assert Rules(max_size=2).retain_sizes == (2,)
    assert Rules(max_size=6).retain_sizes == (3, 4, 5, 6)
    assert Rules(max_size=6, retain_sizes=(4, 2, 4)).retain_sizes == (2, 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_size": 1}, "rule max_size: 1 is outside 2..8"),
        ({"max_size": 9}, "rule max_size: 9 is outside 2..8"),
        ({"max_size": 3.0}, "rule max_size: 3.0 is not a whole number"),
        ({"max_size": True}, "rule max_size: True is not a whole number"),
        ({"top_k": 0}, "rule top_k: 0 is outside 1..1000000"),
        ({"min_daily_hits": -1}, "rule min_daily_hits: -1 is outside"),
        ({"min_pooled_pp": math.nan}, "rule min_pooled_pp: nan is not finite"),
        ({"max_iqr_pp": math.inf}, "rule max_iqr_pp: inf is not finite"),
        ({"cv_weight": 1e300}, r"rule cv_weight: 1e\+300 is outside -1000000000.0..1000000000.0"),
        ({"wilson_z": "1"}, "rule wilson_z: '1' is not a number"),
        ({"retain_sizes": (5,)}, "rule retain_sizes: 5 is outside 2..4"),
        ({"retain_sizes": (1,)}, "rule retain_sizes: 1 is outside 2..4"),
        ({"retain_sizes": [3]}, r"rule retain_sizes: \[3\] is not a tuple"),
        ({"day_weight_min": 2.0}, "rule day_weight_min: larger than day_weight_max"),
    ],
)
def test_a_bad_rule_is_named(values, message):
    with pytest.raises(InputError, match=message):
        Rules(**values)


def test_all_bad_rules_are_named_at_once():
    with pytest.raises(InputError) as caught:
        Rules(max_size=99, top_k=-1, wilson_z=-1.0)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "rule max_size",
        "rule top_k",
        "rule wilson_z",
    ]


def test_rules_are_plain_json_values():
    rules = Rules(max_size=5, retain_sizes=(2, 5), crowding_cap=12.5)
    values = rules.to_dict()
    assert values.pop("retain_sizes") == [2, 5]
    assert Rules(retain_sizes=(2, 5), **values) == rules


def test_a_group_as_json_values_is_what_asdict_makes_of_it():
    from dataclasses import asdict

    from mp2.groups.result import DayConsensus, DayStats, Group, Member, group_dict

    numbers = {spec: float(i) for i, spec in enumerate(Group.__annotations__)}
    nested = {
        "rank": 1,
        "members": (Member("A", "1", 0), Member("B", "2", 5)),
        "days": (DayStats("2026-01-05", 3, 2, 66.7, 1.0),),
        "consensus": (DayConsensus("2026-01-05", ("X", "Y")),),
    }
    group = Group(**{**numbers, **nested})
    assert group_dict(group) == asdict(group)
    assert list(group_dict(group)) == list(asdict(group))
