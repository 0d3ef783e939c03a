"""What the commands share: their common options, the session they run in, signals, logging and documents."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from mp2._document import SCHEMA_VERSION
from mp2._files import make_new, make_private
from mp2.cli.settings import SettingsFile
from mp2.errors import InputError, plain

if TYPE_CHECKING:
    from mp2.storage.recorder import Keeper
    from mp2.storage.runs import Store

JSON_GROUPS = 20


@dataclass(slots=True)
class Session:
    """What the options before the command say, and whether the command was asked for JSON: its errors are JSON then too.

    `resume` is the run that a command which searches is to take up instead of beginning one.
    `kept`: what an interruption at once leaves behind, for the message about it. `signal_code`: the exit code of a signal that
    was caught, whatever came of it. `is_answered`: the document asked for is printed, there must be no other.
    """

    verbose: int = 0
    log_file: Path | None = None
    as_json: bool = False
    resume: str | None = None
    settings: SettingsFile = field(default_factory=lambda: SettingsFile(Path("mp2.toml"), {}))
    kept: list[str] = field(default_factory=list)
    interrupts: Interrupts | None = None
    signal_code: int | None = None
    is_answered: bool = False

    @property
    def wants_document(self) -> bool:
        """Whether a failure has to be told as a document, too."""
        return self.as_json and not self.is_answered

    def stopped_text(self) -> str:
        """What is said of an interruption at once."""
        return "; ".join(("stopped by a signal", *(self.kept or ["nothing was stored"])))


def _session() -> Session:
    """The session of the command that runs; outside of one (a test, a notebook) one of its own."""
    context = click.get_current_context(silent=True)
    return Session() if context is None else context.ensure_object(Session)


def _note_json(context: click.Context, option: click.Parameter, value: bool) -> bool:
    session = context.find_object(Session)
    if session is not None:
        session.as_json = value
    return value


def _database(context: click.Context, option: click.Parameter, value: Path | None) -> Path:
    """The database of the command itself, else of the nearest command before it."""
    above = context.parent
    while value is None and above is not None:
        value, above = above.params.get("db"), above.parent
    return value or Path("mp2.db")


DB_OPTION = click.option(
    "--db",
    type=click.Path(path_type=Path),
    callback=_database,
    help="database of runs [default: mp2.db, or MP2_DB]",
)
JSON_OPTION = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,
    callback=_note_json,
    help="one JSON document on stdout",
)
JSON_GROUPS_OPTION = click.option(
    "--json-groups",
    type=click.IntRange(0),
    default=JSON_GROUPS,
    show_default=True,
    help="groups per size in the JSON document",
)
SHOW_OPTION = click.option(
    "--show",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="groups per size in the tables",
)


def flat(
    context: click.Context, option: click.Parameter, values: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    """The names of an option that may be repeated and takes several each time."""
    return tuple(name for names in values for name in names)


def note_kept(text: str) -> None:
    """What an interruption at once leaves behind from now on, beside what was noted before."""
    _session().kept.append(text)


class Terminated(BaseException):
    """SIGTERM or SIGHUP came while a command ran that cannot be stopped kindly: as KeyboardInterrupt for SIGINT."""


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """A handler of signals."""
    raise Terminated


def stop_signals(*names: str) -> list[int]:
    """Those of the named signals that there are; SIGHUP not for a process that `nohup` made ignore it."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [
        one
        for one in numbers
        if one == signal.SIGINT or signal.getsignal(one) is not signal.SIG_IGN
    ]


