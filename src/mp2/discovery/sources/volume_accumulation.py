"""`volume_accumulation`: net buying in large volume while the price has hardly moved.

The rule, on the last `days` sessions against the `base_days` sessions before them:

- their mean volume is at least `min_ratio` times the mean volume before: the effort;
- of their volume at least the share `min_net_share` was net buying, as Granville's on-balance
  volume counts it: (volume of days that closed higher - volume of days that closed lower) / volume
  of all of them;
- the close moved by at most `max_move_pp` percent either way over them: the result is still to
  come.

Priority: high when the ratio is at least twice `min_ratio`, medium otherwise. Order: most net
volume relative to the base first.

Sources: J. Granville, New Key to Stock Market Profits (1963), for on-balance volume as the
forerunner of price; Wyckoff's law of effort and result for volume without movement.
"""

from __future__ import annotations

from pydantic import Field

from mp2.discovery.sources._daily_bars import (
    BarScanner,
    BarSettings,
    Matches,
    Values,
    Wanted,
    rolling,
)


class VolumeAccumulation(BarScanner):
    """Tickers that are bought in volume at a price that stands still."""

    name = "volume_accumulation"
    pipeline = "volume"
    summary = "net buying in unusual volume while the price has hardly moved"
    template = (
        "volume of {days} sessions is {volume_ratio:.1f} times the usual, "
        "{net_share:.0%} of it net buying, at a close of {close} ({move_pp:+.1f}%)"
    )

    class Settings(BarSettings):
        """Lengths in sessions, `max_move_pp` in percent of the close."""

        days: int = Field(5, ge=2, le=60)
        base_days: int = Field(60, ge=5, le=500)
        min_ratio: float = Field(1.5, ge=1, le=100)
        min_net_share: float = Field(0.3, ge=0, le=1)
        max_move_pp: float = Field(5.0, gt=0, le=100)

    settings: Settings

    def needs_volume(self) -> bool:
        """Return True: the rule compares volumes."""
        return True

    def series(self) -> Wanted:
        """Read volume summed over the days, its mean over the base, and on-balance volume."""
        from mp2.signals.indicators import Indicator

        days = self.settings.days
        return {
            "close": ("close", days + 1),
            "volume": (rolling("SUM", "volume", days), 1),
            "base": (rolling("SMA", "volume", self.settings.base_days), days + 1),
            "obv": (Indicator("OBV", "OBV", ("close", "volume")), days + 1),
        }

    def apply(self, values: Values) -> Matches:
        """Compare the last days with the base that ends before them."""
        settings = self.settings
        close_before = values["close"][:, 0]
        close = values["close"][:, -1]
        move_pp = 100 * (close / close_before - 1)
        volume = values["volume"][:, -1]
        volume_ratio = volume / settings.days / values["base"][:, 0]
        obv = values["obv"]
        net_share = (obv[:, -1] - obv[:, 0]) / volume
        # The ratio to a base of zero is infinite and measures nothing.
        has_effort = (volume_ratio >= settings.min_ratio) & (volume_ratio < float("inf"))
        is_bought = net_share >= settings.min_net_share
        has_no_result = abs(move_pp) <= settings.max_move_pp
        measures = {
            "close": close,
            "move_pp": move_pp,
            "volume_ratio": volume_ratio,
            "net_share": net_share,
        }
        holds = has_effort & is_bought & has_no_result
        is_urgent = volume_ratio >= 2 * settings.min_ratio
        return Matches(holds, volume_ratio * net_share, is_urgent, measures)
