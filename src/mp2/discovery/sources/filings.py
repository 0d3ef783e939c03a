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
companies, which is requested only when needed; without the list such filings are left out. Of the
forms 3, 4 and 5 the last filer counts alone: it is the issuer, and those before it are the owners,
who may have a ticker too. Of several tickers that of common shares comes before those of preferred
shares, warrants and units.

The SEC requires a user agent "Company Name contact@domain": the setting `user_agent`, or the
environment variable SEC_USER_AGENT. It allows 10 requests a second in all, divided here between
its two hosts.

Source: www.sec.gov/os/accessing-edgar-data.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from operator import itemgetter
from typing import Annotated, TypedDict

from pydantic import Field, StringConstraints

from mp2.discovery.candidates import canonical_ticker
from mp2.discovery.http.reply import Reply
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources._fields import Row, most_first, pick, read_object, read_rows, usable_from
from mp2.discovery.sources._options import BaseAddress, WebAddress, Words
from mp2.errors import SourceError, counted

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
    r"(?P<company>.*?)\s*"
    r"(?:\((?P<tickers>[A-Z0-9][A-Z0-9 .,-]*)\))?\s*"
    r"\(CIK (?P<cik>\d{1,10})\)\s*",
    re.ASCII,
)
# An owner of shares files these about their issuer.
_ABOUT_ISSUER = frozenset({"3", "4", "5"})
# Class shares have one of A, B, C and K; a fifth letter is a warrant, a right, a unit or preferred.
_NOT_COMMON = re.compile(r"[A-Z]+[.-](?![ABCK]$).+|[A-Z]{4}[WRUPONM]")
_ADSH = re.compile(r"\d{10}-\d{2}-\d{6}", re.ASCII)


class Filing(TypedDict):
    """A filing that matches; `company`, `ticker` and `ciks` are those of the filers that count.

    `company`: the first one; `ticker`: the first that a filer names, empty when none does.
    """

    adsh: str
    form: str
    filed: str
    items: list[str]
    url: str
    company: str
    ticker: str
    ciks: list[str]


def parse_filings(reply: Reply) -> tuple[list[Filing], int]:
    """Return the filings of a page, one per hit, and the number of hits. Raises `SourceError`."""
    check_access(reply)
    response = read_object(reply, "the response of EDGAR")
    if response.get("timed_out") is True:
        raise SourceError(
            "unavailable",
            "the search of EDGAR timed out",
        )
    hits = response.part("hits")
    return hits.rows("hits", read_hit), len(hits["hits"])


def parse_companies(reply: Reply) -> dict[str, str]:
    """Return a ticker of each company, of common shares if it has some, by CIK without zeros.

    Raises `SourceError`.
    """
    check_access(reply)
    response = read_object(reply, _COMPANIES)
    tickers: dict[str, list[str]] = {}
    for cik, ticker in read_rows(response.values(), read_company, _COMPANIES):
        tickers.setdefault(cik, []).append(ticker)
    return {cik: common_share(own) for cik, own in tickers.items()}


def common_share(tickers: Iterable[str]) -> str:
    """Return the first ticker of common shares, else the first one; empty when there are none."""
    ranked = sorted(tickers, key=lambda ticker: bool(_NOT_COMMON.fullmatch(ticker)))
    return ranked[0] if ranked else ""


def check_access(reply: Reply) -> None:
    """Raise `SourceError` for a page that refuses the request."""
    if reply.status != 403:
        return
    if b"Request Rate Threshold" in reply.body:
        raise SourceError(
            "rate_limited",
            "the SEC limits this address for ten minutes",
        )
    raise SourceError(
        "forbidden",
        f"the SEC rejects the user agent; set {USER_AGENT} to 'Company Name contact@domain'",
    )


def read_company(row: Row) -> tuple[str, str] | None:
    """Return CIK and ticker of a company; None without them."""
    cik = row.get("cik_str")
    ticker = canonical_ticker(row.get("ticker"))
    if not isinstance(cik, int) or ticker is None:
        return None
    return str(cik), ticker


def read_hit(hit: Row) -> Filing | None:
    """Return the filing of a document; None without its number, date or filers."""
    source = hit.part("_source")
    adsh = source.line("adsh")
    filed = source.day("file_date")
    form = source.line("form", 20)
    filers = []
    for display_name in source.texts("display_names", 300):
        filer = _DISPLAY_NAME.fullmatch(display_name)
        if filer:
            filers.append(filer)
    if form.removesuffix("/A") in _ABOUT_ISSUER:
        filers = filers[-1:]
    ticker = ""
    for filer in filers:
        listed = (filer["tickers"] or "").split(",")
        own = filter(None, map(canonical_ticker, listed))
        ticker = ticker or common_share(own)
    ciks = [filer["cik"].lstrip("0") for filer in filers]
    if not _ADSH.fullmatch(adsh) or filed is None or not ciks:
        return None
    folder = f"https://www.sec.gov/Archives/edgar/data/{ciks[0]}/{adsh.replace('-', '')}"
    file = hit.line("_id").partition(":")[2]
    return {
        "adsh": adsh,
        "form": form,
        "filed": filed,
        "items": source.texts("items", 10)[:20],
        "url": f"{folder}/{file}",
        "company": filers[0]["company"],
        "ticker": ticker,
        "ciks": ciks,
    }


