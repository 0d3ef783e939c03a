"""What a scanner is: its class, its settings, and the responses it parses.

A scanner looks at one source and yields candidates. It declares itself on its class and gets
everything else through the context of its run.

    class Gappers(mp2.Scanner):
        name = "gappers"
        pipeline = "momentum"
        summary = "stocks that opened far above the last close"

        class Settings(mp2.ScannerSettings):
            min_gap_pp: float = 5.0

        def scan(self, context):
            for row in context.http.get(URL, parse=rows_of):
                if row["gap_pp"] >= self.settings.min_gap_pp:
                    yield context.candidate(row["ticker"], f"opened {row['gap_pp']:.1f}% higher")
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    NoReturn,
)

from pydantic import BaseModel, ConfigDict, Field

from mp2.discovery.records import Candidate
from mp2.errors import SourceError

if TYPE_CHECKING:
    from mp2.discovery.context import ScanContext


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response of any status.

    Header names are in lower case, the body is whole and decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

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


class ScannerSettings(BaseModel):
    """Settings every scanner has; a scanner's own class adds its own. Unknown names are errors.

    `limit`: candidates that count, in the order yielded. `timeout_seconds`: from the scanner's
    start; None: the run's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    enabled: bool = Field(default=True, strict=True, description="whether it runs")
    limit: int = Field(
        default=10,
        ge=1,
        strict=True,
        description="candidates that count, in the order named",
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        strict=True,
        description="time from its start; none: that of [discovery.scanner_execution]",
    )


class Scanner:
    """One source.

    A subclass declares itself and implements `scan`; every run makes a new object, in its own
    thread.

    - `name`: unique. `pipeline`: the group it reports under. `summary`: one line of what it looks
      for.
    - `Settings`: the class of its settings, validated before any scanner runs.
    - `isolation`: "process" runs it in a new interpreter that is killed at its timeout; its class
      has to be importable.
    - `keys`: environment variables it needs; it is skipped where one is missing.
    - `offline`: it needs no network.
    - `rates`: most requests per host, "1/s" or "25/day", shared by all scanners of the run.
    """

    name: ClassVar[str] = ""
    pipeline: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    Settings: ClassVar[type[ScannerSettings]] = ScannerSettings
    isolation: ClassVar[Literal["thread", "process"]] = "thread"
    keys: ClassVar[tuple[str, ...]] = ()
    offline: ClassVar[bool] = False
    # Read-only, because subclasses share it.
    rates: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def scan(self, context: ScanContext) -> Iterable[Candidate | Mapping[str, Any]]:
        """Return the candidates, most promising first.

        A generator is not resumed once `limit` are valid.

        A mapping has the keys of `context.candidate`. Raises `SourceError` when the source failed;
        any other exception is reported with its traceback. Both discard what was yielded before.
        """
        raise NotImplementedError


def class_path(scanner: type[Scanner]) -> str:
    """Return `module:Class`."""
    return f"{scanner.__module__}:{scanner.__qualname__}"
