"""Settings from a TOML file, and the value types that options, environment and file share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click

from mp2._files import read_toml
from mp2.errors import InputError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", re.IGNORECASE)


class Duration(click.ParamType[Any]):
    """Seconds as a float, from 90, '90', '90s', '1.5m', '2h' or '250ms'."""

    name = "duration"

    def __init__(self, *, above_zero: bool = False, most_s: float | None = None) -> None:
        self._above_zero, self._most_s = above_zero, most_s

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; a time that cannot be read, or that is too short or too long, is a usage error."""
        match = _DURATION.fullmatch(str(value))
        unit = (match[2].lower() or "s") if match else ""
        if match is None or unit not in _UNITS_S:
            self.fail(f"{value!r} is not a time; write it as 30s, 5m, 1.5h or 250ms", param, ctx)
        seconds = float(match[1]) * _UNITS_S[unit]
        if self._above_zero and not seconds:
            self.fail(f"{value!r} is no time at all; give more than 0s", param, ctx)
        if self._most_s is not None and seconds > self._most_s:
            self.fail(f"{value!r} is too long; give {self._most_s:g}s or less", param, ctx)
        return seconds


class Names(click.ParamType[Any]):
    """A tuple of names, from a list or a text separated by commas; spaces around a name do not count."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, in order."""
        parts = (
            [str(part) for part in value]
            if isinstance(value, list | tuple)
            else str(value).split(",")
        )
        return tuple(part.strip() for part in parts if part.strip())


class Sizes(Names):
    """A tuple of whole numbers, from a list or '3,4'."""

    name = "sizes"

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers, in order."""
        try:
            return tuple(int(part) for part in super().convert(value, param, ctx))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers such as 3,4", param, ctx)


class Pairs(click.ParamType[Any]):
    """A mapping of names, from a table or 'algo=name,day=name'."""

    name = "pairs"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        """The pairs, in order."""
        if isinstance(value, dict):
            return {str(key): str(name) for key, name in value.items()}
        pairs = [part.partition("=") for part in str(value).split(",") if part.strip()]
        if any(not (key.strip() and name.strip()) for key, _, name in pairs):
            self.fail(f"{value!r} is not of the form algo=NAME,day=NAME", param, ctx)
        return {key.strip(): name.strip() for key, _, name in pairs}


_OUTSIDE = ("config", "debug", "version")
"""Options that are none of a file's business."""

DURATION, TIMEOUT, NAMES, SIZES, PAIRS = (
    Duration(),
    Duration(above_zero=True),
    Names(),
    Sizes(),
    Pairs(),
)
CHECKPOINT = Duration(most_s=300)
"""On another host a run that has been silent for longer counts as dead (`database.SILENCE_S`)."""


FILE = "mp2.cli.settings"
"""Under which the path of the settings file is kept with a command's context."""

_DISCOVERY = "discovery"


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A settings file as it was read: a table per command, and `[discovery]`, which `mp2.discovery.config` checks."""

    path: Path
    tables: dict[str, Any] = field(repr=False)

    @property
    def discovery(self) -> Any:
        """The settings of scanners, unchecked; empty when there are none."""
        return self.tables.get(_DISCOVERY, {})

    def defaults(self, cli: click.Group) -> dict[str, Any]:
        """Defaults for every command, as click's `default_map`. Raises `InputError` for an unknown table or key."""
        own = {key: value for key, value in self.tables.items() if key != _DISCOVERY}
        return _checked(own, cli, f"{self.path}: ", (_DISCOVERY,)) if own else {}


def find(path: Path | None) -> SettingsFile:
    """The settings file that counts: `path`, else `mp2.toml` in the working directory, else `[tool.mp2]` of `pyproject.toml`.

    Without any it is empty. Raises `InputError` for a file that cannot be read or is not TOML.
    """
    if path is not None:
        return SettingsFile(path, read_toml(path, "settings file"))
    own, project = Path("mp2.toml"), Path("pyproject.toml")
    if own.is_file():
        return SettingsFile(own, read_toml(own, "settings file"))
    if project.is_file():
        return SettingsFile(project, _own_table(project))
    return SettingsFile(own, {})


