"""Settings from a TOML file, and the value types that options, environment and file share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.types import FuncParamType

from mp2._document import Document, Names
from mp2._durations import parse_duration
from mp2._files import read_toml
from mp2.errors import InputError

# --- types of values -------------------------------------------------------------------------


def duration(value: Any) -> float:
    """Return seconds from 90, '90', '90s', '1.5m', '2h' or '250ms'."""
    try:
        return parse_duration(str(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _timeout(value: Any) -> float:
    seconds = duration(value)
    if seconds == 0:
        raise click.BadParameter(f"{value!r}: duration must be greater than 0")
    return seconds


# On another host a run that has been silent for longer counts as dead (`database.SILENCE_S`).
_LONGEST_CHECKPOINT_S = 300.0


def _checkpoint(value: Any) -> float:
    seconds = duration(value)
    if seconds > _LONGEST_CHECKPOINT_S:
        raise click.BadParameter(f"{value!r} is too long; give {_LONGEST_CHECKPOINT_S:g}s or less")
    return seconds


_MEMORY = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?)b?\s*", re.IGNORECASE)
_MEMORY_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def memory(value: Any) -> int:
    """Return bytes from 500000000, '500MB', '1.5GB' or '2g'."""
    match = _MEMORY.fullmatch(str(value))
    if match is None:
        raise click.BadParameter(f"{value!r} is not an amount of memory; write it as 500MB or 2GB")
    number, unit = match.groups()
    return int(float(number) * _MEMORY_UNITS[unit.lower()])


def names(value: Any) -> Names:
    """Return names from a list or a text separated by commas; outer spaces are removed."""
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    stripped = [str(part).strip() for part in parts]
    return tuple(part for part in stripped if part)


def sizes(value: Any) -> tuple[int, ...]:
    """Return whole numbers from a list or '3,4'."""
    try:
        return tuple(map(int, names(value)))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers such as 3,4") from None


def pairs(value: Any) -> dict[str, str]:
    """Return a mapping of names from a table or 'algo=name,day=name'."""
    if isinstance(value, dict):
        return {str(key): str(name) for key, name in value.items()}
    mapping = {}
    for part in names(value):
        key, sign, name = (word.strip() for word in part.partition("="))
        # An empty name says that there is no such column.
        if not key or not sign:
            raise click.BadParameter(f"{value!r} is not of the form algo=NAME,day=NAME")
        mapping[key] = name
    return mapping


DURATION = FuncParamType(duration)
TIMEOUT = FuncParamType(_timeout)
CHECKPOINT = FuncParamType(_checkpoint)
# The help shows the name; all three are written in the same way.
TIMEOUT.name = CHECKPOINT.name = DURATION.name
MEMORY = FuncParamType(memory)
NAMES = FuncParamType(names)
SIZES = FuncParamType(sizes)
PAIRS = FuncParamType(pairs)


def plainer(message: str) -> str:
    """Return a message of click about a value in plain words."""
    for jargon, words in _PLAINER:
        message = re.sub(jargon, words, message)
    return message


_PLAINER = (
    (r"is not a valid integer( range)?\.$", "is not a whole number; write one such as 3"),
    (r"is not a valid float\.$", "is not a number; write one such as 0.5"),
    (
        r"is not a valid boolean\. Recognized values: .*",
        "is neither yes nor no; write true or false",
    ),
    (r"is not in the range x>=(\S+)\.$", r"is below \1; give \1 or more"),
    (r"is not in the range (\S+)<=x<=(\S+)\.$", r"is outside \1..\2"),
    (r"Missing command\.$", "name one of its commands"),
)
"""Messages of click about a value, and what to write instead of programmers' words."""


# --- the settings file -----------------------------------------------------------------------

FILE = "mp2.cli.settings"
"""The key of the settings file's path in the `meta` of a click context."""

