"""The ten rules on series that can be checked by eye, and their default grids."""

import inspect
import itertools
import re

import numpy as np
import pytest
from grids_document import grids_toml
from market_bars import bars, walk
from places import ROOT

from mp2.data.prices import price_table
from mp2.signals import algorithms as rules
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of, load_grids, value_fault
from mp2.signals.sheet import compute_signals

NAN = np.nan
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}


def row(*values):
    return np.array([values], float)


@pytest.mark.parametrize(
    ("bought", "expected"),
    [
        (
            rules.macd(row(9, 9, 9, 9), row(-1, 0, 0.01, NAN), fast=2, slow=3, signal=2),
            [0, 0, 1, 0],
        ),
        (rules.ema(row(1, 2, 3, NAN), row(2, 2, 2, 2), fast=2, slow=3), [0, 0, 1, 0]),
        (rules.rsi(row(29.9, 30, 31, NAN), period=14, level=30), [1, 0, 0, 0]),
        (
            rules.breakout(
                row(101, 100, 98, 97.9), row(*[100] * 4), row(*[90] * 4), period=5, margin=0.02
            ),
            [1, 1, 1, 0],
        ),
        (rules.breakout(row(100, 99.9), row(100, 100), row(90, 90), period=5, margin=0), [1, 0]),
        # a channel without a height: only what leaves it
        (
            rules.breakout(
                row(101, 100, 99.9), row(*[100] * 3), row(*[100] * 3), period=5, margin=0
            ),
            [1, 0, 0],
        ),
        (
            rules.adx(row(26, 26, 25, 26), row(5, 4, 5, NAN), row(4, 5, 4, 4), period=14, level=25),
            [1, 0, 0, 0],
        ),
        (rules.sma(row(103.1, 103, 99), row(100, 100, 100), period=5, margin=0.03), [1, 0, 0]),
        # bands 90..110: %B 0.25 is 95
        (
            rules.bollinger(
                row(94, 95, 96), row(100, 100, 100), row(5, 5, 5), period=5, width=2, level=0.25
            ),
            [1, 0, 0],
        ),
        (
            rules.bollinger(row(89, 91), row(100, 100), row(5, NAN), period=5, width=2, level=0),
            [1, 0],
        ),
        (
            rules.ema_macd(
                row(5, 5, 4, 5), row(4, 4, 4, NAN), row(1, -1, 1, 1), trend=9, fast=2, slow=3
            ),
            [1, 0, 0, 0],
        ),
        (
            rules.rsi_bollinger(
                row(94, 94, 95),
                row(39, 40, 39),
                row(100, 100, 100),
                row(5, 5, 5),
                period=7,
                level=40,
                window=20,
                width=1,
            ),
            [1, 0, 0],
        ),
    ],
)
def test_rules(bought, expected):
    assert bought.dtype == np.bool_
    assert bought.tolist() == [[bool(value) for value in expected]]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.25, "B"), (0.3, "B"), (0.5, "AB"), (0.74, "AB"), (0.75, "ABD"), (0.1, ""), (0.99, "ABD")],
)
def test_volatility_buys_the_calmest_share_of_the_tickers_with_a_value(share, expected):
    ranges = np.array([[2.0], [1.0], [4.0], [3.0], [NAN]])  # B, A, D, C
    bought = rules.volatility(ranges, period=5, share=share)[:, 0]
    assert (
        "".join(name for name, is_bought in zip("ABCDE", bought, strict=True) if is_bought)
        == expected
    )


def test_volatility_ranks_every_bar_alone_and_takes_all_of_a_tie():
    ranges = np.array([[1.0, 3.0, NAN, 2.0], [2.0, 2.0, NAN, 2.0], [3.0, 1.0, NAN, 5.0]])
    bought = rules.volatility(ranges, period=5, share=0.34)
    assert bought.T.tolist() == [
        [True, False, False],
        [False, False, True],
        [False] * 3,
        [True, True, False],
    ]


def test_a_share_that_is_whole_is_not_lost_to_rounding():
    ranges = np.arange(100.0)[:, np.newaxis]
    assert rules.volatility(ranges, period=5, share=0.29).sum() == 29  # 0.29 * 100 is 28.999...


RISING, FALLING = [100 * 1.01**i for i in range(80)], [100 * 0.99**i for i in range(80)]
TURNED_UP = FALLING[:60] + [FALLING[59] * 1.03**i for i in range(1, 21)]
TURNED_DOWN = RISING[:60] + [RISING[59] * 0.97**i for i in range(1, 21)]


@pytest.mark.parametrize(
    ("algo", "variation", "expected"),
    [
        ("MACD", "12-26-9", "FRU"),  # F falls by less and less
        ("EMA", "3-49", "RU"),
        ("RSI", "14-30", "DF"),
        ("Breakout", "20-0", "RU"),
        ("Breakout", "20-0.02", "RU"),
        ("ADX", "13-25", "RU"),
        ("SMA", "21-0", "RU"),
        ("Bollinger", "20-1-0.05", "DF"),
        ("EMA_MACD", "20-12-26", "RU"),
        ("RSI_Bollinger", "14-42-20-1", "DF"),
    ],
)
def test_the_tickers_an_algorithm_buys(algo, variation, expected):
    """Rising, Falling, turned Up, turned Down; the last day's signal."""
    closes = {"R": RISING, "F": FALLING, "U": TURNED_UP, "D": TURNED_DOWN}
    sheet = compute_signals(bars(**closes), n_days=0, include_next=True, only=[(algo, variation)])
    assert "".join(sheet.to_frame()["ticker"]) == "".join(sorted(expected))


