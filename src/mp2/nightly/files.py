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

# An empty file in the folder of a day. A user who deletes it is notified of that day again.
_NOTIFIED = "notified"
# A command that hangs would keep the lock on the folder, and so the next night from its work.
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
            # Scanners read the news of now, which missed days did not have.
            scan = night.scan if day is night.last else None
            _write_day(day, scan, out / day.picks.day)
    except OSError as error:
        # Nobody is notified of files that are not there; the next call writes them again.
        place = error.filename or out
        problem = f"{place}: {error.strerror}; the picks are in the store"
        return replace(night, errors=(*night.errors, problem))
    has_address = bool(settings.on_done or settings.on_done_command)
    mark = out / night.last.picks.day / _NOTIFIED
    if mark.exists() or not has_address:
        return night
    problems = tuple(_problems_of_notifying(night, settings))
    # Without the mark the next call tries both again.
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
    frame = for_spreadsheets(day.picks.to_frame())
    # Replaced, not written over: other programs may read them at any time.
    with replacing(folder / "picks.csv") as part:
        # The same bytes on every system: Windows would write its own ends of lines.
        part.write_text(frame.write_csv(), encoding="utf-8", newline="")
    document = day.to_dict()
    document["scan"] = scan
    text = json.dumps(document, indent=1)
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
    # Errors last, where the reason of a failure is found.
    lines = (ran.stdout + ran.stderr).splitlines()
    for line in lines:
        _log.info("on_done_command: %s", line)
    if ran.returncode == 0:
        return None
    reason = lines[-1] if lines else "no output"
    return f"exit code {ran.returncode}: {reason}"
