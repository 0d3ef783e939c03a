"""Bars that repeat the bar before, dates of few tickers, holes and ends: what counts as a day."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mp2.data.prices import PriceTable, read_prices
from mp2.data.sessions import next_session

PRICES = ["open", "high", "low", "close"]
FRIDAY = "2024-01-19"
HOLIDAY = "2024-01-17"  # a Wednesday


def market(n_tickers: int = 6, n_days: int = 15, *, first: str = "T", freq: str = "B"):
    """Random walks from Monday 2024-01-08 on, as pandas frame; weekdays, or all days."""
    rng = np.random.default_rng(n_tickers)
    dates = pd.date_range("2024-01-08", periods=n_days, freq=freq)
    frames = []
    for number in range(n_tickers):
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, n_days)))
        columns = {
            "open": close * 0.99,
            "high": close * 1.02,
            "low": close * 0.98,
            "close": close,
            "volume": rng.integers(1_000, 9_000, n_days).astype(float),
        }
        frames.append(pd.DataFrame({"date": dates, "ticker": f"{first}{number}", **columns}))
    return pd.concat(frames, ignore_index=True)


def filled(bars: pd.DataFrame, how: str = "copy") -> pd.DataFrame:
    """Put a market on calendar days, with copies of the last bar or flat rows at its close."""
    parts = []
    for _, part in bars.groupby("ticker"):
        days = part.set_index("date").asfreq("D")
        if how == "flat":
            days["close"] = days["close"].ffill()
            for name in PRICES[:3]:
                days[name] = days[name].fillna(days["close"])
            days["volume"] = days["volume"].fillna(0)
        parts.append(days.ffill().reset_index())
    return pd.concat(parts)


def repeated(
    bars: pd.DataFrame, at: pd.Series, *, flat: bool = False, **values: float
) -> pd.DataFrame:
    """Let some rows repeat the ticker's bar before, all prices or its close."""
    bars = bars.copy()
    for idx in np.flatnonzero(at):
        before = bars.loc[idx - 1, ["close"] * 4 if flat else PRICES]
        bars.loc[idx, PRICES] = before.to_numpy()
        for name, value in values.items():
            bars.loc[idx, name] = value
    return bars


def same(one: PriceTable, other: PriceTable) -> bool:
    return (one.dates, one.fingerprint) == (other.dates, other.fingerprint)


@pytest.mark.parametrize("n_tickers", [1, 3, 6])
@pytest.mark.parametrize("how", ["copy", "flat"])
def test_filled_weekends_are_no_days(n_tickers: int, how: str) -> None:
    plain = market(n_tickers)
    prices = read_prices(filled(plain, how))
    assert same(prices, read_prices(plain))
    (finding,) = prices.findings
    assert (finding.kind, finding.n, finding.done) == ("no_session", 4, "left out")
    assert (finding.first, finding.last) == ("2024-01-13", "2024-01-21")
    assert prices.warnings == (
        "prices: dates whose bars repeat the bar before (no trading days): 4, left out: "
        "2024-01-13, 2024-01-14, 2024-01-20, 2024-01-21",
    )


HOLIDAYS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "flat, without volume": lambda m: repeated(m, m.date == HOLIDAY, flat=True, volume=0),
    "copies with another volume": lambda m: repeated(m, m.date == HOLIDAY),
    "a stale last row": lambda m: repeated(m, m.date == m.date.max(), volume=np.nan),
    "all but one of 20": lambda m: repeated(m, (m.date == HOLIDAY) & (m.ticker != "T3")),
}


@pytest.mark.parametrize("case", HOLIDAYS)
def test_a_date_on_which_nobody_moves_is_none(case: str) -> None:
    plain = market(20)
    day = plain.date.max() if "last" in case else pd.Timestamp(HOLIDAY)
    prices = read_prices(HOLIDAYS[case](plain))
    assert same(prices, read_prices(plain[plain.date != day]))
    assert prices.warnings[0].endswith(f"1, left out: {day:%Y-%m-%d}")


def test_few_tickers_may_rest_on_a_weekday_but_not_without_volume() -> None:
    plain = market(3)
    holiday = plain.date == HOLIDAY
    rests = repeated(plain, holiday)
    assert len(read_prices(repeated(rests, holiday, volume=0)).dates) == 14
    prices = read_prices(rests)
    assert len(prices.dates) == 15
    assert prices.warnings == (
        f"prices: dates whose bars repeat the bar before, but not its volume: 1, kept: {HOLIDAY}",
    )


def test_a_share_of_stale_bars_makes_no_holiday() -> None:
    plain = market(20)
    some = plain.ticker.isin(["T0", "T1"])
    prices = read_prices(repeated(plain, (plain.date == HOLIDAY) & some))
    assert prices.dates == read_prices(plain).dates
    assert prices.findings == ()


