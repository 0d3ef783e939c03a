"""The first words of a run's page: title, lead and cards.

The hit rate of the days searched flatters, because the groups were chosen for it. So it never
stands alone: what followed the search, past weeks and the luck test are in the same paragraph, and
where one of them is missing the page says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from statistics import fmean

from mp2.errors import counted
from mp2.groups.luck import shown_p
from mp2.groups.result import Group, SearchResult, Status
from mp2.picks.records import ALL, Outcome
from mp2.picks.weeks import WalkForward
from mp2.reporting.content import Card
from mp2.reporting.pictures_run import short_day
from mp2.reporting.run_report import RunReport


def title(report: RunReport) -> str:
    """Return what the page is about: the tickers and their day."""
    picks = report.picks
    if picks is None:
        n_days = counted(len(report.result.days), "day")
        found = "no picks yet"
        if best_pick(report.result) is None:
            found = "nothing kept"
        return f"Search of {n_days}, {found}"
    n_tickers = len(picks.tickers())
    tickers = counted(n_tickers, "ticker")
    day = date.fromisoformat(picks.day)
    return f"{tickers} for {day:%A} {day.day} {day:%B %Y}"


def lead(report: RunReport) -> str:
    """Return the first sentences: what the search found, and what tests of it say."""
    result = report.result
    best = best_pick(result)
    n_days = counted(len(result.days), "day")
    if best is None:
        sentence = f"Nothing was kept: no group of the {n_days} searched meets the rules."
        return " ".join([sentence, *unfinished(result)])
    sentences = [
        f"In the {n_days} searched, the pick of size {len(best.members)} hit {best.pooled_pp:.0f}%"
        f"{against(result)}; it was chosen for that.",
        *unfinished(result),
    ]
    if report.outcome is not None:
        sentences.append(outcome_sentence(report.outcome))
    sentences.append(walk_sentence(report.walk))
    sentences.append(luck_sentence(result))
    return " ".join(sentences)


def unfinished(result: SearchResult) -> Iterator[str]:
    """Yield how far a search came that did not end."""
    if result.status is not Status.COMPLETE:
        # Rounded down: only a complete search says 100%.
        searched = int(1000 * result.coverage) / 10
        yield f"The search did not end: it covered {searched}% of the space."


def best_pick(result: SearchResult) -> Group | None:
    """Return the pick with the best hit rate in the days searched, the number that flatters."""
    picked = [group for group in map(result.pick, result.kept) if group is not None]
    return max(picked, key=lambda group: group.pooled_pp, default=None)


def against(result: SearchResult) -> str:
    """Return what all tickers hit in the days searched, to stand behind another rate."""
    # Signals without prices know no losers, so no rate either.
    if not any(result.base_win_rates):
        return ""
    return f" and all tickers {fmean(result.base_win_rates):.0f}%"


def outcome_sentence(outcome: Outcome) -> str:
    """Return how the picks did on the day after the search."""
    score = outcome.all_sizes
    if score is None or score.hit_rate_pp is None or outcome.universe_hit_rate_pp is None:
        return "How the picks did is not known."
    session = outcome.session or outcome.day
    day = short_day(session)
    picks = f"the picks hit {score.hit_rate_pp:.0f}%"
    universe = f"all tickers {outcome.universe_hit_rate_pp:.0f}%"
    return f"On {day}, after the search, {picks}, {universe}."


def walk_sentence(walk: WalkForward | None) -> str:
    """Return how picks made this way did in past weeks."""
    if walk is None:
        return "Whether such picks did well in past weeks was not tested (mp2 walkforward)."
    judged = walk.total[ALL]
    weeks = counted(len(walk.weeks), "past week")
    if judged.hit_rate_pp is None or judged.universe_hit_rate_pp is None:
        return f"Made this way over {weeks}: {judged.verdict}."
    picks = f"picks hit {judged.hit_rate_pp:.1f}%"
    universe = f"{judged.universe_hit_rate_pp:.1f}% of all tickers"
    return f"Made this way over {weeks}, {picks} against {universe}: {judged.verdict}."


def luck_sentence(result: SearchResult) -> str:
    """Return whether the groups are better than luck, of these days alone."""
    luck = result.significance
    if luck is None:
        return "Whether the groups are better than luck was not tested (mp2 test)."
    if luck.p is None:
        return f"The luck test did not run: {luck.reason}."
    verdict = "no better than luck"
    if luck.is_better_than_luck:
        verdict = "better than luck"
    evidence = f"p = {shown_p(luck.p, None)}"
    if luck.covered < 1:
        # Rounded down: only a complete test says 100%.
        evidence += f", tested on {int(100 * luck.covered)}% of the space"
    return f"Within these days the best group is {verdict} ({evidence})."


# --- cards


def cards(report: RunReport) -> Iterator[Card]:
    """Yield the cards, in the order of the lead."""
    result = report.result
    if report.picks is not None:
        sizes = []
        for size, pick in sorted(report.picks.picks.items()):
            n_tickers = len(pick.tickers) if pick else 0
            sizes.append(f"{n_tickers} of size {size}")
        tickers = counted(len(report.picks.tickers()), "ticker")
        yield Card(label="Picks", value=tickers, text=", ".join(sizes))
    best = best_pick(result)
    if best is not None:
        text = f"The pick of size {len(best.members)}{against(result)}. Chosen for it: no forecast"
        yield Card(label="In the days searched", value=f"{best.pooled_pp:.0f}% hit", text=text)
    yield walk_card(report.walk)
    luck = result.significance
    if luck is not None and luck.p is not None:
        verdict = "no better than luck"
        if luck.is_better_than_luck:
            verdict = "better than luck"
        text = f"{verdict}; {luck.replicates:,} searches without an edge"
        yield Card(label="Luck test", value=f"p = {shown_p(luck.p, None)}", text=text)
    yield search_card(result)
    if report.outcome is not None:
        yield outcome_card(report.outcome)


def walk_card(walk: WalkForward | None) -> Card:
    """Return the card of the walk-forward, which is there without one as well."""
    if walk is None:
        return Card(label="Walk-forward", value="not made", text="no past week was judged")
    label = f"Walk-forward, {counted(len(walk.weeks), 'week')}"
    judged = walk.total[ALL]
    difference = judged.hit_difference
    # Without an interval a difference says nothing, so it is not shown.
    if difference is None or difference.low is None:
        return Card(label=label, value="unknown", text=str(judged.verdict))
    interval = f"{difference.low:+.1f} to {difference.high:+.1f}"
    return Card(
        label=label,
        value=f"{difference.mean:+.1f} points",
        text=f"{interval}: {judged.verdict}",
    )


def search_card(result: SearchResult) -> Card:
    """Return the card that says whether a better group may exist."""
    better = "better groups may exist"
    if result.status is Status.COMPLETE:
        better = "no better group exists under these rules"
    value = str(result.status).replace("_", " ").capitalize()
    starters = f"{result.n_exhausted:,} of {result.n_starters:,} starters exhausted"
    return Card(label="Search", value=value, text=f"{starters}; {better}")


def outcome_card(outcome: Outcome) -> Card:
    """Return the card of the day after the search."""
    score = outcome.all_sizes
    label = f"Outcome, {short_day(outcome.session or outcome.day)}"
    if score is None or score.hit_rate_pp is None or outcome.universe_hit_rate_pp is None:
        return Card(label=label, value="unknown", text=outcome.note or "")
    universe = f"all tickers {outcome.universe_hit_rate_pp:.0f}%"
    mean = f"mean {score.mean_return_pp:+.2f}%"
    universe_mean = f"all {outcome.universe_return_pp:+.2f}%"
    return Card(
        label=label,
        value=f"{score.n_hits} of {score.n_tickers} hit",
        text=f"{score.hit_rate_pp:.0f}%, {universe}; {mean}, {universe_mean}",
    )
