"""`volatility_contraction`: a price in a rise that has become quiet.

The rule, as of the last session:

- Bollinger's bandwidth, 2 x `width` standard deviations of `band_period` closes in percent of their
  mean, was lower in at most `max_percentile` percent of the last `lookback` sessions;
- the average true range (Wilder, `atr_period`, in percent of the close) is at most `max_atr_ratio`
  times its own mean over the last `lookback` sessions;
- the close is above its mean of the last `trend_period` sessions, so that what contracts is a rise.

A ticker that did not move at all for `band_period` sessions at some time of the lookback is left
out: a halt in trading is not a contraction.

Priority: high when no session of the lookback had a lower bandwidth, medium otherwise. Order: most
contracted range first.

Sources: J. Bollinger, Bollinger on Bollinger Bands (2001), for the squeeze: bandwidth at its low of
six months; M. Minervini, Trade Like a Stock Market Wizard (2013), for volatility contracting within
a long rise (VCP), whose measurable part this is.
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


class VolatilityContraction(BarScanner):
    """Tickers that move less than they have for long, above their long mean."""

    name = "volatility_contraction"
    pipeline = "volatility"
    summary = "bandwidth and range at their low of six months, in a long rise"
    template = (
        "bandwidth {bandwidth_pp:.1f}% was lower in {percentile:.0f}% of {lookback} sessions, "
        "range {atr_pp:.1f}% is {atr_ratio:.2f} of its mean, "
        "close {close} is above its mean of {trend_period} ({mean})"
    )

    class Settings(BarSettings):
        """Lengths in sessions; `width` in standard deviations, `max_percentile` in percent."""

        band_period: int = Field(20, ge=5, le=250)
        width: float = Field(2.0, gt=0, le=10)
        atr_period: int = Field(14, ge=2, le=100)
        lookback: int = Field(126, ge=20, le=1260)
        max_percentile: float = Field(5.0, ge=0, lt=100)
        max_atr_ratio: float = Field(0.8, gt=0, le=10)
        trend_period: int = Field(200, ge=20, le=1000)

    settings: Settings

    def series(self) -> Wanted:
        """Read the bands and the range over the lookback, and the long mean."""
        from mp2.signals import indicators

        settings = self.settings
        return {
            "close": ("close", 1),
            "deviation": (indicators.deviation(settings.band_period), settings.lookback),
            "middle": (indicators.sma(settings.band_period), settings.lookback),
            "atr_pp": (indicators.natr(settings.atr_period), settings.lookback),
            "mean": (indicators.sma(settings.trend_period), 1),
        }

    def apply(self, values: Values) -> Matches:
        """Rank the last session among those of the lookback."""
        import numpy as np

        settings = self.settings
        close = values["close"][:, -1]
        mean = values["mean"][:, -1]
        bandwidth = 100 * 2 * settings.width * values["deviation"] / values["middle"]
        n_lower = (bandwidth < bandwidth[:, -1:]).sum(axis=1)
        # The deviation is NaN where the price stood still.
        is_known = np.isfinite(bandwidth).all(axis=1)
        percentile = np.where(is_known, 100 * n_lower / settings.lookback, np.nan)
        atr_pp = values["atr_pp"]
        atr_ratio = atr_pp[:, -1] / atr_pp.mean(axis=1)
        is_quiet = percentile <= settings.max_percentile
        is_quiet &= atr_ratio <= settings.max_atr_ratio
        measures = {
            "close": close,
            "bandwidth_pp": bandwidth[:, -1],
            "percentile": percentile,
            "atr_pp": atr_pp[:, -1],
            "atr_ratio": atr_ratio,
            "mean": mean,
        }
        return Matches(is_quiet & (close > mean), -atr_ratio, percentile == 0, measures)
