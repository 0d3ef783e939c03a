"""Companies whose filings say certain words: the full-text search of SEC EDGAR.

A candidate says that the company filed, in the last `days` days, at least one document of the wanted `forms` that matches
`query`. The search gives a filing's date without its hour, and EDGAR accepts filings until 22:00 in New York; so a filing
counts from the day after: those of `today` itself are left out.

Data: `company`, `n_filings`, `last_filed`, `usable_from` (next weekday after the last filing) and `filings` (`adsh`, `form`,
`filed`, `items`, `url`), newest first, at most 20. Priority: high for two or more different filings, else medium. Most
promising first: newest filing, then number of filings.

One hit is one document, so hits are gathered by filing (`adsh`). The ticker is that of the first filer who has one: by the
display name (`Apple Inc.  (AAPL)  (CIK 0000320193)`), else by the SEC's list of companies, which is asked for only when
needed; when it cannot be had, such filings are left out.

The SEC answers nobody who does not say whom to write to: `user_agent`, or the environment variable SEC_USER_AGENT, is
"Company Name contact@domain". It allows 10 requests a second in all, shared out here among its two hosts.

Source of truth: www.sec.gov/os/accessing-edgar-data, efts.sec.gov/LATEST/search-index.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, TypedDict

from pydantic import Field, StringConstraints

from mp2.discovery.candidates import canonical_ticker, one_line
from mp2.discovery.records import Candidate, counted
from mp2.discovery.scanner import Reply, ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources import _fields as fields
from mp2.discovery.sources._options import BaseAddress, WebAddress, Words
from mp2.errors import SourceError

TTL_S = 900.0
COMPANIES_TTL_S = 24 * 3600.0
PAGE = 100
"""Hits of one answer."""

MAX_FILINGS = 20
"""In a candidate's data."""

USER_AGENT = "SEC_USER_AGENT"

_COMPANIES = "the list of companies"
_CONTACT = r"[ -~]*[!-?A-~]@[!-?A-~]+\.[!-?A-~]+[ -~]*"
_DISPLAY_NAME = re.compile(
    r"(?P<company>.*?)\s*(?:\((?P<tickers>[A-Z0-9][A-Z0-9 .,-]*)\))?\s*\(CIK (?P<cik>\d{1,10})\)\s*",
    re.ASCII,
)
_ADSH = re.compile(r"\d{10}-\d{2}-\d{6}", re.ASCII)
_FILE = re.compile(r"[\w.-]{1,200}", re.ASCII)


class Filing(TypedDict):
    """A filing that matches. `filers`: company, CIK and tickers of each, in the source's order."""

    adsh: str
    form: str
    filed: str
    items: list[str]
    file: str
    filers: list[Filer]


class Filer(TypedDict):
    """Somebody a filing is about or from."""

    company: str
    cik: int
    tickers: list[str]


class Page(TypedDict):
    """An answer: how many hits it had, and the filings they are of."""

    n_hits: int
    filings: list[Filing]


def parse_filings(reply: Reply) -> Page:
    """The filings of a page, each once. Raises `SourceError`."""
    _check_welcome(reply)
    values = fields.table(fields.document(reply, "the answer of EDGAR"), "the answer of EDGAR")
    hits = fields.rows(fields.table(values.get("hits"), "hits").get("hits"), "hits.hits")
    if values.get("timed_out") is True:
        raise SourceError("unavailable", "EDGAR's search ran out of time")
    found = fields.readable(hits, _read_hit, "hits.hits")
    return {
        "n_hits": len(hits),
        "filings": list({one["adsh"]: one for one in reversed(found)}.values())[::-1],
    }


def parse_companies(reply: Reply) -> dict[str, str]:
    """Tickers by CIK (digits without zeros before them), the first of each company. Raises `SourceError`."""
    _check_welcome(reply)

    def read(row: dict[str, Any]) -> tuple[str, str] | None:
        cik, ticker = row.get("cik_str"), canonical_ticker(row.get("ticker"))
        return (str(cik), ticker) if isinstance(cik, int) and ticker else None

    values = fields.table(fields.document(reply, _COMPANIES), _COMPANIES)
    return dict(reversed(fields.readable(values.values(), read, _COMPANIES)))


def _check_welcome(reply: Reply) -> None:
    if reply.status == 403 and b"Request Rate Threshold" in reply.body:
        raise SourceError(
            "rate_limited", "the SEC limits this address for ten minutes", retry_after_s=600.0
        )
    if reply.status == 403:
        how = f"it has to be 'Company Name contact@domain' ({USER_AGENT})"
        raise SourceError("forbidden", f"the SEC refuses the user agent; {how}")


def _read_hit(hit: dict[str, Any]) -> Filing | None:
    source = hit.get("_source")
    if not isinstance(source, dict):
        return None
    adsh, filed = source.get("adsh"), fields.day(source.get("file_date"))
    if not isinstance(adsh, str) or not _ADSH.fullmatch(adsh) or filed is None:
        return None
    names, items = source.get("display_names"), source.get("items")
    return {
        "adsh": adsh,
        "form": fields.line(source.get("form"), 20),
        "filed": filed,
        "items": [fields.line(item, 10) for item in items][:20] if isinstance(items, list) else [],
        "file": fields.line(hit.get("_id"), 300).partition(":")[2],
        "filers": [
            filer for name in (names if isinstance(names, list) else []) if (filer := _filer(name))
        ],
    }


def _filer(name: Any) -> Filer | None:
    match = _DISPLAY_NAME.fullmatch(name[:300]) if isinstance(name, str) else None
    if match is None:
        return None
    written = (match["tickers"] or "").split(",")
    tickers = [ticker for ticker in map(canonical_ticker, written) if ticker is not None]
    return {
        "company": one_line(match["company"], 100),
        "cik": int(match["cik"]),
        "tickers": tickers,
    }


