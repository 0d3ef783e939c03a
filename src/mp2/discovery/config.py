"""The table `[discovery]` of a settings file, checked: how scanners are run, and the settings of each.

[discovery.scanner_execution]
concurrent = true
max_workers = 8
timeout_seconds = 30
breaker_failures = 5                    # failed runs in a row, after which a scanner is left alone
breaker_cool_down_seconds = 900         # at first; doubled per failed try
breaker_longest_seconds = 86400

[discovery.scanners.market_movers]      # a scanner's own settings
limit = 20

[discovery.pipelines.social]            # all scanners of a pipeline
enabled = false
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from mp2.discovery.breaker import BreakerRules
from mp2.discovery.scanner import Scanner, ScannerSettings
from mp2.errors import InputError, plain

MAX_HUNG = 64
"""Threads of timed-out scanners that are tolerated in a process; there are never more workers either."""

KEY_LIKE = re.compile(
    r"(api|access|auth)key$|(^|[_-])(key|pass|pwd|auth|sig(nature)?)$|token$|secret|passw|credential",
    re.IGNORECASE,
)
"""In the name of a parameter of an address: its value is a secret. `keyword`, `author` and `design` are none."""
_RULES = BreakerRules()

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ExecutionSettings(_Table):
    """How scanners are run: `max_workers` (1..64) at a time, each for `timeout_seconds` at most unless it says otherwise.

    After `breaker_failures` failed runs in a row one is left alone for `breaker_cool_down_seconds`, doubled per failed try
    up to `breaker_longest_seconds`, which must not be less.
    """

    concurrent: bool = True
    max_workers: int = Field(default=8, ge=1, le=MAX_HUNG)
    timeout_seconds: float = Field(default=30.0, gt=0)
    breaker_failures: int = Field(default=_RULES.n_failures, ge=1)
    breaker_cool_down_seconds: float = Field(default=_RULES.cool_down_s, gt=0)
    breaker_longest_seconds: float = Field(default=_RULES.max_cool_down_s, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.breaker_longest_seconds < self.breaker_cool_down_seconds:
            raise PydanticCustomError(
                "order", "breaker_longest_seconds is less than breaker_cool_down_seconds"
            )
        return self


class PipelineSettings(_Table):
    """Settings of a group of scanners."""

    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Discovery:
    """The whole table. `scanners` are the scanners' own tables as they were given, in copies."""

    execution: ExecutionSettings
    scanners: Mapping[str, Mapping[str, Any]] = field(repr=False)
    pipelines: Mapping[str, PipelineSettings]

    def why_off(self, name: str, pipeline: str, scanner: type[Scanner]) -> str | None:
        """Why a scanner is switched off, and where to change that; None when it is on.

        Raises `InputError` when its settings are wrong, unless they say themselves that it is off.
        """
        group = self.pipelines.get(pipeline)
        if group is not None and not group.enabled:
            return f"switched off by [discovery.pipelines.{pipeline}]"
        given = self.scanners.get(name, {})
        if given.get("enabled") is not False and own_settings(scanner, given).enabled:
            return None
        return f"switched off; set enabled = true in [discovery.scanners.{name}]"


_TABLES = ("scanner_execution", "scanners", "pipelines")


def read_discovery(
    config: Mapping[str, Any] | None, scanners: Iterable[str], pipelines: Iterable[str]
) -> Discovery:
    """The table `[discovery]`, given as a mapping, for these scanners and pipelines.

    Raises `InputError` naming every key that is not known or has an unusable value, but for what is inside a scanner's own
    table: that is for the scanner's settings to say.
    """
    given = _table({} if config is None else config, "[discovery]")
    tables = {key: _table(given.get(key, {}), f"[discovery.{key}]") for key in _TABLES}
    problems = list(_unknown(given, _TABLES, "[discovery]", "key"))
    problems += _unknown(tables["scanners"], scanners, "[discovery.scanners]", "scanner")
    problems += _unknown(tables["pipelines"], pipelines, "[discovery.pipelines]", "pipeline")
    execution = _checked(
        ExecutionSettings, tables["scanner_execution"], "[discovery.scanner_execution]", problems
    )
    groups = {
        name: _checked(PipelineSettings, _table(table, where), where, problems)
        for name, table in tables["pipelines"].items()
        for where in (f"[discovery.pipelines.{plain(name)}]",)
    }
    own = {
        name: _table(table, f"[discovery.scanners.{plain(name)}]")
        for name, table in tables["scanners"].items()
    }
    if problems:
        raise InputError(problems)
    return Discovery(execution, copy.deepcopy(own), groups)


