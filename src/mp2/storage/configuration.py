"""The configuration of a run: which of its settings decide the tickers that it picks.

Runs of one configuration, night after night, make one track record. The days they search, the time
they have for it, the test of their result and the cost of trading are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mp2._document import Document
from mp2.groups.settings import SearchSettings
from mp2.storage.request import Request

_NOT_PART = (
    "source.days",
    "search.budget_s",
    "search.workers",
    "search.count",
    "search.without",
    "search.family_overlap",
    "search.table_memory",
    "signals.end",
    "luck",
    "cost_bps",
)
"""What changes from run to run, or changes only how the picks are found and shown."""

_NOT_BELOW = tuple(f"{name}." for name in _NOT_PART)

_N_KEY = 8

_PATHS = ("signals.grids", "source.outcomes")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What decides the picks of a run: `key` identifies the `settings`.

    `request` is one of those that have it.
    """

    key: str
    settings: Document
    request: Request = field(compare=False)

    @property
    def label(self) -> str:
        """The source and the settings that are not the usual ones, for people."""
        usual = flattened(Request(source=self.request.source, search=SearchSettings()))
        words = [Path(self.request.label).name]
        for name, value in self.settings.items():
            if name not in usual or value != usual[name]:
                words.append(f"{name.rpartition('.')[2]} {_shown(name, value)}")
        return ", ".join(words)


def configuration_of(request: Request) -> Configuration:
    """Return the configuration of what a run was asked to do."""
    every = flattened(request)
    settings = {
        name: value
        for name, value in every.items()
        if name not in _NOT_PART and not name.startswith(_NOT_BELOW)
    }
    text = json.dumps(settings, sort_keys=True)
    return Configuration(
        key=hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_N_KEY],
        settings=settings,
        request=request,
    )


def flattened(request: Request) -> Document:
    """Return every setting of a request by its dotted name, such as `search.rules.top_k`."""
    # As JSON has it, so that a stored request equals a new one.
    return dict(_flat(json.loads(json.dumps(request.to_dict(), default=str)), ""))


def _flat(values: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat += _flat(value, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", value))
    return flat


def _shown(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "/".join(map(str, value))
    if name in _PATHS and value is not None:
        return Path(value).name
    return str(value)
