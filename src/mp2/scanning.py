"""`mp2.scan`: run scanners, and store the scan in a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mp2._document import Document, Fields
from mp2._durations import Duration, seconds
from mp2.discovery import runner
from mp2.discovery.registry import find_scanners, registered, select
from mp2.storage.inputs import PathText
from mp2.storage.recorder import WriterThread
from mp2.storage.runs import Store
from mp2.storage.scan_recorder import ScanRecorder

if TYPE_CHECKING:
    from mp2.data.tables import Stop
    from mp2.discovery.breaker import Breakers
    from mp2.discovery.records import ScanEvent, ScanResult
    from mp2.discovery.registry import Registered
    from mp2.discovery.scanner import ClientFactory, Scanner


def scan(
    scanners: Iterable[type[Scanner] | Registered] | None = None,
    *,
    store: PathText | None = None,
    config: Fields | None = None,
    state: Document | None = None,
    workers: int | None = None,
    timeout_s: Duration | None = None,
    concurrent: bool | None = None,
    only: Sequence[str] = (),
    http: ClientFactory | None = None,
    http_options: Fields | None = None,
    breakers: Breakers | None = None,
    stop: Stop = None,
    observe: Callable[[ScanEvent], None] | None = None,
    observe_every_s: Duration | None = None,
    on_begin: Callable[[str], None] | None = None,
    today: date | str | None = None,
    scan_id: str | None = None,
) -> ScanResult:
    """Run scanners and merge their candidates; with `store`, store the scan in that database too.

    The other settings, and the errors raised, are those of `mp2.discovery.runner.scan`. With
    `store` every outcome is stored before `observe` gets it, the breakers are those of the
    database, and `on_begin` is called with the scan's id there. A store that cannot be opened
    raises `StoreError`; one that fails later ends the storing, and `store_error` of the result
    gives the reason.
    """
    known = find_scanners() if scanners is None else registered(scanners)
    day = runner.scan_day(today)
    every_s = None
    if observe_every_s is not None:
        every_s = seconds("observe_every_s", observe_every_s)
    run_scanners = partial(
        runner.scan,
        known,
        config=config,
        state=state,
        workers=workers,
        timeout_s=None if timeout_s is None else seconds("timeout_s", timeout_s),
        concurrent=concurrent,
        only=only,
        http=http,
        http_options=http_options,
        stop=stop,
        observe_every_s=every_s,
        today=day,
        scan_id=scan_id,
    )
    if store is None:
        return run_scanners(breakers=breakers, observe=observe)

    names = [one.name for one in select(known, only)]
    with WriterThread(lambda: Store(Path(store))) as writer:
        recorder = ScanRecorder(
            writer, names=names, day=day, config=config or {}, observer=observe, on_begin=on_begin
        )
        try:
            result = run_scanners(
                breakers=breakers or recorder.breakers(), observe=recorder.observe
            )
        except Exception:
            recorder.abandon()
            raise
        return recorder.finish(result)
