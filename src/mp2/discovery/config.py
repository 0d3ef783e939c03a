"""The table `[discovery]` of a settings file: how scanners run, and their settings.

[discovery.scanner_execution]
concurrent = true
max_workers = 8
timeout_seconds = 30
breaker_failures = 5                    # failed runs in a row, after which a scanner is skipped
breaker_cool_down_seconds = 900         # at first; doubled per failed try
breaker_longest_seconds = 86400

[discovery.scanners.market_movers]      # a scanner's own settings
limit = 20

[discovery.pipelines.social]            # all scanners of a pipeline
enabled = false
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from mp2._document import Document, Fields
from mp2.discovery.registry import Registered
from mp2.discovery.scanner import PATH_MARK, Scanner, ScannerSettings
from mp2.errors import InputError, plain

MAX_HUNG = 64
"""Abandoned threads of scanners that a process tolerates; there are never more workers either."""

KEY_LIKE = re.compile(
    r"(api|access|auth)key$|(^|[_-])(key|pass|pwd|auth|sig(nature)?)$"
    r"|token$|secret|passw|credential",
    re.IGNORECASE,
)
"""In the name of a parameter of an address: its value is a secret.

`keyword`, `author` and `design` do not match.
"""


class _Table(BaseModel):
    # Strict, since TOML has types: a number in quotes is an error.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ExecutionSettings(_Table):
    """How scanners are run.

    `max_workers` (1..64) at a time, each for `timeout_seconds` unless it has its own limit.

    After `breaker_failures` failed runs in a row one is skipped for `breaker_cool_down_seconds`,
    doubled per failed try up to `breaker_longest_seconds`, which must not be less.
    """

    concurrent: bool = True
    max_workers: int = Field(default=8, ge=1, le=MAX_HUNG)
    timeout_seconds: float = Field(default=30.0, gt=0)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_cool_down_seconds: float = Field(default=900.0, gt=0)
    breaker_longest_seconds: float = Field(default=86400.0, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.breaker_longest_seconds < self.breaker_cool_down_seconds:
            raise PydanticCustomError(
                "table",
                "breaker_longest_seconds is less than breaker_cool_down_seconds",
            )
        return self


class PipelineSettings(_Table):
    """Settings of a group of scanners."""

    enabled: bool = True


class Discovery(_Table):
    """The whole table. `scanners` are the scanners' own tables as they were given."""

    scanner_execution: ExecutionSettings = ExecutionSettings()
    scanners: dict[str, Document] = Field(default={}, repr=False)
    pipelines: dict[str, PipelineSettings] = {}

    def why_off(
        self,
        name: str,
        pipeline: str,
        scanner: type[Scanner],
    ) -> str | None:
        """Return why a scanner is switched off, and where to change that; None when it is on.

        Raises `InputError` when its settings are wrong, unless they switch it off.
        """
        group = self.pipelines.get(pipeline)
        if group is not None and not group.enabled:
            return f"switched off by [discovery.pipelines.{pipeline}]"
        given = self.scanners.get(name, {})
        # Looked at first: a scanner that is switched off may have a table of another version.
        if given.get("enabled") is not False and own_settings(scanner, given).enabled:
            return None
        return f"switched off; set enabled = true in [discovery.scanners.{name}]"


def read_discovery(
    config: Fields | None,
    known: Iterable[Registered],
) -> Discovery:
    """Return the table `[discovery]`, given as a mapping, for these scanners and their pipelines.

    Raises `InputError` naming every key that is unknown or has an unusable value. What is inside a
    scanner's own table is checked by the scanner's settings.
    """
    table: Any = config
    # Anything else is for pydantic to refuse; it accepts no mappings but dict.
    if config is None or isinstance(config, Mapping):
        table = dict(config or {})
    discovery = Discovery()
    problems: list[str] = []
    try:
        discovery = Discovery.model_validate(table)
    except ValidationError as error:
        problems += map(_placed, _details(error))
    scanners = {one.name: one.pipeline for one in known}
    problems += _unknown_names(table, "scanner", scanners)
    problems += _unknown_names(table, "pipeline", filter(None, scanners.values()))
    if problems:
        raise InputError(problems)
    return discovery


def _unknown_names(
    table: Any,
    kind: str,
    names: Iterable[str],
) -> Iterator[str]:
    """Yield what is wrong with the names in the table `[discovery.scanners]` or its like."""
    known = dict.fromkeys(names)
    listed = ", ".join(known) or "none"
    # A value that is not a table has been reported above.
    if isinstance(table, dict) and isinstance(table.get(f"{kind}s"), dict):
        for name in table[f"{kind}s"]:
            if name not in known:
                problem = f"unknown {kind} {plain(name)!r}; known are {listed}"
                yield f"[discovery.{kind}s] {problem}"


