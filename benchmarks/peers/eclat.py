"""pyfim's eclat (Borgelt): variations are items, the winners of the scarcest day are transactions.

It finds every set of variations that reaches the floor on that day. numpy then drops the sets with
two variations of one algorithm, and those below the floor on another day. It reports no attempts,
because it does not count the sets it skips.
"""

from __future__ import annotations

import fim
import numpy as np

from mp2.data import bitset
from peers import Answer, Cut
from peers.groups import answer_for, by_size


def prepare(cut: Cut) -> tuple[Cut, list[list[int]]]:
    return cut, scarcest_day(cut)


def scarcest_day(cut: Cut) -> list[list[int]]:
    """Return the buyers of each winner, for the day with the fewest winning buys."""
    n_tickers = len(cut.panel.tickers)
    hits = bitset.count(cut.panel.buys & cut.panel.wins).sum(axis=0)
    day = int(np.argmin(hits))
    bought = bitset.unpack(cut.panel.buys[:, day] & cut.panel.wins[day], n_tickers)
    return [np.flatnonzero(column).tolist() for column in bought.T if column.any()]


def run(prepared: tuple[Cut, list[list[int]]]) -> Answer:
    cut, transactions = prepared
    rules = cut.rules
    found = fim.eclat(
        transactions, target="s", supp=-rules.min_daily_hits, zmin=2, zmax=rules.max_size, report=""
    )
    return answer_for(cut, by_size([items for (items,) in found], rules.max_size))
