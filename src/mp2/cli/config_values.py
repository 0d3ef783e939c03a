"""The settings of every command with their origins, and what is wrong with them.

Nothing is executed: options are parsed and converted as the command line does it, and no more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from mp2._files import expanded
from mp2.cli import settings
from mp2.cli.output_files import OutputOption
from mp2.cli.search_options import RulesCommand, rules_from
from mp2.cli.session import Session
from mp2.errors import InputError

MASK = "***"


class SecretOption(click.Option):
    """An option whose value may hold a secret: an address to call, a command with a token."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a command, empty for the program itself.

    `origin`: default, file, environment or option. `where`: the key and file, or the variable.
    `value` has no secrets.
    """

    command: str
    key: str
    value: Any
    origin: str
    where: str | None


_ORIGINS = {
    ParameterSource.COMMANDLINE: "option",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
}


def settings_of(context: click.Context) -> Iterator[Setting]:
    """Yield the settings of a command that was parsed, defaults included."""
    _, _, command = context.command_path.partition(" ")
    for param in context.command.params:
        name = str(param.name)
        source = context.get_parameter_source(name)
        # Those that end the command, such as --version, are no settings.
        if source is None or name not in context.params:
            continue
        yield Setting(
            command,
            settings.key_of(param),
            shown_value(param, context.params[name]),
            _ORIGINS.get(source, "default"),
            settings.origin(context, param),
        )


def parsed(
    program: click.Context,
    words: Sequence[str] = (),
) -> Iterator[tuple[click.Context, list[str]]]:
    """Yield the context of every command, and what is wrong with its settings.

    With `words`, a command and its options, that of this command alone.
    """
    group = program.command
    if not words:
        yield from _below(program)
        return
    parent = program
    path = list(words)
    while isinstance(group, click.Group) and path:
        name = path.pop(0)
        command = group.get_command(parent, name)
        if command is None:
            known = ", ".join(sorted(group.commands))
            raise InputError(f"{name!r} is no command of {parent.command_path}; it has {known}")
        args = [] if isinstance(command, click.Group) else path
        parent, problems = _parse(parent, name, command, args)
        group = command
    yield parent, problems


def _below(context: click.Context) -> Iterator[tuple[click.Context, list[str]]]:
    if not isinstance(context.command, click.Group):
        return
    for name, command in context.command.commands.items():
        below, problems = _parse(context, name, command, [])
        yield below, problems
        yield from _below(below)


def _parse(
    parent: click.Context,
    name: str,
    command: click.Command,
    args: list[str],
) -> tuple[click.Context, list[str]]:
    """Parse a command without running it; arguments that are missing are no problem here."""

    def new_context(*, resilient: bool) -> click.Context:
        # A session of its own: parsing --json notes it in the session.
        return click.Context(
            command,
            parent=parent,
            info_name=name,
            obj=Session(),
            resilient_parsing=resilient,
            **command.context_settings,
        )

    checked = new_context(resilient=False)
    given, _, _ = command.make_parser(checked).parse_args(list(args))
    problems: list[str] = []
    for param in command.params:
        try:
            param.handle_parse_result(checked, given, [])
        except click.MissingParameter:
            continue
        except click.UsageError as error:
            place = settings.origin(checked, param) or settings.key_of(param)
            problems.append(f"{place}: {settings.plainer(error.message)}")
    # Values that are wrong or missing are None there.
    context = new_context(resilient=True)
    command.parse_args(context, list(args))
    if not problems:
        problems += _rule_problems(context)
    problems += _missing_files(context)
    return context, problems


def _rule_problems(context: click.Context) -> list[str]:
    """Return what is wrong with the rules of a search, which depend on each other."""
    if not isinstance(context.command, RulesCommand):
        return []
    try:
        rules_from(context.params)
    except InputError as error:
        return [f"[{context.info_name}] {problem}" for problem in error.problems]
    return []


def _missing_files(context: click.Context) -> Iterator[str]:
    """Yield the files to read that a settings file or variable names and that do not exist."""
    for param in context.command.params:
        value = context.params.get(str(param.name))
        place = settings.origin(context, param)
        if place is None or not isinstance(value, Path) or param.name == "db":
            continue
        if not isinstance(param, OutputOption) and not expanded(value).exists():
            yield f"{place}: {value}: no such file"


# --- without secrets -------------------------------------------------------------------------


def shown_value(param: click.Parameter, value: Any) -> Any:
    """Return a value as JSON has it, without secrets."""
    if value is None:
        return None
    if isinstance(param, SecretOption):
        return _opening(str(value))
    return without_secrets(value, settings.key_of(param))


def without_secrets(value: Any, key: str = "") -> Any:
    """Return a value or table of settings with `***` for passwords, tokens and keys in it."""
    # Heavy for a module that every command imports.
    from mp2.discovery.config import KEY_LIKE

    if isinstance(value, Mapping):
        return {str(name): without_secrets(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(inner, key) for inner in value]
    if KEY_LIKE.search(key) and value:
        return MASK
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and "://" in value:
        value = re.sub(r"(?<=://)[^/@\s]*@", f"{MASK}@", value)

        def redacted(match: re.Match[str]) -> str:
            return match[1] + MASK if KEY_LIKE.search(match[2]) else match[0]

        return re.sub(r"([?&;]([^=&;\s]+)=)[^&;\s#]*", redacted, value)
    return value


def _opening(text: str) -> str:
    """Return scheme and host of an address, or the first word of a command."""
    if "://" in text:
        parts = urlsplit(text)
        return f"{parts.scheme}://{parts.hostname}/{MASK}"
    program, _, rest = text.partition(" ")
    return f"{program} {MASK}" if rest else program


def value_text(value: Any) -> str:
    """Return a value for people: names with commas, tables as JSON."""
    if isinstance(value, list):
        return ",".join(map(value_text, value))
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
