"""The HTTP client of a scan that was given none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mp2._document import Fields
from mp2.errors import SourceError

if TYPE_CHECKING:
    from mp2.discovery.http.client import Client, Http, ScannerRun


class LazyClient:
    """A `Client`, made when a scanner first needs it.

    `options` are its arguments; `warn` gets its warnings.
    """

    def __init__(
        self,
        options: Fields,
        warn: Callable[[str], object],
    ) -> None:
        self._options = {"warn": warn, **options}
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._is_closed = False

    def for_scanner(self, run: ScannerRun) -> Http:
        """Return a scanner's client.

        Raises `MissingExtraError` when the packages it needs are not installed.
        """
        with self._lock:
            if self._is_closed:
                raise SourceError("timeout", "cancelled")
            if self._client is None:
                # Here, because the packages take time to load and may be missing.
                from mp2.discovery.http.client import Client

                self._client = Client(**self._options)
        return self._client.for_scanner(run)

    def close(self) -> None:
        """Close the client, if there is one; no scanner gets one any more."""
        with self._lock:
            self._is_closed = True
            if self._client is not None:
                self._client.close()