class Filings(Scanner):
    """Companies whose filings match a search."""

    name = "filings"
    pipeline = "filings"
    summary = "companies whose SEC filings contain certain words (EDGAR full-text search)"
    # Ten a second in all, for which the SEC counts both hosts together; never changed.
    rates = {"efts.sec.gov": ("5/s",), "www.sec.gov": ("5/s",)}  # noqa: RUF012

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
        days: int = Field(3, ge=1, le=90, strict=True)
        max_pages: int = Field(2, ge=1, le=10, strict=True)
        user_agent: (
            Annotated[str, StringConstraints(strip_whitespace=True, pattern=f"^{_CONTACT}$")] | None
        ) = None
        base_url: BaseAddress = "https://efts.sec.gov/LATEST"
        tickers_url: WebAddress = "https://www.sec.gov/files/company_tickers.json"

    settings: Settings

    @classmethod
    def needed_keys(cls, settings: Settings) -> tuple[str, ...]:
        """Return the variable of the user agent, unless it is set."""
        if settings.user_agent:
            return ()
        return (USER_AGENT,)

    def scan(self, context: ScanContext) -> list[Candidate]:
        """Search page by page, then group by ticker."""
        agent = self.settings.user_agent or context.key(USER_AGENT)
        if not re.fullmatch(_CONTACT, agent):
            raise SourceError(
                "bad_request",
                f"set {USER_AGENT} to 'Company Name contact@domain'",
            )
        headers = {"User-Agent": agent}
        filings = self._search(context, headers)
        listed = self._listed_tickers(context, headers, filings)
        by_ticker: dict[str, list[Filing]] = {}
        for filing in filings:
            tickers = [
                filing["ticker"],
                *(listed.get(cik) for cik in filing["ciks"]),
            ]
            ticker = next(filter(None, tickers), None)
            if ticker:
                by_ticker.setdefault(ticker, []).append(filing)
        candidates = [
            self._candidate(context, ticker, filings) for ticker, filings in by_ticker.items()
        ]
        return most_first(candidates, "last_filed", "n_filings")

    def _search(
        self,
        context: ScanContext,
        headers: dict[str, str],
    ) -> list[Filing]:
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
            page, n_hits = context.http.get(
                f"{self.settings.base_url}/search-index",
                parse=parse_filings,
                params={**params, "from": str(page_idx * PAGE)},
                headers=headers,
                ttl_s=TTL_S,
            )
            for filing in page:
                if filing["filed"] <= yesterday.isoformat():
                    filings.setdefault(filing["adsh"], filing)
            if n_hits < PAGE:
                break
        return sorted(filings.values(), key=itemgetter("filed", "adsh"), reverse=True)

    def _listed_tickers(
        self,
        context: ScanContext,
        headers: dict[str, str],
        filings: list[Filing],
    ) -> dict[str, str]:
        """Return the SEC's list when a filing names no ticker; empty when it is unavailable."""
        if all(filing["ticker"] for filing in filings):
            return {}
        try:
            return context.http.get(
                self.settings.tickers_url,
                parse=parse_companies,
                headers=headers,
                ttl_s=COMPANIES_TTL_S,
            )
        except SourceError as error:
            context.logger.warning("filings that name no ticker are left out: %s", error)
            return {}

    def _candidate(
        self,
        context: ScanContext,
        ticker: str,
        filings: list[Filing],
    ) -> Candidate:
        newest = filings[0]
        company = newest["company"]
        fields = ("adsh", "form", "filed", "items", "url")
        data = {
            "company": company,
            "n_filings": len(filings),
            "last_filed": newest["filed"],
            "usable_from": usable_from(newest["filed"]),
            "filings": [pick(filing, fields) for filing in filings[:MAX_FILINGS]],
        }
        reason = f"{company}: {newest['form']} of {newest['filed']}"
        priority = "medium"
        if len(filings) > 1:
            reason += f" and {counted(len(filings) - 1, 'other filing')}"
            priority = "high"
        return context.candidate(
            ticker,
            f"{reason} with {self.settings.query}",
            priority,
            data,
        )
