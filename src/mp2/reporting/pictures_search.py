"""Pictures of how searches went: scores of all eligible groups, starters over time, many runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mp2.groups.histogram import BIN_WIDTH, N_BINS, bin_starts
from mp2.groups.result import SearchResult
from mp2.reporting.theme import (
    BLUE,
    FAINT_BLUE,
    FAINT_GREY,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    label,
    new_figure,
    size_colour,
    size_symbol,
)
from mp2.storage.runs import RunSummary

_UPPER = [0.4, 1]
_LOWER = [0, 0.24]


def scores(result: SearchResult, size: int) -> Any:
    """Draw the scores of all eligible groups of a size, and the best scores of luck below them.

    The best group and the pick are lines, the kept groups a zone. Below, each search with the
    winners of luck counts once, by the score of its best group.
    """
    figure = new_figure(
        f"Scores of the eligible groups of size {size}",
        400,
        xaxis={"title": {"text": "score"}, "anchor": "y2"},
        yaxis={"domain": _UPPER, "type": "log", "dtick": 1, "title": {"text": "groups"}},
        yaxis2={"domain": _LOWER, "title": {"text": "searches"}, "rangemode": "tozero"},
        bargap=0.06,
        showlegend=True,
    )
    eligible = result.n_scores.get(size, ())
    null = luck_scores(result, size)
    _add_bins(figure, eligible, BLUE, "eligible groups (logarithmic)", "y")
    groups = result.kept.get(size, ())
    best = groups[0].score if groups else None
    below = [n if best is None or start < best else 0 for start, n in _bins(null)]
    above = [n - n_below for n, n_below in zip(null, below, strict=True)]
    _add_bins(figure, below, GREY, "best score of one search by luck", "y2")
    if any(above):
        name = "such a one as good as the best here, about"
        _add_bins(figure, above, VERMILLION, name, "y2", "/")
    if groups:
        figure.add_vrect(
            groups[-1].score,
            groups[0].score,
            fillcolor=FAINT_GREY,
            line={"width": 0},
            layer="below",
        )
        _add_line(figure, groups[0].score, "best", "solid")
        picked = result.pick(size)
        if picked is not None and picked.rank > 1:
            _add_line(figure, picked.score, "pick", "dash")
    filled = [start for start, n in [*_bins(eligible), *_bins(null)] if n]
    if filled:
        figure.update_xaxes(range=[min(filled) - BIN_WIDTH, max(filled) + 3 * BIN_WIDTH])
    return figure


def luck_scores(result: SearchResult, size: int) -> tuple[int, ...]:
    """Return how many searches by luck had their best score in each bin; empty where not known."""
    luck = result.significance
    if luck is None or size not in luck.null:
        return ()
    return luck.null[size].n_scores


def _bins(counts: Sequence[int]) -> list[tuple[float, int]]:
    # A result of an earlier version has none.
    return list(zip(bin_starts(), counts, strict=False))


def _add_bins(
    figure: Any,
    counts: Sequence[int],
    colour: str,
    name: str,
    axis: str,
    pattern: str = "",
) -> None:
    ranges = []
    for number, start in enumerate(bin_starts()):
        text = f"{start:g} to {start + BIN_WIDTH:g}"
        if number == 0:
            text = f"below {start + BIN_WIDTH:g}"
        elif number == N_BINS - 1:
            text = f"{start:g} and above"
        ranges.append(text)
    figure.add_bar(
        x=[start + BIN_WIDTH / 2 for start, _ in _bins(counts)],
        y=list(counts),
        customdata=ranges[: len(counts)],
        width=BIN_WIDTH * 0.94,
        marker={"color": colour, "pattern": {"shape": pattern}},
        name=name,
        yaxis=axis,
        hovertemplate="score %{customdata}: %{y:,}<extra></extra>",
    )


def _add_line(figure: Any, score: float, name: str, dash: str) -> None:
    figure.add_vline(x=score, line={"color": VERMILLION, "width": 2, "dash": dash})
    is_best = name == "best"
    figure.add_annotation(
        x=score,
        y=1,
        yref="paper",
        yanchor="bottom" if is_best else "top",
        xanchor="left" if is_best else "right",
        text=f"<b>{name} {score:.1f}</b>",
        showarrow=False,
    )


def progress(result: SearchResult) -> Any:
    """Draw the starters of a search by state over time, and below the time a starter gets."""
    figure = new_figure(
        "Starters over time",
        400,
        xaxis={"title": {"text": "seconds"}, "anchor": "y2", "rangemode": "tozero"},
        yaxis={"domain": _UPPER, "title": {"text": "starters"}, "rangemode": "tozero"},
        yaxis2={"domain": _LOWER, "title": {"text": "seconds"}, "rangemode": "tozero"},
    )
    samples = result.progress
    elapsed_s = [sample.elapsed_s for sample in samples]
    states = (
        ("exhausted", [sample.n_exhausted for sample in samples], BLUE, ""),
        ("cut off at its limit", [sample.n_cut_off for sample in samples], VERMILLION, "/"),
        ("running", [sample.n_running for sample in samples], PURPLE, "x"),
        ("not begun", [sample.n_waiting for sample in samples], FAINT_GREY, "."),
    )
    for name, counts, colour, pattern in states:
        figure.add_scatter(
            x=elapsed_s,
            y=counts,
            mode="lines",
            stackgroup="starters",
            line={"width": 0.5, "color": colour},
            fillpattern={"shape": pattern, "solidity": 0.3},
            name=name,
            hovertemplate=f"{name}: %{{y:,}}<extra></extra>",
        )
    lines = (
        ("limit of the next starter", [sample.limit_s for sample in samples], GREEN, "solid"),
        ("bank", [sample.bank_s for sample in samples], GREY, "dot"),
    )
    for name, seconds, colour, dash in lines:
        figure.add_scatter(
            x=elapsed_s,
            y=seconds,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2, "shape": "hv"},
            name=name,
            yaxis="y2",
            hovertemplate=f"{name}: %{{y:.3f}} s<extra></extra>",
        )
    return figure


def runs(summaries: Sequence[RunSummary]) -> Any:
    """Draw the best score by size and the coverage of runs, oldest first."""
    ordered = sorted(summaries, key=lambda run: run.started_at)
    names = [label(run.run_id) for run in ordered]
    sizes = sorted({size for run in ordered for size in run.best_score})
    figure = new_figure(
        "Runs compared",
        400,
        xaxis={"anchor": "y2", "type": "category", "showticklabels": len(ordered) <= 12},
        yaxis={"domain": _UPPER, "title": {"text": "best score"}},
        yaxis2={"domain": _LOWER, "title": {"text": "coverage"}, "range": [0, 105]},
    )
    days = [run.last_day or "no result" for run in ordered]
    for size in sizes:
        figure.add_scatter(
            x=names,
            y=[run.best_score.get(size) for run in ordered],
            customdata=days,
            mode="lines+markers",
            marker={"symbol": size_symbol(sizes, size), "size": 8},
            line={"color": size_colour(sizes, size), "width": 1},
            name=f"size {size}",
            hovertemplate=f"%{{x}}, %{{customdata}}: size {size} %{{y:.1f}}<extra></extra>",
        )
    figure.add_bar(
        x=names,
        y=[None if run.coverage is None else 100 * run.coverage for run in ordered],
        marker={"color": FAINT_BLUE},
        name="coverage in %",
        yaxis="y2",
        hovertemplate="%{x}: %{y:.1f}%<extra></extra>",
    )
    return figure
