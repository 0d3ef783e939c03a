"""The record of nights, computed again from the files they left and the bars, without the package.

python recompute_record.py BARS.csv OUT
"""

import csv
import json
import sys
from bisect import bisect_left
from collections import defaultdict
from pathlib import Path
from statistics import fmean


def recompute(bars_path, out):
    """By session: tickers, hits and mean return of the picks of all sizes, and of all tickers.

    Rates and returns are in percent. A day that is not in the bars yet has no record.
    """
    returns = defaultdict(dict)
    with open(bars_path, newline="") as file:
        for bar in csv.DictReader(file):
            returns[bar["date"]][bar["ticker"]] = float(bar["close"]) / float(bar["open"]) - 1
    dates = sorted(returns)
    record = {}
    for folder in sorted(path for path in Path(out).iterdir() if path.is_dir()):
        night = json.loads((folder / "picks.json").read_text())
        at = bisect_left(dates, night["day"])
        if at == len(dates):
            continue
        tickers = {ticker for pick in night["picks"].values() if pick for ticker in pick["tickers"]}
        of_day = returns[dates[at]]
        gains = [of_day[ticker] for ticker in tickers]
        record[dates[at]] = {
            "n_tickers": len(tickers),
            "n_hits": sum(gain > 0 for gain in gains),
            "mean_return_pp": 100 * fmean(gains) if gains else None,
            "universe_hit_rate_pp": 100 * fmean(gain > 0 for gain in of_day.values()),
            "universe_return_pp": 100 * fmean(of_day.values()),
        }
    return record


def totals(record):
    """Means over the days with picks."""
    days = [day for day in record.values() if day["n_tickers"]]
    return {
        "n_days": len(days),
        "n_days_without": len(record) - len(days),
        "n_picks": sum(day["n_tickers"] for day in days),
        "n_hits": sum(day["n_hits"] for day in days),
        "hit_rate_pp": fmean(100 * day["n_hits"] / day["n_tickers"] for day in days),
        "universe_hit_rate_pp": fmean(day["universe_hit_rate_pp"] for day in days),
        "mean_return_pp": fmean(day["mean_return_pp"] for day in days),
        "universe_return_pp": fmean(day["universe_return_pp"] for day in days),
    }


if __name__ == "__main__":
    print(json.dumps(totals(recompute(*sys.argv[1:]))))
