"""A price file that grows by a day, and the night that is run on it."""

from market_bars import walk, weekdays

import mp2
from mp2.data.prices import to_frame

FIRST = 60
"""The dates that the file has in the first night."""

GRIDS = """enabled = false
[EMA]
fast = [5, 8]
slow = 16
[SMA]
period = [13, 20]
margin = 0
[RSI]
period = 9
level = [50, 60]
"""
RULES = mp2.Rules(
    min_daily_hits=0,
    max_size=3,
    min_pooled_pp=0.0,
    max_mad_pp=100.0,
    max_iqr_pp=100.0,
    max_cv_buys=10.0,
    min_wilson_lb=-100.0,
)


class Nights:
    """Bars of a random walk in `folder`, of which a night sees the first so many dates.

    `holiday`: the index of a weekday without bars.
    """

    def __init__(self, folder, n_dates=110, n_tickers=20, holiday=None):
        self.folder = folder
        self.frame = to_frame(walk(n_tickers, n_dates))
        self.days = weekdays(n_dates)
        if holiday is not None:
            day = self.days.pop(holiday)
            self.frame = self.frame.filter(self.frame["date"].cast(str) != day)
        self.bars = folder / "bars.csv"
        self.out = folder / "picks"
        self.db = folder / "nights.db"
        (folder / "grids.toml").write_text(GRIDS)

    def grow(self, n_dates):
        """Let the file have the first `n_dates` dates."""
        last = self.days[n_dates - 1]
        rows = self.frame.filter(self.frame["date"].cast(str) <= last)
        rows.write_csv(self.bars)

    def run(self, n_dates=None, **settings):
        """A night on these dates."""
        if n_dates is not None:
            self.grow(n_dates)
        given = {"with_scan": False, "workers": 1, "replicates": 0, "rules": RULES, **settings}
        return mp2.daily(
            self.bars, store=self.db, out=self.out, grids=self.folder / "grids.toml", **given
        )
