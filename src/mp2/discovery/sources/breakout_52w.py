"""`breakout_52w`: a close above every close of the year before.

The rule:

- the last close is above the highest close of the `sessions` sessions before it, itself not among them;
- it is at most `max_above_pp` percent above: what has run further is late;
- its volume is at least `min_volume_ratio` times the mean of the `volume_days` sessions before it (0: volume does not matter
  and may be missing).

Priority: high when the volume is at least 1.5 times that mean, medium otherwise or when it is unknown. Furthest above first.

Sources: T. George and C.-Y. Hwang, The 52-Week High and Momentum Investing, Journal of Finance 59 (2004), for the year's high
as an anchor that prices stop at and then break; W. O'Neil, How to Make Money in Stocks, for volume 40 to 50 percent above
average as what tells a true breakout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from mp2.discovery.sources._daily_bars import BarScanner, BarSettings, price_text

if TYPE_CHECKING:
    from mp2.discovery.sources._daily_bars import BoolArray, FloatArray
    from mp2.signals.indicators import Series

HIGH_VOLUME_RATIO = 1.5
"""From here on a breakout is urgent."""


class Breakout52w(BarScanner):
    """Tickers at a new high of the year."""

    name, pipeline = "breakout_52w", "momentum"
    summary = "a close above the highest close of the 52 weeks before"

    class Settings(BarSettings):
        """Lengths in sessions, `max_above_pp` in percent of the highest close."""

        sessions: int = Field(default=252, ge=20, le=2520, strict=True)
        max_above_pp: float = Field(default=10.0, gt=0, le=1000, strict=True)
        volume_days: int = Field(default=50, ge=5, le=500, strict=True)
        min_volume_ratio: float = Field(default=0.0, ge=0, le=100, strict=True)

    settings: Settings

    @property
    def needs_volume(self) -> bool:
        """Whether the settings ask for volume."""
        return self.settings.min_volume_ratio > 0

    def series(self) -> Mapping[str, tuple[Series, int]]:
        """The last session, and the highest close and the mean volume up to the one before."""
        from mp2.signals.indicators import Indicator

        sessions, days = self.settings.sessions, self.settings.volume_days
        return {
            "close": ("close", 1),
            "highest": (
                Indicator(f"close MAX({sessions})", "MAX", ("close",), (sessions,), sessions - 1),
                2,
            ),
            "volume": ("volume", 1),
            "usual": (Indicator(f"volume SMA({days})", "SMA", ("volume",), (days,), days - 1), 2),
        }

    def measures(self, read: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The last session against what was before it."""
        close, highest = read["close"][:, -1], read["highest"][:, 0]
        return {
            "close": close,
            "highest_close": highest,
            "above_pp": 100 * (close / highest - 1),
            "volume_ratio": _finite(read["volume"][:, -1] / read["usual"][:, 0]),
        }

    def holds(self, now: Mapping[str, FloatArray]) -> BoolArray:
        """A new high, not too far above the old one, with volume where that is asked for."""
        least = self.settings.min_volume_ratio
        enough = (now["volume_ratio"] >= least) | (least == 0)
        return (
            (now["close"] > now["highest_close"])
            & (now["above_pp"] <= self.settings.max_above_pp)
            & enough
        )

    def strength(self, now: Mapping[str, FloatArray]) -> FloatArray:
        """How far above."""
        return now["above_pp"]

    def priority(self, one: Mapping[str, float]) -> str:
        """By the volume."""
        return "high" if one["volume_ratio"] >= HIGH_VOLUME_RATIO else "medium"

    def reason(self, one: Mapping[str, float]) -> str:
        """`close 45.20 is above the highest close of 252 sessions (44.90), volume 1.8 times the usual`."""
        before = f"the highest close of {self.settings.sessions} sessions ({price_text(one['highest_close'])})"
        volume = (
            ""
            if math.isnan(one["volume_ratio"])
            else f", volume {one['volume_ratio']:.1f} times the usual"
        )
        return f"close {price_text(one['close'])} is above {before}{volume}"


def _finite(ratio: FloatArray) -> FloatArray:
    """A ratio to nothing is unknown."""
    import numpy as np

    return np.where(np.isfinite(ratio), ratio, np.nan)