_DISCOVERY = "discovery"
# Checked by those who use them.
_OTHER_TABLES = (_DISCOVERY, "dask_tls")
# Options that count before a settings file is read, or end the command.
_NOT_IN_FILES = ("config", "debug", "version")


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A settings file: a table per command, and others.

    Those are `[discovery]`, which `discovery.config` checks, and `[dask_tls]` of `cli.cluster`.
    """

    path: Path
    tables: Document = field(repr=False)

    @property
    def discovery(self) -> Any:
        """The settings of scanners, unchecked; empty when there are none."""
        return self.tables.get(_DISCOVERY, {})

    def defaults(self, cli: click.Group) -> Document:
        """Return the file's values as click's `default_map`.

        Keys are the long options with underscores. A path is relative to the file. Raises
        `InputError` listing all unknown keys.
        """
        problems: list[str] = []
        own = {key: value for key, value in self.tables.items() if key not in _OTHER_TABLES}
        folder = self.path.parent
        defaults = _defaults(own, cli, f"{self.path}: ", folder, problems, others=_OTHER_TABLES)
        if problems:
            raise InputError(problems)
        return defaults


def find(path: Path | None) -> SettingsFile:
    """Read the settings file: `path`, else mp2.toml, else [tool.mp2] of pyproject.toml, here.

    Without any it is empty. Raises `InputError` for a file that cannot be read or is not TOML.
    """
    if path is None:
        path = Path("mp2.toml")
        if not path.is_file():
            path = Path("pyproject.toml")
            table = read_toml(path, "settings file") if path.is_file() else {}
            for key in ("tool", "mp2"):
                table = table.get(key, {})
                if not isinstance(table, dict):
                    raise InputError(f"{path}: {key} has to be a table")
            return SettingsFile(path, table)
    return SettingsFile(path, read_toml(path, "settings file"))


def _defaults(
    table: Document,
    command: click.Command,
    where: str,
    folder: Path,
    problems: list[str],
    others: Iterable[str] = (),
) -> Document:
    """Rename the keys of a table as click knows them; each has to be an option or a command."""
    params = {key_of(param): param for param in command.params if _is_setting(param)}
    commands = command.commands if isinstance(command, click.Group) else {}
    defaults: Document = {}
    for key, value in table.items():
        if key in params:
            param = params[key]
            defaults[str(param.name)] = _value(value, param, folder)
        elif key not in commands:
            known = ", ".join(sorted({*params, *commands, *others}))
            problems.append(f"{where}unknown key {key!r}; known are {known}")
        elif isinstance(value, dict):
            defaults[key] = _defaults(value, commands[key], f"{where}[{key}] ", folder, problems)
        else:
            problems.append(f"{where}{key} has to be a table")
    return defaults


def _is_setting(param: click.Parameter) -> bool:
    """Return whether a file may set a parameter: options, and arguments that may be left out."""
    if isinstance(param, click.Option):
        return key_of(param) not in _NOT_IN_FILES
    return not param.required and param.nargs == 1


def _value(
    value: Any,
    param: click.Parameter,
    folder: Path,
) -> Any:
    """Return what click converts: text as on the command line, except for flags and lists."""
    # `--only a` may be repeated, so that click expects a list.
    if param.multiple and not isinstance(value, list):
        return [str(value)]
    if getattr(param, "is_flag", False) and isinstance(value, bool):
        return value
    if param.type in (NAMES, SIZES, PAIRS) and isinstance(value, list | dict):
        return value
    if isinstance(param.type, click.Path):
        return located(str(value), folder)
    return str(value)


def located(path: str, folder: Path) -> str:
    """Return a path of a settings file, which is relative to the folder of that file."""
    if path.startswith("~"):
        return path
    return str(folder / path)


def key_of(option: click.Parameter) -> str:
    """Return the name of an option in a file: its longest flag, with underscores."""
    return max(option.opts, key=len).lstrip("-").replace("-", "_")


# --- environment variables, and where a value came from --------------------------------------


def name_settings(command: click.Command, prefix: str) -> None:
    """Name the environment variable of each option, and have errors say where a value came from.

    The variable follows the key in a file: `MP2_SEARCH_TOP` for `--top` of `search`.
    """
    for param in command.params:
        if param.name != "version" and (isinstance(param, click.Option) or _is_setting(param)):
            param.envvar = f"{prefix}_{key_of(param).upper()}"
    # Around the callback, where the command's context is still the current one.
    if command.callback is not None:
        command.callback = _with_origins(command.callback)
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            name_settings(below, f"{prefix}_{name.upper()}")


def origin(context: click.Context, param: click.Parameter) -> str | None:
    """Return the variable, or the key and file, that gave an option its value.

    None for the command line and for defaults.
    """
    source = context.get_parameter_source(str(param.name))
    if source is ParameterSource.ENVIRONMENT:
        return f"{param.envvar} in the environment"
    if source is not ParameterSource.DEFAULT_MAP or not _is_setting(param):
        return None
    _, _, table = context.command_path.partition(" ")
    place = f"{key_of(param)} in {context.meta[FILE]}"
    if table:
        place = f"[{table.replace(' ', '.')}] {place}"
    return place


_SETTING = re.compile(r"(?:rule |--)?(\w+): ")
"""The begin of a problem that names a setting."""


def _with_origins(callback: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callback)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return callback(*args, **options)
        except InputError as error:
            context = click.get_current_context()
            # Messages use the name of a rule or setting, or that of its option.
            params: dict[str | None, click.Parameter] = {}
            for param in context.command.params:
                params[param.name] = param
                if isinstance(param, click.Option):
                    params[key_of(param)] = param
            problems = []
            for problem in error.problems:
                text = problem
                named = _SETTING.match(problem)
                if named and named[1] in params:
                    place = origin(context, params[named[1]])
                    if place:
                        text += f" (from {place})"
                problems.append(text)
            error.problems = tuple(problems)
            raise

    return call
