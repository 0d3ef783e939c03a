"""A scanner over a watch list kept by hand: a CSV file with the columns ticker, reason and, if wanted, until and priority.

    ticker,reason,until,priority
    NVDA,earnings after the close,2026-11-25,high
    KO,steady as ever

A ticker is named up to the day in `until`, for ever without one. What stands in a line is checked by mp2 as any scanner's
candidates are: a line without a valid ticker is dropped, counted and logged.
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

    name, pipeline = "watch_list", "personal"
    summary = "the tickers of your own watch list"
    offline = True

    class Settings(mp2.ScannerSettings):
        """`file`: the CSV file. `soon_days`: from so many days before `until` on, a line without a priority counts as high."""

        file: str | None = Field(default=None, min_length=1)
        soon_days: int = Field(default=2, ge=0)

    def scan(self, context: mp2.ScanContext) -> Iterator[mp2.Candidate]:
        """The lines that are not past their day. Raises `SourceError` for a file that is of no use."""
        if self.settings.file is None:
            raise mp2.SourceError(
                "missing_key", "no file; set file in [discovery.scanners.watch_list]"
            )
        found = []
        for line in self._lines(Path(self.settings.file).expanduser()):
            context.check()  # ends a scan that nobody waits for any more
            until = _day(line)
            if until is None or context.today <= until:
                found.append(self._candidate(context, line, until))
        urgent_first = ("critical", "high", "medium", "low")
        yield from sorted(
            found,
            key=lambda one: (
                urgent_first.index(one.priority) if one.priority in urgent_first else 99
            ),
        )

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
        self, context: mp2.ScanContext, line: Mapping[str, str], until: datetime.date | None
    ) -> mp2.Candidate:
        soon = until is not None and (until - context.today).days <= self.settings.soon_days
        priority = (line.get("priority") or "").strip().lower() or ("high" if soon else "medium")
        data = {} if until is None else {"until": until.isoformat()}
        return context.candidate(
            line["ticker"], line["reason"] or "on the watch list", priority, data
        )


def _day(line: Mapping[str, str]) -> datetime.date | None:
    text = (line.get("until") or "").strip()
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        raise mp2.SourceError(
            "bad_payload", f"until of {line['ticker']}: {text!r} is no date; write YYYY-MM-DD"
        ) from None
