"""`mp2 check data` checks prices, `mp2 check lookahead` the algorithms on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2._document import Document
from mp2.cli.logs import observed, start_logging
from mp2.cli.options import (
    GRIDS_OPTION,
    JSON_OPTION,
    PRICES_OPTIONS,
    PROGRESS_OPTION,
    Group,
    with_options,
)
from mp2.cli.session import Interrupts
from mp2.cli.views import count_findings, document, present, record_table
from mp2.errors import ExitCode, counted

if TYPE_CHECKING:
    from rich.console import RenderableType

_HEADINGS = ("kind", "count", "what", "done", "tickers", "dates")


@click.group(cls=Group)
def check() -> None:
    """Check what results rest on."""


@check.command()
@click.argument("prices", type=click.Path(path_type=Path))
@with_options(PRICES_OPTIONS)
@GRIDS_OPTION
@PROGRESS_OPTION
@JSON_OPTION
def lookahead(
    prices: Path,
    grids: Path | None,
    no_progress: bool,
    **options: Any,
) -> int:
    """Change the future bars of PRICES and check that no past signal changes.

    Every algorithm is checked, also those of third parties.
    """
    from mp2.signals.grids import load_grids
    from mp2.signals.lookahead import check as check_signals
    from mp2.storage.inputs import read_bars
    from mp2.storage.request import PricesFile

    with Interrupts().caught() as interrupts:
        screen = start_logging()
        table = read_bars(PricesFile(path=prices, **options), interrupts.stop)
        checked = load_grids(grids)
        with observed(screen, "computations", live=not no_progress) as observe:
            findings = check_signals(table, checked, stop=interrupts.stop, observe=observe)
        lines = [str(finding) for finding in findings]
        warnings = (*table.warnings, *checked.warnings)
        count_findings(prices, table.warnings)
        # A variation may have findings on several days.
        n_cheating = len({(finding.algo, finding.variation) for finding in findings})
        present(
            document(
                status="failed" if findings else "ok",
                warnings=warnings,
                algorithms=[algorithm.name for algorithm in checked.algorithms],
                findings=lines,
            ),
            *lines,
            f"{len(checked.algorithms)} algorithms, {len(checked.variations):,} variations: "
            f"{n_cheating} look ahead",
        )
        if findings:
            return ExitCode.FAILED
        return ExitCode.OK


# --- the data --------------------------------------------------------------------------------


@check.command()
@click.argument("prices", type=click.Path(path_type=Path))
@with_options(PRICES_OPTIONS)
@JSON_OPTION
def data(prices: Path, **options: Any) -> None:
    """List everything in PRICES that is left out, doubted or guessed when it is read."""
    from mp2._files import expanded
    from mp2.storage.inputs import read_bars
    from mp2.storage.request import PricesFile

    with Interrupts().caught() as interrupts:
        start_logging()
        table = read_bars(PricesFile(path=prices, **options), interrupts.stop)
        # Every line names the file, which is the same for all rows.
        source = f"{expanded(prices)}: "
        findings = []
        for finding in table.findings:
            fields: Document = {
                "kind": finding.kind,
                "what": finding.line.removeprefix(source),
                "count": finding.n,
                "done": finding.done,
                "tickers": list(finding.tickers),
                "places": list(finding.places),
                "first": finding.first,
                "last": finding.last,
            }
            findings.append(fields)
        n_findings = counted(len(findings), "finding")
        span = f"{table.dates[0]} to {table.dates[-1]}"
        content = document(
            n_tickers=table.n_tickers,
            n_dates=table.n_dates,
            first=table.dates[0],
            last=table.dates[-1],
            findings=findings,
        )
        parts: list[RenderableType] = []
        if findings:
            parts.append(record_table(_HEADINGS, map(_row, findings), right=[1]))
        for fields in findings:
            parts += [f"{fields['kind']}: {place}" for place in fields["places"]]
        parts.append(f"{table.n_tickers:,} tickers, {table.n_dates:,} dates, {span}: {n_findings}")
        present(content, *parts)


def _row(finding: Document) -> tuple[object, ...]:
    count = finding["count"]
    # The count, the examples and the effect follow; they have columns of their own.
    what, _, _ = finding["what"].partition(f": {count},")
    tickers = ", ".join(finding["tickers"])
    days = dict.fromkeys(filter(None, (finding["first"], finding["last"])))
    return finding["kind"], count, what, finding["done"], tickers, " to ".join(days)
