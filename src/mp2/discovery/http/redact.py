"""Secrets blotted out of texts and replies, in whatever form a source repeats them.

Each character of a secret is looked for as it is and as percent, JSON and HTML encodings write it, in either case of their
digits and also encoded twice; so forms that encode only some of the characters, such as an address as somebody has typed it,
need no list of their own. The base64 of a secret is looked for in the same way.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from functools import lru_cache
from html.entities import codepoint2name

SHORTEST = 4
"""Shorter values would blot out half the log, and protect nothing."""

SHORTEST_IN_REPLIES = 8
"""Shorter values stay in a reply that is yet to be read: they may be the name of one of its fields. In texts they go."""

MASK = "***"


class Secrets:
    """Values that must not be seen. They can be added at any time, by any thread; those too short are not."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._wholes: dict[str, None] = {}
        for value in values:
            self.add(value)

    def __contains__(self, value: str) -> bool:
        return value in self._wholes

    def add(self, value: str) -> None:
        """Blot it out from now on."""
        if len(value) >= SHORTEST and value not in self._wholes:
            raw = _encoded(value)
            coded = (encode(raw).decode().rstrip("=") for encode in (b64encode, urlsafe_b64encode))
            self._wholes.update(dict.fromkeys((value, *coded)))

    def mask(self, text: str) -> str:
        """The text with `***` in their place."""
        return self._masked(text, SHORTEST)

    def mask_reply(self, body: bytes) -> bytes:
        """The body with `***` in place of those of at least `SHORTEST_IN_REPLIES` characters, in any common charset.

        UTF-16 and UTF-32 are told by the first bytes; where one is found in them, what is no text is replaced, too.
        """
        charset = json.detect_encoding(body)
        if charset.startswith("utf-8"):  # or another in which letters are as in ASCII
            for whole in self._longest_first(SHORTEST_IN_REPLIES):
                body = _in_body(whole).sub(MASK.encode(), body)
            return body
        text = body.decode(charset, "replace")
        masked = self._masked(text, SHORTEST_IN_REPLIES)
        return body if masked == text else masked.encode(charset, "replace")

    def _masked(self, text: str, shortest: int) -> str:
        for whole in self._longest_first(shortest):
            text = _in_text(whole).sub(MASK, text)
        return text

    def are_in(self, text: str) -> bool:
        """Whether the text holds one."""
        return any(_in_text(whole).search(text) for whole in self._longest_first())

    def _longest_first(self, shortest: int = SHORTEST) -> list[str]:
        """A part never uncovers the whole."""
        wholes = (whole for whole in list(self._wholes) if len(whole) >= shortest)
        return sorted(wholes, key=lambda whole: (-len(whole), whole))


@lru_cache(maxsize=1024)
def _in_text(whole: str) -> re.Pattern[str]:
    return re.compile("".join(map(_character, whole)))


@lru_cache(maxsize=1024)
def _in_body(whole: str) -> re.Pattern[bytes]:
    return re.compile(_encoded("".join(map(_character, whole))))


_PERCENT, _AMPERSAND, _BACKSLASH = "%(?:25){0,3}", "&(?:amp;){0,3}", r"\\{1,4}"


def _character(char: str) -> str:
    """A pattern for a character in all its forms; letters and digits are encoded by nobody."""
    if char.isascii() and char.isalnum():
        return char
    number, escaped = ord(char), json.dumps(char)[1:-1]
    forms = [re.escape(char), "".join(f"{_PERCENT}(?i:{byte:02x})" for byte in _encoded(char))]
    forms.append(f"{_AMPERSAND}#(?:0{{0,6}}{number}|[xX]0{{0,6}}(?i:{number:x}));")
    if number in codepoint2name or char == "'":
        forms.append(f"{_AMPERSAND}{codepoint2name.get(number, 'apos')};")
    unicode = escaped if escaped.startswith("\\u") else f"\\u{number:04x}"
    forms.append("".join(f"{_BACKSLASH}u(?i:{unit})" for unit in unicode.split("\\u")[1:]))
    if char in "\"'/":
        forms.append(_BACKSLASH + re.escape(char))
    elif escaped != char and not escaped.startswith("\\u"):
        forms.append(re.escape(escaped))
    if char == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"


def _encoded(text: str) -> bytes:
    """In UTF-8; halves of characters, which variables of the environment may hold, as the encoding would write them."""
    return text.encode("utf-8", "surrogatepass")
