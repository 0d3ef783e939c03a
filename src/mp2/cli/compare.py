"""`mp2 runs compare`: two stored runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli.completion import complete_runs
from mp2.cli.options import COST_OPTION, DB_OPTION, JSON_OPTION, Command, reading
from mp2.cli.views import (
    count,
    document,
    duration,
    if_known,
    present,
    record_table,
    share,
    stacked,
    styled,
)
from mp2.errors import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mp2.storage.comparison import RunComparison

_N_TICKERS = 12
"""Tickers in common that are listed."""


@click.command(cls=Command)
@click.argument("first", metavar="A", shell_complete=complete_runs)
@click.argument("second", metavar="B", shell_complete=complete_runs)
@COST_OPTION
@JSON_OPTION
@DB_OPTION
def compare(
    db: Path,
    first: str,
    second: str,
    cost_bps: float,
) -> None:
    """Show what differs between the runs A and B, and what both kept, picked and hit."""
    from mp2.picks.costs import check_cost
    from mp2.storage.comparison import compare_runs

    check_cost(cost_bps)
    with reading(db) as store:
        comparison = compare_runs(store, store.find(first), store.find(second), cost_bps=cost_bps)
    present(document(**comparison.to_dict()), compare_view(comparison, cost_bps))


_FORMATS: dict[str, Callable[[Any], str]] = {
    "coverage": share,
    "elapsed_s": duration,
    "attempts": count,
    "p": "{:.3g}".format,
}
_GROUP_HEADINGS = (
    "size",
    "kept by A",
    "kept by B",
    "in common",
    "best score of A",
    "of B",
    "picked score of A",
    "of B",
)


@stacked
def compare_view(comparison: RunComparison, cost_bps: float) -> Iterator[RenderableType]:
    """Show settings, figures, groups and picks in common, and outcomes on the same days."""
    a, b = comparison.run_ids
    yield styled(f"A is run {a}, B is run {b}", "bold")
    settings = [(name, *pair) for name, pair in comparison.settings.items()]
    if settings:
        yield record_table(("setting", "A", "B"), settings)
    else:
        yield "All settings are the same."
    yield ""
    yield record_table(("result", "A", "B"), _figures(comparison))
    yield ""
    yield record_table(_GROUP_HEADINGS, _groups(comparison))
    yield ""
    picks = list(_picks(comparison))
    if picks:
        yield record_table(("day", "picks", "A", "B", "common", "tickers in common"), picks)
    else:
        yield "No day was picked for by both."
    yield ""
    yield from _outcomes(comparison, cost_bps)


def _figures(comparison: RunComparison) -> Iterator[tuple[str, str, str]]:
    for name, (a, b) in comparison.figures.items():
        shown = _FORMATS.get(name, str)
        # A duration is shown with a unit of its own.
        label = name.removesuffix("_s").replace("_", " ")
        yield label, if_known(a, shown) or "-", if_known(b, shown) or "-"


def _groups(comparison: RunComparison) -> Iterator[tuple[object, ...]]:
    for size, groups in comparison.groups.items():
        values = (*groups.best_score, *groups.picked_score)
        scores = [if_known(value, "{:.2f}".format) or "-" for value in values]
        yield (size, *groups.n_kept, groups.n_common, *scores)


def _picks(comparison: RunComparison) -> Iterator[tuple[object, ...]]:
    for one in comparison.picks:
        listed = " ".join(one.common[:_N_TICKERS])
        if len(one.common) > _N_TICKERS:
            listed += f" and {len(one.common) - _N_TICKERS} more"
        yield (one.day, one.picks, *one.n_tickers, len(one.common), listed)


def _outcomes(comparison: RunComparison, cost_bps: float) -> Iterator[RenderableType]:
    from mp2.cli.pick_view import JUDGED_HEADINGS, judged_row, with_net

    n_days = len(comparison.scored_days)
    if not n_days:
        yield "No day is scored in both; mp2 outcome scores them."
        return
    rows = []
    for series, (a, b) in comparison.outcomes.items():
        rows.append(judged_row(f"{series}, A", a))
        rows.append(judged_row(f"{series}, B", b))
    yield f"On {counted(n_days, 'day')} scored in both:"
    net = f"after {cost_bps:g} bps a side"
    yield with_net(("picks of", *JUDGED_HEADINGS, net), rows, shown=cost_bps > 0)
