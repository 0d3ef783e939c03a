"""Storing a walk-forward while it runs, week by week."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mp2._document import Texts
from mp2.data.arrays import fingerprint
from mp2.errors import Mp2Error, StoreError
from mp2.picks.walkforward import WalkRecorder
from mp2.picks.weeks import WalkForward, Week
from mp2.signals.sheet import SignalSheet
from mp2.storage.request import WalkRequest
from mp2.storage.runs import Store

_log = logging.getLogger("mp2.storage.walks")


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkStoring:
    """Where and how a walk-forward is stored.

    `db`: the database, None for no storing. `walk_id`: the stored one to resume; None begins one.
    `on_begin(walk_id)` is called once it is in the store.
    """

    db: Path | None = None
    walk_id: str | None = None
    on_begin: Callable[[str], None] | None = None


class StoredWalk(WalkRecorder):
    """Stores each week when it is finished. A week that could not be stored comes with the next."""

    def __init__(
        self,
        store: Store,
        request: WalkRequest,
        storing: WalkStoring,
    ) -> None:
        self._store = store
        self._request = request
        self._storing = storing
        self._walk_id: str | None = None
        self._warned = False

    def begin(self, sheet: SignalSheet, sectors: Texts | None) -> Sequence[Week]:
        """Begin a walk in the store, or resume one; raises what the store raises."""
        # Everything that the weeks follow from, beside the settings.
        keys = [" ".join(key) for key in sheet.keys]
        sector_of = json.dumps(sorted((sectors or {}).items()))
        names = (sheet.days, sheet.tickers, keys, (sector_of,))
        walked = fingerprint(names, (sheet.buys, sheet.entry, sheet.exit))
        weeks: Sequence[Week] = ()
        if self._storing.walk_id is None:
            # A longer file must not move the weeks when the walk is resumed.
            signals = self._request.run.signals.model_copy(update={"end": sheet.days[-1]})
            run = self._request.run.model_copy(update={"signals": signals})
            request = self._request.model_copy(update={"run": run})
            self._walk_id = self._store.begin_walk(request, input_fingerprint=walked)
        else:
            weeks = self._store.resume_walk(
                self._storing.walk_id, self._request, input_fingerprint=walked
            )
            self._walk_id = self._storing.walk_id
        if self._storing.on_begin is not None:
            self._storing.on_begin(self._walk_id)
        return weeks

    def keep(self, walk: WalkForward) -> None:
        """Store the week that was finished; a failure is reported once."""
        try:
            self._store.save_walk(str(self._walk_id), walk)
        except StoreError as error:
            if not self._warned:
                _log.warning("the week could not be stored; retrying: %s", error)
            self._warned = True

    def finish(self, walk: WalkForward) -> WalkForward:
        """Store how the walk ended. When the store fails, `store_error` of the walk says why."""
        walk_id = str(self._walk_id)
        try:
            self._store.save_walk(walk_id, walk, walk.status)
        except StoreError as error:
            return replace(walk, store_error=str(error))
        return replace(walk, walk_id=walk_id)

    def end_after_error(self) -> None:
        """Mark the walk as failed; its weeks stay."""
        if self._walk_id is not None:
            # The error that ended the walk is the one to report.
            with suppress(Mp2Error):
                self._store.abandon_walk(self._walk_id)


@contextmanager
def recording_walk(request: WalkRequest, storing: WalkStoring) -> Iterator[WalkRecorder]:
    """Record a walk-forward as `storing` says; a block that raises leaves one to be resumed."""
    if storing.db is None:
        yield WalkRecorder()
        return
    with Store(storing.db) as store:
        recorder = StoredWalk(store, request, storing)
        try:
            yield recorder
        except BaseException:
            recorder.end_after_error()
            raise