@pytest.mark.parametrize("n_stale", [5, 6])
def test_a_flat_tail_is_not_tradable_from_its_second_bar_on(n_stale: int) -> None:
    plain = market(6)
    days = sorted(plain.date.unique())
    tail = repeated(plain, (plain.ticker == "T2") & (plain.date >= days[-n_stale]), flat=True)
    prices = read_prices(tail)
    assert np.isfinite(np.delete(prices.close, 2, axis=0)).all()
    if n_stale == 5:
        assert np.isfinite(prices.close[2]).all()
        assert prices.findings == ()
        return
    assert np.isfinite(prices.close[2]).tolist() == [True] * 10 + [False] * 5
    (finding,) = prices.findings
    assert (finding.kind, finding.n, finding.tickers) == ("stale", 5, ("T2",))
    assert finding.line == (
        "prices: bars that repeat the bar before, more than 5 in a row: 5, not tradable from the "
        "second on: T2; the first: T2 2024-01-22"
    )


def test_two_coins_among_stocks_cost_their_weekends() -> None:
    stocks = market(6)
    coins = market(2, 19, first="C", freq="D")
    prices = read_prices(pd.concat([stocks, coins]))
    assert prices.dates == read_prices(stocks).dates
    assert np.isfinite(prices.close).all()
    assert prices.warnings == (
        "prices: dates on which only a few tickers have a bar: 4, left out: 2024-01-13, "
        "2024-01-14, 2024-01-20, 2024-01-21; bars of C0, C1",
    )
    # The fill that such markets get to have the same dates.
    again = read_prices(pd.concat([filled(stocks), coins]))
    assert same(again, prices)
    assert [finding.kind for finding in again.findings] == ["filled", "odd_date"]


def test_coins_in_equal_parts_keep_their_weekends() -> None:
    prices = read_prices(pd.concat([filled(market(4)), market(4, 19, first="C", freq="D")]))
    assert prices.n_dates == 19
    weekend = [prices.dates.index(day) for day in ("2024-01-13", "2024-01-14")]
    assert np.isfinite(prices.close[:4, weekend]).all()
    assert np.isnan(prices.close[4:, weekend]).all()


def test_two_markets_may_have_different_holidays() -> None:
    here, there = market(8), market(8, first="U")
    both = pd.concat([here[here.date != HOLIDAY], there[there.date != FRIDAY]])
    prices = read_prices(both)
    assert prices.n_dates == 15
    assert prices.n_tickers == 16
    is_hole = np.isnan(prices.close)
    assert is_hole[:8].sum(axis=1).tolist() == [1] * 8
    assert np.isnan(prices.close[:8, prices.dates.index(HOLIDAY)]).all()
    assert np.isnan(prices.close[8:, prices.dates.index(FRIDAY)]).all()
    assert prices.warnings == (
        "prices: missing bars on dates that others have: 16, without signal and outcome: "
        f"T0, T1, T2, T3, T4, ...; the first: T0 {HOLIDAY}",
    )
    # Filled up to the dates of the other, they are the same.
    assert same(
        read_prices(filled(here[here.date != HOLIDAY])), read_prices(here[here.date != HOLIDAY])
    )


def test_tickers_that_end_are_used_up_to_then() -> None:
    plain = market(6)
    prices = read_prices(plain[(plain.ticker != "T1") | (plain.date < HOLIDAY)])
    assert np.isfinite(prices.close).sum(axis=1).tolist() == [15, 7, 15, 15, 15, 15]
    assert prices.warnings == (
        "prices: tickers whose bars end early: 1, used up to then: T1; the first: T1 2024-01-16",
    )


def test_the_next_date_after_an_end_is_a_session() -> None:
    plain = market(6)
    calendar = repeated(filled(plain).reset_index(drop=True), pd.Series(dtype=bool))
    prices = read_prices(calendar, end=FRIDAY)
    assert prices.dates[-1] == FRIDAY
    assert prices.next_date == "2024-01-22"
    holiday = repeated(plain, plain.date == HOLIDAY)
    assert read_prices(holiday, end="2024-01-16").next_date == "2024-01-18"
    assert read_prices(holiday, end="9999-12-31").next_date is None


def days(first: str, n: int, weekmask: str) -> list[str]:
    """`n` dates of a market that trades on some days of the week."""
    return [str(day) for day in np.busday_offset(first, range(n), "forward", weekmask)]


@pytest.mark.parametrize(
    ("dates", "following"),
    [
        (days("2020-01-06", 40, "1111100"), "2020-03-02"),  # ends on Friday
        (days("2020-01-06", 3, "1111100"), "2020-01-09"),  # too few to know the other weekdays
        (["2020-01-11"], "2020-01-13"),
        (days("2020-01-06", 40, "1111111"), "2020-02-15"),  # coins
        (days("2020-01-05", 35, "1111001"), "2020-02-23"),  # Sunday to Thursday
        ([*days("2020-01-06", 38, "1111100"), "2020-02-29"], "2020-03-02"),  # one odd Saturday
    ],
)
def test_the_next_session_follows_the_weekdays_with_bars(dates: list[str], following: str) -> None:
    assert next_session(dates) == following
