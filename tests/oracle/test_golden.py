"""The worked examples, every field: first by the brute force, then by the real search."""

import json

import oracle
import pytest
from comparison import differences, shape_of
from places import GOLDEN

from mp2.groups.rules import Rules

NAMES = sorted(path.stem for path in GOLDEN.glob("*.csv"))
EXAMPLES = {name: json.loads((GOLDEN / f"{name}.json").read_text()) for name in NAMES}
CASES = [
    (name, limit) for name in NAMES for limit in (None, *map(int, EXAMPLES[name]["work_limits"]))
]
CASE_IDS = [f"{name}-{limit or 'whole'}" for name, limit in CASES]


def rules_of(name):
    rules = dict(EXAMPLES[name]["rules"])
    sizes = tuple(rules.pop("retain_sizes", ()))
    return Rules(retain_sizes=sizes, **rules)


def expected_of(name, max_attempts):
    example = EXAMPLES[name]
    return (
        example["expected"] if max_attempts is None else example["work_limits"][str(max_attempts)]
    )


def by_brute_force(name, max_attempts):
    signals = oracle.read_csv(GOLDEN / f"{name}.csv")
    return oracle.search(signals, rules_of(name), max_attempts=max_attempts)


def by_search(name, max_attempts, workers, as_inconsistent=False):
    pytest.importorskip("mp2._recurse")
    search = pytest.importorskip("mp2").search
    panel = oracle.to_panel(
        oracle.read_csv(GOLDEN / f"{name}.csv"), as_inconsistent=as_inconsistent
    )
    result = search(
        panel, budget_s=60, workers=workers, rules=rules_of(name), max_attempts=max_attempts
    )
    assert result.tested_exact
    assert result.workers == workers
    assert result.max_attempts == max_attempts
    assert differences(list(result.base_win_rates), EXAMPLES[name]["base_win_rates"]) == []
    return shape_of(result)


ENGINES = {
    "brute-force": by_brute_force,
    "search-1": lambda name, limit: by_search(name, limit, workers=1),
    "search-2": lambda name, limit: by_search(name, limit, workers=2),
    "search-4": lambda name, limit: by_search(name, limit, workers=4),
    "search-2-wins-per-variation": lambda name, limit: by_search(
        name, limit, workers=2, as_inconsistent=True
    ),
}


def test_all_worked_examples_are_here():
    assert NAMES == [
        "aliases-and-ties", "deep", "empty-day-no-floor", "inconsistent-wins", "nothing-eligible",
        "one-day", "two-days-pairs", "week-prices",
    ]  # fmt: skip
    assert all(sorted(map(int, EXAMPLES[name]["work_limits"])) == [1, 7, 100] for name in NAMES)


@pytest.mark.parametrize(("name", "max_attempts"), CASES, ids=CASE_IDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_field(engine, name, max_attempts):
    assert differences(ENGINES[engine](name, max_attempts), expected_of(name, max_attempts)) == []


@pytest.mark.parametrize("name", NAMES)
def test_base_win_rates(name):
    signals = oracle.read_csv(GOLDEN / f"{name}.csv")
    assert differences(list(signals.base_win_rates), EXAMPLES[name]["base_win_rates"]) == []


@pytest.mark.parametrize("name", NAMES)
def test_panel_holds_the_signals(name):
    signals = oracle.read_csv(GOLDEN / f"{name}.csv")
    panel = oracle.to_panel(signals)
    assert panel.consistent == (name != "inconsistent-wins")
    assert panel.buys.shape[:2] == (len(signals.keys), len(signals.days))
    counts = oracle.bitset.count(panel.buys)
    assert all(counts[cell] == len(tickers) for cell, tickers in signals.buys.items())


def test_differences_are_found():
    expected = EXAMPLES["one-day"]["expected"]
    actual = json.loads(json.dumps(expected))
    actual["attempts"] += 1
    actual["groups"]["3"][0]["score"] += 1e-6
    actual["picks"]["3"] = None
    del actual["eligible"]["3"]
    found = differences(actual, expected)
    assert [line.split(":")[0] for line in found] == [
        ".attempts",
        ".eligible",
        ".groups.3[0].score",
        ".picks.3",
    ]
