"""A scan that is stored while it runs: an outcome is on the disk before an observer sees it.

Once the scan has begun, the writer thread of the store both stores an outcome and calls the
observer. So however long the database is locked, no scanner's time depends on it. The first
failure of the store ends the storing, not the scan.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from mp2._document import Fields
from mp2.discovery.breaker import Breakers, BreakerState, Change
from mp2.discovery.config import ExecutionSettings
from mp2.discovery.records import ScanEvent, ScanResult
from mp2.errors import StoreError
from mp2.storage.recorder import WriterThread
from mp2.storage.runs import Store


@dataclass(slots=True)
class ScanRecorder:
    """Stores one scan; give `observe` and `breakers()` to `discovery.runner.scan`.

    `names` are the scanners that run, in registration order; `config` is the table `[discovery]`.
    `observer` gets every event, one call at a time, also from the writer thread. `on_begin` is
    called with the scan's id once the scan is in the store.
    """

    writer: WriterThread
    names: Sequence[str]
    day: date
    config: Fields
    observer: Callable[[ScanEvent], None] | None = None
    on_begin: Callable[[str], None] | None = None
    _observer_lock: threading.Lock = field(default_factory=threading.Lock)
    _scan_id: str | None = None
    _error: str | None = None

    def breakers(self) -> Breakers:
        """Return the breakers in the store; once it has failed, every scanner may run."""
        # The table has been checked before the scan.
        rules = ExecutionSettings.model_validate(self.config.get("scanner_execution", {}))
        return Breakers(self._change_breaker, rules=rules)

    def observe(self, event: ScanEvent) -> None:
        """Store what has to be stored of an event, then pass it on."""
        if event.kind == "begun":
            self._in_store(self._begin)
            if self.on_begin is not None and self._scan_id is not None:
                self.on_begin(self._scan_id)
        scan_id = self._scan_id
        if scan_id is None or event.outcome is None:
            self._pass_on(event)
            return

        def store_and_pass_on(store: Store) -> None:
            self._attempt(store, lambda store: store.add_outcome(scan_id, event))
            self._pass_on(event)

        self.writer.post(store_and_pass_on)

    def finish(self, result: ScanResult) -> ScanResult:
        """Store the end; return the result with its id in the store, or with the store's error."""
        scan_id = self._scan_id
        if scan_id is not None:
            result = replace(result, scan_id=scan_id)
            self._in_store(lambda store: store.finish_scan(scan_id, result))
        return replace(result, store_error=self._error)

    def abandon(self) -> None:
        """Mark the scan as failed; what had ended stays."""
        scan_id = self._scan_id
        if scan_id is not None:
            self._in_store(lambda store: store.abandon_scan(scan_id))

    def _begin(self, store: Store) -> None:
        self._scan_id = store.begin_scan(
            scanners=self.names,
            day=self.day.isoformat(),
            config_fingerprint=config_fingerprint(self.config),
        )

    def _pass_on(self, event: ScanEvent) -> None:
        if self.observer is not None:
            with self._observer_lock:
                self.observer(event)

    def _change_breaker(
        self,
        scanner: str,
        change: Change,
    ) -> BreakerState:
        after = [change(BreakerState())]

        def apply(store: Store) -> None:
            after[0] = store.change_breaker(scanner, change)

        if self._scan_id is None:
            self._in_store(apply)
        else:
            # The outcome of a run: nothing waits for the state after it.
            self.writer.post(lambda store: self._attempt(store, apply))
        return after[0]

    def _in_store(self, work: Callable[[Store], object]) -> None:
        self.writer.call(lambda store: self._attempt(store, work))

    def _attempt(
        self,
        store: Store,
        work: Callable[[Store], object],
    ) -> None:
        if self._error is not None:
            return
        try:
            work(store)
        except StoreError as error:
            self._error = str(error)


def config_fingerprint(config: Fields) -> str:
    """Return the sha256, in hex, of a table `[discovery]`: the same for the same table."""
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
