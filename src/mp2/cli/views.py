"""The decision between text and JSON, and the words and tables that all views share.

Data goes to stdout, progress and logs to stderr. Text from outside is printed without control
characters and never as markup.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from mp2._document import SCHEMA_VERSION, Document, Fields
from mp2._files import expanded
from mp2._json import encode
from mp2.cli.log_file import log_result
from mp2.cli.session import Interrupts, current_session
from mp2.errors import plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PLAIN_WIDTH = 160
ParamsT = ParamSpec("ParamsT")


class OwnStdout:
    """Standard output for this thread, standard error for all others.

    Scanners and algorithms run in other threads: what they print must not end up inside a document.
    """

    def __init__(self, stdout: Any) -> None:
        self._stdout = stdout
        self._thread = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        is_own = threading.get_ident() == self._thread
        return getattr(self._stdout if is_own else sys.stderr, name)


def present(content: Fields, *parts: RenderableType) -> None:
    """Print the result of a command: `content` as its JSON document, or its warnings and `parts`.

    Text among the parts is printed as it is, without markup.
    """
    session = current_session()
    log_result(content)
    if session.as_json:
        print_document({**content, "warnings": [*session.warnings, *content["warnings"]]})
        return
    print_warnings(line for line in content["warnings"] if line not in session.said)
    screen = console()
    for part in parts:
        if isinstance(part, str):
            say(part)
        else:
            screen.print(part)


def stacked(
    view: Callable[ParamsT, Iterable[RenderableType]],
) -> Callable[ParamsT, RenderableType]:
    """Make a view of a function that yields its parts; text is shown as it is, without markup."""

    @wraps(view)
    def stack(*args: ParamsT.args, **settings: ParamsT.kwargs) -> RenderableType:
        from rich.console import Group

        return Group(*(styled(part) for part in view(*args, **settings)))

    return stack


def styled(part: RenderableType, style: str = "") -> RenderableType:
    """Return text as a renderable without markup and control characters; others as they are."""
    from rich.text import Text

    if isinstance(part, str):
        return Text(plain(part), style=style)
    return part


def document(
    *,
    status: str = "ok",
    warnings: Iterable[str] = (),
    errors: Iterable[str] = (),
    **content: Any,
) -> Document:
    """Build a JSON document: the keys that all documents have, and `content`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": None,
        "status": status,
        **content,
        "warnings": list(warnings),
        "errors": list(errors),
    }


def print_document(content: Fields) -> None:
    """Print the one JSON document of a command; a signal meanwhile waits until it is whole."""
    text = json_text(content)
    session = current_session()
    # A command that catches signals goes on anyway; another would end at once.
    catching = nullcontext() if session.interrupts else Interrupts().caught()
    with catching:
        # Before the text: after half a document no second one may follow.
        session.is_answered = True
        echo_json(text)


def echo_json(text: str) -> None:
    """Print JSON; in escapes where the output has another encoding than UTF-8."""
    if (sys.stdout.encoding or "").lower() not in _UNICODE:
        text = _NOT_ASCII.sub(_escaped, text)
    click.echo(text)


_NOT_ASCII = re.compile(r"[^\x20-\x7e]")
_UNICODE = ("utf-8", "utf8")


def json_text(content: Any) -> str:
    """Return a document as JSON on one line; characters a terminal would not show are escaped.

    Numbers that are not finite become null.
    """
    text = encode(content)
    # Nearly every document is, which saves the search for what is not.
    if text.isprintable():
        return text
    return _NOT_ASCII.sub(
        lambda match: match[0] if match[0].isprintable() else _escaped(match), text
    )


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def say(line: str, *, err: bool = False) -> None:
    """Print a line that may hold text from outside."""
    click.echo(plain(line), err=err)


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings to stderr, one line each."""
    screen = console(stderr=True)
    for warning in warnings:
        screen.print(styled(f"warning: {warning}", "yellow"))


def count_findings(prices: Path, warnings: Iterable[str]) -> None:
    """Have what was found in a file of prices said in one line of text, in full with -v."""
    session = current_session()
    source = expanded(prices)
    findings = [line for line in warnings if line.startswith(f"{source}: ")]
    if session.verbose or session.as_json or len(findings) < 2:
        return
    session.said.update(findings)
    print_warnings([f"{source}: {len(findings)} findings; mp2 check data lists them"])


def console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr; without a terminal, lines are wide and uncoloured."""
    from rich.console import Console

    # Defined here: JSON documents and helps are printed without loading rich.
    class Screen(Console):
        """Leaves a closed output to the command line; rich would end the process with code 1."""

        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 - the BrokenPipeError that is being handled

    stream = sys.stderr if stderr else sys.stdout
    is_terminal = stream.isatty()
    # Lines in files and pipes are not wrapped, so that they can be searched.
    return Screen(
        file=stream,
        width=None if is_terminal else PLAIN_WIDTH,
        highlight=False,
        soft_wrap=not is_terminal,
    )


def record_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[int] = (),
) -> Table:
    """Build a table of text; where it is too wide, all columns but the first are folded.

    The columns `right`, counted from 0, hold numbers and are aligned to the right.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    # The first column identifies the row, so it is never folded.
    for idx, heading in enumerate(headings):
        table.add_column(
            heading,
            justify="right" if idx in right else "left",
            no_wrap=idx == 0,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(plain(value)) for value in row))
    return table


def duration(seconds: float) -> str:
    """Return seconds for people: 0.25 s, 12.3 s, 4 min 05 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def if_known(value: float | None, text: Callable[[float], str]) -> str:
    """Return the text of a figure, empty while it is not known."""
    return "" if value is None else text(value)


_MAGNITUDES = ((1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion"), (1e6, "million"))


def count(number: float) -> str:
    """Return a count with thousands separated, or in words of magnitude from a million up."""
    for limit, word in _MAGNITUDES:
        if number >= limit:
            return f"{number / limit:,.2f} {word}"
    return f"{number:,.0f}"


def share(fraction: float) -> str:
    """Return a fraction as a percentage, rounded down, so that 100% means all of it."""
    if 0 < fraction < 0.0001:
        return "less than 0.01%"
    # Rounded down: 99.999% must not read as all of it.
    hundredths = int(fraction * 10_000)
    if hundredths % 100 == 0:
        return f"{hundredths // 100}%"
    return f"{hundredths / 100:.2f}%"
