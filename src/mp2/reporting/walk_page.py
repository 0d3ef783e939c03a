"""The page of a walk-forward, and its section on the page of a run."""

from __future__ import annotations

from mp2.groups.luck import P_SMALL
from mp2.picks.records import ALL
from mp2.picks.weeks import WalkForward
from mp2.reporting import pictures_walk as draw
from mp2.reporting.content import Page, Picture, Section, rule_facts, table_of, without_folders


def walk_page(walk: WalkForward) -> Page:
    """Return the page of a walk-forward."""
    facts = [
        ("status", str(walk.status)),
        ("weeks", f"{len(walk.weeks)} of {walk.n_weeks}"),
        ("budget of a week", f"{walk.budget_s_per_week:g} s"),
        ("cost", f"{walk.cost_bps:g} basis points per side"),
    ]
    facts += rule_facts(walk.rules)
    return Page(
        name="walk-forward",
        title=f"Picks of {len(walk.weeks)} weeks: {walk.verdict}",
        lead=walk.sentence(),
        sections=[walk_section(walk, says=False)] if walk.weeks else [],
        facts=facts,
        warnings=tuple(map(without_folders, walk.warnings)),
    )


def walk_section(walk: WalkForward, *, says: bool = True) -> Section:
    """Return the section that asks whether picks like these did well in past weeks.

    It `says` the verdict unless the page begins with it.
    """
    n_weeks = len(walk.weeks)
    answer = f"{n_weeks} times: search the days of a week, apply the groups to the days after."
    if says:
        answer = f"{walk.sentence()} {answer}"
    luck = walk.luck_sentence()
    if luck is not None:
        answer += f" {luck}"
    return Section(
        anchor="walk",
        short="Walk-forward",
        question="Would it have worked?",
        answer=answer,
        pictures=[
            Picture(
                figure=draw.value(walk),
                table=table_of(walk.daily_frame()),
                title="Value of the picks, held by the rule of outcomes each day with picks",
            ),
            Picture(
                figure=draw.weeks(walk),
                table=table_of(walk.to_frame()),
                title="Hit rate of the picks less that of all tickers, by week, in points",
            ),
        ],
        note="The band would hold 95 of 100 choices of as many tickers at random if tickers moved "
        "independently; they move together, so it should be wider. "
        "x marks weeks without picks. One interval in twenty lies beside zero by chance: of "
        f"{n_weeks} weeks expect {P_SMALL * n_weeks:.0f}. In the tables {ALL} is the union of the "
        "picks of all sizes.",
    )
