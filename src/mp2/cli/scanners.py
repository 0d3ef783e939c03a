"""`mp2 scanners ...`: which scanners there are, their settings, breakers and tests; and `mp2 scans ...` on stored scans.

Scans have commands of their own because `mp2 runs` is about searches: `last` means the last search to `mp2 pick`, and a list
of both would have hardly a column in common.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli import settings
from mp2.cli.logs import start_logging
from mp2.cli.options import DB_OPTION, JSON_OPTION, delete_stored, reading
from mp2.cli.scan import Plan, echo_scan, http_options, planned
from mp2.cli.session import Interrupts
from mp2.cli.views import echo_document, print_warnings, say
from mp2.discovery.records import ANSWERED, console_line, counted
from mp2.errors import ExitCode, InputError, Mp2Error, plain

if TYPE_CHECKING:
    from mp2.discovery.breaker import BreakerState
    from mp2.discovery.config import Discovery
    from mp2.discovery.records import Candidate, ScanOutcome
    from mp2.discovery.registry import Registered


@click.group()
@DB_OPTION
def scanners(db: Path) -> None:
    """Look at scanners: which there are, what they need, how they fare."""


# --- mp2 scanners list -----------------------------------------------------------------------------------------------


@scanners.command("list")
@JSON_OPTION
@DB_OPTION
@click.pass_context
def list_scanners(context: click.Context, db: Path, as_json: bool) -> int:
    """List the scanners in registration order: whether they would run, their keys and their breakers."""
    from mp2.cli.views import console, record_table

    plan = planned(context)
    states = _breaker_states(db)
    found = [_description(one, _discovery(plan), states) for one in plan.known]
    if as_json:
        echo_document(scanners=found)
        return 0
    headings = ("scanner", "pipeline", "enabled", "keys", "breaker", "summary")
    console().print(record_table(headings, map(_line, found)))
    return 0


def _discovery(plan: Plan) -> Discovery:
    from mp2.discovery.config import read_discovery

    return read_discovery(
        plan.config,
        [one.name for one in plan.known],
        [one.pipeline for one in plan.known if one.pipeline],
    )


def _breaker_states(db: Path) -> dict[str, BreakerState]:
    """Without a database all breakers are closed."""
    from mp2.storage.runs import Store

    if not db.exists() or db.stat().st_size == 0:
        return {}
    with Store(db, read_only=True) as store:
        return store.breakers()


def _description(
    one: Registered, discovery: Discovery, states: Mapping[str, BreakerState]
) -> dict[str, Any]:
    """What is known of a scanner, as plain JSON values; of keys only whether they are there."""
    from mp2.discovery.breaker import BreakerState
    from mp2.discovery.scanner import find_key

    scanner = one.scanner
    error, why_off = _standing(one, discovery)
    return {
        "name": one.name,
        "pipeline": one.pipeline,
        "summary": "" if scanner is None else scanner.summary,
        "where": one.where,
        "enabled": error is None and why_off is None,
        "why_off": why_off,
        "error": error,
        "keys": {}
        if scanner is None
        else {key: "missing" if find_key(key) is None else "present" for key in scanner.keys},
        "isolation": None if scanner is None else scanner.isolation,
        "offline": None if scanner is None else scanner.offline,
        "breaker": states.get(one.name, BreakerState()).to_dict(),
    }


def _standing(one: Registered, discovery: Discovery) -> tuple[str | None, str | None]:
    """What is wrong with a scanner or its settings, and why it is switched off."""
    if one.scanner is None:
        return one.error, None
    try:
        return None, discovery.why_off(one.name, one.pipeline, one.scanner)
    except InputError as error:
        return "; ".join(error.problems), None


def _line(found: Mapping[str, Any]) -> tuple[str, ...]:
    enabled = f"error: {found['error']}" if found["error"] else "no" if found["why_off"] else "yes"
    keys = ", ".join(f"{key} {state}" for key, state in found["keys"].items()) or "-"
    return (
        found["name"],
        found["pipeline"],
        enabled,
        keys,
        _breaker_text(found["breaker"]),
        found["summary"],
    )


def _breaker_text(breaker: Mapping[str, Any]) -> str:
    """`closed`, `closed (2 failures)`, `open since 2026-11-22 15:30 for 15 min`."""
    from datetime import datetime

    if breaker["phase"] == "closed":
        return (
            f"closed ({counted(breaker['n_failures'], 'failure')})"
            if breaker["n_failures"]
            else "closed"
        )
    since = datetime.fromtimestamp(breaker["since"])
    if breaker["phase"] == "half_open":
        return f"being tried since {since:%Y-%m-%d %H:%M}"
    return f"open since {since:%Y-%m-%d %H:%M} for {round(breaker['cool_down_s'] / 60)} min"


def _named(plan: Plan, name: str) -> Registered:
    """The scanner of this name; `InputError` says which there are."""
    for one in plan.known:
        if one.name == name:
            return one
    listed = ", ".join(one.name for one in plan.known) or "none"
    raise InputError(f"unknown scanner {plain(name)!r}; known are {listed}")


# --- mp2 scanners show -----------------------------------------------------------------------------------------------


@scanners.command("show")
@click.argument("name")
@JSON_OPTION
@DB_OPTION
@click.pass_context
def show_scanner(context: click.Context, db: Path, name: str, as_json: bool) -> int:
    """Show a scanner: where it comes from, and its settings with types, defaults and meaning."""
    from mp2.cli.views import console, record_table

    plan = planned(context)
    one = _named(plan, name)
    found = _description(one, _discovery(plan), _breaker_states(db))
    given = plan.config.get("scanners", {}).get(one.name, {})
    described = [] if one.scanner is None else describe_settings(one.scanner.Settings, given)
    if as_json:
        echo_document(**found, settings=described)
        return 0
    _, pipeline, enabled, keys, breaker, summary = _line(found)
    facts = {
        "scanner": one.name,
        "summary": summary,
        "pipeline": pipeline,
        "enabled": found["why_off"] or enabled,
    }
    facts |= {
        "keys": keys,
        "breaker": breaker,
        "registered by": one.where,
        "isolation": found["isolation"] or "-",
    }
    console().print(record_table(("what", "value"), facts.items()))
    click.echo()
    say(f"[discovery.scanners.{one.name}]")
    rows = (
        (
            line["name"],
            line["type"],
            "required" if line["required"] else _value(line["default"]),
            _set(line),
            line["doc"],
        )
        for line in described
    )
    console().print(record_table(("setting", "type", "default", "in the file", "meaning"), rows))
    return 0


def _value(value: Any) -> str:
    import json

    return "none" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _set(line: Mapping[str, Any]) -> str:
    return "set" if line["is_set"] else "-"


def describe_settings(model: Any, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line per setting from the schema of its class; whether the file sets it, not to what: it may be a secret."""
    schema = model.model_json_schema()
    definitions, required = schema.get("$defs", {}), schema.get("required", ())
    return [
        {
            "name": name,
            "type": type_text(field, definitions),
            "required": name in required,
            "default": field.get("default"),
            "is_set": name in given,
            "doc": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


_TYPES = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "object": "table",
    "null": "none",
}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def type_text(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON schema in words: `whole number >= 1`, `list of text`, `"a" or "b"`."""
    if "$ref" in field:
        return type_text(definitions.get(field["$ref"].rpartition("/")[2], {}), definitions)
    if choices := field.get("anyOf") or field.get("allOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(type_text(choice, definitions) for choice in choices))
    if "enum" in field or "const" in field:
        return " or ".join(map(_value, field.get("enum", [field.get("const")])))
    if field.get("type") == "array":
        return f"list of {type_text(field.get('items', {}), definitions)}"
    kind = _TYPES.get(field.get("type", "any"), field.get("type", "any value"))
    bounds = (
        f"{sign} {field[key]:g}"
        for key, sign in _BOUNDS.items()
        if isinstance(field.get(key), int | float)
    )
    return " ".join((kind, ", ".join(bounds))).strip()


# --- mp2 scanners reset ----------------------------------------------------------------------------------------------


@scanners.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@JSON_OPTION
@DB_OPTION
@click.pass_context
def reset(context: click.Context, db: Path, names: Sequence[str], as_json: bool) -> int:
    """Close the breakers of scanners and forget their failures: the next scan runs them again."""
    from mp2.discovery.breaker import BreakerState
    from mp2.storage.runs import Store

    plan = planned(context)
    with Interrupts().caught() as interrupts:
        with Store(db, must_exist=True) as store:
            before = store.breakers()
            for name in names:
                if name not in before:  # that of a plug-in which is gone can be reset all the same
                    _named(plan, name)
            for name in names:
                store.change_breaker(name, lambda state: BreakerState())
        if as_json:
            echo_document(reset=list(names))
            return interrupts.exit_code or 0
        for name in names:
            was = _breaker_text(before.get(name, BreakerState()).to_dict())
            say(f"{name}: breaker closed (it was {was}).")
        return interrupts.exit_code or 0


# --- mp2 scanners test -----------------------------------------------------------------------------------------------


@scanners.command("test")
@click.argument("name")
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
@click.pass_context
def test_scanner(
    context: click.Context,
    db: Path,
    name: str,
    in_caller: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Run one scanner, switched off or not, and print its log, its candidates and its time.

    Nothing is stored, and its breaker is neither asked nor changed. Exit code 1 when it fails, 4 when it names nothing.
    """
    plan = planned(context)
    one = _named(plan, name)
    config = _switched_on(plan.config, one)
    if in_caller:
        return _tell(*_in_caller(one, config, db), (), as_json)
    with Interrupts().caught() as interrupts:
        start_logging(context)
        outcome, candidates, logs, warnings = _in_thread(one, config, db, timeout, interrupts)
        code = _tell(outcome, candidates, logs, warnings, as_json)
    return interrupts.exit_code or code


def _switched_on(config: Mapping[str, Any], one: Registered) -> dict[str, Any]:
    """The parts of the table that count for this scanner, with the scanner on."""
    given = config.get("scanners", {}).get(one.name, {})
    execution = (
        {"scanner_execution": config["scanner_execution"]} if "scanner_execution" in config else {}
    )
    return {**execution, "scanners": {one.name: {**given, "enabled": True}}}


Tested = tuple["ScanOutcome", "tuple[Candidate, ...]", "tuple[str, ...]"]


def _in_caller(one: Registered, config: Mapping[str, Any], db: Path) -> Tested:
    from mp2.discovery.runner import scan_in_caller

    try:
        with redirect_stdout(sys.stderr):
            return scan_in_caller(one, config=config, http_options=http_options(db))
    except InputError as error:
        raise InputError([f"{one.name}: {problem}" for problem in error.problems]) from error
    except Mp2Error:
        raise
    except Exception as error:
        raise Mp2Error(
            f"{one.name}: {type(error).__name__}: {plain(error)} (--debug shows where)"
        ) from error


def _in_thread(
    one: Registered,
    config: Mapping[str, Any],
    db: Path,
    timeout_s: float | None,
    interrupts: Interrupts,
) -> tuple[ScanOutcome, tuple[Candidate, ...], tuple[str, ...], tuple[str, ...]]:
    from mp2.discovery.runner import scan

    candidates: list[Candidate] = []
    result = scan(
        [one],
        config=config,
        timeout_s=timeout_s,
        http_options=http_options(db),
        stop=interrupts.stop,
        observe=lambda event: candidates.extend(event.candidates),
    )
    return result.outcomes[0], tuple(candidates), result.logs[one.name], result.warnings


def _tell(
    outcome: ScanOutcome,
    candidates: Sequence[Candidate],
    logs: Sequence[str],
    warnings: Sequence[str],
    as_json: bool,
) -> int:
    code = (
        ExitCode.FAILED
        if outcome.status not in ANSWERED
        else 0
        if candidates
        else ExitCode.NOTHING_FOUND
    )
    if as_json:
        named = [candidate.to_dict() for candidate in candidates]
        echo_document(
            status=str(outcome.status),
            warnings=warnings,
            outcome=outcome.to_dict(),
            candidates=named,
            logs=list(logs),
        )
        return code
    from mp2.cli.scan_view import log_view
    from mp2.cli.views import console, duration, record_table

    print_warnings(warnings)
    console(stderr=True).print(log_view(outcome.scanner, logs))
    if candidates:
        rows = (
            (one.ticker, one.priority, one.context, "" if one.data is None else _value(one.data))
            for one in candidates
        )
        console().print(record_table(("ticker", "priority", "why", "data"), rows))
    dropped = f", {outcome.n_dropped} dropped" if outcome.n_dropped else ""
    say(
        f"{console_line(outcome)} in {duration(outcome.seconds)}, {outcome.attempts} requests{dropped}"
    )
    return code


# --- mp2 scans -------------------------------------------------------------------------------------------------------


@click.group()
@DB_OPTION
def scans(db: Path) -> None:
    """Look at stored scans. SCAN is a scan's id, the beginning of it, or 'last'."""


@scans.command("list")
@JSON_OPTION
@DB_OPTION
def list_scans(db: Path, as_json: bool) -> int:
    """List the stored scans, newest first."""
    from mp2.cli.views import console, duration, record_table

    with reading(db) as store:
        summaries = store.scans()
    if as_json:
        echo_document(scans=[asdict(summary) for summary in summaries])
        return 0
    rows = (
        (
            one.scan_id,
            one.status,
            one.day,
            "" if one.elapsed_s is None else duration(one.elapsed_s),
            f"{one.n_outcomes} of {one.n_scanners}",
            one.n_failed,
            one.n_candidates,
        )
        for one in summaries
    )
    headings = ("scan", "status", "day", "time", "outcomes", "failed", "candidates")
    console().print(record_table(headings, rows))
    return 0


@scans.command("show")
@click.argument("scan")
@click.option(
    "--show",
    "n_show",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="candidates in the table",
)
@click.option("--logs", is_flag=True, help="the scanners' logs too")
@JSON_OPTION
@DB_OPTION
def show_scan(db: Path, scan: str, n_show: int, logs: bool, as_json: bool) -> int:
    """Show a scan as it was printed; of one that was interrupted what had ended by then."""
    with reading(db) as store:
        scan_id = store.find_scan(scan)
        summary, result = store.scan_summary(scan_id), store.load_scan(scan_id)
    if as_json:
        added: dict[str, Any] = (
            {"logs": {name: list(lines) for name, lines in result.logs.items()}} if logs else {}
        )
        echo_scan(
            result, status=summary.status, day=summary.day, started_at=summary.started_at, **added
        )
        return 0
    from mp2.cli.scan_view import log_view, scan_view
    from mp2.cli.views import console

    print_warnings(result.warnings)
    for outcome in result.outcomes:
        say(console_line(outcome))
        if logs:
            console().print(log_view(outcome.scanner, result.logs[outcome.scanner]))
    console().print(scan_view(result, n_show=n_show, stored=True))
    return 0


@scans.command("delete")
@click.argument("scan")
@JSON_OPTION
@DB_OPTION
def delete_scan(db: Path, scan: str, as_json: bool) -> int:
    """Delete a scan and everything stored with it."""
    return delete_stored(
        "scan",
        db,
        lambda store: store.find_scan(scan),
        lambda store, scan_id: store.delete_scan(scan_id),
        as_json,
    )
