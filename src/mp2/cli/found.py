"""A searching command from its control to its exit code: progress, then the result."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from mp2._document import Document
from mp2.cli.logs import start_logging
from mp2.cli.options import db_words
from mp2.cli.pick_view import PickedDay, days_view, outcome_view
from mp2.cli.progress import SearchDisplay, log_algo_totals
from mp2.cli.search_options import RunOptions, ViewOptions
from mp2.cli.session import current_session, note_kept
from mp2.cli.views import present, say
from mp2.errors import ExitCode

# Imported where they are used: the display begins before numpy and the kernel are loaded.
if TYPE_CHECKING:
    from mp2.cli.screen import Shown
    from mp2.groups.result import SearchResult
    from mp2.pipeline import PipelineRun, RunControl
    from mp2.storage.request import Request

Found: TypeAlias = "SearchResult | PipelineRun"
N_IDEAS = 10
"""Ideas that `--groups` shows of each size."""


@contextmanager
def followed(how: RunOptions, stop: threading.Event) -> Iterator[RunControl]:
    """The control of a run whose progress is shown until the block ends."""
    screen = start_logging()
    live = not how.no_progress and not current_session().quiet
    with SearchDisplay(screen, heartbeat_s=how.heartbeat, live=live) as display:
        display.step("starting")
        # While these are loaded something moves.
        from mp2.pipeline import RunControl
        from mp2.storage.recorder import Storing

        storing = Storing(
            db=None if how.no_store else how.db,
            every_s=how.checkpoint,
            on_begin=lambda run_id: note_kept(
                f"mp2 {db_words(how.db)}resume {run_id} goes on with what had been stored"
            ),
        )
        yield RunControl(
            storing=storing,
            stop=stop,
            observe=display.update,
            observe_signals=display.update_signals,
            observe_step=display.step,
        )


def present_found(
    found: Found,
    how: ViewOptions,
    request: Request | None = None,
) -> ExitCode:
    """Log the totals, print the result, and return the exit code.

    `request`: what was asked for; None where the database has it.
    """
    result = result_of(found)
    log_algo_totals(result.starters)
    print_found(found, how, request)
    if result.store_error:
        return ExitCode.FAILED
    if not any(result.kept.values()):
        return ExitCode.NOTHING_FOUND
    return ExitCode.OK


def print_found(
    found: Found,
    how: ViewOptions,
    request: Request | None = None,
    days: Sequence[PickedDay] = (),
) -> None:
    """Print a result, and the picks made of it, as one JSON document or as a screen.

    `days` are those picked so far.
    """
    result = result_of(found)
    content = result.to_dict(how.json_groups)
    parts: list[Any] = []
    if result.store_error:
        # On stderr as well as in the document: it says where the whole result is.
        say(f"mp2: {result.store_error}", err=True)
    run = _run_of(found)
    if run is not None:
        picks = run.next_day
        content["next_day"] = picks.to_dict()
        # Both may warn of the same bars.
        new_warnings = [line for line in picks.warnings if line not in result.warnings]
        content["warnings"] += new_warnings
        if run.market is not None:
            from mp2.demo.market import sentence
            from mp2.picks.outcome import score

            outcome = score(picks, run.market.later)
            verdict = sentence(result, run.market)
            content["outcome"] = outcome.to_dict()
            content["demo"] = verdict
            parts += [outcome_view(outcome), verdict]
    if days:
        content["days_picked"] = list(map(picked_day, days))
        parts.append(days_view(days))
    if current_session().as_json:
        present(content)
    else:
        present_screen(shown_of(found, how, request, content["warnings"]), how, content, parts)


def shown_of(
    found: Found,
    how: ViewOptions,
    request: Request | None,
    warnings: Sequence[str],
) -> Shown:
    """Return what the screen of a result shows, with what the database knows beside it."""
    from mp2.cli.beside import beside
    from mp2.cli.screen import Shown

    result = result_of(found)
    picks = None
    prices = None
    run = _run_of(found)
    if run is not None:
        picks = run.next_day
        prices = run.prices
    known = beside(how.db, result, picks)
    request = request or known.request
    return Shown(
        source=request.name if request else "in memory",
        result=result,
        picks=picks,
        prices=prices,
        request=request,
        # Those that were shown before are not counted again.
        warnings=[line for line in warnings if line not in current_session().said],
        beside=known,
        db=how.db,
    )


def present_screen(
    shown: Shown,
    how: ViewOptions,
    content: Document,
    parts: Sequence[Any] = (),
) -> None:
    """Print the screen, the groups and statistics that were asked for, and further `parts`.

    A quiet command prints one line instead.
    """
    from mp2.cli.screen import screen, short_line
    from mp2.cli.search_view import groups_view, statistics_view

    session = current_session()
    if session.quiet or not session.verbose:
        # The screen counts them.
        session.said.update(content["warnings"])
    if session.quiet:
        present(content, short_line(shown))
        return
    more: list[Any] = []
    if how.groups:
        more.append(groups_view(shown.result, n_show=N_IDEAS if how.show is None else how.show))
    if session.verbose:
        more.append(statistics_view(shown.result))
    present(content, *screen(shown, how.show), *more, *parts)


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
    from mp2.groups.result import SearchResult

    return found if isinstance(found, SearchResult) else found.result


def _run_of(found: Found) -> PipelineRun | None:
    """The run with its picks; None for a search alone."""
    from mp2.pipeline import PipelineRun

    return found if isinstance(found, PipelineRun) else None
