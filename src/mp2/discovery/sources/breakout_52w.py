"""`breakout_52w`: a close above every close of the year before.

The rule:

- the last close is above the highest close of the `sessions` sessions before it;
- it is at most `max_above_pp` percent above: what has run further is late;
- its volume is at least `min_volume_ratio` times the mean of the `volume_days` sessions before it
  (0: volume is not checked and may be missing).

Priority: high when the volume is at least 1.5 times that mean, medium otherwise or when it is
unknown. Order: furthest above first.

Sources: T. George and C.-Y. Hwang, The 52-Week High and Momentum Investing, Journal of Finance 59
(2004), for the year's high as an anchor that prices stop at and then break; W. O'Neil, How to Make
Money in Stocks, for volume 40 to 50 percent above average as the sign of a true breakout.
"""

from __future__ import annotations

import math

from pydantic import Field

from mp2.discovery.sources._daily_bars import (
    BarScanner,
    BarSettings,
    Matches,
    Measures,
    Values,
    Wanted,
    rolling,
)

# From this ratio a breakout is urgent.
HIGH_VOLUME_RATIO = 1.5


class Breakout52w(BarScanner):
    """Tickers at a new high of the year."""

    name = "breakout_52w"
    pipeline = "momentum"
    summary = "a close above the highest close of the 52 weeks before"
    template = "close {close} is above the highest close of {sessions} sessions ({highest_close})"

    class Settings(BarSettings):
        """Lengths in sessions, `max_above_pp` in percent of the highest close."""

        sessions: int = Field(252, ge=20, le=2520)
        max_above_pp: float = Field(10.0, gt=0, le=1000)
        volume_days: int = Field(50, ge=5, le=500)
        min_volume_ratio: float = Field(0.0, ge=0, le=100)

    settings: Settings

    def needs_volume(self) -> bool:
        """Return whether the settings check volume."""
        return self.settings.min_volume_ratio > 0

    def series(self) -> Wanted:
        """Read the last session, and the highest close and mean volume up to the one before."""
        return {
            "close": ("close", 1),
            "highest": (rolling("MAX", "close", self.settings.sessions), 2),
            "volume": ("volume", 1),
            "mean_volume": (rolling("SMA", "volume", self.settings.volume_days), 2),
        }

    def apply(self, values: Values) -> Matches:
        """Compare the last session with those before it."""
        import numpy as np

        close = values["close"][:, -1]
        highest = values["highest"][:, 0]
        above_pp = 100 * (close / highest - 1)
        ratio = values["volume"][:, -1] / values["mean_volume"][:, 0]
        # A ratio to a mean of zero is unknown.
        volume_ratio = np.where(np.isfinite(ratio), ratio, np.nan)
        holds = (close > highest) & (above_pp <= self.settings.max_above_pp)
        if self.needs_volume():
            holds &= volume_ratio >= self.settings.min_volume_ratio
        measures = {
            "close": close,
            "highest_close": highest,
            "above_pp": above_pp,
            "volume_ratio": volume_ratio,
        }
        # False when the ratio is unknown.
        is_urgent = volume_ratio >= HIGH_VOLUME_RATIO
        return Matches(holds, above_pp, is_urgent, measures)

    def reason(self, measures: Measures) -> str:
        """Describe the close and the level it broke, and the volume when it is known."""
        reason = super().reason(measures)
        if math.isnan(measures["volume_ratio"]):
            return reason
        return f"{reason}, volume {measures['volume_ratio']:.1f} times the usual"