def _own_table(project: Path) -> dict[str, Any]:
    """`[tool.mp2]` of a `pyproject.toml`, empty when there is none."""
    table: dict[str, Any] = read_toml(project, "settings file")
    for key in ("tool", "mp2"):
        table = table.get(key, {})
        if not isinstance(table, dict):
            raise InputError(f"{project}: {key} has to be a table")
    return table


def load(path: Path | None, cli: click.Group) -> dict[str, Any]:
    """The defaults in the settings file that counts. Keys are the long options with underscores. Raises `InputError`."""
    return find(path).defaults(cli)


def _checked(
    tables: dict[str, Any], command: click.Command, where: str, others: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The tables by the names click knows them under; every key has to be an option or a subcommand."""
    options = {
        _key(param): param
        for param in command.params
        if isinstance(param, click.Option) and _key(param) not in _OUTSIDE
    }
    commands = command.commands if isinstance(command, click.Group) else {}
    known = sorted({*options, *commands, *others})
    problems = [
        f"{where}unknown key {key!r}; known are {', '.join(known)}"
        for key in tables
        if key not in known
    ]
    problems += [
        f"{where}{key} has to be a table"
        for key in tables
        if key in commands and not isinstance(tables[key], dict)
    ]
    if problems:
        raise InputError(problems)
    below = {
        key: _checked(value, commands[key], f"{where}[{key}] ")
        for key, value in tables.items()
        if key in commands
    }
    return below | {
        str(options[key].name): _value(value, options[key])
        for key, value in tables.items()
        if key in options
    }


def _value(value: Any, option: click.Option) -> Any:
    """Lists and tables for the types made for them, flags as they are, all else as on the command line: text."""
    if option.multiple and not isinstance(value, list):
        return [str(value)]
    if (option.is_flag and isinstance(value, bool)) or (
        isinstance(value, list | dict) and isinstance(option.type, Names | Pairs)
    ):
        return value
    return str(value)


def name_variables(command: click.Command, prefix: str) -> None:
    """Name every option's environment variable after its key in a file: `MP2_SEARCH_TOP` for `--top` of `search`."""
    for param in command.params:
        if isinstance(param, click.Option) and _key(param) != "version":
            param.envvar = f"{prefix}_{_key(param).upper()}"
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        name_variables(below, f"{prefix}_{name.upper()}")


def origin(context: click.Context, param: click.Parameter) -> str | None:
    """Where the value of an option came from, if not from the command line: its variable, or its key in a settings file."""
    source = context.get_parameter_source(str(param.name))
    if source is click.core.ParameterSource.ENVIRONMENT:
        return f"{param.envvar} in the environment"
    if source is click.core.ParameterSource.DEFAULT_MAP and isinstance(param, click.Option):
        table = ".".join(context.command_path.split()[1:])
        return f"{f'[{table}] ' if table else ''}{_key(param)} in {context.meta.get(FILE, 'the settings file')}"
    return None


def name_origins(command: click.Command) -> None:
    """Have the messages of a command, and of those below it, say of a setting where it was made."""
    if command.callback is not None:
        command.callback = _with_origins(command.callback)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        name_origins(below)


def _with_origins(callback: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callback)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return callback(*args, **options)
        except InputError as error:
            error.problems = tuple(
                _with_origin(problem, click.get_current_context()) for problem in error.problems
            )
            raise

    return call


_SETTING = re.compile(r"(?:rule |--)?(\w+): ")


def _with_origin(problem: str, context: click.Context) -> str:
    """A problem that begins with the name of a setting, and where that was made."""
    named = _SETTING.match(problem)
    places = [
        origin(context, param)
        for param in context.command.params
        if named and param.name == named[1]
    ]
    return f"{problem} (from {places[0]})" if places and places[0] else problem


def _key(option: click.Option) -> str:
    """The name of an option in a file: its longest flag, with underscores."""
    return max(option.opts, key=len).lstrip("-").replace("-", "_")
