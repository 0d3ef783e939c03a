"""`mp2 scanners`: list scanners, show their settings, reset their breakers, test one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2._document import Document, Fields, Names
from mp2.cli import settings
from mp2.cli.completion import SCANNER_ARGUMENT, complete_scanners
from mp2.cli.logs import start_logging
from mp2.cli.options import DB_OPTION, JSON_OPTION, Group, reading
from mp2.cli.scan import Plan, http_options, planned
from mp2.cli.session import Interrupts, current_session
from mp2.cli.views import console, document, duration, present, record_table
from mp2.discovery.records import ANSWERED, console_line
from mp2.errors import ExitCode, InputError, Mp2Error, counted, plain

if TYPE_CHECKING:
    from mp2.discovery.breaker import BreakerState
    from mp2.discovery.config import Discovery
    from mp2.discovery.records import Candidate, ScanOutcome
    from mp2.discovery.registry import Registered


@click.group(cls=Group)
@DB_OPTION
def scanners(db: Path) -> None:
    """Look at scanners: which there are, their settings, keys and breakers."""


_HEADINGS = ("scanner", "pipeline", "enabled", "keys", "breaker", "summary")


# --- mp2 scanners list -----------------------------------------------------------------------


@scanners.command("list")
@JSON_OPTION
@DB_OPTION
def list_scanners(db: Path) -> None:
    """List the scanners in registration order: whether they would run, their keys and breakers."""
    plan = planned()
    discovery = plan.discovery()
    states = _breaker_states(db)
    described = [describe_scanner(one, discovery, states) for one in plan.known]
    table = record_table(_HEADINGS, [_row(one) for one in described])
    present(document(scanners=described), table)


def _breaker_states(db: Path) -> Mapping[str, BreakerState]:
    """Return the breakers in the database; without one all are closed."""
    # A list must not fail because nothing was scanned yet.
    if not db.exists() or db.stat().st_size == 0:
        return {}
    with reading(db) as store:
        return store.breakers()


def describe_scanner(
    one: Registered,
    discovery: Discovery,
    states: Mapping[str, BreakerState],
) -> Document:
    """Describe a scanner as plain JSON values; of keys only whether they are set."""
    from mp2.discovery.breaker import BreakerState
    from mp2.discovery.config import own_settings
    from mp2.discovery.scanner import find_key

    # A plug-in that could not be loaded is listed without a class.
    scanner = one.scanner
    keys = getattr(scanner, "keys", ())
    if scanner is not None:
        # They may depend on its settings, which need not be valid while it is switched off.
        with suppress(InputError):
            given = discovery.scanners.get(one.name, {})
            keys = scanner.needed_keys(own_settings(scanner, given))
    described = {
        "name": one.name,
        "pipeline": one.pipeline,
        "summary": getattr(scanner, "summary", ""),
        "where": one.where,
        "enabled": False,
        "why_off": None,
        "error": one.error,
        "keys": {key: "missing" if find_key(key) is None else "present" for key in keys},
        "isolation": getattr(scanner, "isolation", None),
        "offline": getattr(scanner, "offline", None),
        "breaker": asdict(states.get(one.name, BreakerState())),
    }
    if scanner is None:
        return described
    try:
        described["why_off"] = discovery.why_off(one.name, one.pipeline, scanner)
        described["enabled"] = described["why_off"] is None
    except InputError as error:
        described["error"] = "; ".join(error.problems)
    return described


def _row(described: Fields) -> Names:
    enabled = "yes"
    if described["error"]:
        enabled = f"error: {described['error']}"
    elif not described["enabled"]:
        enabled = "no"
    keys = ", ".join(f"{key} {state}" for key, state in described["keys"].items())
    breaker = _breaker_text(described["breaker"])
    summary = described["summary"]
    return described["name"], described["pipeline"], enabled, keys or "-", breaker, summary


def _breaker_text(breaker: Fields) -> str:
    """Return `closed (2 failures)` or `open since 2026-11-22 15:30 for 15 min`."""
    n_failures = breaker["n_failures"]
    if breaker["phase"] == "closed" and n_failures:
        return f"closed ({counted(n_failures, 'failure')})"
    if breaker["phase"] == "closed":
        return "closed"
    since = f"{datetime.fromtimestamp(breaker['since']):%Y-%m-%d %H:%M}"
    if breaker["phase"] == "half_open":
        return f"being tried since {since}"
    return f"open since {since} for {round(breaker['cool_down_s'] / 60)} min"


def _named(plan: Plan, name: str) -> Registered:
    """Return the scanner of this name; raises `InputError` with the known names."""
    for one in plan.known:
        if one.name == name:
            return one
    listed = ", ".join(one.name for one in plan.known) or "none"
    raise InputError(f"unknown scanner {plain(name)!r}; known are {listed}")


# --- mp2 scanners show -----------------------------------------------------------------------


@scanners.command("show")
@SCANNER_ARGUMENT
@JSON_OPTION
@DB_OPTION
def show_scanner(db: Path, name: str) -> None:
    """Show a scanner: where it comes from, and its settings with types, defaults and meaning."""
    plan = planned()
    one = _named(plan, name)
    described = describe_scanner(one, plan.discovery(), _breaker_states(db))
    given = plan.config.get("scanners", {}).get(name, {})
    options = []
    if one.scanner is not None:
        options = describe_settings(one.scanner.Settings, given)
    facts = dict(zip(_HEADINGS, _row(described), strict=True))
    facts["enabled"] = described["why_off"] or facts["enabled"]
    facts["registered by"] = described["where"]
    facts["isolation"] = described["isolation"] or "-"
    rows = []
    for option in options:
        default = "required" if option["required"] else _value_text(option["default"])
        is_set = "set" if option["is_set"] else "-"
        rows.append((option["name"], option["type"], default, is_set, option["doc"]))
    headings = ("setting", "type", "default", "in the file", "meaning")
    present(
        document(**described, settings=options),
        record_table(("what", "value"), facts.items()),
        "",
        f"[discovery.scanners.{name}]",
        record_table(headings, rows),
    )


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    return json.dumps(value, ensure_ascii=False, default=str)


def describe_settings(model: Any, given: Fields) -> list[Document]:
    """Describe each setting from the schema of its class, and whether the file sets it.

    The value in the file is left out: it may be a secret.
    """
    schema = model.model_json_schema()
    required = schema.get("required", ())
    described: list[Document] = []
    for name, field in schema.get("properties", {}).items():
        setting = {
            "name": name,
            "type": type_text(field),
            "required": name in required,
            "default": field.get("default"),
            "is_set": name in given,
            "doc": field.get("description", ""),
        }
        described.append(setting)
    return described


_LIMITS = ("enum", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def type_text(field: Fields) -> str:
    """Return a JSON schema in its own words: `integer minimum 1`, `array of string`."""
    choices = field.get("anyOf")
    if choices:
        return " or ".join(map(type_text, choices))
    words = [field.get("type", "any value")]
    if "items" in field:
        words += ["of", type_text(field["items"])]
    for key in _LIMITS:
        if key in field:
            words += [key, _value_text(field[key])]
    return " ".join(words)


# --- mp2 scanners reset ----------------------------------------------------------------------


@scanners.command()
@click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_scanners
)
@JSON_OPTION
@DB_OPTION
def reset(db: Path, names: Sequence[str]) -> None:
    """Close the breakers of scanners and forget their failures: the next scan runs them again."""
    from mp2.discovery.breaker import BreakerState
    from mp2.storage.runs import Store

    plan = planned()
    closed = BreakerState()
    lines = []
    with Interrupts().caught():
        with Store(db, must_exist=True) as store:
            before = store.breakers()
            # All names are checked before any breaker is changed.
            for name in names:
                # The breaker of a plug-in that was removed can be reset too.
                if name not in before:
                    _named(plan, name)
            for name in names:
                store.change_breaker(name, lambda state: closed)
                state = before.get(name, closed)
                lines.append(f"{name}: breaker closed (it was {_breaker_text(asdict(state))}).")
        present(document(reset=list(names)), *lines)


# --- mp2 scanners test -----------------------------------------------------------------------


@scanners.command("test")
@SCANNER_ARGUMENT
@click.option(
    "--in-caller",
    is_flag=True,
    help="in the main thread, without a time limit, errors raised: for a debugger",
)
@click.option(
    "--timeout", type=settings.TIMEOUT, help="time for it, if its settings have none [default: 30s]"
)
@JSON_OPTION
@DB_OPTION
def test_scanner(
    db: Path,
    name: str,
    in_caller: bool,
    timeout: float | None,
) -> ExitCode:
    """Run one scanner, switched off or not, and print its log, its candidates and its time.

    Nothing is stored, and its breaker is neither checked nor changed. Exit code 1 when it fails,
    4 when it has no candidates.
    """
    from mp2.discovery.runner import scan

    plan = planned()
    one = _named(plan, name)
    given = plan.config.get("scanners", {}).get(name, {})
    # Only the parts of the table that count for this scanner, which is switched on.
    config = {"scanners": {name: {**given, "enabled": True}}}
    if "scanner_execution" in plan.config:
        config["scanner_execution"] = plan.config["scanner_execution"]
    if in_caller:
        return print_tested(*run_in_caller(one, config))
    candidates: list[Candidate] = []
    with Interrupts().caught() as interrupts:
        start_logging()
        result = scan(
            [one],
            config=config,
            timeout_s=timeout,
            http_options=http_options(),
            stop=interrupts.stop,
            observe=lambda event: candidates.extend(event.candidates),
        )
        logs = result.logs[name]
        return print_tested(result.outcomes[0], candidates, logs, result.warnings)


def run_in_caller(
    one: Registered, config: Fields
) -> tuple[ScanOutcome, Sequence[Candidate], Sequence[str]]:
    """Run a scanner in this thread; an error it raises names it."""
    from mp2.discovery.runner import scan_in_caller

    try:
        with redirect_stdout(sys.stderr):
            return scan_in_caller(one, config=config, http_options=http_options())
    except InputError as error:
        raise InputError([f"{one.name}: {problem}" for problem in error.problems]) from error
    except Mp2Error:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {plain(error)}"
        raise Mp2Error(f"{one.name}: {cause} (--debug shows where)") from error


def print_tested(
    outcome: ScanOutcome,
    candidates: Sequence[Candidate],
    logs: Sequence[str],
    warnings: Sequence[str] = (),
) -> ExitCode:
    """Print the log, the candidates and the time of one scanner."""
    from mp2.cli.scan_view import log_view

    content = document(
        status=str(outcome.status),
        warnings=warnings,
        outcome=outcome.to_dict(),
        candidates=[candidate.to_dict() for candidate in candidates],
        logs=list(logs),
    )
    parts: list[Any] = []
    if candidates:
        rows = []
        for one in candidates:
            data = "" if one.data is None else _value_text(one.data)
            rows.append((one.ticker, one.priority, one.context, data))
        parts.append(record_table(("ticker", "priority", "why", "data"), rows))
    line = f"{console_line(outcome)} in {duration(outcome.seconds)}, {outcome.attempts} requests"
    if outcome.n_dropped:
        line += f", {outcome.n_dropped} dropped"
    parts.append(line)
    # The document has the log as well.
    if not current_session().as_json:
        console(stderr=True).print(log_view(outcome.scanner, logs))
    present(content, *parts)
    if outcome.status not in ANSWERED:
        return ExitCode.FAILED
    if not candidates:
        return ExitCode.NOTHING_FOUND
    return ExitCode.OK
