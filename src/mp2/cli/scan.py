"""`mp2 scan`: run all scanners, store every outcome before it is shown, rank the candidates."""

from __future__ import annotations

import sys
import threading
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2._document import Document, Fields, Names
from mp2._files import expanded, others_may_read
from mp2._intervals import DISPLAY_S
from mp2.cli import settings
from mp2.cli.completion import complete_scanners
from mp2.cli.logs import start_logging
from mp2.cli.options import (
    DB_OPTION,
    JSON_OPTION,
    PROGRESS_OPTION,
    Command,
    file_option,
    flat,
    number_option,
    options_record,
)
from mp2.cli.session import Interrupts, current_session, note_kept
from mp2.cli.views import document, present, say
from mp2.errors import ExitCode, InputError

if TYPE_CHECKING:
    from mp2.discovery.config import Discovery
    from mp2.discovery.records import ScanOutcome, ScanResult
    from mp2.discovery.registry import Registered


# --- which scanners there are ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """The scanners there are and the table `[discovery]`, checked."""

    known: tuple[Registered, ...]
    config: Fields = field(repr=False)

    def discovery(self) -> Discovery:
        """Return the table as typed settings; raises `InputError` naming the keys at fault."""
        from mp2.discovery.config import read_discovery

        return read_discovery(self.config, self.known)

    def with_prices(self, path: Path) -> Plan:
        """Return the plan with these bars for every scanner that has a setting `prices`.

        Raises `InputError` when there is no such file.
        """
        if not expanded(path).exists():
            raise InputError(f"{path}: no such file")
        tables = dict(self.config.get("scanners", {}))
        for one in self.known:
            if one.scanner is not None and "prices" in one.scanner.Settings.model_fields:
                tables[one.name] = {**tables.get(one.name, {}), "prices": str(path)}
        return Plan(self.known, {**self.config, "scanners": tables})


def planned() -> Plan:
    """Find all scanners and check the settings file's table for them.

    A file that holds a key in an address must be readable by its owner alone. Raises `InputError`
    naming the file.
    """
    from mp2.discovery.config import holds_a_key, with_located_paths
    from mp2.discovery.registry import find_scanners

    # Importing plug-ins runs their code in this thread.
    with redirect_stdout(sys.stderr):
        known = find_scanners()
    file = current_session().settings
    plan = Plan(known, file.discovery)
    try:
        plan.discovery()
    except InputError as error:
        raise InputError([f"{file.path}: {problem}" for problem in error.problems]) from error
    plan = Plan(known, with_located_paths(plan.config, known, file.path.parent))
    # A key belongs in the environment; a feed's address is the one place that cannot have it so.
    if holds_a_key(plan.config) and others_may_read(file.path):
        raise InputError(
            f"{file.path}: holds a key in an address, and others may read the file; "
            f"chmod 600 {file.path}"
        )
    return plan


def http_options() -> dict[str, str]:
    """Return where scanners cache responses and count requests: the user's state folder."""
    from mp2.discovery.http.state import state_folder

    return {"folder": str(state_folder())}


# --- mp2 scan --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """How a scan is run; the defaults are those of a scan beside `mp2 pick`."""

    db: Path
    no_store: bool
    only: Names = ()
    workers: int | None = None
    timeout: float | None = None
    sequential: bool = False
    no_progress: bool = False
    prices: Path | None = None
    day: str | None = None
    quiet: bool = False

    def today(self) -> date | None:
        """Return the day to scan for, None for today; raises `InputError` for what is none."""
        from mp2.data.dates import setting_day

        if self.day is None:
            return None
        problems: list[str] = []
        day = setting_day("day", self.day, problems)
        if day is None:
            raise InputError(problems)
        return day


@click.command(cls=Command)
@click.option(
    "--only",
    type=settings.NAMES,
    multiple=True,
    callback=flat,
    shell_complete=complete_scanners,
    help="scanners to run; several by commas or by repeating the option "
    "[default: all that are switched on]",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), help="scanners that run at once [default: 8]"
)
@click.option(
    "--timeout",
    type=settings.TIMEOUT,
    help="time for each scanner that has none of its own [default: 30s]",
)
@file_option("--prices", help="daily bars for all scanners of prices, in place of their settings'")
@click.option("--day", help="day to scan for; bars count up to the day before [default: today]")
@click.option("--sequential", is_flag=True, help="run one after the other: the same result, later")
@click.option(
    "--verify",
    is_flag=True,
    help="run the offline scanners both ways and compare results and times",
)
@number_option("--show", 20, "candidates in the table", least=0)
@DB_OPTION
@click.option(
    "--no-store",
    is_flag=True,
    help="do not store the scan, nor check or change the breakers of scanners",
)
@JSON_OPTION
@PROGRESS_OPTION
def scan(
    show: int,
    verify: bool,
    **options: Any,
) -> int:
    """Run all scanners side by side and rank their candidates.

    The settings of scanners are the table [discovery] of the settings file, which --config FILE
    names, here too. Responses of sources and request counts are kept in sources.db in
    the state folder of the user. Keys are taken from the environment; 'mp2 scanners' shows
    which scanners there are and what they need.
    """
    from mp2.cli.scan_view import scan_view

    how = options_record(ScanOptions, {**options, "quiet": False})
    with Interrupts().caught() as interrupts:
        screen = start_logging()
        plan = planned()
        if how.prices is not None:
            plan = plan.with_prices(how.prices)
        if verify:
            return verify_offline(plan, how, interrupts.stop)
        result = run_scan(plan, how, interrupts.stop, screen)
        is_stored = not how.no_store and result.store_error is None
        present(
            scan_document(result),
            scan_view(result, n_show=show, stored=is_stored),
        )
        return exit_code(result)


