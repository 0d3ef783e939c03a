"""Settings of a command with their origins, as text and JSON, without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mp2.cli import settings

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
        # User and password stand before the host, keys among the parameters.
        value = re.sub(r"(?<=://)[^/@\s]*@", f"{MASK}@", value)

        def redacted(match: re.Match[str]) -> str:
            return match[1] + MASK if KEY_LIKE.search(match[2]) else match[0]

        return re.sub(r"([?&;]([^=&;\s]+)=)[^&;\s#]*", redacted, value)
    return value


def _opening(text: str) -> str:
    """Return scheme and host of an address, or the first word of a command."""
    if "://" in text:
        scheme, _, rest = text.partition("://")
        # Before the first of these stands the host, after the user and the password.
        host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        return f"{scheme}://{host}/{MASK}"
    program, _, rest = text.partition(" ")
    return f"{program} {MASK}" if rest else program


def value_text(value: Any) -> str:
    """Return a value for people: names with commas, tables as JSON."""
    if isinstance(value, list):
        return ",".join(map(value_text, value))
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