def breaker_rules(config: Mapping[str, Any]) -> BreakerRules:
    """When breakers open, from a table `[discovery]` that has been checked."""
    told = ExecutionSettings.model_validate(config.get("scanner_execution", {}))
    return BreakerRules(
        n_failures=told.breaker_failures,
        cool_down_s=told.breaker_cool_down_seconds,
        max_cool_down_s=told.breaker_longest_seconds,
    )


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} has to be a table")
    return value


def _unknown(
    table: Mapping[str, Any], known: Iterable[str], where: str, kind: str
) -> Iterator[str]:
    names = tuple(dict.fromkeys(known))
    for key in table:
        if key not in names:
            yield f"{where} unknown {kind} {plain(key)!r}; known are {', '.join(names) or 'none'}"


def _checked(
    model: type[ModelT], table: Mapping[str, Any], where: str, problems: list[str]
) -> ModelT:
    """The table as a model; its defaults when something is wrong, which is then added to `problems`."""
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        problems += [f"{where} {complaint}" for complaint in complaints(error, model)]
        return model()


def complaints(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """What is wrong, one line per setting, without the values: a setting may be a secret."""
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        key, said = (
            plain(".".join(map(str, one["loc"]))),
            plain(one["msg"].removeprefix("Value error, ")),
        )
        if one["type"] == "extra_forbidden":
            known = f"; known are {', '.join(model.model_fields)}" if len(one["loc"]) == 1 else ""
            yield f"unknown key {key!r}{known}"
        else:
            yield f"{key}: {said}" if key else said


def own_settings(scanner: type[Scanner], given: Mapping[str, Any]) -> ScannerSettings:
    """A scanner's table as its settings. Raises `InputError` naming every setting that is wrong."""
    return _own(scanner, lambda: scanner.Settings.model_validate(dict(given)))


def settings_from_json(scanner: type[Scanner], text: str) -> ScannerSettings:
    """As `own_settings`, of a JSON object, where a date is text even to settings that are strict."""
    return _own(scanner, lambda: scanner.Settings.model_validate_json(text))


def _own(scanner: type[Scanner], read: Callable[[], ScannerSettings]) -> ScannerSettings:
    try:
        return read()
    except ValidationError as error:
        raise InputError(
            [f"settings: {complaint}" for complaint in complaints(error, scanner.Settings)]
        ) from error
    except Exception as error:  # a validator of a third party may raise anything
        raise InputError(f"settings: {type(error).__name__}: {plain(error)}") from error


def holds_a_key(config: Any) -> bool:
    """Whether an address anywhere in the table has a parameter that looks like a key."""
    if isinstance(config, Mapping):
        return any(map(holds_a_key, config.values()))
    if isinstance(config, list | tuple):
        return any(map(holds_a_key, config))
    return (
        isinstance(config, str)
        and "://" in config
        and any(KEY_LIKE.search(name) for name in _parameters(config))
    )


def _parameters(address: str) -> list[str]:
    try:
        return [name for name, _ in parameters(urlsplit(address).query)]
    except ValueError:
        return []


def parameters(query: str) -> list[tuple[str, str]]:
    """The names and values in the query of an address, parted by `&`, or by `;` where a name and `=` follow."""
    return parse_qsl(_PARTING.sub("&", query), keep_blank_values=True)


_PARTING = re.compile(r";(?=[^&;=]+=)")
