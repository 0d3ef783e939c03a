"""Pictures of results, as `plotly.graph_objects.Figure`; needs the extra `report`.

    figure = mp2.plot.votes(run.next_day)
    figure.show()
    figure.write_html("votes.html")
    figure.update_layout(template="mp2_dark")

Each function draws one picture of one result. The numbers behind it are those of the `to_frame` of
that result. Names of tickers, algorithms and scanners are shown as they are, never as markup.
"""

from __future__ import annotations

from mp2.reporting.pictures_market import candles, recent_signals, returns
from mp2.reporting.pictures_run import algorithms, days, variations, votes
from mp2.reporting.pictures_scan import scanners
from mp2.reporting.pictures_search import progress, runs, scores
from mp2.reporting.pictures_walk import value, weeks

__all__ = [
    "algorithms",
    "candles",
    "days",
    "progress",
    "recent_signals",
    "returns",
    "runs",
    "scanners",
    "scores",
    "value",
    "variations",
    "votes",
    "weeks",
]
