"""`mp2 signals` computes signals, `mp2 download` gets the bars for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2._document import Document
from mp2._files import expanded
from mp2.cli.logs import observed, start_logging
from mp2.cli.options import (
    JSON_OPTION,
    PRICES_OPTIONS,
    PROGRESS_OPTION,
    SIGNALS_OPTIONS,
    Command,
    file_option,
    output_option,
    with_options,
)
from mp2.cli.output_files import writing
from mp2.cli.session import Interrupts
from mp2.cli.views import count_findings, document, present
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from mp2.signals.sheet import SignalSheet

OUTPUT_OPTION = output_option("-o", "--output", required=True, help="Parquet or CSV file to write")


@click.command(cls=Command)
@click.argument("prices", type=click.Path(path_type=Path))
@with_options(PRICES_OPTIONS, SIGNALS_OPTIONS)
@OUTPUT_OPTION
@output_option(
    "--next",
    "next_output",
    help="file for the signals of the day after, with null prices",
)
@click.option(
    "--history",
    type=click.IntRange(1),
    help="bars before the first day to start from [default: all]",
)
@click.option("--threads", type=click.IntRange(1), help="threads [default: one per core]")
@PROGRESS_OPTION
@JSON_OPTION
def signals(
    prices: Path,
    n_days: int,
    end: str | None,
    grids: Path | None,
    history: int | None,
    threads: int | None,
    output: Path,
    next_output: Path | None,
    no_progress: bool,
    **options: Any,
) -> None:
    """Compute the signals of the last days of PRICES: a table that `mp2 search` takes."""
    from mp2.signals.grids import load_grids
    from mp2.signals.sheet import compute_signals
    from mp2.storage.inputs import last_day, read_bars
    from mp2.storage.request import PricesFile

    source = PricesFile(path=prices, **options)
    end = last_day(source, end)
    check_outputs(prices, output, next_output)
    with Interrupts().caught() as interrupts:
        screen = start_logging()
        table = read_bars(source, interrupts.stop, end=end)
        with observed(screen, "signals", live=not no_progress) as observe:
            sheet = compute_signals(
                table,
                n_days=n_days,
                include_next=next_output is not None,
                grids=load_grids(grids),
                stop=interrupts.stop,
                observe=observe,
                end=end,
                history=history,
                threads=threads,
            )
        n_rows = write_signals(sheet, output, next_output)
        n_variations = len(sheet.variations)
        n_tickers = len(sheet.tickers)
        # Not `days[-1]`: that may be the day after, which has a file of its own.
        lines = [
            f"{n_rows:,} signals of {n_variations:,} variations, {n_tickers:,} tickers, "
            f"{sheet.days[0]} to {sheet.days[n_days - 1]}: {output}"
        ]
        if next_output is not None:
            next_day = sheet.days[-1]
            if sheet.assumed_day:
                next_day += " (assumed)"
            lines.append(f"signals for {next_day}: {next_output}")
        count_findings(prices, sheet.warnings)
        content = document(
            warnings=sheet.warnings,
            output=str(output),
            days=sheet.days,
            assumed_day=sheet.assumed_day,
            n_variations=n_variations,
            n_tickers=n_tickers,
            n_rows=n_rows,
        )
        present(content, *lines)


def check_outputs(prices: Path, *outputs: Path | None) -> None:
    """Check that no output overwrites the prices or another output, and that its kind is known."""
    # Resolved: two names may mean one file.
    taken = {prices.resolve()}
    for path in filter(None, outputs):
        check_format(path)
        if path.resolve() in taken:
            raise InputError(
                f"{path}: named twice, one would overwrite the other; name another file"
            )
        taken.add(path.resolve())


def check_format(path: Path) -> None:
    """Raise `InputError` unless a table can be written under this name."""
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise InputError(f"{path}: unknown kind of file; name it .parquet or .csv")


def write_signals(
    sheet: SignalSheet,
    output: Path,
    next_output: Path | None,
) -> int:
    """Write the signals; return the number of rows in `output`.

    The day after goes to a file of its own, so that a search never sees it.
    """
    import polars as pl

    frame = sheet.to_frame()
    if next_output is None:
        write_table(frame, output)
        return len(frame)
    next_day = pl.lit(sheet.days[-1]).str.to_date()
    searched = frame.filter(pl.col("day") != next_day)
    write_table(searched, output)
    # The day after has no prices yet; what they would be on a past day must not be in the file.
    unknown = pl.lit(None, dtype=pl.Float64)
    later = frame.filter(pl.col("day") == next_day)
    write_table(later.with_columns(open=unknown, close=unknown), next_output)
    return len(searched)


def write_table(frame: Any, path: Path) -> None:
    """Write a polars frame as CSV or Parquet."""
    from mp2.data.frames import write_frame

    with writing(path) as part:
        write_frame(frame, part, path.suffix)


# --- mp2 download ----------------------------------------------------------------------------


@click.command(cls=Command)
@click.argument("tickers", nargs=-1)
@file_option("--tickers-file", help="text file of tickers, between blanks, commas or on lines")
@click.option("--start", help="first day, YYYY-MM-DD; needed without --update")
@click.option("--end", help="last day, YYYY-MM-DD [default: today]")
@file_option(
    "--update", help="file of an earlier download: its tickers get the days since, in this file"
)
@output_option("-o", "--output", help="Parquet or CSV file to write [default: that of --update]")
@PROGRESS_OPTION
@JSON_OPTION
def download(
    tickers: Sequence[str],
    tickers_file: Path | None,
    start: str | None,
    end: str | None,
    update: Path | None,
    output: Path | None,
    no_progress: bool,
) -> None:
    """Download daily bars of TICKERS from Yahoo (extra 'yahoo'): a file that `mp2 run` takes.

    With --update an earlier download is continued. A ticker whose past prices a split has changed
    is downloaded whole.
    """
    from mp2.data.prices import to_frame
    from mp2.data.yahoo import download as fetch
    from mp2.data.yahoo_update import read_download
    from mp2.data.yahoo_update import update as continued

    output = output or update
    if output is None:
        raise InputError("output: name the file to write with --output, or one to --update")
    check_format(output)
    if update is None and start is None:
        raise InputError("start: name the first day with --start YYYY-MM-DD, or a file to --update")
    if update is not None and start is not None:
        raise InputError("start: --update begins where its file ends; leave --start out")
    end = end or str(date.today())
    names = [*tickers, *(read_tickers(tickers_file) if tickers_file else ())]
    with Interrupts().caught() as interrupts:
        screen = start_logging()
        known = None if update is None else read_download(update)
        with observed(screen, "download", live=not no_progress) as observe:
            more: Document = {"end": end, "observe": observe, "stop": interrupts.stop}
            if known is None:
                table = fetch(names, start=str(start), **more)
                frame = to_frame(table)
                warnings = table.warnings
            else:
                frame, warnings = continued(known, tickers=names, **more)
        write_bars(frame, output, warnings)


def write_bars(
    frame: pl.DataFrame,
    output: Path,
    warnings: Sequence[str] = (),
) -> None:
    """Write daily bars, a file that `mp2 run` takes, and print what it holds."""
    write_table(frame, output)
    n_tickers = frame["ticker"].n_unique()
    dates = frame["date"].unique().sort().to_list()
    present(
        document(
            warnings=warnings,
            output=str(output),
            n_tickers=n_tickers,
            n_dates=len(dates),
        ),
        f"{n_tickers:,} tickers, {dates[0]} to {dates[-1]}: {output}",
    )


def read_tickers(path: Path) -> list[str]:
    """Read the tickers of a text file; `#` begins a comment, a first word `ticker` is a heading."""
    try:
        # A byte order mark, as Windows writes it, would be part of the first ticker.
        text = expanded(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{path}: {cause}; name a text file of tickers") from error
    tickers: list[str] = []
    for line in text.splitlines():
        listed, _, _ = line.partition("#")
        tickers += listed.replace(",", " ").replace(";", " ").split()
    if tickers and tickers[0].lower() in ("ticker", "symbol"):
        del tickers[0]
    if not tickers:
        raise InputError(f"{path}: holds no ticker; write one a line")
    return tickers
