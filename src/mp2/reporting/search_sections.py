"""Sections of a run's page on luck, on what the picks looked like, and on the search itself."""

from __future__ import annotations

from itertools import compress

from mp2.data.prices import PriceTable
from mp2.errors import counted
from mp2.groups.histogram import bin_starts
from mp2.groups.result import SearchResult, Status
from mp2.picks.records import DayPicks, Outcome
from mp2.reporting.content import Cell, Picture, Section, Table
from mp2.reporting.pictures_market import candles, lanes, recent_signals
from mp2.reporting.pictures_search import luck_scores, progress, scores
from mp2.signals.grids import Grids
from mp2.signals.sheet import SignalSheet

MOST_CHARTS = 8
"""Tickers whose candles are shown, those most ideas name."""


# --- luck


def luck_section(result: SearchResult) -> Section | None:
    """Return the section that asks whether the groups are better than luck; None without scores."""
    pictures = []
    for size in sorted(result.kept):
        # Results of earlier versions have neither.
        if any(result.n_scores.get(size, ())) or any(luck_scores(result, size)):
            picture = Picture(
                figure=scores(result, size),
                table=_scores_table(result, size),
                title=f"Scores of the eligible groups of size {size}",
            )
            pictures.append(picture)
    if not pictures:
        return None
    answer = "Not tested (mp2 test)."
    if result.significance is not None:
        answer = result.significance.sentence()
    return Section(
        anchor="luck",
        short="Luck",
        question="Is the best group better than luck?",
        answer=answer,
        pictures=pictures,
        note=_luck_note(result),
        small=len(pictures) > 1,
    )


def _luck_note(result: SearchResult) -> str:
    note = "Bars: all eligible groups; the grey zone holds those that were kept."
    luck = result.significance
    if luck is None or luck.p is None:
        return note
    note += " Below: each search by luck counts once, by its best group."
    if luck.covered < 1:
        # Rounded down: only a complete test says 100%.
        share = int(100 * luck.covered)
        note += f" They cover {share}% of the space: compare them with the best group of that part."
    if luck.null_model == "days":
        return (
            f"{note} Their winners are those of other days, on which tickers move together as here."
        )
    return f"{note} Their winners are shuffled, which breaks ties between tickers and so flatters."


def _scores_table(result: SearchResult, size: int) -> Table:
    eligible = result.n_scores.get(size) or None
    null = luck_scores(result, size) or None
    rows: list[list[Cell]] = []
    for number, start in enumerate(bin_starts()):
        n_groups = eligible[number] if eligible else None
        n_searches = null[number] if null else None
        # Empty bins are not worth a row.
        if n_groups or n_searches:
            rows.append([start, n_groups, n_searches])
    headings = ("score from", "eligible groups", "searches by luck with their best here")
    return Table(headings=headings, rows=rows)


# --- candles


def candles_section(
    picks: DayPicks,
    prices: PriceTable,
    outcome: Outcome | None,
    grids: Grids | None,
) -> Section:
    """Return the section with the candles and signals of the picks that most ideas name."""
    sheet = recent_signals(picks, prices, grids)
    # Those that most ideas name come first; picks without a vote follow.
    voted = [vote.ticker for vote in picks.votes]
    picked = [ticker for ticker in voted if picks.sizes_with(ticker)]
    picked += [ticker for ticker in picks.tickers() if ticker not in voted]
    pictures: list[Picture] = []
    for ticker in picked:
        if ticker in prices.tickers and ticker in sheet.tickers and len(pictures) < MOST_CHARTS:
            title = ticker
            if outcome is not None and ticker in outcome.returns_pp:
                title += f" {outcome.returns_pp[ticker]:+.2f}%"
            picture = Picture(
                figure=candles(picks, prices, sheet, ticker),
                table=_signals_table(picks, sheet, ticker),
                title=title,
            )
            pictures.append(picture)
    members = []
    for size, pick in sorted(picks.picks.items()):
        if pick is not None:
            names = ", ".join(f"{member.algo} {member.variation}" for member in pick.members)
            members.append(f"size {size}: {names}")
    return Section(
        anchor="charts",
        short="Charts",
        question="What did the picks look like?",
        answer=f"{counted(len(sheet.days), 'session')} up to {picks.day}. Hollow candles closed "
        "above their open. Lanes: members of the picks, and the days they buy the ticker; where "
        "all lanes of a size are filled, it is picked.",
        pictures=pictures,
        note=f"Lanes from above: {'; '.join(members)}. The last column is the day picked for. "
        "Signals of a day use the bars before it, never its own.",
        small=True,
        many=True,
    )


def _signals_table(
    picks: DayPicks,
    sheet: SignalSheet,
    ticker: str,
) -> Table:
    rows: list[list[Cell]] = []
    for size, name, buys in lanes(picks, sheet, ticker):
        days = list(compress(sheet.days, buys))
        text = " ".join(days)
        rows.append([size, name, len(days), text])
    headings = ("size", "member", "days", "buys on")
    return Table(headings=headings, rows=rows)


# --- the search


def progress_section(result: SearchResult) -> Section:
    """Return the section on what was searched, over time."""
    answer = f"{result.headline().capitalize()}. "
    if result.status is Status.COMPLETE:
        answer += "The whole space was searched: no better group exists under these rules."
    else:
        # Rounded down: only a complete search says 100%.
        share = int(10_000 * result.coverage) / 100
        answer += f"{share:.2f}% of the space is exhausted; better groups may exist."
    rows: list[list[Cell]] = []
    # As many as a person reads; the picture has the others.
    step = max(1, len(result.progress) // 40)
    for sample in [*result.progress[:-1:step], result.progress[-1]]:
        counts = (sample.n_waiting, sample.n_running, sample.n_cut_off, sample.n_exhausted)
        turns = " ".join(map(str, sample.n_turns))
        rows.append([sample.elapsed_s, *counts, sample.limit_s, sample.bank_s, turns])
    states = ("not begun", "running", "cut off", "exhausted")
    headings = ("seconds", *states, "limit s", "bank s", "turns of each worker")
    return Section(
        anchor="search",
        short="Search",
        question="Where did the time go, and what was not searched?",
        answer=answer,
        pictures=[Picture(figure=progress(result), table=Table(headings=headings, rows=rows))],
        note="Starters run by ascending number of buys; those cut off at their limit go on while "
        "time is left. Below: what the next starter gets, what starters left in the bank, and how "
        "many turns each worker has ended.",
    )
