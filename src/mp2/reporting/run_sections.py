"""Sections of a run's page on votes, days, and what the kept groups have in common."""

from __future__ import annotations

from mp2.data.holding import holding
from mp2.errors import counted
from mp2.groups.result import SearchResult
from mp2.picks.records import QUANTILES, DayPicks, Outcome
from mp2.reporting import pictures_run as draw
from mp2.reporting.content import Cell, Picture, Section, Table, table_of
from mp2.reporting.pictures_market import returns
from mp2.reporting.run_report import RunReport

_MOST_VARIATIONS = 40


# --- votes


def votes_section(picks: DayPicks, outcome: Outcome | None) -> Section:
    """Return the section on the tickers of the vote."""
    top = picks.votes[0]
    n_groups = max(vote.n_groups for vote in picks.votes)
    ideas = {idea for vote in picks.votes for idea in vote.ideas}
    answer = f"{counted(top.n_groups, 'group')} name {top.ticker}."
    # Votes of earlier versions do not name their ideas.
    if ideas:
        groups = counted(n_groups, "group")
        answer = (
            f"{top.n_ideas} of {counted(len(ideas), 'idea')} name {top.ticker}. Up to {groups} "
            "name a ticker, but groups that say the same are one idea: count ideas."
        )
    note = "Rows: tickers, most ideas first. Columns: ideas, the best of a size first."
    if outcome is not None and outcome.returns_pp:
        note += " Right: the number of ideas, and the return on the day picked for."
    if len(picks.votes) > draw.MOST_TICKERS:
        note += f" The first {draw.MOST_TICKERS} of {len(picks.votes)}; the table has all."
    table = table_of(picks.to_frame().drop("day"))
    return Section(
        anchor="votes",
        short="Votes",
        question="Which tickers do the groups agree on?",
        answer=answer,
        pictures=[Picture(figure=draw.votes(picks, outcome), table=table)],
        note=note,
    )


# --- days


def days_section(report: RunReport) -> Section:
    """Return the section on the days searched and the day after, which alone is evidence."""
    result = report.result
    outcome = report.outcome
    pictures = [Picture(figure=draw.days(result, outcome), table=days_table(result))]
    answer = "The kept groups were chosen for these days, so high rates here are no evidence."
    if outcome is None or outcome.universe_hit_rate_pp is None:
        answer += " The day after is what counts, and it is not scored yet (mp2 outcome)."
    else:
        rates = []
        for size, score in sorted(outcome.sizes.items()):
            if score is not None and score.hit_rate_pp is not None:
                rates.append(f"{score.hit_rate_pp:.0f}% (size {size})")
        day = draw.short_day(outcome.session or outcome.day)
        universe = f"all tickers {outcome.universe_hit_rate_pp:.0f}%"
        picked = " and ".join(rates) or "an unknown share"
        answer += f" On {day}, which no search had seen, the picks hit {picked}, {universe}."
        if report.picks is not None and outcome.returns_pp:
            picture = Picture(
                figure=returns(report.picks, outcome),
                table=returns_table(report.picks, outcome),
                title=f"Returns on {day} of each ticker; box: half of all tickers, line: 90%",
            )
            pictures.append(picture)
    return Section(
        anchor="days",
        short="Steadiness",
        question="Is it steady, or one lucky day?",
        answer=answer,
        pictures=pictures,
        note=f"Hit rate: share of the consensus with a gain: {holding(result.hold).trade}. Boxes: "
        "half of the kept groups, lines: 90% of them.",
    )


def days_table(result: SearchResult) -> Table:
    """Return the rates of each day searched: all tickers, and the pick of each size."""
    headings = ["day", "all tickers %"]
    rows: list[list[Cell]] = []
    for day, rate in zip(result.days, result.base_win_rates, strict=True):
        rows.append([day, rate])
    for size in sorted(result.kept):
        headings += [f"pick {size}: hit %", f"pick {size}: buys", f"pick {size}: hits"]
        group = result.pick(size)
        for idx, row in enumerate(rows):
            if group is None:
                row += [None, None, None]
                continue
            day_stats = group.days[idx]
            row += [day_stats.pp, day_stats.buys, day_stats.hits]
    return Table(headings=tuple(headings), rows=rows)


def returns_table(picks: DayPicks, outcome: Outcome) -> Table:
    """Return the return of each ticker, best first, then those of all tickers."""
    rows: list[list[Cell]] = []
    returns_pp = outcome.returns_pp
    for ticker in sorted(returns_pp, key=returns_pp.__getitem__, reverse=True):
        sizes = " ".join(map(str, picks.sizes_with(ticker)))
        rows.append([ticker, returns_pp[ticker], sizes])
    quantiles_pp = outcome.universe_quantiles_pp
    # An outcome of an earlier version has no quantiles.
    for share, return_pp in zip(QUANTILES, quantiles_pp, strict=False):
        name = f"all tickers, {share:.0%} are below"
        rows.append([name, return_pp, None])
    headings = ("ticker", "return %", "in picks of size")
    return Table(headings=headings, rows=rows)


# --- algorithms


def common_section(result: SearchResult) -> Section:
    """Return the section on what the kept groups have in common."""
    names, shares = draw.algorithm_shares(result)
    common = draw.variation_shares(result)
    variation, by_size = common[0]
    size = max(by_size, key=lambda size: by_size[size])
    of_size = f"{variation} is in {by_size[size]:.0f}% of the kept groups of size {size}"
    of_all = f"{names[0]} in {shares[frozenset([names[0]])]:.0f}% of all"
    algorithms = Picture(
        figure=draw.algorithms(result),
        table=shares_table(shares),
        title="Share of the kept groups with an algorithm (diagonal), or both of two, in %",
    )
    variations = Picture(
        figure=draw.variations(result),
        table=variations_table(common, sorted(result.kept)),
        title="Variations in most kept groups",
    )
    return Section(
        anchor="algorithms",
        short="Algorithms",
        question="What do the good groups have in common?",
        answer=f"{of_size}, {of_all}. One variation in nearly all groups means one idea, found "
        "many times.",
        pictures=[algorithms, variations],
        small=True,
    )


def _most_common_first(entry: tuple[frozenset[str], float]) -> tuple[float, list[str]]:
    pair, percent = entry
    return -percent, sorted(pair)


def shares_table(shares: dict[frozenset[str], float]) -> Table:
    """Return algorithms and pairs of them, the most common first."""
    rows: list[list[Cell]] = []
    # The order of equal shares is that of names, so that a page is the same every time.
    for pair, percent in sorted(shares.items(), key=_most_common_first):
        name = " and ".join(sorted(pair))
        rows.append([name, percent])
    return Table(headings=("algorithms", "% of kept groups"), rows=rows)


def variations_table(common: draw.Shares, sizes: list[int]) -> Table:
    """Return the most common variations with their share of each size."""
    rows: list[list[Cell]] = []
    for name, by_size in common[:_MOST_VARIATIONS]:
        row: list[Cell] = [name]
        row += [by_size.get(size, 0.0) for size in sizes]
        rows.append(row)
    headings = ["variation"]
    headings += [f"% of size {size}" for size in sizes]
    return Table(headings=tuple(headings), rows=rows)
