"""A document sent to an address when work is done, by the client of the scanners."""

from __future__ import annotations

from mp2._document import Document
from mp2.discovery.http.reply import Reply
from mp2.discovery.scanner import ScanContext, Scanner, ScannerSettings
from mp2.errors import SourceError

TIMEOUT_S = 30.0
"""For the request and its repetitions together."""


class _Notification(Scanner):
    """Gives a request what the client knows of a scanner: a name, a deadline, secrets."""

    name = "on_done"


def post_document(
    url: str,
    document: Document,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Send the document as JSON in a POST; what may pass is tried again.

    Raises `SourceError`, which names the host alone: the address may be a secret.
    """
    from mp2.discovery.http.client import Client

    client = Client()
    try:
        context = ScanContext(
            _Notification, ScannerSettings(), timeout_s=timeout_s, http=client.for_scanner
        )
        context.hide(url)
        context.http.post(url, parse=_check_accepted, document=document)
    finally:
        client.close()


def _check_accepted(reply: Reply) -> None:
    """Raise `SourceError` for a redirect, which a POST does not follow."""
    if 300 <= reply.status < 400:
        raise SourceError("bad_request", f"redirects (HTTP {reply.status}); name its new address")
