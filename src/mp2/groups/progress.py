"""The progress bar of a call with `progress=True`, by rich, on a terminal or in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, Self

from mp2._intervals import DISPLAY_S
from mp2._recurse import now_ns

if TYPE_CHECKING:
    from mp2.groups.search import SearchProgress

P = ParamSpec("P")


class ProgressBar:
    """One bar, for one thing after another; use as a context manager.

    Nothing is shown unless `shown`, nor where standard error is neither a terminal nor a notebook.
    """

    def __init__(self, *, shown: bool) -> None:
        self._screen: _Screen | None = None
        self._drawn: tuple[str, int] = ("", 0)
        if shown:
            self._screen = _open_screen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._screen is not None:
            self._screen.close()

    def beside(
        self,
        own: Callable[P, None],
        observe: Callable[P, None] | None,
    ) -> Callable[P, None] | None:
        """Return an observer that calls `own`, a method of this bar, and that of the caller."""
        if self._screen is None:
            return observe

        def call(*args: P.args, **kwargs: P.kwargs) -> None:
            own(*args, **kwargs)
            if observe is not None:
                observe(*args, **kwargs)

        return call

    def signals(
        self,
        done: int,
        total: int,
    ) -> None:
        """Show how many parts of the signals are computed."""
        self._show("signals", done, total)

    def weeks(
        self,
        done: int,
        total: int,
    ) -> None:
        """Show how many weeks of a walk-forward are done."""
        self._show("weeks", done, total)

    def search(self, progress: SearchProgress) -> None:
        """Show how many starters are exhausted, the time left and the best scores."""
        pool = progress.pool
        left_s = max(0, pool.wall_ns - pool.elapsed_ns) / 1e9
        scores = [f"{score:.1f}" for score in progress.best_score.values() if score is not None]
        note = f"{left_s:.0f} s left"
        if scores:
            note += f", best {', '.join(scores)}"
        self._show("starters", pool.n_exhausted, progress.n_starters, note)

    def _show(
        self,
        what: str,
        done: int,
        total: int,
        note: str = "",
    ) -> None:
        if self._screen is None:
            return
        before, due_ns = self._drawn
        if what == before and done < total and now_ns() < due_ns:
            return
        self._drawn = (what, now_ns() + round(DISPLAY_S * 1e9))
        try:
            self._screen.show(what, done, total, note)
        except OSError:
            # A terminal that has gone away ends the bar, not the call.
            self._screen = None


class _Screen:
    """A bar on a terminal, removed when closed."""

    def __init__(self, console: Any) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        # Without a thread that refreshes it: that would compete with the kernels.
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("", note="")

    def show(self, what: str, done: int, total: int, note: str) -> None:
        self._progress.update(self._task, description=what, completed=done, total=total, note=note)
        self._refresh()

    def close(self) -> None:
        self._progress.stop()

    def _refresh(self) -> None:
        # Starting again does nothing.
        self._progress.start()
        self._progress.refresh()


class _NotebookScreen(_Screen):
    """A bar that stays as the output of its cell.

    One output that is replaced needs no widgets, and leaves one bar in the saved notebook.
    """

    _output: Any = None

    def close(self) -> None:
        """Leave the last bar."""

    def _refresh(self) -> None:
        # Only notebooks have it; types are checked with and without it.
        display = import_module("IPython.display").display
        bar = self._progress.make_tasks_table(self._progress.tasks)
        if self._output is None:
            self._output = display(bar, display_id=True)
        else:
            self._output.update(bar)


def _open_screen() -> _Screen | None:
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_jupyter:
        return _NotebookScreen(console)
    if console.is_terminal:
        return _Screen(console)
    return None
