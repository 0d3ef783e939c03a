"""`oversold_in_uptrend`: a short fall within a long rise.

The rule: Wilder's RSI of `rsi_period` sessions is below `rsi_below` while the close is above its mean of the last `sma_period`
sessions. A price that has not changed at all over the `rsi_period` sessions is not oversold: its RSI stays for ever where the
last move left it.

Priority: high when the RSI is below half of `rsi_below`, medium otherwise. Lowest RSI first.

Source: L. Connors and C. Alvarez, Short Term Trading Strategies That Work (2009): RSI(2) below 10, better below 5, above the
200-day average. For the usual reading of the RSI set `rsi_period = 14`, `rsi_below = 30`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from mp2.discovery.sources._daily_bars import BarScanner, BarSettings, price_text

if TYPE_CHECKING:
    from mp2.discovery.sources._daily_bars import BoolArray, FloatArray
    from mp2.signals.indicators import Series


class OversoldInUptrend(BarScanner):
    """Tickers that fell for some days and are still in a long rise."""

    name, pipeline = "oversold_in_uptrend", "reversal"
    summary = "a low RSI while the close is above its long mean"

    class Settings(BarSettings):
        """Lengths in sessions, `rsi_below` on the RSI's scale of 0..100."""

        rsi_period: int = Field(default=2, ge=2, le=100, strict=True)
        rsi_below: float = Field(default=10.0, gt=0, le=50, strict=True)
        sma_period: int = Field(default=200, ge=20, le=1000, strict=True)

    settings: Settings

    def series(self) -> Mapping[str, tuple[Series, int]]:
        """RSI and mean, and the closes whose changes the RSI counts most."""
        from mp2.signals import indicators

        return {
            "close": ("close", self.settings.rsi_period + 1),
            "rsi": (indicators.rsi(self.settings.rsi_period), 1),
            "mean": (indicators.sma(self.settings.sma_period), 1),
        }

    def measures(self, read: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The last session; an RSI of nothing is unknown."""
        import numpy as np

        close, mean = read["close"], read["mean"][:, -1]
        stood_still = close.max(axis=1) == close.min(axis=1)
        return {
            "close": close[:, -1],
            "rsi": np.where(stood_still, np.nan, read["rsi"][:, -1]),
            "mean": mean,
            "above_mean_pp": 100 * (close[:, -1] / mean - 1),
        }

    def holds(self, now: Mapping[str, FloatArray]) -> BoolArray:
        """Fallen, but not out of its trend."""
        return (now["rsi"] < self.settings.rsi_below) & (now["close"] > now["mean"])

    def strength(self, now: Mapping[str, FloatArray]) -> FloatArray:
        """How low."""
        return -now["rsi"]

    def priority(self, one: Mapping[str, float]) -> str:
        """By how low."""
        return "high" if one["rsi"] < self.settings.rsi_below / 2 else "medium"

    def reason(self, one: Mapping[str, float]) -> str:
        """`RSI(2) is 4.3 while the close 45.20 is 6.1% above its mean of 200 sessions (42.60)`."""
        trend = f"{one['above_mean_pp']:.1f}% above its mean of {self.settings.sma_period} sessions ({price_text(one['mean'])})"
        return f"RSI({self.settings.rsi_period}) is {one['rsi']:.1f} while the close {price_text(one['close'])} is {trend}"
