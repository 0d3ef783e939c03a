"""What a page holds, before it becomes HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from mp2._document import Names
from mp2.groups.rules import Rules

Cell = str | int | float | bool | None | date
"""A value of a table; the page decides how it looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Numbers as rows, all of the length of the headings."""

    headings: Names
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure, and its numbers for who sees no figure: `is_open` shows them at once."""

    figure: Any
    table: Table
    title: str | None = None
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A question, its answer in words, the pictures, and what to know of them.

    `small`: the pictures stand side by side, `many`: up to four in a row.
    """

    anchor: str
    short: str
    question: str
    answer: str
    pictures: Sequence[Picture] = ()
    note: str = ""
    small: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One figure of the top of a page."""

    label: str
    value: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A way to another page, relative to this one."""

    address: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything on one page. `lead` is read first, so it says how far to trust the rest."""

    name: str
    title: str
    lead: str
    cards: Sequence[Card] = ()
    sections: Sequence[Section] = ()
    groups: Table | None = None
    groups_title: str = "All groups"
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple)
    warnings: Names = ()
    links: Sequence[Link] = ()


# Two folders or more: a single slash stands in `open/close` and in dates.
_FOLDERS = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:'\"<>]+[/\\])+")


def without_folders(text: str) -> str:
    """Return a text without the folders of absolute paths, which are nobody else's business."""
    return _FOLDERS.sub("", text)


def rule_facts(rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield the rules of a search by their names."""
    for name, value in rules.to_dict().items():
        text = str(value)
        # The sizes are the only list.
        if isinstance(value, list):
            text = ", ".join(map(str, value))
        yield name.replace("_", " "), text


# Any: polars is imported by what makes a frame.
def table_of(frame: Any) -> Table:
    """Return a polars frame as a table."""
    return Table(headings=tuple(frame.columns), rows=frame.rows())
