"""`volume_accumulation`: somebody buys a lot, and the price has hardly moved yet.

The rule, on the last `days` sessions against the `base_days` sessions before them:

- their mean volume is at least `min_ratio` times the mean volume before: the effort;
- of their volume at least the share `min_net_share` was net buying, as Granville's on-balance volume counts it: (volume of
  days that closed higher - volume of days that closed lower) / volume of all of them;
- the close moved by at most `max_move_pp` percent either way over them: the result is still to come.

Priority: high when the ratio is at least twice `min_ratio`, medium otherwise. Most net volume relative to the base first.

Sources: J. Granville, New Key to Stock Market Profits (1963), for on-balance volume as the forerunner of price; Wyckoff's law
of effort and result for volume without movement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from mp2.discovery.sources._daily_bars import BarScanner, BarSettings, price_text

if TYPE_CHECKING:
    from mp2.discovery.sources._daily_bars import BoolArray, FloatArray
    from mp2.signals.indicators import Series


class VolumeAccumulation(BarScanner):
    """Tickers that are bought in volume at a price that stands still."""

    name, pipeline = "volume_accumulation", "volume"
    summary = "net buying in unusual volume while the price has hardly moved"

    class Settings(BarSettings):
        """Lengths in sessions, `max_move_pp` in percent of the close."""

        days: int = Field(default=5, ge=2, le=60, strict=True)
        base_days: int = Field(default=60, ge=5, le=500, strict=True)
        min_ratio: float = Field(default=1.5, ge=1, le=100, strict=True)
        min_net_share: float = Field(default=0.3, ge=0, le=1, strict=True)
        max_move_pp: float = Field(default=5.0, gt=0, le=100, strict=True)

    settings: Settings

    @property
    def needs_volume(self) -> bool:
        """It is what all is about."""
        return True

    def series(self) -> Mapping[str, tuple[Series, int]]:
        """Volume summed over the days, its mean over the base, on-balance volume."""
        from mp2.signals.indicators import Indicator

        days, base_days = self.settings.days, self.settings.base_days
        return {
            "close": ("close", days + 1),
            "volume": (Indicator(f"volume SUM({days})", "SUM", ("volume",), (days,), days - 1), 1),
            "base": (
                Indicator(
                    f"volume SMA({base_days})", "SMA", ("volume",), (base_days,), base_days - 1
                ),
                days + 1,
            ),
            "obv": (Indicator("OBV", "OBV", ("close", "volume")), days + 1),
        }

    def measures(self, read: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The last days against the base that ends before them."""
        close, volume, base, obv = (
            read["close"],
            read["volume"][:, -1],
            read["base"][:, 0],
            read["obv"],
        )
        return {
            "close": close[:, -1],
            "move_pp": 100 * (close[:, -1] / close[:, 0] - 1),
            "volume_ratio": volume / self.settings.days / base,
            "net_share": (obv[:, -1] - obv[:, 0]) / volume,
        }

    def holds(self, now: Mapping[str, FloatArray]) -> BoolArray:
        """Effort without result; a volume without a base is no measure of effort."""
        busy = (now["volume_ratio"] >= self.settings.min_ratio) & (
            now["volume_ratio"] < float("inf")
        )
        return (
            busy
            & (now["net_share"] >= self.settings.min_net_share)
            & (abs(now["move_pp"]) <= self.settings.max_move_pp)
        )

    def strength(self, now: Mapping[str, FloatArray]) -> FloatArray:
        """Net volume in units of the base."""
        return now["volume_ratio"] * now["net_share"]

    def priority(self, one: Mapping[str, float]) -> str:
        """By the volume."""
        return "high" if one["volume_ratio"] >= 2 * self.settings.min_ratio else "medium"

    def reason(self, one: Mapping[str, float]) -> str:
        """`volume of 5 sessions is 2.1 times the usual, 64% of it net buying, at a close of 45.20 (+0.8%)`."""
        effort = (
            f"volume of {self.settings.days} sessions is {one['volume_ratio']:.1f} times the usual"
        )
        close = f"{price_text(one['close'])} ({one['move_pp']:+.1f}%)"
        return f"{effort}, {one['net_share']:.0%} of it net buying, at a close of {close}"
