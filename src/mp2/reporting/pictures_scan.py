"""The picture of a scan: when each scanner ran, and how it ended."""

from __future__ import annotations

from typing import Any

from mp2.discovery.records import ANSWERED, ScanOutcome, ScanResult
from mp2.errors import counted
from mp2.reporting.theme import (
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    column,
    label,
    labels,
    new_figure,
)

_ROW_PX = 26

# How an end looks: colour and, for who sees no colours, a pattern.
_LOOKS = {
    "candidates": (BLUE, ""),
    "no candidate": (GREEN, "."),
    "failed": (VERMILLION, "/"),
    "not run": (GREY, "x"),
}


def scanners(result: ScanResult) -> Any:
    """Draw when each scanner of a scan ran: plain bars have candidates, striped ones failed."""
    figure = new_figure(
        "Scanners over time",
        110 + _ROW_PX * max(len(result.outcomes), 3),
        xaxis={"title": {"text": "seconds since the start"}, "rangemode": "tozero"},
        yaxis={
            "autorange": "reversed",
            "showgrid": False,
            "type": "category",
            # Otherwise the scanners of the first kind would come first.
            "categoryorder": "array",
            "categoryarray": labels(result.outcomes, "scanner"),
        },
        barmode="overlay",
    )
    for kind, (colour, pattern) in _LOOKS.items():
        outcomes = [one for one in result.outcomes if _kind(one) == kind]
        if not outcomes:
            continue
        starts = []
        texts = []
        for one in outcomes:
            # Both are measured, so a scanner of no time may end before it starts.
            starts.append(max(0.0, one.ended_s - one.seconds))
            message = counted(one.n_candidates, "candidate")
            if one.error is not None:
                message = one.error.message
            texts.append(label(f"{one.status}: {message}", whole=True))
        figure.add_bar(
            y=labels(outcomes, "scanner"),
            base=starts,
            x=column(outcomes, "seconds"),
            customdata=texts,
            orientation="h",
            marker={"color": colour, "pattern": {"shape": pattern, "solidity": 0.3}},
            name=kind,
            hovertemplate="%{y}: %{x:.2f} s<br>%{customdata}<extra></extra>",
        )
    return figure


def _kind(outcome: ScanOutcome) -> str:
    if outcome.failed:
        return "failed"
    if outcome.status not in ANSWERED:
        return "not run"
    return "candidates" if outcome.n_candidates else "no candidate"
