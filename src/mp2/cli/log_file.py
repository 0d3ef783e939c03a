"""The log file: how every command began, what it warned of, what came of it, and how it ended.

Text, or JSON lines in a file named `.jsonl`. A file that has reached `MAX_BYTES` is renamed and a
new one begun. The records of this module go to the file alone; what other modules log goes there
too, whatever stderr shows.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import click

from mp2 import __version__
from mp2._document import Document, Fields
from mp2._files import make_private
from mp2.cli.session import Session
from mp2.cli.setting_values import settings_of, value_text
from mp2.errors import InputError, plain

MAX_BYTES = 10_000_000
N_OLDER = 5
"""How many full files are kept besides, as `run.log.1` and so on."""

FILE_ONLY = "mp2.log"
_log = logging.getLogger(FILE_ONLY)


class PlainFormatter(logging.Formatter):
    """Makes a log record one line, also if it quotes several; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line with control characters made visible."""
        record.message = plain(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback with control characters made visible."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(map(plain, lines))


class JsonFormatter(logging.Formatter):
    """Makes a log record one JSON object: time, level, event, message, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        fields: Document = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": getattr(record, "event", "log"),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class _PrivateFile(RotatingFileHandler):
    """A rotating file for its owner alone: logs quote names of files and responses of sources."""

    def _open(self) -> TextIOWrapper:
        make_private(Path(self.baseFilename))
        return super()._open()

    def rotate(self, source: str, dest: str) -> None:
        """Rename a full file; in a folder that cannot be written it grows on."""
        with suppress(OSError):
            super().rotate(source, dest)


def file_handler(path: Path) -> logging.Handler:
    """Open a log file; raises `InputError` naming --log-file."""
    try:
        # Of a link whose file does not exist yet, that file is made.
        target = path if path.exists() else Path(os.path.realpath(path))
        make_private(target)
        # Opening a pipe that has no reader would block.
        os.close(os.open(target, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)))
        handler = _PrivateFile(
            target,
            maxBytes=MAX_BYTES,
            backupCount=N_OLDER,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as error:
        message = f"--log-file {path}: {error.strerror}; choose a file that can be written"
        raise InputError(message) from error
    if path.suffix.lower() == ".jsonl":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


# --- what is logged --------------------------------------------------------------------------


def begin_log(session: Session, context: click.Context | None = None) -> None:
    """Open the log file that is named, if any, and log how the command begins.

    `context`: that of the command, None where its words could not be parsed.
    """
    # A log file that is full must not spoil the display.
    logging.raiseExceptions = False
    if session.log_file is None or session.log is not None:
        return
    logger = logging.getLogger("mp2")
    # The file gets everything; what stderr shows is for its own handler to say.
    logger.setLevel(logging.DEBUG)
    session.log = file_handler(session.log_file)
    logger.addHandler(session.log)
    command = "mp2"
    text = ""
    values: Document = {}
    if context is not None:
        _, _, command = context.command_path.partition(" ")
        given = []
        for one in (*settings_of(context.find_root()), *settings_of(context)):
            values[one.key] = one.value
            if one.origin != "default":
                given.append(f"{one.key}={value_text(one.value)} ({one.origin})")
        text = "; ".join(given)
    _event(
        "start",
        f"start: mp2 {__version__} {command}; {text or 'no settings'}",
        version=__version__,
        command=command,
        settings=values,
    )
    log_problems(session.warnings)


def log_problems(warnings: Iterable[str], errors: Iterable[str] = ()) -> None:
    """Log warnings and errors that were printed, or stand in a document."""
    for line in warnings:
        _event("warning", f"warning: {line}", logging.WARNING)
    for line in errors:
        _event("error", f"error: {line}", logging.ERROR)


def log_line(line: str) -> None:
    """Log a line that is shown on the console."""
    _event("line", line)


def log_result(content: Fields) -> None:
    """Log what came of a command: its document's run id, status, coverage and picks."""
    log_problems(content["warnings"], content.get("errors", ()))
    fields: Document = {}
    for key in ("run_id", "scan_id", "status", "coverage"):
        if content.get(key) is not None:
            fields[key] = content[key]
    # A run has its picks in `next_day`; those of `mp2 pick` are the document itself.
    day = content.get("next_day", content)
    if "day" in day and isinstance(day.get("picks"), dict):
        fields["day"] = day["day"]
        fields["picks"] = {
            size: None if pick is None else list(pick["tickers"])
            for size, pick in day["picks"].items()
        }
    texts = [f"{key} {json.dumps(value, default=str)}" for key, value in fields.items()]
    _event("result", f"result: {', '.join(texts)}", **fields)


def end_log(session: Session, code: int) -> None:
    """Log the exit code and close the file; an incomplete log costs a line on stderr."""
    if session.log is None:
        return
    _event("end", f"end: exit code {code}", exit_code=int(code))
    logging.getLogger("mp2").removeHandler(session.log)
    try:
        session.log.close()
    except OSError as error:
        line = f"mp2: --log-file: {error.strerror}; the log is not complete"
        with suppress(OSError):
            click.echo(line, err=True)


def _event(
    event: str,
    message: str,
    level: int = logging.INFO,
    **fields: Any,
) -> None:
    _log.log(level, "%s", message, extra={"event": event, "fields": fields})
