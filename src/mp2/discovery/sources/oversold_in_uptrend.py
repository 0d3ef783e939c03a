"""`oversold_in_uptrend`: a short fall within a long rise.

The rule: Wilder's RSI of `rsi_period` sessions is below `rsi_below` while the close is above its
mean of the last `sma_period` sessions. A price that has not changed at all over the `rsi_period`
sessions is not oversold: its RSI stays where the last move left it.

Priority: high when the RSI is below half of `rsi_below`, medium otherwise. Order: lowest RSI first.

Source: L. Connors and C. Alvarez, Short Term Trading Strategies That Work (2009): RSI(2) below 10,
better below 5, above the 200-day average. For the usual reading of the RSI set `rsi_period = 14`,
`rsi_below = 30`.
"""

from __future__ import annotations

from pydantic import Field

from mp2.discovery.sources._daily_bars import (
    BarScanner,
    BarSettings,
    Matches,
    Values,
    Wanted,
)


class OversoldInUptrend(BarScanner):
    """Tickers that fell for some days and are still in a long rise."""

    name = "oversold_in_uptrend"
    pipeline = "reversal"
    summary = "a low RSI while the close is above its long mean"
    template = (
        "RSI({rsi_period}) is {rsi:.1f} while the close {close} is {above_mean_pp:.1f}% "
        "above its mean of {sma_period} sessions ({mean})"
    )

    class Settings(BarSettings):
        """Lengths in sessions, `rsi_below` on the RSI's scale of 0..100."""

        rsi_period: int = Field(2, ge=2, le=100)
        rsi_below: float = Field(10.0, gt=0, le=50)
        sma_period: int = Field(200, ge=20, le=1000)

    settings: Settings

    def series(self) -> Wanted:
        """Read RSI and mean, and the closes whose changes the RSI weighs most."""
        from mp2.signals import indicators

        return {
            "close": ("close", self.settings.rsi_period + 1),
            "rsi": (indicators.rsi(self.settings.rsi_period), 1),
            "mean": (indicators.sma(self.settings.sma_period), 1),
        }

    def apply(self, values: Values) -> Matches:
        """Find a low RSI above the mean, at the last session."""
        import numpy as np

        closes = values["close"]
        close = closes[:, -1]
        mean = values["mean"][:, -1]
        has_moved = closes.max(axis=1) != closes.min(axis=1)
        rsi = np.where(has_moved, values["rsi"][:, -1], np.nan)
        holds = (rsi < self.settings.rsi_below) & (close > mean)
        above_mean_pp = 100 * (close / mean - 1)
        measures = {
            "close": close,
            "rsi": rsi,
            "mean": mean,
            "above_mean_pp": above_mean_pp,
        }
        is_urgent = rsi < self.settings.rsi_below / 2
        return Matches(holds, -rsi, is_urgent, measures)
