"""What a night leaves in the folder of a day, and whom it notifies."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mp2._document import Document
from mp2._files import make_folder, replacing
from mp2.errors import SourceError
from mp2.nightly.records import Night, NightSettings, PickedNight

NOTIFIED = "notified"
"""The empty file in the folder of a day whose night `on_done` was told of."""

_COMMAND_S = 300.0
_log = logging.getLogger("mp2.nightly")


def published(
    night: Night,
    settings: NightSettings,
    out: Path,
) -> Night:
    """Write the picks of every day, then notify once; the night with the errors of that."""
    try:
        for day in night.days:
            scan = night.scan if day is night.last else None
            _write_day(day, scan, out / day.picks.day)
    except OSError as error:
        problem = f"{error.filename or out}: {error.strerror}; the picks are in the store"
        return replace(night, errors=(*night.errors, problem))
    mark = out / night.last.picks.day / NOTIFIED
    if mark.exists() or not (settings.on_done or settings.on_done_command):
        return night
    problems = tuple(_problems_of_notifying(night, settings))
    if not problems:
        mark.touch()
    return replace(night, errors=(*night.errors, *problems))


def _write_day(
    day: PickedNight,
    scan: Document | None,
    folder: Path,
) -> None:
    from mp2.groups.export import for_spreadsheets

    make_folder(folder)
    table = for_spreadsheets(day.picks.to_frame()).write_csv()
    with replacing(folder / "picks.csv") as part:
        part.write_text(table, encoding="utf-8", newline="")
    text = json.dumps({**day.to_dict(), "scan": scan}, indent=1)
    with replacing(folder / "picks.json") as part:
        part.write_text(text + "\n", encoding="utf-8")


def _problems_of_notifying(night: Night, settings: NightSettings) -> Iterator[str]:
    document = night.to_dict()
    if settings.on_done:
        from mp2.discovery.notify import post_document

        try:
            post_document(settings.on_done, document)
        except SourceError as error:
            yield f"on_done: {error}"
    if settings.on_done_command:
        problem = _problem_of_command(settings.on_done_command, document)
        if problem is not None:
            yield f"on_done_command: {problem}"


def _problem_of_command(command: str, document: Document) -> str | None:
    """Run a command, without a shell, that gets the document; return what went wrong."""
    try:
        # What it prints must not end up in the one line of the night.
        ran = subprocess.run(
            shlex.split(command),
            input=json.dumps(document),
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
    except OSError as error:
        return f"cannot be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"did not end in {_COMMAND_S:.0f} s"
    lines = (ran.stdout + ran.stderr).splitlines()
    for line in lines:
        _log.info("on_done_command: %s", line)
    if ran.returncode == 0:
        return None
    return f"exit code {ran.returncode}: {lines[-1] if lines else 'no output'}"
