"""The outcome of picks: hit rate and return, compared with all tickers of the day.

Picks are held in equal parts by a rule of outcomes (`mp2.data.holding`); a hit is a return above 0.
One without a bar that day, halted or delisted, counts too: it is no hit, and its part gains
nothing. So does one without a bar on the next session, where the rule sells on it. Costs lower the
net return alone: hits and the comparison with the universe, which nobody trades, are without them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mp2._document import Texts
from mp2.data.arrays import FloatArray
from mp2.data.holding import Hold, check_same_hold, holding
from mp2.data.prices import PriceTable, as_prices, read_prices
from mp2.data.ticker_keys import N_EXAMPLES, guesses_text, joined, share_text
from mp2.errors import InputError, named
from mp2.picks.costs import check_cost, with_costs
from mp2.picks.records import QUANTILES, DayPicks, Outcome, PickStatus, Score


def score(
    picks: DayPicks,
    prices: Any,
    *,
    cost_bps: float | None = None,
    hold: Hold | None = None,
) -> Outcome:
    """Score the picks of every size and of the vote; `PickStatus.PENDING` until they are sold.

    `prices`: a price table, or what `read_prices` reads; bars after the sale do not count.
    `cost_bps`: what buying and selling cost each, in hundredths of a percent, by default that of
    the picks. They are scored by their own rule of outcomes: another `hold` is an `InputError`.

    An assumed day that turned out to be a holiday is scored on the next date of the file: there is
    no bar between them, so the signals are the same. Raises `InputError` for any other day that the
    file spans but does not have, and when no picked ticker has an outcome.
    """
    if cost_bps is None:
        cost_bps = picks.cost_bps
    check_cost(cost_bps)
    check_same_hold(hold, picks.hold, f"the pick for {picks.day}")
    rule = holding(picks.hold)
    table = as_prices(prices)
    dates = table.dates
    if picks.day > dates[-1]:
        return _pending(picks, f"{picks.day} has no bar yet; the prices end at {dates[-1]}")
    date_idx = bisect_left(dates, picks.day)
    session = dates[date_idx]
    notes = []
    if session != picks.day:
        if not picks.assumed or session == dates[0]:
            raise InputError(
                f"the prices have no bar on {picks.day}, though they cover {dates[0]} to "
                f"{dates[-1]}; use the file the picks came from"
            )
        # No bar lies between the two days, so the signals are the same.
        notes.append(f"{picks.day} was not a trading day; scored on {session}, the next one")
    # Picks whose exit is beyond the last date are pending.
    exit_idx = min(date_idx + rule.n_sessions, len(dates) - 1)
    table = _as_of(prices, table, dates[exit_idx])
    return _outcome_on(session, picks, table, notes, cost_bps)


def _outcome_on(
    session: str,
    picks: DayPicks,
    table: PriceTable,
    notes: list[str],
    cost_bps: float,
) -> Outcome:
    """Score picks that are bought on a session, by a table that ends when they are sold."""
    rule = holding(picks.hold)
    date_idx = table.date_idx(session)
    exits = rule.exits(table)
    if date_idx == exits.shape[1]:
        return _pending(picks, f"{session} is the last day of the prices; {rule.trade}")
    voted = [vote.ticker for vote in picks.votes]
    picked = {*picks.tickers(), *voted}
    spelling = joined(picked, table.tickers)
    entries = rule.entries(table)
    universe = Universe(
        table.tickers,
        entries[:, date_idx],
        exits[:, date_idx],
        spelling,
        cost_bps=cost_bps,
    )
    of_all = universe.score(picked)
    guesses = guesses_text(spelling)
    if guesses:
        notes.append(guesses)
    if of_all.unpriced:
        sold = ""
        if rule.n_sessions:
            sold = ", or on the session after it,"
        unpriced = f"no bar on {session}{sold} for {share_text(of_all.unpriced, of_all.n_tickers)}"
        # Likelier another file, or other names, than a day on which nothing traded.
        if not of_all.n_picks:
            examples = named(table.tickers, N_EXAMPLES)
            raise InputError(f"{unpriced}; the prices are of {examples}")
        notes.append(f"{unpriced}; they count as no hit")
    sizes: dict[int, Score | None] = dict.fromkeys(picks.picks)
    for size, pick in picks.picks.items():
        if pick:
            sizes[size] = universe.score(pick.tickers)
    all_sizes = None
    if picks.tickers():
        all_sizes = universe.score(picks.tickers())
    return Outcome(
        run_id=picks.run_id,
        day=picks.day,
        status=PickStatus.SCORED,
        session=session,
        n_universe=universe.n,
        universe_hit_rate_pp=universe.hit_rate_pp,
        universe_return_pp=universe.mean_return_pp,
        sizes=sizes,
        all_sizes=all_sizes,
        votes=universe.score(voted),
        note="; ".join(notes) or None,
        returns_pp=universe.returns_pp(picked),
        universe_quantiles_pp=universe.quantiles_pp(),
        hold=picks.hold,
    )


def _pending(picks: DayPicks, note: str) -> Outcome:
    return Outcome(
        run_id=picks.run_id,
        day=picks.day,
        status=PickStatus.PENDING,
        sizes=dict.fromkeys(picks.picks),
        note=note,
        hold=picks.hold,
    )


def _as_of(
    prices: Any,
    table: PriceTable,
    session: str,
) -> PriceTable:
    """Return the prices as they were known at the end of a session, where picks are sold.

    What later bars say about a ticker must not decide whether it counts.
    """
    if table.dates[-1] == session:
        return table
    if not isinstance(prices, PriceTable):
        return read_prices(prices, end=session)
    if table.origin is not None:
        return read_prices(table.origin.path, end=session, **table.origin.options)
    return table.until(session)


class Universe:
    """All tickers with an outcome on one day.

    `entry` and `exit` are float64[T], the prices at which they are bought and sold, NaN where there
    is none. `spelling`: what `tickers` has for names of tickers that are written differently
    elsewhere. `n` tickers have both prices; `hit_rate_pp` percent of them gained, and
    `mean_return_pp` is their mean return in percent, `spread_pp` its standard deviation; None
    without a ticker. `cost_bps` per side lowers the net returns of scores.
    """

    def __init__(
        self,
        tickers: Sequence[str],
        entry: FloatArray,
        exit: FloatArray,
        spelling: Texts | None = None,
        *,
        cost_bps: float = 0.0,
    ) -> None:
        self._spelling = spelling or {}
        self._cost_bps = cost_bps
        # A hit and a return need both prices.
        has_both = np.isfinite(entry) & np.isfinite(exit)
        valid = np.flatnonzero(has_both).tolist()
        self._index = {tickers[ticker]: i for i, ticker in enumerate(valid)}
        valid_entry = entry[valid]
        valid_exit = exit[valid]
        self._hits = valid_exit > valid_entry
        self._returns_pp = 100.0 * (valid_exit / valid_entry - 1.0)
        self.n = len(valid)
        self.hit_rate_pp: float | None = None
        self.mean_return_pp: float | None = None
        self.spread_pp: float | None = None
        if valid:
            self.hit_rate_pp = 100.0 * float(self._hits.mean())
            self.mean_return_pp = float(self._returns_pp.mean())
            self.spread_pp = float(self._returns_pp.std())

    def returns_pp(self, tickers: Iterable[str]) -> dict[str, float]:
        """Return the returns in percent of those of the tickers that have both prices."""
        returns_pp = {}
        for ticker in sorted(tickers):
            place = self._index.get(self._spelling.get(ticker, ticker))
            if place is not None:
                returns_pp[ticker] = float(self._returns_pp[place])
        return returns_pp

    def quantiles_pp(self) -> tuple[float, ...]:
        """Return the returns in percent at `QUANTILES`; empty without a ticker."""
        if not self.n:
            return ()
        return tuple(np.quantile(self._returns_pp, QUANTILES).tolist())

    def score(self, tickers: Iterable[str]) -> Score:
        """Compare some tickers with all; those without both prices are no hit and gain nothing."""
        picked = [self._spelling.get(ticker, ticker) for ticker in tickers]
        unpriced = []
        priced = []
        for ticker in picked:
            if ticker in self._index:
                priced.append(self._index[ticker])
            else:
                unpriced.append(ticker)
        score = Score(
            n_tickers=len(picked),
            n_picks=len(priced),
            n_unpriced=len(unpriced),
            unpriced=tuple(sorted(unpriced)),
        )
        # Without a rate on either side there is nothing to compare.
        if self.hit_rate_pp is None or self.mean_return_pp is None or not priced:
            return with_costs(score, self._cost_bps)
        n_hits = int(self._hits[priced].sum())
        hit_rate_pp = 100.0 * n_hits / len(picked)
        mean_return_pp = float(self._returns_pp[priced].sum()) / len(picked)
        score = replace(
            score,
            n_hits=n_hits,
            hit_rate_pp=hit_rate_pp,
            mean_return_pp=mean_return_pp,
            hit_difference_pp=hit_rate_pp - self.hit_rate_pp,
            return_difference_pp=mean_return_pp - self.mean_return_pp,
        )
        return with_costs(score, self._cost_bps)