def execution_settings(configured: ExecutionSettings, **given: Any) -> ExecutionSettings:
    """Return the settings, of which those given (not None) replace the configured ones.

    Raises `InputError` naming every one that is wrong.
    """
    values = configured.model_dump()
    values |= {name: value for name, value in given.items() if value is not None}
    try:
        return ExecutionSettings.model_validate(values)
    except ValidationError as error:
        raise InputError(_message(one, ExecutionSettings) for one in _details(error)) from error


def own_settings(scanner: type[Scanner], given: Fields | str) -> ScannerSettings:
    """Return a scanner's table as its settings; in JSON, even a strict date may be text.

    Raises `InputError` naming every setting that is wrong.
    """
    model = scanner.Settings
    try:
        if isinstance(given, str):
            return model.model_validate_json(given)
        return model.model_validate(dict(given))
    except ValidationError as error:
        messages = [f"settings: {_message(one, model)}" for one in _details(error)]
        raise InputError(messages) from error
    except Exception as error:  # a validator of a third party may raise anything
        raise InputError(f"settings: {type(error).__name__}: {plain(error)}") from error


def file_settings(scanner: type[Scanner]) -> list[str]:
    """Return the settings of a scanner that are the path of a file."""
    fields = scanner.Settings.model_fields
    return [name for name, field in fields.items() if PATH_MARK in field.metadata]


def with_located_paths(
    config: Fields,
    known: Iterable[Registered],
    folder: Path,
) -> Fields:
    """Return the checked table with the files that scanners read taken relative to `folder`."""
    tables = dict(config.get("scanners", {}))
    for one in known:
        if one.scanner is None or one.name not in tables:
            continue
        table = dict(tables[one.name])
        for name in file_settings(one.scanner):
            value = table.get(name)
            is_relative = isinstance(value, str) and "://" not in value
            if value and is_relative and not value.startswith("~"):
                table[name] = str(folder / value)
        tables[one.name] = table
    if not tables:
        return config
    return {**config, "scanners": tables}


# --- messages


def _details(error: ValidationError) -> list[ErrorDetails]:
    # Without the values: a setting may be a secret.
    return error.errors(include_url=False, include_context=False, include_input=False)


def _message(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong with a key of a table of `model`."""
    key = plain(".".join(map(str, error["loc"])))
    message = plain(error["msg"].removeprefix("Value error, "))
    if error["type"] == "extra_forbidden":
        message = f"unknown key {key!r}"
        if len(error["loc"]) == 1:
            message += f"; known are {', '.join(model.model_fields)}"
        return message
    if not key:
        return message
    return f"{key}: {message}"


def _placed(error: ErrorDetails) -> str:
    """Return what is wrong in the table `[discovery]`, with the table's name."""
    loc = error["loc"]
    if error["type"] in ("model_type", "dict_type"):
        return f"{_name_of(loc)} has to be a table"
    if error["type"] == "table":
        return f"{_name_of(loc)} {error['msg']}"
    n_tables = 0
    model: type[BaseModel] = Discovery
    if loc[0] == "scanner_execution":
        n_tables = 1
        model = ExecutionSettings
    elif loc[0] == "pipelines":
        n_tables = 2
        model = PipelineSettings
    inside = error.copy()
    inside["loc"] = loc[n_tables:]
    return f"{_name_of(loc[:n_tables])} {_message(inside, model)}"


def _name_of(path: tuple[int | str, ...]) -> str:
    names = ["discovery", *map(str, path)]
    return f"[{plain('.'.join(names))}]"


# --- keys in addresses


def holds_a_key(config: Any) -> bool:
    """Return whether an address anywhere in the table has a parameter that looks like a key."""
    if isinstance(config, Mapping):
        return any(map(holds_a_key, config.values()))
    if isinstance(config, list | tuple):
        return any(map(holds_a_key, config))
    if not isinstance(config, str) or "://" not in config:
        return False
    try:
        query = urlsplit(config).query
    except ValueError:
        return False
    return any(KEY_LIKE.search(name) for name, _ in parameters(query))


def parameters(query: str) -> list[tuple[str, str]]:
    """Return the names and values in the query of an address.

    It is split at `&`, and at `;` where a name and `=` follow.
    """
    return parse_qsl(_SEMICOLON.sub("&", query), keep_blank_values=True)


_SEMICOLON = re.compile(r";(?=[^&;=]+=)")
