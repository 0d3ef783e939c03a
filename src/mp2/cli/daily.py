"""`mp2 daily`: the job of every night in one command and one line."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli.logs import start_logging
from mp2.cli.options import (
    COST_OPTION,
    GRIDS_OPTION,
    HOLD_OPTION,
    PICK_OPTIONS,
    PRICES_OPTIONS,
    number_option,
    options_record,
    output_option,
    with_options,
)
from mp2.cli.scan import ScanOptions, planned, run_scan
from mp2.cli.search_options import (
    RulesCommand,
    RunOptions,
    luck_from,
    night_options,
    settings_from,
)
from mp2.cli.session import Interrupts
from mp2.cli.setting_values import SecretOption
from mp2.cli.views import present, say
from mp2.errors import InputError

if TYPE_CHECKING:
    from mp2.discovery.records import ScanResult
    from mp2.nightly.beside import Scan

# What a night shows is one line, and no screen of a run.
_ONE_LINE = {"no_store": False, "json_groups": 0, "show": 0, "groups": False}


@click.command(cls=RulesCommand)
# Not required: the settings file may name it.
@click.argument("prices", required=False, type=click.Path(path_type=Path))
@output_option(
    "--out", default="daily", show_default=True, help="folder of the picks, a folder a day in it"
)
@click.option("--download", is_flag=True, help="bring PRICES up to date from Yahoo first")
@click.option("--no-scan", is_flag=True, help="do not run the scanners")
@click.option(
    "--on-done", cls=SecretOption, help="address that gets the night as JSON in a POST, once a day"
)
@click.option(
    "--on-done-command",
    cls=SecretOption,
    help="command that gets the night as JSON on its standard input, once a day",
)
@click.option(
    "--compact/--no-compact",
    default=True,
    show_default=True,
    help="make complete runs small: groups of the best 100 ideas of each size stay",
)
@night_options
@with_options(PRICES_OPTIONS)
@number_option("--days", 5, "trading days of signals")
@GRIDS_OPTION
@with_options(PICK_OPTIONS)
@HOLD_OPTION
@COST_OPTION
def daily(
    prices: Path | None,
    days: int,
    no_scan: bool,
    cost_bps: float,
    **options: Any,
) -> int:
    """Do the job of every night on PRICES, and print one line.

    Updates and checks the bars, scores earlier picks, runs the search up to the last date, scans,
    and writes the picks for the day after to OUT/DAY as CSV and JSON. Repeated, it finds what it
    did; interrupted, it goes on; missed days are made up for. Exit code 5: a pick could not be
    scored though the prices go beyond its day.
    """
    from mp2.cli.found import followed
    from mp2.nightly.job import run_night
    from mp2.nightly.records import NightSettings
    from mp2.picks.costs import check_cost
    from mp2.storage.request import PickSettings, PricesFile, Request, SignalSettings

    if prices is None:
        raise InputError("prices: name the daily bars, or set prices in the table [daily]")
    check_cost(cost_bps)
    request = Request(
        source=PricesFile(path=prices, **options),
        search=settings_from(options),
        signals=SignalSettings(n_days=days, grids=options["grids"]),
        picks=PickSettings(**options),
        luck=luck_from(options),
        hold=options["hold"],
        cost_bps=cost_bps,
    )
    night = options_record(NightSettings, options)
    how = options_record(RunOptions, {**_ONE_LINE, **options})
    with Interrupts().caught() as interrupts:
        scan = None if no_scan else _scanner(how, interrupts.stop)
        with followed(how, interrupts.stop) as control:
            done = run_night(request, night, control, scan)
        present(done.to_dict(), done.sentence())
        # stdout has one line and nothing else.
        for problem in (*done.errors, *done.overdue):
            say(f"mp2: {problem}", err=True)
        return done.exit_code()


def _scanner(how: RunOptions, stop: threading.Event) -> Scan:
    """Return what scans for a day; its settings are checked before the night begins."""
    plan = planned()
    screen = start_logging()

    def scan(day: str) -> ScanResult:
        # Its lines go to the log: the night is one line.
        options = ScanOptions(db=how.db, no_store=False, day=day, no_progress=True, quiet=True)
        return run_scan(plan, options, stop, screen)

    return scan
