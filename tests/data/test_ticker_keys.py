"""Names of tickers: one key for all spellings, used within a source and in every join."""

from __future__ import annotations

from typing import Any

import bar_frames
import polars as pl
import pytest
import signal_frames
from hypothesis import given
from hypothesis import strategies as st

from mp2.data.prices import read_prices
from mp2.data.signal_reader import read_signals
from mp2.data.ticker_keys import joined, spelling_findings, ticker_key
from mp2.errors import InputError

BLANKS = "tickers that differ only in blanks around them: {}, each taken as one: {}"
ALIKE = (
    "tickers that differ only in letter case or in the sign before a share class: {}, "
    "kept apart: {}; if they are one, write it in one way"
)


def respelled(table: pl.DataFrame, **spelling: str) -> pl.DataFrame:
    return table.with_columns(pl.col("ticker").replace(spelling))


@pytest.mark.parametrize(
    ("key", "spellings"),
    [
        ("BRK-B", "BRK-B BRK.B BRK/B brk.b Brk-b"),
        ("LBTYK", "LBTYK lbtyk"),
        ("LBTY-K", "LBTY.K LBTY-K"),
        # Exchanges, countries, preferred shares, currency pairs: not a class of shares.
        *[(name, name) for name in ("VOD.L", "RY.TO", "AAPL.US", "7203.T", "BAC-P", "BTC-USD")],
        *[(name, name) for name in ("BRK-B.US", "A", ".B")],
    ],
)
def test_keys(key: str, spellings: str) -> None:
    for spelling in spellings.split(" "):
        assert ticker_key(f" {spelling}\t") == key


@given(st.text())
def test_a_key_is_its_own_key(name: str) -> None:
    assert ticker_key(ticker_key(name)) == ticker_key(name)


@pytest.mark.parametrize(
    ("names", "others", "spelling"),
    [
        ("BRK.B AAPL", "BRK-B aapl MSFT", {"BRK.B": "BRK-B", "AAPL": "aapl"}),
        # An exact spelling goes first, and a key that two names have says nothing.
        ("BRK.B AAPL", "BRK.B BRK-B", {"BRK.B": "BRK.B"}),
        ("BRK/B", "BRK.B BRK-B", {}),
        ("TPA TpA", "TPA", {"TPA": "TPA"}),
        ("TPA TpA", "tpa", {}),
        ("VOD.L", "VOD", {}),
        ("AAA.G", "aaa-g VOD.L", {"AAA.G": "aaa-g"}),
        ("AAA.G", "AAA-G AAA/G", {}),
        ("aaa.g", "AAA-G AAA.G", {"aaa.g": "AAA.G"}),
    ],
)
def test_joining(names: str, others: str, spelling: dict[str, str]) -> None:
    assert joined(names.split(), others.split()) == spelling


def test_blanks_around_tickers_of_prices_do_not_count() -> None:
    expected = read_prices(bar_frames.LONG)
    padded = bar_frames.LONG.with_columns(pl.col("ticker").str.pad_end(10))
    prices = read_prices(padded)
    assert prices.fingerprint == expected.fingerprint
    assert prices.warnings == ()
    half = pl.concat([padded[::2], bar_frames.LONG[1::2]]).sort("date", maintain_order=True)
    prices = read_prices(half)
    assert prices.fingerprint == expected.fingerprint
    assert prices.warnings == (f"prices: {BLANKS.format(3, 'AAPL, LOW, OPEN')}",)


@pytest.mark.parametrize("blank", ["", " ", "   "])
def test_a_blank_ticker_is_none(blank: str) -> None:
    (problem,) = bar_frames.problems_of(respelled(bar_frames.LONG, AAPL=blank))
    assert problem.startswith(f"prices: column 'ticker', row 4: {blank!r} is no ticker")


