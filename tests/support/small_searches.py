"""A search that ends at once and keeps nearly everything, on bars of a few tickers."""

SMALL_GRIDS = """enabled = false
[EMA]
fast = [5, 8]
slow = [16, 22]
[RSI]
period = [2, 5]
level = [45, 50]
[SMA]
period = [13, 25]
margin = [0, 0.01]
"""
"""Of `--grids`: three algorithms with four variations each."""

LENIENT = {
    "min_daily_hits": 0,
    "min_pooled_pp": 0.0,
    "max_mad_pp": 100.0,
    "max_iqr_pp": 100.0,
    "max_cv_buys": 10.0,
    "min_wilson_lb": -100.0,
}
"""Rules that hardly any group breaks."""