class Filings(Scanner):
    """Companies whose filings match a search."""

    name = "filings"
    pipeline = "filings"
    summary = "companies whose SEC filings say certain words (EDGAR full-text search)"
    rates = {"efts.sec.gov": ("5/s",), "www.sec.gov": ("5/s",)}  # noqa: RUF012 - never changed

    class Settings(ScannerSettings):
        """What to search for, and who asks.

        `query`: words, and phrases in quotes. `forms`: empty: all. `days`: how far back. `max_pages`: of 100 documents each.
        `user_agent`: "Company Name contact@domain"; None: that of the environment. `base_url`: of the search; `tickers_url`:
        the list of companies.
        """

        query: Words = '"share repurchase program"'
        forms: tuple[Words, ...] = ("8-K",)
        days: int = Field(default=3, ge=1, le=90, strict=True)
        max_pages: int = Field(default=2, ge=1, le=10, strict=True)
        user_agent: (
            Annotated[str, StringConstraints(strip_whitespace=True, pattern=f"^{_CONTACT}$")] | None
        ) = None
        base_url: BaseAddress = "https://efts.sec.gov/LATEST"
        tickers_url: WebAddress = "https://www.sec.gov/files/company_tickers.json"

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Search page by page, then gather by ticker."""
        headers = {"User-Agent": self._user_agent(context)}
        filings = [
            one for one in self._found(context, headers) if one["filed"] < context.today.isoformat()
        ]
        by_ticker = _by_ticker(filings, self._tickers(context, headers, filings))
        ranked = sorted(by_ticker.items(), key=lambda one: one[0])
        ranked.sort(key=lambda one: (one[1][0]["filed"], len(one[1])), reverse=True)
        for ticker, found in ranked:
            yield self._candidate(context, ticker, found)

    def _user_agent(self, context: ScanContext) -> str:
        agent = self.settings.user_agent or context.key(USER_AGENT)
        if not re.fullmatch(_CONTACT, agent):
            raise SourceError(
                "bad_request", f"{USER_AGENT} has to be 'Company Name contact@domain'"
            )
        return str(agent)

    def _found(self, context: ScanContext, headers: dict[str, str]) -> Iterator[Filing]:
        seen: set[str] = set()
        for page_idx in range(self.settings.max_pages):
            page = self._page(context, headers, page_idx * PAGE)
            for filing in page["filings"]:
                if filing["adsh"] not in seen:
                    seen.add(filing["adsh"])
                    yield filing
            if page["n_hits"] < PAGE:
                return

    def _page(self, context: ScanContext, headers: dict[str, str], n_before: int) -> Page:
        day = datetime.timedelta(days=1)
        params = {
            "q": self.settings.query,
            "dateRange": "custom",
            "startdt": (context.today - self.settings.days * day).isoformat(),
            "enddt": (context.today - day).isoformat(),
            "from": str(n_before),
        }
        if self.settings.forms:
            params["forms"] = ",".join(self.settings.forms)
        url = f"{self.settings.base_url}/search-index"
        return context.http.get(
            url, parse=parse_filings, params=params, headers=headers, ttl_s=TTL_S
        )

    def _tickers(
        self, context: ScanContext, headers: dict[str, str], filings: list[Filing]
    ) -> dict[str, str]:
        """The SEC's list when a filing names no ticker, and it can be had."""
        if all(any(filer["tickers"] for filer in one["filers"]) for one in filings):
            return {}
        try:
            url = self.settings.tickers_url
            return context.http.get(
                url, parse=parse_companies, headers=headers, ttl_s=COMPANIES_TTL_S
            )
        except SourceError as error:
            context.check()
            context.logger.warning("filings that name no ticker are left out: %s", error)
            return {}

    def _candidate(self, context: ScanContext, ticker: str, found: list[Filing]) -> Candidate:
        newest = found[0]
        last_filed = datetime.date.fromisoformat(newest["filed"])
        others = f" and {counted(len(found) - 1, 'other filing')}" if len(found) > 1 else ""
        company = newest["filers"][0]["company"]
        data = {
            "company": company,
            "n_filings": len(found),
            "last_filed": newest["filed"],
            "usable_from": fields.next_weekday(last_filed).isoformat(),
            "filings": [_shown(one) for one in found[:MAX_FILINGS]],
        }
        line = (
            f"{company}: {newest['form']} of {newest['filed']}{others} with {self.settings.query}"
        )
        return context.candidate(ticker, line, "high" if len(found) > 1 else "medium", data)


def _by_ticker(filings: Iterable[Filing], listed: dict[str, str]) -> dict[str, list[Filing]]:
    """Filings by ticker, newest first, without those of companies that have none."""
    found: dict[str, list[Filing]] = {}
    for filing in sorted(filings, key=lambda one: (one["filed"], one["adsh"]), reverse=True):
        named = [ticker for filer in filing["filers"] for ticker in filer["tickers"]]
        named += [
            listed[str(filer["cik"])] for filer in filing["filers"] if str(filer["cik"]) in listed
        ]
        if named:
            found.setdefault(named[0], []).append(filing)
    return found


def _shown(filing: Filing) -> dict[str, Any]:
    file = filing["file"] if _FILE.fullmatch(filing["file"]) else ""
    folder = f"{filing['filers'][0]['cik']}/{filing['adsh'].replace('-', '')}"
    url = f"https://www.sec.gov/Archives/edgar/data/{folder}/{file}"
    return {
        "adsh": filing["adsh"],
        "form": filing["form"],
        "filed": filing["filed"],
        "items": filing["items"],
        "url": url,
    }