def test_names_that_differ_in_letter_case_stay_apart_with_a_warning() -> None:
    lower = bar_frames.LONG.with_columns(pl.col("ticker").str.to_lowercase())
    prices = read_prices(pl.concat([bar_frames.LONG, lower]))
    assert prices.tickers == ("AAPL", "LOW", "OPEN", "aapl", "low", "open")
    names = "AAPL and aapl, LOW and low, OPEN and open"
    assert prices.warnings == (f"prices: {ALIKE.format(3, names)}",)


def test_warnings_name_five() -> None:
    names = [f"T{number}{suffix}" for number in range(6) for suffix in (".B", "-B", "-B ")]
    pairs = ", ".join(f"T{number}-B and T{number}.B" for number in range(5))
    assert [finding.line for finding in spelling_findings("x.csv", names)] == [
        f"x.csv: {BLANKS.format(6, 'T0-B, T1-B, T2-B, T3-B, T4-B, ...')}",
        f"x.csv: {ALIKE.format(6, f'{pairs}, ...')}",
    ]


@pytest.mark.parametrize("make", [lambda: signal_frames.LONG, signal_frames.wide])
@pytest.mark.parametrize(
    ("spelling", "of_signals"),
    [
        ({"AAPL": "aapl", "MSFT": "Msft", "ZION": "zion"}, {}),
        ({"AAPL": "AAPL  ", "MSFT": " MSFT"}, {"AAPL": "AAPL ", "ZION": "ZION "}),
        (
            {"AAPL": "ZZ/A", "MSFT": "ZZ.B", "ZION": "ZZ-C"},
            {"AAPL": "ZZ.A", "MSFT": "ZZ-B", "ZION": "zz.c"},
        ),
    ],
)
def test_signals_take_outcomes_and_spelling_of_the_price_file(
    make: Any, spelling: dict[str, str], of_signals: dict[str, str]
) -> None:
    signals = make()
    if isinstance(signals, pl.DataFrame):
        signals = respelled(signals, **of_signals)
    else:
        signals = signals.rename(columns=of_signals)
    outcomes = respelled(signal_frames.OUTCOMES, **spelling)
    expected = signal_frames.contents(read_signals(make(), outcomes=signal_frames.OUTCOMES))
    panel = read_signals(signals, outcomes=outcomes)
    shown = {name: text.strip() for name, text in spelling.items()}
    assert panel.warnings == ()
    assert signal_frames.contents(panel) == {
        key: {(day, shown.get(ticker, ticker)): won for (day, ticker), won in wins.items()}
        for key, wins in expected.items()
    }


def test_signals_without_outcomes_and_guesses_are_counted_and_named() -> None:
    outcomes = respelled(signal_frames.OUTCOMES, AAPL="AAPL.US", MSFT="MSFT-G")
    panel = read_signals(respelled(signal_frames.LONG, MSFT="MSFT.G"), outcomes=outcomes)
    assert panel.tickers == ("AAPL", "MSFT-G", "ZION")
    assert panel.warnings == (
        "signals: tickers joined although the sign before the suffix differs: 1, MSFT.G as MSFT-G",
        "signals: no row in the outcomes for 1 of 3 tickers (33.3%): AAPL; "
        "their buys count as no win",
        "signals: buys without a row in the outcomes: 2, counted as no win",
    )


def test_signals_and_outcomes_without_a_common_ticker_are_refused() -> None:
    outcomes = signal_frames.OUTCOMES.with_columns(pl.col("ticker") + ".US")
    with pytest.raises(InputError) as caught:
        read_signals(signal_frames.LONG, outcomes=outcomes)
    assert list(caught.value.problems) == [
        "signals and outcomes have no ticker in common: AAPL, MSFT, ZION and "
        "AAPL.US, MSFT.US, ZION.US; write them in one way"
    ]


def test_signals_of_one_table_warn_of_names_that_are_alike() -> None:
    alike = pl.concat([signal_frames.LONG, respelled(signal_frames.LONG[1:3], AAPL="aapl ")])
    panel = read_signals(alike)
    assert panel.tickers == ("AAPL", "MSFT", "ZION", "aapl")
    assert panel.warnings == (f"signals: {ALIKE.format(1, 'AAPL and aapl')}",)
