"""`volatility_contraction`: a price in a rise that has gone quiet.

The rule, as of the last session:

- Bollinger's bandwidth, 2 x `width` standard deviations of `band_period` closes in percent of their mean, was lower in at most
  `max_percentile` percent of the last `lookback` sessions;
- the average true range (Wilder, `atr_period`, in percent of the close) is at most `max_atr_ratio` times its own mean over
  the last `lookback` sessions;
- the close is above its mean of the last `trend_period` sessions, so that what contracts is a rise.

A ticker that did not move at all for `band_period` sessions at some time of the lookback is left out: no trading is no calm.

Priority: high when no session of the lookback had a lower bandwidth, medium otherwise. Most contracted range first.

Sources: J. Bollinger, Bollinger on Bollinger Bands (2001), for the squeeze: bandwidth at its low of six months; M. Minervini,
Trade Like a Stock Market Wizard (2013), for volatility contracting within a long rise (VCP), whose measurable part this is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from mp2.discovery.sources._daily_bars import BarScanner, BarSettings, price_text

if TYPE_CHECKING:
    from mp2.discovery.sources._daily_bars import BoolArray, FloatArray
    from mp2.signals.indicators import Series


class VolatilityContraction(BarScanner):
    """Tickers that move less than they have for long, above their long mean."""

    name, pipeline = "volatility_contraction", "volatility"
    summary = "bandwidth and range at their low of six months, in a long rise"

    class Settings(BarSettings):
        """Lengths in sessions; `width` in standard deviations, `max_percentile` in percent of sessions."""

        band_period: int = Field(default=20, ge=5, le=250, strict=True)
        width: float = Field(default=2.0, gt=0, le=10, strict=True)
        atr_period: int = Field(default=14, ge=2, le=100, strict=True)
        lookback: int = Field(default=126, ge=20, le=1260, strict=True)
        max_percentile: float = Field(default=5.0, ge=0, lt=100, strict=True)
        max_atr_ratio: float = Field(default=0.8, gt=0, le=10, strict=True)
        trend_period: int = Field(default=200, ge=20, le=1000, strict=True)

    settings: Settings

    def series(self) -> Mapping[str, tuple[Series, int]]:
        """Deviation and mean of the bands and range over the lookback, the last session among it; long mean."""
        from mp2.signals import indicators

        lookback = self.settings.lookback
        return {
            "close": ("close", 1),
            "deviation": (indicators.deviation(self.settings.band_period), lookback),
            "middle": (indicators.sma(self.settings.band_period), lookback),
            "atr_pp": (indicators.natr(self.settings.atr_period), lookback),
            "mean": (indicators.sma(self.settings.trend_period), 1),
        }

    def measures(self, read: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The last session among those of the lookback; a lookback with an unknown bandwidth ranks nothing."""
        import numpy as np

        bandwidth = 100 * 2 * self.settings.width * read["deviation"] / read["middle"]
        n_lower = (bandwidth < bandwidth[:, -1:]).sum(axis=1)
        known = np.isfinite(bandwidth).all(axis=1)
        return {
            "close": read["close"][:, -1],
            "bandwidth_pp": bandwidth[:, -1],
            "percentile": np.where(known, 100 * n_lower / bandwidth.shape[1], np.nan),
            "atr_pp": read["atr_pp"][:, -1],
            "atr_ratio": read["atr_pp"][:, -1] / read["atr_pp"].mean(axis=1),
            "mean": read["mean"][:, -1],
        }

    def holds(self, now: Mapping[str, FloatArray]) -> BoolArray:
        """Quiet by both measures, in a rise."""
        quiet = (now["percentile"] <= self.settings.max_percentile) & (
            now["atr_ratio"] <= self.settings.max_atr_ratio
        )
        return quiet & (now["close"] > now["mean"])

    def strength(self, now: Mapping[str, FloatArray]) -> FloatArray:
        """How much the range has contracted."""
        return -now["atr_ratio"]

    def priority(self, one: Mapping[str, float]) -> str:
        """By the rank of the bandwidth."""
        return "high" if one["percentile"] == 0 else "medium"

    def reason(self, one: Mapping[str, float]) -> str:
        """`bandwidth 4.1% was lower in 2% of 126 sessions, range 1.1% is 0.62 of its mean, close 45.20 is above ...`."""
        band = f"bandwidth {one['bandwidth_pp']:.1f}% was lower in {one['percentile']:.0f}% of {self.settings.lookback} sessions"
        trend = f"close {price_text(one['close'])} is above its mean of {self.settings.trend_period} ({price_text(one['mean'])})"
        return f"{band}, range {one['atr_pp']:.1f}% is {one['atr_ratio']:.2f} of its mean, {trend}"
