"""A response as a scanner's `parse` sees it."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from mp2._document import Texts
from mp2._overview import Entry, Overview
from mp2.errors import SourceError

ReplyKind = Literal["fresh", "cached", "stale"]
"""Where a response came from: the source, the cache, or a cache entry past its time."""


@dataclass(frozen=True, slots=True, repr=False)
class Reply(Overview):
    """An HTTP response of any status.

    Header names are in lower case, the body is whole and decompressed.
    """

    status: int
    headers: Texts
    body: bytes

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        # Not the body: it may be large, and hold what a source repeats of a key.
        title = f"status {self.status}, {len(self.body):,} bytes"
        return title, [("type", self.headers.get("content-type"))]

    def json(self) -> Any:
        """Return the body as JSON.

        Raises `SourceError("bad_payload")` when it is not, NaN and infinities included.
        """
        try:
            return json.loads(self.body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            # Neither the text nor its error, which holds it: a source may repeat a key.
            raise SourceError(
                "bad_payload",
                f"the response is not JSON ({len(self.body):,} bytes)",
            ) from None

    @property
    def charset(self) -> str | None:
        """The charset of the content type, if it is one of texts."""
        content_type = self.headers.get("content-type", "")
        match = re.search(r"charset=[\"']?([\w.:-]+)", content_type, re.IGNORECASE)
        if match is None:
            return None
        return text_charset(match[1])

    def text(self) -> str:
        """Return the body as text, in the charset of its content type, else UTF-8.

        Bad bytes are replaced.
        """
        return self.body.decode(self.charset or "utf-8", "replace")


def text_charset(name: str) -> str | None:
    """Return Python's name of a charset of texts, None for any other codec.

    Some codecs decode in quadratic time.
    """
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    if _TEXT_CHARSET.fullmatch(known) is None:
        return None
    return known


_TEXT_CHARSET = re.compile(
    r"ascii|utf-(8|16|32)(-[bl]e|-sig)?|iso8859-\d+|cp(125\d|437|8\d\d|9\d\d)|koi8-[rtu]|tis-620"
    r"|mac-\w+|shift_jis\w*|euc_\w+|gb\w+|big5\w*"
)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