@contextmanager
def handled(
    numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Inside of the block the signals have this handler; only the main thread may say so, in any other nothing happens."""
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


class Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into a stop event; a second SIGINT ends the process without waiting."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.signal_number: int | None = None
        self._is_noted = False

    @contextmanager
    def caught(self) -> Iterator[Interrupts]:
        """Catch signals inside the `with` block; the command gets the exit code of the first, whatever error follows."""
        session = _session()
        session.interrupts = self
        try:
            with handled(stop_signals("SIGINT", "SIGTERM", "SIGHUP"), self._note):
                yield self
        finally:
            session.interrupts, session.signal_code = None, session.signal_code or self.exit_code

    @property
    def exit_code(self) -> int | None:
        """130 for SIGINT, 143 for SIGTERM and SIGHUP, None when no signal came."""
        if self.signal_number is None:
            return None
        return 128 + (signal.SIGINT if self.signal_number == signal.SIGINT else signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # The next signal may come inside of `set`, which holds a lock: it must not call it again, nor leave it by an exception.
        if self.signal_number is None:
            self.signal_number = number
            self.stop.set()
            self._is_noted = True
        elif self._is_noted and number == signal.SIGINT:
            raise KeyboardInterrupt


class PlainFormatter(logging.Formatter):
    """A log line is one line, whatever is logged; a traceback's lines stay lines. Control characters are made visible."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line."""
        record.message = plain(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """The traceback."""
        return "\n".join(map(plain, super().formatException(ei).split("\n")))


def start_logging(context: click.Context) -> Any:
    """Log to stderr through the console of the live display; without a terminal the heartbeat is the progress."""
    from rich.logging import RichHandler

    from mp2.cli.console import console

    session = context.find_object(Session) or Session()
    verbose, log_file = session.verbose, session.log_file
    screen = console(stderr=True)
    logger = logging.getLogger("mp2")
    logger.handlers.clear()
    if screen.is_terminal:
        to_screen: logging.Handler = RichHandler(
            console=screen, show_path=False, markup=False, show_level=verbose > 1
        )
        to_screen.setFormatter(PlainFormatter("%(message)s"))
    else:
        to_screen = logging.StreamHandler()
        to_screen.setFormatter(PlainFormatter("mp2: %(message)s"))
    to_screen.setLevel(
        logging.DEBUG
        if verbose > 1
        else logging.INFO
        if verbose or not screen.is_terminal
        else logging.WARNING
    )
    logger.addHandler(to_screen)
    logger.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a log file that is full does not spoil the display
    if log_file is not None:
        to_file = _file_handler(log_file)
        context.call_on_close(to_file.close)
        context.call_on_close(
            lambda: logger.removeHandler(to_file)
        )  # before it is closed: a record would open it again
        logger.addHandler(to_file)
    return screen


def _file_handler(path: Path) -> logging.Handler:
    try:
        target = path if path.exists() else Path(os.path.realpath(path))
        make_private(target)
        os.close(
            os.open(target, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
        )  # a pipe that nobody reads would be waited for
        handler = logging.FileHandler(target, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(
            f"--log-file {path}: {error.strerror}; choose a file that can be written"
        ) from error
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def echo_document(*, status: str = "ok", warnings: Sequence[str] = (), **content: Any) -> None:
    """Print a JSON document that is not a search's result."""
    head = {"schema_version": SCHEMA_VERSION, "run_id": None, "status": status}
    print_document({**head, **content, "warnings": list(warnings), "errors": []})


def print_document(document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command; a signal that would end the command at once waits until it is whole."""
    text, session = json_text(document), _session()
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
    from mp2.cli.console import console, warning_lines

    screen = console(stderr=True)
    for line in warning_lines(warnings):
        screen.print(line)


@contextmanager
def observed(
    screen: Any, what: str, *, live: bool = True
) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, as the `observe(done, total)` that long work takes; None elsewhere."""
    if not live or not screen.is_terminal:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """The file to write, which is `output` once it is whole; the errors of writing become one message."""
    from polars.exceptions import PolarsError

    kept = _session().kept
    try:
        with _put_in_place(output) as path:
            kept.append(
                f"{output} may be cut short"
                if path == output
                else f"{output} is written, or as it was"
            )
            yield path
    except (OSError, PolarsError) as error:
        raise InputError(
            f"{output}: {getattr(error, 'strerror', None) or error}; choose a file that can be written"
        ) from error
    kept[-1] = f"{output} was written"


@contextmanager
def _put_in_place(output: Path) -> Iterator[Path]:
    """A file beside `output` that replaces it at the end of the block; `output` itself where that cannot be (a pipe)."""
    target = Path(os.path.realpath(output))
    if not _is_replaceable(output, target):
        yield output
        return
    part = target.with_name(f".mp2-{secrets.token_hex(4)}.part")
    try:
        make_new(part)
        if target.exists():
            shutil.copymode(target, part)
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _is_replaceable(output: Path, target: Path) -> bool:
    """Whether a new file may take the place of the one that `output` leads to: one that may be written, or none yet."""
    is_free = not output.exists() and not os.path.lexists(target)
    return (is_free or (output.is_file() and os.access(target, os.W_OK))) and os.access(
        target.parent, os.W_OK
    )


@contextmanager
def opened_keeper(options: Mapping[str, Any]) -> Iterator[Keeper | None]:
    """The store a command writes to, in its own thread; None when its options say that nothing is stored."""
    if options["no_store"]:
        yield None
        return
    from mp2.storage.recorder import EVERY_S, Keeper
    from mp2.storage.runs import Store

    with Keeper(lambda: Store(options["db"]), every_s=options.get("checkpoint", EVERY_S)) as keeper:
        yield keeper


@contextmanager
def reading(db: Path) -> Iterator[Store]:
    """The store at `db`, which is only read."""
    from mp2.storage.runs import Store

    with Store(db, read_only=True) as store:
        yield store


def delete_stored(
    what: str,
    db: Path,
    find: Callable[[Store], str],
    delete: Callable[[Store, str], None],
    as_json: bool,
) -> int:
    """Delete what `find` names (a run, a scan), say so, and return the exit code; a signal meanwhile waits until it is done."""
    from mp2.storage.runs import Store

    with Interrupts().caught() as interrupts:
        with Store(db, must_exist=True) as store:
            name = find(store)
            note_kept(f"{what} {name} is deleted, or whole")
            delete(store, name)
        if as_json:
            echo_document(deleted=name)
        else:
            say(f"Deleted {what} {name}.")
        return interrupts.exit_code or 0
