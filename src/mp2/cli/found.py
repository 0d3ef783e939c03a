"""A searching command from its control to its exit code: progress, then the result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mp2.cli.logs import observed, start_logging
from mp2.cli.pick_view import outcome_view, picks_view
from mp2.cli.progress import SearchDisplay, log_algo_totals
from mp2.cli.search import RunOptions, ViewOptions
from mp2.cli.search_view import result_view
from mp2.cli.session import note_kept
from mp2.cli.views import present, say
from mp2.demo.market import sentence
from mp2.errors import ExitCode
from mp2.groups.result import SearchResult
from mp2.picks.outcome import score
from mp2.pipeline import PipelineRun, RunControl
from mp2.storage.recorder import Storing

if TYPE_CHECKING:
    from mp2.groups.search import SearchProgress

Found = SearchResult | PipelineRun


@contextmanager
def followed(how: RunOptions, stop: threading.Event) -> Iterator[RunControl]:
    """The control of a run whose progress is shown until the block ends."""
    screen = start_logging()
    with ExitStack() as displays:
        progress = _Progress(screen, how, displays)
        storing = Storing(
            db=None if how.no_store else how.db,
            every_s=how.checkpoint,
            on_begin=_note_run,
        )
        yield RunControl(
            storing=storing,
            stop=stop,
            observe=progress.search,
            observe_signals=progress.signals,
        )


def _note_run(run_id: str) -> None:
    note_kept(f"mp2 resume {run_id} goes on with what had been stored")


class _Progress:
    """Shows one display at a time: the bar of the signals, then the state of the search."""

    # rich draws one live display on a console; a second one would fail.

    def __init__(self, screen: Any, how: RunOptions, displays: ExitStack) -> None:
        self._screen = screen
        self._live = not how.no_progress
        self._displays = displays
        self._bar: Callable[[int, int], None] | None = None
        self._search = SearchDisplay(screen, heartbeat_s=how.heartbeat, live=self._live)
        self._is_searching = False

    def signals(self, done: int, total: int) -> None:
        if self._bar is None:
            bar = observed(self._screen, "signals", live=self._live)
            self._bar = self._displays.enter_context(bar)
        if self._bar is not None:
            self._bar(done, total)

    def search(self, progress: SearchProgress) -> None:
        if not self._is_searching:
            self._displays.close()
            self._displays.enter_context(self._search)
            self._is_searching = True
        self._search.update(progress)


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


def print_found(found: Found, how: ViewOptions) -> None:
    """Print a result, and the picks made of it, as one JSON document or as tables."""
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
            outcome = score(picks, found.market.later)
            verdict = sentence(result, found.market)
            content["outcome"] = outcome.to_dict()
            content["demo"] = verdict
            parts += [outcome_view(outcome), verdict]
    present(content, *parts)


def result_of(found: Found) -> SearchResult:
    """The search's result itself."""
    return found.result if isinstance(found, PipelineRun) else found
