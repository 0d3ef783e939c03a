"""The decision between text and JSON, and the words and tables that all views share."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from mp2._document import SCHEMA_VERSION
from mp2.cli.session import Interrupts, current_session
from mp2.errors import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


PLAIN_WIDTH = 160


def echo_document(*, status: str = "ok", warnings: Sequence[str] = (), **content: Any) -> None:
    """Print a JSON document that is not a search's result."""
    head = {"schema_version": SCHEMA_VERSION, "run_id": None, "status": status}
    print_document({**head, **content, "warnings": list(warnings), "errors": []})


def print_document(document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command; a signal that would end the command at once waits until it is whole."""
    text, session = json_text(document), current_session()
    with nullcontext() if session.interrupts else Interrupts().caught():
        session.is_answered = True  # first: half a document and another one would be none
        click.echo(text)


_UNSEEN = re.compile(r"[^\x20-\x7e]")


def json_text(document: Any) -> str:
    """A document as JSON on one line, what a terminal would not show written as escapes; a number that is none becomes null.

    Counts beyond 64 bits and names of files that are no text are left to the standard library, which takes ten times as long
    and raises ValueError for a number that is none.
    """
    import orjson

    try:
        text = orjson.dumps(document).decode()
    except TypeError:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return text if text.isprintable() else _UNSEEN.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]


def say(line: str, *, err: bool = False) -> None:
    """Print a line that may hold text from outside."""
    click.echo(plain(line), err=err)


def print_warnings(warnings: Sequence[str]) -> None:
    """Print warnings to stderr, one line each."""
    screen = console(stderr=True)
    for line in warning_lines(warnings):
        screen.print(line)


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; when it is not a terminal, lines are wide and nothing is coloured."""
    from rich.console import Console

    class _Screen(Console):
        """A console that leaves a closed output to the command line; rich would end the process with code 1."""

        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 - the BrokenPipeError that is being handled

    stream = sys.stderr if stderr else sys.stdout
    return _Screen(
        file=stream,
        width=None if stream.isatty() else PLAIN_WIDTH,
        highlight=False,
        soft_wrap=not stream.isatty(),
    )


def duration(seconds: float) -> str:
    """Seconds for people: 0.25 s, 12.3 s, 4 min 05 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 100
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def count(number: float) -> str:
    """A count with thousands separated, or in words of magnitude from a million up."""
    for limit, word in (
        (1e15, "quadrillion"),
        (1e12, "trillion"),
        (1e9, "billion"),
        (1e6, "million"),
    ):
        if number >= limit:
            return f"{number / limit:,.2f} {word}"
    return f"{number:,.0f}"


def share(fraction: float) -> str:
    """A fraction as a percentage, rounded down, so that 100% means all of it."""
    if 0 < fraction < 0.0001:
        return "less than 0.01%"
    hundredths = int(fraction * 10_000)
    return f"{hundredths // 100}%" if hundredths % 100 == 0 else f"{hundredths / 100:.2f}%"


def warning_lines(warnings: Iterable[str]) -> Iterable[Text]:
    """Warnings, one line each."""
    from rich.text import Text

    return (Text(f"warning: {plain(line)}", style="yellow") for line in warnings)


def record_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A plain table of text; where it is too wide, all columns but the first are folded."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading == headings[0], overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(value)) for value in row))
    return table
