"""Companies whose filings contain certain words: the full-text search of SEC EDGAR.

A candidate says that the company filed, in the last `days` days, at least one document of the
wanted `forms` that matches `query`. The search gives the date of a filing without its hour, and
EDGAR accepts filings until 22:00 in New York; so a filing counts from the next day: those of
`today` are left out.

Data: `company`, `n_filings`, `last_filed`, `usable_from` (next weekday after the last filing) and
`filings` (`adsh`, `form`, `filed`, `items`, `url`), newest first, at most 20. Priority: high for
two or more different filings, else medium. Order: newest filing first, then most filings.

A hit is a document, so hits are grouped by filing (`adsh`). The ticker is that of the first filer
who has one: by the display name (`Apple Inc.  (AAPL)  (CIK 0000320193)`), else by the SEC's list of
companies, which is requested only when needed; without the list such filings are left out.

The SEC requires a user agent "Company Name contact@domain": the setting `user_agent`, or the
environment variable SEC_USER_AGENT. It allows 10 requests a second in all, divided here between
its two hosts.

Source: www.sec.gov/os/accessing-edgar-data.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Annotated, Any, TypedDict

from pydantic import Field, StringConstraints

from mp2.discovery.candidates import canonical_ticker, one_line
from mp2.discovery.context import ScanContext
from mp2.discovery.records import Candidate, counted
from mp2.discovery.scanner import Reply, Scanner, ScannerSettings
from mp2.discovery.sources._fields import Row, read_object, read_rows, usable_from
from mp2.discovery.sources._options import BaseAddress, WebAddress, Words
from mp2.errors import SourceError

TTL_S = 900.0
COMPANIES_TTL_S = 24 * 3600.0
# Hits of one response.
PAGE = 100
# In a candidate's data.
MAX_FILINGS = 20

USER_AGENT = "SEC_USER_AGENT"

_COMPANIES = "the SEC's list of companies"
_CONTACT = r"[ -~]*[!-?A-~]@[!-?A-~]+\.[!-?A-~]+[ -~]*"
_DISPLAY_NAME = re.compile(
    r"(?P<company>.*?)\s*(?:\((?P<tickers>[A-Z0-9][A-Z0-9 .,-]*)\))?\s*\(CIK (?P<cik>\d{1,10})\)\s*",
    re.ASCII,
)
_ADSH = re.compile(r"\d{10}-\d{2}-\d{6}", re.ASCII)
_FILE = re.compile(r"[\w.-]{1,200}", re.ASCII)


class Filing(TypedDict):
    """A filing that matches; `file` is the name of the matching document."""

    adsh: str
    form: str
    filed: str
    items: list[str]
    file: str
    filers: list[Filer]


class Filer(TypedDict):
    """A company or person a filing is about or from; `ticker` is empty when there is none."""

    company: str
    cik: str
    ticker: str


class Page(TypedDict):
    """A response: the number of its hits, and their filings, one per hit."""

    n_hits: int
    filings: list[Filing]


def parse_filings(reply: Reply) -> Page:
    """Return the filings of a page. Raises `SourceError`."""
    check_access(reply)
    response = read_object(reply, "the response of EDGAR")
    if response.get("timed_out") is True:
        raise SourceError("unavailable", "the search of EDGAR timed out")
    hits = response.part("hits")
    filings = hits.rows("hits", read_hit)
    return {"n_hits": len(hits["hits"]), "filings": filings}


def parse_companies(reply: Reply) -> dict[str, str]:
    """Return the first ticker of each company by CIK (without zeros before it).

    Raises `SourceError`.
    """
    check_access(reply)
    response = read_object(reply, _COMPANIES)
    tickers: dict[str, str] = {}
    for cik, ticker in read_rows(response.values(), read_company, _COMPANIES):
        tickers.setdefault(cik, ticker)
    return tickers


def check_access(reply: Reply) -> None:
    """Raise `SourceError` for a page that refuses the request."""
    if reply.status != 403:
        return
    if b"Request Rate Threshold" in reply.body:
        raise SourceError("rate_limited", "the SEC limits this address for ten minutes")
    problem = f"the SEC rejects the user agent; set {USER_AGENT} to 'Company Name contact@domain'"
    raise SourceError("forbidden", problem)


def read_company(row: Row) -> tuple[str, str] | None:
    """Return CIK and ticker of a company; None without them."""
    cik = row.get("cik_str")
    ticker = canonical_ticker(row.get("ticker"))
    if not isinstance(cik, int) or ticker is None:
        return None
    return str(cik), ticker


def read_hit(hit: Row) -> Filing | None:
    """Return the filing of a document; None without its number or date."""
    source = hit.part("_source")
    adsh = source.line("adsh")
    filed = source.day("file_date")
    if not _ADSH.fullmatch(adsh) or filed is None:
        return None
    filers = map(read_filer, source.texts("display_names", 300))
    return {
        "adsh": adsh,
        "form": source.line("form", 20),
        "filed": filed,
        "items": source.texts("items", 10)[:20],
        "file": hit.line("_id", 300).partition(":")[2],
        "filers": [filer for filer in filers if filer is not None],
    }


def read_filer(display_name: str) -> Filer | None:
    """Return a filer; None when the name has no CIK."""
    match = _DISPLAY_NAME.fullmatch(display_name)
    if match is None:
        return None
    tickers = map(canonical_ticker, (match["tickers"] or "").split(","))
    return {
        "company": one_line(match["company"], 100),
        "cik": match["cik"].lstrip("0"),
        "ticker": next(filter(None, tickers), ""),
    }


class Filings(Scanner):
    """Companies whose filings match a search."""

    name = "filings"
    pipeline = "filings"
    summary = "companies whose SEC filings contain certain words (EDGAR full-text search)"
    rates = {"efts.sec.gov": ("5/s",), "www.sec.gov": ("5/s",)}  # noqa: RUF012 - never changed

    class Settings(ScannerSettings):
        """The search, and the user agent.

        - `query`: words, and phrases in quotes.
        - `forms`: empty: all.
        - `days`: how far back filings count.
        - `max_pages`: of 100 documents each.
        - `user_agent`: "Company Name contact@domain"; None: that of the environment.
        - `base_url`: of the search; `tickers_url`: of the list of companies.
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

    settings: Settings

    def scan(self, context: ScanContext) -> Iterable[Candidate]:
        """Search page by page, then group by ticker."""
        agent = self.settings.user_agent or context.key(USER_AGENT)
        if not re.fullmatch(_CONTACT, agent):
            problem = f"set {USER_AGENT} to 'Company Name contact@domain'"
            raise SourceError("bad_request", problem)
        headers = {"User-Agent": agent}
        filings = self._search(context, headers)
        listed = self._listed_tickers(context, headers, filings)
        by_ticker: dict[str, list[Filing]] = {}
        for filing in filings:
            ticker = find_ticker(filing, listed)
            if ticker is not None:
                by_ticker.setdefault(ticker, []).append(filing)
        ranked = sorted(by_ticker)
        ranked.sort(
            key=lambda ticker: (by_ticker[ticker][0]["filed"], len(by_ticker[ticker])), reverse=True
        )
        return [self._candidate(context, ticker, by_ticker[ticker]) for ticker in ranked]

    def _search(self, context: ScanContext, headers: dict[str, str]) -> list[Filing]:
        """Return the filings of before today, newest first."""
        yesterday = context.today - datetime.timedelta(days=1)
        since = context.today - datetime.timedelta(days=self.settings.days)
        params = {
            "q": self.settings.query,
            "dateRange": "custom",
            "startdt": since.isoformat(),
            "enddt": yesterday.isoformat(),
        }
        if self.settings.forms:
            params["forms"] = ",".join(self.settings.forms)
        filings: dict[str, Filing] = {}
        for page_idx in range(self.settings.max_pages):
            page = context.http.get(
                f"{self.settings.base_url}/search-index",
                parse=parse_filings,
                params={**params, "from": str(page_idx * PAGE)},
                headers=headers,
                ttl_s=TTL_S,
            )
            for filing in page["filings"]:
                if filing["filed"] <= yesterday.isoformat():
                    filings.setdefault(filing["adsh"], filing)
            if page["n_hits"] < PAGE:
                break
        return sorted(
            filings.values(), key=lambda filing: (filing["filed"], filing["adsh"]), reverse=True
        )

    def _listed_tickers(
        self, context: ScanContext, headers: dict[str, str], filings: list[Filing]
    ) -> dict[str, str]:
        """Return the SEC's list when a filing names no ticker; empty when it is unavailable."""
        if all(find_ticker(filing, {}) for filing in filings):
            return {}
        try:
            return context.http.get(
                self.settings.tickers_url,
                parse=parse_companies,
                headers=headers,
                ttl_s=COMPANIES_TTL_S,
            )
        except SourceError as error:
            context.check()
            context.logger.warning("filings that name no ticker are left out: %s", error)
            return {}

    def _candidate(self, context: ScanContext, ticker: str, filings: list[Filing]) -> Candidate:
        newest = filings[0]
        company = newest["filers"][0]["company"]
        data = {
            "company": company,
            "n_filings": len(filings),
            "last_filed": newest["filed"],
            "usable_from": usable_from(newest["filed"]),
            "filings": [summarize(filing) for filing in filings[:MAX_FILINGS]],
        }
        reason = f"{company}: {newest['form']} of {newest['filed']}"
        priority = "medium"
        if len(filings) > 1:
            reason += f" and {counted(len(filings) - 1, 'other filing')}"
            priority = "high"
        return context.candidate(ticker, f"{reason} with {self.settings.query}", priority, data)


def find_ticker(filing: Filing, listed: dict[str, str]) -> str | None:
    """Return the ticker of the first filer that names one, else of the first that is listed."""
    named = [filer["ticker"] for filer in filing["filers"]]
    named += [listed.get(filer["cik"], "") for filer in filing["filers"]]
    return next(filter(None, named), None)


def summarize(filing: Filing) -> dict[str, Any]:
    """Return a filing as in a candidate's data, with the address of its document or folder."""
    file = filing["file"] if _FILE.fullmatch(filing["file"]) else ""
    folder = f"{filing['filers'][0]['cik']}/{filing['adsh'].replace('-', '')}"
    return {
        "adsh": filing["adsh"],
        "form": filing["form"],
        "filed": filing["filed"],
        "items": filing["items"],
        "url": f"https://www.sec.gov/Archives/edgar/data/{folder}/{file}",
    }
