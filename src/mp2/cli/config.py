"""`mp2 config`: the settings there are, where each comes from, and whether they can be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from mp2._document import Document, Names
from mp2.cli.config_check import parsed
from mp2.cli.options import JSON_OPTION, Group
from mp2.cli.scan import Plan, planned
from mp2.cli.scanners import describe_scanner
from mp2.cli.session import current_session
from mp2.cli.setting_values import Setting, settings_of, value_text, without_secrets
from mp2.cli.views import document, present, record_table
from mp2.errors import InputError, counted

COMMAND_ARGUMENT = click.argument(
    "words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND [OPTION]...]"
)
# What follows the command are its options, not those of `mp2 config`.
_ITS_OPTIONS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group(cls=Group)
def config() -> None:
    """Look at the settings: nothing is run, and secrets are masked."""


@config.command(context_settings=_ITS_OPTIONS)
@COMMAND_ARGUMENT
@click.option("--all", "with_defaults", is_flag=True, help="also what has its default")
@JSON_OPTION
@click.pass_context
def show(
    context: click.Context,
    words: Sequence[str],
    with_defaults: bool,
) -> None:
    """Show the settings that differ from their defaults, their origins, and who would scan.

    With COMMAND and its options, such as 'mp2 config show run --budget 5s', what that command would
    use. The origin is an option, the environment, the file or the default. The JSON document has
    the defaults too.
    """
    # Options of the program itself count for every command.
    program = context.find_root()
    found = list(settings_of(program))
    for command, _ in parsed(program, words):
        found += settings_of(command)
    plan = planned()
    scanners = would_scan(plan)
    listed = [one for one in found if with_defaults or one.origin != "default"]
    who_scans = []
    for one in scanners:
        runs = "yes" if one["runs"] else "no"
        who_scans.append((one["name"], runs, one["why_not"] or ""))
    file = current_session().settings
    content = document(
        file=str(file.path) if file.tables else None,
        settings=[asdict(one) for one in found],
        discovery=without_secrets(plan.config),
        scanners=scanners,
    )
    present(
        content,
        record_table(("setting", "value", "origin", "where"), map(_row, listed)),
        "",
        record_table(("scanner", "runs", "why not"), who_scans),
    )


@config.command(context_settings=_ITS_OPTIONS)
@COMMAND_ARGUMENT
@JSON_OPTION
@click.pass_context
def check(context: click.Context, words: Sequence[str]) -> None:
    """Check every setting of the file and the environment; exit code 2 names all problems.

    Also that the files to read exist, and that every scanner's settings are usable. With COMMAND
    and its options these alone.
    """
    program = context.find_root()
    found = list(settings_of(program))
    problems: list[str] = []
    for command, wrong in parsed(program, words):
        found += settings_of(command)
        problems += wrong
    scanners = would_scan(planned())
    problems += [f"scanner {one['name']}: {one['error']}" for one in scanners if one["error"]]
    if problems:
        # A value of the program itself may be a problem of several commands.
        raise InputError(dict.fromkeys(problems))
    origins = [one.origin for one in found]
    names = [one["name"] for one in scanners if one["runs"]]
    content = document(
        n_from_file=origins.count("file"),
        n_from_environment=origins.count("environment"),
        scanners=scanners,
    )
    present(
        content,
        f"{counted(origins.count('file'), 'setting')} from the file, "
        f"{origins.count('environment')} from the environment: all can be used.",
        f"{counted(len(names), 'scanner')} would run: {', '.join(names) or 'none'}",
    )


def would_scan(plan: Plan) -> list[Document]:
    """Return for each scanner whether it would run, and why not; breakers are not looked at."""
    from mp2.discovery.config import file_settings

    discovery = plan.discovery()
    scanners: list[Document] = []
    for one in plan.known:
        described = describe_scanner(one, discovery, {})
        missing = [key for key, state in described["keys"].items() if state == "missing"]
        why_not = described["error"] or described["why_off"]
        if why_not is None and missing:
            why_not = f"no key: {', '.join(missing)}"
        if why_not is None and one.scanner is not None:
            given = plan.config.get("scanners", {}).get(one.name, {})
            # A scanner of a file is skipped until the file is named.
            unset = [name for name in file_settings(one.scanner) if not given.get(name)]
            if unset:
                why_not = f"set {', '.join(unset)} in [discovery.scanners.{one.name}]"
        scanners.append(
            {
                "name": one.name,
                "runs": why_not is None,
                "why_not": why_not,
                "error": described["error"],
            }
        )
    return scanners


def _row(setting: Setting) -> Names:
    key = f"{setting.command} {setting.key}".strip()
    return key, value_text(setting.value), setting.origin, setting.where or ""
