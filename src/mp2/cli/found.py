"""A searching command from its control to its exit code: progress, then the result."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mp2._document import Document
from mp2.cli.logs import start_logging
from mp2.cli.options import DEFAULT_DB
from mp2.cli.pick_view import PickedDay, days_view, outcome_view, picks_view
from mp2.cli.progress import SearchDisplay, log_algo_totals
from mp2.cli.search_options import RunOptions, ViewOptions
from mp2.cli.search_view import result_view
from mp2.cli.session import note_kept
from mp2.cli.views import present, say
from mp2.errors import ExitCode
from mp2.groups.result import SearchResult
from mp2.pipeline import PipelineRun, RunControl
from mp2.storage.recorder import Storing

Found = SearchResult | PipelineRun


@contextmanager
def followed(how: RunOptions, stop: threading.Event) -> Iterator[RunControl]:
    """The control of a run whose progress is shown until the block ends."""
    screen = start_logging()
    named = "" if how.db == DEFAULT_DB else f"--db {how.db} "
    with SearchDisplay(screen, heartbeat_s=how.heartbeat, live=not how.no_progress) as display:
        storing = Storing(
            db=None if how.no_store else how.db,
            every_s=how.checkpoint,
            on_begin=lambda run_id: note_kept(
                f"mp2 {named}resume {run_id} goes on with what had been stored"
            ),
        )
        yield RunControl(
            storing=storing,
            stop=stop,
            observe=display.update,
            observe_signals=display.update_signals,
        )


def present_found(found: Found, how: ViewOptions) -> ExitCode:
    """Log the totals, print the result, and return the exit code."""
    result = result_of(found)
    log_algo_totals(result.starters)
    print_found(found, how)
    if result.store_error:
        return ExitCode.FAILED
    if not any(result.kept.values()):
        return ExitCode.NOTHING_FOUND
    return ExitCode.OK


def print_found(
    found: Found,
    how: ViewOptions,
    days: Sequence[PickedDay] = (),
) -> None:
    """Print a result, and the picks made of it, as one JSON document or as tables.

    `days` are those picked so far.
    """
    result = result_of(found)
    content = result.to_dict(how.json_groups)
    parts: list[Any] = [result_view(result, n_show=how.show)]
    if result.store_error:
        # On stderr as well as in the document: it says where the whole result is.
        say(f"mp2: {result.store_error}", err=True)
    if isinstance(found, PipelineRun):
        picks = found.next_day
        content["next_day"] = picks.to_dict()
        parts.append(picks_view(picks, n_show=how.show, aliases=result.aliases))
        new_warnings = [line for line in picks.warnings if line not in result.warnings]
        content["warnings"] += new_warnings
        if found.market is not None:
            from mp2.demo.market import sentence
            from mp2.picks.outcome import score

            outcome = score(picks, found.market.later)
            verdict = sentence(result, found.market)
            content["outcome"] = outcome.to_dict()
            content["demo"] = verdict
            parts += [outcome_view(outcome), verdict]
    if days:
        content["days_picked"] = list(map(picked_day, days))
        parts.append(days_view(days))
    present(content, *parts)


def picked_day(picked: PickedDay) -> Document:
    """Return a picked day and its outcome, None while it is not scored, as JSON values."""
    picks, outcome = picked
    sizes = {}
    for size, pick in picks.picks.items():
        sizes[str(size)] = None if pick is None else list(pick.tickers)
    return {
        "day": picks.day,
        "assumed": picks.assumed,
        "tickers": sizes,
        "outcome": None if outcome is None else outcome.to_dict(),
    }


def result_of(found: Found) -> SearchResult:
    """The search's result itself."""
    return found.result if isinstance(found, PipelineRun) else found
