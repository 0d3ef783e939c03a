"""The settings of every command, and what is wrong with them.

Nothing is executed: options are parsed and converted as the command line does it, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mp2._files import expanded
from mp2.cli import settings
from mp2.cli.output_files import OutputOption
from mp2.cli.search_options import RulesCommand, rules_from
from mp2.cli.session import Session
from mp2.errors import InputError


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
        # Of a group, the next word is a command, which is parsed by itself.
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
    # Rules of values that are wrong would be reported twice.
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
        # A database that is missing is made.
        if place is None or not isinstance(value, Path) or param.name == "db":
            continue
        if not isinstance(param, OutputOption) and not expanded(value).exists():
            yield f"{place}: {value}: no such file"
