"""The page of a run: its questions in the order a reader asks them, and honest answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import fmean

from mp2.data.holding import holding
from mp2.data.prices import PriceTable
from mp2.errors import counted
from mp2.groups.luck import shown_p
from mp2.groups.result import Group, SearchResult, Status
from mp2.picks.records import ALL, QUANTILES, DayPicks, Outcome
from mp2.picks.weeks import WalkForward
from mp2.reporting import pictures_run as draw
from mp2.reporting.content import Card, Cell, Page, Picture, Section, Table, without_folders
from mp2.reporting.pictures_market import returns
from mp2.reporting.search_sections import candles_section, luck_section, progress_section
from mp2.reporting.walk_page import walk_section
from mp2.signals.grids import Grids

_LEAST_SAMPLES = 5
_MOST_GROUPS = 100
"""Groups of each size in the table: beyond these `mp2 runs export` is the better table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run, and what is known beside it."""

    result: SearchResult
    picks: DayPicks | None = None
    outcome: Outcome | None = None
    walk: WalkForward | None = None
    prices: PriceTable | None = None
    grids: Grids | None = None


def run_page(report: RunReport) -> Page:
    """Return the page of a run."""
    result = report.result
    sections = list(_sections(report))
    return Page(
        name=f"run {result.run_id}" if result.run_id else "run, not stored",
        title=_title(report),
        lead=lead(report),
        cards=list(_cards(report)),
        sections=sections,
        groups=_groups_table(result) if any(result.kept.values()) else None,
        facts=list(_facts(result)),
        warnings=tuple(map(without_folders, _warnings(report))),
    )


def _warnings(report: RunReport) -> list[str]:
    lines = dict.fromkeys(report.result.warnings)
    if report.picks is not None:
        lines |= dict.fromkeys(report.picks.warnings)
    return list(lines)


# --- the first words


def long_day(day: str) -> str:
    """Return an ISO date as `Monday 6 January 2020`."""
    return f"{date.fromisoformat(day):%A %-d %B %Y}"


def _title(report: RunReport) -> str:
    picks = report.picks
    if picks is None:
        return f"Search of {counted(len(report.result.days), 'day')}, no picks yet"
    tickers = counted(len(picks.tickers()), "ticker")
    return f"{tickers} for {long_day(picks.day)}"


def best_pick(result: SearchResult) -> Group | None:
    """Return the pick with the best hit rate in the days searched, the number that flatters."""
    picked = [group for group in map(result.pick, result.kept) if group is not None]
    return max(picked, key=lambda group: group.pooled_pp, default=None)


def lead(report: RunReport) -> str:
    """Return the first sentences: what the search found, and what tests of it say."""
    result = report.result
    best = best_pick(result)
    n_days = counted(len(result.days), "day")
    if best is None:
        return f"Nothing was kept: no group of the {n_days} searched meets the rules."
    sentences = [
        f"In the {n_days} searched, the pick of size {len(best.members)} hit {best.pooled_pp:.0f}%"
        f"{_against(result)}; it was chosen for that."
    ]
    if result.status is not Status.COMPLETE:
        # Rounded down: only a complete search says 100%.
        searched = int(1000 * result.coverage) / 10
        sentences.append(f"The search did not end: it covered {searched}% of the space.")
    if report.outcome is not None:
        sentences.append(_outcome_sentence(report.outcome))
    sentences.append(_walk_sentence(report.walk))
    sentences.append(_luck_sentence(result))
    return " ".join(sentences)


def _against(result: SearchResult) -> str:
    if not any(result.base_win_rates):
        return ""
    return f" and all tickers {fmean(result.base_win_rates):.0f}%"


def _outcome_sentence(outcome: Outcome) -> str:
    score = outcome.all_sizes
    if score is None or score.hit_rate_pp is None or outcome.universe_hit_rate_pp is None:
        return "How the picks did is not known."
    day = draw.short_day(outcome.session or outcome.day)
    universe = f"all tickers {outcome.universe_hit_rate_pp:.0f}%"
    return f"On {day}, after the search, the picks hit {score.hit_rate_pp:.0f}%, {universe}."


def _walk_sentence(walk: WalkForward | None) -> str:
    if walk is None:
        return "Whether such picks did well in past weeks was not tested (mp2 walkforward)."
    judged = walk.total[ALL]
    weeks = counted(len(walk.weeks), "past week")
    if judged.hit_rate_pp is None or judged.universe_hit_rate_pp is None:
        return f"Made this way over {weeks}: {judged.verdict}."
    rates = f"{judged.hit_rate_pp:.1f}% against {judged.universe_hit_rate_pp:.1f}% of all tickers"
    return f"Made this way over {weeks}, picks hit {rates}: {judged.verdict}."


def _luck_sentence(result: SearchResult) -> str:
    luck = result.significance
    if luck is None:
        return "Whether the groups are better than luck was not tested (mp2 test)."
    if luck.p is None:
        return f"The luck test did not run: {luck.reason}."
    verdict = "no better than luck"
    if luck.is_better_than_luck:
        verdict = "better than luck"
    tested = ""
    if luck.covered < 1:
        # Rounded down: only a complete test says 100%.
        tested = f", tested on {int(100 * luck.covered)}% of the space"
    return f"Within these days the best group is {verdict} (p = {shown_p(luck.p, None)}{tested})."


# --- cards


def _cards(report: RunReport) -> Iterator[Card]:
    result = report.result
    picks = report.picks
    if picks is not None:
        sizes = []
        for size, pick in sorted(picks.picks.items()):
            sizes.append(f"{len(pick.tickers) if pick else 0} of size {size}")
        tickers = counted(len(picks.tickers()), "ticker")
        yield Card(label="Picks", value=tickers, text=", ".join(sizes))
    best = best_pick(result)
    if best is not None:
        text = f"The pick of size {len(best.members)}{_against(result)}. Chosen for it: no forecast"
        yield Card(label="In the days searched", value=f"{best.pooled_pp:.0f}% hit", text=text)
    yield _walk_card(report.walk)
    luck = result.significance
    if luck is not None and luck.p is not None:
        verdict = "better than luck" if luck.is_better_than_luck else "no better than luck"
        text = f"{verdict}; {luck.replicates:,} searches without an edge"
        yield Card(label="Luck test", value=f"p = {shown_p(luck.p, None)}", text=text)
    text = "better groups may exist"
    if result.status is Status.COMPLETE:
        text = "no better group exists under these rules"
    text = f"{result.n_exhausted:,} of {result.n_starters:,} starters exhausted; {text}"
    value = str(result.status).replace("_", " ").capitalize()
    yield Card(label="Search", value=value, text=text)
    outcome = report.outcome
    if outcome is not None and outcome.all_sizes is not None:
        yield _outcome_card(outcome)


def _walk_card(walk: WalkForward | None) -> Card:
    if walk is None:
        return Card(label="Walk-forward", value="not made", text="no past week was judged")
    label = f"Walk-forward, {counted(len(walk.weeks), 'week')}"
    judged = walk.total[ALL]
    difference = judged.hit_difference
    if difference is None or difference.low is None:
        return Card(label=label, value="unknown", text=str(judged.verdict))
    text = f"{difference.low:+.1f} to {difference.high:+.1f}: {judged.verdict}"
    return Card(label=label, value=f"{difference.mean:+.1f} points", text=text)


def _outcome_card(outcome: Outcome) -> Card:
    score = outcome.all_sizes
    label = f"Outcome, {draw.short_day(outcome.session or outcome.day)}"
    if score is None or score.hit_rate_pp is None or outcome.universe_hit_rate_pp is None:
        return Card(label=label, value="unknown", text=outcome.note or "")
    text = (
        f"{score.hit_rate_pp:.0f}%, all tickers {outcome.universe_hit_rate_pp:.0f}%; "
        f"mean {score.mean_return_pp:+.2f}%, all {outcome.universe_return_pp:+.2f}%"
    )
    return Card(label=label, value=f"{score.n_hits} of {score.n_tickers} hit", text=text)


# --- sections


def _sections(report: RunReport) -> Iterator[Section]:
    result = report.result
    if report.picks is not None and report.picks.votes:
        yield _votes_section(report.picks, report.outcome)
    if report.walk is not None:
        yield walk_section(report.walk)
    if any(result.kept.values()):
        yield _days_section(report)
    luck = luck_section(result)
    if luck is not None:
        yield luck
    if any(result.kept.values()):
        yield _common_section(result)
    if report.picks is not None and report.prices is not None and report.picks.tickers():
        yield candles_section(report.picks, report.prices, report.outcome, report.grids)
    # A search of a moment has no course.
    if len(result.progress) >= _LEAST_SAMPLES:
        yield progress_section(result)


def _votes_section(picks: DayPicks, outcome: Outcome | None) -> Section:
    top = picks.votes[0]
    n_groups = max(vote.n_groups for vote in picks.votes)
    ideas = {idea for vote in picks.votes for idea in vote.ideas}
    answer = f"{counted(top.n_ideas or top.n_groups, 'idea')} name {top.ticker}."
    if ideas:
        answer = (
            f"{top.n_ideas} of {counted(len(ideas), 'idea')} name {top.ticker}. Up to {n_groups} "
            "groups name a ticker, but groups that say the same are one idea: count ideas."
        )
    note = "Rows: tickers, most ideas first. Columns: ideas, the best of a size first."
    if outcome is not None and outcome.returns_pp:
        note += " Right: the number of ideas, and the return on the day picked for."
    if len(picks.votes) > draw.MOST_TICKERS:
        note += f" The first {draw.MOST_TICKERS} of {len(picks.votes)}; the table has all."
    return Section(
        anchor="votes",
        short="Votes",
        question="Which tickers do the groups agree on?",
        answer=answer,
        pictures=[Picture(figure=draw.votes(picks, outcome), table=_votes_table(picks))],
        note=note,
    )


def _votes_table(picks: DayPicks) -> Table:
    frame = picks.to_frame().drop("day")
    return Table(headings=tuple(frame.columns), rows=frame.rows())


def _days_section(report: RunReport) -> Section:
    result = report.result
    outcome = report.outcome
    pictures = [Picture(figure=draw.days(result, outcome), table=_days_table(result))]
    answer = "The kept groups were chosen for these days, so they lie above all tickers here."
    if outcome is not None and outcome.universe_hit_rate_pp is not None:
        rates = []
        for size, score in sorted(outcome.sizes.items()):
            if score is not None and score.hit_rate_pp is not None:
                rates.append(f"{score.hit_rate_pp:.0f}% (size {size})")
        day = draw.short_day(outcome.session or outcome.day)
        universe = f"all tickers {outcome.universe_hit_rate_pp:.0f}%"
        answer += f" On {day}, which no search had seen, the picks hit "
        answer += f"{' and '.join(rates)}, {universe}."
        if report.picks is not None and outcome.returns_pp:
            picture = Picture(
                figure=returns(report.picks, outcome),
                table=_returns_table(report.picks, outcome),
                title=f"Returns on {day} of each ticker; box: half of all tickers, line: 90%",
            )
            pictures.append(picture)
    else:
        answer += " The day after is what counts, and it is not scored yet (mp2 outcome)."
    return Section(
        anchor="days",
        short="Steadiness",
        question="Is it steady, or one lucky day?",
        answer=answer,
        pictures=pictures,
        note=f"Hit rate: share of the consensus with a gain: {holding(result.hold).trade}. Boxes: "
        "half of the kept groups, lines: 90% of them.",
    )


def _days_table(result: SearchResult) -> Table:
    headings = ["day", "all tickers %"]
    picked = {size: result.pick(size) for size in sorted(result.kept)}
    for size in picked:
        headings += [f"pick {size}: hit %", f"pick {size}: buys", f"pick {size}: hits"]
    rows: list[list[Cell]] = []
    for idx, day in enumerate(result.days):
        row: list[Cell] = [day, result.base_win_rates[idx]]
        for group in picked.values():
            if group is None:
                row += [None, None, None]
            else:
                row += [group.days[idx].pp, group.days[idx].buys, group.days[idx].hits]
        rows.append(row)
    return Table(headings=tuple(headings), rows=rows)


def _returns_table(picks: DayPicks, outcome: Outcome) -> Table:
    rows: list[list[Cell]] = []
    for ticker, return_pp in sorted(outcome.returns_pp.items(), key=lambda entry: -entry[1]):
        sizes = " ".join(map(str, picks.sizes_with(ticker)))
        rows.append([ticker, return_pp, sizes])
    for share, return_pp in zip(QUANTILES, outcome.universe_quantiles_pp, strict=False):
        rows.append([f"all tickers, {share:.0%} are below", return_pp, None])
    return Table(headings=("ticker", "return %", "in picks of size"), rows=rows)


def _common_section(result: SearchResult) -> Section:
    names, shares = draw.algorithm_shares(result)
    pairs = sorted(shares.items(), key=lambda entry: (-entry[1], sorted(entry[0])))
    rows: list[list[Cell]] = []
    for pair, percent in pairs:
        rows.append([" and ".join(sorted(pair)), percent])
    algorithms = Table(headings=("algorithms", "% of kept groups"), rows=rows)
    common = draw.variation_shares(result)
    sizes = sorted(result.kept)
    rows = [[name, *(by_size.get(size, 0.0) for size in sizes)] for name, by_size in common[:40]]
    headings = ("variation", *(f"% of size {size}" for size in sizes))
    name, by_size = common[0]
    size = max(by_size, key=lambda size: by_size[size])
    return Section(
        anchor="algorithms",
        short="Algorithms",
        question="What do the good groups have in common?",
        answer=f"{name} is in {by_size[size]:.0f}% of the kept groups of size {size}, {names[0]} "
        f"in {shares[frozenset([names[0]])]:.0f}% of all. One variation in nearly all groups means "
        "one idea, found many times.",
        pictures=[
            Picture(
                figure=draw.algorithms(result),
                table=algorithms,
                title="Share of the kept groups with an algorithm (diagonal), or both of two, in %",
            ),
            Picture(
                figure=draw.variations(result),
                table=Table(headings=headings, rows=rows),
                title="Variations in most kept groups",
            ),
        ],
        small=True,
    )


# --- tables and facts


def _groups_table(result: SearchResult) -> Table:
    headings = ("size", "rank", "idea", "score", "hit %", "Wilson %", "p", "buys", "hits")
    rows: list[Sequence[Cell]] = []
    for size, groups in sorted(result.kept.items()):
        for group in groups[:_MOST_GROUPS]:
            buys = "/".join(str(day.buys) for day in group.days)
            hits = "/".join(str(day.hits) for day in group.days)
            head = (size, group.rank, group.idea, group.score, group.pooled_pp)
            rows.append((*head, group.wilson_lb, group.p, buys, hits, group.name))
    return Table(headings=(*headings, "members"), rows=rows)


def _facts(result: SearchResult) -> Iterator[tuple[str, str]]:
    yield "days searched", f"{result.days[0]} to {result.days[-1]}"
    yield "status", result.headline()
    yield "budget", f"{result.budget_s:g} s, {counted(result.workers, 'worker')}"
    for size, n in sorted(result.tested.items()):
        least = "" if result.tested_exact or size != max(result.tested) else "at least "
        eligible = f", {result.eligible[size]:,} eligible" if size in result.eligible else ""
        yield f"groups of size {size}", f"{least}{n:,} tested{eligible}"
    yield "rule of outcomes", str(result.hold)
    yield "input", result.input_fingerprint[:16]
    for name, value in result.rules.to_dict().items():
        # The sizes are the only list.
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield name.replace("_", " "), text