# --- what is declared


@pytest.fixture(scope="module")
def grids():
    return load_grids()


def test_there_are_ten(grids):
    names = [
        "MACD",
        "EMA",
        "RSI",
        "Breakout",
        "ADX",
        "Volatility",
        "SMA",
        "Bollinger",
        "EMA_MACD",
        "RSI_Bollinger",
    ]
    assert [algorithm.name for algorithm in ALGORITHMS] == names
    assert grids.algorithms == ALGORITHMS
    assert grids.warnings == ()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_default_grid_has_80_to_160_variations_of_distinct_readable_names(grids, name):
    names = [variation.name for variation in grids.variations if variation.algorithm.name == name]
    assert 80 <= len(names) <= 160
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\d+(\.\d+)?(-\d+(\.\d+)?)*", text) for text in names)


def test_names_are_the_parameters_in_order(grids):
    keys = {variation.key for variation in grids.variations}
    assert {
        ("MACD", "12-26-9"),
        ("EMA", "3-25"),
        ("RSI", "14-30"),
        ("Breakout", "10-0.02"),
        ("ADX", "13-25"),
        ("Volatility", "25-0.6"),
        ("SMA", "17-0"),
        ("SMA", "200-0.005"),
        ("Bollinger", "20-2-0.05"),
        ("EMA_MACD", "30-6-20"),
        ("RSI_Bollinger", "14-50-10-1"),
    } <= keys


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_declarations_are_complete(algorithm):
    assert [
        value_fault(p, value)
        for p in algorithm.parameters
        for value in p.values
        if value_fault(p, value)
    ] == []
    assert all(parameter.meaning for parameter in algorithm.parameters)
    names = [parameter.name for parameter in algorithm.parameters]
    keywords = [
        p.name
        for p in inspect.signature(algorithm.rule).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    ]
    assert keywords == names == list(inspect.signature(algorithm.reads).parameters)
    assert algorithm.summary.endswith(".")
    assert re.search(r"\*.+?\*|\b(19|20)\d\d\b", algorithm.rule.__doc__), "names its source"


@pytest.mark.parametrize("name", BY_NAME)
def test_variations_differ_in_what_they_buy(grids, name):
    """Variations that always buy the same are redundant; a few may coincide on these bars."""
    keys = [variation.key for variation in grids.variations if variation.algorithm.name == name]
    sheet = compute_signals(walk(60, 420, seed=3), n_days=40, only=keys)
    n_distinct = len(np.unique(sheet.buys.reshape(len(keys), -1), axis=0))
    assert n_distinct >= 0.9 * len(keys)


def test_extreme_values_of_every_parameter_run():
    prices = walk(3, 60)
    for algorithm in ALGORITHMS:
        for ends in itertools.product((0, 1), repeat=len(algorithm.parameters)):
            values = {
                p.name: (p.low, p.high)[end]
                for p, end in zip(algorithm.parameters, ends, strict=True)
            }
            reads = algorithm.reads(**values)
            bought = algorithm.rule(*[prices.close[:, -4:]] * len(reads), **values)
            assert bought.shape == (3, 4)
            assert bought.dtype == np.bool_


DOCS = ROOT / "docs" / "reference" / "algorithms.md"
OWN_ALGORITHM = ROOT / "docs" / "how-to" / "own-algorithm.md"


@pytest.mark.skipif(not DOCS.exists(), reason="only a checkout has the docs")
def test_the_docs_show_the_grids_as_they_are(grids):
    text = DOCS.read_text(encoding="utf-8")
    assert grids_toml() in text
    for algorithm in ALGORITHMS:
        n_variations = sum(variation.algorithm is algorithm for variation in grids.variations)
        assert re.search(
            rf"^\| {algorithm.name} \| .+ \| {n_variations} \| .+ \|$", text, re.MULTILINE
        )


@pytest.mark.skipif(not DOCS.exists(), reason="only a checkout has the docs")
def test_the_docs_example_of_an_algorithm_runs():
    text = OWN_ALGORITHM.read_text(encoding="utf-8")
    *_, example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(example, names)
    sheet = compute_signals(walk(20, 60), grids=grids_of([names["williams"]]))
    assert sheet.variations == (
        "7--95",
        "7--90",
        "7--80",
        "14--95",
        "14--90",
        "14--80",
        "21--95",
        "21--90",
        "21--80",
    )
    assert sheet.panel().n_buys.all()


@pytest.mark.parametrize("price", [0.1, 3.3, 31.57, 98765.43])
def test_prices_that_never_move_are_not_bought_on_the_noise_of_sums(price):
    # Moves that ended long ago leave another last digit in every running sum.
    closes = {
        name: [*moves, *[price] * 900] for name, moves in zip("ABC", walk(3, 60).close, strict=True)
    }
    moved = bars(**closes, D=[price] * 960)
    same = [moved.close] * 4
    unmoved = price_table(moved.dates, moved.tickers, [*same, moved.volume])
    sheet = compute_signals(unmoved, n_days=5)
    assert sheet.algos == tuple(BY_NAME)
    assert not sheet.buys.any()
