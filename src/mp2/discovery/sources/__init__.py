"""The scanners that come with the package, one file per source."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from mp2.discovery.scanner import Scanner

BUILT_IN: tuple[str, ...] = (
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
"""`module:Class` within this package, in registration order; imported when first asked for."""


def built_in() -> tuple[type[Scanner], ...]:
    """The classes, in registration order."""
    return tuple(_load(path) for path in BUILT_IN)


def _load(path: str) -> type[Scanner]:
    module, _, name = path.partition(":")
    return cast("type[Scanner]", getattr(import_module(f"mp2.discovery.sources.{module}"), name))
