"""`mp2 run`: the main job from prices to picks; `mp2 demo` runs it on a synthetic market."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mp2._document import Document
from mp2.cli.cluster import CLUSTER_OPTIONS, at_cluster
from mp2.cli.options import (
    COST_OPTION,
    HOLD_OPTION,
    PICK_OPTIONS,
    PRICES_OPTIONS,
    SIGNALS_OPTIONS,
    number_option,
    options_record,
    output_option,
    with_options,
)
from mp2.cli.output_files import check_folder, write_picks
from mp2.cli.search_options import (
    RulesCommand,
    RunOptions,
    luck_from,
    search_options,
    settings_from,
)
from mp2.cli.session import Interrupts, current_session
from mp2.cli.signals import check_format, write_bars
from mp2.cli.views import say
from mp2.data.holding import DAY_HOLD
from mp2.errors import ExitCode

if TYPE_CHECKING:
    from mp2.storage.request import SignalSettings, Source


@click.command(cls=RulesCommand)
@click.argument("prices", type=click.Path(path_type=Path))
@search_options
@with_options(CLUSTER_OPTIONS, PRICES_OPTIONS, SIGNALS_OPTIONS, PICK_OPTIONS)
@HOLD_OPTION
@COST_OPTION
@output_option("-o", "--output", help="CSV file for the table of picked tickers and votes")
def run(
    prices: Path,
    output: Path | None,
    **options: Any,
) -> int:
    """From PRICES, daily bars, to picks for the next trading day.

    PRICES is a Parquet, CSV or SQLite file with the columns date, ticker, open, high, low, close,
    volume, a CSV file as yfinance writes it, or a folder of CSV files, one per ticker. The signals
    of the last days are computed and searched; the groups kept are applied to the signals of the
    day after.
    """
    from mp2.storage.request import PricesFile, SignalSettings

    if output is not None:
        check_folder(output)
    return _run(PricesFile(path=prices, **options), SignalSettings(**options), options, output)


@click.command(cls=RulesCommand)
@search_options
@with_options(PICK_OPTIONS)
@COST_OPTION
@number_option("--seed", 0, "another seed, another market", least=0)
@click.option("--no-plant", is_flag=True, help="plant nothing: every group found is luck")
@output_option(
    "--write", help="write the bars, the day after included, to a CSV or Parquet file, and end"
)
def demo(
    seed: int,
    no_plant: bool,
    write: Path | None,
    **options: Any,
) -> int:
    """Run the main job on a synthetic market with a planted edge.

    Prints whether the edge was found, and how the picks did on the day after. Runs are stored in a
    database of the demo's own, mp2-demo.db.
    """
    from mp2.storage.request import DemoPrices, SignalSettings

    if write is not None:
        _write_market(write, seed, plant=not no_plant)
        return ExitCode.OK
    options["db"] = _demo_database(options["db"])
    # The edge is planted in the move of the day.
    options["hold"] = DAY_HOLD
    # It is small: a cluster has nothing to do for it.
    options |= {"dask": None, "slots": None, "dask_insecure": False}
    code = _run(DemoPrices(seed=seed, plant=not no_plant), SignalSettings(), options)
    session = current_session()
    # Of a document or a quiet command, stdout has nothing else.
    if not options["no_store"] and not session.as_json and not session.quiet:
        say(f"The database of the demo is {options['db']}: mp2 --db {options['db']} runs list")
    return code


def _write_market(
    output: Path,
    seed: int,
    plant: bool,
) -> None:
    from mp2.data.prices import to_frame
    from mp2.demo.market import make_market

    check_format(output)
    check_folder(output)
    market = make_market(seed, plant)
    write_bars(to_frame(market.later), output)


def _demo_database(db: Path) -> Path:
    """Return the database for a demo: one of its own, so that `last` stays a run of the user's.

    The usual one with `-demo` in its name, unless the command line or the demo's own setting names
    one.
    """
    context = click.get_current_context()
    if context.get_parameter_source("db") is not ParameterSource.DEFAULT:
        return db
    above = context.parent
    if above is not None and above.get_parameter_source("db") is ParameterSource.COMMANDLINE:
        return db
    return db.with_stem(f"{db.stem}-demo")


def _run(
    source: Source,
    signals: SignalSettings,
    options: Document,
    output: Path | None = None,
) -> int:
    # Imported here: `mp2 --help` must not wait for numpy and the kernel.
    from mp2.cli.found import followed, present_found
    from mp2.picks.costs import check_cost
    from mp2.storage.request import PickSettings, Request

    check_cost(options["cost_bps"])
    how = options_record(RunOptions, options)
    request = Request(
        source=source,
        search=settings_from(options),
        signals=signals,
        picks=PickSettings(**options),
        luck=luck_from(options),
        hold=options["hold"],
        cost_bps=options["cost_bps"],
    )
    with Interrupts().caught() as interrupts:
        with followed(how, interrupts.stop) as control:
            from mp2.pipeline import run_request

            with at_cluster(control, options) as there:
                found = run_request(request, there)
        code = present_found(found, how, request)
        # The result is printed first: a file that fails must not take it away.
        if output is not None:
            write_picks(found.next_day, output)
        return code
