"""The pages with examples, and what their examples take for granted."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from market_bars import walk
from small_searches import LENIENT, SMALL_GRIDS

import mp2
from mp2.data.prices import PriceTable, to_frame

ROOT = Path(__file__).parents[2]
SCANNER_PACKAGE = ROOT / "examples" / "mp2-scanner-example"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
if PAGES:
    PAGES += [ROOT / "README.md", SCANNER_PACKAGE / "README.md"]


def files_of_a_user(folder: Path) -> PriceTable:
    """Write prices, signals, a watch list and a store with a scored run; return the prices.

    So few tickers reach the floor of hits in a day that a search of the default grids is quick.
    """
    prices = walk(34, 150)
    to_frame(prices).write_parquet(folder / "prices.parquet")
    grids = folder / "grids.toml"
    grids.write_text(SMALL_GRIDS)
    signals = mp2.compute_signals(prices, n_days=5, grids=mp2.load_grids(grids)).to_frame()
    signals.write_parquet(folder / "signals.parquet")
    signals.write_csv(folder / "signals.csv")
    (folder / "watch.csv").write_text("ticker,reason\nKO,steady as ever\n")
    run = mp2.run(
        prices.until(prices.dates[-2]),
        grids=grids,
        rules=mp2.Rules(max_size=2, retain_sizes=(2,), **LENIENT),
        store=folder / "mp2.db",
        replicates=0,
    )
    with mp2.Store(folder / "mp2.db") as store:
        store.save_outcome(run.result.run_id, mp2.score(run.next_day, prices))
    return prices


def names_of_a_page(prices: PriceTable, panel: mp2.SignalPanel) -> dict[str, object]:
    """The names that examples use and do not define."""
    entries = pd.DataFrame(
        {"algo": "RSI", "variation": "2-10", "day": prices.dates[-4], "ticker": prices.tickers}
    )
    return {
        "mp2": mp2,
        "prices": prices,
        "panel": panel,
        "entries": entries,
        "price": pd.DataFrame(prices.close.T, list(prices.dates), list(prices.tickers)),
        "has_quantstats": find_spec("quantstats") is not None,
        "vbt": SimpleNamespace(MA=MovingAverages, RSI=Strength),
    }


class MovingAverages:
    """As much of `vbt.MA` as the example uses: its frames have the same levels of columns."""

    def __init__(self, price, windows):
        self.price = price
        self.windows = windows

    @classmethod
    def run_combs(cls, price, window, r, short_names):
        pairs = [(fast, slow) for fast in window for slow in window if fast < slow]
        return cls(price, pairs), cls(price, pairs)

    def ma_crossed_above(self, other):
        return with_levels(self.price, self.windows, ["fast_window", "slow_window"])


class Strength:
    """As much of `vbt.RSI` as the example uses."""

    @classmethod
    def run(cls, price, window):
        strength = cls()
        strength.price = price
        strength.windows = [(length,) for length in window]
        return strength

    def rsi_below(self, level):
        return with_levels(self.price, self.windows, ["rsi_window"])


def with_levels(price, windows, names):
    """Entries of each window, every third day."""
    is_buy = np.zeros(price.shape, bool)
    is_buy[::3] = True
    frames = [pd.DataFrame(is_buy, price.index, price.columns) for _ in windows]
    return pd.concat(frames, axis=1, keys=windows, names=names)
