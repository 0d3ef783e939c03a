"""Pictures of how searches went: scores of all eligible groups, starters over time, many runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mp2.groups.histogram import BIN_WIDTH, N_BINS, bin_starts
from mp2.groups.luck import Significance
from mp2.groups.result import ProgressSample, SearchResult
from mp2.reporting.theme import (
    BLUE,
    FAINT_BLUE,
    FAINT_GREY,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    column,
    labels,
    new_figure,
    size_colour,
    size_symbol,
)
from mp2.storage.runs import RunSummary

_UPPER = [0.4, 1]
_LOWER = [0, 0.24]
# Three in one figure, from the top.
_TOP = [0.58, 1]
_MIDDLE = [0.29, 0.48]
_LOWEST = [0, 0.19]
_DASHES = ("solid", "dash", "dot", "dashdot")


def scores(result: SearchResult, size: int) -> Any:
    """Draw the scores of all eligible groups of a size, and the best scores of luck below them.

    The best group and the pick are lines, the kept groups a zone. Below, each search with the
    winners of luck counts once, by the score of its best group.
    """
    figure = new_figure(
        f"Scores of the eligible groups of size {size}",
        400,
        xaxis={"title": {"text": "score"}, "anchor": "y2"},
        yaxis={
            "domain": _UPPER,
            "type": "log",
            "dtick": 1,
            "title": {"text": "groups"},
        },
        yaxis2={
            "domain": _LOWER,
            "title": {"text": "searches"},
            "rangemode": "tozero",
        },
        bargap=0.06,
        showlegend=True,
    )
    eligible = result.n_scores.get(size, ())
    null = luck_scores(result, size)
    groups = result.kept.get(size, ())
    _add_bins(figure, eligible, BLUE, "eligible groups (logarithmic)", "y")
    if any(null):
        _add_luck(figure, null, result.significance, size)
    if groups:
        best = groups[0].score
        figure.add_vrect(
            groups[-1].score, best, fillcolor=FAINT_GREY, line={"width": 0}, layer="below"
        )
        _add_line(figure, best, "best", "solid")
        picked = result.pick(size)
        if picked is not None and picked.rank > 1:
            _add_line(figure, picked.score, "pick", "dash")
    # An empty half would look like a count of none, and its ground would cover the bars.
    if not any(null):
        figure.update_layout(xaxis={"anchor": "y"}, yaxis={"domain": [0, 1]})
        figure.layout.yaxis2 = None
    elif not any(eligible):
        figure.update_layout(yaxis={"visible": False}, yaxis2={"domain": [0, 1]})
    if any(eligible):
        # A single group is a bar, too; an axis that fits itself begins above it.
        figure.update_yaxes(range=[-0.3, math.log10(max(eligible)) + 0.1], selector={"type": "log"})
    filled = [start for start, n in [*_bins(eligible), *_bins(null)] if n]
    # The two ends hold all that is beyond them, and are mostly empty.
    if filled:
        figure.update_xaxes(range=[min(filled) - BIN_WIDTH, max(filled) + 2 * BIN_WIDTH])
    return figure


def _add_luck(
    figure: Any,
    null: Sequence[int],
    luck: Significance | None,
    size: int,
) -> None:
    """Add the searches by luck; those whose best is about as good as the best tested stand out.

    A test may cover a part of the space only: the best group of all is then no measure for it. The
    bin of the best group counts as good, since a search is known by its bin only.
    """
    best = None
    if luck is not None:
        best = luck.observed.get(size)
    below = []
    as_good = []
    for start, n in _bins(null):
        is_below = best is None or start + BIN_WIDTH <= best
        below.append(n if is_below else 0)
        as_good.append(0 if is_below else n)
    _add_bins(figure, below, GREY, "best score of one search by luck", "y2")
    if any(as_good):
        name = f"about as good as the best tested, {best:.1f}"
        _add_bins(figure, as_good, VERMILLION, name, "y2", "/")


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
        # A logarithmic axis has no place for 0.
        y=[n or None for n in counts],
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
        # The two stand close, so one is above the picture and both are left of their lines.
        yanchor="bottom" if is_best else "top",
        xanchor="right",
        text=f"<b>{name} {score:.1f}</b>",
        showarrow=False,
    )


def progress(result: SearchResult) -> Any:
    """Draw the starters of a search by state, the time a starter gets, and the workers' turns."""
    figure = new_figure(
        "Starters over time",
        500,
        xaxis={"title": {"text": "seconds"}, "anchor": "y3", "rangemode": "tozero"},
        yaxis={
            "domain": _TOP,
            "title": {"text": "starters"},
            "rangemode": "tozero",
        },
        yaxis2={
            "domain": _MIDDLE,
            "title": {"text": "limit (s)"},
            "rangemode": "tozero",
        },
        yaxis3={
            "domain": _LOWEST,
            "title": {"text": "turns<br>by worker"},
            "rangemode": "tozero",
        },
    )
    samples = result.progress
    elapsed_s = column(samples, "elapsed_s")
    states = (
        ("exhausted", column(samples, "n_exhausted"), BLUE, ""),
        ("cut off at its limit", column(samples, "n_cut_off"), VERMILLION, "/"),
        ("running", column(samples, "n_running"), PURPLE, "x"),
        ("not begun", column(samples, "n_waiting"), FAINT_GREY, "."),
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
        ("limit of the next starter", column(samples, "limit_s"), GREEN, "solid"),
        ("bank", column(samples, "bank_s"), GREY, "dot"),
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
    _add_turns(figure, samples)
    return figure


def _add_turns(figure: Any, samples: Sequence[ProgressSample]) -> None:
    """Add what each worker has ended; a flat line is a worker with one long turn.

    Results of earlier versions have no such numbers.
    """
    counted = [sample for sample in samples if sample.n_turns]
    n_workers = len(counted[-1].n_turns) if counted else 0
    for worker_idx in range(n_workers):
        figure.add_scatter(
            x=column(counted, "elapsed_s"),
            y=[sample.n_turns[worker_idx] for sample in counted],
            mode="lines",
            line={"color": BLUE, "width": 1.5, "dash": _DASHES[worker_idx % len(_DASHES)]},
            name=f"turns of worker {worker_idx + 1}",
            # Its axis says what it is; a legend of many workers would hide the picture.
            showlegend=False,
            yaxis="y3",
            hovertemplate=f"worker {worker_idx + 1}: %{{y:,}}<extra></extra>",
        )


def runs(summaries: Sequence[RunSummary]) -> Any:
    """Draw the best score by size and the coverage of runs, oldest first."""
    ordered = sorted(summaries, key=lambda run: run.started_at)
    names = labels(ordered, "run_id")
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
            # No lines: runs of different days have nothing between them.
            mode="markers",
            marker={
                "symbol": size_symbol(sizes, size),
                "size": 9,
                "color": size_colour(sizes, size),
            },
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
