"""What a night is told to do, and what it did."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mp2._document import SCHEMA_VERSION, Document, Names
from mp2._overview import Entry, Overview, first_of, listed
from mp2.errors import ExitCode, InputError, counted, named, plain
from mp2.picks.records import DayPicks, Difference, Outcome

# The sentence of a night is one line of a log or a message.
_N_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class NightSettings:
    """What a night does beside its run.

    - `out`: the folder of the picks, one folder a day in it.
    - `download`: bring the prices, which `mp2 download` wrote, up to date from Yahoo first.
    - `on_done`: an address that gets the night as JSON in a POST. `on_done_command`: a command that
      gets it on its standard input. Once for a day.
    - `compact`: make the runs of nights small once they are complete.
    """

    out: Path
    download: bool = False
    on_done: str | None = None
    on_done_command: str | None = None
    compact: bool = True

    def check(self) -> None:
        """Raise `InputError` for an address or command that cannot be used."""
        problems: list[str] = []
        if self.on_done is not None:
            problems += _address_problems(self.on_done)
        if self.on_done_command is not None:
            # Before the search: a typing error must not show hours later.
            try:
                shlex.split(self.on_done_command)
            except ValueError as error:
                problems.append(f"on_done_command: {error}; write it as in a shell")
        if problems:
            raise InputError(problems)


def _address_problems(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        yield f"on_done: {error}; name an address of http or https"
        return
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield "on_done: not an address of http or https with a host"
    elif parts.username is not None or parts.password is not None:
        yield "on_done: holds a user or password; name an address without them"


@dataclass(slots=True)
class Report:
    """What a night has to tell besides its picks, gathered while it works."""

    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    scored: list[Outcome] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedNight:
    """One day with picks, and how their run ended.

    `p`: of the test for luck, None without one. `is_late`: the prices already had the day when its
    picks were made. `is_new`: this night made them.
    """

    picks: DayPicks
    difference: Difference
    status: str
    coverage: float
    p: float | None
    is_late: bool
    is_new: bool

    def to_dict(self) -> Document:
        """Return the day as plain JSON values, the keys of its picks among them."""
        return {
            **self.picks.to_dict(),
            "status": self.status,
            "coverage": self.coverage,
            "p": self.p,
            "is_late": self.is_late,
            "difference": asdict(self.difference),
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Night(Overview):
    """What a night did.

    - `days`: those with picks that it made or found, the latest last.
    - `scored`: the outcomes that it stored. `overdue`: picks that it could not score though the
      prices go beyond their day, and why.
    - `scan`: what scanners named of the picked tickers, None without a scan.
    - `findings`: what `mp2 check data` says of the prices, night after night, so no warnings.
    - `errors`: what failed while the picks themselves were made.
    """

    days: tuple[PickedNight, ...]
    scored: tuple[Outcome, ...]
    overdue: Names
    scan: Document | None
    findings: Names
    warnings: Names
    errors: Names

    @property
    def last(self) -> PickedNight:
        """The latest day with picks."""
        return self.days[-1]

    def exit_code(self) -> ExitCode:
        """Return how the command ends."""
        # The worst first: a monitor sees one code only.
        if self.errors:
            return ExitCode.FAILED
        if self.overdue:
            return ExitCode.OVERDUE
        if not self.last.picks.tickers():
            return ExitCode.NOTHING_FOUND
        return ExitCode.OK

    def sentence(self) -> str:
        """Return the night in one line."""
        last = self.last
        tickers = last.picks.tickers()
        picked = f"{last.picks.day}: {counted(len(tickers), 'ticker')}"
        if tickers:
            picked += f" ({named(tickers, _N_SHOWN)})"
        parts = [picked]
        difference = last.difference
        if difference.since is not None:
            changes = f"{len(difference.new)} new and {len(difference.gone)} gone"
            parts.append(f"{changes} since {difference.since}")
        run = f"run {last.picks.run_id} {last.status}"
        if last.p is not None:
            run += f", p {last.p:.3g}"
        parts.append(run)
        parts += [_scored_text(outcome) for outcome in self.scored]
        n_late = sum(day.is_late for day in self.days)
        if n_late:
            parts.append(f"{counted(n_late, 'missed day')} made up for")
        if self.findings:
            parts.append(f"{counted(len(self.findings), 'finding')} in the prices (mp2 check data)")
        if self.overdue:
            parts.append(f"{len(self.overdue)} overdue")
        if self.errors:
            parts.append(counted(len(self.errors), "error"))
        # Tickers come from the file, and may hold control characters.
        return plain("; ".join(parts))

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        rows: list[Entry] = [
            ("picked", listed(self.last.picks.tickers(), "ticker")),
            ("run", self.last.picks.run_id),
            ("scored", listed([outcome.day for outcome in self.scored], "day")),
            ("overdue", first_of(self.overdue)),
            ("errors", first_of(self.errors)),
            ("warnings", first_of(self.warnings)),
        ]
        return self.last.picks.day, rows

    def to_dict(self) -> Document:
        """Return the night as one JSON document: its last day's picks, and what it did."""
        return {
            **self.last.to_dict(),
            "schema_version": SCHEMA_VERSION,
            "days": [day.to_dict() for day in self.days],
            "scored": [outcome.to_dict() for outcome in self.scored],
            "overdue": list(self.overdue),
            "scan": self.scan,
            "findings": list(self.findings),
            "summary": self.sentence(),
            "warnings": list(self.warnings),
            "errors": list(self.errors),
        }


def _scored_text(outcome: Outcome) -> str:
    """Return a scored day: `2024-03-11 2 of 5 hit (40.0%), mean return +0.31%, all tickers 52%`."""
    score = outcome.all_sizes
    text = "no picks" if score is None else score.text()
    if outcome.universe_hit_rate_pp is not None:
        text += f", of all tickers {outcome.universe_hit_rate_pp:.1f}%"
    return f"scored {outcome.day}: {text}"
