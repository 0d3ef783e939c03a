"""`mp2 scan`: all scanners side by side, every outcome stored before it is shown; and the scan beside `mp2 pick`."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2._files import others_may_read
from mp2.cli import settings
from mp2.cli.logs import start_logging
from mp2.cli.options import DB_OPTION, JSON_OPTION, flat, opened_keeper
from mp2.cli.session import Interrupts, Session
from mp2.cli.views import echo_document, print_document, print_warnings, say
from mp2.discovery.records import ScanEvent, ScanOutcome, ScanResult
from mp2.errors import ExitCode, InputError, StoreError

if TYPE_CHECKING:
    from mp2.cli.progress import ScanDisplay
    from mp2.discovery.breaker import Breakers, BreakerState
    from mp2.discovery.registry import Registered
    from mp2.storage.recorder import Keeper
    from mp2.storage.runs import Store
    from mp2.storage.scans import Change


@dataclass(frozen=True, slots=True)
class Plan:
    """The scanners there are and the table `[discovery]`, checked."""

    known: tuple[Registered, ...]
    config: Mapping[str, Any] = field(repr=False)

    def chosen(self, only: Sequence[str]) -> list[str]:
        """The names of those that run, in registration order."""
        return [one.name for one in self.known if not only or one.name in only]


class _OwnStdout:
    """Standard output for this thread; for all others, in which scanners run, standard error: a document must stay one."""

    def __init__(self, stdout: Any) -> None:
        self._stdout, self._thread = stdout, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout if threading.get_ident() == self._thread else sys.stderr, name)


def planned(context: click.Context) -> Plan:
    """All scanners, and the settings file's table for them. Raises `InputError` naming the file.

    A file that holds a key in an address has to be its owner's alone. From here to the end of the command what scanners print
    goes to standard error.
    """
    from mp2.discovery.config import holds_a_key, read_discovery
    from mp2.discovery.registry import find_scanners

    context.with_resource(redirect_stdout(_OwnStdout(sys.stdout)))
    file = (context.find_object(Session) or Session()).settings
    with redirect_stdout(sys.stderr):  # plug-ins are imported
        known = find_scanners()
    try:
        read_discovery(
            file.discovery,
            [one.name for one in known],
            [one.pipeline for one in known if one.pipeline],
        )
    except InputError as error:
        raise InputError([f"{file.path}: {problem}" for problem in error.problems]) from error
    if holds_a_key(file.discovery) and others_may_read(file.path):
        raise InputError(
            f"{file.path}: holds a key in an address, and others may read the file; chmod 600 {file.path}"
        )
    return Plan(known, file.discovery)


def http_options(db: Path) -> dict[str, str]:
    """Where scanners keep answers and count requests: beside the database, whether or not the scan is stored in it."""
    return {"folder": str(db.absolute().parent)}


@dataclass(frozen=True, slots=True)
class Ran:
    """A scan that was run: its result, the date scanned for, and why it is not (wholly) in the store."""

    result: ScanResult
    day: str
    stored: bool
    failure: str | None = None


@click.command()
@click.option(
    "--only",
    type=settings.NAMES,
    multiple=True,
    callback=flat,
    help="scanners to run; several by commas or by repeating the option [default: all that are switched on]",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), help="scanners that run at once [default: 8]"
)
@click.option(
    "--timeout",
    type=settings.TIMEOUT,
    help="time for each scanner that has none of its own [default: 30s]",
)
@click.option("--sequential", is_flag=True, help="run one after the other: the same result, later")
@click.option(
    "--verify",
    is_flag=True,
    help="run the offline scanners both ways and compare results and times",
)
@click.option(
    "--show", type=click.IntRange(0), default=20, show_default=True, help="candidates in the table"
)
@DB_OPTION
@click.option(
    "--no-store",
    is_flag=True,
    help="do not store the scan, nor heed or change the breakers of scanners",
)
@JSON_OPTION
@click.option("--no-progress", is_flag=True, help="no live display")
@click.pass_context
def scan(context: click.Context, /, **options: Any) -> int:
    """Run all scanners side by side and rank what they name.

    The settings of scanners are the table [discovery] of the settings file, which --config FILE names, here too. What sources
    answered and how often they were asked is kept beside the database, in scan_cache.db and scan_quota.db. Keys are taken from
    the environment; 'mp2 scanners' shows which scanners there are and what they need.
    """
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        plan = planned(context)
        if options["verify"]:
            return _verify(plan, options, interrupts)
        ran = run_scan(context, plan, options, interrupts, screen)
        _print(ran, options)
        return interrupts.exit_code or _exit_code(ran)


def run_scan(
    context: click.Context,
    plan: Plan,
    options: Mapping[str, Any],
    interrupts: Interrupts,
    screen: Any,
) -> Ran:
    """Scan under the display. Every outcome is stored before it is shown; a store that fails ends the storing, not the scan.

    Of `options` count `db` and `no_store`, and where they are there `only`, `workers`, `timeout`, `sequential`, `no_progress`.
    """
    from mp2.cli.progress import LOOK_S, ScanDisplay
    from mp2.discovery.runner import scan as run

    only, today = options.get("only", ()), date.today()
    names = plan.chosen(only)
    with (
        opened_keeper(options) as keeper,
        ScanDisplay(screen, names, live=not options.get("no_progress")) as display,
    ):
        record = _Record(
            keeper, display, names, plan.config, today, context.find_object(Session) or Session()
        )
        with record.ended():
            result = run(
                plan.known,
                config=plan.config,
                only=only,
                workers=options.get("workers"),
                timeout_s=options.get("timeout"),
                concurrent=False if options.get("sequential") else None,
                http_options=http_options(options["db"]),
                breakers=record.breakers(),
                stop=interrupts.stop,
                observe=record.take,
                observe_every_s=LOOK_S,
                today=today,
            )
        result = record.finish(result)
    return Ran(
        result, today.isoformat(), keeper is not None and record.failure is None, record.failure
    )


class _Record:
    """Stores what happens in a scan, and only then shows it. The first failure of the store ends the storing.

    Once the scan has begun the store's thread does both: however long the store is locked, no scanner's time depends on it.
    """

    def __init__(
        self,
        keeper: Keeper | None,
        display: ScanDisplay,
        names: Sequence[str],
        config: Mapping[str, Any],
        today: date,
        session: Session,
    ) -> None:
        self._keeper, self._display, self._names, self._config = keeper, display, names, config
        self._today, self._session = today, session
        self._one_at_a_time = threading.Lock()
        self._scan_id: str | None = None
        self.failure: str | None = None

    def take(self, event: ScanEvent) -> None:
        """The observer of the scan."""
        if event.kind == "begun":
            self._ask(self._begin)
        if event.outcome is not None and self._scan_id is not None and self._keeper is not None:
            self._keeper.post(lambda store: self._store_and_show(store, event))
        else:
            self._show(event)

    def _store_and_show(self, store: Store, event: ScanEvent) -> None:
        self._try(store, lambda store: store.add_outcome(str(self._scan_id), event))
        self._show(event)

    def _show(self, event: ScanEvent) -> None:
        with self._one_at_a_time:
            self._display.show(event)

    def finish(self, result: ScanResult) -> ScanResult:
        """Store the end; the result with its id in the store."""
        if self._scan_id is None:
            return result
        result = replace(result, scan_id=self._scan_id)
        self._ask(lambda store: store.finish_scan(result.scan_id, result))
        return result

    @contextmanager
    def ended(self) -> Iterator[None]:
        """A scan that is left by an exception has failed; one left by the user's second Ctrl-C shows as interrupted."""
        try:
            yield
        except Exception:
            if self._scan_id is not None:
                self._ask(lambda store: store.abandon_scan(str(self._scan_id)))
            raise

    def breakers(self) -> Breakers | None:
        """The breakers in the store; when it fails, every scanner may run."""
        if self._keeper is None:
            return None
        from mp2.discovery.config import breaker_rules
        from mp2.storage.scans import StoredBreakers

        return StoredBreakers(self._change_breaker, rules=breaker_rules(self._config))

    def _change_breaker(self, scanner: str, change: Change) -> BreakerState:
        from mp2.discovery.breaker import BreakerState

        if (
            self._scan_id is not None and self._keeper is not None
        ):  # an answer, whose state nobody waits for
            self._keeper.post(
                lambda store: self._try(store, lambda store: store.change_breaker(scanner, change))
            )
            return change(BreakerState())
        after: list[BreakerState] = []
        self._ask(lambda store: after.append(store.change_breaker(scanner, change)))
        return after[0] if after else change(BreakerState())

    def _begin(self, store: Store) -> None:
        self._scan_id = store.begin_scan(
            scanners=self._names,
            day=self._today.isoformat(),
            config_fingerprint=fingerprint(self._config),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._session.kept.append(f"what had ended is stored as scan {self._scan_id}")

    def _ask(self, work: Callable[[Store], object]) -> None:
        if self._keeper is not None:
            self._keeper.ask(lambda store: self._try(store, work))

    def _try(self, store: Store, work: Callable[[Store], object]) -> None:
        """In the store's thread."""
        if self.failure is not None:
            return
        try:
            work(store)
        except StoreError as error:
            self.failure = str(error)
            with self._one_at_a_time:
                self._display.say(f"mp2: {error}")


def fingerprint(config: Mapping[str, Any]) -> str:
    """What tells whether two scans had the same table `[discovery]`: sha256, hex."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def _print(ran: Ran, options: Mapping[str, Any]) -> None:
    if options["as_json"]:
        echo_scan(ran.result, errors=[ran.failure] if ran.failure else [])
        return
    from mp2.cli.scan_view import scan_view
    from mp2.cli.views import console

    print_warnings(ran.result.warnings)
    console().print(scan_view(ran.result, n_show=options["show"], stored=ran.stored))


def echo_scan(result: ScanResult, *, errors: Sequence[str] = (), **changed: Any) -> None:
    """Print a scan as one JSON document."""
    print_document({**result.to_dict(), **changed, "run_id": None, "errors": list(errors)})


def _exit_code(ran: Ran) -> int:
    n_failed, n_run = (
        ran.result.n_failed,
        sum(outcome.failed or outcome.error is None for outcome in ran.result.outcomes),
    )
    if ran.failure or 0 < n_failed == n_run:
        return ExitCode.FAILED
    if not ran.result.candidates:
        return ExitCode.NOTHING_FOUND
    return ExitCode.SOME_SCANNERS_FAILED if n_failed else 0


# --- mp2 scan --verify -------------------------------------------------------------------------------------------------


def _verify(plan: Plan, options: Mapping[str, Any], interrupts: Interrupts) -> int:
    """Both modes on the scanners that need no network. Nothing is stored, no breaker is asked."""
    from mp2.discovery.runner import scan as run

    offline = [one for one in plan.known if one.scanner is not None and one.scanner.offline]
    if unknown := [name for name in options["only"] if name not in [one.name for one in offline]]:
        listed = ", ".join(one.name for one in offline) or "none"
        raise InputError(
            [f"--verify: {name!r} is no offline scanner; there are {listed}" for name in unknown]
        )
    if not offline:
        raise InputError(
            "--verify: there is no offline scanner; plug-ins can add one (offline = True)"
        )
    given = {
        "config": plan.config,
        "only": options["only"],
        "workers": options["workers"],
        "timeout_s": options["timeout"],
    }
    config = _of_scanners(
        plan.config, [one.name for one in offline], [one.pipeline for one in offline]
    )
    given |= {
        "config": config,
        "stop": interrupts.stop,
        "today": date.today(),
        "http_options": http_options(options["db"]),
    }
    # The first run pays for whatever is loaded only once, and is not compared.
    _, side_by_side, in_turn = (
        run(offline, concurrent=concurrent, **given) for concurrent in (True, True, False)
    )
    if interrupts.exit_code is not None:
        return interrupts.exit_code
    return _print_verdict(side_by_side, in_turn, differences(side_by_side, in_turn), options)


def _of_scanners(
    config: Mapping[str, Any], names: Sequence[str], pipelines: Sequence[str]
) -> dict[str, Any]:
    """The table without what is about other scanners."""
    kept = {"scanners": names, "pipelines": pipelines}
    return {
        key: {name: value for name, value in table.items() if key not in kept or name in kept[key]}
        for key, table in config.items()
    }


def differences(first: ScanResult, second: ScanResult) -> list[str]:
    """What is not the same in two results of the same scanners, times apart; a line each."""
    by_name = {outcome.scanner: outcome for outcome in second.outcomes}
    lines = [
        f"{one.scanner}: {_ending(one)} concurrently, {_ending(by_name[one.scanner])} sequentially"
        for one in first.outcomes
        if _ending(one) != _ending(by_name[one.scanner])
    ]
    if [one.to_dict() for one in first.candidates] != [one.to_dict() for one in second.candidates]:
        tickers = [
            ", ".join(one.ticker for one in result.candidates) or "none"
            for result in (first, second)
        ]
        lines.append(f"candidates differ: concurrently {tickers[0]}; sequentially {tickers[1]}")
    return lines


def _ending(outcome: ScanOutcome) -> str:
    error = "" if outcome.error is None else f", {outcome.error.message}"
    return f"{outcome.status} with {outcome.n_candidates} candidates and {outcome.n_dropped} dropped{error}"


def _print_verdict(
    side_by_side: ScanResult, in_turn: ScanResult, different: list[str], options: Mapping[str, Any]
) -> int:
    concurrent_s, sequential_s = side_by_side.elapsed_s, in_turn.elapsed_s
    speed_up = round(sequential_s / concurrent_s, 2) if concurrent_s > 0 else 1.0
    warnings = [
        f"{one.scanner}: {one.error.message}"
        for one in side_by_side.outcomes
        if one.error is not None
    ]
    if options["as_json"]:
        echo_document(
            status="differs" if different else "ok",
            warnings=warnings,
            n_scanners=len(side_by_side.outcomes),
            n_candidates=len(side_by_side.candidates),
            workers=side_by_side.workers,
            concurrent_s=concurrent_s,
            sequential_s=sequential_s,
            speed_up=speed_up,
            differences=different,
        )
        return ExitCode.FAILED if different else 0
    print_warnings(warnings)
    for line in different:
        say(line)
    verdict = (
        "the results differ" if different else f"the same {len(side_by_side.candidates)} candidates"
    )
    click.echo(
        f"{len(side_by_side.outcomes)} offline scanners: {sequential_s:.2f} s one at a time, {concurrent_s:.2f} s with at most "
        f"{side_by_side.workers} at once, {speed_up:.2f} times as fast; {verdict}."
    )
    return ExitCode.FAILED if different else 0
