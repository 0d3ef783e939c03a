"""Secrets replaced in texts and bodies, in the forms in which sources repeat them."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

from mp2._document import Names

SHORTEST = 4
"""Shorter values are not secrets: replacing them would make every log unreadable."""

SHORTEST_IN_BODIES = 8
"""Shorter values stay in a body to be parsed: they may be names of its fields."""

MASK = "***"


class Secrets:
    """Values that must not be seen. Any thread may add one at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: Names = ()

    def __contains__(self, value: str) -> bool:
        return value in self._forms

    def add(self, value: str) -> None:
        """Redact the value from now on, unless it is shorter than `SHORTEST`."""
        if len(value) < SHORTEST or value in self._forms:
            return
        with self._lock:
            forms = {*self._forms, *encodings(value)}
            # Longest first, so that a part never uncovers the whole. Replaced as a whole, because
            # other threads may be reading.
            self._forms = tuple(sorted(forms, key=len, reverse=True))

    def are_in(self, text: str) -> bool:
        """Return whether the text holds a secret."""
        return any(form in text for form in self._forms)

    def redact(self, text: str) -> str:
        """Return the text with `***` in place of every secret."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def redact_body(self, body: bytes) -> bytes:
        """Return the body with `***` in place of every secret.

        Those of less than `SHORTEST_IN_BODIES` characters stay.
        """
        for form in self._forms:
            if len(form) >= SHORTEST_IN_BODIES:
                body = body.replace(form.encode("utf-8", "surrogatepass"), MASK.encode())
        return body


def encodings(value: str) -> list[str]:
    """Return the value itself and its percent, JSON and base64 encodings."""
    # Variables of the environment may hold halves of characters, hence `surrogatepass`.
    raw = value.encode("utf-8", "surrogatepass")
    in_json = json.dumps(value)[1:-1]
    percent = [quote(raw, safe=""), quote(raw), quote_plus(raw)]
    lower_case = [re.sub("%..", lambda digits: digits[0].lower(), form) for form in percent]
    # Without padding, which not every encoder writes.
    base64 = [encode(raw).decode().rstrip("=") for encode in (b64encode, urlsafe_b64encode)]
    return [
        value,
        in_json,
        in_json.replace("/", "\\/"),
        *percent,
        *lower_case,
        *base64,
    ]
