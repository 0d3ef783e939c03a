"""The main job: `mp2 run` from prices to picks, and `mp2 demo`, which runs it on a market it makes itself."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli.logs import observed, start_logging
from mp2.cli.options import (
    PICK_OPTIONS,
    PRICES_OPTIONS,
    SIGNALS_OPTIONS,
    PriceOptions,
    options_record,
    with_options,
)
from mp2.cli.search import (
    RulesCommand,
    Sequel,
    check_settings,
    now_ns,
    rules_from,
    search_and_report,
    search_options,
)
from mp2.cli.session import Interrupts

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable
    from mp2.groups.result import SearchResult
    from mp2.picks.records import DayPicks
    from mp2.signals.grids import Grids
    from mp2.signals.sheet import SignalSheet


def prices_from(
    path: Path, options: dict[str, Any], stop: threading.Event, *, end: str | None = None
) -> PriceTable:
    """Read prices as a command's options say; what comes after `end` has no say in which tickers there are."""
    return options_record(PriceOptions, options).read(path, stop, end=end)


def grids_from(options: dict[str, Any]) -> Grids:
    """The grids a command's options name."""
    from mp2.signals.grids import load_grids

    return load_grids(options["grids"])


@click.command(cls=RulesCommand)
@click.argument("prices", type=click.Path(path_type=Path))
@search_options
@with_options(PRICES_OPTIONS, SIGNALS_OPTIONS, PICK_OPTIONS)
@click.pass_context
def run(context: click.Context, /, prices: Path, **options: Any) -> int:
    """From PRICES, daily bars, to picks for the next trading day.

    PRICES is a Parquet, CSV or SQLite file with the columns date, ticker, open, high, low, close, volume, a CSV file as
    yfinance writes it, or a folder of CSV files, one per ticker. The signals of the last days are computed and searched; the
    groups kept are applied to the signals of the day after.
    """
    rules = rules_from(options)
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        started_ns = now_ns()
        table = prices_from(prices, options, interrupts.stop, end=options["end"])
        sheet = _sheet(table, grids_from(options), options, interrupts, screen)
        panel = sheet.panel(0, options["days"])
        check_settings(panel, options)
        read_s = (now_ns() - started_ns) / 1e9
        follow = partial(next_day, sheet, options)
        return search_and_report(
            panel, str(prices), rules, options, interrupts, screen, read_s, follow
        )


def _sheet(
    table: PriceTable, grids: Grids, options: dict[str, Any], interrupts: Interrupts, screen: Any
) -> SignalSheet:
    from mp2.signals.sheet import compute_signals

    with observed(screen, "signals", live=not options["no_progress"]) as observe:
        return compute_signals(
            table,
            n_days=options["days"],
            end=options["end"],
            include_next=True,
            grids=grids,
            stop=interrupts.stop,
            observe=observe,
        )


def next_day(sheet: SignalSheet, options: dict[str, Any], result: SearchResult) -> Sequel:
    """What follows a search on prices: the picks for the day after, printed and stored with the run."""
    return _picked(_next_picks(sheet, options, result), options, result)


def _next_picks(sheet: SignalSheet, options: dict[str, Any], result: SearchResult) -> DayPicks:
    from mp2.picks.pick import pick_day

    return pick_day(
        result,
        sheet,
        sheet.days[-1],
        min_tickers=options["min_tickers"],
        top_groups=options["top_groups"],
    )


def _picked(picks: DayPicks, options: dict[str, Any], result: SearchResult) -> Sequel:
    from mp2.cli.pick_view import picks_view

    own = [line for line in picks.warnings if line not in result.warnings]
    view = picks_view(picks, n_show=options["show"], aliases=result.aliases)
    return Sequel({"next_day": picks.to_dict()}, (view,), own, picks)


@click.command(cls=RulesCommand)
@search_options
@with_options(PICK_OPTIONS)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="another seed, another market",
)
@click.option("--no-plant", is_flag=True, help="plant nothing: whatever is found is luck")
@click.pass_context
def demo(context: click.Context, /, seed: int, no_plant: bool, **options: Any) -> int:
    """Run the main job on a synthetic market with a planted edge, and say whether it was found and held the day after."""
    from mp2.cli.pick_view import outcome_view
    from mp2.demo.market import make_market, sentence
    from mp2.picks.outcome import score

    rules = rules_from(options)
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        started_ns = now_ns()
        market = make_market(seed, plant=not no_plant)
        sheet = _sheet(
            market.prices, market.grids, {**options, "days": 5, "end": None}, interrupts, screen
        )
        panel = sheet.panel(0, 5)
        check_settings(panel, options)
        read_s = (now_ns() - started_ns) / 1e9

        def follow(result: SearchResult) -> Sequel:
            picks = _next_picks(sheet, options, result)
            picked, outcome = _picked(picks, options, result), score(picks, market.later)
            said = sentence(result, market)
            document = {**picked.document, "demo": said, "outcome": outcome.to_dict()}
            return Sequel(
                document, (*picked.view, outcome_view(outcome), said), picked.warnings, picked.picks
            )

        return search_and_report(
            panel, f"demo --seed {seed}", rules, options, interrupts, screen, read_s, follow
        )
