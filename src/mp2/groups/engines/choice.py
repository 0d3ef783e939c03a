"""Who runs the turns of a search: threads, or the engine that `executor=` means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any, cast

from mp2._checks import is_number
from mp2.data.panel import SignalPanel
from mp2.errors import InputError
from mp2.groups.engines.engine import Engine
from mp2.groups.engines.futures import ExecutorEngine
from mp2.groups.engines.remote import LeasedTurns
from mp2.groups.settings import MAX_WORKERS, SearchSettings
from mp2.groups.turns import LocalTurns, Turns

# What executors call their size: the standard library and loky, mpi4py.
_SIZES = ("_max_workers", "num_workers")


@contextmanager
def turns_of(
    panel: SignalPanel,
    settings: SearchSettings,
    is_over: Callable[[], bool],
    executor: Any = None,
    slots: int | None = None,
) -> Iterator[Turns]:
    """Yield what runs the turns of a search, here without an executor; it ends with the block."""
    turns: Turns
    if executor is None:
        turns = LocalTurns(panel, settings)
    else:
        turns = LeasedTurns(engine_of(executor, slots), panel, settings, is_over)
    try:
        yield turns
    finally:
        turns.end()


def engine_of(executor: Any, slots: int | None = None) -> Engine:
    """Make the engine of an executor; `slots` leases run at once, by default as many as it has.

    An object that is an engine already is returned. Raises `InputError` for other objects.
    """
    check_slots(slots)
    # Of the methods of an engine, one that no executor has.
    if hasattr(executor, "tell_stop"):
        return cast(Engine, executor)
    # By name: without dask nothing is one of its clients.
    if type(executor).__module__.startswith("distributed."):
        # A search in threads does without its imports.
        from mp2.groups.engines.dask import DaskEngine

        return DaskEngine(executor, slots)
    if not hasattr(executor, "submit"):
        raise InputError(
            f"executor: a {type(executor).__name__} is no executor; give one of concurrent.futures"
        )
    sizes = [getattr(executor, name, None) for name in _SIZES]
    n_slots = next((size for size in [slots, *sizes] if size), None)
    # A guess would leave workers idle, or have orders wait for one another.
    if n_slots is None:
        raise InputError(
            f"slots: a {type(executor).__name__} does not say how many calls run at once; give "
            "slots=N"
        )
    return ExecutorEngine(executor, min(n_slots, MAX_WORKERS))


def check_slots(slots: int | None) -> None:
    """Raise `InputError` for a number of slots that cannot be used."""
    if slots is None:
        return
    if not is_number(slots, Integral) or not 1 <= slots <= MAX_WORKERS:
        raise InputError(f"slots: {slots!r} is not a whole number between 1 and {MAX_WORKERS}")
