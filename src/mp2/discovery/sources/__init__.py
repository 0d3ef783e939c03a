"""The built-in scanners, one file per source; modules that begin with `_` hold what they share."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mp2.discovery.scanner import Scanner

# `module:Class` within this package, in registration order. The modules are imported when the
# classes are wanted: the command line starts without them.
BUILT_IN = (
    "market_movers:MarketMovers",
    "insider_buying:InsiderBuying",
    "filings:Filings",
    "reddit_trending:RedditTrending",
    "news:News",
    "fundamentals:Fundamentals",
    "sql:Sql",
    "volume_accumulation:VolumeAccumulation",
    "breakout_52w:Breakout52w",
    "oversold_in_uptrend:OversoldInUptrend",
    "volatility_contraction:VolatilityContraction",
)


def built_in() -> tuple[type[Scanner], ...]:
    """Return the classes, in registration order."""
    scanners = []
    for path in BUILT_IN:
        module, _, name = path.partition(":")
        scanners.append(getattr(import_module(f"{__name__}.{module}"), name))
    return tuple(scanners)