def run_scan(
    plan: Plan,
    how: ScanOptions,
    stop: threading.Event,
    screen: Any,
) -> ScanResult:
    """Scan under the live display; a store that fails is reported, the result stays."""
    from mp2.cli.progress import ScanDisplay
    from mp2.discovery.records import console_line
    from mp2.discovery.registry import select
    from mp2.scanning import scan as scan_and_store

    names = [one.name for one in select(plan.known, how.only)]
    quiet = how.quiet or current_session().quiet
    with ScanDisplay(screen, names, live=not how.no_progress, quiet=quiet) as display:
        result = scan_and_store(
            plan.known,
            store=None if how.no_store else how.db,
            config=plan.config,
            only=how.only,
            workers=how.workers,
            timeout_s=how.timeout,
            # None leaves the mode to the settings file.
            concurrent=False if how.sequential else None,
            http_options=http_options(),
            stop=stop,
            today=how.today(),
            observe=display.show,
            observe_every_s=DISPLAY_S,
            on_begin=lambda scan_id: note_kept(f"what had ended is stored as scan {scan_id}"),
        )
    for outcome in result.outcomes:
        # Without its mark; commands put "scan: " before the warnings of a scan they ran.
        _, _, line = console_line(outcome).partition(" ")
        current_session().said.update((line, f"scan: {line}"))
    if result.store_error:
        say(f"mp2: {result.store_error}", err=True)
    return result


def scan_document(result: ScanResult, **changes: Any) -> Document:
    """Build the JSON document of a scan."""
    errors = filter(None, [result.store_error])
    return {**result.to_dict(), **changes, "run_id": None, "errors": list(errors)}


def exit_code(result: ScanResult) -> ExitCode:
    """Return how a command with this result ends."""
    # A scanner that was skipped counts neither as failed nor as run.
    n_run = sum(outcome.failed or outcome.error is None for outcome in result.outcomes)
    # Every scanner that ran has failed.
    if result.store_error or 0 < result.n_failed == n_run:
        return ExitCode.FAILED
    if not result.candidates:
        return ExitCode.NOTHING_FOUND
    if result.n_failed:
        return ExitCode.SOME_SCANNERS_FAILED
    return ExitCode.OK


# --- mp2 scan --verify -----------------------------------------------------------------------


def verify_offline(
    plan: Plan,
    how: ScanOptions,
    stop: threading.Event,
) -> ExitCode:
    """Run the scanners that need no network both ways; store nothing, use no breaker."""
    from mp2.discovery.runner import scan as run

    names = [one.name for one in plan.known if one.scanner is not None and one.scanner.offline]
    if not names:
        raise InputError(
            "--verify: there is no offline scanner; plug-ins can add one (offline = True)"
        )
    for name in how.only:
        if name not in names:
            listed = ", ".join(names)
            raise InputError(f"--verify: {name!r} is no offline scanner; there are {listed}")

    def run_offline(*, concurrent: bool) -> ScanResult:
        return run(
            plan.known,
            concurrent=concurrent,
            config=plan.config,
            only=how.only or names,
            workers=how.workers,
            timeout_s=how.timeout,
            stop=stop,
            today=how.today(),
            http_options=http_options(),
        )

    # The first run pays for what is loaded only once; it is not compared.
    run_offline(concurrent=True)
    side_by_side = run_offline(concurrent=True)
    in_turn = run_offline(concurrent=False)
    if stop.is_set():
        return ExitCode.FAILED
    return print_verdict(side_by_side, in_turn)


def print_verdict(concurrent: ScanResult, sequential: ScanResult) -> ExitCode:
    """Print what differs between two results of the same scanners, and how long each took."""
    differences = []
    for first, second in zip(concurrent.outcomes, sequential.outcomes, strict=True):
        one = _ending(first)
        other = _ending(second)
        if one != other:
            differences.append(f"{first.scanner}: {one} concurrently, {other} sequentially")
    # Equal counts may hide different tickers.
    if concurrent.candidates != sequential.candidates:
        differences.append("the candidates differ")
    facts: Document = {
        "n_scanners": len(concurrent.outcomes),
        "n_candidates": len(concurrent.candidates),
        "workers": concurrent.workers,
        "concurrent_s": concurrent.elapsed_s,
        "sequential_s": sequential.elapsed_s,
        "speed_up": round(sequential.elapsed_s / max(concurrent.elapsed_s, 1e-9), 2),
    }
    status = "ok"
    code = ExitCode.OK
    if differences:
        status = "differs"
        code = ExitCode.FAILED
    sentence = (
        "{n_scanners} offline scanners, {n_candidates} candidates: {sequential_s:.2f} s one at a "
        "time, {concurrent_s:.2f} s with at most {workers} at once, {speed_up:.2f} times as fast."
    )
    content = document(status=status, **facts, differences=differences)
    present(content, *differences, sentence.format(**facts))
    return code


def _ending(outcome: ScanOutcome) -> str:
    ending = f"{outcome.status} with {outcome.n_candidates} candidates"
    if outcome.error is not None:
        ending += f", {outcome.error.message}"
    return ending
