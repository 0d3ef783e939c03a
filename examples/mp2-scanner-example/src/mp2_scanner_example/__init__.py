"""A scanner over a CSV file with the columns ticker and reason, optionally until and priority.

    ticker,reason,until,priority
    NVDA,earnings after the close,2026-11-25,high
    KO,steady as ever

A ticker is named up to the day in `until`, for ever without one. mp2 checks the candidates of every
scanner: a line without a valid ticker is dropped, counted and logged.
"""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

import mp2


class WatchList(mp2.Scanner):
    """Tickers of a file, most urgent first."""

    name = "watch_list"
    pipeline = "personal"
    summary = "the tickers of your own watch list"
    offline = True

    class Settings(mp2.ScannerSettings):
        """`file`: the CSV file.

        `soon_days`: this many days before `until`, a line without a priority becomes high.
        """

        file: str | None = Field(default=None, min_length=1)
        soon_days: int = Field(default=2, ge=0)

    def scan(self, context: mp2.ScanContext) -> Iterator[mp2.Candidate]:
        """Yield the lines that have not expired. Raises `SourceError` for an unusable file."""
        if self.settings.file is None:
            raise mp2.SourceError(
                "missing_key", "no file; set file in [discovery.scanners.watch_list]"
            )
        candidates = []
        for line in self._lines(Path(self.settings.file).expanduser()):
            context.check()  # ends the scan past its deadline and after a stop
            until = _day(line)
            if until is None or context.today <= until:
                candidates.append(self._candidate(context, line, until))
        yield from sorted(candidates, key=_urgency)

    def _lines(self, path: Path) -> list[dict[str, str]]:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                if reader.fieldnames is None or not {"ticker", "reason"} <= set(reader.fieldnames):
                    raise mp2.SourceError(
                        "bad_payload",
                        f"{path}: the first line has to name the columns ticker and reason",
                    )
                return list(reader)
        except OSError as error:
            raise mp2.SourceError("bad_request", f"{path}: {error.strerror}") from error
        except (csv.Error, UnicodeError) as error:
            raise mp2.SourceError("bad_payload", f"{path}: {error}") from error

    def _candidate(
        self,
        context: mp2.ScanContext,
        line: Mapping[str, str],
        until: datetime.date | None,
    ) -> mp2.Candidate:
        priority = (line.get("priority") or "").strip().lower()
        reason = line["reason"] or "on the watch list"
        if until is None:
            return context.candidate(line["ticker"], reason, priority or "medium")
        if not priority:
            is_soon = (until - context.today).days <= self.settings.soon_days
            priority = "high" if is_soon else "medium"
        return context.candidate(line["ticker"], reason, priority, {"until": until.isoformat()})


def _urgency(candidate: mp2.Candidate) -> int:
    priorities = ("critical", "high", "medium", "low")
    if candidate.priority not in priorities:
        # mp2 drops it and logs the reason.
        return len(priorities)
    return priorities.index(candidate.priority)


def _day(line: Mapping[str, str]) -> datetime.date | None:
    text = (line.get("until") or "").strip()
    if not text:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise mp2.SourceError(
            "bad_payload", f"until of {line['ticker']}: {text!r} is not a date; write YYYY-MM-DD"
        ) from None
