"""The scripts behind `docs/explanation/speed.md` measure what they state, and see bad changes."""

import sys

import numpy as np
import pytest
from places import BENCHMARKS

from mp2.data import bitset
from mp2.groups.rules import Rules

if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not beside the tests", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import bench_reaction
import generator
import growth
import instructions
import measured
import roofline

SMALL = {"seed": 5, "n_algos": 6, "n_variations": 16, "n_tickers": 200}


@pytest.fixture(scope="module")
def week():
    return generator.make_week(**SMALL)


def row(**changed):
    counters = {
        name: [*value, 0, 0] if isinstance(value, list) else value
        for name, value in growth.GOLDEN.items()
    }
    known = {
        "what": "real week, whole", "n_variations": 1, "n_days": 1, "n_tickers": 1,
        "count": "exact", "simd": "portable", "counters": counters, "seconds": 1.0,
        "million_per_s": 1.0, "panel_bytes": 1, "extra_bytes": 1, "visited": 0.5,
        "table_bytes": 48 * growth.MIB,
    }  # fmt: skip
    return growth.Row(**{**known, **changed})


@pytest.mark.parametrize("density", [0.04, 0.3, 0.6])
def test_a_week_has_the_requested_density(density):
    panel = generator.make_week(**SMALL, density=density)
    assert bitset.count(panel.buys).mean() / 200 == pytest.approx(density, rel=0.25)


def test_a_week_is_consistent_unless_wins_are_flipped(week):
    flipped = generator.make_week(**SMALL, n_flipped=0.05)
    assert week.consistent
    assert not flipped.consistent
    assert not (flipped.wins & ~flipped.buys).any()
    assert len(set(week.alias_of.tolist())) < week.n_variations


@pytest.mark.parametrize(
    ("changed", "n_problems"),
    [
        ({}, 0),
        ({"extra_bytes": None}, 0),
        ({"extra_bytes": 3 * 256 * growth.MIB}, 1),
        ({"extra_bytes": 3 * 256 * growth.MIB, "table_bytes": 1024 * growth.MIB}, 0),
        ({"counters": {**row().counters, "attempts": 1}}, 1),
        ({"counters": {**row().counters, "eligible": [0] * 9}}, 1),
        ({"counters": {**row().counters, "tested": [0] * 9}}, 1),
        ({"counters": {**row().counters, "tested": [0] * 9}, "count": "fast"}, 0),
    ],
    ids=str,
)
def test_problems_are_noticed(changed, n_problems):
    assert len(list(growth.problems([row(**changed)]))) == n_problems


def test_prunings_are_compared(week):
    with_all, without = (
        measured.run_once(
            measured.plain_kernel(week, Rules(min_daily_hits=3), without=names),
            Rules(min_daily_hits=3),
            [0, 5],
        )
        for names in ((), ("hits_bound", "cap_bound"))
    )
    assert with_all.counters()["eligible"][4] > 0
    assert with_all.same_as(without)
    without.records["tested"][0, 4] += 1
    assert not with_all.same_as(without)


def test_tables_are_replaced(tmp_path):
    path = tmp_path / "doc.md"
    path.write_text("a\n<!-- growth -->\nold\n<!-- end of growth -->\nz\n")
    growth.replace_table(path, "growth", "new")
    growth.replace_table(path, "growth", "newer")
    assert path.read_text() == "a\n<!-- growth -->\nnewer\n<!-- end of growth -->\nz\n"
    with pytest.raises(SystemExit, match="roofline"):
        growth.replace_table(path, "roofline", "new")


def test_the_document_has_a_place_for_every_table(tmp_path):
    copy = tmp_path / "speed.md"
    page = BENCHMARKS.parent / "docs" / "explanation" / "speed.md"
    if not page.exists():
        pytest.skip("the documents are not beside the tests")
    copy.write_text(page.read_text())
    for name in ("machine", "growth", "prunings", "roofline", "reaction"):
        growth.replace_table(copy, name, "new")


def test_instructions_are_compared(capsys):
    before = {"exact": {**instructions.CASES["exact"], "attempts": 7, "instructions": 1000}}
    cases = {
        "within": (1049, 7, 0),
        "above": (1051, 7, 1),
        "less": (10, 7, 0),
        "another": (1000, 8, 1),
    }
    for n_instructions, attempts, n_wrong in cases.values():
        now = {"exact": {**before["exact"], "attempts": attempts, "instructions": n_instructions}}
        assert len(instructions.compared(now, before)) == n_wrong
    assert "+4.90%" in capsys.readouterr().out


def test_open_blocks_are_those_of_the_search(week):
    rules = Rules(min_daily_hits=5)
    winners = bitset.unpack(week.buys & week.wins, len(week.tickers))

    def passes(*members):
        return (
            np.logical_and.reduce([winners[v] for v in members]).sum(axis=1) >= rules.min_daily_hits
        ).all()

    later = [
        v for v in range(week.n_variations) if week.algo_of[v] > week.algo_of[3] and passes(3, v)
    ]
    blocks = {
        (i, j, k // 64)
        for i, v in enumerate(later)
        for j, x in enumerate(later)
        if week.algo_of[v] < week.algo_of[x] and passes(3, v, x)
        for k, y in enumerate(later)
        if week.algo_of[x] < week.algo_of[y] and passes(3, v, y) and passes(3, x, y)
    }
    assert len(blocks) > 100
    assert roofline._n_open_blocks(week, rules, winners.astype(np.float32), 3) == len(blocks)


def test_reaction_is_measured():
    found = bench_reaction.measure(
        bench_reaction.Case(name="small", rules={"max_size": 6}, n_turns=3)
    )
    assert set(found.late) == {*bench_reaction.WAYS, bench_reaction.CONTROL}
    assert all(late.n == 3 and 0 < late.p50_ms <= late.max_ms for late in found.late.values())
