"""The short form of a result: a title and rows, as `repr`, as a table of a notebook and as text.

A record inherits `Overview` and says in `overview` what its title and rows are; this module alone
decides the form. A dataclass needs `repr=False` beside it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from textwrap import wrap

from mp2.errors import counted, named, plain

Entry = tuple[str, object]
"""A label and what it labels; rows whose content is None or an empty text are left out."""

MAX_LINES = 11
MAX_WIDTH = 100
# A long sentence, such as the verdict about luck, takes that many.
_LINES_PER_ROW = 3
# As many names as a row can show; there may be thousands.
_MANY = 50
_INDENT = "  "
# So that the content of a row has room beside any label.
_MAX_LABEL = 24


class Overview:
    """A result with a short form. Names in it may come from anywhere, so they are escaped."""

    __slots__ = ()

    def overview(self) -> tuple[str, Iterable[Entry]]:
        """Return the title and the rows, the most important first."""
        raise NotImplementedError

    def _escaped(self) -> tuple[str, list[tuple[str, str]]]:
        title, rows = self.overview()
        shown = [(plain(label), plain(value)) for label, value in rows if value not in (None, "")]
        return f"{type(self).__name__}: {plain(title)}", shown

    def summary(self) -> str:
        """Return the whole overview as text, one line per row, however long."""
        title, rows = self._escaped()
        return "\n".join([title, *(f"{_INDENT}{label}: {text}" for label, text in rows)])

    def __repr__(self) -> str:
        title, rows = self._escaped()
        return "\n".join(_text_lines(title, rows))

    def _repr_html_(self) -> str:
        title, rows = self._escaped()
        if len(rows) >= MAX_LINES:
            rows[MAX_LINES - 2 :] = [("...", "...")]
        parts = [f"<table><caption>{_cell(title)}</caption>"]
        for label, text in rows:
            content = f'<td style="text-align: left">{_cell(text)}</td>'
            parts.append(f"<tr><th>{_cell(label)}</th>{content}</tr>")
        return "".join([*parts, "</table>"])


def listed(names: Sequence[object], noun: str) -> str:
    """Return how many names there are and the first of them: `3 tickers: A, B, C`."""
    if not names:
        return f"no {noun}"
    return f"{counted(len(names), noun)}: {named(names, _MANY)}"


def span(days: Sequence[str]) -> str:
    """Return the first and the last of some days, and how many they are."""
    if not days:
        return "none"
    return f"{days[0]} .. {days[-1]} ({len(days):,})"


def first_of(warnings: Sequence[str]) -> str:
    """Return how many warnings there are and the first one; empty without any."""
    if not warnings:
        return ""
    return f"{len(warnings)}, the first: {warnings[0]}"


def _text_lines(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = _wrapped(title, MAX_WIDTH)
    labels = [_wrapped(label, _MAX_LABEL)[0] for label, _ in rows]
    label_width = max(map(len, labels), default=0)
    for label, (_, text) in zip(labels, rows, strict=True):
        head = f"{_INDENT}{label:<{label_width}}{_INDENT}"
        for part in _wrapped(text, MAX_WIDTH - len(head)):
            lines.append(head + part)
            head = " " * len(head)
    if len(lines) > MAX_LINES:
        lines[MAX_LINES - 1 :] = [f"{_INDENT}..."]
    return lines


def _cell(text: str) -> str:
    return html.escape(" ".join(_wrapped(text, MAX_WIDTH)))


def _wrapped(text: str, width: int) -> list[str]:
    # A blank text is a line too.
    return wrap(text, width, max_lines=_LINES_PER_ROW, placeholder=" ...") or [text[:width]]
