"""The picture of a scan: when each scanner ran, and how it ended."""

from __future__ import annotations

from typing import Any

from mp2.discovery.records import OutcomeStatus, ScanResult
from mp2.reporting.theme import BLUE, GREEN, GREY, VERMILLION, graph_objects, label, new_figure

_ROW_PX = 26


def scanners(result: ScanResult) -> Any:
    """Draw when each scanner of a scan ran: blue bars have candidates, striped ones failed."""
    go = graph_objects()
    figure = new_figure(
        "Scanners over time",
        110 + _ROW_PX * max(len(result.outcomes), 3),
        xaxis={"title": {"text": "seconds since the start"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
        barmode="overlay",
    )
    kinds = (
        ("candidates", BLUE, "", [one for one in result.outcomes if one.n_candidates]),
        ("no candidate", GREEN, ".", [one for one in result.outcomes if _is_empty(one)]),
        ("failed", VERMILLION, "/", [one for one in result.outcomes if one.failed]),
        ("not run", GREY, "x", [one for one in result.outcomes if _is_not_run(one)]),
    )
    order = [label(one.scanner) for one in result.outcomes]
    for name, colour, shape, outcomes in kinds:
        if not outcomes:
            continue
        texts = []
        for one in outcomes:
            message = one.error.message if one.error else f"{one.n_candidates} candidates"
            texts.append(label(f"{one.status}: {message}", whole=True))
        figure.add_trace(
            go.Bar(
                y=[label(one.scanner) for one in outcomes],
                base=[max(0.0, one.ended_s - one.seconds) for one in outcomes],
                x=[one.seconds for one in outcomes],
                text=[f"{one.n_candidates or ''}" for one in outcomes],
                customdata=texts,
                orientation="h",
                marker={"color": colour, "pattern": {"shape": shape, "solidity": 0.3}},
                name=name,
                hovertemplate="%{y}: %{x:.2f} s<br>%{customdata}<extra></extra>",
            )
        )
    figure.update_yaxes(categoryorder="array", categoryarray=order)
    return figure


def _is_empty(outcome: Any) -> bool:
    is_silent = not outcome.failed and not outcome.n_candidates
    return is_silent and not _is_not_run(outcome)


def _is_not_run(outcome: Any) -> bool:
    return outcome.status in (
        OutcomeStatus.SKIPPED,
        OutcomeStatus.DISABLED,
        OutcomeStatus.OPEN_CIRCUIT,
    )
